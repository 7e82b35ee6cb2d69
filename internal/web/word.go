package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
	"sekimori/internal/web/api"
)

// whoseView is the part of a source's page that says whose the source is, how
// sure that is, and lets a person say better.
type whoseView struct {
	Probability   float64
	Chances       []chance
	Best          *chance // of an open source: the likeliest of the classes that would settle it
	For, Against  []explain.Step
	Question      *explain.Step
	Said          *wordLine // what was said last, where it decides or names
	Decided       bool      // the class is what a person said
	History       []wordLine
	URL           string // where the form goes; "" where nothing can be said
	Form          wordForm
	Problem, Done string // codes
	Departments   []departmentLink
	Department    string // whose it is
	Case          *caseLine
	Facts         []knownLine
}

// chance is the probability of one class.
type chance struct {
	Class string
	Share float64
	Gauge gauge
}

type knownLine struct{ Label, Text string } // Label: code

// wordLine is one thing that a person said.
type wordLine struct {
	store.Saying
	When moment
	Text string
}

// wordForm is what the form shows.
type wordForm struct{ Name, Note, By string }

// answers are what a person may say, by the value of the button, and the
// class that it means. "ours" leaves it to the figures whether it is broken.
var answers = map[string]string{
	"ours": string(advise.Aligned), "not-ours": string(advise.Spoof), "forwards": string(advise.Forwarder),
	"unsure": string(advise.Unknown), "back": "",
}

// answerOf is the button that stands for a class.
func answerOf(class string) string {
	switch advise.Class(class) {
	case advise.Aligned, advise.Broken:
		return "ours"
	case advise.Spoof:
		return "not-ours"
	case advise.Forwarder:
		return "forwards"
	case advise.Unknown:
		return "unsure"
	}
	return "back"
}

func chancesOf(p advise.Probabilities) []chance {
	var out []chance
	for _, c := range [...]struct {
		class advise.Class
		share float64
	}{{advise.Aligned, p.Aligned}, {advise.Broken, p.Broken}, {advise.Forwarder, p.Forwarder}, {advise.Unknown, p.Unknown}, {advise.Spoof, p.Spoof}} {
		out = append(out, chance{string(c.class), c.share, gauge{Kind: "chance " + string(c.class), Width: int(min(max(c.share, 0), 1)*100 + 0.5)}})
	}
	slices.SortStableFunc(out, func(a, b chance) int { return cmp.Compare(b.Share, a.Share) })
	return out
}

// sayingsOf returns what was said about one source, the newest first.
func (s *server) sayingsOf(ctx context.Context, name, key string) ([]store.Saying, error) {
	all, err := s.Work.Store.Sayings(ctx, name)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(w store.Saying) bool { return w.Key != key })
	slices.SortStableFunc(all, func(a, b store.Saying) int { return cmp.Compare(b.ID, a.ID) })
	return all, nil
}

// caseOf finds the case of a source; nil for none.
func (s *server) caseOf(ctx context.Context, name, key string) (*store.Case, error) {
	cases, _, err := s.Work.Store.Cases(ctx, store.CaseFilter{Domain: name, Key: key}, store.Page{Limit: 1})
	if err != nil || len(cases) == 0 || cases[0].Key != key {
		return nil, err
	}
	return &cases[0], nil
}

// whoseOf fills what the answer itself tells of a source.
func whoseOf(p *page, src *advise.Source) *whoseView {
	v := &whoseView{Decided: src.Word != nil && src.Word.Class != "", Probability: src.Probability, For: src.For, Against: src.Against, Question: src.Question, Department: src.Department}
	if src.Probability > 0 {
		v.Chances = chancesOf(src.Probabilities)
		if i := slices.IndexFunc(v.Chances, func(c chance) bool { return c.Class != string(advise.Unknown) }); src.Class == advise.Unknown && i >= 0 {
			v.Best = &v.Chances[i]
		}
	}
	if len(v.For) == 0 && len(v.Against) == 0 {
		v.For = src.Reasons
	}
	if src.Word != nil { // perhaps about what was then recognised by another key
		v.Said = wordLineOf(p, store.Saying{Class: string(src.Word.Class), Name: src.Word.Name, Note: src.Word.Note, By: src.Word.By, At: src.Word.At})
	}
	v.facts(p, src)
	return v
}

// whose fills the part for a source, with what was said since the answer and
// the form to say more.
func (s *server) whose(r *http.Request, p *page, name string, src *advise.Source) (*whoseView, error) {
	v := whoseOf(p, src)
	v.Done = p.said()
	if s.Work == nil || src.Key == "" {
		return v, nil
	}
	ctx := r.Context()
	v.URL = "/domain/" + name + "/source/" + src.ID + "/word"
	said, err := s.sayingsOf(ctx, name, src.Key)
	if err != nil {
		return nil, err
	}
	for _, w := range said[:min(len(said), shown)] {
		v.History = append(v.History, *wordLineOf(p, w))
	}
	if len(said) > 0 {
		v.Said = nil
		if said[0].Class != "" || said[0].Name != "" {
			v.Said = &v.History[0]
		}
	}
	v.Form.By = lastPerson(r)
	if v.Said != nil {
		v.Form.Name = v.Said.Name
		if v.Said.Class != "" && v.Said.Class != string(advise.Unknown) {
			v.Question = nil
		}
	}
	all, err := s.Work.Store.Departments(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		v.Departments = append(v.Departments, departmentLink{d.ID, d.Name, d.Name == src.Department})
	}
	assigned, err := s.Work.Store.Assignments(ctx, name)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(assigned, func(a store.Assignment) bool { return a.Key == src.Key }); i >= 0 {
		for j := range v.Departments { // newer than the answer shown
			d := &v.Departments[j]
			if d.Selected = d.ID == assigned[i].Department; d.Selected {
				v.Department = d.Name
			}
		}
	}
	c, err := s.caseOf(ctx, name, src.Key)
	if err != nil {
		return nil, err
	}
	if c != nil {
		departments, err := s.departmentNames(r)
		if err != nil {
			return nil, err
		}
		l := lineOf(p, *c, "/work", departments, s.Work.Today())
		v.Case = &l
	}
	return v, nil
}

// facts are what else is known of a source, in words.
func (v *whoseView) facts(p *page, src *advise.Source) {
	add := func(label, text string) {
		if text != "" {
			v.Facts = append(v.Facts, knownLine{label, text})
		}
	}
	v.Facts = []knownLine{{"web.source.header-from", orDash(p.Lang.List(src.HeaderFrom))}, {"web.source.dkim", orDash(p.Lang.List(src.DKIM))},
		{"web.source.spf", orDash(p.Lang.List(src.SPF))}, {"web.source.ptr", orDash(p.Lang.List(src.PTR))}}
	if d := src.Sender; d != nil {
		kind := d.Kind
		if code := "webwork.kind." + kind; p.Lang.Has(code) {
			kind = p.text(code)
		}
		add("webwork.fact.sender", p.text("webwork.fact.sender-is", "name", d.Name, "kind", kind))
		if d.Network != "" {
			add("webwork.fact.network", p.Lang.List(notEmpty(d.Network, d.Country)))
		}
	}
	if code := "webwork.rhythm." + src.Rhythm.Pattern; src.Rhythm.Pattern != "" && p.Lang.Has(code) {
		add("webwork.fact.rhythm", p.text(code)+p.text("webwork.rhythm.days", "n", src.Rhythm.Active))
	}
	add("webwork.fact.envelope", p.Lang.List(src.Envelope))
	add("webwork.fact.selectors", p.Lang.List(src.Selectors))
	if src.OtherDomains > 0 {
		add("webwork.fact.others", p.text("webwork.fact.others-n", "n", src.OtherDomains))
	}
	for _, seen := range src.Seen {
		if code := "webwork.seen." + seen.By; p.Lang.Has(code) {
			add(code, p.text("webwork.seen.n", "messages", seen.Messages, "failing", seen.Failing, "day", seen.Last.String()))
		}
	}
}

func notEmpty(list ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

func wordLineOf(p *page, w store.Saying) *wordLine {
	l := &wordLine{Saying: w, When: p.at(w.At), Text: p.text("webwork.answer." + answerOf(w.Class))}
	if w.Class == "" && w.Name != "" {
		l.Text = p.text("webwork.answer.named")
	}
	return l
}

// sourceNamed finds a source in the answer about the newest 30 days, or of
// the days that the address names.
func (s *server) sourceNamed(r *http.Request, p *page) (domain.Name, *advise.Source, error) {
	name, _, err := s.named(r)
	if err != nil {
		return domain.Name{}, nil, err
	}
	a, _, err := s.Advisor.Cached(r.Context(), name, advise.Question{Days: p.days()})
	if err != nil {
		return domain.Name{}, nil, err
	}
	i := slices.IndexFunc(a.Sources, func(src advise.Source) bool { return src.ID == r.PathValue("id") })
	if i < 0 {
		return domain.Name{}, nil, errNotFound
	}
	return name, &a.Sources[i], nil
}

// word takes what a person says about a source: whose it is, what it is
// called, which department it belongs to.
func (s *server) word(w http.ResponseWriter, r *http.Request, p *page) error {
	ctx := r.Context()
	if err := form(w, r); err != nil {
		return err
	}
	name, src, err := s.sourceNamed(r, p)
	if err != nil {
		return err
	}
	if src.Key == "" {
		return errMethod
	}
	f := r.PostForm
	answer := f.Get("answer")
	class, known := answers[answer]
	if !known && answer != "keep" {
		return errBadQuery
	}
	typed := wordForm{Name: api.Line(f.Get("name")), Note: api.Note(f.Get("note")), By: person(w, r)}
	department, err := idOf(f.Get("department"))
	if err != nil {
		return err
	}
	said, err := s.sayingsOf(ctx, name.String(), src.Key)
	if err != nil {
		return err
	}
	var last store.Saying
	if len(said) > 0 {
		last = said[0]
	} else if src.Word != nil {
		last = store.Saying{Class: string(src.Word.Class), Name: src.Word.Name}
	}
	again := func(problem string) error {
		p.status = http.StatusUnprocessableEntity
		return s.sourcePage(r, p, &typed, problem)
	}
	if typed.By == "" {
		return again("webwork.problem.by")
	}
	if !known {
		class = last.Class
	}
	now := s.Work.Clock().UTC()
	speaks := known || typed.Name != last.Name || typed.Note != ""
	assigned, err := s.Work.Store.Assignments(ctx, name.String())
	if err != nil {
		return err
	}
	var belongs int64
	if i := slices.IndexFunc(assigned, func(a store.Assignment) bool { return a.Key == src.Key }); i >= 0 {
		belongs = assigned[i].Department
	}
	moves := f.Has("department") && department != belongs && !(belongs == 0 && s.inherits(ctx, src, department))
	if !speaks && !moves {
		return again("webwork.problem.nothing")
	}
	if moves {
		if err := s.Work.Assign(ctx, store.Assignment{Department: department, Domain: name.String(), Key: src.Key, By: typed.By, At: now}); err != nil {
			return err
		}
	}
	if speaks {
		say := src.Saying(name.String())
		say.Class, say.Name, say.Note, say.By, say.At = class, typed.Name, typed.Note, typed.By, now
		if _, err := s.Work.Store.PutSaying(ctx, say); err != nil {
			return err
		}
	}
	return done(w, r, p, sourceURL(name.String(), src.ID, p.days()), "saved")
}

// inherits reports whether a source belongs to a department already, by what
// is assigned of its domain.
func (s *server) inherits(ctx context.Context, src *advise.Source, department int64) bool {
	if department == 0 {
		return true
	}
	d, err := s.Work.Department(ctx, department)
	return err == nil && src.Department == d.Name
}
