package dkim

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/taglist"
)

// Error is why a signature or a key cannot be used. It is meant for errors.As:
// Step says the same in a form that people are told.
type Error struct {
	Step explain.Step
	text string
}

func (e *Error) Error() string { return e.text }

// problem is the error of one tag with its value as found.
func problem(code, ref, tag, value string) *Error {
	value = explain.ClipFolded(value)
	return &Error{
		Step: explain.Step{Code: code, Ref: ref, Args: explain.Args{"tag": tag, "value": value}},
		text: "tag " + tag + "=" + strconv.Quote(value) + ": " + phrase(code),
	}
}

// phrase is the code without its room, as words: error texts are for logs.
func phrase(code string) string {
	return strings.ReplaceAll(strings.TrimPrefix(code, "dkim."), "-", " ")
}

func missing(tag string) *Error {
	return &Error{
		Step: explain.Step{Code: "dkim.tag-missing", Ref: "RFC 6376 §6.1.1", Args: explain.Args{"tag": tag}},
		text: "tag " + tag + "= is required and missing",
	}
}

func invalid(tag, value string) *Error {
	return problem("dkim.tag-invalid", "RFC 6376 §6.1.1", tag, value)
}

func limited(code string, have, most int) *Error {
	return &Error{
		Step: explain.Step{Code: code, Args: explain.Args{"count": int64(have), "most": int64(most)}},
		text: phrase(code) + ": " + strconv.Itoa(have) + ", at most " + strconv.Itoa(most) + " are accepted",
	}
}

// faultError is the error of a list that is not well-formed.
func faultError(f taglist.Fault) *Error {
	code := "dkim.tags-malformed"
	if f.Kind == taglist.Duplicate {
		code = "dkim.tag-repeated"
	}
	return &Error{
		Step: explain.Step{Code: code, Ref: "RFC 6376 §3.2", Args: explain.Args{
			"part": explain.ClipFolded(f.Text), "octet": int64(f.Offset) + 1}},
		text: f.Error(),
	}
}

// stamp is how a moment is given to an explanation.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func isFWS(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func trimFWS(s string) string {
	for s != "" && isFWS(s[0]) {
		s = s[1:]
	}
	for s != "" && isFWS(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// isFieldName: ftext of RFC 5322 §2.2, without ";", which ends the tag.
func isFieldName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ':' || c == ';' {
			return false
		}
	}
	return s != ""
}

// domainName reads d=, s= and the domain of i=: no white space and no dot at
// the end, U-labels or A-labels (RFC 8616 §4). Underscores are admitted.
func domainName(s string) (domain.Name, bool) {
	if s == "" || s[len(s)-1] == '.' || isFWS(s[0]) || isFWS(s[len(s)-1]) {
		return domain.Name{}, false
	}
	n, err := domain.Parse(s)
	return n, err == nil
}

// decimal reads an unsigned number of at most that many digits. What exceeds
// an int64 becomes the largest one.
func decimal(s string, digits int) (int64, bool) {
	if s == "" || len(s) > digits {
		return 0, false
	}
	var n int64
	for i := 0; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		if n > (math.MaxInt64-int64(c))/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(c)
	}
	return n, true
}

// seconds reads t= and x=. More than twelve digits are as good as infinite
// (RFC 6376 §3.5, "t").
func seconds(s string) (time.Time, bool) {
	n, ok := decimal(s, 76)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(min(n, maxSeconds), 0).UTC(), true
}

// decodeBase64 reads base64string (RFC 6376 §2.10), in which white space means
// nothing and padding may be absent.
func decodeBase64(s string) ([]byte, bool) {
	var room [512]byte
	b := room[:0]
	for i := 0; i < len(s); {
		n := i
		for n < len(s) && !isFWS(s[n]) {
			n++
		}
		b = append(b, s[i:n]...)
		for i = n; i < len(s) && isFWS(s[i]); i++ {
		}
	}
	for pad := 0; pad < 2 && len(b) > 0 && b[len(b)-1] == '='; pad++ {
		b = b[:len(b)-1]
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(b)))
	n, err := base64.RawStdEncoding.Decode(out, b)
	return out[:n], err == nil
}

const upperHex = "0123456789ABCDEF"

// decodeQP reads dkim-quoted-printable (RFC 6376 §2.11): white space means
// nothing, "=" and two upper-case hexadecimal digits are an octet.
func decodeQP(s string) (string, bool) {
	s = taglist.Unfold(s)
	if !strings.Contains(s, "=") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return s, false
		}
		h, l := strings.IndexByte(upperHex, s[i+1]), strings.IndexByte(upperHex, s[i+2])
		if h < 0 || l < 0 {
			return s, false
		}
		b = append(b, byte(h<<4|l))
		i += 2
	}
	return string(b), true
}

// encodeQP writes dkim-quoted-printable; UTF-8 stays as it is (RFC 8616 §5).
func encodeQP(s string) string {
	utf := utf8.ValidString(s)
	b := make([]byte, 0, len(s)+8)
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == ';' || c == '=' || c == 0x7f || c >= 0x80 && !utf {
			b = append(b, '=', upperHex[c>>4], upperHex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}
