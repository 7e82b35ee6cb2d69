package verdict

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

func BenchmarkAppend(b *testing.B) {
	for _, kind := range []string{"pass", "mixed"} {
		b.Run(kind, func(b *testing.B) {
			l := openTest(b, b.TempDir(), Options{still: true})
			entries := make([]*Entry, 1000)
			for i := range entries {
				n := i
				if kind == "pass" && n%10 == 0 {
					n++
				}
				entries[i] = testEntry(n, noon)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r, err := l.Append(entries[i%len(entries)])
				if err != nil {
					b.Fatal(err)
				}
				r.Confirm()
			}
			b.StopTimer()
			crash(b, l) // closing would move them all
		})
	}
}

// BenchmarkMove is the mover's work for a message, in a day that grows.
func BenchmarkMove(b *testing.B) {
	for _, kind := range []string{"few-rows", "many-rows"} {
		b.Run(kind, func(b *testing.B) {
			dir := b.TempDir()
			l := openTest(b, dir, Options{still: true})
			const n = 20000
			ctx := context.Background()
			var spent time.Duration
			for b.Loop() {
				b.StopTimer()
				for i := range n {
					r, err := l.Append(varied(i, kind == "many-rows"))
					if err != nil {
						b.Fatal(err)
					}
					r.Confirm()
				}
				b.StartTimer()
				before := cpu()
				if err := l.Flush(ctx); err != nil {
					b.Fatal(err)
				}
				spent += cpu() - before
			}
			b.StopTimer()
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/n, "cpu-ns/message")
			b.ReportMetric(float64(size(dir))/float64(b.N)/n, "octets/message")
		})
	}
}

// cpu is what this process has used of it.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func size(dir string) (n int64) {
	files, _ := filepath.Glob(filepath.Join(dir, "*"+daySuffix+"*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			n += info.Size()
		}
	}
	return n
}

// varied is a message of a day's traffic: unique ids, many addresses.
func varied(i int, manyRows bool) *Entry {
	e := testEntry(i, noon.Add(time.Duration(i)*time.Millisecond))
	r := rand.New(rand.NewPCG(uint64(i), 1))
	e.MailFrom = fmt.Sprintf("person%d@%s", r.IntN(20000), e.Policy.Domain)
	e.From = e.MailFrom
	e.Rcpt = []string{fmt.Sprintf("member%d@city.example.jp", r.IntN(5000))}
	e.MessageID = fmt.Sprintf("%x.%x@mail.%s", r.Uint64(), r.Uint32(), e.Policy.Domain)
	if manyRows {
		e.Record.EnvelopeFrom = fmt.Sprintf("bounce%d.%s", r.IntN(2000), e.Policy.Domain)
	}
	return e
}

// BenchmarkFind looks things up in a large day. VERDICT_SCALE is its number of
// messages (default 100,000); with VERDICT_DIR the day is made once and kept.
func BenchmarkFind(b *testing.B) {
	scale, _ := strconv.Atoi(os.Getenv("VERDICT_SCALE"))
	if scale == 0 {
		scale = 100_000
	}
	dir := os.Getenv("VERDICT_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	ctx := context.Background()
	if days, _ := listDays(dir); len(days) == 0 {
		l := openTest(b, dir, Options{})
		start := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		for i := range scale {
			e := varied(i, i%5 == 0)
			e.Time = start.Add(24 * time.Hour / time.Duration(scale) * time.Duration(i))
			r, err := l.Append(e)
			if err != nil {
				b.Fatal(err)
			}
			r.Confirm()
			if i%50_000 == 0 {
				flush(b, l)
			}
		}
		flush(b, l)
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d messages: %d octets a message", scale, size(dir)/int64(scale))
	r := readTest(b, dir)
	sizes(b, r, scale)
	for name, q := range map[string]Query{
		"message-id":  {MessageID: varied(scale/2, (scale/2)%5 == 0).MessageID},
		"none":        {MessageID: "there-is@none.example"},
		"rare-sender": {Sender: varied(7, false).MailFrom},
		"domain":      {Sender: "d7.example"},
		"recipient":   {Address: varied(7, false).Rcpt[0]},
		"client":      {Address: varied(7, false).Client.String()},
		"network":     {Address: "192.0.2.0/24"},
		"text":        {Text: varied(7, false).MailFrom},
		"quarantined": {Action: Quarantine},
		"refused":     {Action: Refuse},
		"newest":      {},
		"page-1000":   {Limit: 1000},
		"an-hour":     {Since: noon, Until: noon.Add(time.Hour), DMARC: "fail"},
	} {
		b.Run(name, func(b *testing.B) {
			found := 0
			for b.Loop() {
				e, _, err := r.Find(ctx, q)
				if err != nil {
					b.Fatal(err)
				}
				found = len(e)
			}
			b.ReportMetric(float64(found), "found")
		})
	}
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for name, of := range map[string]time.Duration{"hour": time.Hour, "day": 24 * time.Hour} {
		b.Run("live-"+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := r.Live(ctx, day.Add(24*time.Hour-of), day.Add(24*time.Hour), max(of/60, time.Minute)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// sizes logs what each table takes of a message.
func sizes(b *testing.B, r *Reader, messages int) {
	err := r.days(context.Background(), func(f *dayReader) error {
		rows, err := f.db.Query("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC")
		if err != nil {
			b.Log(err)
			return nil
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var n int64
			if err := rows.Scan(&name, &n); err != nil {
				return err
			}
			b.Logf("%-14s %6.1f octets a message", name, float64(n)/float64(messages))
		}
		return rows.Err()
	})
	if err != nil {
		b.Fatal(err)
	}
}
