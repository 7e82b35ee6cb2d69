package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sekimori/domain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// noneLimit is how many days a domain may stay at p=none before the page
// warns: the year within which the government's standard asks to move on.
const noneLimit = 365

// overviewView is the page of all domains.
type overviewView struct {
	Windows                          []windowLink
	Days                             int
	From, To, Until                  store.Day
	Total                            int // domains
	Tone, Answer, Evidence           string
	Messages, Aligned, Broken, Spoof uint64
	Pending, Stale                   int
	List                             *listing
	Rows                             []domainLine
	Gateway                          *gatewayLine
	Narrow                           *narrowing
}

// domainLine is one domain in the table.
type domainLine struct {
	advise.DomainSummary
	Name, Ascii, URL string
	None             *noneDays
	Share            gauge
	Spark            sparkline
}

// noneDays is how long a domain has been at p=none.
type noneDays struct {
	gauge
	Days  int
	Tone  string // "good", "warn" near the limit, "bad" past it
	Label string // code
}

// noneSince counts the days at p=none that reports show; nil under another
// policy. Earlier reports may be missing, so it is at least that long.
func noneSince(policy string, since, end store.Day) *noneDays {
	if policy != "none" || since == 0 || end <= since {
		return nil
	}
	n := &noneDays{Days: int(end - since), Tone: "good", Label: "web.none.days"}
	n.Width = min(100, n.Days*100/noneLimit)
	n.Kind = "days"
	switch {
	case n.Days >= noneLimit:
		n.Tone, n.Kind, n.Label = "bad", "days bad", "web.none.over"
	case n.Days >= noneLimit*3/4:
		n.Tone, n.Kind, n.Label = "warn", "days warn", "web.none.soon"
	}
	return n
}

// namesOf returns a domain's name for people and, where it differs, its A-label form.
func namesOf(s string) (shown, ascii string) {
	n, err := domain.Parse(s)
	if err != nil {
		return s, ""
	}
	if u := n.Unicode(); u != s {
		return u, s
	}
	return s, ""
}

func domainURL(name string, days int) string {
	u := "/domain/" + url.PathEscape(name)
	if days != 30 {
		u = withQuery(u, nil, "days", itoa(days))
	}
	return u
}

func (s *server) overview(w http.ResponseWriter, r *http.Request, p *page) error {
	p.template, p.Nav, p.IsTop = "overview", "overview", true
	p.Title = p.text("web.overview.title")
	v := &overviewView{Windows: p.windows(), Days: p.days(), Gateway: s.gatewayLine(r.Context(), p)}
	p.Data = v
	var err error
	if v.Narrow, err = s.narrowed(r, p); err != nil {
		return err
	}
	all, err := s.Work.Overview(r.Context(), s.Advisor, v.Days, v.Narrow.department())
	if err != nil {
		return err
	}
	v.Total = len(all)
	if v.Total == 0 {
		return nil
	}
	var monitored, quarantined, rejecting, over, ready int
	for _, d := range all {
		v.Messages, v.Aligned = v.Messages+d.Messages, v.Aligned+d.Aligned
		v.Broken, v.Spoof = v.Broken+d.Broken, v.Spoof+d.Spoof
		v.Until = max(v.Until, d.Window.End)
		if d.Pending {
			v.Pending++
		} else if d.Stale {
			v.Stale++
		}
		switch d.Policy {
		case "quarantine":
			quarantined++
		case "reject":
			rejecting++
		default:
			monitored++
		}
		if n := noneSince(d.Policy, d.PolicySince, d.Window.End); n != nil && n.Tone == "bad" {
			over++
		}
		if d.Verdict == advise.Ready && d.Policy != "reject" {
			ready++
		}
	}
	v.From, v.To = v.Until-store.Day(v.Days), v.Until-1
	switch {
	case over > 0:
		v.Tone, v.Answer = "bad", p.text("web.overview.over", "n", over, "all", v.Total)
	case monitored > 0:
		v.Tone, v.Answer = "warn", p.text("web.overview.monitored", "n", monitored, "all", v.Total)
	case quarantined > 0:
		v.Tone, v.Answer = "good", p.text("web.overview.enforced", "n", quarantined, "all", v.Total)
	default:
		v.Tone, v.Answer = "good", p.text("web.overview.all-reject", "all", v.Total)
	}
	v.Evidence = p.text("web.overview.evidence", "none", monitored, "quarantine", quarantined, "reject", rejecting, "ready", ready)

	v.List = p.list("web.overview.domains", []string{"messages", "domain", "policy", "since", "aligned", "spoof", "verdict"}, "messages", "since", "spoof").
		exports("domains", "days", itoa(v.Days), "department", v.Narrow.asked(), "lang", string(p.Lang))
	v.List.Fragment, v.List.SearchLabel = "domains", "web.search.domain"
	if q := strings.ToLower(v.List.Search); q != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(d advise.DomainSummary) bool {
			name, _ := namesOf(d.Domain)
			return !strings.Contains(d.Domain, q) && !strings.Contains(name, q)
		})
	}
	sortSummaries(all, v.List)
	from, to := v.List.cut(len(all))
	for _, d := range all[from:to] {
		line := domainLine{DomainSummary: d, URL: narrowedURL(domainURL(d.Domain, v.Days), v.Narrow), None: noneSince(d.Policy, d.PolicySince, d.Window.End),
			Share: shareGauge(d.Aligned, d.Messages), Spark: sparkOf(p, d.Window, d.Daily)}
		line.Name, line.Ascii = namesOf(d.Domain)
		v.Rows = append(v.Rows, line)
	}
	return nil
}

// sortSummaries puts the lines into the order asked for; equals by name.
func sortSummaries(all []advise.DomainSummary, l *listing) {
	rank := map[string]int{"": 0, "none": 1, "quarantine": 2, "reject": 3}
	verdicts := map[advise.Verdict]int{advise.Ready: 0, advise.NotReady: 1, advise.InsufficientData: 2, "": 3}
	slices.SortStableFunc(all, func(a, b advise.DomainSummary) int {
		var c int
		switch l.Sort {
		case "domain":
			c = cmp.Compare(a.Domain, b.Domain)
		case "policy":
			c = cmp.Compare(rank[a.Policy], rank[b.Policy])
		case "since":
			c = cmp.Compare(noneDaysOf(a), noneDaysOf(b))
		case "aligned":
			c = cmp.Compare(ratio(a.Aligned, a.Messages), ratio(b.Aligned, b.Messages))
		case "spoof":
			c = cmp.Compare(a.Spoof, b.Spoof)
		case "verdict":
			c = cmp.Compare(verdicts[a.Verdict], verdicts[b.Verdict])
		default:
			c = cmp.Compare(a.Messages, b.Messages)
		}
		if l.Desc {
			c = -c
		}
		if c == 0 {
			c = cmp.Compare(a.Domain, b.Domain)
		}
		return c
	})
}

func noneDaysOf(d advise.DomainSummary) int {
	if n := noneSince(d.Policy, d.PolicySince, d.Window.End); n != nil {
		return n.Days
	}
	return -1
}

func ratio(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
