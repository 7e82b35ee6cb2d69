package dmarc

import (
	"slices"
	"strings"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/message"
)

// maxFrom is how many different domains of From fields are told apart.
const maxFrom = 64

// FromDomains extracts the domains of the From fields, each once, in their
// order, as A-labels (RFC 9989 §5.3.1). The step is nil exactly if there is one
// From field with one domain, however many addresses it has; otherwise it says
// why DMARC cannot be applied (§4.4, §5.3.1). There are no domains if a field
// cannot be read without doubt. Of more than 64 domains the first are returned.
func FromDomains(h message.Header) ([]domain.Name, *explain.Step) {
	var one [1]domain.Name
	names, fields := one[:0], 0
	fail := func(code string, args explain.Args) *explain.Step {
		return &explain.Step{Code: code, Args: args, Ref: "RFC 9989 §5.3.1"}
	}
	for _, f := range h {
		if !f.Is("From") {
			continue
		}
		fields++
		list, err := message.ParseAddrSpecs(f.RawValue())
		if err != nil {
			return nil, fail("dmarc.from-unreadable", explain.Args{"error": explain.ClipFolded(err.Error())})
		}
		for _, a := range list {
			if a.Domain == "" {
				continue
			}
			n, err := domain.Parse(a.Domain)
			if err != nil || strings.HasPrefix(a.Domain, "[") {
				return nil, fail("dmarc.from-bad-domain", explain.Args{"domain": explain.ClipFolded(a.Domain)})
			}
			if len(names) < maxFrom && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	switch {
	case fields == 0:
		return nil, fail("dmarc.from-missing", nil)
	case len(names) == 0:
		return nil, fail("dmarc.from-no-domain", nil)
	case len(names) > 1:
		return names, fail("dmarc.from-several-domains", explain.Args{"domains": shown(names), "count": int64(len(names))})
	case fields > 1:
		// RFC 5322 §3.6 has exactly one; readers show the one or the other.
		return names, fail("dmarc.from-several-fields", explain.Args{"count": int64(fields)})
	}
	return names, nil
}

// shown lists names for a sentence, the first ten.
func shown(names []domain.Name) []string {
	out := make([]string, 0, min(len(names), 10)+1)
	for i, n := range names {
		if i == 10 {
			return append(out, "…")
		}
		out = append(out, n.String())
	}
	return out
}
