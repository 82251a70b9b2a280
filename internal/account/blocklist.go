package account

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Blocklist holds passwords that nobody may choose, in whatever case. Of each it keeps 8 bytes of a hash,
// so that a list of millions costs tens of megabytes. The nil Blocklist is empty.
type Blocklist struct{ hashes []uint64 }

// ReadBlocklist reads one password a line, 64 MiB at most. The error names the line.
func ReadBlocklist(r io.Reader) (*Blocklist, error) {
	const maxBytes, maxLine = 64 << 20, 1024
	limited := &io.LimitedReader{R: r, N: maxBytes + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxLine+len("\r\n"))
	list := &Blocklist{}
	number := 0
	for lines.Scan() {
		number++
		// Not one that would be taken for another: no password holds what is not UTF-8.
		if line := lines.Text(); !utf8.ValidString(line) || strings.ContainsRune(line, 0) {
			return nil, fmt.Errorf("line %d is not text in UTF-8", number)
		} else if line != "" {
			list.hashes = append(list.hashes, shortHash(line))
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d is longer than the %d bytes that a password may have", number+1, maxLine)
	case err != nil:
		return nil, fmt.Errorf("read line %d: %w", number+1, err)
	case limited.N == 0:
		return nil, fmt.Errorf("it is larger than %d MiB", maxBytes>>20)
	}
	slices.Sort(list.hashes)
	list.hashes = slices.Clip(slices.Compact(list.hashes))
	return list, nil
}

// Len is the number of different passwords on the list.
func (b *Blocklist) Len() int {
	if b == nil {
		return 0
	}
	return len(b.hashes)
}

func (b *Blocklist) holds(text string) bool {
	if b == nil {
		return false
	}
	_, found := slices.BinarySearch(b.hashes, shortHash(text))
	return found
}

// shortHash: two passwords that share it are not to be expected, and cost no more than a refusal.
func shortHash(text string) uint64 {
	sum := sha256.Sum256([]byte(folded(text)))
	return binary.BigEndian.Uint64(sum[:])
}
