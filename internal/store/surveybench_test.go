package store

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// million fills two waves of 1,000,000 domains each, 35 facts and six
// attributes, of which one domain in twenty changed in between. There are no
// documents.
func million(b *testing.B, s *Store) (before, after Wave) {
	ctx := context.Background()
	spec := WaveSpec{Name: "2025-11", List: "list.csv", Digest: "d", Attributes: []string{"sector", "prefecture", "employees", "capital", "kind", "code"}, Facts: testFacts(35)}
	exec := func(q string, args ...any) {
		if _, err := s.conn.ExecContext(ctx, q, args...); err != nil {
			b.Fatalf("%v in %s", err, q)
		}
	}
	start := func(name string) Wave {
		spec.Name = name
		w, _, err := s.StartWave(ctx, spec)
		if err != nil {
			b.Fatal(err)
		}
		exec(`INSERT INTO survey_entry SELECT ?, i, i + 1, 0, 'd' || i || if(hash(i) % 3 = 0, '.lg.jp', '.example'), '団体' || i, 'https://www.d' || i || '.example/', '', '', if(hash(i + 7) % 4 = 0, ['mail' || i || '.example'], []), [],
				['sector ' || (hash(i) % 20), 'prefecture ' || (hash(i + 1) % 47), (hash(i + 2) % 100000)::VARCHAR, (hash(i + 3) % 1000000)::VARCHAR || '万円', 'kind ' || (hash(i + 4) % 3), i::VARCHAR],
				['nan'::DOUBLE, 'nan'::DOUBLE, (hash(i + 2) % 100000)::DOUBLE, (hash(i + 3) % 1000000)::DOUBLE * 10000, 'nan'::DOUBLE, i::DOUBLE] FROM range(1, 1000001) t(i)`, w.ID)
		if w, err = s.SealEntries(ctx, w.ID); err != nil {
			b.Fatal(err)
		}
		return w
	}
	before, after = start("2025-11"), start("2026-11")
	exec("INSERT INTO survey_code SELECT i, 'spf|error|spf.problem-' || i FROM range(1, 101) t(i)")
	for _, w := range []Wave{before, after} {
		// Results come nearly in the order of the list.
		exec(`INSERT INTO survey_result SELECT $1, no, y, hash(no + 5) & ~y, 0, 0, hash(no) % 100 = 0, hash(no) % 50 = 0, 20, 1, TIMESTAMP '2026-11-01', 100000,
				[(hash(no) % 100 + 1)::UINTEGER, (hash(no + 2) % 30 + 1)::UINTEGER], 0, ''
			FROM (SELECT i // 256 * 256 + (i + 77 * (i // 256)) % 256 + 1 AS no, hash(if(hash(i) % 20 = 0, i + 5 * $1, i)) AS y FROM range(0, 1000000) t(i)) WHERE no <= 1000000`, w.ID)
	}
	exec("CHECKPOINT")
	if err := s.load(ctx); err != nil {
		b.Fatal(err)
	}
	return before, after
}

// BenchmarkSurvey measures questions about a million domains and the taking of
// results. The metric to look at is p95-ms; all should be below 1000.
func BenchmarkSurvey(b *testing.B) {
	ctx := context.Background()
	dir := os.Getenv("SEKIMORI_BENCH_SURVEY")
	if dir == "" {
		dir = b.TempDir()
	}
	s := openTest(b, dir)
	before, err := s.Wave(ctx, "2025-11")
	var after Wave
	if err == nil {
		after, err = s.Wave(ctx, "2026-11")
	}
	if err != nil {
		start := time.Now()
		before, after = million(b, s)
		b.Logf("filled in %v", time.Since(start).Round(time.Second))
	}
	rows := func(f SurveyFilter, p Page) error {
		got, total, err := s.SurveyRows(ctx, after.ID, f, p)
		if err == nil && (len(got) == 0 || total == 0) {
			err = fmt.Errorf("nothing found")
		}
		return err
	}
	for _, q := range []struct {
		name string
		run  func(i int) error
	}{
		{"Wave", func(int) error { _, err := s.Wave(ctx, ""); return err }},
		{"Groups/all", func(int) error { _, err := s.Groups(ctx, after.ID, "", 0); return err }},
		{"Groups/20", func(int) error { _, err := s.Groups(ctx, after.ID, "sector", 0); return err }},
		{"Groups/47", func(int) error { _, err := s.Groups(ctx, after.ID, "prefecture", 0); return err }},
		{"Groups/30-of-1000000", func(int) error { _, err := s.Groups(ctx, after.ID, "capital", 30); return err }},
		{"Groups/1000-of-100000", func(int) error { _, err := s.Groups(ctx, after.ID, "employees", 1000); return err }},
		{"Bands", func(int) error {
			_, err := s.Bands(ctx, after.ID, "employees", []float64{10, 100, 1000, 10000})
			return err
		}},
		{"Codes", func(int) error { _, err := s.SurveyCodes(ctx, after.ID); return err }},
		{"Rows/first", func(int) error { return rows(SurveyFilter{}, Page{}) }},
		{"Rows/last", func(int) error { return rows(SurveyFilter{}, Page{Offset: 999_900}) }},
		{"Rows/sector", func(i int) error {
			return rows(SurveyFilter{Attribute: "sector", Value: fmt.Sprint("sector ", i%20)}, Page{Offset: 5000})
		}},
		{"Rows/sector+fact", func(i int) error {
			return rows(SurveyFilter{Attribute: "sector", Value: "sector 7", Fact: "fact3", State: No}, Page{})
		}},
		{"Rows/unknown", func(i int) error { return rows(SurveyFilter{Fact: "fact9"}, Page{}) }},
		{"Rows/code", func(i int) error { return rows(SurveyFilter{Code: "spf.problem-7"}, Page{}) }},
		{"Rows/search", func(i int) error { return rows(SurveyFilter{Search: "団体9999"}, Page{}) }},
		{"Rows/problems", func(i int) error { return rows(SurveyFilter{}, Page{Sort: "problems", Desc: true}) }},
		{"Row", func(i int) error { _, err := s.SurveyRow(ctx, after.ID, int64(i*7919%1000000+1)); return err }},
		{"Changes", func(int) error { _, err := s.Changes(ctx, before.ID, after.ID, "", ""); return err }},
		{"Changes/sector", func(int) error { _, err := s.Changes(ctx, before.ID, after.ID, "sector", "sector 3"); return err }},
		{"ChangedRows", func(int) error {
			_, _, err := s.ChangedRows(ctx, before.ID, after.ID, "fact5", No, Yes, Page{})
			return err
		}},
		{"Pending", func(int) error { _, err := s.Pending(ctx, after.ID, 0, 1000); return err }},
		{"Retryable", func(i int) error { _, err := s.Retryable(ctx, after.ID, int64(i*1000), 1000, 3); return err }},
		{"MatchEntry/1000", func(int) error {
			var d []string
			for i := range 1000 {
				d = append(d, fmt.Sprintf("mail%d.example", i*777))
			}
			_, err := s.MatchEntry(ctx, after.ID, d)
			return err
		}},
		{"Shapes", func(int) error { _, err := s.Shapes(ctx, after.ID); return err }},
	} {
		b.Run(q.name, func(b *testing.B) {
			var took []time.Duration
			cpu := cpuTime()
			for i := 0; b.Loop(); i++ {
				for _, id := range []int64{before.ID, after.ID} {
					w, err := s.survey(ctx, id)
					if err != nil {
						b.Fatal(err)
					}
					w.mu.Lock()
					w.changed() // nothing is kept from the round before
					w.shapes = nil
					w.mu.Unlock()
				}
				start := time.Now()
				if err := q.run(i); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/1000/float64(len(took)), "cpu-ms")
		})
	}
	b.Run("Each", func(b *testing.B) {
		for b.Loop() {
			n := 0
			if err := s.EachSurveyRow(ctx, after.ID, func(*SurveyRow) error { n++; return nil }); err != nil || n != 1_000_000 {
				b.Fatal(n, err)
			}
		}
	})
}

// benchDocs are documents like those of a survey: postures of the scenarios
// that internal/posture is tested with, of other domains and addresses.
func benchDocs(b *testing.B, n int) [][]byte {
	files, err := filepath.Glob("../posture/testdata/*/want.json")
	if err != nil || len(files) == 0 {
		b.Fatal("no postures", err)
	}
	var base []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			b.Fatal(err)
		}
		text, _ = json.Marshal(v)
		base = append(base, string(text))
	}
	r := rand.New(rand.NewPCG(1, 2))
	out := make([][]byte, n)
	for i := range out {
		name := fmt.Sprintf("%x", r.Uint64()>>r.IntN(40))
		d := strings.NewReplacer("example", name, "192.0.2.", fmt.Sprintf("%d.%d.%d.", r.IntN(256), r.IntN(256), r.IntN(256))).Replace(base[r.IntN(len(base))])
		if i%3 == 0 { // a key
			key := make([]byte, 392)
			for k := range key {
				key[k] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[r.IntN(64)]
			}
			d = strings.Replace(d, `"records":[`, `"records":["v=DKIM1; p=`+string(key)+`",`, 1)
		}
		out[i] = []byte(d)
	}
	return out
}

// BenchmarkSurveyPut measures how fast results are taken, up to their being in
// DuckDB, and how much room a million of them need.
func BenchmarkSurveyPut(b *testing.B) {
	for _, putters := range []int{1, 200} {
		b.Run(fmt.Sprint(putters), func(b *testing.B) {
			ctx := context.Background()
			dir := b.TempDir()
			s := openTest(b, dir)
			wave, _, err := s.StartWave(ctx, WaveSpec{Name: "w", Facts: testFacts(35)})
			if err != nil {
				b.Fatal(err)
			}
			n := max(b.N, 1)
			if _, err := s.conn.ExecContext(ctx, `INSERT INTO survey_entry SELECT ?, i, i, 0, 'd' || i || '.example', '', '', '', '', [], [], [], [] FROM range(1, ?) t(i)`, wave.ID, n+1); err != nil {
				b.Fatal(err)
			}
			if _, err := s.SealEntries(ctx, wave.ID); err != nil {
				b.Fatal(err)
			}
			docs := benchDocs(b, 5000)
			octets := 0
			for _, d := range docs {
				octets += len(d)
			}
			states := make([]State, 35)
			for i := range states {
				states[i] = State(i % 3)
			}
			codes := []Code{{"spf", "error", "spf.too-many"}, {"dmarc", "warning", "dmarc.none"}, {"mx", "warning", "mx.alias"}}
			sw, err := s.Surveying(ctx, wave.ID)
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			cpu := cpuTime()
			var next atomic.Int64
			var wg sync.WaitGroup
			for range putters {
				wg.Go(func() {
					for no := next.Add(1); no <= int64(n); no = next.Add(1) {
						err := sw.Put(Result{No: no, States: states, Codes: codes[:no%4], Doc: docs[no%int64(len(docs))], Questions: 20, Attempts: 1, At: testDay, Took: time.Second})
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if err := sw.Close(ctx); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/1000/float64(n), "cpu-us/result")
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "results/s")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			if i, err := os.Stat(filepath.Join(dir, "reports.duckdb")); err == nil {
				b.ReportMetric(float64(i.Size())/float64(n), "B/result")
			}
			b.ReportMetric(float64(octets)/float64(len(docs)), "B/doc")
		})
	}
}
