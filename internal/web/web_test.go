package web

import (
	"bytes"
	"errors"
	"html"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sekimori/internal/locale"
	"sekimori/internal/web/access"
)

func site(t *testing.T, w *world) http.Handler {
	t.Helper()
	c := Config{Store: w, Advisor: w, Importer: w, Gateway: gate(t, w, true, enforcing()), Version: "test", Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if w.bench != nil {
		c.Work = w.bench.work()
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, target string, pairs ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	for i := 0; i+1 < len(pairs); i += 2 {
		r.Header.Set(pairs[i], pairs[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// everyPage is an address of each kind of page.
var everyPage = []string{
	"/", "/?days=365", "/?q=kenkyu", "/?sort=spoof&desc=1", "/?q=nothing", "/?page=2",
	"/domain/kakuu.example", "/domain/kakuu.example?days=7&class=spoof", "/domain/kakuu.example?q=nothing", "/domain/kakuu-kenkyu.example", "/domain/new.example",
	"/domain/xn--fiqs8s.example", "/domain/kakuu.example/source/broken-1", "/domain/kakuu.example/source/hostile?days=90", "/domain/kakuu.example/source/unnamed",
	"/reports", "/reports?domain=kakuu.example&deviations=1", "/reports?q=nothing", "/reports?page=3", "/reports/5", "/reports/7",
	"/quarantine", "/upload", "/help",
	"/survey", "/survey/2026-11", "/survey/%E9%80%B1%E6%AC%A1%20%3C%E8%A9%A6%E8%A1%8C%3E", "/survey/2026-11/list", "/survey/2026-11/list?fact=dmarc&state=unknown&q=city&sort=problems&page=2",
	"/survey/2026-11/list?code=posture.dmarc-missing", "/survey/2026-11/list?q=nothing", "/survey/2026-11/list?odd=1", "/survey/2026-11/problems", "/survey/2026-11/mail", "/survey/2026-11/mail?unmatched=1", "/survey/%E9%80%B1%E6%AC%A1%20%3C%E8%A9%A6%E8%A1%8C%3E/mail",
	"/survey/2026-11/by?attribute=%E9%83%BD%E9%81%93%E5%BA%9C%E7%9C%8C", "/survey/2026-11/by?attribute=%E9%83%BD%E9%81%93%E5%BA%9C%E7%9C%8C&fact=spf&sort=spf&desc=1", "/survey/2026-11/by?attribute=%E4%BA%BA%E5%8F%A3&q=nothing",
	"/survey/2026-11/by?attribute=%E9%83%BD%E9%81%93%E5%BA%9C%E7%9C%8C&value=%E6%9D%B1%E4%BA%AC%E9%83%BD", "/survey/2026-11/by?attribute=%E9%83%BD%E9%81%93%E5%BA%9C%E7%9C%8C&none=1", "/survey/2026-11/by?attribute=%E7%A8%AE%E5%88%A5&value=%E5%B8%82&fact=protected&state=no",
	"/survey/2026-11/domain/1", "/survey/2026-11/domain/5", "/survey/2026-11/domain/8", "/survey/2026-11/domain/12", "/survey/2026-11/domain/14", "/survey/2026-11/domain/18", "/survey/2026-11/domain/20",
	"/survey/2026-11/domain/1/letter", "/survey/2026-11/domain/4/letter?sender=%3Cscript%3E&contact=a%0Ab", "/survey/2026-11/domain/18/letter",
	"/gateway", "/gateway?span=day", "/gateway?span=week", "/gateway/messages", "/gateway/messages?q=ginkou&dmarc=fail&action=quarantine", "/gateway/messages?sender=kyoukai.example&since=7d&until=1h&address=192.0.2.12", "/gateway/messages?q=nothing",
	"/gateway/messages?before=200", "/gateway/messages/1", "/gateway/messages/150", "/gateway/messages/1000000", "/gateway/reports", "/gateway/reports?state=refused&q=ginkou", "/gateway/reports?day=1999-01-01", "/gateway/reports?page=2",
	"/survey/2026-11/compare/2025-11", "/survey/2026-11/compare/2025-11?fact=dmarc&from=no&to=yes",
	"/work", "/work?state=found", "/work?state=done&sort=failing&desc=1&page=2", "/work?department=1&owner=%E4%BD%90%E8%97%A4&overdue=1", "/work?q=nothing", "/work?said=saved", "/work/1", "/work/2?letter=en", "/work/3?letter=ja", "/work/4", "/work/5",
	"/departments", "/departments?q=nothing", "/departments/1", "/departments/2?said=added", "/departments/3",
	"/domain/kakuu.example?department=1", "/domain/kakuu.example/source/fwd-1", "/domain/kakuu.example/source/own-1?said=saved", "/?department=2",
	"/domain/kakuu.example/timeline", "/domain/kakuu.example/timeline?kind=dns", "/domain/kakuu.example/timeline?page=2", "/domain/new.example/timeline",
	"/domain/kakuu.example/inventory", "/domain/kakuu.example/inventory?state=silent&page=2", "/domain/kakuu.example/inventory?q=nothing", "/domain/kakuu.example/inventory?action=advice",
	"/domain/kakuu.example/monthly", "/domain/kakuu.example/monthly?month=2026-08&department=1",
}

var gap = regexp.MustCompile(`⟦[^⟧]*⟧`)

func TestPages(t *testing.T) {
	for name, w := range map[string]*world{"full": newWorld(t.TempDir()), "stale": {}, "empty": {empty: true}} {
		pages := everyPage
		if name == "stale" {
			w = newWorld(t.TempDir())
			w.stale = true
			pages = slices.DeleteFunc(slices.Clone(pages), func(p string) bool {
				return strings.HasPrefix(p, "/survey") || strings.HasPrefix(p, "/work") || strings.HasPrefix(p, "/departments") || strings.Contains(p, "/timeline") || strings.Contains(p, "/inventory")
			})
		}
		if name == "empty" {
			pages = []string{"/", "/reports", "/survey", "/quarantine", "/upload", "/help"}
		}
		h := site(t, w)
		for _, target := range pages {
			for _, lang := range locale.Langs {
				rec := get(h, target, "Accept-Language", string(lang))
				body := rec.Body.String()
				if rec.Code != 200 {
					t.Errorf("%s %s %s: status %d", name, lang, target, rec.Code)
					continue
				}
				if !strings.Contains(body, `<html lang="`+string(lang)+`"`) || !strings.HasSuffix(strings.TrimSpace(body), "</html>") {
					t.Errorf("%s %s %s: not a whole page in the language asked", name, lang, target)
				}
				if g := gap.FindString(body); g != "" {
					t.Errorf("%s %s %s: no text for %s", name, lang, target, g)
				}
				checkMarkup(t, name+" "+string(lang)+" "+target, body)
			}
		}
	}
}

var (
	idAttr    = regexp.MustCompile(` id="([^"]*)"`)
	inline    = regexp.MustCompile(`(?i)<[^>]*\s(on[a-z]+|style)\s*=|<style|<script(?:>| (?:[^s]|s[^r]))|javascript:`)
	typed     = regexp.MustCompile(` value="[^"]*"`)
	between   = regexp.MustCompile(`>[^<]*<`)
	otherHost = regexp.MustCompile(`(?i)(?:src|href|action)="(?:https?:)?//`)
)

// checkMarkup finds what the policy forbids and what a hostile report could
// have got into a page.
func checkMarkup(t *testing.T, where, body string) {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range idAttr.FindAllStringSubmatch(body, -1) {
		if seen[m[1]] {
			t.Errorf("%s: id %q twice", where, m[1])
		}
		seen[m[1]] = true
	}
	script := `<script type="module" src="/assets/`
	body = strings.Replace(body, script, `<x `, 1)
	body = between.ReplaceAllString(body, "><") // text may say anything
	body = typed.ReplaceAllString(body, `"`)    // and so may what a form holds
	if m := inline.FindString(body); m != "" {
		t.Errorf("%s: inline script or style: %.120s", where, m)
	}
	if m := otherHost.FindString(body); m != "" {
		t.Errorf("%s: another host: %s", where, m)
	}
	if strings.Contains(body, "<img") || strings.Contains(body, "onerror=") {
		t.Errorf("%s: a report's markup got into the page", where)
	}
	for _, m := range regexp.MustCompile(`<a [^>]*href=""`).FindAllString(body, -1) {
		t.Errorf("%s: empty link %s", where, m)
	}
}

func TestHeaders(t *testing.T) {
	h := site(t, newWorld(t.TempDir()))
	for _, target := range append([]string{"/nothing", "/healthz", "/metrics", "/api/openapi.json", "/reports/1/raw"}, everyPage...) {
		rec := get(h, target)
		csp := rec.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: policy %q", target, csp)
		}
		if rec.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: content may be sniffed", target)
		}
		if rec.Header().Get("Server") != "" {
			t.Errorf("%s: says what serves it", target)
		}
	}
}

func TestErrorPages(t *testing.T) {
	w := newWorld(t.TempDir())
	h := site(t, w)
	for target, want := range map[string]int{
		"/nothing": 404, "/domain/": 404, "/domain/other.example": 404, "/domain/..%2f": 404, "/domain/%00": 404, "/domain/kakuu.example/source/none": 404,
		"/reports/0": 404, "/reports/x": 404, "/reports/99999999999999999999": 404, "/reports/4000/raw": 404, "/work/0": 404, "/work/9999": 404, "/work/x": 404, "/departments/9": 404, "/departments/x": 404, "/work?department=77": 404, "/domain/kakuu.example?department=x": 404, "/domain/kakuu.example/monthly?month=1999-01": 404, "/work/1/letter": 404, "/work/1/letter?format=html": 404,
		"/quarantine/9/file": 404, "/quarantine/x/file": 404,
		"/assets/../web.go": 404, "/assets/none.js": 404, "/assets/.vite/manifest.json": 404,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path, r.URL.RawPath = target, ""
		if u, err := url.Parse(target); err == nil {
			r.URL = u
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != want && !(rec.Code >= 300 && rec.Code < 400) {
			t.Errorf("%s: %d, want %d", target, rec.Code, want)
		}
	}
	w.err = errors.New("secret of the inside")
	w.bench.err = w.err
	for _, target := range everyPage {
		if target == "/help" {
			continue
		}
		for _, lang := range locale.Langs {
			rec := get(h, target, "Accept-Language", string(lang))
			if rec.Code != 500 || strings.Contains(rec.Body.String(), "secret") || !strings.Contains(rec.Body.String(), lang.Text("web.error.500", nil)) {
				t.Errorf("%s %s: %d, want the 500 page without details", lang, target, rec.Code)
			}
		}
	}
	if rec := get(h, "/healthz"); rec.Code != 503 {
		t.Errorf("healthz with a broken store: %d", rec.Code)
	}
}

func TestPanicIsAPage(t *testing.T) {
	w := newWorld(t.TempDir())
	w.panics = true
	h := site(t, w)
	rec := get(h, "/domain/new.example", "Accept-Language", "en")
	if rec.Code != 500 || !strings.Contains(rec.Body.String(), "Something went wrong") {
		t.Errorf("%d %.200s", rec.Code, rec.Body)
	}
}

func TestPreferences(t *testing.T) {
	h := site(t, newWorld(t.TempDir()))
	if rec := get(h, "/help?lang=en"); !strings.Contains(rec.Body.String(), `<html lang="en"`) || !strings.Contains(rec.Header().Get("Set-Cookie"), "lang=en") {
		t.Errorf("?lang=en: %v", rec.Header())
	}
	if rec := get(h, "/help", "Cookie", "lang=en", "Accept-Language", "ja"); !strings.Contains(rec.Body.String(), `<html lang="en"`) {
		t.Error("the cookie does not stand above Accept-Language")
	}
	if rec := get(h, "/help", "Cookie", "theme=dark"); !strings.Contains(rec.Body.String(), `data-theme="dark"`) {
		t.Error("the theme is not in the page: it would flash")
	}
	for header, want := range map[string]string{"": "Asia/Tokyo", "tz=Europe/Berlin": "Europe/Berlin", "tz=Europe%2FBerlin": "Europe/Berlin", "tz=../../etc/passwd": "Asia/Tokyo", "tz=Local": "Asia/Tokyo", "tz=%ff": "Asia/Tokyo"} {
		if rec := get(h, "/quarantine?lang=ja", "Cookie", header); !strings.Contains(rec.Body.String(), `data-zone="`+want+`"`) {
			t.Errorf("%q: not shown in %s", header, want)
		}
	}
	if rec := get(h, "/quarantine", "Accept-Language", "en", "Cookie", "tz=Asia/Tokyo"); !strings.Contains(rec.Body.String(), "2026-10-01 12:04") {
		t.Error("a time is not in the viewer's zone")
	}
	for back, want := range map[string]string{"/reports?page=2": "/reports?page=2", "//evil.example": "/", "/\\evil.example": "/", "https://evil.example": "/", "/\t/evil.example": "/", "": "/", "javascript:alert(1)": "/"} {
		form := url.Values{"theme": {"dark"}, "back": {back}}
		r := httptest.NewRequest("POST", "/preferences", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != 303 || rec.Header().Get("Location") != want || !strings.Contains(rec.Header().Get("Set-Cookie"), "theme=dark") {
			t.Errorf("back %q: %d to %q", back, rec.Code, rec.Header().Get("Location"))
		}
	}
}

func TestOtherSitesMayNotPost(t *testing.T) {
	w := newWorld(t.TempDir())
	h := site(t, w)
	for _, target := range []string{"/preferences", "/upload", "/api/v1/reports"} {
		for header, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			r := httptest.NewRequest("POST", target, strings.NewReader("theme=dark"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(header, value)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code != 403 {
				t.Errorf("%s with %s %s: %d", target, header, value, rec.Code)
			}
		}
	}
	if len(w.imports) > 0 {
		t.Error("another site's upload was taken in")
	}
}

func TestUpload(t *testing.T) {
	w := newWorld(t.TempDir())
	h := site(t, w)
	send := func(files map[string]string) *httptest.ResponseRecorder {
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		for name, body := range files {
			f, _ := m.CreateFormFile("file", name)
			io.WriteString(f, body)
		}
		m.Close()
		r := httptest.NewRequest("POST", "/upload", &b)
		r.Header.Set("Content-Type", m.FormDataContentType())
		r.Header.Set("Accept-Language", "en")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec
	}
	if rec := send(map[string]string{"a.xml": "good", "b.xml": "bad"}); rec.Code != 200 || !strings.Contains(rec.Body.String(), "1 report accepted, 1 could not be read") || strings.Contains(rec.Body.String(), "<img") {
		t.Errorf("%d %.300s", rec.Code, rec.Body)
	}
	if rec := send(nil); rec.Code != 400 || !strings.Contains(rec.Body.String(), "No file was chosen") {
		t.Errorf("no file: %d", rec.Code)
	}
	big, err := New(Config{Store: w, Advisor: w, Importer: w, MaxUpload: 1000})
	if err != nil {
		t.Fatal(err)
	}
	h = big
	if rec := send(map[string]string{"a.xml": strings.Repeat("x", 2000)}); rec.Code != 413 {
		t.Errorf("too large: %d", rec.Code)
	}
	r := httptest.NewRequest("POST", "/upload", strings.NewReader("x"))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if rec.Code != 400 {
		t.Errorf("a broken body: %d", rec.Code)
	}
}

func TestFilesFromOutside(t *testing.T) {
	h := site(t, newWorld(t.TempDir()))
	for target, kind := range map[string]string{"/reports/5/raw": "text/plain; charset=utf-8", "/reports/5/raw?save=1": "application/xml", "/quarantine/2/file": "application/octet-stream"} {
		rec := get(h, target)
		d := rec.Header().Get("Content-Disposition")
		if rec.Code != 200 || rec.Header().Get("Content-Type") != kind || strings.ContainsAny(d, "\r\n<") || rec.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v", target, rec.Code, rec.Header())
		}
		if !strings.Contains(rec.Header().Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: not in a sandbox", target)
		}
	}
}

func TestAssets(t *testing.T) {
	h := site(t, newWorld(t.TempDir()))
	body := get(h, "/").Body.String()
	paths := regexp.MustCompile(`/assets/[^"]+`).FindAllString(body, -1)
	if len(paths) < 2 {
		t.Fatal("no assets in the page")
	}
	for _, p := range paths {
		rec := get(h, p)
		if rec.Code != 200 || rec.Body.Len() == 0 {
			t.Errorf("%s: %d", p, rec.Code)
			continue
		}
		if !strings.HasSuffix(p, ".txt") && !strings.Contains(rec.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: not kept", p)
		}
		if again := get(h, p, "If-None-Match", rec.Header().Get("ETag")); again.Code != 304 {
			t.Errorf("%s: sent again", p)
		}
	}
}

// TestTexts finds codes in the templates and in the code that no language has.
func TestTexts(t *testing.T) {
	quoted := regexp.MustCompile(`"(web\.[a-z0-9.-]+[a-z0-9])"`)
	files, _ := filepath.Glob("templates/*.html")
	more, _ := filepath.Glob("*.go")
	used := map[string]bool{}
	for _, f := range append(files, more...) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quoted.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
			for _, l := range locale.Langs {
				if !l.Has(m[1]) {
					t.Errorf("%s: no %s text for %q", f, l, m[1])
				}
			}
		}
	}
	prefixes := []string{"web.class.", "web.policy.", "web.verdict.", "web.error.", "web.word.", "web.deviation.", "web.disposition.", "web.form.", "web.ladder.is.", "web.source.name.",
		"web.survey.answer.", "web.survey.grade.", "web.survey.group.", "web.survey.item.", "web.survey.level.", "web.survey.tab.", "web.survey.weight.", "web.survey.why."}
	for _, code := range locale.Japanese.Codes() {
		if !strings.HasPrefix(code, "web.") || used[code] {
			continue
		}
		known := false
		for _, p := range prefixes {
			known = known || strings.HasPrefix(code, p)
		}
		if !known {
			t.Errorf("text %q is used nowhere", code)
		}
	}
}

// TestExportLinks follows every download of every page, in every order of its
// tables.
func TestExportLinks(t *testing.T) {
	h := site(t, newWorld(t.TempDir()))
	links := regexp.MustCompile(`href="(/export/[^"]+)"`)
	sorts := regexp.MustCompile(`href="([^"]*[?&;]sort=[^"]*)"`)
	seen := map[string]bool{}
	follow := func(target string) string {
		body := get(h, html.UnescapeString(target), "Accept-Language", "en").Body.String()
		for _, m := range links.FindAllStringSubmatch(body, -1) {
			link := html.UnescapeString(m[1])
			if seen[link] || strings.Contains(link, ".xlsx") {
				continue
			}
			seen[link] = true
			if rec := get(h, link); rec.Code != 200 {
				t.Errorf("%s: %s: %d %s", target, link, rec.Code, rec.Body)
			}
		}
		return body
	}
	for _, target := range everyPage {
		if strings.Contains(target, "/hostile") {
			continue
		}
		for _, m := range sorts.FindAllStringSubmatch(follow(target), -1) {
			follow(m[1])
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %d downloads found", len(seen))
	}
}

func TestCompression(t *testing.T) {
	h := site(t, newWorld(t.TempDir()))
	rec := get(h, "/domain/kakuu.example?days=365", "Accept-Encoding", "gzip")
	if rec.Header().Get("Content-Encoding") != "gzip" || rec.Body.Len() > 100_000 {
		t.Errorf("%q, %d bytes", rec.Header().Get("Content-Encoding"), rec.Body.Len())
	}
	if rec := get(h, "/", "Accept-Encoding", "gzip;q=0"); rec.Header().Get("Content-Encoding") != "" {
		t.Error("packed although refused")
	}
}

func TestSignInPage(t *testing.T) {
	w := newWorld(t.TempDir())
	show, err := SignInPage("test", nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := access.New(access.Config{Password: "correct horse", Page: show, Lang: Language})
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(Config{Store: w, Advisor: w, Importer: w, Guard: g.Wrap, SignedIn: g.SignedIn})
	if err != nil {
		t.Fatal(err)
	}
	if rec := get(h, "/domain/kakuu.example", "Accept", "text/html"); rec.Code != 303 || !strings.HasPrefix(rec.Header().Get("Location"), "/sign-in?next=") {
		t.Fatalf("not asked to sign in: %d", rec.Code)
	}
	page := get(h, "/sign-in?next=/help&lang=ja")
	body := page.Body.String()
	if page.Code != 200 || !strings.Contains(body, "パスワード") || strings.Contains(body, "2026年") || strings.Contains(body, "quarantine") {
		t.Errorf("%d %s", page.Code, body)
	}
	checkMarkup(t, "sign-in", body)
	css := regexp.MustCompile(`/assets/[^"]+[.]css`).FindString(body)
	if rec := get(h, css); rec.Code != 200 {
		t.Errorf("the sign-in page has no style sheet: %d", rec.Code)
	}
	send := func(password string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/sign-in", strings.NewReader(url.Values{"password": {password}, "next": {"/help"}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec
	}
	if rec := send("wrong"); rec.Code != 403 || !strings.Contains(rec.Body.String(), `role="alert"`) {
		t.Errorf("wrong password: %d", rec.Code)
	}
	rec := send("correct horse")
	if rec.Code != 303 || rec.Header().Get("Location") != "/help" {
		t.Fatalf("right password: %d", rec.Code)
	}
	session, _, _ := strings.Cut(rec.Header().Get("Set-Cookie"), ";")
	if rec := get(h, "/help", "Cookie", session); rec.Code != 200 || !strings.Contains(rec.Body.String(), "/sign-out") {
		t.Errorf("signed in: %d, or nothing to sign out with", rec.Code)
	}
}
