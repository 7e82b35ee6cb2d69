package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A full disk is a clear error; when there is space again, the same reports
// go in, and none of them twice.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	s := openTest(t, filepath.Join(dir, "data"))
	batch := func(i int) []*Incoming {
		var in []*Incoming
		for k := range 20 {
			in = append(in, &Incoming{Report: testReport("a.example", "o.example", fmt.Sprint(i, "-", k), i%30, 1), Rows: testRows(i*1000+k, 100), Raw: Raw{Encoding: Gzip, Bytes: make([]byte, 2000)}})
		}
		return in
	}
	var err error
	full := 0
	for ; full < 500 && err == nil; full++ {
		_, err = s.Put(ctx, batch(full))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("after %d batches: %v", full, err)
	}
	t.Logf("after %d batches: %v", full, err)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, batch(0)); err != nil {
		// DuckDB may want to be opened anew after a failed write to its log.
		t.Logf("before opening again: %v", err)
		s.Close()
		s = openTest(t, filepath.Join(dir, "data"))
	}
	for i := range full {
		if _, err := s.Put(ctx, batch(i)); err != nil {
			t.Fatal(err)
		}
	}
	d, err := s.Domains(ctx, Window{})
	if err != nil || len(d) != 1 || d[0].Reports != int64(20*full) {
		t.Fatalf("%+v, %v; want %d reports", d, err, 20*full)
	}
	var rows, reports int64
	if err := s.conn.QueryRowContext(ctx, "SELECT count(*), count(DISTINCT seq) FROM record").Scan(&rows, &reports); err != nil || rows != int64(2000*full) || reports != int64(20*full) {
		t.Errorf("%d rows of %d reports, %v; want %d of %d", rows, reports, err, 2000*full, 20*full)
	}
}
