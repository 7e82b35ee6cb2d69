package access

import (
	"net/netip"
	"sync"
	"time"
)

// Attempts to guess: each client has clientBurst at once and one more every
// clientEvery; all clients together have allBurst and one more every allEvery.
const (
	clientBurst = 5
	clientEvery = 12 * time.Second
	allBurst    = 60
	allEvery    = time.Second
	mostClients = 10000
)

// limiter counts attempts in token buckets. Its memory is bounded: with too
// many clients at a time only the common bucket counts for further ones.
type limiter struct {
	now     func() time.Time
	mu      sync.Mutex
	all     bucket
	clients map[netip.Prefix]bucket
}

// bucket is kept as the moment at which it will be full again.
type bucket struct{ full time.Time }

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, clients: map[netip.Prefix]bucket{}}
}

// take uses up an attempt; where there is none left it returns how long to
// wait for one.
func (l *limiter) take(client netip.Prefix) time.Duration {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	c, known := l.clients[client]
	if !known && len(l.clients) >= mostClients {
		for k, b := range l.clients {
			if !b.full.After(now) {
				delete(l.clients, k)
			}
		}
	}
	if wait := max(c.wait(now, clientEvery, clientBurst), l.all.wait(now, allEvery, allBurst)); wait > 0 {
		return wait
	}
	l.all = l.all.used(now, allEvery)
	if known || len(l.clients) < mostClients {
		l.clients[client] = c.used(now, clientEvery)
	}
	return 0
}

// giveBack returns an attempt that was not a guess.
func (l *limiter) giveBack(client netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.full = l.all.full.Add(-allEvery)
	if c, ok := l.clients[client]; ok {
		c.full = c.full.Add(-clientEvery)
		if c.full.After(l.now()) {
			l.clients[client] = c
		} else {
			delete(l.clients, client)
		}
	}
}

// wait returns how long until the bucket holds a whole attempt.
func (b bucket) wait(now time.Time, every time.Duration, burst int) time.Duration {
	if !b.full.After(now) {
		return 0
	}
	return b.full.Sub(now) - time.Duration(burst-1)*every
}

// used is the bucket with one attempt less.
func (b bucket) used(now time.Time, every time.Duration) bucket {
	if b.full.Before(now) {
		b.full = now
	}
	return bucket{b.full.Add(every)}
}
