package posture

import (
	"testing"
)

// BenchmarkFrugal is the work of one domain of a survey, the DNS free.
func BenchmarkFrugal(b *testing.B) {
	for _, dir := range []string{"good", "bare", "silent"} {
		b.Run(dir, func(b *testing.B) {
			s := load(b, "testdata/"+dir)
			b.ReportAllocs()
			for b.Loop() {
				if p := Inspect(b.Context(), s.resolver, s.name, Options{Frugal: true}); p.Questions == 0 {
					b.Fatal("nothing asked")
				}
			}
		})
	}
}
