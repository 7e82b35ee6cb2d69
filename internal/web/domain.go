package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
)

func itoa(n int) string { return strconv.Itoa(n) }

// domainView is the page of one domain.
type domainView struct {
	Name, Ascii                      string
	Windows                          []windowLink
	Days                             int
	From, To                         store.Day
	Messages, Aligned, Broken, Spoof uint64
	PerDay                           uint64
	MailDays                         int // days with mail, of which PerDay is the mean
	BrokenSources, SpoofSources      int
	Tone, Mark, Answer               string
	Lead                             *explain.Step
	Reasons, Notes                   []explain.Step
	Stale                            *staleness
	Record                           *nextRecord
	None                             *noneDays
	Ladder                           []rung
	Classes, Dispositions            *chart
	Filters                          []classFilter
	List                             *listing
	Sources                          []sourceLine
	History                          []store.PolicySpan
	LadderList, HistoryList          *listing
	ReportsURL                       string
	Narrow                           *narrowing
	Climb                            *climb
}

// staleness says up to when an answer knows the reports.
type staleness struct{ Until store.Day }

// nextRecord is the TXT record to publish at Where.
type nextRecord struct{ Where, Text string }

// rung is one step of the policy ladder and what it would have cost.
type rung struct {
	P            string
	State        string // "now", "next" or ""
	Watching     bool   // p=none: nothing is at risk, nothing is stopped
	Let          uint64 // of Watching: spoofed messages let through
	Share, Upper float64

	Risk, Remainder, Indirect, Uncertain, Stopped uint64
}

type classFilter struct {
	Class   string // "" for all
	Count   int
	URL     string
	Current bool
}

type sourceLine struct {
	advise.Source
	Name, Under, URL string
	Addresses        int
	First, Last      store.Day
	Why              *explain.Step
}

// named finds the domain that the address names. A domain without reports is
// not found.
func (s *server) named(r *http.Request) (domain.Name, store.Day, error) {
	name, err := domain.Parse(r.PathValue("name"))
	if err != nil {
		return domain.Name{}, 0, errNotFound
	}
	end, ok, err := s.Store.Newest(r.Context(), name.String())
	if err != nil {
		return domain.Name{}, 0, err
	}
	if !ok {
		return domain.Name{}, 0, errNotFound
	}
	return name, end, nil
}

func (s *server) domain(w http.ResponseWriter, r *http.Request, p *page) error {
	ctx := r.Context()
	name, end, err := s.named(r)
	if err != nil {
		return err
	}
	v := &domainView{Windows: p.windows(), Days: p.days()}
	v.Name, v.Ascii = namesOf(name.String())
	if v.Narrow, err = s.narrowed(r, p); err != nil {
		return err
	}
	a, fresh, err := s.Advisor.Cached(ctx, name, advise.Question{Days: v.Days, Department: v.Narrow.department()})
	if err != nil {
		return err
	}
	days, err := s.Store.DomainDaily(ctx, name.String(), a.Window)
	if err != nil {
		return err
	}
	history, err := s.Store.PolicyHistory(ctx, name.String())
	if err != nil {
		return err
	}

	p.template, p.Nav, p.Data = "domain", "overview", v
	p.Title = v.Name
	p.Crumbs = []crumb{{p.text("web.overview.title"), "/"}, {v.Name, ""}}
	v.From, v.To = a.Window.Begin, a.Window.End-1
	v.Messages, v.Aligned = a.Messages, a.Aligned
	if !fresh && a.Window.End < end {
		v.Stale = &staleness{a.Window.End - 1}
	} else if !fresh {
		v.Stale = &staleness{end - 1}
	}
	for _, d := range a.Daily {
		v.Broken, v.Spoof = v.Broken+d.Broken, v.Spoof+d.Spoof
		if d.Aligned+d.Broken+d.Forwarder+d.Unknown+d.Spoof > 0 {
			v.MailDays++
		}
	}
	v.PerDay = a.Messages / uint64(max(1, v.MailDays))
	counts := map[string]int{}
	for i := range a.Sources {
		counts[string(a.Sources[i].Class)]++
	}
	v.BrokenSources, v.SpoofSources = counts[string(advise.Broken)], counts[string(advise.Spoof)]
	v.answer(p, a)
	v.Reasons, v.Notes = a.Reasons, a.Notes
	if len(a.Reasons) > 0 { // the first sums up, the others say what to do
		v.Lead, v.Reasons = &a.Reasons[0], a.Reasons[1:]
	}
	if a.NextRecord != "" {
		v.Record = &nextRecord{"_dmarc." + name.String(), a.NextRecord}
	}
	v.Ladder = ladderOf(a)
	v.Climb = climbOf(p, name.String(), a, v.Days)
	v.Climb.links(s, name.String(), v.Narrow)
	asks := []string{"domain", name.String(), "days", itoa(v.Days), "department", v.Narrow.asked(), "lang", string(p.Lang)}
	v.LadderList = downloads("web.ladder.title", "ladder", asks...)
	v.HistoryList = downloads("web.history.title", "policies", "domain", name.String(), "lang", string(p.Lang))
	v.Classes = classChart(p, "classes", name.String(), a.Window, a.Daily)
	v.Classes.List = downloads("web.chart.classes", "daily", asks...)
	if v.Narrow.department() == 0 { // what receivers did is not known by department
		v.Dispositions = dispositionChart(p, "dispositions", name.String(), a.Window, days)
		v.Dispositions.List = downloads("web.chart.dispositions", "daily", asks...)
	}
	v.sources(p, name.String(), a, counts)
	for i := len(history) - 1; i >= 0 && len(v.History) < 20; i-- { // newest first
		v.History = append(v.History, history[i])
	}
	if n := len(history); n > 0 {
		last := history[n-1]
		since := last.From
		for i := n - 2; i >= 0 && history[i].Policy.P == last.Policy.P; i-- {
			since = history[i].From
		}
		v.None = noneSince(last.Policy.P, since, end)
	}
	v.ReportsURL = withQuery("/reports", nil, "domain", name.String())
	return nil
}

// downloads is a table that is not sorted or paged, but downloaded.
func downloads(caption, export string, asks ...string) *listing {
	return (&listing{Caption: caption}).exports(export, asks...)
}

// answer words the verdict.
func (v *domainView) answer(p *page, a *advise.Advice) {
	next := nextPolicy(a)
	switch a.Verdict {
	case advise.Ready:
		v.Tone, v.Mark = "good", "good"
		v.Answer = p.text("web.answer.ready", "next", p.text("web.policy."+next))
		if a.Policy == "reject" {
			v.Answer = p.text("web.answer.done")
		}
	case advise.NotReady:
		v.Tone, v.Mark = "warn", "warn"
		v.Answer = p.text("web.answer.not-ready", "next", p.text("web.policy."+next))
		if v.BrokenSources > 0 {
			v.Answer = p.text("web.answer.broken", "next", p.text("web.policy."+next), "n", v.BrokenSources)
		}
		if a.Policy == "reject" {
			v.Answer = p.text("web.answer.losing", "n", v.BrokenSources)
		}
	default:
		v.Tone, v.Mark = "", "unknown"
		v.Answer = p.text("web.answer.insufficient")
	}
}

// nextPolicy is the rung to go on to: where the domain is ready, the one of the
// record to publish (a domain without mail goes to reject at once), else the
// one above.
func nextPolicy(a *advise.Advice) string {
	if a.Verdict == advise.Ready {
		for _, tag := range strings.Split(a.NextRecord, ";") {
			if p, ok := strings.CutPrefix(strings.TrimSpace(tag), "p="); ok && p != a.Policy {
				return p
			}
		}
	}
	if a.Policy == "quarantine" || a.Policy == "reject" {
		return "reject"
	}
	return "quarantine"
}

// ladderOf puts the costs onto the rungs. p=none stops nothing and costs nothing.
func ladderOf(a *advise.Advice) []rung {
	cost := map[string]advise.PolicyCost{}
	for _, c := range a.Policies {
		cost[c.P] = c
	}
	var out []rung
	for _, name := range []string{"none", "quarantine", "reject"} {
		c := cost[name]
		r := rung{P: name, Share: c.Share, Upper: c.Upper95, Risk: c.LegitimateAtRisk, Remainder: c.RemainderAtRisk,
			Indirect: c.IndirectAtRisk, Uncertain: c.Uncertain, Stopped: c.Stopped}
		if name == "none" {
			r = rung{P: name, Watching: true, Let: cost["reject"].Stopped}
		}
		switch {
		case name == a.Policy, name == "none" && a.Policy == "":
			r.State = "now"
		case name == nextPolicy(a):
			r.State = "next"
		}
		out = append(out, r)
	}
	return out
}

// sources fills the table of sources: filtered, sorted, one page of it.
func (v *domainView) sources(p *page, name string, a *advise.Advice, counts map[string]int) {
	class := p.query.Get("class")
	if _, ok := counts[class]; !ok {
		class = ""
	}
	v.List = p.list("web.sources.title", []string{"messages", "name", "class", "failing", "addresses", "last_day"}, "messages", "failing", "addresses", "last_day").
		exports("sources", "domain", name, "days", itoa(v.Days), "class", class, "department", v.Narrow.asked(), "lang", string(p.Lang)).ordered("messages", "failing", "name", "class", "last_day")
	v.List.Fragment, v.List.SearchLabel = "sources", "web.search.source"
	v.Filters = append(v.Filters, classFilter{Count: len(a.Sources), URL: v.List.url("class", "", "page", ""), Current: class == ""})
	for _, c := range advise.Classes {
		if n := counts[string(c)]; n > 0 {
			v.Filters = append(v.Filters, classFilter{string(c), n, v.List.url("class", string(c), "page", ""), class == string(c)})
		}
	}
	var kept []*advise.Source
	for i := range a.Sources {
		src := &a.Sources[i]
		if class != "" && string(src.Class) != class || !matches(p, src, v.List.Search) {
			continue
		}
		kept = append(kept, src)
	}
	rank := map[advise.Class]int{}
	for i, c := range advise.Classes {
		rank[c] = i
	}
	slices.SortStableFunc(kept, func(x, y *advise.Source) int {
		var c int
		switch v.List.Sort {
		case "name":
			c = cmp.Compare(shownName(p, x), shownName(p, y))
		case "class":
			c = cmp.Compare(rank[x.Class], rank[y.Class])
		case "failing":
			c = cmp.Compare(x.Failing, y.Failing)
		case "addresses":
			c = cmp.Compare(addressCount(x), addressCount(y))
		case "last_day":
			c = cmp.Compare(x.LastDay, y.LastDay)
		default:
			c = cmp.Compare(x.Messages, y.Messages)
		}
		if v.List.Desc {
			c = -c
		}
		if c == 0 {
			c = cmp.Compare(y.Messages, x.Messages)
		}
		return c
	})
	from, to := v.List.cut(len(kept))
	for _, src := range kept[from:to] {
		line := sourceLine{Source: *src, Name: shownName(p, src), URL: sourceURL(name, src.ID, v.Days),
			Addresses: addressCount(src), First: src.FirstDay, Last: src.LastDay}
		line.Under = under(p, src)
		if len(src.Reasons) > 0 {
			line.Why = &src.Reasons[0]
		}
		v.Sources = append(v.Sources, line)
	}
}

func sourceURL(domain, id string, days int) string {
	u := "/domain/" + url.PathEscape(domain) + "/source/" + url.PathEscape(id)
	if days != 30 {
		u = withQuery(u, nil, "days", itoa(days))
	}
	return u
}

// sourceName words a source's name: a domain name as it is, a code from the locale.
func sourceName(p *page, src *advise.Source) string {
	if strings.Contains(src.Name, ".") || src.Name == "" {
		return orDash(src.Name)
	}
	for _, code := range []string{"web.source.name." + src.Name, "source." + src.Name, src.Name} {
		if p.Lang.Has(code) {
			return p.text(code)
		}
	}
	return src.Name
}

// under is the small line below a source's name: a host name or an address.
func under(p *page, src *advise.Source) string {
	switch {
	case len(src.PTR) > 0 && src.PTR[0] != src.Name:
		return src.PTR[0]
	case len(src.Addresses) == 1:
		return src.Addresses[0]
	}
	return ""
}

// addressCount is how many addresses a source has; a kept answer lists the first only.
func addressCount(src *advise.Source) int { return max(src.AddressCount, len(src.Addresses)) }

// matches reports whether a source has the text anywhere a reader would look.
func matches(p *page, src *advise.Source, q string) bool {
	q = strings.ToLower(q)
	if q == "" {
		return true
	}
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), q) }
	return has(shownName(p, src)) || has(src.Department) || slices.ContainsFunc(src.Addresses, has) || slices.ContainsFunc(src.PTR, has) ||
		slices.ContainsFunc(src.DKIM, has) || slices.ContainsFunc(src.SPF, has) || slices.ContainsFunc(src.HeaderFrom, has)
}
