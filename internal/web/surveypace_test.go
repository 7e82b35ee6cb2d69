package web

import (
	"testing"
	"time"

	"sekimori/internal/store"
)

// TestPace measures how quickly a wave grows from one look to the next.
func TestPace(t *testing.T) {
	p := &pace{looks: map[int64]look{}}
	now := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	at := func(measured int64, after time.Duration) (float64, bool, bool) {
		now = now.Add(after)
		return p.of(store.Wave{ID: 1, Measured: measured, Sealed: true}, now)
	}
	for i, c := range []struct {
		measured      int64
		after         time.Duration
		rate          float64
		stands, known bool
	}{
		{100, 0, 0, false, false},           // the first look
		{150, time.Second, 0, false, false}, // too near to say
		{1100, 9 * time.Second, 100, false, true},
		{1100, 10 * time.Second, 0, true, true},
		{1100, time.Second, 0, true, true},      // as before
		{1200, time.Hour, 0, false, false},      // too long ago
		{50, 10 * time.Second, 0, false, false}, // begun anew
	} {
		if rate, stands, known := at(c.measured, c.after); rate != c.rate || stands != c.stands || known != c.known {
			t.Errorf("look %d: %v a second, stands %t, known %t; want %+v", i, rate, stands, known, c)
		}
	}
}
