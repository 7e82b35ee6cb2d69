package dmarc

import (
	"context"
	"errors"
	"sync"

	"sekimori/dns"
	"sekimori/domain"
)

// maxQueries is how many names a tree walk asks at most (RFC 9989 §4.10).
const maxQueries = 8

// node is what the DNS has at _dmarc. of one name.
type node struct {
	name   domain.Name
	record *Record // the one valid record; nil where there is none
	count  int     // how many valid ones there were; more than one is as good as none
	absent bool    // NXDOMAIN: nothing at _dmarc. of the name, nor below
	err    error   // the DNS did not tell: never absence
	bad    error   // a record that is invalid as a whole (InvalidRecord)
}

// ends reports whether a walk stops at this record (§4.10, steps 2 and 6).
func (n *node) ends() bool { return n.record != nil && n.record.PSD != Undecided }

// ask looks at one name. Records that do not begin with v=DMARC1 are discarded;
// if several remain, all are (RFC 9989 §4.10, step 2).
func ask(ctx context.Context, r dns.Resolver, name domain.Name, dup Duplicates) node {
	n := node{name: name}
	a, err := r.Lookup(ctx, "_dmarc."+name.String(), dns.TXT)
	if err != nil {
		if dns.Absent(err) {
			// An alias whose target does not exist gives NXDOMAIN too, and yet is there.
			n.absent = errors.Is(err, dns.ErrNameNotFound) && a.Name == ""
		} else {
			n.err = err
		}
		return n
	}
	for _, txt := range a.Records {
		if len(txt) > maxRecord || !begins(txt) {
			continue
		}
		if n.count++; n.count > 1 {
			continue // all are discarded: only their number is told
		}
		if n.record, n.bad = parse(txt, dup); n.bad != nil {
			n.record = nil
			n.count--
		}
	}
	if n.count > 1 {
		n.record = nil
	}
	return n
}

// targets lists the names of a walk: the start, then one label less at a time,
// down to the last label; from a start of eight labels or more the second has
// seven (RFC 9989 §4.10, steps 3 to 7).
func targets(start domain.Name, buf *[maxQueries]domain.Name) []domain.Name {
	out := buf[:0]
	out = append(out, start)
	n := start.Parent()
	for x := start.Labels() - 1; x >= maxQueries; x-- {
		n = n.Parent()
	}
	for ; !n.IsZero() && len(out) < maxQueries; n = n.Parent() {
		out = append(out, n)
	}
	return out
}

// tree keeps what was asked for one message, so that walks that meet share
// their questions. It is safe for concurrent use.
type tree struct {
	resolver   dns.Resolver
	dup        Duplicates
	sequential bool

	mu    sync.Mutex
	first node             // of the Author Domain, without a map
	nodes map[string]*node // others, by name
}

func (t *tree) known(name domain.Name) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first.name == name {
		return &t.first
	}
	return t.nodes[name.String()]
}

// at returns what is at a name, asking if it was not asked before.
func (t *tree) at(ctx context.Context, name domain.Name) *node {
	if n := t.known(name); n != nil {
		return n
	}
	n := ask(ctx, t.resolver, name, t.dup)
	return t.keep(&n)
}

// keep remembers a node; of two questions that crossed, the first answer counts.
func (t *tree) keep(n *node) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if have := t.nodes[n.name.String()]; have != nil {
		return have
	}
	if t.nodes == nil {
		t.nodes = make(map[string]*node, 8)
	}
	t.nodes[n.name.String()] = n
	return n
}

// fetch asks all the names that were not asked before, at once; but not those
// whose answers are at hand.
func (t *tree) fetch(ctx context.Context, names []domain.Name) {
	var missing []domain.Name
	for _, n := range names {
		if t.known(n) == nil && !dns.Ready(t.resolver, "_dmarc."+n.String(), dns.TXT) {
			missing = append(missing, n)
		}
	}
	if len(missing) < 2 {
		return // at will ask it
	}
	var wg sync.WaitGroup
	faults := make([]any, len(missing))
	for i, name := range missing[1:] {
		wg.Go(func() {
			defer func() { faults[i] = recover() }()
			t.at(ctx, name)
		})
	}
	t.at(ctx, missing[0])
	wg.Wait()
	for _, f := range faults {
		if f != nil {
			panic(f) // where the caller can catch it
		}
	}
}

// walk goes from start towards the root and returns the records met, from the
// longest name to the shortest, up to one that ends it (RFC 9989 §4.10). An
// error says that a name before the end could not be asked.
func (t *tree) walk(ctx context.Context, start domain.Name) ([]*node, error) {
	var buf [maxQueries]domain.Name
	names := targets(start, &buf)
	met := make([]*node, 0, maxQueries)
	for i, name := range names {
		if i == 1 && !t.sequential {
			t.fetch(ctx, names[1:])
		}
		n := t.at(ctx, name)
		if n.err != nil {
			return met, n.err
		}
		met = append(met, n)
		if n.ends() {
			break
		}
	}
	return met, nil
}

// organizational selects the Organizational Domain from a walk (RFC 9989
// §4.10.2). The node is where psd=y was found above it, if it was.
func organizational(start domain.Name, met []*node) (org domain.Name, psd *node) {
	org = start // no record at all: the initial target
	for _, n := range met {
		switch {
		case n.record == nil:
		case n.record.PSD == IsOrg: // rule 1
			return n.name, nil
		case n.record.PSD == IsPSD && n.name != start: // rule 2
			return below(start, n.name), n
		default: // rule 3: in the end, the fewest labels
			org = n.name
		}
	}
	return org, nil
}

// below returns the name one label below up, on the way to start. It is made
// from start, as the walk may have passed over it.
func below(start, up domain.Name) domain.Name {
	n := start
	for p := n.Parent(); p != up && !p.IsZero(); p = n.Parent() {
		n = p
	}
	return n
}
