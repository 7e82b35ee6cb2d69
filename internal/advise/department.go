package advise

import (
	"context"
	"fmt"

	"sekimori/internal/store"
)

// Departments gives the departments, and what was assigned to them: of a
// domain, or of all with "". *store.Store has it.
type Departments interface {
	Departments(ctx context.Context) ([]store.Department, error)
	Assignments(ctx context.Context, domain string) ([]store.Assignment, error)
}

// department returns a department's name by its number, "" for 0.
func (a *Advisor) department(ctx context.Context, id int64) (string, error) {
	if id == 0 {
		return "", nil
	}
	if a.c.Departments != nil {
		list, err := a.c.Departments.Departments(ctx)
		if err != nil {
			return "", err
		}
		for _, d := range list {
			if d.ID == id {
				return d.Name, nil
			}
		}
	}
	return "", fmt.Errorf("department %d: %w", id, store.ErrNotFound)
}

// departments says whose each source is: what is more particular wins, a
// source before its most used author domain before the whole domain.
func (n *analysis) departments() error {
	d := n.a.c.Departments
	if d == nil {
		return nil
	}
	list, err := d.Departments(n.ctx)
	if err != nil || len(list) == 0 {
		return err
	}
	assigned, err := d.Assignments(n.ctx, n.scene.domain)
	if err != nil {
		return err
	}
	name := map[int64]string{}
	for _, x := range list {
		name[x.ID] = x.Name
	}
	byKey, byAuthor, all := map[string]string{}, map[string]string{}, ""
	for _, x := range assigned {
		switch to := name[x.Department]; {
		case x.Domain != "" && x.Domain != n.scene.domain:
		case x.Key != "":
			byKey[x.Key] = to
		case x.Subdomain != "":
			byAuthor[x.Subdomain] = to
		default:
			all = to
		}
	}
	for _, g := range n.groups {
		to, ok := byKey[g.key]
		if !ok && g.word != nil && g.word.key != "" { // found again under another key
			to, ok = byKey[g.word.key]
		}
		if !ok {
			to, ok = byAuthor[g.headerFrom.top()]
		}
		if !ok && !g.rest && g.class != Spoof {
			to = all
		}
		g.department = to
	}
	return nil
}
