package web

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/internal/store"
	"sekimori/internal/web/access"
)

func post(h http.Handler, target string, form url.Values, pairs ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept-Language", "en")
	for i := 0; i+1 < len(pairs); i += 2 {
		r.Header.Set(pairs[i], pairs[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// TestCaseForm changes a case as people do, two at a time.
func TestCaseForm(t *testing.T) {
	w := newWorld(t.TempDir())
	h := site(t, w)
	page := get(h, "/work/1", "Accept-Language", "en").Body.String()
	seen := regexp.MustCompile(`name="seen" value="(\d+)"`).FindStringSubmatch(page)
	if seen == nil {
		t.Fatal("the form does not say what was seen")
	}
	form := func(pairs ...string) url.Values {
		f := url.Values{"seen": {seen[1]}, "state": {"contacted"}, "owner": {"山田"}, "department": {"1"}, "due": {"2026-12-24"}, "note": {"電話した"}, "by": {"田中"}}
		for i := 0; i+1 < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
		return f
	}
	for name, c := range map[string]struct {
		form   url.Values
		status int
		want   string
	}{
		"nobody":     {form("by", "  "), 422, "Please give your name"},
		"bad state":  {form("state", "gone"), 400, ""},
		"bad day":    {form("due", "24.12."), 400, ""},
		"no seen":    {form("seen", ""), 400, ""},
		"no reason":  {form("state", "accepted", "note", ""), 422, "reason into the note"},
		"no change":  {url.Values{"seen": {seen[1]}, "state": {"found"}, "owner": {""}, "department": {"1"}, "due": {""}, "by": {"田中"}}, 422, "Nothing was changed"},
		"other site": {form(), 403, ""},
	} {
		var pairs []string
		if name == "other site" {
			pairs = []string{"Sec-Fetch-Site", "cross-site"}
		}
		rec := post(h, "/work/1", c.form, pairs...)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s: %d, want %d with %q", name, rec.Code, c.status, c.want)
		}
		if name == "nobody" && !strings.Contains(rec.Body.String(), "電話した") {
			t.Error("what was typed is lost")
		}
	}
	if w.bench.cases[0].State != store.CaseFound {
		t.Fatal("a refused form changed the case")
	}
	rec := post(h, "/work/1", form())
	if rec.Code != 303 || rec.Header().Get("Location") != "/work/1?said=saved" || !strings.Contains(rec.Header().Get("Set-Cookie"), "person=") {
		t.Fatalf("%d %v", rec.Code, rec.Header())
	}
	if c := w.bench.cases[0]; c.State != store.CaseContacted || c.Owner != "山田" || c.Due.String() != "2026-12-24" {
		t.Errorf("case: %+v", c)
	}
	// The second one saw the case as it was before.
	rec = post(h, "/work/1", form("owner", "別の人", "note", "私の覚え書き"))
	body := rec.Body.String()
	if rec.Code != 409 || !strings.Contains(body, "Somebody else has changed this") || !strings.Contains(body, "私の覚え書き") || !strings.Contains(body, "別の人") {
		t.Errorf("conflict: %d %.300s", rec.Code, body)
	}
	again := regexp.MustCompile(`name="seen" value="(\d+)"`).FindStringSubmatch(body)
	if again == nil || again[1] == seen[1] {
		t.Error("the form after a conflict cannot be sent")
	}
	if page := get(h, "/work/1", "Cookie", rec.Header().Get("Set-Cookie"), "Accept-Language", "en").Body.String(); !strings.Contains(page, `name="by" value="田中"`) {
		t.Error("the name is not remembered")
	}
}

func TestLetterFiles(t *testing.T) {
	w := newWorld(t.TempDir())
	h := site(t, w)
	for format, kind := range map[string]string{"text": "text/plain; charset=utf-8", "mail": "message/rfc822"} {
		for _, lang := range []string{"ja", "en"} {
			rec := get(h, "/work/1/letter?format="+format+"&letter="+lang)
			if rec.Code != 200 || rec.Header().Get("Content-Type") != kind || !strings.HasPrefix(rec.Header().Get("Content-Disposition"), "attachment") || rec.Body.Len() < 500 {
				t.Errorf("%s %s: %d %v", format, lang, rec.Code, rec.Header())
			}
		}
	}
	if len(w.bench.sent) != 4 || !slices.Contains(w.bench.sent, "1 mail, ja ") {
		t.Errorf("taken letters are not noted: %q", w.bench.sent)
	}
}

// TestWord answers the question about a source, and takes the answer back.
func TestWord(t *testing.T) {
	w := newWorld(t.TempDir())
	h := site(t, w)
	const at = "/domain/kakuu.example/source/hostile"
	for answer, want := range map[string]string{"ours": "aligned", "not-ours": "spoof", "forwards": "forwarder", "unsure": "unknown"} {
		rec := post(h, at+"/word", url.Values{"answer": {answer}, "name": {"予約システム"}, "note": {"聞いた"}, "by": {"田中"}})
		if s := w.bench.sayings[0]; rec.Code != 303 || s.Class != want || s.Name != "予約システム" || s.By != "田中" || s.Key == "" || len(s.Networks) == 0 {
			t.Errorf("%s: %d %+v", answer, rec.Code, s)
		}
	}
	page := get(h, at, "Accept-Language", "en").Body.String()
	if !strings.Contains(page, "予約システム") || strings.Count(page, "Said:") < 4 {
		t.Error("the page does not tell what was said")
	}
	n := len(w.bench.sayings)
	for _, f := range []url.Values{{"answer": {"ours"}}, {"answer": {"nonsense"}, "by": {"x"}}, {"answer": {"keep"}, "name": {"予約システム"}, "by": {"x"}}} {
		if rec := post(h, at+"/word", f); rec.Code < 400 || len(w.bench.sayings) != n {
			t.Errorf("%v: %d", f, rec.Code)
		}
	}
	if rec := post(h, at+"/word", url.Values{"answer": {"keep"}, "name": {"予約システム"}, "department": {"2"}, "by": {"田中"}}); rec.Code != 303 || len(w.bench.sayings) != n {
		t.Errorf("a department alone: %d", rec.Code)
	}
	if !slices.ContainsFunc(w.bench.assigned, func(a store.Assignment) bool { return a.Department == 2 && strings.HasPrefix(a.Key, "org:<script>") }) {
		t.Error("the source was not assigned")
	}
	if rec := post(h, at+"/word", url.Values{"answer": {"back"}, "by": {"田中"}}); rec.Code != 303 || w.bench.sayings[0].Class != "" {
		t.Errorf("taking back: %d", rec.Code)
	}
	if rec := post(h, "/domain/kakuu.example/source/none/word", url.Values{"answer": {"ours"}, "by": {"x"}}); rec.Code != 404 {
		t.Errorf("unknown source: %d", rec.Code)
	}
}

func TestDepartmentForms(t *testing.T) {
	w := newWorld(t.TempDir())
	h := site(t, w)
	for _, f := range []url.Values{{"name": {" "}}, {"name": {"観光課"}}, {"name": {"x"}, "contact": {"a@b, c@d"}}, {"name": {"x"}, "contact": {"<x>"}}} {
		if rec := post(h, "/departments", f); rec.Code != 422 || !strings.Contains(rec.Body.String(), `role="alert"`) {
			t.Errorf("%v: %d", f, rec.Code)
		}
	}
	if rec := post(h, "/departments", url.Values{"name": {"財務課"}, "contact": {"zaimu@kakuu.example"}}); rec.Header().Get("Location") != "/departments/4?said=added" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	for _, f := range []url.Values{{"domain": {".."}}, {"domain": {"kakuu.example"}, "subdomain": {"other.example"}}, {"domain": {"unknown.example"}}} {
		f.Set("by", "田中")
		if rec := post(h, "/departments/4/parts", f); rec.Code != 422 {
			t.Errorf("%v: %d", f, rec.Code)
		}
	}
	if rec := post(h, "/departments/4/parts", url.Values{"domain": {"kakuu.example"}, "subdomain": {"zaimu.kakuu.example"}, "by": {"田中"}}); rec.Code != 303 || w.bench.assigned[3].Subdomain != "zaimu.kakuu.example" {
		t.Errorf("assign: %d", rec.Code)
	}
	if rec := post(h, "/departments/4/parts", url.Values{"domain": {"kakuu.example"}, "subdomain": {"zaimu.kakuu.example"}, "remove": {"1"}}); rec.Code != 303 || len(w.bench.assigned) != 3 {
		t.Errorf("remove: %d", rec.Code)
	}
	if rec := post(h, "/departments/4/remove", nil); rec.Code != 303 || len(w.bench.departments) != 3 {
		t.Errorf("remove department: %d", rec.Code)
	}
}

// makeShare makes a link for a department and returns its token.
func makeShare(t *testing.T, h http.Handler, department int) string {
	t.Helper()
	at := fmt.Sprintf("/departments/%d", department)
	if rec := post(h, at+"/links", url.Values{"days": {"30"}, "by": {"田中"}}); rec.Code != 303 {
		t.Fatalf("link: %d %.300s", rec.Code, rec.Body)
	}
	token := regexp.MustCompile(`/d/([A-Za-z0-9_-]{43})`).FindStringSubmatch(get(h, at+"?said=made").Body.String())
	if token == nil {
		t.Fatal("the new link is not shown")
	}
	if strings.Contains(get(h, at+"?said=made").Body.String(), token[1]) {
		t.Error("the link is shown twice")
	}
	return token[1]
}

// TestShare tries to reach with one department's link what is another's.
func TestShare(t *testing.T) {
	w := newWorld(t.TempDir())
	guarded := 0
	c := Config{Store: w, Advisor: w, Importer: w, Work: w.bench.work(), Guard: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { guarded++; next.ServeHTTP(rw, r) })
	}}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := makeShare(t, h, 1), makeShare(t, h, 2) // 観光課 has broken-1; 市民課 has the others
	guarded = 0
	base := "/d/" + mine
	all := []string{"", "/sources", "/sources/kakuu.example/broken-1", "/work", "/work?state=found", "/work/1", "/work/2?letter=ja", "/monthly/kakuu.example"}
	secrets := []string{"市民課", "教育委員会", "fwd1.u-kasumi.example", "kakuu-kenkyu", "bosai.kakuu.example\"", "内緒", "haishin-benri", `href="/work`, `href="/domain`, `href="/departments`, `href="/reports`, `href="/"`, "/export/", "/api/"}
	for _, leaky := range []bool{false, true} { // the pages do not rely on the advisor alone
		w.leaky = leaky
		for _, path := range all {
			rec := get(h, base+path, "Accept-Language", "en")
			if rec.Code != 200 {
				if path == "/work/2?letter=ja" {
					continue // case 2 is 観光課's only by its number
				}
				t.Errorf("%s: %d", path, rec.Code)
				continue
			}
			hd := rec.Header()
			if hd.Get("Referrer-Policy") != "no-referrer" || !strings.Contains(hd.Get("X-Robots-Tag"), "noindex") || !strings.HasPrefix(hd.Get("Cache-Control"), "private") {
				t.Errorf("%s: %v", path, hd)
			}
			body := rec.Body.String()
			for _, s := range secrets {
				if strings.Contains(body, s) {
					t.Errorf("%s tells of %q (leaky advisor: %v)", path, s, leaky)
				}
			}
			if strings.Contains(body, theirs) || strings.Contains(body, "<form method=\"post\"") {
				t.Errorf("%s: holds what it must not", path)
			}
			checkMarkup(t, path, body)
			if g := gap.FindString(body); g != "" {
				t.Errorf("%s: no text for %s", path, g)
			}
		}
		for _, path := range []string{"/sources/kakuu.example/fwd-1", "/sources/kakuu.example/own-1", "/sources/kakuu-kenkyu.example/broken-1", "/sources/KAKUU.example%2f..%2fx/y", "/work/3", "/work/3/letter?format=text", "/work/0", "/work/9999", "/work/1%2f..%2f3",
			"/monthly/kakuu-kenkyu.example", "/monthly/kakuu-kenkyu.example/pdf", "/monthly/new.example", "/departments", "/../departments", "/domain/kakuu.example", "/export/cases.csv", "/api/v1/cases", "/sources/kakuu.example/broken-1/word", "/x"} {
			rec := get(h, base+path, "Accept-Language", "en")
			if rec.Code == 200 {
				t.Errorf("%s is reached", path)
			}
			for _, s := range secrets {
				if strings.Contains(rec.Body.String(), s) && !strings.Contains(path, s) {
					t.Errorf("%s tells of %q", path, s)
				}
			}
		}
	}
	w.leaky = false
	for _, path := range []string{"?department=2", "/sources?department=2", "/work?department=2", "/work?department=2&owner=x&domain=kakuu-kenkyu.example"} {
		if body := get(h, base+path).Body.String(); strings.Contains(body, "市民課") || strings.Contains(body, "fwd1.u-kasumi") {
			t.Errorf("%s: the address's department is believed", path)
		}
	}
	if guarded > 2 { // "/../departments" is cleaned and sent to the guard
		t.Errorf("the guard stood before %d pages of a link", guarded)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		for _, path := range []string{"", "/work/1", "/sources/kakuu.example/broken-1"} {
			r := httptest.NewRequest(method, base+path, strings.NewReader("state=done&by=x&seen=1"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code < 400 || w.bench.cases[0].State != store.CaseFound {
				t.Errorf("%s %s: %d", method, path, rec.Code)
			}
		}
	}
	// Links that open nothing look alike, whatever the reason.
	none := strings.ReplaceAll(get(h, "/d/"+strings.Repeat("A", 43)).Body.String(), strings.Repeat("A", 43), mine)
	w.bench.shares[0].Revoked = w.bench.now
	if rec := get(h, base); rec.Code != 404 || rec.Body.String() != none {
		t.Errorf("revoked: %d", rec.Code)
	}
	w.bench.shares[0].Revoked, w.bench.shares[0].Expires = time.Time{}, w.bench.now
	if rec := get(h, base); rec.Code != 404 || rec.Body.String() != none {
		t.Errorf("expired: %d", rec.Code)
	}
	if rec := get(h, "/d/"+strings.Repeat("x", 4000)); rec.Code != 404 && rec.Code != 429 {
		t.Errorf("no token at all: %d", rec.Code)
	}
	for range 10 {
		get(h, "/d/"+strings.Repeat("B", 43))
	}
	if rec := get(h, "/d/"+strings.Repeat("C", 43)); rec.Code != 429 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("guessing goes on: %d", rec.Code)
	}
}

func TestRevokeLink(t *testing.T) {
	w := newWorld(t.TempDir())
	h := site(t, w)
	token := makeShare(t, h, 1)
	if rec := post(h, "/departments/2/links/1/revoke", nil); rec.Code != 404 {
		t.Errorf("a link is revoked through another department: %d", rec.Code)
	}
	if rec := post(h, "/departments/1/links/1/revoke", nil); rec.Code != 303 {
		t.Errorf("revoke: %d", rec.Code)
	}
	if rec := get(h, "/d/"+token); rec.Code != 404 {
		t.Errorf("a revoked link opens: %d", rec.Code)
	}
	if rec := post(h, "/departments/1/links", url.Values{"days": {"100000"}, "by": {"x"}}); rec.Code != 400 {
		t.Errorf("a link for ever: %d", rec.Code)
	}
	if rec := post(h, "/departments/1/links", url.Values{"days": {"30"}}); rec.Code != 422 || len(w.bench.shares) != 1 {
		t.Errorf("a link by nobody: %d", rec.Code)
	}
}

// TestShareTokens checks what a token is made of.
func TestShareTokens(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		token, hash := access.NewToken()
		if len(token) != 43 || seen[token] || hash == [32]byte{} {
			t.Fatal(token)
		}
		seen[token] = true
	}
}

func TestNamesUpload(t *testing.T) {
	w := newWorld(t.TempDir())
	h := site(t, w)
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for name, body := range map[string]string{"ct.json": "good", "zone": "bad"} {
		f, _ := m.CreateFormFile("file", name)
		f.Write([]byte(body))
	}
	m.Close()
	r := httptest.NewRequest("POST", "/domain/kakuu.example/inventory", &b)
	r.Header.Set("Content-Type", m.FormDataContentType())
	r.Header.Set("Accept-Language", "en")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	body := rec.Body.String()
	if rec.Code != 200 || !strings.Contains(body, "12 names read, 3 of them new") || !strings.Contains(body, "zone could not be read") || w.bench.asked == 0 {
		t.Errorf("%d %.500s", rec.Code, body)
	}
	checkMarkup(t, "upload", body)
}

// TestManyCases keeps the board to a page, however much work there is.
func TestManyCases(t *testing.T) {
	w := newWorld(t.TempDir())
	w.bench = newBench(10_000)
	h := site(t, w)
	rec := get(h, "/work", "Accept-Language", "en")
	if n := rec.Body.Len(); rec.Code != 200 || n > 200_000 || !strings.Contains(rec.Body.String(), "Show all 1,667") {
		t.Errorf("%d, %d bytes", rec.Code, n)
	}
	rec = get(h, "/work?state=found&page=34", "Accept-Language", "en")
	if n := strings.Count(rec.Body.String(), "<tr>"); rec.Code != 200 || n != 18 {
		t.Errorf("the last page: %d, %d lines", rec.Code, n)
	}
}

func TestWorkMeters(t *testing.T) {
	body := get(site(t, newWorld(t.TempDir())), "/metrics").Body.String()
	for _, want := range []string{`sekimori_cases{state="found"} 7`, "sekimori_cases_overdue 4", `sekimori_domains{verdict="pending"} 1`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}
