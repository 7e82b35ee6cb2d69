package publish

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekimori/internal/store"
)

// maxShown is how many characters of a name from outside are shown where
// there is little room.
const maxShown = 120

// uniqueName returns name, or where it was seen already, "name (2)" and so on.
func uniqueName(name string, seen map[string]bool) string {
	out := name
	for n := 2; seen[out]; n++ {
		out = fmt.Sprintf("%s (%d)", name, n)
	}
	seen[out] = true
	return out
}

// Columns of results.csv before the attributes, between them and the facts,
// and after these. Their names stay.
var (
	columnsBefore = [...]string{"line", "name", "domain", "status", "input", "aliases"}
	columnsAfter  = [...]string{"dmarc_policy", "spf_all", "spf_lookups", "spf_record", "dmarc_record", "problems", "input_problem", "duplicate_of", "measured_at"}
)

// attributeColumns are the names of the attributes' columns: as in the list,
// except where a column of that name is there already.
func attributeColumns(w store.Wave) []string {
	seen := map[string]bool{}
	for _, c := range slices.Concat(columnsBefore[:], w.Facts, columnsAfter[:]) {
		seen[c] = true
	}
	out := make([]string, len(w.Attributes))
	for i, a := range w.Attributes {
		out[i] = uniqueName(a, seen)
	}
	return out
}

// resultsCSV writes an entry of the list a line, in UTF-8 with the mark by
// which Excel knows it, with CRLF (RFC 4180).
type resultsCSV struct {
	cw    *csv.Writer
	wave  store.Wave
	cells []string
}

func newResultsCSV(w io.Writer, wave store.Wave) (*resultsCSV, error) {
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return nil, err
	}
	c := &resultsCSV{cw: csv.NewWriter(w), wave: wave}
	c.cw.UseCRLF = true
	head := slices.Concat(columnsBefore[:], attributeColumns(wave), wave.Facts, columnsAfter[:])
	for i, h := range head {
		head[i] = cellOf(h)
	}
	return c, c.cw.Write(head)
}

func (c *resultsCSV) write(r *record) error {
	c.cells = append(c.cells[:0], strconv.FormatInt(r.Line, 10), cellOf(r.Name), cellOf(r.Domain), string(r.status), cellOf(r.Input), cellOf(strings.Join(r.Aliases, " ")))
	for i := range c.wave.Attributes {
		c.cells = append(c.cells, cellOf(r.attribute(i)))
	}
	for i := range c.wave.Facts {
		c.cells = append(c.cells, r.state(i))
	}
	lookups := ""
	if len(r.SPF.Records) > 0 {
		lookups = strconv.FormatInt(r.SPF.Lookups, 10)
	}
	c.cells = append(c.cells, cellOf(r.DMARC.Policy), r.all(), lookups, cellOf(strings.Join(r.SPF.Records, " | ")), cellOf(strings.Join(r.DMARC.Records, " | ")),
		cellOf(r.codes()), cellOf(r.Problem), number(r.Of), stamp(r.Result.At))
	return c.cw.Write(c.cells)
}

func (c *resultsCSV) flush() error {
	c.cw.Flush()
	return c.cw.Error()
}

// attribute is the value of attribute number i.
func (r *record) attribute(i int) string {
	if i < len(r.Attributes) {
		return r.Attributes[i]
	}
	return ""
}

// all is what the SPF record says of all other senders, in the words of RFC
// 7208 §2.6: a bare "-" would be the beginning of a formula.
func (r *record) all() string {
	switch r.SPF.All {
	case "+":
		return "pass"
	case "-":
		return "fail"
	case "~":
		return "softfail"
	case "?":
		return "neutral"
	}
	return ""
}

// codes are the problems of the domain, the worst first.
func (r *record) codes() string {
	if r.status != measured {
		return ""
	}
	out := make([]string, 0, len(r.Result.Codes))
	for _, c := range r.Result.Codes {
		out = append(out, c.Code)
	}
	return strings.Join(slices.Compact(out), " ")
}

// number writes a number, nothing for 0.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}
