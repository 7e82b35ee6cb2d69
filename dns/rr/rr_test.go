package rr_test

import (
	"testing"

	mdns "github.com/miekg/dns"

	"sekimori/dns"
	"sekimori/dns/rr"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		`a.example. A 192.0.2.1`:                    "192.0.2.1",
		`a.example. AAAA 2001:DB8::1`:               "2001:db8::1",
		`a.example. MX 10 mx.example.`:              "10 mx.example.",
		`a.example. CNAME b.example.`:               "b.example.",
		`1.2.0.192.in-addr.arpa. PTR mail.example.`: "mail.example.",
		`a.example. TXT "v=spf1 " "-all"`:           "v=spf1 -all",
		`a.example. TXT "say \"hi\"\; \\ \195\169"`: "say \"hi\"; \\ é",
		`a.example. TXT ""`:                         "",
		`a.example. TXT v=DMARC1\;p=none`:           "v=DMARC1;p=none",
	} {
		r, err := mdns.NewRR(in)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		if got, ok := rr.Text(r); !ok || got != want {
			t.Errorf("%s: got %q, %v, want %q", in, got, ok, want)
		}
	}
	soa, _ := mdns.NewRR("example. SOA ns. root. 1 2 3 4 5")
	if got, ok := rr.Text(soa); ok {
		t.Errorf("SOA: got %q, want none", got)
	}
}

func TestCode(t *testing.T) {
	for _, typ := range []dns.Type{dns.A, dns.AAAA, dns.CNAME, dns.MX, dns.PTR, dns.TXT} {
		if got := rr.Code(typ); mdns.TypeToString[got] != string(typ) {
			t.Errorf("Code(%s) = %d", typ, got)
		}
	}
	if rr.Code("SPF") != 0 {
		t.Error("Code of an unnamed type is not 0")
	}
}
