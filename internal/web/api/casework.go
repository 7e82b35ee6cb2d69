package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/internal/repair"
	"sekimori/internal/store"
)

// CaseID is the case that an operation is asked about.
type CaseID struct {
	ID int64 `path:"id" minimum:"1" doc:"A case's number."`
}

// CaseQuery narrows a list of cases.
type CaseQuery struct {
	Domain     string `query:"domain" maxLength:"254" doc:"Only cases of this policy domain."`
	Department int64  `query:"department" minimum:"0" doc:"Only cases of this department."`
	Owner      string `query:"owner" maxLength:"400" doc:"Only cases of this owner, whatever the case."`
	State      string `query:"state" enum:"found,contacted,in-repair,waiting-for-proof,done,accepted" doc:"Only cases in this state."`
	Open       bool   `query:"open" doc:"Only cases that are neither done nor accepted."`
	Overdue    bool   `query:"overdue" doc:"Only cases that were due before today and are not done."`
}

// openStates are the states of work that is not over.
var openStates = [...]store.CaseState{store.CaseFound, store.CaseContacted, store.CaseRepair, store.CaseWaiting}

func (q *CaseQuery) filter(today store.Day) store.CaseFilter {
	f := store.CaseFilter{Domain: q.Domain, Department: q.Department, Owner: q.Owner}
	switch {
	case q.State != "":
		f.States = []store.CaseState{store.CaseState(q.State)}
	case q.Open:
		f.States = openStates[:]
	}
	if q.Overdue {
		f.Due = today
	}
	return f
}

// caseLine is a case as the interface shows it.
type caseLine struct {
	store.Case
	Due      *store.Day `json:"due" format:"date" doc:"null for none."`
	Fixed    *store.Day `json:"fixed" format:"date" doc:"The day from which on it is said to be fixed; null for not yet."`
	LastDay  *store.Day `json:"last_day" format:"date" doc:"Of its mail."`
	Reminded *time.Time `json:"reminded" doc:"The last reminder; null for none."`
	Overdue  bool       `json:"overdue" doc:"Due before today, and not over."`
}

func caseOf(c store.Case, today store.Day) caseLine {
	c.Networks, c.Identities = notNil(c.Networks), notNil(c.Identities)
	l := caseLine{Case: c, Due: dayOrNone(c.Due), Fixed: dayOrNone(c.Fixed), LastDay: dayOrNone(c.LastDay), Overdue: c.Due != 0 && c.Due < today && slices.Contains(openStates[:], c.State)}
	if !c.Reminded.IsZero() {
		l.Reminded = &c.Reminded
	}
	return l
}

func dayOrNone(d store.Day) *store.Day {
	if d == 0 {
		return nil
	}
	return &d
}

type caseList struct {
	Total int64      `json:"total" doc:"How many there are in all pages."`
	Cases []caseLine `json:"cases"`
}

type caseDetail struct {
	caseLine
	History []store.CaseEvent `json:"history" doc:"The oldest line first."`
	Next    []store.CaseState `json:"next" doc:"The states that a person may take it to."`
}

// caseChange is what is to be changed of a case; what is absent stays.
type caseChange struct {
	State      *store.CaseState `json:"state,omitempty" enum:"found,contacted,in-repair,waiting-for-proof,done,accepted"`
	Owner      *string          `json:"owner,omitempty" maxLength:"800" doc:"A person, or an address."`
	Department *int64           `json:"department,omitempty" minimum:"0" doc:"0 for none."`
	Due        *string          `json:"due,omitempty" pattern:"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$" doc:"YYYY-MM-DD; empty for none."`
	Note       *string          `json:"note,omitempty" maxLength:"16000"`
	By         string           `json:"by" minLength:"1" maxLength:"800" doc:"Who changes it."`
	Seen       time.Time        `json:"seen,omitempty" doc:"The case's time of change as it was read; where it has changed since, the answer is 409. Absent: whatever it is now."`
}

func (s *server) caseOperations(a huma.API) {
	huma.Register(a, get("list-cases", "/cases", "work", "Pieces of work: sources of ours that fail"),
		func(ctx context.Context, in *struct {
			CaseQuery
			Page
			Sort string `query:"sort" enum:"changed,due,urgent,failing,messages,name,domain,owner,opened,state" doc:"Default: what changed last."`
		}) (*answer[caseList], error) {
			today := s.Work.Today()
			list, total, err := s.Work.Store.Cases(ctx, in.filter(today), in.sorted(in.Sort))
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			out := caseList{Total: total, Cases: make([]caseLine, len(list))}
			for i, c := range list {
				out.Cases[i] = caseOf(c, today)
			}
			return reply(out), nil
		})

	detail := func(ctx context.Context, c store.Case) (*answer[caseDetail], error) {
		events, err := s.Work.Store.CaseEvents(ctx, c.ID)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return reply(caseDetail{caseOf(c, s.Work.Today()), notNil(events), notNil(repair.Next(c.State))}), nil
	}
	huma.Register(a, get("get-case", "/cases/{id}", "work", "A piece of work and its history"),
		func(ctx context.Context, in *struct{ CaseID }) (*answer[caseDetail], error) {
			c, err := s.Work.Store.Case(ctx, in.ID)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return detail(ctx, c)
		})

	if s.Work.Repair == nil {
		return
	}
	huma.Register(a, huma.Operation{OperationID: "change-case", Method: http.MethodPatch, Path: "/cases/{id}", Tags: []string{"work"}, Summary: "Carry a piece of work on",
		Errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity}},
		func(ctx context.Context, in *struct {
			CaseID
			Body caseChange
		}) (*answer[caseDetail], error) {
			b := &in.Body
			change := repair.Change{State: b.State, Department: b.Department, By: Line(b.By), Seen: b.Seen}
			if change.By == "" {
				return nil, huma.Error422UnprocessableEntity("by: who changes it?")
			}
			if b.Owner != nil {
				owner := Line(*b.Owner)
				change.Owner = &owner
			}
			if b.Note != nil {
				note := Note(*b.Note)
				change.Note = &note
			}
			if b.Due != nil {
				var due store.Day
				if err := due.UnmarshalText([]byte(*b.Due)); *b.Due != "" && err != nil {
					return nil, huma.Error422UnprocessableEntity("due: " + err.Error())
				}
				change.Due = &due
			}
			c, err := s.Work.Repair.Set(ctx, in.ID, change)
			switch {
			case errors.Is(err, repair.ErrChanged):
				return nil, huma.Error409Conflict("somebody else has changed it: read it again")
			case errors.Is(err, repair.ErrState), errors.Is(err, repair.ErrNote):
				return nil, huma.Error422UnprocessableEntity(err.Error())
			case err != nil:
				return nil, s.fail(ctx, err)
			}
			return detail(ctx, c)
		})
}
