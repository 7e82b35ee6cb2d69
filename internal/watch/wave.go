package watch

import (
	"context"
	"math"
	"slices"
	"time"

	"sekimori/explain"
	"sekimori/internal/store"
)

// How a wave is told from the usual noise.
const (
	waveHistory = 28 // days without a wave that say what is usual
	waveKnown   = 7  // of them, at least
	waveUp      = 6  // deviations above the usual at which a wave begins
	waveOn      = 3  // deviations above which it goes on
	waveTimes   = 3  // and times the usual at least
	waveLeast   = 30 // messages a day at least
	waveGap     = 2  // quiet days inside one wave
	waveLong    = 56 // days after which a wave is the new usual
)

// amount is one day's forged messages.
type amount struct {
	day store.Day
	n   uint64
}

// wave is a run of days with much more forged mail than is usual.
type wave struct {
	First, Last store.Day
	Messages    uint64
	Peak        uint64
	PeakDay     store.Day
	Usual       uint64 // messages a day before
	Ongoing     bool   // its last day is the last day there are reports for
}

// waves finds waves in days, the oldest first, each once. Days that are missing
// had no reports: they neither begin nor end a wave.
//
// A day is compared with the median of the last 28 days that belong to no wave;
// the deviation is the median absolute one (scaled to a standard deviation), and
// not below that of a Poisson count, so that neither a single peak nor a flat
// line fools it. The first days are compared with the 28 first.
func waves(days []amount) []wave {
	if len(days) < waveKnown {
		return nil
	}
	var out []wave
	usual := make([]float64, 0, waveHistory+len(days))
	for _, d := range days[:min(len(days), waveHistory)] {
		usual = append(usual, float64(d.n))
	}
	borrowed := len(usual) // of the first days, which are seen before they come
	var on *wave
	for i, d := range days {
		base := usual[max(0, len(usual)-waveHistory):]
		mid := median(base)
		dev := max(1.4826*deviation(base, mid), math.Sqrt(mid), 1)
		n := float64(d.n)
		up := n >= waveLeast && n > mid+waveUp*dev && n >= waveTimes*mid
		if on != nil && d.day-on.First >= waveLong {
			// What lasts that long is how things are now.
			on = nil
			usual = usual[:0]
			for _, p := range days[max(0, i-waveHistory):i] {
				usual = append(usual, float64(p.n))
			}
			borrowed = 0
			up = false
		}
		if on == nil && up {
			out = append(out, wave{First: d.day, Last: d.day, Usual: uint64(mid)})
			on = &out[len(out)-1]
		}
		switch {
		case on == nil:
			if i >= borrowed {
				usual = append(usual, n)
			}
		case up || n >= waveLeast && n > mid+waveOn*dev:
			on.Last = d.day
			on.Messages = addSat(on.Messages, d.n)
			if d.n > on.Peak {
				on.Peak, on.PeakDay = d.n, d.day
			}
		case d.day-on.Last > waveGap:
			on = nil
		}
	}
	if k := len(out); k > 0 && days[len(days)-1].day == out[k-1].Last {
		out[k-1].Ongoing = true
	}
	return out
}

func addSat(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// deviation is the median absolute deviation.
func deviation(v []float64, mid float64) float64 {
	d := make([]float64, len(v))
	for i, x := range v {
		d[i] = math.Abs(x - mid)
	}
	return median(d)
}

// waveMemory is the waves of a domain as of a state of its reports and of what
// people said.
type waveMemory struct {
	version [2]int64
	since   time.Time // when that state was first seen
	at      time.Time
	begin   store.Day
	waves   []wave
}

// wavesLast is how long waves are good although reports came in meanwhile: an
// import changes the state of a domain every second. For as long after a change
// its sources may not be classed yet.
const wavesLast = 2 * time.Minute

// good reports whether the waves need not be looked for again.
func (m *waveMemory) good(version [2]int64, now time.Time) bool {
	return now.Sub(m.at) < wavesLast || m.version == version && m.at.Sub(m.since) >= wavesLast
}

// wavesOf returns a domain's waves since a day. Cost: a scan of its failing
// records, twice for each state of its reports, and not every moment.
func (w *Watcher) wavesOf(ctx context.Context, name string, begin store.Day) ([]wave, error) {
	newest, ok, err := w.c.Store.Newest(ctx, name)
	if err != nil || !ok {
		return nil, err
	}
	version := [2]int64{w.c.Store.DomainVersion(name), w.c.Store.DomainStateVersion(name)}
	// What was usual is seen from the days before.
	begin = max(0, begin-2*waveHistory)
	w.mu.Lock()
	m, ok := w.waves[name]
	w.mu.Unlock()
	now := w.c.Now()
	if !ok || !m.good(version, now) || m.begin > begin {
		totals, err := w.c.Store.ClassDaily(ctx, name, store.Window{Begin: begin, End: newest})
		if err != nil {
			return nil, err
		}
		since := now
		if ok && m.version == version {
			since = m.since
		}
		m = waveMemory{version, since, now, begin, waves(forgedDays(totals))}
		w.mu.Lock()
		if len(w.waves) > 1000 { // it is only a memory
			clear(w.waves)
		}
		w.waves[name] = m
		w.mu.Unlock()
	}
	return m.waves, nil
}

// forgedDays sums forged messages by day; a day with reports and no forged
// message is a day of none.
func forgedDays(totals []store.ClassTotals) []amount {
	var out []amount
	for _, c := range totals {
		if k := len(out); k == 0 || out[k-1].day != c.Day {
			out = append(out, amount{day: c.Day})
		}
		if c.Class == "spoof" {
			a := &out[len(out)-1]
			a.n = addSat(a.n, c.Messages)
		}
	}
	return out
}

// wavesFresh is how many days old the newest reports may be for a wave to be
// said to go on.
const wavesFresh = 3

func (v wave) entry(domain string, today store.Day) Entry {
	step := explain.Step{Code: "watch.wave", Args: explain.Args{"messages": int64(min(v.Messages, 1<<62)), "days": int64(v.Last - v.First + 1),
		"peak": int64(min(v.Peak, 1<<62)), "peak_day": v.PeakDay.String(), "usual": int64(min(v.Usual, 1<<62)), "from": v.First.String(), "to": v.Last.String()}}
	switch {
	case v.Ongoing && today-v.Last > wavesFresh:
		step.Code = "watch.wave-went-on"
	case v.Ongoing:
		step.Code = "watch.wave-goes-on"
	case v.First == v.Last:
		step.Code = "watch.wave-day"
	}
	return Entry{Domain: domain, At: v.First.Time(), Until: (v.Last + 1).Time(), Kind: "wave", Step: step}
}
