package verdict

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"sekimori/report/aggregate"
)

// ErrUnknown: there is no such entry, day or policy.
var ErrUnknown = errors.New("no such verdict")

// Reader reads a folder of verdicts, also while a Log of this or of another
// process writes into it. Its methods may be called from any goroutine.
type Reader struct{}

// Read opens a folder for reading. One that is not there holds nothing.
func Read(dir string) (*Reader, error) { return &Reader{}, nil }

// Close closes the Reader.
func (r *Reader) Close() error { return nil }

// Query says which entries are looked for; all that is set must hold. The zero
// Query finds the newest.
type Query struct {
	MessageID string // exactly, with or without <>
	Sender    string // envelope-from or From: an address, a domain or @domain
	Address   string // a recipient, an IP address or a network
	Text      string // any of the three above, or a queue id
	Since     time.Time
	Until     time.Time // exclusive
	Action    Action
	DMARC     string // its word
	Limit     int    // default 50, at most 1,000
	Before    uint64 // an entry's ID: only older ones
}

// Find returns entries, the newest first, and whether there are more.
func (r *Reader) Find(ctx context.Context, q Query) (found []Entry, more bool, err error) {
	return nil, false, nil
}

// Entry returns one entry, or ErrUnknown.
func (r *Reader) Entry(ctx context.Context, id uint64) (Entry, error) { return Entry{}, ErrUnknown }

// Live is what happened lately.
type Live struct {
	Since, Until time.Time
	Step         time.Duration
	Buckets      []Bucket // every step, the oldest first
	Total        Bucket
	Spoofed      []Spoofed // most messages first, at most 20
	Senders      []Sender  // most failing messages first, at most 20
	// Latency counts messages by the time from their end to the answer.
	Latency Latency
}

// Bucket counts the messages of some time.
type Bucket struct {
	Start                                      time.Time
	Accept, Mark, Quarantine, Refuse, TryAgain int64
	Pass, Fail, NoPolicy, Trouble              int64
}

// Messages is how many messages there were.
func (b *Bucket) Messages() int64 { return b.Accept + b.Mark + b.Quarantine + b.Refuse + b.TryAgain }

// Spoofed is a domain in whose name mail came that failed.
type Spoofed struct {
	Domain   string
	Messages int64
	Sources  int64 // addresses that it came from
}

// Sender is an address that sent mail that failed.
type Sender struct {
	Client            netip.Addr
	Messages, Failing int64
	Domains           int64 // in whose names
}

// Latency is a histogram: Counts[i] messages took at most Bounds[i] and more
// than Bounds[i-1]; the last count is of those beyond the last bound.
type Latency struct {
	Bounds []time.Duration
	Counts []int64
}

// Quantile estimates how long the share q (0 to 1) of messages took at most.
func (l *Latency) Quantile(q float64) time.Duration { return 0 }

// Live returns the figures of [since, until), in steps.
func (r *Reader) Live(ctx context.Context, since, until time.Time, step time.Duration) (Live, error) {
	return Live{}, nil
}

// Day is a UTC day.
type Day struct {
	Day      string // "2026-11-22"
	Messages int64  // that its reports count
	Closed   bool   // no entry is added any more
}

// Days returns the days that are kept, the oldest first.
func (r *Reader) Days(ctx context.Context) ([]Day, error) { return nil, nil }

// PolicyTotals is what came under one policy on one day.
type PolicyTotals struct {
	Policy   Policy
	ID       int64 // in this day
	Messages int64 // counted
	Rows     int64 // of a report
}

// Policies returns a day's policies in a fixed order, by domain, then text.
// Messages without a policy are in the one whose Domain is empty.
func (r *Reader) Policies(ctx context.Context, day string) ([]PolicyTotals, error) { return nil, nil }

// Rows calls f for each row of the report on a policy, merged and counted, in
// a fixed order. The record is valid until f returns.
func (r *Reader) Rows(ctx context.Context, day string, policyID int64, f func(*aggregate.Record) error) error {
	return nil
}

// CloseDay closes a day, from any process: no entry is added to it any more;
// entries of its time go to the next day that is open. Closing it again does
// nothing. The day must be over, and what was appended for it should be in its
// file (Log.Flush) first.
func CloseDay(ctx context.Context, dir, day string) error { return nil }
