package watch

import (
	"math/rand/v2"
	"testing"
	"time"

	"sekimori/internal/store"
)

// days makes a series: each amount one day.
func days(n ...uint64) []amount {
	var out []amount
	for i, v := range n {
		out = append(out, amount{store.Day(20000 + i), v})
	}
	return out
}

func flat(n int, v uint64) []uint64 {
	out := make([]uint64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func TestWaves(t *testing.T) {
	join := func(parts ...[]uint64) []uint64 {
		var out []uint64
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	noisy := func(n int, mean float64) []uint64 {
		r := rand.New(rand.NewPCG(1, 2))
		out := make([]uint64, n)
		for i := range out {
			out[i] = uint64(max(0, mean+r.NormFloat64()*mean/4))
		}
		return out
	}
	for _, tc := range []struct {
		name string
		in   []uint64
		want []wave // First and Last as offsets
	}{
		{"nothing", nil, nil},
		{"too little known", []uint64{1, 1, 5000}, nil},
		{"flat", flat(100, 50), nil},
		{"noise", noisy(400, 200), nil},
		{"small counts", join(flat(30, 0), []uint64{20}, flat(30, 0)), nil},
		{"one day", join(flat(40, 10), []uint64{400}, flat(20, 10)), []wave{{First: 40, Last: 40, Messages: 400, Peak: 400, PeakDay: 40, Usual: 10}}},
		{"with a gap", join(flat(40, 10), []uint64{400, 10, 10, 300}, flat(20, 10)), []wave{{First: 40, Last: 43, Messages: 700, Peak: 400, PeakDay: 40, Usual: 10}}},
		{"two", join(flat(40, 10), []uint64{400, 10, 10, 10, 10, 300}, flat(20, 10)),
			[]wave{{First: 40, Last: 40, Messages: 400, Peak: 400, PeakDay: 40, Usual: 10}, {First: 45, Last: 45, Messages: 300, Peak: 300, PeakDay: 45, Usual: 10}}},
		{"ebbing away", join(flat(40, 0), []uint64{1000, 500, 100, 40}, flat(20, 0)), []wave{{First: 40, Last: 43, Messages: 1640, Peak: 1000, PeakDay: 40}}},
		{"goes on", join(flat(40, 10), flat(5, 400)), []wave{{First: 40, Last: 44, Messages: 2000, Peak: 400, PeakDay: 40, Usual: 10, Ongoing: true}}},
		{"at the beginning", join(flat(3, 900), flat(40, 10)), []wave{{First: 0, Last: 2, Messages: 2700, Peak: 900, PeakDay: 0, Usual: 10}}},
		{"a new usual", join(flat(40, 10), flat(200, 400)), []wave{{First: 40, Last: 95, Messages: 56 * 400, Peak: 400, PeakDay: 40, Usual: 10}}},
	} {
		got := waves(days(tc.in...))
		if len(got) != len(tc.want) {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
			continue
		}
		for i, v := range got {
			w := tc.want[i]
			w.First, w.Last, w.PeakDay = w.First+20000, w.Last+20000, w.PeakDay+20000
			if v != w {
				t.Errorf("%s: %+v, want %+v", tc.name, v, w)
			}
		}
	}
}

// TestWaveDaysMissing checks that days without reports neither end nor begin
// anything.
func TestWaveDaysMissing(t *testing.T) {
	in := days(flat(40, 10)...)
	in = append(in, amount{20040, 400}, amount{20043, 400}, amount{20044, 10}, amount{20045, 10}, amount{20046, 10}, amount{20047, 10})
	got := waves(in)
	if len(got) != 1 || got[0].First != 20040 || got[0].Last != 20043 || got[0].Messages != 800 {
		t.Errorf("%+v", got)
	}
}

// TestTimelineWave finds a wave in stored reports.
func TestTimelineWave(t *testing.T) {
	ctx, st := t.Context(), opened(t)
	first := store.DayOf(start) - 40
	for i := range store.Day(40) {
		forged := uint64(3)
		if i >= 30 && i < 33 {
			forged = 2000
		}
		policy := "none"
		if i >= 20 {
			policy = "quarantine"
		}
		report(t, st, first+i, policy, 100, forged)
	}
	classes(t, st)
	at := &clock{t: start}
	w := watcher(t, Config{Store: st, Now: at.now})
	line, err := w.Timeline(ctx, mustName(t, "city.example.jp"), first.Time())
	if err != nil || codes(line) != "watch.wave watch.policy-changed watch.policy-first" {
		t.Fatalf("%s, %v", codes(line), err)
	}
	e := line[0]
	if !e.At.Equal((first + 30).Time()) || !e.Until.Equal((first + 33).Time()) || e.Step.Args["messages"] != int64(6000) || e.Step.Args["usual"] != int64(3) {
		t.Errorf("%+v", e)
	}
	// A wave that began before the time asked about is there as long as it lasts into it.
	if line, err = w.Timeline(ctx, mustName(t, "city.example.jp"), (first + 32).Time()); err != nil || codes(line) != "watch.wave" {
		t.Errorf("%s, %v", codes(line), err)
	}
	if line, err = w.Timeline(ctx, mustName(t, "city.example.jp"), (first + 34).Time()); err != nil || len(line) != 0 {
		t.Errorf("%s, %v", codes(line), err)
	}
}

// TestWaveGoesOn: a wave at the end of old reports is not said to go on today.
func TestWaveGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		v     wave
		today store.Day
		want  string
	}{
		"now":          {wave{First: 40, Last: 44, Ongoing: true}, 46, "watch.wave-goes-on"},
		"late reports": {wave{First: 40, Last: 44, Ongoing: true}, 47, "watch.wave-goes-on"},
		"old reports":  {wave{First: 40, Last: 44, Ongoing: true}, 100, "watch.wave-went-on"},
		"over":         {wave{First: 40, Last: 44}, 46, "watch.wave"},
		"a day":        {wave{First: 40, Last: 40}, 46, "watch.wave-day"},
	} {
		if got := c.v.entry("city.example", c.today).Step.Code; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestWaveMemory: waves are looked for again while sources may not be classed
// yet, and then no more.
func TestWaveMemory(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }
	for name, c := range map[string]struct {
		m    waveMemory
		when int
		want bool
	}{
		"a moment later":    {waveMemory{version: [2]int64{7, 1}, since: now, at: now}, 1, true},
		"classed meanwhile": {waveMemory{version: [2]int64{7, 1}, since: now, at: now}, 3, false},
		"settled":           {waveMemory{version: [2]int64{7, 1}, since: now, at: at(3)}, 60, true},
		"new reports":       {waveMemory{version: [2]int64{6, 1}, since: now, at: at(3)}, 60, false},
		"a person's word":   {waveMemory{version: [2]int64{7, 0}, since: now, at: at(3)}, 60, false},
	} {
		if got := c.m.good([2]int64{7, 1}, at(c.when)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
