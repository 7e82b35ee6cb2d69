package cli

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/internal/web/gate"
)

// mute is a resolver that does not answer, and says when it was asked.
type mute chan struct{}

func (m mute) Lookup(_ context.Context, name string, t dns.Type) (dns.Answer, error) {
	m <- struct{}{}
	return dns.Answer{}, &dns.Failure{Name: name, Type: t, Err: context.DeadlineExceeded}
}

// lines is a log whose lines can be waited for.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// The log tells of a resolver that does not answer, once, and of its return.
func TestWatchDNS(t *testing.T) {
	said := make(lines, 10)
	k := &gatekeeper{log: slog.New(slog.NewTextHandler(said, nil))}
	k.probe.resolver = make(mute, 10)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.watchDNS(ctx)
	}()
	select {
	case s := <-said:
		if !strings.Contains(s, "part=dns") || !strings.Contains(s, "does not answer") {
			t.Errorf("%q", s)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing is logged")
	}
	cancel()
	<-done

	var log bytes.Buffer
	l := slog.New(slog.NewTextHandler(&log, nil))
	c := changes{}
	for _, state := range []gate.State{gate.Good, gate.Degraded, gate.Degraded, gate.Good, gate.Good} {
		c.note(l, gate.Part{Name: "dns", State: state})
	}
	if s := log.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "trouble is over") {
		t.Errorf("%q", s)
	}
}
