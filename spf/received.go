package spf

import (
	"fmt"
	"net/netip"
	"strings"
)

// Received is what a Received-SPF field says (RFC 7208 §9.1).
type Received struct {
	Status       Status
	Comment      string // without its parentheses
	ClientIP     netip.Addr
	EnvelopeFrom string
	Helo         string
	Identity     Identity
	Mechanism    string
	Problem      string
	Receiver     string
	// Other holds the pairs that the RFC does not name, in order.
	Other []Pair
}

// Pair is one key=value of a Received-SPF field.
type Pair struct{ Key, Value string }

// ReceivedSPF returns the value of a Received-SPF field for the result (RFC
// 7208 §9.1), unfolded and without a final line end. Whatever in and the
// records hold, it is one line of printable ASCII; each value is at most 200
// octets long.
func (r Result) ReceivedSPF(in Input, receiver string) string {
	b := make([]byte, 0, 256)
	b = append(b, r.Status...)
	b = append(b, ' ', '(')
	if receiver != "" {
		b = appendComment(b, receiver)
		b = append(b, ": "...)
	}
	b = appendComment(b, r.comment(in))
	b = append(b, ')')
	n := 0
	pair := func(key, value string) {
		if value == "" && key != "envelope-from" {
			return
		}
		if n++; n > 1 {
			b = append(b, ';')
		}
		b = append(append(append(b, ' '), key...), '=')
		b = appendValue(b, value)
	}
	pair("client-ip", addrText(in.IP))
	pair("envelope-from", in.MailFrom)
	pair("helo", in.Helo)
	pair("receiver", receiver)
	pair("identity", string(r.Identity))
	pair("mechanism", r.Mechanism)
	if r.Err != nil {
		pair("problem", r.Err.Error())
	}
	return string(b)
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// comment is the result in words, for those who read headers (RFC 7208 §9.1
// recommends one). Fields are in English whatever the interface speaks.
func (r Result) comment(in Input) string {
	ip := addrText(in.IP)
	switch r.Status {
	case Pass:
		return "domain of " + r.Sender + " designates " + ip + " as permitted sender"
	case Fail:
		return "domain of " + r.Sender + " does not designate " + ip + " as permitted sender"
	case SoftFail:
		return "transitioning domain of " + r.Sender + " does not designate " + ip + " as permitted sender"
	case Neutral:
		return ip + " is neither permitted nor denied by domain of " + r.Sender
	case None:
		return "domain of " + r.Sender + " does not designate permitted sender hosts"
	case TempError:
		return "temporary error in processing domain of " + r.Sender
	}
	return "permanent error in processing domain of " + r.Sender
}

// appendComment appends text for the inside of a comment (RFC 5322 §3.2.2).
func appendComment(b []byte, s string) []byte {
	s = clipASCII(s)
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '(' || c == ')' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return b
}

// appendValue appends a dot-atom or a quoted-string (RFC 5322 §3.2.3, §3.2.4).
func appendValue(b []byte, s string) []byte {
	s = clipASCII(s)
	if isDotAtom(s) {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

func isDotAtom(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '.' && !isAtext(c) {
			return false
		}
	}
	return true
}

func isAtext(c byte) bool {
	return isAlpha(c) || isDigit(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// ParseReceivedSPF reads the value of a Received-SPF field. It takes what is
// in use: any case, values that should have been quoted (IPv6 addresses,
// mailboxes), comments anywhere, folding. The error is for a value that does
// not begin with a result; a pair that cannot be read ends the reading, and
// what stood before it is kept. Time is linear in len(value).
func ParseReceivedSPF(value string) (Received, error) {
	var r Received
	p := fieldReader{s: value}
	p.skip(nil)
	word := lower(p.token())
	switch s := Status(word); s {
	case None, Neutral, Pass, Fail, SoftFail, TempError, PermError:
		r.Status = s
	// RFC 4408 §9.1 and the drafts before it
	case "error":
		r.Status = TempError
	case "unknown":
		r.Status = PermError
	default:
		return r, fmt.Errorf("received-spf: %q is no result: want pass, fail, softfail, neutral, none, temperror or permerror", clip(word))
	}
	p.skip(&r.Comment)
	for p.i < len(p.s) {
		if p.s[p.i] == ';' {
			p.i++
			p.skip(nil)
			continue
		}
		key := lower(p.token())
		p.skip(nil)
		if key == "" || p.i == len(p.s) || p.s[p.i] != '=' {
			break
		}
		p.i++
		p.skip(nil)
		v := p.value()
		p.skip(nil)
		r.set(key, v)
	}
	return r, nil
}

// maxPairs bounds the pairs kept of a field.
const maxPairs = 32

func (r *Received) set(key, v string) {
	text := func(dst *string) {
		if *dst == "" {
			*dst = v
		}
	}
	switch key {
	case "client-ip":
		if a, err := netip.ParseAddr(strings.Trim(strings.TrimPrefix(lower(v), "ipv6:"), "[]")); err == nil && !r.ClientIP.IsValid() {
			r.ClientIP = a.Unmap().WithZone("")
		}
	case "envelope-from", "x-sender":
		text(&r.EnvelopeFrom)
	case "helo":
		text(&r.Helo)
	case "identity":
		if r.Identity == "" {
			r.Identity = Identity(lower(v))
		}
	case "mechanism":
		text(&r.Mechanism)
	case "problem":
		text(&r.Problem)
	case "receiver":
		text(&r.Receiver)
	default:
		if len(r.Other) < maxPairs {
			r.Other = append(r.Other, Pair{key, v})
		}
	}
}

// fieldReader reads the pieces of a structured field.
type fieldReader struct {
	s string
	i int
}

// skip goes over white space and comments; the first comment is put into
// comment.
func (p *fieldReader) skip(comment *string) {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
		case '(':
			c := p.comment()
			if comment != nil && *comment == "" {
				*comment = c
			}
		default:
			return
		}
	}
}

// comment reads a comment, nested ones within it as they stand.
func (p *fieldReader) comment() string {
	var b strings.Builder
	depth := 0
	for ; p.i < len(p.s); p.i++ {
		c := p.s[p.i]
		switch {
		case c == '\\' && p.i+1 < len(p.s):
			p.i++
			b.WriteByte(p.s[p.i])
			continue
		case c == '(':
			if depth++; depth == 1 {
				continue
			}
		case c == ')':
			if depth--; depth == 0 {
				p.i++
				return b.String()
			}
		case c == '\r' || c == '\n':
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// token reads up to white space, a comment, "=" or ";".
func (p *fieldReader) token() string {
	start := p.i
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n(=;", p.s[p.i]) < 0 {
		p.i++
	}
	return p.s[start:p.i]
}

// value reads a quoted-string, or up to white space or ";".
func (p *fieldReader) value() string {
	if p.i < len(p.s) && p.s[p.i] == '"' {
		var b strings.Builder
		for p.i++; p.i < len(p.s); p.i++ {
			switch c := p.s[p.i]; {
			case c == '"':
				p.i++
				return b.String()
			case c == '\\' && p.i+1 < len(p.s):
				p.i++
				b.WriteByte(p.s[p.i])
			case c == '\r' || c == '\n':
			default:
				b.WriteByte(c)
			}
		}
		return b.String()
	}
	start := p.i
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n;", p.s[p.i]) < 0 {
		p.i++
	}
	return p.s[start:p.i]
}
