package repair

import (
	"context"
	"errors"

	"sekimori/internal/store"
)

// assignments is whose the parts of a domain are.
type assignments struct {
	byKey, byAuthor map[string]int64
	all             int64
	departments     map[int64]store.Department
}

func (m *Manager) assignments(ctx context.Context, domain string) (assignments, error) {
	out := assignments{byKey: map[string]int64{}, byAuthor: map[string]int64{}}
	list, err := m.c.Store.Assignments(ctx, domain)
	if err != nil {
		return out, err
	}
	for _, a := range list {
		switch {
		case a.Key != "":
			out.byKey[a.Key] = a.Department
		case a.Subdomain != "":
			out.byAuthor[a.Subdomain] = a.Department
		default:
			out.all = a.Department
		}
	}
	out.departments, err = m.departments(ctx)
	return out, err
}

// take gives a case the department that its source is assigned to, unless a
// person chose one, and says from which to which. What is more particular wins:
// a source before its most used author domain before the whole domain.
func (a assignments) take(w *work) ([2]string, bool) {
	if w.facts.ByHand || w.State == store.CaseDone || w.State == store.CaseAccepted {
		return [2]string{}, false
	}
	to, ok := a.byKey[w.Key]
	if !ok && w.source != nil {
		to, ok = a.byKey[w.source.Key]
	}
	if !ok && len(w.facts.Source.HeaderFrom) > 0 {
		to, ok = a.byAuthor[w.facts.Source.HeaderFrom[0]]
	}
	if !ok {
		to = a.all
	}
	if to == w.Department {
		return [2]string{}, false
	}
	names := [2]string{a.departments[w.Department].Name, a.departments[to].Name}
	w.Department = to
	return names, true
}

// Reassign gives a domain's cases the departments that its sources are
// assigned to, as Refresh does: to be called when that was changed.
func (m *Manager) Reassign(ctx context.Context, domain string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	assign, err := m.assignments(ctx, domain)
	if err != nil {
		return err
	}
	cases, err := m.c.Store.DomainCases(ctx, domain)
	if err != nil {
		return err
	}
	for _, c := range cases {
		w := &work{Case: c, facts: readFacts(c.Facts)}
		e, ok := assign.take(w)
		if !ok {
			continue
		}
		_, err := m.c.Store.PutCase(ctx, w.Case, store.CaseEvent{At: m.c.Now().UTC(), Kind: "department", From: e[0], To: e[1]})
		if err != nil && !errors.Is(err, store.ErrConflict) { // a person was quicker: the next refresh does it
			return err
		}
	}
	return nil
}
