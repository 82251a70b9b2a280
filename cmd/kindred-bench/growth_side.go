package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// side is one of the two databases, and the server on it.
type side struct {
	name     string
	url      string
	postgres *pgx.Conn
	server   *server
	users    int
	living   *population // to be refreshed
	crowds   *population // of the users with many, one for each round
	admin    string      // an admin's access token
}

func (s *side) signIn(ctx context.Context) error {
	c, err := dial(ctx, s.server.address)
	if err != nil {
		return err
	}
	defer c.close()
	t, err := exchange(c, "/login", fmt.Sprintf(`{"username":%q,"password":%q}`, adminName, userPassword))
	s.admin = t.AccessToken
	return err
}

// chains are 64 families or fewer, each refreshed by one client again and again.
func (s *side) chains(name string, workers int) load {
	return s.refreshes(name, workers, func(worker int) int { return worker })
}

// spreadOut picks another of all families each time. Each client has its own, so that none is refreshed twice
// at once.
func (s *side) spreadOut(name string, workers int) load {
	return s.refreshes(name, workers, func(worker int) int {
		return worker + clients*rand.IntN((s.living.count-worker+clients-1)/clients)
	})
}

func (s *side) refreshes(name string, workers int, pick func(worker int) int) load {
	return requests(name, workers, s.server, func(c *client, worker int) error {
		return refreshOf(c, s.living, pick(worker))
	})
}

// refreshOf moves a family on by one.
func refreshOf(c *client, p *population, i int) error {
	t, err := exchange(c, "/token", `{"refreshToken":"`+string(p.current[i][:])+`"}`)
	if err == nil {
		copy(p.current[i][:], t.RefreshToken)
	}
	return err
}

func (s *side) logins(name string, workers int) load {
	return requests(name, workers, s.server, func(c *client, _ int) error {
		_, err := logIn(c, rand.IntN(s.users))
		return err
	})
}

func (s *side) lineages(name string, workers int) load {
	return requests(name, workers, s.server, func(c *client, _ int) error {
		_, err := c.get("/admin/families/"+s.living.family(rand.IntN(s.living.count)).id.String(), s.admin)
		return err
	})
}

// listings are of the sessions of a round's user with many, who has to be signed in.
func (s *side) listings(name, accessToken string) load {
	return requests(name, 1, s.server, func(c *client, _ int) error {
		_, err := c.get("/sessions", accessToken)
		return err
	})
}

// signInCrowd refreshes one of the sessions of a round's user with many.
func (s *side) signInCrowd(ctx context.Context, round int) (accessToken string, err error) {
	c, err := dial(ctx, s.server.address)
	if err != nil {
		return "", err
	}
	defer c.close()
	t, err := exchange(c, "/token", `{"refreshToken":"`+string(s.crowds.current[round][:])+`"}`)
	return t.AccessToken, err
}

// revokeAll ends all sessions of a user, and looks whether they ended.
func (s *side) revokeAll(ctx context.Context, round, sessions int, accessToken string) (time.Duration, error) {
	c, err := dial(ctx, s.server.address)
	if err != nil {
		return 0, err
	}
	defer c.close()
	began := time.Now()
	if _, err := c.do("DELETE", "/sessions", "Authorization: Bearer "+accessToken+"\r\n", "", http.StatusNoContent); err != nil {
		return 0, err
	}
	took := time.Since(began)
	const statement = `SELECT count(*) FROM token_families WHERE user_id = $1 AND revoked_at IS NOT NULL`
	var ended int
	if err := s.postgres.QueryRow(ctx, statement, s.crowds.userOf(round)).Scan(&ended); err != nil {
		return 0, fmt.Errorf("count ended families: %w", err)
	}
	if ended != sessions {
		return 0, fmt.Errorf("DELETE /sessions ended %d of %d families", ended, sessions)
	}
	return took, nil
}

// clock is PostgreSQL's.
func (s *side) clock(ctx context.Context) (now time.Time, err error) {
	if err := s.postgres.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return time.Time{}, fmt.Errorf("read clock: %w", err)
	}
	return now, nil
}

// command runs one of kindred's on this database and says how long it took, the start of the process included.
func (s *side) command(ctx context.Context, program string, args ...string) (stdout []byte, took time.Duration, err error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"DATABASE_URL=" + s.url}
	began := time.Now()
	stdout, err = cmd.Output()
	took = time.Since(began)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return nil, 0, fmt.Errorf("kindred %s: %w: %s%s", args[0], err, stdout, exit.Stderr)
	case err != nil:
		return nil, 0, fmt.Errorf("kindred %s: %w", args[0], err)
	}
	return stdout, took, nil
}

// explain says how long `kindred explain` of a family takes, the median of a few.
func (s *side) explain(ctx context.Context, program string) (time.Duration, error) {
	const times = 5
	var list []time.Duration
	for range times {
		id := s.living.family(rand.IntN(s.living.count)).id.String()
		stdout, took, err := s.command(ctx, program, "explain", "--json", id)
		if err != nil {
			return 0, err
		}
		if !json.Valid(stdout) {
			return 0, fmt.Errorf("kindred explain printed %q", stdout)
		}
		list = append(list, took)
	}
	slices.Sort(list)
	return list[times/2], nil
}
