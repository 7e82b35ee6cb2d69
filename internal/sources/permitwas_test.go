package sources

import (
	"net/netip"
	"testing"
	"time"

	"sekimori/internal/store"
)

func TestPermitWas(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	obs := func(name, kind, value string, from, to int) store.Observation {
		return store.Observation{Domain: "a.example", Name: name, Kind: kind, Value: value, From: day(from), To: day(to)}
	}
	h := PermitWas("A.example.", []store.Observation{
		obs("a.example", "spf", "v=spf1 ip4:192.0.2.0/24 include:v.example -all", 1, 10),
		obs("a.example", "spf", "v=spf1 include:v.example include:unseen.example a -ip4:198.51.100.9 ~all", 11, 30),
		obs("v.example", "spf", "v=spf1 ip4:203.0.113.0/25 include:a.example", 5, 15),
		obs("v.example", "spf", "v=spf1 ip6:2001:db8::/32 ip4:0.0.0.0/1", 16, 30),
		obs("a.example", "a", "198.51.100.7", 1, 30),
		obs("a.example", "mx", "10 mx.a.example", 1, 30),
		obs("_dmarc.a.example", "dmarc", "v=DMARC1; p=none", 1, 30),
	})
	if !h.From.Equal(day(1)) || !h.To.Equal(day(30)) || !h.Partial {
		t.Errorf("from %v to %v, partial %v", h.From, h.To, h.Partial)
	}
	for _, c := range []struct {
		addr     string
		from, to int
		want     bool
		via      string
	}{
		{"192.0.2.9", 1, 1, true, ""},
		{"192.0.2.9", 11, 30, false, ""}, // no longer
		{"203.0.113.5", 1, 4, false, ""}, // nobody had looked at the include
		{"203.0.113.5", 8, 8, true, "v.example"},
		{"203.0.113.5", 14, 20, true, "v.example"},
		{"203.0.113.5", 17, 20, false, ""},
		{"203.0.113.200", 8, 8, false, ""},
		{"2001:db8::1", 20, 20, true, "v.example"},
		{"198.51.100.7", 20, 20, true, ""},
		{"198.51.100.7", 5, 5, false, ""},
		{"198.51.100.9", 20, 20, false, ""},
		{"8.8.8.8", 1, 30, false, ""}, // half of all addresses says nothing
		{"::ffff:192.0.2.9", 1, 1, true, ""},
	} {
		s, ok := h.Allowed(netip.MustParseAddr(c.addr), day(c.from), day(c.to))
		if ok != c.want || s.Via != c.via {
			t.Errorf("%s from %d to %d: %v via %q, want %v via %q", c.addr, c.from, c.to, ok, s.Via, c.want, c.via)
		}
	}
	if h := PermitWas("b.example", nil); h.From != (time.Time{}) || len(h.Spans) != 0 || !h.Partial {
		t.Errorf("nothing seen: %+v", h)
	}
}

// TestPermitWasBounded: records that include each other at many times.
func TestPermitWasBounded(t *testing.T) {
	var seen []store.Observation
	for i := range 400 {
		at := time.Unix(int64(i)*86400, 0)
		for _, n := range []string{"a.example", "b.example", "c.example"} {
			seen = append(seen, store.Observation{Name: n, Kind: "spf", From: at, To: at.AddDate(1, 0, 0),
				Value: "v=spf1 include:a.example include:b.example include:c.example ip4:192.0.2.0/24 ip4:198.51.100.0/24"})
		}
	}
	start := time.Now()
	if h := PermitWas("a.example", seen); len(h.Spans) > maxSpans || !h.Partial {
		t.Errorf("%d spans, partial %v", len(h.Spans), h.Partial)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}
