package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// slowReader takes one write at a time, each when it is told to.
type slowReader struct {
	begun, goOn chan struct{}
	mu          sync.Mutex
	writes      []string
}

func (r *slowReader) Write(b []byte) (int, error) {
	r.begun <- struct{}{}
	<-r.goOn
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, string(b))
	return len(b), nil
}

func TestLogWriter_LinesThatArriveMeanwhileShareAWrite(t *testing.T) {
	t.Parallel()
	out := &slowReader{begun: make(chan struct{}), goOn: make(chan struct{})}
	w := newLogWriter(out)
	fmt.Fprintln(w, "first")
	<-out.begun
	for i := range 3 {
		fmt.Fprintln(w, "line", i)
	}
	close(out.goOn)
	<-out.begun
	w.end()
	if got, want := fmt.Sprintf("%q", out.writes), `["first\n" "line 0\nline 1\nline 2\n"]`; got != want {
		t.Errorf("written: %s, want %s", got, want)
	}
}

func TestLogWriter_LosesNothingAndKeepsLinesWhole(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := newLogWriter(&out)
	log := slog.New(slog.NewJSONHandler(w, nil))
	const writers, lines = 8, 2000
	var working sync.WaitGroup
	for i := range writers {
		working.Go(func() {
			for j := range lines {
				log.Info("line", "writer", i, "line", j, "padding", strings.Repeat("x", 100))
			}
		})
	}
	working.Wait()
	w.end()
	log.Info("after the end")
	got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(got) != writers*lines+1 {
		t.Errorf("%d lines, want %d", len(got), writers*lines+1)
	}
	for _, line := range got {
		if !strings.HasPrefix(line, `{"time":`) || !strings.HasSuffix(line, "}") {
			t.Fatalf("not whole: %s", line)
		}
	}
}

// A log that nobody reads holds up those who log, and does not take all memory.
func TestLogWriter_WaitsBehindALogThatNobodyReads(t *testing.T) {
	t.Parallel()
	out := &slowReader{begun: make(chan struct{}), goOn: make(chan struct{})}
	w := newLogWriter(out)
	fmt.Fprintln(w, "under way")
	<-out.begun
	fmt.Fprint(w, strings.Repeat("x", maxPending))
	late := make(chan struct{})
	go func() {
		fmt.Fprintln(w, "late")
		close(late)
	}()
	out.goOn <- struct{}{}
	<-out.begun // the next write is under way, and there is room
	<-late
	close(out.goOn)
	<-out.begun
	w.end()
	if got := out.writes[len(out.writes)-1]; got != "late\n" {
		t.Errorf("the last write is %d bytes, want the line that had to wait", len(got))
	}
}

// Who speaks while the last lines are written comes behind them: nobody else writes meanwhile.
func TestLogWriter_EndsWithOneWriteAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &slowReader{begun: make(chan struct{}), goOn: make(chan struct{})}
		w := newLogWriter(out)
		fmt.Fprintln(w, "first")
		<-out.begun
		go w.end()
		synctest.Wait()
		go fmt.Fprintln(w, "late")
		synctest.Wait()
		select {
		case <-out.begun:
			close(out.goOn)
			t.Error("two write at once")
			return
		default:
		}
		out.goOn <- struct{}{}
		<-out.begun
		out.goOn <- struct{}{}
		synctest.Wait()
		if got, want := fmt.Sprintf("%q", out.writes), `["first\n" "late\n"]`; got != want {
			t.Errorf("written: %s, want %s", got, want)
		}
	})
}
