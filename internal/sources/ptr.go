// Package sources finds out who is behind an address: the host name that its
// network gives it, the organisation in that name, and whether the name is
// one that a provider hands to any customer.
package sources

import (
	"context"
	"errors"
	"net/netip"
	"slices"
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
	// Confirm says that names which matter are to be looked up in their turn, in
	// what the budget leaves once every address was asked about. A name matters
	// that somebody chose (Named), one below Ours, and one that Catalogue knows.
	Confirm   bool
	Ours      string // the organisational domain that the question is about
	Catalogue *Catalogue
}

// Found is what Names found.
type Found struct {
	// Names holds the host names of each address without the final dot, in
	// lower case; an entry without names is an address that has none. An
	// address that could not be looked up has no entry.
	Names map[netip.Addr][]string
	// Confirmed holds those of Names that lead back to their address, Denied those
	// that lead to other addresses, and Absent those that lead nowhere: whoever
	// runs the reverse zone of an address can write any name into it, and only the
	// name's own zone can agree. Many an honest host's name leads nowhere. Of a
	// name in none it is not known: it was not asked for, or the DNS did not answer.
	Confirmed, Denied, Absent map[netip.Addr][]string
	// Unconfirmed counts the addresses that have a name which matters, and none of
	// which it is known whether it leads back.
	Unconfirmed int
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
	out := Found{Names: make(map[netip.Addr][]string, len(addrs)), Confirmed: map[netip.Addr][]string{}, Denied: map[netip.Addr][]string{}, Absent: map[netip.Addr][]string{}}
	now := time.Now
	if f.Now != nil {
		now = f.Now
	}
	var known map[netip.Addr]store.PTR
	var cacheErr error
	if f.Cache != nil && len(addrs) > 0 {
		known, cacheErr = f.Cache.PTRs(ctx, addrs)
	}
	if known == nil {
		known = map[netip.Addr]store.PTR{}
	}
	start := now()
	var ask []netip.Addr
	for _, a := range addrs {
		if p, ok := known[a]; !ok || !start.Before(p.Expires) {
			ask = append(ask, a)
		}
	}
	if f.Resolver != nil && f.Budget >= 0 {
		learnt := f.learn(ctx, addrs, ask, known, now, &out)
		if f.Cache != nil && len(learnt) > 0 {
			// What was learnt stays learnt when the caller goes away.
			if err := f.Cache.PutPTRs(context.WithoutCancel(ctx), learnt); err != nil && cacheErr == nil {
				cacheErr = err
			}
		}
	}
	for _, a := range addrs {
		p, ok := known[a]
		if !ok || p.Status == store.PTRTemporary {
			out.Missing++
			continue
		}
		out.Names[a] = p.Names
		if len(p.Confirmed) > 0 {
			out.Confirmed[a] = p.Confirmed
		}
		if len(p.Denied) > 0 {
			out.Denied[a] = p.Denied
		}
		if len(p.Absent) > 0 {
			out.Absent[a] = p.Absent
		}
		if f.Confirm && len(p.Confirmed) == 0 && len(p.Names) > 0 && len(f.mattering(p)) > len(p.Denied)+len(p.Absent) {
			out.Unconfirmed++
		}
	}
	return out, cacheErr
}

// learn asks what is not known, and brings known up to date. It returns what the
// cache is to keep.
func (f *Finder) learn(ctx context.Context, addrs, ask []netip.Addr, known map[netip.Addr]store.PTR, now func() time.Time, out *Found) []store.PTR {
	budget := f.Budget
	if budget == 0 {
		budget = 2 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	learnt := map[netip.Addr]store.PTR{}
	if len(ask) > 0 {
		answers, end := round(ctx, f.workers(), ask, func(ctx context.Context, a netip.Addr) (store.PTR, answer) { return f.lookup(ctx, a, known[a], now) })
		out.Unreachable, out.OutOfTime = end.unreachable, end.outOfTime
		for _, p := range answers {
			known[p.Addr], learnt[p.Addr] = p, p
		}
	}
	if f.Confirm && !out.Unreachable && ctx.Err() == nil {
		var check []store.PTR
		start := now()
		for _, a := range addrs {
			if p, ok := known[a]; ok && p.Status == store.PTRFound && !start.Before(p.CheckAgain) && len(f.mattering(p)) > 0 {
				check = append(check, p)
			}
		}
		if len(check) > 0 {
			answers, _ := round(ctx, f.workers(), check, func(ctx context.Context, p store.PTR) (store.PTR, answer) { return f.confirm(ctx, p, now) })
			for _, p := range answers {
				known[p.Addr], learnt[p.Addr] = p, p
			}
		}
	}
	keep := make([]store.PTR, 0, len(learnt))
	for _, p := range learnt {
		keep = append(keep, p)
	}
	return keep
}

func (f *Finder) workers() int {
	if f.Concurrency > 0 {
		return f.Concurrency
	}
	return 32
}

// answer is how a question ended.
type answer int

const (
	answered answer = iota
	failed          // the DNS did not answer
	ended           // the context ended it: no answer at all
)

// rounded is how a round of questions ended.
type rounded struct {
	unreachable bool // no answer at all: nothing was learnt
	outOfTime   bool
}

// round puts questions, several at a time, and returns the answers. Where the
// first giveUpAfter questions fail, the rest is not asked.
func round[Q any](ctx context.Context, workers int, questions []Q, put func(context.Context, Q) (store.PTR, answer)) ([]store.PTR, rounded) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		next     atomic.Int64 // index of the next question
		failures atomic.Int64 // in a row
		any      atomic.Bool  // was answered
		gaveUp   atomic.Bool
		mu       sync.Mutex
		learnt   []store.PTR
		wg       sync.WaitGroup
	)
	for range min(workers, len(questions)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1) - 1)
				if i >= len(questions) || ctx.Err() != nil || gaveUp.Load() {
					return
				}
				p, how := put(ctx, questions[i])
				switch how {
				case ended:
					continue
				case failed:
					if failures.Add(1) >= giveUpAfter && !any.Load() {
						gaveUp.Store(true)
						cancel()
					}
				default:
					any.Store(true)
					failures.Store(0)
				}
				mu.Lock()
				learnt = append(learnt, p)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	end := rounded{unreachable: gaveUp.Load() || !any.Load()}
	end.outOfTime = !end.unreachable && int(next.Load()) < len(questions)
	if end.unreachable {
		return nil, end
	}
	return learnt, end
}

// lookup asks for the names of an address. before is what was known: a name that
// is out of date is better than none, and what was confirmed of names that are
// still the same stays confirmed.
func (f *Finder) lookup(ctx context.Context, a netip.Addr, before store.PTR, now func() time.Time) (store.PTR, answer) {
	p := store.PTR{Addr: a, Looked: now()}
	ans, err := f.Resolver.Lookup(ctx, dns.Reverse(a), dns.PTR)
	keep, how := keepFound, answered
	switch {
	case err == nil:
		p.Status, p.Names = store.PTRFound, clean(ans.Records)
		if len(p.Names) == 0 {
			p.Status, keep = store.PTRNone, keepNone
		} else if slices.Equal(p.Names, before.Names) {
			p.Confirmed, p.Denied, p.Absent, p.CheckAgain = before.Confirmed, before.Denied, before.Absent, before.CheckAgain
		}
	case errors.Is(err, dns.ErrNameNotFound), errors.Is(err, dns.ErrNoData):
		p.Status, keep = store.PTRNone, keepNone
	default:
		if ctx.Err() != nil {
			return p, ended
		}
		keep, how = keepTemporary, failed
		if before.Status == store.PTRFound || before.Status == store.PTRNone {
			before.Expires = p.Looked.Add(keep)
			return before, how
		}
		p.Status = store.PTRTemporary
	}
	p.Expires = p.Looked.Add(keep)
	return p, how
}

// maxConfirm bounds the names of one address that are looked up in their turn:
// whoever runs its reverse zone could list many.
const maxConfirm = 3

// mattering returns the names of an address that are worth confirming.
func (f *Finder) mattering(p store.PTR) []string {
	var out []string
	for _, name := range p.Names {
		if len(out) == maxConfirm {
			break
		}
		if KindOf(name, p.Addr) == Named || f.Ours != "" && Organization(name) == f.Ours {
			out = append(out, name)
		} else if s, ok := f.Catalogue.MatchPTR(name); ok && s.Kind != ISP && s.Kind != Hoster {
			out = append(out, name)
		}
	}
	return out
}

// confirm asks whether the names of an address lead back to it (RFC 8601 §3
// "iprev"). A name whose zone does not answer is in neither list.
func (f *Finder) confirm(ctx context.Context, p store.PTR, now func() time.Time) (store.PTR, answer) {
	kind := dns.A
	if p.Addr.Unmap().Is6() {
		kind = dns.AAAA
	}
	keep, how := keepFound, answered
	p.Confirmed, p.Denied, p.Absent = nil, nil, nil
	for _, name := range f.mattering(p) {
		ans, err := f.Resolver.Lookup(ctx, name, kind)
		switch {
		case err == nil && slices.ContainsFunc(ans.Records, func(s string) bool {
			a, err := netip.ParseAddr(s)
			return err == nil && a.Unmap() == p.Addr.Unmap()
		}):
			p.Confirmed = append(p.Confirmed, name)
		case err == nil && len(ans.Records) > 0:
			p.Denied = append(p.Denied, name)
			keep = min(keep, keepNone)
		case err == nil, errors.Is(err, dns.ErrNameNotFound), errors.Is(err, dns.ErrNoData):
			p.Absent = append(p.Absent, name)
			keep = min(keep, keepNone)
		case ctx.Err() != nil:
			return p, ended
		default:
			keep, how = keepTemporary, failed
		}
	}
	p.CheckAgain = now().Add(keep)
	return p, how
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
