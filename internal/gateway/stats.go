package gateway

import (
	"slices"
	"sync/atomic"
	"time"

	"sekimori/dmarc"
	"sekimori/internal/store/verdict"
)

// Stats counts since the start; InProgress is as of now.
type Stats struct {
	// Messages counts those that were answered, by what was done and what DMARC
	// said; kinds that there were none of are left out.
	Messages   []Count
	InProgress int64 // between MAIL and the answer
	Panics     int64 // faults of the program; the messages were taken unverified
	Unlogged   int64 // messages whose verdict could not be kept
	Signed     int64 // own messages that were signed
	Unsigned   int64 // own messages that could not be signed, or not with every key, though there is one
	Removed    int64 // header fields taken out because a sender must not write them
	// Took is the time from the end of a message to its answer, own mail left
	// out.
	Took Latency
}

// Count is how many messages there were of one kind. DMARC is the result in
// one word; "own" for own mail, which is not verified.
type Count struct {
	Action   verdict.Action
	DMARC    string
	Messages int64
}

// Latency is a histogram: Counts[i] messages took at most Bounds[i] and more
// than Bounds[i-1]; the last count is of those beyond the last bound. Sum is
// the time of all together.
type Latency struct {
	Bounds []time.Duration
	Counts []int64
	Sum    time.Duration
}

// bounds are those of the histogram: fine where the promise is, 10 ms.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

var (
	actions = [...]verdict.Action{verdict.Accept, verdict.Mark, verdict.Quarantine, verdict.Refuse, verdict.TryAgain}
	words   = [...]string{string(dmarc.Pass), string(dmarc.Fail), string(dmarc.NoRecord), string(dmarc.TempError), string(dmarc.PermError), "own"}
)

// counters are what Stats are made of.
type counters struct {
	messages   [len(actions)][len(words)]atomic.Int64
	took       [len(bounds) + 1]atomic.Int64
	sum        atomic.Int64 // nanoseconds
	inProgress atomic.Int64
	panics     atomic.Int64
	unlogged   atomic.Int64
	signed     atomic.Int64
	unsigned   atomic.Int64
	removed    atomic.Int64
}

// answered counts a message.
func (c *counters) answered(a *arrival, o *outcome, took time.Duration) {
	c.inProgress.Add(-1)
	if len(o.removals) > 0 {
		c.removed.Add(int64(len(o.removals)))
	}
	word := "own"
	if a.own == foreign {
		word = o.entry.DMARC
		i, _ := slices.BinarySearch(bounds[:], took)
		c.took[i].Add(1)
		c.sum.Add(int64(took))
	}
	i, j := slices.Index(actions[:], o.decision.Action), slices.Index(words[:], word)
	if i >= 0 && j >= 0 {
		c.messages[i][j].Add(1)
	}
}

// Stats returns the counters.
func (g *Gateway) Stats() Stats {
	c := &g.counts
	s := Stats{
		InProgress: c.inProgress.Load(), Panics: c.panics.Load(), Unlogged: c.unlogged.Load(),
		Signed: c.signed.Load(), Unsigned: c.unsigned.Load(), Removed: c.removed.Load(),
		Took: Latency{Bounds: slices.Clone(bounds[:]), Counts: make([]int64, len(c.took)), Sum: time.Duration(c.sum.Load())},
	}
	for i := range c.took {
		s.Took.Counts[i] = c.took[i].Load()
	}
	for i, a := range actions {
		for j, w := range words {
			if n := c.messages[i][j].Load(); n > 0 {
				s.Messages = append(s.Messages, Count{Action: a, DMARC: w, Messages: n})
			}
		}
	}
	return s
}
