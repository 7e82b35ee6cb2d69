package rpki

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
)

// many writes payloads as the whole Internet has them, as Routinator's JSON.
func many(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	var b bytes.Buffer
	b.WriteString(`{"metadata":{"generated":1795305600},"roas":[`)
	for i := range n {
		if i > 0 {
			b.WriteString(",\n")
		}
		if r.IntN(4) == 0 {
			fmt.Fprintf(&b, `{"asn":"AS%d","prefix":"2%03x:%x::/48","maxLength":48,"ta":"apnic"}`, r.IntN(70000), r.IntN(0x1000), r.IntN(0x10000))
			continue
		}
		bits := 16 + r.IntN(9)
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(1 + r.IntN(223)), byte(r.IntN(256)), byte(r.IntN(256))}), bits).Masked()
		fmt.Fprintf(&b, `{"asn":"AS%d","prefix":"%s","maxLength":%d,"ta":"apnic"}`, r.IntN(70000), p, bits+r.IntN(25-bits))
	}
	b.WriteString("]}")
	return b.Bytes()
}

func BenchmarkReadVRPs(b *testing.B) {
	text := many(800_000)
	b.SetBytes(int64(len(text)))
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s, _, err := ReadVRPs(bytes.NewReader(text))
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(s.Len()), "B/VRP")
		runtime.KeepAlive(s)
	}
}

func BenchmarkOrigins(b *testing.B) {
	s, _, err := ReadVRPs(bytes.NewReader(many(800_000)))
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	routes := &routeBuilder{}
	for range 1_000_000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(1 + r.IntN(223)), byte(r.IntN(256)), byte(r.IntN(256))}), 16+r.IntN(9)).Masked()
		if err := routes.add(p, []seen{{asn: ASN(r.IntN(70000))}}); err != nil {
			b.Fatal(err)
		}
	}
	t := Table{s, routes.build(0)}
	for b.Loop() {
		t.Origins(netip.AddrFrom4([4]byte{byte(1 + r.IntN(223)), byte(r.IntN(256)), byte(r.IntN(256)), 1}))
	}
}
