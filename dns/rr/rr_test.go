package rr_test

import (
	"strings"
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
		`a.example. AAAA ::ffff:192.0.2.1`:          "::ffff:192.0.2.1",
		`a.example. MX 0 .`:                         "0 .",
		`a.example. MX 0 foo:bar/baz\@x.example.`:   "0 foo:bar/baz@x.example.",
		`a.example. MX 0 a\032b\.c\\d.example.`:     `0 a\032b\.c\\d.example.`,
		`a.example. NS NS1.example.`:                "NS1.example.",
		`a.example. SOA ns. root.a. 1 2 3 4 5`:      "ns. root.a. 1 2 3 4 5",
		`a.example. DS 60485 13 2 ab CD`:            "60485 13 2 ABCD",
		`a.example. DNSKEY 257 3 13 AQ ID`:          "257 3 13 AQID",
		`a.example. TLSA 3 1 1 AB cd`:               "3 1 1 abcd",
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
	srv, _ := mdns.NewRR("example. SRV 1 2 3 a.")
	if got, ok := rr.Text(srv); ok {
		t.Errorf("SRV: got %q, want none", got)
	}
}

func TestCode(t *testing.T) {
	for _, typ := range []dns.Type{dns.A, dns.AAAA, dns.CNAME, dns.DNSKEY, dns.DS, dns.MX, dns.NS, dns.PTR, dns.SOA, dns.TLSA, dns.TXT} {
		if got := rr.Code(typ); mdns.TypeToString[got] != string(typ) {
			t.Errorf("Code(%s) = %d", typ, got)
		}
	}
	if rr.Code("SPF") != 0 {
		t.Error("Code of an unnamed type is not 0")
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	for in, want := range map[string]string{
		"example.com": "\x07example\x03com", "EXAMPLE.com.": "\x07example\x03com", ".": "",
		`a\032b@;"é `: "\x0ca\\032b@;\"\xc3\xa9 ",
		long:          "\x3f" + long,
		strings.Join([]string{long, long, long, long[:61]}, "."): "\x3f" + long + "\x3f" + long + "\x3f" + long + "\x3d" + long[:61],
	} {
		b, ok := rr.AppendWire(nil, in)
		if !ok || string(b) != want {
			t.Errorf("AppendWire(%q) = %q, %v, want %q", in, b, ok, want)
			continue
		}
		if again, ok := rr.Wire(rr.Present(want)); !ok || again != want {
			t.Errorf("%q is presented as %q, read as %q, %v", in, rr.Present(want), again, ok)
		}
	}
	for _, in := range []string{"", "..", ".a", "a..b", "a..", long + "a", strings.Join([]string{long, long, long, long[:62]}, ".")} {
		if b, ok := rr.AppendWire(nil, in); ok {
			t.Errorf("AppendWire(%q) = %q, want none", in, b)
		}
	}
	if got := rr.Raw("\x05a.b c\x03@;d"); got != `a\.b\032c.@;d` {
		t.Errorf("Raw: %q", got)
	}
}

func FuzzNames(f *testing.F) {
	f.Add("www.example.com")
	f.Add("a b\\.@\xff.x")
	f.Fuzz(func(t *testing.T, s string) {
		wire, ok := rr.AppendWire(nil, s)
		if !ok {
			return
		}
		if again, ok := rr.Wire(rr.Present(string(wire))); !ok || again != string(wire) {
			t.Fatalf("%q: %q is presented as %q, read as %q", s, wire, rr.Present(string(wire)), again)
		}
		for up := string(wire); up != ""; up = rr.Parent(up) {
			if len(up) > rr.MaxName {
				t.Fatalf("%q: %d octets", s, len(up))
			}
		}
		raw := rr.Raw(string(wire))
		if again, ok := rr.AppendWire(nil, raw); ok && !strings.Contains(raw, "\\") && string(again) != string(wire) {
			t.Fatalf("%q: raw %q is %q", s, raw, again)
		}
	})
}
