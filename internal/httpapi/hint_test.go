package httpapi_test

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kindred/internal/testdb"
)

// An operator whose proxy does not say whom it speaks for is told so at the first login, and not at each.
func TestLogin_OfAClientWithoutAnAddressIsLoggedOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	var log bytes.Buffer
	_, api := newAPI(t, db, replicaConfig{url: db.URL(), timeout: 5 * time.Second, log: &log})
	const hint = "a client's address is not known"
	ask := func(forwardedFor string) {
		r := post("/login", `{"username":"nobody","password":"password123"}`)
		r.RemoteAddr = "127.0.0.1:4711"
		if forwardedFor != "" {
			r.Header.Set("X-Forwarded-For", forwardedFor)
		}
		api.ServeHTTP(httptest.NewRecorder(), r)
	}
	ask("192.0.2.1")
	if strings.Contains(log.String(), hint) {
		t.Errorf("the address is known, and the log says %s", &log)
	}
	for range 3 {
		ask("")
	}
	if n := strings.Count(log.String(), hint); n != 1 {
		t.Errorf("%d hints in %s", n, &log)
	}
}
