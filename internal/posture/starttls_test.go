package posture

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/dns"
)

// reason is an error as internal/probe has them.
type reason string

func (r reason) Error() string   { return string(r) }
func (r reason) Temporary() bool { return true }
func (r reason) Reason() string  { return string(r) }
func (r reason) Detail() string  { return "a detail" }

// mailers answers for hosts: "ok", "untrusted:REASON", "old", or a reason why
// there is no session.
type mailers struct {
	cert  *x509.Certificate
	hosts map[string]string
	mu    sync.Mutex
	calls map[string]int
}

func (m *mailers) STARTTLS(_ context.Context, host string, addrs []netip.Addr) (*tls.ConnectionState, error, error) {
	m.mu.Lock()
	if m.calls == nil {
		m.calls = map[string]int{}
	}
	m.calls[host]++
	m.mu.Unlock()
	if len(addrs) == 0 {
		return nil, nil, errors.New("called without an address")
	}
	s := &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, PeerCertificates: []*x509.Certificate{m.cert}}
	what, why, _ := strings.Cut(m.hosts[host], ":")
	switch what {
	case "ok":
		return s, nil, nil
	case "old":
		s.Version = tls.VersionTLS11
		return s, nil, nil
	case "untrusted":
		return s, reason(why), nil
	}
	return nil, nil, reason(what)
}

func selfSigned(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.x.example"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// policyAt serves one text as every MTA-STS policy.
type policyAt string

func (p policyAt) Fetch(context.Context, string, int, bool) ([]byte, string, error) {
	return []byte(p), "text/plain", nil
}

// sealed says of every answer that it is secure.
type sealed struct{ dns.Resolver }

func (s sealed) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	a, err := s.Resolver.Lookup(ctx, name, t)
	a.Security = dns.Secure
	return a, err
}

func TestSTARTTLS(t *testing.T) {
	cert := selfSigned(t)
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	tlsa := func(digest string) string {
		return "_25._tcp.a.x.example. IN TLSA 3 1 1 " + digest + "\n_25._tcp.b.x.example. IN TLSA 3 1 1 " + digest + "\n"
	}
	match, other := tlsa(hex.EncodeToString(sum[:])), tlsa(strings.Repeat("00", 32))
	const two = "x.example. IN MX 1 a.x.example.\nx.example. IN MX 2 b.x.example.\nx.example. IN MX 3 a.x.example.\na.x.example. IN A 192.0.2.1\nb.x.example. IN A 192.0.2.2\n"
	const sts = "_mta-sts.x.example. IN TXT \"v=STSv1; id=1\"\nmta-sts.x.example. IN A 192.0.2.3\n"
	policy := func(mode string) policyAt {
		return policyAt("version: STSv1\nmode: " + mode + "\nmx: *.x.example\nmax_age: 604800\n")
	}
	for _, c := range []struct {
		name, zone, a, b string
		fetch            Fetcher
		present, valid   State
		codes, dane      string
	}{
		{"good", two, "ok", "ok", nil, Yes, Yes, "", ""},
		{"one does not", two, "ok", "starttls-not-offered", nil, No, No, "starttls-missing", ""},
		{"one does not, one unknown", two, "timeout", "starttls-not-offered", nil, No, No, "starttls-missing", ""},
		{"one unknown", two, "ok", "timeout", nil, Unknown, Unknown, "", ""},
		{"blocked", two, "smtp-blocked", "smtp-blocked", nil, Unknown, Unknown, "", ""},
		{"turned away", two, "smtp-rejected", "smtp-later", nil, Unknown, Unknown, "", ""},
		{"nobody there", two, "refused", "not-smtp", nil, Unknown, Unknown, "", ""},
		{"broken", two, "ok", "starttls-no-tls", nil, No, No, "starttls-broken", ""},
		{"no handshake", two, "ok", "starttls-handshake", nil, Unknown, Unknown, "", ""},
		{"refused", two, "ok", "starttls-refused", nil, No, No, "starttls-broken", ""},
		{"injected", two, "ok", "starttls-injected", nil, No, No, "starttls-injected", ""},
		{"old", two, "ok", "old", nil, Yes, Yes, "starttls-old", ""},
		{"no roots here", two, "ok", "untrusted:broken", nil, Yes, Unknown, "", ""},
		{"untrusted", two, "ok", "untrusted:certificate-name", nil, Yes, No, "starttls-certificate", ""},
		{"untrusted, enforce", two + sts, "ok", "untrusted:certificate-name", policy("enforce"), Yes, No, "starttls-mta-sts", ""},
		{"untrusted, testing", two + sts, "ok", "untrusted:certificate-name", policy("testing"), Yes, No, "starttls-mta-sts", ""},
		{"untrusted, none", two + sts, "ok", "untrusted:certificate-name", policy("none"), Yes, No, "starttls-certificate", ""},
		{"untrusted, DANE", two + match, "ok", "untrusted:certificate-untrusted", nil, Yes, Yes, "", ""},
		{"mismatch", two + other, "ok", "ok", nil, Yes, Yes, "", "dane-mismatch dane-mismatch"},
		{"mismatch, one unknown", two + other, "ok", "timeout", nil, Unknown, Unknown, "", "dane-mismatch"},
		{"null MX", "x.example. IN MX 0 .\n", "", "", nil, No, No, "", ""},
		{"no MX", "x.example. IN A 192.0.2.1\n", "", "", nil, No, No, "", ""},
		{"hosts without address", "x.example. IN MX 1 none.x.example.\n", "", "", nil, No, No, "", ""},
		{"hosts unanswered", "x.example. IN MX 1 a.x.example.\na.x.example. IN TYPE65280 \\# 0\n", "", "", nil, Unknown, Unknown, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &mailers{cert: cert, hosts: map[string]string{"a.x.example": c.a, "b.x.example": c.b}}
			p := Inspect(t.Context(), sealed{open(t, c.zone)}, name(t, "x.example"), Options{Frugal: true, SMTP: m, Fetch: c.fetch})
			x := p.STARTTLS
			if x.Present != c.present || x.Valid != c.valid || p.Fact(FactSTARTTLS) != c.present || codes(&p, TopicSTARTTLS) != c.codes {
				t.Errorf("present %s, valid %s, %q; want %s, %s, %q", x.Present, x.Valid, codes(&p, TopicSTARTTLS), c.present, c.valid, c.codes)
			}
			if got := strings.ReplaceAll(codes(&p, TopicDANE), "dane-missing", ""); got != c.dane || c.dane != "" && p.DANE.Valid != No {
				t.Errorf("DANE: %q, valid %s", got, p.DANE.Valid)
			}
			if again := c.a == "timeout" || c.b == "timeout" || c.b == "smtp-later" || c.name == "hosts unanswered"; x.Again() != again {
				t.Errorf("try again: %v", x.Again())
			}
			for h, n := range m.calls {
				if n > 1 {
					t.Errorf("%s was called %d times", h, n)
				}
			}
			if x.Level == LevelError && !strings.Contains(c.codes, "starttls") {
				t.Errorf("level %s without a reason", x.Level)
			}
		})
	}
	// What is not signed, TLSA records say nothing about.
	m := &mailers{cert: cert, hosts: map[string]string{"a.x.example": "ok", "b.x.example": "ok"}}
	p := Inspect(t.Context(), open(t, two+other), name(t, "x.example"), Options{SMTP: m})
	if p.STARTTLS.Hosts[0].DANE != Unknown || strings.Contains(codes(&p, TopicDANE), "mismatch") {
		t.Errorf("unsigned: %+v", p.STARTTLS.Hosts)
	}
	b, _ := json.Marshal(p.STARTTLS.Hosts[0])
	const want = `{"host":"a.x.example","offered":"yes","encrypts":"yes","version":"TLS 1.3","cipher":"TLS_AES_128_GCM_SHA256","certificate":"yes","not_after":"`
	if !strings.HasPrefix(string(b), want) {
		t.Errorf("%s, want %s", b, want)
	}
	if p := inspectZone(t, two, Options{}); p.STARTTLS != nil || p.Fact(FactSTARTTLS) != Unknown {
		t.Errorf("called without being asked to")
	}
	if p := inspectZone(t, "y.example. IN A 192.0.2.1", Options{SMTP: m}); p.Fact(FactSTARTTLS) != No || p.STARTTLS.Hosts == nil {
		t.Errorf("no such domain: %+v", p.STARTTLS)
	}
}
