package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/html"

	"sekimori/internal/gateway"
	"sekimori/internal/locale"
	"sekimori/internal/reporter"
	"sekimori/internal/store/verdict"
	"sekimori/milter"
)

func get(t *testing.T, h http.Handler, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	b, _ := io.ReadAll(w.Result().Body)
	return w.Result(), string(b)
}

// TestWhy: each page is there in both languages, whole, and says which domain
// it is about.
func TestWhy(t *testing.T) {
	h, err := Why(nil)
	if err != nil {
		t.Fatal(err)
	}
	for because := range articles {
		for _, l := range locale.Langs {
			for _, d := range []string{"", "example.jp", "xn--r8jz45g.example", "例え.example", "_dmarc", strings.Repeat("a.", 400), "<script>alert(1)</script>", "a b", "javascript:alert(1)"} {
				q := url.Values{"c": {string(because)}, "d": {d}, "lang": {string(l)}}
				r, body := get(t, h, "/why?"+q.Encode())
				if r.StatusCode != http.StatusOK || r.Header.Get("Content-Language") != string(l) {
					t.Fatalf("%v: %s %v", q, r.Status, r.Header)
				}
				for _, bad := range []string{"⟦", "<script", "alert(1)", "javascript:"} {
					if strings.Contains(body, bad) {
						t.Errorf("%v: %q in the page", q, bad)
					}
				}
				if !strings.Contains(body, `<html lang="`+string(l)+`">`) || strings.Count(body, "<h1") != 1 {
					t.Errorf("%v: no page of that language", q)
				}
				switch d {
				case "example.jp":
					if !strings.Contains(body, "example.jp") && because != gateway.ByRule && because != gateway.Nothing {
						t.Errorf("%v: no domain in the page", q)
					}
				case "xn--r8jz45g.example":
					if because == gateway.ByPolicy && !strings.Contains(body, "例え.example (xn--r8jz45g.example)") {
						t.Errorf("%v: not both forms of the domain", q)
					}
				}
			}
		}
	}
	for _, c := range []struct{ query, accept, want string }{
		{"", "en-GB,en;q=0.8", "en"}, {"", "ja", "ja"}, {"", "", "ja"}, {"", "fr", "en"}, {"lang=en", "ja", "en"}, {"lang=xx", "ja", "ja"},
	} {
		if r, _ := get(t, h, "/why?"+c.query, "Accept-Language", c.accept); r.Header.Get("Content-Language") != c.want {
			t.Errorf("%+v: %s", c, r.Header.Get("Content-Language"))
		}
	}
	if _, body := get(t, h, "/why?c=none-of-ours&d=example.jp"); !strings.Contains(body, locale.Japanese.Text("gate.any.title", nil)) {
		t.Error("an unknown reason does not lead to the general page")
	}
}

// TestWhyAlone: the page asks for nothing else, so that one path of a web server
// is enough, and its policy allows its own style and nothing more.
func TestWhyAlone(t *testing.T) {
	h, err := Why(nil)
	if err != nil {
		t.Fatal(err)
	}
	r, body := get(t, h, "/why?c=policy&d=example.jp&x=1")
	csp := r.Header.Get("Content-Security-Policy")
	if !regexp.MustCompile(`^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; form-action 'none'; frame-ancestors 'none'; base-uri 'none'$`).MatchString(csp) {
		t.Errorf("policy %s", csp)
	}
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script", "link", "img", "iframe", "form", "object":
			t.Errorf("<%s> in the page", n.Data)
		}
		for _, a := range n.Attr {
			switch a.Key {
			case "href":
				if !strings.HasPrefix(a.Val, "?") && !strings.HasPrefix(a.Val, "#") {
					t.Errorf("a link to %q", a.Val)
				}
				if strings.Contains(a.Val, "x=1") {
					t.Errorf("what the address has beyond c and d is in %q", a.Val)
				}
			case "style", "src", "onclick", "onload":
				t.Errorf("%s=%q", a.Key, a.Val)
			case "id":
				if ids[a.Val] {
					t.Errorf("id %q twice", a.Val)
				}
				ids[a.Val] = true
			}
		}
	}
}

// TestTokens: the colours are the dashboard's.
func TestTokens(t *testing.T) {
	read := func(path string) map[string]string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, m := range regexp.MustCompile(`(?m)^\s*--([a-z-]+):\s*(.+);$`).FindAllStringSubmatch(string(b), -1) {
			if all[m[1]] == "" {
				all[m[1]] = m[2]
			}
		}
		return all
	}
	base, own := read(filepath.Join("..", "style", "1-base.css")), read(filepath.Join("style", "why.css"))
	fallback := regexp.MustCompile(`var\(--color-[a-z0-9-]+, (#[0-9a-f]+)\)`)
	for name, v := range own {
		want := fallback.ReplaceAllString(base[name], "$1")
		want = strings.NewReplacer("var(--white)", "#ffffff", "var(--black)", "#000000").Replace(want)
		if v != want {
			t.Errorf("--%s is %s, the dashboard's %s", name, v, want)
		}
	}
	if len(own) < 15 {
		t.Errorf("%d tokens found", len(own))
	}
}

// TestReady: one part in trouble is enough for 503, and the reason is said.
func TestReady(t *testing.T) {
	parts := []Part{{Name: "milter", State: Good}, {Name: "dns", State: Good}}
	h, err := New(Config{Ready: func(context.Context) []Part { return parts }})
	if err != nil {
		t.Fatal(err)
	}
	if r, body := get(t, h, "/readyz"); r.StatusCode != 200 || body != "good\nmilter: good\ndns: good\n" {
		t.Errorf("%s %q", r.Status, body)
	}
	parts[1] = Part{"dns", Degraded, "no answer"}
	if r, body := get(t, h, "/readyz"); r.StatusCode != 503 || body != "degraded\nmilter: good\ndns: degraded: no answer\n" {
		t.Errorf("%s %q", r.Status, body)
	}
	parts[0].State = Down
	r, body := get(t, h, "/readyz", "Accept", "application/json")
	var got struct {
		State State
		Parts []Part
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || r.StatusCode != 503 || got.State != Down || len(got.Parts) != 2 || got.Parts[1].Reason != "no answer" {
		t.Errorf("%v %s %s", err, r.Status, body)
	}
	if r, body := get(t, h, "/healthz"); r.StatusCode != 200 || body != "ok\n" {
		t.Errorf("%s %q", r.Status, body)
	}
	if r, _ := get(t, h, "/"); r.StatusCode != 404 {
		t.Errorf("/: %s", r.Status)
	}
}

// TestMeters: what each source says is there under its name.
func TestMeters(t *testing.T) {
	m := NewMeters(Sources{
		Gateway: func() gateway.Stats {
			return gateway.Stats{Messages: []gateway.Count{{Action: "accept", DMARC: "pass", Messages: 7}, {Action: "accept", Messages: 2}},
				Took: gateway.Latency{Bounds: []time.Duration{time.Millisecond, time.Second}, Counts: []int64{3, 4, 2}, Sum: 5 * time.Second}}
		},
		Milter:   func() milter.Stats { return milter.Stats{Sessions: 3, SessionsTotal: 11, ProtocolErrors: 1} },
		Verdicts: func() verdict.Stats { return verdict.Stats{Waiting: 5, Unmoved: 6, Fault: errors.New("full")} },
		Reports:  func() reporter.Stats { return reporter.Stats{Sent: 8, Failed: 1, Waiting: 2} },
		Failures: func() reporter.FailureStats { return reporter.FailureStats{Sent: 4} },
	})
	h, err := New(Config{Meters: []prometheus.Collector{m}})
	if err != nil {
		t.Fatal(err)
	}
	_, body := get(t, h, "/metrics")
	for _, want := range []string{
		`sekimori_gateway_messages_total{action="accept",dmarc="pass"} 7`, `sekimori_gateway_messages_total{action="accept",dmarc="own"} 2`,
		`sekimori_gateway_seconds_bucket{le="0.001"} 3`, `sekimori_gateway_seconds_bucket{le="1"} 7`, `sekimori_gateway_seconds_bucket{le="+Inf"} 9`, `sekimori_gateway_seconds_sum 5`,
		`sekimori_gateway_sessions 3`, `sekimori_gateway_sessions_total 11`, `sekimori_gateway_protocol_errors_total 1`,
		`sekimori_gateway_verdicts_waiting 5`, `sekimori_gateway_verdicts_unmoved 6`,
		`sekimori_reports_sent_total 8`, `sekimori_reports_failed_total 1`, `sekimori_reports_waiting 2`, `sekimori_failure_reports_sent_total 4`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	// With nothing to read from there is nothing to show, and no fault.
	if _, err := New(Config{Meters: []prometheus.Collector{NewMeters(Sources{})}}); err != nil {
		t.Error(err)
	}
}

// TestGuarded: a fault in an answer does not end the process.
func TestGuarded(t *testing.T) {
	h, err := New(Config{Ready: func(context.Context) []Part { panic("oh") }})
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := get(t, h, "/readyz"); r.StatusCode != 500 {
		t.Error(r.Status)
	}
}

// FuzzWhy: whatever the address says, the page is one of ours with nothing in
// it but a domain name.
func FuzzWhy(f *testing.F) {
	f.Add("c=policy&d=example.jp&lang=en")
	f.Add("c=%00&d=%3Cscript%3E")
	f.Add("d=xn--a&d=b")
	h, err := Why(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/why", RawQuery: query}, Header: http.Header{}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		b := w.Body.Bytes()
		if w.Code != 200 || len(b) > 40_000 || bytes.Contains(b, []byte("<script")) || bytes.Contains(b, []byte("⟦")) {
			t.Fatalf("%q: %d, %d octets", query, w.Code, len(b))
		}
	})
}
