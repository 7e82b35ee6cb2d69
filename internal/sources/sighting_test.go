package sources

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"sekimori/internal/store"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

type reported []store.Sighting

func (r reported) Sightings(_ context.Context, _ string, _ store.Window, f func(store.Sighting) error) error {
	for _, s := range r {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

func TestSightings(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	l, err := verdict.Open(dir, verdict.Options{Now: func() time.Time { return at.AddDate(0, 0, 2) }})
	if err != nil {
		t.Fatal(err)
	}
	good, bad := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::9")
	add := func(n byte, at time.Time, policy string, addr netip.Addr, pass bool) {
		e := &verdict.Entry{Time: at, Client: addr, MailFrom: "taro@b.vendor.example", From: "taro@news.city.example", Action: verdict.Accept, Asked: verdict.Accept,
			Policy: verdict.Policy{Domain: policy, Text: "v=DMARC1; p=none"}, Print: [16]byte{n},
			Record: aggregate.Record{SourceIP: addr, Disposition: aggregate.DispositionNone, DKIM: pass, HeaderFrom: "news.city.example", EnvelopeFrom: "b.vendor.example",
				DKIMResults: []aggregate.DKIMResult{{Domain: "vendor.example", Selector: "v", Result: "pass"}, {Domain: "city.example", Selector: "c", Result: map[bool]string{true: "pass", false: "fail"}[pass]}},
				SPFResults:  []aggregate.SPFResult{{Domain: "b.vendor.example", Scope: "mfrom", Result: "pass"}}}}
		r, err := l.Append(e)
		if err != nil {
			t.Fatal(err)
		}
		r.Confirm()
	}
	for n := range byte(3) {
		add(n, at, "city.example", good, true)
	}
	add(10, at, "city.example", bad, false)
	add(11, at, "other.example", bad, false)
	add(12, at.AddDate(0, 0, 1), "city.example", bad, false)
	if err := l.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := verdict.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	told := store.Sighting{By: store.ByFailureReports, Author: "city.example", Addr: bad, Messages: 1, Failing: 1}
	day := store.DayOf(at)
	read := func(w store.Window) (got []store.Sighting) {
		t.Helper()
		if err := Sightings(reported{told}, r)(ctx, "City.example.", w, func(s store.Sighting) error { got = append(got, s); return nil }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := read(store.Window{Begin: day, End: day + 1})
	of := func(addr netip.Addr, n, failing uint64, result string) store.Sighting {
		return store.Sighting{By: store.ByGateway, Author: "news.city.example", Addr: addr, Day: day, Messages: n, Failing: failing, Delivery: "none", Envelope: "b.vendor.example",
			DKIMDomain: "city.example", Selector: "c", DKIM: result, SPFDomain: "b.vendor.example", SPF: "pass"}
	}
	want := []store.Sighting{told, of(good, 3, 0, "pass"), of(bad, 1, 1, "fail")}
	slices.SortFunc(got[1:], func(a, b store.Sighting) int { return int(b.Messages) - int(a.Messages) })
	if !reflect.DeepEqual(got, want) {
		t.Errorf(" got %+v\nwant %+v", got, want)
	}
	if got := read(store.Window{Begin: day - 100, End: day + 100}); len(got) != 4 {
		t.Errorf("all days: %+v", got)
	}
	enough := errors.New("enough")
	if err := Sightings(nil, r)(ctx, "city.example", store.Window{Begin: day, End: day + 2}, func(store.Sighting) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("an error of f: %v", err)
	}
	if err := Sightings(nil, nil)(ctx, "city.example", store.Window{}, nil); err != nil {
		t.Error(err)
	}
}
