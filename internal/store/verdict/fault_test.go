package verdict

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// faulty is a disk that fails while fail is set, sometimes after a part.
type faulty struct {
	storage
	fail *atomic.Bool
}

func (f faulty) WriteAt(b []byte, at int64) (int, error) {
	if f.fail.Load() {
		n, _ := f.storage.WriteAt(b[:len(b)/2], at)
		return n, syscall.EIO
	}
	return f.storage.WriteAt(b, at)
}

func wait(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it never happens", what)
		}
	}
}

// While the journal cannot be written, entries wait, within bounds, and go in
// when it can be.
func TestBacklog(t *testing.T) {
	dir := t.TempDir()
	var fail atomic.Bool
	l := openTest(t, dir, Options{Backlog: 50, open: func(path string) (storage, error) {
		f, err := openStorage(path)
		return faulty{f, &fail}, err
	}})
	for i := range 10 {
		put(t, l, i, i+1, noon)
	}
	fail.Store(true)
	for i := range 50 {
		r, _ := put(t, l, i, 100+i, noon)
		if i%2 == 0 {
			r.Confirm()
		} else if i == 7 {
			r.Cancel()
		}
	}
	if s := l.Stats(); s.Waiting < 45 || s.Waiting > 50 || s.Fault == nil {
		t.Errorf("%+v", s)
	}
	lost := 0
	for i := range 10 {
		e := testEntry(i, noon)
		if _, err := l.Append(e); err != nil {
			lost++
		}
	}
	if s := l.Stats(); int(s.Lost) != lost || lost < 8 {
		t.Errorf("%d, %+v", lost, s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := l.Flush(ctx); !errors.Is(err, syscall.EIO) {
		t.Errorf("Flush: %v", err)
	}
	fail.Store(false)
	wait(t, "the backlog drains", func() bool { s := l.Stats(); return s.Waiting == 0 && s.Fault == nil })
	put(t, l, 1, 999, noon)
	flush(t, l)
	want := int64(10 + 50 - 1 + 10 - lost + 1)
	if got := totals(t, dir); got[today] != want {
		t.Errorf("%v, want %d", got, want)
	}
	crash(t, l)
	l = openTest(t, dir, Options{})
	flush(t, l)
	if got := totals(t, dir); got[today] != want {
		t.Errorf("after a restart: %v, want %d", got, want)
	}
}

// A disk that is full: the journal has its reserve, then entries wait in
// memory; with space again everything goes on.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	l := openTest(t, filepath.Join(dir, "gateway"), Options{Segment: 512 << 10})
	put(t, l, 0, 1, noon)
	flush(t, l)
	wait(t, "the spare is made", func() bool { _, err := os.Stat(filepath.Join(l.journal, spareName)); return err == nil })
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 4096); err == nil; {
		_, err = f.Write(b)
	}
	f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	n := 1
	for l.Stats().Waiting < 500 {
		put(t, l, n, n+1, noon)
		n++
		if n > 20_000 {
			t.Fatal("the disk is not full")
		}
	}
	s := l.Stats()
	if s.Lost != 0 || !errors.Is(s.Fault, syscall.ENOSPC) || n < 1000 {
		t.Errorf("%d messages: %+v", n, s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if err := l.Flush(ctx); err == nil {
		t.Error("Flush works on a full disk")
	}
	t.Logf("%d messages, %d of them in memory: %v; %v", n, s.Waiting, s.Fault, l.Stats().Moving)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	flush(t, l)
	if got := totals(t, l.dir); got[today] != int64(n) {
		t.Errorf("%v, want %d", got, n)
	}
}

// Somebody else holds a day's file: the log goes on, and carries its entries
// in afterwards.
func TestDayLocked(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir, Options{})
	put(t, l, 0, 1, noon)
	flush(t, l)
	db, err := sql.Open("sqlite", sqliteURI(dayPath(dir, today), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 100; i++ {
		put(t, l, i, i+1, noon)
	}
	wait(t, "the mover says so", func() bool { return l.Stats().Moving != nil })
	if s := l.Stats(); s.Unmoved != 99 || s.Fault != nil || !strings.Contains(s.Moving.Error(), today) {
		t.Errorf("%+v", s)
	}
	if _, _, err := readTest(t, dir).Find(context.Background(), Query{}); err != nil {
		t.Errorf("a reader is in the way: %v", err)
	}
	began := time.Now()
	if err := l.Close(); err != nil || time.Since(began) > 3*time.Second {
		t.Errorf("Close takes %v: %v", time.Since(began), err)
	}
	l = openTest(t, dir, Options{})
	if _, err := db.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	flush(t, l)
	if got := totals(t, dir); got[today] != 100 {
		t.Errorf("%v", got)
	}
}

// A day's file that is damaged is set aside, and what the journal still has of
// it is in the new one.
func TestDamagedDay(t *testing.T) {
	for _, running := range []bool{true, false} {
		dir := t.TempDir()
		l := openTest(t, dir, Options{})
		for i := range 100 {
			r, _ := put(t, l, i, i+1, noon)
			if i == 30 || i == 99 {
				r.Cancel()
			}
			put(t, l, i, 1000+i, noon.AddDate(0, 0, 1))
		}
		flush(t, l)
		if !running {
			crash(t, l)
		} else if err := l.renew(context.Background()); err != nil { // the file is not open, and the journal empty
			t.Fatal(err)
		}
		path := dayPath(dir, today)
		os.Remove(path + "-wal")
		if err := os.WriteFile(path, []byte(strings.Repeat("this is no file of verdicts\n", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		r := readTest(t, dir)
		if _, _, err := r.Find(context.Background(), Query{}); err != nil {
			t.Errorf("Find: %v", err)
		}
		if !running {
			l = openTest(t, dir, Options{})
		}
		for i := range 10 {
			put(t, l, i, 2000+i, noon)
		}
		flush(t, l)
		s := l.Stats()
		if len(s.Damaged) != 1 || s.Moving != nil || s.Unmoved != 0 {
			t.Fatalf("%+v", s)
		}
		if why, err := os.ReadFile(filepath.Join(dir, s.Damaged[0]+".txt")); err != nil || len(why) == 0 {
			t.Errorf("%s, %v", why, err)
		}
		// Without the journal those before are lost; with it they are not.
		want := int64(10)
		if !running {
			want += 100 - 2
		}
		if got := totals(t, dir); got[today] != want || got[tomorrow] != 100 {
			t.Errorf("%v, want %d", got, want)
		}
	}
}

// A closed day stays closed when its file is damaged.
func TestDamagedClosedDay(t *testing.T) {
	dir := t.TempDir()
	if err := CloseDay(context.Background(), dir, today); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dayPath(dir, today), []byte("nothing of the kind, and long enough to be read as a file of a data base, were it one: 100 octets."), 0o600); err != nil {
		t.Fatal(err)
	}
	l := openTest(t, dir, Options{})
	put(t, l, 1, 1, noon)
	flush(t, l)
	if got := totals(t, dir); got[today] != 0 || got[tomorrow] != 1 || len(l.Stats().Damaged) != 1 {
		t.Errorf("%v, %+v", got, l.Stats())
	}
}

// The end of a journal that was being written when the power failed is passed
// over, and reported.
func TestTornJournal(t *testing.T) {
	for _, c := range []struct {
		name string
		tear func([]byte, int) []byte // end of the frames
		want int64
		torn bool
	}{
		{"cut", func(b []byte, end int) []byte { return b[:end-5] }, 9, true},
		{"zeros", func(b []byte, end int) []byte { clear(b[end-5:]); return b }, 9, true},
		{"flipped", func(b []byte, end int) []byte { b[end-5] ^= 1; return b }, 9, true},
		{"half a head", func(b []byte, end int) []byte { b[end], b[end+1] = 9, 9; return b }, 10, true},
		{"huge", func(b []byte, end int) []byte { copy(b[end:], "\xff\xff\xff\xff\xff\xff\xff\xff"); return b }, 10, true},
		{"whole", func(b []byte, end int) []byte { return b }, 10, false},
		{"empty", func(b []byte, end int) []byte { return nil }, 0, false},
		{"another's", func(b []byte, end int) []byte { return []byte("something else, but long enough") }, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			l := openTest(t, dir, Options{still: true, Segment: 64 << 10})
			for i := range 10 {
				put(t, l, i, i+1, noon)
			}
			path, end := l.current.path, int(l.current.end)
			crash(t, l)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, c.tear(b, end), 0o600); err != nil {
				t.Fatal(err)
			}
			l = openTest(t, dir, Options{})
			if s := l.Stats(); (s.Torn > 0) != c.torn {
				t.Errorf("%+v", s)
			}
			_, id := put(t, l, 1, 99, noon)
			flush(t, l)
			if got := totals(t, dir); got[today] != c.want+1 || id <= uint64(c.want) {
				t.Errorf("%v, ID %d", got, id)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("the old journal is still there")
			}
		})
	}
}

// What comes after a day's file was deleted goes into a new one, and readers
// see that one.
func TestDayDeleted(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir, Options{})
	r := readTest(t, dir)
	find := func(want int) {
		t.Helper()
		found, _, err := r.Find(context.Background(), Query{})
		if err != nil || len(found) != want {
			t.Errorf("%d, %v; want %d", len(found), err, want)
		}
	}
	for i := range 5 {
		put(t, l, i, i+1, noon)
	}
	flush(t, l)
	find(5)
	os.Remove(dayPath(dir, today))
	find(0)
	_, id := put(t, l, 6, 7, noon)
	flush(t, l)
	find(1)
	if _, err := r.Entry(context.Background(), id); err != nil {
		t.Error(err)
	}
}
