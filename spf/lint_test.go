package spf_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/spf"
)

// checkWords holds findings to their sentences: in both languages, with a
// reason, and with every placeholder filled.
func checkWords(t testing.TB, name string, all []explain.Finding) {
	t.Helper()
	for _, f := range all {
		for _, l := range locale.Langs {
			for _, code := range []string{f.Code, f.Code + ".why"} {
				if s := l.Text(code, f.Args); strings.Contains(s, "⟦") || s == "" {
					t.Errorf("%s: %s: %s", name, l, s)
				}
			}
		}
		if f.Grade != explain.Error && f.Grade != explain.Warning && f.Grade != explain.Advice {
			t.Errorf("%s: %s: grade %q", name, f.Code, f.Grade)
		}
		checkSteps(t, name, []explain.Step{f.Step})
	}
}

// codes are the codes of findings, without their room.
func codes(all []explain.Finding) []string {
	out := []string{}
	for _, f := range all {
		out = append(out, strings.TrimPrefix(f.Code, "spf."))
	}
	return out
}

// better is the record to publish instead, "" where no finding has one.
func better(t testing.TB, all []explain.Finding) string {
	value := ""
	for _, f := range all {
		if f.Publish == nil {
			continue
		}
		if value != "" && value != f.Publish.Value {
			t.Errorf("two records to publish: %q and %q", value, f.Publish.Value)
		}
		value = f.Publish.Value
	}
	return value
}

func TestLint(t *testing.T) {
	for _, c := range []struct {
		in     string
		codes  string
		better string
	}{
		{"v=spf1 -all", "", ""},
		{"v=spf1 mx include:_spf.example.net ~all", "", ""},
		{"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a:mail.example.com -all", "", ""},
		{"v=spf1 redirect=_spf.example.com", "", ""},
		{"v=spf1 exists:%{i}._spf.%{d} -all ra=postmaster", "", ""},
		{"v=spf1 -all exp=why.example.com", "", ""},

		{"V=SPF1 mx -all", "lint.version-case", "v=spf1 mx -all"},
		{"v=spf1", "lint.no-all", "v=spf1 ~all"},
		{"v=spf1 mx", "lint.no-all", "v=spf1 mx ~all"},
		{"v=spf1 mx +all", "lint.plus-all", "v=spf1 mx ~all"},
		{"v=spf1 mx all", "lint.plus-all", "v=spf1 mx ~all"},
		{"v=spf1 mx ?all", "lint.neutral-all", "v=spf1 mx ~all"},
		{"v=spf1 mx -all a ip4:192.0.2.1", "lint.after-all lint.after-all", "v=spf1 mx a ip4:192.0.2.1 -all"},
		{"v=spf1 mx -all ~all", "lint.second-all", "v=spf1 mx -all"},
		{"v=spf1 mx -all redirect=x.example", "lint.idle-redirect", "v=spf1 mx -all"},
		{"v=spf1 mx MX a:X.example a:x.example -all", "lint.duplicate lint.duplicate", "v=spf1 mx a:X.example -all"},
		{"v=spf1 ip4:192.0.2.7 ip4:192.0.2.0/24 -all", "lint.covered", "v=spf1 ip4:192.0.2.0/24 -all"},
		{"v=spf1 ip4:192.0.2.7 -ip4:192.0.2.0/28 ip4:192.0.2.0/24 -all", "", ""},
		{"v=spf1 ip4:192.0.2.7/24 -all", "lint.host-bits", "v=spf1 ip4:192.0.2.0/24 -all"},
		{"v=spf1 ip6:::ffff:192.0.2.7 -all", "lint.mapped", "v=spf1 ip4:192.0.2.7 -all"},
		{"v=spf1 ip4:10.0.0.0/8 -all", "lint.wide lint.private", ""},
		{"v=spf1 ip4:0.0.0.0/0 -all", "lint.wide", ""},
		{"v=spf1 ip6:2001::/16 a/12 mx//24 -all", "lint.wide lint.wide lint.wide", ""},
		{"v=spf1 ptr -all", "lint.ptr", ""},
		{"v=spf1 exists:x.example include:example.com -all", "lint.includes-itself lint.constant-exists", "v=spf1 exists:x.example -all"},
		{"v=spf1 redirect=Example.com", "lint.redirects-to-itself", ""},
		{"v=spf1 a:%{p}.example exists:%{l}.example -all", "lint.macro-p lint.macro-local", ""},
		{"v=spf1 mx ~all exp=why.example.com", "lint.idle-exp", ""},
		{"v=spf1 mx -all foo=bar", "lint.unknown-modifier", ""},
		{"v=spf1 mx -all v=spf1 a ~all", "lint.version-again lint.after-all lint.second-all", "v=spf1 mx a -all"},
		{"v=spf1 ip4=192.0.2.1 include=x.example -all", "lint.mechanism-equals lint.mechanism-equals", "v=spf1 ip4:192.0.2.1 include:x.example -all"},
		{"v=spf1 " + strings.Repeat("include:x%{d}.example ", 11) + "-all", "lint.lookups" + strings.Repeat(" lint.duplicate", 10), "v=spf1 include:x%{d}.example -all"},
		{"v=spf1 a:1.example a:2.example a:3.example a:4.example a:5.example a:6.example mx:1.example mx:2.example mx:3.example mx:4.example mx -all", "lint.lookups", ""},
		{"v=spf1 ip4:192.0.2.7 " + strings.Repeat("exists:%{i}.aaaaaaaaaaaaaaaaaaaa.example ", 1) + "include:" + strings.Repeat("long-label.", 40) + "example -all", "lint.long-record lint.long-string", ""},

		// slips that make the record void
		{"v=spf1 ipv4:192.0.2.1 -all", "syntax.unknown-mechanism", "v=spf1 ip4:192.0.2.1 -all"},
		{"v=spf1 ipv6:2001:db8::1 -all", "syntax.unknown-mechanism", "v=spf1 ip6:2001:db8::1 -all"},
		{"v=spf1 ip:192.0.2.1 -all", "syntax.unknown-mechanism", "v=spf1 ip4:192.0.2.1 -all"},
		{"v=spf1 192.0.2.1 -all", "syntax.unknown-mechanism", "v=spf1 ip4:192.0.2.1 -all"},
		{"v=spf1 ip4:2001:db8::1 ip6:192.0.2.0/24 -all", "syntax.bad-ip4 syntax.bad-ip6", "v=spf1 ip6:2001:db8::1 ip4:192.0.2.0/24 -all"},
		{"v=spf1 ip4:192.0.2.0/255.255.255.0 -all", "syntax.bad-length", "v=spf1 ip4:192.0.2.0/24 -all"},
		{"v=spf1 ip4:mail.example.com -all", "syntax.bad-ip4", "v=spf1 a:mail.example.com -all"},
		{"v=spf1 a:192.0.2.1 mx:192.0.2.2 -all", "syntax.numeric-top-label syntax.numeric-top-label", "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 -all"},
		{"v=spf1 include: x.example - all", "syntax.missing-domain syntax.unknown-mechanism syntax.empty-term lint.x", "v=spf1 include:x.example -all"},
		{"v=spf1 mx, a; -all.", "syntax.unknown-mechanism syntax.unknown-mechanism syntax.unknown-mechanism", "v=spf1 mx a -all"},
		{"v=spf1 redirect:x.example", "syntax.modifier-colon", "v=spf1 redirect=x.example"},
		{"v=spf1 -redirect=x.example", "syntax.qualified-modifier", "v=spf1 redirect=x.example"},
		{"v=spf1 mx –all", "syntax.bad-character", "v=spf1 mx -all"},
		{"v=spf1 mx\t-all", "syntax.bad-character", "v=spf1 mx -all"},
		{"v=spf1 inlcude:x.example -all", "syntax.unknown-mechanism", "v=spf1 include:x.example -all"},
		{"v=spf1 include:x.example include:y.exam\u00a0ple -all", "syntax.bad-character", ""},
		{"v=spf1 foo -all", "syntax.unknown-mechanism", ""},
		{"v=spf1 redirect=a.example redirect=b.example", "syntax.duplicate-redirect", ""},

		{"v=spf1 include:x.example-all", "lint.missing-space lint.no-all", "v=spf1 include:x.example -all"},
		{"v=spf1 mx redirect=x.example-ALL", "lint.missing-space", "v=spf1 mx -ALL"},
		{"v=spf1 include:x.example~all", "syntax.bad-top-label", "v=spf1 include:x.example ~all"},
		{"v=spf1 ip4:192.0.2.1-all", "syntax.bad-ip4", "v=spf1 ip4:192.0.2.1 -all"},
		{"v=spf1 a,mx,ip4:192.0.2.1,192.0.2.2 -all", "syntax.unknown-mechanism", "v=spf1 a mx ip4:192.0.2.1 ip4:192.0.2.2 -all"},
		{`v=spf1 ip4:192.0.2.1" "ip4:192.0.2.2 -all`, "syntax.bad-ip4 syntax.unknown-mechanism", "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 -all"},

		// text that is not seen as a record
		{` v=spf1 mx -all`, "lint.version", "v=spf1 mx -all"},
		{`"v=spf1 mx -all"`, "lint.version", "v=spf1 mx -all"},
		{"v=spf1; mx -all", "lint.version", "v=spf1 mx -all"},
		{"v=spf1include:x.example -all", "lint.version", "v=spf1 include:x.example -all"},
		{"spf1 mx -all", "lint.version", "v=spf1 mx -all"},
		{"v=spf1.0 mx -all", "lint.version", "v=spf1 mx -all"},
		{"spf2.0/pra mx -all", "lint.sender-id", ""},
		{"hello", "lint.no-record", ""},
		{"", "lint.no-record", ""},
	} {
		got := spf.Lint(c.in, "Example.com.")
		checkWords(t, c.in, got)
		want := strings.Fields(strings.ReplaceAll(c.codes, " lint.x", ""))
		if have := codes(got); !slices.Equal(have, want) {
			t.Errorf("%q:\n got %v\nwant %v", c.in, have, want)
		}
		fixed := better(t, got)
		if fixed != c.better {
			t.Errorf("%q: to publish %q, want %q", c.in, fixed, c.better)
		}
		if fixed != "" {
			if _, err := spf.Parse(fixed); err != nil {
				t.Errorf("%q: to publish %q: %v", c.in, fixed, err)
			}
			for _, f := range spf.Lint(fixed, "example.com") {
				if f.Publish != nil {
					t.Errorf("%q: %q is not the end: %s, %q", c.in, fixed, f.Code, f.Publish.Value)
				}
			}
		}
	}
	if got := spf.Lint("v=spf1 mx", "_spf.example.com"); len(got) != 1 || got[0].Grade != explain.Advice {
		t.Errorf("a record to be included without all: %+v", got)
	}
	if got := spf.Lint("v=spf1 mx +all", ""); len(got) != 1 || got[0].Publish != nil {
		t.Errorf("nowhere to publish: %+v", got)
	}
}

// TestBetterAllows checks on generated records that nobody who was allowed is
// refused by the record to publish instead, unless everybody was allowed.
func TestBetterAllows(t *testing.T) {
	compared := 0
	for seed := range uint64(3000) {
		g := generate(seed)
		for d := range 6 {
			name := fmt.Sprintf("d%d.example", d)
			texts := g.zone.records[name][dns.TXT]
			if len(texts) != 1 {
				continue
			}
			instead := better(t, spf.Lint(texts[0], name))
			if instead == "" {
				continue
			}
			after := g.rewrite(func(s string) string {
				if s == texts[0] {
					return instead
				}
				return s
			})
			limits := spf.Limits{Lookups: 100, VoidLookups: 100}
			for _, a := range genAddrs {
				in := spf.Input{IP: netip.MustParseAddr(a), Helo: "h.example", MailFrom: "user@" + name}
				was := (&spf.Verifier{Resolver: g.zone, Limits: limits}).Verify(context.Background(), in)
				if was.Status != spf.Pass || strings.Contains(strings.ToLower(was.Mechanism), "all") {
					continue
				}
				compared++
				is := (&spf.Verifier{Resolver: after.zone, Limits: limits}).Verify(context.Background(), in)
				if is.Status != spf.Pass {
					t.Fatalf("case %d, %s from %s: pass by %s with %q, %s by %s (%v) with %q", seed, name, a, was.Mechanism, texts[0], is.Status, is.Mechanism, is.Err, instead)
				}
			}
		}
	}
	if compared < 1000 {
		t.Errorf("%d compared", compared)
	}
}

// TestMendInput: what Japanese input methods and browsers leave in a record is
// put right.
func TestMendInput(t *testing.T) {
	for txt, want := range map[string]string{
		"ｖ＝ｓｐｆ１　ｉｎｃｌｕｄｅ：ｓｐｆ．ｅｘａｍｐｌｅ．ｊｐ　－ａｌｌ":          "v=spf1 include:spf.example.jp -all",
		"v=spf1 ip4:192.0.2.1、ip4:192.0.2.9　～all":     "v=spf1 ip4:192.0.2.1 ip4:192.0.2.9 ~all",
		"v=spf1 ip4:192.0.2.1 ip4：192.0.2.9 -all":     "v=spf1 ip4:192.0.2.1 ip4:192.0.2.9 -all",
		"v=spf1 include:https://spf.example.jp/ -all": "v=spf1 include:spf.example.jp -all",
	} {
		if got := better(t, spf.Lint(txt, "example.jp")); got != want {
			t.Errorf("%q: publishes %q, want %q", txt, got, want)
		}
	}
}
