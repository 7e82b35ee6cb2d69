package web

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekimori/internal/locale"
	"sekimori/internal/publish"
	"sekimori/internal/repair"
	"sekimori/internal/store"
	"sekimori/internal/web/api"
)

// caseView is one piece of work.
type caseView struct {
	store.Case
	Said, Problem       string // Problem: code
	URL, SourceURL      string
	Title, DomainName   string
	Tone                string
	Due                 dueView
	DepartmentName      string
	OpenedAt, ChangedAt moment
	Need                proofNeed
	Form                caseForm
	States              []stateChoice
	Departments         []departmentLink
	Events              []eventLine
	Letter              *caseLetterView
	Editable            bool
}

// proofNeed is what the reports have to show before a fix counts as proven.
type proofNeed struct{ Messages, Receivers uint64 }

// caseForm is what the form shows: the case, or what was typed and not taken.
type caseForm struct {
	Owner, Note, By string
	Due             string
	State           store.CaseState
	Department      int64
	Seen            string // Case.Changed when the form was made
}

type stateChoice struct {
	State    store.CaseState
	Selected bool
}

// eventLine is one line of a case's history.
type eventLine struct {
	store.CaseEvent
	When moment
	Who  string // "" for the program
	Text string
	Note string
}

// caseLetterView is the letter about a case, as the page shows it before it is
// taken along.
type caseLetterView struct {
	Piece template.HTML // made and escaped by package publish
	Lang  locale.Lang
	Langs []letterLang
	Files []letterFile
	Fault bool // it could not be made
}

type letterLang struct {
	Lang    locale.Lang
	Name    string
	URL     string
	Current bool
}

type letterFile struct{ URL, Label string } // Label: code

// caseNamed finds the case that the path names.
func (s *server) caseNamed(r *http.Request) (store.Case, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return store.Case{}, errNotFound
	}
	return s.Work.Store.Case(r.Context(), id)
}

func (s *server) workCase(w http.ResponseWriter, r *http.Request, p *page) error {
	c, err := s.caseNamed(r)
	if err != nil {
		return err
	}
	return s.casePage(r, p, &caseView{Case: c, Said: p.said()})
}

func (s *server) casePage(r *http.Request, p *page, v *caseView) error {
	ctx := r.Context()
	c := &v.Case
	today := s.Work.Today()
	v.URL, v.Editable = caseURL(c.ID), s.Work.Repair != nil
	v.SourceURL = sourceURL(c.Domain, c.Source, 30)
	departments, err := s.departmentNames(r)
	if err != nil {
		return err
	}
	v.fill(p, departments, today)
	if v.Form.Seen == "" {
		v.Form = caseForm{Owner: c.Owner, State: c.State, Department: c.Department, By: lastPerson(r), Seen: seenText(c.Changed)}
		if c.Due != 0 {
			v.Form.Due = c.Due.String()
		}
	}
	for _, st := range append([]store.CaseState{c.State}, repair.Next(c.State)...) {
		v.States = append(v.States, stateChoice{st, st == v.Form.State})
	}
	all, err := s.Work.Store.Departments(ctx)
	if err != nil {
		return err
	}
	for _, d := range all {
		v.Departments = append(v.Departments, departmentLink{d.ID, d.Name, d.ID == v.Form.Department})
	}
	events, err := s.Work.Store.CaseEvents(ctx, c.ID)
	if err != nil {
		return err
	}
	v.Events = eventLines(p, events)
	if s.Work.Letter != nil && s.Work.Repair != nil {
		v.Letter = s.letterFor(r, p, c.ID, v.URL)
	}
	p.template, p.Nav, p.Data = "case", "work", v
	p.Title = v.Title
	p.Crumbs = []crumb{{p.text("webwork.board.title"), "/work"}, {v.Title, ""}}
	return nil
}

// fill words what every page of a case shows.
func (v *caseView) fill(p *page, departments map[int64]string, today store.Day) {
	c := &v.Case
	v.Title, v.DepartmentName = caseTitle(p, c.Name), departments[c.Department]
	v.DomainName, _ = namesOf(c.Domain)
	v.Due, v.OpenedAt, v.ChangedAt = dueOf(p, c, today), p.at(c.Opened), p.at(c.Changed)
	switch {
	case c.State == store.CaseDone:
		v.Tone = "good"
	case v.Due.Tone == "bad", c.State == store.CaseFound:
		v.Tone = "warn"
	}
}

// seenText is a time as a form carries it unseen: to the microsecond, which is
// as exact as it is kept.
func seenText(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

func seenTime(s string) (time.Time, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}, errBadQuery
	}
	return time.UnixMicro(n).UTC(), nil
}

// eventLines words a history, the newest line first. The names of departments
// that were removed are gone; their numbers say nothing.
func eventLines(p *page, events []store.CaseEvent) []eventLine {
	out := make([]eventLine, 0, len(events))
	for _, e := range slices.Backward(events) {
		if e.Kind == "department" && e.From != "" && e.To == "" {
			if _, err := strconv.ParseInt(e.From, 10, 64); err == nil {
				e.From = p.text("webwork.department.gone")
			}
		}
		out = append(out, eventLine{CaseEvent: e, When: p.at(e.At), Who: e.By, Text: p.Lang.Bound(p.Lang.Step(repair.Said(e))), Note: repair.Text(e)})
	}
	return out
}

// letterFor makes the letter's view; what cannot be made is said on the page,
// and logged. base is the address of the case.
func (s *server) letterFor(r *http.Request, p *page, id int64, base string) *caseLetterView {
	v := &caseLetterView{Lang: p.Lang}
	if l, ok := locale.Parse(p.query.Get("letter")); ok {
		v.Lang = l
	}
	for _, l := range p.Languages() {
		v.Langs = append(v.Langs, letterLang{l.Lang, l.Name, p.with("letter", string(l.Lang), "said", "") + "#letter", l.Lang == v.Lang})
	}
	for _, f := range letterFormats {
		v.Files = append(v.Files, letterFile{withQuery(base+"/letter", nil, "format", string(f.name), "letter", string(v.Lang)), "webwork.letter." + string(f.name)})
	}
	var b bytes.Buffer
	if err := s.Work.WriteLetter(r.Context(), &b, id, v.Lang, publish.HTML); err != nil {
		s.Logger.Error("letter", "case", id, "err", err)
		v.Fault = true
		return v
	}
	v.Piece = template.HTML(b.String())
	return v
}

// letterFormats are the forms in which a letter is taken along.
var letterFormats = [...]struct {
	name         publish.Format
	kind, ending string
}{
	{publish.PDF, "application/pdf", ".pdf"},
	{publish.Mail, "message/rfc822", ".eml"},
	{publish.Text, "text/plain; charset=utf-8", ".txt"},
}

// caseLetter sends the letter as a file.
func (s *server) caseLetter(w http.ResponseWriter, r *http.Request, p *page) error {
	c, err := s.caseNamed(r)
	if err != nil {
		return err
	}
	return s.sendLetter(w, r, p, c, lastPerson(r))
}

// sendLetter sends a case's letter as a file, and notes that it was taken.
func (s *server) sendLetter(w http.ResponseWriter, r *http.Request, p *page, c store.Case, by string) error {
	if s.Work.Letter == nil || s.Work.Repair == nil {
		return errNotFound
	}
	q := r.URL.Query()
	lang := p.Lang
	if l, ok := locale.Parse(q.Get("letter")); ok {
		lang = l
	}
	for _, f := range letterFormats {
		if string(f.name) != q.Get("format") {
			continue
		}
		var b bytes.Buffer
		if err := s.Work.WriteLetter(r.Context(), &b, c.ID, lang, f.name); err != nil {
			return err
		}
		if err := s.Work.Repair.Sent(r.Context(), c.ID, string(f.name)+", "+string(lang), by); err != nil {
			return err
		}
		w.Header().Set("Content-Type", f.kind)
		send(w, s, &b, "attachment", fmt.Sprintf("letter-%s-%d-%s%s", c.Domain, c.ID, lang, f.ending))
		p.template = ""
		return nil
	}
	return errNotFound
}

// changeCase takes the form of a case.
func (s *server) changeCase(w http.ResponseWriter, r *http.Request, p *page) error {
	if s.Work.Repair == nil {
		return errMethod
	}
	c, err := s.caseNamed(r)
	if err != nil {
		return err
	}
	if err := form(w, r); err != nil {
		return err
	}
	f := r.PostForm
	typed := caseForm{Owner: api.Line(f.Get("owner")), Note: api.Note(f.Get("note")), By: person(w, r), Due: f.Get("due"), Seen: f.Get("seen")}
	seen, err := seenTime(typed.Seen)
	if err != nil {
		return err
	}
	due, err := dayFrom(strings.TrimSpace(typed.Due))
	if err != nil {
		return err
	}
	department, err := idOf(f.Get("department"))
	if err != nil {
		return err
	}
	state := store.CaseState(f.Get("state"))
	if !isState(state) {
		return errBadQuery
	}
	typed.State, typed.Department = state, department
	again := func(status int, problem string, fresh store.Case) error {
		typed.Seen = seenText(fresh.Changed)
		p.status = status
		return s.casePage(r, p, &caseView{Case: fresh, Problem: problem, Form: typed})
	}
	if typed.By == "" {
		return again(http.StatusUnprocessableEntity, "webwork.problem.by", c)
	}
	if !c.Changed.Equal(seen) {
		return again(http.StatusConflict, "webwork.problem.changed", c)
	}
	change := repair.Change{By: typed.By, Seen: seen}
	if state != c.State {
		change.State = &state
	}
	if typed.Owner != c.Owner {
		change.Owner = &typed.Owner
	}
	if department != c.Department {
		change.Department = &department
	}
	if due != c.Due {
		change.Due = &due
	}
	if typed.Note != "" {
		change.Note = &typed.Note
	}
	if change == (repair.Change{By: typed.By, Seen: seen}) {
		return again(http.StatusUnprocessableEntity, "webwork.problem.nothing", c)
	}
	_, err = s.Work.Repair.Set(r.Context(), c.ID, change)
	switch {
	case errors.Is(err, repair.ErrChanged):
		if c, err = s.caseNamed(r); err != nil {
			return err
		}
		return again(http.StatusConflict, "webwork.problem.changed", c)
	case errors.Is(err, repair.ErrState):
		return again(http.StatusUnprocessableEntity, "webwork.problem.state", c)
	case errors.Is(err, repair.ErrNote):
		return again(http.StatusUnprocessableEntity, "webwork.problem.note", c)
	case err != nil:
		return err
	}
	return done(w, r, p, caseURL(c.ID), "saved")
}
