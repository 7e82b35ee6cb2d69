package advise

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"sekimori/explain"
	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// Sightings gives what other eyes than the aggregate reports saw of a domain in
// a window. (*store.Store).Sightings, for failure reports, is one.
type Sightings func(ctx context.Context, domain string, w store.Window, f func(store.Sighting) error) error

// Observed gives what names of a domain published, as far as they were watched.
// *store.Store has it.
type Observed interface {
	Observations(ctx context.Context, domain, kind string, limit int) ([]store.Observation, error)
}

// Spread counts the policy domains that have mail from each of some addresses.
// *store.Store has it.
type Spread interface {
	SourceDomains(ctx context.Context, addrs []netip.Addr, w store.Window) (map[netip.Addr]int, error)
}

// Bounds of what is read about addresses beside the reports.
const (
	maxObservations = 4000
	maxSpread       = 2000   // addresses of which other domains are counted
	maxSeen         = 50_000 // sightings
)

// confirm takes back what host names claim where the names' own zones say
// otherwise: whoever runs an address's reverse zone writes any name into it. A
// name with other addresses claims falsely. A name that leads nowhere does so
// where names of ours elsewhere do lead back: many an honest host has no
// address record, and a zone that cannot be seen has none at all.
func (n *analysis) confirm(found sources.Found) {
	s := &n.scene
	works := false
	for _, h := range n.hosts {
		if h.org == s.ours && len(found.Confirmed[h.addr]) > 0 && h.passing() > 0 {
			works = true
			break
		}
	}
	// One server that nobody entered happens; names of ours in many networks
	// that lead nowhere do not.
	nowhere := map[netip.Prefix]bool{}
	for _, h := range n.hosts {
		if works && h.org == s.ours && h.passing() == 0 && len(found.Absent[h.addr]) > 0 && len(found.Confirmed[h.addr]) == 0 {
			nowhere[network(h.addr)] = true
		}
	}
	for _, h := range n.hosts {
		if len(h.ptr) == 0 || len(found.Confirmed[h.addr]) > 0 {
			continue
		}
		wrong := found.Denied[h.addr]
		if works && h.org == s.ours && len(found.Absent[h.addr]) > 0 && len(nowhere) < 3 {
			h.unsure = true
		} else if works && h.org == s.ours {
			wrong = append(slices.Clone(wrong), found.Absent[h.addr]...)
		}
		if len(wrong) == 0 || h.spfAligned > 0 {
			continue
		}
		claims := func(name string) bool { return slices.Contains(wrong, name) }
		if h.org == s.ours && slices.ContainsFunc(h.ptr, claims) || !slices.ContainsFunc(h.ptr, func(p string) bool { return !claims(p) }) {
			h.claimed = h.org
			if h.org == s.ours || h.org != h.foreign.top() {
				// What authenticates as the organisation need not confirm its name.
				h.org, h.kind = "", sources.Numbered
			}
		}
	}
}

// recognise looks the groups up in the catalogue of senders and the tables of
// networks.
func (n *analysis) recognise() {
	for _, g := range n.groups {
		if g.rest || len(g.hosts) == 0 {
			continue
		}
		if x, ok := n.a.c.Catalogue.Match(sources.Identity{PTR: g.ptrs(10), SPF: g.foreignOf(g.spf, n), DKIM: g.foreignOf(g.dkim, n)}); ok {
			g.sender = &Sender{ID: x.ID, Name: x.Name, NameJA: cmp.Or(x.NameJA, x.Name), Kind: string(x.Kind)}
			for _, o := range append([]string{g.ptrOrg}, g.foreign.sorted(maxNames)...) {
				id := []string{o}
				if y, ok := n.a.c.Catalogue.Match(sources.Identity{PTR: id, SPF: id, DKIM: id}); ok && y.ID == x.ID {
					g.service = append(g.service, o)
				}
			}
		}
		if n.a.c.Networks == nil {
			continue
		}
		if net, ok := n.a.c.Networks.Lookup(g.hosts[0].addr); ok && (net.Organisation != "" || net.Country != "") {
			if g.sender == nil {
				g.sender = &Sender{Name: net.Organisation, Kind: "network"}
			}
			g.sender.Network, g.sender.Country = net.Organisation, net.Country
		}
	}
}

// foreignOf leaves our own names out: whoever sends for us signs with them.
func (g *group) foreignOf(l names, n *analysis) []string {
	var out []string
	for _, name := range l.sorted(maxNames) {
		if n.rows.org(name) != n.scene.ours {
			out = append(out, name)
		}
	}
	return out
}

// shared reports whether the catalogue has a group for a service that anybody
// can send by, so that its name tells nothing about who did.
func (g *group) shared() bool {
	return g.known() && sources.SenderKind(g.sender.Kind) != sources.SaaS
}

// known reports whether the catalogue knows whose a group is.
func (g *group) known() bool { return g.sender != nil && g.sender.ID != "" }

// ofKind reports whether the catalogue has a group for one of some kinds.
func (g *group) ofKind(kinds ...sources.SenderKind) bool {
	return g.known() && slices.Contains(kinds, sources.SenderKind(g.sender.Kind))
}

// observe reads what our SPF records were.
func (n *analysis) observe() error {
	st, ok := n.a.c.Store.(Observed)
	if !ok {
		return nil
	}
	seen, err := st.Observations(n.ctx, n.scene.domain, "", maxObservations)
	if err != nil || len(seen) == 0 {
		return err
	}
	s := &n.scene
	s.was = sources.PermitWas(s.domain, seen)
	s.wasOrg = map[string]bool{}
	for _, d := range s.was.Domains {
		if o := sources.Organization(d); o != s.ours {
			s.wasOrg[o] = true
		}
	}
	return nil
}

// allowedOnce returns the last time at which our SPF record allowed most of a
// group's hosts, as far as it was watched.
func (s *scene) allowedOnce(g *group) (time.Time, bool) {
	if len(s.was.Spans) == 0 {
		return time.Time{}, false
	}
	n, last := 0, time.Time{}
	for _, h := range g.hosts[:min(len(g.hosts), maxKnown)] {
		if span, ok := s.was.Allowed(h.addr, time.Time{}, s.end.Time()); ok {
			n++
			if span.To.After(last) {
				last = span.To
			}
		}
	}
	return last, n*2 > min(len(g.hosts), maxKnown)
}

// watch adds what other eyes saw: failure reports and the gateway's verdicts,
// and which other domains of ours the addresses use.
func (n *analysis) watch() error {
	of := map[netip.Addr]*group{}
	addrs := make([]netip.Addr, 0, 256)
	for _, g := range n.candidates() {
		for _, h := range g.hosts[:min(len(g.hosts), maxKnown)] {
			if len(addrs) < maxSpread {
				addrs = append(addrs, h.addr)
			}
		}
	}
	if n.a.c.Sightings != nil {
		for _, g := range n.groups {
			for _, h := range g.hosts {
				of[h.addr.Unmap()] = g
			}
		}
		if err := n.see(of); err != nil {
			return err
		}
	}
	st, ok := n.a.c.Store.(Spread)
	if !ok || len(addrs) == 0 {
		return nil
	}
	if n.domains == nil {
		list, err := n.a.c.Store.DomainNames(n.ctx)
		if err != nil {
			return err
		}
		n.domains = list
	}
	if len(n.domains) < 2 {
		return nil
	}
	many, err := st.SourceDomains(n.ctx, addrs, n.window)
	if err != nil {
		return err
	}
	for _, g := range n.groups {
		for _, h := range g.hosts[:min(len(g.hosts), maxKnown)] {
			g.otherDomains = max(g.otherDomains, many[h.addr]-1)
		}
	}
	return nil
}

// see reads the sightings of the window.
func (n *analysis) see(of map[netip.Addr]*group) error {
	left := maxSeen
	return n.a.c.Sightings(n.ctx, n.scene.domain, n.window, func(x store.Sighting) error {
		g := of[x.Addr.Unmap()]
		if left--; g == nil || left < 0 {
			return nil
		}
		i := slices.IndexFunc(g.seen, func(s Seen) bool { return s.By == x.By })
		if i < 0 {
			i = len(g.seen)
			g.seen = append(g.seen, Seen{By: x.By})
		}
		s := &g.seen[i]
		s.Messages += x.Messages
		s.Failing += x.Failing
		s.Last = max(s.Last, x.Day)
		if x.Selector != "" && n.rows.org(x.DKIMDomain) == n.scene.ours {
			g.selectors.add(n.rows.intern(x.Selector), count{x.Messages, x.Failing})
		}
		return nil
	})
}

// weighKnown weighs what the catalogue, the watched records and other eyes tell
// about a group that does not pass.
func (s *scene) weighKnown(g *group, w *weigh, bare, related bool) {
	if !related {
		if last, ok := s.allowedOnce(g); ok {
			w.add(5, "why.once-in-spf", explain.Args{"day": store.DayOf(last).String()})
		}
		foreign := g.foreign.top()
		if o := foreign; o != "" && s.wasOrg[o] && !s.permitOrg[o] {
			w.add(3, "why.once-included", explain.Args{"domain": o})
		}
	}
	claimed := 0
	for _, h := range g.hosts {
		if h.claimed == s.ours && s.ours != "" {
			claimed++
		}
	}
	if claimed*2 > len(g.hosts) && !related {
		w.suspect(-4, "why.name-not-confirmed", explain.Args{"names": g.ptrs(3)})
	}
	if g.otherDomains >= 2 {
		// A spoofer tries all of our names; so does a server that they share.
		points := 0.0
		switch {
		case bare && g.ptrOrg == "" && s.scattered[g.headerFrom.top()] >= 10:
			points = -1
		case !bare && g.ptrOrg != "":
			points = 0.5
		}
		w.add(points, "why.other-domains", explain.Args{"domains": int64(g.otherDomains)})
	}
	if !g.known() {
		return
	}
	name := explain.Args{"name": g.sender.Name}
	own := !bare && !s.otherCustomer(g)
	switch sources.SenderKind(g.sender.Kind) {
	case sources.SaaS:
		if own {
			w.add(2, "why.known-service", name)
		}
	case sources.Delivery:
		if own {
			w.add(1, "why.known-delivery", name)
		}
	case sources.ISP:
		if bare && !g.most(sources.Named) {
			w.add(-0.5, "why.known-isp", name)
		}
	case sources.MailboxOf:
		w.add(-0.5, "why.known-mailbox", name)
	}
}

// otherCustomer reports whether mail of a known service was also authenticated
// as somebody who is neither the service nor us: another customer of it.
func (s *scene) otherCustomer(g *group) bool {
	for _, f := range g.foreign {
		if f.name == g.ptrOrg || s.services[f.name] || s.permitOrg[f.name] || f.messages*10 < g.all.messages {
			continue
		}
		if !slices.Contains(g.service, f.name) {
			return true
		}
	}
	return false
}
