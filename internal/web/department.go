package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sekimori/domain"
	"sekimori/internal/store"
	"sekimori/internal/web/access"
	"sekimori/internal/web/api"
)

// departmentsView is the list of departments.
type departmentsView struct {
	Said, Problem string // Problem: code
	Rows          []departmentLine
	New           store.Department // what was typed into a form that was not taken
	List          *listing
	By            string
}

type departmentLine struct {
	store.Department
	URL, BoardURL, OverviewURL string
	Assignments                int
	Open                       int64
	Links                      int // share links that are good
}

func (s *server) departments(w http.ResponseWriter, r *http.Request, p *page) error {
	return s.departmentsPage(r, p, &departmentsView{Said: p.said()})
}

func (s *server) departmentsPage(r *http.Request, p *page, v *departmentsView) error {
	ctx := r.Context()
	all, err := s.Work.Store.Departments(ctx)
	if err != nil {
		return err
	}
	assigned, err := s.Work.Store.Assignments(ctx, "")
	if err != nil {
		return err
	}
	v.By = lastPerson(r)
	v.List = p.list("webwork.departments.list", []string{"name"}).exports("departments", "lang", string(p.Lang))
	v.List.Path = "/departments"
	slices.SortFunc(all, func(a, b store.Department) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	all = slices.DeleteFunc(all, func(d store.Department) bool {
		return v.List.Search != "" && !strings.Contains(strings.ToLower(d.Name+" "+d.Contact), strings.ToLower(v.List.Search))
	})
	from, to := v.List.cut(len(all))
	now := s.Work.Clock()
	for _, d := range all[from:to] {
		line := departmentLine{Department: d, URL: departmentURL(d.ID), BoardURL: withQuery("/work", nil, "department", idText(d.ID)), OverviewURL: withQuery("/", nil, "department", idText(d.ID))}
		for _, a := range assigned {
			if a.Department == d.ID {
				line.Assignments++
			}
		}
		if _, line.Open, err = s.Work.Store.Cases(ctx, store.CaseFilter{Department: d.ID, States: openStates[:]}, store.Page{Limit: 1}); err != nil {
			return err
		}
		shares, err := s.Work.Store.Shares(ctx, d.ID)
		if err != nil {
			return err
		}
		for _, l := range shares {
			if stateOfLink(l, now) == "good" {
				line.Links++
			}
		}
		v.Rows = append(v.Rows, line)
	}
	p.template, p.Nav, p.IsTop, p.Data = "departments", "departments", true, v
	p.Title = p.text("webwork.departments.title")
	return nil
}

func departmentURL(id int64) string { return "/departments/" + strconv.FormatInt(id, 10) }

// departmentOf reads a department out of a form; the code says what is wrong
// with it, "" for nothing.
func (s *server) departmentOf(r *http.Request, id int64) (d store.Department, problem string, err error) {
	d = store.Department{ID: id, Name: api.Line(r.PostForm.Get("name")), Contact: api.Line(r.PostForm.Get("contact")), Note: api.Note(r.PostForm.Get("note"))}
	if d.Name == "" {
		return d, "webwork.problem.name", nil
	}
	if !plainAddress(d.Contact) {
		return d, "webwork.problem.contact", nil
	}
	all, err := s.Work.Store.Departments(r.Context())
	for _, other := range all {
		if other.ID == id {
			d.Created = other.Created
		} else if strings.EqualFold(other.Name, d.Name) {
			problem = "webwork.problem.taken"
		}
	}
	return d, problem, err
}

// plainAddress reports whether a text is one mail address and nothing else,
// or empty.
func plainAddress(s string) bool {
	if s == "" {
		return true
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Name == "" && a.Address == s && !strings.ContainsAny(s, "\"<> ,;")
}

func (s *server) addDepartment(w http.ResponseWriter, r *http.Request, p *page) error {
	if err := form(w, r); err != nil {
		return err
	}
	d, problem, err := s.departmentOf(r, 0)
	if err != nil {
		return err
	}
	if problem != "" {
		p.status = http.StatusUnprocessableEntity
		return s.departmentsPage(r, p, &departmentsView{Problem: problem, New: d})
	}
	d.Created = s.Work.Clock().UTC()
	if d, err = s.Work.Store.PutDepartment(r.Context(), d); err != nil {
		return err
	}
	return done(w, r, p, departmentURL(d.ID), "added")
}

// departmentView is one department.
type departmentView struct {
	store.Department
	Said, Problem, ShareProblem string // problems are codes
	URL, BoardURL, OverviewURL  string
	By                          string
	Domains                     []string
	Assigned                    []assignmentLine
	AssignDomain, AssignSub     string // typed into a form that was not taken
	Links                       []linkLine
	Token                       string // of a link made just now: shown this once
	Days                        []linkDays
}

type linkDays struct {
	Days     int
	Selected bool
}

type assignmentLine struct {
	store.Assignment
	What, Name string // What: "domain", "subdomain" or "source"
	DomainName string
	URL        string
	When       moment
}

type linkLine struct {
	store.Share
	State                    string // "good", "expired" or "revoked"
	Made, Until, Ended, Used moment
}

// linkLengths are for how many days a link may be good.
var linkLengths = [...]int{7, 30, 90, 365}

func stateOfLink(l store.Share, now time.Time) string {
	switch {
	case !l.Revoked.IsZero():
		return "revoked"
	case !now.Before(l.Expires):
		return "expired"
	}
	return "good"
}

// departmentNamed finds the department that the path names.
func (s *server) departmentNamed(r *http.Request) (store.Department, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return store.Department{}, errNotFound
	}
	d, err := s.Work.Department(r.Context(), id)
	if errors.Is(err, api.ErrUnknownDepartment) {
		return d, errNotFound
	}
	return d, err
}

func (s *server) department(w http.ResponseWriter, r *http.Request, p *page) error {
	d, err := s.departmentNamed(r)
	if err != nil {
		return err
	}
	v := &departmentView{Department: d, Said: p.said()}
	if v.Said == "made" {
		if v.Token = s.made.take(d.ID, s.Work.Clock()); v.Token != "" {
			w.Header().Set("Cache-Control", "no-store")
		}
	}
	return s.departmentPage(r, p, v)
}

func (s *server) departmentPage(r *http.Request, p *page, v *departmentView) error {
	ctx := r.Context()
	id := v.Department.ID
	v.URL, v.BoardURL, v.OverviewURL = departmentURL(id), withQuery("/work", nil, "department", idText(id)), withQuery("/", nil, "department", idText(id))
	v.By = lastPerson(r)
	names, err := s.Store.DomainNames(ctx)
	if err != nil {
		return err
	}
	v.Domains = names[:min(len(names), mostDomains)]
	assigned, err := s.Work.Store.Assignments(ctx, "")
	if err != nil {
		return err
	}
	for _, a := range assigned {
		if a.Department != id {
			continue
		}
		line := assignmentLine{Assignment: a, What: "domain", When: p.at(a.At), URL: withQuery(domainURL(a.Domain, 30), nil, "department", idText(id))}
		line.DomainName, _ = namesOf(a.Domain)
		switch {
		case a.Key != "":
			line.What, line.Name = "source", keyName(a.Key)
		case a.Subdomain != "":
			line.What = "subdomain"
			line.Name, _ = namesOf(a.Subdomain)
		}
		v.Assigned = append(v.Assigned, line)
	}
	shares, err := s.Work.Store.Shares(ctx, id)
	if err != nil {
		return err
	}
	now := s.Work.Clock()
	slices.SortStableFunc(shares, func(a, b store.Share) int { return b.Created.Compare(a.Created) })
	for _, l := range shares[:min(len(shares), shown)] {
		v.Links = append(v.Links, linkLine{Share: l, State: stateOfLink(l, now), Made: p.at(l.Created), Until: p.at(l.Expires), Ended: p.at(l.Revoked), Used: p.at(l.LastUsed)})
	}
	for _, n := range linkLengths {
		v.Days = append(v.Days, linkDays{n, n == 30})
	}
	p.template, p.Nav, p.Data = "department", "departments", v
	p.Title = v.Name
	p.Crumbs = []crumb{{p.text("webwork.departments.title"), "/departments"}, {v.Name, ""}}
	return nil
}

// keyName is what of a source's key a person can read.
func keyName(key string) string {
	if _, name, ok := strings.Cut(key, ":"); ok && name != "" {
		key = name
	}
	return strings.TrimRight(key, "/")
}

func (s *server) editDepartment(w http.ResponseWriter, r *http.Request, p *page) error {
	old, err := s.departmentNamed(r)
	if err != nil {
		return err
	}
	if err := form(w, r); err != nil {
		return err
	}
	d, problem, err := s.departmentOf(r, old.ID)
	if err != nil {
		return err
	}
	if problem != "" {
		p.status = http.StatusUnprocessableEntity
		return s.departmentPage(r, p, &departmentView{Department: d, Problem: problem})
	}
	if _, err := s.Work.Store.PutDepartment(r.Context(), d); err != nil {
		return err
	}
	return done(w, r, p, departmentURL(d.ID), "saved")
}

func (s *server) removeDepartment(w http.ResponseWriter, r *http.Request, p *page) error {
	d, err := s.departmentNamed(r)
	if err != nil {
		return err
	}
	if err := s.Work.Store.RemoveDepartment(r.Context(), d.ID); err != nil {
		return err
	}
	return done(w, r, p, "/departments", "removed")
}

// assignPart gives a domain or a sub-domain to a department, or with "remove"
// takes away whatever the form names.
func (s *server) assignPart(w http.ResponseWriter, r *http.Request, p *page) error {
	d, err := s.departmentNamed(r)
	if err != nil {
		return err
	}
	if err := form(w, r); err != nil {
		return err
	}
	v := &departmentView{Department: d, AssignDomain: api.Line(r.PostForm.Get("domain")), AssignSub: api.Line(r.PostForm.Get("subdomain"))}
	a := store.Assignment{Department: d.ID, Key: clip(r.PostForm.Get("key"), 500), By: person(w, r), At: s.Work.Clock().UTC()}
	outcome := "assigned"
	if r.PostForm.Get("remove") != "" {
		a.Department, outcome = 0, "removed"
	}
	name, err := domain.Parse(v.AssignDomain)
	if err != nil {
		p.status, v.Problem = http.StatusUnprocessableEntity, "webwork.problem.domain"
		return s.departmentPage(r, p, v)
	}
	a.Domain = name.String()
	if v.AssignSub != "" {
		sub, err := domain.Parse(v.AssignSub)
		if err != nil || !sub.IsSubdomainOf(name) || sub == name {
			p.status, v.Problem = http.StatusUnprocessableEntity, "webwork.problem.subdomain"
			return s.departmentPage(r, p, v)
		}
		a.Subdomain = sub.String()
	}
	if a.Department != 0 {
		if _, ok, err := s.Store.Newest(r.Context(), a.Domain); err != nil {
			return err
		} else if !ok {
			p.status, v.Problem = http.StatusUnprocessableEntity, "webwork.problem.no-reports"
			return s.departmentPage(r, p, v)
		}
	}
	if err := s.Work.Assign(r.Context(), a); err != nil {
		return err
	}
	return done(w, r, p, departmentURL(d.ID), outcome)
}

func (s *server) makeLink(w http.ResponseWriter, r *http.Request, p *page) error {
	d, err := s.departmentNamed(r)
	if err != nil {
		return err
	}
	if err := form(w, r); err != nil {
		return err
	}
	days, _ := strconv.Atoi(r.PostForm.Get("days"))
	if !slices.Contains(linkLengths[:], days) {
		return errBadQuery
	}
	by := person(w, r)
	if by == "" {
		p.status = http.StatusUnprocessableEntity
		return s.departmentPage(r, p, &departmentView{Department: d, ShareProblem: "webwork.problem.by"})
	}
	now := s.Work.Clock().UTC()
	token, hash := access.NewToken()
	if _, err := s.Work.Store.PutShare(r.Context(), store.Share{Department: d.ID, Hash: hash, Created: now, Expires: now.AddDate(0, 0, days), By: by}); err != nil {
		return err
	}
	s.made.put(d.ID, token, now)
	return done(w, r, p, departmentURL(d.ID), "made")
}

func (s *server) revokeLink(w http.ResponseWriter, r *http.Request, p *page) error {
	d, err := s.departmentNamed(r)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(r.PathValue("link"), 10, 64)
	if err != nil {
		return errNotFound
	}
	shares, err := s.Work.Store.Shares(r.Context(), d.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(shares, func(l store.Share) bool { return l.ID == id })
	if i < 0 {
		return errNotFound
	}
	if shares[i].Revoked.IsZero() {
		shares[i].Revoked = s.Work.Clock().UTC()
		if _, err := s.Work.Store.PutShare(r.Context(), shares[i]); err != nil {
			return err
		}
	}
	return done(w, r, p, departmentURL(d.ID), "revoked")
}

// madeLinks keeps the tokens of new links until the page that follows has
// shown them, for a minute at most; the store keeps their hashes only.
type madeLinks struct {
	mu   sync.Mutex
	kept map[int64]madeLink // by department
}

type madeLink struct {
	token string
	at    time.Time
}

const madeFor = time.Minute

func (m *madeLinks) put(department int64, token string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[int64]madeLink{}
	}
	for id, l := range m.kept {
		if now.Sub(l.at) > madeFor {
			delete(m.kept, id)
		}
	}
	m.kept[department] = madeLink{token, now}
}

func (m *madeLinks) take(department int64, now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.kept[department]
	delete(m.kept, department)
	if now.Sub(l.at) > madeFor {
		return ""
	}
	return l.token
}
