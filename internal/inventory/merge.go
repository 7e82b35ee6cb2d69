package inventory

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"sekimori/domain"
	"sekimori/internal/store"
)

// item is one name with all that is stored about it.
type item struct {
	name    string
	origins []string // sorted, each once
	mail    store.AuthorTotals
	fact    store.NameFact
	known   bool // there is a fact
	root    bool // it is the domain itself
}

// legitimate counts the mail that somebody wanted to send: it passed, or is of
// a source that is ours, or was forwarded.
func (i *item) legitimate() uint64 {
	return i.mail.Messages - min(i.mail.Failing, i.mail.Messages) + i.mail.Broken + i.mail.Forwarder + i.remainder()
}

// remainder is what fails of aligned sources.
func (i *item) remainder() uint64 {
	m := &i.mail
	return m.Failing - min(m.Failing, m.Broken+m.Forwarder+m.Unknown+m.Spoof)
}

// forged reports whether the name is known from forged mail alone. Anybody can
// make such names up; they are not asked about.
func (i *item) forged() bool {
	return !i.root && len(i.origins) == 1 && i.origins[0] == FromReports && i.legitimate() == 0 && i.mail.Unknown == 0
}

// merged yields every known name of a domain, the domain itself among them, in
// the order of their octets. It holds the author domains of the reports in
// memory, which the store bounds, and of the rest one name at a time. yield's
// error ends the walk and is returned. cut counts the author domains that are
// too many to be read.
func merged(ctx context.Context, c Config, name domain.Name, w store.Window, yield func(*item) error) (cut int64, err error) {
	authors, cut, err := c.Memory.authors(ctx, c, name, w)
	if err != nil {
		return 0, err
	}
	known, stopKnown := pull(func(f func(store.KnownName) error) error { return c.Store.Names(ctx, name.String(), f) })
	defer stopKnown()
	facts, stopFacts := pull(func(f func(store.NameFact) error) error { return c.Store.NameFacts(ctx, name.String(), f) })
	defer stopFacts()
	k, haveKnown, err := known()
	if err != nil {
		return cut, err
	}
	f, haveFact, err := facts()
	if err != nil {
		return cut, err
	}
	root := name.String()
	rootDone := false
	for len(authors) > 0 || haveKnown || !rootDone {
		if err := ctx.Err(); err != nil {
			return cut, err
		}
		next := ""
		for _, candidate := range []struct {
			name string
			ok   bool
		}{{root, !rootDone}, {first(authors), len(authors) > 0}, {k.Name, haveKnown}} {
			if candidate.ok && (next == "" || candidate.name < next) {
				next = candidate.name
			}
		}
		it := item{name: next, root: next == root}
		rootDone = rootDone || next == root
		if len(authors) > 0 && authors[0].Name == next {
			it.mail = authors[0]
			it.origins = append(it.origins, FromReports)
			authors = authors[1:]
		}
		for haveKnown && k.Name == next {
			it.origins = append(it.origins, k.Origin)
			if k, haveKnown, err = known(); err != nil {
				return cut, err
			}
		}
		slices.Sort(it.origins)
		it.origins = slices.Compact(it.origins)
		for haveFact && f.Name < next { // of a name that is not known any more
			if f, haveFact, err = facts(); err != nil {
				return cut, err
			}
		}
		if haveFact && f.Name == next {
			it.fact, it.known = f, true
		}
		if err := yield(&it); err != nil {
			return cut, err
		}
	}
	return cut, nil
}

func first(a []store.AuthorTotals) string {
	if len(a) == 0 {
		return ""
	}
	return a[0].Name
}

// authorsOf reads the author domains of reports that are names below the domain,
// in the order of their octets, and counts those that are too many.
func authorsOf(ctx context.Context, c Config, name domain.Name, w store.Window) (list []store.AuthorTotals, cut int64, err error) {
	var out []store.AuthorTotals
	read := int64(0)
	all, err := c.Store.AuthorNames(ctx, name.String(), w, 0, func(a store.AuthorTotals) error {
		read++
		n, err := domain.Parse(a.Name)
		if err != nil || !n.IsSubdomainOf(name) {
			return nil
		}
		a.Name = n.String()
		out = append(out, a)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(out, func(a, b store.AuthorTotals) int { return strings.Compare(a.Name, b.Name) })
	// Two spellings of one name.
	kept := out[:0]
	for _, a := range out {
		if n := len(kept); n > 0 && kept[n-1].Name == a.Name {
			kept[n-1] = join(kept[n-1], a)
			continue
		}
		kept = append(kept, a)
	}
	return kept, all - read, nil
}

func join(a, b store.AuthorTotals) store.AuthorTotals {
	a.Messages += b.Messages
	a.Failing += b.Failing
	a.Broken += b.Broken
	a.Forwarder += b.Forwarder
	a.Unknown += b.Unknown
	a.Spoof += b.Spoof
	a.FirstDay, a.LastDay, a.LastAligned = min(a.FirstDay, b.FirstDay), max(a.LastDay, b.LastDay), max(a.LastAligned, b.LastAligned)
	a.Reporters = max(a.Reporters, b.Reporters)
	return a
}

var errStop = errors.New("enough")

// pull turns a walk that calls back into one that is asked for the next. stop
// ends it; it must be called.
func pull[T any](walk func(func(T) error) error) (next func() (T, bool, error), stop func()) {
	var failure error
	pulled, stop := iter.Pull(func(yield func(T) bool) {
		err := walk(func(v T) error {
			if !yield(v) {
				return errStop
			}
			return nil
		})
		if !errors.Is(err, errStop) {
			failure = err
		}
	})
	return func() (T, bool, error) {
		v, ok := pulled()
		if !ok {
			return v, false, failure
		}
		return v, true, nil
	}, stop
}

// window is the days of reports that are looked at.
func window(ctx context.Context, c Config, name domain.Name) (store.Window, error) {
	newest, ok, err := c.Store.Newest(ctx, name.String())
	if err != nil {
		return store.Window{}, err
	}
	if !ok {
		newest = store.DayOf(c.Now())
	}
	return store.Window{Begin: newest - store.Day(c.Days), End: newest}, nil
}

// Memory keeps the author domains of reports for a while, so that turning the
// pages of an inventory does not scan its reports each time. The zero value is
// ready; nil keeps nothing. It is safe for concurrent use.
type Memory struct {
	mu   sync.Mutex
	list map[string]rememberedAuthors
}

// rememberedAuthors is one domain's author domains.
type rememberedAuthors struct {
	days    int
	at      time.Time
	authors []store.AuthorTotals
	cut     int64
}

const (
	// memoryLasts is how long author domains are good although reports came in:
	// an import would have them read anew for every page.
	memoryLasts = 2 * time.Minute
	// memoryMost bounds the author domains that are kept, of all domains.
	memoryMost = 400_000
)

// authors is authorsOf, from memory where it is fresh.
func (m *Memory) authors(ctx context.Context, c Config, name domain.Name, w store.Window) ([]store.AuthorTotals, int64, error) {
	if m == nil {
		return authorsOf(ctx, c, name, w)
	}
	now := c.Now()
	m.mu.Lock()
	r, ok := m.list[name.String()]
	m.mu.Unlock()
	if ok && r.days == w.Days() && now.Sub(r.at) < memoryLasts {
		return r.authors, r.cut, nil
	}
	list, cut, err := authorsOf(ctx, c, name, w)
	if err != nil {
		return nil, 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	total := len(list)
	for _, o := range m.list {
		total += len(o.authors)
	}
	if m.list == nil || total > memoryMost || len(m.list) > 1000 {
		m.list = map[string]rememberedAuthors{}
	}
	m.list[name.String()] = rememberedAuthors{w.Days(), now, list, cut}
	return list, cut, nil
}
