package resolve

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sekimori/dns"
)

// warm returns a resolver that has learnt n names and asks nobody.
func warm(tb testing.TB, n int) (*Resolver, []string) {
	tb.Helper()
	r, err := New(Options{Servers: []string{"127.0.0.1:1"}})
	if err != nil {
		tb.Fatal(err)
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("selector%d._domainkey.example.com", i)
		k := key{fmt.Sprintf("\x09selector%d\x0a_domainkey\x07example\x03com", i), 16}
		k.name = fmt.Sprintf("%c%s", rune(len(fmt.Sprint(i))+8), k.name[1:])
		a := dns.Answer{Records: []string{"v=DKIM1; p=MIGf"}, Security: dns.Secure}
		r.cache.put(k, a, nil, r.now()+time.Hour)
		k.typ = 1
		r.cache.put(k, dns.Answer{}, &dns.Failure{Name: names[i], Type: dns.A, Err: dns.ErrNoData}, r.now()+time.Hour)
	}
	return r, names
}

// TestHitAllocations bounds what a cached answer costs: nothing.
func TestHitAllocations(t *testing.T) {
	r, names := warm(t, 10)
	ctx := context.Background()
	if a, err := r.Lookup(ctx, names[3], dns.TXT); err != nil || len(a.Records) != 1 || a.TTL <= 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	if _, err := r.Lookup(ctx, names[3], dns.A); !dns.Absent(err) {
		t.Fatal(err)
	}
	for _, typ := range []dns.Type{dns.TXT, dns.A} {
		if n := testing.AllocsPerRun(200, func() { _, _ = r.Lookup(ctx, names[3], typ) }); n > 0 {
			t.Errorf("%s: %v allocations, want none", typ, n)
		}
	}
}

func BenchmarkHit(b *testing.B) {
	r, names := warm(b, 1000)
	ctx := context.Background()
	for _, typ := range []dns.Type{dns.TXT, dns.A} {
		b.Run(map[dns.Type]string{dns.TXT: "records", dns.A: "absent"}[typ], func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, _ = r.Lookup(ctx, names[i%len(names)], typ)
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				_, _ = r.Lookup(ctx, names[i%len(names)], dns.TXT)
			}
		})
	})
}
