package web

import (
	"net/url"
	"slices"
	"strings"

	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// climb is the way to the next step of the policy: what is to be done before
// it, what is waited for, what each part of the domain would cost, and what
// would make us step back.
type climb struct {
	Next                string
	Ready               bool
	Fixes, Waiting      []fixLine
	After               string // bound once all fixes are done, worded; "" for not known
	Sources, Receivers  []riskLine
	Scopes              []scopeLine
	ScopeRecords        bool // one of them has a record to publish
	More                int  // scopes that are not shown
	Coverage            *coverageView
	Rehearse            *nextRecord
	LookAt              string
	Back                *stepBackView
	Reasons             []explain.Step
	Timeline, Inventory string // addresses; "" where there is no such page
	Monthly, Work       string
}

type fixLine struct {
	advise.Fix
	Title, URL string
}

type riskLine struct {
	advise.RiskShare
	Title, URL string
	Part       string
}

type scopeLine struct {
	advise.ScopeCost
	Title, Aside string
}

type coverageView struct {
	advise.Coverage
	Text string
}

type stepBackView struct {
	advise.StepBack
	Where string
	Day   string
}

// mostScopes is how many parts of a domain its page lists.
const mostScopes = 20

// climbOf words the ladder of an answer.
func climbOf(p *page, name string, a *advise.Advice, days int) *climb {
	l := &a.Ladder
	c := &climb{Next: l.Next, Ready: a.Verdict == advise.Ready, Reasons: l.Reasons}
	title := map[string]string{}
	for i := range a.Sources {
		title[a.Sources[i].ID] = shownName(p, &a.Sources[i])
	}
	linked := func(id, found string) (string, string) {
		if t, ok := title[id]; ok {
			return t, sourceURL(name, id, days)
		}
		return caseTitle(p, found), ""
	}
	lines := func(fixes []advise.Fix) []fixLine {
		var out []fixLine
		for _, f := range fixes {
			line := fixLine{Fix: f}
			line.Title, line.URL = linked(f.Source, f.Name)
			out = append(out, line)
		}
		return out
	}
	c.Fixes, c.Waiting = lines(l.Fixes), lines(l.Waiting)
	if n := len(l.Fixes); n > 0 {
		c.After = p.Lang.Percent(l.Fixes[n-1].Upper95)
	}
	for _, cost := range a.Policies {
		if cost.P != l.Next {
			continue
		}
		risks := func(list []advise.RiskShare, source bool) []riskLine {
			var out []riskLine
			for _, r := range list[:min(len(list), 10)] {
				line := riskLine{RiskShare: r, Title: orDash(r.Name), Part: shareOf(p.Lang, r.AtRisk, r.Messages)}
				if source {
					line.Title, line.URL = linked(r.ID, r.Name)
				}
				out = append(out, line)
			}
			return out
		}
		c.Sources, c.Receivers = risks(cost.Sources, true), risks(cost.Receivers, false)
	}
	for _, s := range l.Scopes[:min(len(l.Scopes), mostScopes)] {
		line := scopeLine{ScopeCost: s}
		switch s.Scope {
		case "sp", "np":
			line.Title, line.Aside = p.text("webwork.scope."+s.Scope), s.Scope
		default:
			line.Title, line.Aside = namesOf(s.Scope)
		}
		c.Scopes = append(c.Scopes, line)
		c.ScopeRecords = c.ScopeRecords || s.Record != ""
	}
	c.More = len(l.Scopes) - len(c.Scopes)
	if l.Coverage.Reporters > 0 {
		v := &coverageView{Coverage: l.Coverage, Text: p.text("webwork.coverage.reporters", "n", l.Coverage.Reporters, "share", l.Coverage.Largest)}
		if l.Coverage.Sent > 0 {
			v.Text = p.text("webwork.coverage.share", "share", l.Coverage.Share, "seen", l.Coverage.Seen, "sent", l.Coverage.Sent, "n", l.Coverage.Reporters, "since", dayOf(p.Lang, l.Coverage.Since))
		}
		c.Coverage = v
	}
	if l.Rehearse != "" {
		c.Rehearse = &nextRecord{"_dmarc." + name, l.Rehearse}
	}
	if l.LookAt != 0 {
		c.LookAt = dayOf(p.Lang, l.LookAt)
	}
	if b := l.StepBack; b.Days > 0 || b.Tripped {
		v := &stepBackView{StepBack: b, Where: "_dmarc." + name}
		if b.Tripped && b.Day != store.Day(0) {
			v.Day = dayOf(p.Lang, b.Day)
		}
		c.Back = v
	}
	return c
}

// links adds the domain's further pages.
func (c *climb) links(s *server, name string, n *narrowing) {
	if s.Work == nil {
		return
	}
	base, department := "/domain/"+url.PathEscape(name), n.asked()
	c.Work = withQuery("/work", nil, "domain", name, "department", department)
	if s.Work.Timeline != nil {
		c.Timeline = base + "/timeline"
	}
	if s.Work.Inventory != nil {
		c.Inventory = base + "/inventory"
	}
	if s.Work.Monthly != nil {
		c.Monthly = withQuery(base+"/monthly", nil, "department", department)
	}
}

// shownName is what a source is called on pages: as people call it, where
// somebody has said so.
func shownName(p *page, src *advise.Source) string {
	if src.Word != nil && src.Word.Name != "" {
		return src.Word.Name
	}
	return sourceName(p, src)
}

// only keeps the sources of an answer that belong to a department, as a second
// lock behind the advisor's own narrowing.
func only(a *advise.Advice, department string) *advise.Advice {
	out := *a
	out.Sources = slices.DeleteFunc(slices.Clone(a.Sources), func(src advise.Source) bool { return !strings.EqualFold(src.Department, department) })
	return &out
}
