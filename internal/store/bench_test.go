package store

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tenMillion fills a store with about ten million records as a sector's body
// would have them: 500 domains of very different size (the largest has two
// million records from 100,000 addresses), twelve reporters, 90 days.
func tenMillion(b *testing.B, s *Store) {
	ctx := context.Background()
	exec := func(q string, args ...any) {
		if _, err := s.conn.ExecContext(ctx, q, args...); err != nil {
			b.Fatalf("%v in %s", err, q)
		}
	}
	exec("INSERT INTO policy_domain SELECT i, 'd' || i || '.example' FROM range(1, 501) t(i)")
	exec("INSERT INTO reporter SELECT i, 'receiver' || i || '.example' FROM range(1, 13) t(i)")
	for d := range 90 {
		day := DayOf(testDay) + Day(d)
		exec(fmt.Sprintf(`INSERT INTO record
			SELECT %[1]d * 6000 + (dom - 1) * 12 + org, dom, org, %[2]s, 1,
				0, 281470681743360 + dom * 1048576 + h %% least(100000, greatest(20, cnt * 5)),
				1 + h %% 9, if(h %% 100 < 82, 'none', 'quarantine'), h %% 100 < 78, h %% 100 < 70,
				'd' || dom || '.example', 'bounce' || (h %% 20) || '.d' || dom || '.example', '',
				if(h %% 100 < 82, 'd' || dom || '.example', ''), if(h %% 100 < 82, '', 'vendor' || (h %% 7) || '.example'),
				if(h %% 100 < 75, 'bounce' || (h %% 20) || '.d' || dom || '.example', ''), 'bounce' || (h %% 20) || '.d' || dom || '.example',
				if(h %% 50 = 0, 'forwarded', ''),
				[{domain: 'd' || dom || '.example', selector: 's' || (h %% 5), result: if(h %% 100 < 82, 'pass', 'fail'), human: ''}],
				[{domain: 'bounce' || (h %% 20) || '.d' || dom || '.example', scope: 'mfrom', result: if(h %% 100 < 75, 'pass', 'softfail'), human: ''}],
				if(h %% 50 = 0, [{kind: 'forwarded', comment: 'arc=pass'}], [])
			FROM (SELECT dom, cnt, (i * 12 // cnt + 1)::UINTEGER AS org, hash(i * 500 + dom + %[1]d * 7777777) AS h
				FROM (SELECT dom, cnt, unnest(range(cnt)) AS i FROM (SELECT i::UINTEGER AS dom, ceil(22300 / power(i, 1.12))::BIGINT AS cnt FROM range(1, 501) t(i))))`,
			d, day.date()))
	}
	exec(`INSERT INTO report SELECT seq, any_value(dom), any_value(org), any_value(first), 1, count(*), sum(n), sum(if(dkim_aligned OR spf_aligned, n, 0)),
			any_value(first), any_value(first) + INTERVAL 86399 SECOND, now()::TIMESTAMP, 1, 0, 0, 0, 'rfc9990', '1.0',
			'receiver' || any_value(org) || '.example', 'dmarc@receiver' || any_value(org) || '.example', '', 'receiver!' || hash(seq), '',
			'd' || any_value(dom) || '.example', 'r', 'r', if(any_value(first) > DATE '2026-10-01' + any_value(dom)::INTEGER, 'quarantine', 'none'), '', '', '', '', '', '',
			'/var/mail/dmarc/' || seq, '', 'gzip', [], if(seq % 9 = 0, [{code: 'missing-version', detail: '', line: 2, place: 40, times: 1}], [])
		FROM record GROUP BY seq ORDER BY seq`)
	exec(`INSERT INTO report_day SELECT seq, any_value(dom), any_value(first), 0, if(any_value(first) > DATE '2026-10-01' + any_value(dom)::INTEGER, 'quarantine', 'none'),
			sum(n), sum(if(dkim_aligned OR spf_aligned, n, 0)), sum(if(disposition = 'quarantine', n, 0)), sum(if(disposition = 'reject', n, 0))
		FROM record GROUP BY seq ORDER BY seq`)
	exec("CHECKPOINT")
	if err := s.load(ctx); err != nil {
		b.Fatal(err)
	}
	if err := s.repair(ctx); err != nil {
		b.Fatal(err)
	}
	for _, dom := range []int{1, 2, 200} {
		err := s.SetClasses(ctx, fmt.Sprintf("d%d.example", dom), func(yield func(netip.Addr, ClassRow) bool) {
			for i := range 100000 {
				a := numberAddr(number{host: 281470681743360 + uint64(dom)*1048576 + uint64(i)})
				src := i % 400
				if i < 20000 {
					src = 400 // one source of many addresses
				}
				if !yield(a, ClassRow{[]string{"broken", "forwarder", "spoof", "unknown"}[src%4], fmt.Sprint("source-", src)}) {
					return
				}
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// benchStore opens the store of ten million records. It is kept in the folder
// that SEKIMORI_BENCH_DATA names, if that is set, so that it is made once.
func benchStore(b *testing.B) *Store {
	dir := os.Getenv("SEKIMORI_BENCH_DATA")
	if dir == "" {
		dir = b.TempDir()
	}
	s := openTest(b, dir)
	if s.DataVersion() == 0 {
		start := time.Now()
		tenMillion(b, s)
		b.Logf("filled in %v", time.Since(start).Round(time.Second))
	}
	return s
}

// BenchmarkQueries measures what pages ask for, on ten million records, idle
// and while an import runs. The metric to look at is p95-ms.
func BenchmarkQueries(b *testing.B) {
	s := benchStore(b)
	ctx := context.Background()
	end, ok, err := s.Newest(ctx, "d1.example")
	if err != nil || !ok {
		b.Fatal(ok, err)
	}
	month, all := Window{end - 30, end}, Window{end - 90, end}
	const big = "d1.example"
	queries := []struct {
		name string
		run  func(i int) error
	}{
		{"Domains/30", func(int) error { _, err := s.Domains(ctx, month); return err }},
		{"Newest", func(int) error { _, _, err := s.Newest(ctx, big); return err }},
		{"PolicyHistory", func(int) error { _, err := s.PolicyHistory(ctx, big); return err }},
		{"DomainDaily/90", func(int) error { _, err := s.DomainDaily(ctx, big, all); return err }},
		{"ClassDaily/30", func(int) error { _, err := s.ClassDaily(ctx, big, month); return err }},
		{"ClassDaily/90", func(int) error { _, err := s.ClassDaily(ctx, big, all); return err }},
		{"ClassDaily/small", func(int) error { _, err := s.ClassDaily(ctx, "d200.example", month); return err }},
		{"SourceAddresses/30", func(i int) error {
			_, _, err := s.SourceAddresses(ctx, big, fmt.Sprint("source-", i%400), month, Page{})
			return err
		}},
		{"SourceAddresses/large/30", func(i int) error {
			_, _, err := s.SourceAddresses(ctx, big, "source-400", month, Page{})
			return err
		}},
		{"SourceAddresses/large/90", func(i int) error {
			_, _, err := s.SourceAddresses(ctx, big, "source-400", all, Page{})
			return err
		}},
		{"SourceDaily/30", func(i int) error {
			_, err := s.SourceDaily(ctx, big, "source-400", month)
			return err
		}},
		{"SourceReporters/30", func(i int) error {
			_, err := s.SourceReporters(ctx, big, "source-400", month)
			return err
		}},
		{"SourceAuth/30", func(i int) error {
			_, err := s.SourceAuth(ctx, big, "source-400", month)
			return err
		}},
		{"SourceEnvelopes/30", func(i int) error {
			_, err := s.SourceEnvelopes(ctx, big, "source-400", month)
			return err
		}},
		{"Reports/all", func(i int) error { _, _, err := s.Reports(ctx, ReportFilter{}, Page{Offset: 50 * i}); return err }},
		{"Reports/domain", func(i int) error {
			_, _, err := s.Reports(ctx, ReportFilter{Domain: fmt.Sprintf("d%d.example", 1+i%500)}, Page{Sort: "messages", Desc: true})
			return err
		}},
		{"Reports/search", func(i int) error {
			_, _, err := s.Reports(ctx, ReportFilter{}, Page{Search: fmt.Sprint(1000 + i%9000)})
			return err
		}},
		{"Report", func(i int) error { _, err := s.Report(ctx, int64(1+i%500*1000)); _ = err; return nil }},
		{"Records", func(i int) error { _, _, err := s.Records(ctx, int64(1+i%90*6000), Page{}); return err }},
	}
	for _, state := range []string{"idle", "importing"} {
		b.Run(state, func(b *testing.B) {
			if state == "importing" {
				stop := background(b, s)
				defer stop()
			}
			for _, q := range queries {
				b.Run(q.name, func(b *testing.B) {
					var took []time.Duration
					before := cpuTime()
					for b.Loop() {
						start := time.Now()
						if err := q.run(len(took)); err != nil {
							b.Fatal(err)
						}
						took = append(took, time.Since(start))
					}
					if state == "idle" {
						b.ReportMetric((cpuTime()-before).Seconds()*1e3/float64(len(took)), "cpu-ms")
					}
					slices.Sort(took)
					b.ReportMetric(took[len(took)*95/100].Seconds()*1e3, "p95-ms")
					b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
				})
			}
		})
	}
}

// BenchmarkEvidence measures what advice reads of the largest domain: a month
// and a quarter.
func BenchmarkEvidence(b *testing.B) {
	s := benchStore(b)
	ctx := context.Background()
	end, _, err := s.Newest(ctx, "d1.example")
	if err != nil {
		b.Fatal(err)
	}
	for _, days := range []Day{30, 90} {
		b.Run(fmt.Sprint(int(days)), func(b *testing.B) {
			before, runs, n := cpuTime(), 0, 0
			for b.Loop() {
				err := s.Evidence(ctx, "d1.example", Window{end - days, end}, Window{end - days, end}, func(SourceRow) error { n++; return nil })
				if err != nil {
					b.Fatal(err)
				}
				runs++
			}
			b.ReportMetric(float64(n)/float64(runs), "rows")
			b.ReportMetric((cpuTime()-before).Seconds()*1e3/float64(runs), "cpu-ms")
		})
	}
}

// cpuTime is the processor time that this process has used: on a machine that
// does other work too it says more than the clock does.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// background imports without a pause: one goroutine makes rows, as parsing
// would, and one stores them; small reports and large ones in turn.
func background(b *testing.B, s *Store) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	batches := make(chan *Rows, 2)
	wg.Go(func() {
		defer close(batches)
		for i := 0; ctx.Err() == nil; i++ {
			select {
			case batches <- testRows(i*4096, 4096):
			case <-ctx.Done():
			}
		}
	})
	var rows, reports int
	start := time.Now()
	wg.Go(func() {
		run := fmt.Sprint(time.Now().UnixNano())
		for i := 0; ctx.Err() == nil; i++ {
			rep := testReport("imported.example", "receiver.example", fmt.Sprint(run, "-", i), 89, 1)
			st, err := s.Begin(ctx, rep)
			if err != nil {
				break
			}
			for range 25 {
				r, ok := <-batches
				if !ok {
					break
				}
				rows += r.Len()
				if err := st.Append(r); err != nil {
					b.Error(err)
				}
			}
			if _, err := st.Commit(context.Background(), Incoming{Report: rep}); err != nil {
				b.Error(err)
			}
			for k := range 10 {
				var in []*Incoming
				for j := range 200 {
					in = append(in, &Incoming{Report: testReport(fmt.Sprintf("d%d.example", 1+j%500), "receiver1.example", fmt.Sprint(run, "-", i, "-", k, "-", j), 89, 1), Rows: testRows(j, 5)})
				}
				if _, err := s.Put(ctx, in); err != nil {
					break
				}
				reports += len(in)
			}
		}
		for range batches {
		}
	})
	return func() {
		cancel()
		wg.Wait()
		b.Logf("meanwhile %.0f rows/s in large reports and %.0f small reports/s", float64(rows)/time.Since(start).Seconds(), float64(reports)/time.Since(start).Seconds())
	}
}
