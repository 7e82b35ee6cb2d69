package spf_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/spf"
)

var inspectZone = `
good.example.     TXT "unrelated"
good.example.     TXT "v=spf1 mx include:_spf.example a:www.example -all"
good.example.     MX 10 mx.example.
mx.example.       A 192.0.2.1
mx.example.       AAAA 2001:db8::1
www.example.      A 192.0.2.80
_spf.example.     TXT "v=spf1 ip4:198.51.100.0/25 ip4:198.51.100.128/25 include:_spf2.example ~all"
_spf2.example.    TXT "v=spf1 ip4:203.0.113.0/24 a:mx.example -all"
parked.example.   TXT "v=spf1 -all"
none.example.     TXT "hello"
mailer.example.   MX 10 mx.example.
nullmx.example.   MX 0 .
slow.example.     TYPE65280 \# 0
two.example.      TXT "v=spf1 mx -all"
two.example.      TXT "v=spf1 include:_spf.example ~all"
twomod.example.   TXT "v=spf1 mx -all"
twomod.example.   TXT "v=spf1 redirect=_spf.example"
near.example.     TXT "v=spf1; mx -all"
bad.example.      TXT "v=spf1 foo -all"
loop.example.     TXT "v=spf1 include:loop2.example -all"
loop2.example.    TXT "v=spf1 include:loop.example -all"
gone.example.     TXT "v=spf1 include:absent.example a:absent.example mx:absent.example exists:absent.example a:x..example -all"
voids.example.    TXT "v=spf1 a:v1.example a:v2.example a:v3.example -all"
deepbad.example.  TXT "v=spf1 include:bad.example include:two.example include:slow.example include:any.example -all"
any.example.      TXT "v=spf1 +all"
macro.example.    TXT "v=spf1 include:%{d}._x.example exists:%{i}.x.example -all"
redir.example.    TXT "v=spf1 mx redirect=_spf.example"
redir.example.    MX 5 mx.example.
twice.example.    TXT "v=spf1 include:_spf.example include:_spf2.example -all"
exp.example.      TXT "v=spf1 mx:good.example -all exp=good.example"
expok.example.    TXT "v=spf1 mx:good.example -all exp=none.example"
large.example.    TXT "v=spf1 -all"
large.example.    TXT "` + x255 + `" "` + x255 + `"
afterall.example. TXT "v=spf1 -all include:absent.example"
`

var x255 = strings.Repeat("x", 255)

func TestInspect(t *testing.T) {
	var many strings.Builder
	many.WriteString("over.example. TXT \"v=spf1")
	for i := range 11 {
		fmt.Fprintf(&many, " include:i%d.example", i)
	}
	many.WriteString(" -all\"\nnear10.example. TXT \"v=spf1 include:i0.example include:i1.example include:i2.example include:i3.example include:i4.example include:i5.example include:i6.example include:i7.example a:www.example -all\"\nmanymx.example. TXT \"v=spf1 mx -all\"\n")
	for i := range 12 {
		fmt.Fprintf(&many, "i%d.example. TXT \"v=spf1 ip4:192.0.2.%d -all\"\nmanymx.example. MX %d mx.example.\nmanymx.example. MX %d m%d.example.\nm%d.example. A 192.0.2.9\n", i, i, i, i, i, i)
	}
	z := parseZone(t, inspectZone+many.String())
	for _, c := range []struct {
		domain        string
		codes         string
		lookups, void int
		all           spf.Qualifier
		better        string
		err           error
	}{
		{"good.example", "", 5, 0, spf.Minus, "", nil},
		{"Good.Example.", "", 5, 0, spf.Minus, "", nil},
		{"parked.example", "", 0, 0, spf.Minus, "", nil},
		{"none.example", "inspect.none", 0, 0, "", "v=spf1 -all", nil},
		{"nullmx.example", "inspect.none", 0, 0, "", "v=spf1 -all", nil},
		{"mailer.example", "inspect.none", 0, 0, "", "v=spf1 mx ~all", nil},
		{"slow.example", "inspect.no-answer", 0, 0, "", "", dns.ErrTemporary},
		{"two.example", "inspect.multiple", 0, 0, "", "v=spf1 mx include:_spf.example ~all", spf.ErrMultipleRecords},
		{"twomod.example", "inspect.multiple", 0, 0, "", "", spf.ErrMultipleRecords},
		{"near.example", "lint.version", 0, 0, "", "v=spf1 mx -all", nil},
		{"bad.example", "syntax.unknown-mechanism", 0, 0, "", "", &spf.SyntaxError{}},
		{"loop.example", "inspect.loop", 2, 0, spf.Minus, "", nil},
		{"gone.example", "inspect.no-target inspect.voids inspect.void inspect.void inspect.void inspect.bad-name lint.constant-exists", 5, 3, spf.Minus, "v=spf1 -all", nil},
		{"voids.example", "inspect.voids inspect.void inspect.void inspect.void", 3, 3, spf.Minus, "v=spf1 -all", nil},
		{"deepbad.example", "inspect.target-syntax inspect.target-multiple inspect.include-all inspect.no-answer", 4, 0, spf.Minus, "", nil},
		{"macro.example", "inspect.macro-include", 2, 0, spf.Minus, "", nil},
		{"redir.example", "", 4, 0, spf.Tilde, "", nil},
		{"twice.example", "inspect.twice", 5, 0, spf.Minus, "", nil},
		{"exp.example", "inspect.bad-explanation", 1, 0, spf.Minus, "", nil},
		{"expok.example", "", 1, 0, spf.Minus, "", nil},
		{"large.example", "inspect.large-answer", 0, 0, spf.Minus, "", nil},
		{"over.example", "inspect.lookups", 11, 0, spf.Minus, "", nil},
		{"near10.example", "inspect.near-limit", 9, 0, spf.Minus, "", nil},
		{"manymx.example", "inspect.many-mx", 1, 0, spf.Minus, "", nil},
		{"afterall.example", "lint.after-all", 0, 0, spf.Minus, "v=spf1 include:absent.example -all", nil},
	} {
		in := spf.Inspect(context.Background(), z, c.domain)
		checkWords(t, c.domain, in.Findings)
		if got := codes(in.Findings); !slices.Equal(got, strings.Fields(c.codes)) {
			t.Errorf("%s: findings %v, want %v", c.domain, got, c.codes)
		}
		if in.Lookups != c.lookups || in.Void != c.void || in.All != c.all {
			t.Errorf("%s: %d lookups, %d void, all %q; want %d, %d, %q", c.domain, in.Lookups, in.Void, in.All, c.lookups, c.void, c.all)
		}
		if got := better(t, in.Findings); got != c.better {
			t.Errorf("%s: to publish %q, want %q", c.domain, got, c.better)
		}
		var bad *spf.SyntaxError
		if errors.As(c.err, &bad) {
			if !errors.As(in.Err, &bad) {
				t.Errorf("%s: error %v", c.domain, in.Err)
			}
		} else if !errors.Is(in.Err, c.err) || (in.Err == nil) != (c.err == nil) {
			t.Errorf("%s: error %v, want %v", c.domain, in.Err, c.err)
		}
		if in.Temporary != errors.Is(in.Err, dns.ErrTemporary) {
			t.Errorf("%s: temporary %v with %v", c.domain, in.Temporary, in.Err)
		}
		if (in.Record != nil) != (in.Err == nil && len(in.Records) == 1) {
			t.Errorf("%s: record %v of %q", c.domain, in.Record, in.Records)
		}
	}
	in := spf.Inspect(context.Background(), z, "good.example")
	if len(in.Includes) != 1 || in.Includes[0].Domain != "_spf.example" || in.Includes[0].Lookups != 2 || len(in.Includes[0].Nodes) != 1 ||
		in.Includes[0].Nodes[0].Term != "include:_spf2.example" {
		t.Errorf("tree %+v", in.Includes)
	}
}

// TestInspectBound holds a record that leads everywhere to the bound.
func TestInspectBound(t *testing.T) {
	var b strings.Builder
	for i := range 400 {
		fmt.Fprintf(&b, "d%d.example. TXT \"v=spf1 include:d%d.example include:d%d.example mx:m%d.example -all\"\n", i, 2*i+1, 2*i+2, i)
	}
	c := &counting{Resolver: parseZone(t, b.String())}
	in := spf.Inspect(context.Background(), c, "d0.example")
	if n := c.n.Load(); n != 150 || in.Asked != 150 || !in.Truncated {
		t.Errorf("%d questions, %d told, truncated %v", n, in.Asked, in.Truncated)
	}
	if !slices.Contains(codes(in.Findings), "inspect.truncated") || len(in.Findings) > 50 {
		t.Errorf("findings %v", codes(in.Findings))
	}
	checkWords(t, "bound", in.Findings)
}

func TestFlatten(t *testing.T) {
	var b strings.Builder
	b.WriteString("long.example. TXT \"v=spf1 include:many.example include:_spf.example mx:good.example exp=none.example -all\"\nmany.example. TXT \"v=spf1")
	for i := range 40 {
		fmt.Fprintf(&b, " ip4:192.0.%d.%d", i, 2*i)
		if i%8 == 7 {
			b.WriteString("\" \"")
		}
	}
	b.WriteString(" -all\"\n")
	b.WriteString(`
kept.example.   TXT "v=spf1 include:exists.example include:_spf.example ?all"
exists.example. TXT "v=spf1 exists:%{i}.x.example ip4:192.0.2.1 -all"
order.example.  TXT "v=spf1 -ip4:203.0.113.7 include:_spf.example -all"
still.example.  TXT "v=spf1 include:_spf.example a:1.example a:2.example a:3.example a:4.example a:5.example a:6.example a:7.example a:8.example a:9.example a:www.example mx:good.example -all"
noteall.example. TXT "v=spf1 include:neutral.example -all"
neutral.example. TXT "v=spf1 ?ip4:192.0.2.1 ip4:192.0.2.2 -all"
`)
	z := parseZone(t, inspectZone+b.String())
	for _, c := range []struct {
		domain  string
		records []string
		before  int
		lookups int
		codes   string
	}{
		{"good.example", []string{"good.example v=spf1 ip4:192.0.2.1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 ip6:2001:db8::1 mx a:www.example -all"}, 5, 2, "flatten.third-party"},
		{"redir.example", []string{"redir.example v=spf1 ip4:192.0.2.1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 ip6:2001:db8::1 mx ~all"}, 4, 1, "flatten.third-party"},
		{"kept.example", []string{"kept.example v=spf1 ip4:192.0.2.1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 ip6:2001:db8::1 include:exists.example ?all"}, 5, 2, "flatten.kept flatten.third-party"},
		{"order.example", nil, 3, 3, "flatten.order flatten.no-gain"},
		{"noteall.example", nil, 1, 1, "flatten.kept flatten.no-gain"},
		{"still.example", []string{"still.example v=spf1 ip4:192.0.2.1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 ip6:2001:db8::1 a:1.example a:2.example a:3.example a:4.example a:5.example a:6.example a:7.example a:8.example a:9.example a:www.example mx:good.example -all"}, 14, 11, "flatten.still-over flatten.third-party"},
		{"parked.example", nil, 0, 0, "flatten.no-gain"},
	} {
		f, err := spf.Flatten(context.Background(), z, c.domain)
		if err != nil {
			t.Errorf("%s: %v", c.domain, err)
			continue
		}
		checkWords(t, c.domain, f.Findings)
		var got []string
		for _, r := range f.Records {
			got = append(got, r.Name+" "+r.Value)
		}
		if !reflect.DeepEqual(got, c.records) || f.Before != c.before || f.Lookups != c.lookups {
			t.Errorf("%s: %q, %d → %d lookups\nwant %q, %d → %d", c.domain, got, f.Before, f.Lookups, c.records, c.before, c.lookups)
		}
		if got := codes(f.Findings); !slices.Equal(got, strings.Fields(c.codes)) {
			t.Errorf("%s: findings %v, want %v", c.domain, got, c.codes)
		}
	}

	f, err := spf.Flatten(context.Background(), z, "long.example")
	if err != nil || len(f.Records) != 3 || f.Records[0].Value != "v=spf1 include:_spf1.long.example include:_spf2.long.example mx:good.example exp=none.example -all" {
		t.Fatalf("%+v, %v", f, err)
	}
	var published strings.Builder
	for _, r := range f.Records {
		if len(r.Value) > 450 {
			t.Errorf("%s has %d octets", r.Name, len(r.Value))
		}
		fmt.Fprintf(&published, "%s. TXT %s\n", r.Name, masterText(r.Value))
	}
	// What is published means the same as before.
	after := parseZone(t, published.String()+"good.example. MX 10 mx.example.\nmx.example. A 192.0.2.1\nmx.example. AAAA 2001:db8::1\n")
	for _, ip := range []string{"192.0.0.0", "192.0.39.78", "192.0.39.79", "198.51.100.200", "203.0.113.4", "192.0.2.1", "2001:db8::1", "2001:db8::2", "8.8.8.8"} {
		in := spf.Input{IP: netip.MustParseAddr(ip), MailFrom: "a@long.example"}
		was := (&spf.Verifier{Resolver: z}).Verify(context.Background(), in)
		is := (&spf.Verifier{Resolver: after}).Verify(context.Background(), in)
		if was.Status != is.Status {
			t.Errorf("%s: %s before, %s after", ip, was.Status, is.Status)
		}
	}
	for name, want := range map[string]error{"none.example": spf.ErrNoRecord, "two.example": spf.ErrMultipleRecords, "slow.example": dns.ErrTemporary, "bad.example": nil} {
		if _, err := spf.Flatten(context.Background(), z, name); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", name, err, want)
		}
	}
}

// TestFlattenMeansTheSame publishes what is advised for generated zones, and
// evaluates every client before and after.
func TestFlattenMeansTheSame(t *testing.T) {
	published := 0
	for seed := range uint64(2000) {
		g := generate(seed)
		for d := range 6 {
			name := fmt.Sprintf("d%d.example", d)
			f, err := spf.Flatten(context.Background(), g.zone, name)
			if err != nil || f.Records == nil {
				continue
			}
			published++
			after := &zone{records: map[string]map[dns.Type][]string{}, timeout: g.zone.timeout}
			for n, sets := range g.zone.records {
				after.records[n] = sets
			}
			for _, r := range f.Records {
				sets := map[dns.Type][]string{dns.TXT: {r.Value}}
				for typ, all := range g.zone.records[r.Name] {
					if typ != dns.TXT {
						sets[typ] = all
					}
				}
				after.records[r.Name] = sets
			}
			for _, a := range genAddrs {
				in := spf.Input{IP: netip.MustParseAddr(a), Helo: "h.example", MailFrom: "user@" + name}
				was := (&spf.Verifier{Resolver: g.zone, Limits: spf.Limits{VoidLookups: 100, Lookups: 100}}).Verify(context.Background(), in)
				is := (&spf.Verifier{Resolver: after, Limits: spf.Limits{VoidLookups: 100, Lookups: 100}}).Verify(context.Background(), in)
				if was.Status != is.Status && was.Err == nil {
					t.Errorf("case %d, %s from %s: %s by %s before, %s by %s after\n%q\n%+v", seed, name, a, was.Status, was.Mechanism, is.Status, is.Mechanism, g.zone.records[name][dns.TXT], f)
					return
				}
			}
		}
	}
	if published < 100 {
		t.Errorf("%d records", published)
	}
	t.Logf("%d records", published)
}
