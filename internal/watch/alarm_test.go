package watch

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"sekimori/internal/advise"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// TestAlarm goes the whole way: a mail server of ours loses its key under
// p=reject, reports tell of it, the answer crosses the bar, and the webhook
// hears of it once. When the key is back for a week, it hears of that.
func TestAlarm(t *testing.T) {
	ctx, st := t.Context(), opened(t)
	h := &hook{status: 200}
	srv := httptest.NewServer(h)
	defer srv.Close()
	at := &clock{t: start}
	r := &resolver{}
	r.set(t, `
@ TXT "v=spf1 -all"
_dmarc TXT "v=DMARC1; p=reject; rua=mailto:d@city.example.jp"
mx A 192.0.2.1
1.2.0.192.in-addr.arpa. PTR mx.city.example.jp.
`)
	adv := advise.New(advise.Config{Store: st, Resolver: r, Now: at.now})
	defer adv.Close()
	w := watcher(t, Config{Store: st, Now: at.now, Webhook: &Webhook{URL: srv.URL, Secret: secret}})
	name := mustName(t, "city.example.jp")
	day := store.DayOf(start) - 60
	next := func(passing, failing uint64) {
		t.Helper()
		for k := range 2 { // two receivers
			in := &store.Incoming{Rows: &store.Rows{}, Report: aggregate.Report{
				Metadata:        aggregate.Metadata{OrgName: fmt.Sprint("receiver", k), ReportID: fmt.Sprint(day, k), Begin: day.Time(), End: (day + 1).Time().Add(-time.Second)},
				PolicyPublished: aggregate.PolicyPublished{Domain: "city.example.jp", P: "reject"},
			}}
			rec := aggregate.Record{SourceIP: netip.MustParseAddr("192.0.2.1"), HeaderFrom: "city.example.jp", EnvelopeFrom: "city.example.jp"}
			if rec.Count = passing; passing > 0 {
				rec.DKIM, rec.DKIMResults = true, []aggregate.DKIMResult{{Domain: "city.example.jp", Selector: "s1", Result: "pass"}}
				in.Rows.Add(&rec)
			}
			if rec.Count = failing; failing > 0 {
				rec.DKIM, rec.Disposition, rec.DKIMResults = false, aggregate.DispositionReject, []aggregate.DKIMResult{{Domain: "city.example.jp", Selector: "s1", Result: "fail"}}
				in.Rows.Add(&rec)
			}
			if _, err := st.Put(ctx, []*store.Incoming{in}); err != nil {
				t.Fatal(err)
			}
		}
		day++
		at.add(24 * time.Hour)
	}
	look := func() {
		t.Helper()
		a, err := adv.Advise(ctx, name, advise.Question{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Trigger(ctx, a); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Deliver(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for range 45 {
		next(500, 1)
	}
	look()
	if h.count() != 0 {
		t.Fatalf("an alarm without cause: %s", h.bodies)
	}
	next(100, 400)
	look()
	look()
	if h.count() != 1 {
		t.Fatalf("%d calls, want one", h.count())
	}
	for range 6 {
		next(500, 1)
	}
	look()
	if h.count() != 1 {
		t.Fatalf("%d calls before it was quiet for a week: %s", h.count(), h.bodies[1:])
	}
	for range 3 {
		next(500, 1)
	}
	look()
	if h.count() != 2 {
		t.Fatalf("%d calls, want the all-clear", h.count())
	}
}
