package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kindred/internal/auth"
)

// serverOf runs a handler of the test behind everything that wraps the real ones.
func serverOf(t *testing.T, timeout time.Duration, log io.Writer, handle handler) *httptest.Server {
	t.Helper()
	a := &API{config: Config{
		PublicURL: "https://id.example", RequestTimeout: timeout, Log: slog.New(slog.NewJSONHandler(log, nil)),
		Proxies: Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}}
	server := httptest.NewServer(a.observe(a.crossOrigin(a.at("/test", handle))))
	t.Cleanup(server.Close)
	return server
}

func TestObserve_DeadlineEndsOneRequestAndNotItsConnection(t *testing.T) {
	t.Parallel()
	var connections sync.Map
	server := serverOf(t, 100*time.Millisecond, io.Discard, func(w http.ResponseWriter, r *http.Request) error {
		connections.Store(r.RemoteAddr, true)
		if _, err := readBody(w, r); err != nil {
			return err
		}
		if r.URL.Path == "/slow" {
			// As a statement does whose cancellation takes a moment longer than the deadline.
			late, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 200*time.Millisecond)
			defer cancel()
			<-late.Done()
			return r.Context().Err()
		}
		if err := r.Context().Err(); err != nil {
			t.Errorf("a request begins with %v", err)
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	for range 3 {
		for path, want := range map[string]int{"/slow": http.StatusServiceUnavailable, "/quick": http.StatusNoContent} {
			// Without a body the server listens for the client's hanging up from the start.
			response, err := server.Client().Post(server.URL+path, "text/plain", nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%s: status %d, want %d", path, response.StatusCode, want)
			}
			if want == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
		}
	}
	count := 0
	connections.Range(func(any, any) bool { count++; return true })
	if count != 1 {
		t.Errorf("%d connections: the test shows nothing", count)
	}
}

func TestReadBody_ThatTricklesInIsCutOff(t *testing.T) {
	t.Parallel()
	server := serverOf(t, 100*time.Millisecond, io.Discard, func(w http.ResponseWriter, r *http.Request) error {
		_, err := readBody(w, r)
		return err
	})
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), "408 Request Timeout") || !strings.Contains(string(answer), `"request_timeout"`) {
		t.Errorf("answer %q, error %v", answer, err)
	}
}

func TestObserve_PanicIsAnAnswerAndALogLine(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	server := serverOf(t, time.Second, &log, func(http.ResponseWriter, *http.Request) error { panic("krt_secret") })
	response, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != http.StatusInternalServerError || !strings.Contains(string(body), `"code":"internal_error"`) {
		t.Errorf("%d %s %v", response.StatusCode, body, err)
	}
	if response.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error("no security headers")
	}
	server.Close() // waits for the log line
	if strings.Contains(log.String()+string(body), "krt_secret") || !strings.Contains(log.String(), `"stack":`) {
		t.Errorf("log: %s", log.String())
	}
}

func TestObserve_LogLineIsOneLineAndNamesTheRouteOnly(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	server := serverOf(t, time.Second, &log, func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL+"/krt_inpath%0a?token=krt_inquery", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer secret1", "Cookie": "__Host-kindred_refresh=secret2", "User-Agent": "secret3/1",
		"X-Request-Id": "a\tb", "X-Forwarded-For": "203.0.113.9",
	} {
		request.Header.Set(name, value)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	server.Close()
	text := log.String()
	if strings.Count(text, "\n") != 1 {
		t.Errorf("not one line: %q", text)
	}
	for _, secret := range []string{"krt_", "secret1", "secret2", "secret3", `a\tb`} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the log: %s", secret, text)
		}
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatal(err)
	}
	if line["route"] != "/test" || line["status"] != 204.0 || line["method"] != "GET" || line["address"] != "203.0.113.9" || line["request_id"] == "" {
		t.Errorf("log line %v", line)
	}
}

// syncBuffer is written by the server and read by the test.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func TestObserve_FullHashingQueueIsNoErrorOfTheServer(t *testing.T) {
	t.Parallel()
	for err, level := range map[error]string{auth.ErrBusy: "WARN", auth.ErrUnavailable: "ERROR"} {
		var log syncBuffer
		server := serverOf(t, time.Second, &log, func(http.ResponseWriter, *http.Request) error { return err })
		response, askErr := server.Client().Get(server.URL)
		if askErr != nil {
			t.Fatal(askErr)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
			t.Errorf("%v: %d %v", err, response.StatusCode, response.Header)
		}
		server.Close() // waits for the log line
		if !strings.Contains(log.String(), `"level":"`+level+`"`) {
			t.Errorf("%v: log %s", err, log.String())
		}
	}
}

func TestObserve_ChecksThatAreAnsweredYesAreNoNews(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seen observed
		want slog.Level
	}{
		{observed{route: livePath, status: http.StatusOK}, slog.LevelDebug},
		{observed{route: readyPath, status: http.StatusOK}, slog.LevelDebug},
		{observed{route: "/token", status: http.StatusOK}, slog.LevelInfo},
		{observed{route: readyPath, status: http.StatusNotFound}, slog.LevelInfo},
		{observed{route: readyPath, status: http.StatusServiceUnavailable, err: errNotReady}, slog.LevelInfo}, // it was told to leave
		{observed{route: readyPath, status: http.StatusServiceUnavailable, err: &auth.NotReadyError{Reason: "x"}}, slog.LevelError},
		{observed{route: readyPath, status: http.StatusServiceUnavailable, err: auth.ErrUnavailable}, slog.LevelError},
	} {
		if got := levelOf(&c.seen); got != c.want {
			t.Errorf("%+v: %v, want %v", c.seen, got, c.want)
		}
	}
	var log bytes.Buffer
	a := New(Config{PublicURL: "https://id.example", RequestTimeout: time.Minute, Log: slog.New(slog.NewJSONHandler(&log, nil))}, nil)
	ask := func(path string) { a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)) }
	ask(livePath)
	if log.Len() != 0 {
		t.Errorf("a balancer that is content fills the log: %s", &log)
	}
	a.Drain()
	ask(readyPath)
	if !strings.Contains(log.String(), `"level":"INFO","msg":"request","method":"GET","route":"/readyz","status":503`) {
		t.Errorf("the log of a server that leaves: %s", &log)
	}
}
