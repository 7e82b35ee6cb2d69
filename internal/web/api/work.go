package api

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"sekimori/domain"
	"sekimori/internal/inventory"
	"sekimori/internal/locale"
	"sekimori/internal/publish"
	"sekimori/internal/repair"
	"sekimori/internal/store"
	"sekimori/internal/watch"
)

// WordStore keeps what people said about sources; *store.Store has it.
type WordStore interface {
	PutSaying(ctx context.Context, s store.Saying) (store.Saying, error)
	Sayings(ctx context.Context, domain string) ([]store.Saying, error)
}

// DepartmentStore keeps the departments.
type DepartmentStore interface {
	PutDepartment(ctx context.Context, d store.Department) (store.Department, error)
	RemoveDepartment(ctx context.Context, id int64) error
	Departments(ctx context.Context) ([]store.Department, error)
}

// AssignmentStore keeps what belongs to which department.
type AssignmentStore interface {
	Assign(ctx context.Context, a store.Assignment) error
	Assignments(ctx context.Context, domain string) ([]store.Assignment, error)
}

// ShareStore keeps the links that show a department its own part.
type ShareStore interface {
	PutShare(ctx context.Context, s store.Share) (store.Share, error)
	Shares(ctx context.Context, department int64) ([]store.Share, error)
	ShareByHash(ctx context.Context, hash [32]byte) (store.Share, error)
	TouchShare(ctx context.Context, id int64, at time.Time) error
}

// CaseReader is the pieces of work and their history.
type CaseReader interface {
	Cases(ctx context.Context, f store.CaseFilter, p store.Page) ([]store.Case, int64, error)
	Case(ctx context.Context, id int64) (store.Case, error)
	CaseEvents(ctx context.Context, id int64) ([]store.CaseEvent, error)
	CaseOwners(ctx context.Context) ([]string, error)
}

// WorkStore is everything about the work that the store keeps.
type WorkStore interface {
	WordStore
	DepartmentStore
	AssignmentStore
	ShareStore
	CaseReader
}

// Work is the work of fixing as pages and API show it. A nil Work hides all
// of it, and each nil field its own part. It is safe for concurrent use where
// its parts are.
type Work struct {
	Store WorkStore // must be set
	// Repair changes cases and gives the facts of letters; nil: cases are shown
	// and not changed.
	Repair Repairer
	// Letter writes letters; nil: there are none.
	Letter LetterWriter
	// Timeline tells what happened to a domain; nil: there is no such page.
	Timeline Timeline
	// Inventory lists a domain's sub-domains; nil: there is no such page.
	Inventory Inventory
	// Monthly makes the report for the management; nil: there is none.
	Monthly Monthly
	// Now is the clock; nil for the system's.
	Now func() time.Time
}

// Repairer carries cases on; *repair.Manager has it.
type Repairer interface {
	Set(ctx context.Context, id int64, c repair.Change) (store.Case, error)
	Letter(ctx context.Context, id int64) (repair.Letter, error)
	Sent(ctx context.Context, id int64, how, by string) error
	Reassign(ctx context.Context, domain string) error
}

// LetterWriter writes a letter; publish.Letter is one.
type LetterWriter func(w io.Writer, l repair.Letter, lang locale.Lang, format publish.Format) error

// Timeline tells what happened to a domain, the newest first; *watch.Watcher
// has it.
type Timeline interface {
	Timeline(ctx context.Context, name domain.Name, since time.Time) ([]watch.Entry, error)
}

// Inventory lists the sub-domains of a domain. Take asks nobody; Ask begins to
// ask the DNS in the background about what is not known yet, and may do
// nothing.
type Inventory interface {
	Take(ctx context.Context, name domain.Name, q inventory.Query) (*inventory.Inventory, error)
	Load(ctx context.Context, name domain.Name, file string, r io.Reader) (inventory.Summary, error)
	Ask(name domain.Name)
}

// Month is what a monthly report is about.
type Month struct {
	Domain     string
	Month      string // YYYY-MM
	Department int64  // 0 for the whole
}

// Monthly makes the monthly report for the management. Months lists the months
// that have reports, the newest first; Usual is the one that is shown where none
// is named. Figures is a document for JSON. Write
// writes it; HTML is a piece of a page of ours.
type Monthly interface {
	Months(ctx context.Context, domain string) ([]string, error)
	Usual(ctx context.Context, domain string) (string, error)
	Figures(ctx context.Context, m Month) (any, error)
	Write(ctx context.Context, w io.Writer, m Month, lang locale.Lang, format publish.Format) error
}

// WriteLetter writes the letter about a case.
func (w *Work) WriteLetter(ctx context.Context, out io.Writer, id int64, lang locale.Lang, format publish.Format) error {
	if w.Repair == nil || w.Letter == nil {
		return store.ErrNotFound
	}
	l, err := w.Repair.Letter(ctx, id)
	if err != nil {
		return err
	}
	return w.Letter(out, l, lang, format)
}

// Assign says what belongs to a department, and lets the cases follow.
func (w *Work) Assign(ctx context.Context, a store.Assignment) error {
	if err := w.Store.Assign(ctx, a); err != nil {
		return err
	}
	if w.Repair == nil {
		return nil
	}
	return w.Repair.Reassign(ctx, a.Domain)
}

// Clock is the time now.
func (w *Work) Clock() time.Time {
	if w.Now == nil {
		return time.Now()
	}
	return w.Now()
}

// Today is the day now, in UTC.
func (w *Work) Today() store.Day { return store.DayOf(w.Clock().UTC()) }

// Bounds of what people write, in characters.
const (
	MostName = 200  // of a person, a department, a source
	MostNote = 4000 // of a note
)

// Line makes one line of what somebody wrote into a form: valid UTF-8, no
// control characters, no space at its ends, at most MostName characters.
func Line(s string) string { return written(s, MostName, false) }

// Note is Line for several lines and MostNote characters.
func Note(s string) string { return written(s, MostNote, true) }

func written(s string, most int, lines bool) string {
	if len(s) > 4*most { // so that what follows is bounded, whatever was sent
		s = s[:4*most]
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' && lines:
			return r
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // marks that turn the direction of what follows
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	n := 0
	for i := range s {
		if n++; n > most {
			return strings.TrimSpace(s[:i])
		}
	}
	return s
}

// ErrUnknownDepartment says that a department was named that is none.
var ErrUnknownDepartment = errors.New("no such department: see the list of departments")

// Department returns a department by its id; the zero Department for 0.
func (w *Work) Department(ctx context.Context, id int64) (store.Department, error) {
	if id == 0 {
		return store.Department{}, nil
	}
	all, err := w.Store.Departments(ctx)
	if err != nil {
		return store.Department{}, err
	}
	if i := slices.IndexFunc(all, func(d store.Department) bool { return d.ID == id }); i >= 0 {
		return all[i], nil
	}
	return store.Department{}, ErrUnknownDepartment
}

// DepartmentDomains lists the policy domains of which a department has a part.
func (w *Work) DepartmentDomains(ctx context.Context, id int64) ([]string, error) {
	all, err := w.Store.Assignments(ctx, "")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range all {
		if a.Department == id {
			out = append(out, a.Domain)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
