// Package breach asks a Have I Been Pwned range service whether a password is known from a breach. The
// service learns five characters of its SHA-1, which a thousand others share (k-anonymity), and the padding
// of the answer hides from the wire how many those are.
package breach

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client asks one service. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// New makes a client of the service at base, such as https://api.pwnedpasswords.com: the path /range/ of
// it is asked.
func New(base string) *Client {
	const timeout = time.Second
	return &Client{base: strings.TrimSuffix(base, "/"), http: &http.Client{
		Timeout: timeout,
		// Whoever can redirect would be asked instead.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Contains tells whether the password is known, within a second. The error names neither the password nor
// any part of its hash.
func (c *Client) Contains(ctx context.Context, password string) (bool, error) {
	const prefixLength, maxBytes = 5, 1 << 20
	// The service is keyed by SHA-1; nothing rests on its strength.
	sum := sha1.Sum([]byte(password))
	digest := strings.ToUpper(hex.EncodeToString(sum[:]))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/range/"+digest[:prefixLength], nil)
	if err != nil {
		return false, fmt.Errorf("ask for breached passwords: %w", withoutURL(err))
	}
	request.Header.Set("Add-Padding", "true")
	request.Header.Set("User-Agent", "kindred")
	response, err := c.http.Do(request)
	if err != nil {
		return false, fmt.Errorf("ask for breached passwords: %w", withoutURL(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("ask for breached passwords: status %d", response.StatusCode)
	}
	found, err := search(io.LimitReader(response.Body, maxBytes), digest[prefixLength:])
	if err != nil {
		return false, fmt.Errorf("read breached passwords: %w", withoutURL(err))
	}
	return found, nil
}

var errNoRange = errors.New("the answer is not a list of suffixes with counts")

// search reads lines of SUFFIX:COUNT to their end. A count of 0 is padding.
func search(answer io.Reader, suffix string) (found bool, err error) {
	lines := bufio.NewScanner(answer)
	read := 0
	for lines.Scan() {
		got, count, ok := strings.Cut(lines.Text(), ":")
		if !ok || len(got) != len(suffix) {
			return false, errNoRange
		}
		read++
		found = found || strings.EqualFold(got, suffix) && strings.TrimSpace(count) != "0"
	}
	if err := lines.Err(); err != nil {
		return false, err
	}
	if read == 0 {
		return false, errNoRange // a range that holds nothing there is not
	}
	return found, nil
}

// withoutURL takes the address off, since its end is a part of the hash.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
