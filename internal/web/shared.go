package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekimori/domain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
	"sekimori/internal/web/access"
	"sekimori/internal/web/api"
)

// shareRoutes are the pages that a department's link opens. They stand outside
// the guard: the link is the key, to this department's part and nothing else.
// They only show; there is no way from them to other pages.
func (s *server) shareRoutes(mux *http.ServeMux) {
	handle := func(pattern string, do sharedAction) {
		var h http.Handler = s.share(do)
		if s.Host != nil {
			h = s.Host(h)
		}
		mux.Handle(pattern, h)
	}
	handle("GET /d/{token}", s.sharedOverview)
	handle("GET /d/{token}/sources", s.sharedSources)
	handle("GET /d/{token}/sources/{name}/{id}", s.sharedSource)
	handle("GET /d/{token}/work", s.sharedBoard)
	handle("GET /d/{token}/work/{id}", s.sharedCase)
	handle("GET /d/{token}/work/{id}/letter", s.sharedLetter)
	handle("GET /d/{token}/monthly/{name}", s.sharedMonthly)
	handle("GET /d/{token}/monthly/{name}/pdf", s.sharedMonthlyPDF)
	handle("/d/", func(w http.ResponseWriter, r *http.Request, p *page, v *share) error { return errNotFound })
}

// share is the part that a link opens.
type share struct {
	store.Department
	Base string // how its addresses begin
}

// sharedFrame is what the layout shows around a department's own part.
type sharedFrame struct {
	Base  string // "" where the link opens nothing
	Menu  []menuEntry
	Until moment
}

type sharedAction func(w http.ResponseWriter, r *http.Request, p *page, v *share) error

// share opens the link before an action and shows its page; a link that opens
// nothing gets one and the same plain page, whatever the reason.
func (s *server) share(do sharedAction) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Referrer-Policy", "no-referrer") // the address is a secret
		h.Set("X-Robots-Tag", "noindex, nofollow, noarchive")
		p := newPage(w, r, "")
		p.Bare, p.Shared = true, &sharedFrame{}
		v, err := s.opened(w, r, p)
		if err == nil {
			err = do(w, r, p, v)
		}
		if err == nil && p.template == "" {
			return
		}
		var many access.ErrTooMany
		switch {
		case errors.As(err, &many):
			h.Set("Retry-After", strconv.Itoa(int((many.Wait+time.Second-1)/time.Second)))
			p.status = http.StatusTooManyRequests
			s.sharedNone(p)
		case errors.Is(err, access.ErrNoLink):
			p.status = http.StatusNotFound
			s.sharedNone(p)
		case err != nil:
			s.fail(w, r, p, err)
			return
		}
		s.render(w, r, p)
	})
}

// sharedNone is the page of a link that opens nothing.
func (s *server) sharedNone(p *page) {
	p.Shared, p.Crumbs, p.Nav = &sharedFrame{}, nil, ""
	p.template, p.Title, p.Data = "sharednone", p.text("webwork.share.none"), struct{ Busy bool }{p.status == http.StatusTooManyRequests}
}

// sharedPath is how the addresses of every part begin.
const sharedPath = "/d/"

// touchEvery is how often the use of a link is noted.
const touchEvery = time.Minute

// opened opens the link that the path holds.
func (s *server) opened(w http.ResponseWriter, r *http.Request, p *page) (*share, error) {
	token, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, sharedPath), "/")
	link, err := s.links.Open(r, token)
	if err != nil {
		return nil, err
	}
	d, err := s.Work.Department(r.Context(), link.Department)
	if errors.Is(err, api.ErrUnknownDepartment) || err == nil && d.ID == 0 {
		return nil, access.ErrNoLink
	}
	if err != nil {
		return nil, err
	}
	if now := s.Work.Clock(); now.Sub(link.LastUsed) > touchEvery {
		if err := s.Work.Store.TouchShare(r.Context(), link.ID, now.UTC()); err != nil {
			s.Logger.Warn("use of a link not noted", "link", link.ID, "err", err)
		}
	}
	v := &share{Department: d, Base: sharedPath + token}
	p.Shared = &sharedFrame{Base: v.Base, Until: p.at(link.Expires), Menu: []menuEntry{
		{"overview", v.Base, "webwork.share.nav.overview"}, {"sources", v.Base + "/sources", "webwork.share.nav.sources"}, {"work", v.Base + "/work", "webwork.share.nav.work"},
	}}
	p.query.Del("department") // it is the link's, not the address's
	return v, nil
}

// sharedView is a department's part at a glance.
type sharedView struct {
	Name             string
	Tone, Answer     string
	Open, Late       int64
	Messages, Failed uint64
	Broken           int
	Domains          []sharedDomain
	Sources          []sourceLine
	MoreSources      string // address of the whole list, "" where this is it
	Cases            []caseLine
	MoreCases        string
	List             *listing
}

type sharedDomain struct {
	Name, Ascii       string
	Messages, Failing uint64
	Broken            int
	MonthlyURL        string
}

// mostShared bounds how many domains of a department its pages join.
const mostShared = 100

// partOf joins a department's sources in all its domains.
func (s *server) partOf(r *http.Request, p *page, v *share) ([]sharedDomain, []sourceLine, error) {
	ctx := r.Context()
	names, err := s.Work.DepartmentDomains(ctx, v.ID)
	if err != nil {
		return nil, nil, err
	}
	var domains []sharedDomain
	var lines []sourceLine
	for _, text := range names[:min(len(names), mostShared)] {
		name, a, err := s.partOfDomain(r, v, text)
		if errors.Is(err, errNotFound) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		d := sharedDomain{}
		d.Name, d.Ascii = namesOf(text)
		if s.Work.Monthly != nil {
			d.MonthlyURL = v.Base + "/monthly/" + url.PathEscape(name.String())
		}
		for i := range a.Sources {
			src := &a.Sources[i]
			switch src.Class { // the department's own mail is what is ours
			case advise.Broken:
				d.Broken++
				fallthrough
			case advise.Aligned:
				d.Messages, d.Failing = d.Messages+src.Messages, d.Failing+src.Failing
			}
			line := sourceLine{Source: *src, Name: shownName(p, src), Under: d.Name, URL: v.Base + "/sources/" + url.PathEscape(text) + "/" + url.PathEscape(src.ID),
				Addresses: addressCount(src), First: src.FirstDay, Last: src.LastDay}
			lines = append(lines, line)
		}
		domains = append(domains, d)
	}
	rank := func(c advise.Class) int {
		return slices.Index([]advise.Class{advise.Broken, advise.Unknown, advise.Forwarder, advise.Spoof, advise.Aligned}, c)
	}
	slices.SortStableFunc(lines, func(a, b sourceLine) int {
		return cmp.Or(cmp.Compare(rank(a.Class), rank(b.Class)), cmp.Compare(b.Failing, a.Failing), cmp.Compare(b.Messages, a.Messages))
	})
	return domains, lines, nil
}

// partOfDomain is the answer about a department's part of a domain.
func (s *server) partOfDomain(r *http.Request, v *share, text string) (domain.Name, *advise.Advice, error) {
	name, err := domain.Parse(text)
	if err != nil {
		return domain.Name{}, nil, errNotFound
	}
	names, err := s.Work.DepartmentDomains(r.Context(), v.ID)
	if err != nil {
		return domain.Name{}, nil, err
	}
	if !slices.Contains(names, name.String()) {
		return domain.Name{}, nil, errNotFound
	}
	if _, ok, err := s.Store.Newest(r.Context(), name.String()); err != nil || !ok {
		return domain.Name{}, nil, cmp.Or(err, errNotFound)
	}
	a, _, err := s.Advisor.Cached(r.Context(), name, advise.Question{Days: 30, Department: v.ID})
	if err != nil {
		return domain.Name{}, nil, err
	}
	return name, only(a, v.Name), nil
}

// glance is how much of a list a department's first page shows.
const glance = 8

func (s *server) sharedOverview(w http.ResponseWriter, r *http.Request, p *page, v *share) error {
	ctx := r.Context()
	view := &sharedView{Name: v.Name}
	var err error
	if view.Domains, view.Sources, err = s.partOf(r, p, v); err != nil {
		return err
	}
	for _, d := range view.Domains {
		view.Messages, view.Failed, view.Broken = view.Messages+d.Messages, view.Failed+d.Failing, view.Broken+d.Broken
	}
	if len(view.Sources) > glance {
		view.Sources, view.MoreSources = view.Sources[:glance], v.Base+"/sources"
	}
	today := s.Work.Today()
	f := store.CaseFilter{Department: v.ID, States: openStates[:]}
	cases, n, err := s.Work.Store.Cases(ctx, f, store.Page{Limit: glance, Sort: "urgent"})
	if err != nil {
		return err
	}
	view.Open = n
	if n > int64(len(cases)) {
		view.MoreCases = v.Base + "/work"
	}
	f.Due = today
	if _, view.Late, err = s.Work.Store.Cases(ctx, f, store.Page{Limit: 1}); err != nil {
		return err
	}
	for _, c := range cases {
		if c.Department == v.ID {
			view.Cases = append(view.Cases, lineOf(p, c, v.Base+"/work", nil, today))
		}
	}
	switch {
	case view.Late > 0:
		view.Tone, view.Answer = "warn", p.text("webwork.board.late", "n", view.Late)
	case view.Open > 0:
		view.Tone, view.Answer = "warn", p.text("webwork.board.open", "n", view.Open)
	default:
		view.Tone, view.Answer = "good", p.text("webwork.share.fine")
	}
	p.template, p.Nav, p.IsTop, p.Data = "shared", "overview", true, view
	p.Title = v.Name
	return nil
}

func (s *server) sharedSources(w http.ResponseWriter, r *http.Request, p *page, v *share) error {
	_, lines, err := s.partOf(r, p, v)
	if err != nil {
		return err
	}
	view := &sharedView{Name: v.Name}
	view.List = p.list("web.sources.title", []string{""})
	view.List.SearchLabel = "web.search.source"
	lines = slices.DeleteFunc(lines, func(l sourceLine) bool { return !matches(p, &l.Source, view.List.Search) })
	from, to := view.List.cut(len(lines))
	view.Sources = lines[from:to]
	p.template, p.Nav, p.IsTop, p.Data = "sharedsources", "sources", true, view
	p.Title = p.text("webwork.share.nav.sources")
	return nil
}

// sharedSourceView is one source of a department.
type sharedSourceView struct {
	Name, Domain, Class, Tone string
	Messages, Failing         uint64
	FailShare                 float64
	AddressTotal              int
	Addresses                 []string
	First, Last               store.Day
	Whose                     *whoseView
}

func (s *server) sharedSource(w http.ResponseWriter, r *http.Request, p *page, v *share) error {
	_, a, err := s.partOfDomain(r, v, r.PathValue("name"))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(a.Sources, func(src advise.Source) bool { return src.ID == r.PathValue("id") })
	if i < 0 {
		return errNotFound
	}
	src := &a.Sources[i]
	view := &sharedSourceView{Name: shownName(p, src), Class: string(src.Class), Messages: src.Messages, Failing: src.Failing, FailShare: ratio(src.Failing, src.Messages),
		AddressTotal: addressCount(src), Addresses: src.Addresses, First: src.FirstDay, Last: src.LastDay, Whose: whoseOf(p, src)}
	view.Domain, _ = namesOf(a.Domain)
	view.Tone = map[advise.Class]string{advise.Aligned: "good", advise.Broken: "warn", advise.Spoof: "bad"}[src.Class]
	p.template, p.Nav, p.Data = "sharedsource", "sources", view
	p.Title = view.Name
	p.Crumbs = []crumb{{p.text("webwork.share.nav.sources"), v.Base + "/sources"}, {view.Name, ""}}
	return nil
}

func (s *server) sharedBoard(w http.ResponseWriter, r *http.Request, p *page, v *share) error {
	view := &boardView{Base: v.Base + "/work"}
	if st := store.CaseState(p.query.Get("state")); isState(st) {
		view.State = st
	}
	view.List = p.list("webwork.board.list", []string{"due", "failing", "name", "domain", "owner", "changed", "messages"}, "failing", "changed", "messages")
	view.List.Search = ""
	p.template, p.Nav, p.IsTop, p.Data = "work", "work", true, view
	p.Title = p.text("webwork.share.nav.work")
	return s.boardOf(r, p, view, store.CaseFilter{Department: v.ID})
}

// sharedCaseNamed finds a case of the department; another department's is not
// there.
func (s *server) sharedCaseNamed(r *http.Request, v *share) (store.Case, error) {
	c, err := s.caseNamed(r)
	if err == nil && (c.Department != v.ID || v.ID == 0) {
		return store.Case{}, errNotFound
	}
	return c, err
}

func (s *server) sharedCase(w http.ResponseWriter, r *http.Request, p *page, v *share) error {
	c, err := s.sharedCaseNamed(r, v)
	if err != nil {
		return err
	}
	events, err := s.Work.Store.CaseEvents(r.Context(), c.ID)
	if err != nil {
		return err
	}
	view := &caseView{Case: c, URL: v.Base + "/work/" + strconv.FormatInt(c.ID, 10)}
	names := map[int64]string{v.ID: v.Name}
	view.fill(p, names, s.Work.Today())
	view.Events = eventLines(p, ownHistory(events, v.Name))
	if _, a, err := s.partOfDomain(r, v, c.Domain); err == nil && slices.ContainsFunc(a.Sources, func(src advise.Source) bool { return src.ID == c.Source }) {
		view.SourceURL = v.Base + "/sources/" + url.PathEscape(c.Domain) + "/" + url.PathEscape(c.Source)
	}
	if s.Work.Letter != nil && s.Work.Repair != nil {
		view.Letter = s.letterFor(r, p, c.ID, view.URL)
	}
	p.template, p.Nav, p.Data = "case", "work", view
	p.Title = view.Title
	p.Crumbs = []crumb{{p.text("webwork.share.nav.work"), v.Base + "/work"}, {view.Title, ""}}
	return nil
}

// ownHistory is the part of a case's history that is a department's: all since
// the case came to it, and before that only how far it was, without who and why.
func ownHistory(events []store.CaseEvent, department string) []store.CaseEvent {
	since := 0
	for i, e := range events {
		if e.Kind == "department" {
			since = i
		}
	}
	var out []store.CaseEvent
	for i, e := range events {
		switch {
		case e.Kind == "department":
			if i == since && strings.EqualFold(e.To, department) {
				e.From = "" // whose it was before
				out = append(out, e)
			}
		case i >= since:
			out = append(out, e)
		case e.Kind == "opened", e.Kind == "state", e.Kind == "reopened", e.Kind == "proof":
			e.By = ""
			if e.Kind == "state" {
				e.Text = ""
			}
			out = append(out, e)
		}
	}
	return out
}

func (s *server) sharedLetter(w http.ResponseWriter, r *http.Request, p *page, v *share) error {
	c, err := s.sharedCaseNamed(r, v)
	if err != nil {
		return err
	}
	return s.sendLetter(w, r, p, c, v.Name)
}

func (s *server) sharedMonthly(w http.ResponseWriter, r *http.Request, p *page, v *share) error {
	if s.Work.Monthly == nil {
		return errNotFound
	}
	name, _, err := s.partOfDomain(r, v, r.PathValue("name"))
	if err != nil {
		return err
	}
	path := v.Base + "/monthly/" + url.PathEscape(name.String())
	view, err := s.monthlyOf(r, p, name, v.ID, path)
	if err != nil {
		return err
	}
	view.PDF = withQuery(path+"/pdf", nil, "month", view.Month)
	p.template, p.Data = "monthly", view
	p.Title = p.text("webwork.monthly.of", "domain", view.Name)
	p.Crumbs = []crumb{{p.text("webwork.share.nav.overview"), v.Base}, {p.text("webwork.monthly.title"), ""}}
	return nil
}

func (s *server) sharedMonthlyPDF(w http.ResponseWriter, r *http.Request, p *page, v *share) error {
	if s.Work.Monthly == nil {
		return errNotFound
	}
	name, _, err := s.partOfDomain(r, v, r.PathValue("name"))
	if err != nil {
		return err
	}
	return s.sendMonthly(w, r, p, name, v.ID)
}
