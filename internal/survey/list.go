package survey

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sekimori/internal/store"
)

// Role is what a column of the list is used for. A column without a role is an
// attribute to tabulate by.
type Role string

const (
	RoleSubdomain Role = "subdomain" // a domain that mail is sent from, such as a subdomain for newsletters
	RoleDomain    Role = "domain"
	RoleMail      Role = "mail" // mail addresses
	RoleURL       Role = "url"
	RoleName      Role = "name"     // of the organisation
	RoleSelector  Role = "selector" // of DKIM
	RoleIgnore    Role = "ignore"   // not read at all
)

// Roles lists the roles; of the first four, which name domains, an earlier one
// decides where a row has several.
var Roles = [...]Role{RoleSubdomain, RoleDomain, RoleMail, RoleURL, RoleName, RoleSelector, RoleIgnore}

// naming are the roles of columns that name domains.
var naming = Roles[:4]

// Bounds of a list.
const (
	sampleRows  = 1000    // that the plan is made from
	sampleBytes = 4 << 20 // of them, at most
	headerRows  = 20      // among which the headers are looked for
	maxColumns  = 256
	maxCell     = 32 << 10 // octets; Excel allows 32,767 characters
	maxValue    = 1000     // octets of an attribute's value that are kept
	maxAliases  = 20
	maxGiven    = 20 // selectors of a row
)

// Rows is a table that is read row by row. Next returns the cells of the next
// row, which are good until it is called again, and its line; io.EOF ends the
// table.
type Rows interface {
	Next() (cells []string, line int64, err error)
}

// Reading says how a list is to be read. The zero value finds everything out.
type Reading struct {
	// Columns gives roles to columns by their header, or by their number from
	// 1. Where it names a domain, URL, mail or subdomain column, no other
	// column is taken for one.
	Columns map[Role][]string
}

// Column is a column of a list.
type Column struct {
	Index  int    `json:"-"`      // from 0
	Number int    `json:"column"` // from 1, as Reading counts
	Header string `json:"header"` // as it stands in the list; empty where there is none
	Role   Role   `json:"role"`   // empty for an attribute
	Name   string `json:"name"`   // of the attribute: the header, made unique
}

// List is a list of organisations: how it is understood, and its rows. A List
// is read by one goroutine at a time.
type List struct {
	Columns []Column
	Header  int64 // the line of the headers; 0 where there are none

	open  func() (Rows, error)
	skip  int // rows before the first with data
	plain bool
	roles map[Role][]int
	attrs []int
}

// Count is what a list holds.
type Count struct {
	Rows     int64 `json:"rows"`
	Named    int64 `json:"named"`   // that have a domain
	Without  int64 `json:"without"` // that name none
	Invalid  int64 `json:"invalid"` // that could not be understood
	Problems int64 `json:"problems"`
}

// ErrEmpty says that there is no row in a list.
var ErrEmpty = errors.New("the list is empty")

// NewList finds out how a list is to be understood, from its first 1,000 rows.
// Open begins to read it from its start; it is called once here and once for
// each Each. Where the columns are not clear, the error says what there is.
func NewList(open func() (Rows, error), o Reading) (*List, error) {
	rows, err := open()
	if err != nil {
		return nil, err
	}
	defer closeRows(rows)
	var s sample
	for size := 0; len(s.rows) < sampleRows && size < sampleBytes; {
		cells, line, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		row := make([]string, min(len(cells), maxColumns))
		for i := range row {
			row[i] = tidy(clip(cells[i], maxCell))
			size += len(row[i]) + 16
		}
		s.rows = append(s.rows, row)
		s.lines = append(s.lines, line)
	}
	return s.plan(open, o)
}

func closeRows(r Rows) {
	if c, ok := r.(io.Closer); ok {
		c.Close()
	}
}

// Attributes are the names of the attributes, in the order of the columns.
func (l *List) Attributes() []string {
	names := []string{}
	for _, i := range l.attrs {
		names = append(names, l.Columns[i].Name)
	}
	return names
}

// Digest tells lists apart: the digest of the file and how it is read.
func (l *List) Digest(file []byte) string {
	h := sha256.New()
	h.Write(file)
	_ = json.NewEncoder(h).Encode(struct {
		Version int
		Header  int64
		Columns []Column
	}{1, l.Header, l.Columns})
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Each reads the list from its start and yields an entry for each row that is
// not empty, whatever is in it: entries are numbered from 1, have one value for
// each attribute, and carry the code of what is wrong with them. Of is left to
// the store. Memory does not depend on the list's length. An error of yield
// ends it and is returned.
func (l *List) Each(yield func(store.Entry) error) (Count, error) {
	var n Count
	rows, err := l.open()
	if err != nil {
		return n, err
	}
	defer closeRows(rows)
	for at := 0; ; at++ {
		cells, line, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if at < l.skip || blank(cells) || l.plain && strings.HasPrefix(strings.TrimSpace(cells[0]), "#") {
			continue
		}
		n.Rows++
		e := l.entry(cells)
		e.No, e.Line = n.Rows, line
		switch {
		case e.Domain != "":
			n.Named++
		case e.Problem == "" || strings.HasPrefix(e.Problem, withoutCode):
			n.Without++
		default:
			n.Invalid++
		}
		if e.Problem != "" {
			n.Problems++
		}
		if err := yield(e); err != nil {
			return n, err
		}
	}
}

func blank(cells []string) bool {
	for _, c := range cells {
		if strings.TrimSpace(c) != "" {
			return false
		}
	}
	return true
}

// Problems of rows. Those that begin with withoutCode say why a row has no
// domain although it is in order.
const (
	withoutCode = "survey.list.without."

	codeFreeMail   = "survey.list.without.free-mail"
	codeShared     = "survey.list.without.shared-site"
	codeNotAName   = "survey.list.not-a-name"
	codeSuffix     = "survey.list.suffix"
	codeAddress    = "survey.list.ip-address"
	codePart       = "survey.list.part"
	codeMany       = "survey.list.many-names"
	codeSelector   = "survey.list.selector"
	codeLong       = "survey.list.long-cell"
	codeCharacters = "survey.list.characters"
	codeCells      = "survey.list.more-cells"
)

// entry reads a row.
func (l *List) entry(cells []string) store.Entry {
	e := store.Entry{Attributes: make([]string, 0, len(l.attrs))}
	cell := func(i int) string {
		if i >= len(cells) {
			return ""
		}
		return cells[i]
	}
	note := func(code, detail string) {
		if e.Problem == "" {
			e.Problem, e.Detail = code, clip(detail, 200)
		}
	}

	// The names of domains: the first of the best role is the row's own.
	var all []string
	var bad, without *fault
	for _, role := range naming {
		for _, i := range l.roles[role] {
			raw := cell(i)
			found, f := domainsIn(clip(raw, maxCell), role)
			if len(found) > 0 && e.Domain == "" {
				e.Domain, e.Input = found[0], clip(tidy(raw), maxValue)
			}
			for _, d := range found {
				if !slices.Contains(all, d) {
					all = append(all, d)
				}
			}
			switch {
			case f == nil:
			case strings.HasPrefix(f.code, withoutCode):
				if without == nil {
					without = f
					without.input = raw
				}
			case bad == nil:
				bad = f
				bad.input = raw
			}
		}
	}
	switch {
	case e.Domain == "" && bad != nil:
		note(bad.code, bad.detail)
		e.Input = clip(tidy(bad.input), maxValue)
	case e.Domain == "" && without != nil:
		note(without.code, without.detail)
		e.Input = clip(tidy(without.input), maxValue)
	case bad != nil:
		note(codePart, bad.detail)
	}
	if len(all) > 1 {
		e.Aliases = all[1:]
	}
	if len(e.Aliases) > maxAliases {
		e.Aliases = e.Aliases[:maxAliases]
		if e.Domain != "" {
			note(codeMany, fmt.Sprint(len(all)-1))
		}
	}

	for _, i := range l.roles[RoleSelector] {
		got, wrong := selectorsIn(clip(cell(i), maxCell))
		for _, s := range got {
			if len(e.Selectors) < maxGiven && !slices.Contains(e.Selectors, s) {
				e.Selectors = append(e.Selectors, s)
			}
		}
		if wrong != "" && e.Domain != "" {
			note(codeSelector, wrong)
		}
	}
	for _, i := range l.roles[RoleName] {
		if n := tidy(clip(cell(i), maxCell)); e.Name == "" && !nothing(n) {
			e.Name = clip(n, maxValue)
		}
	}
	long, lost := "", strings.ContainsRune(e.Name, '\uFFFD')
	for _, i := range l.attrs {
		v := tidy(clip(cell(i), maxCell))
		if len(v) > maxValue {
			v, long = clip(v, maxValue), l.Columns[i].Name
		}
		lost = lost || strings.ContainsRune(v, '\uFFFD')
		e.Attributes = append(e.Attributes, v)
	}
	if e.Domain != "" { // of a row without a domain, that is what is to be said
		switch {
		case lost:
			note(codeCharacters, "")
		case long != "":
			note(codeLong, long)
		case len(cells) > len(l.Columns) && !blank(cells[len(l.Columns):]):
			note(codeCells, fmt.Sprint(len(cells)))
		}
	}
	return e
}

// clip cuts s to n octets, between characters, and makes it valid UTF-8.
func clip(s string, n int) string {
	if len(s) > n {
		cut := n - len("…")
		for cut > 0 && s[cut]&0xC0 == 0x80 {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
