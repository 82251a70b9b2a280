package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"kindred/internal/testdb"
)

// collector takes traces by OTLP over HTTP.
type collector struct {
	url     string
	mu      sync.Mutex
	raw     bytes.Buffer // all bodies
	spans   []*tracepb.Span
	service string
}

func newCollector(t testing.TB) *collector {
	t.Helper()
	c := &collector{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("X-Tenant") != "7" {
			t.Errorf("%s %v: %v", r.URL.Path, r.Header, err)
		}
		c.take(t, body)
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *collector) take(t testing.TB, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(body)
	var data tracepb.TracesData
	if err := proto.Unmarshal(body, &data); err != nil {
		t.Error(err)
	}
	for _, resource := range data.ResourceSpans {
		c.service = attributeOf(resource.Resource.Attributes, "service.name")
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

// environment lets `serve` send all its traces there.
func (c *collector) environment(more ...string) []string {
	return append([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url, "OTEL_EXPORTER_OTLP_HEADERS=x-tenant=7"}, more...)
}

// received is the service that traces came from until now, and all that came, as it came.
func (c *collector) received() (service, raw string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.service, c.raw.String()
}

// named returns the spans of a name.
func (c *collector) named(name string) (list []*tracepb.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, span := range c.spans {
		if span.Name == name {
			list = append(list, span)
		}
	}
	return list
}

func attributeOf(list []*commonpb.KeyValue, key string) string {
	for _, a := range list {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

func TestTracing_OffAddsNothing(t *testing.T) {
	t.Parallel()
	s := replicaBeside(t, serveEnvironment(testdb.New(t).URL(), "OTEL_SERVICE_NAME=kindred"))
	if s.tracing != nil || s.http.Handler != http.Handler(s.api) {
		t.Error("requests are wrapped")
	}
	var off *tracing
	log := slog.New(slog.DiscardHandler)
	if off.statements() != nil || off.logging(log) != log || len(off.observing(s.metrics)) != 1 {
		t.Error("statements, the log or the end of requests are")
	}
}

// The whole story of a thief, with tokens in all the wrong places: requests and statements are seen, and
// none of what is secret is in traces, figures or the log.
func TestTracing_ShowsRequestsAndStatementsAndNoSecret(t *testing.T) {
	t.Parallel()
	db, c := testdb.New(t), newCollector(t)
	addUser(t, db.URL(), "user1")
	s, ops := startWatched(t, serveEnvironment(db.URL(), c.environment("OTEL_SERVICE_NAME=id", "REGISTRATION=open")...))
	login := s.login(t, "user1")
	first, access := login.field(t, "refreshToken"), login.field(t, "accessToken")
	second := s.refresh(t, first).field(t, "refreshToken")
	s.refresh(t, first)
	third := s.refresh(t, second)
	wantStatus(t, s.refresh(t, first), http.StatusForbidden)
	wantStatus(t, s.get(t, "/"+first+"?token="+second, access), http.StatusNotFound)
	wantStatus(t, s.get(t, "/verify/"+first, access), http.StatusUnauthorized)
	wantStatus(t, s.mustPost(t, "/register", `{"username":"user1","password":"`+goodPassword+`"}`), http.StatusConflict)
	wantStatus(t, s.mustPost(t, "/login", `{"username":"user1","password":"`+goodPassword+`"}`), http.StatusBadRequest)
	figures := ops.metrics(t)
	s.terminate(t)
	s.stopped(t)

	service, raw := c.received()
	if service != "id" {
		t.Errorf("service %q", service)
	}
	for name, want := range map[string]int{"POST /login": 2, "POST /token": 4, "GET not found": 1, "GET /verify": 1, "POST /register": 1} {
		if got := len(c.named(name)); got != want {
			t.Errorf("%d spans %s, want %d", got, name, want)
		}
	}
	rotated := c.childOf(t, c.named("POST /token")[0], "UPDATE token_families")
	if attributeOf(rotated.Attributes, "db.system.name") != "postgresql" {
		t.Errorf("span of the rotation: %v", rotated)
	}
	everything := raw + figures + s.logs.String()
	for _, token := range []string{first, second, third.field(t, "refreshToken"), access} {
		hash := sha256.Sum256([]byte(token))
		for _, secret := range []string{token, token[len(token)-40:], string(hash[:]), hex.EncodeToString(hash[:])} {
			if strings.Contains(everything, secret) {
				t.Errorf("a token or its hash is in traces, figures or the log: %q", secret)
			}
		}
	}
	for _, secret := range []string{"password123", goodPassword, jwtSecret, refreshSecret, "$argon2id$v", "krt_", "Go-http-client"} {
		if strings.Contains(raw+figures, secret) || secret != "krt_" && secret != "Go-http-client" && strings.Contains(s.logs.String(), secret) {
			t.Errorf("%s is in traces, figures or the log", secret)
		}
	}
}

// childOf finds a statement's span within a request's.
func (c *collector) childOf(t testing.TB, parent *tracepb.Span, statement string) *tracepb.Span {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, span := range c.spans {
		if bytes.Equal(span.ParentSpanId, parent.SpanId) && strings.Contains(attributeOf(span.Attributes, "db.query.text"), statement) {
			return span
		}
	}
	t.Fatalf("%s has no span of %s", parent.Name, statement)
	return nil
}

// Who is no proxy of ours does not write into a trace of their choice; the log names the one that was made.
func TestTracing_OnlyTrustedProxiesAreFollowed(t *testing.T) {
	t.Parallel()
	const theirs = "0af7651916cd43dd8448eb211c80319c"
	for name, tc := range map[string]struct {
		proxies  string
		followed bool
	}{"a stranger": {"192.0.2.0/24", false}, "a proxy of ours": {"127.0.0.0/8", true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t)
			s := startServing(t, serveEnvironment(testdb.New(t).URL(), c.environment("TRUSTED_PROXIES="+tc.proxies, "LOG_LEVEL=debug")...))
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/livez", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Traceparent", "00-"+theirs+"-b7ad6b7169203331-01")
			request.Header.Set("Tracestate", "of=theirs")
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			s.terminate(t)
			s.stopped(t)
			spans := c.named("GET /livez")
			if len(spans) != 1 {
				t.Fatalf("%d spans", len(spans))
			}
			id := hex.EncodeToString(spans[0].TraceId)
			linked := len(spans[0].Links) == 1 && hex.EncodeToString(spans[0].Links[0].TraceId) == theirs
			if _, raw := c.received(); (id == theirs) != tc.followed || linked == tc.followed || strings.Contains(raw, "of=theirs") {
				t.Errorf("trace %s, linked %v, state %q", id, linked, spans[0].TraceState)
			}
			if logged := loggedRequest(t, s, "/livez"); logged["trace_id"] != id || logged["request_id"] == "" {
				t.Errorf("the log says %v, the span %s", logged, id)
			}
		})
	}
}

// loggedRequest is the line of the log of the first request to a route.
func loggedRequest(t testing.TB, s *serving, route string) (line map[string]any) {
	t.Helper()
	for text := range strings.SplitSeq(s.logs.String(), "\n") {
		if strings.Contains(text, `"msg":"request"`) && strings.Contains(text, `"route":"`+route+`"`) {
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatal(err)
			}
			return line
		}
	}
	t.Fatalf("no request to %s in the log", route)
	return nil
}

// A collector that is away costs no request, and one line of the log.
func TestTracing_CollectorIsAway(t *testing.T) {
	t.Parallel()
	s := startServing(t, serveEnvironment(testdb.New(t).URL(), "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=20"))
	wantStatus(t, s.get(t, "/livez", ""), http.StatusOK)
	s.logs.await(t, `("msg":"traces are lost")`)
	for range 20 {
		wantStatus(t, s.get(t, "/livez", ""), http.StatusOK)
	}
	s.terminate(t)
	s.stopped(t)
	if n := strings.Count(s.logs.String(), "traces are lost"); n != 1 {
		t.Errorf("the log says so %d times", n)
	}
}

func TestTracing_SettingsThatItCannotFollow(t *testing.T) {
	t.Parallel()
	_, stderr, code := run(t, "", serveEnvironment(testdb.New(t).URL(), "OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"), "serve")
	if code == 0 || !strings.Contains(stderr, "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
