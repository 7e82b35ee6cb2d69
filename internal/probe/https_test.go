package probe

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sekimori/dns/dnstest"
)

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a root of this test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	a := &authority{cert, key, x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

// issue makes a server's certificate that ends at a time.
func (a *authority) issue(t testing.TB, until time.Time, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// peer answers connections, each by handle after it has read a request's head;
// a nil config speaks no TLS.
func peer(t testing.TB, config *tls.Config, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if config != nil {
					c = tls.Server(c, config)
				}
				head := make([]byte, 4096)
				if n, err := c.Read(head); err != nil || !bytes.Contains(head[:n], []byte("\r\n\r\n")) {
					if config != nil {
						return
					}
				}
				handle(c)
			}()
		}
	}()
	return l.Addr().String()
}

func say(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, text) }
}

func answer(status, head, body string) func(net.Conn) {
	return say(fmt.Sprintf("HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s", status, head, len(body), body))
}

const zone = `$TTL 60
a.example.    IN A 127.0.0.1
two.example.  IN A 127.0.0.9
two.example.  IN A 127.0.0.1
six.example.  IN AAAA ::1
six.example.  IN A 127.0.0.1
doc.example.  IN A 192.0.2.1
bad.example.  IN A 127.0.0.9
hang.example. IN A 127.0.0.8
slow.example. IN TYPE65280 \# 0
text.example. IN TXT "x"
`

// world is an HTTPS whose connections to 127.0.0.1 go to one peer.
func world(t testing.TB, ca *authority, peer string) *HTTPS {
	t.Helper()
	z, err := dnstest.Parse(strings.NewReader(zone), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return &HTTPS{Resolver: z, Roots: ca.pool, Timeout: 400 * time.Millisecond, Private: true,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, _ := net.SplitHostPort(address)
			switch {
			case port != "443" && port != "8443":
				return nil, fmt.Errorf("port %s", port)
			case host == "127.0.0.9":
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			case host == "127.0.0.8":
				<-ctx.Done()
				return nil, ctx.Err()
			case host == "::1":
				return nil, &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}
			}
			var d net.Dialer
			return d.DialContext(ctx, network, peer)
		}}
}

func TestFetch(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	tomorrow := time.Now().Add(24 * time.Hour)
	good := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, tomorrow, "a.example", "two.example", "six.example")}}
	ok := answer("200 OK", "Content-Type: Text/Plain; charset=utf-8\r\n", "version: STSv1\n")
	for _, tt := range []struct {
		name, url string
		config    *tls.Config
		handle    func(net.Conn)
		want      Why
		about     string
	}{
		{"plain", "", good, ok, "", ""},
		{"a port", "https://a.example:8443/x", good, ok, "", ""},
		{"the second address", "https://two.example/", good, ok, "", ""},
		{"no IPv6 here", "https://six.example/", good, ok, "", ""},
		{"chunks", "", good, say("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nf\r\nversion: STSv1\n\r\n0\r\n\r\n"), "", ""},
		{"until the end", "", good, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nversion: STSv1\n")
			_ = c.Close()
		}, "", ""},
		{"interim", "", good, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
			ok(c)
		}, "", ""},
		{"only interim", "", good, say(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50)), WhyStatus, "100"},
		{"redirect", "", good, answer("302 Found", "Location: https://evil.example/\r\n", ""), WhyRedirect, "https://evil.example/"},
		{"not there", "", good, answer("404 Not Found", "", "<html>"), WhyStatus, "404"},
		{"empty success", "", good, answer("204 No Content", "", ""), WhyStatus, "204"},
		{"error of the server", "", good, answer("500 Oops", "", ""), WhyUnavailable, "500"},
		{"too many", "", good, answer("429 Slow down", "Retry-After: 10\r\n", ""), WhyUnavailable, "429"},
		{"huge, said", "", good, answer("200 OK", "", strings.Repeat("x", 2000)), WhyTooLarge, "1000"},
		{"huge, unsaid", "", good, say("HTTP/1.0 200 OK\r\n\r\n" + strings.Repeat("x", 200000)), WhyTooLarge, "1000"},
		{"huge chunks", "", good, say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 5000)), WhyTooLarge, "1000"},
		{"huge head", "", good, say("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 200000)), WhyTooLarge, "1000"},
		{"garbage", "", good, say("\x00\x01garbage\r\n\r\n"), WhyMalformed, ""},
		{"bad length", "", good, say("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), WhyMalformed, ""},
		{"bad chunk", "", good, say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), WhyMalformed, ""},
		{"cut off", "", good, say("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nversion"), WhyBroken, ""},
		{"no answer", "", good, say(""), WhyBroken, ""},
		{"silence", "", good, func(net.Conn) { time.Sleep(3 * time.Second) }, WhyTimeout, ""},
		{"a drop at a time", "", good, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
			for range 100 {
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}, WhyTimeout, ""},
		{"another name", "", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, tomorrow, "b.example", "*.c.example")}}, ok, WhyWrongName, "b.example, *.c.example"},
		{"expired", "", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, time.Now().Add(-time.Minute), "a.example")}}, ok, WhyExpired, ""},
		{"a stranger's", "", &tls.Config{Certificates: []tls.Certificate{other.issue(t, tomorrow, "a.example")}}, ok, WhyUntrusted, "CN=a root of this test"},
		{"TLS 1.1", "", &tls.Config{Certificates: good.Certificates, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, ok, WhyTLS, ""},
		{"alert", "", &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no") }}, ok, WhyTLS, ""},
		{"plain HTTP", "", nil, answer("400 Bad Request", "", "speak plainly"), WhyTLS, ""},
		{"hangs up", "", nil, say(""), WhyBroken, ""},
		{"no address", "https://text.example/", good, ok, WhyNoAddress, "text.example"},
		{"no name", "https://no.example/", good, ok, WhyNoAddress, "no.example"},
		{"DNS silent", "https://slow.example/", good, ok, WhyDNS, "slow.example"},
		{"refused", "https://bad.example/", good, ok, WhyRefused, ""},
		{"hangs", "https://hang.example/", good, ok, WhyTimeout, ""},
		{"http", "http://a.example/", good, ok, WhyURL, ""},
		{"address", "https://127.0.0.1/", good, ok, WhyURL, ""},
		{"address 6", "https://[::1]/", good, ok, WhyURL, ""},
		{"user", "https://u@a.example/", good, ok, WhyURL, ""},
		{"no host", "https:///x", good, ok, WhyURL, ""},
		{"control", "https://a.example/\x00", good, ok, WhyURL, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := world(t, ca, peer(t, tt.config, tt.handle))
			if tt.url == "" {
				tt.url = "https://a.example/.well-known/mta-sts.txt"
			}
			began := time.Now()
			body, typ, err := h.Fetch(t.Context(), tt.url, 1000, false)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
			if tt.want == "" {
				if err != nil || string(body) != "version: STSv1\n" || typ != "text/plain" {
					t.Fatalf("%q, %q, %v", body, typ, err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Why != tt.want || tt.about != "" && e.About != tt.about {
				t.Fatalf("%v, want %s about %q", err, tt.want, tt.about)
			}
			if e.Error() == "" || e.Reason() != string(e.Why) || e.Detail() != e.About || e.Unwrap() == nil {
				t.Errorf("%#v", e)
			}
			temporary := map[Why]bool{WhyDNS: true, WhyTimeout: true, WhyBroken: true, WhyBusy: true, WhyUnavailable: true}
			if e.Temporary() != temporary[e.Why] {
				t.Errorf("%s: temporary %v", e.Why, e.Temporary())
			}
		})
	}
}

// TestRequest: what a server hears.
func TestRequest(t *testing.T) {
	ca := newAuthority(t)
	heard := make(chan string, 1)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, time.Now().Add(time.Hour), "a.example")}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		heard <- string(b[:n])
		answer("200 OK", "Set-Cookie: a=b\r\n", "x")(c)
	}()
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	if _, _, err := world(t, ca, l.Addr().String()).Fetch(t.Context(), "https://A.example/p?q=1#f", 10, false); err != nil {
		t.Fatal(err)
	}
	want := "GET /p?q=1 HTTP/1.1\r\nHost: A.example\r\nUser-Agent: sekimori (mail policy check)\r\nAccept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
	got := <-heard
	for _, line := range strings.Split(want, "\r\n") {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in %q", line, got)
		}
	}
	if strings.Count(got, "\r\n") != strings.Count(want, "\r\n") {
		t.Errorf("%q", got)
	}
}

// TestPublic: what a stranger's record chose leads to no host of one's own.
func TestPublic(t *testing.T) {
	ca := newAuthority(t)
	h := world(t, ca, "")
	h.Private = false
	h.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connected") }
	var e *Error
	if _, _, err := h.Fetch(t.Context(), "https://a.example/", 10, true); !errors.As(err, &e) || e.Why != WhyAddress || e.About != "127.0.0.1" {
		t.Errorf("%v", err)
	}
	if _, _, err := h.Fetch(t.Context(), "https://a.example/", 10, false); !errors.As(err, &e) || e.Why != WhyBroken {
		t.Errorf("%v", err)
	}
	if _, _, err := h.Fetch(t.Context(), "https://doc.example/", 10, false); !errors.As(err, &e) || e.Why != WhyAddress {
		t.Errorf("%v", err)
	}
	for _, s := range []string{"0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1",
		"198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1",
		"100::1", "2001::1", "2001:db8::1", "2002:a00:1::1", "fc00::1", "fe80::1", "fec0::1", "ff02::1", "3fff::1"} {
		if global(netip.MustParseAddr(s)) {
			t.Errorf("%s is taken for public", s)
		}
	}
	for _, s := range []string{"1.1.1.1", "8.8.8.8", "100.63.0.1", "203.0.114.1", "2001:4860:4860::8888", "2400::1", "64:ff9b::808:808", "::ffff:8.8.8.8"} {
		if !global(netip.MustParseAddr(s)) {
			t.Errorf("%s is not taken for public", s)
		}
	}
}

// TestRedirects: they are followed where a stranger chose the URL, to where
// that could have led at once.
func TestRedirects(t *testing.T) {
	ca := newAuthority(t)
	var target atomic.Value
	count := new(atomic.Int64)
	at := peer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, time.Now().Add(time.Hour), "a.example", "bad.example")}}, func(c net.Conn) {
		if to := target.Load().(string); to == "" || to == "/once" && count.Add(1) > 1 {
			answer("200 OK", "", "x")(c)
		} else {
			answer("302 Found", "Location: "+to+"\r\n", "")(c)
		}
	})
	for to, want := range map[string]Why{
		"/once": "", "/again": WhyRedirect, "http://a.example/": WhyRedirect, "https://127.0.0.1/": WhyURL, "https://bad.example/": WhyRefused, "https://no.example/": WhyNoAddress, "//[": WhyRedirect,
	} {
		target.Store(to)
		count.Store(0)
		h := world(t, ca, at)
		body, _, err := h.Fetch(t.Context(), "https://a.example/", 10, true)
		var e *Error
		if want == "" && (err != nil || string(body) != "x") || want != "" && (!errors.As(err, &e) || e.Why != want) {
			t.Errorf("%s: %q, %v", to, body, err)
		}
		if _, _, err := h.Fetch(t.Context(), "https://a.example/", 10, false); to != "/once" && (!errors.As(err, &e) || e.Why != WhyRedirect) {
			t.Errorf("%s: followed for MTA-STS: %v", to, err)
		}
	}
}

// TestPatience: an address that does not answer is left alone, and at one that
// does no more fetches are on the way than may be.
func TestPatience(t *testing.T) {
	ca := newAuthority(t)
	h := world(t, ca, "")
	h.Timeout = 20 * time.Millisecond
	var e *Error
	for i := range 5 {
		began := time.Now()
		_, _, err := h.Fetch(t.Context(), "https://hang.example/", 10, false)
		want := WhyTimeout
		if i >= patience {
			want = WhyBusy
		}
		if !errors.As(err, &e) || e.Why != want || !e.Temporary() {
			t.Errorf("%d: %v", i, err)
		}
		if want == WhyBusy && time.Since(began) > 10*time.Millisecond {
			t.Errorf("%d took %v", i, time.Since(began))
		}
	}
	var now, most atomic.Int64
	slow := peer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, time.Now().Add(time.Hour), "a.example")}}, func(c net.Conn) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(10 * time.Millisecond)
		now.Add(-1)
		answer("200 OK", "", "x")(c)
	})
	h = world(t, ca, slow)
	h.Timeout, h.PerAddress = 5*time.Second, 3
	done := make(chan error)
	for range 24 {
		go func() {
			_, _, err := h.Fetch(t.Context(), "https://a.example/", 10, false)
			done <- err
		}()
	}
	for range 24 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if m := most.Load(); m > 3 || m < 2 {
		t.Errorf("%d at a time", m)
	}
	if n := len(h.places); n != 0 {
		t.Errorf("%d places remembered", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := h.Fetch(ctx, "https://a.example/", 10, false); !errors.As(err, &e) || !e.Temporary() {
		t.Errorf("%v", err)
	}
}
