package verdict

import (
	"cmp"
	"context"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Live figures are kept beside the entries, so that a page that is shown all
// day reads some hundred rows: by minute what was done and what DMARC said,
// and by ten minutes who sent, and in whose name what failed.
const slotMinutes = 10

// latencies are the bounds of the histogram that is kept. They are part of
// the day files' form.
func latencies() []time.Duration {
	const ms = time.Millisecond
	return []time.Duration{ms, 2 * ms, 5 * ms, 10 * ms, 20 * ms, 50 * ms, 100 * ms, 200 * ms, 500 * ms,
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second}
}

const latencyBounds = 14

// minute counts the entries of one minute.
type minute struct {
	lo, hi  uint64 // numbers
	actions [len(actions) + 1]int64
	classes [classes]int64
	took    [latencyBounds + 1]int64
}

func (m *minute) add(e *Entry) {
	if m.lo == 0 {
		m.lo = e.ID
	}
	m.lo, m.hi = min(m.lo, e.ID), max(m.hi, e.ID)
	m.actions[actionNumber(e.Action)]++
	m.classes[classOf(e)]++
	i := 0
	for _, bound := range [...]int64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000} {
		if e.Took.Microseconds() <= bound*1000 {
			break
		}
		i++
	}
	m.took[i]++
}

// counts are all of a minute's counts in their order in the file.
func (m *minute) counts() []*int64 {
	var out []*int64
	for i := range m.actions {
		out = append(out, &m.actions[i])
	}
	for i := range m.classes {
		out = append(out, &m.classes[i])
	}
	for i := range m.took {
		out = append(out, &m.took[i])
	}
	return out
}

// merge adds the counts that the file has.
func (m *minute) merge(b []byte) error {
	d := decoder{b: b}
	for _, n := range m.counts() {
		*n += int64(d.uint())
	}
	return d.done()
}

func (m *minute) encode() []byte {
	var b []byte
	for _, n := range m.counts() {
		b = binary.AppendUvarint(b, uint64(*n))
	}
	return b
}

type senderKey struct {
	slot int64
	ip   netip.Addr
}

type spoofKey struct {
	slot   int64
	author string
	ip     netip.Addr
}

// live counts an entry.
func (b *batch) live(e *Entry) {
	at := e.Time.Unix() / 60
	m := b.minutes[at]
	if m == nil {
		m = &minute{}
		b.minutes[at] = m
	}
	m.add(e)
	ip := e.Client.Unmap()
	if !ip.IsValid() {
		return
	}
	slot := at / slotMinutes
	b.senders[senderKey{slot, ip}]++
	if classOf(e) == classFail {
		b.spoofs[spoofKey{slot, e.Record.HeaderFrom, ip}]++
	}
}

// putLive writes the live figures of the batch.
func (b *batch) putLive(ctx context.Context) error {
	for at, m := range b.minutes {
		var lo, hi int64
		var counts []byte
		found, err := b.d.one(ctx, "SELECT lo, hi, counts FROM minute WHERE m = ?", []any{at}, &lo, &hi, &counts)
		if err == nil && found {
			m.lo, m.hi = min(m.lo, uint64(lo)), max(m.hi, uint64(hi))
			err = m.merge(counts)
		}
		if err == nil {
			_, err = b.d.exec(ctx, "REPLACE INTO minute VALUES (?, ?, ?, ?)", at, int64(m.lo), int64(m.hi), m.encode())
		}
		if err != nil {
			return err
		}
	}
	senders := slices.SortedFunc(maps.Keys(b.senders), func(x, y senderKey) int {
		return cmp.Or(cmp.Compare(x.slot, y.slot), x.ip.Compare(y.ip))
	})
	err := b.d.many(ctx, addSender, 3, len(senders), func(a []any, i int) []any {
		k := senders[i]
		return append(a, k.slot, k.ip.AsSlice(), b.senders[k])
	})
	if err != nil {
		return err
	}
	spoofs := slices.SortedFunc(maps.Keys(b.spoofs), func(x, y spoofKey) int {
		return cmp.Or(cmp.Compare(x.slot, y.slot), cmp.Compare(x.author, y.author), x.ip.Compare(y.ip))
	})
	return b.d.many(ctx, addSpoof, 4, len(spoofs), func(a []any, i int) []any {
		k := spoofs[i]
		return append(a, k.slot, k.author, k.ip.AsSlice(), b.spoofs[k])
	})
}

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
	// Pass, Fail, NoPolicy and Trouble (a temporary or permanent error) are what
	// DMARC said; mail of our own is in none of them.
	Pass, Fail, NoPolicy, Trouble int64
}

// Messages is how many messages there were.
func (b *Bucket) Messages() int64 { return b.Accept + b.Mark + b.Quarantine + b.Refuse + b.TryAgain }

func (b *Bucket) add(m *minute) {
	for i, n := range []*int64{&b.Accept, &b.Mark, &b.Quarantine, &b.Refuse, &b.TryAgain} {
		*n += m.actions[i]
	}
	b.Pass += m.classes[classPass]
	b.Fail += m.classes[classFail]
	b.NoPolicy += m.classes[classNoPolicy]
	b.Trouble += m.classes[classTrouble]
}

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

// Quantile estimates how long the share q (0 to 1) of messages took at most:
// within the bounds that it lies between, evenly. It is 0 without messages,
// and the last bound for what lies beyond.
func (l *Latency) Quantile(q float64) time.Duration {
	var all int64
	for _, n := range l.Counts {
		all += n
	}
	if all == 0 {
		return 0
	}
	want := min(max(q, 0), 1) * float64(all)
	var sum float64
	for i, n := range l.Counts {
		if sum += float64(n); sum < want || n == 0 {
			continue
		}
		if i >= len(l.Bounds) {
			break
		}
		var from time.Duration
		if i > 0 {
			from = l.Bounds[i-1]
		}
		return l.Bounds[i] - time.Duration((sum-want)/float64(n)*float64(l.Bounds[i]-from))
	}
	return l.Bounds[len(l.Bounds)-1]
}

// maxBuckets bounds how many steps Live gives.
const maxBuckets = 10_000

// Live returns the figures of [since, until), in steps; both ends are taken as
// the minute that they are in, and spoofed domains and senders by ten minutes.
// A step is a minute at least. It reads counters, not entries: a row a minute,
// and one for each address and ten minutes.
func (r *Reader) Live(ctx context.Context, since, until time.Time, step time.Duration) (Live, error) {
	step = max(step.Truncate(time.Minute), time.Minute)
	since, until = since.UTC().Truncate(time.Minute), until.UTC().Add(time.Minute-1).Truncate(time.Minute)
	for until.Sub(since)/step >= maxBuckets {
		step *= 2
	}
	out := Live{Since: since, Until: until, Step: step, Total: Bucket{Start: since},
		Latency: Latency{Bounds: latencies(), Counts: make([]int64, latencyBounds+1)}}
	for t := since; t.Before(until); t = t.Add(step) {
		out.Buckets = append(out.Buckets, Bucket{Start: t})
	}
	t := toplist{since: since, until: until, failing: map[netip.Addr]int64{}, spoofed: map[string]int64{}}
	err := r.days(ctx, func(f *dayReader) error {
		// Entries of a time are in its own day's file or a later one.
		if f.day < dayOf(since) {
			return nil
		}
		n, err := f.liveMinutes(ctx, &out)
		if err != nil || n == 0 {
			return err
		}
		return t.add(ctx, f)
	})
	if err != nil {
		return Live{}, err
	}
	out.Spoofed, out.Senders, err = t.finish(ctx, r)
	return out, err
}

// liveMinutes adds a day's minutes.
func (f *dayReader) liveMinutes(ctx context.Context, out *Live) (int, error) {
	rows, err := f.db.QueryContext(ctx, "SELECT m, counts FROM minute WHERE m >= ? AND m < ?", out.Since.Unix()/60, out.Until.Unix()/60)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var at int64
		var counts []byte
		if err := rows.Scan(&at, &counts); err != nil {
			return n, err
		}
		var m minute
		if err := m.merge(counts); err != nil {
			return n, err
		}
		i := int(time.Unix(at*60, 0).Sub(out.Since) / out.Step)
		if i < len(out.Buckets) {
			out.Buckets[i].add(&m)
		}
		out.Total.add(&m)
		for i, c := range m.took {
			out.Latency.Counts[i] += c
		}
		n++
	}
	return n, rows.Err()
}
