package web

import (
	"compress/gzip"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// policy is the Content-Security-Policy of every answer: nothing but what
// this server sends, and no inline script or style.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; " +
	"font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// headers sets what every answer carries.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		next.ServeHTTP(w, r)
	})
}

// sameOrigin refuses changes asked for by another site's page.
func (s *server) sameOrigin(next http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(s.page(func(w http.ResponseWriter, r *http.Request, p *page) error { return errForeign }))
	return p.Handler(next)
}

// watch logs and counts every request, and turns a panic into the error page.
func (s *server) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		t := &tally{ResponseWriter: w}
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				s.Logger.Error("page failed", "path", loggedPath(r), "panic", v, "stack", string(debug.Stack()))
				if t.status == 0 {
					s.page(func(http.ResponseWriter, *http.Request, *page) error { return errInternal }).ServeHTTP(t, r)
				}
			}
			took := time.Since(began)
			s.meters.observe(r, t.status, took)
			s.Logger.Debug("request", "method", r.Method, "path", loggedPath(r), "status", t.status, "bytes", t.bytes, "took", took)
		}()
		next.ServeHTTP(t, r)
	})
}

// loggedPath is a request's path without what opens a shared part.
func loggedPath(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, "/d/") {
		return "/d/…"
	}
	return r.URL.Path
}

// tally remembers an answer's status and size.
type tally struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (t *tally) WriteHeader(code int) {
	if t.status == 0 && code >= 200 {
		t.status = code
	}
	t.ResponseWriter.WriteHeader(code)
}

func (t *tally) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	n, err := t.ResponseWriter.Write(b)
	t.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (t *tally) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// compress packs pages, JSON and CSV with gzip. Assets come packed already,
// spreadsheets and kept originals are not packed again.
func compress(next http.Handler) http.Handler {
	pool := sync.Pool{New: func() any {
		z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		return z
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if r.Method == http.MethodHead || !accepts(r, "gzip") || strings.HasPrefix(r.URL.Path, "/assets/") {
			next.ServeHTTP(w, r)
			return
		}
		p := &packer{ResponseWriter: w, pool: &pool}
		defer p.close()
		next.ServeHTTP(p, r)
	})
}

// accepts reports whether the client takes an encoding.
func accepts(r *http.Request, encoding string) bool {
	for _, item := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, params, _ := strings.Cut(item, ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			q := strings.ReplaceAll(params, " ", "")
			return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
		}
	}
	return false
}

// packer decides at the first byte whether the answer is worth packing.
type packer struct {
	http.ResponseWriter
	pool    *sync.Pool
	z       *gzip.Writer
	decided bool
}

func (p *packer) WriteHeader(code int) {
	if code >= 200 && !p.decided {
		p.decided = true
		h := p.Header()
		kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
		switch {
		case code == http.StatusNoContent, code == http.StatusNotModified, code == http.StatusPartialContent:
		case h.Get("Content-Encoding") != "":
		case kind == "text/html", kind == "text/csv", kind == "text/xml", kind == "text/plain",
			kind == "application/json", kind == "application/problem+json", kind == "application/openapi+json":
			h.Del("Content-Length")
			h.Set("Content-Encoding", "gzip")
			p.z = p.pool.Get().(*gzip.Writer)
			p.z.Reset(p.ResponseWriter)
		}
	}
	p.ResponseWriter.WriteHeader(code)
}

func (p *packer) Write(b []byte) (int, error) {
	if !p.decided {
		p.WriteHeader(http.StatusOK)
	}
	if p.z != nil {
		return p.z.Write(b)
	}
	return p.ResponseWriter.Write(b)
}

// FlushError sends what was written so far.
func (p *packer) FlushError() error {
	if p.z != nil {
		if err := p.z.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(p.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (p *packer) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *packer) close() {
	if p.z != nil {
		p.z.Close()
		p.z.Reset(nil)
		p.pool.Put(p.z)
		p.z = nil
	}
}
