package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-envparse"
)

// Parse tells whether a value can be used at all; what it answers is never shown, since it may quote the
// value.
type Parse func(value string) error

// Source says where settings come from. What comes first wins: Fixed, Environ, the .env file in Dir,
// Defaults. An empty variable is an unset one.
type Source struct {
	Environ  []string          // NAME=value, as os.Environ has it
	Dir      string            // where .env may lie; it need not
	Defaults map[string]string // instead of those of the table
	Fixed    map[string]string // whatever the environment says; empty: not set

	WarnWeakSecrets bool // weak secrets become warnings, as with ALLOW_WEAK_SECRETS=true

	ParseDatabaseURL Parse // by the driver, which this package does not know
}

// Problems is all that is wrong, a line each, by name and never by value.
type Problems []string

func (p Problems) Error() string {
	if len(p) == 1 {
		return "settings: " + p[0]
	}
	return "settings:\n  " + strings.Join(p, "\n  ")
}

type reader struct {
	source   Source
	values   map[string]string
	problems []struct{ name, text string }
	bad      map[string]bool // names that have a problem
}

func newReader(source Source) *reader {
	r := &reader{source: source, values: map[string]string{}, bad: map[string]bool{}}
	for name, value := range source.Defaults {
		r.values[name] = value
	}
	r.overlay(r.dotenv(source.Dir))
	environ := map[string]string{}
	for _, entry := range source.Environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			environ[name] = value
		}
	}
	r.overlay(environ)
	r.overlay(source.Fixed)
	for name, value := range source.Fixed {
		delete(r.values, name+fileSuffix)
		if value == "" {
			delete(r.values, name)
		}
	}
	return r
}

const fileSuffix = "_FILE"

// overlay puts further values over those that are there. NAME in one layer hides NAME_FILE of a lower
// one, and the other way round; both in one layer is a problem that value tells of.
func (r *reader) overlay(layer map[string]string) {
	for name, value := range layer {
		if value == "" {
			continue
		}
		other, isFile := strings.CutSuffix(name, fileSuffix)
		if !isFile {
			other = name + fileSuffix
		}
		if layer[other] == "" {
			delete(r.values, other)
		}
		r.values[name] = value
	}
}

// dotenv reads .env. Nothing in it is expanded: a $ in a secret stays one. A # begins a comment
// unless the value is in quotes.
func (r *reader) dotenv(dir string) map[string]string {
	file, err := os.Open(filepath.Join(dir, ".env"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		r.problem(".env", "cannot be read: "+reason(err))
		return nil
	}
	defer file.Close()
	values, err := envparse.Parse(file)
	var parse *envparse.ParseError
	switch {
	case errors.As(err, &parse) && parse.Line > 0:
		// The parser's own words may quote a character of the line.
		r.problem(".env", fmt.Sprintf("line %d is not NAME=value", parse.Line))
	case err != nil:
		r.problem(".env", "cannot be read: "+reason(err))
	}
	return values
}

func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return "it is damaged"
}

func (r *reader) problem(name, text string) {
	r.bad[name] = true
	r.problems = append(r.problems, struct{ name, text string }{name, text})
}

func (r *reader) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	position := map[string]int{}
	for i, s := range Settings() {
		position[s.Name] = i + 1
	}
	sort.SliceStable(r.problems, func(i, j int) bool { return position[r.problems[i].name] < position[r.problems[j].name] })
	var list Problems
	for _, p := range r.problems {
		list = append(list, p.name+" "+p.text)
	}
	return list
}

func (r *reader) text(name, otherwise string) string {
	if value := r.values[name]; value != "" {
		return value
	}
	return otherwise
}

// secret reads a required secret, or the file that NAME_FILE names.
func (r *reader) secret(name string) Secret {
	value := r.optionalSecret(name)
	if value == "" && !r.bad[name] {
		r.problem(name, "is not set")
	}
	return Secret{value}
}

// databaseAddress reads a required address of a database.
func (r *reader) databaseAddress(name string) Secret {
	return r.checkAddress(name, r.secret(name))
}

func (r *reader) checkAddress(name string, address Secret) Secret {
	if !address.empty() && r.source.ParseDatabaseURL != nil && r.source.ParseDatabaseURL(address.text) != nil {
		r.problem(name, "is no address of a PostgreSQL: write postgres://user:password@host:5432/database, special characters percent-encoded")
	}
	return address
}

func (r *reader) optionalSecret(name string) string {
	value, file := r.values[name], r.values[name+fileSuffix]
	switch {
	case value != "" && file != "":
		r.problem(name, "and "+name+fileSuffix+" are both set")
		return ""
	case file == "":
		return value
	}
	text, err := os.ReadFile(file)
	if err != nil {
		r.problem(name, "("+name+fileSuffix+") cannot be read: "+reason(err))
		return ""
	}
	value = strings.TrimRight(string(text), "\r\n")
	if value == "" {
		r.problem(name, "("+name+fileSuffix+") is empty")
	}
	return value
}

func (r *reader) previousSecrets() (list []Secret) {
	for _, value := range strings.Fields(r.optionalSecret(jwtRefreshSecretPrevious)) {
		list = append(list, Secret{value})
	}
	return list
}

// keyEncryptionKeys reads keys of 32 bytes, each in standard base64.
func (r *reader) keyEncryptionKeys() (current Secret, previous []Secret) {
	if text := r.optionalSecret(keyEncryptionKey); text != "" {
		current = r.key(keyEncryptionKey, text)
	}
	for _, text := range strings.Fields(r.optionalSecret(keyEncryptionKeyPrevious)) {
		previous = append(previous, r.key(keyEncryptionKeyPrevious, text))
	}
	if current.empty() && len(previous) > 0 && !r.bad[keyEncryptionKey] {
		r.problem(keyEncryptionKeyPrevious, "is set, but "+keyEncryptionKey+" is not")
	}
	return current, previous
}

func (r *reader) key(name, text string) Secret {
	const keyBytes = 32
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	switch {
	case err != nil || len(key) != keyBytes:
		r.problem(name, "is not 32 bytes in standard base64; `openssl rand -base64 32` makes them")
	case bytes.Count(key, key[:1]) == keyBytes:
		r.problem(name, "is one byte over and over; `openssl rand -base64 32` makes a good one")
	default:
		return Secret{string(key)}
	}
	return Secret{}
}

// duration reads 1h30m or plain seconds. Zero is allowed where the lower bound is.
func (r *reader) duration(name string, otherwise, low, high time.Duration) time.Duration {
	value := r.values[name]
	if value == "" {
		return otherwise
	}
	d, err := parseDuration(value)
	switch {
	case err != nil:
		r.problem(name, "is no duration: write 1h30m, or seconds without a unit")
	case d < low || d > high:
		r.problem(name, fmt.Sprintf("must be %v to %v", low, high))
	default:
		return d
	}
	return otherwise
}

func parseDuration(value string) (time.Duration, error) {
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return time.ParseDuration(value) // refuses what does not fit
	}
	const most = int64(1<<63-1) / int64(time.Second)
	if seconds > most || seconds < -most {
		return 0, strconv.ErrRange
	}
	return time.Duration(seconds) * time.Second, nil
}

func (r *reader) integer(name string, otherwise, low, high int) int {
	value := r.values[name]
	if value == "" {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		r.problem(name, fmt.Sprintf("must be a whole number from %d to %d", low, high))
		return otherwise
	}
	return n
}

// rate reads a burst and a number a minute, as in 300/30.
func (r *reader) rate(name string, otherwise Rate) Rate {
	const most = 1_000_000
	value := r.values[name]
	if value == "" {
		return otherwise
	}
	burst, perMinute, found := strings.Cut(value, "/")
	b, burstErr := strconv.Atoi(strings.TrimSpace(burst))
	m, minuteErr := strconv.Atoi(strings.TrimSpace(perMinute))
	if !found || burstErr != nil || minuteErr != nil || min(b, m) < 1 || max(b, m) > most {
		r.problem(name, fmt.Sprintf("must be BURST/PER_MINUTE, whole numbers from 1 to %d", most))
		return otherwise
	}
	return Rate{b, m}
}

func (r *reader) choice(name, otherwise string, allowed ...string) string {
	value := r.text(name, otherwise)
	for _, a := range allowed {
		if value == a {
			return value
		}
	}
	r.problem(name, "must be "+strings.Join(allowed, " or "))
	return otherwise
}

func (r *reader) level() slog.Level {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	return levels[r.choice(logLevel, "info", "debug", "info", "warn", "error")]
}

func (r *reader) listenAddress(port int) string {
	value := r.values[listenAddr]
	if value == "" {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	r.checkListen(listenAddr, value)
	return value
}

func (r *reader) origin(name string, port int) string {
	value := r.values[name]
	if value == "" {
		return "http://localhost:" + strconv.Itoa(port)
	}
	if !isOrigin(value) {
		r.problem(name, "must be an origin: http(s)://host or http(s)://host:port, in lower case and without a path")
	}
	return value
}

func (r *reader) origins(name string) (list []string) {
	for _, value := range splitList(r.values[name]) {
		if !isOrigin(value) {
			r.problem(name, "must be exact origins, http(s)://host or http(s)://host:port, separated by commas; * is never allowed with credentials")
			return nil
		}
		list = append(list, value)
	}
	return list
}

// isOrigin accepts what a browser writes into the Origin header (RFC 6454 §6.2), and nothing else: no
// default port, for one.
func isOrigin(value string) bool {
	u, err := url.Parse(value)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		value == u.Scheme+"://"+u.Host && value == strings.ToLower(value) && !strings.ContainsAny(u.Host, "*, ") && u.User == nil &&
		isOriginPort(u)
}

func isOriginPort(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n != 0 && port == strconv.FormatUint(n, 10) && port != map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

func (r *reader) prefixes(name string) (list []netip.Prefix) {
	for _, value := range splitList(r.values[name]) {
		prefix, err := netip.ParsePrefix(value)
		if address, addressErr := netip.ParseAddr(value); addressErr == nil {
			prefix, err = address.Prefix(address.BitLen())
		}
		if err != nil {
			r.problem(name, "must be addresses or CIDR blocks, separated by commas")
			return nil
		}
		list = append(list, prefix.Masked())
	}
	return list
}

func splitList(value string) []string {
	return strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' })
}
