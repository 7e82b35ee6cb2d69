package advise

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// TestSpread: the days of an answer are those of the store, to the message,
// also where reports of several days are spread over them and lie across the
// window's edge.
func TestSpread(t *testing.T) {
	ctx := t.Context()
	st, err := store.Open(ctx, t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	const dom = "spread.example"
	begin := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for d := 0; d < 45; d += 3 {
		for org, n := range map[string]int{"one.example": 1, "three.example": 3, "week.example": 7} {
			from := begin.AddDate(0, 0, d)
			in := &store.Incoming{Rows: &store.Rows{}, Report: aggregate.Report{
				Form:            aggregate.RFC7489,
				Metadata:        aggregate.Metadata{OrgName: org, ReportID: fmt.Sprint(org, d), Begin: from, End: from.Add(time.Duration(n)*24*time.Hour - time.Second)},
				PolicyPublished: aggregate.PolicyPublished{Domain: dom, P: "none", SP: "none"},
			}}
			for i := range 40 {
				in.Rows.Add(&aggregate.Record{SourceIP: netip.AddrFrom4([4]byte{198, 51, byte(i * 5), 7}), Count: uint64(1 + (i*7+d)%11), HeaderFrom: dom,
					Disposition: "none", DKIM: i%3 == 0, SPF: i%4 == 0,
					DKIMResults: []aggregate.DKIMResult{{Domain: dom, Result: map[bool]string{true: "pass", false: "fail"}[i%3 == 0]}},
					SPFResults:  []aggregate.SPFResult{{Domain: dom, Result: map[bool]string{true: "pass", false: "fail"}[i%4 == 0]}}})
			}
			if _, err := st.Put(ctx, []*store.Incoming{in}); err != nil {
				t.Fatal(err)
			}
		}
	}
	adv := New(Config{Store: st})
	defer adv.Close()
	for _, q := range []Question{{}, {Days: 7}, {Days: 10, Until: store.DayOf(begin) + 20}, {Days: 400}} {
		a, err := adv.Advise(ctx, mustName(t, dom), q)
		if err != nil {
			t.Fatal(err)
		}
		daily, err := st.DomainDaily(ctx, dom, a.Window)
		if err != nil {
			t.Fatal(err)
		}
		want := map[store.Day]store.DayTotals{}
		var sum uint64
		for _, d := range daily {
			want[d.Day] = d
			sum += d.Messages
		}
		for _, d := range a.Daily {
			if n := d.Aligned + d.Broken + d.Forwarder + d.Unknown + d.Spoof; n != want[d.Day].Messages || d.Aligned != want[d.Day].Aligned {
				t.Errorf("%+v, %s: %d messages, %d aligned, want %d, %d", q, d.Day, n, d.Aligned, want[d.Day].Messages, want[d.Day].Aligned)
			}
			delete(want, d.Day)
		}
		for _, d := range want {
			if d.Messages > 0 {
				t.Errorf("%+v: %s is missing", q, d.Day)
			}
		}
		var sources uint64
		for _, s := range a.Sources {
			sources += s.Messages
		}
		if sum != a.Messages || sources != a.Messages {
			t.Errorf("%+v: %d messages, by source %d, by day %d", q, a.Messages, sources, sum)
		}
	}
}
