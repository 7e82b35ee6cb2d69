package api

import (
	"context"
	"errors"
	"net/http"
	"net/mail"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/domain"
	"sekimori/internal/store"
)

type departmentList struct {
	Departments []store.Department `json:"departments"`
}

// departmentBody is a department as it is to be.
type departmentBody struct {
	Name    string `json:"name" minLength:"1" maxLength:"800"`
	Contact string `json:"contact,omitempty" maxLength:"320" doc:"A mail address that reminders go to."`
	Note    string `json:"note,omitempty" maxLength:"16000"`
}

func (b *departmentBody) of(d store.Department) (store.Department, error) {
	d.Name, d.Contact, d.Note = Line(b.Name), Line(b.Contact), Note(b.Note)
	if d.Name == "" {
		return d, huma.Error422UnprocessableEntity("name: the department needs one")
	}
	if a, err := mail.ParseAddress(d.Contact); d.Contact != "" && (err != nil || a.Address != d.Contact) {
		return d, huma.Error422UnprocessableEntity("contact: want one mail address, such as kanko@city.example.jp")
	}
	return d, nil
}

// DepartmentID is the department that an operation is asked about.
type DepartmentID struct {
	ID int64 `path:"id" minimum:"1" doc:"A department's number."`
}

type assignmentList struct {
	Assignments []store.Assignment `json:"assignments"`
}

// assignmentBody says that something belongs to a department.
type assignmentBody struct {
	Department int64  `json:"department" minimum:"0" doc:"0 takes an assignment back."`
	Domain     string `json:"domain" maxLength:"254"`
	Subdomain  string `json:"subdomain,omitempty" maxLength:"254" doc:"An author domain below it; empty for all."`
	Key        string `json:"key,omitempty" maxLength:"500" doc:"The key of a source; empty for all."`
	By         string `json:"by" minLength:"1" maxLength:"800"`
}

func (s *server) departmentOperations(a huma.API) {
	write := func(id, method, path, summary string, status int) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{"departments"}, Summary: summary, DefaultStatus: status,
			Errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity}}
	}
	huma.Register(a, get("list-departments", "/departments", "departments", "The departments"),
		func(ctx context.Context, _ *struct{}) (*answer[departmentList], error) {
			all, err := s.Work.Store.Departments(ctx)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(departmentList{notNil(all)}), nil
		})
	put := func(ctx context.Context, d store.Department) (*answer[store.Department], error) {
		all, err := s.Work.Store.Departments(ctx)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		for _, other := range all {
			if other.ID != d.ID && strings.EqualFold(other.Name, d.Name) {
				return nil, huma.Error409Conflict("name: there is a department of that name already")
			}
		}
		if d, err = s.Work.Store.PutDepartment(ctx, d); err != nil {
			return nil, s.fail(ctx, err)
		}
		return reply(d), nil
	}
	huma.Register(a, write("add-department", http.MethodPost, "/departments", "Add a department", http.StatusCreated),
		func(ctx context.Context, in *struct{ Body departmentBody }) (*answer[store.Department], error) {
			d, err := in.Body.of(store.Department{Created: s.Work.Clock().UTC()})
			if err != nil {
				return nil, err
			}
			return put(ctx, d)
		})
	huma.Register(a, write("change-department", http.MethodPut, "/departments/{id}", "Change a department", http.StatusOK),
		func(ctx context.Context, in *struct {
			DepartmentID
			Body departmentBody
		}) (*answer[store.Department], error) {
			old, err := s.departmentNamed(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			d, err := in.Body.of(old)
			if err != nil {
				return nil, err
			}
			return put(ctx, d)
		})
	huma.Register(a, write("remove-department", http.MethodDelete, "/departments/{id}", "Remove a department, its assignments and its links", http.StatusNoContent),
		func(ctx context.Context, in *struct{ DepartmentID }) (*struct{}, error) {
			if _, err := s.departmentNamed(ctx, in.ID); err != nil {
				return nil, err
			}
			return nil, s.fail(ctx, s.Work.Store.RemoveDepartment(ctx, in.ID))
		})
	huma.Register(a, get("list-assignments", "/assignments", "departments", "What belongs to which department"),
		func(ctx context.Context, in *struct {
			Domain     string `query:"domain" maxLength:"254" doc:"Only of this policy domain."`
			Department int64  `query:"department" minimum:"0" doc:"Only of this department."`
		}) (*answer[assignmentList], error) {
			all, err := s.Work.Store.Assignments(ctx, in.Domain)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			out := assignmentList{Assignments: []store.Assignment{}}
			for _, one := range all {
				if in.Department == 0 || one.Department == in.Department {
					out.Assignments = append(out.Assignments, one)
				}
			}
			return reply(out), nil
		})
	huma.Register(a, write("assign", http.MethodPost, "/assignments", "Say that a domain, a sub-domain or a source belongs to a department", http.StatusNoContent),
		func(ctx context.Context, in *struct{ Body assignmentBody }) (*struct{}, error) {
			b := &in.Body
			name, err := parseName(b.Domain)
			if err != nil {
				return nil, err
			}
			one := store.Assignment{Department: b.Department, Domain: name.String(), Key: b.Key, By: Line(b.By), At: s.Work.Clock().UTC()}
			if b.Subdomain != "" {
				sub, err := domain.Parse(b.Subdomain)
				if err != nil || sub == name || !sub.IsSubdomainOf(name) {
					return nil, huma.Error422UnprocessableEntity("subdomain: want a name below " + name.String())
				}
				one.Subdomain = sub.String()
			}
			if b.Department != 0 {
				if _, err := s.departmentNamed(ctx, b.Department); err != nil {
					return nil, err
				}
			}
			return nil, s.fail(ctx, s.Work.Assign(ctx, one))
		})
}

// departmentNamed finds a department; 404 where there is none.
func (s *server) departmentNamed(ctx context.Context, id int64) (store.Department, error) {
	if s.Work == nil {
		return store.Department{}, huma.Error404NotFound("no such department")
	}
	d, err := s.Work.Department(ctx, id)
	if errors.Is(err, ErrUnknownDepartment) {
		return d, huma.Error404NotFound("no such department")
	}
	return d, s.fail(ctx, err)
}
