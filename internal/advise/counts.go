package advise

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"sekimori/internal/store"
)

// Counts is the stored records by day, reporter and source, once sources have
// their classes; *store.Store has it.
type Counts interface {
	// ClassCounts gives the failing messages of a window; with passing, those
	// that passed too.
	ClassCounts(ctx context.Context, domain string, w store.Window, passing bool, f func(store.ClassCount) error) error
	// DomainReporters gives who reported the domain.
	DomainReporters(ctx context.Context, domain string, w store.Window) ([]store.DomainReporter, error)
}

// dayCount is one day's messages, those of sources of ours apart.
type dayCount struct {
	ClassDay
	failing uint64 // of aligned and broken sources
	broken  uint64 // of it, of broken ones
	ours    uint64 // all messages of these, where it is known; else all that passed and failing
}

// receiverCount is what one reporter saw of our mail.
type receiverCount struct {
	legitimate uint64 // passed, or failing messages of aligned, broken and forwarding sources
	atRisk     uint64
}

// counts is the window by day and by reporter.
type counts struct {
	days      map[store.Day]*dayCount
	receivers map[string]*receiverCount
}

func (c *counts) day(d store.Day) *dayCount {
	x := c.days[d]
	if x == nil {
		x = &dayCount{ClassDay: ClassDay{Day: d}}
		c.days[d] = x
	}
	return x
}

func (c *counts) receiver(name string) *receiverCount {
	x := c.receivers[name]
	if x == nil {
		x = &receiverCount{}
		c.receivers[name] = x
	}
	return x
}

// count reads the window by day and reporter, of the sources that the answer
// is about. What passed is known for the whole domain from its reports' totals;
// for a part of it the records have to be read.
func (n *analysis) count() error {
	n.counts = counts{days: map[store.Day]*dayCount{}, receivers: map[string]*receiverCount{}}
	c, st, name := &n.counts, n.a.c.Store, n.name.String()
	part := n.department != ""
	byID := make(map[string]*group, len(n.groups))
	for _, g := range n.groups {
		byID[g.id()] = g
	}
	err := st.ClassCounts(n.ctx, name, n.window, part, func(r store.ClassCount) error {
		g := byID[r.Source]
		if part && (g == nil || g.department != n.department) {
			return nil
		}
		d, class := c.day(r.Day), Class(r.Class)
		ours := class == Aligned || class == Broken
		if r.Aligned {
			d.Aligned += r.Messages
			d.ours += r.Messages
			c.receiver(r.Reporter).legitimate += r.Messages
			return nil
		}
		switch class {
		case Aligned:
			d.Aligned += r.Messages
		case Broken:
			d.Broken += r.Messages
		case Forwarder:
			d.Forwarder += r.Messages
		case Spoof:
			d.Spoof += r.Messages
		default:
			d.Unknown += r.Messages
		}
		if ours {
			d.failing += r.Messages
			if class == Broken {
				d.broken += r.Messages
			}
			d.ours += r.Messages
		}
		if ours || class == Forwarder {
			c.receiver(r.Reporter).legitimate += r.Messages
		}
		if class == Broken && (g == nil || r.Day >= g.riskFrom) {
			c.receiver(r.Reporter).atRisk += r.Messages
		}
		return nil
	})
	if err != nil || part {
		return err
	}
	for _, d := range n.daily {
		if d.Day >= n.window.Begin && d.Aligned > 0 {
			x := c.day(d.Day)
			x.Aligned += d.Aligned
			x.ours += d.Aligned
		}
	}
	reporters, err := st.DomainReporters(n.ctx, name, n.window)
	for _, r := range reporters {
		if r.Aligned > 0 {
			c.receiver(r.Reporter).legitimate += r.Aligned
		}
	}
	return err
}

// list gives the days in order.
func (c *counts) list() []ClassDay {
	out := make([]ClassDay, 0, len(c.days))
	for _, d := range c.days {
		out = append(out, d.ClassDay)
	}
	slices.SortFunc(out, func(a, b ClassDay) int { return cmp.Compare(a.Day, b.Day) })
	return out
}

// maxShares bounds the lists of sources and receivers of a policy's cost.
const maxShares = 20

// atReceivers lists where mail at risk would be lost, the most first.
func (c *counts) atReceivers() []RiskShare {
	out := []RiskShare{}
	for name, r := range c.receivers {
		if r.atRisk > 0 {
			out = append(out, RiskShare{Name: name, AtRisk: r.atRisk, Messages: r.legitimate})
		}
	}
	return most(out)
}

// most sorts shares and keeps the first of them.
func most(list []RiskShare) []RiskShare {
	slices.SortFunc(list, func(a, b RiskShare) int {
		return cmp.Or(cmp.Compare(b.AtRisk, a.AtRisk), cmp.Compare(b.Messages, a.Messages), strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return list[:min(len(list), maxShares)]
}
