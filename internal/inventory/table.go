package inventory

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// How a table's columns are found out.
const (
	sampleRows = 200
	maxColumns = 256
)

// headers are the names of columns with domain names in them, in lower case: of
// certificates, of domains, and of what holds a domain. Where a table has
// columns of one kind, those of the later kinds are not read.
var headers = [...][]string{
	{"name_value", "common_name", "common name", "dns_names", "dns names", "matching identities", "subject alternative name", "subject alternative names", "san", "sans"},
	{"subdomain", "sub-domain", "subdomains", "domain", "domains", "domain name", "domain_name", "hostname", "host", "fqdn",
		"サブドメイン", "ドメイン", "ドメイン名", "ホスト名", "ホスト"},
	{"url", "mail", "email", "e-mail", "address", "name", "メールアドレス", "サイト", "ホームページ", "web"},
}

// table reads rows: with separators, CSV; without, one name a line.
func (t *taker) table(src *source, head []byte) error {
	comma, found := delimiter(head)
	t.sum.Form, t.sum.Origin = FormTable, FromList
	if !found {
		t.sum.Form = FormText
	}
	rows := newRows(src, comma)
	var sample [][]string
	var at []int64
	for len(sample) < sampleRows {
		row, line, err := rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		sample, at = append(sample, slices.Clone(row[:min(len(row), maxColumns)])), append(at, line)
	}
	columns, titled := t.columns(sample)
	if len(columns) == 0 {
		return &ReadError{Line: 1, Err: fmt.Errorf("no column holds domain names; want one with the header %q or %q, or a name a line", "domain", "name_value")}
	}
	if titled {
		sample, at = sample[1:], at[1:]
	}
	for i, row := range sample {
		if err := t.row(row, columns, at[i]); err != nil {
			return err
		}
	}
	for {
		row, line, err := rows.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := t.row(row, columns, line); err != nil {
			return err
		}
	}
}

// row takes the names of one row.
func (t *taker) row(row []string, columns []int, line int64) error {
	t.sum.Entries++
	for _, c := range columns {
		if c >= len(row) {
			continue
		}
		for name := range strings.FieldsFuncSeq(row[c], separates) {
			err := t.take(name, time.Time{}, time.Time{})
			var theirs callError
			if err != nil && !errors.As(err, &theirs) {
				return &ReadError{Line: line, Err: err}
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func separates(r rune) bool {
	switch r {
	case ',', ';', ' ', '\t', '\r', '\n', '、', '，', '；', '　', '|':
		return true
	}
	return false
}

// columns finds the columns with names: by their headers, or by what stands in
// them; and whether the first row is one of headers.
func (t *taker) columns(sample [][]string) (columns []int, titled bool) {
	if len(sample) == 0 {
		return nil, false
	}
	for kind, names := range headers {
		for i, cell := range sample[0] {
			if slices.Contains(names, strings.ToLower(strings.TrimSpace(cell))) {
				columns = append(columns, i)
			}
		}
		if len(columns) > 0 {
			if kind == 0 {
				t.sum.Form, t.sum.Origin = FormCertificateCSV, FromCertificates
			}
			return columns, true
		}
	}
	width := 0
	for _, row := range sample {
		width = max(width, len(row))
	}
	for c := range width {
		names, filled := 0, 0
		for _, row := range sample {
			if c >= len(row) || strings.TrimSpace(row[c]) == "" {
				continue
			}
			filled++
			all := true
			for name := range strings.FieldsFuncSeq(row[c], separates) {
				_, _, ok := nameIn(name)
				all = all && ok
			}
			if all {
				names++
			}
		}
		if names > 0 && names*2 >= filled {
			columns = append(columns, c)
		}
	}
	if len(columns) == 0 && width == 1 {
		columns = []int{0} // nothing but what is no name: it will be said so
	}
	// A first row without a name is a title.
	if len(columns) > 0 && len(sample) > 1 && columns[0] < len(sample[0]) {
		_, _, ok := nameIn(sample[0][columns[0]])
		titled = !ok && strings.TrimSpace(sample[0][columns[0]]) != "" && len(sample[0]) > 1
	}
	return columns, titled
}

// delimiter finds what parts the cells: what most lines have.
func delimiter(head []byte) (rune, bool) {
	best, most := ',', 0
	for _, c := range []rune{'\t', ',', ';'} {
		lines := 0
		for line := range bytes.Lines(whole(head)) {
			if bytes.ContainsRune(line, c) {
				lines++
			}
		}
		if lines > most {
			best, most = c, lines
		}
	}
	return best, most > 0
}

// rows reads a table row by row.
type rows struct {
	src  *source
	r    *csv.Reader
	line int64 // on which the last row began
}

func newRows(src *source, comma rune) *rows {
	r := csv.NewReader(src)
	r.Comma, r.Comment = comma, '#'
	r.LazyQuotes, r.FieldsPerRecord, r.ReuseRecord = true, -1, true
	return &rows{src: src, r: r}
}

// next returns the next row, good until the one after it is asked for, and the
// line it begins on.
func (x *rows) next() ([]string, int64, error) {
	x.src.begin()
	row, err := x.r.Read()
	var pe *csv.ParseError
	switch {
	case errors.As(err, &pe):
		return nil, 0, &ReadError{Line: int64(pe.Line), Err: fmt.Errorf("not a table: %w", pe.Err)}
	case err != nil && !errors.Is(err, io.EOF):
		line := x.line
		return nil, 0, &ReadError{Line: line + 1, Err: err}
	case err != nil:
		return nil, 0, err
	}
	line, _ := x.r.FieldPos(0)
	x.line = int64(line)
	return row, x.line, nil
}
