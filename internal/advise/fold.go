package advise

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"sekimori/explain"
	"sekimori/internal/sources"
)

// fold makes one line of what one line says: the scattered hosts of a botnet,
// the rented servers of one hoster, single addresses that nothing is known of.
func fold(groups []*group) []*group {
	out := make([]*group, 0, len(groups))
	lines := map[string]*group{}
	join := func(g *group, key, name string) {
		l := lines[key]
		if l == nil {
			l = &group{key: key, name: name, finding: g.finding}
			lines[key] = l
			out = append(out, l)
		}
		l.hosts = append(l.hosts, g.hosts...)
		l.folded += g.folded
	}
	for _, g := range groups {
		single := single(g.key)
		noAuth := single || strings.HasSuffix(g.key, "/-")
		switch {
		case g.word != nil: // a line of its own
			out = append(out, g)
		case g.class == Spoof && (noAuth || g.swarm || g.key == "rest"):
			join(g, "spoof/scattered", NameScattered)
		case g.class == Spoof && g.most(sources.Numbered) && g.owner != "":
			join(g, "spoof/hoster:"+g.owner, cmp.Or(g.foreign.top(), g.owner))
		case g.class == Unknown && single && !g.plausible(): // else somebody has to be asked about it
			join(g, "unknown/networks", NameNetworks)
		case g.class == Broken && single:
			if top := g.headerFrom.top(); top != "" {
				g.name = top
			}
			out = append(out, g)
		default:
			out = append(out, g)
		}
	}
	for _, l := range lines {
		slices.SortFunc(l.hosts, byMessages)
		l.tally()
		nets := map[netip.Prefix]bool{}
		for _, h := range l.hosts {
			nets[network(h.addr)] = true
		}
		if l.name == NameScattered && len(l.hosts) > 1 {
			l.steps = []explain.Step{{Code: "why.swarm", Args: explain.Args{
				"addresses": int64(len(l.hosts) + l.folded), "networks": int64(len(nets)), "messages": int64(l.all.messages),
			}}}
			if l.forged > 0 {
				l.steps = append(l.steps, explain.Step{Code: "why.forged-signature", Args: explain.Args{"messages": int64(l.forged)}})
			}
			if l.kinds.consumer > 0 {
				l.steps = append(l.steps, explain.Step{Code: "why.swarm-consumer", Args: explain.Args{
					"addresses": int64(l.kinds.consumer), "names": l.ptrs(3),
				}})
			}
		}
	}
	return out
}

// maxLines bounds the sources of one class that an answer lists one by one.
// With one line for those beyond, and a second one for unknown ones that may be
// ours, an answer has at most 5*maxLines+7 sources (307), whoever wrote the reports.
const maxLines = 60

// trim makes one line of the least sources of a class where there are many.
func trim(groups []*group) []*group {
	byClass := map[Class][]*group{}
	out := make([]*group, 0, len(groups))
	for _, g := range groups {
		if g.window.messages == 0 || g.key == "rest" {
			out = append(out, g) // not listed, or one line already
		} else {
			byClass[g.class] = append(byClass[g.class], g)
		}
	}
	for _, class := range Classes {
		list := byClass[class]
		if len(list) <= maxLines {
			out = append(out, list...)
			continue
		}
		slices.SortFunc(list, func(a, b *group) int {
			return cmp.Or(cmp.Compare(b.window.failing, a.window.failing), cmp.Compare(b.window.messages, a.window.messages), strings.Compare(a.key, b.key))
		})
		out = append(out, list[:maxLines]...)
		lines := map[bool]*group{}
		count := map[bool]int64{}
		for _, g := range list[maxLines:] {
			open := class == Unknown && g.plausible()
			l := lines[open]
			if l == nil {
				l = &group{key: "more/" + string(class), name: NameRest, rest: !open}
				if open {
					l.key += "/open"
				}
				l.finding = finding{class: class, notable: open}
				lines[open] = l
				out = append(out, l)
			}
			l.hosts = append(l.hosts, g.hosts...)
			count[open]++
		}
		for open, l := range lines {
			slices.SortFunc(l.hosts, byMessages)
			l.tally()
			l.steps = []explain.Step{{Code: "why.folded", Args: explain.Args{"sources": count[open], "messages": int64(l.all.messages)}}}
		}
	}
	return out
}
