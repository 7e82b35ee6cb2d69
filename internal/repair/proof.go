package repair

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"

	"sekimori/explain"
	"sekimori/internal/store"
)

// What counts as proof, and what as a relapse.
const (
	proofLeast     = 20  // messages that must pass, at the least
	proofReceivers = 2   // receivers that must have seen it
	failingShare   = 100 // at most one message in so many may fail
	relapseLeast   = 5   // failing messages that say that it fails again, at the least
	proofBefore    = 366 // days before the fix in which receivers are counted
)

// needed is how many messages have to pass until a source is proven to be
// fixed: half of a usual period's, and at least 20.
func (f facts) needed() uint64 { return max(proofLeast, f.usual()/2) }

// evidence is what was seen of a case's mail since it is said to be fixed.
type evidence struct {
	passed, failed uint64
	receivers      int // that saw some of it pass
	needed         int // of them
	last           store.Day
}

// proves reports whether it is fixed: enough passes, at enough receivers, and
// hardly anything fails. A sender that sends rarely has then sent at least once.
func (e evidence) proves(f facts) bool {
	return e.passed >= f.needed() && e.receivers >= e.needed && e.failed <= (e.passed+e.failed)/failingShare
}

// relapsed reports whether it still fails, or again.
func (e evidence) relapsed() bool {
	return e.failed >= relapseLeast && e.failed > (e.passed+e.failed)/failingShare
}

// gather reads what was seen since a case is said to be fixed.
func (r *refresh) gather(w *work) (evidence, error) {
	e := evidence{needed: proofReceivers}
	if w.Fixed >= r.a.Window.End {
		return e, nil
	}
	st, since := r.m.c.Store, store.Window{Begin: w.Fixed, End: r.a.Window.End}
	f := w.facts.filter(&w.Case, w.ids)
	days, err := st.MailDaily(r.ctx, r.a.Domain, since, f)
	if err != nil {
		return e, err
	}
	for _, d := range days {
		e.passed += d.Aligned
		e.failed += d.Messages - d.Aligned
		e.last = d.Day
	}
	if e.passed == 0 {
		return e, nil
	}
	reporters, err := st.MailReporters(r.ctx, r.a.Domain, since, f)
	if err != nil {
		return e, err
	}
	for _, rep := range reporters {
		if rep.Messages > rep.Failing {
			e.receivers++
		}
	}
	if e.receivers < e.needed {
		ever, err := st.MailReporters(r.ctx, r.a.Domain, store.Window{Begin: w.Fixed - proofBefore, End: since.End}, f)
		if err != nil {
			return e, err
		}
		if len(ever) <= 1 { // only ever seen by one
			e.needed = 1
		}
	}
	return e, nil
}

// provenMost is of how many domains it is known that there was nothing to do.
const provenMost = 100_000

// prove looks at each case that is said to be fixed, and at those that seem to
// be, unless all is as it was when it last looked.
func (r *refresh) prove() error {
	now := r.fingerprint()
	if r.m.proven[r.a.Domain] == now {
		return nil
	}
	before := r.done.count()
	if err := r.look(); err != nil {
		return err
	}
	if len(r.m.proven) >= provenMost {
		clear(r.m.proven)
	}
	if delete(r.m.proven, r.a.Domain); r.done.count() == before {
		r.m.proven[r.a.Domain] = now
	}
	return nil
}

// fingerprint is a hash of all that look depends on.
func (r *refresh) fingerprint() uint64 {
	h := fnv.New64a()
	fmt.Fprintln(h, r.m.c.Store.DomainVersion(r.a.Domain), r.a.Window.End)
	for _, w := range r.cases {
		fmt.Fprintln(h, w.ID, w.Changed.UnixMicro(), w.State, w.Fixed, w.ids)
		if w.source != nil {
			fmt.Fprintln(h, w.source.Messages, w.source.Failing)
		}
	}
	return h.Sum64()
}

// look looks at the cases one by one.
func (r *refresh) look() error {
	failing, err := r.failingAgain()
	if err != nil {
		return err
	}
	for _, w := range r.cases {
		switch w.State {
		case store.CaseFound, store.CaseContacted, store.CaseRepair:
			if err := r.mended(w); err != nil {
				return err
			}
			continue
		}
		if w.Fixed == 0 || w.State != store.CaseWaiting && !(w.State == store.CaseDone && failing[w]) {
			continue
		}
		e, err := r.gather(w)
		if err != nil {
			return err
		}
		if err := r.judge(w, e); err != nil {
			return err
		}
	}
	return nil
}

// What tells that a source was fixed without anybody saying so.
const (
	mendedShare  = 10 // of its mail, at most one message in so many passed before
	mendedDays   = 7  // it must have passed for so long
	mendedBefore = 60 // days that are looked at
)

// mended looks whether an open case's source passes by now, though nobody said
// that it was fixed. Only where all but everything failed can the reports tell:
// elsewhere what failed may just not have been sent. The case then waits for
// proof from the day on which it began to pass, so that the next look proves it.
func (r *refresh) mended(w *work) error {
	f := &w.facts
	passes := w.source == nil && f.complete() || w.source != nil && w.source.Messages-w.source.Failing >= proofLeast
	if !passes {
		return nil
	}
	days, err := r.m.c.Store.MailDaily(r.ctx, r.a.Domain, store.Window{Begin: r.a.Window.End - mendedBefore, End: r.a.Window.End}, f.filter(&w.Case, w.ids))
	if err != nil || len(days) == 0 {
		return err
	}
	since := store.Day(0)
	var all, passed, before, passedBefore uint64
	for _, d := range days {
		all, passed = all+d.Messages, passed+d.Aligned
		if (d.Messages-d.Aligned)*failingShare > d.Messages {
			since, before, passedBefore = d.Day+1, all, passed
		}
	}
	if since == 0 || since+mendedDays > r.a.Window.End || passedBefore*mendedShare > before {
		return nil
	}
	was := w.Case
	w.Fixed = since
	e, err := r.gather(w)
	if w.Case = was; err != nil || !e.proves(*f) {
		return err
	}
	at := r.m.c.Now().UTC()
	w.State, w.Fixed, w.Proof, w.Receivers, w.Relapse, w.LastDay = store.CaseWaiting, since, e.passed, e.receivers, e.failed, max(w.LastDay, e.last)
	c, err := r.m.c.Store.PutCase(r.ctx, w.Case, store.CaseEvent{At: at, Kind: "mended", From: string(was.State), To: string(w.State),
		Text: stepText(explain.Step{Code: "repair.event-mended", Args: explain.Args{"passed": e.passed, "receivers": int64(e.receivers), "since": dayText(since)}})})
	if errors.Is(err, store.ErrConflict) { // a person was quicker: the next time
		w.Case = was
		return nil
	}
	if err == nil {
		w.Case = c
		r.done.Mended = append(r.done.Mended, c)
	}
	return err
}

// judge closes or reopens a case, or keeps what was seen.
func (r *refresh) judge(w *work, e evidence) error {
	was := w.Case
	w.Proof, w.Relapse, w.Receivers, w.LastDay = e.passed, e.failed, e.receivers, max(w.LastDay, e.last)
	args := explain.Args{"name": w.Name, "passed": e.passed, "failed": e.failed, "receivers": int64(e.receivers), "since": dayText(w.Fixed)}
	event := store.CaseEvent{At: r.m.c.Now().UTC(), From: string(w.State)}
	happened := store.Happening{Domain: w.Domain, At: event.At}
	var list *[]store.Case
	switch {
	case e.relapsed():
		w.State, w.Fixed, w.Reopened = store.CaseFound, 0, w.Reopened+1
		event.Kind, event.To, event.Text = "reopened", string(w.State), stepText(explain.Step{Code: "repair.event-reopened", Args: args})
		happened.Kind, happened.Step = "reopened", []byte(stepText(explain.Step{Code: "repair.happened-reopened", Args: args}))
		list = &r.done.Reopened
	case w.State == store.CaseWaiting && e.proves(w.facts):
		w.State = store.CaseDone
		event.Kind, event.To, event.Text = "proof", string(w.State), stepText(explain.Step{Code: "repair.event-proven", Args: args})
		happened.Kind, happened.Step = "fixed", []byte(stepText(explain.Step{Code: "repair.happened-fixed", Args: args}))
		list = &r.done.Proven
	default:
		if same(was, w.Case) {
			return nil
		}
		return r.m.c.Store.PutCaseFigures(r.ctx, []store.Case{w.Case})
	}
	c, err := r.m.c.Store.PutCase(r.ctx, w.Case, event)
	if errors.Is(err, store.ErrConflict) { // a person was quicker: the next time
		w.Case = was
		return nil
	}
	if err != nil {
		return err
	}
	w.Case = c
	*list = append(*list, c)
	happened.Key = c.Key + " " + args["since"].(string)
	_, err = r.m.c.Store.Happen(r.ctx, []store.Happening{happened})
	return err
}

// historyMost is how many addresses store.History takes.
const historyMost = 5000

// failingAgain returns the cases that are done and of whose mail some failed
// since: those that a closer look is worth. One scan does for all addresses.
func (r *refresh) failingAgain() (map[*work]bool, error) {
	out := map[*work]bool{}
	byAddr := map[netip.Addr][]*work{}
	var addrs []netip.Addr
	begin := r.a.Window.End
	for _, w := range r.cases {
		if w.State != store.CaseDone || w.Fixed == 0 || w.Fixed >= r.a.Window.End {
			continue
		}
		for i := range r.sources {
			s := &r.sources[i]
			for _, id := range w.ids {
				if s.ID == id && s.Failing > 0 {
					out[w] = true
				}
			}
		}
		for _, p := range w.facts.filter(&w.Case, nil).Networks {
			if p.IsSingleIP() && len(addrs) < historyMost {
				if byAddr[p.Addr()] == nil {
					addrs = append(addrs, p.Addr())
				}
				byAddr[p.Addr()] = append(byAddr[p.Addr()], w)
			}
		}
		begin = min(begin, max(w.Fixed, r.a.Window.End-proofBefore))
	}
	if len(addrs) == 0 {
		return out, nil
	}
	err := r.m.c.Store.History(r.ctx, r.a.Domain, store.Window{Begin: begin, End: r.a.Window.End}, addrs,
		func(addr netip.Addr, day store.Day, _, failing uint64) error {
			for _, w := range byAddr[addr] {
				if failing > 0 && day >= w.Fixed {
					out[w] = true
				}
			}
			return nil
		})
	return out, err
}
