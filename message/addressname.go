package message

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// name returns a phrase as people read it, or the comment where there is none.
func (p *addressParser) name(ph phrase) string {
	if p.nameless {
		return ""
	}
	if ph.words == 0 {
		return p.clean(p.uncomment())
	}
	raw := p.s[ph.start:ph.end]
	if !ph.marked {
		return p.clean(raw)
	}
	if ph.words == 1 && raw[0] == '"' {
		return p.clean(Unquote(raw[1 : len(raw)-1]))
	}
	in := addressParser{s: raw}
	var b strings.Builder
	b.Grow(len(raw))
	for n := 0; in.i < len(raw); n++ {
		// It was read before: no errors, and progress in each round.
		if in.space() != nil || in.i == len(raw) {
			break
		}
		if n > 0 {
			b.WriteByte(' ')
		}
		at := in.i
		var ph phrase
		if in.word(&ph) != nil {
			break
		}
		if raw[at] == '"' {
			b.WriteString(Unquote(raw[at+1 : in.i-1]))
		} else {
			b.WriteString(raw[at:in.i])
		}
	}
	return p.clean(b.String())
}

// uncomment returns the comment read last.
func (p *addressParser) uncomment() string { return strings.Trim(Unquote(p.note), " \t") }

// clean decodes a display name and takes out what is not for showing.
func (p *addressParser) clean(s string) string {
	if s == "" || p.nameless {
		return ""
	}
	if p.high && !utf8.ValidString(s) {
		s = toUTF8([]byte(s), "")
	}
	if strings.Contains(s, "=?") {
		s = DecodeWords(s)
	} else if !p.high && strings.IndexByte(s, '\t') < 0 {
		return s // nothing but printable ASCII
	}
	if strings.IndexFunc(s, unicode.IsControl) >= 0 || !utf8.ValidString(s) {
		s = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(s, "\ufffd"))
	}
	return strings.TrimSpace(s)
}

// Unquote takes the backslashes off the quoted pairs of a quoted string or a
// comment, given without its quotes or parentheses, and the folding out (RFC
// 5322 §3.2.1, §3.2.4).
func Unquote(s string) string {
	if !strings.ContainsAny(s, "\\\r\n") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\r', '\n':
		case '\\':
			if i++; i < len(s) && s[i] != '\r' && s[i] != '\n' {
				b = append(b, s[i])
			}
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func isDotAtom(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAtext(s[i]) && (s[i] != '.' || i == 0 || i == len(s)-1 || s[i-1] == '.') {
			return false
		}
	}
	return s != ""
}

// atextOctets: RFC 5322 §3.2.3, with all that is beyond ASCII (RFC 6532 §3.2).
// domainOctets are those of names, with their dots: other characters of atoms
// are in no name of a host, only in attempts to look like one.
var atextOctets, domainOctets = octets("!#$%&'*+-/=?^_`{|}~"), octets("-._")

func octets(more string) (t [256]bool) {
	for c := range t {
		b := byte(c)
		t[c] = 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9' || b >= 0x80 || strings.IndexByte(more, b) >= 0
	}
	return t
}

func isAtext(c byte) bool { return atextOctets[c] }

func isDomainOctet(c byte) bool { return domainOctets[c] }
