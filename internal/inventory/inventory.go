// Package inventory lists the sub-domains of a domain that anybody knows of,
// from reports, certificates, zone files and lists, and says of each whether it
// sends mail. Those that send none can be closed: they get records to publish.
//
// Read takes a file of names, whatever its form; Load puts them into the store.
// Ask asks the DNS about them, a bounded number of questions at a time, and
// keeps the answers, so that it can be stopped and goes on later. Take joins
// everything into an answer, page by page, without asking anybody; it streams,
// so that a million names need no more memory than a hundred.
//
// What the DNS did not answer is unknown, never absent.
package inventory

import (
	"cmp"
	"context"
	"time"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/internal/store"
)

// State is what a name does with mail.
type State string

const (
	Sends    State = "sends"    // legitimate mail in reports
	Receives State = "receives" // has mail servers, and no mail of it was reported
	Silent   State = "silent"   // exists, and neither sends nor receives
	Absent   State = "absent"   // there is no such name
	Unknown  State = "unknown"  // the DNS was not asked, did not answer, or there is mail of sources that are not known
)

// States lists every state in the order in which pages show them.
var States = [...]State{Sends, Receives, Silent, Absent, Unknown}

// Origins of names.
const (
	FromReports      = "reports"
	FromCertificates = "certificates"
	FromZone         = "zone"
	FromList         = "list"
)

// Store is what an inventory reads and keeps; *store.Store has it.
type Store interface {
	AuthorNames(ctx context.Context, domain string, w store.Window, limit int, f func(store.AuthorTotals) error) (int64, error)
	Names(ctx context.Context, domain string, f func(store.KnownName) error) error
	NameFacts(ctx context.Context, domain string, f func(store.NameFact) error) error
	NameFact(ctx context.Context, domain, name string) (store.NameFact, bool, error)
	PutNameFacts(ctx context.Context, f []store.NameFact) error
	PolicyHistory(ctx context.Context, domain string) ([]store.PolicySpan, error)
	Observations(ctx context.Context, domain, kind string, limit int) ([]store.Observation, error)
	Newest(ctx context.Context, domain string) (store.Day, bool, error)
}

// Config is what an inventory works with. Store alone is needed.
type Config struct {
	Store    Store
	Resolver dns.Resolver     // nil: nothing is asked
	Now      func() time.Time // nil means time.Now
	// Days are the days of reports, up to the newest, that tell who sends; 0
	// means 400, so that a yearly sender is among them.
	Days int
	// MaxAge is how old an answer of the DNS may be before it is asked for
	// again; 0 means 7 days.
	MaxAge time.Duration
	// Concurrency is how many names are asked for at a time; 0 means 16.
	Concurrency int
	// Budget bounds one call of Ask; 0 means no bound but ctx.
	Budget time.Duration
	// MaxNames bounds how many names one call of Ask asks about; 0 means 200,000.
	MaxNames int
	// Memory spares pages the reading of reports; nil for none.
	Memory *Memory
	// Tell hears how far Ask is, now and then; nil for nobody.
	Tell func(Asked)
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Days = cmp.Or(max(c.Days, 0), 400)
	c.MaxAge = cmp.Or(max(c.MaxAge, 0), 7*24*time.Hour)
	c.Concurrency = cmp.Or(max(c.Concurrency, 0), 16)
	c.MaxNames = cmp.Or(max(c.MaxNames, 0), 200_000)
	return c
}

// Query narrows and pages an inventory. The zero value asks for the first 100 names.
type Query struct {
	State  State    // "" for all
	Advice bool     // only names with records to publish
	Origin string   // "" for all
	Search string   // substring of the name, in lower case
	Under  []string // names of which a name must be one, or lie below; none for all
	Forged bool     // also names that occur in forged mail alone
	Offset int
	Limit  int // 0 means 100; negative: all
}

// Inventory is a domain's sub-domains and the domain itself.
type Inventory struct {
	Domain string    `json:"domain"`
	At     time.Time `json:"at"`
	// Days is how many days of reports were looked at, up to Until (exclusive).
	Days  int       `json:"days"`
	Until store.Day `json:"until"`
	// Counts counts the names in each state, Total all of them, whatever the
	// Query; Matching those that it asks for, of which Names is a page.
	Counts   map[State]int64 `json:"counts"`
	Total    int64           `json:"total"`
	Matching int64           `json:"matching"`
	Names    []Name          `json:"names"`
	// Advised counts the names with records to publish, Records those records.
	Advised int64 `json:"advised"`
	Records int64 `json:"records"`
	// Unasked counts the names that the DNS was not asked about, or too long ago.
	Unasked int64 `json:"unasked"`
	// Forged counts the names that occur in forged mail alone, ForgedMessages
	// that mail. They are in no other count.
	Forged         int64          `json:"forged"`
	ForgedMessages uint64         `json:"forged_messages"`
	Parent         *Parent        `json:"parent,omitempty"`
	None           *NoneClock     `json:"none,omitempty"` // where p=none is published now
	Notes          []explain.Step `json:"notes"`
}

// Name is one name and what is known of it.
type Name struct {
	Name    string   `json:"name"`
	Origins []string `json:"origins"` // who told of it, sorted
	State   State    `json:"state"`
	// Messages to Spoof count its mail in reports; the classes are those of
	// failing messages.
	Messages  uint64    `json:"messages"`
	Aligned   uint64    `json:"aligned"`
	Failing   uint64    `json:"failing"`
	Broken    uint64    `json:"broken"`
	Forwarder uint64    `json:"forwarder"`
	Doubtful  uint64    `json:"doubtful"` // of unknown sources
	Spoof     uint64    `json:"spoof"`
	First     store.Day `json:"first,omitzero"` // of its mail
	Last      store.Day `json:"last,omitzero"`
	Asked     time.Time `json:"asked,omitzero"` // when the DNS last answered; zero for never
	SPF       string    `json:"spf"`            // its record; "" for none or not known
	DMARC     string    `json:"dmarc"`          // its own record
	MX        []string  `json:"mx"`
	Alias     bool      `json:"alias,omitempty"` // the name is an alias (CNAME)
	// Policy is what applies to mail from it, PolicyOf the domain whose record
	// says so, PolicyTag the tag: "p", "sp" or "np". Policy is "" for none or
	// not known.
	Policy    string         `json:"policy"`
	PolicyOf  string         `json:"policy_of,omitempty"`
	PolicyTag string         `json:"policy_tag,omitempty"`
	Advice    []Record       `json:"advice,omitempty"`
	Notes     []explain.Step `json:"notes,omitempty"`
}

// Record is a DNS record to publish.
type Record struct {
	Name  string       `json:"name"`
	Type  string       `json:"type"` // "TXT" or "MX"
	Value string       `json:"value"`
	Why   explain.Step `json:"why"`
}

// Parent is the one record of the domain itself that may do instead of a record
// for each silent name.
type Parent struct {
	Record Record `json:"record"`
	// Now is a record that loses nothing and can be published at once, where
	// Record has to wait for First: it closes the names that do not exist, and
	// the domain itself where that sends nothing.
	Now *Record `json:"now,omitempty"`
	// Covers counts the names that it closes: those that do not exist, and those
	// without a record of their own that send nothing.
	Covers int64 `json:"covers"`
	// First are names that send and inherit the policy: they must pass, or have
	// a record of their own, before. At most 20 of FirstCount.
	First      []string       `json:"first"`
	FirstCount int64          `json:"first_count"`
	Reasons    []explain.Step `json:"reasons"`
}

// NoneClock is how long a domain has published p=none. A year is long enough
// to find every sender.
type NoneClock struct {
	Since   store.Day `json:"since"`
	Days    int       `json:"days"`
	Left    int       `json:"left"`    // days until a year is over; 0 when it is
	Overdue bool      `json:"overdue"` // more than 365 days
	From    string    `json:"from"`    // "reports" or "dns": who says since when
}
