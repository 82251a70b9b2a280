//go:build clients

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"kindred/internal/testdb"
)

// strangers are two replicas of one issuer, and who asks them: the environment of testdata/clients.
type strangers struct {
	environ []string
	secret  string // of shop, confidential; phone is public
}

// newStrangers lets users log in at the one replica and sends the libraries to the other.
func newStrangers(t *testing.T, algorithm string) *strangers {
	t.Helper()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	cli := []string{"DATABASE_URL=" + db.URL()}
	secret, stderr, code := run(t, "", cli, "client", "add", "shop", "--type", "confidential", "--may-introspect")
	if code != 0 {
		t.Fatalf("client add: %s", stderr)
	}
	secret = strings.TrimSpace(secret)
	if _, stderr, code := run(t, "", cli, "client", "add", "phone", "--type", "public"); code != 0 {
		t.Fatalf("client add: %s", stderr)
	}
	const audience = "https://api.example"
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	// Without a reuse interval a used token is reuse at once.
	environ := serveEnvironment(db.URL(), keyEncryptionKey, "SIGNING_ALGORITHM="+algorithm,
		"PUBLIC_URL=http://"+address, "AUDIENCE="+audience, "REFRESH_REUSE_INTERVAL=0")
	issuer, beside := startServing(t, append(environ, "LISTEN_ADDR="+address)), startServing(t, environ)
	issuer.awaitPublished(t, keyOf(t, beside.login(t, "user1")))
	return &strangers{secret: secret, environ: []string{
		"PATH=" + os.Getenv("PATH"), "ISSUER=" + issuer.url, "LOGIN_URL=" + beside.url + "/login",
		"AUDIENCE=" + audience, "ALGORITHM=" + algorithm,
		"RESOURCE_SERVER_ID=shop", "RESOURCE_SERVER_SECRET=" + secret,
	}}
}

// run runs a script of testdata/clients, which ends with an error where something is not as it should be.
func (s *strangers) run(t *testing.T, script, clientID, clientSecret string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Dir = "../../testdata/clients"
	cmd.Env = append([]string{"CLIENT_ID=" + clientID, "CLIENT_SECRET=" + clientSecret}, s.environ...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("%s as %s: %v", script, clientID, err)
	}
}

func TestClients_NodeLibrariesDiscoverRefreshIntrospectRevoke(t *testing.T) {
	t.Parallel()
	s := newStrangers(t, "ES256")
	for _, script := range []string{"oauth4webapi.js", "openid-client.js"} {
		t.Run(script, func(t *testing.T) {
			s.run(t, script, "shop", s.secret)
			s.run(t, script, "phone", "")
		})
	}
}

func TestClients_JoseVerifiesAccessTokens(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"ES256", "EdDSA", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			newStrangers(t, algorithm).run(t, "jose.js", "phone", "")
		})
	}
}
