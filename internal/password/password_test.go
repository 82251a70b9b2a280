package password

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var cheap = Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}

func hasher(t testing.TB, config Config) *Hasher {
	t.Helper()
	h, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHash_VerifiesAndIsSalted(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Params: DefaultParams()})
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %q", hash)
	}
	if again, err := h.Hash(t.Context(), "correct horse"); err != nil || again == hash {
		t.Errorf("two hashes of one password are the same, error %v", err)
	}
	for password, want := range map[string]Result{"correct horse": {Match: true}, "correct Horse": {}, "": {}, "correct horse\x00": {}} {
		if got, err := h.Verify(t.Context(), hash, password); err != nil || got != want {
			t.Errorf("%q: %+v, error %v", password, got, err)
		}
	}
}

func TestVerify_RehashesWhatIsNotOfToday(t *testing.T) {
	t.Parallel()
	today := hasher(t, Config{Params: cheap})
	for name, params := range map[string]Params{
		"memory": {MemoryKiB: 128, Iterations: 1, Parallelism: 1}, "iterations": {MemoryKiB: 64, Iterations: 2, Parallelism: 1}, "lanes": {MemoryKiB: 64, Iterations: 1, Parallelism: 2},
	} {
		old, err := hasher(t, Config{Params: params}).Hash(t.Context(), "password123")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := today.Verify(t.Context(), old, "password123"); err != nil || got != (Result{Match: true, Rehash: true}) {
			t.Errorf("other %s: %+v, error %v", name, got, err)
		}
		if got, err := today.Verify(t.Context(), old, "wrong"); err != nil || got != (Result{}) {
			t.Errorf("other %s, wrong password: %+v, error %v", name, got, err)
		}
	}
}

func TestVerify_MalformedHashes(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Params: cheap})
	const salt, tag = "c29tZXNhbHRzYWx0c29tZQ", "dGFndGFndGFndGFndGFndGFndGFndGFndGFndGFndGE"
	for name, hash := range map[string]string{
		"empty": "", "clear text": "password123", "md5": "$1$abc$def", "argon2d": "$argon2d$v=19$m=64,t=1,p=1$" + salt + "$" + tag,
		"version 16": "$argon2id$v=16$m=64,t=1,p=1$" + salt + "$" + tag, "no version": "$argon2id$m=64,t=1,p=1$" + salt + "$" + tag,
		"a memory bomb": "$argon2id$v=19$m=4194304,t=1,p=1$" + salt + "$" + tag, "endless": "$argon2id$v=19$m=64,t=1000,p=1$" + salt + "$" + tag,
		"lanes over a byte": "$argon2id$v=19$m=64,t=1,p=257$" + salt + "$" + tag, "no memory": "$argon2id$v=19$m=0,t=1,p=1$" + salt + "$" + tag,
		"no lanes": "$argon2id$v=19$m=64,t=1,p=0$" + salt + "$" + tag, "another order": "$argon2id$v=19$t=1,m=64,p=1$" + salt + "$" + tag,
		"leading zero": "$argon2id$v=19$m=064,t=1,p=1$" + salt + "$" + tag, "plus sign": "$argon2id$v=19$m=+64,t=1,p=1$" + salt + "$" + tag,
		"short salt": "$argon2id$v=19$m=64,t=1,p=1$c2FsdA$" + tag, "short tag": "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$dGFn",
		"padding": "$argon2id$v=19$m=64,t=1,p=1$" + salt + "==$" + tag, "line break": "$argon2id$v=19$m=64,t=1,p=1$" + salt + "\n$" + tag,
		"spare bits": "$argon2id$v=19$m=64,t=1,p=1$" + salt[:21] + "R$" + tag, "a fourth part": "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + tag + "$",
		"keyid": "$argon2id$v=19$m=64,t=1,p=1,keyid=x$" + salt + "$" + tag, "bcrypt, cut": "$2a$10$abc",
	} {
		if got, err := h.Verify(t.Context(), hash, "password123"); !errors.Is(err, ErrMalformedHash) || got.Match {
			t.Errorf("%s: %+v, error %v", name, got, err)
		}
	}
}

func TestNew_RefusesCostsOutOfBounds(t *testing.T) {
	t.Parallel()
	for name, params := range map[string]Params{
		"nothing": {}, "memory below 8 KiB a lane": {MemoryKiB: 15, Iterations: 1, Parallelism: 2}, "memory above 1 GiB": {MemoryKiB: 1<<20 + 1, Iterations: 1, Parallelism: 1},
		"hours":         {MemoryKiB: 1 << 20, Iterations: 3, Parallelism: 1},
		"no iterations": {MemoryKiB: 64, Parallelism: 1}, "101 iterations": {MemoryKiB: 64, Iterations: 101, Parallelism: 1}, "17 lanes": {MemoryKiB: 1024, Iterations: 1, Parallelism: 17},
	} {
		if _, err := New(Config{Params: params}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// The work is compared by what is derived, not by a clock.
func TestVerifyAbsent_DoesTheWorkOfAVerify(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Params: cheap})
	type work struct {
		params       Params
		salt, length int
	}
	var done []work
	h.derive = func(password string, params Params, salt []byte, length int) []byte {
		done = append(done, work{params, len(salt), length})
		return derive(password, params, salt, length)
	}
	hash, err := h.Hash(t.Context(), "password123")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Verify(t.Context(), hash, "wrong"); err != nil {
		t.Fatal(err)
	}
	if err := h.VerifyAbsent(t.Context(), "wrong"); err != nil {
		t.Fatal(err)
	}
	if len(done) != 3 || done[1] != done[2] || done[2].params != cheap {
		t.Errorf("work done: %+v", done)
	}
}

func TestGate_NeverMoreThanItsSlots(t *testing.T) {
	t.Parallel()
	const slots = 3
	h := hasher(t, Config{Params: cheap, Slots: slots})
	var now, most atomic.Int64
	full := make(chan struct{})
	h.derive = func(string, Params, []byte, int) []byte {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == slots {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		<-full // nobody leaves before all slots were taken once
		return make([]byte, tagBytes)
	}
	var wg sync.WaitGroup
	for range 10 * slots {
		wg.Go(func() {
			if err := h.VerifyAbsent(t.Context(), "x"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most.Load() != slots {
		t.Errorf("%d at once, want %d", most.Load(), slots)
	}
}

func TestGate_WaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Params: cheap, Slots: 1})
	taken, release := make(chan struct{}), make(chan struct{})
	h.derive = func(string, Params, []byte, int) []byte {
		close(taken)
		<-release
		return make([]byte, tagBytes)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := h.Hash(t.Context(), "x"); err != nil {
			t.Error(err)
		}
	})
	<-taken
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, wait := range map[string]func() error{
		"hash":   func() error { _, err := h.Hash(ctx, "x"); return err },
		"verify": func() error { _, err := h.Verify(ctx, h.absent, "x"); return err },
		"absent": func() error { return h.VerifyAbsent(ctx, "x") },
	} {
		if err := wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want context.Canceled", name, err)
		}
	}
	close(release)
	wg.Wait()
}

// holdSlots fills the gate of a Hasher until release, and returns once it is full.
func holdSlots(t *testing.T, h *Hasher) (release func()) {
	t.Helper()
	var taken, done sync.WaitGroup
	open := make(chan struct{})
	taken.Add(cap(h.gate.slots))
	h.derive = func(string, Params, []byte, int) []byte {
		taken.Done()
		<-open
		return make([]byte, tagBytes)
	}
	for range cap(h.gate.slots) {
		done.Go(func() {
			if err := h.VerifyAbsent(t.Context(), "x"); err != nil {
				t.Error(err)
			}
		})
	}
	taken.Wait()
	h.derive = func(string, Params, []byte, int) []byte { return make([]byte, tagBytes) }
	return func() { close(open); done.Wait() }
}

// awaitQueue returns once so many wait.
func awaitQueue(h *Hasher, n int64) {
	for h.gate.waiting.Load() != n {
		runtime.Gosched()
	}
}

func TestGate_RefusesAtOnceBeyondItsQueue(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Params: cheap, Slots: 2})
	h.gate.maxWait = time.Hour
	release := holdSlots(t, h)
	var waiting sync.WaitGroup
	for range h.gate.maxQueue {
		waiting.Go(func() {
			if _, err := h.Hash(t.Context(), "x"); err != nil {
				t.Error(err)
			}
		})
	}
	awaitQueue(h, h.gate.maxQueue)
	enough, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 100 {
		if err := h.VerifyAbsent(enough, "x"); !errors.Is(err, ErrBusy) {
			t.Errorf("error %v, want ErrBusy", err)
		}
	}
	if load := h.Load(); load != (Load{Slots: 2, Hashing: 2, Waiting: int(h.gate.maxQueue), Refused: 100}) {
		t.Errorf("load %+v", load)
	}
	release()
	waiting.Wait()
	if err := h.VerifyAbsent(t.Context(), "x"); err != nil || h.gate.waiting.Load() != 0 {
		t.Errorf("afterwards: error %v, %d wait", err, h.gate.waiting.Load())
	}
}

func TestGate_NobodyWaitsForLong(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Params: cheap, Slots: 1})
	h.gate.maxWait = time.Millisecond
	release := holdSlots(t, h)
	defer release()
	if err := h.VerifyAbsent(t.Context(), "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
}

func TestGate_FirstComeFirstServed(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Params: cheap, Slots: 1})
	h.gate.maxWait = time.Hour
	release := holdSlots(t, h)
	var order []int // one hashes at a time
	var waiting sync.WaitGroup
	h.derive = func(password string, _ Params, _ []byte, _ int) []byte {
		order = append(order, len(password))
		return make([]byte, tagBytes)
	}
	for i := range h.gate.maxQueue {
		waiting.Go(func() {
			if _, err := h.Hash(t.Context(), strings.Repeat("x", int(i)+1)); err != nil {
				t.Error(err)
			}
		})
		awaitQueue(h, i+1)
	}
	release()
	waiting.Wait()
	if !slices.IsSorted(order) || len(order) != int(h.gate.maxQueue) {
		t.Errorf("they came as 1, 2, 3 … and hashed as %v", order)
	}
}

func TestGate_WhoHangsUpLeavesTheQueue(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Params: cheap, Slots: 1})
	h.gate.maxWait = time.Hour
	release := holdSlots(t, h)
	ctx, hangUp := context.WithCancel(t.Context())
	left := make(chan error)
	for range h.gate.maxQueue {
		go func() { left <- h.VerifyAbsent(ctx, "x") }()
	}
	awaitQueue(h, h.gate.maxQueue)
	hangUp()
	for range h.gate.maxQueue {
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	}
	awaitQueue(h, 0)
	release()
}

func FuzzParsePHC(f *testing.F) {
	for _, seed := range []string{
		"", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzYWx0c29tZQ$dGFndGFndGFndGFndGFndGFndGFndGFndGFndGFndGE",
		"$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$dGFndGFndGFndGFndGE", "$argon2id$v=19$m=8,t=1,p=1$$", "$2a$10$", "$argon2id$v=19$$$",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parsePHC(text)
		if err != nil {
			if !errors.Is(err, ErrMalformedHash) {
				t.Errorf("error %v", err)
			}
			return
		}
		if h.String() != text {
			t.Errorf("%q parses and is written %q", text, h.String())
		}
		if err := h.params.check(); err != nil || len(h.salt) > maxBytes || len(h.tag) > maxBytes {
			t.Errorf("%q is out of bounds: %v", text, err)
		}
	})
}

// As many are let in as may hash or wait to; whoever leaves makes room for one, however often it says so.
func TestAdmit_AsManyAsHashOrWait(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Params: cheap, Slots: 2})
	var leave []func()
	for {
		l, err := h.Admit(Strangers)
		if err != nil {
			if !errors.Is(err, ErrBusy) {
				t.Errorf("error %v, want ErrBusy", err)
			}
			break
		}
		leave = append(leave, l)
	}
	if len(leave) != 2+2*8 {
		t.Errorf("%d were let in", len(leave))
	}
	leave[0]()
	leave[0]()
	if _, err := h.Admit(Strangers); err != nil {
		t.Error(err)
	}
	if _, err := h.Admit(Strangers); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
	if _, err := h.Admit(Known); err != nil {
		t.Errorf("in the other line: %v", err)
	}
}
