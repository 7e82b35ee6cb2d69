// Package watch keeps an eye on domains once their reports are read: what they
// publish in the DNS, and whether a policy costs more than was thought.
//
// Look asks once for everything a domain publishes for mail; what differs from
// the last time becomes a happening. Run does so every day, delivers alerts and
// sends reminders. Timeline joins the changes of the DNS with what reports
// showed, with the work of fixing and with waves of spoofing. Trigger takes each
// new answer of advise and gives the alarm when a step should be taken back.
//
// A question that was not answered changes nothing: the last known records
// stay, and the look says what it could not see.
package watch

import (
	"context"
	"errors"
	"sync"
	"time"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/internal/store"
)

// Store is what a Watcher reads and keeps; *store.Store has it.
type Store interface {
	Observations
	Outbox
	Work
	DomainNames(ctx context.Context) ([]string, error)
	Selectors(ctx context.Context, domains []string) (map[string][]string, error)
	PolicyHistory(ctx context.Context, domain string) ([]store.PolicySpan, error)
	ClassDaily(ctx context.Context, domain string, w store.Window) ([]store.ClassTotals, error)
	Newest(ctx context.Context, domain string) (store.Day, bool, error)
	DomainVersion(domain string) int64
	DomainStateVersion(domain string) int64
	Setting(ctx context.Context, key string) (string, bool, error)
	SetSetting(ctx context.Context, key, value string) error
}

// Observations is the memory of what the DNS said.
type Observations interface {
	Observe(ctx context.Context, o []store.Observation) ([]store.ObservedChange, error)
	Observations(ctx context.Context, domain, kind string, limit int) ([]store.Observation, error)
	Happen(ctx context.Context, h []store.Happening) (int, error)
	Happenings(ctx context.Context, domain string, since time.Time, limit int) ([]store.Happening, error)
}

// Outbox is where alerts wait until they are delivered.
type Outbox interface {
	PutAlerts(ctx context.Context, a []store.Alert) (added int, err error)
	DueAlerts(ctx context.Context, now time.Time, limit int) ([]store.Alert, error)
	AlertTried(ctx context.Context, t store.AlertAttempt) error
	AlertCounts(ctx context.Context) (store.AlertCounts, error)
}

// Work is the work of fixing, as far as a timeline tells of it.
type Work interface {
	Cases(ctx context.Context, f store.CaseFilter, p store.Page) ([]store.Case, int64, error)
	CaseEvents(ctx context.Context, id int64) ([]store.CaseEvent, error)
	Sayings(ctx context.Context, domain string) ([]store.Saying, error)
}

// Mailer hands one message to a mail server. An error that wraps ErrRefused is
// final; after any other the message is tried again.
type Mailer interface {
	Send(ctx context.Context, from string, to []string, message []byte) error
}

// ErrRefused says that a message will not be taken, however often it is tried.
var ErrRefused = errors.New("refused for good")

// Config is what a Watcher works with. Store alone is needed.
type Config struct {
	Store    Store
	Resolver dns.Resolver // nil: the DNS is not looked at
	Mailer   Mailer       // nil: no mail
	From     string       // address that mail comes from
	To       []string     // addresses that alerts go to
	Langs    []string     // languages of mails, one after the other; none means "ja", "en"
	// Say turns a code into a sentence of a language; it is locale.Lang.Step.
	// Without it mails hold codes.
	Say func(lang string, s explain.Step) string
	// Webhook is told of alerts, where set.
	Webhook *Webhook
	// URL is how links to the dashboard begin, without a final slash; "" for no links.
	URL string
	// Reminders gives what people are to be reminded of; nil for nothing.
	Reminders Reminders
	Now       func() time.Time // nil means time.Now
	// Every is how often a domain is looked at; 0 means 24 h. A share of it, up
	// to a twentieth, is added at random.
	Every time.Duration
	// Domains bounds how many domains are watched, those first that come first
	// by name; 0 means 10,000. Domains come from reports, and those from anyone.
	Domains int
	// Concurrency is how many domains are looked at at a time; 0 means 4.
	Concurrency int
	// Tell hears what happens, for a log. It may be called from any goroutine.
	Tell func(Event)
}

// EventKind says what an Event is about.
type EventKind string

const (
	Looked    EventKind = "looked"    // at a domain
	Delivered EventKind = "delivered" // an alert
	Delayed   EventKind = "delayed"   // an alert is tried again later
	GivenUp   EventKind = "given-up"  // an alert is not tried any more
	Failed    EventKind = "failed"    // something else: Err says what
)

// Event is something to log.
type Event struct {
	Kind    EventKind
	Domain  string
	Alert   string // ID
	Changes int    // of Looked
	Silent  int    // of Looked: questions without an answer
	Err     error
}

// Watcher watches domains. It is safe for concurrent use.
type Watcher struct {
	c    Config
	wake chan struct{} // there is an alert to deliver

	delivering, triggering sync.Mutex

	mu      sync.Mutex
	waves   map[string]waveMemory // by domain
	tripped map[string]tripState  // by domain, as far as it was asked for
	looks   map[string]lookState
}

// New returns a Watcher. An address, language or webhook that cannot work is an
// error.
func New(c Config) (*Watcher, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Every <= 0 {
		c.Every = 24 * time.Hour
	}
	if c.Domains <= 0 {
		c.Domains = 10_000
	}
	if c.Concurrency <= 0 {
		c.Concurrency = 4
	}
	if len(c.Langs) == 0 {
		c.Langs = []string{"ja", "en"}
	}
	if c.Tell == nil {
		c.Tell = func(Event) {}
	}
	w := &Watcher{c: c, wake: make(chan struct{}, 1), waves: map[string]waveMemory{}, looks: map[string]lookState{}, tripped: map[string]tripState{}}
	return w, w.check()
}

// Entry is one thing that happened to a domain.
type Entry struct {
	Domain string       `json:"domain"`
	At     time.Time    `json:"at"`
	Until  time.Time    `json:"until,omitzero"` // of a wave: the end of its last day
	Kind   string       `json:"kind"`           // as store.Happening.Kind
	Step   explain.Step `json:"step"`
	By     string       `json:"by,omitempty"`   // the person; "" for the program or the DNS
	Case   int64        `json:"case,omitempty"` // its number
	Source string       `json:"source,omitempty"`
	// Name, Before and After are the DNS name and its records, one a line, of a
	// change in the DNS.
	Name   string `json:"name,omitempty"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// MaxEntries is how many entries a Timeline has at most, the newest.
const MaxEntries = 2000
