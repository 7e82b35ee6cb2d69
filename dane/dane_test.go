package dane_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"sekimori/dane"
	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/explain"
	"sekimori/internal/locale"
)

var sha256 = strings.Repeat("ab", 32)

func TestParse(t *testing.T) {
	for in, want := range map[string]struct {
		out    string
		usable bool
	}{
		"3 1 1 " + sha256: {"3 1 1 " + sha256, true},
		"2  0\t1 " + strings.ToUpper(sha256[:20]) + " " + sha256[20:]: {"2 0 1 " + sha256, true},
		"3 1 2 " + sha256 + sha256:                                    {"3 1 2 " + sha256 + sha256, true},
		"3 0 0 30820122":                                              {"3 0 0 30820122", true},
		"1 1 1 " + sha256:                                             {"1 1 1 " + sha256, false},
		"0 0 1 " + sha256:                                             {"0 0 1 " + sha256, false},
		"4 1 1 " + sha256:                                             {"4 1 1 " + sha256, false},
		"3 2 1 " + sha256:                                             {"3 2 1 " + sha256, false},
		"3 1 3 " + sha256:                                             {"3 1 3 " + sha256, false},
		"255 255 255 00":                                              {"255 255 255 00", false},
		"3 1 1 " + sha256 + "00":                                      {"3 1 1 " + sha256 + "00", false},
		"3 1 2 " + sha256:                                             {"3 1 2 " + sha256, false},
		"3 1 1":                                                       {},
		"3 1 1 ":                                                      {},
		"3 1 1 abc":                                                   {},
		"3 1 1 xx":                                                    {},
		"256 1 1 ab":                                                  {},
		"-1 1 1 ab":                                                   {},
		"+3 1 1 ab":                                                   {},
		"":                                                            {},
		"3 1 1 " + strings.Repeat("00", 1<<18):                        {},
	} {
		r, err := dane.Parse(in)
		if (err == nil) != (want.out != "") || err == nil && (r.String() != want.out || r.Usable() != want.usable) {
			t.Errorf("Parse(%.40q) = %v, %v, want %+v", in, r, err, want)
		}
	}
}

func worded(t *testing.T, s explain.Step, why bool) {
	t.Helper()
	for _, l := range locale.Langs {
		if text := l.Step(s); strings.Contains(text, "⟦") {
			t.Errorf("%s: %s", l, text)
		}
		if why && strings.Contains(l.Text(s.Code+".why", s.Args), "⟦") {
			t.Errorf("%s: %s", l, l.Text(s.Code+".why", s.Args))
		}
	}
	for _, c := range s.Children {
		worded(t, c, why)
	}
}

func TestLint(t *testing.T) {
	for in, want := range map[string]struct {
		codes   []string
		publish string
	}{
		"3 1 1 " + sha256: {},
		"2 0 1 " + sha256: {},
		"3 0 1 " + sha256: {[]string{"certificate"}, ""},
		"3 1 0 30820122":  {[]string{"full"}, ""},
		"1 1 1 " + sha256: {[]string{"pkix", "none-usable"}, "3 1 1 " + sha256},
		"0 0 1 " + sha256: {[]string{"pkix", "none-usable"}, "2 0 1 " + sha256},
		"4 1 1 " + sha256: {[]string{"usage", "none-usable"}, ""},
		"3 7 1 " + sha256: {[]string{"selector", "none-usable"}, ""},
		"3 1 7 " + sha256: {[]string{"matching", "none-usable"}, ""},
		"3 1 2 " + sha256: {[]string{"length", "none-usable"}, ""},
		"3 1 1":           {[]string{"syntax", "none-usable"}, ""},
	} {
		var got []string
		publish := ""
		for _, f := range dane.Lint(in, "mx.example.com.") {
			got = append(got, strings.TrimPrefix(f.Code, "dane.lint."))
			worded(t, f.Step, true)
			if f.Publish != nil {
				publish = f.Publish.Value
				if f.Publish.Name != "_25._tcp.mx.example.com" || f.Publish.Type != "TLSA" {
					t.Errorf("publish %+v", f.Publish)
				}
			}
		}
		if !slices.Equal(got, want.codes) || publish != want.publish {
			t.Errorf("Lint(%q) = %v, publish %q, want %v", in, got, publish, want)
		}
	}
	if f := dane.LintAll([]string{"3 1 1 " + sha256, "1 1 1 " + sha256}, "mx.example.com"); len(f) != 1 || f[0].Code != "dane.lint.pkix" {
		t.Errorf("one usable: %v", f)
	}
	if f := dane.LintAll(nil, "mx.example.com"); f != nil {
		t.Errorf("none: %v", f)
	}
}

func TestLookup(t *testing.T) {
	z, err := dnstest.Parse(strings.NewReader(strings.ReplaceAll(`$ORIGIN example.
good DS 1 13 2 00
good MX 20 b.good
good MX 10 a.good
a.good A 192.0.2.1
_25._tcp.a.good TLSA 3 1 1 HASH
b.good AAAA 2001:db8::1
_25._tcp.b.good TLSA 1 1 1 HASH
_25._tcp.b.good TLSA 2 0 1 HASH

mixed DS 1 13 2 00
mixed MX 10 none.mixed
mixed MX 10 unusable.mixed
mixed MX 10 host.plain
mixed MX 10 noaddress.mixed
mixed MX 10 bogus.mixed
mixed MX 10 slow.mixed
none.mixed A 192.0.2.1
unusable.mixed A 192.0.2.1
_25._tcp.unusable.mixed TLSA 1 1 1 HASH
noaddress.mixed TXT x
bogus.mixed A 192.0.2.1
_25._tcp.bogus.mixed TYPE65280 \# 2 0006
slow.mixed TYPE65280 \# 0

example. DS 1 13 2 00
plain NS ns.plain
plain MX 10 host.plain
host.plain A 192.0.2.2
_25._tcp.host.plain TLSA 3 1 1 HASH

alias DS 1 13 2 00
alias MX 10 mx.alias
alias MX 20 mx2.alias
alias MX 30 mx3.alias
mx.alias CNAME a.good
mx2.alias CNAME none.mixed
_25._tcp.mx2.alias TLSA 3 1 1 HASH
mx3.alias CNAME host.plain
_25._tcp.mx3.alias TLSA 3 1 1 HASH

nomx DS 1 13 2 00
nomx A 192.0.2.3
_25._tcp.nomx TLSA 3 1 1 HASH
null DS 1 13 2 00
null MX 0 .
fails TYPE65280 \# 0
unknown.test. MX 10 mx.unknown.test.
unknown.test. MX 10 mx2.unknown.test.
mx.unknown.test. A 192.0.2.4
mx2.unknown.test. A 192.0.2.4
_25._tcp.mx.unknown.test. TLSA 3 1 1 HASH
`, "HASH", sha256)), "zone")
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]struct {
		hosts     []string // state of the hosts in order, and their base where it is another name
		protected bool
		temporary bool
	}{
		"good.example.": {hosts: []string{"a.good authenticated", "b.good authenticated"}, protected: true},
		"mixed.example": {hosts: []string{"none.mixed opportunistic", "unusable.mixed encrypted", "host.plain opportunistic",
			"noaddress.mixed unreachable", "bogus.mixed deferred", "slow.mixed deferred"}},
		"plain.example": {hosts: []string{"host.plain opportunistic"}},
		"alias.example": {hosts: []string{"mx.alias authenticated a.good.example", "mx2.alias authenticated", "mx3.alias authenticated"}, protected: true},
		"nomx.example":  {hosts: []string{"nomx authenticated"}, protected: true},
		"null.example":  {},
		"fails.example": {temporary: true},
		"unknown.test":  {hosts: []string{"mx.unknown.test unclear", "mx2.unknown.test opportunistic"}},
	} {
		f := dane.Lookup(context.Background(), z, domain)
		var got []string
		for _, h := range f.Hosts {
			s := strings.TrimSuffix(h.Name, ".example") + " " + string(h.State)
			if h.Base != "" && h.Base != h.Name {
				s += " " + h.Base
			}
			got = append(got, s)
		}
		if !slices.Equal(got, want.hosts) || f.Protected() != want.protected || f.Temporary != want.temporary || want.temporary != (f.Err != nil && !dns.Absent(f.Err)) {
			t.Errorf("%s: %q, protected %v, temporary %v, %v", domain, got, f.Protected(), f.Temporary, f.Err)
		}
		if len(f.Steps) == 0 {
			t.Errorf("%s: nothing is explained", domain)
		}
		for _, s := range f.Steps {
			worded(t, s, false)
		}
	}
	if h := dane.LookupHost(context.Background(), z, "a.good.example.", dns.Bogus); h.State != dane.Deferred {
		t.Errorf("bogus MX: %+v", h)
	}
}

// TestManyHosts bounds the questions.
func TestManyHosts(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		b.WriteString("many.example. MX " + string(rune('1'+i%9)) + " h" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + ".example.\n")
	}
	z, err := dnstest.Parse(strings.NewReader(b.String()), "zone")
	if err != nil {
		t.Fatal(err)
	}
	if f := dane.Lookup(context.Background(), z, "many.example"); len(f.Hosts) != 20 {
		t.Errorf("%d hosts", len(f.Hosts))
	}
}

func FuzzParse(f *testing.F) {
	f.Add("3 1 1 " + sha256)
	f.Add("2 0\t0 30 82")
	f.Fuzz(func(t *testing.T, s string) {
		findings := dane.Lint(s, "mx.example.com")
		r, err := dane.Parse(s)
		if err != nil {
			if len(findings) == 0 || findings[0].Code != "dane.lint.syntax" {
				t.Fatalf("%v, but %v", err, findings)
			}
			return
		}
		again, err := dane.Parse(r.String())
		if err != nil || *again != *r {
			t.Fatalf("%q: %+v, %v", r, again, err)
		}
		bad := slices.ContainsFunc(findings, func(f explain.Finding) bool { return f.Grade == explain.Error })
		if bad == r.Usable() {
			t.Fatalf("usable %v, findings %v", r.Usable(), findings)
		}
	})
}
