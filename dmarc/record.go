package dmarc

import (
	"fmt"
	"strconv"
	"strings"

	"sekimori/explain"
	"sekimori/taglist"
)

// Mode is an alignment mode (RFC 9989 §4.7, tags adkim and aspf).
type Mode string

const (
	Relaxed Mode = "r" // the same organizational domain
	Strict  Mode = "s" // the same domain
)

// PSD says whether a domain is a public suffix (RFC 9989 §4.7, tag psd).
type PSD string

const (
	IsPSD     PSD = "y" // it is
	IsOrg     PSD = "n" // it is not, and is the organizational domain
	Undecided PSD = "u" // the tree walk decides
)

// FailureOptions says when failure reports are wanted (RFC 9989 §4.7, tag fo).
type FailureOptions struct {
	Any  bool // "1": when any mechanism gives no aligned pass; else "0", when all give none
	DKIM bool // "d": when a DKIM signature fails, aligned or not
	SPF  bool // "s": when SPF fails, aligned or not
}

// String returns the value of the tag.
func (f FailureOptions) String() string {
	s := "0"
	if f.Any {
		s = "1"
	}
	if f.DKIM {
		s += ":d"
	}
	if f.SPF {
		s += ":s"
	}
	return s
}

// Record is a policy record (RFC 9989 §4.7). Its fields hold what applies:
// where a tag is missing or not as it should be, the default. Tags and Faults
// tell the two apart. A Record is not changed once made.
type Record struct {
	P, SP, NP   Policy // empty where absent or invalid; see Effective
	ADKIM, ASPF Mode
	PSD         PSD
	Testing     bool // t=y
	FO          FailureOptions
	// RUA and RUF are the valid URIs, of any scheme.
	RUA, RUF []URI
	// Pct is the share of messages to apply the policy to (RFC 7489 §6.3; historic
	// since RFC 9989 §9.3): 100 where absent or invalid.
	Pct int
	// Tags are all the tags, known or not, in order and as written. Repeated
	// ones stand here too.
	Tags   taglist.List
	Faults []Fault // in the order of their places
	// Text is the record as published.
	Text string
}

// order is the customary place of the tags.
var order = [...]string{"v", "p", "sp", "np", "adkim", "aspf", "fo", "rua", "ruf", "psd", "t"}

func rank(name string) int {
	for i, n := range order {
		if strings.EqualFold(n, name) {
			return i
		}
	}
	return len(order)
}

// New returns a record with a policy and nothing else.
func New(p Policy) *Record {
	r, _ := parse("v=DMARC1; p="+string(p), FirstTag)
	return r
}

// Has reports whether the record has a tag of that name (in lower case),
// valid or not.
func (r *Record) Has(name string) bool {
	_, ok := r.Get(name)
	return ok
}

// Get returns the value of the first tag of that name (in lower case), as
// written.
func (r *Record) Get(name string) (value string, ok bool) {
	for i := range r.Tags {
		if equalFold(r.Tags[i].Name, name) {
			return r.Tags[i].Value, true
		}
	}
	return "", false
}

// With returns the record with a tag set: in its place if there is one of the
// name, and otherwise where it is customary. Further tags of the name are
// taken out. Octets that may not stand in a value are percent-encoded; an empty
// value takes the tag out. v cannot be set to anything but DMARC1.
func (r *Record) With(name, value string) *Record {
	if equalFold(name, "v") {
		value = "DMARC1"
	}
	if value == "" {
		return r.Without(name)
	}
	set := taglist.Tag{Name: name, Value: escape(value)}
	out := make(taglist.List, 0, len(r.Tags)+1)
	done := false
	for _, t := range r.Tags {
		if !equalFold(t.Name, name) {
			out = append(out, t)
			continue
		}
		if !done {
			out, done = append(out, set), true
		}
	}
	if !done {
		at := len(out)
		for at > 1 && rank(out[at-1].Name) > rank(name) {
			at--
		}
		out = append(out, taglist.Tag{})
		copy(out[at+1:], out[at:])
		out[at] = set
	}
	return remade(out)
}

// Without returns the record without the tags of these names; v stays.
func (r *Record) Without(names ...string) *Record {
	out := make(taglist.List, 0, len(r.Tags))
	for i, t := range r.Tags {
		drop := false
		for _, n := range names {
			drop = drop || i > 0 && equalFold(t.Name, n)
		}
		if !drop {
			out = append(out, t)
		}
	}
	return remade(out)
}

func remade(tags taglist.List) *Record {
	r, err := parse(join(tags), FirstTag)
	if err != nil { // v stands first in every Record
		return &Record{}
	}
	return r
}

func escape(v string) string {
	var b []byte
	for i := 0; i < len(v); i++ {
		c := v[i]
		if c == ';' || c < ' ' || c == 0x7f {
			if b == nil {
				b = append(make([]byte, 0, len(v)+8), v[:i]...)
			}
			b = fmt.Appendf(b, "%%%02X", c)
		} else if b != nil {
			b = append(b, c)
		}
	}
	if b == nil {
		return strings.TrimSpace(v)
	}
	return strings.TrimSpace(string(b))
}

// String writes the record: its tags in their order, with one space after
// each semicolon and none around "=". What was no tag is left out. Parse reads
// the same record from it.
func (r *Record) String() string { return join(r.Tags) }

func join(tags taglist.List) string {
	var b strings.Builder
	for i := range tags {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(tags[i].Name)
		b.WriteByte('=')
		b.WriteString(tags[i].Value)
	}
	return b.String()
}

// Effective returns the policies with their fallbacks (RFC 9989 §4.7): np from
// sp, sp from p, p none.
func (r *Record) Effective() (p, sp, np Policy) {
	p, sp, np = r.P, r.SP, r.NP
	if p == "" {
		p = None
	}
	if sp == "" {
		sp = p
	}
	if np == "" {
		np = sp
	}
	return p, sp, np
}

// FaultKind says what is wrong with a piece of a record.
type FaultKind string

const (
	NotDMARC  FaultKind = "not-dmarc" // it does not begin with v=DMARC1: no record at all
	TooLong   FaultKind = "too-long"  // more than 8,192 octets: no record at all
	Stray     FaultKind = "stray"     // something that is no name=value
	Empty     FaultKind = "empty"     // nothing between two semicolons
	BadName   FaultKind = "bad-name"  // a tag's name that is not letters
	Duplicate FaultKind = "duplicate" // a tag that stood before
	BadValue  FaultKind = "bad-value" // a value that the tag does not have
	BadURI    FaultKind = "bad-uri"   // one of a list of URIs that is none
)

// Fault is a piece of a record that is not as RFC 9989 §4.8 has it, and what
// comes of it: the piece is ignored.
type Fault struct {
	Kind   FaultKind
	Tag    string // in lower case; empty where the piece is no tag
	Text   string // the piece
	Offset int    // in octets from the start of the record
}

// Error says what is wrong, where, and what to do.
func (f Fault) Error() string {
	at := "dmarc record, octet " + strconv.Itoa(f.Offset+1) + ": "
	text := strconv.Quote(explain.ClipFolded(f.Text))
	switch f.Kind {
	case NotDMARC:
		return at + "the record does not begin with v=DMARC1 (in capitals, followed by a semicolon)"
	case TooLong:
		return "dmarc record: longer than " + strconv.Itoa(maxRecord) + " octets"
	case Stray:
		return at + text + " is no tag: want name=value"
	case Empty:
		return at + "nothing between two semicolons"
	case BadName:
		return at + "the name of " + text + " is not letters"
	case Duplicate:
		return at + text + " repeats the tag " + f.Tag
	case BadURI:
		return at + text + " is no URI of a report destination: want mailto:user@example.com"
	}
	return at + "the tag " + f.Tag + " has no such value as " + text
}
