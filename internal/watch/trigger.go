package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekimori/dmarc"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// calm is for how many days of reports it must be quiet before the all-clear:
// a bar that is crossed every few days is one alarm, not many.
const calm = 7

// tripState is whether a domain's step should be taken back.
type tripState struct {
	Tripped bool      `json:"tripped"`
	Since   store.Day `json:"since"` // first day above the bar
	Last    store.Day `json:"last"`  // last day above it
	At      time.Time `json:"at"`    // of the alarm
	Failing uint64    `json:"failing"`
	Policy  string    `json:"policy"` // in force then
	Record  string    `json:"record"` // to publish
}

func tripKey(domain string) string { return "watch/step-back/" + domain }

// trip returns what is known of a domain's alarm.
func (w *Watcher) trip(ctx context.Context, name string) (tripState, error) {
	w.mu.Lock()
	t, ok := w.tripped[name]
	w.mu.Unlock()
	if ok {
		return t, nil
	}
	text, ok, err := w.c.Store.Setting(ctx, tripKey(name))
	if err != nil {
		return t, err
	}
	if ok && json.Unmarshal([]byte(text), &t) != nil {
		t = tripState{}
	}
	w.mu.Lock()
	w.tripped[name] = t
	w.mu.Unlock()
	return t, nil
}

func (w *Watcher) setTrip(ctx context.Context, name string, t tripState) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := w.c.Store.SetSetting(ctx, tripKey(name), string(text)); err != nil {
		return err
	}
	w.mu.Lock()
	w.tripped[name] = t
	w.mu.Unlock()
	return nil
}

// Trigger takes a new answer about a domain. Where the bar of its StepBack is
// crossed it gives the alarm, once; when it has been quiet for a week of
// reports, or the policy was taken back, it gives the all-clear. An answer that
// is narrowed to a department says nothing about the domain and is left.
//
// Events come before the state, and are entered once whatever happens: a crash
// between the two repeats nothing.
func (w *Watcher) Trigger(ctx context.Context, a *advise.Advice) error {
	if a == nil || a.Department != "" {
		return nil
	}
	w.triggering.Lock()
	defer w.triggering.Unlock()
	t, err := w.trip(ctx, a.Domain)
	if err != nil {
		return fmt.Errorf("step back of %s: %w", a.Domain, err)
	}
	now := t
	bar := a.Ladder.StepBack
	switch {
	case bar.Tripped && !t.Tripped:
		now = tripState{Tripped: true, Since: bar.Day, Last: bar.Day, At: w.c.Now().UTC(), Failing: bar.Failing, Policy: a.Ladder.Now, Record: bar.Record}
		step := explain.Step{Code: "watch.step-back", Args: explain.Args{"domain": a.Domain, "day": bar.Day.String(), "failing": int64(min(bar.Failing, 1<<62)),
			"share": bar.Share, "policy": a.Ladder.Now}}
		more := []explain.Step{{Code: "watch.step-back-publish", Args: explain.Args{"name": "_dmarc." + a.Domain, "record": clean(bar.Record)}}}
		err = w.happen(ctx, "step-back", bar.Day, a, step, append(more, blamed(a)...))
	case bar.Tripped:
		now.Last, now.Failing = max(t.Last, bar.Day), bar.Failing
	case t.Tripped && dmarc.Policy(a.Ladder.Now).Level() < dmarc.Policy(t.Policy).Level():
		now = tripState{}
		err = w.happen(ctx, "all-clear", t.Since, a, explain.Step{Code: "watch.stepped-back",
			Args: explain.Args{"domain": a.Domain, "before": t.Policy, "after": a.Ladder.Now}}, nil)
	case t.Tripped && a.Window.End-1-t.Last >= calm:
		now = tripState{}
		err = w.happen(ctx, "all-clear", t.Since, a, explain.Step{Code: "watch.all-clear",
			Args: explain.Args{"domain": a.Domain, "day": t.Last.String(), "days": int64(a.Window.End - 1 - t.Last)}}, nil)
	}
	if err == nil && now != t {
		err = w.setTrip(ctx, a.Domain, now)
	}
	if err != nil {
		return fmt.Errorf("step back of %s: %w", a.Domain, err)
	}
	return nil
}

// happen notes an event of the alarm, which is known by the day it began, and
// raises it.
func (w *Watcher) happen(ctx context.Context, kind string, since store.Day, a *advise.Advice, step explain.Step, more []explain.Step) error {
	at := w.c.Now().UTC()
	h, err := happening(a.Domain, at, kind, since.String(), step)
	if err != nil {
		return err
	}
	if _, err := w.c.Store.Happen(ctx, []store.Happening{h}); err != nil {
		return err
	}
	return w.raise(ctx, []Notice{{Event: kind + "/" + a.Domain + "/" + since.String(), Kind: kind, Domain: a.Domain, At: at, Step: step, More: more}})
}

// blamed names the sources with the most messages at risk.
func blamed(a *advise.Advice) []explain.Step {
	var out []explain.Step
	list := slices.Clone(a.Sources)
	slices.SortStableFunc(list, func(x, y advise.Source) int {
		switch {
		case x.Failing > y.Failing:
			return -1
		case x.Failing < y.Failing:
			return 1
		}
		return strings.Compare(x.ID, y.ID)
	})
	for _, s := range list {
		if s.Class == advise.Broken && s.Failing > 0 && len(out) < 5 {
			out = append(out, explain.Step{Code: "watch.step-back-source", Args: explain.Args{"source": explain.Clip(s.Name), "failing": int64(min(s.Failing, 1<<62)), "messages": int64(min(s.Messages, 1<<62))}})
		}
	}
	return out
}

// Alarms is the state of the watch in figures, for a monitoring system.
type Alarms struct {
	Domains []DomainAlarm
	// Unwatched counts the domains that are not watched for their number
	// (Config.Domains).
	Unwatched int
	Alerts    store.AlertCounts
}

// DomainAlarm is the state of one domain.
type DomainAlarm struct {
	Domain  string
	Tripped bool      // a step should be taken back
	Since   store.Day // of Tripped
	Failing uint64    // messages on the day that crossed the bar
	Looked  time.Time // the last look at its zone; zero for none yet
	Silent  int       // questions of that look without an answer
}

// Alarms returns the state of every domain that is watched. Cost: memory, once
// every domain was met; the counts of alerts are read from the store.
func (w *Watcher) Alarms(ctx context.Context) (Alarms, error) {
	var out Alarms
	names, unwatched, err := w.domains(ctx)
	if err != nil {
		return out, err
	}
	out.Unwatched = unwatched
	if out.Alerts, err = w.c.Store.AlertCounts(ctx); err != nil {
		return out, err
	}
	for _, n := range names {
		t, err := w.trip(ctx, n.String())
		if err != nil {
			return out, err
		}
		l, err := w.last(ctx, n.String())
		if err != nil {
			return out, err
		}
		d := DomainAlarm{Domain: n.String(), Tripped: t.Tripped, Looked: l.At, Silent: l.Silent}
		if t.Tripped {
			d.Since, d.Failing = t.Since, t.Failing
		}
		out.Domains = append(out.Domains, d)
	}
	return out, nil
}
