package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/collect"
	"sekimori/internal/resolve"
	"sekimori/internal/store"
	"sekimori/internal/store/verdict"
	"sekimori/internal/web"
	"sekimori/internal/web/access"
	"sekimori/internal/web/api"
	"sekimori/internal/web/gate"
)

// statusBusy is how the owner of a folder answers "serve" while it does
// something that ends by itself. It is never a process's exit status.
const statusBusy = 75

func newServe(e *Env) *cobra.Command {
	var listen, passwordFile, tokenFile, file string
	var barriers []string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: e.text("cli.serve.short", nil),
		Long:  e.prose("cli.serve.long"),
		Example: "  sekimori serve\n  sekimori serve --listen 0.0.0.0:8025 --password-file /etc/sekimori/password\n" +
			"  sekimori serve --config /etc/sekimori/sekimori.yaml",
		Args: cobra.NoArgs,
	}
	data := dataFlag(cmd, e)
	names := addDNSFlags(cmd, e)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8025", e.text("cli.flag.listen", nil))
	cmd.Flags().StringVar(&passwordFile, "password-file", "", e.text("cli.flag.password_file", nil))
	cmd.Flags().StringVar(&tokenFile, "token-file", "", e.text("cli.flag.token_file", nil))
	cmd.Flags().StringVar(&file, "config", "", e.text("gatewayverb.flag.serve_config", nil))
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	known := &siteFlags{}
	addKnowledgeFlags(cmd, e, known)
	cmd.Flags().StringArrayVar(&barriers, "gateway", nil, e.text("gatewayverb.flag.serve_gateway", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if e.shared != nil {
			if e.serving {
				return statusError{StatusUsage, fmt.Errorf("process %d serves this data folder already", os.Getpid())}
			}
			return statusError{status: statusBusy}
		}
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		password, err := e.secret(passwordFile)
		if err != nil {
			return usage(fmt.Errorf("--password-file: %w", err))
		}
		token, err := e.secret(tokenFile)
		if err != nil {
			return usage(fmt.Errorf("--token-file: %w", err))
		}
		if err := access.Check(listen, password != "" || token != ""); err != nil {
			return usage(err)
		}
		known.config = file
		s, closeSite, err := known.open(e)
		if err != nil {
			return usage(err)
		}
		defer closeSite()
		e.site = s
		var asking resolve.Options
		if file != "" || len(barriers) > 0 {
			asking = gatewayDNS
		}
		resolver, err := names.openWith(e, asking)
		if err != nil {
			return usage(err)
		}
		ln, err := net.Listen("tcp", listen)
		if err != nil {
			return usage(fmt.Errorf("--listen: %w", err))
		}
		defer ln.Close()
		return e.besideGateway(cmd.Context(), file, barriers, *data, resolver, func(ctx context.Context, meters []prometheus.Collector) error {
			return e.serveStore(ctx, *data, func(st *store.Store) error {
				return e.serve(ctx, ln, st, resolver, names.mark(e), meters, access.Config{Listen: ln.Addr().String(), Password: password, Token: token})
			})
		})
	}
	return cmd
}

// secret reads the first line of a file; "" names none.
func (e *Env) secret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(e.path(file))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	line = strings.TrimSpace(line)
	if line == "" {
		return "", fmt.Errorf("%s: the first line is empty", file)
	}
	return line, nil
}

// serveStore runs serve as the owner of the folder. It waits for a command
// that works there now, and refuses a folder that is served already.
func (e *Env) serveStore(ctx context.Context, dir string, serve func(*store.Store) error) error {
	e.serving = true
	for said := false; ; {
		err := e.withStore(ctx, dir, true, serve)
		var s statusError
		if !errors.As(err, &s) || s.status != statusBusy {
			return err
		}
		if !said {
			fmt.Fprintln(e.Err, e.text("cli.serve.waiting", nil))
			said = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (e *Env) serve(ctx context.Context, ln net.Listener, st *store.Store, resolver dns.Resolver, with string, meters []prometheus.Collector, guard access.Config) error {
	log := slog.New(slog.NewJSONHandler(e.Err, nil))
	if e.Terminal {
		log = slog.New(slog.NewTextHandler(e.Err, nil))
	}
	advisor := e.site.advisor(st, resolver, with, time.Now)
	defer advisor.Close()
	o, err := e.newOffice(st, advisor, resolver, log)
	if err != nil {
		return usageError{err, "sekimori serve"}
	}
	defer o.names.Close()
	handler, err := e.handler(st, advisor, o, append(meters, newWatchMeter(o.watcher)), guard, log)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	background, stop := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() { refresh(background, st, advisor, o, log) })
	ended.Go(func() { o.watcher.Run(background) })
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	fmt.Fprintln(e.Err, e.text("cli.serve.at", explain.Args{"url": "http://" + ln.Addr().String() + "/"}))
	select {
	case err = <-failed:
	case <-ctx.Done():
		fmt.Fprintln(e.Err, e.text("cli.serve.stopping", nil))
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err = srv.Shutdown(grace); err != nil {
			err = srv.Close()
		}
	}
	stop()
	ended.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// handler joins the pages, the API and the guard before them.
func (e *Env) handler(st *store.Store, advisor *advise.Advisor, o *office, meters []prometheus.Collector, guard access.Config, log *slog.Logger) (http.Handler, error) {
	importer := collect.New(st)
	importer.Background = true
	dir := filepath.Join(st.Dir(), "gateway")
	verdicts, err := verdict.Read(dir)
	if err != nil {
		return nil, err
	}
	gateway := api.NewGateway(verdicts, dir, nil)
	work := o.work(st, advisor)
	figures, err := api.New(api.Config{Store: st, Advisor: advisor, Importer: importer, Gateway: gateway, Work: work, TempDir: filepath.Join(st.Dir(), "tmp"),
		Lang: web.Language, Version: e.Version, Logger: log})
	if err != nil {
		return nil, err
	}
	guard.Lang, guard.Logger = web.Language, log
	if guard.Page, err = web.SignInPage(e.Version, log); err != nil {
		return nil, err
	}
	g, err := access.New(guard)
	if err != nil {
		return nil, err
	}
	pages, err := web.New(web.Config{Store: st, Advisor: advisor, Importer: importer, Gateway: gateway, Work: work, Host: g.Host, API: figures, Guard: g.Wrap, SignedIn: g.SignedIn,
		Meters: meters, TempDir: filepath.Join(st.Dir(), "tmp"), Version: e.Version, Logger: log})
	if err != nil {
		return nil, err
	}
	why, err := gate.Why(log)
	if err != nil {
		return nil, err
	}
	// Who was refused has no password here.
	mux := http.NewServeMux()
	mux.Handle("GET /why", why)
	mux.Handle("/", pages)
	return mux, nil
}

// refresh keeps the kept answers up to date, and lets the work follow them:
// when reports have come in and none has followed for two seconds, or at the
// latest after half a minute of a steady stream; when a person has said
// something; and now and then, as look-ups in the background go on and days
// pass.
func refresh(ctx context.Context, st *store.Store, a *advise.Advisor, o *office, log *slog.Logger) {
	const quiet, most, anyway = 2 * time.Second, 30 * time.Second, 5 * time.Minute
	type versions struct{ data, state int64 }
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	done, seen := versions{-1, -1}, versions{st.DataVersion(), st.StateVersion()}
	var changed, pending, last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			v := versions{st.DataVersion(), st.StateVersion()}
			if v == done && now.Sub(last) < anyway {
				continue
			}
			if pending.IsZero() {
				pending, changed = now, now
			}
			if v != seen {
				seen, changed = v, now
			}
			if now.Sub(changed) < quiet && now.Sub(pending) < most {
				continue
			}
			if err := a.Refresh(ctx); err != nil && ctx.Err() == nil {
				log.Error("summaries could not be brought up to date", "error", err)
			}
			if err := o.follow(ctx, st, a); err != nil && ctx.Err() == nil {
				log.Error("the work of fixing could not be brought up to date", "error", err)
			}
			done, pending, last = v, time.Time{}, now
		}
	}
}
