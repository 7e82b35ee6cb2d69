package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"testing"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"
	"sekimori/report/aggregate"
)

func sampleRecord(i int) aggregate.Record {
	return aggregate.Record{
		SourceIP: netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}), Count: uint64(i%50 + 1), Disposition: "none", DKIM: i%3 == 0, SPF: i%2 == 0,
		HeaderFrom: "example.go.jp", EnvelopeFrom: fmt.Sprintf("bounce%d.mail.example.go.jp", i%20),
		DKIMResults: []aggregate.DKIMResult{{Domain: "example.go.jp", Selector: fmt.Sprintf("s%d", i%7), Result: "pass"}},
		SPFResults:  []aggregate.SPFResult{{Domain: fmt.Sprintf("bounce%d.mail.example.go.jp", i%20), Scope: "mfrom", Result: "pass"}},
	}
}

func TestProto(t *testing.T) {
	c, err := duckdb.NewConnector(t.TempDir()+"/a.duckdb?memory_limit=224MB&threads=2", nil)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer db.Close()
	ctx := context.Background()
	if _, err := db.Exec(duckSchema); err != nil {
		t.Fatal(err)
	}
	var batches []*Rows
	t0 := time.Now()
	const N = 1_000_000
	for i := 0; i < N; {
		r := &Rows{}
		for k := 0; k < 4096 && i < N; k++ {
			rec := sampleRecord(i)
			r.Add(&rec)
			i++
		}
		batches = append(batches, r)
	}
	u0, s0, _ := cpuTime()
	defer func() { u, s, r := cpuTime(); t.Log("cpu", u-u0, s-s0, r) }()
	t.Log("built", time.Since(t0), batches[0].Size()/4096)
	conn, _ := db.Conn(ctx)
	defer conn.Close()
	t0 = time.Now()
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		t.Fatal(err)
	}
	err = conn.Raw(func(dc any) error {
		nc, err := nativeConn(dc)
		if err != nil {
			return err
		}
		a, err := newAppender(nc, "record")
		if err != nil {
			return err
		}
		for _, b := range batches {
			if err := appendRecords(a, filing{1, 1, 1, 20000, 1}, b); err != nil {
				return err
			}
		}
		return a.finish()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("appended", time.Since(t0))
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	t.Log("committed", time.Since(t0), float64(N)/time.Since(t0).Seconds(), "rows/s")
	var n, m int64
	var s string
	if err := db.QueryRow("select count(*), sum(n)::bigint, any_value(spf)::varchar from record where dkim[1].selector='s3' and envelope_from='bounce3.mail.example.go.jp'").Scan(&n, &m, &s); err != nil {
		t.Fatal(err)
	}
	t.Log(n, m, s)
}
