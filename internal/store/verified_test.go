package store_test

import (
	"slices"
	"strings"
	"testing"

	"kindred/internal/store"
)

func TestUnverified_NamesHostsOnANetThatProveNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url  string
		want []string
	}{
		{"postgres://u:p@db.example/k?sslmode=verify-full", nil},
		{"postgres://u:p@db.example/k?sslmode=disable", []string{"db.example"}},
		{"postgres://u:p@db.example/k?sslmode=require", []string{"db.example"}},
		{"postgres://u:p@db.example/k?sslmode=verify-ca", []string{"db.example"}}, // any name of that authority
		{"postgres://u:p@db.example/k", []string{"db.example"}},                   // prefer: TLS if the other side likes
		{"host=10.0.0.5 sslmode=disable", []string{"10.0.0.5"}},
		{"postgres://u:p@one.example,two.example/k?sslmode=disable", []string{"one.example", "two.example"}},
		{"postgres://u:p@one.example,127.0.0.1/k?sslmode=verify-full", nil},
		{"postgres://u:p@localhost/k?sslmode=disable", nil},
		{"postgres://u:p@127.0.0.1/k", nil},
		{"postgres://u:p@[::1]/k", nil},
		{"host=/run/postgresql dbname=k", nil},
	} {
		got, err := store.Unverified(c.url)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", strings.Replace(c.url, "u:p@", "", 1), got, err, c.want)
		}
	}
}
