package store

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSightings(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s, err := Open(ctx, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	day := Day(20700)
	make := func(n byte, author string, d Day) Sighting {
		return Sighting{By: ByFailureReports, Author: author, Addr: netip.MustParseAddr("192.0.2.1"), Day: d, Arrived: d.Time().Add(time.Hour), Messages: 2, Failing: 1,
			Failure: "dmarc", Delivery: "reject", Envelope: "e.example", DKIMDomain: "d.example", Selector: "s", DKIM: "fail", SPFDomain: "p.example", SPF: "softfail",
			Reporter: "r.example", Hash: [32]byte{n}, Origin: Origin{Import: 1, Path: "/a", Member: fmt.Sprint(n)}}
	}
	in := []Sighting{make(1, "City.Example.", day), make(2, "a.city.example", day+1), make(3, "acity.example", day), make(1, "city.example", day)}
	in[3].Origin.Member = "again"
	in[1].Addr, in[1].Arrived = netip.MustParseAddr("2001:db8::1"), time.Time{}
	in[2].Selector = strings.Repeat("長", 200)
	want := []SightingOutcome{{New: true}, {New: true}, {New: true}, {}}
	if out, err := s.PutSightings(ctx, in); err != nil || !reflect.DeepEqual(out, want) {
		t.Fatalf("%+v, %v", out, err)
	}
	// The same import meets its own work.
	if out, err := s.PutSightings(ctx, in[:1]); err != nil || !out[0].Resumed || out[0].New {
		t.Fatalf("%+v, %v", out, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(ctx, dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	read := func(domain string, w Window) []Sighting {
		var got []Sighting
		if err := s.Sightings(ctx, domain, w, func(g Sighting) error { got = append(got, g); return nil }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	all := Window{day - 1, day + 5}
	got := read("city.example", all)
	first, second := in[0], in[1]
	first.Author, first.Hash, first.Origin = "city.example", [32]byte{}, Origin{}
	second.Hash, second.Origin = [32]byte{}, Origin{}
	if !reflect.DeepEqual(got, []Sighting{first, second}) {
		t.Errorf("got %+v", got)
	}
	if got := read("acity.example", all); len(got) != 1 || len(got[0].Selector) != 255 {
		t.Errorf("%+v", got)
	}
	if len(read("a.city.example", all)) != 1 || len(read("city.example", Window{day + 1, day + 2})) != 1 || len(read("example", all)) != 0 {
		t.Error("not narrowed")
	}
}

func TestPTRConfirmed(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := time.Unix(1e9, 0).UTC()
	want := map[netip.Addr]PTR{}
	for i, p := range []PTR{
		{Names: []string{"a.example", "b.example", "c.example"}, Confirmed: []string{"a.example"}, Denied: []string{"b.example"}, Absent: []string{"c.example"}, CheckAgain: at.Add(time.Hour)},
		{Names: []string{"a.example"}, Absent: []string{"a.example"}, CheckAgain: at},
		{Names: []string{"a.example"}},
	} {
		p.Addr, p.Status, p.Looked, p.Expires = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), PTRFound, at, at
		want[p.Addr] = p
	}
	var in []PTR
	var addrs []netip.Addr
	for a, p := range want {
		in, addrs = append(in, p), append(addrs, a)
	}
	for range 2 {
		if err := s.PutPTRs(ctx, in); err != nil {
			t.Fatal(err)
		}
		if got, err := s.PTRs(ctx, addrs); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}
