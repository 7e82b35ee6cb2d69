package survey

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/posture"
	"sekimori/internal/profile"
	"sekimori/internal/store"
)

// Keeper is where the entries of a wave are, and where results go.
type Keeper interface {
	Pending(ctx context.Context, wave, after int64, limit int) ([]store.Entry, error)
	Retryable(ctx context.Context, wave, after int64, limit, attempts int) ([]store.Entry, error)
	Selectors(ctx context.Context, domains []string) (map[string][]string, error)
	SurveyRow(ctx context.Context, wave, no int64) (store.SurveyRow, error)
	Surveying(ctx context.Context, wave int64) (Writer, error)
	FinishWave(ctx context.Context, wave int64) (store.Wave, error)
}

// Writer takes results: what Put returned from is not lost. It is safe for
// concurrent use.
type Writer interface {
	Put(store.Result) error
	Close(context.Context) error
}

// Keep makes a Keeper of a store.
func Keep(st *store.Store) Keeper { return kept{st} }

type kept struct{ *store.Store }

func (k kept) Surveying(ctx context.Context, wave int64) (Writer, error) {
	w, err := k.Store.Surveying(ctx, wave)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Defaults of a Runner, and bounds.
const (
	DefaultDomains = 256
	DefaultRetries = 2
	// DefaultBackoff is longer than a resolver keeps a failure.
	DefaultBackoff = 8 * time.Second

	page   = 1000 // entries that are read at a time
	ahead  = 4096 // entries that wait for their authority
	asking = 512  // of them whose authority is being looked for
)

// Runner measures the domains of a wave. Its memory does not depend on how many
// there are. Domains is how many are looked at at a time; each may have a few
// dozen questions on the way.
type Runner struct {
	Store    Keeper
	Resolver dns.Resolver
	// Options are those of each domain; selectors from the list and from stored
	// reports are added.
	Options posture.Options
	Domains int // 0 means DefaultDomains
	// AuthorityRate is how many questions a second the name servers of one
	// operator may get, those on this machine excepted; 0 means no limit.
	// Failures slow it down.
	AuthorityRate float64
	// Retries is how often domains of which something was not answered are
	// looked at again, at the end.
	Retries int
	// Backoff is the pause before the first retry, give or take a quarter; each
	// following one is twice as long. 0 means DefaultBackoff.
	Backoff time.Duration
	// Progress is called a few times a second, from one goroutine.
	Progress func(Progress)
}

// Progress is how far a run has come.
type Progress struct {
	Done, Total int64 // domains, those of earlier runs of the wave included
	Unanswered  int64 // of them
	Retry       int   // which retry is under way; 0 is the first look
	Waiting     bool  // for the retry to begin
	// Rate is domains a second of late, and Left how long the rest takes at
	// that rate, retries not included; 0 where that is not known.
	Rate float64
	Left time.Duration
}

// Metrics are the facts that a survey keeps of each domain, in their order:
// those of package posture and the states of the profiles.
func Metrics() []string {
	names := make([]string, 0, len(posture.Facts)+8)
	for _, f := range posture.Facts {
		names = append(names, string(f))
	}
	return append(names, profile.Metrics()...)
}

// Run measures the domains that have no result yet, looks again at those of
// which something went unanswered, and finishes the wave. Interrupted, it leaves
// what it has, and a later Run goes on from there. In a wave that is finished,
// it looks again at what is still not known.
func (r *Runner) Run(ctx context.Context, wave store.Wave) (store.Wave, error) {
	run := &running{Runner: r, wave: wave, manners: newManners(r.Resolver, r.AuthorityRate)}
	if run.Domains <= 0 {
		run.Domains = DefaultDomains
	}
	backoff := r.Backoff
	if backoff <= 0 {
		backoff = DefaultBackoff
	}
	run.measured.Store(wave.Measured)
	run.unanswered.Store(wave.Unanswered)
	stop := run.watch()
	defer stop()
	err := run.pass(ctx, func(after int64) ([]store.Entry, error) {
		return r.Store.Pending(ctx, wave.ID, after, page)
	})
	for i := 1; i <= r.Retries && err == nil; i++ {
		// Who asks for a finished wave again wants the unknown to be asked once
		// more, however often it was.
		attempts := i + 1
		if !wave.Finished.IsZero() {
			attempts = math.MaxInt32
		}
		again := func(after int64) ([]store.Entry, error) {
			return r.Store.Retryable(ctx, wave.ID, after, page, attempts)
		}
		var first []store.Entry
		if first, err = again(0); err != nil || len(first) == 0 {
			break
		}
		run.retry.Store(int32(i))
		if run.measured.Load() > wave.Measured || i > 1 { // somebody failed a moment ago
			run.waiting.Store(true)
			pause := time.NewTimer(backoff - backoff/4 + rand.N(backoff/2))
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				err = ctx.Err()
			}
			run.waiting.Store(false)
			backoff *= 2
		}
		if err == nil {
			err = run.pass(ctx, again)
		}
	}
	if err != nil {
		return wave, err
	}
	return r.Store.FinishWave(ctx, wave.ID)
}

// running is a Run under way.
type running struct {
	*Runner
	wave    store.Wave
	manners *manners
	writer  Writer

	reading              sync.Mutex // of earlier results: there are few
	measured, unanswered atomic.Int64
	retry                atomic.Int32
	waiting              atomic.Bool
}

// pass looks at all entries that a source yields, page by page.
func (r *running) pass(outer context.Context, source func(after int64) ([]store.Entry, error)) error {
	ctx, cancel := context.WithCancelCause(outer)
	defer cancel(nil)
	w, err := r.Store.Surveying(ctx, r.wave.ID)
	if err != nil {
		return err
	}
	r.writer = w
	q := newQueue(ctx, r.Domains, ahead)
	defer q.stop()
	var feeding, working sync.WaitGroup
	feeding.Go(func() {
		defer q.close()
		if err := r.feed(ctx, q, source); err != nil {
			cancel(err)
		}
	})
	for range r.Domains {
		working.Go(func() {
			for {
				t, ok := q.pop()
				if !ok {
					return
				}
				if err := r.look(ctx, t); err != nil {
					cancel(err)
				}
				q.done(t)
			}
		})
	}
	working.Wait()
	feeding.Wait()
	err = context.Cause(ctx)
	if outer.Err() != nil {
		err = outer.Err()
	}
	// What was put is kept, whatever ended the pass.
	if cerr := w.Close(context.WithoutCancel(outer)); err == nil {
		err = cerr
	}
	return err
}

// feed puts entries into the queue, each into the line of its authority.
func (r *running) feed(ctx context.Context, q *queue, source func(int64) ([]store.Entry, error)) error {
	var finding sync.WaitGroup
	defer finding.Wait()
	slots := make(chan struct{}, asking)
	for after := int64(0); ; {
		entries, err := source(after)
		if err != nil || len(entries) == 0 {
			return err
		}
		after = entries[len(entries)-1].No
		names := make([]string, len(entries))
		for i := range entries {
			names[i] = entries[i].Domain
		}
		seen, err := r.Store.Selectors(ctx, names)
		if err != nil {
			return err
		}
		for _, e := range entries {
			name, err := domain.Parse(e.Domain)
			if err != nil {
				name = domain.Name{}
			}
			t := ticket{Entry: e, given: joined(e.Selectors, seen[e.Domain]), visit: &visit{m: r.manners, name: name.Organizational()}}
			if !q.reserve() {
				return nil
			}
			if r.AuthorityRate <= 0 {
				q.push(t)
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			finding.Go(func() {
				defer func() { <-slots }()
				t.visit.own = r.manners.of(ctx, t.visit.name)
				q.push(t)
			})
		}
	}
}

// joined puts together the selectors of the list and those of reports.
func joined(list, seen []string) []string {
	out := list
	for _, s := range seen {
		if len(out) >= posture.MaxSelectors {
			break
		}
		known := false
		for _, o := range out {
			known = known || o == s
		}
		if !known {
			out = append(out[:len(out):len(out)], s)
		}
	}
	return out[:min(len(out), posture.MaxSelectors)]
}

// look measures one domain and keeps the result. The error is that of keeping
// it.
func (r *running) look(ctx context.Context, t ticket) error {
	name, err := domain.Parse(t.Domain)
	if err != nil {
		return nil // the list reader takes no such name
	}
	o := r.Options
	o.Selectors = t.given
	began := time.Now()
	p := posture.Inspect(ctx, t.visit, name, o)
	if ctx.Err() != nil {
		return nil // it may have been cut short: not a result
	}
	res, err := r.result(&p, t, began)
	if err != nil {
		return err
	}
	again := r.retry.Load() > 0
	if again {
		if res, err = r.better(ctx, t.Earlier, res); err != nil {
			return err
		}
	}
	if err := r.writer.Put(res); err != nil || again {
		return err
	}
	r.measured.Add(1)
	if res.Unanswered {
		r.unanswered.Add(1)
	}
	return nil
}

func (r *running) result(p *posture.Posture, t ticket, began time.Time) (store.Result, error) {
	doc, err := json.Marshal(p)
	if err != nil {
		return store.Result{}, err
	}
	res := store.Result{
		No: t.No, States: make([]store.State, len(r.wave.Facts)), Doc: doc,
		Unanswered: p.Unanswered(), Questions: t.visit.asked.Load(), Attempts: 1, At: began.UTC(), Took: time.Since(began),
	}
	profiles := profile.States(p)
	for i, f := range r.wave.Facts {
		s, ok := profiles[f]
		if !ok {
			s = p.Fact(posture.Fact(f))
		}
		res.States[i] = stateOf(s)
	}
	res.Retry = res.Unanswered || t.visit.hidden.Load() > 0 && r.lacks(p) || r.unfetched(p)
	for _, f := range p.Findings {
		if f.Grade == explain.Error || f.Grade == explain.Warning {
			res.Codes = append(res.Codes, store.Code{Topic: string(f.Topic), Grade: string(f.Grade), Code: f.Code})
		}
	}
	return res, nil
}

func stateOf(s posture.State) store.State {
	switch s {
	case posture.Yes:
		return store.Yes
	case posture.No:
		return store.No
	}
	return store.Unknown
}

// retried are the facts that an answer would settle.
var retried = [...]posture.Fact{
	posture.FactExists, posture.FactMX, posture.FactNullMX, posture.FactSPF, posture.FactSPFValid, posture.FactDMARC, posture.FactDMARCValid,
	posture.FactMTASTS, posture.FactTLSRPT, posture.FactDANE, posture.FactBIMI,
}

// lacks reports whether something is unknown that need not be.
func (r *running) lacks(p *posture.Posture) bool {
	if r.Options.Routes != nil && p.Fact(posture.FactRPKI) == posture.Unknown {
		return true
	}
	for _, f := range retried {
		if p.Fact(f) == posture.Unknown {
			return true
		}
	}
	return p.DKIM.Present != posture.Yes && (p.DKIM.Domainkey == posture.Unknown || p.DKIM.SelectorsUnknown > 0)
}

// unfetched reports whether a server other than a name server was not reached
// that may be later.
func (r *running) unfetched(p *posture.Posture) bool {
	open := func(present, got posture.Fact) bool {
		return p.Fact(present) == posture.Yes && p.Fact(got) == posture.Unknown
	}
	return r.Options.Fetch != nil && (open(posture.FactMTASTS, posture.FactMTASTSValid) || open(posture.FactBIMI, posture.FactBIMILogo)) ||
		p.STARTTLS != nil && p.STARTTLS.Again()
}

// better returns the result of a further attempt, or that of the attempts
// before, where those knew more, which happens seldom.
func (r *running) better(ctx context.Context, earlier store.Earlier, now store.Result) (store.Result, error) {
	if known(now.States) >= earlier.Known {
		if earlier.Unanswered && !now.Unanswered {
			r.unanswered.Add(-1)
		}
		now.Questions += earlier.Questions
		now.Attempts = earlier.Attempts + 1
		return now, nil
	}
	r.reading.Lock()
	row, err := r.Store.SurveyRow(ctx, r.wave.ID, now.No)
	r.reading.Unlock()
	row.Result.Attempts++
	row.Result.Questions += now.Questions
	return row.Result, err
}

func known(states []store.State) int64 {
	n := int64(0)
	for _, s := range states {
		if s != store.Unknown {
			n++
		}
	}
	return n
}

// watch reports the progress until it is stopped.
func (r *running) watch() (stop func()) {
	if r.Progress == nil {
		return func() {}
	}
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		rate := pace{at: time.Now(), n: r.measured.Load()}
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			p := Progress{Done: r.measured.Load(), Total: r.wave.Domains, Unanswered: r.unanswered.Load(), Retry: int(r.retry.Load()), Waiting: r.waiting.Load()}
			p.Rate = rate.of(time.Now(), p.Done)
			if p.Rate > 0 {
				p.Left = time.Duration(float64(p.Total-p.Done) / p.Rate * float64(time.Second))
			}
			r.Progress(p)
		}
	})
	return func() {
		close(quit)
		done.Wait()
	}
}

// pace is a rate of late: what is longer ago than ten seconds counts little.
type pace struct {
	at   time.Time
	n    int64
	rate float64
	from time.Time
}

func (p *pace) of(now time.Time, n int64) float64 {
	since := now.Sub(p.at).Seconds()
	if since <= 0 {
		return p.rate
	}
	weight := 1.0
	if p.from.IsZero() {
		p.from = p.at
	} else {
		weight = 1 - math.Exp(-since/min(10, max(1, now.Sub(p.from).Seconds())))
	}
	p.rate += weight * (float64(n-p.n)/since - p.rate)
	p.at, p.n = now, n
	return p.rate
}
