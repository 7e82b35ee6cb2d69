package repair

import (
	"context"
	"errors"
	"time"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// Advisor gives a domain's advice at once, as it was last worked out.
// *advise.Advisor has it.
type Advisor interface {
	Cached(ctx context.Context, name domain.Name, q advise.Question) (*advise.Advice, bool, error)
}

// Config is what a Manager works with. Store is wanted; the rest is optional.
type Config struct {
	Store    *store.Store
	Advisor  Advisor      // for letters; nil: they tell of the last look
	Resolver dns.Resolver // for the records as they are today; nil: as they were last observed
	Contact  Contact      // who letters are from
	Now      func() time.Time
}

// Manager opens cases, proves them and carries them on. It may be used from
// any goroutine.
type Manager struct {
	c Config
}

// New returns a manager.
func New(c Config) *Manager {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Manager{c: c}
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

// Set is not there yet.
func (m *Manager) Set(ctx context.Context, id int64, ch Change) (store.Case, error) {
	return store.Case{}, errors.ErrUnsupported
}

// Letter is not there yet.
func (m *Manager) Letter(ctx context.Context, id int64) (Letter, error) {
	return Letter{}, errors.ErrUnsupported
}

// Changes is what a refresh did.
type Changes struct {
	Opened   []store.Case `json:"opened"`
	Proven   []store.Case `json:"proven"`
	Reopened []store.Case `json:"reopened"`
}

// Refresh is not there yet.
func (m *Manager) Refresh(ctx context.Context, a *advise.Advice) (Changes, error) {
	return Changes{}, errors.ErrUnsupported
}

// Fixed returns the days from which on a domain's sources are said to be
// fixed, by their keys.
func (m *Manager) Fixed(ctx context.Context, domain string) (map[string]store.Day, error) {
	return m.c.Store.Fixed(ctx, domain)
}

// Reminder is one thing to remind somebody of.
type Reminder struct {
	Case store.Case
	Kind ReminderKind
	To   string // an address: the case's owner's, else its department's; "" for not known
	Days int    // until Due, or since
}

// ReminderKind says what a reminder is about.
type ReminderKind string

const (
	DueSoon ReminderKind = "due-soon" // due within three days
	Overdue ReminderKind = "overdue"  // said once a week
	NoMail  ReminderKind = "no-mail"  // said to be fixed, but nothing was sent since, for two usual periods
)

// Due is not there yet.
func (m *Manager) Due(ctx context.Context, now time.Time) ([]Reminder, error) { return nil, nil }

// Reminded is not there yet.
func (m *Manager) Reminded(ctx context.Context, sent []Reminder, at time.Time) error { return nil }

// Board is all work at a glance.
type Board struct {
	Columns []Column `json:"columns"` // in the order of the states
	Total   int64    `json:"total"`
	Overdue int64    `json:"overdue"`
}

// Column is the cases of one state.
type Column struct {
	State store.CaseState `json:"state"`
	Count int64           `json:"count"` // of all of them
	Cases []store.Case    `json:"cases"` // the overdue first, then by the day they are due, then those with the most failing; at most 100
}

// Board is not there yet.
func (m *Manager) Board(ctx context.Context, f store.CaseFilter) (Board, error) { return Board{}, nil }

// Sent notes in a case's history that a letter about it was taken: how is a
// format and a language, such as "mail, ja".
func (m *Manager) Sent(ctx context.Context, id int64, how, by string) error { return nil }

// Reassign gives a domain's cases the departments that its sources are
// assigned to, as Refresh does.
func (m *Manager) Reassign(ctx context.Context, domain string) error { return nil }
