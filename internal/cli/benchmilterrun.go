package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/milter"
)

// latencies counts durations in steps of at most 1/64 of their value, so that
// an hour's run holds no more than a second's.
type latencies struct {
	counts [64 * 64]uint32
	n      int64
	sum    time.Duration
	max    time.Duration
}

func (l *latencies) add(d time.Duration) {
	d = max(d, 0)
	l.counts[latencyStep(d)]++
	l.n++
	l.sum += d
	l.max = max(l.max, d)
}

// latencyStep numbers the step of a duration: below 64 ns they are single
// ones, from there on 64 to each power of two.
func latencyStep(d time.Duration) int {
	v := uint64(d)
	if v < 64 {
		return int(v)
	}
	shift := bits.Len64(v) - 7
	return shift*64 + int(v>>shift)
}

// end is the longest duration of a step.
func latencyEnd(step int) time.Duration {
	if step < 128 {
		return time.Duration(step)
	}
	shift := step/64 - 1
	return time.Duration((uint64(step-shift*64)+1)<<shift - 1)
}

func (l *latencies) merge(o *latencies) {
	for i, c := range o.counts {
		l.counts[i] += c
	}
	l.n += o.n
	l.sum += o.sum
	l.max = max(l.max, o.max)
}

// quantile returns the duration that a share q of all does not exceed.
func (l *latencies) quantile(q float64) time.Duration {
	want := int64(q*float64(l.n) + 0.999999)
	var seen int64
	for i, c := range l.counts {
		if seen += int64(c); c > 0 && seen >= want {
			return min(latencyEnd(i), l.max)
		}
	}
	return l.max
}

// loadTally is what one session saw, or all of them together.
type loadTally struct {
	latency, late latencies
	answers       map[string]int64
	errors        int64
	samples       []string // the first errors
	bare          int64    // messages that got no Authentication-Results
	unexpected    int64    // messages whose Authentication-Results lack what was expected
	lacking       []string // the first of these, with what they had
	octets        int64
}

const benchSamples = 3

func (t *loadTally) merge(o *loadTally) {
	t.latency.merge(&o.latency)
	t.late.merge(&o.late)
	for k, n := range o.answers {
		t.answers[k] += n
	}
	t.errors += o.errors
	for _, s := range o.samples {
		t.sample(&t.samples, s)
	}
	for _, s := range o.lacking {
		t.sample(&t.lacking, s)
	}
	t.bare += o.bare
	t.unexpected += o.unexpected
	t.octets += o.octets
}

func (t *loadTally) sample(to *[]string, s string) {
	for _, have := range *to {
		if have == s {
			return
		}
	}
	if len(*to) < benchSamples {
		*to = append(*to, s)
	}
}

// load drives filters with messages.
type load struct {
	addresses []string // asked in turn about each message
	messages  []benchMessage
	sessions  int
	rate      float64 // messages a second; 0: as many as go
	duration  time.Duration
	count     int64 // 0: until the duration is over
	warmup    int64
	reuse     bool
	timeout   time.Duration

	next, done, failed atomic.Int64
	begun              atomic.Int64 // when the first message that counts was taken, in ns since start
}

// run sends until it is done or ctx ends, and returns what happened and how
// long that took. With a rate a message's time counts from when it was due,
// whether a session was free then or not.
func (l *load) run(ctx context.Context) (*loadTally, time.Duration) {
	tallies := make([]*loadTally, l.sessions)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range tallies {
		t := &loadTally{answers: map[string]int64{}}
		tallies[i] = t
		wg.Add(1)
		go func() {
			defer wg.Done()
			w := sessionOfLoad{load: l, tally: t, clients: make([]*milter.Client, len(l.addresses))}
			defer w.close()
			w.run(ctx, start)
		}()
	}
	wg.Wait()
	took := time.Since(start) - time.Duration(l.begun.Load())
	all := &loadTally{answers: map[string]int64{}}
	for _, t := range tallies {
		all.merge(t)
	}
	return all, took
}

// sessionOfLoad is one of the sessions at a time.
type sessionOfLoad struct {
	*load
	tally   *loadTally
	clients []*milter.Client
	body    bytes.Reader
}

func (w *sessionOfLoad) close() {
	for i, c := range w.clients {
		if c != nil {
			c.Close()
			w.clients[i] = nil
		}
	}
}

func (w *sessionOfLoad) run(ctx context.Context, start time.Time) {
	for ctx.Err() == nil {
		i := w.next.Add(1) - 1
		if w.count > 0 && i >= w.warmup+w.count {
			return
		}
		due := time.Now()
		if w.rate > 0 {
			due = start.Add(time.Duration(float64(i) / w.rate * float64(time.Second)))
		}
		if w.duration > 0 && due.Sub(start) >= w.duration {
			return
		}
		if wait := time.Until(due); w.rate > 0 && wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
		began := time.Now()
		if i == w.warmup {
			w.begun.Store(int64(due.Sub(start)))
		}
		m := &w.messages[i%int64(len(w.messages))]
		answer, added, err := w.send(ctx, m, i)
		took := time.Since(due)
		if ctx.Err() != nil {
			return
		}
		if !w.reuse || err != nil {
			w.close()
		}
		if i < w.warmup {
			continue
		}
		t := w.tally
		if err != nil {
			t.errors++
			w.failed.Add(1)
			t.sample(&t.samples, err.Error())
			if w.rate == 0 {
				time.Sleep(5 * time.Millisecond) // a filter that is gone is not beaten
			}
			continue
		}
		w.done.Add(1)
		t.latency.add(took)
		t.late.add(began.Sub(due))
		t.answers[answer]++
		t.octets += int64(len(m.body))
		t.compare(m, added)
	}
}

// compare looks for what is expected in the fields that were added.
func (t *loadTally) compare(m *benchMessage, added string) {
	if added == "" {
		t.bare++
	}
	for _, x := range m.expect {
		if !strings.Contains(added, x) {
			t.unexpected++
			t.sample(&t.lacking, fmt.Sprintf("%q not in %q", x, cut(added, 300)))
			return
		}
	}
}

// send asks all filters about one message; what one added the next one sees.
func (w *sessionOfLoad) send(ctx context.Context, m *benchMessage, serial int64) (answer, added string, err error) {
	msg := m.Message
	msg.QueueID = fmt.Sprintf("4T%07X", serial)
	for i, address := range w.addresses {
		o, err := w.ask(ctx, i, &msg, m.body)
		if err != nil {
			return "", "", fmt.Errorf("%s: %w", address, err)
		}
		for _, c := range o.Changes {
			if (c.Code == 'i' || c.Code == 'h') && strings.EqualFold(c.Name, "Authentication-Results") {
				added += strings.TrimSpace(c.Value) + "\n"
			}
		}
		answer = answerOf(&o)
		if o.Response.Do != milter.Continue && o.Response.Do != milter.Accept {
			break
		}
		if i+1 < len(w.addresses) {
			msg = milter.Apply(msg, o)
		}
	}
	return answer, added, nil
}

// ask asks the i-th filter, over the connection at hand or a new one.
func (w *sessionOfLoad) ask(ctx context.Context, i int, msg *milter.Message, body []byte) (milter.Outcome, error) {
	for again := w.clients[i] != nil; ; again = false {
		if w.clients[i] == nil {
			c, err := milter.Dial(ctx, w.addresses[i], milter.ClientOptions{Timeout: w.timeout, Hostname: "mx.recv.example"})
			if err != nil {
				return milter.Outcome{}, err
			}
			w.clients[i] = c
		}
		w.body.Reset(body)
		msg.Body = &w.body
		o, err := w.clients[i].Send(ctx, msg)
		if errors.Is(err, milter.ErrEnded) && again {
			w.clients[i].Close()
			w.clients[i] = nil
			continue
		}
		return o, err
	}
}

// answerOf names the kind of an answer.
func answerOf(o *milter.Outcome) string {
	switch {
	case o.Response.Do == milter.Custom:
		return fmt.Sprintf("reply-%d", o.Response.Code)
	case o.Quarantined() && (o.Response.Do == milter.Continue || o.Response.Do == milter.Accept):
		return "quarantine"
	}
	return o.Response.Do.String()
}
