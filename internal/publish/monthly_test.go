package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rivo/uniseg"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/locale"
	"sekimori/internal/store"
	"sekimori/internal/watch"
)

// exampleMonth is a month with everything in it.
func exampleMonth() MonthlyFigures {
	w, _ := monthDays("2026-10")
	f := MonthlyFigures{Domain: "city.example.jp", Month: "2026-10", Window: w, Whole: true, Made: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
		Verdict: advise.NotReady, Policy: "none", Next: "quarantine", Record: "v=DMARC1; p=none; np=reject; fo=1; rua=mailto:dmarc-reports@city.example.jp", LookAt: w.End + 30,
		Reasons: []explain.Step{
			{Code: "verdict.not-ready", Args: explain.Args{"at_risk": uint64(8558), "legitimate": uint64(238481), "share": 0.0359, "upper95": 0.0371}},
			{Code: "verdict.fix", Args: explain.Args{"source": "okuru.example", "failing": uint64(1), "messages": uint64(2)}},
			{Code: "verdict.would-stop", Args: explain.Args{"messages": uint64(28551)}}},
		Legitimate: 236984, Passing: 228426, AtRisk: 8558, Upper95: 0.0371, Spoofed: 28551,
		Fixes: []MonthlyFix{{Fix: advise.Fix{Name: "anketo-cloud.example", AtRisk: 4494}, State: store.CaseContacted, Owner: "山田 太郎", Due: w.End + 50},
			{Fix: advise.Fix{Name: "kyuyo-meisai.example", AtRisk: 2040}, State: store.CaseFound}, {Fix: advise.Fix{Name: "mail.bosai.city.example.jp", AtRisk: 2024}, State: store.CaseRepair, Department: 2, Due: w.End - 3}},
		Happened: []watch.Entry{{At: w.Begin.Time(), Kind: "dns", Step: explain.Step{Code: "watch.dmarc-stricter", Args: explain.Args{"before": "none", "after": "quarantine", "to": "v=DMARC1; p=quarantine"}}},
			{At: (w.Begin + 3).Time(), Until: (w.Begin + 6).Time(), Kind: "wave", Step: explain.Step{Code: "watch.wave", Args: explain.Args{"messages": int64(4393), "usual": int64(49)}}},
			{At: (w.Begin + 9).Time(), Kind: "fixed", Step: explain.Step{Code: "watch.case-fixed", Args: explain.Args{"source": "okuru.example"}}}},
		Found: 3, Done: 1, Open: 4, Overdue: 1}
	for i := range 12 {
		p := MonthlyPoint{Month: time.Date(2025, time.Month(11+i), 1, 0, 0, 0, 0, time.UTC).Format("2006-01")}
		if i != 2 && i != 3 {
			p.Legitimate, p.Passing = 200000, uint64(150000+i*4000)
		}
		f.Months = append(f.Months, p)
	}
	return f
}

// hugeMonth has the longest names and numbers that there are.
func hugeMonth() MonthlyFigures {
	f := exampleMonth()
	long := strings.Repeat("とても長い部署の名前", 40)
	f.Domain = strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + ".example.jp"
	f.Department, f.Record = long, strings.Repeat("v=DMARC1; rua=mailto:"+strings.Repeat("x", 60)+"@example.jp; ", 20)
	f.Legitimate, f.Passing, f.AtRisk, f.Spoofed = math.MaxUint64, math.MaxUint64-1, math.MaxUint64, math.MaxUint64
	f.Found, f.Done, f.Open, f.Overdue = math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64
	f.Fixes = nil
	for range 20 {
		f.Fixes = append(f.Fixes, MonthlyFix{Fix: advise.Fix{Name: strings.Repeat("長い名前", 50) + ".example", AtRisk: math.MaxUint64}, State: store.CaseFound, Owner: long, Due: 1})
	}
	f.Reasons = append(f.Reasons, f.Reasons...)
	for i := range f.Reasons {
		f.Reasons[i].Args = explain.Args{"at_risk": uint64(math.MaxUint64), "legitimate": uint64(math.MaxUint64), "share": 1.0, "upper95": 1.0, "source": long, "failing": uint64(math.MaxUint64), "messages": uint64(math.MaxUint64)}
	}
	f.Months[11].Legitimate = 0
	for range 5 {
		f.Happened = append(f.Happened, watch.Entry{At: f.Made, Kind: "fixed", Step: explain.Step{Code: "watch.case-fixed", Args: explain.Args{"source": long}}})
	}
	return f
}

var monthlyCases = map[string]func() MonthlyFigures{
	"example": exampleMonth, "huge": hugeMonth, "nothing": func() MonthlyFigures { return MonthlyFigures{Domain: "a.example", Month: "2026-10"} },
	"ready": func() MonthlyFigures {
		f := exampleMonth()
		f.Verdict, f.Fixes, f.AtRisk, f.Upper95, f.Reasons = advise.Ready, nil, 0, 0.0004, nil
		return f
	},
}

var pdfPage = regexp.MustCompile(`/Type /Page\n`)

func TestMonthlyPDF(t *testing.T) {
	needFont(t)
	for name, figures := range monthlyCases {
		for _, l := range locale.Langs {
			var b bytes.Buffer
			if err := Monthly(&b, figures(), l, PDF); err != nil {
				t.Fatal(err)
			}
			if n := len(pdfPage.FindAll(b.Bytes(), -1)); n != 1 {
				t.Errorf("%s %s: %d pages", name, l, n)
			}
			if b.Len() > 300<<10 {
				t.Errorf("%s %s: %d octets", name, l, b.Len())
			}
			save(t, "monthly."+name+"."+string(l)+".pdf", b.Bytes())
		}
	}
}

// TestMonthlyReads: the text of the page can be selected and searched.
func TestMonthlyReads(t *testing.T) {
	needFont(t)
	tool, err := exec.LookPath("pdftotext")
	if err != nil {
		t.Skip("pdftotext is not installed")
	}
	file := filepath.Join(t.TempDir(), "m.pdf")
	var b bytes.Buffer
	if err := Monthly(&b, exampleMonth(), locale.Japanese, PDF); err != nil {
		t.Fatal(err)
	}
	if err := writeTest(file, b.Bytes()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, file, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"まだ次の段階へは進めません", "anketo-cloud.example", "28,551", "v=DMARC1; p=none"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestMonthlyTextAndPage(t *testing.T) {
	for name, figures := range monthlyCases {
		for _, l := range locale.Langs {
			var text, html, page bytes.Buffer
			if err := errors.Join(Monthly(&text, figures(), l, Text), Monthly(&html, figures(), l, HTML), MonthlyPage(&page, figures(), l)); err != nil {
				t.Fatal(err)
			}
			for _, b := range []*bytes.Buffer{&text, &html, &page} {
				if strings.Contains(b.String(), "⟦") || strings.Contains(b.String(), "NaN") {
					t.Errorf("%s %s: a code, an argument or a number is missing:\n%s", name, l, b)
				}
			}
			if !bytes.Contains(page.Bytes(), html.Bytes()) {
				t.Errorf("%s %s: the page does not hold the piece", name, l)
			}
			for _, line := range strings.Split(text.String(), "\n") {
				if uniseg.StringWidth(line) > 80 && !strings.Contains(line, "v=DMARC1") {
					t.Errorf("%s %s: %d columns: %s", name, l, uniseg.StringWidth(line), line)
				}
			}
			save(t, "monthly."+name+"."+string(l)+".html", page.Bytes())
			save(t, "monthly."+name+"."+string(l)+".txt", text.Bytes())
		}
	}
	if err := Monthly(&bytes.Buffer{}, exampleMonth(), locale.English, Mail); err == nil {
		t.Error("a monthly report as a mail")
	}
}

// fakeMonths is a store and an advisor with figures for each day.
type fakeMonths struct {
	watch.Store
	end   store.Day
	cases []store.Case
	asked []advise.Question
}

func (f *fakeMonths) Newest(context.Context, string) (store.Day, bool, error) {
	return f.end, f.end != 0, nil
}

func (f *fakeMonths) ClassDaily(_ context.Context, _ string, w store.Window) ([]store.ClassTotals, error) {
	var out []store.ClassTotals
	for d := max(w.Begin, f.end-100); d < min(w.End, f.end); d++ {
		out = append(out, store.ClassTotals{Day: d, Class: "aligned", Messages: 90}, store.ClassTotals{Day: d, Class: "broken", Messages: 10}, store.ClassTotals{Day: d, Class: "spoof", Messages: 5})
	}
	return out, nil
}

func (f *fakeMonths) Cases(_ context.Context, _ store.CaseFilter, p store.Page) ([]store.Case, int64, error) {
	return f.cases[min(p.Offset, len(f.cases)):min(p.Offset+p.Limit, len(f.cases))], int64(len(f.cases)), nil
}

func (f *fakeMonths) CaseEvents(_ context.Context, id int64) ([]store.CaseEvent, error) {
	for _, c := range f.cases {
		if c.ID == id && c.State == store.CaseDone {
			return []store.CaseEvent{{Kind: "opened", At: c.Opened}, {Kind: "proof", To: string(store.CaseDone), At: c.Changed}}, nil
		}
	}
	return nil, nil
}

func (f *fakeMonths) PolicyHistory(context.Context, string) ([]store.PolicySpan, error) {
	first := store.PolicySpan{From: f.end - 90}
	second := store.PolicySpan{From: f.end - 30}
	second.Policy.P = "quarantine"
	return []store.PolicySpan{first, second}, nil
}

func (f *fakeMonths) Happenings(context.Context, string, time.Time, int) ([]store.Happening, error) {
	return nil, nil
}

func (f *fakeMonths) Observations(context.Context, string, string, int) ([]store.Observation, error) {
	return nil, nil
}

func (f *fakeMonths) Sayings(context.Context, string) ([]store.Saying, error) { return nil, nil }

func (f *fakeMonths) DomainVersion(string) int64 { return 1 }

func (f *fakeMonths) DomainStateVersion(string) int64 { return 1 }

func (f *fakeMonths) Advise(_ context.Context, name domain.Name, q advise.Question) (*advise.Advice, error) {
	f.asked = append(f.asked, q)
	a := &advise.Advice{Domain: name.String(), Verdict: advise.NotReady, Messages: 1, Policy: "quarantine", Ladder: advise.Ladder{Next: "reject", Fixes: []advise.Fix{{Key: "x", Name: "x.example"}}},
		Policies: []advise.PolicyCost{{P: "quarantine"}, {P: "reject", LegitimateAtRisk: 7, Upper95: 0.1}}}
	for d := max(q.Until-store.Day(q.Days), f.end-100); d < q.Until; d++ {
		a.Daily = append(a.Daily, advise.ClassDay{Day: d, Aligned: 90, Broken: 10, Spoof: 5})
	}
	return a, nil
}

func TestMonthlyFigures(t *testing.T) {
	ctx := t.Context()
	at := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	st := &fakeMonths{end: store.DayOf(at("2026-11-11")), cases: []store.Case{
		{ID: 7, Key: "x", Owner: "Tanaka", State: store.CaseDone, Opened: at("2026-09-01"), Changed: at("2026-10-05")}, {State: store.CaseDone, Opened: at("2026-08-01"), Changed: at("2026-09-05")},
		{State: store.CaseFound, Opened: at("2026-10-31"), Due: store.DayOf(at("2026-11-01"))}, {State: store.CaseAccepted, Opened: at("2026-10-01")}, {State: store.CaseRepair, Opened: at("2026-11-01")}}}
	watcher, err := watch.New(watch.Config{Store: st, Now: func() time.Time { return at("2026-11-22") }})
	if err != nil {
		t.Fatal(err)
	}
	src := MonthlySource{Store: st, Timeline: watcher, Advisor: st, Now: func() time.Time { return at("2026-11-22") }}
	name, _ := domain.Parse("city.example.jp")
	if months, err := src.Months(ctx, "city.example.jp"); err != nil || fmt.Sprint(months) != "[2026-11 2026-10 2026-09 2026-08]" {
		t.Errorf("months %v, %v", months, err)
	}
	f, err := src.Figures(ctx, name, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if f.Month != "2026-10" || !f.Whole || f.Legitimate != 3100 || f.Passing != 2790 || f.Spoofed != 155 || f.AtRisk != 7 || !f.Stopped {
		t.Errorf("%+v", f)
	}
	if got, want := [4]int64{f.Found, f.Done, f.Open, f.Overdue}, [4]int64{2, 1, 2, 1}; got != want {
		t.Errorf("work %v, want %v", got, want)
	}
	if len(f.Months) != 12 || f.Months[0].Month != "2025-11" || f.Months[0].Legitimate != 0 || f.Months[10].Legitimate != 3000 || f.Months[11].Legitimate != 3100 {
		t.Errorf("months %v", f.Months)
	}
	var codes []string
	for _, e := range f.Happened {
		codes = append(codes, e.Step.Code)
	}
	if got := strings.Join(codes, " "); got != "watch.case-fixed watch.policy-changed" {
		t.Errorf("happened: %s", got)
	}
	if len(f.Fixes) != 1 || f.Fixes[0].Owner != "Tanaka" || f.Fixes[0].State != store.CaseDone {
		t.Errorf("fixes %+v", f.Fixes)
	}
	if its, err := src.Figures(ctx, name, "2026-10", 3); err != nil || len(its.Happened) != 1 || its.Happened[0].Case != 7 {
		t.Errorf("a department is told of %+v, %v", its.Happened, err)
	}
	part, err := src.Figures(ctx, name, "2026-11", 3)
	if err != nil || part.Whole || part.Window.Days() != 10 || st.asked[len(st.asked)-1].Department != 3 {
		t.Errorf("%+v, %v, asked %v", part, err, st.asked)
	}
	if diff := cmp.Diff(f.Months[1:11], part.Months[:10]); diff != "" {
		t.Errorf("the line of a part (-whole +part):\n%s", diff)
	}
	for month, want := range map[string]bool{"2026-12": true, "2027-01": true, "October": false} {
		if _, err := src.Figures(ctx, name, month, 0); err == nil || errors.Is(err, ErrNoMonth) != want {
			t.Errorf("%s: %v", month, err)
		}
	}
}
