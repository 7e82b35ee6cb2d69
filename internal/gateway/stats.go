package gateway

import (
	"sync/atomic"
	"time"
)

// Stats counts since the start; InProgress is as of now.
type Stats struct {
	// Messages counts those that reached their end and were answered, by what
	// was done and what DMARC said.
	Messages   []Count
	InProgress int64 // between MAIL and the answer
	Panics     int64 // faults of our own, met by taking the message unverified
	Unlogged   int64 // messages whose verdict could not be kept
	Removed    int64 // header fields taken out because they were forged
	// Took is the time from the end of a message to its answer.
	Took Latency
}

// Count is how many messages there were of one kind. DMARC is the result in
// one word; "own" for own mail, which is not verified.
type Count struct {
	Action   string
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

type counters struct {
	inProgress, panics, unlogged, removed atomic.Int64
}

// Stats returns the counters.
func (g *Gateway) Stats() Stats {
	return Stats{InProgress: g.counts.inProgress.Load(), Panics: g.counts.panics.Load()}
}
