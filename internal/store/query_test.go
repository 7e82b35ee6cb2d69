package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sekimori/report/aggregate"
)

var addrs = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, addrs, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestQueriesAgreeWithModel(t *testing.T) {
	ctx := context.Background()
	all := randomStored(rand.New(rand.NewPCG(1, 2)), 150)
	s := openTest(t, t.TempDir())
	putAll(t, s, all, 40)
	begin := DayOf(testDay)
	for _, w := range []Window{{begin, begin + 60}, {begin + 7, begin + 20}, {begin + 3, begin + 4}} {
		for _, domain := range []string{"a.example", "c.example.co.jp", "absent.example"} {
			t.Run(fmt.Sprint(domain, w), func(t *testing.T) {
				daily, err := s.DomainDaily(ctx, domain, w)
				if err != nil {
					t.Fatal(err)
				}
				same(t, "DomainDaily", daily, modelDaily(all, domain, w, nil))

				inner := Window{w.Begin + 2, w.End - 1}
				var rows, within []SourceRow
				last := netip.Addr{}
				err = s.Evidence(ctx, domain, w, inner, func(r SourceRow) error {
					if len(rows) > 0 && addrNumber(r.Addr) != addrNumber(last) && r.Addr.Compare(last) < 0 && r.Addr.Is6() == last.Is6() {
						t.Errorf("%v after %v", r.Addr, last)
					}
					last = r.Addr
					if r.Inner > 0 {
						in := r
						in.Messages, in.Inner = r.Inner, 0
						within = append(within, in)
					}
					r.Inner = 0
					rows = append(rows, r)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				nothing := func(SourceRow) error { return nil }
				if err := s.evidence(ctx, domain, w, inner, "0::UBIGINT", nothing); len(rows) > 1 && !errors.Is(err, errSameHash) {
					t.Errorf("kinds of one hash: %v", err)
				}
				var slow []SourceRow
				err = s.evidence(ctx, domain, w, inner, "md5_number_lower(concat_ws(chr(0), "+evidenceColumns+"))", func(r SourceRow) error {
					r.Inner = 0
					slow = append(slow, r)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				same(t, "Evidence by the slower hash", slow, rows)
				// A record whose share in the window is nothing still has days and a reporter in a row with others.
				same(t, "Evidence", dropSpan(rows), dropSpan(modelSources(all, domain, w)))
				same(t, "Evidence within", dropSpan(within), dropSpan(modelSources(all, domain, inner)))
			})
		}
	}
}

func dropSpan(rows []SourceRow) []SourceRow {
	for i := range rows {
		rows[i].FirstDay, rows[i].LastDay, rows[i].Reporters = 0, 0, 0
	}
	sortSources(rows)
	return rows
}

func TestClasses(t *testing.T) {
	ctx := context.Background()
	all := randomStored(rand.New(rand.NewPCG(3, 4)), 120)
	s := openTest(t, t.TempDir())
	putAll(t, s, all, 50)
	w := Window{DayOf(testDay) + 2, DayOf(testDay) + 33}
	const domain = "a.example"
	classOf := func(a netip.Addr) ClassRow {
		switch b := a.As16(); {
		case a.Is6():
			return ClassRow{"spoof", "six"}
		case b[15]%4 == 0:
			return ClassRow{"broken", "a source's id; DROP TABLE record"}
		case b[15]%4 == 1:
			return ClassRow{"forwarder", "fwd"}
		}
		return ClassRow{"unknown", "rest"} // by default
	}
	for range 3 { // replacing must not add up
		err := s.SetClasses(ctx, domain, func(yield func(netip.Addr, ClassRow) bool) {
			if !yield(netip.Addr{}, ClassRow{"unknown", "rest"}) {
				return
			}
			for i := range 256 {
				a := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
				if c := classOf(a); c.Source != "rest" && !yield(a, c) {
					return
				}
			}
			for i := range 9 {
				a := netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i))
				if !yield(a, classOf(a)) || !yield(a, ClassRow{"twice", "twice"}) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.ClassDaily(ctx, domain, w)
	if err != nil {
		t.Fatal(err)
	}
	type dc struct {
		d Day
		c string
	}
	m, want := map[dc]uint64{}, map[dc]uint64{}
	for _, c := range got {
		m[dc{c.Day, c.Class}] += c.Messages
	}
	for _, r := range all {
		if r.report.PolicyPublished.Domain == domain {
			r.days(w, func(d Day, rec *aggregate.Record, n uint64) {
				c := classOf(rec.SourceIP).Class
				if rec.DKIM || rec.SPF {
					c = "aligned"
				}
				if n > 0 {
					want[dc{d, c}] += n
				}
			})
		}
	}
	if !reflect.DeepEqual(m, want) || len(m) != len(got) {
		t.Errorf("ClassDaily: %v, want %v", m, want)
	}

	for _, source := range []string{"six", "a source's id; DROP TABLE record", "fwd", "rest", "none such"} {
		t.Run(source, func(t *testing.T) {
			take := func(rec *aggregate.Record) bool { return classOf(rec.SourceIP).Source == source }
			wantDaily := modelDaily(all, domain, w, take)
			daily, err := s.SourceDaily(ctx, domain, source, w)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "SourceDaily", daily, wantDaily)
			var sum, aligned uint64
			for _, d := range wantDaily {
				sum += d.Messages
				aligned += d.Aligned
			}

			addrs, n, err := s.SourceAddresses(ctx, domain, source, w, Page{Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			var m, f uint64
			for i, a := range addrs {
				m, f = m+a.Messages, f+a.Failing
				if classOf(a.Addr).Source != source || a.FirstDay < w.Begin || a.LastDay >= w.End || a.Reporters < 1 || i > 0 && addrs[i-1].Messages < a.Messages {
					t.Errorf("address %d: %+v", i, a)
				}
			}
			if m != sum || f != sum-aligned || n != int64(len(addrs)) {
				t.Errorf("SourceAddresses: %d messages, %d failing, %d of %d; want %d, %d", m, f, len(addrs), n, sum, sum-aligned)
			}
			if _, n2, err := s.SourceAddresses(ctx, domain, source, w, Page{Offset: 1000, Sort: "addr"}); err != nil || n2 != n {
				t.Errorf("beyond the end: %d, %v; want %d", n2, err, n)
			}

			reporters, err := s.SourceReporters(ctx, domain, source, w)
			if err != nil {
				t.Fatal(err)
			}
			m = 0
			for _, r := range reporters {
				m += r.Messages
				if r.Reports < 1 || r.Reporter == "" {
					t.Errorf("reporter: %+v", r)
				}
			}
			if m != sum {
				t.Errorf("SourceReporters: %d messages, want %d", m, sum)
			}

			envelopes, err := s.SourceEnvelopes(ctx, domain, source, w)
			if err != nil {
				t.Fatal(err)
			}
			m = 0
			for _, e := range envelopes {
				m += e.Messages
			}
			if m != sum {
				t.Errorf("SourceEnvelopes: %d messages, want %d", m, sum)
			}

			auth, err := s.SourceAuth(ctx, domain, source, w)
			if err != nil {
				t.Fatal(err)
			}
			gotAuth, wantAuth := map[AuthTotals]uint64{}, map[AuthTotals]uint64{}
			for _, a := range auth {
				m := a.Messages
				a.Messages = 0
				gotAuth[a] += m
			}
			for _, r := range all {
				if r.report.PolicyPublished.Domain == domain {
					r.days(w, func(_ Day, rec *aggregate.Record, n uint64) {
						if !take(rec) || n == 0 {
							return
						}
						for _, d := range rec.DKIMResults {
							wantAuth[AuthTotals{Method: "dkim", Domain: d.Domain, Selector: d.Selector, Result: d.Result}] += n
						}
						for _, s := range rec.SPFResults {
							wantAuth[AuthTotals{Method: "spf", Domain: s.Domain, Scope: s.Scope, Result: s.Result}] += n
						}
					})
				}
			}
			if !reflect.DeepEqual(gotAuth, wantAuth) {
				t.Errorf("SourceAuth: %v, want %v", gotAuth, wantAuth)
			}
		})
	}

	found, n, err := s.SourceAddresses(ctx, domain, "six", w, Page{Search: "2001:db8::/126"})
	if err != nil || n == 0 || int64(len(found)) != n || n > 4 {
		t.Errorf("search by prefix: %v, %d, %v", found, n, err)
	}
	for search, most := range map[string]int64{"192.0.2.8": 1, "192.0.2.": 64, "192.0": 64, "198.": 0, "nonsense": 0, "1.2.3.4.5": 0} {
		if _, n, err := s.SourceAddresses(ctx, domain, "a source's id; DROP TABLE record", w, Page{Search: search}); err != nil || n > most || most > 0 && n == 0 {
			t.Errorf("search %q: %d, %v; want at most %d", search, n, err, most)
		}
	}
}

func TestDomainsAndPolicies(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	var all []stored
	add := func(domain, org, p, sp string, day, days int, n uint64) {
		r := testReport(domain, org, fmt.Sprint(len(all)), day, days)
		r.PolicyPublished.P, r.PolicyPublished.SP = p, sp
		all = append(all, stored{r, []aggregate.Record{{SourceIP: netip.MustParseAddr("192.0.2.1"), Count: n, DKIM: org == "A"}}})
	}
	// quarantine by mistake on days 3 and 4; the real change on day 8, when B still shows the old one.
	for d := range 12 {
		p := "none"
		if d == 3 || d == 4 || d >= 8 {
			p = "quarantine"
		}
		add("x.example", "A", p, "none", d, 1, 10)
		if d == 8 {
			p = "none"
		}
		add("x.example", "B", p, "none", d, 1, 1)
		add("x.example", "C", map[bool]string{true: "quarantine", false: p}[d == 8], "none", d, 1, 1)
	}
	add("y.example", "A", "none", "", 0, 1, 5)
	add("y.example", "B", "none", "none", 1, 1, 5) // means the same
	add("y.example", "B", "none", "reject", 2, 7, 7)
	add("old.example", "A", "reject", "", -300, 1, 1)
	putAll(t, s, all, 7)

	day := func(d int) Day { return DayOf(testDay) + Day(d) }
	got, err := s.Domains(ctx, Window{day(2), day(6)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i].Policy.Domain != got[i].Domain {
			t.Errorf("policy of %s: %+v", got[i].Domain, got[i].Policy)
		}
		got[i].Policy = aggregate.PolicyPublished{P: got[i].Policy.P, SP: got[i].Policy.SP}
	}
	same(t, "Domains", got, []DomainTotals{
		{Domain: "x.example", Messages: 48, Aligned: 40, Reports: 12, Policy: aggregate.PolicyPublished{P: "quarantine", SP: "none"}, PolicySince: day(9), Newest: day(11)},
		{Domain: "y.example", Messages: 4, Aligned: 0, Reports: 1, Policy: aggregate.PolicyPublished{P: "none", SP: "reject"}, PolicySince: day(0), Newest: day(8)},
	})

	hist, err := s.PolicyHistory(ctx, "X.example.")
	if err != nil {
		t.Fatal(err)
	}
	type span struct {
		p        string
		from, to Day
	}
	var spans []span
	for _, h := range hist {
		spans = append(spans, span{h.Policy.P, h.From, h.To})
	}
	if want := []span{{"none", day(0), day(2)}, {"quarantine", day(3), day(4)}, {"none", day(5), day(7)}, {"quarantine", day(8), day(11)}}; !reflect.DeepEqual(spans, want) {
		t.Errorf("PolicyHistory: %v, want %v", spans, want)
	}
	if hist, err := s.PolicyHistory(ctx, "y.example"); err != nil || len(hist) != 2 || hist[0].Reports != 2 || hist[0].Policy.SP != "none" {
		t.Errorf("PolicyHistory: %+v, %v", hist, err)
	}

	for domain, want := range map[string]Day{"x.example": day(12), "y.example": day(9), "": day(12), "old.example": day(-299)} {
		if d, ok, err := s.Newest(ctx, domain); err != nil || !ok || d != want {
			t.Errorf("Newest(%q) = %v, %v, %v; want %v", domain, d, ok, err, want)
		}
	}
	if _, ok, err := s.Newest(ctx, "absent.example"); ok || err != nil {
		t.Errorf("Newest of an absent domain: %v, %v", ok, err)
	}
	names, err := s.DomainNames(ctx)
	same(t, "DomainNames", names, []string{"old.example", "x.example", "y.example"})
	if err != nil {
		t.Error(err)
	}
}

func TestReportsAndRecords(t *testing.T) {
	ctx := context.Background()
	all := randomStored(rand.New(rand.NewPCG(5, 6)), 90)
	s := openTest(t, t.TempDir())
	putAll(t, s, all, 90)
	for i, want := range all {
		seq := int64(i + 1)
		h, err := s.Report(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "report", h.Report, want.report)
		if h.Origin != (Origin{1, "dir/" + want.report.Metadata.ReportID, "m"}) || h.Rows != int64(len(want.records)) || h.Stored.IsZero() {
			t.Errorf("head: %+v", h)
		}
		rows, n, err := s.Records(ctx, seq, Page{Limit: 1000})
		if err != nil || n != int64(len(want.records)) {
			t.Fatal(n, err)
		}
		for k, r := range rows {
			w := want.records[k]
			same(t, fmt.Sprintf("record %d of %d", k, seq), r, RecordRow{int64(k), w})
		}
		x, name, err := s.Raw(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(x)
		if err != nil || string(b) != "<feedback>"+want.report.Metadata.ReportID+"</feedback>" {
			t.Errorf("raw: %q, %v", b, err)
		}
		x.Close()
		if i == 0 {
			t.Log(name)
		}
	}
	page, n, err := s.Records(ctx, 1, Page{Offset: 1, Limit: 3, Sort: "messages", Desc: true})
	if err != nil || n != int64(len(all[0].records)) || len(page) > 0 && page[0].Record.Count < page[len(page)-1].Record.Count {
		t.Errorf("page by messages: %v, %d, %v", page, n, err)
	}

	count := func(f func(stored) bool) (n int64) {
		for _, r := range all {
			if f(r) {
				n++
			}
		}
		return n
	}
	for name, c := range map[string]struct {
		f    ReportFilter
		p    Page
		want int64
	}{
		"all":        {want: 90},
		"domain":     {f: ReportFilter{Domain: "A.example"}, want: count(func(r stored) bool { return r.report.PolicyPublished.Domain == "a.example" })},
		"reporter":   {f: ReportFilter{Reporter: "outlook"}, want: count(func(r stored) bool { return r.report.Metadata.OrgName == "Outlook" })},
		"deviations": {f: ReportFilter{WithDeviations: true}, p: Page{Sort: "deviations", Desc: true}, want: count(func(r stored) bool { return r.report.Deviations != nil })},
		"absent":     {f: ReportFilter{Domain: "absent.example"}},
		"search org": {p: Page{Search: "DOCOMO", Sort: "reporter"}, want: count(func(r stored) bool { return r.report.Metadata.OrgName == "docomo.ne.jp" })},
		"search id":  {p: Page{Search: "id-42", Sort: "rows"}, want: 1},
		"beyond":     {p: Page{Offset: 1000}, want: 90},
		"window": {f: ReportFilter{Window: Window{DayOf(testDay) + 5, DayOf(testDay) + 6}}, want: count(func(r stored) bool {
			first, n := Spread(r.report.Metadata.Begin, r.report.Metadata.End)
			return first <= DayOf(testDay)+5 && first+Day(n) > DayOf(testDay)+5
		})},
	} {
		heads, n, err := s.Reports(ctx, c.f, c.p)
		if err != nil || n != c.want || len(heads) == 0 && n > 0 && c.p.Offset == 0 || len(heads) > 50 {
			t.Errorf("%s: %d of %d heads, want %d, %v", name, len(heads), n, c.want, err)
		}
	}
	if heads, _, _ := s.Reports(ctx, ReportFilter{}, Page{Limit: 90}); len(heads) != 90 || heads[0].Report.Metadata.Begin.Before(heads[89].Report.Metadata.Begin) {
		t.Error("the default is not newest first")
	}
	if _, _, err := s.Reports(ctx, ReportFilter{}, Page{Sort: "seq; DROP TABLE report"}); err == nil {
		t.Error("sorted by anything")
	}
}
