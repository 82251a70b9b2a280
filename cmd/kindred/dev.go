package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/config"
	"kindred/internal/devdb"
	"kindred/migrations"
)

// The tutorial's user. Its password is known to everybody, which is why dev refuses databases that
// it did not mark as its own.
const devUser, devPassword, devAdmin = "user1", "password123", "admin1"

func newDev(p process) *cobra.Command {
	var fresh, overTLS bool
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Serve on this machine with a PostgreSQL of its own, users and all",
		Long: "Finds or starts a PostgreSQL, migrates it, makes users and serves on http://localhost:3000.\n" +
			"What it keeps lies in .kindred/ of the working directory. DATABASE_URL of the environment is\n" +
			"used if that database is empty or was made by dev before; .env never names dev's database.\n" +
			"With --tls it makes a certificate for localhost, of an authority of its own in .kindred/tls, and\n" +
			"serves on https://localhost:3000. It installs that authority nowhere.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return dev(cmd.Context(), p, fresh, overTLS) },
	}
	cmd.Flags().BoolVar(&fresh, "fresh", false, "begin with an empty database and new secrets")
	cmd.Flags().BoolVar(&overTLS, "tls", false, "serve https, with a certificate of its own")
	return cmd
}

func dev(ctx context.Context, p process, fresh, overTLS bool) (err error) {
	say := func(line string) { fmt.Fprintln(p.stderr, "kindred dev:", line) }
	db, err := devdb.Start(ctx, devdb.Options{Dir: p.dir, DatabaseURL: p.variable("DATABASE_URL"), Fresh: fresh, Log: say})
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, db.Stop(stopping))
	}()
	var certificate devCertificate
	if overTLS {
		if certificate, err = keepDevCertificate(p.dir, time.Now()); err != nil {
			return err
		}
	}
	cfg, err := devConfig(p, db.URL(), certificate)
	if err != nil {
		return err
	}
	for _, warning := range cfg.Warnings {
		say("warning: " + warning)
	}
	if err := migrations.Up(ctx, db.URL(), say, say); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
	adminPassword, err := devdb.Secret(p.dir, "admin1_password")
	if err != nil {
		return err
	}
	if err := devUsers(ctx, cfg, adminPassword); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-db.Done():
			cancel(errors.New("PostgreSQL ended by itself"))
		case <-ctx.Done():
		}
	}()
	err = serve(ctx, devOps(ctx, cfg, say), log, func(address string) {
		fmt.Fprint(p.stdout, banner(certificate, address, db.Where(), adminPassword))
	})
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// devConfig reads the settings as serve does, with defaults for a developer's machine beneath them.
func devConfig(p process, databaseURL string, certificate devCertificate) (_ config.Config, err error) {
	defaults := map[string]string{"REGISTRATION": "open", "DRAIN_DELAY": "0"}
	for _, name := range []string{"JWT_SECRET", "JWT_REFRESH_SECRET"} {
		secret, err := devdb.Secret(p.dir, strings.ToLower(name))
		if err != nil {
			return config.Config{}, err
		}
		defaults[name] = secret
	}
	if defaults["KEY_ENCRYPTION_KEY"], err = devKeyEncryptionKey(p.dir); err != nil {
		return config.Config{}, err
	}
	source := p.settings()
	// Of .env the port counts and not the addresses: that file is serve's too, and dev has a password that
	// everybody knows.
	source.Fixed = map[string]string{
		"DATABASE_URL": databaseURL, "LISTEN_ADDR": p.variable("LISTEN_ADDR"), "OPS_ADDR": cmp.Or(p.variable("OPS_ADDR"), devOpsAddr),
		"TLS_CERT_FILE": certificate.cert, "TLS_KEY_FILE": certificate.key,
	}
	source.Defaults, source.WarnWeakSecrets = defaults, true
	return config.Load(source)
}

// devKeyEncryptionKey spells a secret of dev's, of 32 bytes too, as the setting wants it.
func devKeyEncryptionKey(dir string) (string, error) {
	secret, err := devdb.Secret(dir, "key_encryption_key")
	if err != nil {
		return "", err
	}
	key, err := base64.RawURLEncoding.DecodeString(secret)
	return base64.StdEncoding.EncodeToString(key), err
}

// devUsers makes the two users where they do not stand yet. Theirs are the only passwords that no policy is
// asked about: the tutorial's is one of the worst there are.
func devUsers(ctx context.Context, cfg config.Config, adminPassword string) error {
	cfg.Traces = config.Traces{}
	s, err := newServer(cfg, slog.New(slog.DiscardHandler), anyPassword)
	if err != nil {
		return err
	}
	defer s.store.Close()
	for _, user := range []struct{ name, password, role string }{
		{devUser, devPassword, account.RoleUser},
		{devAdmin, adminPassword, account.RoleAdmin},
	} {
		_, err := s.service.CreateUser(ctx, auth.Caller{Actor: "dev"}, user.name, user.password, user.role)
		if err != nil && !errors.Is(err, auth.ErrUsernameTaken) {
			return fmt.Errorf("make user %s: %w", user.name, err)
		}
	}
	return nil
}

// variable is the value of a variable of the real environment.
func (p process) variable(name string) string {
	for _, entry := range p.environ {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}

func banner(certificate devCertificate, address, where, adminPassword string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		port = address // cannot be: a listener has said so
	}
	url := "http://localhost:" + port
	if certificate != (devCertificate{}) {
		url = "https://localhost:" + port
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nKindred %s is serving on %s (listening on %s)\n", version, url, address)
	fmt.Fprintf(&b, "  PostgreSQL  %s\n", where)
	fmt.Fprintf(&b, "  users       %s / %s, %s / %s (role admin)\n", devUser, devPassword, devAdmin, adminPassword)
	fmt.Fprintf(&b, "              %s's password is the one exception to the password policy, which would refuse it\n", devUser)
	if certificate != (devCertificate{}) {
		fmt.Fprintf(&b, "  authority   %s\n", certificate.authority)
		fmt.Fprintf(&b, "              signs this certificate and can for localhost only; a browser trusts it once you import it there\n")
	}
	fmt.Fprintf(&b, "\nA first session, to paste into another terminal:\n\n%s\n", session(url, certificate.authority))
	fmt.Fprintf(&b, "Ctrl-C ends it all; `%s dev --fresh` begins anew.\n\n", os.Args[0])
	return b.String()
}

// session is a shell script: log in, use the token, refresh, then what a thief with a copy brings about. Over TLS
// curl is told which authority to believe.
func session(url, authority string) string {
	script := strings.ReplaceAll(sessionScript, "URL", url)
	if authority == "" {
		return script
	}
	quoted := "'" + strings.ReplaceAll(authority, "'", `'\''`) + "'"
	script = strings.ReplaceAll(script, "curl -s ", `curl -s --cacert "$ca" `)
	return strings.Replace(script, "\n", "\n  ca="+quoted+"\n", 1)
}

const sessionScript = `  json='Content-Type: application/json'
  token() { sed 's/.*"'$1'":"\([^"]*\)".*/\1/'; }

  # log in: an access token for an hour, a refresh token for a day
  login=$(curl -s URL/login -H "$json" -d '{"username":"user1","password":"password123"}'); echo "$login"
  first=$(echo "$login" | token refreshToken)
  curl -s URL/protected -H "Authorization: Bearer $(echo "$login" | token accessToken)"; echo

  # refresh: the token is exchanged for the next one; asked again at once, as by a second tab, it gives the same
  second=$(curl -s URL/token -H "$json" -d '{"refreshToken":"'$first'"}' | token refreshToken)
  again=$(curl -s URL/token -H "$json" -d '{"refreshToken":"'$first'"}' | token refreshToken)
  [ "$second" = "$again" ] && echo "two tabs, one session"

  # the session goes on ...
  third=$(curl -s URL/token -H "$json" -d '{"refreshToken":"'$second'"}')

  # ... and now somebody presents a copy of the first token: refused, and the whole family ends with it
  curl -s URL/token -H "$json" -d '{"refreshToken":"'$first'"}'; echo
  curl -s URL/token -H "$json" -d '{"refreshToken":"'$(echo "$third" | token refreshToken)'"}'; echo
  curl -s URL/protected -H "Authorization: Bearer $(echo "$third" | token accessToken)"; echo
`
