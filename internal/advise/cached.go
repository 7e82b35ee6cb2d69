package advise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"sekimori/domain"
	"sekimori/internal/store"
)

// Version of the rules by which answers are worked out. A kept answer of
// another version is stale.
const rules = 5

// keptAddresses is how many addresses a kept answer lists of a source.
const keptAddresses = 20

// backgroundLimit bounds one answer that is worked out in the background.
const backgroundLimit = 10 * time.Minute

// kept is the document that is kept of an answer.
type kept struct {
	Rules  int     `json:"rules"`
	State  int64   `json:"state"`
	DNS    bool    `json:"dns"`   // there was a resolver
	Asked  bool    `json:"asked"` // and it answered
	With   string  `json:"with,omitempty"`
	Advice *Advice `json:"advice"`

	computed time.Time
}

// summary is the small document that the page of all domains reads.
type summary struct {
	Rules   int           `json:"rules"`
	State   int64         `json:"state"`
	Pending bool          `json:"pending,omitempty"` // names of addresses were still to be looked up
	Summary DomainSummary `json:"summary"`
}

// states tells when what people said and decided about a domain changed.
type states interface {
	DomainStateVersion(domain string) int64
}

func (a *Advisor) state(domain string) int64 {
	if s, ok := a.c.Store.(states); ok {
		return s.DomainStateVersion(domain)
	}
	return 0
}

// work is one question being worked on.
type work struct {
	done   chan struct{}
	advice *Advice
	err    error
}

// key names a question in the store.
func (q Question) key() string {
	days := q.Days
	if days <= 0 {
		days = defaultDays
	}
	k := strconv.Itoa(min(days, maxDays))
	if q.Until != 0 {
		k += "@" + q.Until.String()
	}
	if q.Department != 0 {
		k += "/" + strconv.FormatInt(q.Department, 10)
	}
	return k
}

// Cached returns the last answer at once, and whether it is of the newest data
// and its day to look again is still to come. A stale answer is worked out anew
// in the background; where there is none, it is worked out now. The sources of
// the answer list at most 20 addresses each.
func (a *Advisor) Cached(ctx context.Context, name domain.Name, q Question) (*Advice, bool, error) {
	if name.IsZero() {
		return nil, false, errors.New("advise: no domain given")
	}
	k, fresh, err := a.last(ctx, name, q, "")
	if err != nil {
		return nil, false, err
	}
	if k != nil {
		if !fresh {
			a.start(name, q)
		}
		return k.Advice, fresh, nil
	}
	w := a.start(name, q)
	select {
	case <-w.done:
		return w.advice, w.err == nil, w.err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// last returns the answer of these rules that is kept under a question's key and
// what follows that, or nil; and whether all that it was worked out from is as it
// was, and the day to look again still to come.
func (a *Advisor) last(ctx context.Context, name domain.Name, q Question, follow string) (*kept, bool, error) {
	c, ok, err := a.c.Store.Advice(ctx, name.String(), q.key()+follow)
	if err != nil {
		return nil, false, fmt.Errorf("advise %s: %w", name, err)
	}
	if !ok {
		return nil, false, nil
	}
	k := &kept{computed: c.Computed}
	if err := json.Unmarshal(c.Doc, k); err != nil || k.Rules != rules || k.Advice == nil {
		return nil, false, nil
	}
	fresh := c.Version == a.c.Store.DomainVersion(name.String()) && k.State == a.state(name.String()) && k.With == a.c.With &&
		(q.Until != 0 || k.Advice.Ladder.LookAt >= store.DayOf(a.c.Now()))
	return k, fresh, nil
}

// answerAge is how long Answer takes what the DNS said for what it says now.
const answerAge = 10 * time.Minute

// Answer returns the kept answer where it is of the newest data, not older than
// ten minutes if the DNS was asked, and nothing remains to be looked up for it;
// otherwise it works the answer out and keeps it. It is what a command asks, which
// ends with the answer: the sources list all of their addresses, and nothing goes
// on in the background.
func (a *Advisor) Answer(ctx context.Context, name domain.Name, q Question) (*Advice, error) {
	if name.IsZero() {
		return nil, errors.New("advise: no domain given")
	}
	k, fresh, err := a.last(ctx, name, q, wholeKey)
	if err != nil {
		return nil, err
	}
	if fresh && k.DNS == (a.c.Resolver != nil) && (!k.DNS || a.c.Now().Sub(k.computed) < answerAge && (!k.Asked || k.Advice.Pending == 0)) {
		return k.Advice, nil
	}
	return a.keep(ctx, name, q, wholeKey)
}

// start works a question out in the background and keeps the answer. Asked
// again meanwhile, it returns the work under way.
func (a *Advisor) start(name domain.Name, q Question) *work {
	key := name.String() + " " + q.key()
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.working[key]; w != nil {
		return w
	}
	w := &work{done: make(chan struct{})}
	if a.ctx.Err() != nil {
		w.err = a.ctx.Err()
		close(w.done)
		return w
	}
	a.working[key] = w
	a.wg.Go(func() {
		ctx, cancel := context.WithTimeout(a.ctx, backgroundLimit)
		defer cancel()
		w.advice, w.err = a.keep(ctx, name, q, "")
		a.mu.Lock()
		delete(a.working, key)
		a.mu.Unlock()
		close(w.done)
	})
	return w
}

// wholeKey follows a question's key where the answer is kept with all addresses.
const wholeKey = "+addresses"

// keep works a question out and keeps the answer under its key and what is to
// follow that.
func (a *Advisor) keep(ctx context.Context, name domain.Name, q Question, follow string) (*Advice, error) {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r, err := a.work(ctx, name, q)
	if err != nil {
		return nil, fmt.Errorf("advise %s: %w", name, err)
	}
	if r.newest && q.Department == 0 && follow == "" {
		a.goOn(name, q, r.pending)
	}
	adv := r.advice
	for i := range adv.Sources {
		if s := &adv.Sources[i]; len(s.Addresses) > keptAddresses && follow == "" {
			s.Addresses = s.Addresses[:keptAddresses:keptAddresses]
		}
	}
	if r.version == 0 {
		return adv, nil // no reports: names that anybody may ask about are not kept
	}
	doc, err := json.Marshal(kept{Rules: rules, State: r.state, DNS: a.c.Resolver != nil, Asked: r.asked, With: a.c.With, Advice: adv})
	if err != nil {
		return nil, fmt.Errorf("advise %s: %w", name, err)
	}
	sum, err := json.Marshal(summary{rules, r.state, adv.Pending > 0, r.summarize()})
	if err != nil {
		return nil, fmt.Errorf("advise %s: %w", name, err)
	}
	err = a.c.Store.PutAdvice(ctx, store.CachedAdvice{
		Domain: name.String(), Question: q.key() + follow, Version: r.version, Computed: a.c.Now().UTC(), Summary: sum, Doc: doc,
	})
	if err != nil {
		return nil, fmt.Errorf("advise %s: %w", name, err)
	}
	return adv, nil
}
