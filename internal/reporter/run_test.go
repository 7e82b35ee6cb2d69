package reporter

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"sekimori/internal/store/outbox"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }

// TestRun: the round after midnight, days caught up, a clock that jumps.
func TestRun(t *testing.T) {
	d := &days{}
	d.add("2026-11-19", com(), row(1, 1))
	d.add("2026-11-21", com(), row(1, 3))
	d.add("2026-11-22", com(), row(1, 4))
	s := newSink(t, false)
	o := options(t, d)
	var mu sync.Mutex
	elapsed, ahead := time.Duration(0), time.Duration(0)
	start := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	o.Elapsed = func() time.Duration { mu.Lock(); defer mu.Unlock(); return elapsed }
	o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return start.Add(elapsed + ahead) }
	tick := make(chan time.Time)
	o.Tick, o.SMTP = tick, s.addr
	var events []EventKind
	o.Event = func(e Event) { mu.Lock(); defer mu.Unlock(); events = append(events, e.Kind) }
	r := reporter(t, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	step := func(d, jump time.Duration) int {
		mu.Lock()
		elapsed += d
		ahead += jump
		mu.Unlock()
		tick <- time.Time{}
		tick <- time.Time{} // the first has been worked on
		return len(s.messages())
	}
	wait := delay(o.Hostname)
	if wait < 2*time.Minute {
		t.Fatalf("the host's delay is %v: choose another name for this test", wait)
	}
	// Just after midnight, the days before the last are sent, and the last when
	// this host's turn comes.
	if n := step(time.Minute, 0); n != 1 {
		t.Errorf("%d messages a minute after midnight", n)
	}
	if n := step(wait, 0); n != 2 {
		t.Errorf("%d messages after the host's delay", n)
	}
	// The clock jumps a day ahead and back again: today is not closed.
	if n := step(time.Minute, 24*time.Hour); n != 2 || d.closed["2026-11-22"] {
		t.Errorf("%d messages, %v", n, d.closed)
	}
	if n := step(9*time.Minute, 0); n != 2 || d.closed["2026-11-22"] {
		t.Errorf("%d messages, %v", n, d.closed)
	}
	if n := step(time.Minute, -24*time.Hour); n != 2 || d.closed["2026-11-22"] {
		t.Errorf("%d messages, %v", n, d.closed)
	}
	// A jump that holds is believed.
	step(time.Minute, 24*time.Hour)
	if n := step(11*time.Minute, 0); n != 3 || !d.closed["2026-11-22"] {
		t.Errorf("%d messages, %v", n, d.closed)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	suspended := 0
	for _, e := range events {
		if e == Suspended {
			suspended++
		}
	}
	if suspended != 2 {
		t.Errorf("%v", events)
	}
}

// TestTrouble: a day that cannot be read is told and tried again, and does not
// hold up what waits.
func TestTrouble(t *testing.T) {
	d := &days{fail: errors.New("disk on fire")}
	d.add(yesterday, com(), row(1, 3))
	s := newSink(t, false)
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	o := options(t, d)
	o.SMTP, o.Now = s.addr, func() time.Time { return now }
	o.Elapsed = func() time.Duration { return now.Sub(time.Time{}.AddDate(2025, 0, 0)) }
	r := reporter(t, o)
	var sch schedule
	r.tick(context.Background(), &sch)
	if st := r.Stats(); st.Fault == nil || len(s.messages()) != 0 {
		t.Errorf("%+v", st)
	}
	if f := files(t, o.Dir); len(f) != 0 {
		t.Errorf("left behind: %v", f)
	}
	d.mu.Lock()
	d.fail = nil
	d.mu.Unlock()
	now = now.Add(5 * time.Minute)
	r.tick(context.Background(), &sch)
	if st := r.Stats(); st.Fault != nil || st.Sent != 1 {
		t.Errorf("%+v", st)
	}
}

// TestExpire: old reports and files go; the marks of days stay.
func TestExpire(t *testing.T) {
	d := &days{}
	d.add(yesterday, com(), row(1, 3))
	s := newSink(t, false)
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	o := options(t, d)
	o.SMTP, o.Now = s.addr, func() time.Time { return now }
	o.Elapsed = func() time.Duration { return now.Sub(time.Time{}.AddDate(2025, 0, 0)) }
	r := reporter(t, o)
	var sch schedule
	r.tick(context.Background(), &sch)
	stray := filepath.Join(o.Dir, outbox.Folder, yesterday, "making-1")
	if err := writeFile(stray, "half"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(stray, now, now); err != nil {
		t.Fatal(err)
	}
	now = now.Add(34 * 24 * time.Hour)
	r.tick(context.Background(), &sch)
	if f := files(t, o.Dir); len(f) != 2 {
		t.Errorf("%v", f)
	}
	now = now.Add(2 * 24 * time.Hour)
	r.tick(context.Background(), &sch)
	if f := files(t, o.Dir); len(f) != 0 {
		t.Errorf("%v", f)
	}
	sch = schedule{}
	r.tick(context.Background(), &sch)
	if n := len(s.messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// many is a day of very many rows.
type many struct {
	days
	rows int
	peak uint64
}

func (m *many) Policies(context.Context, string) ([]verdict.PolicyTotals, error) {
	return []verdict.PolicyTotals{{Policy: com(), Messages: int64(m.rows), Rows: int64(m.rows)}}, nil
}

func (m *many) Rows(_ context.Context, _ string, _ int64, f func(*aggregate.Record) error) error {
	var mem runtime.MemStats
	for i := range m.rows {
		r := row(byte(i), 1)
		r.SourceIP = r.SourceIP.Next()
		r.EnvelopeFrom = "e" + string(rune('a'+i%26)) + ".example.net"
		if err := f(&r); err != nil {
			return err
		}
		if i%100_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&mem)
			m.peak = max(m.peak, mem.HeapAlloc)
		}
	}
	return nil
}

// TestManyRows: a report of very many rows is made and sent without memory that
// grows with it.
func TestManyRows(t *testing.T) {
	rows := 300_000
	if n, err := strconv.Atoi(os.Getenv("SEKIMORI_ROWS")); err == nil {
		rows = n
	}
	m := &many{rows: rows}
	m.add(yesterday, com())
	s := newSink(t, false)
	o := options(t, m)
	o.SMTP = s.addr
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	out, err := reporter(t, o).Round(context.Background(), "")
	if err != nil || out.Sent != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	grown := int64(m.peak) - int64(before.HeapAlloc)
	t.Logf("%d rows in %v, heap grew by %d KB while they were written, mail of %d MB", rows, time.Since(start).Round(time.Millisecond), grown>>10, len(s.messages()[0].data)>>20)
	if grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// TestUnmarked: what the MTA has taken while the outbox could not be written is
// not sent again.
func TestUnmarked(t *testing.T) {
	d := &days{}
	d.add(yesterday, com(), row(1, 3))
	s := newSink(t, false)
	o := options(t, d)
	o.SMTP = s.addr
	r := reporter(t, o)
	box, err := outbox.Open(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	opts := r.o.Load()
	if _, err := opts.makeDay(context.Background(), box, yesterday, opts.tell); err != nil {
		t.Fatal(err)
	}
	// The outbox goes away while the message is on its way.
	s.data = func() error { return box.Close() }
	if _, err := r.pass(context.Background(), opts, box, false, false); err == nil {
		t.Fatal("no error from an outbox that is closed")
	}
	s.data = nil
	if n := len(s.messages()); n != 1 {
		t.Fatalf("%d messages", n)
	}
	out, err := r.Round(context.Background(), "")
	if err != nil || out.Waiting != 0 || len(s.messages()) != 1 {
		t.Errorf("%+v %v, %d messages", out, err, len(s.messages()))
	}
}
