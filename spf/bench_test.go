package spf_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	blitiri "blitiri.com.ar/go/spf"

	"sekimori/dns"
	"sekimori/spf"
)

// answers is a resolver of ready answers, as a warm cache is one.
type answers map[string][]string

func (a answers) Lookup(_ context.Context, name string, t dns.Type) (dns.Answer, error) {
	if r, ok := a[name]; ok && t == dns.TXT {
		return dns.Answer{Records: r}, nil
	}
	if t == dns.A {
		if r, ok := a["A "+name]; ok {
			return dns.Answer{Records: r}, nil
		}
	}
	return dns.Answer{}, dns.ErrNameNotFound
}

func (a answers) LookupTXT(_ context.Context, name string) ([]string, error) {
	if r, ok := a[name]; ok {
		return r, nil
	}
	return nil, &net.DNSError{IsNotFound: true}
}
func (a answers) LookupMX(context.Context, string) ([]*net.MX, error) {
	return nil, &net.DNSError{IsNotFound: true}
}
func (a answers) LookupAddr(context.Context, string) ([]string, error) {
	return nil, &net.DNSError{IsNotFound: true}
}
func (a answers) LookupIPAddr(_ context.Context, name string) ([]net.IPAddr, error) {
	r, ok := a["A "+name]
	if !ok {
		return nil, &net.DNSError{IsNotFound: true}
	}
	var out []net.IPAddr
	for _, s := range r {
		out = append(out, net.IPAddr{IP: net.ParseIP(s)})
	}
	return out, nil
}

var benchZone = answers{
	"example.com":       {"google-site-verification=abcdefg", "v=spf1 ip4:192.0.2.0/24 include:_spf.example.net -all"},
	"_spf.example.net":  {"v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 ip6:2001:db8::/32 ~all"},
	"big.example.com":   {"v=spf1 mx a:www.example.com include:_spf1.example.net include:_spf2.example.net include:_spf3.example.net -all"},
	"A www.example.com": {"192.0.2.80"},
	"_spf1.example.net": {"v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 ip4:192.0.2.3 ip4:192.0.2.4 ip4:192.0.2.5 ip4:192.0.2.6 ip4:192.0.2.7 ip4:192.0.2.8 ~all"},
	"_spf2.example.net": {"v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 ip4:192.0.2.3 ip4:192.0.2.4 ip4:192.0.2.5 ip4:192.0.2.6 ip4:192.0.2.7 ip4:192.0.2.8 ~all"},
	"_spf3.example.net": {"v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 ip4:192.0.2.3 ip4:192.0.2.4 ip4:192.0.2.5 ip4:192.0.2.6 ip4:203.0.113.0/24 ~all"},
}

func benchmarkVerify(b *testing.B, from string, cache *spf.Cache) {
	v := spf.Verifier{Resolver: benchZone, Cache: cache}
	in := spf.Input{IP: netip.MustParseAddr("203.0.113.7"), Helo: "mx.example.com", MailFrom: from}
	b.ReportAllocs()
	for b.Loop() {
		if r := v.Verify(context.Background(), in); r.Status != spf.Pass {
			b.Fatal(r.Status, r.Err)
		}
	}
}

// BenchmarkVerify is the common case: a network and an include, with the DNS
// answers at hand.
func BenchmarkVerify(b *testing.B) { benchmarkVerify(b, "user@example.com", &spf.Cache{}) }

// BenchmarkVerifyUncached parses the records each time.
func BenchmarkVerifyUncached(b *testing.B) { benchmarkVerify(b, "user@example.com", nil) }

// BenchmarkVerifyLarge is a record with mx, a, and three includes.
func BenchmarkVerifyLarge(b *testing.B) { benchmarkVerify(b, "user@big.example.com", &spf.Cache{}) }

func benchmarkBlitiri(b *testing.B, from string) {
	ip := net.ParseIP("203.0.113.7")
	b.ReportAllocs()
	for b.Loop() {
		if r, err := blitiri.CheckHostWithSender(ip, "mx.example.com", from, blitiri.WithResolver(benchZone)); r != blitiri.Pass {
			b.Fatal(r, err)
		}
	}
}

// BenchmarkBlitiri does the same work with blitiri.com.ar/go/spf.
func BenchmarkBlitiri(b *testing.B)      { benchmarkBlitiri(b, "user@example.com") }
func BenchmarkBlitiriLarge(b *testing.B) { benchmarkBlitiri(b, "user@big.example.com") }

func BenchmarkParse(b *testing.B) {
	txt := "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a mx:mail.example.com/28 include:_spf.example.net exists:%{i}._spf.%{d2} redirect=example.org"
	b.SetBytes(int64(len(txt)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := spf.Parse(txt); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLint(b *testing.B) {
	txt := "v=spf1 " + strings.Repeat("ip4:192.0.2.1 ", 40) + "include:_spf.example.net ~all"
	b.ReportAllocs()
	for b.Loop() {
		spf.Lint(txt, "example.com")
	}
}
