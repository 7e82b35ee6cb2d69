package aggregate

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Namespaces that the two forms define. RFC 7489's is seldom written.
const (
	namespace7489 = "http://dmarc.org/dmarc-xml/0.1"   // RFC 7489 appendix C
	namespace9990 = "urn:ietf:params:xml:ns:dmarc-2.0" // RFC 9990 appendix A
)

// Byte order marks.
const (
	utf8Mark    = "\xEF\xBB\xBF"
	utf16Little = "\xFF\xFE"
	utf16Big    = "\xFE\xFF"
)

// prolog reads up to and with the root's start tag and returns the namespace
// that the root is in. It settles the document's encoding on the way.
func (s *scanner) prolog() (namespace string, err error) {
	s.byteOrder()
	start, seen := s.pos, false
	for {
		s.pos = blank(s.buf[:s.end], s.pos)
		if s.pos == s.end {
			if s.fill() {
				continue
			}
			if s.err != io.EOF {
				return "", s.ended()
			}
			if !seen {
				return "", ErrEmpty
			}
			return "", s.ended()
		}
		seen = true
		s.need(8)
		s.tag.i = s.pos
		b := s.buf[s.pos:s.end]
		switch {
		case header(b) > 0:
			if s.pos != start || s.base > 0 || header(b) != len("<?xml") {
				s.noteHere(BrokenHeader, "", "")
			}
			if err := s.declaration(header(b)); err != nil {
				return "", err
			}
			continue
		case b[0] != '<':
			return "", s.fail(nil, "not XML: it begins with %q", clean(b[:min(len(b), 16)]))
		}
		kind, err := s.markup()
		if err != nil {
			return "", err
		}
		switch kind {
		case skipped:
			continue
		case startTag:
			name := strings.ToLower(clean(s.found.name))
			if name == "schema" {
				s.noteHere(StraySchema, "", clean(s.buf[s.pos:s.pos+s.found.size]))
				s.pos += s.found.size
				continue
			}
			if name != root.name {
				return "", s.fail(ErrNotReport, "the root element is <%s>, an aggregate report's is <feedback>", clean(s.found.name))
			}
			if string(s.found.name) != root.name {
				s.note(RenamedElement, "", clean(s.found.name))
			}
			namespace = s.namespace()
			return namespace, s.begin(clean(s.found.name))
		case endTag:
			if strings.EqualFold(clean(s.found.name), "schema") {
				s.noteHere(StraySchema, "", clean(s.buf[s.pos:s.pos+s.found.size]))
				s.pos += s.found.size
				continue
			}
		}
		if bytes.IndexByte(s.buf[s.pos:s.end], '>') < 0 && !s.need(s.end-s.pos+1) {
			return "", s.ended()
		}
		return "", s.fail(nil, "not XML: %q is no tag", clean(s.buf[s.pos:min(s.end, s.pos+40)]))
	}
}

// header returns the length of what begins an XML declaration, also one that
// lost its first characters; 0 where b is none.
func header(b []byte) int {
	for _, h := range []string{"<?xml", "<xml", "?xml", "xml"} {
		if n := len(h); len(b) > n && strings.EqualFold(string(b[:n]), h) && (space(b[n]) || b[n] == '?') {
			return n
		}
	}
	return 0
}

// declaration reads an XML declaration, whose first n bytes are known, and
// changes to its encoding. Where its "?>" is missing it ends with ">", or
// before the next "<".
func (s *scanner) declaration(n int) error {
	end := n
	for c := s.at(end); c != 0 && c != '>' && c != '<'; c = s.at(end) {
		end++
	}
	switch s.at(end) {
	case '>':
		if s.at(end-1) != '?' {
			s.noteHere(BrokenHeader, "", "")
		}
		end++
	case '<':
		s.noteHere(BrokenHeader, "", "")
	default:
		if err := s.tooLong(end); err != nil {
			return err
		}
		if s.pos+end < s.end { // a NUL
			return s.fail(nil, "not XML: %q is no declaration", clean(s.buf[s.pos:s.pos+end]))
		}
		return s.ended()
	}
	label := pseudoAttribute(s.buf[s.pos+n:s.pos+end], "encoding")
	s.pos += end
	s.encoding(label)
	return nil
}

// pseudoAttribute returns the value of a name in an XML declaration.
func pseudoAttribute(b []byte, name string) string {
	i := bytes.Index(b, []byte(name))
	if i < 0 {
		return ""
	}
	b = bytes.TrimLeft(b[i+len(name):], " \t\r\n")
	if len(b) == 0 || b[0] != '=' {
		return ""
	}
	b = bytes.TrimLeft(b[1:], " \t\r\n")
	if len(b) == 0 || b[0] != '"' && b[0] != '\'' {
		return ""
	}
	end := bytes.IndexByte(b[1:], b[0])
	if end < 0 {
		return ""
	}
	return string(b[1 : 1+end])
}

// byteOrder looks for a byte order mark, and for UTF-16 without one.
func (s *scanner) byteOrder() {
	s.need(4)
	b := s.buf[s.pos:s.end]
	switch {
	case bytes.HasPrefix(b, []byte(utf8Mark)):
		s.pos += len(utf8Mark)
	case bytes.HasPrefix(b, []byte(utf16Little)):
		s.pos += len(utf16Little)
		s.decode(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM))
	case bytes.HasPrefix(b, []byte(utf16Big)):
		s.pos += len(utf16Big)
		s.decode(unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM))
	case bytes.HasPrefix(b, []byte("<\x00")):
		s.noteHere(WrongEncoding, "", "UTF-16 without a byte order mark")
		s.decode(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM))
	case bytes.HasPrefix(b, []byte("\x00<")):
		s.noteHere(WrongEncoding, "", "UTF-16 without a byte order mark")
		s.decode(unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM))
	}
}

// encoding changes to the encoding with that label, as the declaration gives
// it. UTF-8 and its subset are read as they are.
func (s *scanner) encoding(label string) {
	if s.decoded {
		return // told by the bytes: no declaration can know better
	}
	switch l := strings.ToLower(label); {
	case l == "", l == "utf-8", l == "utf8", l == "us-ascii", l == "ascii":
		return
	case strings.HasPrefix(l, "utf-16"), strings.HasPrefix(l, "utf16"), strings.HasPrefix(l, "ucs-2"), strings.HasPrefix(l, "iso-10646-ucs-2"):
		// The declaration itself was readable byte by byte.
		s.note(WrongEncoding, "", clean([]byte(label)))
		return
	}
	e, err := htmlindex.Get(label)
	if err != nil || e == encoding.Replacement {
		s.note(WrongEncoding, "", clean([]byte(label)))
		return
	}
	s.decode(e)
}

// decode has the rest of the input decoded. Offsets count the decoded bytes
// from here on.
func (s *scanner) decode(e encoding.Encoding) {
	rest := bytes.Clone(s.buf[s.pos:s.end])
	src := io.Reader(bytes.NewReader(rest))
	switch s.err {
	case nil:
		src = io.MultiReader(src, s.src)
	case io.EOF:
		s.err = nil
	}
	s.src = transform.NewReader(src, e.NewDecoder())
	s.total -= int64(s.end - s.pos)
	s.end = s.pos
	s.decoded = true
}

// namespace returns the namespace of the root's start tag: of its prefix, or
// the default one.
func (s *scanner) namespace() string {
	want := "xmlns"
	if len(s.found.space) > 0 {
		want += ":" + string(s.found.space)
	}
	// The tag was found well-formed: name = 'value', again and again.
	b := s.found.attrs
	for {
		eq := bytes.IndexByte(b, '=')
		if eq < 0 {
			return ""
		}
		name := string(bytes.TrimSpace(b[:eq]))
		b = bytes.TrimLeft(b[eq+1:], " \t\r\n")
		if len(b) == 0 {
			return ""
		}
		end := bytes.IndexByte(b[1:], b[0])
		if end < 0 {
			return ""
		}
		if name == want {
			return strings.TrimSpace(string(b[1 : 1+end]))
		}
		b = b[end+2:]
	}
}

// epilog reads to the end of the input, so that a checksum around the report
// is verified. What stands there besides white space and comments is noted.
func (s *scanner) epilog() error {
	for {
		s.pos = blank(s.buf[:s.end], s.pos)
		if s.pos == s.end {
			if s.fill() {
				continue
			}
			break
		}
		if s.buf[s.pos] == '<' {
			s.tag.i = s.pos
			kind, err := s.markup()
			if kind == skipped && err == nil {
				continue
			}
			if kind == endTag && bytes.EqualFold(s.found.name, []byte("schema")) {
				s.noteHere(StraySchema, "", clean(s.buf[s.pos:s.pos+s.found.size]))
				s.pos += s.found.size
				continue
			}
		}
		s.noteHere(TrailingContent, "", clean(s.buf[s.pos:min(s.end, s.pos+60)]))
		for s.pos = s.end; s.fill(); s.pos = s.end {
		}
		break
	}
	if s.err == io.EOF {
		return nil
	}
	if _, ok := s.err.(*SyntaxError); ok {
		return s.err
	}
	line, off := s.place(s.pos)
	return fmt.Errorf("line %d, offset %d: reading past the report: %w", line, off, s.err)
}
