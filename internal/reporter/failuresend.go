package reporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/message"
	"sekimori/report/failure"
)

// leaving is a report on its way out.
type leaving struct {
	policy   domain.Name
	record   *dmarc.Record
	report   failure.Report
	id       string // what its message ids are made of
	due      time.Time
	attempts int
	done     map[string]bool // addresses that need no attempt any more
	claimed  bool            // counted in the limits
}

// maxAttempts is how often a report is tried.
const maxAttempts = 4

// maxPause bounds how long Run sleeps, so that a clock that is set does not
// hold it up.
const maxPause = time.Minute

// Run sends what is due, until ctx ends; what is waiting then is lost. It is to
// run once.
func (f *Failures) Run(ctx context.Context) error {
	var out []*leaving
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		case <-timer.C:
		}
		out = append(out, f.take()...)
		now := f.o.Now()
		left := out[:0]
		for _, l := range out {
			if !now.Before(l.due) && !f.deliver(ctx, l) || now.Before(l.due) {
				left = append(left, l)
			}
		}
		clear(out[len(left):])
		out = left
		f.mu.Lock()
		f.leaving = int64(len(out))
		f.mu.Unlock()
		timer.Reset(f.pause(out))
	}
}

// pause is how long there is nothing to do.
func (f *Failures) pause(out []*leaving) time.Duration {
	now := f.o.Now()
	d := maxPause
	for _, l := range out {
		d = min(d, l.due.Sub(now))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := f.recent.Front(); e != nil; e = e.Next() {
		d = min(d, e.Value.(*failing).due.Sub(now))
	}
	return max(d, 0)
}

// take takes out the reports that are due. Their kinds are quiet from then on.
func (f *Failures) take() []*leaving {
	now := f.o.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*leaving
	for e := f.recent.Front(); e != nil; {
		k := e.Value.(*failing)
		this := e
		e = e.Next()
		switch {
		case now.Before(k.due):
		case k.report == nil:
			f.forget(this)
		default:
			l := &leaving{policy: k.policy, record: k.record, report: *k.report, due: now, done: map[string]bool{}}
			l.id = k.key + string(k.print[:])
			if k.print == [16]byte{} {
				l.id += k.report.Arrived.String()
			}
			out = append(out, l)
			f.leaving++
			k.report, k.record, k.due = nil, nil, now.Add(f.o.Repeat)
		}
	}
	return out
}

// deliver sends a report to those who are to have it, and reports whether
// nothing is left to do.
func (f *Failures) deliver(ctx context.Context, l *leaving) bool {
	addresses, unknown := f.addresses(ctx, l)
	if ctx.Err() != nil {
		return true
	}
	if len(addresses) > 0 && !l.claimed {
		if !f.claim(l) {
			return true
		}
		l.claimed = true
	}
	var last error
	for _, to := range addresses {
		if !f.claimHost(to) {
			l.done[to] = true
			continue
		}
		if err := f.remember(); err != nil {
			// The report is worth more than the note of it.
			f.tell(Event{Kind: FailureTrouble, Err: fmt.Errorf("what was reported is not noted: %w", err)})
		}
		err := f.send(ctx, l, to)
		switch {
		case err == nil:
			f.count(&f.stats.Sent, 1)
			f.tell(Event{Kind: FailureSent, Domain: l.policy.String(), ReportID: f.messageID(l, to), To: to})
			l.done[to] = true
		case again(err) && l.attempts+1 < maxAttempts:
			last = err
			f.unclaimHost(to)
		default:
			f.count(&f.stats.Failed, 1)
			f.tell(Event{Kind: FailureGivenUp, Domain: l.policy.String(), ReportID: f.messageID(l, to), To: to, Attempts: int64(l.attempts + 1), Err: err})
			l.done[to] = true
		}
	}
	l.attempts++
	if last == nil && !unknown || l.attempts >= maxAttempts {
		return true
	}
	l.due = f.o.Now().Add(f.o.Pause << (l.attempts - 1))
	return false
}

// again reports whether another attempt may help, and cannot make a second
// report of the first: the MTA said that it did not take the message, or was
// not reached. Where it went away without an answer, it may have taken it.
func again(err error) bool {
	var e *MailError
	return errors.As(err, &e) && !e.Lasting && (e.Gone || e.Code != 0)
}

// addresses are those that are still to be written to (RFC 9991 §2, §5): each
// URI of ruf whose host consents. unknown says that the DNS did not tell for
// some.
func (f *Failures) addresses(ctx context.Context, l *leaving) (out []string, unknown bool) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	v := dmarc.Verifier{Resolver: f.o.Resolver}
	for _, d := range v.Destinations(ctx, l.policy, l.record, "ruf") {
		if d.Err != nil {
			unknown = true
			continue
		}
		to := d.To
		if !d.Allowed {
			to = nil
		}
		refused := len(to) == 0
		for _, u := range to {
			address, ok := mailbox(u)
			if !ok || f.out.wants(l.policy, address) || foldAddress(address) == foldAddress(f.o.Email) {
				refused = true
				continue
			}
			if !l.done[address] && !slices.Contains(out, address) {
				out = append(out, address)
			}
		}
		if refused && l.attempts == 0 {
			f.count(&f.stats.Refused, 1)
		}
	}
	return out, unknown
}

// claim counts a report in the limits; false where they leave no room.
func (f *Failures) claim(l *leaving) bool {
	now := f.o.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.age(now)
	if about, all := f.tally(l.policy, ""); about >= f.o.PerHour || all >= f.o.InAll {
		f.stats.Limited++
		return false
	}
	f.sent = append(f.sent, sentReport{At: now, Policy: l.policy.String()})
	return true
}

func hostOf(address string) string {
	_, host := message.SplitAddress(address)
	return strings.ToLower(host)
}

// claimHost counts a report to a host of destinations.
func (f *Failures) claimHost(address string) bool {
	now, host := f.o.Now(), hostOf(address)
	f.mu.Lock()
	defer f.mu.Unlock()
	if n, _ := f.tally(domain.Name{}, host); n >= f.o.PerHour {
		f.stats.Limited++
		return false
	}
	f.sent = append(f.sent, sentReport{At: now, Host: host})
	return true
}

// unclaimHost takes back the last claim for a host.
func (f *Failures) unclaimHost(address string) {
	host := hostOf(address)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.sent) - 1; i >= 0; i-- {
		if f.sent[i].Host == host {
			f.sent = slices.Delete(f.sent, i, i+1)
			return
		}
	}
}

// messageID is the same for each attempt, and for the same message should it
// come again after a crash, so that a report that arrives twice is known as
// one.
func (f *Failures) messageID(l *leaving, to string) string {
	return "failure." + f.redact.Word(l.id+"\n"+to) + "@" + f.host.String()
}

// send writes, signs and sends a report to one address.
func (f *Failures) send(ctx context.Context, l *leaving, to string) error {
	r := l.report
	now := f.o.Now()
	r.Mail = failure.Mail{From: f.o.Email, To: to, Date: now, ID: f.messageID(l, to)}
	r.Mail.Subject, r.Mail.Text = f.words(&r, l.policy)
	var text bytes.Buffer
	if err := failure.Write(&text, &r); err != nil {
		return err
	}
	h, body, err := message.Read(bytes.NewReader(text.Bytes()), 0)
	if err != nil {
		return err
	}
	var fields []string
	if f.o.Sign != nil {
		// RFC 9991 §5.1: reports should be aligned, or they may be reported on.
		if fields, err = f.o.Sign(h, body); err != nil {
			return fmt.Errorf("sign the report: %w", err)
		}
	}
	signed := strings.Join(fields, "")
	// The null reverse-path: nothing ever comes back, not even a bounce (RFC 5321
	// §4.5.5).
	return f.o.Send(ctx, Mail{To: []string{to}, Size: int64(len(signed) + text.Len()), Write: func(w io.Writer) error {
		if _, err := io.WriteString(w, signed); err != nil {
			return err
		}
		_, err := w.Write(text.Bytes())
		return err
	}})
}

// words are the report's subject and its part for people.
func (f *Failures) words(r *failure.Report, policy domain.Name) (subject, text string) {
	args := explain.Args{
		"domain": r.ReportedDomains[0], "policy": policy.String(), "client": "?", "messages": int64(min(r.Incidents, 1<<62)),
		"time": r.Arrived.UTC().Format("2006-01-02 15:04:05 UTC"), "reporter": f.host.String(), "email": f.o.Email,
	}
	if r.SourceIP.IsValid() {
		args["client"] = r.SourceIP.String()
	}
	step := func(code string) string { return f.o.Words(explain.Step{Code: code, Args: args}) }
	var lines []string
	lines = append(lines, step("failure.received"))
	switch {
	case r.AuthFailure == failure.SPF:
		lines = append(lines, step("failure.spf"))
	case r.AuthFailure != failure.DMARC:
		lines = append(lines, step("failure.dkim"))
	case len(r.Unaligned) == 1 && r.Unaligned[0] == failure.MethodDKIM:
		lines = append(lines, step("failure.unaligned-dkim"))
	case len(r.Unaligned) == 1:
		lines = append(lines, step("failure.unaligned-spf"))
	default:
		lines = append(lines, step("failure.unaligned"))
	}
	if r.Incidents > 1 {
		lines = append(lines, step("failure.incidents"))
	}
	lines = append(lines, "", step("failure.redacted"), step("failure.asked"))
	for i, l := range lines {
		lines[i] = wrap(l, 72)
	}
	return step("failure.subject"), strings.Join(lines, "\n")
}

// wrap breaks a line at its spaces.
func wrap(s string, width int) string {
	var b strings.Builder
	col := 0
	for i, word := range strings.Fields(s) {
		switch {
		case i > 0 && col+1+len(word) > width:
			b.WriteByte('\n')
			col = 0
		case i > 0:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(word)
		col += len(word)
	}
	return b.String()
}
