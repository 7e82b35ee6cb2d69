//go:build unix

package arrival

import (
	"path/filepath"
	"testing"
	"time"

	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

// counted is how many messages the day files of a gateway hold for reports, by
// Author Domain (header_from). At rest, all ways of counting agree.
func (g *gate) counted(t *testing.T, atRest bool) map[string]int64 {
	t.Helper()
	r, err := verdict.Read(filepath.Join(g.data(), "gateway"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	days, err := r.Days(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := map[string]int64{}
	for _, d := range days {
		policies, err := r.Policies(t.Context(), d.Day)
		if err != nil {
			t.Fatal(err)
		}
		var of int64
		for _, p := range policies {
			var rows int64
			if err := r.Rows(t.Context(), d.Day, p.ID, func(rec *aggregate.Record) error {
				rows += int64(rec.Count)
				sum[rec.HeaderFrom] += int64(rec.Count)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if atRest && rows != p.Messages {
				t.Errorf("%s %s: rows add up to %d, said are %d", d.Day, p.Policy.Domain, rows, p.Messages)
			}
			of += p.Messages
		}
		if atRest && of != d.Messages {
			t.Errorf("%s: policies add up to %d, said are %d", d.Day, of, d.Messages)
		}
	}
	return sum
}

// awaitCount waits until so many messages of an Author Domain are counted, and
// a moment longer for any too many.
func (g *gate) awaitCount(t *testing.T, domain string, want int64, patience time.Duration) {
	t.Helper()
	g.awaitCounts(t, map[string]int64{domain: want}, patience)
}

// awaitCounts is awaitCount for many domains.
func (g *gate) awaitCounts(t *testing.T, want map[string]int64, patience time.Duration) {
	t.Helper()
	var sum int64
	for _, n := range want {
		sum += n
	}
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		have := int64(0)
		for domain, n := range g.counted(t, false) {
			if _, asked := want[domain]; asked {
				have += n
			}
		}
		if have >= sum {
			time.Sleep(300 * time.Millisecond)
			break
		}
	}
	have := g.counted(t, true)
	for domain, n := range want {
		if have[domain] != n {
			t.Errorf("%d messages of %s are counted, want %d: %s", have[domain], domain, n, g.log())
		}
	}
}
