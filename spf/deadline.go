package spf

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sekimori/dns"
)

// deadline is a context that ends at a time. It makes its timer only when
// somebody waits, which nobody does while answers come from a cache.
type deadline struct {
	context.Context
	at time.Time

	once   sync.Once
	timed  context.Context
	cancel context.CancelFunc
}

func (d *deadline) start() context.Context {
	d.once.Do(func() { d.timed, d.cancel = context.WithDeadline(d.Context, d.at) })
	return d.timed
}

// Deadline is part of context.Context.
func (d *deadline) Deadline() (time.Time, bool) {
	if at, ok := d.Context.Deadline(); ok && at.Before(d.at) {
		return at, true
	}
	return d.at, true
}

// Done is part of context.Context.
func (d *deadline) Done() <-chan struct{} { return d.start().Done() }

// Err is part of context.Context.
func (d *deadline) Err() error { return d.start().Err() }

// Value is part of context.Context. It answers for the timed context too, so
// that contexts made from this one hang on it without a goroutine.
func (d *deadline) Value(key any) any { return d.start().Value(key) }

// stop frees the timer. Whoever still holds the context then sees the one
// below it.
func (d *deadline) stop() {
	d.once.Do(func() { d.timed = d.Context })
	if d.cancel != nil {
		d.cancel()
	}
}

// ask asks one question, unless the time is up (RFC 7208 §4.6.4). An error is
// that of the resolver, or wraps ErrTimeLimit.
func (e *evaluation) ask(name string, t dns.Type) ([]string, error) {
	if !e.ctx.at.After(time.Now()) {
		e.late = true
		return nil, fmt.Errorf("%s %s: %w (%s)", clip(name), t, ErrTimeLimit, e.limits.Time)
	}
	a, err := e.v.Resolver.Lookup(&e.ctx, name, t)
	if err != nil && !dns.Absent(err) && !e.ctx.at.After(time.Now()) {
		e.late = true
		err = fmt.Errorf("%w (%s): %w", ErrTimeLimit, e.limits.Time, err)
	}
	return a.Records, err
}
