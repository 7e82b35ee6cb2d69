package watch

import (
	"context"
	"errors"
	"hash/fnv"
	"sync"
	"time"

	"sekimori/domain"
)

// How often Run looks what there is to do.
const (
	tickLooks     = time.Minute
	tickAlerts    = 30 * time.Second
	tickReminders = 10 * time.Minute
	// firstRetry is when a domain is looked at again whose zone did not answer at
	// all; twice as long after each further time, up to Config.Every.
	firstRetry = time.Hour
)

// Run looks at every domain once in Config.Every, those that are overdue at
// once, delivers alerts, and sends reminders once a day, until ctx ends. What
// was done is in the store, so that a restart neither forgets nor repeats.
// Trouble is told of (Config.Tell) and tried again; Run returns ctx's error.
func (w *Watcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	every := func(d time.Duration, wake <-chan struct{}, f func() error) {
		wg.Go(func() {
			t := time.NewTicker(d)
			defer t.Stop()
			for {
				if err := f(); err != nil && ctx.Err() == nil {
					w.c.Tell(Event{Kind: Failed, Err: err})
				}
				select {
				case <-ctx.Done():
					return
				case <-wake:
				case <-t.C:
				}
			}
		})
	}
	if w.c.Resolver != nil {
		every(tickLooks, nil, func() error { return w.LookAll(ctx, false, nil) })
	}
	every(tickAlerts, w.wake, func() error {
		_, err := w.Deliver(ctx)
		return err
	})
	if w.c.Reminders != nil {
		every(tickReminders, nil, func() error { return w.Remind(ctx) })
	}
	wg.Wait()
	return ctx.Err()
}

// due is when a domain is looked at next.
func (w *Watcher) due(ctx context.Context, name string) (time.Time, error) {
	l, err := w.last(ctx, name)
	if err != nil || l.At.IsZero() {
		return time.Time{}, err
	}
	if l.Failed > 0 {
		d := firstRetry
		for n := l.Failed; n > 1 && d < w.c.Every; n-- {
			d *= 2
		}
		return l.At.Add(min(d, w.c.Every)), nil
	}
	return l.At.Add(w.c.Every + w.jitter(name, l.At)), nil
}

// jitter spreads the looks of many domains, and moves each one's hour a little
// from day to day: up to a twentieth of Config.Every.
func (w *Watcher) jitter(name string, at time.Time) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name + at.UTC().Format(time.RFC3339)))
	return time.Duration(h.Sum64() % uint64(max(w.c.Every/20, 1)))
}

// lookEach looks at domains, Concurrency at a time.
func (w *Watcher) lookEach(ctx context.Context, names []domain.Name, f func(Report) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	queue := make(chan domain.Name)
	var wg sync.WaitGroup
	var mu sync.Mutex // of f and failure
	var failure error
	for range min(w.c.Concurrency, len(names)) {
		wg.Go(func() {
			for n := range queue {
				r, err := w.Look(ctx, n)
				mu.Lock()
				switch {
				case errors.Is(err, ErrOffline):
					failure = err
					stop()
				case err != nil:
					if ctx.Err() == nil {
						w.c.Tell(Event{Kind: Failed, Domain: n.String(), Err: err})
					}
				case f != nil && failure == nil:
					if failure = f(r); failure != nil {
						stop()
					}
				}
				mu.Unlock()
			}
		})
	}
feed:
	for _, n := range names {
		select {
		case queue <- n:
		case <-ctx.Done():
			break feed
		}
	}
	close(queue)
	wg.Wait()
	if failure != nil {
		return failure
	}
	return context.Cause(ctx)
}
