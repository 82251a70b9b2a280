package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kindred/internal/testdb"
)

// A dashboard and alerts that ask for what is not there show nothing and warn of nothing: each metric, label and
// value of a label that they name is one of a running server's.
func TestWatching_DashboardAndAlertsAskForWhatIsThere(t *testing.T) {
	t.Parallel()
	there := scrapedAfterTraffic(t)
	asked := append(dashboardQueries(t), alertLines(t, "expr")...)
	if len(asked) < 40 {
		t.Errorf("only %d queries were found", len(asked))
	}
	for _, query := range asked {
		for _, problem := range there.problems(query) {
			t.Errorf("%s\n\t%s", query, problem)
		}
	}
	for query, want := range map[string]string{
		`rate(kindred_nothing_total[5m])`:                                         "no metric kindred_nothing_total",
		`kindred_refreshes_total{reason="rotated"}`:                               "kindred_refreshes_total has no label reason",
		`kindred_refreshes_total{verdict=~"rotated|rotten"}`:                      "kindred_refreshes_total has no verdict rotten",
		`sum by (le, rout) (kindred_http_request_duration_seconds_bucket)`:        "no metric of it has a label rout",
		`histogram_quantile(0.9, kindred_rotation_group_size{instance=~"$inst"})`: "no metric kindred_rotation_group_size",
	} {
		if problems := there.problems(query); !slices.Contains(problems, want) {
			t.Errorf("of %s the test finds %q, want %q", query, problems, want)
		}
	}
}

// Whoever is woken at night finds the place that helps.
func TestWatching_EachAlertLeadsToARunbook(t *testing.T) {
	t.Parallel()
	names, runbooks := alertLines(t, "- alert"), alertLines(t, "runbook")
	if len(names) < 10 || len(names) != len(runbooks) || len(names) != len(alertLines(t, "summary")) {
		t.Fatalf("%d alerts, %d runbooks", len(names), len(runbooks))
	}
	for i, runbook := range runbooks {
		file, anchor, _ := strings.Cut(runbook, "#")
		text, err := os.ReadFile(filepath.Join("..", "..", file))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(anchors(string(text)), anchor) {
			t.Errorf("%s: %s has no section #%s", names[i], file, anchor)
		}
		if !strings.Contains(string(text), "`"+names[i]+"`") {
			t.Errorf("%s does not speak of %s", file, names[i])
		}
	}
}

// anchors are those of the headings, as GitHub makes them.
func anchors(markdown string) (list []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(markdown, -1) {
		kept := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		list = append(list, strings.ReplaceAll(kept, " ", "-"))
	}
	return list
}

// alertLines are the values of a key in the file of alerts, which has each on a line.
func alertLines(t testing.TB, key string) (list []string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^\s+`+key+`: (.+)$`).FindAllStringSubmatch(string(text), -1) {
		list = append(list, match[1])
	}
	return list
}

func dashboardQueries(t testing.TB) (list []string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/grafana/kindred.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			list = append(list, target.Expr)
		}
	}
	return list
}

// scraped are the values of each label of each metric.
type scraped map[string]map[string][]string

// scrapedAfterTraffic is what a server says that has seen a little of everything.
func scrapedAfterTraffic(t testing.TB) scraped {
	t.Helper()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	if _, err := db.Conn(t).Exec(t.Context(), `ANALYZE token_families`); err != nil {
		t.Fatal(err)
	}
	key := "KEY_ENCRYPTION_KEY=" + base64.StdEncoding.EncodeToString([]byte(jwtSecret))
	s, ops := startWatched(t, serveEnvironment(db.URL(), key))
	login := s.login(t, "user1")
	s.refresh(t, login.field(t, "refreshToken"))
	for _, path := range []string{"/protected", "/verify", "/livez", "/readyz"} {
		wantStatus(t, s.get(t, path, login.field(t, "accessToken")), http.StatusOK)
	}
	s.mustPost(t, "/introspect", "")
	if stdout, stderr, code := run(t, "", []string{"DATABASE_URL=" + db.URL(), key}, "keys", "rotate"); code != 0 {
		t.Fatalf("keys rotate: %s%s", stdout, stderr)
	}
	ops.awaitMetric(t, "kindred_families_alive ")
	ops.awaitMetric(t, "kindred_signing_key_next_seconds ")
	there := scraped{}
	sample := regexp.MustCompile(`(?m)^([a-z_]+)(?:\{(.*)\})? \S+$`)
	for _, match := range sample.FindAllStringSubmatch(ops.metrics(t), -1) {
		if there[match[1]] == nil {
			there[match[1]] = map[string][]string{}
		}
		for _, label := range labelPattern.FindAllStringSubmatch(match[2], -1) {
			there[match[1]][label[1]] = append(there[match[1]][label[1]], label[3])
		}
	}
	there["up"] = map[string][]string{"job": {"kindred"}} // Prometheus' own
	return there
}

// labelPattern is a label, how it is compared, and its value.
var labelPattern = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)

// problems tells what a query asks for in vain.
func (there scraped) problems(query string) (list []string) {
	var names []string
	rest := regexp.MustCompile(`([a-z_]+)\{([^}]*)\}`).ReplaceAllStringFunc(query, func(selector string) string {
		name, labels, _ := strings.Cut(selector, "{")
		names = append(names, name)
		list = append(list, there.selectorProblems(name, labels)...)
		return ""
	})
	var grouped []string
	rest = regexp.MustCompile(`\b(by|without|on|ignoring) \(([^)]*)\)`).ReplaceAllStringFunc(rest, func(group string) string {
		grouped = append(grouped, regexp.MustCompile(`[a-z_]+`).FindAllString(strings.SplitN(group, "(", 2)[1], -1)...)
		return ""
	})
	rest = regexp.MustCompile(`\[[^\]]*\]`).ReplaceAllString(rest, "")
	for _, word := range regexp.MustCompile(`[a-z_]+ *\(?`).FindAllString(rest, -1) {
		if word = strings.TrimSpace(word); !strings.HasSuffix(word, "(") && !slices.Contains([]string{"and", "or", "unless", "on"}, word) {
			names = append(names, word)
			list = append(list, there.selectorProblems(word, "")...)
		}
	}
	for _, label := range grouped {
		if !slices.ContainsFunc(names, func(name string) bool { return there[name][label] != nil || isPrometheusLabel(label) }) {
			list = append(list, "no metric of it has a label "+label)
		}
	}
	return list
}

// isPrometheusLabel: it adds these to all that it scrapes.
func isPrometheusLabel(name string) bool { return name == "instance" || name == "job" }

func (there scraped) selectorProblems(name, selector string) (list []string) {
	labels, known := there[name]
	if !known {
		return []string{"no metric " + name}
	}
	for _, match := range labelPattern.FindAllStringSubmatch(selector, -1) {
		label, value := match[1], match[3]
		values := labels[label]
		switch {
		case isPrometheusLabel(label):
			continue
		case values == nil:
			list = append(list, fmt.Sprintf("%s has no label %s", name, label))
			continue
		}
		for alternative := range strings.SplitSeq(value, "|") {
			pattern := regexp.MustCompile("^(?:" + alternative + ")$")
			if !slices.ContainsFunc(values, pattern.MatchString) {
				list = append(list, fmt.Sprintf("%s has no %s %s", name, label, alternative))
			}
		}
	}
	return list
}

// The page on watching names each metric, so that nobody has to read our code for it.
func TestWatching_DocsNameEachMetric(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/watching.md")
	if err != nil {
		t.Fatal(err)
	}
	suffix := regexp.MustCompile(`_(bucket|sum|count)$`)
	for _, name := range slices.Sorted(maps.Keys(scrapedAfterTraffic(t))) {
		if strings.HasPrefix(name, "kindred_") && !strings.Contains(string(text), "`"+suffix.ReplaceAllString(name, "")+"`") {
			t.Errorf("docs/watching.md does not speak of %s", name)
		}
	}
}
