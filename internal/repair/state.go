package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekimori/internal/store"
)

// States are all states of a case in the order of a board's columns.
var States = [...]store.CaseState{store.CaseFound, store.CaseContacted, store.CaseRepair, store.CaseWaiting, store.CaseDone, store.CaseAccepted}

// Next returns the states that a person may take a case to from one. Only the
// reports take a case from waiting for proof to done without a note; a person
// who does it, and one who accepts a case as it is, says why.
func Next(from store.CaseState) []store.CaseState {
	switch from {
	case store.CaseFound, store.CaseContacted, store.CaseRepair, store.CaseWaiting:
		return slices.DeleteFunc(slices.Clone(States[:]), func(s store.CaseState) bool { return s == from })
	case store.CaseDone:
		return []store.CaseState{store.CaseFound, store.CaseRepair, store.CaseWaiting}
	case store.CaseAccepted:
		return []store.CaseState{store.CaseFound, store.CaseContacted}
	}
	return nil
}

// dueDays is by when a change is asked for, in days, where nobody says.
const dueDays = 30

// setTries is how often Set begins anew where others change the case.
const setTries = 5

// Set changes a case as a person asks, and returns it as it is then. Each thing
// that changes is a line of the case's history. Asking for what is so already
// changes nothing.
//
// A case that is contacted and has no day by which it is due gets one, 30 days
// ahead, unless Due is given. One that is said to be fixed waits for proof from
// tomorrow on, since mail of today went out before in part, unless Fixed is
// given.
//
// ErrState says that the step is not possible, ErrNote that it needs a reason,
// ErrChanged that the case is not as Seen any more, store.ErrNotFound that
// there is no such case or department.
func (m *Manager) Set(ctx context.Context, id int64, ch Change) (store.Case, error) {
	for try := 1; ; try++ {
		c, err := m.set(ctx, id, ch)
		if errors.Is(err, ErrChanged) && ch.Seen.IsZero() && try < setTries {
			continue
		}
		return c, err
	}
}

func (m *Manager) set(ctx context.Context, id int64, ch Change) (store.Case, error) {
	c, err := m.c.Store.Case(ctx, id)
	if err != nil {
		return c, err
	}
	if !ch.Seen.IsZero() && !ch.Seen.Equal(c.Changed) {
		return c, fmt.Errorf("case %d: %w", id, ErrChanged)
	}
	now := m.c.Now().UTC()
	today := store.DayOf(now)
	note := ""
	if ch.Note != nil {
		note = strings.TrimSpace(*ch.Note)
	}
	var events []store.CaseEvent
	add := func(kind, from, to string) {
		events = append(events, store.CaseEvent{At: now, By: ch.By, Kind: kind, From: from, To: to})
	}
	moves := ch.State != nil && *ch.State != c.State
	if moves {
		if err := step(&c, ch, note, today); err != nil {
			return c, fmt.Errorf("case %d: %w", id, err)
		}
		add("state", string(c.State), string(*ch.State))
		events[0].Text, note = note, ""
		c.State = *ch.State
	} else if ch.Fixed != nil && *ch.Fixed != c.Fixed {
		if c.State != store.CaseWaiting && c.State != store.CaseDone {
			return c, fmt.Errorf("case %d: since when it is fixed goes with %q: %w", id, store.CaseWaiting, ErrState)
		}
		if *ch.Fixed <= 0 {
			return c, fmt.Errorf("case %d: the day since which it is fixed is missing: %w", id, ErrState)
		}
		add("fixed", dayText(c.Fixed), dayText(*ch.Fixed))
		c.Fixed, c.Proof, c.Receivers, c.Relapse = *ch.Fixed, 0, 0, 0
	}
	if ch.Owner != nil && strings.TrimSpace(*ch.Owner) != c.Owner {
		add("owner", c.Owner, strings.TrimSpace(*ch.Owner))
		c.Owner = *ch.Owner
	}
	if ch.Department != nil && *ch.Department != c.Department {
		names, err := m.departments(ctx)
		if err != nil {
			return c, err
		}
		if *ch.Department != 0 && names[*ch.Department].ID == 0 {
			return c, fmt.Errorf("department %d: %w", *ch.Department, store.ErrNotFound)
		}
		add("department", names[c.Department].Name, names[*ch.Department].Name)
		c.Department = *ch.Department
		f := readFacts(c.Facts)
		f.ByHand = true
		c.Facts = f.text()
	}
	due := c.Due
	switch {
	case ch.Due != nil:
		due = *ch.Due
	case moves && c.State == store.CaseContacted && due == 0:
		due = today + dueDays
	}
	if due != c.Due {
		add("due", dayText(c.Due), dayText(due))
		c.Due = due
	}
	if note != "" {
		add("note", "", "")
		events[len(events)-1].Text = note
	}
	if len(events) == 0 {
		return c, nil
	}
	return m.c.Store.PutCase(ctx, c, events...)
}

// step checks a change of state and does what goes with it.
func step(c *store.Case, ch Change, note string, today store.Day) error {
	to := *ch.State
	if !slices.Contains(Next(c.State), to) {
		return fmt.Errorf("from %q to %.60q: %w; possible are %s", c.State, to, ErrState, stateList(Next(c.State)))
	}
	if note == "" && (to == store.CaseDone || to == store.CaseAccepted) {
		return fmt.Errorf("from %q to %q: %w", c.State, to, ErrNote)
	}
	switch to {
	case store.CaseWaiting, store.CaseDone:
		if c.State != store.CaseWaiting || ch.Fixed != nil {
			c.Fixed, c.Proof, c.Receivers, c.Relapse = today+1, 0, 0, 0
		}
		if ch.Fixed != nil && *ch.Fixed > 0 {
			c.Fixed = *ch.Fixed
		}
	case store.CaseFound, store.CaseContacted, store.CaseRepair:
		if c.State == store.CaseDone || c.State == store.CaseAccepted {
			c.Reopened++
		}
		c.Fixed, c.Proof, c.Receivers, c.Relapse = 0, 0, 0, 0
	case store.CaseAccepted:
		c.Fixed = 0
	}
	return nil
}

func stateList(states []store.CaseState) string {
	text := make([]string, len(states))
	for i, s := range states {
		text[i] = string(s)
	}
	return strings.Join(text, ", ")
}

// dayText is a day as it stands in a history, "" for none.
func dayText(d store.Day) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// departments returns the departments by number. That of number 0 is zero.
func (m *Manager) departments(ctx context.Context) (map[int64]store.Department, error) {
	all, err := m.c.Store.Departments(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]store.Department, len(all))
	for _, d := range all {
		out[d.ID] = d
	}
	return out, nil
}

// Sent notes in a case's history that a letter about it was taken: how is a
// format and a language, such as "mail, ja".
func (m *Manager) Sent(ctx context.Context, id int64, how, by string) error {
	return m.c.Store.NoteCase(ctx, id, time.Time{}, store.CaseEvent{At: m.c.Now().UTC(), By: by, Kind: "letter", To: how})
}
