package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"golang.org/x/crypto/argon2"

	"kindred/internal/password"
)

// requests is a load whose operations are requests to a server.
func requests(name string, workers int, s *server, operate func(c *client, worker int) error) load {
	return load{name: name, workers: workers, server: s, begin: at(s, operate)}
}

// at gives each worker a connection to a server.
func at(s *server, operate func(c *client, worker int) error) func(context.Context, int) (worker, error) {
	return func(ctx context.Context, i int) (worker, error) {
		c, err := dial(ctx, s.address)
		if err != nil {
			return worker{}, err
		}
		return worker{operate: func() error { return operate(c, i) }, end: c.close}, nil
	}
}

type tokens struct {
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken"`
}

// refresh moves the client's own family on by one.
func (b *bench) refresh(c *client, i int) error {
	t, err := exchange(c, "/token", `{"refreshToken":"`+b.families[i]+`"}`)
	b.families[i] = t.RefreshToken
	return err
}

func (b *bench) login(c *client, i int) error {
	_, err := logIn(c, i)
	return err
}

func logIn(c *client, user int) (tokens, error) {
	return exchange(c, "/login", credentials(user))
}

func credentials(user int) string {
	return fmt.Sprintf(`{"username":"user%d","password":"%s"}`, user, userPassword)
}

func exchange(c *client, path, body string) (t tokens, err error) {
	text, err := c.post(path, body, http.StatusOK)
	if err != nil {
		return tokens{}, err
	}
	if err := json.Unmarshal(text, &t); err != nil {
		return tokens{}, fmt.Errorf("POST %s: %w", path, err)
	}
	return t, nil
}

// protected is asked of the bare handler too, so that client and request are the same.
func (b *bench) protected(c *client, i int) error {
	_, err := c.get("/protected", b.accessTokens[i])
	return err
}

func (b *bench) verify(c *client, i int) error {
	_, err := c.get("/verify", b.accessTokens[i])
	return err
}

// bareRefresh is the product's own guarded statement, and nothing of what surrounds it: no HTTP, no
// JSON, no token minted, sealed or signed.
func (b *bench) bareRefresh(ctx context.Context, i int) (worker, error) {
	r := &b.rotations[i]
	return worker{end: func() {}, operate: func() (err error) {
		if r.ChildID, err = uuid.NewV7(); err != nil {
			return err
		}
		rand.Read(r.ChildHash[:])
		_, ok, err := b.store.RotateFamily(ctx, *r)
		if err != nil {
			return err
		}
		if !ok {
			return errors.New("the statement found nothing to rotate")
		}
		r.TokenID, r.TokenHash = r.ChildID, r.ChildHash
		return nil
	}}, nil
}

func bareArgon2id(context.Context, int) (worker, error) {
	params, salt := password.DefaultParams(), make([]byte, 16)
	return worker{end: func() {}, operate: func() error {
		argon2.IDKey([]byte(userPassword), salt, params.Iterations, params.MemoryKiB, params.Parallelism, 32)
		return nil
	}}, nil
}
