package aggregate

import (
	"bytes"
	"io"
)

// markupKind tells what stands at a "<".
type markupKind uint8

const (
	notMarkup markupKind = iota // a "<" that somebody forgot to escape
	startTag
	endTag
	cdata   // "<![CDATA["
	skipped // a comment or processing instruction, now read past
)

// markup looks at the "<" at pos. A tag goes to found and is not read past; it
// is a tag only if it is one by XML 1.0 §3.1, so that "<someone@example.com>"
// is text. Declarations of a document type are refused: reports have none, and
// entities are a way to attack (RFC 9990 §8.1).
func (s *scanner) markup() (markupKind, error) {
	if !s.need(2) {
		return notMarkup, nil
	}
	switch s.buf[s.pos+1] {
	case '!':
		s.need(len("<!NOTATION"))
		b := s.buf[s.pos:s.end]
		switch {
		case bytes.HasPrefix(b, []byte("<!--")):
			return skipped, s.past("<!--", "-->")
		case bytes.HasPrefix(b, []byte("<![CDATA[")):
			return cdata, nil
		}
		for _, d := range []string{"DOCTYPE", "ENTITY", "ELEMENT", "ATTLIST", "NOTATION"} {
			if len(b) >= 2+len(d) && bytes.EqualFold(b[2:2+len(d)], []byte(d)) {
				return notMarkup, s.fail(nil, "<!%s: document type and entity declarations are not allowed in a report", d)
			}
		}
		return notMarkup, nil
	case '?':
		return skipped, s.past("<?", "?>")
	case '/':
		return s.scanEnd()
	}
	return s.scanStart()
}

// at returns the byte n behind pos, 0 where the input ends or the tag grows
// too long.
func (s *scanner) at(n int) byte {
	if s.pos+n < s.end {
		return s.buf[s.pos+n]
	}
	if n >= maxTag || !s.need(n+1) {
		return 0
	}
	return s.buf[s.pos+n]
}

// scanEnd looks at "</".
func (s *scanner) scanEnd() (markupKind, error) {
	from := 2
	n := s.nameEnd(from)
	if n == from {
		return notMarkup, nil
	}
	to := n
	for space(s.at(n)) {
		n++
	}
	if s.at(n) != '>' {
		return notMarkup, s.tooLong(n)
	}
	s.setName(from, to)
	s.found.size = n + 1
	return endTag, nil
}

// scanStart looks at a "<" before anything else.
func (s *scanner) scanStart() (markupKind, error) {
	const from = 1
	n := s.nameEnd(from)
	if n == from {
		return notMarkup, nil
	}
	to := n
	for {
		gap := n
		for space(s.at(n)) {
			n++
		}
		c := s.at(n)
		if c == '>' || c == '/' && s.at(n+1) == '>' {
			break
		}
		// An attribute: white space, name, "=", a quoted value without "<".
		a := s.nameEnd(n)
		if gap == n || a == n {
			return notMarkup, s.tooLong(n)
		}
		n = a
		for space(s.at(n)) {
			n++
		}
		if s.at(n) != '=' {
			return notMarkup, s.tooLong(n)
		}
		n++
		for space(s.at(n)) {
			n++
		}
		q := s.at(n)
		if q != '"' && q != '\'' {
			return notMarkup, s.tooLong(n)
		}
		n++
		for {
			c := s.at(n)
			if c == q {
				break
			}
			if c == 0 || c == '<' {
				return notMarkup, s.tooLong(n)
			}
			n++
		}
		n++
	}
	s.setName(from, to)
	s.found.attrs = s.buf[s.pos+to : s.pos+n]
	s.found.empty = s.at(n) == '/'
	if s.found.empty {
		n++
	}
	s.found.size = n + 1
	return startTag, nil
}

// tooLong is the error of a tag that does not end within maxTag bytes.
func (s *scanner) tooLong(n int) error {
	if n >= maxTag {
		return s.fail(ErrLimit, "tag is longer than %d bytes", maxTag)
	}
	return nil
}

// setName sets found to a tag whose name lies there behind pos.
func (s *scanner) setName(from, to int) {
	name := s.buf[s.pos+from : s.pos+to]
	i := bytes.LastIndexByte(name, ':')
	s.found = tag{name: name[i+1:]}
	if i > 0 {
		s.found.space = name[:i]
	}
}

// nameEnd returns where a name that begins n behind pos ends; n where there is
// none. Any byte outside of ASCII may be part of a name.
func (s *scanner) nameEnd(n int) int {
	if c := s.at(n); !nameStart(c) {
		return n
	}
	for n++; ; n++ {
		if c := s.at(n); !nameStart(c) && (c < '0' || c > '9') && c != '-' && c != '.' {
			return n
		}
	}
}

func nameStart(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == ':' || c >= 0x80
}

// past reads past what begins at pos with begin and ends with end, within the
// limit for a text.
func (s *scanner) past(begin, end string) error {
	s.tag.i = s.pos
	s.pos += len(begin)
	for n := 0; ; {
		b := s.buf[s.pos:s.end]
		if i := bytes.Index(b, []byte(end)); i >= 0 {
			n += i
			s.pos += i + len(end)
			if n > s.field {
				break
			}
			return nil
		}
		// Keep what may be the beginning of the end.
		if keep := len(b) - len(end) + 1; keep > 0 {
			n += keep
			s.pos += keep
		}
		if n > s.field {
			break
		}
		if !s.fill() {
			if s.err != io.EOF {
				return s.ended()
			}
			return s.failTag(ErrTruncated, "input ends inside %q", begin)
		}
	}
	return s.failTag(ErrLimit, "no %q ends %q within %d bytes", end, begin, s.field)
}
