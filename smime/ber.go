package smime

import (
	"errors"
	"fmt"
)

// element is one value in BER (X.690), as it lies in the input.
type element struct {
	tag         byte   // the identifier octet: class, constructed, number
	full        []byte // identifier, length, contents and, if indefinite, the end-of-contents
	contents    []byte // without the end-of-contents
	indefinite  bool
	offset      int // of full in the whole
	contentsOff int
}

// Identifier octets that occur in CMS.
const (
	tagInteger     = 0x02
	tagBitString   = 0x03
	tagOctetString = 0x04
	tagNull        = 0x05
	tagOID         = 0x06
	tagSequence    = 0x30
	tagSet         = 0x31
	constructed    = 0x20
	tagContext     = 0x80
)

func (e *element) constructed() bool { return e.tag&constructed != 0 }

// Bounds of what is read. A message whose content is cut in pieces of 1,000
// octets stays far below maxElements.
const (
	maxDepth    = 48
	maxElements = 1 << 20
)

// malformed is an error of the encoding, with where it is.
type malformed struct {
	offset int
	what   string
}

func (e *malformed) Error() string {
	return fmt.Sprintf("smime: octet %d: %s", e.offset, e.what)
}

// scanner reads the elements of one level, one after the other.
type scanner struct {
	in   []byte
	base int // offset of in in the whole
	left *int
}

func newScanner(in []byte) *scanner {
	left := maxElements
	return &scanner{in: in, left: &left}
}

// within reads the elements inside e.
func (s *scanner) within(e element) *scanner {
	return &scanner{in: e.contents, base: e.contentsOff, left: s.left}
}

func (s *scanner) more() bool { return len(s.in) > 0 }

// peek returns the next identifier octet, or 0.
func (s *scanner) peek() byte {
	if len(s.in) == 0 {
		return 0
	}
	return s.in[0]
}

func (s *scanner) fail(what string) error { return &malformed{s.base, what} }

var errElements = errors.New("too many elements")

// next reads one element. It does not look into it, but for finding the end of
// one of indefinite length.
func (s *scanner) next() (element, error) {
	var e element
	head, length, indefinite, err := readHead(s.in)
	if err == nil && *s.left <= 0 {
		err = errElements
	}
	*s.left--
	if err != nil {
		return e, s.fail(err.Error())
	}
	e = element{tag: s.in[0], indefinite: indefinite, offset: s.base, contentsOff: s.base + head}
	end := head + length
	if indefinite {
		if length, err = s.indefinite(s.in[head:]); err != nil {
			return e, err
		}
		end = head + length + 2
	}
	e.contents = s.in[head : head+length]
	e.full = s.in[:end]
	s.in, s.base = s.in[end:], s.base+end
	return e, nil
}

// expect is next where only one identifier will do.
func (s *scanner) expect(tag byte, what string) (element, error) {
	if s.peek() != tag {
		return element{}, s.fail("no " + what)
	}
	return s.next()
}

// indefinite returns how long the contents are that begin at in, up to their
// end-of-contents (X.690 §8.1.3.6). It goes over them once.
func (s *scanner) indefinite(in []byte) (int, error) {
	open, i := 1, 0
	for {
		if *s.left--; *s.left < 0 {
			return 0, s.fail(errElements.Error())
		}
		if i+1 < len(in) && in[i] == 0 && in[i+1] == 0 {
			if open--; open == 0 {
				return i, nil
			}
			i += 2
			continue
		}
		head, length, indefinite, err := readHead(in[i:])
		if err != nil {
			return 0, s.fail(err.Error())
		}
		switch {
		case indefinite:
			if open == maxDepth {
				return 0, s.fail("elements nested too deep")
			}
			open++
			i += head
		default: // nothing in it can end what is around it
			i += head + length
		}
	}
}

// readHead reads an identifier and a length. Numbers above 30 do not occur in
// what is read here.
func readHead(in []byte) (head, length int, indefinite bool, err error) {
	if len(in) < 2 {
		return 0, 0, false, errors.New("the data end early")
	}
	if in[0]&0x1f == 0x1f {
		return 0, 0, false, errors.New("identifier of several octets")
	}
	switch l := in[1]; {
	case l < 0x80:
		head, length = 2, int(l)
	case l == 0x80:
		if in[0]&constructed == 0 {
			return 0, 0, false, errors.New("primitive of indefinite length")
		}
		return 2, 0, true, nil
	default:
		n := int(l & 0x7f)
		if len(in) < 2+n {
			return 0, 0, false, errors.New("the data end early")
		}
		for _, b := range in[2 : 2+n] {
			if length > 1<<30>>8 {
				return 0, 0, false, errors.New("length beyond all bounds")
			}
			length = length<<8 | int(b)
		}
		head = 2 + n
	}
	if length > len(in)-head {
		return 0, 0, false, errors.New("the data end early")
	}
	return head, length, false, nil
}

// octets returns the contents of an octet string, put together from its pieces
// where it is constructed (X.690 §8.7.3). One in one piece is not copied.
func (s *scanner) octets(e element) ([]byte, error) {
	if !e.constructed() {
		return e.contents, nil
	}
	return s.pieces(nil, e, 0)
}

func (s *scanner) pieces(dst []byte, e element, depth int) ([]byte, error) {
	if depth > 4 {
		return nil, &malformed{e.offset, "octet strings nested too deep"}
	}
	in := s.within(e)
	for in.more() {
		p, err := in.next()
		if err != nil {
			return nil, err
		}
		switch p.tag {
		case tagOctetString:
			dst = append(dst, p.contents...)
		case tagOctetString | constructed:
			if dst, err = s.pieces(dst, p, depth+1); err != nil {
				return nil, err
			}
		default:
			return nil, &malformed{p.offset, "a piece of an octet string is none"}
		}
	}
	return dst, nil
}

// distinguished returns e in DER as far as lengths go (X.690 §10.1): all
// definite and as short as they can be. Strings in pieces and the order of sets stay.
func (s *scanner) distinguished(e element, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, &malformed{e.offset, "elements nested too deep"}
	}
	if !e.constructed() {
		return appendElement(nil, e.tag, e.contents), nil
	}
	var contents []byte
	in := s.within(e)
	for in.more() {
		c, err := in.next()
		if err != nil {
			return nil, err
		}
		der, err := s.distinguished(c, depth+1)
		if err != nil {
			return nil, err
		}
		contents = append(contents, der...)
	}
	return appendElement(nil, e.tag, contents), nil
}

// appendElement appends an element of definite length.
func appendElement(dst []byte, tag byte, contents []byte) []byte {
	dst = append(dst, tag)
	switch n := len(contents); {
	case n < 0x80:
		dst = append(dst, byte(n))
	case n < 1<<8:
		dst = append(dst, 0x81, byte(n))
	case n < 1<<16:
		dst = append(dst, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		dst = append(dst, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		dst = append(dst, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, contents...)
}

// oid returns an object identifier with dots, or "" where it is malformed or
// longer than 64 octets.
func oid(contents []byte) string {
	if len(contents) == 0 || len(contents) > 64 || contents[len(contents)-1]&0x80 != 0 {
		return ""
	}
	var out []byte
	v, first := uint64(0), true
	for _, b := range contents {
		if v > 1<<56 {
			return ""
		}
		v = v<<7 | uint64(b&0x7f)
		if b&0x80 != 0 {
			continue
		}
		if first {
			top := min(v/40, 2)
			out = fmt.Appendf(out, "%d.%d", top, v-40*top)
			first = false
		} else {
			out = fmt.Appendf(out, ".%d", v)
		}
		v = 0
	}
	return string(out)
}
