package sources

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"sekimori/internal/store"
	"sekimori/spf"
)

// PermitSpan is a network that a domain's SPF record allowed for some time, as
// far as somebody looked.
type PermitSpan struct {
	Prefix netip.Prefix
	Via    string    // the include that named it, lower case; "" for the record itself
	From   time.Time // first seen so
	To     time.Time // last seen so
}

// PermitHistory is what a domain's SPF record allowed when. Like Permit it is
// evidence of whose an address is, and no evaluation. The zero PermitHistory is
// that of a domain which nobody watched.
type PermitHistory struct {
	Spans   []PermitSpan // by From
	From    time.Time    // the record was first looked at; zero for never
	To      time.Time    // and last
	Domains []string     // that the record has included at any time, lower case
	// Partial says that some includes were not watched, or that the record has
	// terms (a, mx, exists, macros) whose addresses an observation does not hold.
	Partial bool

	table *bart.Table[[]int32] // of prefixes: which spans are theirs
}

// Allowed reports whether an address was allowed at some moment from one time to
// another, and returns the span of it that lasted longest, by its end.
func (h PermitHistory) Allowed(a netip.Addr, from, to time.Time) (PermitSpan, bool) {
	var last PermitSpan
	found := false
	if h.table == nil || !a.IsValid() {
		return last, false
	}
	a = a.Unmap().WithZone("")
	for _, spans := range h.table.Supernets(netip.PrefixFrom(a, a.BitLen())) {
		for _, i := range spans {
			if s := h.Spans[i]; !s.From.After(to) && !s.To.Before(from) && (!found || s.To.After(last.To)) {
				last, found = s, true
			}
		}
	}
	return last, found
}

// maxSpans bounds a history: a record of some hundred networks that changed
// every day for a year.
const maxSpans = 50_000

// PermitWas works out which networks a domain's SPF record allowed when, from
// what was observed of it (Observation.Kind "spf", Name the domain's) and of the
// records that it includes (the same Kind, Name the include's). Addresses of "mx"
// and "a" terms are taken from observations of kinds "a" and "aaaa" where there
// are any.
// Observations may come in any order. It takes at most 50,000 spans.
func PermitWas(domain string, seen []store.Observation) PermitHistory {
	w := wasWalk{records: map[string][]store.Observation{}, hosts: map[string][]store.Observation{}}
	for _, o := range seen {
		name := strings.ToLower(strings.TrimSuffix(o.Name, "."))
		switch o.Kind {
		case "spf":
			w.records[name] = append(w.records[name], o)
		case "a", "aaaa":
			w.hosts[name] = append(w.hosts[name], o)
		}
	}
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	for _, o := range w.records[domain] {
		if w.out.From.IsZero() || o.From.Before(w.out.From) {
			w.out.From = o.From
		}
		if o.To.After(w.out.To) {
			w.out.To = o.To
		}
	}
	w.record(domain, "", span{w.out.From, w.out.To}, []string{domain})
	slices.SortStableFunc(w.out.Spans, func(a, b PermitSpan) int {
		return cmp.Or(a.From.Compare(b.From), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	w.out.table = new(bart.Table[[]int32])
	for i, s := range w.out.Spans {
		w.out.table.Modify(s.Prefix, func(v []int32, _ bool) ([]int32, bool) { return append(v, int32(i)), false })
	}
	return w.out
}

type span struct{ from, to time.Time }

// within is what two spans have in common; false where they have nothing.
func (s span) within(o store.Observation) (span, bool) {
	if o.From.After(s.from) {
		s.from = o.From
	}
	if o.To.Before(s.to) {
		s.to = o.To
	}
	return s, !s.from.After(s.to)
}

type wasWalk struct {
	records, hosts map[string][]store.Observation
	steps          int
	out            PermitHistory
}

// maxWasSteps bounds the records looked at: each may include many, and each of
// these at many times.
const maxWasSteps = 5000

// record takes what a name's record said within a span. path holds the names on
// the way to it.
func (w *wasWalk) record(name, via string, when span, path []string) {
	if len(w.records[name]) == 0 {
		w.out.Partial = true
		return
	}
	for _, o := range w.records[name] {
		at, ok := when.within(o)
		if !ok {
			continue
		}
		if w.steps++; w.steps > maxWasSteps {
			w.out.Partial = true
			return
		}
		for text := range strings.SplitSeq(o.Value, "\n") {
			if spf.IsRecord(text) {
				w.terms(name, via, text, at, path)
				break
			}
		}
	}
}

func (w *wasWalk) terms(name, via, text string, at span, path []string) {
	terms, _ := spf.ParseTerms(text) // a record at fault still tells something
	for i := range terms {
		t := &terms[i]
		if t.Qualifier != spf.Plus && (!t.IsModifier() || t.Name != spf.Redirect) {
			continue
		}
		value := t.Value.String()
		if strings.Contains(value, "%") {
			w.out.Partial = true // a macro: its addresses depend on the message
			continue
		}
		target := strings.ToLower(strings.TrimSuffix(value, "."))
		switch t.Name {
		case spf.IP4, spf.IP6:
			w.add(t.Network, via, at)
		case spf.Include, spf.Redirect:
			if target == "" {
				continue
			}
			if !slices.Contains(w.out.Domains, target) {
				w.out.Domains = append(w.out.Domains, target)
			}
			if len(path) <= 8 && !slices.Contains(path, target) {
				w.record(target, target, at, append(slices.Clip(path), target))
			}
		case spf.A:
			w.host(cmp.Or(target, name), t, via, at)
		case spf.MX, spf.Exists, spf.PTR:
			w.out.Partial = true
		}
	}
}

func (w *wasWalk) host(name string, t *spf.Term, via string, at span) {
	if len(w.hosts[name]) == 0 {
		w.out.Partial = true
		return
	}
	for _, o := range w.hosts[name] {
		when, ok := at.within(o)
		if !ok {
			continue
		}
		for s := range strings.SplitSeq(o.Value, "\n") {
			a, err := netip.ParseAddr(strings.TrimSpace(s))
			if err != nil {
				continue
			}
			w.add(around(t, a), via, when)
		}
	}
}

func (w *wasWalk) add(p netip.Prefix, via string, at span) {
	if saysNothing(p) {
		return
	}
	if len(w.out.Spans) >= maxSpans {
		w.out.Partial = true
		return
	}
	w.out.Spans = append(w.out.Spans, PermitSpan{p.Masked(), via, at.from, at.to})
}
