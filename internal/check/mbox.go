package check

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"sekimori/message"
)

// mailbox cuts an mbox file (RFC 4155) into its messages, in one pass.
//
// A message begins at a line "From ", a sender and a date, that stands first
// or after an empty line and before a header field; other lines that begin
// with "From " are text. A Content-Length field is not believed: whoever wrote
// the message may have written it.
type mailbox struct {
	br     *bufio.Reader
	off    int64 // of what br delivers next
	begun  bool
	failed error
}

// maxFromLine is the longest separator line, in octets.
const maxFromLine = 1024

// piece is one message of a mailbox.
type piece struct {
	offset int64 // of its first octet after the separator line
	quoted bool  // it has lines that begin with ">From ", ">>From " …
	err    error // it could not be kept
}

var errNoSeparator = errors.New("no mailbox: it does not begin with a \"From \" line")

// next writes the next message to sp, without its separator line and without
// the empty line that ends it. Quoting stays on. It returns io.EOF after the
// last message; a message that sp refuses is skipped, with the reason in the
// piece.
func (m *mailbox) next(sp *spool) (piece, error) {
	if m.failed != nil {
		return piece{}, m.failed
	}
	if !m.begun {
		m.begun = true
		if !m.separator() {
			m.failed = errNoSeparator
			return piece{}, m.failed
		}
	}
	p := piece{offset: m.off}
	keep := func(b []byte) {
		if p.err == nil {
			if _, err := sp.Write(b); err != nil {
				p.err = err
			}
		}
	}
	var held []byte // an empty line that may belong to the mailbox
	start, blank := true, true
	for {
		if start && blank && m.separator() {
			return p, nil
		}
		if start {
			if b := m.plainLines(); len(b) > 0 {
				keep(held)
				held = lastEmptyLine(b)
				keep(b[:len(b)-len(held)])
				blank = len(held) > 0
				m.discard(len(b))
				continue
			}
		}
		line, err := m.br.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			m.failed = err
			return p, err
		}
		m.off += int64(len(line))
		if len(line) > 0 {
			keep(held)
			held = nil
		}
		blank = start && isEmptyLine(line)
		switch {
		case blank:
			held = lastEmptyLine(line)
		default:
			if start && quotesFrom(line) {
				p.quoted = true
			}
			keep(line)
		}
		start = err == nil
		if err == io.EOF {
			m.failed = io.EOF
			return p, nil
		}
	}
}

// plainLines returns the whole lines that stand next in the buffer, up to the
// first that has "From " in it, which is looked at by itself.
func (m *mailbox) plainLines() []byte {
	if _, err := m.br.Peek(1); err != nil {
		return nil
	}
	b, _ := m.br.Peek(m.br.Buffered())
	if i := bytes.Index(b, []byte("From ")); i >= 0 {
		b = b[:i]
	}
	return b[:bytes.LastIndexByte(b, '\n')+1]
}

func (m *mailbox) discard(n int) {
	n, _ = m.br.Discard(n)
	m.off += int64(n)
}

// lastEmptyLine returns the last of whole lines if it is empty.
func lastEmptyLine(b []byte) []byte {
	n := len(b)
	switch {
	case n == 1 || n > 1 && b[n-2] == '\n':
		return lf
	case n == 2 && b[0] == '\r' || n > 2 && b[n-2] == '\r' && b[n-3] == '\n':
		return crlf
	}
	return nil
}

var (
	lf   = []byte("\n")
	crlf = []byte("\r\n")
)

// separator takes the separator line that stands next, if one does. An error
// of reading is left to who reads on.
func (m *mailbox) separator() bool {
	if b, _ := m.br.Peek(5); string(b) != "From " {
		return false
	}
	// The line and the beginning of the one after it, which shows whether a
	// header follows. A line longer than that is text.
	b, err := m.br.Peek(2 * maxFromLine)
	i := bytes.IndexByte(b, '\n')
	if i < 0 && err == io.EOF {
		i = len(b) - 1
	}
	if i < 0 || i >= maxFromLine || !isFromLine(b[:i+1]) || !beginsHeader(b[i+1:]) {
		return false
	}
	m.discard(i + 1)
	return true
}

// isFromLine tells a separator line: "From ", anything, a day of the week, a
// month, and a time of day (RFC 4155, appendix A); or, as some programs write
// it, a date as in a Date field or as in RFC 3339. "From :" is a header field, in the obsolete form
// (RFC 5322 §4.5.2).
func isFromLine(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("From ")) || message.IsFieldLine(line) {
		return false
	}
	day := -1
	for i := 5; i+8 <= len(line); i++ {
		if line[i-1] != ' ' {
			continue
		}
		if line[i+3] == ' ' && line[i+7] == ' ' && oneOf(days, line[i:i+3]) && oneOf(months, line[i+4:i+7]) || dated(line[i:]) {
			day = i
			break
		}
	}
	if day < 0 {
		return false
	}
	for i := day + 8; i+5 <= len(line); i++ {
		if line[i+2] == ':' && digit(line[i]) && digit(line[i+1]) && digit(line[i+3]) && digit(line[i+4]) {
			return true
		}
	}
	return false
}

const (
	days   = "SunMonTueWedThuFriSat"
	months = "JanFebMarAprMayJunJulAugSepOctNovDec"
)

// dated tells the start of "Mon, 1 Jan 2024" and of "2024-01-01".
func dated(b []byte) bool {
	if len(b) > 10 && b[4] == '-' && b[7] == '-' && (b[10] == 'T' || b[10] == ' ') {
		for _, i := range [...]int{0, 1, 2, 3, 5, 6, 8, 9} {
			if !digit(b[i]) {
				return false
			}
		}
		return true
	}
	if len(b) < 11 || b[3] != ',' || b[4] != ' ' || !digit(b[5]) || !oneOf(days, b[:3]) {
		return false
	}
	b = b[6:]
	if digit(b[0]) {
		b = b[1:]
	}
	return b[0] == ' ' && oneOf(months, b[1:4])
}

func oneOf(names string, b []byte) bool {
	for i := 0; i+3 <= len(names); i += 3 {
		if names[i:i+3] == string(b) {
			return true
		}
	}
	return false
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// beginsHeader tells whether b may be the start of a message: a header field,
// an empty line, another "From " line as some programs leave it, or nothing.
func beginsHeader(b []byte) bool {
	if len(b) == 0 || isEmptyLine(b) {
		return true
	}
	if bytes.HasPrefix(b, []byte(">From ")) || bytes.HasPrefix(b, []byte("From ")) {
		return true
	}
	for i, c := range b {
		switch {
		case c == ':' || (c == ' ' || c == '\t') && i > 0 && bytes.HasPrefix(bytes.TrimLeft(b[i:], " \t"), []byte(":")):
			return i > 0
		case c <= ' ' || c >= 0x7f:
			return false
		}
	}
	return true // a name that goes on beyond what was looked at
}

func isEmptyLine(b []byte) bool {
	return len(b) > 0 && b[0] == '\n' || len(b) > 1 && b[0] == '\r' && b[1] == '\n'
}

// quotesFrom tells a line that a mailbox quotes: one or more ">" and "From ".
func quotesFrom(line []byte) bool {
	i := 0
	for i < len(line) && line[i] == '>' {
		i++
	}
	return i > 0 && bytes.HasPrefix(line[i:], []byte("From "))
}

// unquoter takes one ">" off each line that begins with ">From ", ">>From " …
// It is what mboxrd asks for; of mboxo, which quotes "From " only, it undoes
// what was done, and damages a ">From " that stood in the message itself.
type unquoter struct {
	br    *bufio.Reader
	line  []byte // read, not delivered
	start bool
	err   error
}

func newUnquoter(r io.Reader) *unquoter {
	return &unquoter{br: bufio.NewReaderSize(r, 16<<10), start: true}
}

func (u *unquoter) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(u.line) == 0 {
			if u.err != nil {
				break
			}
			line, err := u.br.ReadSlice('\n')
			if u.start && quotesFrom(line) {
				line = line[1:]
			}
			u.start = err == nil
			if err != nil && err != bufio.ErrBufferFull {
				u.err = err
			}
			u.line = line
			continue
		}
		k := copy(p[n:], u.line)
		u.line = u.line[k:]
		n += k
	}
	if n == 0 && len(p) > 0 {
		return 0, u.err
	}
	return n, nil
}
