package main

import (
	"os"
	"syscall"
	"testing"
)

// What the server took for another load must not be counted for this one.
func TestMemory_PeakBeginsAnew(t *testing.T) {
	t.Parallel()
	m, err := memoryOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	read := func(of func() (float64, error)) float64 {
		v, err := of()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const size, megabytes = 256e6, 256
	before := read(m.resident)
	pages, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pages); i += os.Getpagesize() {
		pages[i] = 1
	}
	with := read(m.resident)
	if err := syscall.Munmap(pages); err != nil {
		t.Fatal(err)
	}
	peak := read(m.peak)
	if err := m.resetPeak(); err != nil {
		t.Fatal(err)
	}
	anew := read(m.peak)
	if with-before < megabytes/2 || peak-before < megabytes/2 || peak-anew < megabytes/2 {
		t.Errorf("resident %g MB, with %d more %g, peak %g, and anew %g", before, megabytes, with, peak, anew)
	}
}
