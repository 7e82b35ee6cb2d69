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
// policy domain and the Author Domain (header_from).
func (g *gate) counted(t *testing.T) map[string]int64 {
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
			if rows != p.Messages {
				t.Errorf("%s %s: rows add up to %d, said are %d", d.Day, p.Policy.Domain, rows, p.Messages)
			}
			of += p.Messages
		}
		if of != d.Messages {
			t.Errorf("%s: policies add up to %d, said are %d", d.Day, of, d.Messages)
		}
	}
	return sum
}

// awaitCount waits until so many messages of an Author Domain are counted, and
// a moment longer for any too many.
func (g *gate) awaitCount(t *testing.T, domain string, want int64, patience time.Duration) {
	t.Helper()
	var have int64
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if have = g.counted(t)[domain]; have >= want {
			break
		}
	}
	if have == want {
		time.Sleep(300 * time.Millisecond)
		have = g.counted(t)[domain]
	}
	if have != want {
		t.Errorf("%d messages of %s are counted, want %d: %s", have, domain, want, g.log())
	}
}
