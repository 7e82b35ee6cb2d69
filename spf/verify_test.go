package spf_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/explain"
	"sekimori/spf"
)

func parseZone(t testing.TB, text string) *dnstest.Zone {
	t.Helper()
	z, err := dnstest.Parse(strings.NewReader(text), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

var verifyZone = `
pass.example.       TXT "v=spf1 ip4:192.0.2.1 -all"
slow.example.       TYPE65280 \# 0
two.example.        TXT "v=spf1 -all"
two.example.        TXT "v=spf1 +all"
bad.example.        TXT "v=spf1 ip4:192.0.2.1 foo -all"
inslow.example.     TXT "v=spf1 include:slow.example -all"
aslow.example.      TXT "v=spf1 a:slow.example -all"
ptrslow.example.    TXT "v=spf1 ptr ?all"
1.100.51.198.in-addr.arpa. TYPE65280 \# 0
redir.example.      TXT "v=spf1 redirect=pass.example"
redirnone.example.  TXT "v=spf1 redirect=none.example"
redirloc.example.   TXT "v=spf1 redirect=%{l}.example"
redirone.example.   TXT "v=spf1 redirect=%{l}"
incone.example.     TXT "v=spf1 include:%{l} -all"
exp.example.        TXT "v=spf1 exp=text.example -all"
text.example.       TXT "%{i} may not, %{l} of %{o} (%{h}, %{r}, %{t}, %{c}, %{d}, %{S})"
expredir.example.   TXT "v=spf1 exp=none.example redirect=exp2.example"
exp2.example.       TXT "v=spf1 -all exp=%{d}.text.example"
exp2.example.text.example. TXT "for %{d}"
explong.example.    TXT "v=spf1 -all exp=longtext.example"
longtext.example.   TXT "%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}"
user.example.       TXT "v=spf1 +all"
xn--wgv71a119e.example. TXT "v=spf1 exists:%{o}.seen.example -all"
xn--wgv71a119e.example.seen.example. A 127.0.0.2
eai.example.        TXT "v=spf1 exists:%{l}.any.example ~include:%{l}.any.example ?all"
eairedir.example.   TXT "v=spf1 redirect=%{l}.any.example"
*.any.example.      A 127.0.0.2
mxorder.example.    TXT "v=spf1 mx -all"
mxorder.example.    MX 20 slow.example.
mxorder.example.    MX 10 h1.example.
h1.example.         A 192.0.2.1
h1.example.         AAAA 2001:db8::1
manymx.example.     TXT "v=spf1 mx -all"
` + manyMX + `
void.example.       TXT "v=spf1 a:x1.example mx:x2.example exists:x3.example -all"
voidptr.example.    TXT "v=spf1 ptr ptr ptr ip4:192.0.2.1 -all"
voidbad.example.    TXT "v=spf1 a:x..example a:y..example a:z..example ip4:192.0.2.1 -all"
voidmx.example.     TXT "v=spf1 mx:badmx.example ip4:192.0.2.1 -all"
badmx.example.      MX 1 x1.example.
badmx.example.      MX 1 x2.example.
badmx.example.      MX 1 x3.example.
badmx.example.      MX 1 x4.example.
voidmatch.example.  TXT "v=spf1 a:x1.example a:x2.example mx:halfmx.example -all"
halfmx.example.     MX 1 x3.example.
halfmx.example.     MX 2 h1.example.
macrop.example.     TXT "v=spf1 exists:%{p}.seen.example -all"
1.2.0.192.in-addr.arpa. PTR h1.example.
h1.example.seen.example. A 127.0.0.2
dual.example.       TXT "v=spf1 a/24//64 -all"
dual.example.       A 192.0.2.200
dual.example.       AAAA 2001:db8::f
mapped.example.     TXT "v=spf1 ip6:::ffff:0:0/96 ip4:192.0.2.0/24 -all"
`

var manyMX = func() string {
	var b strings.Builder
	for i := range 11 {
		fmt.Fprintf(&b, "manymx.example. MX %d m%d.example.\nm%d.example. A 192.0.2.%d\n", i, i, i, 100+i)
	}
	return b.String()
}()

func TestVerify(t *testing.T) {
	z := parseZone(t, verifyZone)
	at := time.Unix(1234567890, 0)
	for _, c := range []struct {
		from, ip  string
		want      spf.Status
		mechanism string
		err       error
		text      string
	}{
		{"a@pass.example", "192.0.2.1", spf.Pass, "ip4:192.0.2.1", nil, ""},
		{"a@PASS.Example.", "192.0.2.1", spf.Pass, "ip4:192.0.2.1", nil, ""},
		{`"odd@local"@pass.example`, "192.0.2.1", spf.Pass, "ip4:192.0.2.1", nil, ""},
		{"pass.example", "192.0.2.1", spf.Pass, "ip4:192.0.2.1", nil, ""},
		{"a@pass.example", "::ffff:192.0.2.1", spf.Pass, "ip4:192.0.2.1", nil, ""},
		{"a@pass.example", "192.0.2.2", spf.Fail, "-all", nil, ""},
		{"a@none.example", "192.0.2.2", spf.None, "", nil, ""},
		{"a@one", "192.0.2.2", spf.None, "", spf.ErrBadDomain, ""},
		{"a@", "192.0.2.2", spf.None, "", spf.ErrBadDomain, ""},
		{"a@[192.0.2.1]", "192.0.2.2", spf.None, "", spf.ErrBadDomain, ""},
		{"a@pass.example\r\n", "192.0.2.2", spf.None, "", spf.ErrBadDomain, ""},
		{"a@x..example", "192.0.2.2", spf.None, "", spf.ErrBadDomain, ""},
		{"a@pass.example", "", spf.None, "", spf.ErrNoAddress, ""},
		{"a@slow.example", "192.0.2.2", spf.TempError, "", dns.ErrTemporary, ""},
		{"a@two.example", "192.0.2.2", spf.PermError, "", spf.ErrMultipleRecords, ""},
		{"a@bad.example", "192.0.2.1", spf.PermError, "", &spf.SyntaxError{}, ""},
		{"a@inslow.example", "192.0.2.1", spf.TempError, "", dns.ErrTemporary, ""},
		{"a@aslow.example", "192.0.2.1", spf.TempError, "", dns.ErrTemporary, ""},
		{"a@ptrslow.example", "198.51.100.1", spf.Neutral, "?all", nil, ""},
		{"a@redir.example", "192.0.2.1", spf.Pass, "ip4:192.0.2.1", nil, ""},
		{"a@redirnone.example", "192.0.2.1", spf.PermError, "", spf.ErrNoRecord, ""},
		{"pass@redirloc.example", "192.0.2.1", spf.Pass, "ip4:192.0.2.1", nil, ""},
		{"pass@redirone.example", "192.0.2.1", spf.PermError, "", spf.ErrNoRecord, ""},
		{"pass@incone.example", "192.0.2.1", spf.PermError, "", spf.ErrNoRecord, ""},
		{"a=b@exp.example", "2001:db8::7", spf.Fail, "-all", nil,
			"2.0.0.1.0.D.B.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7 may not, a=b of exp.example (helo.example, mx.receiver.example, 1234567890, 2001:db8::7, exp.example, a%3Db%40exp.example)"},
		{"a@expredir.example", "192.0.2.1", spf.Fail, "-all", nil, "for exp2.example"},
		{"\x01\xe9" + strings.Repeat("a", 60) + "@explong.example", "192.0.2.1", spf.Fail, "-all", nil, "*500"},
		{"利用者@日本語.example", "192.0.2.1", spf.Pass, "exists:%{o}.seen.example", nil, ""},
		{"利用者@eai.example", "192.0.2.1", spf.Neutral, "?all", nil, ""},
		{"user@eai.example", "192.0.2.1", spf.Pass, "exists:%{l}.any.example", nil, ""},
		{"利用者@eairedir.example", "192.0.2.1", spf.PermError, "", spf.ErrNoRecord, ""},
		{"a@mxorder.example", "192.0.2.1", spf.Pass, "mx", nil, ""},
		{"a@mxorder.example", "192.0.2.2", spf.TempError, "", dns.ErrTemporary, ""},
		{"a@manymx.example", "192.0.2.109", spf.Pass, "mx", nil, ""},
		{"a@manymx.example", "192.0.2.110", spf.PermError, "", spf.ErrMXLimit, ""},
		{"a@void.example", "192.0.2.1", spf.PermError, "", spf.ErrVoidLimit, ""},
		{"a@voidptr.example", "198.51.100.2", spf.Fail, "-all", nil, ""}, // asked once, counted once
		{"a@voidbad.example", "192.0.2.1", spf.Pass, "ip4:192.0.2.1", nil, ""},
		{"a@voidmx.example", "192.0.2.1", spf.Pass, "ip4:192.0.2.1", nil, ""}, // a term counts once
		{"a@voidmatch.example", "192.0.2.1", spf.Pass, "mx:halfmx.example", nil, ""},
		{"a@macrop.example", "192.0.2.1", spf.Pass, "exists:%{p}.seen.example", nil, ""},
		{"a@macrop.example", "192.0.2.2", spf.Fail, "-all", nil, ""},
		{"a@dual.example", "192.0.2.7", spf.Pass, "a/24//64", nil, ""},
		{"a@dual.example", "2001:db8::abcd", spf.Pass, "a/24//64", nil, ""},
		{"a@dual.example", "2001:db8:0:1::1", spf.Fail, "-all", nil, ""},
		{"a@mapped.example", "198.51.100.1", spf.Fail, "-all", nil, ""},
	} {
		v := spf.Verifier{Resolver: z, Receiver: "mx.receiver.example", Now: func() time.Time { return at }}
		in := spf.Input{Helo: "helo.example", MailFrom: c.from}
		if c.ip != "" {
			in.IP = netip.MustParseAddr(c.ip)
		}
		got := v.Verify(context.Background(), in)
		if got.Status != c.want || got.Mechanism != c.mechanism || got.Identity != spf.MailFrom {
			t.Errorf("%s from %s: %s by %q (%v), want %s by %q", c.from, c.ip, got.Status, got.Mechanism, got.Err, c.want, c.mechanism)
		}
		var bad *spf.SyntaxError
		if errors.As(c.err, &bad) {
			if !errors.As(got.Err, &bad) {
				t.Errorf("%s: error %v", c.from, got.Err)
			}
		} else if (c.err == nil) != (got.Err == nil) || !errors.Is(got.Err, c.err) {
			t.Errorf("%s: error %v, want %v", c.from, got.Err, c.err)
		}
		if c.text == "*500" {
			if len(got.Explanation) != 500 || strings.Trim(got.Explanation, "?a@explong.m") != "" {
				t.Errorf("%s: explanation %q", c.from, got.Explanation)
			}
		} else if got.Explanation != c.text {
			t.Errorf("%s: explanation %q, want %q", c.from, got.Explanation, c.text)
		}
		if len(got.Steps) != 1 || len(got.Steps[0].Children) == 0 {
			t.Errorf("%s: not explained: %+v", c.from, got.Steps)
		}
		checkSteps(t, c.from, got.Steps)
	}
}

// checkSteps holds steps to what they promise: bounded printable values.
func checkSteps(t testing.TB, name string, steps []explain.Step) {
	for _, s := range steps {
		if !strings.HasPrefix(s.Code, "spf.") {
			t.Errorf("%s: code %q", name, s.Code)
		}
		for k, v := range s.Args {
			all := []string{}
			switch v := v.(type) {
			case string:
				all = append(all, v)
			case []string:
				all = v
			case int64, bool:
			default:
				t.Errorf("%s: %s: argument %s is a %T", name, s.Code, k, v)
			}
			for _, s := range all {
				if len(s) > 205 || s != "" && !shown(s) {
					t.Errorf("%s: argument %s is %q", name, k, s)
				}
			}
		}
		checkSteps(t, name, s.Children)
	}
}

// shown reports whether a text can be shown: not empty, UTF-8, printable.
func shown(s string) bool {
	return s != "" && utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func TestVerifyNullPath(t *testing.T) {
	z := parseZone(t, `h.example. TXT "v=spf1 exists:%{l}.%{o}.seen.example -all"`+"\npostmaster.h.example.seen.example. A 127.0.0.2\n")
	v := spf.Verifier{Resolver: z}
	in := spf.Input{IP: netip.MustParseAddr("192.0.2.1"), Helo: "H.example"}
	got := v.Verify(context.Background(), in)
	if got.Status != spf.Pass || got.Identity != spf.MailFrom || got.Domain != "h.example" || got.Sender != "postmaster@H.example" {
		t.Errorf("null reverse-path: %+v", got)
	}
	in.MailFrom = "a@none.example"
	got = v.VerifyHelo(context.Background(), in)
	if got.Status != spf.Pass || got.Identity != spf.Helo || got.Domain != "h.example" {
		t.Errorf("helo: %+v", got)
	}
	in.MailFrom = "@h.example"
	if got = v.Verify(context.Background(), in); got.Status != spf.Pass || got.Sender != "postmaster@h.example" {
		t.Errorf("no local-part: %+v", got)
	}
}

func TestLimits(t *testing.T) {
	var b strings.Builder
	for i := range 14 {
		fmt.Fprintf(&b, "i%d.example. TXT \"v=spf1 include:i%d.example -all\"\n", i, i+1)
	}
	b.WriteString("i14.example. TXT \"v=spf1 +all\"\nloop.example. TXT \"v=spf1 redirect=loop.example\"\n")
	z := parseZone(t, b.String())
	for _, c := range []struct {
		from    string
		lookups int
		want    spf.Status
		count   int
	}{
		{"a@i4.example", 0, spf.Pass, 10},
		{"a@i3.example", 0, spf.PermError, 10},
		{"a@i3.example", 11, spf.Pass, 11},
		{"a@loop.example", 0, spf.PermError, 10},
	} {
		v := spf.Verifier{Resolver: z, Limits: spf.Limits{Lookups: c.lookups}}
		got := v.Verify(context.Background(), spf.Input{IP: netip.MustParseAddr("192.0.2.1"), MailFrom: c.from})
		if got.Status != c.want || got.Lookups != c.count || (c.want == spf.PermError) != errors.Is(got.Err, spf.ErrLookupLimit) {
			t.Errorf("%s with limit %d: %s after %d (%v)", c.from, c.lookups, got.Status, got.Lookups, got.Err)
		}
	}
}

// waiting answers only when the context ends, or late without looking at it.
type waiting struct {
	dns.Resolver
	name string
	deaf time.Duration
}

func (w waiting) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	if name != w.name {
		return w.Resolver.Lookup(ctx, name, t)
	}
	if w.deaf > 0 {
		time.Sleep(w.deaf)
		return dns.Answer{}, fmt.Errorf("late: %w", dns.ErrNameNotFound)
	}
	derived, cancel := context.WithCancel(ctx)
	defer cancel()
	if _, ok := derived.Deadline(); !ok {
		return dns.Answer{}, errors.New("no deadline")
	}
	<-derived.Done()
	return dns.Answer{}, fmt.Errorf("%w: %w", dns.ErrTemporary, ctx.Err())
}

func TestTimeLimit(t *testing.T) {
	z := parseZone(t, `
a.example. TXT "v=spf1 a:slow.example a:other.example +all"
p.example. TXT "v=spf1 ptr +all"
`)
	for _, c := range []struct {
		from, name string
		deaf       time.Duration
	}{
		{"x@a.example", "slow.example", 0},
		{"x@a.example", "a.example", 0},
		{"x@a.example", "slow.example", 40 * time.Millisecond},
		{"x@p.example", "1.2.0.192.in-addr.arpa", 0},
	} {
		v := spf.Verifier{Resolver: waiting{z, c.name, c.deaf}, Limits: spf.Limits{Time: 20 * time.Millisecond}}
		got := v.Verify(context.Background(), spf.Input{IP: netip.MustParseAddr("192.0.2.1"), MailFrom: c.from})
		if got.Status != spf.TempError || !errors.Is(got.Err, spf.ErrTimeLimit) {
			t.Errorf("%s, %s waits: %s (%v)", c.from, c.name, got.Status, got.Err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	v := spf.Verifier{Resolver: z}
	if got := v.Verify(ctx, spf.Input{IP: netip.MustParseAddr("192.0.2.1"), MailFrom: "x@a.example"}); got.Status != spf.TempError {
		t.Errorf("cancelled: %s", got.Status)
	}
}

// counting counts questions.
type counting struct {
	dns.Resolver
	n atomic.Int64
}

func (c *counting) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	c.n.Add(1)
	return c.Resolver.Lookup(ctx, name, t)
}

// TestQuestions holds the worst record to the stated bound.
func TestQuestions(t *testing.T) {
	var b strings.Builder
	b.WriteString(`worst.example. TXT "v=spf1 exists:%{p}.none.example mx:m.example mx:m.example mx:m.example mx:m.example mx:m.example mx:m.example mx:m.example mx:m.example mx:m.example -all exp=none.example"` + "\n")
	for i := range 10 {
		fmt.Fprintf(&b, "m.example. MX %d m%d.example.\nm%d.example. A 198.51.100.1\n1.2.0.192.in-addr.arpa. PTR m%d.example.\n", i, i, i, i)
	}
	c := &counting{Resolver: parseZone(t, b.String())}
	v := spf.Verifier{Resolver: c}
	got := v.Verify(context.Background(), spf.Input{IP: netip.MustParseAddr("192.0.2.1"), MailFrom: "a@worst.example"})
	if got.Status != spf.Fail || got.Lookups != 10 {
		t.Errorf("%+v", got)
	}
	if n := c.n.Load(); n > 123 || n < 100 {
		t.Errorf("%d questions", n)
	}
}

func TestStepsJSON(t *testing.T) {
	z := parseZone(t, verifyZone)
	v := spf.Verifier{Resolver: z}
	got := v.Verify(context.Background(), spf.Input{IP: netip.MustParseAddr("192.0.2.1"), MailFrom: "a@redir.example"})
	raw, err := json.Marshal(got.Steps)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"code":"spf.pass","args":{"domain":"redir.example","ip":"192.0.2.1","lookups":1,"mechanism":"ip4:192.0.2.1"},"ref":"RFC 7208 §8.3","children":[` +
		`{"code":"spf.record","args":{"domain":"redir.example","record":"v=spf1 redirect=pass.example"},"ref":"RFC 7208 §4.5","children":[` +
		`{"code":"spf.redirect","args":{"record":"v=spf1 ip4:192.0.2.1 -all","result":"pass","term":"redirect=pass.example"},"ref":"RFC 7208 §6.1","children":[` +
		`{"code":"spf.match.network","args":{"ip":"192.0.2.1","term":"ip4:192.0.2.1"},"ref":"RFC 7208 §5.6"}]}]}]}]`
	if string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
}

func TestConcurrent(t *testing.T) {
	v := spf.Verifier{Resolver: benchZone, Cache: &spf.Cache{}}
	done := make(chan spf.Status)
	for range 8 {
		go func() {
			r := v.Verify(context.Background(), spf.Input{IP: netip.MustParseAddr("203.0.113.7"), MailFrom: "a@big.example.com"})
			done <- r.Status
		}()
	}
	for range 8 {
		if s := <-done; s != spf.Pass {
			t.Error(s)
		}
	}
}

// TestCache checks that a cache changes nothing, also when it is full.
func TestCache(t *testing.T) {
	var cache spf.Cache
	for round := range 3 {
		for seed := range uint64(500) {
			g := generate(seed)
			plain := spf.Verifier{Resolver: g.zone}
			cached := spf.Verifier{Resolver: g.zone, Cache: &cache}
			a, b := plain.Verify(context.Background(), g.input), cached.Verify(context.Background(), g.input)
			if a.Status != b.Status || a.Mechanism != b.Mechanism || fmt.Sprint(a.Steps, a.Err) != fmt.Sprint(b.Steps, b.Err) {
				t.Fatalf("round %d, case %d: %+v, cached %+v", round, seed, a, b)
			}
		}
		for i := range 400 {
			z := answers{"x.example": {fmt.Sprintf("v=spf1 exp=x%d.example%s", i, strings.Repeat(" a", 250))}}
			cached := spf.Verifier{Resolver: z, Cache: &cache}
			cached.Verify(context.Background(), spf.Input{IP: netip.MustParseAddr("192.0.2.1"), MailFrom: "a@x.example"})
		}
	}
}

func ExampleVerifier_Verify() {
	z, _ := dnstest.Parse(strings.NewReader(`example.com. TXT "v=spf1 ip4:192.0.2.0/24 -all"`+"\n"), "zone")
	v := spf.Verifier{Resolver: z}
	r := v.Verify(context.Background(), spf.Input{
		IP: netip.MustParseAddr("192.0.2.7"), Helo: "mail.example.com", MailFrom: "alice@example.com"})
	fmt.Println(r.Status, r.Mechanism)
	// Output: pass ip4:192.0.2.0/24
}
