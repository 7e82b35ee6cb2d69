package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// meters is what /metrics shows, in a registry of its own.
type meters struct {
	registry *prometheus.Registry
	seconds  *prometheus.HistogramVec
	uploads  *prometheus.CounterVec
}

func newMeters(more ...prometheus.Collector) *meters {
	m := &meters{
		registry: prometheus.NewRegistry(),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sekimori_http_request_seconds",
			Help:    "Time to answer a request, by kind of page and status.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}, []string{"page", "status"}),
		uploads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sekimori_uploaded_reports_total",
			Help: "Reports that came by the upload page, by what became of them.",
		}, []string{"outcome"}),
	}
	m.registry.MustRegister(more...)
	m.registry.MustRegister(m.seconds, m.uploads, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *meters) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// observe counts a request under its first path segment, so that names in
// paths do not become labels.
func (m *meters) observe(r *http.Request, status int, took time.Duration) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	page := "other"
	switch first {
	case "":
		page = "overview"
	case "domain":
		page = "domain"
		switch {
		case strings.Contains(rest, "/source/"):
			page = "source"
		case strings.HasSuffix(rest, "/timeline"), strings.HasSuffix(rest, "/inventory"), strings.HasSuffix(rest, "/monthly"):
			page = rest[strings.LastIndexByte(rest, '/')+1:]
		}
	case "d":
		page = "share"
	case "work", "departments", "reports", "survey", "gateway", "quarantine", "upload", "help", "api", "export", "assets", "healthz", "metrics", "preferences":
		page = first
	}
	m.seconds.WithLabelValues(page, strconv.Itoa(status)).Observe(took.Seconds())
}
