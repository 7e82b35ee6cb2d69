package store

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"sekimori/report/aggregate"
)

func TestMailOf(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	begin := DayOf(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	put := func(org string, day Day, days int, recs ...aggregate.Record) {
		t.Helper()
		var rows Rows
		for i := range recs {
			rows.Add(&recs[i])
		}
		_, err := s.Put(ctx, []*Incoming{{Rows: &rows, Report: aggregate.Report{
			Metadata:        aggregate.Metadata{OrgName: org, ReportID: org + day.String(), Begin: day.Time(), End: (day + Day(days)).Time().Add(-time.Second)},
			PolicyPublished: aggregate.PolicyPublished{Domain: "a.example", P: "none"},
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	one, two, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("2001:db8::25")
	put("r", begin, 1, aggregate.Record{SourceIP: one, Count: 5, DKIM: true, HeaderFrom: "a.example"}, aggregate.Record{SourceIP: one, Count: 3, HeaderFrom: "x.a.example",
		SPFResults: []aggregate.SPFResult{{Domain: "vendor.example", Result: "pass", Scope: "mfrom"}}})
	put("q", begin+1, 2, aggregate.Record{SourceIP: six, Count: 7, HeaderFrom: "a.example"}, aggregate.Record{SourceIP: two, Count: 4, HeaderFrom: "a.example"})
	err := s.SetClasses(ctx, "a.example", func(yield func(netip.Addr, ClassRow) bool) {
		_ = yield(one, ClassRow{"broken", "s1"}) && yield(six, ClassRow{"broken", "s2"})
	})
	if err != nil {
		t.Fatal(err)
	}
	all := Window{begin, begin + 10}
	for _, c := range []struct {
		f               MailFilter
		w               Window
		messages, pass  uint64
		reporters, fail int // reporters; addresses that fail
	}{
		{MailFilter{}, all, 0, 0, 0, 0},
		{MailFilter{Sources: []string{"s1"}}, all, 8, 5, 1, 1},
		{MailFilter{Sources: []string{"s1", "s2"}}, all, 15, 5, 2, 2},
		{MailFilter{Sources: []string{"s2"}}, Window{begin, begin + 2}, 3, 0, 1, 1},
		{MailFilter{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, all, 12, 5, 2, 2},
		{MailFilter{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Authors: []string{"A.example"}}, all, 9, 5, 2, 1},
		{MailFilter{Sources: []string{"s2"}, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/48")}, Authors: []string{"x.a.example"}}, all, 10, 0, 2, 2},
	} {
		days, err := s.MailDaily(ctx, "a.example", c.w, c.f)
		if err != nil {
			t.Fatal(err)
		}
		var sum DayTotals
		for _, d := range days {
			sum.merge(d)
		}
		rep, err := s.MailReporters(ctx, "a.example", c.w, c.f)
		if err != nil {
			t.Fatal(err)
		}
		addrs, err := s.MailAddresses(ctx, "a.example", c.w, c.f, 0)
		if err != nil {
			t.Fatal(err)
		}
		if sum.Messages != c.messages || sum.Aligned != c.pass || len(rep) != c.reporters || len(addrs) != c.fail {
			t.Errorf("%+v: %d messages, %d passed, %d reporters, %d addresses fail; want %+v", c.f, sum.Messages, sum.Aligned, len(rep), len(addrs), c)
		}
	}
	auth, err := s.MailAuth(ctx, "a.example", all, MailFilter{Sources: []string{"s1"}})
	if err != nil || len(auth) != 1 || auth[0] != (AuthTotals{Method: "spf", Domain: "vendor.example", Scope: "mfrom", Result: "pass", Messages: 3}) {
		t.Errorf("auth %+v, %v", auth, err)
	}
	env, err := s.MailEnvelopes(ctx, "a.example", all, MailFilter{Sources: []string{"s1"}})
	if err != nil || len(env) != 2 {
		t.Errorf("envelopes %+v, %v", env, err)
	}
	if _, err := s.MailDaily(ctx, "a.example", all, MailFilter{Sources: make([]string, filterMost+1)}); err == nil {
		t.Error("too many sources: no error")
	}
}
