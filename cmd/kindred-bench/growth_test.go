package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kindred/internal/token"
)

// A run ends in an error unless every loaded token is accepted, the purge takes what has ended and nothing else,
// DELETE /sessions ends all that it should, and the invariants hold at the end.
func TestGrowth_TinyRunGivesEveryFigure(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "bench-growth.json")
	cmd := command(t, out, 1)
	cmd.Args = append([]string{cmd.Args[0], "growth", "--families", "320", "--ended", "64", "--sessions", "20", "--rotations", "200"}, cmd.Args[1:]...)
	var table, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &table, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Figures, Ratios map[string]spread }
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, figures := range []map[string]spread{got.Figures, got.Ratios} {
		for name, s := range figures {
			if s.Min > s.Median || s.Median > s.Max || !strings.Contains(table.String(), "\n"+name+" ") {
				t.Errorf("%s is %+v in the file, and the table is\n%s", name, s, table.String())
			}
		}
	}
	for _, name := range []string{"refresh_64", "refresh_spread_64", "login", "sessions", "lineage", "explain", "revoke_all"} {
		ratio, found := got.Ratios[name+"_full_over_empty"]
		empty, full := got.Figures["empty_"+name], got.Figures["full_"+name]
		if !found || ratio.Median <= 0 || empty.Median <= 0 || full.Median <= 0 {
			t.Errorf("%s: %v, %v, and of the two %v", name, empty, full, ratio)
		}
	}
	for name := range growthGoals() {
		if got.Figures[name].Goal == nil && got.Ratios[name].Goal == nil {
			t.Errorf("%s has a goal, and nothing is told of it", name)
		}
	}
	for _, name := range []string{"full_spread_wal", "full_spread_tokens_size", "full_chains_wal", "empty_spread_wal", "full_load", "full_check"} {
		if got.Figures[name].Median <= 0 {
			t.Errorf("%s is %v", name, got.Figures[name])
		}
	}
	if !strings.Contains(table.String(), "320 families with 3200 tokens that live and 64 that have ended") {
		t.Errorf("the table does not say of how much:\n%s", table.String())
	}
}

func TestGrowth_RefusesASizeThatMeasuresNothing(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--families", "63"}, {"--sessions", "1"}, {"--rotations", "0"}, {"--ended", "0"}, {"--rounds", "0"}, {"--seconds", "0"}} {
		root := newRoot()
		root.SetArgs(append([]string{"growth"}, args...))
		if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), args[0]) {
			t.Errorf("%v: error %v", args, err)
		}
	}
}

// What is loaded must look as if it had been lived.
func TestPopulation_FamiliesAreLivedBeforeTheyAreLoaded(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 3, 10, 12, 0, 0, 0, time.UTC)
	owner := uuid.MustParse("01900000-0000-7000-8000-000000000001")
	const day = 24 * time.Hour
	for name, p := range map[string]*population{
		"living": between(1, 500, now.Add(-29*day), now.Add(-time.Hour), now, func(int) uuid.UUID { return owner }),
		"ended":  between(2, 500, now.Add(-50*day), now.Add(-43*day), now, func(int) uuid.UUID { return owner }),
	} {
		seen := map[uuid.UUID]bool{}
		for i := range p.count {
			f := p.family(i)
			if f.id.Version() != 7 || f.id.Variant() != uuid.RFC4122 || seen[f.id] || f.expires.Sub(f.created) != lifetime {
				t.Fatalf("%s %d: id %v, from %v to %v", name, i, f.id, f.created, f.expires)
			}
			if name == "living" != f.expires.After(now) {
				t.Fatalf("%s %d ends at %v", name, i, f.expires)
			}
			seen[f.id] = true
			for generation := range generations {
				id, issued := f.tokenID(generation), f.issued(generation)
				if seconds, nanoseconds := id.Time().UnixTime(); time.Unix(seconds, nanoseconds).UnixMilli() != issued.UnixMilli() || seen[id] {
					t.Fatalf("%s %d: token %v of %v", name, i, id, issued)
				}
				if generation > 0 && !issued.After(f.issued(generation-1)) || issued.Before(f.created) || !issued.Before(f.expires) || issued.After(now) {
					t.Fatalf("%s %d: generation %d at %v", name, i, generation, issued)
				}
				seen[id] = true
			}
		}
	}
}

func TestPopulation_WeeksHaveEveryFamilyOnce(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 3, 10, 12, 0, 0, 0, time.UTC)
	p := between(1, 1000, now.Add(-29*24*time.Hour), now, now, nil)
	next := 0
	weeks := p.weeks()
	for _, week := range weeks {
		if week[0] != next {
			t.Fatalf("a week begins with family %d, behind %d", week[0], next)
		}
		first, last := p.family(week[0]).day(), p.family(week[1]-1).day()
		if monday := mondayOf(first); monday != mondayOf(last) || monday.Weekday() != time.Monday {
			t.Errorf("from %v to %v is no week", first, last)
		}
		next = week[1]
	}
	if next != p.count || len(weeks) != 5 {
		t.Errorf("%d families in %d weeks", next, len(weeks))
	}
}

func TestPopulation_TokenThatStandsIsTheOneThatIsStored(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 3, 10, 12, 0, 0, 0, time.UTC)
	codec, err := token.NewRefreshCodec([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	p := between(1, 3, now.Add(-24*time.Hour), now, now, nil)
	if err := p.mint(codec); err != nil {
		t.Fatal(err)
	}
	for i := range p.count {
		f, wire := p.family(i), string(p.current[i][:])
		parsed, err := codec.Parse(wire)
		if err != nil || parsed.FamilyID != f.id || parsed.TokenID != f.tokenID(generations-1) || !parsed.ExpiresOn.Equal(f.day()) {
			t.Errorf("family %d: token of %v, error %v", i, parsed.FamilyID, err)
		}
		if p.hash(f, generations-1) != sha256.Sum256([]byte(wire)) || p.hash(f, generations-2) == p.hash(f, generations-1) {
			t.Errorf("family %d: another hash", i)
		}
	}
}
