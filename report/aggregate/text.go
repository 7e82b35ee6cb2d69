package aggregate

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// plain marks the bytes that stand for themselves in text: ASCII without the
// controls, "<", "&", "]" and the carriage return.
var plain = func() (t [256]bool) {
	for c := ' '; c <= 0x7f; c++ {
		t[c] = c != '<' && c != '&' && c != ']'
	}
	t['\n'], t['\t'] = true, true
	return t
}()

// text reads the text of the leaf that child returned, past its end tag, with
// the white space around it taken off. It is valid until the next call.
func (s *scanner) text(k *element) ([]byte, error) {
	if s.empty {
		s.empty = false
		return nil, nil
	}
	b := s.buf[:s.end]
	p := s.pos
	for p < len(b) && plain[b[p]] {
		p++
	}
	q := p + 2 + len(k.name)
	if q < len(b) && b[q] == '>' && b[p] == '<' && b[p+1] == '/' && string(b[p+2:q]) == k.name && p-s.pos <= s.field {
		t := b[s.pos:p]
		s.pos = q + 1
		if len(t) > 0 && (t[0] <= ' ' || t[len(t)-1] <= ' ') {
			t = bytes.TrimSpace(t)
		}
		return t, nil
	}
	return s.slowText(k)
}

// slowText is text for whatever is not one piece of plain text: references,
// CDATA, comments, characters outside ASCII, and "<" that nobody escaped.
// Inside a leaf there are no elements, so that every tag but the leaf's end is
// such a "<"; an end tag of an element around the leaf is an error, though,
// for the leaf's end is missing.
func (s *scanner) slowText(k *element) ([]byte, error) {
	s.scratch = s.scratch[:0]
	raw := false // inside CDATA
	for {
		if len(s.scratch) > s.field {
			return nil, s.failTag(ErrLimit, "text of <%s> is longer than %d bytes", k.name, s.field)
		}
		if s.pos == s.end {
			if !s.fill() {
				s.open = append(s.open, k.name)
				return nil, s.ended()
			}
			continue
		}
		b := s.buf[s.pos:s.end]
		n := 0
		for n < len(b) && plain[b[n]] {
			n++
		}
		if n > 0 {
			s.scratch = append(s.scratch, b[:n]...)
			s.pos += n
			continue
		}
		switch c := b[0]; {
		case c == ']' && raw && s.at(1) == ']' && s.at(2) == '>':
			raw = false
			s.pos += 3
		case c == ']' || raw && (c == '<' || c == '&'):
			s.literal(1)
		case c == '<':
			kind, err := s.markup()
			if err != nil {
				return nil, err
			}
			switch kind {
			case skipped:
				continue
			case cdata:
				raw = true
				s.pos += len("<![CDATA[")
				continue
			case endTag:
				if bytes.EqualFold(s.found.name, []byte(k.name)) || s.renamed(k) {
					s.pos += s.found.size
					return bytes.TrimSpace(s.scratch), nil
				}
				if s.isOpen(s.found.name) {
					return nil, s.fail(nil, "</%s> while <%s> is open", clean(s.found.name), k.name)
				}
			}
			s.noteText(UnescapedMarkup, k.path, 60)
			s.literal(1)
		case c == '&':
			s.reference(k)
		case c == '\r': // XML 1.0 §2.11
			if s.at(1) != '\n' {
				s.scratch = append(s.scratch, '\n')
			}
			s.pos++
		case c < utf8.RuneSelf:
			s.noteText(InvalidCharacter, k.path, 1)
			s.replace(1)
		default:
			s.need(utf8.UTFMax)
			r, size := utf8.DecodeRune(s.buf[s.pos:s.end])
			switch {
			case r == utf8.RuneError && size == 1:
				s.noteText(InvalidUTF8, k.path, 1)
				s.replace(1)
			case !character(r):
				s.noteText(InvalidCharacter, k.path, size)
				s.replace(size)
			default:
				s.literal(size)
			}
		}
	}
}

// renamed tells whether the end tag found is that of k under another name.
func (s *scanner) renamed(k *element) bool {
	return k.id == idTesting && string(s.found.name) == "t"
}

// literal moves n bytes into the text as they are.
func (s *scanner) literal(n int) {
	s.scratch = append(s.scratch, s.buf[s.pos:s.pos+n]...)
	s.pos += n
}

// replace puts U+FFFD for n bytes.
func (s *scanner) replace(n int) {
	s.scratch = utf8.AppendRune(s.scratch, utf8.RuneError)
	s.pos += n
}

// reference reads the "&" at pos: one of the five entities that XML 1.0 §4.6
// defines, or a character by number. There are no other entities, as there is
// no document type; anything else is text.
func (s *scanner) reference(k *element) {
	const most = len("&#1114111;")
	s.need(most)
	b := s.buf[s.pos:min(s.end, s.pos+most)]
	i := bytes.IndexByte(b, ';')
	if i > 1 {
		switch name := string(b[1:i]); name {
		case "lt":
			s.scratch = append(s.scratch, '<')
		case "gt":
			s.scratch = append(s.scratch, '>')
		case "amp":
			s.scratch = append(s.scratch, '&')
		case "quot":
			s.scratch = append(s.scratch, '"')
		case "apos":
			s.scratch = append(s.scratch, '\'')
		default:
			r, ok := number(name)
			if !ok {
				i = 0
				break
			}
			if !character(r) {
				s.noteText(InvalidCharacter, k.path, i+1)
				r = utf8.RuneError
			}
			s.scratch = utf8.AppendRune(s.scratch, r)
		}
		if i > 0 {
			s.pos += i + 1
			return
		}
	}
	s.noteText(UnescapedMarkup, k.path, most)
	s.literal(1)
}

// number reads the inside of a character reference, "#60" or "#x3C".
func number(name string) (rune, bool) {
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	digits, base := name[1:], 10
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 31)
	return rune(n), err == nil
}

// character tells whether XML allows r (XML 1.0 §2.2).
func character(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF ||
		r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= utf8.MaxRune
}
