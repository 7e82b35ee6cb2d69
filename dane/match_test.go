package dane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate; without an issuer, one that signs itself.
func issue(t *testing.T, by *issued, ca bool, until time.Time, names ...string) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "of this test", SerialNumber: key.X.String()[:8]}, DNSNames: names,
		IsCA: ca, BasicConstraintsValid: true, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until}
	if ca {
		tmpl.KeyUsage = x509.KeyUsageCertSign
	}
	parent, signer := tmpl, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{c, key}
}

func TestAuthenticates(t *testing.T) {
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	root := issue(t, nil, true, soon)
	middle := issue(t, root, true, soon)
	leaf := issue(t, middle, false, soon, "mx.example")
	old := issue(t, middle, false, past, "mx.example")
	other := issue(t, nil, true, soon)
	chain := func(all ...*issued) (out []*x509.Certificate) {
		for _, c := range all {
			out = append(out, c.cert)
		}
		return out
	}
	spki := func(c *issued) string {
		s := sha256.Sum256(c.cert.RawSubjectPublicKeyInfo)
		return string(s[:])
	}
	whole512 := func(c *issued) string {
		s := sha512.Sum512(c.cert.Raw)
		return string(s[:])
	}
	for _, c := range []struct {
		name   string
		record Record
		chain  []*x509.Certificate
		names  []string
		want   bool
	}{
		{"3 1 1", Record{EE, SPKI, SHA256, spki(leaf)}, chain(leaf), nil, true},
		{"3 0 2", Record{EE, Cert, SHA512, whole512(leaf)}, chain(leaf), nil, true},
		{"3 0 0", Record{EE, Cert, Full, string(leaf.cert.Raw)}, chain(leaf), nil, true},
		{"3 1 1, another's name, expired", Record{EE, SPKI, SHA256, spki(old)}, chain(old), []string{"other.example"}, true},
		{"3 1 1 of the issuer", Record{EE, SPKI, SHA256, spki(middle)}, chain(leaf, middle), []string{"mx.example"}, false},
		{"2 1 1", Record{TA, SPKI, SHA256, spki(middle)}, chain(leaf, middle), []string{"mx.example"}, true},
		{"2 1 1 of the root", Record{TA, SPKI, SHA256, spki(root)}, chain(leaf, middle, root), []string{"x.example", "mx.example"}, true},
		{"2 1 1, root not sent", Record{TA, SPKI, SHA256, spki(root)}, chain(leaf, middle), []string{"mx.example"}, false},
		{"2 0 0, root not sent", Record{TA, Cert, Full, string(root.cert.Raw)}, chain(leaf, middle), []string{"mx.example"}, true},
		{"2 1 1, another name", Record{TA, SPKI, SHA256, spki(middle)}, chain(leaf, middle), []string{"other.example"}, false},
		{"2 1 1, expired", Record{TA, SPKI, SHA256, spki(middle)}, chain(old, middle), []string{"mx.example"}, false},
		{"2 1 1, an issuer of others", Record{TA, SPKI, SHA256, spki(other)}, chain(leaf, other), []string{"mx.example"}, false},
		{"2 1 1 of the host itself", Record{TA, SPKI, SHA256, spki(leaf)}, chain(leaf), []string{"mx.example"}, false},
		{"1 1 1", Record{PKIXEE, SPKI, SHA256, spki(leaf)}, chain(leaf), []string{"mx.example"}, false},
		{"nothing shown", Record{EE, SPKI, SHA256, spki(leaf)}, nil, nil, false},
	} {
		if got := Authenticates([]Record{{EE, SPKI, SHA256, spki(other)}, c.record}, Presented{c.chain, c.names, time.Now()}); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
