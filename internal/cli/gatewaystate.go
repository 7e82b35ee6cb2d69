package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekimori/dns"
	"sekimori/internal/store/verdict"
	"sekimori/internal/web/gate"
)

// meters are the gateway's metrics.
func (k *gatekeeper) meters() prometheus.Collector {
	return gate.NewMeters(gate.Sources{Gateway: k.gateway.Stats, Milter: k.server.Stats, Verdicts: k.verdicts.Stats,
		Reports: k.reporter.Stats, Failures: k.failures.stats})
}

// ready says how the parts of the gateway do.
func (k *gatekeeper) ready(ctx context.Context) []gate.Part {
	listening := gate.Part{Name: "milter", State: gate.Good}
	if k.stopping.Load() {
		listening.State, listening.Reason = gate.Down, "the gateway is stopping"
	}
	return []gate.Part{listening, k.dnsPart(ctx), k.verdictPart(), k.reportPart()}
}

func (k *gatekeeper) dnsPart(ctx context.Context) gate.Part {
	p := gate.Part{Name: "dns", State: gate.Good}
	if err := k.probe.ask(ctx); err != nil {
		p.State, p.Reason = gate.Degraded, "the resolver does not answer: "+err.Error()
	}
	return p
}

func (k *gatekeeper) verdictPart() gate.Part {
	p := gate.Part{Name: "verdicts", State: gate.Good}
	s := k.verdicts.Stats()
	switch {
	case s.Fault != nil:
		p.State, p.Reason = gate.Degraded, fmt.Sprintf("the journal cannot be written, %d verdicts wait in memory: %v", s.Waiting, s.Fault)
	case s.Moving != nil:
		p.State, p.Reason = gate.Degraded, fmt.Sprintf("the files of days cannot be written, %d verdicts wait in the journal: %v", s.Unmoved, s.Moving)
	}
	return p
}

func (k *gatekeeper) reportPart() gate.Part {
	p := gate.Part{Name: "reports", State: gate.Good}
	if s := k.reporter.Stats(); s.Fault != nil {
		p.State, p.Reason = gate.Degraded, s.Fault.Error()
	}
	return p
}

// dnsProbe asks the resolver now and then whether it answers. It is safe for
// concurrent use.
type dnsProbe struct {
	resolver dns.Resolver
	mu       sync.Mutex
	at       time.Time
	err      error
}

// ask returns what was found in the last five seconds, or asks anew: for a
// name that is not there (RFC 6761 §6.4), and is another one each time, so
// that the answer does not come from a memory.
func (p *dnsProbe) ask(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < 5*time.Second {
		return p.err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	_, err := p.resolver.Lookup(ctx, fmt.Sprintf("sekimori-%08x.invalid", rand.Uint32()), dns.TXT)
	if errors.Is(err, dns.ErrNameNotFound) || errors.Is(err, dns.ErrNoData) {
		err = nil
	}
	p.at, p.err = time.Now(), err
	return err
}

// tell writes the gateway's status for the dashboard, and what changed for the
// worse or the better into the log, until ctx ends.
func (k *gatekeeper) tell(ctx context.Context) {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	worse := changes{}
	damaged := 0
	for {
		k.writeStatus(false)
		if s := k.verdicts.Stats(); len(s.Damaged) > damaged {
			k.log.Error("files of verdicts were damaged and set aside", "files", s.Damaged[damaged:])
			damaged = len(s.Damaged)
		}
		for _, p := range []gate.Part{k.verdictPart(), k.reportPart()} {
			worse.note(k.log, p)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchDNS asks the resolver at the start and every half minute, and logs when
// it ceases to answer and when it answers again, until ctx ends. Without it the
// log would show nothing but messages that could not be judged.
func (k *gatekeeper) watchDNS(ctx context.Context) {
	tick := time.NewTicker(dnsEvery)
	defer tick.Stop()
	worse := changes{}
	for {
		if p := k.dnsPart(ctx); ctx.Err() == nil {
			worse.note(k.log, p)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// changes are the parts that are not well, by their names.
type changes map[string]bool

// note logs a part's change for the worse or the better.
func (c changes) note(log *slog.Logger, p gate.Part) {
	switch bad := p.State != gate.Good; {
	case bad && !c[p.Name]:
		log.Error("trouble, while mail flows on", "part", p.Name, "reason", p.Reason)
		c[p.Name] = true
	case !bad && c[p.Name]:
		log.Info("trouble is over", "part", p.Name)
		delete(c, p.Name)
	}
}

// expire deletes verdicts that are older than the site keeps them, now and every
// hour, until ctx ends.
func (k *gatekeeper) expire(ctx context.Context) {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		files, err := k.verdicts.Expire(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			k.log.Error("old verdicts could not be deleted", "error", err)
		case files > 0:
			k.log.Info("old verdicts deleted", "days", files)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (k *gatekeeper) writeStatus(stopped bool) {
	s := k.verdicts.Stats()
	now := k.current.Load()
	st := verdict.Status{At: time.Now(), Started: k.started, Stopped: stopped, PID: os.Getpid(), Version: k.env.Version, Mode: k.mode(), Listen: k.listen,
		Keep: now.config.Gateway.Keep, Reports: now.config.Reports.Send, Sessions: k.server.Stats().Sessions, Waiting: s.Waiting, Unmoved: s.Unmoved, Lost: s.Lost}
	if s.Fault != nil {
		st.Fault = s.Fault.Error()
	}
	// A full disk shows elsewhere.
	_ = verdict.WriteStatus(k.dir, st)
}
