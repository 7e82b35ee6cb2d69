package advise

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// Bounds of reading activity by day.
const (
	maxHistoryAddrs  = 4000 // addresses whose days are read
	maxGroupAddrs    = 60   // of them in one group
	maxHistoryGroups = 48   // groups, where the store gives days of sources only
)

// candidates returns the groups whose rhythm may decide, those that matter
// most first.
func (n *analysis) candidates() []*group {
	out := make([]*group, 0, len(n.groups))
	for _, g := range n.groups {
		if !g.rest && !g.swarm && (g.failing() > 0 || g.dkimAligned > 0) && g.spfAligned*2 < g.all.messages {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.window.failing, a.window.failing), cmp.Compare(b.all.failing, a.all.failing),
			cmp.Compare(b.all.messages, a.all.messages), strings.Compare(a.key, b.key))
	})
	return out
}

// lone reports whether nothing is known of a group but an address without any
// authentication.
func (g *group) lone() bool {
	return len(g.hosts) == 1 && g.bare*2 >= g.all.messages && g.ptrOrg == ""
}

// readDays reads the activity by day of the groups whose rhythm may decide.
func (n *analysis) readDays() error {
	list := n.candidates()
	var err error
	if st, ok := n.a.c.Store.(Historian); ok {
		err = n.readHistory(st, list)
	} else if st, ok := n.a.c.Store.(sourceDays); ok && n.newest {
		err = n.readSourceDays(st, list)
	}
	if err != nil {
		return err
	}
	s := &n.scene
	s.kindred = map[kind]*kindred{}
	passing := map[store.Day]count{}
	for _, d := range n.daily {
		if d.Aligned > 0 {
			passing[d.Day] = count{d.Aligned, 0}
		}
	}
	s.hours = patternOf(passing, s.begin, s.end).business
	for _, g := range list {
		if g.days == nil {
			continue
		}
		g.pattern = patternOf(g.days, s.begin, s.end)
		if k := g.like(); g.lone() && s.scattered[k.author] >= 3 {
			if s.kindred[k] == nil {
				s.kindred[k] = &kindred{days: map[store.Day]count{}}
			}
			s.kindred[k].add(g)
		}
	}
	for _, k := range s.kindred {
		slices.Sort(k.sizes)
		if k.hosts >= 5 {
			k.business = patternOf(k.days, s.begin, s.end).business
		}
	}
	return nil
}

// kindred is the lone hosts that use one author domain and are of one kind. A
// trait that many of them have tells nothing about one of them.
type kindred struct {
	hosts    int
	office   int // that keep office hours
	quieter  int // that are somewhat quieter at weekends
	regular  int // that keep a period
	weekly   int // that keep to a day of the week
	steady   int // that send on many days
	constant int // that send every day
	business float64
	days     map[store.Day]count
	sizes    []uint64 // messages of each, in order
}

// towers reports whether a group sends far more than most of its like, as few
// others of these do.
func (k kindred) towers(g *group) bool {
	n := len(k.sizes)
	return n >= 10 && g.all.messages > 5*k.sizes[n/2] && k.sizes[n-5] <= 5*k.sizes[n/2]
}

// kind tells kindred hosts from others: those with the names of rented servers
// and fixed lines from what stands in homes, or may.
type kind struct {
	author string
	fixed  bool
}

func (g *group) like() kind {
	return kind{g.headerFrom.top(), g.hosts[0].kind == sources.Numbered}
}

// like returns the hosts that are like a group's.
func (s *scene) like(g *group) kindred {
	if k := s.kindred[g.like()]; k != nil {
		return *k
	}
	return kindred{}
}

func (k *kindred) add(g *group) {
	k.hosts++
	k.sizes = append(k.sizes, g.all.messages)
	p := g.pattern
	if p.business >= 3.3 {
		k.office++
	}
	if p.business >= 2.3 {
		k.quieter++
	}
	if p.period > 0 {
		k.regular++
	}
	if p.weekday < 1e-4 {
		k.weekly++
	}
	if p.steady() {
		k.steady++
	}
	if p.constant() {
		k.constant++
	}
	for d := range g.days {
		// One voice for each host and day: a busy host is not the swarm.
		c := k.days[d]
		c.messages++
		k.days[d] = c
	}
}

// readHistory reads the days of many addresses at once.
func (n *analysis) readHistory(st Historian, list []*group) error {
	var addrs []netip.Addr
	var of []int
	for i, g := range list {
		if len(addrs) >= maxHistoryAddrs {
			break
		}
		for _, h := range g.hosts[:min(len(g.hosts), maxGroupAddrs)] {
			addrs, of = append(addrs, h.addr), append(of, i)
		}
		g.days = map[store.Day]count{}
	}
	if len(addrs) == 0 {
		return nil
	}
	w := store.Window{Begin: n.scene.begin, End: n.scene.end}
	return st.GroupDays(n.ctx, n.scene.domain, w, addrs, of, func(i int, day store.Day, messages, failing uint64) error {
		if g := list[i]; messages > 0 {
			c := g.days[day]
			c.sum(count{messages, failing})
			g.days[day] = c
		}
		return nil
	})
}

// sourceDays is the days of one source, by its number in the store.
type sourceDays interface {
	SourceDaily(ctx context.Context, domain, source string, w store.Window) ([]store.DayTotals, error)
}

// readSourceDays reads the days of the most important groups one by one: those
// that have a name or an identity first, since single hosts without either
// are many and mean little. The groups become known to the store for that;
// their classes follow with the answer.
func (n *analysis) readSourceDays(st sourceDays, list []*group) error {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *group) int {
		switch {
		case a.lone() == b.lone():
			return 0
		case b.lone():
			return -1
		}
		return 1
	})
	list = list[:min(len(list), maxHistoryGroups)]
	rows := map[netip.Addr]store.ClassRow{}
	for _, g := range list {
		for _, h := range g.hosts {
			rows[h.addr] = store.ClassRow{Class: string(Unknown), Source: g.id()}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if err := n.a.c.Store.SetClasses(n.ctx, n.scene.domain, maps.All(rows)); err != nil {
		return err
	}
	for _, g := range list {
		days, err := st.SourceDaily(n.ctx, n.scene.domain, g.id(), store.Window{Begin: n.scene.begin, End: n.scene.end})
		if err != nil {
			return err
		}
		g.days = map[store.Day]count{}
		for _, d := range days {
			if d.Messages > 0 {
				g.days[d.Day] = count{d.Messages, d.Messages - min(d.Aligned, d.Messages)}
			}
		}
	}
	return nil
}
