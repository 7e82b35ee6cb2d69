package authres

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of writing, in octets. A comment or a reason is cut, a property whose
// value is longer is left out: half an address is another address.
const (
	maxText    = 400
	maxValue   = 900 // a line has at most 998 (RFC 5322 §2.1.1)
	maxKeyword = 64
	lineLength = 78
)

// String writes the value of a field in one line.
//
// Values are written as they are where they are tokens or addresses, and as
// quoted strings otherwise. Control characters are dropped, octets that are no
// UTF-8 become "?". A result whose method or value is not a keyword, and a
// property without a type, are left out. Parse reads back what was written.
func (r *Results) String() string {
	return string(r.append(make([]byte, 0, 256), false))
}

// Field writes the whole field with its line ends: the results in lines of
// their own, folded between properties so that a line has at most 78 octets
// where that can be.
func (r *Results) Field() string { return string(r.AppendField(make([]byte, 0, 512))) }

// AppendField appends what Field returns.
func (r *Results) AppendField(dst []byte) []byte {
	dst = append(dst, "Authentication-Results: "...)
	return append(r.append(dst, true), '\r', '\n')
}

// writer keeps track of the current line.
type writer struct {
	b    []byte
	line int // where the current line begins in b
	fold bool
}

func (r *Results) append(dst []byte, fold bool) []byte {
	w := writer{b: dst, line: len(dst), fold: fold}
	if fold {
		w.line -= len("Authentication-Results: ")
	}
	id := cleanValue(r.AuthServID)
	if len(id) > maxValue {
		id = ""
	}
	if isToken(id) { // an authserv-id is a value, never an address
		w.b = append(w.b, id...)
	} else {
		w.b = appendQuoted(w.b, id)
	}
	any := false
	for i := range r.Results {
		one := &r.Results[i]
		if !isKeyword(one.Method) || !isKeyword(one.Value) {
			continue
		}
		any = true
		w.b = append(w.b, ';')
		w.breakLine('\t')
		w.result(one)
	}
	if !any { // RFC 8601 §2.2, no-result
		w.b = append(w.b, "; none"...)
	}
	return w.b
}

// breakLine begins a new line where lines are folded, else writes a space.
func (w *writer) breakLine(indent byte) {
	if !w.fold {
		w.b = append(w.b, ' ')
		return
	}
	w.b = append(w.b, '\r', '\n', indent)
	w.line = len(w.b) - 1
}

// space separates a piece of n octets from what stands before it.
func (w *writer) space(n int, indent byte) {
	if w.fold && len(w.b)-w.line+1+n > lineLength {
		w.breakLine(indent)
		return
	}
	w.b = append(w.b, ' ')
}

// result writes method=result [comment] [reason] [properties]; the reason
// comes before the properties by the grammar.
func (w *writer) result(r *Result) {
	w.b = appendLower(w.b, r.Method)
	if r.Version > 1 {
		w.b = append(w.b, '/')
		w.b = strconv.AppendInt(w.b, int64(r.Version), 10)
	}
	w.b = append(w.b, '=')
	w.b = appendLower(w.b, r.Value)
	if text := clipText(cleanText(r.Comment)); text != "" {
		w.comment(text)
	}
	if text := clipText(cleanText(r.Reason)); text != "" {
		w.space(len("reason=")+2+len(text), '\t')
		w.b = append(w.b, "reason="...)
		w.b = appendValue(w.b, text)
	}
	for i := range r.Props {
		p := &r.Props[i]
		if !isKeyword(p.Type) || !isKeyword(p.Name) {
			continue
		}
		value := cleanValue(p.Value)
		if len(value) > maxValue {
			continue
		}
		w.space(len(p.Type)+len(p.Name)+2+quotedLen(value), '\t')
		w.b = appendLower(w.b, p.Type)
		w.b = append(w.b, '.')
		w.b = appendLower(w.b, p.Name)
		w.b = append(w.b, '=')
		w.b = appendValue(w.b, value)
	}
}

// comment writes a comment, folded between its words.
func (w *writer) comment(text string) {
	open := true
	for text != "" {
		word := text
		if i := strings.IndexByte(text, ' '); i >= 0 {
			word, text = text[:i], text[i+1:]
		} else {
			text = ""
		}
		// A space, and only that, so that unfolding gives the text back.
		w.space(len(word)+2, ' ')
		if open {
			w.b = append(w.b, '(')
			open = false
		}
		for i := 0; i < len(word); i++ {
			if c := word[i]; c == '(' || c == ')' || c == '\\' {
				w.b = append(w.b, '\\')
			}
			w.b = append(w.b, word[i])
		}
	}
	w.b = append(w.b, ')')
}

// appendValue appends a token, an address or a quoted string.
func appendValue(dst []byte, s string) []byte {
	if isToken(s) || isAddress(s) {
		return append(dst, s...)
	}
	return appendQuoted(dst, s)
}

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

func quotedLen(s string) int {
	if isToken(s) || isAddress(s) {
		return len(s)
	}
	return len(s) + 2 + strings.Count(s, `"`) + strings.Count(s, `\`)
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

// isKeyword: letters, digits and "-", not at the end (RFC 5321 §4.1.2,
// Keyword, as RFC 8601 §2.2 has it).
func isKeyword(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlnum(s[i]) && (s[i] != '-' || i == len(s)-1) {
			return false
		}
	}
	return s != "" && len(s) <= maxKeyword
}

func isAlnum(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
}

// tokenOctets may stand in a token: RFC 2045 §5.1.
var tokenOctets = func() (t [256]bool) {
	for c := byte('!'); c < 0x7f; c++ {
		t[c] = strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
	}
	return t
}()

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenOctets[s[i]] {
			return false
		}
	}
	return s != ""
}

// isAddress: [local-part] "@" domain-name, as RFC 8601 §2.2 has identities of
// mail written. A local part that has to be quoted comes with its quotes. EAI
// (RFC 6531) admits UTF-8 on both sides.
func isAddress(s string) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 0 || at == len(s)-1 {
		return false
	}
	return (at == 0 || isDots(s[:at], "!#$%&'*+-/=?^_`{|}~") || isQuoted(s[:at])) && isDots(s[at+1:], "-_")
}

// isDots: words with single dots between, of letters, digits, what is beyond
// ASCII and more.
func isDots(s, more string) bool {
	dot := true // a dot may not stand here
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '.' && dot || c != '.' && !isAlnum(c) && c < 0x80 && strings.IndexByte(more, c) < 0 {
			return false
		}
		dot = c == '.'
	}
	return !dot
}

// isQuoted: a quoted string with nothing around it.
func isQuoted(s string) bool {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	for i := 1; i < len(s)-1; i++ {
		switch s[i] {
		case '"':
			return false
		case '\\':
			if i++; i == len(s)-1 {
				return false
			}
		}
	}
	return true
}

// cleanValue drops control characters and makes the rest UTF-8.
func cleanValue(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteByte('?')
		case r == '\t':
			b.WriteByte(' ')
		case !unicode.IsControl(r):
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// cleanText is cleanValue for texts, where runs of white space are one space
// and none stands at the ends.
func cleanText(s string) string {
	s = strings.Trim(cleanValue(s), " ")
	if !strings.Contains(s, "  ") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != ' ' || s[i-1] != ' ' {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// clipText cuts a text between two characters.
func clipText(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return strings.TrimRight(s[:n], " ")
}
