package bimi_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/bimi"
	"sekimori/explain"
	"sekimori/internal/require"
)

// marks issues mark certificates for tests: a root and an issuer below it.
type marks struct {
	rootKey, issuerKey *ecdsa.PrivateKey
	root, issuer       *x509.Certificate
	now                time.Time
}

var usage = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 31}

func newMarks(t testing.TB) *marks {
	t.Helper()
	m := &marks{now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	m.rootKey, m.issuerKey = newKey(t), newKey(t)
	m.root = m.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "a root of marks"}, IsCA: true}, nil, m.rootKey, m.rootKey)
	m.issuer = m.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "an issuer of marks"}, IsCA: true,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{usage}}, m.root, m.issuerKey, m.rootKey)
	return m
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (m *marks) sign(t testing.TB, c, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	if parent == nil {
		parent = c
	}
	c.SerialNumber, c.BasicConstraintsValid = big.NewInt(7), true
	if c.IsCA {
		c.KeyUsage = x509.KeyUsageCertSign
	}
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = m.now.AddDate(0, -6, 0), m.now.AddDate(1, 0, 0)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type algorithm struct{ OID asn1.ObjectIdentifier }
type hashValue struct {
	Algorithm algorithm
	Value     []byte
}
type details struct {
	MediaType string `asn1:"ia5"`
	Hashes    []hashValue
	URIs      []asn1.RawValue
}
type image struct{ Details details }
type direct struct{ Images []image }

// logotype is the value of the extension.
func logotype(t testing.TB, uri string, sum []byte) []byte {
	t.Helper()
	d, err := asn1.MarshalWithParams(direct{[]image{{details{"image/svg+xml", []hashValue{{algorithm{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}, sum}},
		[]asn1.RawValue{{Class: asn1.ClassUniversal, Tag: asn1.TagIA5String, Bytes: []byte(uri)}}}}}}, "tag:0")
	if err != nil {
		t.Fatal(err)
	}
	subject, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, IsCompound: true, Bytes: d})
	if err != nil {
		t.Fatal(err)
	}
	all, err := asn1.Marshal([]asn1.RawValue{{FullBytes: subject}})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func dataURI(file string) string {
	return "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(file))
}

// leaf is a certificate in order, to be spoiled.
func (m *marks) leaf(t testing.TB, svg string) *x509.Certificate {
	t.Helper()
	oid, err := x509.OIDFromInts([]uint64{1, 3, 6, 1, 4, 1, 53087, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	file := zipped(svg)
	sum := sha256.Sum256([]byte(file))
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: "Example Co.", Organization: []string{"Example Co."}, ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 53087, 1, 13}, Value: "Registered Mark"}}},
		DNSNames: []string{"a.example"}, UnknownExtKeyUsage: []asn1.ObjectIdentifier{usage}, Policies: []x509.OID{oid},
		CRLDistributionPoints: []string{"http://crl.example/"},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 12}, Value: logotype(t, dataURI(file), sum[:])},
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: []byte{4, 0}},
		},
	}
}

func toPEM(list ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range list {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.String()
}

func certificateCodes(fs []explain.Finding) string {
	var out []string
	for _, f := range fs {
		s := strings.TrimPrefix(f.Code, "bimi.certificate.")
		if f.Grade != explain.Error {
			s += "(" + string(f.Grade) + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestCertificate(t *testing.T) {
	m, other := newMarks(t), newMarks(t)
	svg := fmt.Sprintf(good, `<path d="M0 0"/>`)
	mark := func(c *x509.Certificate, s string) { c.Subject.ExtraNames[0].Value = s }
	logo := func(c *x509.Certificate, value []byte) { c.ExtraExtensions[0].Value = value }
	sum := sha256.Sum256([]byte(svg))
	for _, tt := range []struct {
		name  string
		spoil func(*x509.Certificate)
		kind  bimi.Kind
		want  string
	}{
		{"in order", func(*x509.Certificate) {}, bimi.VMC, ""},
		{"by its selector", func(c *x509.Certificate) { c.DNSNames = []string{"X.example", "Default._bimi.A.example"} }, bimi.VMC, ""},
		{"another selector", func(c *x509.Certificate) { c.DNSNames = []string{"other._bimi.a.example"} }, bimi.VMC, "name"},
		{"of the domain above", func(c *x509.Certificate) { c.DNSNames = []string{"example"} }, bimi.VMC, "name"},
		{"of no name", func(c *x509.Certificate) { c.DNSNames = nil }, bimi.VMC, "name"},
		{"a mark in use before", func(c *x509.Certificate) { mark(c, "Prior Use Mark") }, bimi.CMC, ""},
		{"a government's", func(c *x509.Certificate) { mark(c, "Government Mark") }, bimi.VMC, ""},
		{"an unheard-of mark", func(c *x509.Certificate) { mark(c, "Coat of Arms") }, "", "kind(warning)"},
		{"a registration, as of old", func(c *x509.Certificate) {
			c.Subject.ExtraNames[0].Type = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 53087, 1, 4}
		}, bimi.VMC, ""},
		{"expired", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = m.now.AddDate(-1, 0, 0), m.now.AddDate(0, -1, 0) }, bimi.VMC, "expired"},
		{"of tomorrow", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = m.now.AddDate(0, 0, 1), m.now.AddDate(0, 3, 0) }, bimi.VMC, "early"},
		{"about to expire", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = m.now.AddDate(0, -1, 0), m.now.AddDate(0, 0, 9) }, bimi.VMC, "ends(warning)"},
		{"of a website", func(c *x509.Certificate) {
			c.UnknownExtKeyUsage, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}, bimi.VMC, "usage"},
		{"not logged", func(c *x509.Certificate) { c.ExtraExtensions = c.ExtraExtensions[:1] }, bimi.VMC, "log"},
		{"without policy and list", func(c *x509.Certificate) { c.Policies, c.CRLDistributionPoints = nil, nil }, bimi.VMC, "policy(warning) revocation(warning)"},
		{"a trial", func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 53087, 4, 1}, Critical: true, Value: []byte{5, 0}})
		}, bimi.VMC, "pilot"},
		{"critical logo", func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = true }, bimi.VMC, ""},
		{"no logo", func(c *x509.Certificate) { c.ExtraExtensions = c.ExtraExtensions[1:] }, bimi.VMC, "no-logo"},
		{"a logo not in gzip, hashed as it is", func(c *x509.Certificate) { logo(c, logotype(t, dataURI(svg), sum[:])) }, bimi.VMC, ""},
		{"a logo in gzip, hashed as it was", func(c *x509.Certificate) { logo(c, logotype(t, dataURI(zipped(svg)), sum[:])) }, bimi.VMC, ""},
		{"another's hash", func(c *x509.Certificate) { logo(c, logotype(t, dataURI(svg), []byte("x"))) }, bimi.VMC, "logo-hash"},
		{"a logo elsewhere", func(c *x509.Certificate) { logo(c, logotype(t, "https://a.example/l.svg", sum[:])) }, bimi.VMC, "logo-unreadable"},
		{"not base64", func(c *x509.Certificate) { logo(c, logotype(t, "data:image/svg+xml;base64,!", sum[:])) }, bimi.VMC, "logo-unreadable"},
		{"rubbish", func(c *x509.Certificate) { logo(c, []byte{0x30, 3, 1, 2, 3}) }, bimi.VMC, "logo-unreadable"},
		{"a logo with a script", func(c *x509.Certificate) {
			s := fmt.Sprintf(good, "<script/>")
			h := sha256.Sum256([]byte(s))
			logo(c, logotype(t, dataURI(s), h[:]))
		}, bimi.VMC, "logo-invalid"},
	} {
		c := m.leaf(t, svg)
		tt.spoil(c)
		leaf := m.sign(t, c, m.issuer, newKey(t), m.issuerKey)
		for _, roots := range []*x509.CertPool{pool(m.root), nil} {
			got := bimi.ReadCertificate([]byte(toPEM(leaf, m.issuer)), bimi.CertificateInput{Domain: "a.example", Selector: "default", Roots: roots, Now: m.now})
			if s := certificateCodes(got.Findings); s != tt.want {
				t.Errorf("%s: %q, want %q", tt.name, s, tt.want)
			}
			if got.Kind != tt.kind || got.Organization != "Example Co." || got.Issuer != "an issuer of marks" {
				t.Errorf("%s: %+v", tt.name, got)
			}
			if want := map[bool]bimi.Trust{true: bimi.NotAsked, false: bimi.Trusted}[roots == nil]; got.Trust != want {
				t.Errorf("%s: trust %s, want %s", tt.name, got.Trust, want)
			}
		}
	}

	leaf := m.sign(t, m.leaf(t, svg), m.issuer, newKey(t), m.issuerKey)
	web := m.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "an issuer of others"}, IsCA: true}, m.root, m.issuerKey, m.rootKey)
	ofWeb := m.sign(t, m.leaf(t, svg), web, newKey(t), m.issuerKey)
	for _, tt := range []struct {
		name, file string
		roots      *x509.CertPool
		want       string
		trust      bimi.Trust
	}{
		{"whole", "a comment\n" + toPEM(leaf, m.issuer, m.root), pool(m.root), "", bimi.Trusted},
		{"a stranger's", toPEM(leaf, m.issuer, m.root), pool(other.root), "untrusted", bimi.Untrusted},
		{"alone", toPEM(leaf), pool(m.root), "alone(warning) untrusted", bimi.Untrusted},
		{"wrong way round", toPEM(m.issuer, leaf), nil, "order name log policy(warning) kind(warning) revocation(warning) leaves no-logo", bimi.NotAsked},
		{"a gap", toPEM(leaf, m.root), pool(m.root), "chain", bimi.NotAsked},
		{"two leaves", toPEM(leaf, leaf), pool(m.root), "leaves", bimi.NotAsked},
		{"another issuer of the name", toPEM(leaf, other.issuer), pool(m.root), "chain", bimi.NotAsked},
		{"an issuer of others", toPEM(ofWeb, web), pool(m.root), "issuer-usage", bimi.Trusted},
		{"many", toPEM(slices.Repeat([]*x509.Certificate{m.root}, 9)...), nil, "many order usage name log policy(warning) kind(warning) revocation(warning) issuer-usage no-logo", bimi.NotAsked},
		{"empty", "", nil, "none", bimi.NotAsked},
		{"a page", "<html>", nil, "none", bimi.NotAsked},
		{"a key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("x")})) + toPEM(leaf, m.issuer), nil, "private-key", bimi.NotAsked},
		{"rubbish", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), nil, "unreadable", bimi.NotAsked},
		{"huge", strings.Repeat(" ", 300<<10), nil, "long", bimi.NotAsked},
	} {
		got := bimi.ReadCertificate([]byte(tt.file), bimi.CertificateInput{Domain: "a.example", Selector: "default", Roots: tt.roots, Now: m.now})
		if s := certificateCodes(got.Findings); s != tt.want || got.Trust != tt.trust {
			t.Errorf("%s: %q, want %q; trust %s", tt.name, s, tt.want, got.Trust)
		}
	}

	got := bimi.ReadCertificate([]byte(toPEM(leaf, m.issuer)), bimi.CertificateInput{Domain: "a.example", Selector: "default", Now: m.now})
	same, differs := bimi.ReadLogo([]byte(zipped(svg))), bimi.ReadLogo([]byte(svg+"\n"))
	if f := got.Compare(&same); f != nil {
		t.Errorf("%v", f)
	}
	if f := got.Compare(&differs); certificateCodes(f) != "other-logo" {
		t.Errorf("%v", f)
	}
	if f := got.Compare(nil); f != nil {
		t.Errorf("%v", f)
	}
}

func pool(c *x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c)
	return p
}

// TestRoots: the real roots' own certificates can be read.
func TestRoots(t *testing.T) {
	b, err := os.ReadFile(require.Data(t, "bimi-mail-bimi", "checkdmarc", "MVACAs.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		t.Fatal("no roots")
	}
	c := bimi.ReadCertificate(b, bimi.CertificateInput{Domain: "a.example", Roots: roots, Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)})
	if c.Trust == bimi.Untrusted || !strings.HasPrefix(certificateCodes(c.Findings), "order usage name") {
		t.Errorf("%s %s", c.Trust, certificateCodes(c.Findings))
	}
}

// TestHugeKeys: an issuer's key that takes minutes is not tried.
func TestHugeKeys(t *testing.T) {
	m := newMarks(t)
	n := new(big.Int).Lsh(big.NewInt(1), 300_000)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(8), Subject: m.issuer.Subject, IsCA: true, BasicConstraintsValid: true,
		NotBefore: m.issuer.NotBefore, NotAfter: m.issuer.NotAfter, KeyUsage: x509.KeyUsageCertSign}, m.root, &rsa.PublicKey{N: n.Sub(n, big.NewInt(159)), E: 1<<31 - 1}, m.rootKey)
	if err != nil {
		t.Fatal(err)
	}
	huge, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	leaf := m.sign(t, m.leaf(t, fmt.Sprintf(good, "")), m.issuer, m.issuerKey, m.issuerKey)
	began := time.Now()
	c := bimi.ReadCertificate([]byte(toPEM(leaf, huge)), bimi.CertificateInput{Domain: "a.example", Roots: pool(m.root), Now: m.now})
	if took := time.Since(began); took > 2*time.Second || !strings.Contains(certificateCodes(c.Findings), "issuer-key") {
		t.Errorf("%s after %v", certificateCodes(c.Findings), took)
	}
}

func FuzzReadCertificate(f *testing.F) {
	m := newMarks(f)
	leaf := m.sign(f, m.leaf(f, fmt.Sprintf(good, "")), m.issuer, m.issuerKey, m.issuerKey)
	f.Add([]byte(toPEM(leaf, m.issuer)))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	roots := pool(m.root)
	f.Fuzz(func(t *testing.T, b []byte) {
		c := bimi.ReadCertificate(b, bimi.CertificateInput{Domain: "a.example", Selector: "default", Roots: roots, Now: m.now})
		if c.Valid() && (c.Logo == nil || !c.Logo.Valid() || c.Trust != bimi.Trusted) {
			t.Errorf("%+v", c)
		}
	})
}
