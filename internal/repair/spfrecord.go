package repair

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"sekimori/internal/sources"
	"sekimori/internal/store"
	"sekimori/spf"
)

// spfLookups is how many terms that ask the DNS an evaluation may meet (RFC
// 7208 §4.6.4); one more makes the record useless for everybody.
const spfLookups = 10

// lookTime bounds the look-ups for one letter.
const lookTime = 6 * time.Second

// published is the SPF record of a name: as it is, or as it was last observed.
type published struct {
	known   bool      // whether there is a record, and which
	record  string    // "" for none
	seen    store.Day // of an observation; 0 where it was looked up now
	lookups int       // through all includes; -1 for not known
	permit  sources.Permit
}

// spfRecord reads the SPF record of a name: from the DNS where there is a
// resolver that answers, else as it was last observed.
func (m *Manager) spfRecord(ctx context.Context, domain, name string) published {
	if r := m.c.Resolver; r != nil {
		ctx, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		in := spf.Inspect(ctx, r, name)
		switch {
		case in.Temporary:
		case len(in.Records) == 0:
			return published{known: true}
		case len(in.Records) == 1:
			p := published{known: true, record: in.Records[0], lookups: in.Lookups}
			if in.Truncated {
				p.lookups = -1
			}
			p.permit, _ = sources.LookupPermit(ctx, r, name) // what is missing makes it Partial
			return p
		default: // RFC 7208 §4.5: several are none
			return published{known: true, lookups: -1}
		}
	}
	seen, err := m.c.Store.Observations(ctx, domain, "spf", 1000)
	if err != nil {
		return published{lookups: -1}
	}
	for _, o := range seen { // the newest first
		if o.Name != name {
			continue
		}
		p := published{known: true, seen: store.DayOf(o.To), lookups: -1}
		for _, line := range strings.Split(o.Value, "\n") {
			if spf.IsRecord(line) {
				p.record = line
				if r, err := spf.Parse(line); err == nil {
					for i := range r.Terms {
						if n := r.Terms[i].Network; n.IsValid() && r.Terms[i].Qualifier == spf.Plus {
							p.permit.Prefixes = append(p.permit.Prefixes, n)
						}
					}
				}
				break
			}
		}
		return p
	}
	return published{lookups: -1}
}

// cost is how many look-ups an include adds: itself, and those of what it
// names; -1 for not known.
func (m *Manager) cost(ctx context.Context, include string) int {
	if m.c.Resolver == nil {
		return -1
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	in := spf.Inspect(ctx, m.c.Resolver, include)
	if in.Temporary || in.Truncated || len(in.Records) != 1 {
		return -1
	}
	return 1 + in.Lookups
}

// withTerms returns the record with terms added where they take effect: before
// the mechanism "all" or the redirect, behind which nothing is looked at (RFC
// 7208 §5.1, §6.1). A domain without a record gets one whose end says nothing
// about other servers, since nobody has listed them yet. "" where the record
// cannot be read.
func withTerms(record string, terms ...string) string {
	add := strings.Join(terms, " ")
	if record == "" {
		return "v=spf1 " + add + " ?all"
	}
	r, err := spf.Parse(record)
	if err != nil {
		return ""
	}
	for i := range r.Terms {
		t := &r.Terms[i]
		if (t.Name == spf.All || t.Name == spf.Redirect) && t.Offset <= len(record) {
			return record[:t.Offset] + add + " " + record[t.Offset:]
		}
	}
	return strings.TrimRight(record, " ") + " " + add
}

// includes reports whether a record names an include already.
func includes(record, name string) bool {
	r, err := spf.Parse(record)
	if err != nil {
		return false
	}
	for i := range r.Terms {
		if t := &r.Terms[i]; t.Name == spf.Include && strings.EqualFold(strings.TrimSuffix(t.Value.String(), "."), name) {
			return true
		}
	}
	return false
}

// addressTerm is the term that allows one address.
func addressTerm(a netip.Addr) string {
	if a.Unmap().Is4() {
		return "ip4:" + a.Unmap().String()
	}
	return "ip6:" + a.String()
}
