package message

import (
	"mime"
	"sort"
	"strconv"
	"strings"
)

// newPart reads the MIME fields of a header.
func newPart(h Header, at place) *Part {
	p := &Part{Path: at.path, Depth: at.depth, Message: at.message, Header: h, Containers: at.containers}
	if p.Path == "" {
		p.Path = "1"
	}
	p.MediaType = "text/plain" // RFC 2045 §5.2
	if at.digest {
		p.MediaType = "message/rfc822" // RFC 2046 §5.1.5
	}
	value, params := parseParams(h.Get("Content-Type"))
	if t := strings.ToLower(value); validMediaType(t) {
		p.MediaType = t
	}
	charset := strings.ToLower(params["charset"])
	p.Params = params
	disposition, dparams := parseParams(h.Get("Content-Disposition"))
	p.Disposition = strings.ToLower(disposition)
	p.Encoding = strings.ToLower(firstToken(h.Get("Content-Transfer-Encoding")))
	p.Filename = decodeName(dparams["filename"], charset)
	if p.Filename == "" {
		p.Filename = decodeName(params["name"], charset)
	}
	// RFC 2046 §5.1.1: a boundary has no space at its end.
	if b, ok := params["boundary"]; ok {
		params["boundary"] = strings.TrimRight(b, " \t")
	}
	return p
}

func validMediaType(t string) bool {
	major, minor, ok := strings.Cut(t, "/")
	return ok && major != "" && minor != "" && !strings.ContainsAny(t, " \t\"<>@,;:\\()[]?=") &&
		!strings.Contains(minor, "/")
}

func firstToken(s string) string {
	s = strings.TrimLeft(s, " \t\"'")
	if i := strings.IndexAny(s, " \t;(\"'"); i >= 0 {
		s = s[:i]
	}
	return s
}

// ParseParams reads a field such as Content-Type: a value and its parameters
// (RFC 2045 §5.1), with RFC 2231's continuations and character sets decoded.
// Names are lower-cased; of a repeated parameter the first counts. It is
// lenient: unquoted values may have spaces, and what cannot be read is left out.
func ParseParams(s string) (value string, params map[string]string) { return parseParams(s) }

func parseParams(s string) (string, map[string]string) {
	sc := paramScanner{s: s}
	value := strings.TrimSpace(sc.until(';'))
	if i := strings.IndexAny(value, " \t("); i >= 0 {
		value = value[:i]
	}
	params := map[string]string{}
	var pieces []piece
	for sc.more() && len(params)+len(pieces) < 100 {
		name, val, quoted, ok := sc.param()
		if !ok {
			continue
		}
		name = strings.ToLower(name)
		if base, p, ok := splitPiece(name, val); ok {
			p.name = base
			pieces = append(pieces, p)
			continue
		}
		if !quoted && (name == "boundary" || name == "charset") {
			if i := strings.IndexAny(val, " \t("); i >= 0 {
				val = val[:i]
			}
		}
		if _, ok := params[name]; !ok {
			params[name] = val
		}
	}
	joinPieces(params, pieces)
	return value, params
}

type paramScanner struct {
	s string
	i int
}

func (p *paramScanner) more() bool { return p.i < len(p.s) }

// until returns the text before the next c outside quotes and comments, and
// moves behind it.
func (p *paramScanner) until(c byte) string {
	from := p.i
	for p.i < len(p.s) {
		if p.s[p.i] == c {
			p.i++
			return p.s[from : p.i-1]
		}
		p.i++
	}
	return p.s[from:]
}

func (p *paramScanner) space() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t' || p.s[p.i] == ';' || p.s[p.i] == '\r' || p.s[p.i] == '\n') {
		p.i++
	}
}

// param reads name=value. A value in quotes ends at the quote, another at the
// next semicolon.
func (p *paramScanner) param() (name, value string, quoted, ok bool) {
	p.space()
	if p.i < len(p.s) && p.s[p.i] == '(' { // a comment, RFC 5322 §3.2.2
		p.until(')')
		return "", "", false, false
	}
	eq := strings.IndexAny(p.s[p.i:], "=;")
	if eq < 0 || p.s[p.i+eq] == ';' {
		p.until(';')
		return "", "", false, false
	}
	name = strings.TrimSpace(p.s[p.i : p.i+eq])
	p.i += eq + 1
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
		p.i++
	}
	if p.i < len(p.s) && p.s[p.i] == '"' {
		p.i++
		return name, p.quoted(), true, name != ""
	}
	return name, strings.TrimSpace(p.until(';')), false, name != ""
}

func (p *paramScanner) quoted() string {
	var b strings.Builder
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch c {
		case '"':
			return b.String()
		case '\\':
			if p.i < len(p.s) && (p.s[p.i] == '"' || p.s[p.i] == '\\') {
				c = p.s[p.i]
				p.i++
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

// piece is a part of a parameter's value (RFC 2231 §3, §4).
type piece struct {
	name    string
	no      int
	encoded bool
	value   string
}

func splitPiece(name, value string) (string, piece, bool) {
	base, rest, ok := strings.Cut(name, "*")
	if !ok {
		return "", piece{}, false
	}
	p := piece{value: value, encoded: rest == "" || strings.HasSuffix(rest, "*")}
	if digits := strings.TrimSuffix(rest, "*"); digits != "" {
		n, err := strconv.Atoi(digits)
		if err != nil || n < 0 {
			return "", piece{}, false
		}
		p.no = n
	}
	return base, p, true
}

// joinPieces puts values together. RFC 2231 §5 gives an encoded value
// precedence over a plain one of the same name.
func joinPieces(params map[string]string, pieces []piece) {
	sort.SliceStable(pieces, func(i, j int) bool {
		if pieces[i].name != pieces[j].name {
			return pieces[i].name < pieces[j].name
		}
		return pieces[i].no < pieces[j].no
	})
	for i := 0; i < len(pieces); {
		name, charset := pieces[i].name, ""
		var raw []byte
		first := true
		last := -1
		for ; i < len(pieces) && pieces[i].name == name; i++ {
			p := pieces[i]
			if p.no == last {
				continue // repeated
			}
			last = p.no
			v := p.value
			if p.encoded {
				if first {
					if parts := strings.SplitN(v, "'", 3); len(parts) == 3 {
						charset, v = parts[0], parts[2]
					}
				}
				raw = append(raw, percentDecode(v)...)
			} else {
				raw = append(raw, v...)
			}
			first = false
		}
		params[name] = toUTF8(raw, charset)
	}
}

func percentDecode(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if h, l := unhex(s[i+1]), unhex(s[i+2]); h < 16 && l < 16 {
				out = append(out, h<<4|l)
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return out
}

// decodeName decodes a file name as senders write it: with encoded words,
// which RFC 2047 §5 forbids in parameters, or in plain 8-bit characters.
func decodeName(s, charset string) string {
	if s == "" {
		return ""
	}
	return strings.TrimSpace(DecodeWords(toUTF8([]byte(s), charset)))
}

// DecodeWords decodes the encoded words (RFC 2047) in a field's value. Words
// of an unknown character set stay as they are.
func DecodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return s
	}
	d := mime.WordDecoder{CharsetReader: charsetReader}
	out, err := d.DecodeHeader(s)
	if err != nil {
		return s
	}
	return out
}
