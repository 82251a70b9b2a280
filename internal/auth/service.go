// Package auth holds the use cases, one file each: what a request means in terms of rules (family,
// account), secrets (token, password) and rows (store). It owns the transactions and the audit
// journal; it knows neither HTTP nor SQL.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/password"
	"kindred/internal/revocation"
	"kindred/internal/store"
	"kindred/internal/token"
)

var (
	// ErrInvalidCredentials: unknown name, wrong password, disabled user. Callers answer all three alike.
	ErrInvalidCredentials = errors.New("invalid credentials")
	// ErrInvalidRefreshToken: not ours, expired, revoked, reused, lost: callers answer all alike.
	ErrInvalidRefreshToken = errors.New("invalid refresh token")
	// ErrInvalidAccessToken: malformed, expired, or of a session that has ended.
	ErrInvalidAccessToken = errors.New("invalid access token")
	// ErrRegistrationClosed: the operator does not let people register.
	ErrRegistrationClosed = errors.New("registration is closed")
	// ErrSessionNotFound: no live session of this user has that id.
	ErrSessionNotFound = errors.New("session not found")
	// ErrUserNotFound: no living user has that name.
	ErrUserNotFound = errors.New("user not found")
	// ErrFamilyNotFound: there is no such family.
	ErrFamilyNotFound = errors.New("family not found")
	// ErrNotAdmin: the user is no admin, by what the database says now.
	ErrNotAdmin = errors.New("not an admin")
	// ErrStaleLogin: the session began too long ago for what is asked; a fresh login helps.
	ErrStaleLogin = errors.New("login too long ago")
	// ErrInvalidResetToken: not a reset token, unknown, expired or used: callers answer all alike.
	ErrInvalidResetToken = errors.New("invalid reset token")
	// ErrTwoCredentials: the request names two different families; nothing was done.
	ErrTwoCredentials = errors.New("two credentials of different sessions")

	// ErrUsernameTaken: a living user has that name.
	ErrUsernameTaken = store.ErrUsernameTaken
	// ErrBusy: more passwords are to be hashed than this replica lets wait. Nothing was judged.
	ErrBusy = password.ErrBusy
	// ErrUnavailable: the database is away, read-only or too slow. Nothing was consumed.
	ErrUnavailable = store.ErrUnavailable
)

// Config is what an operator decides about the use cases.
type Config struct {
	ReuseInterval    time.Duration // a parent presented again within it gets the same child
	IdleLifetime     time.Duration // of a refresh token that is not used
	MaxLifetime      time.Duration // of a family, whatever happens
	AccessLifetime   time.Duration // of an access token
	RegistrationOpen bool
	AuditRetention   time.Duration // of audit events
	AdminMaxAge      time.Duration // since the login of whoever acts as an admin
	RevokePacedTheft bool          // two parties that refresh in turns end the family
	// NameKey hides names that belong to no user from the audit trail: people type passwords there.
	NameKey []byte
	// Passwords says which may be chosen; the zero value is strict.
	Passwords account.PasswordPolicy
	// Breached tells whether a password is known from a breach; nil: nobody is asked. Its errors are logged.
	Breached func(ctx context.Context, password string) (bool, error)
	// GuessKey hides names and networks in the rows in which guesses are counted.
	GuessKey []byte
	Guesses  GuessLimits
	// SigningAlgorithm is what new signing keys are made for.
	SigningAlgorithm token.Algorithm
	// MaxSessionsPerUser is how many live families a user may have; 0: any number.
	MaxSessionsPerUser int
	// PublicURL is where reset links lead: an origin without a path.
	PublicURL string
	// Meter counts what happens; nil: nobody does.
	Meter Meter
}

// Service runs the use cases. It is safe for concurrent use.
type Service struct {
	config    Config
	store     *store.Store
	blacklist *revocation.Set
	hasher    *password.Hasher
	codec     *token.RefreshCodec
	devices   *token.DeviceCodec
	issuer    *token.Issuer
	verifier  *token.Verifier
	keys      *token.Keys
	keyBox    *token.KeyBox
	log       *slog.Logger
	meter     Meter

	reading keyReading
}

// Secrets are the parts that hold keys.
type Secrets struct {
	Hasher   *password.Hasher
	Codec    *token.RefreshCodec
	Devices  *token.DeviceCodec // nil: no device is ever known
	Issuer   *token.Issuer
	Verifier *token.Verifier
	Keys     *token.Keys   // of issuer and verifier
	KeyBox   *token.KeyBox // nil where access tokens are signed with a secret (HS256)
}

// New joins the parts. blacklist may be one that nobody feeds: every check then asks the database. log
// gets one line for each security event.
func New(config Config, st *store.Store, blacklist *revocation.Set, secrets Secrets, log *slog.Logger) *Service {
	meter := config.Meter
	if meter == nil {
		meter = unmetered{}
	}
	return &Service{
		meter: meter, config: config, store: st, blacklist: blacklist, log: log, hasher: secrets.Hasher, codec: secrets.Codec,
		devices: secrets.Devices, issuer: secrets.Issuer, verifier: secrets.Verifier, keys: secrets.Keys, keyBox: secrets.KeyBox,
		reading: keyReading{turn: make(chan struct{}, 1)},
	}
}

// Caller is what is known of whoever makes a request; it goes into the audit trail and is never
// trusted.
type Caller struct {
	RequestID string
	Address   netip.Addr // the zero Addr when it is not known
	UserAgent string
	Actor     string // audit.ByCLI and the like; empty for a request
}

// Tokens are what a login or a refresh hands out.
type Tokens struct {
	AccessToken      string
	RefreshToken     string
	ExpiresIn        time.Duration // of the access token, whole seconds
	RefreshExpiresIn time.Duration // of the refresh token if it is not used, whole seconds
	DeviceToken      string        // of a login: to be sent with the next one on the same device
}

// NotReadyError tells an operator why this replica should get no requests.
type NotReadyError struct{ Reason string }

func (e *NotReadyError) Error() string { return "not ready: " + e.Reason }

// Ready asks whether requests can be served now; the error is a *NotReadyError. hint tells an operator
// of what works, but not as it should; it is empty most of the time.
func (s *Service) Ready(ctx context.Context) (hint string, err error) {
	err = s.store.CheckReady(ctx)
	var schema *store.SchemaError
	if errors.As(err, &schema) {
		return "", &NotReadyError{Reason: schema.Error()}
	}
	if err == nil {
		err = s.store.CheckInstallation(ctx)
	}
	var elsewhere *store.InstallationError
	if errors.As(err, &elsewhere) {
		return "", &NotReadyError{Reason: elsewhere.Error()}
	}
	loose, looseErr := s.store.LooseSettings(ctx)
	if err != nil || looseErr != nil {
		return "", &NotReadyError{Reason: "the database is not available"}
	}
	var key *KeyError
	keysErr := s.currentKeys(ctx)
	switch {
	case errors.As(keysErr, &key) && !s.issuer.Ready():
		return "", &NotReadyError{Reason: key.Error()}
	case keysErr != nil && key == nil:
		return "", &NotReadyError{Reason: "the signing keys cannot be read"}
	}
	hints := loose
	if key != nil {
		hints = append(hints, key.Error())
	}
	if !s.blacklist.Fresh() {
		hints = append(hints, "the revocation feed is late: access tokens are checked in the database")
	}
	return strings.Join(hints, "; "), nil
}

// journal collects the events of one transaction.
type journal struct {
	tx     *store.Tx
	caller Caller
	events []audit.Event
}

// add appends an event to the audit trail, in the transaction, with what is known of the caller.
func (j *journal) add(ctx context.Context, e audit.Event) error {
	e = j.byCaller(e)
	if err := j.tx.Append(ctx, &e); err != nil {
		return err
	}
	j.events = append(j.events, e)
	return nil
}

// addFirst does so for the first in a minute of a kind and a family that the transaction holds: what
// anybody can cause again and again must not fill the trail.
func (j *journal) addFirst(ctx context.Context, e audit.Event) error {
	e = j.byCaller(e)
	first, err := j.tx.AppendFirst(ctx, &e)
	if err != nil || !first {
		return err
	}
	j.events = append(j.events, e)
	return nil
}

func (j *journal) byCaller(e audit.Event) audit.Event {
	e.RequestID, e.Address, e.UserAgent = j.caller.RequestID, j.caller.Address, cleanUserAgent(j.caller.UserAgent)
	if e.Actor == "" {
		e.Actor = j.caller.Actor
	}
	return e
}

// addRevoked records the families of a user that ended together.
func (j *journal) addRevoked(ctx context.Context, families []uuid.UUID, userID uuid.UUID, reason family.Reason, by string) error {
	if len(families) == 0 {
		return nil
	}
	events, err := j.tx.AppendForEach(ctx, families, j.byCaller(revoked(uuid.Nil, userID, "", reason, by)))
	j.events = append(j.events, events...)
	return err
}

// change runs fn in a transaction with a journal. Once that stands, what it revoked is on this replica's
// blacklist, before anybody is told, and what it recorded is logged. fn may run twice; an error rolls
// everything back.
func (s *Service) change(ctx context.Context, caller Caller, fn func(context.Context, *store.Tx, *journal) error) error {
	var committed []audit.Event
	var revoked []store.Revocation
	err := s.store.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		j := &journal{tx: tx, caller: caller}
		if err := fn(ctx, tx, j); err != nil {
			return err
		}
		committed, revoked = j.events, tx.Revoked()
		return nil
	})
	if err != nil {
		return err
	}
	s.blacklist.Add(revoked)
	for _, e := range committed {
		s.logEvent(ctx, e)
	}
	return nil
}

func (s *Service) logEvent(ctx context.Context, e audit.Event) {
	s.meter.Recorded(e.Kind, e.Reason)
	attrs := []slog.Attr{
		slog.String("event", string(e.Kind)), slog.String("id", e.ID.String()), slog.Time("at", e.At.UTC()), slog.String("request_id", e.RequestID),
	}
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	if e.Actor != "" {
		attrs = append(attrs, slog.String("actor", e.Actor))
	}
	if e.UserID.Valid {
		attrs = append(attrs, slog.String("user_id", e.UserID.UUID.String()))
	}
	if e.FamilyID.Valid {
		attrs = append(attrs, slog.String("family_id", e.FamilyID.UUID.String()))
	}
	if e.ClientID != "" {
		attrs = append(attrs, slog.String("client_id", e.ClientID))
	}
	if e.Address.IsValid() {
		attrs = append(attrs, slog.String("address", e.Address.String()))
	}
	if e.UserAgent != "" {
		attrs = append(attrs, slog.String("user_agent", e.UserAgent))
	}
	if len(e.Detail) > 0 {
		attrs = append(attrs, slog.Any("detail", e.Detail))
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "security event", attrs...)
}

// tokens signs an access token for what the database granted.
func (s *Service) tokens(grant store.Grant, refresh token.RefreshToken) (Tokens, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Tokens{}, fmt.Errorf("make token id: %w", err)
	}
	issued, expires := grant.Now.Truncate(time.Second), grant.AccessExpiresAt.Truncate(time.Second)
	access, err := s.issuer.Issue(token.AccessClaims{
		ID: id, Subject: grant.User.ID, SessionID: grant.FamilyID, ClientID: grant.ClientID,
		Username: grant.User.Username, Role: grant.User.Role, Version: grant.User.Version, Custom: grant.User.Claims,
		AuthTime: grant.AuthTime, IssuedAt: grant.Now, ExpiresAt: expires,
	})
	if errors.Is(err, token.ErrNoSigningKey) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("issue access token: %w", err)
	}
	return Tokens{
		AccessToken: access, RefreshToken: refresh.Reveal(),
		ExpiresIn: expires.Sub(issued), RefreshExpiresIn: grant.IdleExpiresAt.Sub(grant.Now).Truncate(time.Second),
	}, nil
}

// cleanUserAgent makes a header fit for a row and a log line: valid UTF-8, no controls, 256 bytes.
func cleanUserAgent(header string) string {
	const maxBytes = 256
	clean := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, header[:min(len(header), 4*maxBytes)])
	for len(clean) > maxBytes {
		_, size := utf8.DecodeLastRuneInString(clean)
		clean = clean[:len(clean)-size]
	}
	return clean
}

func someID(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: true} }

func isInvalidInput(err error) bool {
	var invalid *account.InvalidError
	return errors.As(err, &invalid)
}
