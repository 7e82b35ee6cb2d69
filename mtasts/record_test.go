package mtasts_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/mtasts"
)

var id32 = strings.Repeat("a1", 16)

func TestParse(t *testing.T) {
	for in, want := range map[string]*mtasts.Record{
		"v=STSv1; id=20160831085700Z;":      {ID: "20160831085700Z"}, // RFC 8461 §3.1
		"v=STSv1;id=1":                      {ID: "1"},
		"v=STSv1 \t;\t id=" + id32 + " ; ":  {ID: id32},
		"v=STSv1; x-y.z_1=a/b:c; id=2; x=1": {ID: "2", Extensions: []mtasts.Field{{Name: "x-y.z_1", Value: "a/b:c"}, {Name: "x", Value: "1"}}},
		"v=STSv1; id=" + id32 + "b;":        nil,
		"v=STSv1; id=a-b;":                  nil,
		"v=STSv1; id=;":                     nil,
		"v=STSv1; id=1; id=2;":              nil,
		"v=STSv1;":                          nil,
		"v=STSv1":                           nil,
		"v=STSv1 id=1":                      nil,
		"V=STSv1; id=1":                     nil,
		"v=stsv1; id=1":                     nil,
		"v=STSv11; id=1":                    nil,
		" v=STSv1; id=1":                    nil,
		"id=1; v=STSv1;":                    nil,
		"v=STSv1; id=1;;":                   nil,
		"v=STSv1; ID=1":                     nil,
		"v=STSv1; id =1":                    nil,
		"v=STSv1; id=1; v=STSv1":            nil,
		"v=STSv1; id=1; stray":              nil,
		"v=STSv1; id=1; a b=c":              nil,
		"v=STSv1; id=1; a=b=c":              nil,
		"v=STSv1; id=1; a=":                 nil,
		"":                                  nil,
		"v=STSv1; id=1;" + strings.Repeat(" ", 5000): nil,
	} {
		got, err := mtasts.Parse(in)
		if (err == nil) != (want != nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(%.60q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
}

// codes are the findings' codes, with what to publish after the first of it.
func codes(t *testing.T, all []explain.Finding) []string {
	t.Helper()
	var out []string
	for _, f := range all {
		out = append(out, strings.TrimPrefix(f.Code, "mtasts."))
		for _, l := range locale.Langs {
			for _, code := range []string{f.Code, f.Code + ".why"} {
				if s := l.Text(code, f.Args); strings.Contains(s, "⟦") {
					t.Errorf("%s: %s", l, s)
				}
			}
		}
		if f.Publish != nil {
			if _, err := mtasts.Parse(f.Publish.Value); err != nil {
				t.Errorf("%s: what to publish is wrong: %v", f.Code, err)
			}
		}
	}
	return out
}

func TestLint(t *testing.T) {
	for in, want := range map[string][]string{
		"v=STSv1; id=1;":                               nil,
		"v=stsv1; id=1;":                               {"lint.not-sts"},
		"v=STSv1;":                                     {"lint.id-missing"},
		"v=STSv1; id=2026-04-01;":                      {"lint.id-bad"},
		"v=STSv1; id=1; id=2":                          {"lint.id-twice"},
		"v=STSv1; id=1; rua=mailto:a@b":                {"lint.unknown"},
		"v=STSv1; id=1; mode: enforce":                 {"lint.syntax"},
		"v=STSv1; id=1" + strings.Repeat(";x=1", 2000): {"lint.long"},
	} {
		got := mtasts.Lint(in, "example.com")
		if c := codes(t, got); !slices.Equal(c, want) {
			t.Errorf("Lint(%.60q) = %v, want %v", in, c, want)
		}
		if _, err := mtasts.Parse(in); (err != nil) != slices.ContainsFunc(got, func(f explain.Finding) bool { return f.Grade == explain.Error }) {
			t.Errorf("%.60q: Parse says %v, Lint %v", in, err, got)
		}
	}
	f := mtasts.Lint("v=STSv1; id=2026-04-01; x=y", "example.com")
	if p := f[0].Publish; p == nil || *p != (explain.Publish{Name: "_mta-sts.example.com", Type: "TXT", Value: "v=STSv1; id=20260401; x=y;"}) {
		t.Errorf("publish %+v", p)
	}
	if c := codes(t, mtasts.LintAll([]string{"v=STSv1; id=1", "v=STSv1; id=2", "other"}, "a.example")); !slices.Equal(c, []string{"lint.several"}) {
		t.Errorf("several: %v", c)
	}
}

const policy = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n" // RFC 8461 §3.2

func TestPolicy(t *testing.T) {
	p, err := mtasts.ParsePolicy(policy)
	if err != nil || p.Mode != mtasts.Enforce || p.MaxAge != 7*24*time.Hour || !slices.Equal(p.MX, []string{"mail.example.com", "*.example.net", "backupmx.example.com"}) {
		t.Fatalf("%+v, %v", p, err)
	}
	for host, want := range map[string]bool{
		"mail.example.com": true, "MAIL.example.com.": true, "a.example.net": true, "A.EXAMPLE.NET": true,
		"example.net": false, "a.b.example.net": false, "x.mail.example.com": false, "": false, ".example.net": true,
	} {
		if host == ".example.net" {
			continue // no host
		}
		if p.Allows(host) != want {
			t.Errorf("Allows(%q) = %v", host, !want)
		}
	}
	none, err := mtasts.ParsePolicy("version: STSv1\nmode: none\nmax_age: 86400")
	if err != nil || none.Mode != mtasts.None {
		t.Errorf("none: %+v, %v", none, err)
	}
	for in, why := range map[string]string{
		"":                                       "no version",
		"version: STSv2\nmode: none\nmax_age: 1": "line 1",
		"version: STSv1\nmode: on\nmax_age: 1":   "line 2",
		"version: STSv1\nmode: enforce\nmax_age: 1":        "no mx",
		"version: STSv1\nmode: none\nmax_age: -1":          "line 3",
		"version: STSv1\nmode: none\nmax_age: 12345678901": "line 3",
		"version: STSv1\nmode: none\nmax_age:":             "line 3",
		"version: STSv1\nmax_age: 1\nmx: a":                "no mode",
		"version: STSv1\nmode: none\nmx: *":                "line 3",
		"version: STSv1\nmode: none\nmx: a.*.b":            "line 3",
		"version: STSv1\nmode: none\nmx: a..b":             "line 3",
		"version: STSv1\n\nmode: none\nmax_age: 1":         "line 2",
		"<html>\n":                       "line 1",
		strings.Repeat("mx: a\n", 20000): "octets long",
	} {
		if _, err := mtasts.ParsePolicy(in); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("ParsePolicy(%.60q): %v, want %s", in, err, why)
		}
	}
	twice, err := mtasts.ParsePolicy("version: STSv1\nmode: testing\nmode: enforce\nmx: a\nmax_age: 99999999\nx: y z\n\n")
	if err != nil || twice.Mode != mtasts.Testing || twice.MaxAge != mtasts.MaxAge || len(twice.Extensions) != 1 {
		t.Errorf("twice: %+v, %v", twice, err)
	}
}

func TestLintPolicy(t *testing.T) {
	for in, want := range map[string][]string{
		policy: {"policy.host-absent"},
		"version: STSv1\nmode: testing\nmx: *.example.org\nmax_age: 600\n": {"policy.testing", "policy.max-age-short"},
		"version: STSv1\nmode: testing\nmx: *.org\nmax_age: 604800\n":      {"policy.testing", "policy.host-absent-testing"},
		"version: STSv1\nmode: none\nmax_age: 99999999\nfoo: bar\n":        {"policy.none", "policy.max-age-long", "policy.unknown"},
		"version: 1\nmode: on\nmax_age: x\nmx: a b\nrubbish\n":             {"policy.version", "policy.mode", "policy.max-age", "policy.mx", "policy.syntax"},
		"version: STSv1\nmode: enforce\nmode: none\nmx: mx.example.org\n":  {"policy.twice", "policy.missing"},
		strings.Repeat("mx: a\n", 20000):                                   {"policy.long"},
	} {
		got := mtasts.LintPolicy(in, []string{"mx.example.org"})
		if c := codes(t, got); !slices.Equal(c, want) {
			t.Errorf("LintPolicy(%.60q) = %v, want %v", in, c, want)
		}
	}
}

func TestLookup(t *testing.T) {
	z, err := dnstest.Parse(strings.NewReader(`
_mta-sts.good.example TXT "v=STSv1; id=" "7"
_mta-sts.good.example TXT "other"
_mta-sts.two.example TXT "v=STSv1; id=1"
_mta-sts.two.example TXT "v=STSv1; id=2"
_mta-sts.bad.example TXT "v=STSv1; id=?"
_mta-sts.other.example TXT "v=spf1 -all"
_mta-sts.slow.example TYPE65280 \# 0
`), "zone")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		id        string
		absent    bool
		temporary bool
		findings  int
	}{
		"good.example.": {id: "7"}, "two.example": {findings: 1}, "bad.example": {findings: 1},
		"other.example": {absent: true, findings: 1}, "none.example": {absent: true}, "slow.example": {temporary: true},
	} {
		f := mtasts.Lookup(context.Background(), z, name)
		if (f.Record != nil) != (want.id != "") || f.Record != nil && f.Record.ID != want.id || (f.Err == nil) != (want.id != "") ||
			dns.Absent(f.Err) != want.absent || f.Temporary != want.temporary || len(f.Findings) != want.findings {
			t.Errorf("%s: %+v", name, f)
		}
		if want.temporary && !errors.Is(f.Err, dns.ErrTemporary) {
			t.Errorf("%s: %v", name, f.Err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;")
	f.Add("v=STSv1;id=1; x=y ;")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := mtasts.Parse(s)
		bad := slices.ContainsFunc(mtasts.Lint(s, "example.com"), func(f explain.Finding) bool { return f.Grade == explain.Error })
		if bad != (err != nil) {
			t.Fatalf("Parse says %v, Lint finds errors: %v", err, bad)
		}
		if err != nil {
			return
		}
		again, err := mtasts.Parse(r.String())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q: %+v, %v", r, again, err)
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	f.Add(policy)
	f.Add("version: STSv1\nmode: none\nmax_age: 0\nx: y\n")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := mtasts.ParsePolicy(s)
		bad := slices.ContainsFunc(mtasts.LintPolicy(s, nil), func(f explain.Finding) bool { return f.Grade == explain.Error })
		if bad != (err != nil) {
			t.Fatalf("ParsePolicy says %v, LintPolicy finds errors: %v", err, bad)
		}
		if err != nil {
			return
		}
		again, err := mtasts.ParsePolicy(p.String())
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%q: %+v, %v", p, again, err)
		}
	})
}

// TestLintMeant: a text that was meant as a record is put right.
func TestLintMeant(t *testing.T) {
	for txt, want := range map[string]string{
		"v=STSv1 id=2026-11-01": "v=STSv1; id=20261101;",
		"v=stsv1; id=7;":        "v=STSv1; id=7;",
		"v=spf1 -all":           "",
	} {
		got := ""
		if all := mtasts.Lint(txt, "example.jp"); all[0].Publish != nil {
			got = all[0].Publish.Value
		}
		if got != want {
			t.Errorf("%q: publishes %q, want %q", txt, got, want)
		}
	}
}
