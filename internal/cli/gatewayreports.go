package cli

import (
	"context"
	"io"
	"os"
	"reflect"
	"sync"

	"sekimori/internal/config"
	"sekimori/internal/gateway"
	"sekimori/internal/locale"
	"sekimori/internal/reporter"
	"sekimori/message"
)

// reporting is how aggregate reports go out under a configuration.
func (k *gatekeeper) reporting(c config.Config) reporter.Options {
	o := c.Reporting()
	o.Generator = k.generator()
	o.Sign, o.Letter = k.sign, reportLetter
	o.Resolver = k.o.Resolver
	o.Dir = k.dir
	o.Days = reporter.Kept(k.dir, k.kept, k.verdicts.Flush)
	o.Now = k.env.Now
	o.Event = k.logEvent
	return o
}

func (k *gatekeeper) generator() string { return "Sekimori " + k.env.Version }

// sign signs a mail of our own with the keys of now; without any it stays
// unsigned.
func (k *gatekeeper) sign(h message.Header, body io.Reader) ([]string, error) {
	if s := k.current.Load().signer; s != nil {
		return s.Sign(h, body)
	}
	return nil, nil
}

// failureDesk is where failing messages are reported on, if the site wants
// that. It changes with the configuration. It is safe for concurrent use.
type failureDesk struct {
	mu     sync.Mutex
	open   *reporter.Failures // nil: none are sent
	under  config.Reports     // what it was opened with
	cancel context.CancelFunc
	ended  chan struct{}
	before reporter.FailureStats // of desks that were closed
}

// reportFailure takes notice of a failing message.
func (k *gatekeeper) reportFailure(_ context.Context, c gateway.FailureCase) {
	k.failures.mu.Lock()
	f := k.failures.open
	k.failures.mu.Unlock()
	if f != nil {
		f.Report(reporter.FailureCase(c))
	}
}

// reportFailures opens the desk as the configuration of now wants it. The
// reports that wait at one that is closed for it are lost, which failure reports
// may be: each stands for others like it.
func (k *gatekeeper) reportFailures(ctx context.Context) {
	c, d := k.current.Load().config.Reports, &k.failures
	d.mu.Lock()
	same := d.open != nil && reflect.DeepEqual(d.under, c)
	d.mu.Unlock()
	if same {
		return
	}
	d.close()
	if !c.Failure.Send {
		return
	}
	host, _ := os.Hostname()
	mailer := reporter.Mailer{Address: c.SMTP, Helo: host, TLS: c.TLS}
	f, err := reporter.NewFailures(reporter.FailureOptions{Email: c.Email, Generator: k.generator(), Host: host, OptOut: c.OptOut, PerHour: c.Failure.PerHour,
		Sign: k.sign, Send: mailer.Send, Words: locale.English.Step, Resolver: k.o.Resolver, Dir: k.dir, Now: k.env.Now, Event: k.logEvent})
	if err != nil {
		k.log.Error("failure reports are not sent", "error", err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	d.mu.Lock()
	d.open, d.under, d.cancel, d.ended = f, c, cancel, ended
	d.mu.Unlock()
	go func() {
		defer close(ended)
		if err := f.Run(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("failure reports stopped", "error", err)
		}
	}()
}

// close closes the desk, if it is open, and waits until nothing is sent any
// more.
func (d *failureDesk) close() {
	d.mu.Lock()
	f, cancel, ended := d.open, d.cancel, d.ended
	d.open = nil
	d.mu.Unlock()
	if f == nil {
		return
	}
	cancel()
	<-ended
	d.mu.Lock()
	defer d.mu.Unlock()
	s := f.Stats()
	d.before.Sent += s.Sent
	d.before.Failed += s.Failed
	d.before.Limited += s.Limited
}

// stats counts since the start.
func (d *failureDesk) stats() reporter.FailureStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.before
	if d.open != nil {
		now := d.open.Stats()
		s.Sent += now.Sent
		s.Failed += now.Failed
		s.Limited += now.Limited
	}
	return s
}
