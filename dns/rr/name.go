package rr

import (
	"slices"

	mdns "github.com/miekg/dns"
)

// MaxName is the most octets of a name in wire form, the root's final octet
// not counted (RFC 1035 §2.3.4).
const MaxName = 254

// AppendWire appends the wire form of a raw name (see dns.Resolver) in lower
// case, without the root's final zero, to dst; false where no such name can
// exist. With room in dst it allocates nothing. The root is "." and gives
// nothing.
func AppendWire(dst []byte, name string) ([]byte, bool) {
	if name == "." {
		return dst, true
	}
	n := len(name)
	if n > 0 && name[n-1] == '.' {
		n--
	}
	if n == 0 || n >= MaxName {
		return dst, false
	}
	from := len(dst)
	dst = slices.Grow(dst, n+1)[:from+n+1]
	b := dst[from:]
	start := 0 // where the length of the label goes
	for i := 0; i < n; i++ {
		c := name[i]
		if c == '.' {
			if l := i - start; l == 0 || l > 63 {
				return dst[:from], false
			} else {
				b[start] = byte(l)
			}
			start = i + 1
			continue
		}
		if c-'A' < 26 { // RFC 4343 §3: only ASCII letters have case
			c |= 0x20
		}
		b[i+1] = c
	}
	l := n - start
	if l == 0 || l > 63 {
		return dst[:from], false
	}
	b[start] = byte(l)
	return dst, true
}

// Wire returns the wire form, as AppendWire's, of a name in the presentation
// form in which records hold it; false for one that cannot exist.
func Wire(presented string) (string, bool) {
	if presented == "" {
		return "", true // the root, as the parser leaves absent data
	}
	var buf [256]byte
	n, err := mdns.PackDomainName(mdns.Fqdn(presented), buf[:], 0, nil, false)
	if err != nil || n == 0 {
		return "", false
	}
	b := buf[:n-1]
	for i := 0; i < len(b); {
		l := int(b[i])
		for j := i + 1; j <= i+l; j++ {
			if c := b[j]; 'A' <= c && c <= 'Z' {
				b[j] = c | 0x20
			}
		}
		i += l + 1
	}
	return string(b), true
}

// Parent takes the first label off a wire form; the root's is itself.
func Parent(wire string) string {
	if wire == "" {
		return ""
	}
	return wire[1+int(wire[0]):]
}

// Present returns a wire form in the presentation form that miekg/dns reads,
// with the final dot.
func Present(wire string) string {
	if wire == "" {
		return "."
	}
	b := make([]byte, 0, len(wire)+8)
	for wire != "" {
		n := 1 + int(wire[0])
		for i := 1; i < n; i++ {
			b = escape(b, wire[i], false)
		}
		b = append(b, '.')
		wire = wire[n:]
	}
	return string(b)
}

// Raw returns a wire form as raw text without the final dot, as far as it can
// be said so: an octet that raw text cannot carry safely (a dot or a backslash
// within a label, a space, a control, one beyond ASCII) stays escaped. Such a
// name, asked for as it reads, does not exist.
func Raw(wire string) string {
	if wire == "" {
		return "."
	}
	b := make([]byte, 0, len(wire)+8)
	for wire != "" {
		n := 1 + int(wire[0])
		for i := 1; i < n; i++ {
			b = escape(b, wire[i], true)
		}
		wire = wire[n:]
		if wire != "" {
			b = append(b, '.')
		}
	}
	return string(b)
}

// escape appends an octet of a label (RFC 1035 §5.1).
func escape(b []byte, c byte, raw bool) []byte {
	switch {
	case c <= ' ' || c >= 0x7f:
		return append(b, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
	case c == '.' || c == '\\':
		return append(b, '\\', c)
	case !raw && (c == '"' || c == '(' || c == ')' || c == ';' || c == '@' || c == '$' || c == '\''):
		return append(b, '\\', c)
	}
	return append(b, c)
}

// host rewrites a name of a record from miekg/dns's escapes to the form of
// Raw, with the final dot; the case is kept.
func host(s string) string {
	esc := false
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' || s[i] <= ' ' || s[i] >= 0x7f {
			esc = true
			break
		}
	}
	if !esc {
		if s == "" {
			return "."
		}
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '.' {
			b = append(b, c)
			continue
		}
		if c == '\\' && i+1 < len(s) {
			if v, ok := decimal(s[i+1:]); ok {
				c = v
				i += 3
			} else {
				i++
				c = s[i]
			}
		}
		b = escape(b, c, true)
	}
	return string(b)
}
