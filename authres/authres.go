// Package authres reads and writes Authentication-Results fields (RFC 8601)
// and says which of those that a message brings along have to be taken out.
//
// Reading is lenient, because what receivers write is: see Parse. Writing is
// strict: whatever the values are, what comes out is one field of the grammar,
// so that nobody puts a result or a field of his own into ours.
package authres

import (
	"strings"

	"sekimori/explain"
	"sekimori/message"
)

// Results is the content of one field. The zero Results is a field without
// authserv-id and without results.
type Results struct {
	// AuthServID names who did the checks (RFC 8601 §2.5), without quotes, as
	// written. It is empty where the field has none, as some of Microsoft's.
	AuthServID string
	// Version is that of the format: 1, the only one there is. 0 is written as
	// 1.
	Version int
	// Results are in the order written; none stands for "none" (RFC 8601
	// §2.2, no-result).
	Results []Result

	// strays are the words that have no place in the grammar and stand where
	// an authserv-id could: behind the authserv-id, or alone between semicolons.
	strays []string
}

// Result is what one method found. Method, Value and the names of properties
// are in lower case. Unknown ones are read like the others: RFC 8601 §2.7.6 has
// consumers ignore them.
type Result struct {
	Method string // "spf", "dkim"
	// Version is that of the method: 1 where none is written. Results of other
	// versions are to be ignored (RFC 8601 §2.6); All leaves them out.
	Version int
	Value   string // "pass"
	Comment string // the first comment in the result
	Reason  string
	Props   []Prop
	// Note is what was written in place of Value: a pass that stands on no
	// record. Microsoft writes "bestguesspass" for DMARC, Google "pass (… best
	// guess record …)" for SPF; neither is in a standard. Value is then "none".
	// Note is not written.
	Note string
}

// Prop is one property of a result: ptype.property=value (RFC 8601 §2.2). Type
// is empty for what receivers write without one, such as Microsoft's
// "action=none"; such a property is read and never written.
type Prop struct {
	Type, Name, Value string
}

// All returns the results of a method in the version that this package knows.
func (r *Results) All(method string) []Result {
	var out []Result
	for _, one := range r.Results {
		if one.Version <= 1 && strings.EqualFold(one.Method, method) {
			out = append(out, one)
		}
	}
	return out
}

// Get returns the value of the first property of that type and name.
func (r Result) Get(ptype, name string) (value string, ok bool) {
	for i := range r.Props {
		if p := &r.Props[i]; strings.EqualFold(p.Type, ptype) && strings.EqualFold(p.Name, name) {
			return p.Value, true
		}
	}
	return "", false
}

// Noted returns the step that explains Note, if there is one.
func (r Result) Noted() (explain.Step, bool) {
	if r.Note == "" {
		return explain.Step{}, false
	}
	return explain.Step{
		Code: "authres.best-guess",
		Args: explain.Args{"method": clip(r.Method), "written": clip(r.Note)},
		Ref:  "RFC 8601 §2.7",
	}, true
}

// clip makes a value from outside fit for an explanation.
func clip(s string) string { return explain.Clip(cleanText(s)) }

// Merge puts the results of all fields of h that bear the authserv-id into one,
// in the order of the header: an ARC set has room for one (RFC 8617 §4.1.1).
// Forged fields have to be gone before. Fields that cannot be read are passed
// over.
func Merge(h message.Header, id string) *Results {
	all := &Results{AuthServID: id, Version: 1}
	for i := range h {
		if !h[i].Is("Authentication-Results") {
			continue
		}
		r, err := Parse(h[i].RawValue())
		if err == nil && sameID(r.AuthServID, id) && len(all.Results)+len(r.Results) <= maxResults {
			all.Results = append(all.Results, r.Results...)
		}
	}
	return all
}
