package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/google/uuid"

	"kindred/internal/token"
)

const (
	generations = 10 // tokens of a family that is loaded
	lifetime    = 720 * time.Hour
	refreshLen  = 128 // characters of a refresh token
)

// population is families that are alike, numbered by their age, the oldest first. All of a family follows from
// its number, but for the token that it can be refreshed with: what is loaded need not be kept.
type population struct {
	seed    uint64
	count   int
	oldest  time.Time     // when the first family began
	step    time.Duration // from each to the next
	now     time.Time     // none did anything later
	userOf  func(family int) uuid.UUID
	current [][refreshLen]byte // each family's token, as the client holds it; nil where nobody does
}

// between is a population whose families began between two instants.
func between(seed uint64, count int, from, to, now time.Time, userOf func(int) uuid.UUID) *population {
	return &population{seed: seed, count: count, oldest: from, step: to.Sub(from) / time.Duration(count), now: now, userOf: userOf}
}

// mint gives each family a token that the server takes.
func (p *population) mint(codec *token.RefreshCodec) error {
	p.current = make([][refreshLen]byte, p.count)
	for i := range p.count {
		f := p.family(i)
		minted, err := codec.Mint(f.id, f.tokenID(generations-1), generations-1, f.expires)
		if err != nil {
			return err
		}
		if n := copy(p.current[i][:], minted.Reveal()); n != refreshLen || len(minted.Reveal()) != n {
			return fmt.Errorf("a refresh token has %d characters", len(minted.Reveal()))
		}
	}
	return nil
}

// chain is a family with its tokens.
type chain struct {
	id               uuid.UUID
	seed             uint64
	number           int
	created, expires time.Time
	step             time.Duration // from one rotation to the next
}

func (p *population) family(i int) chain {
	created := p.oldest.Add(time.Duration(i) * p.step).Truncate(time.Microsecond)
	f := chain{seed: p.seed, number: i, created: created, expires: created.Add(lifetime)}
	last := p.now
	if f.expires.Before(last) {
		last = f.expires
	}
	f.step = last.Sub(created) / generations
	f.id = f.newID(created, 0)
	return f
}

func (f chain) issued(generation int) time.Time {
	return f.created.Add(time.Duration(generation) * f.step).Truncate(time.Microsecond)
}

func (f chain) tokenID(generation int) uuid.UUID { return f.newID(f.issued(generation), generation+1) }

func (f chain) newID(at time.Time, purpose int) uuid.UUID {
	return idAt(at, f.seed, uint64(f.number)<<8|uint64(purpose))
}

// hash is of the token of a generation: of the one that stands, and else of one that nobody has.
func (p *population) hash(f chain, generation int) [32]byte {
	if generation == generations-1 && p.current != nil {
		return sha256.Sum256(p.current[f.number][:])
	}
	id := f.tokenID(generation)
	return sha256.Sum256(id[:])
}

// day is the partition key of a family.
func (f chain) day() time.Time { return f.expires.UTC().Truncate(24 * time.Hour) }

// mondayOf is the day on which a week begins, and with it a partition.
func mondayOf(day time.Time) time.Time {
	return day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
}

// weeks are the ranges of families whose tokens lie in one partition.
func (p *population) weeks() (ranges [][2]int) {
	for from := 0; from < p.count; {
		monday := mondayOf(p.family(from).day())
		to := from + sort.Search(p.count-from, func(n int) bool { return mondayOf(p.family(from+n).day()) != monday })
		ranges = append(ranges, [2]int{from, to})
		from = to
	}
	return ranges
}

// idAt is a UUIDv7 of that time (RFC 9562 §5.7), always the same for the same numbers.
func idAt(at time.Time, seed, number uint64) (id uuid.UUID) {
	random := rand.NewPCG(seed, number)
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16|0x7000|random.Uint64()&0xfff)
	binary.BigEndian.PutUint64(id[8:], 1<<63|random.Uint64()>>2)
	return id
}
