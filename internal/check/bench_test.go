package check

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"runtime"
	"strconv"
	"testing"

	"sekimori/dns"
	"sekimori/dns/dnstest"
)

// cached answers as a resolver does that has everything in its cache: from a
// map, without waiting.
type cached struct {
	zone    *dnstest.Zone
	answers map[question]reply
}

type question struct {
	name string
	t    dns.Type
}

type reply struct {
	a   dns.Answer
	err error
}

func (c *cached) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	if r, ok := c.answers[question{name, t}]; ok {
		return r.a, r.err
	}
	return c.zone.Lookup(ctx, name, t)
}

func (c *cached) keep(names ...string) *cached {
	c.answers = map[question]reply{}
	for _, n := range names {
		for _, t := range []dns.Type{dns.TXT, dns.A, dns.AAAA, dns.MX} {
			a, err := c.zone.Lookup(context.Background(), n, t)
			c.answers[question{n, t}] = reply{a, err}
		}
	}
	return c
}

func warm(t testing.TB) *cached {
	return (&cached{zone: bankResolver(t).(*dnstest.Zone)}).keep("bank.example", "_dmarc.bank.example", "s1._domainkey.bank.example", "s2._domainkey.bank.example")
}

// BenchmarkCheck is SPF, DKIM (one rsa-2048 signature) and DMARC of a message
// with DNS answers in memory; BenchmarkLimit is what cannot be saved of it:
// one RSA verification and SHA-256 of the message.
//
// At once is what a gateway does, Sequential what a Batch does.
func BenchmarkCheck10K(b *testing.B)        { benchmarkCheck(b, 10<<10, true) }
func BenchmarkCheck100K(b *testing.B)       { benchmarkCheck(b, 100<<10, true) }
func BenchmarkCheckAtOnce10K(b *testing.B)  { benchmarkCheck(b, 10<<10, false) }
func BenchmarkCheckAtOnce100K(b *testing.B) { benchmarkCheck(b, 100<<10, false) }
func BenchmarkLimit10K(b *testing.B)        { benchmarkLimit(b, 10<<10) }
func BenchmarkLimit100K(b *testing.B)       { benchmarkLimit(b, 100<<10) }

func benchmarkCheck(b *testing.B, size int, sequential bool) {
	text := []byte(sized(b, size))
	c := &Checker{Resolver: warm(b), Sequential: sequential}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	r := bytes.NewReader(text)
	for b.Loop() {
		r.Reset(text)
		v, err := c.Check(context.Background(), bankInput, r)
		if err != nil || v.Outcome() != Confirmed {
			b.Fatal(err, v.Outcome())
		}
	}
}

func benchmarkLimit(b *testing.B, size int) {
	text := []byte(sized(b, size))
	key := testKey(b, "rsa").(*rsa.PrivateKey)
	sum := sha256.Sum256(text)
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		sum := sha256.Sum256(text)
		if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkField is the Authentication-Results field of a verdict.
func BenchmarkField(b *testing.B) {
	c := &Checker{Resolver: warm(b)}
	v, err := c.Check(context.Background(), bankInput, bytes.NewReader([]byte(sized(b, 1000))))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if v.AuthenticationResultsField() == "" {
			b.Fatal()
		}
	}
}

// BenchmarkBatch is a mailbox of 10 KB messages with all cores.
func BenchmarkBatch(b *testing.B) {
	batch := bankBatch(b)
	batch.Checker.Resolver = warm(b)
	n := 2000
	b.ReportAllocs()
	for b.Loop() {
		if err := batch.Run(context.Background(), []Place{{Name: "box", In: generated(b, n, 10<<10)}}, func(Checked) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "cores")
}

// TestAllocations bounds what a message costs beside its header: nothing that
// grows with the body.
func TestAllocations(t *testing.T) {
	c := &Checker{Resolver: warm(t)}
	counts := map[int]float64{}
	for _, size := range []int{10 << 10, 100 << 10} {
		text := []byte(sized(t, size))
		counts[size] = testing.AllocsPerRun(200, func() {
			v, err := c.Check(context.Background(), bankInput, bytes.NewReader(text))
			if err != nil || v.Outcome() != Confirmed {
				t.Fatal(err)
			}
		})
	}
	t.Logf("allocations: %v at 10 KiB, %v at 100 KiB", counts[10<<10], counts[100<<10])
	if most := 140.0; counts[10<<10] > most || counts[100<<10] > counts[10<<10]+3 {
		t.Errorf("%s, want at most %s and no more for a longer body", strconv.FormatFloat(counts[10<<10], 'f', 0, 64), strconv.FormatFloat(most, 'f', 0, 64))
	}
}
