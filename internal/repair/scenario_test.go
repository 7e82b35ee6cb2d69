package repair

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/internal/advise"
	"sekimori/internal/locale"
	"sekimori/internal/sources"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

const zone = `
city.example. TXT "v=spf1 ip4:192.0.2.10 -all"
city.example. MX 10 mail.city.example.
mail.city.example. A 192.0.2.10
app.city.example. A 192.0.2.30
new.city.example. A 192.0.2.40
40.2.0.192.in-addr.arpa. PTR new.city.example.
10.2.0.192.in-addr.arpa. PTR mail.city.example.
30.2.0.192.in-addr.arpa. PTR app.city.example.
20.100.51.198.in-addr.arpa. PTR out1.okuru.example.
21.100.51.198.in-addr.arpa. PTR out2.okuru.example.
out1.okuru.example. A 198.51.100.20
out2.okuru.example. A 198.51.100.21
okuru.example. TXT "v=spf1 ip4:198.51.100.0/24 -all"
bounce.okuru.example. TXT "v=spf1 ip4:198.51.100.0/24 -all"
`

// town is a made-up domain whose reports come in day by day.
type town struct {
	t   *testing.T
	st  *store.Store
	adv *advise.Advisor
	m   *Manager
	now time.Time
	id  int

	vendorFixed, appFixed, survey bool
}

func newTown(t *testing.T) *town {
	t.Helper()
	st, err := store.Open(context.Background(), t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	z, err := dnstest.Parse(strings.NewReader(zone), "zone")
	if err != nil {
		t.Fatal(err)
	}
	w := &town{t: t, st: st, now: time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	w.adv = advise.New(advise.Config{Store: st, Resolver: z, Now: clock, Cases: st})
	w.m = New(Config{Store: st, Advisor: w.adv, Resolver: z, Catalogue: sources.DefaultCatalogue(), Now: clock, Contact: Contact{Name: "情報システム課", Address: "it@city.example"}})
	t.Cleanup(func() {
		w.adv.Close()
		st.Close()
	})
	return w
}

// pass lets some days pass and reports come in.
func (w *town) pass(days int) {
	w.t.Helper()
	ctx := context.Background()
	var in []*store.Incoming
	for range days {
		day := store.DayOf(w.now)
		for r, org := range []string{"google.com", "ntt.example", "yahoo.example"} {
			var rows store.Rows
			add := func(addr, from string, n uint64, dkim, spf bool, sigs []aggregate.DKIMResult, env string, result string) {
				rows.Add(&aggregate.Record{SourceIP: netip.MustParseAddr(addr), HeaderFrom: from, EnvelopeFrom: env, Count: n, DKIM: dkim, SPF: spf,
					DKIMResults: sigs, SPFResults: []aggregate.SPFResult{{Domain: env, Result: result, Scope: "mfrom"}}})
			}
			own := []aggregate.DKIMResult{{Domain: "city.example", Selector: "s1", Result: "pass"}}
			add("192.0.2.10", "city.example", 200, true, true, own, "city.example", "pass")
			if wd := day.Time().Weekday(); wd != time.Saturday && wd != time.Sunday {
				sig := []aggregate.DKIMResult{{Domain: "okuru.example", Selector: "k1", Result: "pass"}}
				if w.vendorFixed {
					sig = append(sig, aggregate.DKIMResult{Domain: "city.example", Selector: "okuru", Result: "pass"})
				}
				for i := range 2 {
					add(fmt.Sprintf("198.51.100.%d", 20+i), "city.example", uint64(10+r), w.vendorFixed, false, sig, "bounce.okuru.example", "pass")
				}
			}
			result := "fail"
			if w.appFixed {
				result = "pass"
			}
			add("192.0.2.30", "app.city.example", 8, false, w.appFixed, nil, "city.example", result)
			if w.survey {
				add("192.0.2.40", "app.city.example", 9, false, false, nil, "city.example", "fail")
			}
			w.id++
			in = append(in, &store.Incoming{Rows: &rows, Report: aggregate.Report{
				Metadata:        aggregate.Metadata{OrgName: org, ReportID: fmt.Sprint(w.id), Begin: day.Time(), End: (day + 1).Time().Add(-time.Second)},
				PolicyPublished: aggregate.PolicyPublished{Domain: "city.example", P: "none"},
			}})
		}
		w.now = w.now.AddDate(0, 0, 1)
	}
	if _, err := w.st.Put(ctx, in); err != nil {
		w.t.Fatal(err)
	}
}

// refresh works the advice out and carries the cases on, twice: the second time
// must do nothing.
func (w *town) refresh() (*advise.Advice, Changes) {
	w.t.Helper()
	ctx := context.Background()
	name, err := domain.Parse("city.example")
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := w.adv.Advise(ctx, name, advise.Question{})
	if err != nil {
		w.t.Fatal(err)
	}
	done, err := w.m.Refresh(ctx, a)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(done.Mended) > 0 {
		return a, done // the next look proves them
	}
	if again, err := w.m.Refresh(ctx, a); err != nil || again.Any() {
		w.t.Errorf("the second refresh did %+v, %v", again, err)
	}
	return a, done
}

func (w *town) set(id int64, ch Change) store.Case {
	w.t.Helper()
	ch.By = "鈴木"
	c, err := w.m.Set(context.Background(), id, ch)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *town) get(id int64) store.Case {
	w.t.Helper()
	c, err := w.st.Case(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func of[T any](v T) *T { return &v }

func describe(a *advise.Advice) string {
	var b strings.Builder
	for _, s := range a.Sources {
		fmt.Fprintf(&b, "%s %s %d/%d %v\n", s.Key, s.Class, s.Failing, s.Messages, s.HeaderFrom)
	}
	return b.String()
}

// TestScenario is three months of work: what breaks is found, its owner is told,
// it is fixed, the reports prove it, and it breaks again.
func TestScenario(t *testing.T) {
	ctx := context.Background()
	w := newTown(t)
	dept, err := w.st.PutDepartment(ctx, store.Department{Name: "観光課", Contact: "tourism@city.example"})
	if err != nil {
		t.Fatal(err)
	}

	// Month 1: two systems of ours fail.
	w.pass(30)
	a, done := w.refresh()
	if len(done.Opened) != 2 {
		t.Fatalf("opened %d cases, want the vendor's and the application's\n%s", len(done.Opened), describe(a))
	}
	find := func(part string) store.Case {
		t.Helper()
		for _, c := range done.Opened {
			if strings.Contains(c.Key, part) {
				return c
			}
		}
		t.Fatalf("no case about %s\n%s", part, describe(a))
		return store.Case{}
	}
	vendor := find("okuru.example")
	app := done.Opened[0]
	if app.ID == vendor.ID {
		app = done.Opened[1]
	}
	if vendor.Failing == 0 || vendor.State != store.CaseFound {
		t.Errorf("opened as %+v", vendor)
	}
	checkLetters(t, w, vendor, app)

	// A word and a department are kept with the source.
	for i := range a.Sources {
		if s := &a.Sources[i]; s.Key == vendor.Key {
			word := s.Saying(a.Domain)
			word.Class, word.Name, word.By = "broken", "観光メール", "鈴木"
			if _, err := w.st.PutSaying(ctx, word); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.st.Assign(ctx, store.Assignment{Department: dept.ID, Domain: "city.example", Key: vendor.Key, By: "鈴木"}); err != nil {
		t.Fatal(err)
	}
	if err := w.m.Reassign(ctx, "city.example"); err != nil {
		t.Fatal(err)
	}
	if b, err := w.m.Board(ctx, store.CaseFilter{Department: dept.ID}); err != nil || b.Total != 1 || b.Columns[0].Cases[0].ID != vendor.ID {
		t.Errorf("the department's board: %+v, %v", b, err)
	}

	// Contacted; three days before it is due the department is reminded, once.
	c := w.set(vendor.ID, Change{State: of(store.CaseContacted), Note: of("電話した")})
	if c.Due != store.DayOf(w.now)+dueDays {
		t.Errorf("due %s", c.Due)
	}
	if r, err := w.m.Due(ctx, w.now); err != nil || len(r) != 0 {
		t.Errorf("reminders %+v, %v", r, err)
	}
	soon := (c.Due - 2).Time()
	r, err := w.m.Due(ctx, soon)
	if err != nil || len(r) != 1 || r[0].Kind != DueSoon || r[0].To != "tourism@city.example" || r[0].Days != 2 {
		t.Fatalf("reminders %+v, %v", r, err)
	}
	if err := w.m.Reminded(ctx, r, soon); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		after int // days after it was due
		want  ReminderKind
	}{{-1, ""}, {1, Overdue}} {
		r, err := w.m.Due(ctx, (c.Due + store.Day(x.after)).Time())
		if err != nil || x.want == "" && len(r) > 0 || x.want != "" && (len(r) != 1 || r[0].Kind != x.want) {
			t.Errorf("%d days after it was due: %+v, %v", x.after, r, err)
		}
	}

	// Both are said to be fixed. The vendor's is; the application's is not.
	c = w.set(vendor.ID, Change{State: of(store.CaseWaiting)})
	if c.Fixed != store.DayOf(w.now)+1 {
		t.Errorf("fixed since %s", c.Fixed)
	}
	w.set(app.ID, Change{State: of(store.CaseWaiting)})
	w.vendorFixed = true
	w.pass(1)
	a, done = w.refresh()
	if done.Any() {
		t.Errorf("a day later: %+v", done)
	}
	w.pass(2)
	a, done = w.refresh()
	if len(done.Proven) != 0 || len(done.Reopened) != 1 || done.Reopened[0].ID != app.ID {
		t.Errorf("three days later: %+v\n%s", done, describe(a))
	}
	if c := w.get(app.ID); c.State != store.CaseFound || c.Reopened != 1 || c.Fixed != 0 {
		t.Errorf("the application's case: %+v", c)
	}
	w.set(app.ID, Change{State: of(store.CaseWaiting), Owner: of("app@city.example")})
	w.appFixed = true

	// Month 2 proves both.
	w.pass(27)
	a, done = w.refresh()
	if len(done.Proven) != 2 || len(done.Opened) != 0 || len(done.Reopened) != 0 {
		t.Fatalf("month 2: %+v\n%s\n%+v\n%+v", done, describe(a), w.get(vendor.ID), w.get(app.ID))
	}
	if c := w.get(vendor.ID); c.State != store.CaseDone || c.Proof < 100 || c.Receivers != 3 || c.Relapse != 0 || c.Department != dept.ID {
		t.Errorf("the vendor's case: %+v", c)
	}
	if c := w.get(app.ID); c.Proof < 100 || c.Receivers != 3 || c.Name != app.Name {
		t.Errorf("the application's case: %+v", c)
	}
	a, _ = w.refresh() // the word has been carried over to the key that the source has now
	if !slices.ContainsFunc(a.Sources, func(s advise.Source) bool { return s.Word != nil && s.Word.Name == "観光メール" }) {
		t.Errorf("the word was lost\n%s", describe(a))
	}

	// Month 3: the vendor breaks again.
	w.vendorFixed = false
	w.pass(7)
	a, done = w.refresh()
	if len(done.Reopened) != 1 || done.Reopened[0].ID != vendor.ID || len(done.Opened) != 0 {
		t.Fatalf("month 3: %+v\n%s\n%+v", done, describe(a), w.get(vendor.ID))
	}
	w.pass(23)
	if _, done = w.refresh(); done.Any() {
		t.Errorf("the end of month 3: %+v", done)
	}
	// Another system beside one that is done is another case.
	w.survey = true
	w.pass(10)
	if a, done = w.refresh(); len(done.Opened) != 1 || len(done.Reopened) != 0 {
		t.Errorf("a new system: %+v\n%s", done, describe(a))
	}
	events, err := w.st.CaseEvents(ctx, vendor.ID)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Kind)
		for _, l := range []locale.Lang{locale.Japanese, locale.English} {
			if s := l.Step(Said(e)); strings.Contains(s, "⟦") || !l.Has(Said(e).Code) {
				t.Errorf("%s: %q", e.Kind, s)
			}
		}
	}
	if got, want := strings.Join(kinds, " "), "opened department state due reminder state followed proof reopened"; got != want {
		t.Errorf("history %q, want %q", got, want)
	}
	h, err := w.st.Happenings(ctx, "city.example", time.Time{}, 0)
	if err != nil || len(h) != 4 {
		t.Errorf("timeline %+v, %v", h, err)
	}
}

// checkLetters looks at the letters about a vendor and an application of ours.
func checkLetters(t *testing.T, w *town, vendor, app store.Case) {
	t.Helper()
	ctx := context.Background()
	l, err := w.m.Letter(ctx, vendor.ID)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(words(l))
	if l.Source.Kind != Vendor || l.Failing == 0 || len(l.Receivers) != 3 || l.Proof.Messages < proofLeast || l.Proof.Receivers != 2 || l.By != store.DayOf(w.now)+30 {
		t.Errorf("the vendor's letter: %+v", l)
	}
	if got, want := codes(l), "wrong-spf-other-domain wrong-dkim-other-domain | change-dkim-vendor change-dkim-key change-envelope-vendor change-stop"; got != want {
		t.Errorf("the vendor's letter says %s, want %s", got, want)
	}
	l, err = w.m.Letter(ctx, app.ID)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(words(l))
	if got, want := codes(l), "wrong-subdomain wrong-spf-not-listed wrong-dkim-missing | change-spf-addresses change-dkim-own change-dkim-key-own change-relay change-stop"; got != want {
		t.Errorf("the application's letter says %s, want %s", got, want)
	}
	if got, want := l.Changes[0].Record, "v=spf1 ip4:192.0.2.10 ip4:192.0.2.30 -all"; got != want || l.Changes[0].Now != "v=spf1 ip4:192.0.2.10 -all" || l.Changes[0].Name != "city.example" {
		t.Errorf("record %q, want %q: %+v", got, want, l.Changes[0])
	}
	if l.Source.Kind != Server {
		t.Errorf("kind %s", l.Source.Kind)
	}
	if _, err := w.m.Letter(ctx, 99); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

func codes(l Letter) string {
	var out []string
	for _, s := range l.Wrong {
		out = append(out, strings.TrimPrefix(s.Code, "repair."))
	}
	out = append(out, "|")
	for _, c := range l.Changes {
		out = append(out, strings.TrimPrefix(c.What.Code, "repair."))
	}
	return strings.Join(out, " ")
}

// words is a letter's facts in both languages, for a person to read.
func words(l Letter) string {
	var b strings.Builder
	for _, lang := range []locale.Lang{locale.Japanese, locale.English} {
		fmt.Fprintf(&b, "\n--- %s %s %s %d/%d\n", lang, l.Source.Name, l.Source.Kind, l.Failing, l.Messages)
		for _, s := range l.Wrong {
			fmt.Fprintln(&b, "-", lang.Step(s))
		}
		for i, c := range l.Changes {
			fmt.Fprintln(&b, i+1, c.Who, c.Instead, lang.Step(c.What))
			for _, s := range c.Steps {
				fmt.Fprintln(&b, "   *", lang.Step(s))
			}
			if c.Record != "" {
				fmt.Fprintf(&b, "   %s %s %q (now %q)\n", c.Name, c.Type, c.Record, c.Now)
			}
			for _, s := range c.Hints {
				fmt.Fprintln(&b, "   !", lang.Step(s))
			}
		}
		for _, s := range l.Notes {
			fmt.Fprintln(&b, "note:", lang.Step(s))
		}
	}
	return b.String()
}

// What is fixed without anybody saying so waits for proof, and is proven at the
// next look.
func TestMended(t *testing.T) {
	w := newTown(t)
	w.pass(30)
	_, done := w.refresh()
	if len(done.Opened) != 2 {
		t.Fatalf("opened %+v", done)
	}
	w.vendorFixed, w.appFixed = true, true
	w.pass(6)
	if _, done = w.refresh(); done.Any() {
		t.Errorf("after six days: %+v", done)
	}
	w.pass(3)
	if _, done = w.refresh(); len(done.Mended) != 2 {
		t.Fatalf("after nine days: %+v", done)
	}
	for _, c := range done.Mended {
		if c.State != store.CaseWaiting || c.Fixed != store.DayOf(w.now)-9 && c.Fixed != store.DayOf(w.now)-8 {
			t.Errorf("%s is %s, since %s", c.Key, c.State, c.Fixed)
		}
	}
	w.pass(1)
	if _, done = w.refresh(); len(done.Proven) != 2 {
		t.Errorf("after ten days: %+v", done)
	}
}
