package advise

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// TestBig asks about one domain with as many rows as SEKIMORI_BIG says, from
// 200,000 addresses over 60 days, in the real store, and prints what it takes.
func TestBig(t *testing.T) {
	rows, err := strconv.Atoi(os.Getenv("SEKIMORI_BIG"))
	if err != nil {
		t.Skip("set SEKIMORI_BIG to a number of rows, such as 10000000")
	}
	ctx := t.Context()
	st, err := store.Open(ctx, t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	const dom, days, bots = "ookii.example", 60, 200_000
	r := rand.New(rand.NewPCG(5, 6))
	begin := store.DayOf(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	start := time.Now()
	own := netip.MustParseAddr("192.0.2.1")
	for d := range days {
		day := (begin + store.Day(d)).Time()
		rep := aggregate.Report{
			Form:            aggregate.RFC7489,
			Metadata:        aggregate.Metadata{OrgName: "google.com", ReportID: fmt.Sprint(d), Begin: day, End: day.Add(86399 * time.Second)},
			PolicyPublished: aggregate.PolicyPublished{Domain: dom, P: "none", SP: "none"},
		}
		s, err := st.Begin(ctx, rep)
		if err != nil {
			t.Fatal(err)
		}
		var batch store.Rows
		for i := range rows / days {
			rec := aggregate.Record{Count: 1 + uint64(r.IntN(20)), Disposition: "none", HeaderFrom: dom, SourceIP: own}
			switch i % 4 {
			case 0:
				n := own.As4()
				n[3] = byte(i % 40)
				rec.SourceIP, rec.DKIM, rec.SPF = netip.AddrFrom4(n), true, true
				rec.DKIMResults = []aggregate.DKIMResult{{Domain: dom, Selector: "s", Result: "pass"}}
				rec.SPFResults = []aggregate.SPFResult{{Domain: dom, Scope: "mfrom", Result: "pass"}}
			default:
				n := r.IntN(bots)
				rec.SourceIP = netip.AddrFrom4([4]byte{byte(60 + n>>16), byte(n >> 8), byte(n), 9})
				rec.SPFResults = []aggregate.SPFResult{{Domain: dom, Scope: "mfrom", Result: "fail"}}
			}
			batch.Add(&rec)
			if batch.Len() == 20_000 {
				if err := s.Append(&batch); err != nil {
					t.Fatal(err)
				}
				batch.Reset()
			}
		}
		if err := s.Append(&batch); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit(ctx, store.Incoming{Report: rep}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d rows stored in %v", rows, time.Since(start).Round(time.Second))
	adv := New(Config{Store: st})
	defer adv.Close()
	for range 3 {
		start = time.Now()
		a, err := adv.Advise(ctx, mustName(t, dom), Question{})
		if err != nil {
			t.Fatal(err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t.Logf("advise: %v, %d messages, %d sources, %d addresses in the largest; Go heap in use %d MiB, from the system %d MiB; %s",
			time.Since(start).Round(time.Millisecond), a.Messages, len(a.Sources), a.Sources[len(a.Sources)-1].AddressCount, m.HeapInuse>>20, m.Sys>>20, status())
	}
	start = time.Now()
	if _, _, err := adv.Cached(ctx, mustName(t, dom), Question{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("kept: %v", time.Since(start).Round(time.Millisecond))
	start = time.Now()
	if _, fresh, err := adv.Cached(ctx, mustName(t, dom), Question{}); err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	t.Logf("from what is kept: %v", time.Since(start).Round(time.Microsecond))
}

// status returns the process's memory as Linux counts it.
func status() string {
	raw, _ := os.ReadFile("/proc/self/status")
	var out []string
	for _, line := range strings.Split(string(raw), "\n") {
		if strings.HasPrefix(line, "VmHWM") || strings.HasPrefix(line, "VmRSS") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(out, ", ")
}
