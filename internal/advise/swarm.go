package advise

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// swarm is the hosts that use one author domain without any authentication and
// have no name of their own.
type swarm struct {
	networks map[netip.Prefix]bool
	hosts    []*host
	mixed    bool // some use other author domains too
}

func (w *swarm) add(h *host) {
	w.networks[network(h.addr)] = true
	w.hosts = append(w.hosts, h)
	w.mixed = w.mixed || len(h.headerFrom) > 1
}

// scatter says of each author domain what is usual among the hosts of its swarm,
// and from how many networks they are.
func (s *scene) scatter(swarms map[string]*swarm) {
	s.scattered, s.typical, s.fifth = map[string]int{}, map[string]uint64{}, map[string]uint64{}
	s.large, s.forging = map[string]int{}, map[string]int{}
	for name, w := range swarms {
		s.scattered[name] = len(w.networks)
		slices.SortFunc(w.hosts, func(a, b *host) int { return cmp.Compare(a.all.messages, b.all.messages) })
		s.typical[name] = w.hosts[len(w.hosts)/2].all.messages
		large, forging, most := map[netip.Prefix]bool{}, map[netip.Prefix]bool{}, map[netip.Prefix]bool{}
		for _, h := range slices.Backward(w.hosts) {
			net := network(h.addr)
			if most[net] = true; len(most) == 5 && s.fifth[name] == 0 {
				s.fifth[name] = h.all.messages
			}
			if h.all.messages > 5*s.typical[name] {
				large[net] = true
			}
			if h.forged*3 >= h.all.messages {
				forging[net] = true
			}
		}
		s.large[name], s.forging[name] = len(large), len(forging)
	}
	s.scatterMade(swarms)
}

// scatterMade takes the swarms of author domains that are made up by the dozen
// for one.
func (s *scene) scatterMade(swarms map[string]*swarm) {
	var made, single []string
	all := map[netip.Prefix]bool{}
	for name, w := range swarms {
		switch {
		case name == s.domain || s.direct[name] > 0 || s.exists[name] || len(w.networks) >= 10:
			continue
		case !w.mixed && len(w.networks) == 1:
			single = append(single, name)
		default:
			made = append(made, name)
		}
		maps.Copy(all, w.networks)
	}
	if len(single)*4 > len(made) { // else the swarm's hosts use many names each, and these are others
		made = append(made, single...)
	}
	if len(made) < 8 {
		return
	}
	for _, name := range made {
		s.scattered[name] = max(s.scattered[name], len(all))
	}
}
