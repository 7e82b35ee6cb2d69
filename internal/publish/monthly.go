package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
	"sekimori/internal/watch"
)

// MonthlyFigures is the report for the management, in codes and figures.
type MonthlyFigures struct {
	Domain     string       `json:"domain"`
	Department string       `json:"department,omitempty"` // that the report is narrowed to
	Month      string       `json:"month"`                // YYYY-MM
	Window     store.Window `json:"window"`               // of the month, as far as it is over
	Whole      bool         `json:"whole"`                // the month is over, and reports of its last day are there
	Made       time.Time    `json:"made"`

	Verdict advise.Verdict `json:"verdict"`
	Reasons []explain.Step `json:"reasons"`
	Policy  string         `json:"policy"` // p in force; "" for not known
	Next    string         `json:"next"`   // the step that is asked about; "" at the top
	Record  string         `json:"record"` // to publish next
	LookAt  store.Day      `json:"look_at"`

	Legitimate uint64             `json:"legitimate"` // messages of ours, forwarded ones apart
	Passing    uint64             `json:"passing"`    // of them
	AtRisk     uint64             `json:"at_risk"`    // legitimate messages that the next policy would stop
	Upper95    float64            `json:"upper95"`    // bound of their share
	Risks      []advise.RiskShare `json:"risks"`      // where from, the most first
	Spoofed    uint64             `json:"spoofed"`    // messages of others in our name
	Stopped    bool               `json:"stopped"`    // the policy in force asks receivers to stop them
	Months     []MonthlyPoint     `json:"months"`     // twelve, the last is Month

	Fixes   []MonthlyFix `json:"fixes"`   // what to do before the next step
	Found   int64        `json:"found"`   // pieces of work that were opened in the month
	Done    int64        `json:"done"`    // that were done in it
	Open    int64        `json:"open"`    // that are open now
	Overdue int64        `json:"overdue"` // of them

	Happened []watch.Entry `json:"happened"` // in the month, of what the management has to know; the first first
}

// MonthlyFix is one thing to fix, and who is at it. State is "" where there is
// no piece of work for it.
type MonthlyFix struct {
	advise.Fix
	State      store.CaseState `json:"state,omitempty"`
	Owner      string          `json:"owner,omitempty"`
	Department int64           `json:"department,omitempty"` // 0 for none
	Due        store.Day       `json:"due,omitempty"`
}

// MonthlyPoint is one month of the line.
type MonthlyPoint struct {
	Month      string `json:"month"`
	Legitimate uint64 `json:"legitimate"` // 0: no reports, or no mail of ours
	Passing    uint64 `json:"passing"`
}

// Share is the part of legitimate mail that passes; false where there is none.
func (p MonthlyPoint) Share() (float64, bool) {
	if p.Legitimate == 0 {
		return 0, false
	}
	return float64(p.Passing) / float64(p.Legitimate), true
}

// MonthlyStore is what a monthly report reads; *store.Store has it.
type MonthlyStore interface {
	Newest(ctx context.Context, domain string) (store.Day, bool, error)
	ClassDaily(ctx context.Context, domain string, w store.Window) ([]store.ClassTotals, error)
	Cases(ctx context.Context, f store.CaseFilter, p store.Page) ([]store.Case, int64, error)
}

// MonthlyTimeline tells what happened to a domain; *watch.Watcher has it, and
// remembers what takes long to find.
type MonthlyTimeline interface {
	Timeline(ctx context.Context, name domain.Name, since time.Time) ([]watch.Entry, error)
}

// MonthlyAdvisor answers about a month; *advise.Advisor has it.
type MonthlyAdvisor interface {
	Advise(ctx context.Context, name domain.Name, q advise.Question) (*advise.Advice, error)
}

// MonthlySource gathers the figures of monthly reports.
type MonthlySource struct {
	Store    MonthlyStore
	Timeline MonthlyTimeline
	Advisor  MonthlyAdvisor
	Now      func() time.Time
}

// ErrNoMonth says that there are no reports of a month.
var ErrNoMonth = errors.New("no reports of that month")

// mostMonths is how far back months are listed.
const mostMonths = 60

// monthOf is the month that a day is in, and monthDays its days.
func monthOf(d store.Day) string { return d.Time().Format("2006-01") }

func monthDays(month string) (store.Window, error) {
	t, err := time.Parse("2006-01", month)
	if err != nil {
		return store.Window{}, fmt.Errorf("month %.20q: want YYYY-MM", month)
	}
	return store.Window{Begin: store.DayOf(t), End: store.DayOf(t.AddDate(0, 1, 0))}, nil
}

// Months lists the months of which a domain has reports, the newest first, at
// most 60. Cost: a scan of the domain's counts by day.
func (s MonthlySource) Months(ctx context.Context, name string) ([]string, error) {
	end, ok, err := s.Store.Newest(ctx, name)
	if err != nil || !ok {
		return nil, err
	}
	w := store.Window{Begin: store.DayOf((end - 1).Time().AddDate(0, -mostMonths, 0)), End: end}
	days, err := s.Store.ClassDaily(ctx, name, w)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range days {
		if m := monthOf(d.Day); !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out, nil
}

// Usual is the month that is reported on where none is named: the last whole
// one with reports, or the only one that there is.
func (s MonthlySource) Usual(ctx context.Context, name string) (string, error) {
	months, err := s.Months(ctx, name)
	if err != nil {
		return "", err
	}
	if len(months) == 0 {
		return "", ErrNoMonth
	}
	end, _, err := s.Store.Newest(ctx, name)
	if err != nil {
		return "", err
	}
	if w, err := monthDays(months[0]); err == nil && end < w.End && len(months) > 1 {
		return months[1], nil
	}
	return months[0], nil
}

// Figures gathers the report of a month ("" for the usual one). ErrNoMonth says
// that it has no reports. Cost: the domain's advice of the month, worked out
// anew, and for a department that of the year before it.
func (s MonthlySource) Figures(ctx context.Context, name domain.Name, month string, department int64) (MonthlyFigures, error) {
	f := MonthlyFigures{Domain: name.String(), Made: s.Now().UTC(), Risks: []advise.RiskShare{}, Fixes: []MonthlyFix{}, Reasons: []explain.Step{}, Happened: []watch.Entry{}}
	if month == "" {
		var err error
		if month, err = s.Usual(ctx, f.Domain); err != nil {
			return f, err
		}
	}
	w, err := monthDays(month)
	if err != nil {
		return f, err
	}
	end, ok, err := s.Store.Newest(ctx, f.Domain)
	if err != nil {
		return f, err
	}
	if !ok || end <= w.Begin {
		return f, fmt.Errorf("%s, %s: %w", f.Domain, month, ErrNoMonth)
	}
	f.Month, f.Whole = month, end >= w.End
	w.End = min(w.End, end)
	f.Window = w
	a, err := s.Advisor.Advise(ctx, name, advise.Question{Days: w.Days(), Until: w.End, Department: department})
	if err != nil {
		return f, err
	}
	if a.Messages == 0 && department == 0 { // a department may have had a quiet month
		return f, fmt.Errorf("%s, %s: %w", f.Domain, month, ErrNoMonth)
	}
	f.take(a)
	if err := s.line(ctx, &f, name, department); err != nil {
		return f, err
	}
	mine, err := s.work(ctx, &f, department)
	if err != nil {
		return f, err
	}
	return f, s.happened(ctx, &f, name, func(e watch.Entry) bool { return department == 0 || e.Case != 0 && mine[e.Case] })
}

// take takes over what the month's advice says.
func (f *MonthlyFigures) take(a *advise.Advice) {
	f.Department, f.Verdict, f.Policy, f.Next, f.Record, f.LookAt = a.Department, a.Verdict, a.Policy, a.Ladder.Next, a.NextRecord, a.Ladder.LookAt
	f.Reasons = append(f.Reasons, a.Reasons...)
	for _, x := range a.Ladder.Fixes {
		f.Fixes = append(f.Fixes, MonthlyFix{Fix: x})
	}
	f.Stopped = a.Policy == "quarantine" || a.Policy == "reject"
	for _, d := range a.Daily {
		f.Legitimate += d.Aligned + d.Broken
		f.Passing += d.Aligned
		f.Spoofed += d.Spoof
	}
	for _, p := range a.Policies {
		if p.P == f.Next || f.Next == "" && p.P == "reject" {
			f.AtRisk, f.Upper95 = p.LegitimateAtRisk, p.Upper95
			f.Risks = append(f.Risks, p.Sources...)
			break
		}
	}
}

// line fills the twelve months that end with the report's.
func (s MonthlySource) line(ctx context.Context, f *MonthlyFigures, name domain.Name, department int64) error {
	first := store.DayOf(time.Date(f.Window.Begin.Time().Year(), f.Window.Begin.Time().Month()-11, 1, 0, 0, 0, 0, time.UTC))
	year := store.Window{Begin: first, End: f.Window.End}
	at := map[string]int{}
	for t := first.Time(); len(f.Months) < 12; t = t.AddDate(0, 1, 0) {
		at[t.Format("2006-01")] = len(f.Months)
		f.Months = append(f.Months, MonthlyPoint{Month: t.Format("2006-01")})
	}
	add := func(d store.Day, passing, failing uint64) {
		if i, ok := at[monthOf(d)]; ok {
			f.Months[i].Legitimate += passing + failing
			f.Months[i].Passing += passing
		}
	}
	if department != 0 {
		a, err := s.Advisor.Advise(ctx, name, advise.Question{Days: year.Days(), Until: year.End, Department: department})
		if err != nil {
			return err
		}
		for _, d := range a.Daily {
			add(d.Day, d.Aligned, d.Broken)
		}
	} else {
		days, err := s.Store.ClassDaily(ctx, f.Domain, year)
		if err != nil {
			return err
		}
		for _, d := range days {
			switch advise.Class(d.Class) {
			case advise.Aligned:
				add(d.Day, d.Messages, 0)
			case advise.Broken:
				add(d.Day, 0, d.Messages)
			}
		}
	}
	// The report's own month is as the answer says, above and in the line.
	f.Months[11].Legitimate, f.Months[11].Passing = f.Legitimate, f.Passing
	return nil
}

// work counts the pieces of work, says who is at what is to be fixed, and
// returns which numbers they have.
func (s MonthlySource) work(ctx context.Context, f *MonthlyFigures, department int64) (map[int64]bool, error) {
	filter := store.CaseFilter{Domain: f.Domain, Department: department}
	mine := map[int64]bool{}
	w, err := monthDays(f.Month)
	if err != nil {
		return mine, err
	}
	in := func(t time.Time) bool { d := store.DayOf(t.UTC()); return d >= w.Begin && d < w.End }
	today := store.DayOf(f.Made)
	for p := (store.Page{Limit: 1000, Sort: "id"}); ; p.Offset += p.Limit {
		cases, _, err := s.Store.Cases(ctx, filter, p)
		if err != nil {
			return mine, err
		}
		for _, c := range cases {
			mine[c.ID] = true
			for i := range f.Fixes {
				if x := &f.Fixes[i]; x.Key == c.Key {
					x.State, x.Owner, x.Department, x.Due = c.State, c.Owner, c.Department, c.Due
				}
			}
			if in(c.Opened) {
				f.Found++
			}
			switch c.State {
			case store.CaseDone:
				if in(c.Changed) {
					f.Done++
				}
			case store.CaseAccepted:
			default:
				f.Open++
				if c.Due != 0 && c.Due < today {
					f.Overdue++
				}
			}
		}
		if len(cases) < p.Limit {
			return mine, nil
		}
	}
}

// weights are the kinds of happenings that the management has to know of, the
// weightiest first.
var weights = []string{"step-back", "all-clear", "policy", "reopened", "fixed", "accepted", "wave"}

// mostHappened is how many happenings a report tells of.
const mostHappened = 5

// happened takes the month's part of the timeline: the weightiest that keep
// lets through.
func (s MonthlySource) happened(ctx context.Context, f *MonthlyFigures, name domain.Name, keep func(watch.Entry) bool) error {
	month, err := monthDays(f.Month)
	if err != nil {
		return err
	}
	all, err := s.Timeline.Timeline(ctx, name, month.Begin.Time())
	if err != nil {
		return err
	}
	weight := func(e watch.Entry) int {
		if policyTurn(e) {
			return slices.Index(weights, "policy")
		}
		if e.Kind == "policy" {
			return -1
		}
		return slices.Index(weights, e.Kind)
	}
	all = slices.DeleteFunc(all, func(e watch.Entry) bool {
		return weight(e) < 0 || !keep(e) || e.At.Before(month.Begin.Time()) || !e.At.Before(month.End.Time())
	})
	slices.SortStableFunc(all, func(a, b watch.Entry) int { return cmp.Or(weight(a)-weight(b), b.At.Compare(a.At)) })
	f.Happened = append(f.Happened, all[:min(len(all), mostHappened)]...)
	slices.SortStableFunc(f.Happened, func(a, b watch.Entry) int { return a.At.Compare(b.At) })
	return nil
}

// policyTurn says whether the policy was made stricter, weaker or was taken
// away.
func policyTurn(e watch.Entry) bool {
	switch e.Step.Code {
	case "watch.policy-changed", "watch.dmarc-stricter", "watch.dmarc-weaker", "watch.dmarc-removed", "watch.dmarc-several":
		return true
	}
	return false
}
