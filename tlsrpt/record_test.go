package tlsrpt_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/tlsrpt"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]*tlsrpt.Record{
		"v=TLSRPTv1;rua=mailto:reports@example.com":                       {RUA: []string{"mailto:reports@example.com"}}, // RFC 8460 §3.1.1
		"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt":         {RUA: []string{"https://reporting.example.com/v1/tlsrpt"}},
		"v=TLSRPTv1 ; rua=mailto:a@b.example , https://c.example/?x=%2C;": {RUA: []string{"mailto:a@b.example", "https://c.example/?x=%2C"}},
		"v=TLSRPTv1; x=y; rua=MAILTO:a@b;":                                {RUA: []string{"MAILTO:a@b"}, Extensions: []tlsrpt.Field{{Name: "x", Value: "y"}}},
		"v=TLSRPTv1; rua=a@b.example":                                     nil,
		"v=TLSRPTv1; rua=mailto:a":                                        nil,
		"v=TLSRPTv1; rua=mailto:@b":                                       nil,
		"v=TLSRPTv1; rua=mailto:a@b,":                                     nil,
		"v=TLSRPTv1; rua=http://a.example/":                               nil,
		"v=TLSRPTv1; rua=https:/a.example":                                nil,
		"v=TLSRPTv1; rua=https://":                                        nil,
		"v=TLSRPTv1; rua=https:///x":                                      nil,
		"v=TLSRPTv1; rua=mailto:a@b!10m":                                  nil,
		"v=TLSRPTv1; rua=mailto:a@b%2":                                    nil,
		"v=TLSRPTv1; rua=":                                                nil,
		"v=TLSRPTv1;":                                                     nil,
		"v=TLSRPTv1; rua=mailto:a@b; rua=mailto:c@d":                      nil,
		"v=TLSRPTv1; rua=mailto:a@b; stray":                               nil,
		"v=tlsrptv1; rua=mailto:a@b":                                      nil,
		"v=TLSRPTv1 rua=mailto:a@b":                                       nil,
		"":                                                                nil,
		"v=TLSRPTv1; rua=mailto:a@b;" + strings.Repeat(" ", 9000):         nil,
	} {
		got, err := tlsrpt.Parse(in)
		if (err == nil) != (want != nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(%.60q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
}

func TestLint(t *testing.T) {
	for in, want := range map[string]struct {
		codes   []string
		publish string
	}{
		"v=TLSRPTv1; rua=mailto:a@b":                  {},
		"v=TLSRPT1; rua=mailto:a@b":                   {[]string{"not-tlsrpt"}, ""},
		"v=TLSRPTv1;":                                 {[]string{"rua-missing"}, "v=TLSRPTv1; rua=mailto:tls-reports@example.com;"},
		"v=TLSRPTv1; rua=a@b.example":                 {[]string{"rua-bad"}, "v=TLSRPTv1; rua=mailto:a@b.example;"},
		"v=TLSRPTv1; rua=mailto:a@b,http://c":         {[]string{"rua-scheme"}, "v=TLSRPTv1; rua=mailto:a@b;"},
		"v=TLSRPTv1; rua=mailto:a@b; rua=https://c/d": {[]string{"rua-twice"}, "v=TLSRPTv1; rua=mailto:a@b,https://c/d;"},
		"v=TLSRPTv1; rua=mailto:a@b; ruf=x":           {[]string{"unknown"}, ""},
		"v=TLSRPTv1; rua=mailto:a@b; x y":             {[]string{"syntax"}, "v=TLSRPTv1; rua=mailto:a@b;"},
		"v=TLSRPTv1; " + strings.Repeat("x", 9000):    {[]string{"long"}, ""},
	} {
		var got []string
		publish := ""
		for _, f := range tlsrpt.Lint(in, "example.com") {
			got = append(got, strings.TrimPrefix(f.Code, "tlsrpt.lint."))
			if f.Publish != nil {
				publish = f.Publish.Value
			}
			for _, l := range locale.Langs {
				for _, code := range []string{f.Code, f.Code + ".why"} {
					if s := l.Text(code, f.Args); strings.Contains(s, "⟦") {
						t.Errorf("%s: %s", l, s)
					}
				}
			}
		}
		if !slices.Equal(got, want.codes) || publish != want.publish {
			t.Errorf("Lint(%.60q) = %v, publish %q, want %v", in, got, publish, want)
		}
	}
}

func TestLookup(t *testing.T) {
	z, err := dnstest.Parse(strings.NewReader(`
_smtp._tls.good.example TXT "v=TLSRPTv1; rua=mailto:a@b.example"
_smtp._tls.good.example TXT "other"
_smtp._tls.two.example TXT "v=TLSRPTv1; rua=mailto:a@b.example"
_smtp._tls.two.example TXT "v=TLSRPTv1; rua=mailto:c@b.example"
_smtp._tls.other.example TXT "v=spf1 -all"
_smtp._tls.slow.example TYPE65280 \# 0
`), "zone")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		record, absent, temporary bool
		findings                  int
	}{
		"good.example.": {record: true}, "two.example": {findings: 1},
		"other.example": {absent: true, findings: 1}, "none.example": {absent: true}, "slow.example": {temporary: true},
	} {
		f := tlsrpt.Lookup(context.Background(), z, name)
		if (f.Record != nil) != want.record || (f.Err == nil) != want.record || dns.Absent(f.Err) != want.absent || f.Temporary != want.temporary || len(f.Findings) != want.findings {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("v=TLSRPTv1;rua=mailto:reports@example.com,https://a.example/x?y=%20;x=y")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := tlsrpt.Parse(s)
		bad := false
		for _, x := range tlsrpt.Lint(s, "example.com") {
			bad = bad || x.Grade == explain.Error
			if x.Publish != nil {
				if _, err := tlsrpt.Parse(x.Publish.Value); err != nil {
					t.Fatalf("what to publish is wrong: %v", err)
				}
			}
		}
		if bad != (err != nil) {
			t.Fatalf("Parse says %v, Lint finds errors: %v", err, bad)
		}
		if err != nil {
			return
		}
		again, err := tlsrpt.Parse(r.String())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q: %+v, %v", r, again, err)
		}
	})
}

// TestLintMeant: a text that was meant as a record is put right.
func TestLintMeant(t *testing.T) {
	for txt, want := range map[string]string{
		"v=TLSRPTv1 rua=mailto:t@example.jp":  "v=TLSRPTv1; rua=mailto:t@example.jp;",
		"v=tlsrptv1; rua=mailto:t@example.jp": "v=TLSRPTv1; rua=mailto:t@example.jp;",
		"v=TLSRPTv1":                          "v=TLSRPTv1; rua=mailto:tls-reports@example.jp;",
		"v=spf1 -all":                         "",
	} {
		got := ""
		if all := tlsrpt.Lint(txt, "example.jp"); all[0].Publish != nil {
			got = all[0].Publish.Value
		}
		if got != want {
			t.Errorf("%q: publishes %q, want %q", txt, got, want)
		}
	}
}
