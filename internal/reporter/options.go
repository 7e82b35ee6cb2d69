package reporter

import (
	"context"
	"crypto/x509"
	"io"
	"time"

	"sekimori/dns"
	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/report/aggregate"
)

// TLS says how mail goes to the site's MTA.
type TLS string

const (
	// Opportunistic encrypts where the MTA offers it, whoever its certificate
	// names, and sends in the clear otherwise: the default.
	Opportunistic TLS = "opportunistic"
	// Require sends nothing without encryption and a certificate that holds for
	// the MTA's name.
	Require TLS = "require"
	// Plain never asks for encryption.
	Plain TLS = "none"
)

// Options say what is reported, and how. Dir, Email and Resolver are required
// for sending; everything else has a default.
type Options struct {
	// Send lets aggregate reports out. Without it days that end are noted as not
	// reported, so that turning it on does not send a month at once.
	Send bool

	// Organization is who reports (org_name); the domain of Email where empty.
	Organization string
	// Email is where reports come from and where readers may write to. Its domain
	// should be one that Sign signs for.
	Email string
	// Contact is further contact information, such as a page (extra_contact_info).
	Contact string
	// Generator names the program and its version.
	Generator string
	// Form is the form of the reports; RFC 9990 unless set.
	Form aggregate.Form

	// OptOut are domains and addresses that want no reports. A domain stands for
	// all below it, both as the subject of a report and as its destination.
	OptOut []string
	// PerDestination is how many reports about one day go to one host of
	// destinations at most. Default 100.
	PerDestination int

	// SMTP is the MTA that takes the mail, host:port. Default 127.0.0.1:25.
	SMTP string
	TLS  TLS // Opportunistic unless set
	// Roots are the authorities for Require; nil means the system's.
	Roots *x509.CertPool
	// Helo is the name in EHLO; Hostname where empty.
	Helo string
	// Hostname is this host's name, which also spreads the daily round over the
	// first hour of the day; os.Hostname where empty.
	Hostname string
	// Connections is how many connections to the MTA are open at a time, at
	// most. Default 2.
	Connections int

	// Sign returns the DKIM-Signature fields to put before a message, or none.
	// Nil signs nothing.
	Sign func(h message.Header, body io.Reader) ([]string, error)
	// Letter is the text for people at the head of a report's mail; nil leaves
	// it at the names.
	Letter func(Letter) string

	Resolver dns.Resolver
	// Dir is the gateway's folder, which holds verdicts and outbox.
	Dir string
	// Days are the verdicts; those of Dir where nil.
	Days Days

	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Elapsed is a clock that nobody sets: the time since some fixed moment.
	// Default the process's monotonic clock.
	Elapsed func() time.Duration
	// Tick wakes the daily round. Default every 30 seconds.
	Tick <-chan time.Time

	// Event is told what happens; it may be called from several goroutines, and
	// must not block. May be nil.
	Event func(Event)

	out *optOut // OptOut, read
}

// Days are the verdicts that reports are made of.
type Days interface {
	// Days returns the days that are kept, the oldest first.
	Days(ctx context.Context) ([]verdict.Day, error)
	// Policies returns a day's policies in a fixed order.
	Policies(ctx context.Context, day string) ([]verdict.PolicyTotals, error)
	// Rows calls f for each row of the report on a policy, merged and counted, in
	// a fixed order. The record is valid until f returns.
	Rows(ctx context.Context, day string, policyID int64, f func(*aggregate.Record) error) error
	// Close closes a day that is over: it never changes again. It may be called
	// again.
	Close(ctx context.Context, day string) error
}

// Letter is what the text of a report's mail says.
type Letter struct {
	Domain       string // that the report is about
	Organization string
	Day          string // "2026-11-22", UTC
	Messages     int64
	ReportID     string
	Filename     string
	Email        string
	Contact      string
}

// Event is something that happened, for the log.
type Event struct {
	Kind     EventKind
	Day      string
	Domain   string // that the report is about
	ReportID string
	To       string // the destination
	Attempts int64
	Next     time.Time // of Delayed
	Err      error
}

// EventKind says what happened.
type EventKind string

const (
	DayClosed EventKind = "day-closed" // no verdict is added to it any more
	Made      EventKind = "made"       // a report was made
	Sent      EventKind = "sent"       // the MTA took it
	Delayed   EventKind = "delayed"    // it is tried again
	GivenUp   EventKind = "given-up"   // it is not tried any more
	Suspended EventKind = "suspended"  // the clock jumped: no day is closed for now
	Trouble   EventKind = "trouble"    // something else failed: Err
)

// Stats is how the reports do, since the start except for Waiting.
type Stats struct {
	Sent, Failed int64 // deliveries
	Waiting      int64 // deliveries that are tried again
	// Fault is what is wrong with the outbox; nil where all is well.
	Fault error
}
