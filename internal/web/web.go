package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekimori/domain"
	"sekimori/internal/advise"
	"sekimori/internal/collect"
	"sekimori/internal/store"
	"sekimori/internal/web/access"
	"sekimori/internal/web/api"
)

// DomainReader is what the pages of a domain read of the store.
type DomainReader interface {
	DomainNames(ctx context.Context) ([]string, error)
	Newest(ctx context.Context, domain string) (store.Day, bool, error)
	DomainDaily(ctx context.Context, domain string, w store.Window) ([]store.DayTotals, error)
	PolicyHistory(ctx context.Context, domain string) ([]store.PolicySpan, error)
}

// SourceReader is what the page of a source reads of the store.
type SourceReader interface {
	SourceAddresses(ctx context.Context, domain, source string, w store.Window, p store.Page) ([]store.AddressTotals, int64, error)
	SourceDaily(ctx context.Context, domain, source string, w store.Window) ([]store.DayTotals, error)
	SourceReporters(ctx context.Context, domain, source string, w store.Window) ([]store.ReporterTotals, error)
	SourceEvidence
}

// SourceEvidence is the results and names that a source's mail carries.
type SourceEvidence interface {
	SourceAuth(ctx context.Context, domain, source string, w store.Window) ([]store.AuthTotals, error)
	SourceEnvelopes(ctx context.Context, domain, source string, w store.Window) ([]store.EnvelopeTotals, error)
	PTRs(ctx context.Context, addrs []netip.Addr) (map[netip.Addr]store.PTR, error)
}

// ReportReader is what the pages of reports read of the store.
type ReportReader interface {
	Reports(ctx context.Context, f store.ReportFilter, p store.Page) ([]store.ReportHead, int64, error)
	Report(ctx context.Context, seq int64) (store.ReportHead, error)
	Records(ctx context.Context, seq int64, p store.Page) ([]store.RecordRow, int64, error)
	Raw(ctx context.Context, seq int64) (io.ReadCloser, string, error)
}

// IntakeReader is what the pages of what came in read of the store.
type IntakeReader interface {
	ListQuarantined(ctx context.Context, p store.Page) ([]store.Quarantined, int64, error)
	OpenQuarantined(ctx context.Context, id int64) (*os.File, store.Quarantined, error)
	Imports(ctx context.Context, p store.Page) ([]store.Import, int64, error)
}

// Store is everything the pages read; *store.Store has it.
type Store interface {
	DomainReader
	SourceReader
	ReportReader
	IntakeReader
	SurveyReader
}

// Advisor gives the answers; *advise.Advisor has it.
type Advisor interface {
	Cached(ctx context.Context, name domain.Name, q advise.Question) (*advise.Advice, bool, error)
	Overview(ctx context.Context, days int) ([]advise.DomainSummary, error)
}

// Importer takes uploads in; *collect.Importer has it.
type Importer interface {
	ImportReader(ctx context.Context, name string, r io.Reader) (collect.Result, error)
}

// Config is what the dashboard works with. Store, Advisor and Importer are
// required.
type Config struct {
	Store    Store
	Advisor  Advisor
	Importer Importer
	// Gateway is the mail gateway of the data folder; nil where there is none to
	// be shown.
	Gateway *api.Gateway
	// Work is the work of fixing, the departments and what people said; nil
	// where none of it is to be shown.
	Work *api.Work
	// Host refuses requests for names that are not ours, for the pages that
	// stand outside Guard; nil refuses none.
	Host func(http.Handler) http.Handler
	// API answers /api/ and /export/ in place of package api's; for tests.
	API http.Handler
	// Guard decides who may see what; nil lets everybody in.
	Guard func(http.Handler) http.Handler
	// SignedIn reports whether there is a session to end; nil: never.
	SignedIn func(*http.Request) bool
	// Meters are further figures for /metrics.
	Meters    []prometheus.Collector
	TempDir   string       // for large downloads; "" is the system's folder
	MaxUpload int64        // bytes of one upload; 0 means 64 MiB
	Version   string       // shown in the footer
	Logger    *slog.Logger // nil: no log
}

// server holds what the pages share; but for what sums and pace keep, it does
// not change after New.
type server struct {
	Config
	assets *assets
	pages  pages
	meters *meters
	sums   *sums
	pace   *pace
	links  *access.Links // nil without Work
	made   *madeLinks
}

// New returns the dashboard. It is safe for concurrent use.
func New(c Config) (http.Handler, error) {
	if c.Store == nil || c.Advisor == nil || c.Importer == nil {
		return nil, errors.New("web: Store, Advisor and Importer must be set")
	}
	if c.MaxUpload == 0 {
		c.MaxUpload = 64 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.API == nil {
		h, err := api.New(api.Config{Store: c.Store, Advisor: c.Advisor, Importer: c.Importer, Gateway: c.Gateway, Work: c.Work, MaxUpload: c.MaxUpload,
			TempDir: c.TempDir, Lang: Language, Version: c.Version, Logger: c.Logger})
		if err != nil {
			return nil, err
		}
		c.API = h
	}
	a, err := loadAssets()
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	p, err := loadPages(a)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s := &server{Config: c, assets: a, pages: p, meters: newMeters(c.Meters...),
		sums: &sums{kept: map[sumKey]*keptSum{}}, pace: &pace{looks: map[int64]look{}}, made: &madeLinks{}}
	if c.Work != nil {
		if c.Work.Store == nil {
			return nil, errors.New("web: Work.Store must be set")
		}
		s.links = access.NewLinks(c.Work.Store, c.Work.Now)
		s.meters.registry.MustRegister(&workMeters{c.Work, c.Advisor})
	}
	return s.handler(), nil
}

// handler lists every route. The asset and health routes stand outside the
// guard: the sign-in page needs the style sheet, the watchdog no password.
func (s *server) handler() http.Handler {
	inner := http.NewServeMux()
	inner.Handle("GET /{$}", s.page(s.overview))
	inner.Handle("GET /domain/{name}", s.page(s.domain))
	inner.Handle("GET /domain/{name}/source/{id}", s.page(s.source))
	if s.Work != nil {
		s.workRoutes(inner)
	}
	inner.Handle("GET /reports", s.page(s.reports))
	inner.Handle("GET /reports/{seq}", s.page(s.report))
	inner.Handle("GET /reports/{seq}/raw", s.page(s.reportRaw))
	inner.Handle("GET /survey", s.page(s.surveys))
	inner.Handle("GET /survey/{wave}", s.page(s.surveyWave))
	inner.Handle("GET /survey/{wave}/by", s.page(s.surveyBy))
	inner.Handle("GET /survey/{wave}/list", s.page(s.surveyList))
	inner.Handle("GET /survey/{wave}/problems", s.page(s.surveyProblems))
	inner.Handle("GET /survey/{wave}/mail", s.page(s.surveyMail))
	inner.Handle("GET /survey/{wave}/domain/{no}", s.page(s.organisation))
	inner.Handle("GET /survey/{wave}/domain/{no}/letter", s.page(s.letter))
	inner.Handle("GET /survey/{wave}/compare/{other}", s.page(s.surveyCompare))
	inner.Handle("GET /gateway", s.page(s.gateway))
	inner.Handle("GET /gateway/messages", s.page(s.gatewayMessages))
	inner.Handle("GET /gateway/messages/{id}", s.page(s.gatewayMessage))
	inner.Handle("GET /gateway/reports", s.page(s.gatewayReports))
	inner.Handle("GET /gateway/reports/{id}/xml", s.page(s.gatewayReportXML))
	inner.Handle("GET /quarantine", s.page(s.quarantine))
	inner.Handle("GET /quarantine/{id}/file", s.page(s.quarantineFile))
	inner.Handle("GET /upload", s.page(s.uploadForm))
	inner.Handle("POST /upload", s.page(s.upload))
	inner.Handle("GET /help", s.page(s.help))
	inner.Handle("POST /preferences", s.page(s.preferences))
	inner.Handle("GET /metrics", s.meters.handler())
	inner.Handle("/", s.page(s.nowhere))
	inner.Handle("/api/", s.API)
	inner.Handle("/export/", s.API)

	var guarded http.Handler = inner
	if s.Guard != nil {
		guarded = s.Guard(inner)
	}
	outer := http.NewServeMux()
	outer.HandleFunc("GET /assets/{file...}", s.assets.serve)
	outer.HandleFunc("GET /healthz", s.health)
	if s.Work != nil {
		s.shareRoutes(outer)
	}
	outer.Handle("/", guarded)

	var h http.Handler = outer
	h = compress(h)
	h = s.sameOrigin(h)
	h = headers(h)
	h = s.watch(h)
	return h
}

// health answers a watchdog: 200 when the store answers, 503 otherwise.
func (s *server) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if _, _, err := s.Store.Newest(ctx, ""); err != nil {
		s.Logger.Error("health check", "err", err)
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "store unavailable\n")
		return
	}
	io.WriteString(w, "ok\n")
}
