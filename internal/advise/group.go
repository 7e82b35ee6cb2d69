package advise

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"net/netip"
	"slices"
	"strings"

	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// Codes that stand for a name where a source has none. A name without a dot
// is such a code; its sentence is "source." and the code.
const (
	NameScattered = "scattered-hosts"      // many unrelated hosts without any authentication
	NameNetworks  = "unnamed-networks"     // hosts of which no name is known
	NameThrowaway = "throwaway-identities" // hosts that authenticate as many domains of no other use
	NameRest      = "small-sources"        // addresses beyond the number that is looked at one by one
)

// group is one service: the addresses that one organization sends from in one
// manner.
type group struct {
	key  string
	name string
	evidence
	hosts   []*host
	days    map[store.Day]count // activity by day, where it was read
	pattern pattern
	ptrOrg  string // the organization in most hosts' chosen names
	owner   string // the organization in most hosts' names of any kind
	kinds   kinds
	asked   int  // hosts whose names are known
	rest    bool // addresses that are not looked at one by one: the store folded them, or there are too many kinds
	swarm   bool // lone hosts beyond those that are looked at one by one
	// own is set where the host names are ours, mainAuthor where most of the
	// mail is written in the policy domain's own name.
	own, mainAuthor bool

	word         *Word
	saying       *store.Saying // what was said about it
	sender       *Sender
	service      []string // organisations among its identities that are the sender's own
	seen         []Seen
	selectors    names // of our own signatures
	otherDomains int
	crowded      int // different senders in the most crowded of its networks
	spread       int // networks it sends from
	department   string
	fixed        store.Day // it is said to be fixed from this day on; 0 for not said
	riskFrom     store.Day // what failed before this day is at risk no more
	atRisk       uint64    // failing messages of the window that are at risk now
	folded       int       // addresses of which only the sum is known

	finding
}

// kinds counts hosts by the kind of their names.
type kinds struct{ nameless, named, numbered, consumer int }

func (k *kinds) add(kind sources.Kind) {
	switch kind {
	case sources.Named:
		k.named++
	case sources.Numbered:
		k.numbered++
	case sources.Consumer:
		k.consumer++
	default:
		k.nameless++
	}
}

func (k kinds) of(kind sources.Kind) int {
	switch kind {
	case sources.Named:
		return k.named
	case sources.Numbered:
		return k.numbered
	case sources.Consumer:
		return k.consumer
	}
	return k.nameless
}

// id names a source in URLs: stable for the same key.
func (g *group) id() string {
	h := sha256.Sum256([]byte(g.key))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h[:10]))
}

// network returns the surroundings of an address that one customer usually
// has to itself: /24 of IPv4, /48 of IPv6.
func network(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() && !a.Is4In6() {
		bits = 48
	}
	p, _ := a.Unmap().Prefix(bits)
	return p
}

// describe fills in what a host's names tell.
func (h *host) describe(ptr []string, asked bool, ours string) {
	h.ptr, h.asked = ptr, asked
	h.kind, h.org, h.owner = sources.Nameless, "", ""
	for _, name := range ptr {
		k, org := sources.KindOf(name, h.addr), sources.Organization(name)
		if h.owner == "" || org == ours {
			h.owner = org
		}
		if k == sources.Numbered && org == h.foreign.top() {
			k = sources.Named // "node1" of the one whose mail it sends is a chosen name
		}
		switch {
		case k == sources.Named && (h.org == "" || org == ours):
			h.kind, h.org = k, org
		case h.kind == sources.Nameless || h.kind == sources.Numbered && k == sources.Consumer:
			h.kind = k
		}
	}
}

// keyOf says which service a host belongs to: the key, and a name for people.
// Our signature relates a host to us where it passes. One that does not verify
// comes free to anyone; it only puts a host beside others of the same name,
// identity or network that the receivers have seen ours arrive from (signed).
func keyOf(h *host, ours string, signed map[netip.Prefix]bool) (key, name string) {
	foreign := h.foreign.top()
	related := h.passing() > 0 || h.ourSigFails > 0 && (h.org != "" || foreign != "" || signed[network(h.addr)])
	switch {
	case !h.addr.IsValid():
		return "rest", NameRest
	case h.org == ours && h.passing() > 0:
		return "own", ours
	case h.org == ours:
		// Ours and failing: one line for each system, told by its author domain.
		return "own/" + h.headerFrom.top(), hostName(h)
	case h.org != "" && related:
		return "org:" + h.org, h.org
	case h.org != "" && foreign == h.org:
		return "org:" + h.org + "/", h.org
	case h.org != "" && foreign != "":
		return "org:" + h.org + "/" + foreign, foreign
	case h.org != "":
		return "org:" + h.org + "/-", h.org
	case h.spfAligned > 0:
		return "spf:" + h.spf.top(), h.spf.top()
	case related && foreign != "":
		return "org:" + foreign, foreign
	case related:
		net := network(h.addr).String()
		return "net:" + net, net
	case foreign != "":
		return "org:" + foreign + "/", foreign
	case h.kind == sources.Numbered && h.owner != "" && h.headerFrom.top() != ours:
		// Servers that one hoster rents out, for one author domain below ours.
		return "host:" + h.owner + "/" + h.headerFrom.top(), h.headerFrom.top()
	case h.kind == sources.Consumer:
		return "addr:" + h.addr.String(), h.addr.String()
	}
	return "bare:" + network(h.addr).String() + "/" + h.headerFrom.top(), h.addr.String()
}

func hostName(h *host) string {
	for _, p := range h.ptr {
		if sources.Organization(p) == h.org {
			return p
		}
	}
	return h.org
}

// gather makes groups of hosts. Hosts that failed altogether join the group of
// their organization that passes, when the same identity passed there too.
//
// However many services the hosts seem to be, there are at most maxGroups
// groups beside those of lone hosts: as hosts come in the order of their
// messages, those with the fewest are put together.
func gather(hosts []*host, ours string) []*group {
	byKey := map[string]*group{}
	var list []*group
	extra := manyLone(hosts)
	signed := map[netip.Prefix]bool{}
	for _, h := range hosts {
		if h.org == "" && h.dkimAligned > 0 && h.addr.IsValid() {
			signed[network(h.addr)] = true
		}
	}
	moved := relays(hosts, ours)
	known := 0
	for _, h := range hosts {
		if extra[h] {
			continue
		}
		key, name := keyOf(h, ours, signed)
		if author, ok := moved[h]; ok {
			key, name = "moved:"+author+"/", author
		}
		if byKey[key] == nil && !single(key) {
			if known++; known > maxGroups {
				key, name = "more/failing", NameRest
				if h.passing() > 0 {
					key = "more/passing"
				}
			}
		}
		g := byKey[key]
		if g == nil {
			g = &group{key: key, name: name, rest: name == NameRest}
			byKey[key] = g
			list = append(list, g)
		}
		g.hosts = append(g.hosts, h)
	}
	if len(extra) > 0 {
		g := &group{key: "swarm", name: NameScattered, swarm: true}
		for _, h := range hosts {
			if extra[h] {
				g.hosts = append(g.hosts, h)
			}
		}
		list = append(list, g)
	}
	for _, g := range list {
		g.tally()
	}
	out := list[:0]
	for _, g := range list {
		base, _, failing := strings.Cut(g.key, "/")
		if p := byKey[base]; failing && strings.HasPrefix(base, "org:") && p != nil && p != g && p.sameStream(g) {
			p.hosts = append(p.hosts, g.hosts...)
			p.tally()
			continue
		}
		out = append(out, g)
	}
	return out
}

// maxGroups bounds the groups that have more than an address to them.
const maxGroups = 3000

// single reports whether a group's key is that of an address, or of the
// neighbours of one, of which nothing else is known.
func single(key string) bool {
	return strings.HasPrefix(key, "addr:") || strings.HasPrefix(key, "bare:")
}

// maxLone is how many lone hosts are looked at one by one.
const maxLone = 3000

// manyLone returns the lone hosts that are not looked at one by one, where
// there are too many of them. Kept are those that use an author domain that
// few use, and then the busiest.
func manyLone(hosts []*host) map[*host]bool {
	var lone []*host
	users := map[string]int{}
	for _, h := range hosts {
		if h.addr.IsValid() && h.lone() {
			lone = append(lone, h)
			users[h.headerFrom.top()]++
		}
	}
	if len(lone) <= maxLone {
		return nil
	}
	slices.SortStableFunc(lone, func(a, b *host) int {
		fa, fb := users[a.headerFrom.top()] <= 5, users[b.headerFrom.top()] <= 5
		switch {
		case fa == fb:
			return byMessages(a, b)
		case fa:
			return -1
		}
		return 1
	})
	extra := make(map[*host]bool, len(lone)-maxLone)
	for _, h := range lone[maxLone:] {
		extra[h] = true
	}
	return extra
}

// lone reports whether nothing is known of a host but an address that sends
// without any authentication that passes.
func (h *host) lone() bool {
	return h.org == "" && h.passing() == 0 && len(h.foreign) == 0 && h.override*5 < h.all.messages
}

// relays finds hosts that send for one author domain below ours, one after the
// other: a system whose address changes every few weeks, as it does in a cloud.
// Nothing else is known of them.
func relays(hosts []*host, ours string) map[*host]string {
	by := map[string][]*host{}
	for _, h := range hosts {
		author := h.headerFrom.top()
		if h.addr.IsValid() && author != "" && author != ours && len(by[author]) <= maxRelays && len(by) < maxSurvey {
			by[author] = append(by[author], h)
		}
	}
	out := map[*host]string{}
	for author, list := range by {
		if len(list) < 2 || len(list) > maxRelays || slices.ContainsFunc(list, func(h *host) bool { return !h.lone() || h.kind == sources.Consumer }) {
			continue
		}
		slices.SortFunc(list, func(a, b *host) int { return cmp.Or(cmp.Compare(a.first, b.first), a.addr.Compare(b.addr)) })
		apart := true
		for i := 1; i < len(list); i++ {
			// Reports of several days let two of them overlap a little.
			apart = apart && list[i].first+7 >= list[i-1].last && list[i].last > list[i-1].last && list[i-1].last-list[i-1].first >= 5
		}
		if !apart {
			continue
		}
		for _, h := range list {
			out[h] = author
		}
	}
	return out
}

// maxRelays bounds the hosts of such a system.
const maxRelays = 12

// part takes apart what only a name of ours holds together: networks (of what
// our SPF record allows) or hosts (with names of ours) that fail, beside others
// that pass.
func part(list []*group) []*group {
	out := make([]*group, 0, len(list))
	for _, g := range list {
		own := g.key == "own"
		if !own && !strings.HasPrefix(g.key, "spf:") || len(g.hosts) < 2 {
			out = append(out, g)
			continue
		}
		unit := func(h *host) netip.Prefix {
			if own {
				return netip.PrefixFrom(h.addr, h.addr.BitLen())
			}
			return network(h.addr)
		}
		sums := map[netip.Prefix]*evidence{}
		for _, h := range g.hosts {
			u := unit(h)
			if sums[u] == nil {
				sums[u] = &evidence{}
			}
			sums[u].all.sum(h.all)
			sums[u].window.sum(h.window)
		}
		bad := func(u netip.Prefix) bool {
			c := sums[u].window
			return c.failing >= 5 && c.failing*20 > c.messages
		}
		failing := map[netip.Prefix]*group{}
		keep := make([]*host, 0, len(g.hosts))
		for _, h := range g.hosts {
			u := unit(h)
			if !bad(u) {
				keep = append(keep, h)
				continue
			}
			if failing[u] == nil && len(failing) == maxLines {
				keep = append(keep, h)
				continue
			}
			if failing[u] == nil {
				failing[u] = &group{key: g.key + "/" + u.String(), name: g.name}
			}
			failing[u].hosts = append(failing[u].hosts, h)
		}
		if len(failing) == 0 || len(keep) == 0 {
			out = append(out, g)
			continue
		}
		g.hosts = keep
		g.tally()
		out = append(out, g)
		for _, f := range failing {
			f.tally()
			if own && len(f.hosts[0].ptr) > 0 {
				f.name = hostName(f.hosts[0])
			} else if !own {
				f.name = f.hosts[0].addr.String()
			}
			out = append(out, f)
		}
	}
	return out
}

// sameStream reports whether failing hosts look like the failing remainder of
// a passing service: the same author domains and the same identities.
func (g *group) sameStream(o *group) bool {
	if o.failing() > g.all.messages/5+5 && (len(o.foreign) == 0 || !g.near(o)) {
		return false
	}
	for _, n := range o.headerFrom {
		if !slices.ContainsFunc(g.headerFrom, func(m named) bool { return m.name == n.name && m.messages > m.failing }) {
			return false
		}
	}
	for _, n := range o.foreign {
		if !slices.ContainsFunc(g.foreign, func(m named) bool { return m.name == n.name }) {
			return false
		}
	}
	return true
}

// near reports whether two groups have a network in common.
func (g *group) near(o *group) bool {
	a := g.networks()
	return slices.ContainsFunc(o.networks(), func(p netip.Prefix) bool { return slices.Contains(a, p) })
}

// divided reports whether some of a group's hosts pass and others fail: one of
// a pool was forgotten. Mail that is passed on breaks at all of them alike.
func (g *group) divided() bool {
	var good, bad count // messages, and hosts in failing
	for _, h := range g.hosts {
		if h.all.messages < 10 {
			continue
		}
		switch share := ratio(h.all.failing, h.all.messages); {
		case share <= 0.03:
			good.messages += h.all.messages
			good.failing++
		case share >= 0.97:
			bad.messages += h.all.messages
			bad.failing++
		default:
			return false
		}
	}
	return good.failing > 0 && bad.failing > 0 && good.messages >= 50 && bad.messages >= 50
}

// tally sums the hosts up.
func (g *group) tally() {
	if len(g.hosts) == 1 {
		g.evidence = g.hosts[0].evidence // shared: a group of one changes nothing
	} else {
		g.evidence = evidence{}
	}
	g.kinds, g.asked = kinds{}, 0
	var orgs, owners names
	for _, h := range g.hosts {
		if len(g.hosts) > 1 {
			g.sum(&h.evidence)
		}
		if h.asked {
			g.asked++
			g.kinds.add(h.kind)
		}
		if h.org != "" {
			orgs.add(h.org, h.all)
		}
		if h.owner != "" {
			owners.add(h.owner, h.all)
		}
	}
	g.ptrOrg, g.owner = orgs.top(), owners.top()
}

// most reports whether more than half of the hosts whose names are known have
// names of the kind.
func (g *group) most(k sources.Kind) bool { return g.asked > 0 && g.kinds.of(k)*2 > g.asked }

// ptrs returns some host names, those of the busiest hosts first.
func (g *group) ptrs(limit int) []string {
	out := []string{}
	for _, h := range g.hosts {
		for _, p := range h.ptr {
			if len(out) == limit {
				return out
			}
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// byMessages orders hosts, the busiest first.
func byMessages(a, b *host) int {
	return cmp.Or(cmp.Compare(b.window.messages, a.window.messages), cmp.Compare(b.all.messages, a.all.messages), a.addr.Compare(b.addr))
}
