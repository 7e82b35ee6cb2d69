package access

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"sekimori/internal/locale"
)

const (
	password = "correct horse"
	token    = "0123456789abcdef0123"
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

type client struct {
	t      *testing.T
	h      http.Handler
	cookie *http.Cookie
	header http.Header
	remote string
	tls    bool
}

// do sends a request and keeps the session cookie as a browser does.
func (c *client) do(method, target string, form url.Values) *httptest.ResponseRecorder {
	c.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, target, body)
	r.Host = "reports.kakuu.example"
	r.RemoteAddr = "192.0.2.7:4711"
	if c.remote != "" {
		r.RemoteAddr = c.remote
	}
	if c.tls {
		r.TLS = &tls.ConnectionState{}
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Accept", "text/html,*/*")
	for k, v := range c.header {
		r.Header[k] = v
		if k == "Host" {
			r.Host = v[0]
		}
	}
	if c.cookie != nil {
		r.AddCookie(c.cookie)
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	for _, k := range w.Result().Cookies() {
		c.cookie = k
		if k.MaxAge < 0 {
			c.cookie = nil
		}
	}
	return w
}

func (c *client) with(k, v string) *client {
	d := *c
	d.header = http.Header{k: {v}}
	return &d
}

func setup(t *testing.T, c Config) (*Guard, *client, *clock) {
	t.Helper()
	ck := &clock{time.Unix(1790000000, 0)}
	c.Now = ck.now
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "inside") }))
	return g, &client{t: t, h: h}, ck
}

func TestCheck(t *testing.T) {
	for listen, ok := range map[string]bool{
		"127.0.0.1:8025": true, "127.9.9.9:1": true, "[::1]:8025": true, "localhost:8025": true, "[::ffff:127.0.0.1]:80": true,
		":8025": false, "0.0.0.0:8025": false, "[::]:8025": false, "192.0.2.1:8025": false, "reports.kakuu.example:80": false, "127.0.0.1.kakuu.example:80": false,
	} {
		if err := Check(listen, false); (err == nil) != ok {
			t.Errorf("Check(%q) without a secret: %v", listen, err)
		}
		if err := Check(listen, true); err != nil {
			t.Errorf("Check(%q) with a secret: %v", listen, err)
		}
	}
	if err := Check("8025", true); err == nil {
		t.Error("an address without a port passed")
	}
	if _, err := New(Config{Listen: "0.0.0.0:80"}); err == nil {
		t.Error("New took an open address without a secret")
	}
}

func TestOpenOnLoopback(t *testing.T) {
	_, c, _ := setup(t, Config{Listen: "127.0.0.1:8025", Hosts: []string{"Dmarc.Kakuu.example"}})
	for host, status := range map[string]int{
		"127.0.0.1:8025": 200, "localhost:8025": 200, "LOCALHOST": 200, "[::1]:8025": 200, "dmarc.kakuu.example": 200, "dmarc.kakuu.example.:443": 200,
		"evil.example": 421, "evil.example:8025": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "": 421,
	} {
		if w := c.with("Host", host).do("GET", "/", nil); w.Code != status {
			t.Errorf("Host %q: %d, want %d", host, w.Code, status)
		}
	}
	if w := c.with("Host", "localhost").do("GET", "/sign-in", nil); w.Code != 303 {
		t.Errorf("the sign-in page where there is nothing to sign in to: %d", w.Code)
	}
}

func TestSignIn(t *testing.T) {
	g, c, ck := setup(t, Config{Listen: "0.0.0.0:8025", Password: password, Token: token})

	w := c.do("GET", "/domain/kakuu.example?days=7", nil)
	if w.Code != 303 || w.Header().Get("Location") != "/sign-in?next=%2Fdomain%2Fkakuu.example%3Fdays%3D7" {
		t.Fatalf("a stranger on a page: %d %v", w.Code, w.Header())
	}
	w = c.do("GET", w.Header().Get("Location"), nil)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `value="/domain/kakuu.example?days=7"`) {
		t.Fatalf("the sign-in page: %d %s", w.Code, w.Body)
	}
	w = c.do("POST", "/sign-in", url.Values{"password": {"wrong"}, "next": {"/x"}})
	if w.Code != 403 || c.cookie != nil || !strings.Contains(w.Body.String(), `role="alert"`) {
		t.Fatalf("a wrong password: %d %s", w.Code, w.Body)
	}
	w = c.do("POST", "/sign-in", url.Values{"password": {password}, "next": {"/domain/kakuu.example?days=7"}})
	if w.Code != 303 || w.Header().Get("Location") != "/domain/kakuu.example?days=7" || c.cookie == nil {
		t.Fatalf("the right password: %d %v", w.Code, w.Header())
	}
	if k := w.Header().Get("Set-Cookie"); !strings.Contains(k, "HttpOnly") || !strings.Contains(k, "SameSite=Lax") || strings.Contains(k, "Secure") {
		t.Errorf("cookie without TLS: %s", k)
	}
	if w := c.do("GET", "/", nil); w.Body.String() != "inside" {
		t.Errorf("signed in: %d %s", w.Code, w.Body)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(c.cookie)
	if !g.SignedIn(r) {
		t.Error("SignedIn does not see the session")
	}
	ck.t = ck.t.Add(sessionIdle - time.Minute)
	if w := c.do("GET", "/", nil); w.Code != 200 {
		t.Errorf("before the idle time is over: %d", w.Code)
	}
	ck.t = ck.t.Add(sessionIdle + time.Minute)
	if w := c.do("GET", "/", nil); w.Code != 303 {
		t.Errorf("after the idle time: %d", w.Code)
	}
	c.do("POST", "/sign-in", url.Values{"password": {password}})
	kept := *c.cookie
	if w := c.do("POST", "/sign-out", nil); w.Code != 303 || c.cookie != nil {
		t.Errorf("sign-out: %d %v", w.Code, c.cookie)
	}
	c.cookie = &kept
	if w := c.do("GET", "/", nil); w.Code != 303 {
		t.Errorf("the cookie works after sign-out: %d", w.Code)
	}
}

func TestSessionEndsForGood(t *testing.T) {
	_, c, ck := setup(t, Config{Password: password})
	c.do("POST", "/sign-in", url.Values{"password": {password}})
	for range 13 { // kept alive all the time
		ck.t = ck.t.Add(11 * time.Hour)
		if w := c.do("GET", "/", nil); w.Code != 200 {
			t.Fatalf("ended early: %d", w.Code)
		}
	}
	ck.t = ck.t.Add(sessionMost - 13*11*time.Hour)
	if w := c.do("GET", "/", nil); w.Code == 200 {
		t.Error("a session lasts for ever")
	}
}

func TestCookieOverTLS(t *testing.T) {
	_, c, _ := setup(t, Config{Password: password})
	c.tls = true
	w := c.do("POST", "/sign-in", url.Values{"password": {password}})
	if k := w.Header().Get("Set-Cookie"); !strings.HasPrefix(k, "__Host-session=") || !strings.Contains(k, "Secure") || !strings.Contains(k, "Path=/;") {
		t.Errorf("cookie over TLS: %s", k)
	}
	if w := c.do("GET", "/", nil); w.Code != 200 {
		t.Errorf("signed in over TLS: %d", w.Code)
	}
}

func TestToken(t *testing.T) {
	_, c, _ := setup(t, Config{Token: token})
	if w := c.with("Authorization", "Bearer "+token).do("GET", "/api/v1/domains", nil); w.Body.String() != "inside" {
		t.Errorf("the token: %d %s", w.Code, w.Body)
	}
	if w := c.with("Authorization", "bearer  "+token).do("POST", "/api/v1/reports", nil); w.Body.String() != "inside" {
		t.Errorf("the token, written otherwise: %d %s", w.Code, w.Body)
	}
	w := c.with("Authorization", "Bearer wrong").do("GET", "/api/v1/domains", nil)
	if w.Code != 401 || !strings.Contains(w.Header().Get("WWW-Authenticate"), "invalid_token") || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("a wrong token: %d %v", w.Code, w.Header())
	}
	if w := c.with("Authorization", "Basic eDp5").do("GET", "/api/v1/domains", nil); w.Code != 401 {
		t.Errorf("another scheme: %d", w.Code)
	}
	if w := c.do("GET", "/api/v1/domains", nil); w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("no token: %d %v", w.Code, w.Header())
	}
	if w := c.do("POST", "/sign-in", url.Values{"password": {token}}); w.Code != 303 {
		t.Errorf("where there is only a token, it signs people in: %d", w.Code)
	}
}

func TestGuessingIsSlow(t *testing.T) {
	_, c, ck := setup(t, Config{Password: password, Token: token})
	guess := func() int { return c.do("POST", "/sign-in", url.Values{"password": {"guess"}}).Code }
	for i := range clientBurst {
		if code := guess(); code != 403 {
			t.Fatalf("guess %d: %d", i, code)
		}
	}
	w := c.do("POST", "/sign-in", url.Values{"password": {password}})
	if w.Code != 429 || w.Header().Get("Retry-After") != "12" {
		t.Errorf("after too many guesses: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if w := c.with("Authorization", "Bearer guess").do("GET", "/api/", nil); w.Code != 429 {
		t.Errorf("guessing the token next: %d", w.Code)
	}
	other := *c
	other.remote = "192.0.2.8:1"
	if w := other.do("POST", "/sign-in", url.Values{"password": {password}}); w.Code != 303 {
		t.Errorf("another client is locked out: %d", w.Code)
	}
	ck.t = ck.t.Add(clientEvery)
	if w := c.do("POST", "/sign-in", url.Values{"password": {password}}); w.Code != 303 {
		t.Errorf("after the wait: %d", w.Code)
	}
	// The right password costs no attempt.
	for range 50 {
		if w := c.do("POST", "/sign-in", url.Values{"password": {password}}); w.Code != 303 {
			t.Fatalf("signing in again: %d", w.Code)
		}
	}
}

func TestManyClientsGuessing(t *testing.T) {
	ck := &clock{time.Unix(1790000000, 0)}
	l := newLimiter(ck.now)
	ok := 0
	for i := range 100000 {
		a := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		if l.take(a) == 0 {
			ok++
		}
	}
	if ok != allBurst {
		t.Errorf("%d guesses at once, want %d", ok, allBurst)
	}
	if len(l.clients) > mostClients {
		t.Errorf("%d clients remembered", len(l.clients))
	}
}

func TestClientOf(t *testing.T) {
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.7:1", "", "192.0.2.7/32"},
		{"192.0.2.7:1", "198.51.100.1", "192.0.2.7/32"},
		{"127.0.0.1:1", "203.0.113.9, 198.51.100.1", "198.51.100.1/32"},
		{"127.0.0.1:1", "junk", "127.0.0.1/32"},
		{"[2001:db8:1:2:3::4]:1", "", "2001:db8:1:2::/64"},
		{"[::ffff:192.0.2.7]:1", "", "192.0.2.7/32"},
		{"[fe80::1%eth0]:1", "", "fe80::/64"},
		{"@", "", "::/64"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		r.Header.Set("X-Forwarded-For", c.forwarded)
		if got := clientOf(r).String(); got != c.want {
			t.Errorf("clientOf(%s, %s) = %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}

func TestOtherSitesCannotSignInOrOut(t *testing.T) {
	_, c, _ := setup(t, Config{Password: password})
	for _, target := range []string{"/sign-in", "/sign-out", "/upload"} {
		if w := c.with("Sec-Fetch-Site", "cross-site").do("POST", target, url.Values{"password": {password}}); w.Code != 403 {
			t.Errorf("POST %s from another site: %d", target, w.Code)
		}
	}
}

func TestSafeNext(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/a?b=c": "/a?b=c", "": "/", "a": "/", "//evil.example/": "/", `/\evil.example`: "/", "https://evil.example": "/",
		"/%2f/evil.example": "/", "/sign-in?next=/": "/", "/sign-out": "/", "/a\r\nb": "/", "/" + strings.Repeat("a", 2001): "/", "javascript:alert(1)": "/",
	} {
		if got := safeNext(in); got != want {
			t.Errorf("safeNext(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPasswordForms(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config string
		ok     bool
	}{
		{password, true},
		{string(hash), true},
		{argonHash(t), true},
		{"short", false},
		{"$2b$99$nothing", false},
		{"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$", false},
		{"$argon2id$v=19$m=99999999,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", false},
		{"$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", false},
	} {
		v, err := newVerifier(c.config)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.config, err)
			continue
		}
		if c.ok && (!v.right(password) || v.right(password+"x") || v.right("")) {
			t.Errorf("%s tells passwords wrong", c.config)
		}
	}
	if _, err := New(Config{Token: "short"}); err == nil {
		t.Error("a short token passed")
	}
}

func TestSessionsAreBounded(t *testing.T) {
	ck := &clock{time.Unix(1790000000, 0)}
	s := newSessions(ck.now)
	firstOne := s.start()
	ck.t = ck.t.Add(time.Second)
	for range mostSessions {
		s.start()
	}
	if len(s.all) > mostSessions || s.valid(firstOne) {
		t.Errorf("%d sessions; the oldest is still there: %v", len(s.all), s.valid(firstOne))
	}
}

func TestPlainPage(t *testing.T) {
	_, c, _ := setup(t, Config{Password: password})
	for _, l := range locale.Langs {
		w := c.with("Accept-Language", string(l)).do("GET", "/sign-in?next="+url.QueryEscape(`/"><script>`), nil)
		body := w.Body.String()
		if !strings.Contains(body, `lang="`+string(l)+`"`) || strings.Contains(body, "⟦") || strings.Contains(body, "<script>") {
			t.Errorf("%s: %s", l, body)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: policy %q", l, csp)
		}
	}
	if w := c.do("GET", "/sign-in.css", nil); w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Errorf("the style: %d", w.Code)
	}
}

// argonHash is the password's hash, made by the library itself.
func argonHash(t *testing.T) string {
	t.Helper()
	sum := argon2.IDKey([]byte(password), []byte("somesalt"), 1, 64, 1, 32)
	return "$argon2id$v=19$m=64,t=1,p=1$" + base64.RawStdEncoding.EncodeToString([]byte("somesalt")) + "$" + base64.RawStdEncoding.EncodeToString(sum)
}
