package advise

import (
	"context"
	"net/netip"
	"time"

	"sekimori/domain"
	"sekimori/internal/sources"
)

// What an answer's time did not suffice for is looked up in the background,
// slowly: resolvers are shared, and nobody waits. What was learnt is kept in the
// store, so a look-up that was interrupted goes on where it stopped.
const (
	namesAtOnce  = 500             // addresses asked about between two looks at the clock
	namesPace    = 5 * time.Second // at least so long for each of these: 100 questions a second
	namesWorkers = 8
	namesAgain   = time.Hour // after a resolver did not answer
	namesRest    = 10 * time.Minute
)

// leastBudget is what is left for look-ups of host names where reading took
// long, and answerTime the time that an answer is to take as a whole, as far as
// that is in our hands.
const (
	leastBudget = 300 * time.Millisecond
	answerTime  = 2400 * time.Millisecond
)

// budget is the most time that an answer spends on look-ups. Without a
// Config.PTRBudget that is two seconds, less where the reading of many records
// took long; what comes after takes about three fifths of that again.
func (n *analysis) budget() time.Duration {
	switch b := n.a.c.PTRBudget; {
	case b < 0:
		return 0
	case b == 0:
		return min(2*time.Second, max(leastBudget, answerTime-time.Since(n.began)*8/5))
	default:
		return b
	}
}

// goOn looks up the names of addresses in the background, one domain after the
// other, and works the answer out anew when much was learnt.
func (a *Advisor) goOn(name domain.Name, q Question, addrs []netip.Addr) {
	if a.c.Resolver == nil || len(addrs) == 0 || a.c.PTRBudget < 0 {
		return
	}
	key := name.String()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx.Err() != nil || a.c.Now().Before(a.naming[key]) {
		return
	}
	a.naming[key] = a.c.Now().Add(1000 * time.Hour) // until it is done
	a.wg.Go(func() {
		rest := namesRest
		if !a.lookUp(name, q, addrs) {
			rest = namesAgain
		}
		a.mu.Lock()
		a.naming[key] = a.c.Now().Add(rest)
		a.mu.Unlock()
	})
}

// mayGoOn reports whether look-ups for a domain may go on: they were
// interrupted by the end of a process, or long ago by a resolver.
func (a *Advisor) mayGoOn(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.c.Resolver != nil && a.c.PTRBudget >= 0 && !a.c.Now().Before(a.naming[name])
}

// lookUp looks the names up, and reports whether the resolver answered.
func (a *Advisor) lookUp(name domain.Name, q Question, addrs []netip.Addr) bool {
	select {
	case a.asking <- struct{}{}:
		defer func() { <-a.asking }()
	case <-a.ctx.Done():
		return true
	}
	f := sources.Finder{Cache: a.c.Store, Resolver: a.c.Resolver, Now: a.c.Now, Concurrency: namesWorkers, Budget: time.Minute,
		Confirm: true, Ours: name.Organizational().String(), Catalogue: a.c.Catalogue}
	// An answer is worth working out anew for every twentieth of the addresses.
	much, learnt := max(200, len(addrs)/20), 0
	for len(addrs) > 0 {
		began := time.Now()
		part := addrs[:min(namesAtOnce, len(addrs))]
		addrs = addrs[len(part):]
		found, _ := f.Names(a.ctx, part) // what could not be kept is asked for another time
		if a.ctx.Err() != nil {
			return true
		}
		if found.Unreachable {
			if learnt > 0 {
				a.start(name, q)
			}
			return false
		}
		for _, p := range part {
			if len(found.Names[p]) > 0 {
				learnt++
			}
		}
		if learnt >= much || len(addrs) == 0 && learnt > 0 {
			learnt = 0
			if w := a.start(name, q); len(addrs) > 0 {
				select {
				case <-w.done:
				case <-a.ctx.Done():
					return true
				}
			}
		}
		if len(addrs) == 0 {
			break
		}
		select {
		case <-time.After(namesPace - time.Since(began)):
		case <-a.ctx.Done():
			return true
		}
	}
	return true
}

// prefetch asks for what an answer needs of the DNS whatever the records say,
// while these are being read. The answers are in the resolver's cache when they
// are wanted; one that keeps nothing is asked twice.
func (n *analysis) prefetch() (stop func()) {
	r := n.a.c.Resolver
	if r == nil || n.a.c.PTRBudget < 0 {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(n.ctx, answerTime)
	done := make(chan struct{})
	name := n.name.String()
	go func() {
		defer close(done)
		if _, err := sources.LookupPermit(ctx, r, name); err == nil {
			publishedRecord(ctx, r, name)
		}
	}()
	return func() { cancel(); <-done }
}
