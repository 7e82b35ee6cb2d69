package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/explain"
	"sekimori/internal/config"
	"sekimori/internal/gateway"
	"sekimori/internal/locale"
	"sekimori/internal/reporter"
)

// logBreach tells of a peer that broke the protocol, or went away; not of each
// where there are many.
func (k *gatekeeper) logBreach(err error) {
	if k.seldom.now(time.Second) {
		k.log.Warn("session ended by a fault of the peer", "error", err)
	}
}

// logFault tells of a fault of the program: the message was passed on without
// having been judged.
func (k *gatekeeper) logFault(err error) {
	k.log.Error("a message was passed on unverified because of a fault of the program: please report it", "error", err)
}

// logEvent tells of what happened to reports.
func (k *gatekeeper) logEvent(ev reporter.Event) {
	level := slog.LevelInfo
	switch ev.Kind {
	case reporter.GivenUp, reporter.Suspended, reporter.Trouble:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("event", string(ev.Kind))}
	text := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	text("day", ev.Day)
	text("domain", ev.Domain)
	text("report_id", ev.ReportID)
	text("to", ev.To)
	if ev.Attempts > 0 {
		attrs = append(attrs, slog.Int64("attempts", ev.Attempts))
	}
	if !ev.Next.IsZero() {
		attrs = append(attrs, slog.Time("next", ev.Next))
	}
	if ev.Err != nil {
		attrs = append(attrs, slog.String("error", ev.Err.Error()))
	}
	k.log.LogAttrs(context.Background(), level, "report", attrs...)
}

// logFindings tells what could be better with keys.
func (k *gatekeeper) logFindings(findings []explain.Finding) {
	for _, f := range findings {
		attrs := []any{"code", f.Code, "grade", f.Grade, "text", locale.English.Step(f.Step)}
		if f.Publish != nil {
			attrs = append(attrs, "publish", f.Publish.Name+" "+f.Publish.Type+" "+f.Publish.Value)
		}
		k.log.Warn("key", attrs...)
	}
}

// checkKeys asks in the background whether the keys are published.
func (k *gatekeeper) checkKeys(ctx context.Context, signer *gateway.Signer) {
	if signer == nil {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		k.logFindings(signer.Check(ctx, k.o.Resolver))
	}()
}

// logProblems gives each mistake of a configuration a line.
func (k *gatekeeper) logProblems(what string, err error) {
	var all config.Errors
	if !errors.As(err, &all) {
		k.log.Error(what, "error", err)
		return
	}
	for _, p := range all {
		k.log.Error(what, "where", p.String())
	}
}

// seldom lets something through once in a while. It is safe for concurrent use.
type seldom struct{ last atomic.Int64 }

func (s *seldom) now(every time.Duration) bool {
	now := time.Now().UnixNano()
	last := s.last.Load()
	return now-last >= int64(every) && s.last.CompareAndSwap(last, now)
}

// Bounds of an outlet.
const (
	outletBytes  = 1 << 20         // that wait to be written
	outletEnough = outletBytes / 4 // that do not wait for more
	// outletDelay is how long lines wait for others, because to wake a writer
	// for each one takes longer than to make it.
	outletDelay = 50 * time.Millisecond
	outletGrace = 2 * time.Second
)

// outlet writes log lines behind the back of whoever logs: mail does not wait
// for a log that cannot be written. What comes within outletDelay is written at
// once; a process that is killed takes that much with it. Lines that do not fit
// into its memory are dropped and counted. It is safe for concurrent use.
type outlet struct {
	to      io.Writer
	mu      sync.Mutex
	pending []byte
	dropped int64
	closed  bool
	awake   bool          // the writer knows of what is pending
	wake    chan struct{} // something is pending
	hurry   chan struct{} // it shall not wait for more
	ended   chan struct{}
}

func newOutlet(to io.Writer) *outlet {
	o := &outlet{to: to, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), ended: make(chan struct{})}
	go o.run()
	return o
}

// Write takes one line.
func (o *outlet) Write(line []byte) (int, error) {
	o.mu.Lock()
	switch {
	case o.closed:
		o.mu.Unlock()
		return len(line), nil
	case len(o.pending)+len(line) > outletBytes:
		o.dropped++
	default:
		o.pending = append(o.pending, line...)
	}
	asleep, enough := !o.awake, len(o.pending) >= outletEnough
	o.awake = true
	o.mu.Unlock()
	if asleep {
		poke(o.wake)
	}
	if enough {
		poke(o.hurry)
	}
	return len(line), nil
}

// poke wakes who waits at the channel, now or next.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (o *outlet) run() {
	defer close(o.ended)
	delay := time.NewTimer(outletDelay)
	var batch []byte
	for {
		<-o.wake
		delay.Reset(outletDelay)
		select {
		case <-delay.C:
		case <-o.hurry:
		}
		o.mu.Lock()
		batch, o.pending = o.pending, batch[:0]
		dropped, closed := o.dropped, o.closed
		o.dropped, o.awake = 0, false
		o.mu.Unlock()
		if len(batch) > 0 {
			_, _ = o.to.Write(batch)
		}
		if dropped > 0 {
			fmt.Fprintf(o.to, "{\"time\":%q,\"level\":\"WARN\",\"msg\":\"log lines dropped\",\"lines\":%d}\n", time.Now().Format(time.RFC3339Nano), dropped)
		}
		if closed {
			return
		}
	}
}

// Close writes what is left; it waits for a log that hangs only shortly.
func (o *outlet) Close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	poke(o.wake)
	poke(o.hurry)
	select {
	case <-o.ended:
	case <-time.After(outletGrace):
	}
}
