package api

import (
	"context"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/internal/store"
)

// needWork refuses a table about the work where none is shown.
func (s *server) needWork(there bool) error {
	if s.Work == nil || !there {
		return huma.Error404NotFound("there is no such table here")
	}
	return nil
}

// departmentNames are the departments' names by number.
func (s *server) departmentNames(ctx context.Context) (map[int64]string, error) {
	all, err := s.Work.Store.Departments(ctx)
	out := make(map[int64]string, len(all))
	for _, d := range all {
		out[d.ID] = d.Name
	}
	return out, err
}

func casesTable() table {
	return table{
		work:  true,
		sorts: "changed,due,failing,messages,name,domain,owner,opened,state",
		columns: []column{{code: "case", kind: number}, {code: "domain", kind: text}, {code: "source", kind: text}, {code: "state", kind: text}, {code: "owner", kind: text}, {code: "department", kind: text}, {code: "due", kind: day}, {code: "failing", kind: number}, {code: "messages", kind: number},
			{code: "fixed", kind: day}, {code: "proof", kind: number}, {code: "receivers", kind: number}, {code: "relapse", kind: number}, {code: "reopened", kind: number}, {code: "opened", kind: moment}, {code: "changed", kind: moment}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			if err := s.needWork(true); err != nil {
				return err
			}
			if q.Department != 0 {
				if _, err := s.departmentNamed(ctx, q.Department); err != nil {
					return err
				}
			}
			names, err := s.departmentNames(ctx)
			if err != nil {
				return err
			}
			f := q.cases.filter(s.Work.Today())
			return q.all("id", func(p store.Page) (int, error) {
				list, _, err := s.Work.Store.Cases(ctx, f, p)
				if err != nil {
					return 0, err
				}
				for _, c := range list {
					if err := emit(c.ID, c.Domain, q.word("source.", c.Name), q.word("repair.state.", string(c.State)), c.Owner, names[c.Department], c.Due, c.Failing, c.Messages,
						c.Fixed, c.Proof, int64(c.Receivers), c.Relapse, int64(c.Reopened), c.Opened, c.Changed); err != nil {
						return 0, err
					}
				}
				return len(list), nil
			})
		},
	}
}

func departmentsTable() table {
	return table{
		work:    true,
		columns: []column{{code: "id", kind: text}, {code: "department", kind: text}, {code: "contact", kind: text}, {code: "domain", kind: text}, {code: "subdomain", kind: text}, {code: "source", kind: text}, {code: "by", kind: text}, {code: "at", kind: moment}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			if err := s.needWork(true); err != nil {
				return err
			}
			all, err := s.Work.Store.Departments(ctx)
			if err != nil {
				return err
			}
			assigned, err := s.Work.Store.Assignments(ctx, "")
			if err != nil {
				return err
			}
			for _, d := range all {
				id, n := strconv.FormatInt(d.ID, 10), 0
				for _, a := range assigned {
					if a.Department != d.ID {
						continue
					}
					n++
					if err := emit(id, d.Name, d.Contact, a.Domain, a.Subdomain, a.Key, a.By, a.At); err != nil {
						return err
					}
				}
				if n == 0 {
					if err := emit(id, d.Name, d.Contact, "", "", "", "", d.Created); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}

// inventoryPage is how many names of an inventory are taken at a time.
const inventoryPage = 5000

func inventoryTable() table {
	return table{
		work:    true,
		columns: []column{{code: "name", kind: text}, {code: "state", kind: text}, {code: "known_from", kind: text}, {code: "messages", kind: number}, {code: "failing", kind: number}, {code: "spoof", kind: number}, {code: "first_day", kind: day}, {code: "last_day", kind: day}, {code: "policy", kind: text}, {code: "publish", kind: text}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			if err := s.needWork(s.Work != nil && s.Work.Inventory != nil); err != nil {
				return err
			}
			name, err := q.Named.name()
			if err != nil {
				return err
			}
			q.name = name
			ask := q.names.query()
			for ask.Limit = inventoryPage; ; ask.Offset += inventoryPage {
				inv, err := s.Work.Inventory.Take(ctx, name, ask)
				if err != nil {
					return err
				}
				for _, n := range inv.Names {
					var origins, records []string
					for _, o := range n.Origins {
						origins = append(origins, q.word("webwork.origin.", o))
					}
					for _, r := range n.Advice {
						records = append(records, r.Name+". "+r.Type+" "+r.Value)
					}
					if err := emit(n.Name, q.word("webwork.names.", string(n.State)), strings.Join(origins, " "), n.Messages, n.Failing, n.Spoof, n.First, n.Last, n.Policy, strings.Join(records, "\n")); err != nil {
						return err
					}
				}
				if len(inv.Names) < inventoryPage {
					return nil
				}
			}
		},
	}
}

func timelineTable() table {
	return table{
		work:    true,
		columns: []column{{code: "at", kind: moment}, {code: "until", kind: moment}, {code: "kind", kind: text}, {code: "what", kind: text}, {code: "by", kind: text}, {code: "name", kind: text}, {code: "before", kind: text}, {code: "after", kind: text}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			if err := s.needWork(s.Work != nil && s.Work.Timeline != nil); err != nil {
				return err
			}
			name, err := q.Named.name()
			if err != nil {
				return err
			}
			q.name = name
			all, err := s.Work.Timeline.Timeline(ctx, name, s.Work.Clock().Add(-timelineBack))
			if err != nil {
				return err
			}
			for _, e := range all {
				if q.kind != "" && e.Kind != q.kind {
					continue
				}
				if err := emit(e.At, e.Until, q.word("webwork.kind-of.", e.Kind), q.lang.Step(e.Step), e.By, e.Name, e.Before, e.After); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
