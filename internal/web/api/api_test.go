package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestOperations(t *testing.T) {
	_, h := newWorld(t, Config{})
	for _, c := range []struct {
		target string
		status int
		want   string // in the body
	}{
		{"/domains", 200, `"domain":"kakuu.example"`},
		{"/domains?days=0", 422, "days"},
		{"/domains?colour=red", 422, "colour"},
		{"/domains/kakuu.example/advice", 200, `"verdict":"not-ready"`},
		{"/domains/KAKUU.example./advice?days=7", 200, `"window":{"begin":"2026-09-24","end":"2026-10-01"}`},
		{"/domains/other.example/advice", 404, "no reports about other.example"},
		{"/domains/%2e%2e/advice", 400, "domain"},
		{"/domains/kakuu.example/advice?until=yesterday", 422, "until"},
		{"/domains/kakuu.example/daily?until=2026-09-30&days=2", 200, `"window":{"begin":"2026-09-28","end":"2026-09-30"}`},
		{"/domains/kakuu.example/daily", 200, `"day":"2026-09-01","messages":10,"aligned":7,"quarantined":0,"rejected":1`},
		{"/domains/kakuu.example/policies", 200, `"policy":{"p":"none"},"from":"2026-09-01","to":"2026-09-30"`},
		{"/domains/kakuu.example/sources?limit=1", 200, `"total":5,"sources":[{"id":"saligned"`},
		{"/domains/kakuu.example/sources?sort=failing&desc=true&limit=1", 200, `[{"id":"sspoof"`},
		{"/domains/kakuu.example/sources?class=broken", 200, `"total":1,"sources":[{"id":"sbroken"`},
		{"/domains/kakuu.example/sources?class=bad", 422, "class"},
		{"/domains/kakuu.example/sources?search=192.0.2.2&offset=0", 200, `"total":1,"sources":[{"id":"sforwarder"`},
		{"/domains/kakuu.example/sources?offset=99", 200, `"sources":[]`},
		{"/domains/kakuu.example/sources/sspoof", 200, `"days":[],"reporters":[{"reporter":"=cmd`},
		{"/domains/kakuu.example/sources/none", 404, "no such source"},
		{"/domains/kakuu.example/sources/sspoof/addresses?limit=1000&offset=2499", 200, `"total":2500,"addresses":[{"addr":"192.0.9.195"`},
		{"/domains/kakuu.example/sources/sspoof/addresses?limit=1001", 422, "limit"},
		{"/reports?domain=kakuu.example&begin=2026-09-01", 200, `"total":3`},
		{"/reports?begin=2026-09-02&end=2026-09-01", 400, "end is before begin"},
		{"/reports/2", 200, `"reporter":"架空プロバイダ"`},
		{"/reports/2", 200, `"begin":"2026-09-01T00:00:00Z"`},
		{"/reports/4", 404, "not found"},
		{"/reports/0", 422, "seq"},
		{"/reports/x", 422, "seq"},
		{"/reports/1/records", 200, `"count":1099511627776`},
		{"/reports/1/records?offset=5", 200, `"records":[]`},
		{"/reports/9/records", 404, "not found"},
		{"/reports/1/raw", 200, "<feedback/>"},
		{"/reports/9/raw", 404, "not found"},
		{"/quarantine", 200, `"reason":"line 1, offset 2: not XML"`},
		{"/quarantine/1/file", 200, "<script>"},
		{"/quarantine/2/file", 404, "not found"},
		{"/imports", 200, `"paths":["/mail"]`},
		{"/nothing", 404, "no such operation"},
	} {
		rec := do(h, "GET", "/api/v1"+c.target, nil, nil)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("GET %s: %d, want %d with %q:\n%s", c.target, rec.Code, c.status, c.want, rec.Body)
		}
		wantType := "application/json"
		switch {
		case c.status != 200:
			wantType = "application/problem+json"
		case strings.HasSuffix(c.target, "/raw"), strings.HasSuffix(c.target, "/file"):
			wantType = "application/octet-stream"
			if got := rec.Header().Get("Content-Disposition"); !strings.HasPrefix(got, "attachment;") {
				t.Errorf("GET %s: Content-Disposition %q: a browser would show what came from outside", c.target, got)
			}
		}
		if got := rec.Header().Get("Content-Type"); got != wantType {
			t.Errorf("GET %s: Content-Type %q, want %q", c.target, got, wantType)
		}
	}
}

func TestInternalErrorsAreLoggedNotTold(t *testing.T) {
	var log bytes.Buffer
	w, h := newWorld(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	w.err = errors.New("disk /dev/secret is gone")
	for _, target := range []string{"/api/v1/domains", "/api/v1/reports", "/export/domains.csv", "/export/domains.xlsx"} {
		log.Reset()
		rec := do(h, "GET", target, nil, nil)
		if rec.Code != 500 || strings.Contains(rec.Body.String(), "secret") || !strings.Contains(log.String(), "secret") {
			t.Errorf("%s: %d %s\nlog: %s", target, rec.Code, rec.Body, &log)
		}
	}
}

func TestSpec(t *testing.T) {
	_, h := newWorld(t, Config{Version: "1.2.3"})
	rec := do(h, "GET", "/api/openapi.json", nil, nil)
	var spec struct {
		OpenAPI string
		Info    struct{ Version string }
		Servers []struct{ URL string }
		Paths   map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Summary     string
		}
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &spec); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(spec.OpenAPI, "3.1") || spec.Info.Version != "1.2.3" || len(spec.Servers) != 1 || spec.Servers[0].URL != "/api/v1" {
		t.Errorf("spec: %+v", spec)
	}
	ids := map[string]bool{}
	for path, ops := range spec.Paths {
		for method, op := range ops {
			if op.Summary == "" || op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s %s: id %q, summary %q", method, path, op.OperationID, op.Summary)
			}
			ids[op.OperationID] = true
		}
	}
	for _, path := range []string{"/domains", "/domains/{domain}/advice", "/reports", "/quarantine"} {
		if spec.Paths[path] == nil {
			t.Errorf("no %s in the description", path)
		}
	}
	if spec.Paths["/reports"]["post"].OperationID == "" {
		t.Error("the upload is not described")
	}
	rec = do(h, "GET", "/api/openapi.yaml", nil, nil)
	if rec.Code != 200 || !strings.HasPrefix(rec.Body.String(), "components:") {
		t.Errorf("YAML: %d %.60s", rec.Code, rec.Body)
	}
}

func form(t *testing.T, files ...string) (string, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	_ = m.WriteField("note", "not a file")
	for _, f := range files {
		p, err := m.CreateFormFile("file", f)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(p, "content of "+f)
	}
	m.Close()
	return m.FormDataContentType(), &b
}

func TestUpload(t *testing.T) {
	w, h := newWorld(t, Config{MaxUpload: 2000})
	rec := do(h, "POST", "/api/v1/reports?name=a.xml.gz", map[string]string{"Content-Type": "application/gzip"}, strings.NewReader("GZ"))
	if rec.Code != 200 || w.uploaded["a.xml.gz"] != "GZ" {
		t.Errorf("a file as the body: %d %s %v", rec.Code, rec.Body, w.uploaded)
	}
	ct, body := form(t, "b.xml", `..\..\c.zip`, "レポート.xml")
	rec = do(h, "POST", "/api/v1/reports", map[string]string{"Content-Type": ct}, body)
	if rec.Code != 200 || w.uploaded["b.xml"] != "content of b.xml" || w.uploaded["c.zip"] == "" || w.uploaded["レポート.xml"] == "" {
		t.Errorf("a form: %d %s %v", rec.Code, rec.Body, w.uploaded)
	}
	if !strings.Contains(rec.Body.String(), `"files":3,"reports":3,"rows":0,"messages":0,"duplicates":0,"rejected":[]`) {
		t.Errorf("a form's sums: %s", rec.Body)
	}
	ct, body = form(t)
	if rec := do(h, "POST", "/api/v1/reports", map[string]string{"Content-Type": ct}, body); rec.Code != 400 {
		t.Errorf("a form without files: %d %s", rec.Code, rec.Body)
	}
	ct, body = form(t, "cut.xml")
	body.Truncate(body.Len() / 2)
	if rec := do(h, "POST", "/api/v1/reports", map[string]string{"Content-Type": ct}, body); rec.Code != 400 {
		t.Errorf("a form that ends early: %d %s", rec.Code, rec.Body)
	}
	if rec := do(h, "POST", "/api/v1/reports", nil, strings.NewReader(strings.Repeat("x", 2001))); rec.Code != 413 || !strings.Contains(rec.Body.String(), "2000 bytes") {
		t.Errorf("too large a body: %d %s", rec.Code, rec.Body)
	}
	if rec := do(h, "PUT", "/api/v1/reports", nil, strings.NewReader("x")); rec.Code < 400 {
		t.Errorf("PUT: %d", rec.Code)
	}
}

func TestUploadGivesUpOnSilence(t *testing.T) {
	_, h := newWorld(t, Config{Patience: 100 * time.Millisecond})
	srv := httptest.NewServer(h)
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "POST /api/v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 64)
	n, err := c.Read(b)
	if err != nil || !strings.Contains(string(b[:n]), " 408 ") {
		t.Errorf("a silent upload got %q, %v", b[:n], err)
	}
}

func TestConnectionSurvivesADownload(t *testing.T) {
	_, h := newWorld(t, Config{Patience: 200 * time.Millisecond})
	srv := httptest.NewServer(h)
	defer srv.Close()
	get := func(path string) string {
		t.Helper()
		resp, err := srv.Client().Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %d %v", path, resp.StatusCode, err)
		}
		return string(b)
	}
	get("/export/reports.csv")
	get("/api/v1/reports/1/raw")
	time.Sleep(300 * time.Millisecond) // past the deadlines of the downloads
	get("/api/v1/reports")
}

func TestNewWantsItsParts(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("an interface without a store was made")
	}
}

func TestUploadName(t *testing.T) {
	for in, want := range map[string]string{
		"": "upload", ".": "upload", "..": "upload", "/": "upload", `C:\mail\a.zip`: "a.zip", "/etc/passwd": "passwd",
		"a\r\nb": "ab", "\xff.xml": "\uFFFD.xml", strings.Repeat("長", 100): strings.Repeat("長", 66),
	} {
		if got := uploadName(in); got != want {
			t.Errorf("uploadName(%q) = %q, want %q", in, got, want)
		}
	}
}
