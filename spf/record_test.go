package spf_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"sekimori/spf"
)

func TestRecordString(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"v=spf1", "v=spf1"},
		{"V=SPF1  -ALL ", "v=spf1 -all"},
		{"v=spf1 +a +mx ?ptr ~Include:Example.COM +all", "v=spf1 a mx ?ptr ~include:Example.COM all"},
		{"v=spf1 ip4:192.0.2.1/32 IP4:192.0.2.0/24 ip6:2001:DB8::0/128 ip6:2001:db8:0:0::1/64", "v=spf1 ip4:192.0.2.1 ip4:192.0.2.0/24 ip6:2001:db8:: ip6:2001:db8::1/64"},
		{"v=spf1 a/32//128 a:x.example/24 mx//64 mx:x.example./0//0", "v=spf1 a a:x.example/24 mx//64 mx:x.example./0//0"},
		{"v=spf1 exists:%{i}._spf.%{D2R-} Redirect=%{d} EXP=e.example Foo.Bar=%{c}", "v=spf1 exists:%{i}._spf.%{D2R-} redirect=%{d} exp=e.example foo.bar=%{c}"},
	} {
		r, err := spf.Parse(c.in)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if got := r.String(); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
		again, err := spf.Parse(c.want)
		if err != nil || again.String() != c.want || len(again.Terms) != len(r.Terms) {
			t.Errorf("%q does not parse back: %v", c.want, err)
		}
	}
}

func TestRecordParts(t *testing.T) {
	r, err := spf.Parse("v=spf1 ?a:%{d}.example/24//64 redirect=x.example -all exp=%{d}._e.example")
	if err != nil {
		t.Fatal(err)
	}
	a := r.Terms[0]
	if a.Name != spf.A || a.Qualifier != spf.Question || a.Value.String() != "%{d}.example" || a.Bits4 != (spf.Length{Given: true, Bits: 24}) ||
		a.Bits6 != (spf.Length{Given: true, Bits: 64}) || a.Offset != 7 || a.Text() != "?a:%{d}.example/24//64" || a.IsModifier() {
		t.Errorf("%+v", a)
	}
	if got := a.Value.Macros(); !reflect.DeepEqual(got, []spf.Macro{{Letter: 'd'}}) {
		t.Errorf("macros %+v", got)
	}
	if r.Redirect().Value.String() != "x.example" || r.Explanation().Value.String() != "%{d}._e.example" || r.All().Qualifier != spf.Minus {
		t.Error("redirect, exp or all not found")
	}
	empty, _ := spf.Parse("v=spf1")
	if empty.Redirect() != nil || empty.Explanation() != nil || empty.All() != nil {
		t.Error("found what is not there")
	}
	var zero spf.Qualifier
	if zero.Status() != "" || spf.Minus.Status() != spf.Fail {
		t.Error("qualifiers")
	}
	built := spf.Record{Terms: []spf.Term{{Name: spf.MX, Qualifier: spf.Plus}, {Name: spf.All, Qualifier: spf.Tilde}}}
	if got := built.String(); got != "v=spf1 mx ~all" {
		t.Errorf("built: %q", got)
	}
}

func TestMacroParts(t *testing.T) {
	m, err := spf.ParseExplanation("%{L2r+-} and %{s} at %{t}%%")
	if err != nil {
		t.Fatal(err)
	}
	want := []spf.Macro{{Letter: 'l', Escape: true, Keep: 2, Reverse: true, Delimiters: "+-"}, {Letter: 's'}, {Letter: 't'}}
	if got := m.Macros(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"%", "%x", "%{", "%{}", "%{x}", "%{d0}", "%{d-2}", "%{dr2}", "tab\t", "\x80"} {
		if _, err := spf.ParseExplanation(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		in     string
		cause  spf.Cause
		offset int
	}{
		{"", spf.NotSPF, 0},
		{"v=spf10", spf.NotSPF, 0},
		{" v=spf1", spf.NotSPF, 0},
		{"v=spf1 foo", spf.UnknownMechanism, 7},
		{"v=spf1 -foo:bar", spf.UnknownMechanism, 8},
		{"v=spf1 all.", spf.UnknownMechanism, 7},
		{"v=spf1 1up=x", spf.UnknownMechanism, 7},
		{"v=spf1 -redirect=a.example", spf.BadQualifier, 7},
		{"v=spf1 redirect:a.example", spf.ModifierColon, 15},
		{"v=spf1 - all", spf.EmptyTerm, 8},
		{"v=spf1 =x", spf.EmptyTerm, 7},
		{"v=spf1 all:x", spf.UnexpectedArgument, 10},
		{"v=spf1 ptr/24", spf.UnexpectedArgument, 10},
		{"v=spf1 include", spf.MissingDomain, 14},
		{"v=spf1 a:", spf.MissingDomain, 9},
		{"v=spf1 a:/24", spf.MissingDomain, 9},
		{"v=spf1 redirect=", spf.MissingDomain, 16},
		{"v=spf1 ip4", spf.MissingAddress, 10},
		{"v=spf1 ip6:", spf.MissingAddress, 10},
		{"v=spf1 ip4:192.0.2", spf.BadIP4, 11},
		{"v=spf1 ip4:192.0.2.01", spf.BadIP4, 11},
		{"v=spf1 ip4:2001:db8::1", spf.BadIP4, 11},
		{"v=spf1 ip6:192.0.2.1", spf.BadIP6, 11},
		{"v=spf1 ip6:fe80::1%eth0", spf.BadIP6, 11},
		{"v=spf1 ip4:192.0.2.1/33", spf.BadLength, 21},
		{"v=spf1 ip4:192.0.2.1/", spf.BadLength, 21},
		{"v=spf1 ip4:192.0.2.1//32", spf.BadLength, 21},
		{"v=spf1 a/032", spf.BadLength, 9},
		{"v=spf1 a//129", spf.BadLength, 10},
		{"v=spf1 a\tmx", spf.BadCharacter, 8},
		{"v=spf1 a:\xc3\xa9.example", spf.BadCharacter, 9},
		{"v=spf1 a:100%.example", spf.BadPercent, 12},
		{"v=spf1 a:%{d.example", spf.UnclosedMacro, 9},
		{"v=spf1 a:%{x}.example", spf.BadMacro, 9},
		{"v=spf1 a:%{d0}.example", spf.ZeroDigits, 9},
		{"v=spf1 a:%{c}.example", spf.ExplanationMacro, 9},
		{"v=spf1 a:museum", spf.NoTopLabel, 9},
		{"v=spf1 a:example.com:8080", spf.BadTopLabel, 9},
		{"v=spf1 a:192.0.2.1", spf.NumericTopLabel, 9},
		{"v=spf1 redirect=a.example all redirect=a.example", spf.DuplicateRedirect, 30},
		{"v=spf1 exp=a.example all exp=a.example", spf.DuplicateExp, 25},
		{"v=spf1" + strings.Repeat(" a", 5000), spf.TooManyTerms, 6 + 2*4096 + 1},
	} {
		_, err := spf.Parse(c.in)
		var bad *spf.SyntaxError
		if !errors.As(err, &bad) {
			t.Errorf("%.60q: %v", c.in, err)
			continue
		}
		if bad.Cause != c.cause || bad.Offset != c.offset {
			t.Errorf("%.60q: %s at %d, want %s at %d", c.in, bad.Cause, bad.Offset, c.cause, c.offset)
		}
		if !shown(bad.Error()) {
			t.Errorf("%.60q: error %q", c.in, bad.Error())
		}
	}
}
