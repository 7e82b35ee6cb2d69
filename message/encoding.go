package message

import (
	"bytes"
	"io"
)

// decoder takes a transfer encoding (RFC 2045 §6) off. What is no encoding
// that is known stays as it is.
func decoder(encoding string, r io.Reader) io.Reader {
	switch encoding {
	case "base64":
		return NewBase64Reader(r)
	case "quoted-printable":
		return &quotedPrintable{r: r}
	case "x-uuencode", "uuencode", "x-uue":
		return &uudecoder{lines: lineSplitter{r: r}}
	}
	return r
}

const (
	b64Skip = 0xff // not in the alphabet: ignored (RFC 2045 §6.8)
	b64Pad  = 0xfe
)

var b64Table = func() (t [256]byte) {
	for i := range t {
		t[i] = b64Skip
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	t['='] = b64Pad
	return t
}()

// NewBase64Reader decodes base64 as mail carries it: foreign characters are
// ignored (RFC 2045 §6.8), missing padding is supplied, padding in the middle
// ends a run of which several may follow each other. It never fails by itself.
// Content that begins like XML, gzip or zip was not encoded at all and comes
// as it is.
func NewBase64Reader(r io.Reader) io.Reader { return &base64Reader{r: r} }

type base64Reader struct {
	r   io.Reader
	in  [4096]byte
	out []byte // decoded, not delivered
	buf [3072 + 8]byte
	acc uint32
	n   int // sextets in acc
	err error

	begun bool
	plain bool // not encoded after all
}

func (d *base64Reader) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		n, err := 0, error(nil)
		if d.begun {
			n, err = d.r.Read(d.in[:])
		} else if n, err = io.ReadAtLeast(d.r, d.in[:], 256); err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		if !d.begun && n > 0 {
			d.begun, d.plain = true, notBase64(d.in[:n])
		}
		if d.plain {
			d.out, d.err = d.in[:n], err
			continue
		}
		d.out = d.decode(d.buf[:0], d.in[:n])
		if err != nil {
			d.err = err
			d.out = d.flush(d.out)
		}
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// notBase64 tells content that a sender labelled base64 without encoding it.
func notBase64(start []byte) bool {
	start = bytes.TrimLeft(start, " \t\r\n\xef\xbb\xbf")
	return bytes.HasPrefix(start, []byte("<")) || bytes.HasPrefix(start, []byte("\x1f\x8b")) ||
		bytes.HasPrefix(start, []byte("PK\x03\x04"))
}

func (d *base64Reader) decode(out, in []byte) []byte {
	acc, n := d.acc, d.n
	for i := 0; i < len(in); i++ {
		if n == 0 {
			for i+4 <= len(in) {
				a, b, c, e := b64Table[in[i]], b64Table[in[i+1]], b64Table[in[i+2]], b64Table[in[i+3]]
				if a|b|c|e >= 0x40 {
					break
				}
				v := uint32(a)<<18 | uint32(b)<<12 | uint32(c)<<6 | uint32(e)
				out = append(out, byte(v>>16), byte(v>>8), byte(v))
				i += 4
			}
			if i == len(in) {
				break
			}
		}
		switch v := b64Table[in[i]]; v {
		case b64Skip:
		case b64Pad:
			d.acc, d.n = acc, n
			out = d.flush(out)
			acc, n = 0, 0
		default:
			acc = acc<<6 | uint32(v)
			if n++; n == 4 {
				out = append(out, byte(acc>>16), byte(acc>>8), byte(acc))
				acc, n = 0, 0
			}
		}
	}
	d.acc, d.n = acc, n
	return out
}

// flush delivers what an incomplete quantum holds.
func (d *base64Reader) flush(out []byte) []byte {
	switch d.n {
	case 2:
		out = append(out, byte(d.acc>>4))
	case 3:
		out = append(out, byte(d.acc>>10), byte(d.acc>>2))
	}
	d.acc, d.n = 0, 0
	return out
}

// quotedPrintable decodes RFC 2045 §6.7. An = that begins no code is left.
type quotedPrintable struct {
	r     io.Reader
	in    [4096]byte
	src   []byte // read, not decoded
	out   []byte // decoded, not delivered
	buf   []byte
	space []byte // white space that is content only if the line goes on (§6.7 rule 3)
	err   error
}

// maxSpace bounds the white space held back; longer runs are content.
const maxSpace = 1 << 10

func (q *quotedPrintable) Read(p []byte) (int, error) {
	for len(q.out) == 0 {
		if q.err != nil {
			return 0, q.err
		}
		k := copy(q.in[:], q.src)
		n, err := q.r.Read(q.in[k:])
		q.src, q.err = q.in[:k+n], err
		q.decode(err != nil)
	}
	n := copy(p, q.out)
	q.out = q.out[n:]
	return n, nil
}

func (q *quotedPrintable) decode(last bool) {
	out, s := q.buf[:0], q.src
	for len(s) > 0 {
		c := s[0]
		switch {
		case c == '=':
			n, b, state := qpCode(s, last)
			if state == qpMore {
				q.src, q.out, q.buf = s, out, out
				return
			}
			out = append(out, q.space...)
			q.space = q.space[:0]
			if state == qpByte {
				out = append(out, b)
			}
			s = s[n:]
		case c == ' ' || c == '\t':
			if len(q.space) >= maxSpace {
				out = append(out, q.space...)
				q.space = q.space[:0]
			}
			q.space = append(q.space, c)
			s = s[1:]
		case c == '\r' || c == '\n':
			q.space = q.space[:0]
			out = append(out, c)
			s = s[1:]
		default:
			out = append(out, q.space...)
			q.space = q.space[:0]
			n := 1
			for n < len(s) && s[n] > ' ' && s[n] != '=' {
				n++
			}
			out = append(out, s[:n]...)
			s = s[n:]
		}
	}
	if last {
		out = append(out, q.space...)
		q.space = q.space[:0]
	}
	q.src, q.out, q.buf = nil, out, out
}

type qpState int

const (
	qpByte qpState = iota
	qpSoft         // a soft line break
	qpMore         // cannot be told yet
)

// qpCode reads what follows an =. It returns how many bytes it takes.
func qpCode(s []byte, last bool) (n int, b byte, state qpState) {
	i := 1
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') && i < maxSpace {
		i++
	}
	switch {
	case i < len(s) && s[i] == '\n':
		return i + 1, 0, qpSoft
	case i+1 < len(s) && s[i] == '\r' && s[i+1] == '\n':
		return i + 2, 0, qpSoft
	case i == len(s) && last:
		return i, 0, qpSoft
	case (i == len(s) || i+1 == len(s) && s[i] == '\r') && i < maxSpace && !last:
		return 0, 0, qpMore
	case i == 1 && len(s) < 3 && !last:
		return 0, 0, qpMore
	case i == 1 && len(s) >= 3:
		if h, l := unhex(s[1]), unhex(s[2]); h < 16 && l < 16 {
			return 3, h<<4 | l, qpByte
		}
	}
	return 1, '=', qpByte
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 16
}

// lineSplitter hands out lines of at most 4 KiB; longer ones are cut.
type lineSplitter struct {
	r   io.Reader
	buf [4096]byte
	i   int
	n   int
	err error
}

func (l *lineSplitter) next() ([]byte, error) {
	for {
		if k := bytes.IndexByte(l.buf[l.i:l.n], '\n'); k >= 0 {
			line := l.buf[l.i : l.i+k]
			l.i += k + 1
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		if l.n-l.i == len(l.buf) || l.err != nil {
			line := l.buf[l.i:l.n]
			l.i = l.n
			if len(line) == 0 {
				return nil, l.err
			}
			return line, nil
		}
		l.n = copy(l.buf[:], l.buf[l.i:l.n])
		l.i = 0
		var k int
		k, l.err = l.r.Read(l.buf[l.n:])
		l.n += k
	}
}

// uudecoder decodes the traditional x-uuencode: lines between "begin" and
// "end", the first character of each telling its length.
type uudecoder struct {
	lines lineSplitter
	begun bool
	ended bool
	buf   [72]byte
	out   []byte
}

func (u *uudecoder) Read(p []byte) (int, error) {
	for len(u.out) == 0 {
		line, err := u.lines.next()
		if err != nil {
			return 0, err
		}
		switch {
		case u.ended:
		case !u.begun:
			u.begun = bytes.HasPrefix(line, []byte("begin "))
		case bytes.Equal(line, []byte("end")):
			u.ended = true
		case len(line) > 0:
			u.line(line)
		}
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	return n, nil
}

func (u *uudecoder) line(line []byte) {
	want := int(line[0]-' ') & 0x3f
	at := func(i int) byte {
		if i < len(line) {
			return (line[i] - ' ') & 0x3f
		}
		return 0
	}
	u.out = u.buf[:0]
	for i := 1; len(u.out) < want; i += 4 {
		a, b, c, d := at(i), at(i+1), at(i+2), at(i+3)
		u.out = append(u.out, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	u.out = u.out[:want]
}
