// Package message reads Internet messages (RFC 5322) and their MIME parts
// (RFC 2045 to 2049, 2231) as they come: the bytes of a header field are kept
// as received, and a body is decoded from its transfer encoding but never
// converted from its character set.
//
// Walk streams: no part is ever held in memory, whatever its size. It is
// lenient, because what arrives is: missing boundaries, bare LF, missing MIME
// headers, text before the header, base64 with foreign characters and wrong
// padding are read as well as they can be. Limits bound what an attacker can
// make it do.
package message

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits bound one walk. A zero field means its default.
type Limits struct {
	Header int // bytes of one header section, default 1 MiB
	Parts  int // leaf and multipart entities together, default 1,000
	Depth  int // of multiparts and attached messages in each other, default 20
}

func (l Limits) withDefaults() Limits {
	if l.Header <= 0 {
		l.Header = 1 << 20
	}
	if l.Parts <= 0 {
		l.Parts = 1000
	}
	if l.Depth <= 0 {
		l.Depth = 20
	}
	return l
}

// Part is a leaf of a message's tree: what is neither a multipart nor an
// attached message. It and its Body are valid until visit returns.
type Part struct {
	// Path numbers the part as in IMAP (RFC 9051 §6.4.5): "1", "2.1". The
	// parts of an attached message follow its own number.
	Path    string
	Depth   int    // 0 for the body of a message without parts
	Message Header // of the message that the part belongs to; the innermost one
	Header  Header // of the part; equal to Message at depth 0

	MediaType   string            // lower case, "text/plain" where none is given (RFC 2045 §5.2)
	Params      map[string]string // of the Content-Type; names in lower case
	Encoding    string            // the transfer encoding's token, lower case; "" where none is given
	Disposition string            // "inline", "attachment", another token or ""
	Filename    string            // decoded (RFC 2231, RFC 2047); a hint from the sender, not a safe path
	// Containers are the media types of the entities around the part, the
	// outermost first, such as "multipart/report".
	Containers []string
	// Preamble marks the text before a multipart's first boundary line
	// (RFC 2046 §5.1.1). It is no part, but where the boundary is wrong it
	// holds what there is. The part's other fields are the multipart's.
	Preamble bool

	// Body is the content with its transfer encoding taken off. An encoding
	// that is unknown is left on. What visit does not read is skipped.
	Body io.Reader
}

// Walk reads a message and calls visit for each leaf part in order. An error
// from visit ends the walk and is returned as it is. Other errors are those of
// r and, with ErrTooLarge, exceeded limits. Malformed input is not an error.
func Walk(r io.Reader, l Limits, visit func(*Part) error) error {
	parts := 0
	w := &walker{r: bufio.NewReaderSize(r, 32<<10), limits: l.withDefaults(), parts: &parts, visit: visit}
	return w.message(place{}, true)
}

// place is where in the tree an entity stands.
type place struct {
	path       string
	depth      int
	message    Header
	containers []string
	digest     bool // the parent is multipart/digest
}

func (p place) child(n int) place {
	c := p
	c.depth++
	c.path = strconv.Itoa(n)
	if p.path != "" {
		c.path = p.path + "." + c.path
	}
	return c
}

func (p place) within(mediaType string) place {
	p.containers = append(p.containers[:len(p.containers):len(p.containers)], mediaType)
	return p
}

type eventKind int

const (
	running    eventKind = iota // in the middle of a body
	atBoundary                  // a boundary line was read
	atEOF
)

// event is what ended the entity read last.
type event struct {
	kind    eventKind
	level   int // index in walker.bounds
	closing bool
}

type walker struct {
	r      *bufio.Reader
	limits Limits
	parts  *int
	visit  func(*Part) error
	bounds []string // boundaries of the open multiparts, innermost last
	ev     event
	// unread is a line taken off r that still belongs to the body.
	unread    []byte
	unreadMid bool // and that goes on in r
}

// message reads a header and the entity that it describes.
func (w *walker) message(at place, top bool) error {
	w.ev = event{}
	h, err := w.header(top)
	if err != nil {
		return err
	}
	at.message = h
	return w.entity(h, at)
}

func (w *walker) entity(h Header, at place) error {
	if *w.parts++; *w.parts > w.limits.Parts {
		return fmt.Errorf("more than %d parts: %w", w.limits.Parts, ErrTooLarge)
	}
	if at.depth > w.limits.Depth {
		return fmt.Errorf("parts nested deeper than %d: %w", w.limits.Depth, ErrTooLarge)
	}
	p := newPart(h, at)
	switch {
	case strings.HasPrefix(p.MediaType, "multipart/"):
		return w.multipart(p, at)
	case p.MediaType == "message/rfc822" || p.MediaType == "message/global":
		return w.attached(p, at)
	}
	b := &body{w: w}
	p.Body = decoder(p.Encoding, b)
	if err := w.visit(p); err != nil {
		return err
	}
	return b.skip()
}

// attached walks a message inside the message. RFC 2046 §5.2.1 forbids to
// encode one, RFC 6532 §3.5 allows it; both are read.
func (w *walker) attached(p *Part, at place) error {
	in := at.within(p.MediaType)
	in.depth++
	in.digest = false
	switch p.Encoding {
	case "base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue":
		b := &body{w: w}
		inner := &walker{r: bufio.NewReaderSize(decoder(p.Encoding, b), 4<<10), limits: w.limits, parts: w.parts, visit: w.visit}
		if err := inner.message(in, true); err != nil {
			return err
		}
		return b.skip()
	}
	if w.ev.kind != running {
		return nil
	}
	return w.message(in, true)
}

// multipart walks the parts of one (RFC 2046 §5.1). A boundary of an outer
// multipart ends the inner one, and so does the end of the input.
func (w *walker) multipart(p *Part, at place) error {
	level := len(w.bounds)
	w.bounds = append(w.bounds, p.Params["boundary"])
	defer func() { w.bounds = w.bounds[:level] }()

	if err := w.preamble(p, at, level); err != nil {
		return err
	}
	in := at.within(p.MediaType)
	for n := 1; w.ev.kind == atBoundary && w.ev.level == level; {
		closing := w.ev.closing
		w.ev = event{}
		if closing {
			// The epilogue; some senders go on with parts after the end.
			if err := (&body{w: w}).skip(); err != nil {
				return err
			}
			continue
		}
		h, err := w.header(false)
		if err != nil {
			return err
		}
		c := in.child(n)
		c.digest = p.MediaType == "multipart/digest"
		if err := w.entity(h, c); err != nil {
			return err
		}
		n++
	}
	return nil
}

// preamble visits the text before the first boundary line, if there is any,
// without the white space that it begins with.
func (w *walker) preamble(p *Part, at place, level int) error {
	b := &body{w: w, adopt: level + 1}
	var buf [512]byte
	var start []byte
	for len(start) == 0 {
		n, err := b.Read(buf[:])
		start = bytes.TrimLeft(buf[:n], " \t\r\n")
		if err == io.EOF && n == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
	text := *p
	text.Preamble = true
	text.MediaType = "text/plain"
	text.Body = io.MultiReader(bytes.NewReader(start), b)
	if err := w.visit(&text); err != nil {
		return err
	}
	return b.skip()
}

// boundary tells whether line is a boundary line (RFC 2046 §5.1.1) of an open
// multipart, the innermost first.
func (w *walker) boundary(line []byte) (level int, closing, ok bool) {
	if len(w.bounds) == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return 0, false, false
	}
	rest := bytes.TrimRight(line[2:], " \t\r\n")
	for i := len(w.bounds) - 1; i >= 0; i-- {
		b := w.bounds[i]
		if b == "" || len(rest) < len(b) || string(rest[:len(b)]) != b {
			continue
		}
		switch string(rest[len(b):]) {
		case "":
			return i, false, true
		case "--":
			return i, true, true
		}
	}
	return 0, false, false
}

// readSlice returns the next line, or with bufio.ErrBufferFull the start of a
// long one. It is valid until the next read.
func (w *walker) readSlice() ([]byte, error) {
	if line := w.unread; len(line) > 0 {
		w.unread = nil
		if w.unreadMid {
			return line, bufio.ErrBufferFull
		}
		return line, nil
	}
	return w.r.ReadSlice('\n')
}

// skipLine reads to the end of the current line.
func (w *walker) skipLine() error {
	for {
		_, err := w.readSlice()
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == io.EOF {
			return nil
		}
		return err
	}
}
