package spf

import (
	"net/netip"
	"strconv"
)

// Status is a result of check_host() (RFC 7208 §2.6), or the qualifier's part
// of one. The zero Status is invalid.
type Status string

const (
	None      Status = "none"
	Neutral   Status = "neutral"
	Pass      Status = "pass"
	Fail      Status = "fail"
	SoftFail  Status = "softfail"
	TempError Status = "temperror"
	PermError Status = "permerror"
)

// Qualifier says what a directive's match means (RFC 7208 §4.6.2).
type Qualifier string

const (
	Plus     Qualifier = "+" // also where none is written
	Minus    Qualifier = "-"
	Tilde    Qualifier = "~"
	Question Qualifier = "?"
)

// Status returns the result that a match gives; "" for the zero Qualifier.
func (q Qualifier) Status() Status {
	switch q {
	case Plus:
		return Pass
	case Minus:
		return Fail
	case Tilde:
		return SoftFail
	case Question:
		return Neutral
	}
	return ""
}

// Name is the name of a mechanism or of a modifier, in lower case.
type Name string

// The mechanisms (RFC 7208 §5) and the modifiers (§6) that the RFC defines.
const (
	All      Name = "all"
	Include  Name = "include"
	A        Name = "a"
	MX       Name = "mx"
	PTR      Name = "ptr"
	IP4      Name = "ip4"
	IP6      Name = "ip6"
	Exists   Name = "exists"
	Redirect Name = "redirect"
	Exp      Name = "exp"
)

// Record is an SPF record (RFC 7208 §4.6.1): its terms in the order in which
// they are published. The zero Record is "v=spf1" alone.
type Record struct {
	Terms []Term

	redirect, exp int16 // 1 + index in Terms; 0 where absent
}

// Term is a directive (a qualifier and a mechanism) or a modifier. The zero
// Term is invalid.
type Term struct {
	Name Name
	// Qualifier is that of a directive, Plus where none is written; empty for
	// a modifier.
	Qualifier Qualifier
	// Value is the domain-spec of a mechanism, empty where it has none; for a
	// modifier what follows "=".
	Value MacroString
	// Network is that of ip4 and ip6, as published: host bits may be set.
	Network netip.Prefix
	// Bits4 and Bits6 are the prefix lengths of a and mx.
	Bits4, Bits6 Length
	// Offset is where the term stood in the record, in octets.
	Offset int

	text string // as published
}

// Length is a prefix length that may be absent; the zero Length is absent.
type Length struct {
	Given bool
	Bits  uint8
}

// or returns the length, or a default where it is absent.
func (l Length) or(full int) int {
	if l.Given {
		return int(l.Bits)
	}
	return full
}

// IsModifier reports whether the term is a modifier (RFC 7208 §6).
func (t *Term) IsModifier() bool { return t.Qualifier == "" }

// Text returns the term as it was published; for a term that was not parsed
// it is String.
func (t *Term) Text() string {
	if t.text != "" {
		return t.text
	}
	return t.String()
}

// queries reports whether the term counts against the limit of terms that
// cause DNS queries (RFC 7208 §4.6.4).
func (t *Term) queries() bool {
	switch t.Name {
	case Include, A, MX, PTR, Exists:
		return !t.IsModifier()
	case Redirect:
		return t.IsModifier()
	}
	return false
}

// String returns the term in canonical form: names in lower case, no "+",
// addresses as RFC 5952 writes them, no prefix length that says nothing.
func (t *Term) String() string { return string(t.append(nil)) }

func (t *Term) append(b []byte) []byte {
	if t.IsModifier() {
		b = append(append(b, t.Name...), '=')
		return append(b, t.Value.text...)
	}
	if t.Qualifier != Plus {
		b = append(b, t.Qualifier...)
	}
	b = append(b, t.Name...)
	switch t.Name {
	case IP4, IP6:
		b = t.Network.Addr().AppendTo(append(b, ':'))
		if n := t.Network.Bits(); n != t.Network.Addr().BitLen() {
			b = strconv.AppendInt(append(b, '/'), int64(n), 10)
		}
		return b
	}
	if !t.Value.IsZero() {
		b = append(append(b, ':'), t.Value.text...)
	}
	if t.Bits4.Given && t.Bits4.Bits != 32 {
		b = strconv.AppendInt(append(b, '/'), int64(t.Bits4.Bits), 10)
	}
	if t.Bits6.Given && t.Bits6.Bits != 128 {
		b = strconv.AppendInt(append(b, '/', '/'), int64(t.Bits6.Bits), 10)
	}
	return b
}

// String returns the record in canonical form: one space between terms, each
// as Term.String writes it. Parsing it gives the same terms.
func (r *Record) String() string {
	b := make([]byte, 0, 64)
	b = append(b, version...)
	for i := range r.Terms {
		b = r.Terms[i].append(append(b, ' '))
	}
	return string(b)
}

// Redirect returns the redirect modifier, nil where there is none.
func (r *Record) Redirect() *Term {
	if r.redirect == 0 {
		return nil
	}
	return &r.Terms[r.redirect-1]
}

// Explanation returns the exp modifier, nil where there is none.
func (r *Record) Explanation() *Term {
	if r.exp == 0 {
		return nil
	}
	return &r.Terms[r.exp-1]
}

// All returns the first all mechanism, nil where there is none.
func (r *Record) All() *Term {
	for i := range r.Terms {
		if t := &r.Terms[i]; t.Name == All && !t.IsModifier() {
			return t
		}
	}
	return nil
}

const version = "v=spf1"

// IsRecord reports whether a TXT record is meant as an SPF record: it begins
// with "v=spf1", in any case, followed by a space or its end (RFC 7208 §4.5).
func IsRecord(txt string) bool {
	return len(txt) >= len(version) && foldEqual(txt[:len(version)], version) &&
		(len(txt) == len(version) || txt[len(version)] == ' ')
}

// foldEqual compares ASCII without regard to case; the second is lower case.
func foldEqual(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// lower returns s with ASCII letters in lower case, s itself where they are.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
