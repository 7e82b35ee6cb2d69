package spf

import (
	"fmt"
	"net/netip"
	"strings"
)

// Cause says what is wrong with a term. Its value is the code of a sentence.
type Cause string

const (
	NotSPF             Cause = "spf.syntax.not-spf"             // no "v=spf1" at the start
	UnknownMechanism   Cause = "spf.syntax.unknown-mechanism"   // a name that the RFC does not know
	BadQualifier       Cause = "spf.syntax.qualified-modifier"  // "-redirect=…"
	ModifierColon      Cause = "spf.syntax.modifier-colon"      // "redirect:…"
	EmptyTerm          Cause = "spf.syntax.empty-term"          // a qualifier alone, or "=x"
	UnexpectedArgument Cause = "spf.syntax.unexpected-argument" // "all:x", "ptr/24"
	MissingDomain      Cause = "spf.syntax.missing-domain"      // "include", "a:", "redirect="
	MissingAddress     Cause = "spf.syntax.missing-address"     // "ip4"
	BadIP4             Cause = "spf.syntax.bad-ip4"             // not four numbers
	BadIP6             Cause = "spf.syntax.bad-ip6"             //
	BadLength          Cause = "spf.syntax.bad-length"          // "/33", "/032", "/"
	BadCharacter       Cause = "spf.syntax.bad-character"       // a control character, or not ASCII
	BadPercent         Cause = "spf.syntax.bad-percent"         // "%" that begins no macro
	UnclosedMacro      Cause = "spf.syntax.unclosed-macro"      // "%{d"
	BadMacro           Cause = "spf.syntax.bad-macro"           // "%{x}"
	ZeroDigits         Cause = "spf.syntax.zero-digits"         // "%{d0}"
	ExplanationMacro   Cause = "spf.syntax.explanation-macro"   // "%{c}" outside an explanation
	NoTopLabel         Cause = "spf.syntax.no-top-label"        // "a:museum"
	BadTopLabel        Cause = "spf.syntax.bad-top-label"       // "a:example.com:8080"
	NumericTopLabel    Cause = "spf.syntax.numeric-top-label"   // "a:192.0.2.1"
	DuplicateRedirect  Cause = "spf.syntax.duplicate-redirect"  //
	DuplicateExp       Cause = "spf.syntax.duplicate-exp"       //
	TooManyTerms       Cause = "spf.syntax.too-many-terms"      // more than Parse reads
)

// SyntaxError is why a text is no SPF record. By RFC 7208 §4.6 one such fault
// anywhere makes the whole record a permerror.
type SyntaxError struct {
	Cause  Cause
	Offset int    // of the fault, in octets from the start of the record
	Term   string // the term at fault, as published; of any length
}

// Error says what is wrong and where.
func (e *SyntaxError) Error() string {
	what := string(e.Cause[strings.LastIndexByte(string(e.Cause), '.')+1:])
	return fmt.Sprintf("spf record, octet %d: term %q: %s", e.Offset+1, clip(e.Term), strings.ReplaceAll(what, "-", " "))
}

// maxTerms bounds the terms of a record, and so the memory that one takes. The
// RFC sets no bound; the longest records in use have some hundreds.
const maxTerms = 4096

// Parse reads an SPF record: the strings of one TXT record put together (RFC
// 7208 §3.3). The error is a *SyntaxError, that of the first fault. A record
// of more than 4,096 terms is refused. Time and memory are linear in len(txt),
// which the Record shares.
func Parse(txt string) (*Record, error) {
	r, err := parse(txt)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func parse(txt string) (*Record, *SyntaxError) {
	if !IsRecord(txt) {
		return nil, &SyntaxError{Cause: NotSPF, Term: txt}
	}
	r := &Record{}
	n := strings.Count(txt, " ")
	if n > 0 {
		r.Terms = make([]Term, 0, min(n, 32))
	}
	for i := len(version); i < len(txt); {
		if txt[i] == ' ' { // RFC 7208 §4.6.1: terms = *( 1*SP ( directive / modifier ) )
			i++
			continue
		}
		end := strings.IndexByte(txt[i:], ' ')
		if end < 0 {
			end = len(txt)
		} else {
			end += i
		}
		if len(r.Terms) == maxTerms {
			return nil, &SyntaxError{Cause: TooManyTerms, Offset: i, Term: txt[i:end]}
		}
		r.Terms = append(r.Terms, Term{Offset: i, text: txt[i:end]})
		t := &r.Terms[len(r.Terms)-1]
		if err := t.parse(); err != nil {
			err.Term = t.text
			return nil, err
		}
		if t.IsModifier() {
			// RFC 7208 §6: these two MUST NOT appear more than once each.
			switch t.Name {
			case Redirect:
				if r.redirect != 0 {
					return nil, &SyntaxError{Cause: DuplicateRedirect, Offset: i, Term: t.text}
				}
				r.redirect = int16(len(r.Terms))
			case Exp:
				if r.exp != 0 {
					return nil, &SyntaxError{Cause: DuplicateExp, Offset: i, Term: t.text}
				}
				r.exp = int16(len(r.Terms))
			}
		}
		i = end
	}
	return r, nil
}

// ParseTerms reads every term of a record by itself, for those who want to know
// what a record says, and was meant to say, although it cannot be evaluated.
// It returns the terms that can be read and the faults of the others; a second
// redirect or exp is a fault. Terms after the 4,096th are not read, which is a
// fault too. What does not begin as a record has no terms.
func ParseTerms(txt string) ([]Term, []*SyntaxError) {
	if !IsRecord(txt) {
		return nil, []*SyntaxError{{Cause: NotSPF, Term: txt}}
	}
	var terms []Term
	var faults []*SyntaxError
	redirect, exp := false, false
	for i := len(version); i < len(txt); {
		if txt[i] == ' ' {
			i++
			continue
		}
		end := strings.IndexByte(txt[i:], ' ')
		if end < 0 {
			end = len(txt)
		} else {
			end += i
		}
		t := Term{Offset: i, text: txt[i:end]}
		if len(terms)+len(faults) == maxTerms {
			return terms, append(faults, &SyntaxError{Cause: TooManyTerms, Offset: i, Term: t.text})
		}
		err := t.parse()
		switch {
		case err != nil:
			err.Term = t.text
		case t.IsModifier() && t.Name == Redirect && redirect:
			err = &SyntaxError{Cause: DuplicateRedirect, Offset: i, Term: t.text}
		case t.IsModifier() && t.Name == Exp && exp:
			err = &SyntaxError{Cause: DuplicateExp, Offset: i, Term: t.text}
		}
		i = end
		if err != nil {
			faults = append(faults, err)
			continue
		}
		redirect = redirect || t.IsModifier() && t.Name == Redirect
		exp = exp || t.IsModifier() && t.Name == Exp
		terms = append(terms, t)
	}
	return terms, faults
}

// parse reads t.text.
func (t *Term) parse() *SyntaxError {
	s, at := t.text, t.Offset
	fail := func(i int, c Cause) *SyntaxError { return &SyntaxError{Cause: c, Offset: at + i} }
	from := 0
	switch s[0] {
	case '+':
		t.Qualifier, from = Plus, 1
	case '-':
		t.Qualifier, from = Minus, 1
	case '~':
		t.Qualifier, from = Tilde, 1
	case '?':
		t.Qualifier, from = Question, 1
	default:
		t.Qualifier = Plus
	}
	// RFC 7208 §4.6.1: a name, and "=" directly after it, is a modifier; ":",
	// "/" or the end, a mechanism.
	i := from
	if i < len(s) && isAlpha(s[i]) {
		for i++; i < len(s) && (isAlpha(s[i]) || isDigit(s[i]) || s[i] == '-' || s[i] == '_' || s[i] == '.'); i++ {
		}
	}
	if i == from {
		switch {
		case i == len(s) || s[i] == '=' || s[i] == ':' || s[i] == '/':
			return fail(i, EmptyTerm)
		case s[i] < 0x21 || s[i] > 0x7e:
			return fail(i, BadCharacter)
		}
		return fail(i, UnknownMechanism)
	}
	name, rest := s[from:i], s[i:]
	if rest != "" && rest[0] == '=' {
		if from > 0 {
			return fail(0, BadQualifier)
		}
		return t.modifier(name, i+1)
	}
	if rest != "" && rest[0] != ':' && rest[0] != '/' {
		if rest[0] < 0x21 || rest[0] > 0x7e {
			return fail(i, BadCharacter)
		}
		return fail(from, UnknownMechanism)
	}
	switch {
	case foldEqual(name, "all"):
		t.Name = All
		if rest != "" { // RFC 7208 §5.1
			return fail(i, UnexpectedArgument)
		}
		return nil
	case foldEqual(name, "ip4"):
		t.Name = IP4
		return t.network(i)
	case foldEqual(name, "ip6"):
		t.Name = IP6
		return t.network(i)
	case foldEqual(name, "include"):
		t.Name = Include
		return t.domain(i, len(s), true)
	case foldEqual(name, "exists"):
		t.Name = Exists
		return t.domain(i, len(s), true)
	case foldEqual(name, "ptr"):
		t.Name = PTR
		return t.domain(i, len(s), false)
	case foldEqual(name, "a"):
		t.Name = A
	case foldEqual(name, "mx"):
		t.Name = MX
	case foldEqual(name, "redirect"), foldEqual(name, "exp"):
		return fail(i, ModifierColon)
	default:
		return fail(from, UnknownMechanism)
	}
	end, bad := t.lengths(i)
	if bad >= 0 {
		return fail(bad, BadLength)
	}
	return t.domain(i, end, false)
}

// modifier reads the value of a modifier, which starts at i (RFC 7208 §6).
func (t *Term) modifier(name string, i int) (err *SyntaxError) {
	t.Qualifier = ""
	kind := anyMacro
	switch {
	case foldEqual(name, "redirect"):
		t.Name, kind = Redirect, domainSpec
	case foldEqual(name, "exp"):
		t.Name, kind = Exp, domainSpec
	default:
		t.Name = Name(lower(name))
	}
	if kind == domainSpec && i == len(t.text) {
		return &SyntaxError{Cause: MissingDomain, Offset: t.Offset + i}
	}
	t.Value, err = parseMacro(t.text[i:], t.Offset+i, kind)
	return err
}

// domain reads [ ":" domain-spec ] in t.text[i:end].
func (t *Term) domain(i, end int, must bool) (err *SyntaxError) {
	if i == end {
		if must {
			return &SyntaxError{Cause: MissingDomain, Offset: t.Offset + i}
		}
		return nil
	}
	if t.text[i] != ':' {
		return &SyntaxError{Cause: UnexpectedArgument, Offset: t.Offset + i}
	}
	if i+1 == end {
		return &SyntaxError{Cause: MissingDomain, Offset: t.Offset + i + 1}
	}
	t.Value, err = parseMacro(t.text[i+1:end], t.Offset+i+1, domainSpec)
	return err
}

// lengths reads the dual-cidr-length at the end of t.text[i:] (RFC 7208 §5.3)
// and returns where it starts, or in bad where it is wrong (-1: it is not). A
// domain-spec may hold slashes, but cannot end in one and digits.
func (t *Term) lengths(i int) (end, bad int) {
	s := t.text
	end = len(s)
	start := end
	for start > i && isDigit(s[start-1]) {
		start--
	}
	if start == i || s[start-1] != '/' {
		return end, -1
	}
	if start-1 > i && s[start-2] == '/' {
		var ok bool
		if t.Bits6, ok = parseLength(s[start:end], 128); !ok {
			return end, start
		}
		end = start - 2
		for start = end; start > i && isDigit(s[start-1]); {
			start--
		}
		if start == i || start == end || s[start-1] != '/' {
			return end, -1
		}
	}
	var ok bool
	if t.Bits4, ok = parseLength(s[start:end], 32); !ok {
		return end, start
	}
	return start - 1, -1
}

// parseLength reads a prefix length: no leading zeros, at most most (RFC 7208
// §5.6: ip4-cidr-length = "/" ("0" / %x31-39 0*1DIGIT)).
func parseLength(s string, most int) (Length, bool) {
	if s == "" || len(s) > 3 || s[0] == '0' && len(s) > 1 {
		return Length{}, false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return Length{}, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return Length{Given: true, Bits: uint8(min(n, 255))}, n <= most
}

// network reads ":" ip-network [ cidr-length ] at i (RFC 7208 §5.6).
func (t *Term) network(i int) *SyntaxError {
	s := t.text
	fail := func(i int, c Cause) *SyntaxError { return &SyntaxError{Cause: c, Offset: t.Offset + i} }
	if i == len(s) || i+1 == len(s) || s[i] != ':' {
		return fail(i, MissingAddress)
	}
	i++
	address, slash := s[i:], strings.IndexByte(s[i:], '/')
	if slash >= 0 {
		address = address[:slash]
	}
	bad, full := BadIP4, 32
	if t.Name == IP6 {
		bad, full = BadIP6, 128
	}
	if strings.IndexByte(address, '%') >= 0 { // no zones
		return fail(i, bad)
	}
	a, err := netip.ParseAddr(address)
	if err != nil || a.BitLen() != full {
		return fail(i, bad)
	}
	n := Length{Bits: uint8(full)}
	if slash >= 0 {
		var ok bool
		if n, ok = parseLength(s[i+slash+1:], full); !ok {
			return fail(i+slash+1, BadLength)
		}
	}
	t.Network = netip.PrefixFrom(a, int(n.Bits))
	return nil
}
