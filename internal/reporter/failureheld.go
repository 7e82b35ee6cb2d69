package reporter

import (
	"container/list"
	"strings"
	"time"

	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/internal/check"
	"sekimori/report/failure"
)

// failing is one kind of failure: messages that have in common whose policy
// they fail, what failed, and where they came from.
type failing struct {
	key    string
	policy domain.Name
	record *dmarc.Record
	print  [16]byte // of the first message
	// report is what is to be sent at due; nil where a report went out lately
	// and nothing was to be reported since.
	report *failure.Report
	due    time.Time
}

// sentReport is a report of the last hour.
type sentReport struct {
	At     time.Time `json:"at"`
	Policy string    `json:"policy,omitempty"` // the policy domain; empty where only a host is counted
	Host   string    `json:"host,omitempty"`   // of a destination
}

// kindOf names a kind of failure.
func kindOf(c *FailureCase, w wish) string {
	v := c.Verdict
	network := ""
	if ip := v.Input.IP.Unmap(); ip.IsValid() {
		bits := 32
		if ip.Is6() {
			bits = 64 // one host has as many addresses as it likes
		}
		p, _ := ip.Prefix(bits)
		network = p.String()
	}
	parts := []string{v.DMARC.PolicyDomain.String(), v.DMARC.From.String(), string(w.kind), network, v.SPF.Domain}
	for _, m := range w.unaligned {
		parts = append(parts, string(m))
	}
	if w.signature != nil {
		parts = append(parts, w.signature.Domain.String(), w.signature.Selector, w.signature.Reason.Code)
	}
	return strings.Join(parts, "\n")
}

// notice counts a message with others of its kind, or begins a report on it.
func (f *Failures) notice(c *FailureCase, w wish) {
	key := f.redact.Word(kindOf(c, w))
	now := f.o.Now()
	f.mu.Lock()
	e := f.events[key]
	if e != nil {
		f.recent.MoveToFront(e)
		if known := e.Value.(*failing); known.report != nil {
			known.report.Incidents++
			f.stats.Merged++
			f.mu.Unlock()
			return
		}
	}
	if !f.room(now, c.Verdict.DMARC.PolicyDomain) {
		f.stats.Limited++
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()

	// Redacting takes longer than others should wait for the lock.
	report := f.describe(c, w)
	if report == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e = f.events[key]
	if e == nil {
		e = f.recent.PushFront(&failing{key: key, due: now.Add(f.o.Gather)})
		f.events[key] = e
		f.evict()
	}
	known := e.Value.(*failing)
	if known.report != nil { // another message of the kind was quicker
		known.report.Incidents++
		f.stats.Merged++
		return
	}
	known.report, known.policy, known.record, known.print = report, c.Verdict.DMARC.PolicyDomain, c.Verdict.DMARC.Record, c.Entry.Print
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// evict forgets the kinds of failure that were not seen for the longest time,
// where there are too many.
func (f *Failures) evict() {
	for f.recent.Len() > f.o.Events {
		f.forget(f.recent.Back())
	}
}

func (f *Failures) forget(e *list.Element) {
	known := e.Value.(*failing)
	if known.report != nil {
		f.stats.Dropped++
	}
	f.recent.Remove(e)
	delete(f.events, known.key)
}

// room reports whether another report about a policy may begin: those sent in
// the last hour and those waiting count.
func (f *Failures) room(now time.Time, policy domain.Name) bool {
	f.age(now)
	about, all := f.tally(policy, "")
	for e := f.recent.Front(); e != nil; e = e.Next() {
		if k := e.Value.(*failing); k.report != nil {
			all++
			if k.policy == policy {
				about++
			}
		}
	}
	return about < f.o.PerHour && all < f.o.InAll
}

// age forgets the reports sent more than an hour ago, and those that a clock
// which was set back puts into the future.
func (f *Failures) age(now time.Time) {
	keep := f.sent[:0]
	for _, s := range f.sent {
		if d := now.Sub(s.At); d < time.Hour && d > -time.Hour {
			keep = append(keep, s)
		}
	}
	f.sent = keep
}

// tally counts the reports of the last hour: about a policy and in all, or to a
// host.
func (f *Failures) tally(policy domain.Name, host string) (some, all int) {
	for _, s := range f.sent {
		switch {
		case s.Policy != "":
			all++
			if s.Policy == policy.String() {
				some++
			}
		case host != "" && s.Host == host:
			some++
		}
	}
	return some, all
}

// describe makes the report on a message, with everything taken out that is
// nobody's business. DKIM-Canonicalized-Header and -Body, which RFC 6591 §3.3
// recommends and RFC 9991 §4 leaves open, are the message itself and stay out.
func (f *Failures) describe(c *FailureCase, w wish) *failure.Report {
	v, entry := c.Verdict, c.Entry
	r := &failure.Report{
		FeedbackType: "auth-failure", Version: "1", UserAgent: f.o.Generator, AuthFailure: w.kind,
		Unaligned: w.unaligned, AlignmentTold: true,
		AuthenticationResults: []string{f.redact.Text(c.AuthenticationResults)},
		ReportedDomains:       []string{v.DMARC.From.String()},
		SourceIP:              v.Input.IP.Unmap(), SourcePort: c.Port, Arrived: entry.Time,
		MailFrom: f.redact.Address(v.Input.MailFrom), EnvelopeID: entry.QueueID,
		Delivery: failure.Delivery(c.Delivery), Incidents: 1,
		Header: f.redact.Header(c.Header),
	}
	if f.o.Host != "" {
		r.ReportingMTA = "dns; " + f.o.Host
	}
	if s := w.signature; s != nil {
		r.DKIMDomain, r.DKIMSelector, r.DKIMIdentity = s.Domain.String(), s.Selector, f.identity(s)
	}
	if w.spf && v.SPF.Record != "" {
		r.SPFDNS = []failure.SPFRecord{{Type: "txt", Domain: v.SPF.Domain, Text: v.SPF.Record}}
	}
	if len(r.Header) == 0 || c.AuthenticationResults == "" {
		return nil
	}
	return r
}

// identity is i= without the person.
func (f *Failures) identity(s *check.Signature) string {
	if strings.HasPrefix(s.Identity, "@") || s.Identity == "" {
		return "@" + strings.TrimPrefix(s.Identity, "@")
	}
	return f.redact.Address(s.Identity)
}
