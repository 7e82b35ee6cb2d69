package posture

import (
	"context"
	"fmt"
	"slices"

	"sekimori/explain"
	"sekimori/spf"
)

// SPF is who may send for the domain, by its SPF record (RFC 7208).
type SPF struct {
	Topic
	Records []string `json:"records"`
	// All is the qualifier of "all", "-", "~", "?" or "+", that of a
	// redirection's target included; empty where there is none.
	All string `json:"all"`
	// Lookups counts the terms that cause questions, of which ten are
	// allowed, and VoidLookups those of them seen to lead nowhere (§4.6.4).
	Lookups     int `json:"lookups"`
	VoidLookups int `json:"void_lookups"`
	// Includes are the domains whose records this one uses, at any depth.
	Includes []string `json:"includes"`

	costs      []string       // "include:example.com (4)", the dearest first
	denies     bool           // authorises nobody
	authorises bool           // authorises somebody
	flat       *spf.Flattened // the same with fewer lookups, where there are too many
	everybody  bool           // authorises whoever asks: +all, its own or included, or every address
}

func (s *SPF) init() { s.Records, s.Includes = []string{}, []string{} }

func (in *inspection) inspectSPF(ctx context.Context) {
	s := &in.SPF
	s.init()
	b := in.a.budget(budgetSPF)
	r := spf.Inspect(ctx, b, in.name.String())
	if r.Lookups > maxLookups && !in.o.Frugal {
		if f, err := spf.Flatten(ctx, b, in.name.String()); err == nil && len(f.Records) > 0 && f.Lookups <= maxLookups {
			s.flat = &f
		}
	}
	s.Records = texts(r.Records)
	s.Lookups, s.VoidLookups, s.All = r.Lookups, r.Void, string(r.All)
	s.Present = state(len(r.Records) > 0)
	switch {
	case s.Present == No && r.Temporary:
		s.Present, s.Valid = Unknown, Unknown
	case s.Present == No:
		s.Valid = No
	default:
		s.Valid = validSPF(&r)
	}
	s.Includes = included(s.Includes, r.Includes)
	if r.Record != nil {
		s.denies = r.All == spf.Minus
		in.authorised(r.Record, r.Includes, 0)
		s.costs = costs(r.Includes)
	}
	s.everybody = s.All == "+"
	for _, f := range r.Findings {
		switch f.Code {
		case "spf.inspect.include-all":
			s.everybody = true
		case "spf.lint.wide":
			bits, ok := f.Args["bits"].(int64)
			s.everybody = s.everybody || ok && bits == 0
		case "spf.inspect.many-mx":
			if s.Valid == Yes {
				s.Valid = No // permerror for whoever is none of the first ten (§4.6.4)
			}
		}
		// That there is no record is judged later, by what the domain does; a
		// record that was not seen is unknown and nothing to find fault with.
		if f.Code != "spf.inspect.none" && s.Present != Unknown {
			in.find(TopicSPF, f)
		}
	}
}

// costs are the includes and the redirect of a record with the lookups that
// each of them takes, itself included.
func costs(nodes []spf.Node) []string {
	sorted := slices.Clone(nodes)
	slices.SortStableFunc(sorted, func(a, b spf.Node) int { return b.Lookups - a.Lookups })
	var out []string
	for i := range sorted[:min(len(sorted), 12)] {
		out = append(out, fmt.Sprintf("%s (%d)", explain.Clip(sorted[i].Term), sorted[i].Lookups+1))
	}
	return out
}

// The limits of RFC 7208 §4.6.4.
const (
	maxLookups = 10
	maxVoid    = 2
)

// validSPF: the record gives a result other than permerror to every client
// that gets through all its terms.
func validSPF(r *spf.Inspection) State {
	bad, hidden := treeFaults(r.Includes)
	switch {
	case r.Err != nil && !r.Temporary, bad, r.Lookups > maxLookups, r.Void > maxVoid:
		return No
	case r.Err != nil, hidden:
		return Unknown
	}
	return Yes
}

func treeFaults(nodes []spf.Node) (bad, hidden bool) {
	for i := range nodes {
		n := &nodes[i]
		bad = bad || n.Err != nil && !n.Temporary
		hidden = hidden || n.Err != nil && n.Temporary
		b, h := treeFaults(n.Nodes)
		bad, hidden = bad || b, hidden || h
	}
	return bad, hidden
}

func included(list []string, nodes []spf.Node) []string {
	for i := range nodes {
		if d := explain.Clip(nodes[i].Domain); d != "" && len(list) < maxListed && !slices.Contains(list, d) {
			list = append(list, d)
		}
		list = included(list, nodes[i].Nodes)
	}
	return list
}

// authorised tells whether a record, or the one it redirects to, lets anybody
// pass, or leaves it open.
func (in *inspection) authorised(r *spf.Record, nodes []spf.Node, depth int) {
	s := &in.SPF
	for i := range r.Terms {
		t := &r.Terms[i]
		switch {
		case t.IsModifier():
		case t.Name == spf.All:
			s.denies = s.denies && t.Qualifier == spf.Minus
			s.authorises = s.authorises || t.Qualifier == spf.Plus
			return // nothing after it is reached
		case t.Qualifier == spf.Minus:
		default:
			s.denies = false
			s.authorises = s.authorises || t.Qualifier == spf.Plus
		}
	}
	for i := range nodes {
		n := &nodes[i]
		if depth < 10 && len(n.Term) > 9 && n.Term[:9] == "redirect=" && n.Record != "" {
			if to, err := spf.Parse(n.Record); err == nil {
				in.authorised(to, n.Nodes, depth+1)
			}
		}
	}
}
