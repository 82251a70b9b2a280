//go:build proxies

package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// The configurations of docs/forward-auth, with real proxies before a real handler and an application
// that tells what it was sent. `make test-proxies` runs this; it needs nginx and Caddy.
func TestProxies(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T, config string) *exec.Cmd{
		"nginx.conf": func(t *testing.T, config string) *exec.Cmd {
			dir := filepath.Dir(config)
			return exec.Command("nginx", "-e", "stderr", "-p", dir, "-c", config, "-g", "daemon off; pid "+dir+"/nginx.pid;")
		},
		"Caddyfile": func(t *testing.T, config string) *exec.Cmd {
			cmd := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", config)
			cmd.Env = append(os.Environ(), "HOME="+filepath.Dir(config), "CADDY_ADMIN=off")
			return cmd
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			service, api := newAPI(t, db, replicaConfig{url: db.URL(), timeout: 5 * time.Second})
			kindred := httptest.NewServer(api)
			t.Cleanup(kindred.Close)
			application := httptest.NewServer(http.HandlerFunc(tellHeaders))
			t.Cleanup(application.Close)
			p := proxied{url: startProxy(t, name, kindred.URL, application.URL, start)}
			if _, err := service.CreateUser(t.Context(), auth.Caller{}, "Zoë", "password123", "user"); err != nil {
				t.Fatal(err)
			}
			tokens, err := service.Login(t.Context(), auth.Caller{}, auth.LoginRequest{Username: "Zoë", Password: "password123"})
			if err != nil {
				t.Fatal(err)
			}
			p.check(t, db, service, tokens)
		})
	}
}

// tellHeaders is the application: it answers what reached it.
func tellHeaders(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	defer func() { // as applications see headers whose names become variables
		for name, values := range r.Header {
			if strings.Contains(name, "_") {
				fmt.Fprintf(w, " %s=%q", name, values)
			}
		}
	}()
	fmt.Fprintf(w, "%s %s user=%q name=%q role=%q session=%q cookies=%q authorization=%q body=%q", r.Method, r.URL.Path,
		r.Header.Values("X-Auth-User-Id"), r.Header.Values("X-Auth-Username"), r.Header.Values("X-Auth-Role"), r.Header.Values("X-Auth-Session"),
		r.Header.Values("Cookie"), r.Header.Values("Authorization"), body)
}

func startProxy(t *testing.T, name, kindred, application string, start func(*testing.T, string) *exec.Cmd) (address string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/forward-auth/" + name)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	host := func(raw string) string {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return u.Host
	}
	config := strings.NewReplacer("127.0.0.1:8080", address, "127.0.0.1:3000", host(kindred), "127.0.0.1:8000", host(application)).Replace(string(text))
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := start(t, file)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: this test needs the distribution's packages nginx-light and caddy", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return "http://" + address
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", name, err, said.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen\n%s", name, said.String())
		}
	}
}

// proxied is a proxy's address.
type proxied struct{ url string }

func (p proxied) ask(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

func (p proxied) check(t *testing.T, db *testdb.DB, service *auth.Service, tokens auth.Tokens) {
	t.Helper()
	want := func(status int, parts ...string) func(*http.Response, string) {
		return func(response *http.Response, body string) {
			t.Helper()
			if response.StatusCode != status {
				t.Errorf("status %d, want %d: %s", response.StatusCode, status, body)
			}
			for _, part := range parts {
				if !strings.Contains(body, part) {
					t.Errorf("%q is not in %s", part, body)
				}
			}
		}
	}
	bearer := "Bearer " + tokens.AccessToken
	cookie := "__Host-kindred_access=" + tokens.AccessToken

	response, body := p.ask(t, "GET", "/orders", "")
	want(401)(response, body)
	if !strings.Contains(response.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("WWW-Authenticate is %q", response.Header.Get("WWW-Authenticate"))
	}
	want(401)(p.ask(t, "GET", "/orders", "", "Authorization", "Bearer nonsense"))
	want(401)(p.ask(t, "GET", "/orders", "", "X-Auth-User-Id", "me", "X-Auth-Role", "admin"))

	// What the application sees: who it is, once, and no token.
	me := `name=["Zo%C3%AB"] role=["user"]`
	want(200, "GET /orders/7", me, `cookies=[]`, `authorization=[]`)(p.ask(t, "GET", "/orders/7", "", "Authorization", bearer))
	want(200, me, `cookies=["a=1; b=2"]`)(p.ask(t, "GET", "/", "", "Cookie", "a=1; "+cookie+"; b=2"))
	want(200, me, `cookies=["b=2"]`)(p.ask(t, "GET", "/", "", "Cookie", "__Host-kindred_refresh=krt_x; "+cookie+"; b=2"))
	want(200, "POST /orders", me, `body="one more"`)(p.ask(t, "POST", "/orders", "one more", "Cookie", cookie, "Origin", "https://app.example", "Sec-Fetch-Site", "cross-site"))
	_, body = p.ask(t, "GET", "/", "", "Authorization", bearer, "Cookie", cookie+"; "+cookie, "x-auth-role", "admin", "X-Auth-Role", "root", "X-Auth-Session", "mine", "X_Auth_Role", "boss", "X-Auth_User_Id", "chief")
	want(200, me)(&http.Response{StatusCode: 200}, body)
	if strings.Contains(body, "admin") || strings.Contains(body, "root") || strings.Contains(body, "mine") || strings.Contains(body, "boss") || strings.Contains(body, "chief") || strings.Contains(body, tokens.AccessToken) {
		t.Errorf("what came in passes as ours, or a token gets through: %s", body)
	}

	// Kindred's own routes, past the check.
	want(200, "Zoë")(p.ask(t, "GET", "/me", "", "Authorization", bearer))
	want(403, "invalid_refresh_token")(p.ask(t, "POST", "/token", `{"refreshToken":"x"}`, "Content-Type", "application/json"))

	want(200)(p.ask(t, "POST", "/revoke", "token=x", "Content-Type", "application/x-www-form-urlencoded"))
	want(401, "invalid_client")(p.ask(t, "POST", "/introspect", "token=x", "Content-Type", "application/x-www-form-urlencoded"))

	// Trouble is no refusal: nobody is sent to log in because a database is away.
	db.Exec(t, `ALTER TABLE token_families RENAME TO elsewhere`)
	response, body = p.ask(t, "GET", "/", "", "Authorization", bearer)
	want(503)(response, body)
	if response.Header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	db.Exec(t, `ALTER TABLE elsewhere RENAME TO token_families`)
	want(200)(p.ask(t, "GET", "/", "", "Authorization", bearer))

	if err := service.Logout(t.Context(), auth.Caller{}, auth.LogoutRequest{RefreshToken: tokens.RefreshToken}); err != nil {
		t.Fatal(err)
	}
	want(401)(p.ask(t, "GET", "/", "", "Authorization", bearer))
}
