package publish

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// endless is a survey whose rows are those of another, over and over.
type endless struct {
	*fakeStore
	n int64
}

func (e *endless) EachSurveyRow(ctx context.Context, _ int64, yield func(*store.SurveyRow) error) error {
	for i := range e.n {
		row := e.rows[i%int64(len(e.rows))]
		row.No, row.Line = i+1, i+2
		if row.Result.No != 0 {
			row.Result.No = row.No
		}
		if err := yield(&row); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkWrite publishes surveys of a hundred and of ten thousand domains;
// SEKIMORI_BENCH_DOMAINS asks for one of another size. The bytes in use while
// the files are written must not depend on it.
func BenchmarkWrite(b *testing.B) {
	sizes := []int64{100, 10_000}
	if s := os.Getenv("SEKIMORI_BENCH_DOMAINS"); s != "" {
		sizes = sizes[:1]
		fmt.Sscan(s, &sizes[0])
	}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := &endless{small(b), n}
			e.wave.Entries = n
			var most uint64
			for b.Loop() {
				dir := filepath.Join(b.TempDir(), "out")
				s := &measuring{Store: e, most: &most}
				if _, _, err := Write(b.Context(), s, e.wave, dir, Options{Lang: locale.Japanese}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "domains/s")
			b.ReportMetric(float64(most)/(1<<20), "MiB-in-use")
		})
	}
}

// measuring looks at the memory in use now and then.
type measuring struct {
	Store
	most *uint64
}

func (m *measuring) EachSurveyRow(ctx context.Context, wave int64, yield func(*store.SurveyRow) error) error {
	n := 0
	return m.Store.EachSurveyRow(ctx, wave, func(r *store.SurveyRow) error {
		if n++; n%20_000 == 0 {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			*m.most = max(*m.most, stats.HeapInuse)
		}
		return yield(r)
	})
}
