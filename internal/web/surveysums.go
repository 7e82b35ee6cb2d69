package web

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// Limits of the tables that are kept.
const (
	keptSums = 2 * mostWaves
	// freshSums is how long the tables of a wave that still grows are shown
	// before it is counted again: counting a million domains by every attribute
	// takes seconds.
	freshSums = 15 * time.Second
	// patientSums bounds one count, which goes on where the reader has gone.
	patientSums = 2 * time.Minute
)

// sums keeps the tables of waves. It is safe for concurrent use: those who ask
// for the same wave at a time wait for one count.
type sums struct {
	mu   sync.Mutex
	kept map[sumKey]*keptSum
}

// sumKey is a wave, alone or set against an earlier one.
type sumKey struct {
	wave, against int64
	all           bool // only the row of the whole list
}

// sumVersion changes with what there is to count.
type sumVersion struct {
	measured, unanswered, domains, messages int64
	finished                                time.Time
}

type keptSum struct {
	version sumVersion
	began   time.Time
	growing bool
	ready   chan struct{} // closed when sum and err are set
	sum     *survey.Summary
	err     error
}

func versionOf(w store.Wave) sumVersion {
	return sumVersion{w.Measured, w.Unanswered, w.Domains, w.Messages, w.Finished}
}

// of returns the tables of a wave.
func (c *sums) of(ctx context.Context, st survey.TableStore, w store.Wave) (*survey.Summary, error) {
	return c.get(ctx, sumKey{wave: w.ID}, w, func(ctx context.Context) (*survey.Summary, error) {
		return survey.Summarize(ctx, st, w, survey.Tabulation{})
	})
}

// whole returns the shares of the whole list.
func (c *sums) whole(ctx context.Context, st survey.Counter, w store.Wave) ([]survey.Share, error) {
	sum, err := c.get(ctx, sumKey{wave: w.ID, all: true}, w, func(ctx context.Context) (*survey.Summary, error) {
		groups, err := st.Groups(ctx, w.ID, "", 1)
		if err != nil {
			return nil, err
		}
		row := survey.Row{Value: survey.All, Facts: make([]survey.Share, len(w.Facts))}
		if len(groups) > 0 {
			row.Domains = groups[0].Domains
			for i := range min(len(w.Facts), len(groups[0].Facts)) {
				row.Facts[i].Tally = groups[0].Facts[i]
			}
		}
		return &survey.Summary{Wave: w, Tables: []survey.Table{{Attribute: survey.All, Kind: survey.Whole, Rows: []survey.Row{row}}}}, nil
	})
	if err != nil {
		return nil, err
	}
	return sum.All().Facts, nil
}

// against returns what became of a wave's facts since an earlier one.
func (c *sums) against(ctx context.Context, st survey.TableStore, before, after store.Wave) (*survey.Comparison, error) {
	// The earlier wave may have been measured again since.
	both := after
	both.Measured, both.Unanswered = both.Measured+before.Measured, both.Unanswered+before.Unanswered
	sum, err := c.get(ctx, sumKey{wave: after.ID, against: before.ID}, both, func(ctx context.Context) (*survey.Summary, error) {
		change, err := survey.Compare(ctx, st, before, after, "", "")
		return &survey.Summary{Wave: after, Change: change}, err
	})
	if err != nil {
		return nil, err
	}
	return sum.Change, nil
}

func (c *sums) get(ctx context.Context, key sumKey, w store.Wave, count func(context.Context) (*survey.Summary, error)) (*survey.Summary, error) {
	now, version := time.Now(), versionOf(w)
	c.mu.Lock()
	k := c.kept[key]
	if k == nil || k.version != version && !(k.growing && w.Finished.IsZero() && now.Sub(k.began) < freshSums) {
		k = &keptSum{version: version, began: now, growing: w.Finished.IsZero(), ready: make(chan struct{})}
		c.keep(key, k)
		go c.count(context.WithoutCancel(ctx), key, k, count)
	}
	c.mu.Unlock()
	select {
	case <-k.ready:
		return k.sum, k.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keep puts a count in the place of the oldest. c.mu is held.
func (c *sums) keep(key sumKey, k *keptSum) {
	c.kept[key] = k
	for len(c.kept) > keptSums {
		var oldest sumKey
		first := time.Time{}
		for key, k := range c.kept {
			if first.IsZero() || k.began.Before(first) {
				oldest, first = key, k.began
			}
		}
		delete(c.kept, oldest)
	}
}

func (c *sums) count(ctx context.Context, key sumKey, k *keptSum, count func(context.Context) (*survey.Summary, error)) {
	ctx, cancel := context.WithTimeout(ctx, patientSums)
	defer cancel()
	defer close(k.ready)
	func() {
		defer func() {
			if v := recover(); v != nil { // outside of a request nothing else catches it
				k.err = fmt.Errorf("count the wave: %v", v)
			}
		}()
		k.sum, k.err = count(ctx)
	}()
	if k.err != nil { // the next reader tries again
		c.mu.Lock()
		if c.kept[key] == k {
			delete(c.kept, key)
		}
		c.mu.Unlock()
	}
}
