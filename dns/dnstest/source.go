package dnstest

import (
	"bufio"
	"io"
	"strings"
)

// source is a zone file on its way to the parser, which takes an
// io.ByteReader as it is: the count of lines is where the parser stands. It
// leaves a byte order mark out, and gives a TXT record without data an empty
// string.
type source struct {
	r     *bufio.Reader
	line  int
	err   error
	begun bool
	nl    bool   // the last byte read ended a line
	given string // what is read before the rest of r
	// What has been seen of the entry so far.
	text    []byte // its first octets
	depth   int    // of parentheses
	quoted  bool
	escaped bool
	comment bool
}

// entryMost is how much of an entry is looked at: more than an owner, a time
// to live, a class and a type.
const entryMost = 1100

func newSource(r io.Reader) *source {
	return &source{r: bufio.NewReader(r), line: 1}
}

func (s *source) ReadByte() (byte, error) {
	if s.given != "" {
		b := s.given[0]
		s.given = s.given[1:]
		return b, nil
	}
	if !s.begun {
		s.begun = true
		if bom, err := s.r.Peek(3); err == nil && string(bom) == "\xef\xbb\xbf" {
			_, _ = s.r.Discard(3)
		}
	}
	b, err := s.r.ReadByte()
	if err != nil {
		if s.err == nil && err == io.EOF && s.bare() {
			s.err = err
			s.given = "\"\""
			return ' ', nil
		}
		s.err = err
		return b, err
	}
	if s.nl {
		s.line++
		s.nl = false
	}
	if b == '\n' && !s.quoted && s.depth == 0 {
		bare := s.bare()
		s.text, s.comment, s.escaped = s.text[:0], false, false
		s.nl = true
		if bare {
			s.given = "\"\"\n"
			return ' ', nil
		}
		return b, nil
	}
	if b == ';' && !s.quoted && !s.escaped && !s.comment && s.depth == 0 && s.bare() {
		s.text, s.comment = append(s.text, '"', '"'), true
		s.given = "\"\";"
		return ' ', nil
	}
	s.nl = b == '\n'
	s.see(b)
	return b, nil
}

// see follows quotes, comments and parentheses (RFC 1035 §5.1).
func (s *source) see(b byte) {
	switch {
	case s.escaped:
		s.escaped = false
	case s.comment:
		s.comment = b != '\n'
		return
	case b == '\\':
		s.escaped = true
	case b == '"':
		s.quoted = !s.quoted
	case s.quoted:
	case b == ';':
		s.comment = true
		return
	case b == '(':
		s.depth++
	case b == ')':
		s.depth--
	}
	if len(s.text) < entryMost {
		s.text = append(s.text, b)
	}
}

// bare reports whether the entry is one of TXT without data: an owner, or
// blanks in its place, perhaps a time to live and a class, the type and no
// more. Files written by hand have that; for the parser it is an error.
func (s *source) bare() bool {
	if len(s.text) >= entryMost || len(s.text) == 0 {
		return false
	}
	fields := strings.Fields(string(s.text))
	if s.text[0] != ' ' && s.text[0] != '\t' && len(fields) > 0 {
		if fields[0][0] == '$' {
			return false
		}
		fields = fields[1:]
	}
	if len(fields) == 0 || len(fields) > 3 || !strings.EqualFold(fields[len(fields)-1], "TXT") {
		return false
	}
	for _, f := range fields[:len(fields)-1] {
		if !strings.EqualFold(f, "IN") && (f[0] < '0' || '9' < f[0]) {
			return false
		}
	}
	return true
}

func (s *source) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := s.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// last is the line of the record that was read last.
func (s *source) last() int { return s.line }
