package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/token"
)

// Refresh exchanges a refresh token for the next one (RFC 6749 §6, rotation as in RFC 9700 §4.14.2).
//
// For the built-in client a token that is not ours costs no statement, and the current token of a live
// family one; for any other, one more reads the client. Only when the rotation finds nothing to rotate is
// the family locked and judged. Every refusal is ErrInvalidRefreshToken, and a reuse has then revoked the
// family; or it is ErrInvalidClient. Trouble is ErrUnavailable, and the token presented is still good.
func (s *Service) Refresh(ctx context.Context, caller Caller, refreshToken string, credentials ClientCredentials) (Tokens, error) {
	client, err := s.client(ctx, credentials)
	if err != nil {
		return Tokens{}, err
	}
	presented, err := s.codec.Parse(refreshToken)
	if errors.Is(err, token.ErrNotOurs) {
		s.log.LogAttrs(ctx, slog.LevelDebug, "refresh token is not ours", slog.String("request_id", caller.RequestID))
		s.meter.Refreshed(Foreign)
		return Tokens{}, ErrInvalidRefreshToken
	}
	if err != nil {
		return Tokens{}, err
	}
	if err := s.canSign(ctx); err != nil {
		return Tokens{}, err
	}
	child, rotation, err := s.prepare(caller, presented, client.ID)
	if err != nil {
		return Tokens{}, err
	}
	grant, ok, err := s.store.RotateFamily(ctx, rotation)
	if err != nil {
		return Tokens{}, err
	}
	if ok {
		s.meter.Refreshed(Rotated)
		return s.tokens(grant, child)
	}
	return s.judge(ctx, caller, presented, child, rotation)
}

// prepare mints the child before anything is read, so that the happy path needs nothing but one
// statement; a child that is not used was never stored.
func (s *Service) prepare(caller Caller, parent token.RefreshToken, clientID string) (token.RefreshToken, store.Rotation, error) {
	childID, err := uuid.NewV7()
	if err != nil {
		return token.RefreshToken{}, store.Rotation{}, fmt.Errorf("make token id: %w", err)
	}
	child, err := s.codec.Mint(parent.FamilyID, childID, parent.Generation+1, parent.ExpiresOn)
	if err != nil {
		return token.RefreshToken{}, store.Rotation{}, fmt.Errorf("mint refresh token: %w", err)
	}
	seal, err := s.codec.Seal(parent, child)
	if err != nil {
		return token.RefreshToken{}, store.Rotation{}, fmt.Errorf("seal refresh token: %w", err)
	}
	return child, store.Rotation{
		FamilyID: parent.FamilyID, TokenID: parent.TokenID, TokenHash: parent.Hash(), ClientID: clientID,
		ChildID: childID, ChildHash: child.Hash(), Seal: seal,
		UserAgent: cleanUserAgent(caller.UserAgent), Address: caller.Address,
		IdleLifetime: s.config.IdleLifetime, AccessLifetime: s.config.AccessLifetime,
	}, nil
}

// judge locks the family, reads what is needed in later statements, and does what the verdict asks.
// A refusal is a value here: were it an error, the revocation of a reused family would roll back.
func (s *Service) judge(ctx context.Context, caller Caller, presented, child token.RefreshToken, r store.Rotation) (Tokens, error) {
	var grant store.Grant
	var successor token.RefreshToken
	var refused bool
	var why string
	var outcome Outcome
	err := s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		grant, successor, refused, why, outcome = store.Grant{}, token.RefreshToken{}, true, "unknown_family", UnknownFamily
		f, err := tx.LockFamily(ctx, r.FamilyID)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		evidence, err := tx.Evidence(ctx, f, r.TokenID)
		if err != nil {
			return err
		}
		policy := family.Policy{ReuseInterval: s.config.ReuseInterval, RevokePacedTheft: s.config.RevokePacedTheft}
		verdict := policy.Judge(f, evidence.User.Enabled(), family.Presented{
			TokenID: r.TokenID, Hash: r.TokenHash, ClientID: r.ClientID, Row: evidence.Row, UserAgent: r.UserAgent, Address: r.Address,
		}, evidence.Clock)
		why, outcome = verdict.String(), outcomeOf(verdict)
		switch verdict {
		case family.VerdictRotate:
			// Somebody held the family a moment ago. If its expiry passed just now, trying again tells.
			rotated, ok, err := tx.RotateFamily(ctx, r)
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("rotate held family: %w", ErrUnavailable)
			}
			grant, successor, refused = rotated, child, false
		case family.VerdictReplay:
			grant, successor, err = s.replay(ctx, tx, j, f, evidence, presented)
			refused = false
			return err
		case family.VerdictReuse:
			return s.revokeCopied(ctx, tx, j, f, copied(audit.ReuseDetected, f, evidence), family.ReasonReuseDetected)
		case family.VerdictPacedTheft:
			return s.revokeCopied(ctx, tx, j, f, copied(audit.SuspectedTheft, f, evidence), family.ReasonPacedTheft)
		case family.VerdictTokenLost:
			return j.addFirst(ctx, tokenLost(f))
		}
		return nil
	})
	if err != nil {
		return Tokens{}, err
	}
	s.meter.Refreshed(outcome)
	if refused {
		s.logRefusal(ctx, caller, r.FamilyID, why)
		return Tokens{}, ErrInvalidRefreshToken
	}
	return s.tokens(grant, successor)
}

// logRefusal says for operators what the answer does not: clients are all told the same.
func (s *Service) logRefusal(ctx context.Context, caller Caller, familyID uuid.UUID, verdict string) {
	s.log.LogAttrs(ctx, slog.LevelInfo, "refresh refused", slog.String("verdict", verdict),
		slog.String("family_id", familyID.String()), slog.String("request_id", caller.RequestID))
}

// replay hands out the child that the parent was rotated into: the same token for a client whose
// answer was lost and for tabs that refreshed together. The seal opens with the parent's secret only.
func (s *Service) replay(ctx context.Context, tx *store.Tx, j *journal, f family.Family, e store.Evidence, parent token.RefreshToken) (store.Grant, token.RefreshToken, error) {
	refused := func(err error) (store.Grant, token.RefreshToken, error) {
		return store.Grant{}, token.RefreshToken{}, err
	}
	child, err := s.codec.OpenSeal(parent, f.CurrentTokenID, f.Generation, f.SuccessorSeal)
	if err == nil && child.Hash() != f.CurrentHash {
		err = token.ErrSeal
	}
	if err != nil {
		// Not the client's fault: a replica without the secret that sealed it, or a damaged row.
		return refused(fmt.Errorf("open successor of family %s: %w: %w", f.ID, ErrUnavailable, err))
	}
	accessExpires := earlier(e.Clock.Now.Add(s.config.AccessLifetime), f.ExpiresAt)
	count, _ := f.CountReplay(cleanUserAgent(j.caller.UserAgent), j.caller.Address)
	replays, record, tells := f.Replays.Another(e.Clock.Now)
	if err := tx.NoteReplay(ctx, f.ID, accessExpires, count, replays); err != nil {
		return refused(err)
	}
	if record {
		err = j.add(ctx, audit.Event{
			Kind: audit.GraceReplay, UserID: someID(f.UserID), FamilyID: someID(f.ID), ClientID: f.ClientID,
			Detail: map[string]any{"generation": f.Generation - 1, "replays": tells},
		})
	}
	if err == nil && count != f.ForeignReplays && count.InARow == family.PacedTheft {
		err = j.add(ctx, copied(audit.SuspectedTheft, f, e))
	}
	if err != nil {
		return refused(err)
	}
	return store.Grant{
		FamilyID: f.ID, ClientID: f.ClientID, AuthTime: f.AuthTime, Generation: f.Generation, User: e.User,
		Now: e.Clock.Now, AccessExpiresAt: accessExpires, IdleExpiresAt: f.IdleExpiresAt,
	}, child, nil
}

// revokeCopied ends a family of which somebody holds a copy, and records how that was found.
func (s *Service) revokeCopied(ctx context.Context, tx *store.Tx, j *journal, f family.Family, found audit.Event, reason family.Reason) error {
	if err := j.add(ctx, found); err != nil {
		return err
	}
	return s.revoke(ctx, tx, j, f, reason, audit.BySystem)
}

// copied names both parties: who presents the old token, and who last rotated. Which of them is the
// thief nobody can tell.
func copied(kind audit.Kind, f family.Family, e store.Evidence) audit.Event {
	detail := map[string]any{
		"presented_generation": e.Row.Generation, "presented_issued_at": e.Row.IssuedAt,
		"current_generation": f.Generation, "current_rotated_at": f.RotatedAt,
		"current_user_agent": f.LastUserAgent, "current_address": "",
	}
	if f.LastAddress.IsValid() {
		detail["current_address"] = f.LastAddress.String()
	}
	return audit.Event{Kind: kind, UserID: someID(f.UserID), FamilyID: someID(f.ID), ClientID: f.ClientID, Detail: detail}
}

// revoke ends a family that the transaction holds, and records it.
func (s *Service) revoke(ctx context.Context, tx *store.Tx, j *journal, f family.Family, reason family.Reason, by string) error {
	changed, err := tx.RevokeFamily(ctx, f.ID, reason, by)
	if err != nil || !changed {
		return err
	}
	return j.add(ctx, revoked(f.ID, f.UserID, f.ClientID, reason, by))
}

func revoked(id, userID uuid.UUID, clientID string, reason family.Reason, by string) audit.Event {
	return audit.Event{
		Kind: audit.FamilyRevoked, Actor: by, UserID: someID(userID), FamilyID: someID(id), ClientID: clientID,
		Reason: string(reason),
	}
}

func tokenLost(f family.Family) audit.Event {
	return audit.Event{Kind: audit.TokenLost, UserID: someID(f.UserID), FamilyID: someID(f.ID), ClientID: f.ClientID}
}
