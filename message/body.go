package message

import (
	"bufio"
	"bytes"
	"io"
)

// body reads one entity's content up to the next boundary line. The line end
// before that line belongs to the boundary (RFC 2046 §5.1.1).
type body struct {
	w     *walker
	adopt int    // 1 + index in bounds of a boundary that may be guessed; 0 for none
	lead  string // a line end to be delivered before cur
	cur   []byte // of the line read last, not yet delivered, without its line end
	eol   string // its line end: content only if no boundary line follows
	mid   bool   // the line goes on in the walker's reader
	err   error
}

// skip reads to the end of the body.
func (b *body) skip() error {
	b.cur, b.lead = nil, ""
	for b.err == nil {
		b.next()
	}
	b.cur, b.lead = nil, ""
	if b.err == io.EOF {
		return nil
	}
	return b.err
}

// Read delivers the content byte for byte.
func (b *body) Read(p []byte) (int, error) {
	n := 0
	for {
		k := copy(p[n:], b.lead)
		n += k
		b.lead = b.lead[k:]
		if b.lead == "" {
			k = copy(p[n:], b.cur)
			n += k
			b.cur = b.cur[k:]
		}
		if n == len(p) || n > 0 && (b.err != nil || b.w.r.Buffered() == 0) {
			return n, nil
		}
		if b.err != nil {
			return 0, b.err
		}
		b.next()
	}
}

// next takes the next line, or as much of it as fits the buffer.
func (b *body) next() {
	w := b.w
	if w.ev.kind != running && len(w.unread) == 0 {
		b.err = io.EOF
		b.end()
		return
	}
	line, err := w.readSlice()
	switch {
	case err == io.EOF && len(line) == 0:
		w.ev = event{kind: atEOF}
		b.err = io.EOF
		b.end()
		return
	case err != nil && err != io.EOF && err != bufio.ErrBufferFull:
		b.err = err
		return
	}
	if !b.mid && b.atBoundary(line) {
		b.err = io.EOF
		b.eol = ""
		return
	}
	b.mid = err == bufio.ErrBufferFull
	b.lead, b.eol = b.eol, ""
	switch {
	case bytes.HasSuffix(line, []byte("\r\n")):
		b.eol = "\r\n"
	case bytes.HasSuffix(line, []byte("\n")):
		b.eol = "\n"
	}
	b.cur = line[:len(line)-len(b.eol)]
}

// end delivers the last line end where the input, not a boundary, ends the body.
func (b *body) end() {
	if b.w.ev.kind == atEOF {
		b.lead, b.eol = b.eol, ""
	}
}

// atBoundary tells whether line is a boundary line, and records it.
func (b *body) atBoundary(line []byte) bool {
	w := b.w
	if len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return false
	}
	if level, closing, ok := w.boundary(line); ok {
		w.ev = event{kind: atBoundary, level: level, closing: closing}
		return true
	}
	if b.adopt == 0 || !b.guess(line) {
		return false
	}
	w.ev = event{kind: atBoundary, level: b.adopt - 1}
	return true
}

// guess adopts the line as the boundary of a multipart that names none, or
// names one that does not come: then a MIME field must follow.
func (b *body) guess(line []byte) bool {
	name := string(bytes.TrimRight(line[2:], " \t\r\n"))
	if name == "" || len(name) > 200 || !hasLetterOrDigit(name) {
		return false
	}
	if b.w.bounds[b.adopt-1] != "" {
		// Only what is buffered already: reading more would move line.
		next, _ := b.w.r.Peek(min(b.w.r.Buffered(), 8))
		if len(next) < 8 || !bytes.EqualFold(next[:8], []byte("content-")) {
			return false
		}
	}
	b.w.bounds[b.adopt-1] = name
	return true
}

func hasLetterOrDigit(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return true
		}
	}
	return false
}
