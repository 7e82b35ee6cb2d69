package rpki

import (
	"bytes"
	"io"
	"net/netip"
	"slices"
	"testing"
)

func checkVRPs(t *testing.T, s *VRPs) {
	n := 0
	for v := range s.All() {
		n++
		if err := v.Check(); err != nil {
			t.Errorf("%s: %v", v, err)
		}
		if !slices.Contains(slices.Collect(s.Covering(v.Prefix)), v) {
			t.Errorf("%s does not cover itself", v)
		}
		if got := s.Validate(v.Prefix, v.ASN); (got == Valid) != (v.ASN != 0) && got != Invalid {
			t.Errorf("%s: %s", v, got)
		}
	}
	if n != s.Len() || n == 0 {
		t.Errorf("%d payloads, said to be %d", n, s.Len())
	}
}

func FuzzReadVRPs(f *testing.F) {
	f.Add([]byte(rpkiClientJSON))
	f.Add([]byte(routinatorJSON))
	f.Add([]byte(routinatorExt))
	f.Add([]byte("ASN,IP Prefix,Max Length,Trust Anchor\nAS64496,192.0.2.0/24,24,apnic\n"))
	f.Add([]byte("64496,::ffff:192.0.2.0/120\n\"AS0\",2001:db8::/32,128"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, got, err := ReadVRPs(bytes.NewReader(b))
		if err != nil {
			return
		}
		checkVRPs(t, s)
		if got.Entries != got.Skipped+got.Repeated+int64(s.Len()) {
			t.Errorf("%+v of %d", got, s.Len())
		}
	})
}

func FuzzReadRTR(f *testing.F) {
	f.Add(slices.Concat(unit(1, 3, 7), v4(1, 1, "192.0.2.0/24", 24, 64496), v6(1, 1, "2001:db8::/32", 48, 1), endOfData(1, 7, 9)))
	f.Add(slices.Concat(unit(0, 3, 7), v4(0, 1, "192.0.2.0/24", 24, 64496), endOfData(0, 7, 9)))
	f.Add(rtrError(1, 4, unit(1, 2, 0), "text"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, _, err := ReadRTR(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(b), io.Discard}, 1); err == nil {
			checkVRPs(t, s)
		}
	})
}

func FuzzReadRoutes(f *testing.F) {
	var d dump
	d.peers(64511, 64512)
	d.rib(subtypeIPv4, "192.0.2.0/24", path{peer: 0, segments: seq(64511, 64500, 64496)}, path{peer: 1, segments: segment(1, 1, 2)})
	d.rib(subtypeIPv6, "2001:db8::/32", path{peer: 0, segments: seq(64511)})
	d.rib(subtypeIPv4Multipath, "198.51.100.0/22", path{peer: 1, segments: seq(64512)}, path{peer: 1, none: true})
	f.Add(d.Bytes())
	f.Add([]byte("192.0.2.0\t24\t64496_1,2\n2001:db8::/32 {1,2}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, _, err := ReadRoutes(bytes.NewReader(b), 0)
		if err != nil {
			return
		}
		if r.Len() == 0 {
			t.Error("no routes, and no error")
		}
		n := 0
		for p := range r.table.All() {
			if n++; n > 100 {
				break
			}
			q, o := r.Lookup(p.Addr())
			if !q.Contains(p.Addr()) || q.Bits() == 0 || len(o) == 0 || len(o) > maxOrigins {
				t.Errorf("%s: %s %v", p, q, o)
			}
		}
		r.Lookup(netip.Addr{})
	})
}
