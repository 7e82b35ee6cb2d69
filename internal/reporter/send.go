package reporter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/store/outbox"
)

// Retries: 5 minutes after the first attempt, twice as long after each further
// one, at most 4 hours, for 3 days.
const (
	firstPause = 5 * time.Minute
	longPause  = 4 * time.Hour
	tryFor     = 72 * time.Hour
	// grace is how long a message that is on its way may still take when the
	// program ends, so that it is not sent again.
	grace = 8 * time.Second
)

// pause is how long to wait after an attempt, by the number of attempts before.
func pause(attempts int64) time.Duration {
	d := firstPause
	for ; attempts > 0 && d < longPause; attempts-- {
		d *= 2
	}
	return min(d, longPause)
}

// pass is one pass over what is due.
type pass struct {
	o    *Options
	box  *outbox.Box
	tell func(Event)
	// doubt: the clock jumped, so that nothing is given up for its age.
	doubt bool
	// taken are deliveries that the MTA has taken, by ID, while the outbox cannot
	// be written: they are marked when it can, and not sent again meanwhile.
	taken *sync.Map

	gone                   atomic.Pointer[MailError] // the MTA cannot be reached: the rest waits
	sent, waiting, stopped atomic.Int64
	fault                  atomic.Pointer[error] // of the outbox
	found                  atomic.Bool           // an unverified destination became another entry
}

// run sends everything that is due, or all that is open. It returns an error
// of the outbox only: what destinations say is in the outbox.
func (p *pass) run(ctx context.Context, all bool) error {
	// Deliveries in progress may end after ctx.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()

	for after := int64(0); ; {
		p.found.Store(false)
		queue := make(chan outbox.Due)
		var wg sync.WaitGroup
		for range p.o.Connections {
			wg.Go(func() { p.worker(work, queue) })
		}
		last, err := p.feed(ctx, queue, after, all)
		close(queue)
		wg.Wait()
		if f := p.fault.Load(); err == nil && f != nil {
			err = *f
		}
		// Destinations that were found out just now are behind.
		if err != nil || !p.found.Load() || ctx.Err() != nil {
			return err
		}
		after = last
	}
}

// feed hands out what is due, in order, and returns the last of it. What is put
// off meanwhile does not come again in this pass.
func (p *pass) feed(ctx context.Context, queue chan<- outbox.Due, after int64, all bool) (int64, error) {
	const batch = 200
	for ctx.Err() == nil && p.fault.Load() == nil {
		now := p.o.Now()
		if all {
			now = time.Time{}
		}
		due, err := p.box.Due(ctx, now, 2*longPause, after, batch)
		if err != nil {
			if ctx.Err() != nil {
				return after, nil
			}
			return after, err
		}
		for _, d := range due {
			after = d.Delivery.ID
			select {
			case queue <- d:
			case <-ctx.Done():
				return after, nil
			}
		}
		if len(due) == 0 {
			return after, nil
		}
	}
	return after, nil
}

func (p *pass) worker(ctx context.Context, queue <-chan outbox.Due) {
	var c *connection
	defer func() {
		if c != nil {
			c.close()
		}
	}()
	for d := range queue {
		if p.fault.Load() != nil {
			continue
		}
		var err error
		if d.State == outbox.Unverified {
			err = p.verify(ctx, d)
		} else {
			c, err = p.deliver(ctx, c, d)
		}
		if err != nil {
			p.fault.CompareAndSwap(nil, &err)
		}
	}
}

// verify asks again whether a destination wants reports.
func (p *pass) verify(ctx context.Context, d outbox.Due) error {
	policy, err := domain.Parse(d.Report.Domain)
	if err != nil {
		return p.box.End(ctx, d.Delivery.ID, outbox.Dropped, d.Reason, p.o.Now(), err.Error())
	}
	u, err := dmarc.ParseURI(d.URI)
	if err != nil {
		return p.box.End(ctx, d.Delivery.ID, outbox.Dropped, d.Reason, p.o.Now(), err.Error())
	}
	v := dmarc.Verifier{Resolver: p.o.Resolver}
	dest := v.External(ctx, policy, u, "rua")
	if dest.Err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return p.later(ctx, d, dest.Err)
	}
	ds, err := p.o.deliveries(p.o.resolved(policy, dest), func(host string) (int, error) { return p.box.ToHost(ctx, d.Report.Day, host) }, p.o.Now())
	if err != nil {
		return err
	}
	p.found.Store(true)
	return p.box.Resolve(ctx, d.Delivery.ID, ds)
}

// deliver makes one attempt. The error is the outbox's.
func (p *pass) deliver(ctx context.Context, c *connection, d outbox.Due) (*connection, error) {
	if at, ok := p.taken.Load(d.Delivery.ID); ok {
		return c, p.done(ctx, d, at.(time.Time))
	}
	policy, _ := domain.Parse(d.Report.Domain)
	// Opted out since the report was made.
	if p.o.out.wants(policy, d.Address) {
		reason := explain.Step{Code: "reporter.destination-opted-out", Args: explain.Args{"address": explain.Clip(d.Address)}}
		return c, p.box.End(ctx, d.Delivery.ID, outbox.Dropped, reason, p.o.Now(), "")
	}
	if gone := p.gone.Load(); gone != nil {
		return c, p.later(ctx, d, gone)
	}
	mail, err := p.mail(d)
	if err != nil {
		var lost lostError
		if errors.As(err, &lost) {
			return c, p.end(ctx, d, outbox.GivenUp, err)
		}
		return c, p.later(ctx, d, err)
	}
	if c != nil && c.broken {
		c.close()
		c = nil
	}
	reused := c != nil
	for {
		if c == nil {
			if c, err = p.o.mailer().dial(ctx); err != nil {
				if ctx.Err() != nil {
					return nil, nil // the program ends: not the destination's fault
				}
				var e *MailError
				if errors.As(err, &e) {
					p.gone.Store(e)
				}
				return nil, p.later(ctx, d, err)
			}
		}
		err = c.send(ctx, mail)
		if err == nil {
			p.sent.Add(1)
			p.tell(event(Sent, d, nil))
			return c, p.done(ctx, d, p.o.Now())
		}
		if ctx.Err() != nil {
			return c, nil
		}
		// An MTA may end a connection that has carried enough.
		if reused && c.broken {
			c.close()
			c, reused = nil, false
			continue
		}
		break
	}
	var e *MailError
	if errors.As(err, &e) && e.Lasting {
		return c, p.end(ctx, d, outbox.Refused, err)
	}
	return c, p.later(ctx, d, err)
}

// done marks a delivery as sent.
func (p *pass) done(ctx context.Context, d outbox.Due, at time.Time) error {
	err := p.box.Done(context.WithoutCancel(ctx), d.Delivery.ID, at)
	if err != nil {
		p.taken.Store(d.Delivery.ID, at)
	} else {
		p.taken.Delete(d.Delivery.ID)
	}
	return err
}

// later puts a delivery off, or gives it up when it was tried for days.
func (p *pass) later(ctx context.Context, d outbox.Due, why error) error {
	now := p.o.Now()
	if !d.First.IsZero() && now.Sub(d.First) >= tryFor && !p.doubt {
		return p.end(ctx, d, outbox.GivenUp, why)
	}
	next := now.Add(pause(d.Attempts))
	p.waiting.Add(1)
	e := event(Delayed, d, why)
	e.Next = next
	p.tell(e)
	return p.box.Later(ctx, d.Delivery.ID, now, next, why.Error())
}

func (p *pass) end(ctx context.Context, d outbox.Due, s outbox.State, why error) error {
	p.stopped.Add(1)
	p.tell(event(GivenUp, d, why))
	return p.box.End(ctx, d.Delivery.ID, s, d.Reason, p.o.Now(), why.Error())
}

func event(k EventKind, d outbox.Due, err error) Event {
	return Event{Kind: k, Day: d.Report.Day, Domain: d.Report.Domain, ReportID: d.Report.ReportID, To: d.Address, Attempts: d.Attempts + 1, Err: err}
}

// lostError says that a report's file is not what was frozen. It cannot be made
// again: another report about the same rows must never go out.
type lostError struct{ error }

// mail makes the mail of a delivery: the same each time, but for the signature.
func (p *pass) mail(d outbox.Due) (Mail, error) {
	path := p.box.Path(d.Report.File)
	if err := intact(path, d.Report); err != nil {
		return Mail{}, err
	}
	a := &attachment{
		letter: Letter{Domain: d.Report.Domain, Organization: p.o.Organization, Day: d.Report.Day, Messages: d.Report.Messages,
			ReportID: d.Report.ReportID, Filename: d.Report.Filename, Email: p.o.Email, Contact: p.o.Contact},
		to: d.Address, date: d.Report.Made, id: p.o.messageID(d.Report.ReportID, d.Address),
		subject: p.o.subject(d.Report.Domain, d.Report.ReportID),
		open:    func() (io.ReadCloser, error) { return os.Open(path) },
	}
	return p.o.signed(d.Address, p.o.header(a), func(w io.Writer) error { return p.o.writeBody(w, a) })
}

// intact compares a report's file with what was entered.
func intact(path string, r outbox.Report) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return lostError{fmt.Errorf("the report's file is gone: %w", err)}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != r.Sum {
		return lostError{fmt.Errorf("the report's file %s was changed since it was made: its SHA-256 is %s, not %s", path, sum, r.Sum)}
	}
	return nil
}

func (o *Options) mailer() *Mailer {
	return &Mailer{Address: o.SMTP, Helo: o.Helo, TLS: o.TLS, Roots: o.Roots}
}
