package reporter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/internal/store/outbox"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

// keepReports is for how long reports stay in the outbox, sent or not.
const keepReports = 35 * 24 * time.Hour

// delay is when after midnight (UTC) a host reports: spread over an hour, as
// all reporters of the world close the same day (RFC 9990 §3.5.1 asks not to
// send all at once).
func delay(hostname string) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(hostname))
	return time.Duration(h.Sum64()%3600) * time.Second
}

// overAt returns the last day that is over at a time, and reported about.
func overAt(now time.Time, delay time.Duration) string {
	return dayOf(now.Add(-delay).AddDate(0, 0, -1))
}

// makeDays makes the reports of all days up to last that have not been made.
func (o *Options) makeDays(ctx context.Context, box *outbox.Box, last string, tell func(Event)) (made int, err error) {
	days, err := o.Days.Days(ctx)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, d := range days {
		if d.Day > last {
			break
		}
		state, err := box.DayState(ctx, d.Day)
		if err != nil {
			return made, err
		}
		if state != "" {
			continue
		}
		if !o.Send {
			if err := box.MarkDay(ctx, d.Day, outbox.DayOff, o.Now()); err != nil {
				return made, err
			}
			continue
		}
		// One day that cannot be made does not hold up the others.
		n, err := o.makeDay(ctx, box, d.Day, tell)
		made += n
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return made, errors.Join(errs...)
}

// candidate is a policy that asks for reports, and where they go.
type candidate struct {
	verdict.PolicyTotals
	name   domain.Name
	record *dmarc.Record
	to     []Destination
}

// makeDay closes a day and enters its reports. It may be begun again at any
// point: what is entered stays as it is.
func (o *Options) makeDay(ctx context.Context, box *outbox.Box, day string, tell func(Event)) (made int, err error) {
	if err := o.Days.Close(ctx, day); err != nil {
		return 0, fmt.Errorf("close the day %s: %w", day, err)
	}
	tell(Event{Kind: DayClosed, Day: day})
	all, err := o.Days.Policies(ctx, day)
	if err != nil {
		return 0, fmt.Errorf("reports about %s: %w", day, err)
	}
	// Where a host of destinations gets too many, those about most messages go.
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b verdict.PolicyTotals) int { return cmp.Compare(b.Messages, a.Messages) })
	var errs []error
	for batch := range slices.Chunk(all, 64) {
		var todo []*candidate
		for _, p := range batch {
			c := asking(p)
			if c == nil {
				continue
			}
			if _, there, err := box.Report(ctx, day, policyKey(p.Policy)); err != nil {
				return made, err
			} else if !there {
				todo = append(todo, c)
			}
		}
		o.find(ctx, todo)
		for _, c := range todo {
			if err := ctx.Err(); err != nil {
				return made, err
			}
			if err := o.makeReport(ctx, box, day, c, tell); err != nil {
				// A report that cannot be made is tried again with the next round, and
				// does not hold up the others.
				errs = append(errs, err)
				continue
			}
			made++
		}
	}
	if len(errs) > 0 {
		return made, errors.Join(errs...)
	}
	return made, box.MarkDay(ctx, day, outbox.DayMade, o.Now())
}

// asking returns a policy that asks for reports; nil for others (RFC 9989 §4.7:
// without rua none may be sent).
func asking(p verdict.PolicyTotals) *candidate {
	name, err := domain.Parse(p.Policy.Domain)
	if err != nil || p.Messages == 0 {
		return nil
	}
	rec, err := dmarc.Parse(p.Policy.Text)
	if err != nil || len(rec.RUA) == 0 {
		return nil
	}
	return &candidate{PolicyTotals: p, name: name, record: rec}
}

// find verifies the destinations of several policies at a time.
func (o *Options) find(ctx context.Context, cs []*candidate) {
	const atOnce = 16
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, c := range cs {
		slots <- struct{}{}
		wg.Go(func() {
			c.to = o.destinations(ctx, c.name, c.record)
			<-slots
		})
	}
	wg.Wait()
}

// makeReport freezes one report and enters it with its deliveries. See package
// outbox for why it happens in this order.
func (o *Options) makeReport(ctx context.Context, box *outbox.Box, day string, c *candidate, tell func(Event)) error {
	now := o.Now()
	ds, err := o.deliveries(c.to, func(host string) (int, error) { return box.ToHost(ctx, day, host) }, now)
	if err != nil {
		return err
	}
	head, err := o.head(day, c.Policy, c.record)
	if err != nil {
		return err
	}
	r := outbox.Report{Day: day, Policy: policyKey(c.Policy), Domain: c.Policy.Domain, ReportID: head.Metadata.ReportID, Form: string(o.Form),
		Filename: aggregate.Filename(head), Messages: c.Messages, Rows: c.Rows, Made: now}
	wanted := slices.ContainsFunc(ds, func(d outbox.Delivery) bool { return d.State.Open() })
	if wanted {
		if err := o.freeze(ctx, box, &r, c.PolicyTotals, c.record); err != nil {
			return err
		}
	}
	if _, err := box.Add(ctx, r, ds); err != nil {
		return err
	}
	if wanted {
		tell(Event{Kind: Made, Day: day, Domain: r.Domain, ReportID: r.ReportID})
	}
	return nil
}
