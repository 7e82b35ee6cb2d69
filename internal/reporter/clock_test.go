package reporter

import (
	"testing"
	"time"
)

// TestSteadyClock: a clock that jumps is believed when it has held for ten
// minutes; one that goes back to where it was, at once.
func TestSteadyClock(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		// off is how far the wall clock is off, by minutes since the start.
		off  func(minute int) time.Duration
		want string // one letter each minute: "." steady, "?" doubted
	}{
		{"true", func(int) time.Duration { return 0 }, "...................."},
		{"slow drift", func(m int) time.Duration { return time.Duration(m) * time.Minute }, "...................."},
		{"an hour's step", func(m int) time.Duration { return at(m >= 3, 59*time.Minute) }, "...................."},
		{"a day ahead", func(m int) time.Duration { return at(m >= 3, 24*time.Hour) }, "...??????????......."},
		{"a day back", func(m int) time.Duration { return at(m >= 3, -24*time.Hour) }, "...??????????......."},
		{"ahead and back", func(m int) time.Duration { return at(m >= 3 && m < 8, 24*time.Hour) }, "...?????............"},
		{"wandering", func(m int) time.Duration { return at(m >= 3, time.Duration(m)*5*time.Hour) }, "...?????????????????"},
		{"two jumps", func(m int) time.Duration { return at(m >= 3, 24*time.Hour) + at(m >= 9, 24*time.Hour) }, "...????????????????."},
	} {
		var c steadyClock
		got := ""
		for m := range len(tt.want) {
			elapsed := time.Duration(m) * time.Minute
			if c.steady(start.Add(elapsed).Add(tt.off(m)), elapsed) {
				got += "."
			} else {
				got += "?"
			}
		}
		if got != tt.want {
			t.Errorf("%s:\n%s, want\n%s", tt.name, got, tt.want)
		}
	}
}

func at(is bool, d time.Duration) time.Duration {
	if is {
		return d
	}
	return 0
}

// TestPause: five minutes, doubling to four hours.
func TestPause(t *testing.T) {
	want := []time.Duration{5, 10, 20, 40, 80, 160, 240, 240}
	for i, w := range want {
		if got := pause(int64(i)); got != w*time.Minute {
			t.Errorf("after %d: %v", i, got)
		}
	}
	if pause(1<<40) != longPause {
		t.Error("after many")
	}
}

// TestOverAt: the day is over at midnight (UTC) and the host's own delay.
func TestOverAt(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tt := range []struct {
		now   string
		delay time.Duration
		want  string
	}{
		{"2026-11-22T00:00:00Z", 0, "2026-11-21"},
		{"2026-11-21T23:59:59Z", 0, "2026-11-20"},
		{"2026-11-22T00:29:59Z", 30 * time.Minute, "2026-11-20"},
		{"2026-11-22T00:30:00Z", 30 * time.Minute, "2026-11-21"},
		{"2026-11-22T08:30:00+09:00", 0, "2026-11-20"},
		{"2026-03-01T05:00:00Z", time.Hour, "2026-02-28"},
	} {
		if got := overAt(at(tt.now), tt.delay); got != tt.want {
			t.Errorf("%s, %v: %s, want %s", tt.now, tt.delay, got, tt.want)
		}
	}
	spread := map[time.Duration]bool{}
	for i := range 100 {
		d := delay("mx" + string(rune('a'+i)) + ".example")
		if d < 0 || d >= time.Hour {
			t.Errorf("delay %v", d)
		}
		spread[d/(6*time.Minute)] = true
	}
	if len(spread) < 8 {
		t.Errorf("a hundred hosts begin in %d of ten parts of the hour", len(spread))
	}
}
