package main

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"kindred/internal/testdb"
)

// `make timing` prints its figures: how well the time of an answer tells an unknown name, a wrong password
// and a disabled user apart. They take turns, each time with a name of its own, so that none is throttled.
// The area under the curve (the rank-sum statistic over the number of pairs) is 0.5 where nothing can be
// told; nothing is asserted of it here, since it is a matter of clocks. That the work is the same is
// asserted by count, in internal/auth.
func TestTiming_UnknownWrongAndDisabledTakeTurns(t *testing.T) {
	rounds := 3
	if asked := os.Getenv("TIMING_ROUNDS"); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil || n < 1 {
			t.Fatal("TIMING_ROUNDS must be a number of rounds")
		}
		rounds = n
	}
	db := testdb.New(t)
	addUser(t, db.URL(), "wrong0")
	db.Exec(t, `
		INSERT INTO users (id, username, username_key, password_hash, role, created_at, password_changed_at, disabled_at)
		SELECT gen_random_uuid(), kind || n, kind || n, password_hash, role, created_at, password_changed_at, CASE kind WHEN 'disabled' THEN created_at END
		  FROM users, unnest(ARRAY['wrong', 'disabled']) AS kind, generate_series(1, $1) AS n`, rounds)
	s := startServing(t, serveEnvironment(db.URL(), "GUESSES_PER_NETWORK=1000000/1000000", "GUESSES_OVERALL=1000000/1000000"))
	kinds := []struct{ name, password string }{{"unknown", "password123"}, {"wrong", "password456"}, {"disabled", "password123"}}
	took := map[string][]float64{}
	for i := range rounds {
		for turn := range kinds {
			kind := kinds[(i+turn)%len(kinds)]
			began := time.Now()
			a := s.mustPost(t, "/login", fmt.Sprintf(`{"username":"%s%d","password":"%s"}`, kind.name, i+1, kind.password))
			took[kind.name] = append(took[kind.name], float64(time.Since(began).Microseconds())/1000)
			wantStatus(t, a, http.StatusBadRequest)
		}
	}
	for _, kind := range kinds {
		sorted := slices.Sorted(slices.Values(took[kind.name]))
		t.Logf("%-9s %d answers, median %.2f ms", kind.name, len(sorted), sorted[len(sorted)/2])
	}
	for i, a := range kinds {
		for _, b := range kinds[i+1:] {
			t.Logf("AUC of %s against %s: %.3f", a.name, b.name, areaUnderCurve(took[a.name], took[b.name]))
		}
	}
}

// areaUnderCurve is how often one of a takes longer than one of b, of all pairs; a tie is half a one.
func areaUnderCurve(a, b []float64) float64 {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	wins, below, through := 0.0, 0, 0
	for _, x := range a {
		for below < len(b) && b[below] < x {
			below++
		}
		for through < len(b) && b[through] <= x {
			through++
		}
		wins += float64(below) + float64(through-below)/2
	}
	return wins / float64(len(a)*len(b))
}

func TestAreaUnderCurve(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2, 3}, []float64{1, 2, 3}, 0.5},
		{[]float64{4, 5}, []float64{1, 2}, 1},
		{[]float64{1, 2}, []float64{5, 4, 3}, 0},
		{[]float64{2, 2}, []float64{1, 2, 3, 2}, 0.5},
		{[]float64{1, 3}, []float64{2}, 0.5},
	} {
		if got := areaUnderCurve(c.a, c.b); got != c.want {
			t.Errorf("%v against %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
