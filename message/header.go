package message

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Field is one header field, byte for byte as it was received. The zero Field
// is invalid: it has no name.
type Field struct {
	raw   string
	colon int // index of the colon in raw
}

// Raw returns the whole field: name, colon, value, folding and line ends.
func (f Field) Raw() string { return f.raw }

// Name returns the field's name as sent, without white space before the colon.
func (f Field) Name() string { return strings.TrimRight(f.raw[:f.colon], " \t") }

// RawValue returns what follows the colon, with its leading space and folding,
// without the field's last line end.
func (f Field) RawValue() string {
	if f.raw == "" {
		return ""
	}
	v := f.raw[f.colon+1:]
	v = strings.TrimSuffix(v, "\n")
	return strings.TrimSuffix(v, "\r")
}

// Value returns the value unfolded (RFC 5322 §2.2.3) and without white space
// at its ends. Encoded words are left as they are; see DecodeWords.
func (f Field) Value() string {
	v := f.RawValue()
	if strings.ContainsAny(v, "\r\n") {
		v = strings.NewReplacer("\r\n", "", "\n", "").Replace(v)
	}
	return strings.Trim(v, " \t\r")
}

// Is reports whether the field has this name, in any case.
func (f Field) Is(name string) bool { return strings.EqualFold(f.Name(), name) }

// Header is a header section: its fields in the order received.
type Header []Field

// Get returns the value of the first field of that name, unfolded, or "".
func (h Header) Get(name string) string {
	for _, f := range h {
		if f.Is(name) {
			return f.Value()
		}
	}
	return ""
}

// Has reports whether there is a field of that name.
func (h Header) Has(name string) bool {
	for _, f := range h {
		if f.Is(name) {
			return true
		}
	}
	return false
}

// All returns the fields of that name in the order received.
func (h Header) All(name string) []Field {
	var out []Field
	for _, f := range h {
		if f.Is(name) {
			out = append(out, f)
		}
	}
	return out
}

// parseField makes a field of complete lines. A name is one or more printable
// ASCII characters without colon (RFC 5322 §2.2); white space before the
// colon is the obsolete form (§4.5.1).
func parseField(raw string) (Field, bool) {
	colon := fieldColon(raw)
	if colon < 0 {
		return Field{}, false
	}
	return Field{raw: raw, colon: colon}, true
}

// fieldColon returns the index of the colon that ends a field name at the
// start of line, or -1 if line does not begin a field.
func fieldColon[T string | []byte](line T) int {
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == ':':
			if i == 0 {
				return -1
			}
			return i
		case c == ' ' || c == '\t':
			if i == 0 {
				return -1
			}
			for j := i; j < len(line); j++ {
				if line[j] == ':' {
					return j
				}
				if line[j] != ' ' && line[j] != '\t' {
					return -1
				}
			}
			return -1
		case c <= ' ' || c >= 0x7f:
			return -1
		}
	}
	return -1
}

// ErrTooLarge is in every error that says that a limit was exceeded.
var ErrTooLarge = errors.New("message exceeds a limit")

// Read reads the header section of a message, up to and including the empty
// line that ends it (RFC 5322 §2.1), or up to the end of the input. A line that
// belongs to no field ends the section too, as MTAs have it: it is the first
// line of the body. The body is then read from the Reader returned, octet for
// octet as it comes. A separator line of an mbox before the first field, and
// empty lines there, are skipped. max bounds the section in octets, 0 means
// the default of Limits; beyond it the error is ErrTooLarge.
func Read(r io.Reader, max int) (Header, io.Reader, error) {
	br, ok := r.(*bufio.Reader)
	if !ok {
		br = bufio.NewReaderSize(r, 16<<10)
	}
	w := walker{r: br, limits: Limits{Header: max}.withDefaults()}
	h, err := w.header(true)
	if err != nil || len(w.unread) == 0 {
		return h, br, err
	}
	return h, io.MultiReader(bytes.NewReader(w.unread), br), nil
}

// ParseField makes a field of its octets: name, colon, value and folding, with
// or without the last line end.
func ParseField(raw string) (Field, bool) { return parseField(raw) }

// header reads a header section. With boundaries on the stack, a boundary
// line ends it as well, and is recorded as the walker's event.
func (w *walker) header(top bool) (Header, error) {
	scratch := headers.Get().(*section)
	defer scratch.free()
	buf, starts := scratch.buf[:0], scratch.starts[:0]
	defer func() { scratch.buf, scratch.starts = buf, starts }()
	var inField bool // the last line read belongs to a field
	for {
		line, err := w.readSlice()
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return nil, err
		}
		if len(line) == 0 {
			w.ev = event{kind: atEOF}
			break
		}
		if lv, closing, ok := w.boundary(line); ok {
			w.ev = event{kind: atBoundary, level: lv, closing: closing}
			break
		}
		if isBlank(line) {
			if top && len(buf) == 0 {
				continue // empty lines before the header
			}
			break
		}
		// "From :" is the field, in the obsolete form (RFC 5322 §4.5.2).
		if top && len(buf) == 0 && (bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From "))) && fieldColon(line) < 0 {
			if err == bufio.ErrBufferFull {
				if err := w.skipLine(); err != nil {
					return nil, err
				}
			}
			continue // an mbox separator
		}
		switch {
		case (line[0] == ' ' || line[0] == '\t') && inField:
		case fieldColon(line) > 0:
			starts = append(starts, len(buf))
			inField = true
		default:
			// Not a header: the body begins without an empty line.
			w.unread = append(w.unread[:0], line...)
			w.unreadMid = err == bufio.ErrBufferFull
			return fields(buf, starts), nil
		}
		buf = append(buf, line...)
		for err == bufio.ErrBufferFull {
			line, err = w.r.ReadSlice('\n')
			if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
				return nil, err
			}
			if len(buf)+len(line) > w.limits.Header {
				return nil, fmt.Errorf("header section of more than %d bytes: %w", w.limits.Header, ErrTooLarge)
			}
			buf = append(buf, line...)
		}
		if len(buf) > w.limits.Header {
			return nil, fmt.Errorf("header section of more than %d bytes: %w", w.limits.Header, ErrTooLarge)
		}
		if err == io.EOF {
			w.ev = event{kind: atEOF}
			break
		}
	}
	return fields(buf, starts), nil
}

// section is memory to gather header sections in, one after the other.
type section struct {
	buf    []byte
	starts []int // of fields, in buf
}

var headers = sync.Pool{New: func() any { return &section{buf: make([]byte, 0, 8<<10), starts: make([]int, 0, 64)} }}

// free gives the memory back, unless a huge header made it large.
func (s *section) free() {
	if cap(s.buf) <= 64<<10 && cap(s.starts) <= 4<<10 {
		headers.Put(s)
	}
}

func fields(buf []byte, starts []int) Header {
	s := string(buf)
	h := make(Header, 0, len(starts))
	for i, from := range starts {
		to := len(s)
		if i+1 < len(starts) {
			to = starts[i+1]
		}
		if f, ok := parseField(s[from:to]); ok {
			h = append(h, f)
		}
	}
	return h
}

func isBlank(line []byte) bool {
	return len(line) > 0 && (line[0] == '\n' || (len(line) > 1 && line[0] == '\r' && line[1] == '\n'))
}

// IsFieldLine reports whether line begins like a header field: a name of
// printable ASCII characters and a colon (RFC 5322 §2.2).
func IsFieldLine(line []byte) bool { return fieldColon(line) > 0 }
