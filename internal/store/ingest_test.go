package store

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sekimori/report/aggregate"
)

func openTest(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var testDay = time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)

func testReport(domain, org, id string, day, days int) aggregate.Report {
	begin := testDay.AddDate(0, 0, day)
	return aggregate.Report{
		Form: aggregate.RFC9990, Version: "1.0",
		Metadata:        aggregate.Metadata{OrgName: org, Email: "dmarc@" + org, ReportID: id, Begin: begin, End: begin.AddDate(0, 0, days).Add(-time.Second)},
		PolicyPublished: aggregate.PolicyPublished{Domain: domain, P: "none", ADKIM: "r", ASPF: "r"},
	}
}

func sampleRecord(i int) aggregate.Record {
	return aggregate.Record{
		SourceIP: netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}), Count: uint64(i%50 + 1), Disposition: "none", DKIM: i%3 == 0, SPF: i%2 == 0,
		HeaderFrom: "example.go.jp", EnvelopeFrom: fmt.Sprintf("bounce%d.mail.example.go.jp", i%20),
		DKIMResults: []aggregate.DKIMResult{{Domain: "example.go.jp", Selector: fmt.Sprintf("s%d", i%7), Result: "pass"}},
		SPFResults:  []aggregate.SPFResult{{Domain: fmt.Sprintf("bounce%d.mail.example.go.jp", i%20), Scope: "mfrom", Result: "pass"}},
	}
}

func testRows(from, n int) *Rows {
	r := &Rows{}
	for i := from; i < from+n; i++ {
		rec := sampleRecord(i)
		r.Add(&rec)
	}
	return r
}

func BenchmarkPutSmall(b *testing.B) {
	s := openTest(b, b.TempDir())
	var raw [900]byte
	for _, size := range []int{64, 256, 512} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			n := 0
			for b.Loop() {
				var in []*Incoming
				for i := range size {
					in = append(in, &Incoming{
						Report: testReport(fmt.Sprintf("d%d.example", i%50), "receiver.example", fmt.Sprintf("%d-%d-%d", size, n, i), i%30, 1),
						Rows:   testRows(i, 5), Raw: Raw{Encoding: Gzip, Bytes: raw[:]}, Origin: Origin{1, fmt.Sprint(n, i), ""},
					})
				}
				if _, err := s.Put(context.Background(), in); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n*size)/b.Elapsed().Seconds(), "reports/s")
		})
	}
}

func BenchmarkStream(b *testing.B) {
	s := openTest(b, b.TempDir())
	var batches []*Rows
	for i := range 50 {
		batches = append(batches, testRows(i*4096, 4096))
	}
	n := 0
	for b.Loop() {
		r := testReport("big.example", "receiver.example", fmt.Sprint(n), n%30, 1)
		st, err := s.Begin(context.Background(), r)
		if err != nil {
			b.Fatal(err)
		}
		for _, rows := range batches {
			if err := st.Append(rows); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := st.Commit(context.Background(), Incoming{Report: r}); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(n*50*4096)/b.Elapsed().Seconds(), "rows/s")
}
