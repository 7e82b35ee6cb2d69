package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// zone is a city with a bit of everything.
const zone = `
$ORIGIN city.example.jp.
@        TXT "v=spf1 include:spf.example.net -all"
@        MX 10 mx
_dmarc   TXT "v=DMARC1; p=none; rua=mailto:dmarc@city.example.jp"
mx       A 192.0.2.1
www      A 192.0.2.2
news     TXT "v=spf1 ip4:192.0.2.7 -all"
school   MX 10 mx
school   TXT "v=spf1 ip4:192.0.2.7 -all"
closed   TXT "v=spf1 -all"
closed   MX 0 .
closed   A 192.0.2.2
_dmarc.closed TXT "v=DMARC1; p=reject"
half     A 192.0.2.2
_dmarc.half TXT "v=DMARC1; p=none; t=y; rua=mailto:x@city.example.jp"
cdn      CNAME www.example.net.
slow     TYPE65280 \# 0
odd      A 192.0.2.2
www.example.net. A 192.0.2.9
`

func parseZone(t testing.TB, text string) *dnstest.Zone {
	t.Helper()
	z, err := dnstest.Parse(strings.NewReader(text), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// mail is what a report says about one author domain.
type mail struct {
	from   string
	ip     string
	n      uint64
	passed bool
}

// stored opens a store with a report of each of some days, and the classes of
// the addresses.
func stored(t testing.TB, days []store.Day, policy string, rows []mail, classes map[string]string) *store.Store {
	t.Helper()
	ctx := t.Context()
	st, err := store.Open(ctx, t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	for _, d := range days {
		in := &store.Incoming{Rows: &store.Rows{}, Report: aggregate.Report{
			Metadata:        aggregate.Metadata{OrgName: "receiver", ReportID: d.String(), Begin: d.Time(), End: (d + 1).Time().Add(-time.Second)},
			PolicyPublished: aggregate.PolicyPublished{Domain: "city.example.jp", P: policy},
		}}
		for _, m := range rows {
			in.Rows.Add(&aggregate.Record{SourceIP: netip.MustParseAddr(m.ip), Count: m.n, DKIM: m.passed, HeaderFrom: m.from})
		}
		if _, err := st.Put(ctx, []*store.Incoming{in}); err != nil {
			t.Fatal(err)
		}
	}
	if len(classes) == 0 {
		return st
	}
	c := map[netip.Addr]store.ClassRow{}
	for ip, class := range classes {
		c[netip.MustParseAddr(ip)] = store.ClassRow{Class: class, Source: ip}
	}
	if err := st.SetClasses(ctx, "city.example.jp", maps.All(c)); err != nil {
		t.Fatal(err)
	}
	return st
}

func city(t testing.TB) *store.Store {
	today := store.DayOf(now)
	return stored(t, []store.Day{today - 400, today - 2, today - 1}, "none", []mail{
		{"city.example.jp", "192.0.2.1", 100, true},
		{"news.city.example.jp", "192.0.2.7", 40, true},
		{"shop.city.example.jp", "192.0.2.8", 9, false},    // broken
		{"odd.city.example.jp", "192.0.2.9", 5, false},     // unknown
		{"www.city.example.jp", "203.0.113.1", 70, false},  // spoofed, and known by certificate
		{"x7q.city.example.jp", "203.0.113.1", 20, false},  // made up
		{"bank.example.com", "203.0.113.1", 20, false},     // outside
		{"NEWS.city.example.jp.", "203.0.113.1", 1, false}, // another spelling
		{"bad name!.city.example.jp", "203.0.113.1", 1, false},
	}, map[string]string{"192.0.2.1": "aligned", "192.0.2.7": "aligned", "192.0.2.8": "broken", "192.0.2.9": "unknown", "203.0.113.1": "spoof"})
}

const cityNames = "www.city.example.jp\nschool.city.example.jp\nclosed.city.example.jp\nhalf.city.example.jp\ncdn.city.example.jp\nslow.city.example.jp\ngone.city.example.jp\ngone2.city.example.jp\nodd.city.example.jp\n"

// TestTake follows a city from its files to the records to publish.
func TestTake(t *testing.T) {
	ctx := t.Context()
	st := city(t)
	name := mustName(t, "city.example.jp")
	sum, err := Load(ctx, st, name, "names.txt", strings.NewReader(cityNames), now)
	if err != nil || sum.Added != 9 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if sum, err = Load(ctx, st, name, "names.txt", strings.NewReader(cityNames), now); err != nil || sum.Added != 0 || sum.Names != 9 {
		t.Fatalf("loaded again: %+v, %v", sum, err)
	}
	if _, err = Load(ctx, st, name, "ct.json", strings.NewReader(`[{"name_value":"www.city.example.jp"}]`), now); err != nil {
		t.Fatal(err)
	}

	// Without a resolver nothing is known to be absent.
	clock := func() time.Time { return now }
	inv, err := Take(ctx, Config{Store: st, Now: clock}, name, Query{})
	if err != nil {
		t.Fatal(err)
	}
	if inv.Counts[Absent] != 0 || inv.Counts[Silent] != 0 || inv.Counts[Sends] != 3 || inv.Counts[Unknown] != 9 || inv.Advised != 0 || inv.Parent != nil || inv.Unasked != 12 || len(inv.Notes) == 0 {
		t.Fatalf("offline: %+v", inv)
	}
	if _, err := Ask(ctx, Config{Store: st, Now: clock}, name); !errors.Is(err, ErrOffline) {
		t.Fatalf("asked without a resolver: %v", err)
	}

	c := Config{Store: st, Now: clock, Resolver: parseZone(t, zone)}
	asked, err := Ask(ctx, c, name)
	if err != nil || asked.Names != 12 || asked.Silent != 1 || asked.Left != 0 {
		t.Fatalf("%+v, %v", asked, err)
	}
	if asked, err = Ask(ctx, c, name); err != nil || asked.Names != 1 { // the silent one again
		t.Fatalf("asked again: %+v, %v", asked, err)
	}
	if inv, err = Take(ctx, c, name, Query{}); err != nil {
		t.Fatal(err)
	}
	got := map[string]Name{}
	for _, n := range inv.Names {
		got[strings.TrimSuffix(strings.TrimSuffix(n.Name, "city.example.jp"), ".")] = n
	}
	for label, state := range map[string]State{"": Sends, "news": Sends, "shop": Sends, "odd": Unknown, "www": Silent, "school": Receives, "closed": Silent,
		"half": Silent, "cdn": Silent, "slow": Unknown, "gone": Absent, "gone2": Absent} {
		if got[label].State != state {
			t.Errorf("%q: %s, want %s (%+v)", label, got[label].State, state, got[label])
		}
	}
	if len(got) != 12 || inv.Total != 12 || inv.Matching != 12 || inv.Forged != 1 || inv.ForgedMessages != 60 {
		t.Errorf("%d names of %d, %d forged with %d messages", len(got), inv.Total, inv.Forged, inv.ForgedMessages)
	}
	if n := got["news"]; n.Messages != 123 || n.Aligned != 120 || n.Spoof != 3 || !slices.Equal(n.Origins, []string{FromReports}) {
		t.Errorf("news: %+v", n)
	}
	if n := got["www"]; !slices.Equal(n.Origins, []string{FromCertificates, FromList, FromReports}) || n.Spoof != 210 {
		t.Errorf("www: %+v", n)
	}
	const rua = "; rua=mailto:dmarc@city.example.jp"
	for label, want := range map[string][]string{
		"www":    {"www.city.example.jp TXT v=spf1 -all", "_dmarc.www.city.example.jp TXT v=DMARC1; p=reject" + rua, "www.city.example.jp MX 0 ."},
		"school": {"school.city.example.jp TXT v=spf1 -all", "_dmarc.school.city.example.jp TXT v=DMARC1; p=reject" + rua},
		"closed": nil, "news": nil, "gone": nil, "slow": nil, "odd": nil, "": nil,
		"half": {"half.city.example.jp TXT v=spf1 -all", "_dmarc.half.city.example.jp TXT v=DMARC1; p=reject; rua=mailto:x@city.example.jp", "half.city.example.jp MX 0 ."},
		"cdn":  {"_dmarc.cdn.city.example.jp TXT v=DMARC1; p=reject" + rua},
	} {
		var have []string
		for _, r := range got[label].Advice {
			have = append(have, r.Name+" "+r.Type+" "+r.Value)
		}
		if !slices.Equal(have, want) {
			t.Errorf("%q: advice %q, want %q", label, have, want)
		}
	}
	if n := got["closed"]; n.Policy != "reject" || n.PolicyTag != "p" || n.PolicyOf != "closed.city.example.jp" {
		t.Errorf("closed: policy %s of %s by %s", n.Policy, n.PolicyOf, n.PolicyTag)
	}
	if n := got["gone"]; n.Policy != "none" || n.PolicyTag != "p" || n.PolicyOf != "city.example.jp" {
		t.Errorf("gone: policy %s of %s by %s", n.Policy, n.PolicyOf, n.PolicyTag)
	}
	// www, school, cdn and the two that are gone; half and closed have records of their own.
	p := inv.Parent
	if p == nil || p.Covers != 5 || p.FirstCount != 1 || p.First[0] != "shop.city.example.jp" ||
		p.Record.Value != "v=DMARC1; p=none; sp=reject; np=reject; rua=mailto:dmarc@city.example.jp" ||
		p.Now == nil || p.Now.Value != "v=DMARC1; p=none; np=reject; rua=mailto:dmarc@city.example.jp" {
		t.Errorf("parent: %+v", p)
	}
	if inv.None == nil || inv.None.Days != 400 || !inv.None.Overdue || inv.None.Left != 0 || inv.None.From != "reports" {
		t.Errorf("p=none: %+v", inv.None)
	}
	if inv.Advised != 4 || inv.Records != 9 {
		t.Errorf("%d names with %d records", inv.Advised, inv.Records)
	}
	doc, err := json.Marshal(inv)
	if err != nil || strings.Contains(string(doc), ":null") {
		t.Errorf("JSON has null: %s", doc)
	}

	for _, tc := range []struct {
		q    Query
		want int
		all  int64
	}{
		{Query{State: Sends}, 3, 3}, {Query{Advice: true}, 4, 4}, {Query{Search: " GONE"}, 2, 2}, {Query{Origin: FromCertificates}, 1, 1},
		{Query{Offset: 10, Limit: 5}, 2, 12}, {Query{Offset: 3, Limit: 5}, 5, 12}, {Query{Forged: true, Limit: -1}, 13, 13}, {Query{Under: []string{"news.city.example.jp"}}, 1, 1},
	} {
		if inv, err = Take(ctx, c, name, tc.q); err != nil || len(inv.Names) != tc.want || inv.Matching != tc.all || inv.Total != 12 {
			t.Errorf("%+v: %d names of %d, %v", tc.q, len(inv.Names), inv.Matching, err)
		}
	}
}

// counting counts questions, and fails all but the first few.
type counting struct {
	r     dns.Resolver
	asked atomic.Int64
	most  int64 // answered; 0 for all
}

func (c *counting) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	if n := c.asked.Add(1); c.most > 0 && n > c.most {
		return dns.Answer{}, &dns.Failure{Name: name, Type: t, Err: dns.ErrTemporary}
	}
	return c.r.Lookup(ctx, name, t)
}

// TestAskMany asks about many names: bounded, resumable, and a resolver that
// goes silent is left alone.
func TestAskMany(t *testing.T) {
	ctx := t.Context()
	st := stored(t, nil, "none", nil, nil)
	name := mustName(t, "city.example.jp")
	const n = 3000
	if _, err := Load(ctx, st, name, "many", &generator{n: n, entry: func(i int) string { return fmt.Sprintf("h%04d.city.example.jp\n", i) }}, now); err != nil {
		t.Fatal(err)
	}
	r := &counting{r: parseZone(t, zone), most: 500}
	c := Config{Store: st, Now: func() time.Time { return now }, Resolver: r, MaxNames: 1000}
	asked, err := Ask(ctx, c, name)
	if err != nil || !asked.NoAnswer || asked.Names > 600 || r.asked.Load() > 750 {
		t.Fatalf("a silent resolver: %+v after %d questions, %v", asked, r.asked.Load(), err)
	}
	r.most = 0
	if asked, err = Ask(ctx, c, name); err != nil || asked.Names != 1000 || asked.Left == 0 {
		t.Fatalf("%+v, %v", asked, err)
	}
	c.MaxNames = 0
	var told []Asked
	c.Tell = func(a Asked) { told = append(told, a) }
	if asked, err = Ask(ctx, c, name); err != nil || asked.Left != 0 || asked.Names > 2000 {
		t.Fatalf("%+v, %v", asked, err)
	}
	if len(told) < 3 || told[0].Left == 0 || told[len(told)-1].Left != 0 {
		t.Errorf("told %+v", told)
	}
	inv, err := Take(ctx, c, name, Query{Offset: 2990})
	if err != nil || inv.Counts[Absent] != n || inv.Unasked != 0 || len(inv.Names) != 11 {
		t.Fatalf("%+v, %v", inv, err)
	}
	if inv.Parent == nil || inv.Parent.Covers != n || inv.Parent.FirstCount != 0 || inv.Parent.Now != nil {
		t.Errorf("parent: %+v", inv.Parent)
	}
	// A week on, all is asked again.
	c.Now = func() time.Time { return now.Add(8 * 24 * time.Hour) }
	if inv, err = Take(ctx, c, name, Query{}); err != nil || inv.Unasked != n+1 {
		t.Fatalf("%+v, %v", inv, err)
	}
}

// TestAsker asks in the background.
func TestAsker(t *testing.T) {
	ctx := t.Context()
	st := city(t)
	name := mustName(t, "city.example.jp")
	if _, err := Load(ctx, st, name, "names.txt", strings.NewReader(cityNames), now); err != nil {
		t.Fatal(err)
	}
	a := NewAsker(Config{Store: st, Resolver: parseZone(t, zone)})
	if !a.Start(name) {
		t.Fatal("not begun")
	}
	for deadline := time.Now().Add(20 * time.Second); a.Progress(name).Running; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still running")
		}
	}
	if p := a.Progress(name); p.Err != nil || p.Asked.Names != 12 {
		t.Fatalf("%+v", p)
	}
	if err := a.Close(); err != nil || a.Start(name) {
		t.Fatal("begun after Close")
	}
	if NewAsker(Config{Store: st}).Start(name) {
		t.Fatal("begun without a resolver")
	}
}

// TestNoneClock checks who is believed about p=none.
func TestNoneClock(t *testing.T) {
	ctx := t.Context()
	today := store.DayOf(now)
	name := mustName(t, "city.example.jp")
	c := Config{Now: func() time.Time { return now }}.withDefaults()
	observe := func(st *store.Store, value string, from, to store.Day) {
		o := store.Observation{Domain: "city.example.jp", Name: "_dmarc.city.example.jp", Kind: "dmarc", Value: value, From: from.Time(), To: to.Time()}
		if _, err := st.Observe(ctx, []store.Observation{o}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name    string
		reports []store.Day
		dns     []string // one more each ten days, up to today
		want    *NoneClock
	}{
		{"nobody", nil, nil, nil},
		{"reports", []store.Day{today - 30, today - 1}, nil, &NoneClock{Since: today - 30, Days: 30, Left: 335, From: "reports"}},
		{"the DNS alone", nil, []string{"v=DMARC1; p=none"}, &NoneClock{Since: today - 10, Days: 10, Left: 355, From: "dns"}},
		{"both", []store.Day{today - 40}, []string{"v=DMARC1; p=none"}, &NoneClock{Since: today - 40, Days: 40, Left: 325, From: "reports"}},
		{"it was left", []store.Day{today - 40}, []string{"v=DMARC1; p=none", "v=DMARC1; p=quarantine"}, nil},
		{"two wordings", nil, []string{"v=DMARC1; p=none", "v=DMARC1; p=none; rua=mailto:a@city.example.jp"}, &NoneClock{Since: today - 20, Days: 20, Left: 345, From: "dns"}},
		{"none again", nil, []string{"v=DMARC1; p=none", "v=DMARC1; p=reject", "v=DMARC1; p=none"}, &NoneClock{Since: today - 10, Days: 10, Left: 355, From: "dns"}},
		{"no record", []store.Day{today - 40}, []string{""}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := stored(t, tc.reports, "none", []mail{{"city.example.jp", "192.0.2.1", 1, true}}, nil)
			for i, v := range tc.dns {
				at := today - store.Day(10*(len(tc.dns)-i))
				observe(st, v, at, at)
			}
			c.Store = st
			got, err := noneClock(ctx, c, name)
			if err != nil || (got == nil) != (tc.want == nil) || got != nil && *got != *tc.want {
				t.Errorf("got %+v, want %+v, %v", got, tc.want, err)
			}
		})
	}
}

// TestMemory checks that reports are read once for many pages, and again later.
func TestMemory(t *testing.T) {
	ctx := t.Context()
	at := now
	st := &countingStore{Store: city(t)}
	c := Config{Store: st, Now: func() time.Time { return at }, Memory: &Memory{}}
	for i, want := range []int{1, 1, 2} {
		if i == 2 {
			at = at.Add(memoryLasts)
		}
		inv, err := Take(ctx, c, mustName(t, "city.example.jp"), Query{})
		if err != nil || inv.Total != 4 || st.n != want {
			t.Fatalf("time %d: %d names, read %d times, want %d, %v", i, inv.Total, st.n, want, err)
		}
	}
}

type countingStore struct {
	Store
	n int
}

func (s *countingStore) AuthorNames(ctx context.Context, domain string, w store.Window, limit int, f func(store.AuthorTotals) error) (int64, error) {
	s.n++
	return s.Store.AuthorNames(ctx, domain, w, limit, f)
}

// TestParked: a domain that only spoofers use is listed all the same, with what
// is to be published for it; names that they make up below it are not.
func TestParked(t *testing.T) {
	today := store.DayOf(now)
	c := Config{Now: func() time.Time { return now }}
	c.Resolver = parseZone(t, "_dmarc.city.example.jp. 60 IN TXT \"v=DMARC1; p=none; rua=mailto:d@city.example.jp\"\ncity.example.jp. 60 IN A 192.0.2.1\n")
	name := mustName(t, "city.example.jp")
	take := func(rows []mail, classes map[string]string) *Inventory {
		t.Helper()
		st := stored(t, []store.Day{today - 2, today - 1}, "none", rows, classes)
		c.Store = st
		if _, err := Ask(t.Context(), c, name); err != nil {
			t.Fatal(err)
		}
		inv, err := Take(t.Context(), c, name, Query{})
		if err != nil {
			t.Fatal(err)
		}
		return inv
	}
	rows := []mail{{"city.example.jp", "203.0.113.1", 100, false}, {"x7q.city.example.jp", "203.0.113.1", 20, false}}
	classes := map[string]string{"203.0.113.1": "spoof"}
	inv := take(rows, classes)
	if inv.Total != 1 || inv.Forged != 1 || len(inv.Names) != 1 || len(inv.Names[0].Advice) != 2 || inv.Names[0].Advice[0].Value != "v=spf1 -all" {
		t.Errorf("%d names, %d forged: %+v", inv.Total, inv.Forged, inv.Names)
	}
	if p := inv.Parent; p == nil || p.Record.Value != "v=DMARC1; p=reject; rua=mailto:d@city.example.jp" || p.Now != nil {
		t.Errorf("one record for all: %+v", p)
	}

	// A name below it sends, and does not pass yet: its policy stays as it is.
	rows = append(rows, mail{"shop.city.example.jp", "192.0.2.8", 9, false})
	classes["192.0.2.8"] = "broken"
	if p := take(rows, classes).Parent; p == nil || p.Now == nil || p.FirstCount != 1 ||
		p.Now.Value != "v=DMARC1; p=reject; sp=none; np=reject; rua=mailto:d@city.example.jp" {
		t.Errorf("at once: %+v", p)
	}

	// Nobody knows what a domain sends that no report is about.
	if inv := take(nil, nil); inv.Parent != nil || len(inv.Names) != 1 || len(inv.Names[0].Advice) != 0 {
		t.Errorf("without reports: %+v, %+v", inv.Parent, inv.Names)
	}
}
