package dmarc_test

import (
	"slices"
	"strings"
	"testing"

	"sekimori/dmarc"
	"sekimori/explain"
)

// TestLint: a record, the findings in their order, and what to publish instead
// of it; "" where the record can stay.
func TestLint(t *testing.T) {
	const rua = "; rua=mailto:d@example.jp"
	for _, tt := range []struct{ txt, codes, publish string }{
		{"v=DMARC1; p=reject" + rua, "", ""},
		{"v=DMARC1; p=reject" + rua + ";", "", ""},
		{"v=DMARC1;p=reject;rua=mailto:d@example.jp", "", ""},
		{"v=DMARC1; p=none" + rua, "p-none np", ""},
		{"v=DMARC1; p=quarantine; np=reject" + rua, "", ""},
		// The version.
		{"v=dmarc1; p=reject" + rua, "version-case", "v=DMARC1; p=reject" + rua},
		{"v=DMARC 1; p=reject" + rua, "version-space", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1 p=reject" + rua, "version-semicolon", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1, p=reject" + rua, "version-semicolon", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1p=reject" + rua, "version-semicolon", "v=DMARC1; p=reject" + rua},
		{"v=DMARC2; p=reject" + rua, "version-other", "v=DMARC1; p=reject" + rua},
		{"p=reject; v=DMARC1" + rua, "version-first", "v=DMARC1; p=reject" + rua},
		{"p=reject" + rua, "version-missing", "v=DMARC1; p=reject" + rua},
		{"V=DMARC1; P=reject" + rua, "case case", ""},
		// Traces of zone files, office programs and input methods.
		{`"v=DMARC1; p=reject` + rua + `"`, "quotes", "v=DMARC1; p=reject" + rua},
		{"“v=DMARC1; p=reject" + rua + "”", "not-ascii quotes", "v=DMARC1; p=reject" + rua},
		{`v=DMARC1\; p=reject\; rua=mailto:d@example.jp`, "backslash", "v=DMARC1; p=reject" + rua},
		{"ｖ＝ＤＭＡＲＣ１；　ｐ＝ｒｅｊｅｃｔ" + rua, "not-ascii", "v=DMARC1; p=reject" + rua},
		{"\ufeffv=DMARC1; p=reject" + rua, "not-ascii", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1;\u00a0p=reject" + rua, "not-ascii", "v=DMARC1; p=reject" + rua},
		{" v=DMARC1; p=reject" + rua, "space-first", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=reject rua=mailto:d@example.jp", "semicolon", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=reject, rua=mailto:d@example.jp", "semicolon", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=reject; reject" + rua, "stray", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=reject;;" + rua[2:], "empty", ""},
		{"v=DMARC1; p=reject" + rua + "; mailto:e@example.jp", "uri-semicolon", "v=DMARC1; p=reject" + rua + ",mailto:e@example.jp"},
		{"v=DMARC1; p=reject; 1x=2" + rua, "bad-name", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=reject; policy=x" + rua, "unknown", ""},
		// Policies.
		{"v=DMARC1; rua=mailto:d@example.jp", "p-missing-rua p-none np", "v=DMARC1; p=none" + rua},
		{"v=DMARC1", "p-missing rua-missing p-none np", "v=DMARC1; p=none; rua=mailto:dmarc-reports@example.jp"},
		{"v=DMARC1; p=rejected" + rua, "policy-value", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=monitor" + rua, "policy-value p-none np", "v=DMARC1; p=none" + rua},
		{"v=DMARC1; p=reject; sp=quarantaine" + rua, "policy-value np", "v=DMARC1; p=reject; sp=quarantine" + rua},
		{"v=DMARC1; p=reject; sp=none" + rua, "sp-weaker np", ""},
		{"v=DMARC1; p=reject; np=none" + rua, "np-weaker", "v=DMARC1; p=reject; np=reject" + rua},
		{"v=DMARC1; p=reject; p=none" + rua, "duplicate", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; adkim=s; p=reject" + rua, "p-second", ""},
		{"v=DMARC1; p=reject; t=y" + rua, "testing", ""},
		{"v=DMARC1; p=none; np=none; t=y" + rua, "testing-none p-none", "v=DMARC1; p=none; np=none" + rua},
		{"v=DMARC1; p=reject; psd=y" + rua, "psd", ""},
		{"v=DMARC1; p=reject; psd=y; ruf=mailto:f@example.jp" + rua, "psd-ruf psd", "v=DMARC1; p=reject" + rua + "; psd=y"},
		{"v=DMARC1; p=reject; psd=n" + rua, "", ""},
		// Values and what is abolished.
		{"v=DMARC1; p=reject; adkim=strict; t=1; psd=x" + rua, "value value value", "v=DMARC1; p=reject; adkim=s" + rua},
		{"v=DMARC1; p=none; sp=" + rua, "policy-value p-none np", "v=DMARC1; p=none; sp=none" + rua},
		{"v=DMARC1; p=reject; pct=100; rf=afrf; ri=86400" + rua, "historic historic historic", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=reject; pct=20" + rua, "pct", "v=DMARC1; p=reject" + rua + "; t=y; pct=20"},
		{"v=DMARC1; p=reject; t=y; pct=20" + rua, "testing", ""}, // as advised
		{"v=DMARC1; p=none; rua=mailto:d@example.jp; pct=100; t=y", "testing-none historic p-none np", "v=DMARC1; p=none; rua=mailto:d@example.jp"},
		{"v=DMARC1; p=reject; pct=0" + rua, "pct-zero", "v=DMARC1; p=reject" + rua + "; t=y; pct=0"},
		{"v=DMARC1; p=none; pct=20" + rua, "historic p-none np", ""},
		{"v=DMARC1; p=reject; fo=1" + rua, "fo-unused", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=reject; fo=2; ruf=mailto:f@example.jp" + rua, "value ruf", "v=DMARC1; p=reject" + rua + "; ruf=mailto:f@example.jp"},
		// Destinations.
		{"v=DMARC1; p=reject", "rua-missing", "v=DMARC1; p=reject; rua=mailto:dmarc-reports@example.jp"},
		{"v=DMARC1; p=reject; rua=d@example.jp", "uri-mailto rua-invalid", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=reject; rua=mailto://d@example.jp", "uri rua-invalid", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=reject; rua=mailto: d@example.jp", "uri rua-invalid", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=reject; rua=mailto:a!b@example.jp", "uri-bang rua-invalid", "v=DMARC1; p=reject; rua=mailto:a%21b@example.jp"},
		{"v=DMARC1; p=reject; rua=mailto:d@example.jp!10m", "uri-size", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=reject; rua=mailto:d@example.jp,", "uri-empty", "v=DMARC1; p=reject" + rua},
		{"v=DMARC1; p=reject; rua=https://example.jp/r", "uri-scheme", ""},
		{"v=DMARC1; p=reject; rua=mailto:d@example.jp,mailto:e@mail.example.jp,mailto:f@example.jp", "uri-many", ""},
		{"v=DMARC1; p=reject; rua=mailto:d@reports.example", "uri-external", ""},
		{"v=DMARC1; p=reject; rua=", "uri-empty rua-invalid", ""},
		{"v=DMARC1; p=reject; rua=mailto:" + strings.Repeat("a", 60) + "@example.jp,mailto:" + strings.Repeat("b", 60) + "@example.jp,mailto:" + strings.Repeat("c", 60) + "@example.jp,mailto:" + strings.Repeat("d", 60) + "@example.jp;;",
			"uri-many empty split", ""},
		{"v=DMARC1; p=reject; x=a\x01b" + rua, "octet unknown", ""},
		{"v=DMARC1; p=reject; t=yes; psd=no; aspf=Strict" + rua, "value value value", "v=DMARC1; p=reject; aspf=s" + rua + "; psd=n; t=y"},
		{"v=\u00adDMARC1; p=‐reject、rua=mailto:d@example.jp", "not-ascii policy-value semicolon", "v=DMARC1; p=reject" + rua},
		// Something else.
		{"v=spf1 -all", "not-dmarc", "v=DMARC1; p=none; rua=mailto:dmarc-reports@example.jp"},
		{"", "not-dmarc", "v=DMARC1; p=none; rua=mailto:dmarc-reports@example.jp"},
		{"v=DMARC1;" + strings.Repeat(" ", 17000), "long", ""},
	} {
		got := dmarc.Lint(tt.txt, "example.jp")
		var codes []string
		grades := map[explain.Grade]int{explain.Error: 0, explain.Warning: 1, explain.Advice: 2}
		last := 0
		publish := ""
		for _, f := range got {
			codes = append(codes, strings.TrimPrefix(f.Code, "dmarc.lint."))
			if grades[f.Grade] < last {
				t.Errorf("%q: %s stands behind a lesser finding", tt.txt, f.Code)
			}
			last = grades[f.Grade]
			if f.Publish != nil && f.Publish.Name == "_dmarc.example.jp" && f.Code != "dmarc.lint.np" {
				publish = f.Publish.Value
			}
		}
		// The order between grades is checked above; the rest as a set.
		want := strings.Fields(tt.codes)
		a, b := slices.Sorted(slices.Values(codes)), slices.Sorted(slices.Values(want))
		if !slices.Equal(a, b) {
			t.Errorf("%q: findings %v, want %v", clipped(tt.txt), codes, want)
		}
		if tt.publish != "" && publish != tt.publish {
			t.Errorf("%q: publish\n%q, want\n%q", clipped(tt.txt), publish, tt.publish)
		}
		// What is advised has no error, and nothing to mend.
		if publish != "" {
			if again, err := dmarc.Parse(publish); err != nil || again.String() != publish {
				t.Errorf("%q: what is advised, %q, is not as Parse has it: %v", clipped(tt.txt), publish, err)
			}
			for _, f := range dmarc.Lint(publish, "example.jp") {
				if f.Grade == explain.Error {
					t.Errorf("%q: what is advised, %q, has itself %s", clipped(tt.txt), publish, f.Code)
				}
			}
		}
	}
}

func clipped(s string) string { return s[:min(len(s), 100)] }

func TestLintAll(t *testing.T) {
	const good = "v=DMARC1; p=reject; rua=mailto:d@example.jp"
	codes := func(f []explain.Finding) string {
		var s []string
		for _, x := range f {
			s = append(s, strings.TrimPrefix(x.Code, "dmarc.lint."))
		}
		return strings.Join(s, " ")
	}
	for _, tt := range []struct {
		txts []string
		want string
	}{
		{nil, ""},
		{[]string{good}, ""},
		{[]string{good, good}, "several"},
		{[]string{good, "v=spf1 -all"}, "other-text"},
		{[]string{"v=spf1 -all", "google-site-verification=x"}, "not-dmarc not-dmarc"},
		{[]string{"v=dmarc1; p=reject; rua=mailto:d@example.jp"}, "version-case"},
	} {
		if got := codes(dmarc.LintAll(tt.txts, "example.jp")); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.txts, got, tt.want)
		}
	}
	// A name below the organizational domain.
	if got := codes(dmarc.Lint("v=DMARC1; p=reject; sp=reject; rua=mailto:d@example.jp", "mail.example.jp")); got != "sp-unused" {
		t.Errorf("subdomain: %s", got)
	}
	// The consent to publish elsewhere.
	f := dmarc.Lint("v=DMARC1; p=reject; rua=mailto:d@reports.example", "example.jp")
	if len(f) != 1 || f[0].Publish == nil || f[0].Publish.Name != "example.jp._report._dmarc.reports.example" {
		t.Errorf("external: %+v", f)
	}
}
