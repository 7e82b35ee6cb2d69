package message

import (
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
	if c == Relaxed {
		return appendRelaxed(dst, f)
	}
	raw := strings.TrimSuffix(strings.TrimSuffix(f.raw, "\n"), "\r")
	for {
		i := strings.IndexByte(raw, '\n')
		if i < 0 {
			dst = append(dst, raw...)
			return append(dst, '\r', '\n')
		}
		dst = append(dst, strings.TrimSuffix(raw[:i], "\r")...)
		dst = append(dst, '\r', '\n')
		raw = raw[i+1:]
	}
}

// appendRelaxed: name in lower case, unfolded, runs of white space to one
// space, none at the ends nor around the colon.
func appendRelaxed(dst []byte, f Field) []byte {
	name := f.Name()
	for i := 0; i < len(name); i++ {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	dst = append(dst, ':')
	space, any := false, false
	v := f.raw[f.colon+1:]
	for i := 0; i < len(v); i++ {
		switch c := v[i]; c {
		case ' ', '\t':
			space = true
		case '\n':
		case '\r':
			if i+1 == len(v) || v[i+1] == '\n' {
				continue
			}
			fallthrough
		default:
			if space && any {
				dst = append(dst, ' ')
			}
			space, any = false, true
			dst = append(dst, c)
		}
	}
	return append(dst, '\r', '\n')
}
