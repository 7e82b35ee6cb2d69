package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekimori/dns"
	"sekimori/internal/config"
	"sekimori/internal/gateway"
	"sekimori/internal/reporter"
	"sekimori/internal/store/verdict"
	"sekimori/internal/web/gate"
	"sekimori/milter"
)

const (
	// drainTime is how long messages in progress may take to end when the
	// gateway stops.
	drainTime = 30 * time.Second
	// settleTime is how long the work behind the answers may take to end then.
	// What is written to disk is whole at any time, so that nothing is lost by
	// cutting it short, and the next start comes soon.
	settleTime = 2 * time.Second
	// linger is how long verdicts may go on moving from the journal into the files
	// of their days then; the others do so after the next start.
	linger = 200 * time.Millisecond
	// statusEvery is how often the gateway tells of itself to the dashboard.
	statusEvery = 5 * time.Second
	// dnsEvery is how often the resolver is asked whether it answers.
	dnsEvery = 30 * time.Second
	// expireEvery is how often verdicts that are too old are looked for.
	expireEvery = time.Hour
)

// gatekeeping is how a gateway is run.
type gatekeeping struct {
	File     string   // configuration; "" is none
	Listen   []string // in place of the configuration's
	HTTP     string   // in place of the configuration's
	Dir      string   // the data folder
	Resolver dns.Resolver
}

// gatekeeper is a gateway and all that belongs to it: of the verb "gateway",
// or inside of "serve".
type gatekeeper struct {
	env     *Env
	log     *slog.Logger
	out     *outlet // what log writes to
	o       gatekeeping
	dir     string // of verdicts and reports
	started time.Time

	current  atomic.Pointer[settings] // the last that were right
	verdicts *verdict.Log
	kept     *verdict.Reader
	gateway  *gateway.Gateway
	server   *milter.Server
	reporter *reporter.Reporter
	failures failureDesk

	listen    []string // as they were opened
	listeners []net.Listener
	web       net.Listener // nil without HTTP
	hangups   chan os.Signal
	stopping  atomic.Bool
	probe     dnsProbe
	seldom    seldom
}

// openGatekeeper reads the configuration, opens the sockets and the verdicts,
// and returns a gateway that is ready to Run. What the journal still holds is
// carried on later: nothing that takes long comes before the sockets.
func (e *Env) openGatekeeper(o gatekeeping, out *outlet) (_ *gatekeeper, err error) {
	k := &gatekeeper{env: e, log: e.logger(out), out: out, o: o, dir: filepath.Join(o.Dir, "gateway"), started: time.Now(), hangups: make(chan os.Signal, 1)}
	k.probe.resolver = o.Resolver
	// From here on SIGHUP is no reason to end.
	signal.Notify(k.hangups, syscall.SIGHUP)
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	set, err := k.load()
	if err != nil {
		return nil, err
	}
	if len(set.listen) == 0 {
		return nil, usageError{errors.New("nowhere to listen: give --listen unix:PATH or tcp:HOST:PORT, or gateway.listen in the configuration"), "sekimori gateway"}
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return nil, err
	}
	k.verdicts, err = verdict.Open(k.dir, verdict.Options{Keep: set.config.Gateway.Keep, Linger: linger, Now: e.Now})
	switch {
	case errors.Is(err, verdict.ErrLocked):
		return nil, temporary(fmt.Errorf("another gateway uses the data folder %s: %w", o.Dir, err))
	case err != nil:
		return nil, temporary(err)
	}
	if k.kept, err = verdict.Read(k.dir); err != nil {
		return nil, temporary(err)
	}
	k.current.Store(&set)
	return k, k.open(set)
}

// settings are a configuration that was read, with its keys.
type settings struct {
	config config.Config
	signer *gateway.Signer
	listen []string
	http   string
}

// load reads the configuration and the keys, and says in the log what could be
// better.
func (k *gatekeeper) load() (settings, error) {
	c, err := k.env.readConfig(k.o.File)
	if err != nil {
		return settings{}, err
	}
	s := settings{config: c, listen: k.o.Listen, http: k.o.HTTP}
	if len(s.listen) == 0 {
		s.listen = c.Gateway.Listen
	}
	if s.http == "" {
		s.http = c.Gateway.HTTP
	}
	signer, findings, err := signing(c)
	if err != nil {
		return settings{}, err
	}
	s.signer = signer
	for _, w := range c.Warnings {
		k.log.Warn("configuration", "where", w.String())
	}
	k.logFindings(findings)
	return s, nil
}

// open opens the sockets, and makes what answers there.
func (k *gatekeeper) open(s settings) (err error) {
	k.gateway, err = gateway.New(gateway.Options{Site: s.config.Gateway.Site, Resolver: k.o.Resolver, Log: k.verdicts, Signer: departure(s.signer),
		Now: k.env.Now, Done: k.logMessage, Sent: k.verdicts.CountSent, Failure: k.reportFailure, Fault: k.logFault})
	if err != nil {
		return fmt.Errorf("%s: %w", k.o.File, err)
	}
	if k.reporter, err = reporter.New(k.reporting(s.config)); err != nil {
		return fmt.Errorf("%s: reports: %w", k.o.File, err)
	}
	k.server = &milter.Server{Serve: k.gateway.Serve, Offer: gateway.Offer(), OnError: k.logBreach}
	socket := milter.SocketOptions{Mode: s.config.Gateway.Socket.Mode, Owner: s.config.Gateway.Socket.Owner, Group: s.config.Gateway.Socket.Group}
	for _, address := range s.listen {
		ln, err := milter.Listen(address, socket)
		if err != nil {
			return temporary(err) // the address, or the group, may come yet
		}
		k.listeners = append(k.listeners, ln)
		k.listen = append(k.listen, ln.Addr().Network()+":"+ln.Addr().String())
	}
	if s.http != "" {
		if k.web, err = net.Listen("tcp", s.http); err != nil {
			return temporary(fmt.Errorf("http: %w", err))
		}
	}
	return nil
}

// departure keeps a signer that is nil from being taken for one that is there.
func departure(s *gateway.Signer) gateway.Departure {
	if s == nil {
		return nil
	}
	return s
}

// close gives back what was opened, where Run did not.
func (k *gatekeeper) close() {
	for _, ln := range k.listeners {
		ln.Close()
	}
	if k.web != nil {
		k.web.Close()
	}
	if k.kept != nil {
		k.kept.Close()
	}
	if k.verdicts != nil {
		if err := k.verdicts.Close(); err != nil {
			k.log.Error("verdicts could not be closed", "error", err)
		}
	}
}

// Run answers the mail server until ctx ends, then lets what is in progress come
// to its end; a second signal cuts that short. SIGHUP makes it read the
// configuration again. It returns nil after an ordered end.
func (k *gatekeeper) Run(ctx context.Context) error {
	defer signal.Stop(k.hangups)
	atOnce, release := secondSignal(ctx)
	defer release()

	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var work sync.WaitGroup
	failed := make(chan error, len(k.listeners)+2)
	for _, ln := range k.listeners {
		go func() { failed <- k.server.Listen(ln) }()
	}
	site, err := k.serveHTTP(failed)
	if err != nil {
		return err
	}
	k.reportFailures(background)
	work.Go(func() {
		if err := k.reporter.Run(background); err != nil {
			k.log.Error("reports stopped", "error", err)
		}
	})
	work.Go(func() { k.tell(background) })
	work.Go(func() { k.watchDNS(background) })
	work.Go(func() { k.expire(background) })
	now := k.current.Load()
	k.checkKeys(background, now.signer)

	k.log.Info("gateway started", "mode", k.mode(), "listen", k.listen, "http", k.httpAddress(), "config", k.o.File, "data", k.o.Dir,
		"keys", len(now.config.Sign), "reports", now.config.Reports.Send, "version", k.env.Version)
	notify("READY=1\nSTATUS=" + k.mode())
loop:
	for {
		select {
		case <-ctx.Done():
			break loop
		case <-k.hangups:
			k.reload(background)
		case err = <-failed:
			if err != nil {
				k.log.Error("gateway cannot listen any more", "error", err)
				break loop
			}
		}
	}

	k.stopping.Store(true)
	notify("STOPPING=1")
	stats := k.server.Stats()
	k.log.Info("gateway stopping", "sessions", stats.Sessions)
	k.drain(atOnce, site)
	stop()
	k.settle(atOnce, &work)
	stats = k.server.Stats()
	k.log.Info("gateway stopped", "messages", stats.Messages, "uptime_s", int64(time.Since(k.started).Seconds()))
	if err != nil {
		return temporary(err)
	}
	return nil
}

// drain lets messages in progress come to their end.
func (k *gatekeeper) drain(atOnce context.Context, site *http.Server) {
	grace, cancel := context.WithTimeout(atOnce, drainTime)
	defer cancel()
	if err := k.server.Shutdown(grace); err != nil {
		k.log.Warn("messages in progress were cut off: the mail server will send them again", "error", err)
	}
	if site != nil {
		if err := site.Shutdown(grace); err != nil {
			site.Close()
		}
	}
}

// settle ends the work behind the answers and closes the verdicts. Those that
// are in the journal alone are safe there: they wait for the next start, so that
// it comes soon.
func (k *gatekeeper) settle(atOnce context.Context, work *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.failures.close()
		work.Wait()
		k.writeStatus(true)
		k.close()
	}()
	select {
	case <-done:
	case <-atOnce.Done():
	case <-time.After(settleTime):
		k.log.Info("verdicts stay in the journal until the next start", "unmoved", k.verdicts.Stats().Unmoved)
	}
}

// serveHTTP answers metrics, health and the public page.
func (k *gatekeeper) serveHTTP(failed chan<- error) (*http.Server, error) {
	if k.web == nil {
		return nil, nil
	}
	handler, err := gate.New(gate.Config{Meters: []prometheus.Collector{k.meters()}, Ready: k.ready, Logger: k.log})
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(k.log.Handler(), slog.LevelDebug)}
	go func() {
		if err := srv.Serve(k.web); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return srv, nil
}

func (k *gatekeeper) httpAddress() string {
	if k.web == nil {
		return ""
	}
	return k.web.Addr().String()
}

func (k *gatekeeper) mode() string {
	if k.current.Load().config.Gateway.Site.Mode == gateway.Enforce {
		return string(gateway.Enforce)
	}
	return string(gateway.Monitor)
}

// reload reads the configuration again. One that is wrong changes nothing.
func (k *gatekeeper) reload(background context.Context) {
	notifyReload()
	defer func() { notify("READY=1\nSTATUS=" + k.mode()) }()
	set, err := k.load()
	if err == nil {
		err = k.reporter.Reload(k.reporting(set.config))
	}
	if err == nil {
		err = k.gateway.Reload(set.config.Gateway.Site, departure(set.signer))
	}
	if err != nil {
		k.logProblems("configuration not changed: the new one is wrong", err)
		return
	}
	for name, changed := range restartOf(k.current.Load().config.Gateway, set.config.Gateway) {
		if changed {
			k.log.Warn("configuration: a change that needs a restart", "key", "gateway."+name)
		}
	}
	k.current.Store(&set)
	k.verdicts.SetKeep(set.config.Gateway.Keep)
	k.reportFailures(background)
	k.checkKeys(background, set.signer)
	k.log.Info("configuration read again", "mode", k.mode(), "config", k.o.File, "keys", len(set.config.Sign), "rules", len(set.config.Gateway.Site.Rules), "reports", set.config.Reports.Send)
}

// restartOf tells which keys were changed that are looked at only at the start.
func restartOf(a, b config.Gateway) map[string]bool {
	return map[string]bool{
		"listen": fmt.Sprint(a.Listen) != fmt.Sprint(b.Listen),
		"socket": a.Socket != b.Socket,
		"http":   a.HTTP != b.HTTP,
	}
}
