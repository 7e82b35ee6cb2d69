package store

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"sekimori/report/aggregate"
)

func TestSigned(t *testing.T) {
	ctx := context.Background()
	all := randomStored(rand.New(rand.NewPCG(5, 6)), 150)
	s := openTest(t, t.TempDir())
	putAll(t, s, all, 40)
	begin := DayOf(testDay)
	seen := map[Signature]bool{}
	for _, r := range all {
		r.days(Window{begin, begin + 60}, func(_ Day, rec *aggregate.Record, _ uint64) {
			for _, d := range rec.DKIMResults {
				seen[Signature{d.Domain, d.Selector}] = true
			}
		})
	}
	var by []Signature
	for g := range seen {
		by = append(by, g)
	}
	some := false
	for _, w := range []Window{{begin, begin + 60}, {begin + 7, begin + 20}, {begin + 3, begin + 4}} {
		for _, domain := range []string{"a.example", "c.example.co.jp", "absent.example"} {
			for i := range 2 * len(by) {
				ask := by[i%len(by) : i%len(by)+1]
				if i >= len(by) {
					ask = by[:i%len(by)]
				}
				var want uint64
				for _, r := range all {
					if !strings.EqualFold(r.report.PolicyPublished.Domain, domain) {
						continue
					}
					r.days(w, func(_ Day, rec *aggregate.Record, n uint64) {
						bears := false
						for _, d := range rec.DKIMResults {
							for _, g := range ask {
								bears = bears || d.Result == "pass" && strings.EqualFold(g.Domain, d.Domain) && strings.EqualFold(g.Selector, d.Selector)
							}
						}
						if rec.DKIM && bears {
							want = addSat(want, n)
						}
					})
				}
				got, err := s.Signed(ctx, domain, w, ask)
				if err != nil || got != want {
					t.Errorf("%s, %v, %v: got %d, want %d (%v)", domain, w, ask, got, want, err)
				}
				some = some || want > 0
			}
		}
	}
	if !some {
		t.Error("nothing was there to be found")
	}
}

// BenchmarkSigned is what coverage costs the largest domain of ten million
// records, over a month.
func BenchmarkSigned(b *testing.B) {
	s := benchStore(b)
	end, _, err := s.Newest(context.Background(), "d1.example")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		n, err := s.Signed(context.Background(), "d1.example", Window{end - 30, end}, []Signature{{"d1.example", "s1"}, {"d1.example", "s2"}})
		if err != nil || n == 0 {
			b.Fatal(n, err)
		}
	}
}
