package web

import (
	"fmt"
	"testing"
)

// BenchmarkPages measures what the pages themselves cost: five hundred domains
// on the first page, a year of days on a domain's, the store and the advisor
// answering at once.
func BenchmarkPages(b *testing.B) {
	w := newWorld(b.TempDir())
	for i := len(w.domains); i < 500; i++ {
		d := w.domains[6+i%60]
		d.Domain = fmt.Sprintf("d%03d.example", i)
		w.domains = append(w.domains, d)
	}
	h, err := New(Config{Store: w, Advisor: w, Importer: w})
	if err != nil {
		b.Fatal(err)
	}
	for name, target := range map[string]string{"overview": "/", "domain": "/domain/kakuu.example", "year": "/domain/kakuu.example?days=365", "report": "/reports/5"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if rec := get(h, target, "Accept-Encoding", "gzip"); rec.Code != 200 {
					b.Fatal(rec.Code)
				}
			}
		})
	}
}
