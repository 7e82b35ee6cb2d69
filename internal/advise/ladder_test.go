package advise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sekimori/dmarc"
	"sekimori/explain"
	"sekimori/internal/require"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// TestShortest compares with every choice: what is returned is enough, and no
// smaller choice is.
func TestShortest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		n := r.IntN(9)
		weight := make([]int, n)
		sum := 0
		for i := range weight {
			weight[i] = r.IntN(50)
			sum += weight[i]
		}
		slices.SortFunc(weight, func(a, b int) int { return b - a })
		must := -1 // one that has to be done whatever it weighs
		if n > 0 && r.IntN(2) == 0 {
			must = r.IntN(n)
		}
		bound := r.IntN(sum + 1)
		enough := func(done []bool) bool {
			left := 0
			for i, d := range done {
				if !d {
					left += weight[i]
				}
			}
			return left <= bound && (must < 0 || done[must])
		}
		list := shortest(n, enough)
		done := make([]bool, n)
		for _, i := range list {
			done[i] = true
		}
		if !enough(done) {
			t.Fatalf("%v is not enough: %v, %d, %d", list, weight, bound, must)
		}
		for set := range 1 << n {
			try, k := make([]bool, n), 0
			for i := range try {
				if try[i] = set>>i&1 == 1; try[i] {
					k++
				}
			}
			if k < len(list) && enough(try) {
				t.Fatalf("%v would do, not %v: %v, %d, %d", try, list, weight, bound, must)
			}
		}
	}
	if got := shortest(3, func([]bool) bool { return false }); len(got) != 3 {
		t.Errorf("nothing is enough: %v, want all", got)
	}
}

// fixedOn is when sources are said to be fixed.
type fixedOn map[string]store.Day

func (f fixedOn) Fixed(context.Context, string) (map[string]store.Day, error) { return f, nil }

// office is a domain with its own server, 1,000 messages a day that pass, and
// whatever else a test adds.
type office struct {
	m     *memory
	begin store.Day
	days  int
	p     string
	extra func(day int) []aggregate.Record
}

const officeName = "yakusho.example"

func (o *office) fill() {
	o.m, o.begin = newMemory(), monday
	for d := range o.days {
		recs := []aggregate.Record{{SourceIP: netip.MustParseAddr("192.0.2.1"), Count: 1000, DKIM: true, SPF: true, HeaderFrom: officeName, Disposition: "none",
			DKIMResults: []aggregate.DKIMResult{{Domain: officeName, Result: "pass"}}, SPFResults: []aggregate.SPFResult{{Domain: officeName, Result: "pass"}}}}
		if o.extra != nil {
			recs = append(recs, o.extra(d)...)
		}
		for i, rec := range recs {
			day := (o.begin + store.Day(d)).Time()
			o.m.put(aggregate.Report{
				Metadata:        aggregate.Metadata{OrgName: fmt.Sprintf("receiver%d.example", i%2), ReportID: fmt.Sprint(d, i), Begin: day, End: day.AddDate(0, 0, 1).Add(-1e9)},
				PolicyPublished: aggregate.PolicyPublished{Domain: officeName, P: o.p, SP: o.p},
			}, []aggregate.Record{rec})
		}
	}
}

func (o *office) ask(t *testing.T, c Config, q Question) *Advice {
	t.Helper()
	c.Store = o.m
	if c.Now == nil { // the reports are of the days until now
		c.Now = (o.begin + store.Day(o.days)).Time
	}
	adv := New(c)
	defer adv.Close()
	a, err := adv.Advise(t.Context(), mustName(t, officeName), q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// invoice is a vendor's mail in our name, authenticated as the vendor's own.
func invoice(n uint64, passes bool) aggregate.Record {
	r := aggregate.Record{SourceIP: netip.MustParseAddr("198.51.100.9"), Count: n, HeaderFrom: "seikyu." + officeName, Disposition: "none", DKIM: passes,
		DKIMResults: []aggregate.DKIMResult{{Domain: "okuru.example", Result: "pass"}}, SPFResults: []aggregate.SPFResult{{Domain: "okuru.example", Result: "pass"}}}
	if passes {
		r.DKIMResults = append([]aggregate.DKIMResult{{Domain: "seikyu." + officeName, Result: "pass"}}, r.DKIMResults...)
	}
	return r
}

func sourceOf(t *testing.T, a *Advice, address string) Source {
	t.Helper()
	for _, s := range a.Sources {
		if slices.Contains(s.Addresses, address) {
			return s
		}
	}
	t.Fatalf("no source has %s", address)
	return Source{}
}

// TestLadderFixes follows a monthly run that fails, is fixed, and is seen again.
func TestLadderFixes(t *testing.T) {
	const vendor = "198.51.100.9"
	monthly := func(from int, repaired int) func(int) []aggregate.Record {
		return func(d int) []aggregate.Record {
			if d%30 != from {
				return nil
			}
			return []aggregate.Record{invoice(400, d >= repaired)}
		}
	}
	o := office{days: 175, p: "none", extra: monthly(5, 1000)}
	o.fill()
	a := o.ask(t, Config{}, Question{})
	l := a.Ladder
	if a.Verdict != NotReady || len(l.Fixes) != 1 || l.Fixes[0].AtRisk != 400 || l.Fixes[0].Upper95 > maxRisk || l.Next != "quarantine" {
		t.Fatalf("%s, %+v", a.Verdict, l)
	}
	s := sourceOf(t, a, vendor)
	if f := l.Fixes[0]; f.Key != s.Key || f.Source != s.ID || f.What.Code != "fix.wrong-vendor-name" || f.What.Children[0].Code != "fix.vendor-sign" {
		t.Errorf("%+v", f)
	}
	c := a.Policies[0]
	if len(c.Sources) != 1 || c.Sources[0].AtRisk != 400 || len(c.Receivers) != 1 || c.Receivers[0].AtRisk != 400 || c.Receivers[0].Name != "receiver1.example" {
		t.Errorf("at risk: %+v by %+v", c.Receivers, c.Sources)
	}
	if r, err := dmarc.Parse(l.Rehearse); err != nil || r.P != dmarc.Quarantine || !r.Testing {
		t.Errorf("rehearse %q, %v", l.Rehearse, err)
	}
	if l.LookAt != a.Window.End+lookAfterFix {
		t.Errorf("look at %v", l.LookAt)
	}
	// Asked a hundred days later, it is then that a week begins.
	late := o.ask(t, Config{Now: (a.Window.End + 100).Time}, Question{})
	old := slices.IndexFunc(late.Notes, func(s explain.Step) bool { return s.Code == "note.old-reports" })
	if late.Ladder.LookAt != a.Window.End+100+lookAfterFix || old < 0 || late.Notes[old].Args["last"] != (a.Window.End-1).String() {
		t.Errorf("asked later: look at %v, notes %+v", late.Ladder.LookAt, late.Notes)
	}
	// And about the past: as it was.
	if past := o.ask(t, Config{Now: (a.Window.End + 100).Time}, Question{Until: a.Window.End - 10}); past.Ladder.LookAt != past.Window.End+lookAfterFix {
		t.Errorf("asked about the past: look at %v", past.Ladder.LookAt)
	}
	sub := l.Scopes[2]
	if sub.Scope != "seikyu."+officeName || sub.AtRisk != 400 || sub.Legitimate != 400 || sub.Verdict != NotReady {
		t.Errorf("%+v", l.Scopes)
	}

	// Said to be fixed the day after, and not seen since: nothing to do but wait.
	fixed := o.begin + 156
	a = o.ask(t, Config{Cases: fixedOn{s.Key: fixed}}, Question{})
	if a.Verdict != NotReady || len(a.Ladder.Fixes) != 0 || len(a.Ladder.Waiting) != 1 || a.Ladder.Waiting[0].What.Code != "fix.wait-occasion" {
		t.Errorf("%s: fixes %+v, waiting %+v", a.Verdict, a.Ladder.Fixes, a.Ladder.Waiting)
	}
	if want := o.begin + 185 + 2; a.Ladder.LookAt != want {
		t.Errorf("look at %v, want %v: %+v", a.Ladder.LookAt, want, a.Ladder.Reasons)
	}

	// Its next run passes: what failed before is at risk no more.
	o = office{days: 190, p: "none", extra: monthly(5, 160)}
	o.fill()
	a = o.ask(t, Config{Cases: fixedOn{s.Key: fixed}}, Question{Days: 60})
	if a.Verdict != Ready || a.Policies[0].LegitimateAtRisk != 0 || len(a.Ladder.Waiting) != 0 {
		t.Errorf("%s, at risk %d: %+v", a.Verdict, a.Policies[0].LegitimateAtRisk, a.Ladder)
	}
	if r, err := dmarc.Parse(a.NextRecord); err != nil || r.P != dmarc.Quarantine || a.Ladder.LookAt != a.Window.End+lookAfterStep {
		t.Errorf("%s, look at %v", a.NextRecord, a.Ladder.LookAt)
	}

	// It does not: the fix was none.
	o = office{days: 190, p: "none", extra: monthly(5, 1000)}
	o.fill()
	a = o.ask(t, Config{Cases: fixedOn{s.Key: fixed}}, Question{})
	if a.Verdict != NotReady || len(a.Ladder.Fixes) != 1 || len(a.Ladder.Waiting) != 0 {
		t.Errorf("%s: fixes %+v, waiting %+v", a.Verdict, a.Ladder.Fixes, a.Ladder.Waiting)
	}
}

// TestStepBack checks that the trigger lets noise be and sees a break.
func TestStepBack(t *testing.T) {
	trips, seen := 0, 0
	const rounds = 300
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 7))
		base, size := 0.02*r.Float64()*r.Float64(), []int{40, 400, 4000}[r.IntN(3)]
		for _, broken := range []bool{false, true} {
			n := &analysis{window: store.Window{Begin: 100, End: 130}, counts: counts{days: map[store.Day]*dayCount{}}}
			n.policy.seen.P = "quarantine"
			for d := n.window.Begin; d < n.window.End; d++ {
				all := uint64(size/2 + r.IntN(size))
				share := base * (0.5 + r.Float64()) // days differ by more than chance
				if r.IntN(10) == 0 {
					share *= 2
				}
				if broken && d == n.window.End-2 {
					share = 0.3
				}
				var failing uint64
				for range all {
					if r.Float64() < share {
						failing++
					}
				}
				n.counts.days[d] = &dayCount{failing: failing, ours: all}
			}
			s := n.stepBack(&Advice{NextRecord: "v=DMARC1; p=quarantine; rua=mailto:d@example.jp"})
			if s.Tripped && !broken {
				trips++
			}
			if s.Tripped && broken && size > 40 {
				seen++
			} else if broken && size > 40 {
				t.Errorf("seed %d: %v of %d messages a day fail, and nothing trips: %+v", seed, 0.3, size, s)
			}
			if s.Record != "v=DMARC1; p=none; rua=mailto:d@example.jp" {
				t.Fatal(s.Record)
			}
		}
	}
	t.Logf("tripped by noise %d of %d, by a break %d", trips, rounds, seen)
	if trips*50 > rounds {
		t.Errorf("noise trips it %d times of %d", trips, rounds)
	}
}

// offices are departments of a test.
type offices struct {
	list     []store.Department
	assigned []store.Assignment
}

func (o offices) Departments(context.Context) ([]store.Department, error) { return o.list, nil }

func (o offices) Assignments(context.Context, string) ([]store.Assignment, error) {
	return o.assigned, nil
}

// TestDepartment narrows an answer after sources have been told apart.
func TestDepartment(t *testing.T) {
	o := office{days: 120, p: "none", extra: func(d int) []aggregate.Record {
		if d%7 != 1 {
			return nil
		}
		return []aggregate.Record{invoice(300, false)}
	}}
	o.fill()
	whole := o.ask(t, Config{}, Question{})
	tax := offices{[]store.Department{{ID: 4, Name: "税務課"}, {ID: 5, Name: "総務課"}}, []store.Assignment{
		{Department: 5, Domain: officeName}, {Department: 4, Domain: officeName, Subdomain: "seikyu." + officeName}}}
	for id, want := range map[int64]struct{ sources, messages, risk uint64 }{4: {1, 1200, 1200}, 5: {1, 30000, 0}} {
		a := o.ask(t, Config{Departments: tax}, Question{Department: id})
		if uint64(len(a.Sources)) != want.sources || a.Messages != want.messages || a.Policies[0].LegitimateAtRisk != want.risk || a.Department == "" {
			t.Errorf("department %d: %d sources, %d messages, at risk %d", id, len(a.Sources), a.Messages, a.Policies[0].LegitimateAtRisk)
		}
		var days uint64
		for _, d := range a.Daily {
			days += d.Aligned + d.Broken + d.Forwarder + d.Unknown + d.Spoof
		}
		if days != a.Messages {
			t.Errorf("department %d: %d messages by day, %d in all", id, days, a.Messages)
		}
	}
	if whole.Messages != 31200 || len(whole.Sources) != 2 {
		t.Errorf("the whole: %d messages of %d sources", whole.Messages, len(whole.Sources))
	}
	_, err := New(Config{Store: o.m, Departments: tax}).Advise(t.Context(), mustName(t, officeName), Question{Department: 9})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown department: %v", err)
	}
}

// TestLadderOfWorlds prints the ladders of the shared worlds, and checks what
// holds of every one.
func TestLadderOfWorlds(t *testing.T) {
	root := require.Data(t, "worlds")
	for _, world := range []string{"1", "2"} {
		w := shared(t, filepath.Join(root, world))
		domain := w.Truth.Domain
		_, a, _ := judged(t, w, inMemory(w), false)
		doc, err := json.MarshalIndent(a.Ladder, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %s\n%s\n%+v", a.Verdict, a.NextRecord, doc, a.Policies[0])
		l := a.Ladder
		if a.Verdict == NotReady && len(l.Fixes) == 0 && len(l.Waiting) == 0 {
			t.Errorf("%s: not ready, and nothing to do", domain)
		}
		if n := len(l.Fixes); n > 0 && l.Fixes[n-1].Upper95 > maxRisk {
			t.Errorf("%s: not ready after all is fixed: %v", domain, l.Fixes[n-1].Upper95)
		}
		if l.Rehearse != "" && !strings.Contains(l.Rehearse, "t=y") || l.LookAt <= a.Window.End || l.StepBack.Record == "" {
			t.Errorf("%s: %+v", domain, l)
		}
		var risk uint64
		for _, r := range a.Policies[0].Receivers {
			risk += r.AtRisk
		}
		if risk != a.Policies[0].LegitimateAtRisk {
			t.Errorf("%s: %d at risk at receivers, %d in all", domain, risk, a.Policies[0].LegitimateAtRisk)
		}
	}
}
