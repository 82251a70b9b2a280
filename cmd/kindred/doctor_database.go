package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"kindred/internal/store"
	"kindred/migrations"
)

// reach tells whether the database answers.
func (e *examination) reach(ctx context.Context) bool {
	server, err := e.store.Examine(ctx)
	if err != nil {
		what := "it does not answer"
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			what = "it refuses: " + refused.Message
		}
		e.say("database", levelProblem, what, "look at DATABASE_URL, the network, PostgreSQL's log and pg_hba.conf")
		return false
	}
	e.server = server
	switch {
	case server.VersionNumber < migrations.MinServerVersion:
		e.say("database", levelProblem, "PostgreSQL "+server.Version+" is too old", fmt.Sprintf("upgrade it to %d or newer", migrations.MinServerVersion/10000))
	case server.Standby:
		e.say("database", levelProblem, "it is a standby: nothing can be written", "DATABASE_URL must lead to the primary; with several hosts in it add target_session_attrs=read-write")
	case server.ReadOnly:
		e.say("database", levelProblem, "it is read-only", "look at default_transaction_read_only of the role, the database and the server, and whether the disk is full")
	default:
		e.say("database", levelOK, "PostgreSQL "+server.Version+" takes writes", "")
	}
	if server.Distant && !server.Encrypted && !e.unverified {
		e.say("database tls", levelWarning, "the connection from another machine is not encrypted", "add sslmode=verify-full to DATABASE_URL")
	}
	return true
}

func (e *examination) role(ctx context.Context) {
	lacking, err := e.store.LackingGrants(ctx)
	switch {
	case err != nil:
		e.trouble("grants", err)
	case len(lacking) > 0:
		e.say("grants", levelProblem, "role "+e.server.Role+" lacks "+strings.Join(lacking, ", "), "grant them, as the owner of the tables")
	default:
		e.say("grants", levelOK, "role "+e.server.Role+" may do what serving needs", "")
	}
	const own = "serve as a role of its own that has only the grants, and migrate as the owner"
	switch {
	case e.server.Superuser:
		e.say("role", levelWarning, "role "+e.server.Role+" is a superuser", own)
	case e.server.Owner:
		e.say("role", levelWarning, "role "+e.server.Role+" owns the tables, and could change the audit trail", own)
	}
}

// durability looks at what a crash, or the loss of a server, would cost.
func (e *examination) durability() {
	var unsafe []string
	if !e.server.Fsync {
		unsafe = append(unsafe, "fsync is off")
	}
	if !e.server.FullPages {
		unsafe = append(unsafe, "full_page_writes is off")
	}
	switch {
	case len(unsafe) > 0:
		e.say("durability", levelProblem, strings.Join(unsafe, ", ")+": a crash of the machine destroys the database", "turn on what is off")
	case e.server.SynchronousCommit == "off":
		e.say("durability", levelProblem, "synchronous_commit is off: a crash forgets acknowledged logouts", "turn it on")
	case e.server.SynchronousStandbys == "":
		e.say("durability", levelNote, "no standby is synchronous: a failover can forget acknowledged logouts of its last moment", "docs/operations.md, a failover, says what to weigh")
	default:
		e.say("durability", levelOK, "each commit is on disk and with a standby", "")
	}
}

func (e *examination) sessions(ctx context.Context) {
	loose, err := e.store.LooseSettings(ctx)
	switch {
	case err != nil:
		e.trouble("sessions", err)
	case len(loose) > 0:
		e.say("sessions", levelProblem, strings.Join(loose, "; "), "docs/operations.md, PgBouncer, has the statements for the role")
	default:
		e.say("sessions", levelOK, "waits for locks and statements are bounded", "")
	}
}

// clock: tokens carry the database's time, and this machine checks them by its own.
func (e *examination) clock(ctx context.Context) {
	const good, leeway, precision = 5 * time.Second, time.Minute, 100 * time.Microsecond
	offset, roundTrip, err := e.store.ClockOffset(ctx)
	what := fmt.Sprintf("the database's clock is %s ahead of this machine's, give or take %s", offset.Round(precision), (roundTrip / 2).Round(precision))
	switch {
	case err != nil:
		e.trouble("clock", err)
	case offset.Abs() >= leeway:
		e.say("clock", levelProblem, what+": beyond the minute that tokens are given", "have both set their clocks by NTP")
	case offset.Abs() >= good:
		e.say("clock", levelWarning, what, "have both set their clocks by NTP")
	default:
		e.say("clock", levelOK, what, "")
	}
}

// schema tells whether there is one to look further into.
func (e *examination) schema(ctx context.Context) bool {
	err := e.store.CheckReady(ctx)
	var schema *store.SchemaError
	switch {
	case errors.As(err, &schema):
		e.say("schema", levelProblem, schema.Error(), "")
		return false
	case err != nil && !e.server.ReadOnly:
		e.trouble("schema", err)
		return false
	}
	e.say("schema", levelOK, fmt.Sprintf("is at version %d or newer, as this binary needs", migrations.Latest()), "")
	return true
}

func (e *examination) installation(ctx context.Context) {
	there, err := e.store.Installation(ctx)
	if err == nil {
		err = there.Trouble()
	}
	var elsewhere *store.InstallationError
	switch {
	case errors.As(err, &elsewhere):
		e.say("installation", levelProblem, elsewhere.Error(), "")
	case err != nil:
		e.trouble("installation", err)
	case !there.Readable:
		e.say("installation", levelNote, "this server does not tell its system identifier: a backup that is restored into a database of the same number is not noticed",
			"after each restore run `kindred restore-guard` by yourself")
	default:
		e.say("installation", levelOK, "the database stands where it was recorded", "")
	}
}

func (e *examination) partitions(ctx context.Context, lifetime time.Duration) {
	const week = 7 * 24 * time.Hour
	tokens, events, today, err := e.store.PartitionsUntil(ctx)
	if err != nil {
		e.trouble("partitions", err)
		return
	}
	ahead := min(tokens.Sub(today)-lifetime, events.Sub(today))
	what := fmt.Sprintf("there are partitions for %d weeks more than is needed", ahead/week)
	const do = "a server makes them each hour: look at its log for `maintenance failed`; `kindred purge` makes them too"
	switch {
	case ahead < 0:
		e.say("partitions", levelProblem, "partitions are missing: logins have to make them", do)
	case ahead < 4*week:
		e.say("partitions", levelWarning, what, do)
	default:
		e.say("partitions", levelOK, what, "")
	}
}
