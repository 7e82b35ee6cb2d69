package aggregate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"strings"
)

const (
	firstBuffer = 16 << 10  // enough for most reports whole
	maxBuffer   = 128 << 10 // never more, however large the report
	maxTag      = 16 << 10  // bytes of one tag with its attributes
	minRead     = 4 << 10   // least room to read into
	lookahead   = 512       // bytes at hand before the fast path is tried
)

// scanner is a pull scanner for the XML of reports. It holds a window of the
// input, at most maxBuffer long, and knows its place in it by byte and line.
// Elements that the tree describes and that are written plainly, "<name>",
// take the fast path in child and text; everything else that XML allows, and
// what it does not but was met, takes the slow one.
type scanner struct {
	src      io.Reader
	buf      []byte
	pos, end int   // what is unread: buf[pos:end]
	base     int64 // offset of buf[0] in the document
	lines    int   // newlines before buf[0]
	err      error // why no more can be read, io.EOF at the end
	total    int64 // bytes read
	max      int64 // of them
	field    int   // bytes of one text
	depth    int   // of open elements

	scratch []byte   // text that is not one piece of buf
	open    []string // names of the open elements, outermost first
	empty   bool     // the element just begun was "<name/>"
	hint    [elementCount]uint8
	tag     mark // the start tag met last
	found   tag  // what markup found
	decoded bool // src decodes another encoding
	foreign bool // RFC 9990: elements of others may stand where it says

	dev deviations
}

// mark is a place that outlives the window: an index into buf while it is
// inside, and its line and offset once it has left.
type mark struct {
	i    int // -1: gone
	line int
	off  int64
}

// tag is a start or end tag at scanner.pos.
type tag struct {
	name  []byte // without a prefix; inside buf
	space []byte // the prefix, "" for none
	attrs []byte
	size  int // bytes of the whole tag
	empty bool
}

// fill reads more input behind what is unread, and tells whether there is more.
func (s *scanner) fill() bool {
	if s.err != nil {
		return false
	}
	if len(s.buf)-s.end < minRead {
		to := s.buf
		if len(s.buf) < maxBuffer {
			to = make([]byte, min(max(2*len(s.buf), firstBuffer), maxBuffer))
		}
		if s.tag.i >= 0 && s.tag.i < s.pos {
			s.tag.line, s.tag.off = s.place(s.tag.i)
			s.tag.i = -1
		} else {
			s.tag.i -= s.pos
		}
		s.lines += bytes.Count(s.buf[:s.pos], newline)
		s.base += int64(s.pos)
		s.end = copy(to, s.buf[s.pos:s.end])
		s.pos = 0
		s.buf = to
	}
	room := s.buf[s.end:]
	if left := s.max - s.total; int64(len(room)) > left {
		room = room[:left+1] // one byte more tells that there is more
	}
	for range 100 {
		n, err := s.src.Read(room)
		if n < 0 || n > len(room) {
			s.err = fmt.Errorf("reading the report: the reader returned %d of %d bytes", n, len(room))
			return false
		}
		s.total += int64(n)
		s.end += n
		if s.total > s.max {
			s.end--
			line, off := s.place(s.end)
			s.err = &SyntaxError{line, off, fmt.Sprintf("report is larger than %d bytes", s.max), ErrLimit}
			return false
		}
		if err != nil {
			s.err = err
		}
		if n > 0 {
			return true
		}
		if s.err != nil {
			return false
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// need tries to have n bytes at hand and tells whether they are.
func (s *scanner) need(n int) bool {
	for s.end-s.pos < n {
		if !s.fill() {
			return false
		}
	}
	return true
}

var newline = []byte{'\n'}

// place returns line and offset of buf[i].
func (s *scanner) place(i int) (line int, off int64) {
	return s.lines + bytes.Count(s.buf[:i], newline) + 1, s.base + int64(i)
}

// fail makes a SyntaxError at the present position.
func (s *scanner) fail(kind error, format string, args ...any) error {
	line, off := s.place(s.pos)
	return &SyntaxError{line, off, fmt.Sprintf(format, args...), kind}
}

// failTag makes a SyntaxError at the start tag met last.
func (s *scanner) failTag(kind error, format string, args ...any) error {
	line, off := s.tagPlace()
	return &SyntaxError{line, off, fmt.Sprintf(format, args...), kind}
}

func (s *scanner) tagPlace() (line int, off int64) {
	if s.tag.i < 0 {
		return s.tag.line, s.tag.off
	}
	return s.place(s.tag.i)
}

// ended makes the error for an input that ends where it must not.
func (s *scanner) ended() error {
	if se, ok := s.err.(*SyntaxError); ok {
		return se
	}
	if s.err != io.EOF {
		line, off := s.place(s.pos)
		return fmt.Errorf("line %d, offset %d: reading the report: %w", line, off, s.err)
	}
	s.pos = s.end
	if len(s.open) == 0 {
		return s.fail(ErrTruncated, "input ends before the report begins")
	}
	return s.fail(ErrTruncated, "report cut off inside <%s>", s.open[len(s.open)-1])
}

// note records a deviation at the start tag met last.
func (s *scanner) note(code DeviationCode, element, detail string) *Deviation {
	if v := s.dev.again(code, element); v != nil {
		return v
	}
	line, off := s.tagPlace()
	return s.dev.add(Deviation{Code: code, Element: element, Line: line, Offset: off, Detail: detail, Times: 1})
}

// noteValue is note with document bytes as the detail, made a string of only
// when they are the first.
func (s *scanner) noteValue(code DeviationCode, element string, b []byte) {
	if s.dev.again(code, element) == nil {
		line, off := s.tagPlace()
		s.dev.add(Deviation{Code: code, Element: element, Line: line, Offset: off, Detail: clean(b), Times: 1})
	}
}

// noteText is noteHere with the n bytes at hand, quoted where they are no
// text.
func (s *scanner) noteText(code DeviationCode, element string, n int) {
	if s.dev.again(code, element) != nil {
		return
	}
	line, off := s.place(s.pos)
	b := s.buf[s.pos:min(s.end, s.pos+n)]
	detail := clean(b)
	if code == InvalidUTF8 || code == InvalidCharacter {
		detail = strconv.QuoteToASCII(string(b))
	}
	s.dev.add(Deviation{Code: code, Element: element, Line: line, Offset: off, Detail: detail, Times: 1})
}

// noteHere records a deviation at the present position.
func (s *scanner) noteHere(code DeviationCode, element, detail string) {
	if s.dev.again(code, element) != nil {
		return
	}
	line, off := s.place(s.pos)
	s.dev.add(Deviation{Code: code, Element: element, Line: line, Offset: off, Detail: detail, Times: 1})
}

func (s *scanner) push(name string) error {
	if len(s.open) >= s.depth {
		return s.fail(ErrLimit, "elements are nested more than %d deep", s.depth)
	}
	s.open = append(s.open, name)
	return nil
}

// pushFound opens the element whose start tag markup found. The name that was
// open there last is most often the same one, and is not allocated again.
func (s *scanner) pushFound() error {
	if n := len(s.open); n < cap(s.open) {
		if last := s.open[:n+1][n]; string(s.found.name) == last {
			return s.push(last)
		}
	}
	return s.push(clean(s.found.name))
}

func (s *scanner) pop() { s.open = s.open[:len(s.open)-1] }

const eightSpaces = 0x2020202020202020

// blank returns the index of the first byte of b, from i, that is no white
// space. Reports are indented with spaces: those go eight at a time.
func blank(b []byte, i int) int {
	for {
		for i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:]) ^ eightSpaces
			if x != 0 {
				i += bits.TrailingZeros64(x) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) || !space(b[i]) {
			return i
		}
		i++
	}
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// child returns the next element inside parent, whose start tag is then read,
// or nil when parent's end tag is. A leaf's text is to be read next.
func (s *scanner) child(parent *element) (*element, error) {
	if s.empty {
		s.empty = false
		s.pop()
		return nil, nil
	}
	if s.end-s.pos < lookahead {
		s.need(lookahead)
	}
	b := s.buf[:s.end]
	p := blank(b, s.pos)
	s.pos = p
	if p+2 < len(b) && b[p] == '<' {
		if b[p+1] == '/' {
			q := p + 2 + len(parent.name)
			if q < len(b) && b[q] == '>' && string(b[p+2:q]) == parent.name && s.open[len(s.open)-1] == parent.name {
				s.tag.i = p
				s.pos = q + 1
				s.pop()
				return nil, nil
			}
			return s.slowChild(parent)
		}
		// The next element is most often the one that came next last time.
		kids := parent.kids
		h := int(s.hint[parent.id])
		for range kids {
			if h >= len(kids) {
				h = 0
			}
			k := kids[h]
			h++
			q := p + 1 + len(k.name)
			if q < len(b) && b[q] == '>' && string(b[p+1:q]) == k.name {
				s.hint[parent.id] = uint8(h)
				s.tag.i = p
				s.pos = q + 1
				if !k.leaf {
					return k, s.push(k.name)
				}
				return k, nil
			}
		}
	}
	return s.slowChild(parent)
}

// slowChild is child for everything that is not plainly a described element.
func (s *scanner) slowChild(parent *element) (*element, error) {
	stray := 0
	for {
		s.pos = blank(s.buf[:s.end], s.pos)
		if s.pos == s.end {
			if !s.fill() {
				return nil, s.ended()
			}
			continue
		}
		kind := notMarkup
		if s.buf[s.pos] == '<' {
			s.tag.i = s.pos
			var err error
			if kind, err = s.markup(); err != nil {
				return nil, err
			}
		}
		switch kind {
		case skipped:
			continue
		case cdata:
			s.noteHere(StrayText, parent.path, "")
			if err := s.past("<![CDATA[", "]]>"); err != nil {
				return nil, err
			}
		case notMarkup:
			n := bytes.IndexByte(s.buf[s.pos+1:s.end], '<') + 1
			if n == 0 {
				n = s.end - s.pos
			}
			code := StrayText
			if s.buf[s.pos] == '<' {
				code = UnescapedMarkup
			}
			if stray == 0 {
				s.noteText(code, parent.path, n)
			}
			s.pos += n
			if stray += n; stray > s.field {
				return nil, s.fail(ErrLimit, "text between elements in <%s> is longer than %d bytes", parent.name, s.field)
			}
		case endTag:
			top := s.open[len(s.open)-1]
			if !bytes.EqualFold(s.found.name, []byte(top)) {
				return nil, s.fail(nil, "</%s> closes nothing: <%s> is open", clean(s.found.name), top)
			}
			s.pos += s.found.size
			s.pop()
			return nil, nil
		case startTag:
			k := s.known(parent)
			if k == nil {
				if !s.foreign || !parent.open {
					s.noteValue(UnknownElement, parent.path, s.found.name)
				}
				bottom := len(s.open)
				if err := s.pushFound(); err != nil {
					return nil, err
				}
				s.empty = s.found.empty
				s.pos += s.found.size
				if err := s.skip(bottom); err != nil {
					return nil, err
				}
				stray = 0
				continue
			}
			if k.leaf {
				s.empty = s.found.empty
				s.pos += s.found.size
				return k, nil
			}
			name := k.name
			if string(s.found.name) != name {
				name = clean(s.found.name)
			}
			return k, s.begin(name)
		}
	}
}

// begin opens the element whose start tag markup found.
func (s *scanner) begin(name string) error {
	if err := s.push(name); err != nil {
		return err
	}
	s.empty = s.found.empty
	s.pos += s.found.size
	return nil
}

// known finds the described element of the start tag that markup found, also
// in another case or under a name it was met under.
func (s *scanner) known(parent *element) *element {
	for _, k := range parent.kids {
		if string(s.found.name) == k.name {
			return k
		}
	}
	if len(s.found.name) > maxDetail {
		return nil
	}
	name := strings.ToLower(clean(s.found.name))
	if other := otherName(parent.id, name); other != "" {
		name = other
	}
	for _, k := range parent.kids {
		if name == k.name {
			s.noteValue(RenamedElement, k.path, s.found.name)
			return k
		}
	}
	return nil
}

// discard reads past the element that child returned.
func (s *scanner) discard(k *element) error {
	if k.leaf {
		if s.empty {
			s.empty = false
			return nil
		}
		if err := s.push(k.name); err != nil {
			return err
		}
	}
	return s.skip(len(s.open) - 1)
}

// skip reads past the open element until no more than bottom are open. What is
// inside has to be balanced and within the limits, and is not looked into.
func (s *scanner) skip(bottom int) error {
	if s.empty {
		s.empty = false
		s.pop()
		return nil
	}
	for run := 0; len(s.open) > bottom; {
		n := bytes.IndexByte(s.buf[s.pos:s.end], '<')
		found := n >= 0
		if !found {
			n = s.end - s.pos
		}
		s.pos += n
		if run += n; run > s.field {
			return s.fail(ErrLimit, "text in <%s> is longer than %d bytes", s.open[len(s.open)-1], s.field)
		}
		if !found {
			if !s.fill() {
				return s.ended()
			}
			continue
		}
		kind, err := s.markup()
		if err != nil {
			return err
		}
		switch kind {
		case cdata:
			if err := s.past("<![CDATA[", "]]>"); err != nil {
				return err
			}
		case startTag:
			run = 0
			if !s.found.empty {
				if err := s.pushFound(); err != nil {
					return err
				}
			}
			s.pos += s.found.size
		case endTag:
			if top := s.open[len(s.open)-1]; string(s.found.name) == top || clean(s.found.name) == top {
				run = 0
				s.pos += s.found.size
				s.pop()
			} else if s.isOpen(s.found.name) {
				return s.fail(nil, "</%s> while <%s> is open", clean(s.found.name), s.open[len(s.open)-1])
			} else {
				run++
				s.pos++
			}
		case notMarkup:
			run++
			s.pos++
		}
	}
	return nil
}

// isOpen tells whether an element of that name is open.
func (s *scanner) isOpen(name []byte) bool {
	for _, o := range s.open {
		if string(name) == o {
			return true
		}
	}
	return false
}

// clean makes a string of document bytes for a message: valid UTF-8, short.
func clean(b []byte) string {
	if len(b) > 4*maxDetail {
		b = b[:4*maxDetail]
	}
	return quote(strings.ToValidUTF8(string(b), "\uFFFD"))
}
