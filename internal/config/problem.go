package config

import (
	"fmt"
	"slices"
	"strings"
)

// maxProblems bounds how much is said about one file.
const maxProblems = 50

// Problem is one thing that is wrong in a file, and where.
type Problem struct {
	File         string
	Line, Column int // from 1; 0 where it is about the whole
	Text         string
}

func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// Errors is everything that is wrong with a file, in the order of its lines.
type Errors []Problem

// Error gives each problem a line.
func (e Errors) Error() string {
	var b strings.Builder
	for i, p := range e {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// err returns what was found wrong, sorted; nil where nothing was.
func (r *reader) err() error {
	inOrder := func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	}
	slices.SortStableFunc(r.warnings, inOrder)
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, inOrder)
	if over := len(r.problems) - maxProblems; over > 0 {
		r.problems = append(r.problems[:maxProblems], Problem{File: r.name, Text: fmt.Sprintf("and %d more", over)})
	}
	return r.problems
}

// near returns the word of a list that was probably meant; "" where none is.
func near(word string, words []string) string {
	plain := func(s string) string {
		return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
	}
	best, least := "", 1+len(word)/3
	for _, w := range words {
		if d := distance(plain(word), plain(w)); d < least || d == least && best == "" {
			best, least = w, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace (Levenshtein). Words
// of more than 64 octets are far from everything.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := corner
			if a[i] != b[j] {
				replace++
			}
			corner = row[j+1]
			row[j+1] = min(replace, row[j]+1, corner+1)
		}
	}
	return row[len(b)]
}
