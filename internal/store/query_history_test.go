package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"sekimori/report/aggregate"
)

func TestHistory(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	begin := DayOf(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	four, six, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::25"), netip.MustParseAddr("198.51.100.1")
	put := func(id string, day Day, days int, recs ...aggregate.Record) {
		t.Helper()
		var rows Rows
		for i := range recs {
			rows.Add(&recs[i])
		}
		_, err := s.Put(ctx, []*Incoming{{Rows: &rows, Report: aggregate.Report{
			Metadata:        aggregate.Metadata{OrgName: "r", ReportID: id, Begin: day.Time(), End: (day + Day(days)).Time().Add(-time.Second)},
			PolicyPublished: aggregate.PolicyPublished{Domain: "a.example", P: "none"},
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	put("1", begin, 1, aggregate.Record{SourceIP: four, Count: 5, DKIM: true}, aggregate.Record{SourceIP: four, Count: 3}, aggregate.Record{SourceIP: six, Count: 2, SPF: true}, aggregate.Record{SourceIP: other, Count: 9})
	put("2", begin+2, 3, aggregate.Record{SourceIP: six, Count: 7})
	put("3", begin+2, 1, aggregate.Record{SourceIP: six, Count: 1, DKIM: true})

	read := func(w Window, addrs ...netip.Addr) []string {
		t.Helper()
		var out []string
		err := s.History(ctx, "a.example", w, addrs, func(a netip.Addr, d Day, messages, failing uint64) error {
			out = append(out, fmt.Sprintf("%s +%d %d/%d", a, d-begin, messages, failing))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	all := Window{begin, begin + 10}
	want := []string{"192.0.2.1 +0 8/3", "2001:db8::25 +0 2/0", "2001:db8::25 +2 3/2", "2001:db8::25 +3 2/2", "2001:db8::25 +4 3/3"}
	if got := read(all, six, four); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := read(Window{begin + 3, begin + 4}, six, four), []string{"2001:db8::25 +3 2/2"}; !reflect.DeepEqual(got, want) {
		t.Errorf("one day: got %q, want %q", got, want)
	}
	if got := read(all); got != nil {
		t.Errorf("no addresses: %q", got)
	}
	if err := s.History(ctx, "none.example", all, []netip.Addr{four}, nil); err != nil {
		t.Error(err)
	}
	if err := s.History(ctx, "a.example", all, make([]netip.Addr, maxHistory+1), nil); err == nil {
		t.Error("too many addresses: no error")
	}
	stop := errors.New("stop")
	if err := s.History(ctx, "a.example", all, []netip.Addr{four}, func(netip.Addr, Day, uint64, uint64) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v, want the callback's", err)
	}
}
