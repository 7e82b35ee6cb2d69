package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// place is an address at which something is fetched or was a moment ago.
// Hosts that serve the policies of thousands have one address.
type place struct {
	slots  chan struct{}
	users  int
	failed int // time-outs in a row
	until  time.Time
}

const (
	patience  = 3 // time-outs in a row before an address is left alone
	pause     = 30 * time.Second
	maxPause  = 5 * time.Minute
	maxPlaces = 4096
)

// enter waits for a turn at an address; leave ends it.
func (h *HTTPS) enter(ctx context.Context, a netip.Addr) (leave func(), p *place, err error) {
	h.mu.Lock()
	if h.slots == nil {
		h.slots = make(chan struct{}, orDefault(h.Concurrency, DefaultConcurrency))
		h.places = map[netip.Addr]*place{}
	}
	p = h.places[a]
	if p == nil {
		if len(h.places) >= maxPlaces {
			h.forget()
		}
		p = &place{slots: make(chan struct{}, orDefault(h.PerAddress, DefaultPerAddress))}
		h.places[a] = p
	}
	if wait := time.Until(p.until); wait > 0 {
		h.mu.Unlock()
		return nil, nil, &Error{Why: WhyBusy, About: a.String(), Err: fmt.Errorf("%s did not answer the last times: left alone for %v", a, wait.Round(time.Second))}
	}
	p.users++
	h.mu.Unlock()
	out := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if p.users--; p.users == 0 && p.failed == 0 && !time.Now().Before(p.until) && h.places[a] == p {
			delete(h.places, a)
		}
	}
	// The address first: who waits for one must not hold up the others.
	for i, slots := range [...]chan struct{}{p.slots, h.slots} {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			if i == 1 {
				<-p.slots
			}
			out()
			return nil, nil, &Error{Why: WhyTimeout, About: a.String(), Err: errors.New("too many fetches before this one")}
		}
	}
	return func() { <-h.slots; <-p.slots; out() }, p, nil
}

// forget makes room among the places: those that nobody uses.
func (h *HTTPS) forget() {
	for a, p := range h.places {
		if p.users == 0 {
			delete(h.places, a)
		}
	}
}

// note remembers how a fetch went.
func (h *HTTPS) note(p *place, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var e *Error
	if !errors.As(err, &e) || e.Why != WhyTimeout && e.retry == 0 {
		p.failed = 0
		return
	}
	wait := e.retry
	if wait == 0 {
		if p.failed++; p.failed < patience {
			return
		}
		wait = min(pause<<min(p.failed-patience, 8), maxPause)
	}
	wait += time.Duration(rand.Int64N(int64(wait / 4)))
	p.until = time.Now().Add(wait)
}

func orDefault(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}
