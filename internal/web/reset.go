package web

import (
	"errors"
	"net/http"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/httpapi"
)

type resetForm struct {
	Token   string
	Refusal string // of the password before, in words; empty the first time
}

// showReset: GET /reset?token=…, where a reset link leads. It looks nothing up and uses nothing: mail programs
// open links too.
func (p *pages) showReset(w http.ResponseWriter, r *http.Request) error {
	return p.write(w, http.StatusOK, page{
		Title: "Choose a new password", Message: "All your sessions will end.", Form: &resetForm{Token: r.URL.Query().Get("token")},
	})
}

// submitReset: POST /reset, the form. The token is in its body now, and no more in the URL.
func (p *pages) submitReset(w http.ResponseWriter, r *http.Request) error {
	form, err := httpapi.ReadForm(w, r)
	if err != nil {
		return err
	}
	err = p.auth.ResetPassword(r.Context(), httpapi.CallerOf(r), form.Get("token"), form.Get("password"))
	var invalid *account.InvalidError
	switch {
	case errors.As(err, &invalid):
		return p.write(w, http.StatusUnprocessableEntity, page{
			Title: "Choose a new password", Form: &resetForm{Token: form.Get("token"), Refusal: invalid.Reason},
		})
	case errors.Is(err, auth.ErrInvalidResetToken):
		return p.write(w, http.StatusBadRequest, page{
			Title: "This link does not work", Message: "It was used before, has expired, or is not whole. Ask for a new one.",
		})
	case errors.Is(err, auth.ErrUnavailable), errors.Is(err, auth.ErrBusy):
		w.Header().Set("Retry-After", "1")
		return errors.Join(err, p.write(w, http.StatusServiceUnavailable, page{
			Title: "Choose a new password", Message: "All your sessions will end.",
			Form: &resetForm{Token: form.Get("token"), Refusal: "This cannot be done just now; try again in a moment. Should the link be refused then, the password is set already: log in with it."},
		}))
	case err != nil:
		return err
	}
	return p.write(w, http.StatusOK, page{
		Title: "Your new password is set", Message: "All your sessions have ended. Log in with the new password.",
	})
}
