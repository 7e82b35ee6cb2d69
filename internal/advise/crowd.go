package advise

import (
	"net/netip"
	"strings"

	"sekimori/explain"
	"sekimori/internal/sources"
)

// A crowd is many senders that are one: a network full of servers under
// made-up names, dozens of domains that are used for a day each, or one domain
// that hundreds of unrelated hosts authenticate as. Each of them alone may look
// like a newsletter.

// crowds finds them. It needs the groups' days.
func (n *analysis) crowds() {
	s := &n.scene
	near := map[netip.Prefix]names{}
	s.series = map[string]int{}
	passing := map[string]bool{}
	for _, g := range n.groups {
		if !s.mayCrowd(g) {
			continue
		}
		who := g.whose()
		for _, h := range g.hosts[:min(len(g.hosts), maxKnown)] {
			if !h.addr.IsValid() {
				continue
			}
			net := network(h.addr)
			if _, ok := near[net]; !ok && len(near) >= maxSurvey {
				continue
			}
			list := near[net]
			list.add(who, count{1, 1})
			near[net] = list
		}
		if g.fleeting() && len(passing) < maxSurvey {
			if f := g.foreign.top(); !passing[f] {
				passing[f] = true
				s.series[stem(f)]++
			}
		}
	}
	s.fleeting = len(passing)
	// Many organisations that all send as us without anything: where our own
	// mail is not signed, these may be forwarders.
	s.bareOrgs = map[string]int{}
	orgs := map[[2]string]bool{}
	for _, g := range n.groups {
		if k := [2]string{g.headerFrom.top(), g.ptrOrg}; !s.unsigned && g.ptrOrg != s.ours && g.unauthenticated() && !orgs[k] && len(orgs) < maxSurvey {
			orgs[k] = true
			s.bareOrgs[k[0]]++
		}
	}
	for _, g := range n.groups {
		if !s.mayCrowd(g) {
			continue
		}
		nets := map[netip.Prefix]bool{}
		for _, h := range g.hosts {
			if !h.addr.IsValid() {
				continue
			}
			net := network(h.addr)
			nets[net] = true
			g.crowded = max(g.crowded, len(near[net]))
		}
		g.spread = len(nets)
	}
}

// stem is what the names of a series have in common: what stands before the
// number.
func stem(org string) string {
	label, _, _ := strings.Cut(org, ".")
	return strings.TrimRight(strings.TrimRight(label, "0123456789"), "-")
}

// whose is the organisation that a group is most likely of: that of its host
// names, else the one that its mail authenticates as.
func (g *group) whose() string {
	if g.ptrOrg != "" {
		return g.ptrOrg
	}
	return g.foreign.top()
}

// mayCrowd reports whether a group can be part of a crowd: it has an identity
// of its own, none of ours, and nobody we know uses it.
func (s *scene) mayCrowd(g *group) bool {
	f := g.foreign.top()
	return f != "" && g.passing() == 0 && !g.rest && g.ptrOrg != s.ours && !s.services[f] && !s.services[g.ptrOrg] &&
		!s.permitOrg[f] && !s.permitOrg[g.ptrOrg] && g.override*5 < g.all.messages && !(g.known() && !s.otherCustomer(g))
}

// fleeting reports whether a group with an identity keeps no rhythm: what is
// used for a day, or now and then.
func (g *group) fleeting() bool {
	if g.bare*2 >= g.all.messages || bona(g.foreign.top()) || len(g.hosts) > 3 {
		return false
	}
	p := g.pattern
	if !p.known {
		return int(g.last-g.first) < 7
	}
	return p.period == 0 && p.business < 2.3 && (p.span < 30 || p.active*3 < p.span)
}

// weighCrowd weighs that a group is one of many that are one.
func (s *scene) weighCrowd(g *group, w *weigh) {
	if !s.mayCrowd(g) {
		return
	}
	own := g.ptrOrg != "" && g.ptrOrg == g.foreign.top()
	args := explain.Args{"domains": int64(g.crowded)}
	switch n := g.crowded; {
	case n >= 6:
		w.suspect(-9, "why.crowded-network", args)
	case n >= 4:
		w.suspect(-7, "why.crowded-network", args)
	case n == 3:
		w.suspect(-2, "why.crowded-network", args)
	}
	if n := s.fleeting; n >= 8 && g.fleeting() {
		args := explain.Args{"domains": int64(n)}
		foreign := g.foreign.top()
		switch {
		case s.series[stem(foreign)] >= 3 && foreign[len(stem(foreign))] != '.':
			w.suspect(-3.5, "why.series-of-names", explain.Args{"domain": foreign, "domains": int64(s.series[stem(foreign)])})
		case g.most(sources.Numbered) || g.most(sources.Consumer) || throwaway(foreign):
			w.suspect(-3, "why.many-identities", args)
		case !own:
			w.add(-1, "why.many-identities", args)
		}
	}
	if n := g.spread; n >= 12 && !own && len(g.hosts)*2 < n*3 {
		points := 0.0
		switch {
		case g.most(sources.Consumer):
			points = -3
		case g.most(sources.Nameless):
			points = -1.5
		case g.most(sources.Numbered):
			points = -2
		case g.asked == 0 && n >= 40:
			points = -2
		}
		if points < 0 {
			w.suspect(points, "why.scattered-identity", explain.Args{"domain": g.foreign.top(), "networks": int64(n)})
		}
	}
}
