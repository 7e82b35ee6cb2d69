package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/store"
)

// Take joins what is known into an answer. It asks nobody (Ask does) and holds
// one page in memory, beside the author domains of the reports. Cost: a scan of
// the domain's records in the window, and 3 to 6 µs for each known name.
func Take(ctx context.Context, c Config, name domain.Name, q Query) (*Inventory, error) {
	if q.Limit == 0 {
		q.Limit = 100
	}
	page := []Name{}
	inv, err := Each(ctx, c, name, q, func(n Name) error {
		page = append(page, n)
		return nil
	})
	if inv != nil {
		inv.Names = page
	}
	return inv, err
}

// Each is Take for a list of any length: it calls f with each name that the
// Query asks for, from its Offset on, Limit of them (0 and negative: all), and
// leaves Inventory.Names empty. An error of f ends it and is returned.
func Each(ctx context.Context, c Config, name domain.Name, q Query, f func(Name) error) (*Inventory, error) {
	c = c.withDefaults()
	if name.IsZero() {
		return nil, errors.New("inventory: no domain given")
	}
	inv, err := each(ctx, c, name, q, f)
	if err != nil {
		return nil, fmt.Errorf("inventory of %s: %w", name, err)
	}
	return inv, nil
}

func each(ctx context.Context, c Config, name domain.Name, q Query, f func(Name) error) (*Inventory, error) {
	w, err := window(ctx, c, name)
	if err != nil {
		return nil, err
	}
	inv := &Inventory{Domain: name.String(), At: c.Now().UTC(), Days: c.Days, Until: w.End, Counts: map[State]int64{}, Names: []Name{}, Notes: []explain.Step{}}
	for _, s := range States {
		inv.Counts[s] = 0
	}
	v := &view{root: name}
	if v.from, err = rootFact(ctx, c, name); err != nil {
		return nil, err
	}
	v.inherit()
	q.Search = strings.ToLower(strings.TrimSpace(q.Search))
	stale := c.Now().Add(-c.MaxAge)
	cut, err := merged(ctx, c, name, w, func(i *item) error {
		if i.forged() {
			inv.Forged++
			inv.ForgedMessages += i.mail.Spoof
			if !q.Forged {
				return nil
			}
		}
		n := v.name(i)
		if !i.forged() {
			inv.Total++
			inv.Counts[n.State]++
			if len(n.Advice) > 0 {
				inv.Advised++
				inv.Records += int64(len(n.Advice))
			}
			if i.stale(stale) {
				inv.Unasked++
			}
			v.count(&n)
		}
		if !q.wants(&n) {
			return nil
		}
		inv.Matching++
		if at := inv.Matching - 1; at < int64(q.Offset) || q.Limit > 0 && at >= int64(q.Offset)+int64(q.Limit) {
			return nil
		}
		return f(n)
	})
	if err != nil {
		return nil, err
	}
	inv.Parent = v.parent()
	if inv.None, err = noneClock(ctx, c, name); err != nil {
		return nil, err
	}
	inv.notes(c, v, cut)
	return inv, nil
}

// notes says what could not be known.
func (inv *Inventory) notes(c Config, v *view, cut int64) {
	note := func(code string, args explain.Args) {
		inv.Notes = append(inv.Notes, explain.Step{Code: code, Args: args})
	}
	switch {
	case inv.Unasked == 0:
	case c.Resolver == nil:
		note("inventory.offline", explain.Args{"count": inv.Unasked})
	default:
		note("inventory.unasked", explain.Args{"count": inv.Unasked})
	}
	if inv.Forged > 0 {
		note("inventory.forged", explain.Args{"count": inv.Forged, "messages": int64(min(inv.ForgedMessages, 1<<62))})
	}
	if cut > 0 {
		note("inventory.names-cut", explain.Args{"count": cut})
	}
	if v.above() {
		note("inventory.organization-above", explain.Args{"domain": v.from.Organizational})
	}
}

// wants applies the Query to a name.
func (q *Query) wants(n *Name) bool {
	return (q.State == "" || q.State == n.State) && (!q.Advice || len(n.Advice) > 0) &&
		(q.Origin == "" || slices.Contains(n.Origins, q.Origin)) &&
		(q.Search == "" || strings.Contains(n.Name, q.Search)) &&
		(len(q.Under) == 0 || slices.ContainsFunc(q.Under, func(u string) bool {
			return n.Name == u || strings.HasSuffix(n.Name, "."+u)
		}))
}

// view is what every name is looked at with, and what is summed up on the way.
type view struct {
	root  domain.Name
	from  fact          // about the root
	own   *dmarc.Record // of the root; nil for none
	rules *dmarc.Record // that sub-domains without one of their own inherit
	of    string        // whose record that is

	covers     int64
	parked     bool // the root sends nothing, and its policy is not yet reject
	first      []string
	firstCount int64
}

// rootFact reads what the DNS said of the domain itself.
func rootFact(ctx context.Context, c Config, name domain.Name) (fact, error) {
	var f fact
	n, ok, err := c.Store.NameFact(ctx, name.String(), name.String())
	if ok && json.Unmarshal(n.Doc, &f) != nil {
		f = fact{}
	}
	return f, err
}

// above reports whether the sub-domains inherit from a domain above this one.
func (v *view) above() bool {
	return v.from.Organizational != "" && v.from.Organizational != v.root.String()
}

// inherit finds the record that the sub-domains inherit (RFC 9989 §4.10.1).
func (v *view) inherit() {
	v.own = single(v.from.DMARC)
	v.rules, v.of = v.own, v.root.String()
	if v.above() {
		v.rules, v.of = single(v.from.OrgDMARC), v.from.Organizational
	}
}

// single is the one record that counts (RFC 9989 §4.10: several are none).
func single(records []string) *dmarc.Record {
	var found *dmarc.Record
	for _, s := range records {
		r, err := dmarc.Parse(s)
		if err != nil {
			continue
		}
		if found != nil {
			return nil
		}
		found = r
	}
	return found
}

// name says what is known of one name.
func (v *view) name(i *item) Name {
	m := &i.mail
	n := Name{Name: i.name, Origins: i.origins, Messages: m.Messages, Failing: m.Failing, Aligned: m.Messages - min(m.Failing, m.Messages),
		Broken: m.Broken, Forwarder: m.Forwarder, Doubtful: m.Unknown, Spoof: m.Spoof, First: m.FirstDay, Last: m.LastDay, MX: []string{}}
	if n.Origins == nil {
		n.Origins = []string{}
	}
	var f fact
	if i.known && json.Unmarshal(i.fact.Doc, &f) == nil && f.known() {
		n.Asked = i.fact.Looked
		n.SPF, n.Alias = strings.Join(f.SPF, "\n"), f.Alias
		n.DMARC = strings.Join(f.DMARC, "\n")
		n.MX = append(n.MX, f.MX...)
	}
	switch {
	case i.legitimate() > 0:
		n.State = Sends
	case f.Absent:
		n.State = Absent
	case !f.Exists, slices.Contains(f.Silent, "MX"), m.Unknown > 0:
		n.State = Unknown
	case len(f.MX) > 0:
		n.State = Receives
	default:
		n.State = Silent
	}
	v.policy(&n, &f)
	v.advise(&n, &f)
	return n
}

// policy finds the policy that applies to mail from the name (RFC 9989
// §4.10.1): that of its own record; else sp where the name exists and np where
// it does not.
func (v *view) policy(n *Name, f *fact) {
	if own := single(f.DMARC); own != nil {
		p, _, _ := own.Effective()
		n.Policy, n.PolicyOf, n.PolicyTag = string(p), n.Name, "p"
		return
	}
	r, of := v.rules, v.of
	if n.Name == v.root.String() && !v.above() || r == nil || slices.Contains(f.Silent, "TXT") && f.Exists {
		return
	}
	p, sp, np := r.Effective()
	n.PolicyOf = of
	switch {
	case f.Absent && r.NP != "":
		n.Policy, n.PolicyTag = string(np), "np"
	case r.SP != "":
		n.Policy, n.PolicyTag = string(sp), "sp"
	default:
		n.Policy, n.PolicyTag = string(p), "p"
	}
}

// noneClock finds out since when p=none has been published without a break.
func noneClock(ctx context.Context, c Config, name domain.Name) (*NoneClock, error) {
	spans, err := c.Store.PolicyHistory(ctx, name.String())
	if err != nil {
		return nil, err
	}
	seen, err := c.Store.Observations(ctx, name.String(), "dmarc", 0)
	if err != nil {
		return nil, err
	}
	var since store.Day
	from := ""
	// What the DNS said last decides what is so now.
	if len(seen) > 0 {
		for _, o := range seen {
			if !publishesNone(o.Value) {
				break
			}
			since, from = store.DayOf(o.From), "dns"
		}
		if from == "" {
			return nil, nil
		}
	}
	for i := len(spans) - 1; i >= 0; i-- {
		s := spans[i]
		if p := strings.ToLower(strings.TrimSpace(s.Policy.P)); p != "none" && p != "" {
			break
		}
		if from == "" || s.From < since {
			since, from = s.From, "reports"
		}
	}
	if from == "" {
		return nil, nil
	}
	days := int(store.DayOf(c.Now()) - since)
	return &NoneClock{Since: since, Days: max(days, 0), Left: max(0, 365-days), Overdue: days > 365, From: from}, nil
}

// publishesNone reports whether records at _dmarc ask for nothing but reports.
func publishesNone(value string) bool {
	r := single(strings.Split(value, "\n"))
	if r == nil {
		return false
	}
	p, _, _ := r.Effective()
	return p == dmarc.None
}
