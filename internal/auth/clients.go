package auth

import (
	"context"
	"errors"
	"fmt"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/token"
)

var (
	// ErrInvalidClient: unknown, disabled, or not proven to be who it says. Callers answer all alike.
	ErrInvalidClient = errors.New("invalid client")
	// ErrUnknownClient is an ErrInvalidClient of a request that brought no secret.
	ErrUnknownClient = fmt.Errorf("%w: no public client of that id", ErrInvalidClient)
	// ErrClientNotFound: no client has that id.
	ErrClientNotFound = errors.New("client not found")
	// ErrClientDisabled: the client has ended, which is for good.
	ErrClientDisabled = errors.New("client is disabled")
	// ErrPublicClient: public clients have no secret and cannot be asked to prove anything.
	ErrPublicClient = errors.New("client is public")
	// ErrClientExists: there is a client of that id, disabled or not.
	ErrClientExists = store.ErrClientExists
)

// ClientCredentials is how a request names its client, and what it proves that with (RFC 6749 §2.3).
type ClientCredentials struct {
	ID     string // empty: the built-in public client
	Secret string // empty: none
}

// client finds the client that a request names, and believes it only if a confidential one brings its
// secret and a public one brings none. The built-in client costs no statement, any other one. Unknown,
// disabled and wrong are the same work. The error is ErrInvalidClient, or of its kind ErrUnknownClient.
func (s *Service) client(ctx context.Context, c ClientCredentials) (account.Client, error) {
	refused := ErrUnknownClient
	if c.Secret != "" {
		refused = ErrInvalidClient
	}
	if c.ID == "" || c.ID == family.DefaultClient {
		if c.Secret != "" {
			return account.Client{}, refused
		}
		return account.Client{ID: family.DefaultClient, Type: account.PublicClient}, nil
	}
	if _, err := account.ParseClientID(c.ID); err != nil {
		return account.Client{}, refused
	}
	client, err := s.store.Client(ctx, c.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return account.Client{}, err
	}
	// Without a row the hash is all zeros, which no secret has.
	proven := token.IsClientSecret(c.Secret, client.SecretHash)
	if client.Type == account.PublicClient {
		proven = c.Secret == ""
	}
	if err != nil || !proven || !client.Enabled() {
		return account.Client{}, refused
	}
	return client, nil
}

// AddClient creates a client and returns its secret, which is kept nowhere; a public client has none.
// Errors: ErrClientExists, *account.InvalidError.
func (s *Service) AddClient(ctx context.Context, caller Caller, c account.Client) (secret token.ClientSecret, err error) {
	if err := checkClient(&c); err != nil {
		return token.ClientSecret{}, err
	}
	if c.Type == account.ConfidentialClient {
		secret = token.NewClientSecret()
		c.SecretHash = secret.Hash()
	}
	err = s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		if err := tx.InsertClient(ctx, c); err != nil {
			return err
		}
		detail := map[string]any{"type": string(c.Type), "may_introspect": c.MayIntrospect}
		return j.add(ctx, audit.Event{Kind: audit.ClientAdded, ClientID: c.ID, Detail: detail})
	})
	return secret, err
}

func checkClient(c *account.Client) (err error) {
	if _, err := account.ParseClientID(c.ID); err != nil {
		return err
	}
	if c.ID == family.DefaultClient {
		return &account.InvalidError{Field: "client id", Reason: "kindred is the built-in public client."}
	}
	if c.Name, err = account.ParseClientName(c.Name); err != nil {
		return err
	}
	if c.Type, err = account.ParseClientType(string(c.Type)); err != nil {
		return err
	}
	if c.MayIntrospect && c.Type != account.ConfidentialClient {
		return &account.InvalidError{Field: "client type", Reason: "Only a confidential client may introspect: a public one cannot prove who it is."}
	}
	return nil
}

// Clients lists all clients but the built-in one by their ids, disabled ones too.
func (s *Service) Clients(ctx context.Context) ([]account.Client, error) { return s.store.Clients(ctx) }

// RotateClientSecret gives a confidential client another secret. The one before is refused from then on;
// families and tokens of the client stay. Errors: ErrClientNotFound, ErrClientDisabled, ErrPublicClient.
func (s *Service) RotateClientSecret(ctx context.Context, caller Caller, id string) (token.ClientSecret, error) {
	client, err := s.findClient(ctx, id)
	if err != nil {
		return token.ClientSecret{}, err
	}
	if client.Type == account.PublicClient {
		return token.ClientSecret{}, ErrPublicClient
	}
	secret := token.NewClientSecret()
	err = s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		changed, err := tx.ReplaceClientSecret(ctx, id, secret.Hash())
		if err != nil {
			return err
		}
		if !changed {
			return ErrClientDisabled
		}
		return j.add(ctx, audit.Event{Kind: audit.ClientSecretRotated, ClientID: id})
	})
	if err != nil {
		return token.ClientSecret{}, err
	}
	return secret, nil
}

// DisableClient ends a client for good: nothing is accepted from it any more, no login begins through it,
// and all its families end. They are many, so that they end in transactions of their own: after an error
// some live on, though none can be refreshed, and calling it again ends them. ErrClientNotFound if there
// is no such client.
func (s *Service) DisableClient(ctx context.Context, caller Caller, id string) error {
	if _, err := s.findClient(ctx, id); err != nil {
		return err
	}
	// Waits for the logins that share the client's row; later ones find it disabled.
	err := s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		changed, err := tx.DisableClient(ctx, id)
		if err != nil || !changed {
			return err
		}
		return j.add(ctx, audit.Event{Kind: audit.ClientDisabled, ClientID: id})
	})
	for more := true; err == nil && more; {
		more, err = s.endFamiliesOfClient(ctx, caller, id)
	}
	return err
}

// endFamiliesOfClient ends some; more tells whether there may be others. A batch is small: whoever
// refreshes in the meantime waits for it.
func (s *Service) endFamiliesOfClient(ctx context.Context, caller Caller, id string) (more bool, err error) {
	const batch = 100
	err = s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		families, err := tx.LockFamiliesOfClient(ctx, id, batch)
		if err != nil {
			return err
		}
		more = len(families) == batch
		for _, f := range families {
			if err := s.revoke(ctx, tx, j, f, family.ReasonClientDisabled, caller.Actor); err != nil {
				return err
			}
		}
		return nil
	})
	return more, err
}

// findClient reads a client for an operator. ErrClientNotFound for the built-in one too.
func (s *Service) findClient(ctx context.Context, id string) (account.Client, error) {
	if _, err := account.ParseClientID(id); err != nil {
		return account.Client{}, ErrClientNotFound
	}
	client, err := s.store.Client(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return account.Client{}, ErrClientNotFound
	}
	return client, err
}
