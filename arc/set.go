package arc

import (
	"strconv"
	"strings"

	"sekimori/dkim"
	"sekimori/domain"
	"sekimori/message"
	"sekimori/taglist"
)

// part is one of the three fields of a set.
type part int

const (
	results   part = iota // ARC-Authentication-Results, AAR
	signature             // ARC-Message-Signature, AMS
	seal                  // ARC-Seal, AS
	parts
)

var partNames = [parts]string{"ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"}

// partOf tells which field of a set f is.
func partOf(f message.Field) (part, bool) {
	raw := f.Raw()
	if len(raw) < 4 || raw[3] != '-' || raw[0]|0x20 != 'a' {
		return 0, false
	}
	name := f.Name()
	for p, want := range partNames {
		if len(name) == len(want) && strings.EqualFold(name, want) {
			return part(p), true
		}
	}
	return 0, false
}

// set is an ARC Set: three fields of one instance (RFC 8617 §4.2).
type set struct {
	fields [parts]message.Field
	have   [parts]bool
	seal   sealTags
	sig    *dkim.Signature // of the AMS
	text   string          // of the AAR, behind the instance
}

// sealTags is an ARC-Seal (RFC 8617 §4.1.3).
type sealTags struct {
	*dkim.Signature // a, b, d, s and t
	cv              Status
}

// instance reads an instance tag's value: 1 to 50, with comments and white
// space around it (RFC 8617 §3.9, §4.2.1).
func instance(value string) (int, bool) {
	value, ok := trimCFWS(value)
	if !ok || len(value) < 1 || len(value) > 2 {
		return 0, false
	}
	for i := 0; i < len(value); i++ {
		if value[i] < '0' || '9' < value[i] {
			return 0, false
		}
	}
	n, err := strconv.Atoi(value)
	return n, err == nil && n >= 1 && n <= maxSets
}

// trimCFWS takes comments and white space off both ends.
func trimCFWS(s string) (string, bool) {
	s, ok := skipCFWS(s)
	if !ok {
		return "", false
	}
	end := len(s)
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '(' || c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			end = i
			break
		}
	}
	rest, ok := skipCFWS(s[end:])
	return s[:end], ok && rest == ""
}

// skipCFWS takes comments and folding white space off the start. Comments in
// comments may be 32 deep.
func skipCFWS(s string) (string, bool) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '(':
			if depth++; depth > 32 {
				return "", false
			}
		case depth > 0 && c == ')':
			depth--
		case depth > 0 && c == '\\':
			i++
		case depth > 0 || c == ' ' || c == '\t' || c == '\r' || c == '\n':
		default:
			return s[i:], true
		}
	}
	return "", depth == 0
}

// readResults reads an AAR as far as the chain depends on it: its instance
// comes first (RFC 8617 §4.1.1). What it says does not matter for validity
// (§3.4).
func readResults(value string) (n int, text string, ok bool) {
	s, ok := skipCFWS(value)
	if !ok || !strings.HasPrefix(s, "i") { // %s"i": in lower case
		return 0, "", false
	}
	if s, ok = skipCFWS(s[1:]); !ok || !strings.HasPrefix(s, "=") {
		return 0, "", false
	}
	if s, ok = skipCFWS(s[1:]); !ok {
		return 0, "", false
	}
	digits := 0
	for digits < len(s) && '0' <= s[digits] && s[digits] <= '9' {
		digits++
	}
	if n, ok = instance(s[:digits]); !ok {
		return 0, "", false
	}
	if s, ok = skipCFWS(s[digits:]); !ok || !strings.HasPrefix(s, ";") {
		return 0, "", false
	}
	return n, unfold(s[1:]), true
}

// unfold takes line ends out, and white space off the ends.
func unfold(s string) string {
	if strings.ContainsAny(s, "\r\n") {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			if s[i] != '\r' && s[i] != '\n' {
				b = append(b, s[i])
			}
		}
		s = string(b)
	}
	return strings.Trim(s, " \t")
}

// placeholders for tags that the reader of DKIM signatures asks for.
const (
	noHash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	onlyIn = "From"

	maxNames = 500 // in h=
)

// readSignature reads an AMS: a DKIM signature in all but v= and i= (RFC 8617
// §4.1.2). Two things are let pass, as the protocol's test suite has them: From
// need not be in h=, see Result.Trust, and nothing may stand between two
// colons.
func readSignature(list taglist.List) (*dkim.Signature, error) {
	own := make(taglist.List, len(list))
	copy(own, list)
	var names []string
	for i := range own {
		if own[i].Name != "h" || strings.Count(own[i].Value, ":") >= maxNames {
			continue
		}
		names = names[:0]
		from := false
		for _, name := range strings.Split(own[i].Value, ":") {
			if name = strings.Trim(name, " \t\r\n"); name != "" {
				names = append(names, name)
				from = from || strings.EqualFold(name, onlyIn)
			}
		}
		own[i].Value = strings.Join(names, ":")
		if !from {
			own[i].Value = strings.TrimPrefix(own[i].Value+":"+onlyIn, ":")
		}
	}
	sig, err := dkim.SignatureOf(own)
	if err == nil {
		sig.Headers = names
	}
	return sig, err
}

// readSeal reads an AS. Only a, b, d, s, t and cv mean something besides i
// (RFC 8617 §4.1.3).
func readSeal(list taglist.List) (sealTags, error) {
	own := make(taglist.List, 0, 7)
	var tags sealTags
	for _, t := range list {
		switch t.Name {
		case "a", "b", "d", "s", "t":
			own = append(own, t)
		case "cv":
			// RFC 6376 §3.2: values are case-sensitive.
			tags.cv = Status(t.Value)
		}
	}
	own = append(own, taglist.Tag{Name: "h", Value: onlyIn}, taglist.Tag{Name: "bh", Value: noHash})
	sig, err := dkim.SignatureOf(own)
	tags.Signature = sig
	return tags, err
}

func (s *sealTags) domain() domain.Name {
	if s.Signature == nil {
		return domain.Name{}
	}
	return s.Domain
}

// covers reports whether a signature covers a field of that name.
func covers(sig *dkim.Signature, name string) bool {
	return sig != nil && sig.Signs(name)
}
