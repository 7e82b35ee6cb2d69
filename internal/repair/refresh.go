package repair

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// Changes is what a refresh did.
type Changes struct {
	Opened   []store.Case `json:"opened"`
	Proven   []store.Case `json:"proven"`
	Reopened []store.Case `json:"reopened"`
	Mended   []store.Case `json:"mended"` // they pass, though nobody said that they are fixed: they wait for proof now
}

// Any reports whether anything was done.
func (ch Changes) Any() bool { return ch.count() > 0 }

func (ch Changes) count() int {
	return len(ch.Opened) + len(ch.Proven) + len(ch.Reopened) + len(ch.Mended)
}

// Refresh carries a domain's cases on after its sources were classed anew: it
// opens one for each broken source with messages at risk, finds those again
// whose source has another key now, takes over departments, and proves or
// reopens what is said to be fixed. Doing it again changes nothing.
//
// The advice must be of the newest reports and of the whole domain, not of a
// department's part. Lines in which many sources are put together are no cases.
// Cost: a scan of the domain's records for each case that waits for proof, and
// one for all that are done; nothing of that while no report came in and nobody
// changed them.
func (m *Manager) Refresh(ctx context.Context, a *advise.Advice) (Changes, error) {
	if a.Department != "" {
		return Changes{}, errors.New("repair: the advice is of a department's part; give that of the whole domain")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := refresh{m: m, ctx: ctx, a: a, today: store.DayOf(m.c.Now())}
	if err := r.run(); err != nil {
		return r.done, fmt.Errorf("work on %s: %w", a.Domain, err)
	}
	return r.done, nil
}

// refresh is one Refresh.
type refresh struct {
	m     *Manager
	ctx   context.Context
	a     *advise.Advice
	today store.Day
	done  Changes

	cases   []*work
	byKey   map[string]*work
	sources []found
	assign  assignments
}

// work is a case with what it is about now.
type work struct {
	store.Case
	facts  facts
	source *advise.Source // nil where it is not in the advice
	sure   bool           // it is found by its key or by an identity, not by its networks alone
	ids    []string       // of all sources that its mail may be in now
}

// found is a source with what it is recognised by.
type found struct {
	*advise.Source
	networks   []netip.Prefix
	identities []string
}

func (r *refresh) run() error {
	cases, err := r.m.c.Store.DomainCases(r.ctx, r.a.Domain)
	if err != nil {
		return err
	}
	if r.assign, err = r.m.assignments(r.ctx, r.a.Domain); err != nil {
		return err
	}
	r.byKey = make(map[string]*work, len(cases))
	for _, c := range cases {
		w := &work{Case: c, facts: readFacts(c.Facts)}
		r.cases = append(r.cases, w)
		r.byKey[c.Key] = w
	}
	for i := range r.a.Sources {
		s := &r.a.Sources[i]
		if lumped(s.Key) || len(s.Key) > store.KeyMost || !utf8.ValidString(s.Key) {
			continue
		}
		f := found{Source: s}
		f.networks, f.identities = recognised(s, r.a.Domain)
		r.sources = append(r.sources, f)
	}
	r.match()
	if err := r.figures(); err != nil {
		return err
	}
	if err := r.prove(); err != nil {
		return err
	}
	return r.open()
}

// match finds the sources that cases are about: by the key; else, where no
// source has it, by an identity in common, and then by the networks.
func (r *refresh) match() {
	exact := map[string]bool{}
	for i := range r.sources {
		if w := r.byKey[r.sources[i].Key]; w != nil {
			w.source, w.sure = r.sources[i].Source, true
			w.ids = append(w.ids, w.source.ID)
			exact[w.Key] = true
		}
	}
	for _, w := range r.cases {
		best, rank := -1, 0
		for i := range r.sources {
			s := &r.sources[i]
			// What is not ours, or only passed on, is not our repaired mail.
			if exact[s.Key] || s.Class == advise.Spoof || s.Class == advise.Forwarder || slices.Contains(w.facts.Siblings, s.Key) {
				continue
			}
			n := alike(s, &w.Case, &w.facts)
			if n == 0 {
				continue
			}
			if n > rank || n == rank && s.Messages > r.sources[best].Messages {
				best, rank = i, n
			}
			// Where all addresses are known one by one, their mail is counted as
			// such: others of the same network may be another system's.
			if n == 2 || !w.facts.complete() {
				w.ids = append(w.ids, s.ID)
			}
		}
		// What stands in the same place and passes may be a larger source that
		// the repaired mail has become a part of.
		if w.source == nil && best >= 0 && (rank == 2 || r.sources[best].Class == advise.Broken) {
			w.source, w.sure = r.sources[best].Source, rank == 2
		}
	}
}

// figures keeps what cases look like now, follows those whose source has
// another key, and takes over departments.
func (r *refresh) figures() error {
	var keep []store.Case
	for _, w := range r.cases {
		was := w.Case
		s := w.source
		if s == nil {
			w.Failing, w.Messages = 0, 0
		} else {
			w.Source, w.Name = s.ID, explain.Clip(s.Name)
			w.Failing, w.Messages, w.LastDay = s.Failing, s.Messages, max(w.LastDay, s.LastDay)
			if s.Class == advise.Broken && s.Failing > 0 || w.facts.Version == 0 {
				w.look(s, r.a)
			}
		}
		w.facts.Policy, w.facts.Next = r.a.Policy, r.a.Ladder.Next
		w.Facts = w.facts.text()
		var events []store.CaseEvent
		if s != nil && s.Key != w.Key && r.byKey[s.Key] == nil && (w.sure || s.Class == advise.Broken) {
			events = append(events, store.CaseEvent{At: r.m.c.Now().UTC(), Kind: "followed", From: w.Key, To: s.Key})
			if err := r.carry(w.Key, s); err != nil {
				return err
			}
			delete(r.byKey, w.Key)
			w.Key = s.Key
			r.byKey[w.Key] = w
		}
		if e, ok := r.assign.take(w); ok {
			events = append(events, store.CaseEvent{At: r.m.c.Now().UTC(), Kind: "department", From: e[0], To: e[1]})
		}
		if len(events) > 0 {
			c, err := r.m.c.Store.PutCase(r.ctx, w.Case, events...)
			if errors.Is(err, store.ErrConflict) { // a person was quicker: the next time
				w.Case = was
				continue
			}
			if err != nil {
				return err
			}
			w.Case = c
			continue
		}
		if !same(was, w.Case) {
			keep = append(keep, w.Case)
		}
	}
	return r.m.c.Store.PutCaseFigures(r.ctx, keep)
}

// carry takes what people said of a source over to the key that it has now:
// its department, and the latest word about it. A source that passes at last
// mostly has another key than while it failed.
func (r *refresh) carry(from string, s *advise.Source) error {
	if d, ok := r.assign.byKey[from]; ok && r.assign.byKey[s.Key] == 0 {
		if err := r.m.c.Store.Assign(r.ctx, store.Assignment{Department: d, Domain: r.a.Domain, Key: s.Key}); err != nil {
			return err
		}
		r.assign.byKey[s.Key] = d
	}
	all, err := r.m.c.Store.Sayings(r.ctx, r.a.Domain)
	if err != nil {
		return err
	}
	said := func(key string) int {
		return slices.IndexFunc(all, func(w store.Saying) bool { return w.Key == key }) // the latest comes first
	}
	i := said(from)
	if i < 0 || said(s.Key) >= 0 {
		return nil
	}
	word := s.Saying(r.a.Domain)
	old := all[i]
	word.Class, word.Name, word.Note, word.By, word.At = old.Class, old.Name, old.Note, old.By, old.At
	_, err = r.m.c.Store.PutSaying(r.ctx, word)
	return err
}

// look remembers the source as it is now.
func (w *work) look(s *advise.Source, a *advise.Advice) {
	before := w.facts
	w.facts = remember(s, a)
	w.facts.Siblings, w.facts.ByHand = before.Siblings, before.ByHand
	w.Networks, w.Identities = recognised(s, a.Domain)
}

// same reports whether nothing of a case is to be written.
func same(a, b store.Case) bool {
	return a.Source == b.Source && a.Name == b.Name && a.Failing == b.Failing && a.Messages == b.Messages && a.LastDay == b.LastDay &&
		a.Proof == b.Proof && a.Receivers == b.Receivers && a.Relapse == b.Relapse && string(a.Facts) == string(b.Facts)
}

// open opens a case for each broken source that has none.
func (r *refresh) open() error {
	for i := range r.sources {
		s := &r.sources[i]
		if s.Class != advise.Broken || s.Failing == 0 || r.byKey[s.Key] != nil || r.followed(s) {
			continue
		}
		c, added, err := r.m.open(r.ctx, r.a, s.Source, "", r.siblings(s), r.assign)
		if err != nil {
			return err
		}
		if added {
			r.done.Opened = append(r.done.Opened, c)
		}
	}
	return nil
}

// followed reports whether a source is one that a case was found in. What
// fails there since the case is done has been judged before.
func (r *refresh) followed(s *found) bool {
	return slices.ContainsFunc(r.cases, func(w *work) bool { return w.source == s.Source || slices.Contains(w.ids, s.ID) })
}

// siblings are the keys of the other sources that could be taken for one.
func (r *refresh) siblings(s *found) []string {
	var out []string
	c := store.Case{Networks: s.networks, Identities: s.identities}
	var f facts // without addresses: the same networks are enough
	for i := range r.sources {
		o := &r.sources[i]
		if o.Key != s.Key && alike(o, &c, &f) > 0 && len(out) < 100 {
			out = append(out, o.Key)
		}
	}
	return out
}

// open opens a case about a source, or returns the one that another process
// opened meanwhile, and says which.
func (m *Manager) open(ctx context.Context, a *advise.Advice, s *advise.Source, by string, siblings []string, assign assignments) (store.Case, bool, error) {
	now := m.c.Now().UTC().Truncate(time.Microsecond)
	w := work{Case: store.Case{Domain: a.Domain, Key: s.Key, Source: s.ID, Name: explain.Clip(s.Name), State: store.CaseFound, Opened: now,
		Failing: s.Failing, Messages: s.Messages, LastDay: s.LastDay}, source: s}
	w.look(s, a)
	w.facts.Siblings = siblings
	w.Facts = w.facts.text()
	events := []store.CaseEvent{{At: now, By: by, Kind: "opened", Text: stepText(explain.Step{Code: "repair.event-opened", Args: explain.Args{
		"failing": s.Failing, "messages": s.Messages, "days": int64(a.Window.Days())}})}}
	if e, ok := assign.take(&w); ok {
		events = append(events, store.CaseEvent{At: now, Kind: "department", From: e[0], To: e[1]})
	}
	c, err := m.c.Store.PutCase(ctx, w.Case, events...)
	return c, c.Opened.Equal(now), err
}

// stepText is a step as the program's own events carry it.
func stepText(s explain.Step) string {
	b, err := json.Marshal(s)
	if err != nil {
		return ""
	}
	return string(b)
}
