package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/store"
)

// lookLimit bounds one look.
const lookLimit = 45 * time.Second

// ErrOffline says that there is no resolver to look with.
var ErrOffline = errors.New("the DNS cannot be looked at: there is no resolver")

// Report is what one look at a domain found.
type Report struct {
	Domain string    `json:"domain"`
	At     time.Time `json:"at"`
	First  bool      `json:"first"` // there was no look before to compare with
	Asked  int       `json:"asked"` // questions
	// Changes are what differs from the last look, the newest first; changes
	// that an interrupted look found and did not tell of are among them.
	Changes []Entry `json:"changes"`
	// Silent are the questions that were not answered: there nothing is known
	// to have changed.
	Silent []explain.Step `json:"silent"`
	// Records are what was seen.
	Records []store.Observation `json:"records"`
}

// lookState is what is kept of the last look at a domain, so that a restart
// changes nothing.
type lookState struct {
	At     time.Time `json:"at"`
	Asked  int       `json:"asked"`
	Silent int       `json:"silent"`
	Failed int       `json:"failed"` // looks in a row without any answer
}

func lookKey(domain string) string { return "watch/look/" + domain }

// last returns the last look at a domain, from the store the first time.
func (w *Watcher) last(ctx context.Context, name string) (lookState, error) {
	w.mu.Lock()
	l, ok := w.looks[name]
	w.mu.Unlock()
	if ok {
		return l, nil
	}
	text, ok, err := w.c.Store.Setting(ctx, lookKey(name))
	if err != nil {
		return l, err
	}
	if ok {
		if json.Unmarshal([]byte(text), &l) != nil {
			l = lookState{} // written by somebody else: as if there had been none
		}
	}
	w.mu.Lock()
	w.looks[name] = l
	w.mu.Unlock()
	return l, nil
}

func (w *Watcher) setLast(ctx context.Context, name string, l lookState) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := w.c.Store.SetSetting(ctx, lookKey(name), string(text)); err != nil {
		return err
	}
	w.mu.Lock()
	w.looks[name] = l
	w.mu.Unlock()
	return nil
}

// Look asks the DNS for what a domain publishes for mail: DMARC, SPF with every
// record that it includes, MX, NS, MTA-STS, TLS-RPT, BIMI and the DKIM keys of
// the selectors that reports show. It keeps what it saw, notes what changed, and
// raises alerts about what weakens the protection. The addresses of hosts that
// SPF names are kept too, without a note. At most 107 questions, eight at a
// time, within 45 s.
//
// A question without an answer changes nothing and is in Report.Silent. The
// error is the store's, ErrOffline, or that of a ctx that ended.
func (w *Watcher) Look(ctx context.Context, name domain.Name) (Report, error) {
	r := Report{Domain: name.String(), At: w.c.Now().UTC(), Changes: []Entry{}, Silent: []explain.Step{}, Records: []store.Observation{}}
	if name.IsZero() {
		return r, errors.New("watch: no domain given")
	}
	fail := func(err error) (Report, error) { return r, fmt.Errorf("look at %s: %w", name, err) }
	if w.c.Resolver == nil {
		return fail(ErrOffline)
	}
	before, err := w.last(ctx, r.Domain)
	if err != nil {
		return fail(err)
	}
	r.First = before.At.IsZero()
	selectors, err := w.c.Store.Selectors(ctx, []string{r.Domain})
	if err != nil {
		return fail(err)
	}
	asking, cancel := context.WithTimeout(ctx, lookLimit)
	z := lookAt(asking, w.c.Resolver, r.Domain, selectors[r.Domain])
	cancel()
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	r.Asked = z.asked
	for _, q := range z.silent {
		r.Silent = append(r.Silent, explain.Step{Code: "watch.no-answer", Args: explain.Args{"name": q.name, "type": string(q.typ)}})
	}
	for _, f := range z.found {
		r.Records = append(r.Records, store.Observation{Domain: r.Domain, Name: f.name, Kind: f.kind, Value: f.value, From: r.At, To: r.At})
	}
	sortObservations(r.Records)
	if _, err := w.c.Store.Observe(ctx, r.Records); err != nil {
		return fail(err)
	}
	if err := w.tell(ctx, &r, before); err != nil {
		return fail(err)
	}
	now := lookState{At: r.At, Asked: r.Asked, Silent: len(r.Silent)}
	if len(z.found) == 0 {
		now.Failed = before.Failed + 1
	}
	if err := w.setLast(ctx, r.Domain, now); err != nil {
		return fail(err)
	}
	w.c.Tell(Event{Kind: Looked, Domain: r.Domain, Changes: len(r.Changes), Silent: len(r.Silent)})
	return r, nil
}

// tell notes the changes since the last look that was finished. They are read
// back from what was observed, not taken from this look alone: one that was
// interrupted after it observed has told nobody yet.
func (w *Watcher) tell(ctx context.Context, r *Report, before lookState) error {
	if r.First {
		step := explain.Step{Code: "watch.begun", Args: explain.Args{"records": int64(len(r.Records))}}
		h, err := happening(r.Domain, r.At, "dns", "begun", step)
		if err != nil {
			return err
		}
		_, err = w.c.Store.Happen(ctx, []store.Happening{h})
		return err
	}
	seen, err := w.c.Store.Observations(ctx, r.Domain, "", 0)
	if err != nil {
		return err
	}
	var fresh []store.Happening
	var alerts []Notice
	for _, c := range changes(seen) {
		if !c.after.From.After(before.At) || c.after.Kind == "a" || c.after.Kind == "aaaa" {
			continue // addresses come and go; they are kept for what SPF allowed when
		}
		e := c.entry()
		r.Changes = append(r.Changes, e)
		h, err := happening(r.Domain, e.At, e.Kind, c.key(), e.Step)
		if err != nil {
			return err
		}
		fresh = append(fresh, h)
		if grave(e.Step.Code) {
			alerts = append(alerts, Notice{Event: "dns/" + r.Domain + "/" + c.key(), Kind: "dns", Domain: r.Domain, At: e.At, Step: e.Step, Path: "/timeline",
				More: c.records()})
		}
	}
	if _, err := w.c.Store.Happen(ctx, fresh); err != nil {
		return err
	}
	return w.raise(ctx, alerts)
}

func happening(domain string, at time.Time, kind, key string, step explain.Step) (store.Happening, error) {
	text, err := json.Marshal(step)
	if err != nil {
		return store.Happening{}, err
	}
	return store.Happening{Domain: domain, At: at, Kind: kind, Key: key, Step: text}, nil
}

// LookAll looks at every domain that reports are about and that is due, or at
// all of them, Concurrency at a time, and calls f with each report. A domain
// that cannot be looked at is told of and left; the error is one of f, or of the
// store.
func (w *Watcher) LookAll(ctx context.Context, all bool, f func(Report) error) error {
	names, _, err := w.domains(ctx)
	if err != nil {
		return err
	}
	var due []domain.Name
	for _, n := range names {
		at, err := w.due(ctx, n.String())
		if err != nil {
			return err
		}
		if all || !at.After(w.c.Now()) {
			due = append(due, n)
		}
	}
	return w.lookEach(ctx, due, f)
}

// domains returns the domains that are watched, and how many more there are.
func (w *Watcher) domains(ctx context.Context) (watched []domain.Name, more int, err error) {
	list, err := w.c.Store.DomainNames(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, s := range list {
		// What reports name may be anything.
		n, err := domain.Parse(s)
		if err != nil || n.String() != strings.ToLower(s) || n.Labels() < 2 {
			continue
		}
		if len(watched) == w.c.Domains {
			more++
			continue
		}
		watched = append(watched, n)
	}
	return watched, more, nil
}
