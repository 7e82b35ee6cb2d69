package survey

import (
	"context"

	"sekimori/domain"
	"sekimori/internal/check"
	"sekimori/internal/store"
	"sekimori/message"
)

const (
	maxAuthors  = 10    // addresses of a From field that are looked at
	maxSiblings = 1000  // rows that are looked through for one organizational domain
	maxKnown    = 10000 // organizational domains that are remembered
)

// authors are the domains whose organisation a message may be from, the first
// counting most: those of From; where it names none, that of Sender, then of
// Return-Path. The domains of mail services, which stand in those two, must
// not draw the messages of others to a listed service.
func authors(h message.Header, v *check.Verdict) []domain.Name {
	var out []domain.Name
	add := func(name string) {
		d, err := domain.Parse(name)
		if err != nil || len(out) == maxAuthors {
			return
		}
		for _, o := range out {
			if o == d {
				return
			}
		}
		out = append(out, d)
	}
	if f := v.From(); !f.IsZero() {
		return []domain.Name{f}
	}
	for _, field := range [...]string{"From", "Sender", "Return-Path"} {
		for _, f := range h.All(field) {
			list, err := message.ParseAddrSpecs(f.Value())
			if err != nil {
				continue
			}
			for _, a := range list {
				add(a.Domain)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// above lists a domain and what it is below, down to its organizational
// domain: the names under which it may stand in the list.
func above(d domain.Name) []string {
	out := []string{d.String()}
	org := d.Organizational()
	for n := d; !org.IsZero() && n != org && n.IsSubdomainOf(org); {
		if n = n.Parent(); n.IsZero() {
			break
		}
		out = append(out, n.String())
	}
	return out
}

// match finds the entries of the messages held: that of the author's domain
// or, failing that, of the nearest domain above it, both as an entry's own
// domain or as another name of its row; or else the first entry of the same
// organizational domain.
func (r *mailRun) match(ctx context.Context) error {
	var names []string
	seen := map[string]bool{}
	for i := range r.held {
		for _, d := range r.held[i].authors {
			for _, n := range above(d) {
				if !seen[n] {
					seen[n] = true
					names = append(names, n)
				}
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	found, err := r.Store.MatchEntry(ctx, r.wave, names)
	if err != nil {
		return err
	}
	for i := range r.held {
		p := &r.held[i]
		for _, d := range p.authors {
			no, err := r.entry(ctx, d, found)
			if err != nil {
				return err
			}
			if no != 0 {
				p.result.Entry, p.result.From = no, d.String()
				break
			}
		}
	}
	return nil
}

// entry is the entry of an author's domain; 0 where there is none.
func (r *mailRun) entry(ctx context.Context, d domain.Name, found map[string]int64) (int64, error) {
	for _, n := range above(d) {
		if no := found[n]; no != 0 {
			return no, nil
		}
	}
	org := d.Organizational()
	if org.IsZero() || org.IsPublicSuffix() {
		return 0, nil
	}
	if no, known := r.siblings[org]; known {
		return no, nil
	}
	no, err := r.sibling(ctx, org)
	if err != nil {
		return 0, err
	}
	if len(r.siblings) >= maxKnown {
		clear(r.siblings)
	}
	r.siblings[org] = no
	return no, nil
}

// sibling is the first entry whose domain is below an organizational domain
// that is itself not in the list.
func (r *mailRun) sibling(ctx context.Context, org domain.Name) (int64, error) {
	rows, _, err := r.Store.SurveyRows(ctx, r.wave, store.SurveyFilter{Search: "." + org.String()}, store.Page{Sort: "no", Limit: maxSiblings})
	if err != nil {
		return 0, err
	}
	first := store.SurveyRow{}
	for _, row := range rows {
		d, err := domain.Parse(row.Domain)
		if err == nil && d.IsSubdomainOf(org) && (first.No == 0 || row.No < first.No) {
			first = row
		}
	}
	return first.No, nil
}
