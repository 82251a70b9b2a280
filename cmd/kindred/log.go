package main

import (
	"bytes"
	"io"
	"sync"
)

// logWriter writes what several requests log at once with one call: while a write is under way, the lines
// that arrive form the next. Nothing waits for a time to pass or for company, so that a line is late by no more
// than the write before it. Whoever logs waits only where maxPending is behind already.
type logWriter struct {
	out io.Writer

	mu      sync.Mutex
	pending bytes.Buffer
	changed *sync.Cond // something is pending, or has been written, or all ends
	ending  bool
	ended   chan struct{}
}

// maxPending bounds the memory behind a log that nobody reads.
const maxPending = 1 << 20

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{out: out, ended: make(chan struct{})}
	w.changed = sync.NewCond(&w.mu)
	go w.run()
	return w
}

// Write takes one line. It never fails: there is nobody to tell.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.pending.Len() >= maxPending && !w.ending {
		w.changed.Wait()
	}
	if w.ending { // somebody speaks after the end, and is heard
		w.mu.Unlock()
		<-w.ended
		w.mu.Lock()
		_, _ = w.out.Write(line)
		return len(line), nil
	}
	if w.pending.Len() == 0 {
		defer w.changed.Broadcast()
	}
	return w.pending.Write(line)
}

func (w *logWriter) run() {
	defer close(w.ended)
	var lines bytes.Buffer
	for {
		w.mu.Lock()
		for w.pending.Len() == 0 && !w.ending {
			w.changed.Wait()
		}
		lines, w.pending = w.pending, lines
		w.changed.Broadcast()
		w.mu.Unlock()
		if lines.Len() == 0 {
			return
		}
		_, _ = w.out.Write(lines.Bytes())
		lines.Reset()
	}
}

// end returns when all is written.
func (w *logWriter) end() {
	w.mu.Lock()
	w.ending = true
	w.changed.Broadcast()
	w.mu.Unlock()
	<-w.ended
}
