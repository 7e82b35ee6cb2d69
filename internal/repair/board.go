package repair

import (
	"context"

	"sekimori/internal/store"
)

// Board is all work at a glance.
type Board struct {
	Columns []Column `json:"columns"` // in the order of States
	Total   int64    `json:"total"`
	Overdue int64    `json:"overdue"`
}

// Column is the cases of one state.
type Column struct {
	State store.CaseState `json:"state"`
	Count int64           `json:"count"` // of all of them
	Cases []store.Case    `json:"cases"` // the overdue first, then by the day they are due, then those with the most failing; at most 100
}

// columnMost is how many cases a column lists.
const columnMost = 100

// Board returns the cases that a filter leaves, by their states. States of the
// filter narrow the columns.
func (m *Manager) Board(ctx context.Context, f store.CaseFilter) (Board, error) {
	var b Board
	wanted := map[store.CaseState]bool{}
	for _, s := range f.States {
		wanted[s] = true
	}
	for _, s := range States {
		if len(wanted) > 0 && !wanted[s] {
			continue
		}
		g := f
		g.States = []store.CaseState{s}
		page := store.Page{Sort: "urgent", Limit: columnMost}
		if s == store.CaseDone || s == store.CaseAccepted {
			page.Sort = "" // the last first: nothing is urgent
		}
		cases, n, err := m.c.Store.Cases(ctx, g, page)
		if err != nil {
			return Board{}, err
		}
		if cases == nil {
			cases = []store.Case{}
		}
		b.Columns = append(b.Columns, Column{State: s, Count: n, Cases: cases})
		b.Total += n
	}
	if today := store.DayOf(m.c.Now()); f.Due == 0 || f.Due > today {
		f.Due = today
	}
	_, n, err := m.c.Store.Cases(ctx, f, store.Page{Limit: 1})
	b.Overdue = n
	return b, err
}
