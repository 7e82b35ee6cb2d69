package message

import (
	"math/bits"
	"strings"
)

// Canonicalization is how a header field or a body is prepared for signing
// (RFC 6376 §3.4). The tokens are those of the "c" tag.
type Canonicalization string

const (
	Simple  Canonicalization = "simple"
	Relaxed Canonicalization = "relaxed"
)

// AppendField appends a canonicalized header field with its CRLF (RFC 6376
// §3.4.1, §3.4.2). A bare LF is taken as a line end. Any value but Relaxed is
// taken as Simple.
func (c Canonicalization) AppendField(dst []byte, f Field) []byte {
	return c.AppendFieldCut(dst, f, len(f.raw), len(f.raw))
}

// AppendFieldCut is AppendField for the field as it would be if the octets of
// its raw value from index from up to index to were not there: a signature's
// own field is signed without the signature (RFC 6376 §3.7). Indexes beyond the
// value stand for its end.
func (c Canonicalization) AppendFieldCut(dst []byte, f Field, from, to int) []byte {
	value := f.raw[f.colon+1:]
	from = max(min(from, len(value)), 0)
	to = max(min(to, len(value)), from)
	if c == Relaxed {
		dst = appendLower(dst, f.Name())
		dst = append(dst, ':')
		start := len(dst)
		dst, space := appendRelaxed(dst, value[:from], start, false)
		dst, _ = appendRelaxed(dst, value[to:], start, space)
		return append(dst, '\r', '\n')
	}
	dst = append(dst, f.raw[:f.colon+1]...)
	dst = appendSimple(dst, value[:from])
	dst = appendSimple(dst, value[to:])
	// The last line end is there already, or missing, or a bare CR was one.
	if n := len(dst); n > 0 && dst[n-1] == '\n' {
		return dst
	} else if dst[n-1] == '\r' {
		return append(dst, '\n')
	}
	return append(dst, '\r', '\n')
}

// appendSimple copies, with every line end as CRLF.
func appendSimple(dst []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, '\n')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, strings.TrimSuffix(s[:i], "\r")...)
		dst = append(dst, '\r', '\n')
		s = s[i+1:]
	}
}

func appendLower(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// appendRelaxed: unfolded, runs of white space to one space, none at the ends.
// The value begins at start in dst; space tells whether white space is held
// back, before and after.
func appendRelaxed(dst []byte, s string, start int, space bool) ([]byte, bool) {
	for s != "" {
		n := visible(s)
		if n == 0 {
			switch s[0] {
			case ' ', '\t':
				space = true
				s = s[1:]
				continue
			case '\n':
				s = s[1:]
				continue
			case '\r':
				if len(s) == 1 || s[1] == '\n' {
					s = s[1:]
					continue
				}
			}
			n = 1 // any other control character is an octet of the value
		}
		if space && len(dst) > start {
			dst = append(dst, ' ')
		}
		space = false
		dst = append(dst, s[:n]...)
		s = s[n:]
	}
	return dst, space
}

// visible returns how many octets above the space s begins with.
func visible(s string) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		q := s[i : i+8]
		w := uint64(q[0]) | uint64(q[1])<<8 | uint64(q[2])<<16 | uint64(q[3])<<24 |
			uint64(q[4])<<32 | uint64(q[5])<<40 | uint64(q[6])<<48 | uint64(q[7])<<56
		if m := (w - (' '+1)*every) &^ w & tops; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for ; i < len(s) && s[i] > ' '; i++ {
	}
	return i
}
