package repair

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/internal/advise"
	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// Advisor gives a domain's advice at once, as it was last worked out.
// *advise.Advisor has it.
type Advisor interface {
	Cached(ctx context.Context, name domain.Name, q advise.Question) (*advise.Advice, bool, error)
}

// Config is what a Manager works with. Store is wanted; the rest is optional.
type Config struct {
	Store     *store.Store
	Advisor   Advisor            // for Open
	Catalogue *sources.Catalogue // what vendors' customers have to change
	Resolver  dns.Resolver       // for the records as they are today; nil: as they were last observed
	Contact   Contact            // who letters are from
	Now       func() time.Time
}

// Manager opens cases, proves them and carries them on. It may be used from
// any goroutine.
type Manager struct {
	c      Config
	mu     sync.Mutex        // one refresh at a time
	proven map[string]uint64 // by domain: what was looked at when nothing was to be done
}

// New returns a manager.
func New(c Config) *Manager {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Manager{c: c, proven: map[string]uint64{}}
}

// Errors of Set, for errors.Is.
var (
	// ErrState says that a case cannot go from its state to the one asked for.
	ErrState = errors.New("this step is not possible")
	// ErrNote says that a step needs a note that gives its reason.
	ErrNote = errors.New("a note with the reason is needed")
	// ErrChanged says that somebody else has changed the case meanwhile.
	ErrChanged = store.ErrConflict
)

// Change is what a person changes about a case; nil fields stay.
type Change struct {
	State      *store.CaseState
	Owner      *string    // a person, or an address
	Department *int64     // 0 for none
	Due        *store.Day // 0 for none
	Fixed      *store.Day // from which day on it is said to be fixed; with CaseWaiting, tomorrow unless given
	Note       *string
	By         string // who
	// Seen is Case.Changed as the person saw it; zero: whatever it is now.
	Seen time.Time
}

// Fixed returns the days from which on a domain's sources are said to be
// fixed, by their keys.
func (m *Manager) Fixed(ctx context.Context, domain string) (map[string]store.Day, error) {
	return m.c.Store.Fixed(ctx, domain)
}

// Open opens a case about a source by hand, whatever its class, or returns the
// one that there is. source is its ID or key. store.ErrNotFound says that the
// domain's advice has no such source.
func (m *Manager) Open(ctx context.Context, name domain.Name, source, by string) (store.Case, error) {
	if m.c.Advisor == nil {
		return store.Case{}, errors.New("repair: no advisor to find the source with")
	}
	a, _, err := m.c.Advisor.Cached(ctx, name, advise.Question{})
	if err != nil {
		return store.Case{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range a.Sources {
		s := &a.Sources[i]
		if s.ID != source && s.Key != source {
			continue
		}
		if lumped(s.Key) {
			return store.Case{}, fmt.Errorf("source %s: many sources in one line are no piece of work", s.Name)
		}
		assign, err := m.assignments(ctx, a.Domain)
		if err != nil {
			return store.Case{}, err
		}
		c, _, err := m.open(ctx, a, s, by, nil, assign)
		return c, err
	}
	return store.Case{}, fmt.Errorf("source %.60q of %s: %w", source, name, store.ErrNotFound)
}
