package reporter

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/report/failure"
)

// FailureOptions say how failure reports (RFC 9991) are sent. Email, Send,
// Words, Resolver and Dir are required.
type FailureOptions struct {
	// Email is where reports come from: the address in From. Its domain should be
	// one that Sign signs for.
	Email string
	// Generator names the program and its version (User-Agent).
	Generator string
	// Host is the name of the reporting host (Reporting-MTA).
	Host string
	// OptOut are domains and addresses that want no reports.
	OptOut []string

	// PerHour is how many reports an hour are sent about one policy domain, and
	// how many to one host of destinations. Default 10.
	PerHour int
	// InAll is how many reports an hour are sent in all. Default 10 × PerHour.
	InAll int
	// Gather is how long a report waits for more messages that failed alike,
	// which it then counts (Incidents). Default 1 minute.
	Gather time.Duration
	// Repeat is how long after a report further messages that fail alike are
	// only counted, before they make another. Default 1 hour.
	Repeat time.Duration
	// Events bounds how many kinds of failure are remembered. Default 1,000.
	Events int
	// Pause is how long to wait before the second attempt at what did not work
	// for now; it doubles. There are four attempts. Default 2 minutes.
	Pause time.Duration

	// Sign returns the DKIM-Signature fields to put before a message. Nil signs
	// nothing.
	Sign func(h message.Header, body io.Reader) ([]string, error)
	// Send hands a message to the MTA; (*Mailer).Send does.
	Send func(context.Context, Mail) error
	// Words gives the sentence for a code, in the language of the reports.
	Words func(explain.Step) string

	Resolver dns.Resolver
	// Dir is the gateway's folder; the key for redaction is kept there, and what
	// was reported within the hour.
	Dir string
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Event is told what happens; it must not block. May be nil.
	Event func(Event)
}

// Kinds of events about failure reports. ReportID is the message id.
const (
	FailureSent    EventKind = "failure-sent"     // the MTA took a report
	FailureGivenUp EventKind = "failure-given-up" // it did not, for good: Err
	FailureTrouble EventKind = "failure-trouble"  // something else went wrong: Err
)

// FailureCase is a message that the gateway has judged. Nothing in it is
// changed or kept.
type FailureCase struct {
	Entry   *verdict.Entry
	Verdict *check.Verdict
	Header  message.Header // as it arrived
	Port    uint16         // of the client; 0 where it is not known
	// AuthenticationResults is the value of the field for the message.
	AuthenticationResults string
	Delivery              string // the Delivery-Result (RFC 6591 §3.2.2)
}

// Failures sends failure reports: to those who ask for them (RFC 9989 §4.7),
// about what they ask for, redacted (RFC 6590), and within limits (RFC 9991 §2,
// §8.1). It is safe for concurrent use.
//
// A report waits a little for further messages that fail alike, which it
// counts; then they are only counted for an hour. It is kept in memory, and
// lost where the program ends meanwhile: nobody gets two about the same. Memory
// is bounded by InAll × 32 KiB and Events.
type Failures struct {
	o      FailureOptions
	out    *optOut
	host   domain.Name // of Email
	redact *failure.Redactor
	wake   chan struct{}

	mu sync.Mutex
	// events are the kinds of failure by what they have in common; recent has
	// them in the order of their last message, the newest first.
	events map[string]*list.Element
	recent *list.List
	// sent are the reports of the last hour.
	sent []sentReport
	// leaving is how many reports are on their way out.
	leaving int64
	stats   FailureStats
}

// FailureStats counts what became of the messages that were reported on, since
// the start.
type FailureStats struct {
	Sent    int64 // reports handed to the MTA
	Failed  int64 // reports that it did not take
	Merged  int64 // messages counted in the report on another
	Limited int64 // reports left out because of a rate limit
	Refused int64 // destinations that did not consent, or want none
	Dropped int64 // reports forgotten because too much else was going on
	Waiting int64 // reports that wait for their time
}

// NewFailures checks the options, makes the key for redaction where there is
// none yet, and reads what was reported lately.
func NewFailures(o FailureOptions) (*Failures, error) {
	if o.Send == nil || o.Words == nil || o.Resolver == nil || o.Dir == "" {
		return nil, errors.New("failure reports: Send, Words, Resolver and Dir are required")
	}
	check := Options{Email: o.Email}
	if err := check.checkEmail(); err != nil {
		return nil, err
	}
	o.Email = check.Email
	_, d := message.SplitAddress(o.Email)
	host, err := domain.Parse(d)
	if err != nil {
		return nil, fmt.Errorf("failure reports: %w", err)
	}
	for _, n := range [...]struct {
		v      *int
		normal int
	}{{&o.PerHour, 10}, {&o.Events, 1000}} {
		if *n.v <= 0 {
			*n.v = n.normal
		}
	}
	if o.InAll <= 0 {
		o.InAll = 10 * o.PerHour
	}
	for _, d := range [...]struct {
		v      *time.Duration
		normal time.Duration
	}{{&o.Gather, time.Minute}, {&o.Repeat, time.Hour}, {&o.Pause, 2 * time.Minute}} {
		if *d.v <= 0 {
			*d.v = d.normal
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	// RFC 5965 §3.1: products as in HTTP, NAME/VERSION.
	o.Generator = strings.Replace(o.Generator, " ", "/", 1)
	if o.Generator == "" {
		o.Generator = "Sekimori"
	}
	f := &Failures{o: o, host: host, wake: make(chan struct{}, 1), events: map[string]*list.Element{}, recent: list.New()}
	if f.out, err = newOptOut(o.OptOut); err != nil {
		return nil, err
	}
	key, err := redactionKey(o.Dir)
	if err != nil {
		return nil, err
	}
	f.redact = &failure.Redactor{Key: key, Octets: 24 << 10}
	return f, f.recall()
}

// Report takes notice of a message, and reports on it later where its domain's
// owner asks for that. It waits for nothing and asks the DNS nothing; it takes
// some 10 µs, and for the first message of its kind 100 µs, more where the
// header is long.
func (f *Failures) Report(c FailureCase) {
	if c.Entry == nil || c.Verdict == nil || f.loops(&c) {
		return
	}
	w, ok := wanted(c.Verdict)
	if !ok || f.out.wants(c.Verdict.DMARC.PolicyDomain, "") {
		return
	}
	f.notice(&c, w)
}

// Stats says how the failure reports do.
func (f *Failures) Stats() FailureStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Waiting = f.leaving
	for e := f.recent.Front(); e != nil; e = e.Next() {
		if e.Value.(*failing).report != nil {
			s.Waiting++
		}
	}
	return s
}

func (f *Failures) count(n *int64, by int64) {
	f.mu.Lock()
	*n += by
	f.mu.Unlock()
}

func (f *Failures) tell(e Event) {
	if f.o.Event != nil {
		f.o.Event(e)
	}
}
