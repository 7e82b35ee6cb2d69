package repair

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/internal/advise"
	"sekimori/internal/locale"
	"sekimori/internal/sources"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
	"sekimori/spf"
)

// letterOf writes a letter about mail of some addresses as receivers reported it.
func letterOf(t *testing.T, r dns.Resolver, src advise.Source, observed []store.Observation, recs ...aggregate.Record) Letter {
	t.Helper()
	ctx := context.Background()
	st, err := store.Open(ctx, t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	now := time.Date(2026, 5, 31, 9, 0, 0, 0, time.UTC)
	day := store.DayOf(now) - 10
	var in []*store.Incoming
	for i, org := range []string{"google.com", "ntt.example"} {
		var rows store.Rows
		for _, rec := range recs {
			rows.Add(&rec)
			if i == 0 {
				src.Messages += 2 * rec.Count
				src.Failing += 2 * rec.Count
			}
		}
		in = append(in, &store.Incoming{Rows: &rows, Report: aggregate.Report{
			Metadata:        aggregate.Metadata{OrgName: org, ReportID: org, Begin: day.Time(), End: (day + 1).Time().Add(-time.Second)},
			PolicyPublished: aggregate.PolicyPublished{Domain: "city.example", P: "none"},
		}})
	}
	if _, err := st.Put(ctx, in); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, rec := range recs {
		if a := rec.SourceIP.String(); !seen[a] {
			seen[a] = true
			src.Addresses = append(src.Addresses, a)
		}
	}
	src.AddressCount, src.ID, src.Class, src.FirstDay, src.LastDay = len(src.Addresses), "id", advise.Broken, day, day
	err = st.SetClasses(ctx, "city.example", func(yield func(netip.Addr, store.ClassRow) bool) {
		for a := range seen {
			if !yield(netip.MustParseAddr(a), store.ClassRow{Class: "broken", Source: "id"}) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(observed) > 0 {
		if _, err := st.Observe(ctx, observed); err != nil {
			t.Fatal(err)
		}
	}
	a := &advise.Advice{Domain: "city.example", Window: store.Window{Begin: day - 19, End: day + 11}, Policy: "none", Sources: []advise.Source{src}}
	a.Ladder.Next = "quarantine"
	m := New(Config{Store: st, Resolver: r, Catalogue: catalogue(t), Now: func() time.Time { return now }})
	done, err := m.Refresh(ctx, a)
	if err != nil || len(done.Opened) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	l, err := m.Letter(ctx, done.Opened[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range []locale.Lang{locale.Japanese, locale.English} {
		if s := words(l); strings.Contains(s, "⟦") || strings.Contains(s, "repair.") {
			t.Errorf("%s: %s", lang, s)
		}
	}
	return l
}

// catalogue has one made-up sender.
func catalogue(t *testing.T) *sources.Catalogue {
	t.Helper()
	c, err := sources.ParseCatalogue("test.yaml", []byte(`senders:
  - {id: okuru, name: Okuru, name_ja: 送る, kind: delivery, ptr: [okuru.example], spf: [okuru.example], dkim: [okuru.example], include: spf.okuru.example, selectors: [s1, s2], dkim_how: dkim-cname, setup: [domain-assistant], url: "https://okuru.example/help", confirmed: documentation}
`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func record(addr, from, env, spfResult string, n uint64, dkim ...aggregate.DKIMResult) aggregate.Record {
	rec := aggregate.Record{SourceIP: netip.MustParseAddr(addr), HeaderFrom: from, EnvelopeFrom: env, Count: n, DKIMResults: dkim}
	if env != "" {
		rec.SPFResults = []aggregate.SPFResult{{Domain: env, Result: spfResult, Scope: "mfrom"}}
	}
	return rec
}

func hints(c LetterChange) string {
	var out []string
	for _, h := range c.Hints {
		out = append(out, strings.TrimPrefix(h.Code, "repair.hint-"))
	}
	return strings.Join(out, " ")
}

func parseZone(t *testing.T, text string) *dnstest.Zone {
	t.Helper()
	z, err := dnstest.Parse(strings.NewReader(text), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// A vendor of the catalogue for which SPF fails: its include, its own steps and
// names of keys, and what the record would cost.
func TestLetterVendor(t *testing.T) {
	sender, _ := catalogue(t).Sender("okuru")
	src := advise.Source{Key: "org:okuru.example/", Name: "okuru.example", HeaderFrom: []string{"city.example"}, PTR: []string{"o1.okuru.example"},
		Sender: &advise.Sender{ID: sender.ID, Name: sender.Name, Kind: string(sender.Kind)}, Rhythm: advise.Rhythm{Pattern: "monthly", Days: 30}}
	text := "city.example. TXT \"v=spf1 ip4:192.0.2.10 include:a.example ~all\"\na.example. TXT \"v=spf1 a:1.a.example a:2.a.example a:3.a.example a:4.a.example a:5.a.example a:6.a.example a:7.a.example a:8.a.example -all\"\n" +
		sender.Include + ". TXT \"v=spf1 ip4:198.51.100.0/24 include:ab.okuru.example -all\"\nab.okuru.example. TXT \"v=spf1 ip4:203.0.113.0/24 -all\"\n"
	for i := range 8 {
		text += fmt.Sprintf("%d.a.example. A 192.0.2.%d\n", i+1, i+1)
	}
	l := letterOf(t, parseZone(t, text), src, nil, record("198.51.100.7", "city.example", "city.example", "softfail", 50))
	t.Log(words(l))
	if got, want := codes(l), "wrong-spf-not-listed wrong-dkim-missing | change-dkim-vendor change-dkim-key change-dkim-key change-spf-include change-stop"; got != want {
		t.Errorf("the letter says %s, want %s", got, want)
	}
	c := l.Changes[3]
	if want := "v=spf1 ip4:192.0.2.10 include:a.example include:" + sender.Include + " ~all"; c.Record != want || c.Who != "dns" {
		t.Errorf("record %q, want %q", c.Record, want)
	}
	if got, want := hints(c), "spf-limit either"; got != want { // 9 now, 2 more
		t.Errorf("hints %q, want %q", got, want)
	} else if c.Hints[0].Args["then"] != int64(11) {
		t.Errorf("hint %v", c.Hints[0].Args)
	}
	if l.Changes[1].Type != "CNAME" || l.Changes[1].Name != sender.Selectors[0]+"._domainkey.city.example" {
		t.Errorf("key %+v", l.Changes[1])
	}
	if len(l.Changes[0].Steps) == 0 || l.Changes[0].URL == "" || l.Source.SenderJA == "" || l.Proof.Days != 30 {
		t.Errorf("%+v", l)
	}
}

// Offline, the record is that of the last look; with none, only the term is
// given, and the letter says so.
func TestLetterOffline(t *testing.T) {
	src := advise.Source{Key: "own/app.city.example", Name: "app.city.example", HeaderFrom: []string{"city.example"}, PTR: []string{"app.city.example"}}
	rec := record("192.0.2.30", "city.example", "city.example", "fail", 50)
	at := time.Date(2026, 5, 20, 0, 0, 0, 0, time.UTC)
	l := letterOf(t, nil, src, []store.Observation{{Domain: "city.example", Name: "city.example", Kind: "spf", Value: "google-site-verification=x\nv=spf1 mx redirect=_spf.city.example", To: at}}, rec)
	if c := l.Changes[0]; c.Record != "v=spf1 mx ip4:192.0.2.30 redirect=_spf.city.example" || hints(c) != "spf-observed" || c.Hints[0].Args["day"] != "2026-05-20" {
		t.Errorf("observed: %+v", c)
	}
	l = letterOf(t, nil, src, nil, rec)
	if c := l.Changes[0]; c.Record != "v=spf1 … ip4:192.0.2.30 …" || hints(c) != "spf-unknown" || len(l.Notes) != 1 {
		t.Errorf("unknown: %+v, %+v", c, l.Notes)
	}
	l = letterOf(t, nil, src, []store.Observation{{Domain: "city.example", Name: "city.example", Kind: "spf", Value: "v=spf1 ip4:192.0.2.0/24 -all", To: at}}, rec)
	if c := l.Changes[0]; c.Record != "" || hints(c) != "spf-listed spf-observed" {
		t.Errorf("listed: %+v", c)
	}
}

// Servers, devices, and what else can be wrong.
func TestLetterKinds(t *testing.T) {
	zone := parseZone(t, "city.example. TXT \"v=spf1 -all\"\nold._domainkey.city.example. TXT \"v=DKIM1; p=AAAA\"\nbroken.city.example. TXT \"v=spf1 ip4:192.0.2.300 -all\"\n")
	own := advise.Source{Key: "own/city.example", Name: "mail.city.example", HeaderFrom: []string{"city.example"}, PTR: []string{"mail.city.example"}}
	device := advise.Source{Key: "own/city.example", Name: "mfp3.city.example", HeaderFrom: []string{"city.example"}, PTR: []string{"mfp3.city.example"}}
	vendor := advise.Source{Key: "org:vendor.example/", Name: "vendor.example", HeaderFrom: []string{"city.example"}, PTR: []string{"out.vendor.example"}}
	for _, c := range []struct {
		name  string
		src   advise.Source
		rec   aggregate.Record
		kind  Kind
		codes string
		hints string // of the first change
	}{
		{"key gone", own, record("192.0.2.1", "city.example", "city.example", "fail", 9, aggregate.DKIMResult{Domain: "city.example", Selector: "new", Result: "permerror"}),
			Server, "wrong-spf-not-listed wrong-dkim-fails | change-dkim-repair change-dkim-key-own change-spf-addresses change-stop", "key-missing"},
		{"changed on the way", own, record("192.0.2.1", "city.example", "list.example", "pass", 9, aggregate.DKIMResult{Domain: "city.example", Selector: "old", Result: "fail"}),
			Server, "wrong-spf-other-domain wrong-dkim-fails | change-dkim-repair change-stop", "key-present"},
		{"a printer", device, record("192.0.2.2", "city.example", "mfp3.local", "none", 3),
			Device, "wrong-spf-other-domain wrong-dkim-missing | change-relay change-envelope-own change-spf-addresses change-stop", ""},
		{"no envelope", own, record("192.0.2.1", "city.example", "", "", 9),
			Server, "wrong-spf-missing wrong-dkim-missing | change-envelope-own change-spf-addresses change-dkim-own change-dkim-key-own change-relay change-stop", ""},
		{"broken record", own, record("192.0.2.1", "city.example", "broken.city.example", "permerror", 9),
			Server, "wrong-spf-broken wrong-dkim-missing | change-spf-addresses change-dkim-own change-dkim-key-own change-relay change-stop", "spf-unreadable"},
		{"no record", own, record("192.0.2.1", "city.example", "bare.city.example", "none", 9),
			Server, "wrong-spf-no-record wrong-dkim-missing | change-spf-addresses change-dkim-own change-dkim-key-own change-relay change-stop", ""},
		{"strict", vendor, record("198.51.100.1", "city.example", "bounce.city.example", "pass", 9, aggregate.DKIMResult{Domain: "mail.city.example", Selector: "s", Result: "pass"}),
			Vendor, "wrong-spf-strict wrong-dkim-strict | change-dkim-exact change-stop", ""},
		{"helo never counts", vendor, aggregate.Record{SourceIP: netip.MustParseAddr("198.51.100.1"), HeaderFrom: "city.example", Count: 5,
			SPFResults: []aggregate.SPFResult{{Domain: "out.vendor.example", Scope: "helo", Result: "pass"}}},
			Vendor, "wrong-spf-missing wrong-dkim-missing | change-dkim-vendor change-dkim-key change-stop", ""},
	} {
		l := letterOf(t, zone, c.src, nil, c.rec)
		if got := codes(l); got != c.codes || l.Source.Kind != c.kind || hints(l.Changes[0]) != c.hints {
			t.Errorf("%s: %s, %s, hints %q\nwant %s, %s, hints %q", c.name, l.Source.Kind, got, hints(l.Changes[0]), c.kind, c.codes, c.hints)
		}
	}
}

func TestWithTerms(t *testing.T) {
	for _, c := range []struct{ record, want string }{
		{"", "v=spf1 ip4:192.0.2.1 ?all"},
		{"v=spf1", "v=spf1 ip4:192.0.2.1"},
		{"v=spf1 -all", "v=spf1 ip4:192.0.2.1 -all"},
		{"v=spf1 mx  ~ALL exp=x.example", "v=spf1 mx  ip4:192.0.2.1 ~ALL exp=x.example"},
		{"v=spf1 redirect=x.example", "v=spf1 ip4:192.0.2.1 redirect=x.example"},
		{"v=spf1 mx", "v=spf1 mx ip4:192.0.2.1"},
		{"v=spf1 nonsense -all", ""},
		{"no record", ""},
	} {
		if got := withTerms(c.record, "ip4:192.0.2.1"); got != c.want {
			t.Errorf("%q: %q, want %q", c.record, got, c.want)
		}
	}
}

// What is added to a record that can be read takes effect and changes nothing
// else.
func FuzzWithTerms(f *testing.F) {
	for _, s := range []string{"", "v=spf1 -all", "v=spf1 mx include:a.example redirect=b.example", "v=spf1 exists:%{i}.a.example ?all all"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, record string) {
		got := withTerms(record, "ip4:192.0.2.1")
		if got == "" {
			return
		}
		r, err := spf.Parse(got)
		if err != nil {
			t.Fatalf("%q became %q: %v", record, got, err)
		}
		for i := range r.Terms {
			if r.Terms[i].Name == spf.All {
				t.Fatalf("%q became %q: behind all", record, got)
			}
			if r.Terms[i].Text() == "ip4:192.0.2.1" {
				return
			}
		}
		t.Fatalf("%q became %q", record, got)
	})
}
