package spf_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/spf"
)

// FuzzParse: what parses is what the grammar has, and prints back; what does
// not has a fault inside the text. Lint holds its promises for either.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"v=spf1", "v=spf1 -all", "V=SPF1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a/24//64 mx:%{d2r.-}.example ?exists:%{i}._spf.%{H} exp=e.example x=%%%_%-",
		"v=spf1 redirect=%{d}.example", "\"v=spf1;include:x.example - all", "v=spf1 ipv4:192.0.2.1/255.255.0.0 a:192.0.2.1, mx=x.example –all"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		r, err := spf.Parse(txt)
		if (err == nil) != grammatical(txt) && strings.Count(txt, " ") < 4096 {
			t.Fatalf("%q: %v, grammar %v", txt, err, grammatical(txt))
		}
		if err != nil {
			var bad *spf.SyntaxError
			if !errors.As(err, &bad) || bad.Offset < 0 || bad.Offset > len(txt) {
				t.Fatalf("%q: %v", txt, err)
			}
		} else {
			canonical := r.String()
			again, err := spf.Parse(canonical)
			if err != nil || again.String() != canonical || len(again.Terms) != len(r.Terms) {
				t.Fatalf("%q prints %q, which prints %v, %v", txt, canonical, again, err)
			}
			for i := range r.Terms {
				a, b := &r.Terms[i], &again.Terms[i]
				if a.String() != b.String() || a.Name != b.Name || a.Qualifier != b.Qualifier || !strings.HasPrefix(txt[a.Offset:], a.Text()) {
					t.Fatalf("%q: term %+v, %+v", txt, a, b)
				}
			}
		}
		found := spf.Lint(txt, "example.com")
		if len(found) > 50 {
			t.Fatalf("%q: %d findings", txt, len(found))
		}
		for _, f := range found {
			if f.Publish == nil {
				continue
			}
			if _, err := spf.Parse(f.Publish.Value); err != nil {
				t.Fatalf("%q: to publish %q: %v", txt, f.Publish.Value, err)
			}
			if len(f.Publish.Value) > 3*len(txt)+20 {
				t.Fatalf("%q: to publish %q", txt, f.Publish.Value)
			}
		}
		checkSteps(t, txt, steps(found))
	})
}

func steps(all []explain.Finding) []explain.Step {
	var out []explain.Step
	for _, f := range all {
		out = append(out, f.Step)
	}
	return out
}

// FuzzMacro: an explanation is expanded to printable ASCII of at most 500
// octets, whatever the sender.
func FuzzMacro(f *testing.F) {
	f.Add("%{l} %{s3r-} %{I} %{p} %{D1} %{c} %{r} %{t} %{h}%%%_%-", "a.b-c@example.com", "helo.example")
	f.Add("%{S}%{o2}", "\xff@x.example", "")
	f.Fuzz(func(t *testing.T, text, from, helo string) {
		m, err := spf.ParseExplanation(text)
		if err == nil && m.String() != text {
			t.Fatalf("%q prints %q", text, m.String())
		}
		at := strings.LastIndexByte(from, '@') + 1
		z := answers{strings.ToLower(strings.TrimSuffix(from[at:], ".")): {"v=spf1 -all exp=e.example"}, "e.example": {text}}
		v := spf.Verifier{Resolver: z}
		got := v.Verify(context.Background(), spf.Input{IP: netip.MustParseAddr("2001:db8::1"), MailFrom: from, Helo: helo})
		if len(got.Explanation) > 500 || strings.IndexFunc(got.Explanation, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			t.Fatalf("explanation %q", got.Explanation)
		}
		if err != nil && got.Explanation != "" {
			t.Fatalf("%q is no explanation (%v), but gives %q", text, err, got.Explanation)
		}
		checkSteps(t, text, got.Steps)
	})
}

// hostile answers every question from a few texts, by type and by a hash of
// the name, and counts.
type hostile struct {
	texts []string
	n     int
}

func (h *hostile) Lookup(_ context.Context, name string, t dns.Type) (dns.Answer, error) {
	if h.n++; len(name) > 254 || strings.Contains(name, "..") {
		return dns.Answer{}, fmt.Errorf("name %q: %w", name, errImpossible)
	}
	i := 0
	for _, c := range []byte(name) {
		i = (31*i + int(c)) % 997
	}
	text := h.texts[i%len(h.texts)]
	switch t {
	case dns.TXT:
		return dns.Answer{Records: []string{text}}, nil
	case dns.MX:
		var out []string
		for k := range i % 14 {
			out = append(out, fmt.Sprintf("%d m%d.%s", k, k, name))
		}
		return dns.Answer{Records: out}, nil
	case dns.PTR:
		return dns.Answer{Records: []string{"p.example.", "q." + text + "."}}, nil
	}
	switch i % 5 {
	case 0:
		return dns.Answer{}, dns.ErrNoData
	case 1:
		return dns.Answer{Records: []string{"192.0.2.1", "::1", "junk"}}, nil
	case 2:
		return dns.Answer{}, dns.ErrTemporary
	}
	return dns.Answer{Records: []string{"198.51.100.1"}}, nil
}

var errImpossible = errors.New("a name that cannot exist was asked for")

// FuzzVerify: whatever the records say, the number of questions and the time
// are bounded, no impossible name is asked for, and the result is sound.
func FuzzVerify(f *testing.F) {
	f.Add("v=spf1 include:a.example mx -all", "v=spf1 a:%{i}.%{d} redirect=%{l}.b.example", "v=spf1 exists:%{p}.%{s} exp=%{d} -all", "user@example.com")
	f.Add("v=spf1 mx mx mx mx mx mx mx mx mx mx", "v=spf1 ptr ptr:%{d1} ~all", "x", "@b.example")
	f.Fuzz(func(t *testing.T, a, b, c, from string) {
		h := &hostile{texts: []string{a, b, c}}
		v := spf.Verifier{Resolver: h}
		in := spf.Input{IP: netip.MustParseAddr("192.0.2.1"), Helo: "helo.example", MailFrom: from}
		began := time.Now()
		got := v.Verify(context.Background(), in)
		if h.n > 123 || got.Lookups > 10 {
			t.Fatalf("%d questions, %d lookups", h.n, got.Lookups)
		}
		if errors.Is(got.Err, errImpossible) {
			t.Fatal(got.Err)
		}
		failed := got.Status == spf.TempError || got.Status == spf.PermError
		if failed != (got.Err != nil) && !(got.Status == spf.None && errors.Is(got.Err, spf.ErrBadDomain)) {
			t.Fatalf("%s with %v", got.Status, got.Err)
		}
		if (got.Mechanism == "") == (got.Status == spf.Pass || got.Status == spf.Fail || got.Status == spf.SoftFail || got.Status == spf.Neutral) {
			t.Fatalf("%s by %q", got.Status, got.Mechanism)
		}
		checkSteps(t, "verify", got.Steps)
		if n := count(got.Steps); n > 2+2*(len(a)+len(b)+len(c))*11 {
			t.Fatalf("%d steps", n)
		}
		field := got.ReceivedSPF(in, "r.example")
		if back, err := spf.ParseReceivedSPF(field); err != nil || back.Status != got.Status {
			t.Fatalf("%q reads back as %+v, %v", field, back, err)
		}
		for _, domain := range []string{"example.com", from} {
			h.n = 0
			inspected := spf.Inspect(context.Background(), h, domain)
			if h.n > 150 || len(inspected.Findings) > 50 {
				t.Fatalf("inspect: %d questions, %d findings", h.n, len(inspected.Findings))
			}
			checkSteps(t, "inspect", steps(inspected.Findings))
			h.n = 0
			flat, err := spf.Flatten(context.Background(), h, domain)
			if h.n > 150 {
				t.Fatalf("flatten: %d questions", h.n)
			}
			for _, r := range flat.Records {
				if _, bad := spf.Parse(r.Value); bad != nil || err != nil {
					t.Fatalf("flatten: %q: %v, %v", r.Value, bad, err)
				}
			}
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Fatalf("took %v", d)
		}
	})
}

func count(all []explain.Step) int {
	n := len(all)
	for _, s := range all {
		n += count(s.Children)
	}
	return n
}

// FuzzReceived: what is read is part of the field, and bounded.
func FuzzReceived(f *testing.F) {
	f.Add("pass (x: y) client-ip=192.0.2.1; envelope-from=\"a@b\"; helo=h; mechanism=\"include:x\"; problem=\"\\\"\"")
	f.Add("none\r\n\t(a(b)c\\)) identity = helo ; k=v")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := spf.ParseReceivedSPF(s)
		if err != nil {
			return
		}
		total := len(r.Comment) + len(r.Helo) + len(r.EnvelopeFrom) + len(r.Mechanism) + len(r.Problem) + len(r.Receiver) + len(r.Identity)
		for _, p := range r.Other {
			total += len(p.Key) + len(p.Value)
		}
		if total > len(s) || len(r.Other) > 32 {
			t.Fatalf("%q: %+v", s, r)
		}
		if r.ClientIP.Is4In6() || r.ClientIP.Zone() != "" {
			t.Fatalf("%q: %v", s, r.ClientIP)
		}
		// What is written of it reads back.
		in := spf.Input{IP: r.ClientIP, Helo: r.Helo, MailFrom: r.EnvelopeFrom}
		field := spf.Result{Status: r.Status, Identity: r.Identity, Mechanism: r.Mechanism}.ReceivedSPF(in, r.Receiver)
		back, err := spf.ParseReceivedSPF(field)
		if err != nil || back.Status != r.Status || back.ClientIP != r.ClientIP {
			t.Fatalf("%q → %q → %+v, %v", s, field, back, err)
		}
		for i := 0; i < len(field); i++ {
			if field[i] < ' ' || field[i] > '~' {
				t.Fatalf("%q holds %q", field, field[i])
			}
		}
	})
}
