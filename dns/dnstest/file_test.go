package dnstest_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/internal/require"
)

func parse(t testing.TB, file string) *dnstest.Zone {
	t.Helper()
	z, err := dnstest.Parse(strings.NewReader(file), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestByHand reads what files written by hand, or made from test suites, hold.
func TestByHand(t *testing.T) {
	long := strings.Repeat("x", 700)
	z := parse(t, "\ufeffa.example TXT\n"+
		"b.example 60 IN TXT ; nothing\n"+
		"c.example TXT TXT\n"+
		"\tTXT \"two\"\n"+
		"d.example.\tTXT \""+long+"\"\n"+
		"e.example. TXT \""+strings.Repeat(`\065`, 300)+"\"\n"+
		`f.example. TXT "v=spf1 a:\195\169\000\010" "\"\\"`+"\n"+
		"g.example. SPF \"v=spf1 -all\"\nh.example. TYPE99 \\# 5 0461626364\n"+
		"h.example. TYPE65280 \\# 0\n"+
		"macro%percent\\032\\032space%20url-space.example.com. A 192.0.2.1\n"+
		"foo:bar/baz.example. 4294967295 A 192.0.2.2\n"+
		"\\@\\;\\\"x\\(.example. A 192.0.2.3\ncafé.example. A 192.0.2.4\n"+
		"\\064y.example. A 192.0.2.5\n"+
		"i.example. 0 TXT \"semi;colon\" ; comment \"\n"+
		"j.example. MX 0 .\nk.example. CNAME .\nl.example. TXT plain=word\r\n"+
		"m.example. TXT ( \"over\" ; TXT\n  \"lines\"\n )\n"+
		"n.example TXT")
	for _, c := range []struct {
		name string
		typ  dns.Type
		want string // of the only record; "-" for no data, "!" for failure
	}{
		{"a.example", dns.TXT, ""}, {"b.example", dns.TXT, ""}, {"n.example", dns.TXT, ""},
		{"d.example", dns.TXT, long}, {"e.example", dns.TXT, strings.Repeat("A", 300)},
		{"f.example", dns.TXT, "v=spf1 a:é\x00\n\"\\"},
		{"g.example", dns.TXT, "-"}, {"h.example", dns.TXT, "!"},
		{"macro%percent  space%20url-space.EXAMPLE.com", dns.A, "192.0.2.1"},
		{"foo:bar/baz.example.", dns.A, "192.0.2.2"},
		{"@;\"x(.example", dns.A, "192.0.2.3"}, {"café.example", dns.A, "192.0.2.4"}, {"@Y.example", dns.A, "192.0.2.5"},
		{"i.example", dns.TXT, "semi;colon"}, {"j.example", dns.MX, "0 ."}, {"k.example", dns.A, "-"},
		{"l.example", dns.TXT, "plain=word"}, {"m.example", dns.TXT, "overlines"},
	} {
		a, err := z.Lookup(context.Background(), c.name, c.typ)
		switch {
		case c.want == "-" && errors.Is(err, dns.ErrNoData) || c.want == "!" && errors.Is(err, dns.ErrTemporary):
		case err != nil:
			t.Error(err)
		case len(a.Records) != 1 || a.Records[0] != c.want:
			t.Errorf("%s: %.80q, want %.80q", c.name, a.Records, c.want)
		}
	}
	if a, err := z.Lookup(context.Background(), "c.example", dns.TXT); err != nil || !reflect.DeepEqual(a.Records, []string{"TXT", "two"}) {
		t.Errorf("c.example: %q, %v", a.Records, err)
	}
	for _, name := range []string{"", "a..example", ".a.example", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "example", `\@;\"x(.example`} {
		if _, err := z.Lookup(context.Background(), name, dns.A); !errors.Is(err, dns.ErrNameNotFound) {
			t.Errorf("%q: %v, want no such name", name, err)
		}
	}
}

func TestLines(t *testing.T) {
	_, err := dnstest.Parse(strings.NewReader("a TXT\nb TXT ;c\nc TXT\n\nd. A 1.2.3\n"), "zone")
	if err == nil || !strings.HasPrefix(err.Error(), "zone:5: ") {
		t.Errorf("error %v, want one of line 5", err)
	}
}

// TestMarkers checks who fails beside records, for which types, and how.
func TestMarkers(t *testing.T) {
	z := parse(t, `$ORIGIN example.
part TXT "v=spf1 -all"
part TYPE65280 \# 0
bogus TYPE65280 \# 2 0006
notxt TXT "x"
notxt A 192.0.2.1
notxt TYPE65280 \# 4 00170010
`)
	for _, c := range []struct {
		name     string
		typ      dns.Type
		err      error
		security dns.Security
		code     uint16
	}{
		{"part.example", dns.TXT, nil, "", 0},
		{"part.example", dns.A, dns.ErrTemporary, "", 0},
		{"bogus.example", dns.A, dns.ErrTemporary, dns.Bogus, 6},
		{"notxt.example", dns.A, nil, "", 0},
		{"notxt.example", dns.MX, dns.ErrNoData, "", 0},
		{"notxt.example", dns.TXT, dns.ErrTemporary, "", 23},
	} {
		a, err := z.Lookup(context.Background(), c.name, c.typ)
		code := uint16(0)
		if len(a.Extended) > 0 {
			code = a.Extended[0].Code
		}
		if !errors.Is(err, c.err) || a.Security != c.security || code != c.code {
			t.Errorf("%s %s: %+v, %v", c.name, c.typ, a, err)
		}
	}
	for _, s := range []string{`a. TYPE65280 \# 1 00`, `a. TYPE65280 \# 6 000000000000`} {
		if _, err := dnstest.Parse(strings.NewReader(s), "zone"); err == nil {
			t.Errorf("%s: no error", s)
		}
	}
}

func TestSecurity(t *testing.T) {
	z := parse(t, `$ORIGIN example.
signed NS ns.signed
signed DS 1 13 2 00
signed MX 10 mx.signed
mx.signed A 192.0.2.1
sub.signed NS ns.sub.signed
a.sub.signed A 192.0.2.2
plain NS ns.plain
plain A 192.0.2.3
to.signed CNAME plain
in.signed CNAME mx.signed
out.signed CNAME a.sub.signed
*.w.signed A 192.0.2.4
`)
	for name, want := range map[string]dns.Security{
		"mx.signed": dns.Secure, "in.signed": dns.Secure, "x.w.signed": dns.Secure, "none.signed": dns.Secure, "signed": dns.Secure,
		"a.sub.signed": dns.Insecure, "sub.signed": dns.Insecure, "out.signed": dns.Insecure,
		"plain": dns.Unknown, "to.signed": dns.Unknown, "none": dns.Unknown, "x.plain": dns.Unknown,
	} {
		a, _ := z.Lookup(context.Background(), name+".example", dns.A)
		if a.Security != want {
			t.Errorf("%s: %q, want %q", name, a.Security, want)
		}
	}
	for name, want := range map[string]dns.Security{"signed": dns.Secure, "sub.signed": dns.Secure, "mx.signed": dns.Secure, "a.sub.signed": dns.Insecure, "plain": dns.Unknown} {
		if a, _ := z.Lookup(context.Background(), name+".example", dns.DS); a.Security != want {
			t.Errorf("DS of %s: %q, want %q", name, a.Security, want)
		}
	}
	if a, err := z.Lookup(context.Background(), "in.signed.example", dns.A); err != nil || a.Name != "mx.signed.example" {
		t.Errorf("the alias ends at %q, %v", a.Name, err)
	}
	if a, _ := z.Lookup(context.Background(), "mx.signed.example", dns.A); a.Name != "" {
		t.Errorf("without an alias: %q", a.Name)
	}
}

// TestFoundFiles reads zone files of other software and of the simulated
// organisations.
func TestFoundFiles(t *testing.T) {
	for _, p := range [][]string{
		{"auth-authentication-milter", "zonefile"}, {"auth-authentication-milter", "bimi.zonefile"},
		{"worlds", "1", "zone"}, {"worlds", "2", "zone"},
	} {
		if _, err := dnstest.Open(require.Data(t, p...)); err != nil {
			t.Error(err)
		}
	}
	z, err := dnstest.Open(require.Data(t, "auth-authentication-milter", "zonefile"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{
		"example.com": 2, "_domainkey.goestheweasel.com": 1, "tfe2._domainkey.marcbradshaw.net": 1, "20130820._domainkey.1e100.net": 1,
	} {
		if a, err := z.Lookup(context.Background(), name, dns.TXT); err != nil || len(a.Records) != want {
			t.Errorf("%s: %d records, %v, want %d", name, len(a.Records), err, want)
		}
	}
}

func TestLookupAllocations(t *testing.T) {
	z := parse(t, file)
	ctx := context.Background()
	for _, c := range []struct {
		name string
		most float64
	}{{"mx.Example.com", 0}, {"www.example.com", 0}, {"example.com", 1}, {"none.example.com", 1}} {
		if n := testing.AllocsPerRun(100, func() { _, _ = z.Lookup(ctx, c.name, dns.A) }); n > c.most {
			t.Errorf("%s: %v allocations, want at most %v", c.name, n, c.most)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	z := parse(b, file)
	ctx := context.Background()
	for _, c := range []struct{ name, q string }{{"hit", "example.com"}, {"alias", "www.example.com"}, {"absent", "selector._domainkey.none.example.org"}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = z.Lookup(ctx, c.q, dns.MX)
			}
		})
	}
}
