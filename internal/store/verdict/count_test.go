package verdict

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// put appends an entry with a print of its own, or that of another.
func put(t testing.TB, l *Log, i, print int, at time.Time) (Receipt, uint64) {
	t.Helper()
	e := testEntry(i, at)
	e.Print = [16]byte{byte(print), byte(print >> 8), byte(print >> 16), 0, 0, 0, 7}
	r, err := l.Append(e)
	if err != nil {
		t.Fatal(err)
	}
	return r, e.ID
}

// crash ends a Log as the end of its process would: nothing is written any
// more.
func crash(t testing.TB, l *Log) {
	t.Helper()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.stop)
	l.running.Wait()
	l.release()
}

// copyFolder copies what is on the disk now: what a kill would leave.
func copyFolder(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	for _, part := range []string{"", "journal"} {
		names, err := os.ReadDir(filepath.Join(dir, part))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(to, part), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if n.IsDir() || strings.HasPrefix(n.Name(), spareName) || strings.HasSuffix(n.Name(), "-shm") {
				continue
			}
			b, err := os.ReadFile(filepath.Join(dir, part, n.Name()))
			if err == nil {
				err = os.WriteFile(filepath.Join(to, part, n.Name()), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return to
}

const today, tomorrow = "2026-11-22", "2026-11-23"

// Which messages count, by what became of their answers.
func TestCounted(t *testing.T) {
	type step struct {
		do   string // append, confirm, cancel, leave, flush, restart, close
		i    int    // which message: entries with equal prints are one message
		days int    // append: how much later
	}
	for _, c := range []struct {
		name  string
		steps []step
		want  map[string]int64
	}{
		{"confirmed", []step{{"append", 1, 0}, {"confirm", 1, 0}}, map[string]int64{today: 1}},
		{"open", []step{{"append", 1, 0}}, map[string]int64{today: 1}},
		{"cancelled at once", []step{{"append", 1, 0}, {"cancel", 1, 0}}, map[string]int64{today: 0}},
		{"cancelled later", []step{{"append", 1, 0}, {"flush", 0, 0}, {"cancel", 1, 0}}, map[string]int64{today: 0}},
		{"cancelled and again", []step{{"append", 1, 0}, {"flush", 0, 0}, {"cancel", 1, 0}, {"append", 1, 0}, {"confirm", 1, 0}}, map[string]int64{today: 1}},
		{"left", []step{{"append", 1, 0}, {"leave", 1, 0}}, map[string]int64{today: 1}},
		{"left and again", []step{{"append", 1, 0}, {"leave", 1, 0}, {"append", 1, 0}, {"confirm", 1, 0}}, map[string]int64{today: 1}},
		{"left and again after a while", []step{{"append", 1, 0}, {"leave", 1, 0}, {"flush", 0, 0}, {"append", 1, 0}, {"confirm", 1, 0}, {"flush", 0, 0}, {"append", 1, 0}, {"confirm", 1, 0}}, map[string]int64{today: 2}},
		{"left and again the next day", []step{{"append", 1, 0}, {"leave", 1, 0}, {"append", 1, 1}, {"confirm", 1, 0}}, map[string]int64{today: 0, tomorrow: 1}},
		{"left and again after six days", []step{{"append", 1, 0}, {"leave", 1, 0}, {"append", 1, 6}, {"confirm", 1, 0}}, map[string]int64{today: 1, "2026-11-28": 1}},
		{"again while open", []step{{"append", 1, 0}, {"append", 1, 0}, {"confirm", 1, 0}}, map[string]int64{today: 2}},
		{"open at a crash", []step{{"append", 1, 0}, {"restart", 0, 0}}, map[string]int64{today: 1}},
		{"open at a crash, and again", []step{{"append", 1, 0}, {"restart", 0, 0}, {"append", 1, 0}, {"confirm", 1, 0}}, map[string]int64{today: 1}},
		{"in its file at a crash, and again", []step{{"append", 1, 0}, {"flush", 0, 0}, {"restart", 0, 0}, {"append", 1, 1}, {"confirm", 1, 0}}, map[string]int64{today: 0, tomorrow: 1}},
		{"three times", []step{{"append", 1, 0}, {"restart", 0, 0}, {"append", 1, 0}, {"restart", 0, 0}, {"append", 1, 0}, {"restart", 0, 0}}, map[string]int64{today: 1}},
		{"day closed before it came again", []step{{"append", 1, 0}, {"leave", 1, 0}, {"close", 0, 0}, {"append", 1, 1}, {"confirm", 1, 0}}, map[string]int64{today: 1, tomorrow: 0}},
		{"closed, then three times", []step{{"append", 1, 0}, {"leave", 1, 0}, {"close", 0, 0}, {"append", 1, 1}, {"leave", 1, 0}, {"append", 1, 1}, {"confirm", 1, 0}}, map[string]int64{today: 1, tomorrow: 0}},
		{"cancelled when the day is closed", []step{{"append", 1, 0}, {"close", 0, 0}, {"cancel", 1, 0}, {"append", 1, 1}, {"confirm", 1, 0}}, map[string]int64{today: 1, tomorrow: 0}},
		{"the second copy is cancelled", []step{{"append", 1, 0}, {"restart", 0, 0}, {"append", 1, 0}, {"flush", 0, 0}, {"cancel", 1, 0}}, map[string]int64{today: 1}},
		{"the second copy is cancelled at once", []step{{"append", 1, 0}, {"restart", 0, 0}, {"append", 1, 0}, {"cancel", 1, 0}}, map[string]int64{today: 1}},
		{"the second copy is cancelled, the third is not", []step{{"append", 1, 0}, {"restart", 0, 0}, {"append", 1, 0}, {"flush", 0, 0}, {"cancel", 1, 0}, {"append", 1, 0}, {"confirm", 1, 0}}, map[string]int64{today: 1}},
		{"late for a closed day", []step{{"close", 0, 0}, {"append", 1, 0}, {"confirm", 1, 0}}, map[string]int64{today: 0, tomorrow: 1}},
		{"closed in between", []step{{"append", 1, 0}, {"confirm", 1, 0}, {"close", 0, 0}, {"append", 2, 0}, {"confirm", 2, 0}, {"restart", 0, 0}}, map[string]int64{today: 1, tomorrow: 1}},
		{"two days closed", []step{{"close", 0, 1}, {"close", 0, 0}, {"append", 2, 0}}, map[string]int64{today: 0, tomorrow: 0, "2026-11-24": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l := openTest(t, dir, Options{still: true})
			last := map[int]Receipt{}
			for n, s := range c.steps {
				switch s.do {
				case "append":
					last[s.i], _ = put(t, l, s.i, s.i, noon.AddDate(0, 0, s.days).Add(time.Duration(n)*time.Second))
				case "confirm":
					last[s.i].Confirm()
				case "cancel":
					last[s.i].Cancel()
				case "leave":
					last[s.i].Leave()
				case "flush":
					flush(t, l)
				case "close":
					flush(t, l)
					day := dayOf(noon.AddDate(0, 0, s.days))
					for range 2 {
						if err := CloseDay(context.Background(), dir, day); err != nil {
							t.Fatal(err)
						}
					}
				case "restart":
					crash(t, l)
					l = openTest(t, dir, Options{still: true})
				}
			}
			flush(t, l)
			if got := totals(t, dir); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
			// What is on the disk must be enough, too.
			crash(t, l)
			other := openTest(t, copyFolder(t, dir), Options{})
			flush(t, other)
			if got := totals(t, other.dir); !reflect.DeepEqual(got, c.want) {
				t.Errorf("after a restart: %v, want %v", got, c.want)
			}
		})
	}
}

func TestTryAgainDoesNotCount(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir, Options{})
	e := testEntry(1, noon)
	e.Action = TryAgain
	if _, err := l.Append(e); err != nil {
		t.Fatal(err)
	}
	flush(t, l)
	if got := totals(t, dir); got[today] != 0 {
		t.Errorf("%v", got)
	}
	found, _, err := readTest(t, dir).Find(context.Background(), Query{Action: TryAgain})
	if err != nil || len(found) != 1 || found[0].Counted {
		t.Errorf("%+v, %v", found, err)
	}
}

// A clock that jumps over midnight and back, days that are closed meanwhile,
// restarts: each message is in one day.
func TestClockJumps(t *testing.T) {
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(4, 2))
	midnight := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	l := openTest(t, dir, Options{})
	closed := map[string]int64{}
	n := int64(0)
	for round := range 60 {
		at := midnight.Add(time.Duration(rnd.IntN(72)-36) * time.Hour)
		for range rnd.IntN(50) {
			r, _ := put(t, l, int(n), int(n)+1, at.Add(time.Duration(rnd.IntN(20)-10)*time.Second))
			r.Confirm()
			n++
		}
		switch round % 12 {
		case 3:
			flush(t, l)
		case 7:
			day := dayOf(midnight.AddDate(0, 0, rnd.IntN(3)-1))
			if err := CloseDay(context.Background(), dir, day); err != nil {
				t.Fatal(err)
			}
			if _, ok := closed[day]; !ok {
				days, err := readTest(t, dir).Days(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range days {
					if d.Day == day {
						closed[day] = d.Messages
					}
				}
			}
		case 9:
			crash(t, l)
			l = openTest(t, dir, Options{})
		}
	}
	flush(t, l)
	var sum int64
	all := totals(t, dir)
	for day, m := range all {
		sum += m
		if was, ok := closed[day]; ok && was != m {
			t.Errorf("%s had %d when it was closed, and has %d", day, was, m)
		}
	}
	if sum != n || len(closed) < 2 {
		t.Errorf("%v: %d of %d, closed %v", all, sum, n, closed)
	}
}

// Thousands of goroutines append at once; a reader looks on.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir, Options{Segment: 256 << 10})
	ctx, cancel := context.WithCancel(context.Background())
	var looking sync.WaitGroup
	r := readTest(t, dir)
	for range 2 {
		looking.Go(func() {
			for ctx.Err() == nil {
				if _, _, err := r.Find(context.Background(), Query{Text: "d7.example", Limit: 5}); err != nil {
					t.Error(err)
				}
				if _, err := r.Live(context.Background(), noon, noon.Add(time.Hour), time.Minute); err != nil {
					t.Error(err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	defer looking.Wait()
	defer cancel()
	var mu sync.Mutex
	var ids []uint64
	var g sync.WaitGroup
	const writers, each = 1500, 4
	for w := range writers {
		g.Go(func() {
			for k := range each {
				e := testEntry(w*each+k, noon)
				rc, err := l.Append(e)
				if err != nil {
					t.Error(err)
					return
				}
				rc.Confirm()
				mu.Lock()
				ids = append(ids, e.ID)
				mu.Unlock()
			}
		})
	}
	g.Wait()
	flush(t, l)
	cancel()
	looking.Wait()
	slices.Sort(ids)
	if len(slices.Compact(ids)) != writers*each {
		t.Error("IDs are given twice")
	}
	if got := totals(t, dir); got[today] != writers*each {
		t.Errorf("%v", got)
	}
	if s := l.Stats(); s.Appended != writers*each || s.Unmoved != 0 {
		t.Errorf("%+v", s)
	}
	if files, _ := os.ReadDir(l.journal); len(files) > 4 {
		t.Errorf("%d files of the journal are left", len(files))
	}
}

func TestExpire(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	now := noon
	l := openTest(t, dir, Options{Keep: 3, Now: func() time.Time { return now }})
	for i := range 50 {
		put(t, l, i, i+1, noon.AddDate(0, 0, -i%5))
	}
	flush(t, l)
	r := readTest(t, dir)
	if _, _, err := r.Find(ctx, Query{}); err != nil {
		t.Fatal(err)
	}
	files, err := l.Expire(ctx)
	if err != nil || files != 2 {
		t.Fatalf("%d, %v", files, err)
	}
	if files, err := l.Expire(ctx); err != nil || files != 0 {
		t.Fatalf("again: %d, %v", files, err)
	}
	found, _, err := r.Find(ctx, Query{Limit: 100})
	if err != nil || len(found) != 30 {
		t.Errorf("%d, %v", len(found), err)
	}
	if got := totals(t, dir); len(got) != 3 {
		t.Errorf("%v", got)
	}
	// Nothing comes back, and numbers go on rising.
	_, before := put(t, l, 1, 99, now)
	crash(t, l)
	l = openTest(t, dir, Options{Keep: 3, Now: func() time.Time { return now }})
	_, after := put(t, l, 2, 100, now)
	flush(t, l)
	if got := totals(t, dir); len(got) != 3 || after <= before {
		t.Errorf("%v, %d after %d", got, after, before)
	}
	l.SetKeep(1)
	if files, err := l.Expire(ctx); err != nil || files != 2 {
		t.Errorf("%d, %v", files, err)
	}
	names, _ := os.ReadDir(dir)
	for _, n := range names {
		if day, ok := dayOfFile(n.Name()); ok && day != today {
			t.Errorf("%s is left", n.Name())
		}
	}
}
