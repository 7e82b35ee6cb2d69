// Package api serves every figure of the pages as JSON under /api/v1/, the
// description of that interface as OpenAPI 3.1 at /api/openapi.json and
// /api/openapi.yaml, and every table as CSV and XLSX under /export/.
//
// Answers are JSON; errors are problem details (RFC 9457). Days are UTC days
// written YYYY-MM-DD, an end is exclusive, times are RFC 3339 in UTC. Field
// names do not change once released; new ones may be added.
//
// The package decides nothing about who may ask: package access stands before
// it. Codes in answers (reasons, deviations) are stable names; their sentences
// are in package locale.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sekimori/domain"
	"sekimori/internal/advise"
	"sekimori/internal/collect"
	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// Config is what the interface works with. Store, Advisor and Importer are
// required; the zero values of the others are usable.
type Config struct {
	Store    Store
	Advisor  Advisor
	Importer Importer
	// Gateway is the mail gateway that keeps its verdicts in the data folder;
	// nil where there is none to be shown.
	Gateway *Gateway

	// Work is the work of fixing, the departments and what people said; nil
	// where there is none to be shown.
	Work *Work

	// MaxUpload bounds the body of one upload, in bytes; 0 means 64 MiB.
	// Larger inputs are imported on the command line.
	MaxUpload int64
	// Patience is how long a client may send or take nothing in the middle
	// of an upload or a download; 0 means 30 s.
	Patience time.Duration
	// TempDir is where a spreadsheet grows before it is sent; "" is the
	// system's folder.
	TempDir string
	// Lang tells the language of a download's headings where the request does
	// not name one with ?lang=; nil reads Accept-Language.
	Lang    func(*http.Request) locale.Lang
	Version string
	Logger  *slog.Logger // internal errors, once each; nil discards them
}

// Store is what is read of the store; *store.Store has it.
type Store interface {
	DomainStore
	SourceStore
	ReportStore
	KeptStore
	SurveyStore
}

// DomainStore is what is known of a policy domain.
type DomainStore interface {
	Newest(ctx context.Context, domain string) (store.Day, bool, error)
	PolicyHistory(ctx context.Context, domain string) ([]store.PolicySpan, error)
	DomainDaily(ctx context.Context, domain string, w store.Window) ([]store.DayTotals, error)
}

// SourceStore is what is known of one source of a domain.
type SourceStore interface {
	SourceAddresses(ctx context.Context, domain, source string, w store.Window, p store.Page) ([]store.AddressTotals, int64, error)
	SourceDaily(ctx context.Context, domain, source string, w store.Window) ([]store.DayTotals, error)
	SourceReporters(ctx context.Context, domain, source string, w store.Window) ([]store.ReporterTotals, error)
	SourceAuth(ctx context.Context, domain, source string, w store.Window) ([]store.AuthTotals, error)
	SourceEnvelopes(ctx context.Context, domain, source string, w store.Window) ([]store.EnvelopeTotals, error)
}

// ReportStore is the stored reports.
type ReportStore interface {
	Reports(ctx context.Context, f store.ReportFilter, p store.Page) ([]store.ReportHead, int64, error)
	Report(ctx context.Context, seq int64) (store.ReportHead, error)
	Records(ctx context.Context, seq int64, p store.Page) ([]store.RecordRow, int64, error)
	Raw(ctx context.Context, seq int64) (io.ReadCloser, string, error)
}

// KeptStore is what came in, and what of it could not be read.
type KeptStore interface {
	ListQuarantined(ctx context.Context, p store.Page) ([]store.Quarantined, int64, error)
	OpenQuarantined(ctx context.Context, id int64) (*os.File, store.Quarantined, error)
	Imports(ctx context.Context, p store.Page) ([]store.Import, int64, error)
}

// Advisor answers for a domain; *advise.Advisor has it.
type Advisor interface {
	Cached(ctx context.Context, name domain.Name, q advise.Question) (*advise.Advice, bool, error)
	Overview(ctx context.Context, days int) ([]advise.DomainSummary, error)
}

// Importer takes an upload; *collect.Importer has it.
type Importer interface {
	ImportReader(ctx context.Context, name string, r io.Reader) (collect.Result, error)
}

const (
	defaultMaxUpload = 64 << 20
	defaultPatience  = 30 * time.Second
)

// server is the interface with its defaults filled in.
type server struct {
	Config
	sheets chan struct{} // bounds how many spreadsheets are made at a time
}

// New returns the handler of everything below /api/ and /export/. It is safe
// for concurrent use. A GET of it changes nothing; POST /api/v1/reports must be
// protected from other sites' pages by the caller (http.CrossOriginProtection).
func New(c Config) (http.Handler, error) {
	if c.Store == nil || c.Advisor == nil || c.Importer == nil {
		return nil, errors.New("api: Store, Advisor and Importer must be set")
	}
	s := &server{Config: c, sheets: make(chan struct{}, 2)}
	if s.MaxUpload == 0 {
		s.MaxUpload = defaultMaxUpload
	}
	if s.Patience == 0 {
		s.Patience = defaultPatience
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.Lang == nil {
		s.Lang = func(r *http.Request) locale.Lang { return locale.Match(r.Header.Get("Accept-Language")) }
	}
	mux := http.NewServeMux()
	spec := s.operations(mux)
	if err := serveSpec(mux, spec); err != nil {
		return nil, err
	}
	mux.HandleFunc("GET /export/{file}", s.export)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, "no such operation: see /api/openapi.json")
	})
	return mux, nil
}

// operations registers every operation and returns their description.
func (s *server) operations(mux *http.ServeMux) *huma.OpenAPI {
	c := huma.DefaultConfig("Sekimori", s.Version)
	c.Info.Description = "Who sends mail as your domains, by the DMARC aggregate reports of those who received it, and how the domains of many organisations are protected, by surveys. " +
		"Days are UTC days (YYYY-MM-DD); an end is exclusive. With sign-in configured, send the token as \"Authorization: Bearer TOKEN\"."
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", "" // served by serveSpec; no page that loads from other hosts
	c.CreateHooks = nil
	c.RejectUnknownQueryParameters = true
	c.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	c.Security = []map[string][]string{{}, {"token": {}}}
	a := humago.NewWithPrefix(mux, "/api/v1", c)
	s.domainOperations(a)
	s.sourceOperations(a)
	s.reportOperations(a)
	s.keptOperations(a)
	s.uploadOperation(a)
	s.surveyOperations(a)
	s.gatewayOperations(a)
	s.gatewayReportOperations(a)
	if s.Work != nil {
		s.caseOperations(a)
		s.wordOperations(a)
		s.departmentOperations(a)
		s.historyOperations(a)
	}
	return a.OpenAPI()
}

// schemaName names a type in the description. Rooms below have names such as
// Record of their own, so theirs begin with the room's.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch room := path.Base(t.PkgPath()); room {
	case "inventory", "watch", "publish":
		return strings.ToUpper(room[:1]) + room[1:] + name
	}
	return name
}

func serveSpec(mux *http.ServeMux, spec *huma.OpenAPI) error {
	asJSON, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	asYAML, err := spec.YAML()
	if err != nil {
		return err
	}
	serve := func(path, mediaType string, body []byte) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			w.Header().Set("X-Content-Type-Options", "nosniff")
			_, _ = w.Write(body)
		})
	}
	serve("/api/openapi.json", "application/openapi+json", asJSON)
	serve("/api/openapi.yaml", "application/openapi+yaml", asYAML)
	return nil
}

// get describes a GET operation.
func get(id, path, tag, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{tag}, Summary: summary,
		Errors: []int{http.StatusBadRequest, http.StatusNotFound}}
}

// Part narrows an operation to a department.
type Part struct {
	Department int64 `query:"department" minimum:"0" doc:"Only the part of this department (its number). Default: the whole."`
}

// fail turns an error of the layers below into an answer: what the client
// asked wrongly it is told, what is ours is logged and not told.
func (s *server) fail(ctx context.Context, err error) error {
	var known huma.StatusError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.Is(err, store.ErrNotFound), errors.Is(err, ErrUnknownDepartment):
		return huma.Error404NotFound("not found")
	case errors.Is(err, store.ErrConflict):
		return huma.Error409Conflict("somebody else has changed it: read it again")
	case errors.Is(err, store.ErrClosed), ctx.Err() != nil:
		return huma.Error503ServiceUnavailable("stopped: try again later")
	}
	s.Logger.ErrorContext(ctx, "api", "error", err)
	return huma.Error500InternalServerError("internal error: see the program's log")
}

// problem writes an error outside of an operation.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: detail})
}

// Window is the span of days that an operation is asked about. (It and the
// other parts of a request are exported because huma sees only such parts.)
type Window struct {
	Days  int  `query:"days" minimum:"1" maximum:"3660" default:"30" doc:"Length of the window in days."`
	Until Date `query:"until" format:"date" doc:"End of the window, exclusive (YYYY-MM-DD). Default: the end of the domain's newest report."`
}

// of returns the window for a domain; 404 where the domain has no reports.
func (q Window) of(ctx context.Context, s DomainStore, name domain.Name) (store.Window, error) {
	newest, ok, err := s.Newest(ctx, name.String())
	if err != nil {
		return store.Window{}, err
	}
	if !ok {
		return store.Window{}, huma.Error404NotFound("no reports about " + name.String())
	}
	end := q.Until.Day
	if end == 0 {
		end = newest
	}
	days := q.Days
	if days == 0 {
		days = 30
	}
	return store.Window{Begin: end - store.Day(days), End: end}, nil
}

func (q Window) question() advise.Question { return advise.Question{Days: q.Days, Until: q.Until.Day} }

// Page is the part of a long list that an operation is asked for.
type Page struct {
	Offset int    `query:"offset" minimum:"0" default:"0" doc:"How many to skip."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"How many to return at most."`
	Desc   bool   `query:"desc" doc:"Sort downwards."`
	Search string `query:"search" maxLength:"200" doc:"Only lines that contain this, whatever the case."`
}

func (p Page) sorted(by string) store.Page {
	return store.Page{Offset: p.Offset, Limit: p.Limit, Sort: by, Desc: p.Desc, Search: p.Search}
}

// Named is the domain that an operation is asked about.
type Named struct {
	Domain string `path:"domain" maxLength:"254" example:"kakuu.example" doc:"The policy domain, in A-labels or U-labels."`
}

func (n Named) name() (domain.Name, error) { return parseName(n.Domain) }

func parseName(s string) (domain.Name, error) {
	name, err := domain.Parse(s)
	if err != nil {
		return domain.Name{}, huma.Error400BadRequest("domain: " + err.Error())
	}
	return name, nil
}

// Date is a UTC day in a request; the zero Date was not given.
type Date struct{ store.Day }

// UnmarshalText reads YYYY-MM-DD.
func (d *Date) UnmarshalText(b []byte) error { return d.Day.UnmarshalText(b) }

// answer is an operation's result with its body.
type answer[T any] struct {
	CacheControl string `header:"Cache-Control"`
	Body         T
}

func reply[T any](body T) *answer[T] {
	return &answer[T]{CacheControl: "private, no-cache", Body: body}
}
