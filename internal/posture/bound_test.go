package posture

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/domain"
)

func name(t testing.TB, s string) domain.Name {
	t.Helper()
	n, err := domain.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// counted counts different questions, and how many are asked at a time.
type counted struct {
	mu     sync.Mutex
	asked  map[string]int
	now    int
	most   int
	lookup func(ctx context.Context, name string, t dns.Type) (dns.Answer, error)
}

func (c *counted) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	c.mu.Lock()
	if c.asked == nil {
		c.asked = map[string]int{}
	}
	c.asked[strings.ToLower(name)+" "+string(t)]++
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	defer func() { c.mu.Lock(); c.now--; c.mu.Unlock() }()
	return c.lookup(ctx, name, t)
}

func (c *counted) check(t *testing.T, p *Posture) {
	t.Helper()
	if n := len(c.asked); n != p.Questions || n > MaxQuestions {
		t.Errorf("%d questions, said to be %d, at most %d are promised", n, p.Questions, MaxQuestions)
	}
	for q, n := range c.asked {
		if n > 1 {
			t.Errorf("%s was asked %d times", q, n)
		}
	}
}

// hostile answers every question, with as much and as deep as it can.
func hostile(_ context.Context, name string, t dns.Type) (dns.Answer, error) {
	var out []string
	switch t {
	case dns.MX:
		for i := range 500 {
			out = append(out, fmt.Sprintf("%d mx%d.%s.", i, i, name))
		}
	case dns.A:
		for i := range 500 {
			out = append(out, fmt.Sprintf("192.0.%d.%d", i/256, i%256))
		}
	case dns.TLSA:
		for range 500 {
			out = append(out, "3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
		}
	case dns.TXT:
		var rua []string
		for i := range 200 {
			rua = append(rua, fmt.Sprintf("mailto:a@a.b.c.d.e.f.g.h.i%d.example", i))
		}
		switch {
		case strings.HasPrefix(name, "_dmarc."):
			out = append(out, "v=DMARC1; p=reject; rua="+strings.Join(rua, ","))
		case strings.Contains(name, "_domainkey"):
			out = append(out, "v=DKIM1; p="+strings.Repeat("QUJD", 4000))
		case strings.HasPrefix(name, "_"):
		default:
			var b strings.Builder
			b.WriteString("v=spf1")
			for i := range 100 {
				fmt.Fprintf(&b, " include:i%d.%s mx:m%d.%s a:a%d.%s exists:%%{i}.%s", i, name, i, name, i, name, name)
			}
			out = append(out, b.String()+" -all")
		}
		for i := range 500 {
			out = append(out, fmt.Sprintf("\x1b[31mnoise %d\u202e", i)+strings.Repeat("x", 2000))
		}
	default:
		return dns.Answer{}, dns.ErrNoData
	}
	return dns.Answer{Records: out, Name: "alias." + name}, nil
}

func TestHostile(t *testing.T) {
	if MaxQuestions != 296 {
		t.Errorf("MaxQuestions is %d: its comment says 296", MaxQuestions)
	}
	for _, frugal := range []bool{false, true} {
		c := &counted{lookup: hostile}
		var selectors []string
		for i := range 100 {
			selectors = append(selectors, fmt.Sprintf("sel%d", i))
		}
		p := Inspect(t.Context(), c, name(t, "huge.example"), Options{Selectors: selectors, Frugal: frugal})
		c.check(t, &p)
		if c.most > 64 {
			t.Errorf("%d questions at a time", c.most)
		}
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 1<<20 {
			t.Errorf("%d octets of JSON", len(b))
		}
		if s := string(b); strings.Contains(s, "\\u001b") || strings.Contains(s, "\u202e") {
			t.Error("control characters from outside get through")
		}
		if len(p.Findings) > maxFindings {
			t.Errorf("%d findings", len(p.Findings))
		}
		t.Logf("frugal %v: %d questions, %d at a time, %d findings, %d octets", frugal, p.Questions, c.most, len(p.Findings), len(b))
	}
}

// TestFailures lets each question of each scenario fail in turn: what was
// there may become unknown, and never absent.
func TestFailures(t *testing.T) {
	dirs, _ := filepath.Glob("testdata/*/zone")
	for _, d := range dirs {
		s := load(t, filepath.Dir(d))
		o := Options{Selectors: s.selectors}
		c := &counted{lookup: s.resolver.Lookup}
		whole := Inspect(t.Context(), c, s.name, o)
		c.check(t, &whole)
		for broken := range c.asked {
			f := &counted{lookup: func(ctx context.Context, name string, typ dns.Type) (dns.Answer, error) {
				if strings.ToLower(name)+" "+string(typ) == broken {
					return dns.Answer{}, fmt.Errorf("%w: cut off", dns.ErrTemporary)
				}
				return s.resolver.Lookup(ctx, name, typ)
			}}
			p := Inspect(t.Context(), f, s.name, o)
			for _, n := range Topics {
				if was, is := whole.Topic(n).Present, p.Topic(n).Present; was != is && is != Unknown && !(n == TopicDKIM && was == Unknown) {
					t.Errorf("%s without %s: %s was %s and is %s", s.name, broken, n, was, is)
				}
			}
			if p.Verdict.Protected != whole.Verdict.Protected && p.Verdict.Protected != Unknown {
				t.Errorf("%s without %s: protected was %s and is %s", s.name, broken, whole.Verdict.Protected, p.Verdict.Protected)
			}
			if was, is := whole.Exists, p.Exists; was != is && is == No {
				t.Errorf("%s without %s no longer exists", s.name, broken)
			}
			// Nothing new is said to be missing.
			have := map[string]bool{}
			for _, f := range whole.Findings {
				head, _, _ := strings.Cut(f.Code, "-missing")
				have[head] = true
			}
			for _, f := range p.Findings {
				head, _, missing := strings.Cut(f.Code, "-missing")
				if missing && strings.HasPrefix(head, "posture.") && !have[head] {
					t.Errorf("%s without %s: %s", s.name, broken, f.Code)
				}
			}
		}
	}
}

// TestDeadline: a resolver that never answers costs the time-out, and leaves
// everything unknown.
func TestDeadline(t *testing.T) {
	c := &counted{lookup: func(ctx context.Context, name string, _ dns.Type) (dns.Answer, error) {
		<-ctx.Done()
		return dns.Answer{}, fmt.Errorf("%s: %w: %w", name, dns.ErrTemporary, ctx.Err())
	}}
	began := time.Now()
	p := Inspect(t.Context(), c, name(t, "slow.example"), Options{Timeout: 50 * time.Millisecond})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if !p.Unanswered() || p.SendsMail != Unknown || p.Verdict.Level != LevelUnknown || len(p.Findings) != 0 {
		t.Errorf("%+v", p)
	}
	for _, n := range Topics {
		if l := p.Topic(n).Level; l != LevelUnknown {
			t.Errorf("%s is %s", n, l)
		}
	}
}

// TestFrugalSilent: where nobody answers, a frugal inspection soon stops
// asking, and everything is unknown.
func TestFrugalSilent(t *testing.T) {
	c := &counted{lookup: func(_ context.Context, name string, _ dns.Type) (dns.Answer, error) {
		return dns.Answer{}, fmt.Errorf("%s: %w", name, dns.ErrTemporary)
	}}
	p := Inspect(t.Context(), c, name(t, "slow.example"), Options{Frugal: true})
	if p.Questions > 5 || !p.Unanswered() || p.Verdict.Level != LevelUnknown || len(p.Findings) != 0 {
		t.Errorf("%d questions: %+v", p.Questions, p)
	}
	for _, f := range Facts {
		if s := p.Fact(f); s != Unknown {
			t.Errorf("%s is %s", f, s)
		}
	}
}

// TestFrugal: few questions for what most domains are.
func TestFrugal(t *testing.T) {
	for dir, most := range map[string]int{"bare": 20, "good": 35, "silent": 25, "missing": 5} {
		s := load(t, "testdata/"+dir)
		c := &counted{lookup: s.resolver.Lookup}
		p := Inspect(t.Context(), c, s.name, Options{Frugal: true})
		c.check(t, &p)
		if p.Questions > most {
			t.Errorf("%s: %d questions, want at most %d", dir, p.Questions, most)
		}
		t.Logf("%s: %d questions: %v", dir, p.Questions, slices.Sorted(maps.Keys(c.asked)))
	}
}
