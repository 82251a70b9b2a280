package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

// printer is where a command says what it did: in words, or with --json as one JSON object a line.
type printer struct {
	to   io.Writer
	json bool
}

// newPrinter gives a command its flag --json.
func newPrinter(world process, cmd *cobra.Command) *printer {
	p := &printer{to: world.stdout}
	cmd.Flags().BoolVar(&p.json, "json", false, "print JSON, one object a line")
	return p
}

// print writes the object, or the words.
func (p *printer) print(object any, format string, args ...any) error {
	if p.json {
		return p.encode(object)
	}
	_, err := fmt.Fprintf(p.to, format, args...)
	return err
}

func (p *printer) encode(object any) error {
	encoder := json.NewEncoder(p.to)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(object)
}

// listing is a list that is printed as it is read with --json, and else as a table once it is whole.
type listing struct {
	printer *printer
	table   *tabwriter.Writer
}

func (p *printer) list(columns ...string) *listing {
	l := &listing{printer: p, table: tabwriter.NewWriter(p.to, 0, 0, 2, ' ', 0)}
	if !p.json {
		l.row(columns)
	}
	return l
}

// add writes one row of a list: the object, or its cells.
func (l *listing) add(object any, cells ...string) error {
	if l.printer.json {
		return l.printer.encode(object)
	}
	l.row(cells)
	return nil
}

func (l *listing) row(cells []string) {
	for i := range cells {
		cells[i] = visibly(cells[i])
	}
	fmt.Fprintln(l.table, strings.Join(cells, "\t")) // what fails is found by Flush
}

func (l *listing) end() error { return l.table.Flush() }

// visibly replaces what could move the cursor of a terminal, or deceive its reader by what cannot be seen or by
// another direction of writing: user agents are anybody's.
func visibly(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}

// cell is a time in a table; empty for none.
func cell(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// someCell is null for no time at all.
func someCell(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := cell(&t)
	return &text
}

// fields prints names and values, one pair a line, without those that have no value.
func (p *printer) fields(pairs ...string) error {
	table := tabwriter.NewWriter(p.to, 0, 0, 2, ' ', 0)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", pairs[i], visibly(pairs[i+1]))
		}
	}
	return table.Flush()
}
