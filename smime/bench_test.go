package smime

import (
	"context"
	"strings"
	"testing"
)

// BenchmarkVerify is one message of 10 KiB, structure to chain.
func BenchmarkVerify(b *testing.B) {
	p := newPKI(b)
	mail := plainMail + strings.Repeat("from the city, at some length\r\n", 330)
	for _, kind := range []string{"rsa", "p256"} {
		in := parse(b, sign(b, p.leaf(b, kind, nil).credential(p.middle), mail))
		in.Arrived = today
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := p.v.Verify(context.Background(), in); r.Status != Pass {
					b.Fatal(r.Reason)
				}
			}
		})
	}
}

// BenchmarkAnnounced is what a message without S/MIME costs.
func BenchmarkAnnounced(b *testing.B) {
	in := parse(b, []byte(plainMail))
	for b.Loop() {
		if Announced(in.Header) {
			b.Fatal("announced")
		}
	}
}
