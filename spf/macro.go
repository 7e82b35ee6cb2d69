package spf

import (
	"strconv"
	"strings"
)

// MacroString is text with macros, parsed (RFC 7208 §7.1): a domain-spec, the
// value of a modifier or an explanation. The zero MacroString is absent.
type MacroString struct {
	text   string  // as published
	pieces []piece // nil where text has no "%": it is literal
}

// piece is a literal (macro.Letter 0) or a macro.
type piece struct {
	literal string
	macro   Macro
}

// Macro is one macro of a MacroString: "%{d2r-}" is the letter d, two parts,
// reversed, split at "-".
type Macro struct {
	Letter     byte   // one of "slodipvhcrt"
	Escape     bool   // written in upper case: URL-escaped
	Keep       int    // how many parts on the right; 0 keeps all
	Reverse    bool   // parts in reverse order, before Keep
	Delimiters string // where to split; "" means "."
}

// String returns the text as published.
func (m MacroString) String() string { return m.text }

// IsZero reports whether there is no text.
func (m MacroString) IsZero() bool { return m.text == "" }

// Macros returns the macros in order; nil where the text is literal.
func (m MacroString) Macros() []Macro {
	var all []Macro
	for _, p := range m.pieces {
		if p.macro.Letter != 0 {
			all = append(all, p.macro)
		}
	}
	return all
}

// uses reports whether one of the letters occurs.
func (m MacroString) uses(letters string) bool {
	for i := range m.pieces {
		if l := m.pieces[i].macro.Letter; l != 0 && strings.IndexByte(letters, l) >= 0 {
			return true
		}
	}
	return false
}

// macroKind says what a macro-string stands for, and so what it may hold.
type macroKind uint8

const (
	domainSpec  macroKind = iota // ends in a top label or a macro; no c, r, t
	anyMacro                     // the value of an unknown modifier
	explanation                  // the text that exp points to: spaces too
)

// ParseExplanation reads the text that an exp modifier points to (RFC 7208
// §6.2, explain-string): spaces and the macros c, r and t are allowed.
func ParseExplanation(txt string) (MacroString, error) {
	m, err := parseMacro(txt, 0, explanation)
	if err != nil {
		return MacroString{}, err
	}
	return m, nil
}

const delimiters = ".-+,/_="

// parseMacro reads s, which stands at an offset in the record. Time and
// memory are linear in len(s).
func parseMacro(s string, offset int, kind macroKind) (MacroString, *SyntaxError) {
	m := MacroString{text: s}
	start := 0 // of the literal being read
	endsInMacro := false
	fail := func(i int, c Cause) (MacroString, *SyntaxError) {
		return MacroString{}, &SyntaxError{Cause: c, Offset: offset + i, Term: s}
	}
	for i := 0; i < len(s); {
		c := s[i]
		if c != '%' {
			// RFC 7208 §7.1: macro-literal = %x21-24 / %x26-7E
			if c < 0x21 && (c != ' ' || kind != explanation) || c > 0x7e {
				return fail(i, BadCharacter)
			}
			i++
			continue
		}
		if m.pieces == nil {
			m.pieces = make([]piece, 0, min(2*strings.Count(s[i:], "%")+1, 8))
		}
		if i > start {
			m.pieces = append(m.pieces, piece{literal: s[start:i]})
		}
		if i+1 == len(s) {
			return fail(i, BadPercent)
		}
		switch s[i+1] {
		case '%':
			m.pieces = append(m.pieces, piece{literal: "%"})
			i += 2
		case '_':
			m.pieces = append(m.pieces, piece{literal: " "})
			i += 2
		case '-':
			m.pieces = append(m.pieces, piece{literal: "%20"})
			i += 2
		case '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return fail(i, UnclosedMacro)
			}
			mac, cause := parseOneMacro(s[i+2:i+end], kind)
			if cause != "" {
				return fail(i, cause)
			}
			m.pieces = append(m.pieces, piece{macro: mac})
			i += end + 1
		default:
			return fail(i, BadPercent)
		}
		start = i
		endsInMacro = i == len(s)
	}
	if m.pieces != nil && start < len(s) {
		m.pieces = append(m.pieces, piece{literal: s[start:]})
	}
	if kind == domainSpec && !endsInMacro {
		// RFC 7208 §7.1: domain-end = ( "." toplabel [ "." ] ) / macro-expand
		if cause := checkTopLabel(s[start:]); cause != "" {
			return fail(start, cause)
		}
	}
	return m, nil
}

// parseOneMacro reads what stands between "%{" and "}".
func parseOneMacro(s string, kind macroKind) (Macro, Cause) {
	if s == "" {
		return Macro{}, BadMacro
	}
	m := Macro{Letter: s[0]}
	if 'A' <= m.Letter && m.Letter <= 'Z' {
		m.Letter += 'a' - 'A'
		m.Escape = true
	}
	switch m.Letter {
	case 's', 'l', 'o', 'd', 'i', 'p', 'v', 'h':
	case 'c', 'r', 't':
		// RFC 7208 §7.2: "c", "r" and "t" are allowed only in explanations.
		// What an unknown modifier means is not known, so there too.
		if kind == domainSpec {
			return Macro{}, ExplanationMacro
		}
	default:
		return Macro{}, BadMacro
	}
	i := 1
	for ; i < len(s) && isDigit(s[i]); i++ {
		m.Keep = min(m.Keep*10+int(s[i]-'0'), 1000) // more parts than a name can have
	}
	if i > 1 && m.Keep == 0 {
		return Macro{}, ZeroDigits // RFC 7208 §7.3: the value MUST be nonzero
	}
	if i < len(s) && (s[i] == 'r' || s[i] == 'R') {
		m.Reverse = true
		i++
	}
	m.Delimiters = s[i:]
	for ; i < len(s); i++ {
		if strings.IndexByte(delimiters, s[i]) < 0 {
			return Macro{}, BadMacro
		}
	}
	return m, ""
}

// checkTopLabel reads the last literal of a domain-spec that ends in one: it
// holds a dot and ends in a top label (RFC 7208 §7.1).
func checkTopLabel(s string) Cause {
	s = strings.TrimSuffix(s, ".")
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 {
		return NoTopLabel
	}
	label := s[dot+1:]
	if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
		return BadTopLabel
	}
	numeric := true
	for i := 0; i < len(label); i++ {
		switch c := label[i]; {
		case isDigit(c):
		case isAlpha(c) || c == '-':
			numeric = false
		default:
			return BadTopLabel
		}
	}
	if numeric {
		return NumericTopLabel
	}
	return ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// expand appends the text with its macros filled in (RFC 7208 §7.3). domain
// is the one whose record the text is of.
func (e *evaluation) expand(dst []byte, m *MacroString, domain string) []byte {
	if m.pieces == nil {
		return append(dst, m.text...)
	}
	for i := range m.pieces {
		p := &m.pieces[i]
		if p.macro.Letter == 0 {
			dst = append(dst, p.literal...)
			continue
		}
		from := len(dst)
		dst = e.appendMacro(dst, p.macro.Letter, domain)
		if p.macro.Keep != 0 || p.macro.Reverse || p.macro.Delimiters != "" {
			value := string(dst[from:])
			dst = p.macro.transform(dst[:from], value)
		}
		if p.macro.Escape {
			dst = escape(dst, from)
		}
	}
	return dst
}

// appendMacro appends the value of a letter (RFC 7208 §7.2).
func (e *evaluation) appendMacro(dst []byte, letter byte, domain string) []byte {
	switch letter {
	case 's':
		dst = append(append(dst, e.local...), '@')
		return append(dst, e.origin...)
	case 'l':
		return append(dst, e.local...)
	case 'o':
		return append(dst, e.origin...)
	case 'd':
		return append(dst, domain...)
	case 'i':
		return appendDotted(dst, e)
	case 'p':
		return append(dst, e.validatedName(domain)...)
	case 'v':
		if e.ip.Is4() {
			return append(dst, "in-addr"...)
		}
		return append(dst, "ip6"...)
	case 'h':
		return append(dst, e.helo...)
	case 'c':
		return e.ip.AppendTo(dst)
	case 'r':
		if e.v.Receiver == "" {
			return append(dst, "unknown"...) // RFC 7208 §7.3
		}
		return append(dst, e.v.Receiver...)
	case 't':
		return strconv.AppendInt(dst, e.now().Unix(), 10)
	}
	return dst
}

// appendDotted appends the address as the macro i has it: dotted quads, or
// for IPv6 its nibbles between dots (RFC 7208 §7.3).
func appendDotted(dst []byte, e *evaluation) []byte {
	if e.ip.Is4() {
		return e.ip.AppendTo(dst)
	}
	const hex = "0123456789ABCDEF"
	b := e.ip.As16()
	for i, c := range b {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = append(dst, hex[c>>4], '.', hex[c&15])
	}
	return dst
}

// transform appends the parts of value that the macro keeps, joined by dots.
// Parts may be empty (RFC 7208 §7.3).
func (m *Macro) transform(dst []byte, value string) []byte {
	split := m.Delimiters
	if split == "" {
		split = "."
	}
	n := 1
	for i := 0; i < len(value); i++ {
		if strings.IndexByte(split, value[i]) >= 0 {
			n++
		}
	}
	skip := 0
	if m.Keep > 0 && m.Keep < n {
		skip = n - m.Keep
	}
	first := true
	emit := func(part string) {
		if !first {
			dst = append(dst, '.')
		}
		first = false
		dst = append(dst, part...)
	}
	if m.Reverse {
		// The last part comes first; the parts skipped are then those at the
		// end of value.
		end := len(value)
		for k := 0; k < n; k++ {
			start := strings.LastIndexAny(value[:end], split) + 1
			if k >= skip {
				emit(value[start:end])
			}
			end = start - 1
		}
		return dst
	}
	for k, start := 0, 0; k < n; k++ {
		end := strings.IndexAny(value[start:], split)
		if end < 0 {
			end = len(value)
		} else {
			end += start
		}
		if k >= skip {
			emit(value[start:end])
		}
		start = end + 1
	}
	return dst
}

// escape URL-escapes dst[from:]: what is not unreserved in RFC 3986 §2.3.
func escape(dst []byte, from int) []byte {
	const hex = "0123456789ABCDEF"
	n := 0
	for _, c := range dst[from:] {
		if !unreserved(c) {
			n++
		}
	}
	if n == 0 {
		return dst
	}
	value := string(dst[from:])
	dst = dst[:from]
	for i := 0; i < len(value); i++ {
		if c := value[i]; unreserved(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

func unreserved(c byte) bool {
	return isAlpha(c) || isDigit(c) || c == '-' || c == '.' || c == '_' || c == '~'
}
