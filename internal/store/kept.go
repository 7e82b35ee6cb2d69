package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Answers about one source of a large domain take a scan of the domain's
// records. They are kept in memory, so that a page is quick to come back to,
// and given again as long as no report about the domain came in and its
// sources were not classed anew. While an import runs, which would make every
// scan slow and every answer old at once, an answer of at most keptAge is given
// as it is and worked out again in the background, one answer after the other.
const (
	keptAge     = time.Minute
	keptWaiting = 64  // answers that wait to be worked out again
	keptAnswers = 512 // each a page of a list: some tens of kilobytes at the most
)

// answers are the kept ones by method and arguments.
type answers struct {
	mu      sync.Mutex
	of      map[string]*answer
	classed map[uint32]int64 // by domain: how often its sources were classed
	waiting map[string]bool  // to be worked out again in the background
	turn    sync.Mutex       // held by the one that is
}

type answer struct {
	value   any
	version [2]int64 // of the domain's data, of its classes
	at      time.Time
}

// classedAnew says that the sources of a domain have changed.
func (a *answers) classedAnew(dom uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.classed == nil {
		a.classed = map[uint32]int64{}
	}
	a.classed[dom]++
}

// put keeps an answer, in the place of the oldest where there are many.
func (a *answers) put(key string, v *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = map[string]*answer{}
	}
	if len(a.of) >= keptAnswers && a.of[key] == nil {
		oldest := ""
		for k, o := range a.of {
			if oldest == "" || o.at.Before(a.of[oldest].at) {
				oldest = k
			}
		}
		delete(a.of, oldest)
	}
	a.of[key] = v
}

// kept returns the kept answer to a question about a domain, or works it out
// from the domain's number.
// The slice returned is the caller's own.
func kept[T any](ctx context.Context, s *Store, domain string, question []any, work func(context.Context, uint32) ([]T, int64, error)) ([]T, int64, error) {
	id, ok := s.domains.id(domain)
	if !ok {
		return nil, 0, nil
	}
	type value struct {
		rows  []T
		total int64
	}
	key := fmt.Sprintf("%d %#v", id, question)
	fresh := func(ctx context.Context) (value, error) {
		s.kept.mu.Lock()
		version := [2]int64{0, s.kept.classed[id]}
		s.kept.mu.Unlock()
		version[0] = s.DomainVersion(domain)
		at := time.Now()
		rows, total, err := work(ctx, id)
		if err == nil {
			s.kept.put(key, &answer{value{rows, total}, version, at})
		}
		return value{rows, total}, err
	}
	s.kept.mu.Lock()
	a, version := s.kept.of[key], [2]int64{s.DomainVersion(domain), s.kept.classed[id]}
	again := false
	if a != nil && a.version != version {
		if !s.running.any() || time.Since(a.at) > keptAge {
			a = nil
		} else if !s.kept.waiting[key] && len(s.kept.waiting) < keptWaiting {
			if s.kept.waiting == nil {
				s.kept.waiting = map[string]bool{}
			}
			again, s.kept.waiting[key] = true, true
		}
	}
	s.kept.mu.Unlock()
	if again {
		go func() {
			s.kept.turn.Lock()
			_, _ = fresh(context.WithoutCancel(ctx)) // a failure leaves the answer to age
			s.kept.turn.Unlock()
			s.kept.mu.Lock()
			delete(s.kept.waiting, key)
			s.kept.mu.Unlock()
		}()
	}
	if a != nil {
		v := a.value.(value)
		return slices.Clone(v.rows), v.total, nil
	}
	v, err := fresh(ctx)
	return slices.Clone(v.rows), v.total, err
}
