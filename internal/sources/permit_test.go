package sources

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/dns/dnstest"
)

const permitZone = `$ORIGIN example.
a TXT "v=spf1 ip4:192.0.2.0/24 include:b.example. ?include:neutral.example -ip4:198.51.100.1 redirect=c.example"
a TXT "something else"
b TXT "v=spf1 ip6:2001:db8::/32 a:host.example/28 mx include:a.example ~all"
b MX 10 mx.example.
host A 203.0.113.20
mx A 203.0.113.99
mx AAAA 2001:db9::1
c TXT "V=SPF1 +ip4:203.0.113.200 ip4:0.0.0.0/0 exists:%{i}.x.example ip4:bad"
none TXT "v=spf10"
slow TYPE65280 \# 0
`

func TestLookupPermit(t *testing.T) {
	z, err := dnstest.Parse(strings.NewReader(permitZone), "zone")
	if err != nil {
		t.Fatal(err)
	}
	p, err := LookupPermit(context.Background(), z, "A.example.")
	if err != nil || !p.Found || p.Partial {
		t.Fatalf("%+v, %v", p, err)
	}
	for a, want := range map[string]bool{
		"192.0.2.77": true, "2001:db8:1::1": true, "203.0.113.17": true, "203.0.113.99": true, "203.0.113.200": true,
		"203.0.113.100": false, "198.51.100.1": false, "8.8.8.8": false, "::ffff:192.0.2.1": true, "2001:db9::1": true,
	} {
		if got := p.Index().Addr(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: the index says %v, want %v", a, got, want)
		}
		if got := p.Addr(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v, want %v", a, got, want)
		}
	}
	if want := []string{"b.example", "a.example", "c.example"}; !reflect.DeepEqual(p.Domains, want) {
		t.Errorf("domains %v, want %v", p.Domains, want)
	}
	for _, name := range []string{"none.example", "host.example", "absent.example"} {
		if p, err := LookupPermit(context.Background(), z, name); err != nil || p.Found {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, err := LookupPermit(context.Background(), z, "slow.example"); !errors.Is(err, dns.ErrTemporary) {
		t.Errorf("slow: %v", err)
	}
}
