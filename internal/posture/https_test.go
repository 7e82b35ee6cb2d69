package posture_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/internal/locale"
	"sekimori/internal/posture"
	"sekimori/internal/probe"
)

// TestHTTPS goes all the way: a server on this host, TLS with a certificate of
// the test's own, what it serves by its name, and what becomes of it.
func TestHTTPS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"*.good.example", "*.gone.example", "*.moved.example", "*.slow.example", "*.busy.example"}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ = x509.ParseCertificate(der)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	const svg = `<svg xmlns="http://www.w3.org/2000/svg" version="1.2" baseProfile="tiny-ps" viewBox="0 0 9 9"><title>Example Co.</title></svg>`
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, name, _ := strings.Cut(r.Host, ".")
		switch {
		case name == "gone.example":
			http.NotFound(w, r)
		case name == "moved.example":
			http.Redirect(w, r, "https://mta-sts.good.example/.well-known/mta-sts.txt", http.StatusMovedPermanently)
		case name == "busy.example":
			w.WriteHeader(http.StatusServiceUnavailable)
		case name == "slow.example":
			<-r.Context().Done()
		case r.URL.Path == "/logo.svg":
			fmt.Fprint(w, svg)
		default:
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, "version: STSv1\r\nmode: enforce\r\nmx: mx.good.example\r\nmax_age: 604800\r\n")
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.Config.ErrorLog = log.New(discard{}, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)

	zone := "$TTL 60\nmx.good.example. IN A 192.0.2.1\n"
	for _, d := range []string{"good", "gone", "moved", "busy", "slow", "other"} {
		zone += strings.ReplaceAll("D.example. IN MX 10 mx.good.example.\n_mta-sts.D.example. IN TXT \"v=STSv1; id=1\"\nmta-sts.D.example. IN A 127.0.0.1\nl.D.example. IN A 127.0.0.1\n"+
			"default._bimi.D.example. IN TXT \"v=BIMI1; l=https://l.D.example/logo.svg; a=\"\n", "D", d)
	}
	z, err := dnstest.Parse(strings.NewReader(zone), "zone")
	if err != nil {
		t.Fatal(err)
	}
	dialer := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	for d, want := range map[string]struct {
		policy, logo posture.State
		failure      string
		line         string
	}{
		"good":  {posture.Yes, posture.Yes, "", "mode enforce, kept for 7 days (id=1)"},
		"gone":  {posture.No, posture.No, "status", "published, but faulty and of no effect"},
		"moved": {posture.No, posture.No, "redirect", "published, but faulty and of no effect"},
		"busy":  {posture.Unknown, posture.Unknown, "unavailable", "announced (id=1); its policy is not known: the server cannot answer for now (HTTP status)"},
		"slow":  {posture.Unknown, posture.Unknown, "timeout", "announced (id=1); its policy is not known: the host did not answer in time"},
		"other": {posture.No, posture.No, "certificate-name", "published, but faulty and of no effect"},
	} {
		t.Run(d, func(t *testing.T) {
			t.Parallel()
			n, err := domain.Parse(d + ".example")
			if err != nil {
				t.Fatal(err)
			}
			h := &probe.HTTPS{Resolver: z, Roots: roots, Timeout: 400 * time.Millisecond, Private: true, Dial: dialer}
			p := posture.Inspect(t.Context(), z, n, posture.Options{Fetch: h})
			if q := p.MTASTS.Policy; q.Fetched.Fetched != want.policy || q.Failure != want.failure {
				t.Errorf("%+v", q)
			}
			if l := p.BIMI.Logo; l.Valid != want.logo || l.Failure != want.failure {
				// A server that said to be busy is not asked again at once, and
				// to a logo a redirect is followed: here to what is none.
				if (d != "busy" || l.Failure != "busy") && (d != "moved" || l.Failure != "" || l.Valid != posture.No) {
					t.Errorf("%+v", l)
				}
			}
			if got := locale.English.Topic(&p, posture.TopicMTASTS); got != want.line {
				t.Errorf("%q", got)
			}
			for _, l := range locale.Langs {
				for _, f := range p.Findings {
					if s := l.Step(f.Step) + l.Text(f.Code+".why", f.Args); strings.Contains(s, "⟦") {
						t.Error(s)
					}
				}
				if s := l.Topic(&p, posture.TopicMTASTS) + l.Topic(&p, posture.TopicBIMI); strings.Contains(s, "⟦") {
					t.Error(s)
				}
			}

			// A record cannot make this host call on its own network.
			h = &probe.HTTPS{Resolver: z, Roots: roots, Timeout: 400 * time.Millisecond, Dial: dialer}
			p = posture.Inspect(t.Context(), z, n, posture.Options{Fetch: h})
			if l := p.BIMI.Logo; l.Fetched.Fetched != posture.No || l.Failure != "address" {
				t.Errorf("%+v", l)
			}
		})
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
