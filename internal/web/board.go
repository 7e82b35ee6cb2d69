package web

import (
	"net/http"
	"slices"
	"strconv"

	"sekimori/internal/repair"
	"sekimori/internal/store"
	"sekimori/internal/web/api"
)

// openStates are the states of work that is not done, closedStates the others.
var (
	openStates   = [...]store.CaseState{store.CaseFound, store.CaseContacted, store.CaseRepair, store.CaseWaiting}
	closedStates = [...]store.CaseState{store.CaseDone, store.CaseAccepted}
)

// isState reports whether a token is a state of a case.
func isState(st store.CaseState) bool { return slices.Contains(repair.States[:], st) }

// boardCards is how many cases a column of the board shows; a link leads to
// the list of all.
const boardCards = 12

// boardView is the board of all work, or the list of one state.
type boardView struct {
	Said         string
	Narrow       *narrowing
	Tone, Answer string
	Evidence     string
	Open, Late   int64
	Total        int64 // of whatever the filters leave
	Filtered     bool
	Domain       string
	Owner        string
	Overdue      bool
	State        store.CaseState // the list of one state, "" for the board
	Domains      []string
	Departments  []departmentLink
	Owners       []string
	Columns      []boardColumn
	Rest         []boardColumn // work that is over
	List         *listing
	Rows         []caseLine
	States       []classFilter
	Base         string // how links to a case begin
}

type boardColumn struct {
	State store.CaseState
	Count int64
	More  int64
	URL   string
	Cases []caseLine
}

// caseLine is one case on the board or in a list.
type caseLine struct {
	store.Case
	URL, Title, DomainName string
	DepartmentName         string
	Due                    dueView
	Since                  moment
}

// dueView says by when something is due, and whether that is past.
type dueView struct {
	Day        store.Day
	Tone, Text string // Tone: "" in good time, "warn" soon, "bad" past
}

// soonDays is how many days before the day a case's due date is marked.
const soonDays = 3

// dueOf words a due date; today is in UTC as all days are.
func dueOf(p *page, c *store.Case, today store.Day) dueView {
	v := dueView{Day: c.Due}
	if c.Due == 0 {
		return v
	}
	v.Text = p.text("webwork.due.on", "day", c.Due.String())
	if slices.Contains(closedStates[:], c.State) {
		return v
	}
	switch left := int(c.Due) - int(today); {
	case left < 0:
		v.Tone, v.Text = "bad", p.text("webwork.due.late", "n", -left)
	case left == 0:
		v.Tone, v.Text = "warn", p.text("webwork.due.today")
	case left <= soonDays:
		v.Tone, v.Text = "warn", p.text("webwork.due.soon", "n", left)
	}
	return v
}

// names of departments by id.
func (s *server) departmentNames(r *http.Request) (map[int64]string, error) {
	all, err := s.Work.Store.Departments(r.Context())
	out := make(map[int64]string, len(all))
	for _, d := range all {
		out[d.ID] = d.Name
	}
	return out, err
}

func caseURL(id int64) string { return "/work/" + strconv.FormatInt(id, 10) }

// caseTitle is what a case is called: the name people gave its source, else
// the one that was found, of which a code is worded.
func caseTitle(p *page, name string) string {
	for _, code := range []string{"web.source.name." + name, "source." + name} {
		if name != "" && p.Lang.Has(code) {
			return p.text(code)
		}
	}
	return orDash(name)
}

func lineOf(p *page, c store.Case, base string, names map[int64]string, today store.Day) caseLine {
	l := caseLine{Case: c, URL: base + "/" + strconv.FormatInt(c.ID, 10), Title: caseTitle(p, c.Name), DepartmentName: names[c.Department], Due: dueOf(p, &c, today), Since: p.at(c.Changed)}
	l.DomainName, _ = namesOf(c.Domain)
	return l
}

func (s *server) board(w http.ResponseWriter, r *http.Request, p *page) error {
	ctx := r.Context()
	p.template, p.Nav, p.IsTop, p.Title = "work", "work", true, p.text("webwork.board.title")
	v := &boardView{Said: p.said(), Base: "/work", Domain: clip(p.query.Get("domain"), 254), Owner: api.Line(p.query.Get("owner")), Overdue: p.query.Get("overdue") == "1"}
	p.Data = v
	var err error
	if v.Narrow, err = s.narrowed(r, p); err != nil {
		return err
	}
	if v.Narrow != nil {
		v.Departments = v.Narrow.Departments
	}
	if st := store.CaseState(p.query.Get("state")); isState(st) {
		v.State = st
	}
	names, err := s.Store.DomainNames(ctx)
	if err != nil {
		return err
	}
	v.Domains = names[:min(len(names), mostDomains)]
	if v.Owners, err = s.Work.Store.CaseOwners(ctx); err != nil {
		return err
	}
	f := store.CaseFilter{Domain: v.Domain, Department: v.Narrow.department(), Owner: v.Owner}
	if v.Overdue {
		f.Due = s.Work.Today()
	}
	v.List = p.list("webwork.board.list", []string{"due", "failing", "name", "domain", "owner", "changed", "messages"}, "failing", "changed", "messages")
	v.Filtered = v.Domain != "" || v.Owner != "" || v.Overdue || v.Narrow.department() != 0 || v.List.Search != ""
	return s.boardOf(r, p, v, f)
}

// boardOf fills the board, or the list of one state, with what a filter leaves.
func (s *server) boardOf(r *http.Request, p *page, v *boardView, f store.CaseFilter) error {
	ctx := r.Context()
	departments, err := s.departmentNames(r)
	if err != nil {
		return err
	}
	today := s.Work.Today()
	late := f
	late.Due = today
	if _, v.Late, err = s.Work.Store.Cases(ctx, late, store.Page{Limit: 1, Search: v.List.Search}); err != nil {
		return err
	}
	counts := map[store.CaseState]int64{}
	for _, st := range repair.States {
		f.States = []store.CaseState{st}
		page := store.Page{Limit: boardCards, Sort: "urgent", Search: v.List.Search}
		if slices.Contains(closedStates[:], st) {
			page.Sort, page.Desc, page.Limit = "changed", true, boardCards/2
		}
		if v.State != "" {
			page.Limit = 1
		}
		cases, n, err := s.Work.Store.Cases(ctx, f, page)
		if err != nil {
			return err
		}
		counts[st] = n
		v.Total += n
		c := boardColumn{State: st, Count: n, More: max(0, n-int64(len(cases))), URL: v.List.url("state", string(st), "page", "", "said", "")}
		for _, one := range cases {
			c.Cases = append(c.Cases, lineOf(p, one, v.Base, departments, today))
		}
		if slices.Contains(openStates[:], st) {
			v.Open += n
			v.Columns = append(v.Columns, c)
		} else {
			v.Rest = append(v.Rest, c)
		}
		v.States = append(v.States, classFilter{string(st), int(n), c.URL, st == v.State})
	}
	switch {
	case v.Late > 0:
		v.Tone, v.Answer = "warn", p.text("webwork.board.late", "n", v.Late)
	case v.Open > 0:
		v.Answer = p.text("webwork.board.open", "n", v.Open)
	case v.Total > 0:
		v.Tone, v.Answer = "good", p.text("webwork.board.done")
	}
	v.Evidence = p.text("webwork.board.evidence", "open", v.Open, "waiting", counts[store.CaseWaiting], "done", counts[store.CaseDone])
	v.List.exports("cases", "domain", f.Domain, "department", idText(f.Department), "owner", f.Owner, "state", string(v.State), "overdue", flag(v.Overdue), "lang", string(p.Lang)).
		ordered("due", "failing", "name", "domain", "owner", "changed", "messages")
	if v.State == "" {
		return nil
	}
	f.States = []store.CaseState{v.State}
	cases, total, err := s.Work.Store.Cases(ctx, f, v.List.page())
	if err != nil {
		return err
	}
	v.List.Total = total
	for _, one := range cases {
		v.Rows = append(v.Rows, lineOf(p, one, v.Base, departments, today))
	}
	return nil
}
