package web

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"sekimori/internal/watch"
)

// timelineView is what happened to a domain, month by month.
type timelineView struct {
	Name, Ascii string
	Kinds       []kindFilter
	Kind        string
	Months      []timelineMonth
	List        *listing
	Total       int
	Capped      bool
}

type kindFilter struct {
	Kind    string // "" for all
	Count   int
	URL     string
	Current bool
}

type timelineMonth struct {
	ID, Title string
	Entries   []timelineEntry
}

type timelineEntry struct {
	watch.Entry
	Day, Until string
	When       moment
	Text       string
	Icon       string
	CaseURL    string
	SourceURL  string
	Old, New   []string // records
}

// timelineKinds are the kinds of a happening in the order of the filter, and
// which icon each has.
var timelineKinds = [...]struct{ kind, icon string }{
	{"policy", "policy"}, {"dns", "dns"}, {"wave", "wave"}, {"found", "found"}, {"waiting", "waiting"}, {"fixed", "fixed"}, {"reopened", "reopened"}, {"accepted", "accepted"},
	{"step-back", "alarm"}, {"all-clear", "clear"}, {"word", "word"}, {"alert-failed", "alarm"},
}

// timelineBack is how far back a timeline goes.
const timelineBack = 5 * 366 * 24 * time.Hour

func (s *server) timeline(w http.ResponseWriter, r *http.Request, p *page) error {
	name, _, err := s.named(r)
	if err != nil {
		return err
	}
	all, err := s.Work.Timeline.Timeline(r.Context(), name, s.Work.Clock().Add(-timelineBack))
	if err != nil {
		return err
	}
	v := &timelineView{Capped: len(all) >= watch.MaxEntries}
	v.Name, v.Ascii = namesOf(name.String())
	counts := map[string]int{}
	for _, e := range all {
		counts[e.Kind]++
	}
	if k := p.query.Get("kind"); counts[k] > 0 {
		v.Kind = k
	}
	v.Kinds = append(v.Kinds, kindFilter{"", len(all), p.with("kind", "", "page", ""), v.Kind == ""})
	for _, k := range timelineKinds {
		if n := counts[k.kind]; n > 0 {
			v.Kinds = append(v.Kinds, kindFilter{k.kind, n, p.with("kind", k.kind, "page", ""), k.kind == v.Kind})
		}
	}
	shown := slices.DeleteFunc(slices.Clone(all), func(e watch.Entry) bool { return v.Kind != "" && e.Kind != v.Kind })
	v.Total = len(shown)
	v.List = p.list("webwork.timeline.title", []string{""}).exports("timeline", "domain", name.String(), "kind", v.Kind, "lang", string(p.Lang))
	from, to := v.List.cut(len(shown))
	for _, e := range shown[from:to] {
		line := s.entryOf(p, name.String(), e)
		id := e.At.UTC().Format("2006-01")
		if n := len(v.Months); n == 0 || v.Months[n-1].ID != id {
			v.Months = append(v.Months, timelineMonth{ID: id, Title: monthOf(p, e.At.UTC())})
		}
		m := &v.Months[len(v.Months)-1]
		m.Entries = append(m.Entries, line)
	}
	p.template, p.Nav, p.Data = "timeline", "overview", v
	p.Title = p.text("webwork.timeline.of", "domain", v.Name)
	p.Crumbs = []crumb{{p.text("web.overview.title"), "/"}, {v.Name, domainURL(name.String(), 30)}, {p.text("webwork.timeline.title"), ""}}
	return nil
}

func (s *server) entryOf(p *page, name string, e watch.Entry) timelineEntry {
	l := timelineEntry{Entry: e, When: p.at(e.At), Day: e.At.UTC().Format("2006-01-02"), Text: p.Lang.Bound(p.Lang.Step(e.Step)), Icon: "other"}
	if !e.Until.IsZero() && e.Until.Sub(e.At) > 24*time.Hour {
		l.Until = e.Until.UTC().Add(-time.Second).Format("2006-01-02")
	}
	for _, k := range timelineKinds {
		if k.kind == e.Kind {
			l.Icon = k.icon
		}
	}
	if e.Case != 0 {
		l.CaseURL = caseURL(e.Case)
	}
	if e.Source != "" {
		l.SourceURL = sourceURL(name, e.Source, 30)
	}
	l.Old, l.New = recordLines(e.Before), recordLines(e.After)
	return l
}

// mostRecords is how many records of a change a page shows.
const mostRecords = 20

func recordLines(s string) []string {
	if s == "" {
		return nil
	}
	lines := strings.SplitN(s, "\n", mostRecords+1)
	return lines[:min(len(lines), mostRecords)]
}

// monthOf writes a month out for a heading.
func monthOf(p *page, t time.Time) string {
	if p.Lang == "ja" {
		return t.Format("2006年1月")
	}
	return t.Format("January 2006")
}
