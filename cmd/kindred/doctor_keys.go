package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"kindred/internal/auth"
	"kindred/internal/revocation"
	"kindred/internal/store"
	"kindred/internal/token"
)

// feed has the database say something, and listens as serve does.
func (e *examination) feed(ctx context.Context) {
	const limit = 2 * time.Second
	if !e.valid || e.server.ReadOnly {
		return
	}
	if !e.cfg.RevocationListen {
		e.say("feed", levelNote, "DATABASE_URL leads through a pooler: revocations are found by reading, within half a second",
			"set REVOCATION_LISTEN_URL past the pooler to have them at once")
		return
	}
	after, sameServer, err := e.store.Hears(ctx, store.FollowConfig{URL: e.cfg.RevocationListenURL.Reveal(), Listen: true}, limit)
	switch {
	case errors.Is(err, store.ErrStandby):
		e.say("feed", levelProblem, "REVOCATION_LISTEN_URL leads to a standby", "it must lead to the primary")
	case err != nil:
		e.trouble("feed", err)
	case !sameServer:
		e.say("feed", levelProblem, "REVOCATION_LISTEN_URL and DATABASE_URL lead to different servers or databases", "both must lead to one")
	case after >= limit:
		e.say("feed", levelWarning, "notifications do not arrive", "REVOCATION_LISTEN_URL must lead past any pooler, straight to the primary")
	default:
		e.say("feed", levelOK, fmt.Sprintf("a notification was heard after %s", after.Round(time.Millisecond)), "")
	}
}

// keys looks at those that sign access tokens, as the servers would open them.
func (e *examination) keys(ctx context.Context) {
	if !e.valid {
		return
	}
	box, err := newKeyBox(e.cfg.KeyEncryptionKey, e.cfg.KeyEncryptionKeyPrevious)
	if err != nil {
		e.trouble("keys", err)
		return
	}
	service := auth.New(auth.Config{}, e.store, revocation.NewSet(time.Now), auth.Secrets{Keys: token.NewKeys(), KeyBox: box}, slog.New(slog.DiscardHandler))
	list, now, err := service.ExamineKeys(ctx)
	var closed *auth.KeyError
	switch {
	case errors.As(err, &closed):
		e.say("keys", levelProblem, closed.Error(), "set the right one, or add it to KEY_ENCRYPTION_KEY_PREVIOUS")
	case err != nil:
		e.trouble("keys", err)
	default:
		e.signing(list, now)
	}
}

func (e *examination) signing(list []auth.SigningKeyInfo, now time.Time) {
	const old = 365 * 24 * time.Hour
	standing := 0
	var signs *auth.SigningKeyInfo
	for i, k := range list {
		if k.State.Verifies() {
			standing++
		}
		if k.State == auth.KeySigning {
			signs = &list[i]
		}
	}
	hs256 := !e.cfg.KeyEncryptionKey.IsSet()
	switch {
	case hs256 && standing > 0:
		e.say("keys", levelWarning, fmt.Sprintf("JWT_SECRET signs, although the database has %d signing keys", standing), "set KEY_ENCRYPTION_KEY as the other servers have it")
	case hs256:
		e.say("keys", levelOK, "JWT_SECRET signs access tokens (HS256)", "")
	case signs == nil:
		e.say("keys", levelOK, "there is none yet: the first server makes it", "")
	case now.Sub(signs.SignFrom) > old:
		e.say("keys", levelWarning, fmt.Sprintf("key %s has signed for %d days", signs.ID, now.Sub(signs.SignFrom)/(24*time.Hour)), "`kindred keys rotate`")
	default:
		e.say("keys", levelOK, fmt.Sprintf("%s signs (%s), and all keys open", signs.ID, signs.Algorithm), "")
	}
}
