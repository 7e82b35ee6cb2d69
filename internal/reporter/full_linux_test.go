package reporter

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"sekimori/report/aggregate"
)

// TestDiskFull: while the disk is full reports are neither lost nor half made,
// and nothing is sent twice; with space again they go.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	d := &days{}
	const policies = 40
	for i := range policies {
		p := com()
		p.Domain = fmt.Sprintf("d%d.example.com", i)
		var rows []aggregate.Record
		for k := range 50 {
			r := row(byte(k), 1)
			var b [200]byte
			_, _ = rand.Read(b[:])
			r.EnvelopeFrom = hex.EncodeToString(b[:]) // so that the file does not shrink
			rows = append(rows, r)
		}
		d.add(yesterday, p, rows...)
	}
	s := newSink(t, false)
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	o := options(t, d)
	o.Dir, o.SMTP, o.Now = filepath.Join(dir, "gateway"), s.addr, func() time.Time { return now }
	o.Elapsed = func() time.Duration { return now.Sub(time.Time{}.AddDate(2025, 0, 0)) }
	r := reporter(t, o)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 7800<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var sch schedule
	faults := 0
	for range 20 {
		r.tick(context.Background(), &sch)
		if err := r.Stats().Fault; err != nil {
			faults++
			if !errors.Is(err, syscall.ENOSPC) {
				t.Logf("fault: %.200v", err)
			}
		}
		now = now.Add(time.Hour)
	}
	if faults == 0 {
		t.Fatal("the disk was not full")
	}
	before := len(s.messages())
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for range 8 { // what failed waits for some hours
		now = now.Add(time.Hour)
		r.tick(context.Background(), &sch)
	}
	got := s.messages()
	about := map[string]int{}
	for _, g := range got {
		m := open(t, g.data)
		about[m.report.PolicyPublished.Domain]++
		if m.messages != 50 {
			t.Errorf("%s: %d messages", m.report.PolicyPublished.Domain, m.messages)
		}
	}
	if len(about) != policies || len(got) != policies || r.Stats().Fault != nil {
		t.Errorf("%d reports in %d mails, %v", len(about), len(got), r.Stats().Fault)
	}
	t.Logf("%d of 20 rounds failed; %d mails went meanwhile, %d in all", faults, before, len(got))
}
