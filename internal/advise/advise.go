package advise

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"time"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// Config is what an Advisor works with.
type Config struct {
	Store    Store
	Resolver dns.Resolver // nil: no PTR look-ups; names already in the store are used
	Now      func() time.Time
	// PTRBudget is the most time that one answer spends on PTR look-ups;
	// zero means 2 s, negative none at all.
	PTRBudget time.Duration
}

// Question is what is asked about a domain.
type Question struct {
	Days  int       // length of the window in whole UTC days; 0 means 30
	Until store.Day // exclusive end; 0 means the end of the newest report
}

// DomainSummary is one line of the page of all domains.
type DomainSummary struct {
	Domain string       `json:"domain"`
	Window store.Window `json:"window"`
	Policy string       `json:"policy"`
	// PolicySince is the first day of the unbroken run of reports, up to the
	// newest, that show this policy.
	PolicySince store.Day  `json:"policy_since"`
	Messages    uint64     `json:"messages"`
	Aligned     uint64     `json:"aligned"`
	Broken      uint64     `json:"broken"`    // failing messages of broken sources
	Forwarder   uint64     `json:"forwarder"` // failing messages of forwarders
	Unknown     uint64     `json:"unknown"`   // failing messages not told yet
	Spoof       uint64     `json:"spoof"`     // spoofed messages
	Verdict     Verdict    `json:"verdict"`   // "" while Pending
	Daily       []ClassDay `json:"daily"`
	// Pending is set where the classes have not been worked out yet: Broken,
	// Forwarder and Spoof are 0 and Unknown holds all failing messages.
	Pending bool `json:"pending"`
	// Stale is set where reports arrived after the classes were worked out.
	Stale bool `json:"stale"`
}

// Advisor answers questions about domains. It is safe for concurrent use.
type Advisor struct{ c Config }

// New returns an Advisor.
func New(c Config) *Advisor { return &Advisor{c: c} }

var errNotYet = errors.New("advice: not available yet")

// Advise works the answer out from the stored rows.
func (a *Advisor) Advise(ctx context.Context, name domain.Name, q Question) (*Advice, error) {
	return nil, errNotYet
}

// Cached returns the last answer at once, and whether it is of the newest data.
func (a *Advisor) Cached(ctx context.Context, name domain.Name, q Question) (*Advice, bool, error) {
	return nil, false, errNotYet
}

// Overview returns one line per domain, for the window of the given number of days.
func (a *Advisor) Overview(ctx context.Context, days int) ([]DomainSummary, error) {
	return nil, errNotYet
}

// Refresh brings stale answers up to date, one domain after the other.
func (a *Advisor) Refresh(ctx context.Context) error { return errNotYet }

// Store is what an Advisor reads and keeps.
type Store interface {
	Rows
	Cache
	sources.Cache
}

// Rows is the stored reports; *store.Store has it.
type Rows interface {
	Domains(ctx context.Context, w store.Window) ([]store.DomainTotals, error)
	Newest(ctx context.Context, domain string) (store.Day, bool, error)
	Sources(ctx context.Context, domain string, w store.Window, limit int, f func(store.SourceRow) error) error
	DomainVersion(domain string) int64
}

// Cache is where answers are kept; *store.Store has it.
type Cache interface {
	Advice(ctx context.Context, domain, question string) (store.CachedAdvice, bool, error)
	PutAdvice(ctx context.Context, a store.CachedAdvice) error
	AdviceSummaries(ctx context.Context, question string) ([]store.CachedAdvice, error)
	SetClasses(ctx context.Context, domain string, rows iter.Seq2[netip.Addr, store.ClassRow]) error
}
