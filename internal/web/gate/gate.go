// Package gate is what the gateway shows over HTTP: metrics, health, and the
// public page that tells the sender of refused mail what happened. It is small:
// the gateway's process loads nothing of the dashboard for it.
package gate

import (
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config is what the pages show.
type Config struct {
	// Meters are shown at /metrics, beside those of the process.
	Meters []prometheus.Collector
	// Ready says how the parts of the gateway do, for /readyz.
	Ready  ReadyFunc
	Logger *slog.Logger // nil: no log
}

// New returns the gateway's own HTTP service: /metrics, /healthz, /readyz and
// /why. It asks for no password: it is meant for loopback, behind a web server
// that passes on /why alone.
func New(c Config) (http.Handler, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	why, err := Why(c.Logger)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	for _, m := range append(c.Meters, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})) {
		if err := registry.Register(m); err != nil {
			return nil, err
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", alive)
	mux.Handle("GET /readyz", c.Ready)
	mux.Handle("GET /why", why)
	return guarded(mux, c.Logger), nil
}

// guarded keeps a fault in one answer from ending the process that mail goes
// through.
func guarded(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				log.Error("page failed", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
