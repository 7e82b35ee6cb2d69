package dmarc_test

import (
	"context"
	"testing"

	"sekimori/dmarc"
	"sekimori/dns"
)

// cached answers as a resolver does that has everything in memory.
type cached map[string]dns.Answer

func (c cached) Lookup(_ context.Context, name string, _ dns.Type) (dns.Answer, error) {
	if a, ok := c[name]; ok {
		return a, nil
	}
	return dns.Answer{}, dns.ErrNameNotFound
}

// BenchmarkEvaluate is the DMARC of one message with every DNS answer cached:
// a record at the Author Domain and equal names; a signature of a subdomain,
// which takes walks; a record inherited; a failure with foreign identifiers.
func BenchmarkEvaluate(b *testing.B) {
	const txt = "v=DMARC1; p=reject; rua=mailto:dmarc-reports@example.jp; ruf=mailto:dmarc-failures@example.jp; fo=1"
	r := cached{"_dmarc.example.jp": {Records: []string{txt}}}
	v := &dmarc.Verifier{Resolver: r}
	ctx := context.Background()
	for _, bm := range []struct {
		name, author string
		passed       []string
		want         dmarc.Status
	}{
		{"same", "example.jp", []string{"example.jp", "example.jp"}, dmarc.Pass},
		{"subdomain", "example.jp", []string{"example.jp", "mail.example.jp"}, dmarc.Pass},
		{"inherited", "news.example.jp", []string{"news.example.jp", "example.jp"}, dmarc.Pass},
		{"foreign", "example.jp", []string{"bulk.example.net", "example.com"}, dmarc.Fail},
	} {
		b.Run(bm.name, func(b *testing.B) {
			author := name(b, bm.author)
			ids := []dmarc.Identifier{{Method: "spf", Domain: name(b, bm.passed[0])}, {Method: "dkim", Domain: name(b, bm.passed[1])}}
			b.ReportAllocs()
			for b.Loop() {
				if res := v.Evaluate(ctx, v.Discover(ctx, author), ids); res.Status != bm.want {
					b.Fatal(res.Status)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	const txt = "v=DMARC1; p=reject; rua=mailto:dmarc-reports@example.jp; ruf=mailto:dmarc-failures@example.jp; fo=1"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dmarc.Parse(txt); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAllocations bounds what the usual message costs.
func TestAllocations(t *testing.T) {
	r := cached{"_dmarc.example.jp": {Records: []string{"v=DMARC1; p=reject; rua=mailto:dmarc-reports@example.jp"}}}
	v := &dmarc.Verifier{Resolver: r}
	author := name(t, "example.jp")
	passed := []dmarc.Identifier{{Method: "spf", Domain: author}, {Method: "dkim", Domain: author}}
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() { v.Evaluate(ctx, v.Discover(ctx, author), passed) }); n > 32 {
		t.Errorf("%v allocations", n)
	}
}
