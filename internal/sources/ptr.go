// Package sources finds out who is behind an address: the host name that its
// network gives it, the organisation in that name, and whether the name is
// one that a provider hands to any customer.
package sources

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/dns"
	"sekimori/internal/store"
)

// Cache keeps reverse look-ups; *store.Store has it.
type Cache interface {
	PTRs(ctx context.Context, addrs []netip.Addr) (map[netip.Addr]store.PTR, error)
	PutPTRs(ctx context.Context, p []store.PTR) error
}

// How long a reverse look-up is kept. The names of mail hosts change rarely,
// and an old name is better evidence than none.
const (
	keepFound     = 30 * 24 * time.Hour
	keepNone      = 7 * 24 * time.Hour
	keepTemporary = 2 * time.Hour
)

// giveUpAfter is how many questions in a row may fail before the resolver is
// taken to be out of reach.
const giveUpAfter = 24

// Finder looks up host names. The zero value finds nothing; all fields may be
// left out. It is safe for concurrent use if its parts are.
type Finder struct {
	Cache       Cache
	Resolver    dns.Resolver
	Now         func() time.Time
	Concurrency int           // questions at a time; 0 means 32
	Budget      time.Duration // for one call of Names; 0 means 2 s, negative: cache only
}

// Found is what Names found.
type Found struct {
	// Names holds the host names of each address without the final dot, in
	// lower case; an entry without names is an address that has none. An
	// address that could not be looked up has no entry.
	Names map[netip.Addr][]string
	// Missing counts the addresses that could not be looked up.
	Missing int
	// Unreachable is set where the resolver gave no answer at all, and the
	// rest was not asked.
	Unreachable bool
	// OutOfTime is set where the budget ended before the questions did.
	OutOfTime bool
}

// Names returns the host names of addresses: from the cache, and for those
// that it lacks or that are out of date from the resolver, the first of addrs
// first, within the budget. A name that is out of date is better than none. An
// error is one of the cache; what is found is returned beside it.
func (f *Finder) Names(ctx context.Context, addrs []netip.Addr) (Found, error) {
	out := Found{Names: make(map[netip.Addr][]string, len(addrs))}
	now := time.Now
	if f.Now != nil {
		now = f.Now
	}
	var known map[netip.Addr]store.PTR
	var cacheErr error
	if f.Cache != nil && len(addrs) > 0 {
		known, cacheErr = f.Cache.PTRs(ctx, addrs)
	}
	start := now()
	var ask []netip.Addr
	for _, a := range addrs {
		p, ok := known[a]
		if ok && p.Status != store.PTRTemporary {
			out.Names[a] = p.Names
		}
		if !ok || !start.Before(p.Expires) {
			ask = append(ask, a)
		}
	}
	if f.Resolver != nil && f.Budget >= 0 && len(ask) > 0 {
		learnt := f.ask(ctx, ask, now, &out)
		for _, p := range learnt {
			if p.Status != store.PTRTemporary {
				out.Names[p.Addr] = p.Names
			}
		}
		if f.Cache != nil && len(learnt) > 0 {
			// What was learnt stays learnt when the caller goes away.
			if err := f.Cache.PutPTRs(context.WithoutCancel(ctx), learnt); err != nil && cacheErr == nil {
				cacheErr = err
			}
		}
	}
	for _, a := range addrs {
		if _, ok := out.Names[a]; !ok {
			out.Missing++
		}
	}
	return out, cacheErr
}

// ask puts the questions, several at a time, and returns the answers.
func (f *Finder) ask(ctx context.Context, addrs []netip.Addr, now func() time.Time, out *Found) []store.PTR {
	budget := f.Budget
	if budget == 0 {
		budget = 2 * time.Second
	}
	workers := f.Concurrency
	if workers <= 0 {
		workers = 32
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	var (
		next     atomic.Int64 // index of the next question
		failures atomic.Int64 // in a row
		answered atomic.Bool
		gaveUp   atomic.Bool
		mu       sync.Mutex
		learnt   []store.PTR
		wg       sync.WaitGroup
	)
	for range min(workers, len(addrs)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1) - 1)
				if i >= len(addrs) || ctx.Err() != nil || gaveUp.Load() {
					return
				}
				p, final := f.lookup(ctx, addrs[i], now)
				if !final { // cut off by the budget: no answer at all
					continue
				}
				if p.Status == store.PTRTemporary {
					if failures.Add(1) >= giveUpAfter && !answered.Load() {
						gaveUp.Store(true)
						cancel()
					}
				} else {
					answered.Store(true)
					failures.Store(0)
				}
				mu.Lock()
				learnt = append(learnt, p)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	out.Unreachable = gaveUp.Load() || !answered.Load()
	out.OutOfTime = !out.Unreachable && int(next.Load()) < len(addrs)
	if out.Unreachable {
		return nil // nothing about the addresses was learnt
	}
	return learnt
}

// lookup puts one question. It reports false when the context ended it.
func (f *Finder) lookup(ctx context.Context, a netip.Addr, now func() time.Time) (store.PTR, bool) {
	p := store.PTR{Addr: a, Looked: now()}
	ans, err := f.Resolver.Lookup(ctx, dns.Reverse(a), dns.PTR)
	keep := keepFound
	switch {
	case err == nil:
		p.Status, p.Names = store.PTRFound, clean(ans.Records)
		if len(p.Names) == 0 {
			p.Status, keep = store.PTRNone, keepNone
		}
	case errors.Is(err, dns.ErrNameNotFound), errors.Is(err, dns.ErrNoData):
		p.Status, keep = store.PTRNone, keepNone
	default:
		if ctx.Err() != nil {
			return p, false
		}
		p.Status, keep = store.PTRTemporary, keepTemporary
	}
	p.Expires = p.Looked.Add(keep)
	return p, true
}

// clean takes at most ten names in one spelling. A name with anything but
// letters, digits, "-", "_" and "." is dropped: whoever runs the reverse zone
// writes what he likes there.
func clean(names []string) []string {
	var out []string
	for _, n := range names {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if n == "" || len(n) > 253 || strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.Contains(n, "..") {
			continue
		}
		if len(out) < 10 {
			out = append(out, n)
		}
	}
	return out
}
