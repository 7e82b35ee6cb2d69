package authres

import (
	"errors"
	"strings"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/message"
)

// Filter says which Authentication-Results fields of a message are taken out
// where it enters (RFC 8601 §5). The zero Filter takes out those that nobody
// may use anyway: of an unsupported version.
type Filter struct {
	// IDs are the authserv-ids that consumers inside trust: ours, and those of
	// other hosts of ours. Case does not matter, nor how an internationalised
	// name is spelled.
	IDs []string
	// All takes out every field, which RFC 8601 §5 allows for simplicity and
	// security.
	All bool
}

// Removal is one field to take out.
type Removal struct {
	Index  int // in the header
	Reason explain.Step
}

// Forged returns the indexes in h of the Authentication-Results fields that
// claim to come from one of ids, or that have an unsupported version: what a
// border host takes out of each message that does not come straight from a
// host it trusts.
func Forged(h message.Header, ids ...string) []int {
	var out []int
	for _, r := range (Filter{IDs: ids}).Removals(h) {
		out = append(out, r.Index)
	}
	return out
}

// Removals returns the fields of h to take out, in order, with the reasons. A
// field that cannot be read is taken out where one of the ids stands in it: a
// consumer may read what we cannot.
func (f Filter) Removals(h message.Header) []Removal {
	var out []Removal
	for i := range h {
		if !h[i].Is("Authentication-Results") {
			continue
		}
		if why := f.judge(h[i].RawValue()); why.Code != "" {
			out = append(out, Removal{i, why})
		}
	}
	return out
}

func (f Filter) judge(value string) explain.Step {
	if f.All {
		return explain.Step{Code: "authres.removed-all", Args: explain.Args{}, Ref: "RFC 8601 §5"}
	}
	r, err := Parse(value)
	switch {
	case errors.Is(err, ErrVersion):
		return explain.Step{
			Code: "authres.removed-version",
			Args: explain.Args{"id": clip(r.AuthServID), "version": int64(r.Version)},
			Ref:  "RFC 8601 §5",
		}
	case err != nil:
		for _, id := range f.IDs {
			if mentions(value, id) {
				return explain.Step{
					Code: "authres.removed-unreadable",
					Args: explain.Args{"id": clip(id)},
					Ref:  "RFC 8601 §5",
				}
			}
		}
		return explain.Step{}
	}
	for _, id := range f.IDs {
		if r.from(id) {
			return explain.Step{Code: "authres.removed-own", Args: explain.Args{"id": clip(id)}, Ref: "RFC 8601 §5"}
		}
	}
	return explain.Step{}
}

// from tells whether somebody might take id for the authserv-id of the field.
func (r *Results) from(id string) bool {
	if sameID(r.AuthServID, id) {
		return true
	}
	if len(r.strays) == 0 {
		return false
	}
	// Words beside the authserv-id: one of them may be read in its place, or
	// all of them in one where comments are cut out carelessly.
	joined := r.AuthServID
	for _, s := range r.strays {
		if sameID(s, id) {
			return true
		}
		if len(joined) < 1000 {
			joined += s
		}
		if sameID(joined, id) {
			return true
		}
	}
	return false
}

// sameID compares a written authserv-id with one of ours. Only the part that
// looks like a host name counts, so that what follows it cannot hide it.
func sameID(written, id string) bool {
	id = strings.TrimRight(strings.TrimSpace(id), ".")
	if id == "" {
		return false
	}
	written = strings.TrimSpace(written)
	if strings.EqualFold(strings.TrimRight(written, "."), id) {
		return true
	}
	for i := 0; i < len(written); i++ {
		if c := written[i]; !isAlnum(c) && c != '-' && c != '_' && c != '.' && c < 0x80 {
			written = written[:i]
			break
		}
	}
	written = strings.TrimRight(written, ".")
	if strings.EqualFold(written, id) {
		return true
	}
	if isASCII(written) && isASCII(id) && !hasALabel(written) && !hasALabel(id) {
		return false
	}
	a, err := domain.Parse(written)
	if err != nil {
		return false
	}
	b, err := domain.Parse(id)
	return err == nil && a == b
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func hasALabel(s string) bool {
	return len(s) >= 4 && strings.Contains(strings.ToLower(s), "xn--")
}

// mentions tells whether id stands in a text that could not be read, with
// everything taken out that a reader may take out.
func mentions(text, id string) bool {
	id = strings.ToLower(strings.TrimRight(strings.TrimSpace(id), "."))
	if id == "" {
		return false
	}
	forms := []string{id}
	if n, err := domain.Parse(id); err == nil {
		forms = append(forms, n.String(), strings.ToLower(n.Unicode()))
	}
	bare := strings.Map(func(r rune) rune {
		switch {
		case r <= ' ', r == 0x7f, r == '"', r == '\\', r == '\ufffd':
			return -1
		case r == '\u3002', r == '\uff0e', r == '\uff61': // dots (RFC 3490 §3.1)
			return '.'
		}
		return r
	}, strings.ToLower(text+" "+message.DecodeWords(strings.ToValidUTF8(text, ""))))
	for _, s := range [...]string{bare, withoutComments(bare)} {
		for _, form := range forms {
			if strings.Contains(s, form) {
				return true
			}
		}
	}
	return false
}

func withoutComments(s string) string {
	if strings.IndexByte(s, '(') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '(':
			depth++
		case s[i] == ')' && depth > 0:
			depth--
		case depth == 0:
			b = append(b, s[i])
		}
	}
	return string(b)
}
