package inventory

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"sekimori/internal/store"
)

// BenchmarkNames loads, asks about and takes an inventory of 100,000 names, and
// reports each in microseconds a name, and the memory in use after a page.
func BenchmarkNames(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		ctx := b.Context()
		st := stored(b, []store.Day{store.DayOf(now) - 1}, "none", []mail{{"city.example.jp", "192.0.2.1", 100, true}}, nil)
		name := mustName(b, "city.example.jp")
		took := func(what string, f func() error) {
			begin := time.Now()
			if err := f(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(time.Since(begin).Microseconds())/n, what+"-µs/name")
		}
		took("load", func() error {
			_, err := Load(ctx, st, name, "many", &generator{n: n, entry: func(i int) string { return fmt.Sprintf("h%06d.city.example.jp\n", i) }}, now)
			return err
		})
		c := Config{Store: st, Now: func() time.Time { return now }, Resolver: parseZone(b, zone)}
		took("ask", func() error { _, err := Ask(ctx, c, name); return err })
		took("take", func() error {
			inv, err := Take(ctx, c, name, Query{Offset: 50_000})
			if err == nil && (inv.Total != n+1 || len(inv.Names) != 100) {
				err = fmt.Errorf("%d names, a page of %d", inv.Total, len(inv.Names))
			}
			return err
		})
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapSys>>20), "heap-MiB")
	}
}

// BenchmarkRead reads 1,000,000 names of certificates.
func BenchmarkRead(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		sum, err := Reading{Domain: mustName(b, "city.example.jp"), Now: now}.Read("ct.json", &generator{n: n, entry: func(i int) string {
			return fmt.Sprintf(`{"common_name":"h%d.city.example.jp","name_value":"h%d.city.example.jp","not_before":"2024-01-01T00:00:00","not_after":"2024-04-01T00:00:00"}`+"\n", i, i)
		}}, func(store.KnownName) error { return nil })
		if err != nil || sum.Names != n {
			b.Fatal(sum, err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapSys>>20), "heap-MiB")
	}
}
