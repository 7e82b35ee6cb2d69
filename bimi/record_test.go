package bimi_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sekimori/bimi"
	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/taglist"
)

const logo = "https://example.com/logo.svg"

func TestParse(t *testing.T) {
	for in, want := range map[string]*bimi.Record{
		"v=BIMI1; l=" + logo: {Location: logo, Avatar: bimi.Brand},
		"v=BIMI1;l=" + logo + ";a=https://example.com/vmc.pem;avp=personal;": {Location: logo, Authority: "https://example.com/vmc.pem", Avatar: bimi.Personal},
		"v = BIMI1 ; l = HTTPS://example.com/Logo.SVGZ?x=1":                  {Location: "HTTPS://example.com/Logo.SVGZ?x=1", Avatar: bimi.Brand},
		"v=BIMI1; l=; a=;":                         {Avatar: bimi.Brand},
		"v=BIMI1; l=":                              {Avatar: bimi.Brand},
		"v=BIMI1; l=; a=https://a.example/x":       {Authority: "https://a.example/x", Avatar: bimi.Brand},
		"v=BIMI1; l=; lps=":                        {Avatar: bimi.Brand, Local: true},
		"v=BIMI1; l=; lps=News, team-a":            {Avatar: bimi.Brand, Local: true, Prefixes: []string{"news", "team-a"}},
		"v=BIMI1; l=; x_1=y":                       {Avatar: bimi.Brand, Extensions: []taglist.Tag{{Name: "x_1", Value: "y", Offset: 13}}},
		"v=bimi1; l=" + logo:                       nil,
		"V=BIMI1; l=" + logo:                       nil,
		"l=" + logo + "; v=BIMI1":                  nil,
		"v=BIMI1":                                  nil,
		"v=BIMI1; a=https://a.example/x":           nil,
		"v=BIMI1; l=http://example.com/a.svg":      nil,
		"v=BIMI1; l=https:///a.svg":                nil,
		"v=BIMI1; l=https://":                      nil,
		"v=BIMI1; l=https://a b/a.svg":             nil,
		"v=BIMI1; l=https://example.com/a.png":     nil,
		"v=BIMI1; l=; avp=both":                    nil,
		"v=BIMI1; l=; lps=a b":                     nil,
		"v=BIMI1; l=; lps=a,,b":                    nil,
		"v=BIMI1; l=; l=":                          nil,
		"v=BIMI1; l=; stray":                       nil,
		"v=BIMI1;; l=":                             nil,
		"":                                         nil,
		"v=BIMI1; l=;" + strings.Repeat(" ", 9000): nil,
	} {
		got, err := bimi.Parse(in)
		if (err == nil) != (want != nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(%.60q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
}

func TestSelector(t *testing.T) {
	for in, want := range map[string]string{
		"news": "news", "News.Letter": "news-letter", "a..b__c._d": "a-b-c-d", "_x.": "x", "team+tag": "team", "a--b": "a--b",
		"": "", "+x": "", "...": "", "é": "", "a b": "", strings.Repeat("a", 64): "",
	} {
		if got, ok := bimi.Normalize(in); ok != (want != "") || ok && got != want {
			t.Errorf("Normalize(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
	for _, c := range []struct{ record, local, want string }{
		{"v=BIMI1; l=", "news", ""}, {"v=BIMI1; l=; lps=", "news", "news"},
		{"v=BIMI1; l=; lps=ne,team", "News.x", "news-x"}, {"v=BIMI1; l=; lps=team", "news", ""},
	} {
		r, err := bimi.Parse(c.record)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := r.Selector(c.local); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s: %q leads to %q, %v", c.record, c.local, got, ok)
		}
	}
}

func TestLint(t *testing.T) {
	for in, want := range map[string]struct {
		codes   []string
		publish string
	}{
		"v=BIMI1; l=" + logo + "; a=https://a.example/x": {},
		"v=BIMI1; l=; a=;":                     {},
		"v=BIMI1; l=" + logo:                   {[]string{"no-certificate"}, ""},
		"v=bimi1; l=":                          {[]string{"not-bimi"}, ""},
		"v=BIMI1; l=; l=":                      {[]string{"twice"}, "v=BIMI1; l=; a=;"},
		"v=BIMI1; l=; x":                       {[]string{"syntax"}, "v=BIMI1; l=; a=;"},
		"v=BIMI1; l=http://a/b.svg":            {[]string{"uri"}, ""},
		"v=BIMI1; l=https://a/b.png":           {[]string{"svg"}, ""},
		"v=BIMI1; l=; avp=x":                   {[]string{"avp"}, "v=BIMI1; l=; a=;"},
		"v=BIMI1; l=; lps=?":                   {[]string{"lps"}, "v=BIMI1; l=; a=;"},
		"v=BIMI1; l=; z=?":                     {[]string{"unknown"}, ""},
		"v=BIMI1;":                             {[]string{"no-location"}, ""},
		"v=BIMI1;" + strings.Repeat(" ", 9000): {[]string{"long"}, ""},
	} {
		var got []string
		publish := ""
		for _, f := range bimi.Lint(in, "default", "example.com") {
			got = append(got, strings.TrimPrefix(f.Code, "bimi.lint."))
			worded(t, f.Step, true)
			if f.Publish != nil {
				publish = f.Publish.Value
			}
		}
		if !slices.Equal(got, want.codes) || publish != want.publish {
			t.Errorf("Lint(%.60q) = %v, publish %q, want %v", in, got, publish, want)
		}
	}
	if f := bimi.LintAll([]string{"v=BIMI1; l=", "v=BIMI1; l="}, "x", "example.com"); len(f) != 1 || f[0].Code != "bimi.lint.several" {
		t.Errorf("several: %v", f)
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
}

func TestLookup(t *testing.T) {
	z, err := dnstest.Parse(strings.NewReader(`$ORIGIN example.
default._bimi.org TXT "v=BIMI1; l=https://org.example/a.svg; lps=news"
news-x._bimi.org TXT "v=BIMI1; l=https://org.example/news.svg"
own._bimi.org TXT "v=BIMI1; l=https://org.example/own.svg"
default._bimi.no.org TXT "v=BIMI1; l=; a=;"
default._bimi.two.org TXT "v=BIMI1; l=; a=;"
default._bimi.two.org TXT "v=BIMI1; l="
default._bimi.bad.org TXT "v=BIMI1; l=ftp:x"
default._bimi.other.org TXT "something"
default._bimi.slow.org TYPE65280 \# 0
`), "zone")
	if err != nil {
		t.Fatal(err)
	}
	org, _ := domain.Parse("org.example")
	for _, c := range []struct {
		author, selector, local string
		at, found               string // selector@domain of what was found
		codes                   string
		temporary, declined     bool
	}{
		{author: "org.example", at: "default@org.example", codes: "found"},
		{author: "sub.org.example", at: "default@org.example", codes: "none found"},
		{author: "sub.org.example", selector: "OWN", at: "own@org.example", codes: "none found"},
		{author: "sub.org.example", selector: "other", at: "", codes: "none none"},
		{author: "sub.org.example", local: "News.X+1", at: "news-x@org.example", codes: "none found found local"},
		{author: "org.example", local: "news.y", at: "default@org.example", codes: "found none"},
		{author: "org.example", local: "boss", at: "default@org.example", codes: "found"},
		{author: "no.org.example", at: "default@no.org.example", codes: "declined", declined: true},
		{author: "two.org.example", codes: "several"},
		{author: "bad.org.example", codes: "fault"},
		{author: "other.org.example", at: "default@org.example", codes: "none found"},
		{author: "slow.org.example", codes: "temporary", temporary: true},
	} {
		author, err := domain.Parse(c.author)
		if err != nil {
			t.Fatal(err)
		}
		f := bimi.Lookup(context.Background(), z, bimi.Input{Author: author, Organizational: org, Selector: c.selector, Local: c.local})
		at := ""
		if f.Record != nil {
			at = f.Selector + "@" + f.Domain.String()
		}
		var codes []string
		for _, s := range f.Steps {
			codes = append(codes, strings.TrimPrefix(s.Code, "bimi."))
			worded(t, s, false)
		}
		if at != c.at || strings.Join(codes, " ") != c.codes || f.Temporary != c.temporary || f.Declined != c.declined || (f.Err == nil) != (c.at != "") {
			t.Errorf("%+v: %q, %v, %+v", c, at, codes, f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("v=BIMI1; l=https://example.com/a.svg; a=https://a.example/x; avp=personal; lps=a,b; x=y")
	f.Add("v=BIMI1; l=; a=")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := bimi.Parse(s)
		bad := false
		for _, x := range bimi.Lint(s, "default", "example.com") {
			bad = bad || x.Grade == explain.Error
			if x.Publish != nil {
				if _, err := bimi.Parse(x.Publish.Value); err != nil {
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
		again, err := bimi.Parse(r.String())
		if err != nil {
			t.Fatalf("%q: %v", r, err)
		}
		for i := range r.Extensions {
			r.Extensions[i].Offset, again.Extensions[i].Offset = 0, 0
		}
		if !reflect.DeepEqual(again, r) {
			t.Fatalf("%q: %+v, want %+v", r, again, r)
		}
	})
}
