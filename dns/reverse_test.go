package dns_test

import (
	"net/netip"
	"testing"

	"sekimori/dns"
)

func TestReverse(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1":        "1.2.0.192.in-addr.arpa.",
		"255.10.100.0":     "0.100.10.255.in-addr.arpa.",
		"::ffff:192.0.2.1": "1.2.0.192.in-addr.arpa.",
		"2001:db8::567:89ab": "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0." +
			"8.b.d.0.1.0.0.2.ip6.arpa.",
	} {
		if got := dns.Reverse(netip.MustParseAddr(in)); got != want {
			t.Errorf("Reverse(%s) = %s, want %s", in, got, want)
		}
	}
	if got := dns.Reverse(netip.Addr{}); got != "" {
		t.Errorf("Reverse(zero) = %q, want empty", got)
	}
}
