package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

// TestFlows tells the HTTP stories of testdata/flows. Each has a database of its own, two replicas on
// it, and the commands below. Whatever a story is answered, openapi.json must describe it.
//
//	user NAME [PASSWORD [ROLE]]   a user; the password is password123 and the role user unless they are given
//	disable|enable|remove NAME    shuts a user out, lets it in again, deletes it, as an operator does
//	role NAME ROLE                gives a user another role
//	reset_link NAME VARIABLE      makes a reset link and keeps its token
//	max_sessions N                restarts the replicas with that limit of sessions of one user
//	client add ID TYPE [may-introspect]   an OAuth client; its secret is kept in $IDSecret
//	client rotate-secret|disable ID
//	registration closed           restarts the replicas so that nobody can register
//	passwords strict              restarts the replicas with the policy of passwords, which the other stories do without
//	paced_theft revoke            restarts the replicas so that a paced theft ends the family
//	guesses NETWORK OVERALL REGISTRATIONS   restarts the replicas with these limits, each BURST/MINUTE
//	forwarded                     restarts the replicas so that proxies write RFC 7239's header
//	replica N                     talks to replica 1 or 2 from here on
//	browser                       from here on cookies are kept and sent, as a page of our origin does
//	advance DURATION              moves the clock
//	get|delete|options [FLAGS] PATH
//	post [FLAGS] PATH [NAME=VALUE …]   a JSON object of strings
//	form [FLAGS] PATH [NAME=VALUE …]   a form
//	raw [FLAGS] METHOD PATH TYPE BODY  anything; BODY as it stands, \x00 escapes allowed
//	  FLAGS: -bearer TOKEN  -basic ID:SECRET  -header 'NAME: VALUE'  -cookie NAME=VALUE
//	status N                      of the last answer
//	problem N CODE                the last answer is that problem, whole
//	oauth N CODE                  the last answer is that OAuth error
//	json PATH VALUE               a member of the last answer; [! json PATH] is not there
//	body TEXT                     the last answer, to the byte
//	page TEXT                     the last answer is a page with TEXT in it; [! page TEXT] it is not there
//	header NAME VALUE             a header contains VALUE; [! header NAME] is not there
//	save VARIABLE PATH            keeps a member, cookie:NAME or header:NAME
//	same A B, differ A B          two kept values
//	events KIND N [ACTOR]         the audit trail has N of a kind, of an actor
func TestFlows(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/flows",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values[storyKey{}] = newStory(env.T().(testing.TB))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"client": inStory((*story).client), "body": inStory((*story).wantBody),
			"user": inStory((*story).user), "disable": inStory((*story).disable), "registration": inStory((*story).registration),
			"enable": inStory((*story).enable), "remove": inStory((*story).remove), "role": inStory((*story).role),
			"reset_link": inStory((*story).resetLink), "max_sessions": inStory((*story).maxSessions), "page": inStory((*story).page),
			"passwords": inStory((*story).passwords),
			"guesses":   inStory((*story).guesses), "forwarded": inStory((*story).forwarded),
			"paced_theft": inStory((*story).pacedTheft), "replica": inStory((*story).replica), "browser": inStory((*story).browser), "advance": inStory((*story).advance),
			"get": inStory((*story).get), "delete": inStory((*story).delete), "options": inStory((*story).options),
			"post": inStory((*story).post), "form": inStory((*story).form), "raw": inStory((*story).raw),
			"status": inStory((*story).status), "problem": inStory((*story).problem), "oauth": inStory((*story).oauth),
			"json": inStory((*story).json), "header": inStory((*story).header), "save": inStory((*story).save),
			"same": inStory((*story).same), "differ": inStory((*story).differ), "events": inStory((*story).events),
		},
	})
}

type storyKey struct{}

// story is the state of one file.
type story struct {
	t        testing.TB
	db       *testdb.DB
	services []*auth.Service
	servers  []*httptest.Server
	current  int
	jar      map[string]string // nil unless a browser asks
	answer   *http.Response
	body     string
	document document // that describes each answer
}

// in is one command of a story.
type in struct {
	*testscript.TestScript
	negated bool
	args    []string
}

func inStory(do func(*story, in)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, negated bool, args []string) {
		do(ts.Value(storyKey{}).(*story), in{ts, negated, args})
	}
}

func (c in) wantArgs(low, high int) {
	if len(c.args) < low || len(c.args) > high {
		c.Fatalf("this command takes %d to %d arguments", low, high)
	}
}

func newStory(t testing.TB) *story {
	s := &story{t: t, db: testdb.New(t), document: readDocument(t)}
	s.start(replicaConfig{registration: true})
	return s
}

// start makes two replicas on the story's database.
func (s *story) start(config replicaConfig) {
	config.url, config.timeout, config.tlsOnly = s.db.URL(), 5*time.Second, true
	s.services, s.servers = nil, nil
	for range 2 {
		service, api := newAPI(s.t, s.db, config)
		server := httptest.NewServer(api)
		s.t.Cleanup(server.Close)
		s.services, s.servers = append(s.services, service), append(s.servers, server)
	}
}

func (s *story) user(c in) {
	c.wantArgs(1, 3)
	pass, role := "password123", "user"
	if len(c.args) > 1 {
		pass = c.args[1]
	}
	if len(c.args) > 2 {
		role = c.args[2]
	}
	_, err := s.services[0].CreateUser(s.t.Context(), auth.Caller{}, c.args[0], pass, role)
	c.Check(err)
}

func (s *story) disable(c in) {
	c.wantArgs(1, 1)
	c.Check(s.services[0].DisableUser(s.t.Context(), auth.Caller{Actor: "cli"}, c.args[0]))
}

func (s *story) registration(c in) {
	c.wantArgs(1, 1)
	s.start(replicaConfig{registration: c.args[0] == "open"})
}

// passwords: with a list, and with a service that knows of a breach and fails for some.
func (s *story) passwords(c in) {
	c.wantArgs(1, 1)
	s.start(replicaConfig{registration: true, strict: c.args[0] == "strict", breached: func(_ context.Context, password string) (bool, error) {
		if strings.HasPrefix(password, "trouble") {
			return false, errors.New("the service is away")
		}
		return strings.HasPrefix(password, "breached"), nil
	}})
}

func (s *story) pacedTheft(c in) {
	c.wantArgs(1, 1)
	s.start(replicaConfig{pacedTheft: c.args[0] == "revoke"})
}

func (s *story) guesses(c in) {
	c.wantArgs(3, 3)
	var buckets [3]account.Bucket
	for i, text := range c.args {
		_, err := fmt.Sscanf(text, "%d/%d", &buckets[i].Burst, &buckets[i].PerMinute)
		c.Check(err)
	}
	s.start(replicaConfig{registration: true, guesses: auth.GuessLimits{PerNetwork: buckets[0], Overall: buckets[1], Registrations: buckets[2]}})
}

func (s *story) forwarded(c in) {
	c.wantArgs(0, 0)
	s.start(replicaConfig{forwarded: true})
}

func (s *story) replica(c in) {
	c.wantArgs(1, 1)
	n, err := strconv.Atoi(c.args[0])
	if err != nil || n < 1 || n > len(s.servers) {
		c.Fatalf("there is no replica %s", c.args[0])
	}
	s.current = n - 1
}

func (s *story) browser(c in) {
	c.wantArgs(0, 0)
	s.jar = map[string]string{}
}

func (s *story) advance(c in) {
	c.wantArgs(1, 1)
	d, err := time.ParseDuration(c.args[0])
	c.Check(err)
	s.db.Advance(s.t, d)
}

func (s *story) get(c in)     { s.ask(c, http.MethodGet) }
func (s *story) delete(c in)  { s.ask(c, http.MethodDelete) }
func (s *story) options(c in) { s.ask(c, http.MethodOptions) }

func (s *story) ask(c in, method string) {
	flags, rest := c.flags()
	if len(rest) != 1 {
		c.Fatalf("want one path")
	}
	s.send(c, flags, method, rest[0], "", "")
}

func (s *story) post(c in) {
	flags, rest := c.flags()
	if len(rest) == 0 {
		c.Fatalf("want a path")
	}
	object := map[string]string{}
	for _, pair := range rest[1:] {
		name, value, _ := strings.Cut(pair, "=")
		object[name] = value
	}
	if len(rest) == 1 {
		s.send(c, flags, http.MethodPost, rest[0], "", "")
		return
	}
	body, err := json.Marshal(object)
	c.Check(err)
	s.send(c, flags, http.MethodPost, rest[0], "application/json", string(body))
}

func (s *story) form(c in) {
	flags, rest := c.flags()
	if len(rest) == 0 {
		c.Fatalf("want a path")
	}
	s.send(c, flags, http.MethodPost, rest[0], "application/x-www-form-urlencoded", strings.Join(rest[1:], "&"))
}

func (s *story) raw(c in) {
	flags, rest := c.flags()
	if len(rest) != 4 {
		c.Fatalf("want METHOD PATH TYPE BODY")
	}
	body, err := strconv.Unquote("`" + rest[3] + "`")
	c.Check(err)
	if text, found := strings.CutPrefix(rest[3], "bytes:"); found {
		body, err = strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
		c.Check(err)
	}
	if count, found := strings.CutPrefix(rest[3], "zeros:"); found {
		n, err := strconv.Atoi(count)
		c.Check(err)
		body = strings.Repeat("0", n)
	}
	s.send(c, flags, rest[0], rest[1], rest[2], body)
}

// flags takes -name value pairs off the front.
func (c in) flags() (flags [][2]string, rest []string) {
	rest = c.args
	for len(rest) >= 2 && strings.HasPrefix(rest[0], "-") {
		flags = append(flags, [2]string{rest[0], rest[1]})
		rest = rest[2:]
	}
	return flags, rest
}

func (s *story) send(c in, flags [][2]string, method, path, mediaType, body string) {
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.servers[s.current].URL+path, strings.NewReader(body))
	c.Check(err)
	request.Header.Set("User-Agent", "story/1")
	if mediaType != "" && mediaType != "none" {
		request.Header.Set("Content-Type", mediaType)
	}
	if s.jar != nil {
		request.Header.Set("Sec-Fetch-Site", "same-origin")
		for name, value := range s.jar {
			request.AddCookie(&http.Cookie{Name: name, Value: value})
		}
	}
	for _, flag := range flags {
		switch name, value, _ := strings.Cut(flag[1], ":"); flag[0] {
		case "-bearer":
			request.Header.Add("Authorization", "Bearer "+flag[1])
		case "-basic":
			request.Header.Add("Authorization", basic(flag[1]))
		case "-header":
			if strings.EqualFold(name, "Sec-Fetch-Site") || strings.EqualFold(name, "User-Agent") {
				request.Header.Del(name)
			}
			request.Header.Add(name, strings.TrimPrefix(value, " "))
		case "-cookie":
			request.Header.Add("Cookie", flag[1])
		default:
			c.Fatalf("unknown flag %s", flag[0])
		}
	}
	transport := s.servers[s.current].Client().Transport
	s.answer, err = transport.RoundTrip(request) // redirects are not followed
	c.Check(err)
	defer s.answer.Body.Close()
	text, err := io.ReadAll(s.answer.Body)
	c.Check(err)
	s.body = string(text)
	for _, cookie := range s.answer.Cookies() {
		if s.jar != nil && cookie.MaxAge < 0 {
			delete(s.jar, cookie.Name)
		} else if s.jar != nil {
			s.jar[cookie.Name] = cookie.Value
		}
	}
	c.Logf("%s %s → %d %s", method, path, s.answer.StatusCode, s.body)
	s.wantEverywhere(c)
}
