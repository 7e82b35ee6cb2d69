// Package reporter tells domain owners what came in their names: a daily
// aggregate report (RFC 9990) and, where the site wants it, failure reports
// (RFC 9991).
//
// # Aggregate reports
//
// Once a day, within the hour after midnight (UTC), a Reporter closes the day,
// writes a report for each policy that asks for one, and sends it to every
// destination that agrees. What cannot be sent is tried again for days. A
// report is made once and frozen; package outbox says why a crash at any moment
// neither loses one nor makes two that differ.
//
// A report counts each accepted message of a day, report mails of others among
// them. Two sites that report to each other so have something to report every
// day: the report of the day before. RFC 9990 has nothing against that, and
// leaving such messages out would leave messages in no report; it is one
// message a day.
package reporter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/domain"
	"sekimori/internal/store/outbox"
	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/report/aggregate"
)

// Reporter sends the reports of one gateway. Its methods may be called from any
// goroutine.
type Reporter struct {
	o atomic.Pointer[Options] // checked, with every default filled in

	sent, failed, waiting atomic.Int64
	taken                 sync.Map // see pass

	reader *verdict.Reader // of Dir, where Options.Days was nil

	mu    sync.Mutex
	fault error
}

// New checks the options and returns a Reporter. It writes nothing yet.
func New(o Options) (*Reporter, error) {
	r := &Reporter{}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Elapsed == nil {
		start := time.Now()
		o.Elapsed = func() time.Duration { return time.Since(start) }
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Days == nil {
		reader, err := verdict.Read(o.Dir)
		if err != nil {
			return nil, err
		}
		r.reader, o.Days = reader, Kept(o.Dir, reader, nil)
	}
	r.o.Store(&o)
	return r, nil
}

// Close gives back what New opened. Run must have ended.
func (r *Reporter) Close() error {
	if r.reader == nil {
		return nil
	}
	return r.reader.Close()
}

// Reload changes the options, from the next round on. Dir, Days and the clocks
// stay as they are.
func (r *Reporter) Reload(o Options) error {
	old := r.o.Load()
	o.Dir, o.Days, o.Now, o.Elapsed, o.Tick = old.Dir, old.Days, old.Now, old.Elapsed, old.Tick
	if err := o.check(); err != nil {
		return err
	}
	r.o.Store(&o)
	return nil
}

// check refuses what cannot work, and fills in defaults.
func (o *Options) check() error {
	if o.Dir == "" {
		return errors.New("reports: no data folder given")
	}
	if o.Hostname == "" {
		o.Hostname, _ = os.Hostname()
	}
	if o.Helo == "" {
		o.Helo = helo(o.Hostname)
	}
	if o.SMTP == "" {
		o.SMTP = "127.0.0.1:25"
	}
	if _, _, err := net.SplitHostPort(o.SMTP); err != nil {
		return fmt.Errorf("reports: mail server %q: want HOST:PORT, such as 127.0.0.1:25", o.SMTP)
	}
	switch o.TLS {
	case "":
		o.TLS = Opportunistic
	case Opportunistic, Require, Plain:
	default:
		return fmt.Errorf("reports: tls %q: want opportunistic, require or none", o.TLS)
	}
	switch o.Form {
	case "":
		o.Form = aggregate.RFC9990
	case aggregate.RFC9990, aggregate.RFC7489:
	default:
		return fmt.Errorf("reports: form %q: want %s or %s", o.Form, aggregate.RFC9990, aggregate.RFC7489)
	}
	if o.PerDestination <= 0 {
		o.PerDestination = 100
	}
	if o.Connections <= 0 {
		o.Connections = 2
	}
	if o.Generator == "" {
		o.Generator = "Sekimori"
	}
	o.Organization, o.Contact, o.Generator = clean(o.Organization), clean(o.Contact), clean(o.Generator)
	var err error
	if o.out, err = newOptOut(o.OptOut); err != nil {
		return err
	}
	if o.Email != "" || o.Send {
		if err := o.checkEmail(); err != nil {
			return err
		}
	}
	return nil
}

// checkEmail makes sure that the address of the reports is one that can stand
// in an envelope.
func (o *Options) checkEmail() error {
	local, d := message.SplitAddress(o.Email)
	n, err := domain.Parse(d)
	if err != nil || local == "" || strings.IndexFunc(local, func(c rune) bool { return c <= ' ' || c >= 0x7f }) >= 0 {
		return fmt.Errorf("reports: e-mail address %q: want the address that reports come from, such as dmarc-reports@example.jp", o.Email)
	}
	o.Email = message.Address{Local: local, Domain: n.String()}.String()
	if o.Organization == "" {
		o.Organization = n.String()
	}
	return nil
}

// helo is a name that may stand in EHLO (RFC 5321 §4.1.1.1).
func helo(hostname string) string {
	if n, err := domain.Parse(hostname); err == nil {
		return n.String()
	}
	if a, err := netip.ParseAddr(hostname); err == nil {
		return "[" + a.String() + "]"
	}
	return "localhost"
}

// Run closes each day that is over, makes its reports, sends them and tries
// again what could not be sent, until ctx ends. It returns nil then. Without
// Options.Send it sends nothing, and notes the days that pass.
//
// Only one process works on a folder at a time: while another one does, Run
// waits. What goes wrong is told to Options.Event and Stats, and tried again.
func (r *Reporter) Run(ctx context.Context) error {
	o := r.o.Load()
	tick := o.Tick
	if tick == nil {
		t := time.NewTicker(30 * time.Second)
		defer t.Stop()
		tick = t.C
	}
	var s schedule
	for {
		r.tick(ctx, &s)
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
	}
}

// schedule is what Run remembers from one tick to the next.
type schedule struct {
	clock     steadyClock
	suspended bool
	made      string // the last day that was made, with all before it
	expired   string // the day on which old files were deleted
	// Making and sending pause after a fault of the machine's.
	making, sending backoff
}

// backoff is a fault and how long it is left alone, by the clock that nobody
// sets.
type backoff struct {
	fault error
	times int64
	until time.Duration
}

// ready reports whether it is time to try.
func (b *backoff) ready(elapsed time.Duration) bool { return b.fault == nil || elapsed >= b.until }

// after notes how the attempt went.
func (b *backoff) after(err error, elapsed time.Duration) {
	if err == nil {
		*b = backoff{}
		return
	}
	*b = backoff{err, b.times + 1, elapsed + pause(b.times)}
}

// tick does what is to be done now.
func (r *Reporter) tick(ctx context.Context, s *schedule) {
	o := r.o.Load()
	release, err := outbox.Lock(o.Dir)
	if errors.Is(err, outbox.ErrLocked) {
		return // somebody sends by hand
	}
	var box *outbox.Box
	if err == nil {
		defer release()
		box, err = outbox.Open(o.Dir)
	}
	if err != nil {
		r.setFault(err)
		o.tell(Event{Kind: Trouble, Err: err})
		return
	}
	defer box.Close()
	now, elapsed := o.Now(), o.Elapsed()
	steady := s.clock.steady(now, elapsed)
	if !steady && !s.suspended {
		o.tell(Event{Kind: Suspended})
	}
	s.suspended = !steady
	if last := overAt(now, delay(o.Hostname)); steady && s.made != last && s.making.ready(elapsed) {
		_, err := o.makeDays(ctx, box, last, o.tell)
		if ctx.Err() != nil {
			return // begun again with the next start
		}
		if err == nil {
			s.made = last
		} else {
			o.tell(Event{Kind: Trouble, Err: err})
		}
		s.making.after(err, elapsed)
	}
	if o.Send && s.sending.ready(elapsed) {
		// An error is the outbox's: while it cannot be written, attempts are not
		// counted.
		_, err := r.pass(ctx, o, box, !steady, false)
		if err != nil {
			o.tell(Event{Kind: Trouble, Err: err})
		}
		s.sending.after(err, elapsed)
	}
	r.setFault(errors.Join(s.making.fault, s.sending.fault))
	if today := dayOf(now); steady && s.expired != today {
		if _, err := box.Expire(ctx, now.Add(-keepReports)); err != nil {
			o.tell(Event{Kind: Trouble, Err: err})
		}
		s.expired = today
	}
}

// pass sends what is due, and counts.
func (r *Reporter) pass(ctx context.Context, o *Options, box *outbox.Box, doubt, all bool) (*pass, error) {
	p := &pass{o: o, box: box, tell: o.tell, doubt: doubt, taken: &r.taken}
	err := p.run(ctx, all)
	r.sent.Add(p.sent.Load())
	r.failed.Add(p.stopped.Load())
	counts, cerr := box.Counts(context.WithoutCancel(ctx))
	if cerr == nil {
		r.waiting.Store(counts[outbox.Waiting] + counts[outbox.Unverified])
	}
	return p, errors.Join(err, cerr)
}

func (r *Reporter) setFault(err error) {
	r.mu.Lock()
	r.fault = err
	r.mu.Unlock()
}

func (o *Options) tell(e Event) {
	if o.Event != nil {
		o.Event(e)
	}
}

// Outcome is what one round did.
type Outcome struct {
	Made    int   // reports entered
	Sent    int64 // deliveries that the MTA took
	Failed  int64 // deliveries given up
	Waiting int64 // deliveries that are tried again
}

// Day closes a day, makes its reports, and sends what is due, once. The day
// must be over (UTC). A day that passed while reports were off is made as well.
func (r *Reporter) Day(ctx context.Context, day string) error {
	_, err := r.Round(ctx, day)
	return err
}

// Round makes one round by hand: the reports of a day, or of all days that are
// over and not yet made where day is empty, and an attempt at every delivery
// that is open. ErrLocked (package outbox) says that another process is at it.
func (r *Reporter) Round(ctx context.Context, day string) (Outcome, error) {
	o := *r.o.Load()
	o.Send = true // by hand
	if err := o.checkEmail(); err != nil {
		return Outcome{}, err
	}
	if day != "" {
		if _, _, err := period(day); err != nil {
			return Outcome{}, err
		}
		if day >= dayOf(o.Now()) {
			return Outcome{}, fmt.Errorf("the day %s is not over (UTC): its report is sent when it is", day)
		}
	}
	release, err := outbox.Lock(o.Dir)
	if err != nil {
		return Outcome{}, err
	}
	defer release()
	box, err := outbox.Open(o.Dir)
	if err != nil {
		return Outcome{}, err
	}
	defer box.Close()
	var out Outcome
	if day == "" {
		out.Made, err = o.makeDays(ctx, box, overAt(o.Now(), 0), o.tell)
	} else if err = o.known(ctx, day); err == nil {
		out.Made, err = o.makeDay(ctx, box, day, o.tell)
	}
	if errors.Is(err, ErrNothing) {
		return out, err
	}
	p, perr := r.pass(ctx, &o, box, false, true)
	out.Sent, out.Failed, out.Waiting = p.sent.Load(), p.stopped.Load(), r.waiting.Load()
	return out, errors.Join(err, perr)
}

// known returns ErrNothing for a day of which no verdict is kept.
func (o *Options) known(ctx context.Context, day string) error {
	days, err := o.Days.Days(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(days, func(d verdict.Day) bool { return d.Day == day }) {
		return fmt.Errorf("%w of the day %s", ErrNothing, day)
	}
	return nil
}

// Stats says how the reports do.
func (r *Reporter) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Stats{Sent: r.sent.Load(), Failed: r.failed.Load(), Waiting: r.waiting.Load(), Fault: r.fault}
}
