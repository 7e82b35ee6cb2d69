// Package taglist reads tag=value lists (RFC 6376 §3.2), the form of DKIM
// signatures and keys, ARC fields, DMARC, BIMI, MTA-STS and TLS-RPT records.
//
// Parse reads as much as can be read and says what could not, with its place:
// how much of that is forgiven is for the protocol to decide.
package taglist

import (
	"fmt"
	"strings"
)

// Tag is one name=value pair.
type Tag struct {
	Name   string // as written; case matters (RFC 6376 §3.2)
	Value  string // without folding white space at its ends
	Offset int    // of the name, in octets from the start of the list
}

// List is the tags in the order written.
type List []Tag

// Get returns the value of the first tag of that name.
func (l List) Get(name string) (value string, ok bool) {
	for i := range l {
		if l[i].Name == name {
			return l[i].Value, true
		}
	}
	return "", false
}

// FaultKind says what is wrong with a piece of a list.
type FaultKind string

const (
	NoEquals  FaultKind = "no-equals" // something without "="
	BadName   FaultKind = "bad-name"  // a name that is not ALPHA *(ALPHA / DIGIT / "_")
	BadValue  FaultKind = "bad-value" // an octet that may not stand in a value
	Duplicate FaultKind = "duplicate" // a name that stood before
	Empty     FaultKind = "empty"     // nothing between two semicolons
)

// Fault is a piece of a list that is not as RFC 6376 §3.2 has it. A piece with
// NoEquals, BadName or Empty is not among the tags; one with Duplicate or
// BadValue is.
type Fault struct {
	Kind   FaultKind
	Text   string // the piece, without white space at its ends
	Offset int    // in octets from the start of the list
}

// Error makes a Fault an error, for those who forgive none.
func (f Fault) Error() string {
	text := f.Text
	if len(text) > 60 {
		text = text[:60] + "…"
	}
	switch f.Kind {
	case NoEquals:
		return fmt.Sprintf("tag-list, octet %d: %q has no \"=\"", f.Offset+1, text)
	case BadName:
		return fmt.Sprintf("tag-list, octet %d: the name of %q is not letters, digits and \"_\"", f.Offset+1, text)
	case BadValue:
		return fmt.Sprintf("tag-list, octet %d: %q has an octet that may not stand in a value", f.Offset+1, text)
	case Duplicate:
		return fmt.Sprintf("tag-list, octet %d: %q repeats a tag", f.Offset+1, text)
	}
	return fmt.Sprintf("tag-list, octet %d: nothing between two semicolons", f.Offset+1)
}

// Parse reads a list. Folding white space, with or without its line ends, may
// stand around names, "=", values and semicolons; one semicolon may end the
// list. Time and memory grow with len(s); the strings share s.
func Parse(s string) (List, []Fault) {
	n := strings.Count(s, ";") + 1
	const most = 64 // lists are short; a hostile one grows as it is read
	list := make(List, 0, min(n, most))
	var faults []Fault
	var seen map[string]bool
	for start := 0; start <= len(s); {
		end := strings.IndexByte(s[start:], ';')
		last := end < 0
		if last {
			end = len(s)
		} else {
			end += start
		}
		from, to := trim(s, start, end)
		piece := s[from:to]
		start = end + 1
		if piece == "" {
			if !last {
				faults = append(faults, Fault{Empty, "", from})
			}
			continue
		}
		eq := strings.IndexByte(piece, '=')
		if eq < 0 {
			faults = append(faults, Fault{NoEquals, piece, from})
			continue
		}
		_, nameEnd := trim(s, from, from+eq)
		valueStart, _ := trim(s, from+eq+1, to)
		t := Tag{Name: s[from:max(from, nameEnd)], Value: s[valueStart:to], Offset: from}
		if !isName(t.Name) {
			faults = append(faults, Fault{BadName, piece, from})
			continue
		}
		if !isValue(t.Value) {
			faults = append(faults, Fault{BadValue, piece, from})
		}
		dup := false
		if len(list) < 16 {
			_, dup = list.Get(t.Name)
		} else {
			if seen == nil {
				seen = make(map[string]bool, 2*len(list))
				for i := range list {
					seen[list[i].Name] = true
				}
			}
			dup = seen[t.Name]
			seen[t.Name] = true
		}
		if dup {
			faults = append(faults, Fault{Duplicate, piece, from})
		}
		list = append(list, t)
	}
	return list, faults
}

// trim narrows s[from:to] by folding white space at both ends.
func trim(s string, from, to int) (int, int) {
	for from < to && isFWS(s[from]) {
		from++
	}
	for to > from && isFWS(s[to-1]) {
		to--
	}
	return from, to
}

func isFWS(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// isName: ALPHA *ALNUMPUNC.
func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		alpha := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !alpha && (i == 0 || c != '_' && (c < '0' || '9' < c)) {
			return false
		}
	}
	return s != ""
}

// isValue: VALCHAR is %x21-3A / %x3C-7E; folding white space may stand between.
// Octets of UTF-8 are admitted: RFC 8616 §2 allows them in names of domains.
func isValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x21 && !isFWS(c) || c == 0x7f {
			return false
		}
	}
	return true
}

// Unfold takes all folding white space out of a value: for base64 and other
// values in which it means nothing.
func Unfold(s string) string {
	if !strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if !isFWS(s[i]) {
			b = append(b, s[i])
		}
	}
	return string(b)
}
