package gateway

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/milter"
)

// cached answers as the network resolver does that has everything in its
// cache.
type cached struct {
	zone *dnstest.Zone
	mu   sync.RWMutex
	have map[question]reply
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
	if a, err, ok := c.Cached(name, t); ok {
		return a, err
	}
	a, err := c.zone.Lookup(ctx, name, t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.have == nil {
		c.have = map[question]reply{}
	}
	c.have[question{name, t}] = reply{a, err}
	return a, err
}

func (c *cached) Cached(name string, t dns.Type) (dns.Answer, error, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, ok := c.have[question{name, t}]
	return r.a, r.err, ok
}

// nowhere is a Log that keeps nothing.
type nowhere struct{}

func (nowhere) Append(*verdict.Entry) (verdict.Receipt, error) { return verdict.Receipt{}, nil }

// sized is a signed message of about size octets that passes.
func sized(t testing.TB, size int) mail {
	m := good
	m.text = signed(t, draft("info@bank.example")+strings.Repeat("All work and no play makes a dull message, and so on to the end.\r\n", size/67), "bank.example")
	return m
}

// BenchmarkArrival is a message from MAIL to the answer without the wire: SPF,
// DKIM (one rsa-2048 signature), DMARC, decision, fields, entry.
func BenchmarkArrival10K(b *testing.B)  { benchmarkArrival(b, 10<<10) }
func BenchmarkArrival100K(b *testing.B) { benchmarkArrival(b, 100<<10) }

func benchmarkArrival(b *testing.B, size int) {
	g := newGate(b, &cached{zone: zone(b, bankZone)}, Options{Log: nowhere{}, Site: Site{Mode: Enforce}})
	m := sized(b, size)
	connection, events := m.connection(), m.events(b)
	f := &fake{macros: map[string]string{"j": "mx.example", "i": "4bQ1"}, events: connection}
	n := session{g: g.Gateway, c: f}
	for _, ev := range connection {
		if err := n.take(context.Background(), ev); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(m.text)))
	b.ReportAllocs()
	b.ResetTimer()
	used := cpu()
	for b.Loop() {
		f.results, f.current = f.results[:0], result{}
		for i := range events {
			if err := n.take(context.Background(), events[i]); err != nil {
				b.Fatal(err)
			}
		}
		if len(f.results) != 1 || !strings.Contains(f.results[0].inserted[0].value, "dmarc=pass") {
			b.Fatalf("%+v", f.results)
		}
	}
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// cpu is the processor time of the process.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWire10K is the same over a unix socket, with the work of a client in
// the same process.
func BenchmarkWire10K(b *testing.B) {
	g := newGate(b, &cached{zone: zone(b, bankZone)}, Options{Log: nowhere{}, Site: Site{Mode: Enforce}})
	address := g.listen(b)
	m := sized(b, 10<<10)
	h, body, err := message.Read(strings.NewReader(m.text), 0)
	if err != nil {
		b.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil || len(h) == 0 {
		b.Fatal(err)
	}
	sent := m.sent(b)
	c := dial(b, address, milter.ClientOptions{})
	b.SetBytes(int64(len(m.text)))
	b.ReportAllocs()
	b.ResetTimer()
	used := cpu()
	for b.Loop() {
		sent.Body = bytes.NewReader(text)
		o, err := c.Send(context.Background(), sent)
		if err != nil || len(o.Changes) != 1 {
			b.Fatal(err, o)
		}
	}
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// TestAllocations bounds what a message leaves to be collected: nothing that
// grows with the body.
func TestAllocations(t *testing.T) {
	counts := map[int]float64{}
	for _, size := range []int{10 << 10, 100 << 10} {
		g := newGate(t, &cached{zone: zone(t, bankZone)}, Options{Log: nowhere{}})
		m := sized(t, size)
		f := &fake{macros: map[string]string{"j": "mx.example"}}
		n := session{g: g.Gateway, c: f}
		events := append(m.connection(), m.events(t)...)
		counts[size] = testing.AllocsPerRun(200, func() {
			f.results, f.current = f.results[:0], result{}
			for i := range events {
				if err := n.take(context.Background(), events[i]); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	t.Logf("allocations: %v at 10 KiB, %v at 100 KiB", counts[10<<10], counts[100<<10])
	if most := 160.0; counts[10<<10] > most || counts[100<<10] > counts[10<<10]+3 {
		t.Errorf("%v, want at most %v and no more for a longer body", counts, most)
	}
}
