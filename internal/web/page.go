package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sekimori/internal/locale"
	"sekimori/internal/publish"
	"sekimori/internal/store"
)

// Faults that a page handler may return; every other error is an internal one.
var (
	errNotFound = errors.New("no such page")
	errForeign  = errors.New("asked for by another site")
	errMethod   = errors.New("method not allowed")
	errBadQuery = errors.New("query not understood")
	errInternal = errors.New("internal error")
)

// page is what the layout of every page shows. Data is the page's own view.
type page struct {
	Lang        locale.Lang
	Theme       string // "light", "dark", or "" for the system's
	Title       string
	Nav         string // key of the menu's entry
	IsTop       bool   // this is the menu entry's own page
	Crumbs      []crumb
	Here        string // path and query, for coming back
	Quarantined int64
	Newest      string // last day with data, worded; "" for none
	ZoneName    string
	SignedIn    bool
	Bare        bool         // nothing around the page that tells of the data
	Shared      *sharedFrame // the page is a department's own part, opened by a link
	Working     bool         // there are pages of the work of fixing
	Version     string
	Data        any

	zone     *time.Location
	query    url.Values
	path     string
	template string
	status   int
}

type crumb struct{ Text, URL string }

type menuEntry struct{ Key, URL, Label string }

// Menu lists the entries of the main menu.
func (p *page) Menu() []menuEntry {
	menu := []menuEntry{{"overview", "/", "web.nav.overview"}}
	if p.Working {
		menu = append(menu, menuEntry{"work", "/work", "webwork.nav.work"}, menuEntry{"departments", "/departments", "webwork.nav.departments"})
	}
	return append(menu, []menuEntry{
		{"reports", "/reports", "web.nav.reports"},
		{"gateway", "/gateway", "webgateway.nav"},
		{"survey", "/survey", "web.nav.survey"},
		{"upload", "/upload", "web.nav.upload"},
		{"quarantine", "/quarantine", "web.nav.quarantine"},
		{"help", "/help", "web.nav.help"},
	}...)
}

type languageLink struct {
	Lang locale.Lang
	Name string
	URL  string
}

// Languages lists the languages with links to this page in each.
func (p *page) Languages() []languageLink {
	names := map[locale.Lang]string{locale.Japanese: "日本語", locale.English: "English"}
	var out []languageLink
	for _, l := range locale.Langs {
		out = append(out, languageLink{l, names[l], p.with("lang", string(l))})
	}
	return out
}

// with returns this page's address with some query parameters set, in pairs
// of name and value; an empty value takes the parameter away.
func (p *page) with(pairs ...string) string { return withQuery(p.path, p.query, pairs...) }

func withQuery(path string, q url.Values, pairs ...string) string {
	out := url.Values{}
	for k, v := range q {
		out[k] = v
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			out.Del(pairs[i])
		} else {
			out.Set(pairs[i], pairs[i+1])
		}
	}
	if len(out) == 0 {
		return path
	}
	return path + "?" + out.Encode()
}

// text returns a sentence in the page's language; args are name and value in turn.
func (p *page) text(code string, args ...any) string { return textOf(p.Lang, code, args...) }

// moment is a time as the page shows it, in the viewer's zone.
type moment struct{ Machine, Text string }

func (p *page) at(t time.Time) moment {
	if t.IsZero() {
		return moment{Text: "–"}
	}
	return moment{t.UTC().Format(time.RFC3339), t.In(p.zone).Format("2006-01-02 15:04")}
}

// action is a page's work: it fills p and returns, or answers by itself and
// clears p.template, or returns an error that becomes an error page.
type action func(w http.ResponseWriter, r *http.Request, p *page) error

// page wraps an action: preferences before it, rendering and errors after it.
func (s *server) page(do action) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := newPage(w, r, s.Version)
		err := do(w, r, p)
		if err != nil {
			s.fail(w, r, p, err)
			return
		}
		if p.template == "" {
			return
		}
		s.render(w, r, p)
	})
}

// parameters are what a page's address may say; links on the page keep them,
// and nothing else, so that a long address does not make a huge page.
var parameters = [...]string{"days", "sort", "desc", "q", "page", "class", "domain", "deviations", "next",
	"attribute", "value", "none", "fact", "state", "code", "from", "to", "unmatched", "odd", "sender", "contact",
	"span", "message_id", "address", "since", "until", "action", "dmarc", "before", "day",
	"department", "owner", "overdue", "said", "kind", "month", "letter"}

// mostParameter bounds each of them, in bytes.
const mostParameter = 2000

// newPage reads language, theme and zone, and remembers a language that the
// address names.
func newPage(w http.ResponseWriter, r *http.Request, version string) *page {
	p := &page{path: r.URL.EscapedPath(), query: url.Values{}, Version: version, status: http.StatusOK}
	asked := r.URL.Query()
	for _, name := range parameters {
		if v := asked.Get(name); v != "" {
			p.query.Set(name, clip(v, mostParameter))
		}
	}
	p.Lang = Language(r)
	if l, ok := locale.Parse(asked.Get("lang")); ok {
		remember(w, r, "lang", string(l))
	}
	if t := cookie(r, "theme"); t == "light" || t == "dark" {
		p.Theme = t
	}
	p.zone, p.ZoneName = zoneOf(cookie(r, "tz"), p.Lang)
	p.Here = p.with()
	return p
}

// zoneOf returns the zone that times are shown in.
func zoneOf(name string, l locale.Lang) (*time.Location, string) {
	if name != "" && len(name) < 64 && !strings.HasPrefix(name, "/") && !strings.Contains(name, "..") && name != "Local" {
		if z, err := time.LoadLocation(name); err == nil {
			return z, name
		}
	}
	if l == locale.Japanese {
		// Japan has had no summer time since 1951: right without a zone database too.
		return time.FixedZone("Asia/Tokyo", 9*3600), "Asia/Tokyo"
	}
	return time.UTC, "UTC"
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	v, err := url.QueryUnescape(c.Value)
	if err != nil {
		return ""
	}
	return v
}

// remember keeps a preference for a year. It is no secret.
func remember(w http.ResponseWriter, r *http.Request, name, value string) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: 365 * 86400, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// frame fills what the layout shows around every page. What cannot be read is
// left out: the page itself will say what is wrong.
func (s *server) frame(ctx context.Context, p *page) {
	if _, n, err := s.Store.ListQuarantined(ctx, store.Page{Limit: 1}); err == nil {
		p.Quarantined = n
	}
	if end, ok, err := s.Store.Newest(ctx, ""); err == nil && ok {
		p.Newest = dayOf(p.Lang, end-1)
	}
}

// render writes the page, or the error page where the template fails. The
// whole page is made before its first byte is sent.
func (s *server) render(w http.ResponseWriter, r *http.Request, p *page) {
	s.frame(r.Context(), p)
	p.SignedIn = s.SignedIn != nil && s.SignedIn(r)
	p.Working = s.Work != nil
	var b bytes.Buffer
	if err := s.pages.execute(&b, p); err != nil {
		s.Logger.Error("page could not be made", "path", loggedPath(r), "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(p.Lang))
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Cookie, Accept-Language")
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2 * patience))
		w.Write(b.Bytes())
	}
}

// failure is the view of an error page.
type failure struct{ Code, Detail string }

// fail answers with the page that explains an error. Details of internal
// errors go to the log, not to the page.
func (s *server) fail(w http.ResponseWriter, r *http.Request, p *page, err error) {
	var tooLarge *http.MaxBytesError
	f := failure{}
	switch {
	case r.Context().Err() != nil:
		return // nobody is there to read it
	case errors.Is(err, errNotFound), errors.Is(err, store.ErrNotFound):
		p.status, f.Code = http.StatusNotFound, "404"
	case errors.Is(err, errForeign):
		p.status, f.Code = http.StatusForbidden, "403"
	case errors.Is(err, errMethod):
		p.status, f.Code = http.StatusMethodNotAllowed, "405"
	case errors.Is(err, errBadQuery):
		p.status, f.Code = http.StatusBadRequest, "400"
	case errors.As(err, &tooLarge):
		p.status, f.Code = http.StatusRequestEntityTooLarge, "413"
		f.Detail = fmt.Sprintf("%s %s", p.text("web.upload.limit-is"), sizeOf(p.Lang, tooLarge.Limit))
	case errors.Is(err, publish.ErrFont):
		p.status, f.Code = http.StatusNotImplemented, "501"
	case errors.Is(err, store.ErrClosed):
		p.status, f.Code = http.StatusServiceUnavailable, "503"
	default:
		p.status, f.Code = http.StatusInternalServerError, "500"
		s.Logger.Error("page failed", "path", loggedPath(r), "err", err)
	}
	p.template, p.Data, p.Crumbs, p.Nav = "error", f, nil, ""
	p.Title = p.text("web.error." + f.Code)
	s.render(w, r, p)
}

// nowhere answers every address that is none.
func (s *server) nowhere(w http.ResponseWriter, r *http.Request, p *page) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return errMethod
	}
	return errNotFound
}

// preferences keeps the theme and goes back to where the reader was.
func (s *server) preferences(w http.ResponseWriter, r *http.Request, p *page) error {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		return errBadQuery
	}
	switch t := r.PostForm.Get("theme"); t {
	case "light", "dark":
		remember(w, r, "theme", t)
	case "system":
		remember(w, r, "theme", "")
	default:
		return errBadQuery
	}
	p.template = ""
	http.Redirect(w, r, localPath(r.PostForm.Get("back")), http.StatusSeeOther)
	return nil
}

// localPath returns a path on this server, "/" for anything else. A browser
// reads "//host" and "/\host" as another host, and drops tabs and line ends.
func localPath(s string) string {
	if len(s) > 2000 || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.ContainsAny(s, "\\\t\r\n\x00") {
		return "/"
	}
	u, err := url.Parse(s)
	if err != nil || u.Host != "" || u.Scheme != "" {
		return "/"
	}
	return s
}

// pages is the parsed templates by language and page.
type pages map[locale.Lang]map[string]*template.Template

// loadPages parses every template once for each language.
func loadPages(a *assets) (pages, error) {
	out := pages{}
	names := []string{"overview", "domain", "source", "reports", "report", "quarantine", "upload", "help", "error", "signin",
		"surveys", "survey", "surveyby", "surveysector", "surveylist", "surveyproblems", "surveydomain", "surveyletter", "surveycompare", "surveymail",
		"gateway", "gatewaymessages", "gatewaymessage", "gatewayreports",
		"work", "case", "departments", "department", "timeline", "inventory", "monthly", "shared", "sharedsources", "sharedsource", "sharednone"}
	for _, l := range locale.Langs {
		base, err := template.New("base").Funcs(words(l, a)).ParseFS(own, "templates/layout.html", "templates/parts.html", "templates/surveyparts.html", "templates/gatewayparts.html", "templates/workparts.html")
		if err != nil {
			return nil, err
		}
		out[l] = map[string]*template.Template{}
		for _, name := range names {
			t, err := base.Clone()
			if err != nil {
				return nil, err
			}
			if out[l][name], err = t.ParseFS(own, "templates/"+name+".html"); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (ps pages) execute(b *bytes.Buffer, p *page) error {
	t := ps[p.Lang][p.template]
	if t == nil {
		return fmt.Errorf("no template %q", p.template)
	}
	return t.ExecuteTemplate(b, "layout", p)
}
