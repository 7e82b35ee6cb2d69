package repair

import (
	"context"
	"strings"
	"time"

	"sekimori/internal/store"
)

// ReminderKind says what a reminder is about.
type ReminderKind string

const (
	DueSoon ReminderKind = "due-soon" // due within three days; said once
	Overdue ReminderKind = "overdue"  // said once a week
	NoMail  ReminderKind = "no-mail"  // said to be fixed, but nothing was sent since, for two usual periods; said once in 30 days
)

// Reminder is one thing to remind somebody of.
type Reminder struct {
	Case store.Case   `json:"case"` // without its Facts
	Kind ReminderKind `json:"kind"`
	To   string       `json:"to"`   // an address: the case's owner's, else its department's; "" for not known
	Days int          `json:"days"` // until Due, or since; of NoMail since the day it is said to be fixed
}

const (
	soonDays    = 3
	overdueDays = 7
	noMailDays  = 30
)

// Due returns what to remind people of now. What was sent is to be told with
// Reminded, or it comes again. Cost: it reads all cases that are open.
func (m *Manager) Due(ctx context.Context, now time.Time) ([]Reminder, error) {
	departments, err := m.departments(ctx)
	if err != nil {
		return nil, err
	}
	today := store.DayOf(now)
	var out []Reminder
	f := store.CaseFilter{States: []store.CaseState{store.CaseFound, store.CaseContacted, store.CaseRepair, store.CaseWaiting}}
	for p := (store.Page{Sort: "id", Limit: 1000}); ; p.Offset += p.Limit {
		cases, _, err := m.c.Store.Cases(ctx, f, p)
		if err != nil {
			return nil, err
		}
		for _, c := range cases {
			kind, days, err := m.reminder(ctx, c, today)
			if err != nil {
				return nil, err
			}
			if kind != "" {
				out = append(out, Reminder{Case: c, Kind: kind, To: address(c, departments), Days: days})
			}
		}
		if len(cases) < p.Limit {
			return out, nil
		}
	}
}

// reminder says what to remind of about a case, "" for nothing.
func (m *Manager) reminder(ctx context.Context, c store.Case, today store.Day) (ReminderKind, int, error) {
	last := store.Day(-1 << 20)
	if !c.Reminded.IsZero() {
		last = store.DayOf(c.Reminded)
	}
	switch {
	case c.State == store.CaseWaiting:
		if c.Fixed == 0 || c.Fixed > today || c.LastDay >= c.Fixed || today-last < noMailDays {
			return "", 0, nil
		}
		full, err := m.c.Store.Case(ctx, c.ID)
		if err != nil {
			return "", 0, err
		}
		if days := int(today - c.Fixed); days > 2*readFacts(full.Facts).period() {
			return NoMail, days, nil
		}
	case c.Due == 0:
	case c.Due < today && (last <= c.Due || today-last >= overdueDays):
		return Overdue, int(today - c.Due), nil
	case c.Due >= today && c.Due-today <= soonDays && last < c.Due-soonDays:
		return DueSoon, int(c.Due - today), nil
	}
	return "", 0, nil
}

// address is where to write about a case.
func address(c store.Case, departments map[int64]store.Department) string {
	if strings.Contains(c.Owner, "@") {
		return c.Owner
	}
	return departments[c.Department].Contact
}

// Reminded notes that reminders were sent. A case that is gone is skipped.
func (m *Manager) Reminded(ctx context.Context, sent []Reminder, at time.Time) error {
	for _, r := range sent {
		err := m.c.Store.NoteCase(ctx, r.Case.ID, at, store.CaseEvent{At: at.UTC(), Kind: "reminder", From: string(r.Kind), To: r.To})
		if err != nil {
			return err
		}
	}
	return nil
}
