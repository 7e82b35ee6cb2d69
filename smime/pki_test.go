package smime

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// today is when test messages arrive.
var today = time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)

// issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (i issued) credential(more ...issued) *Credential {
	c := &Credential{Certificate: i.cert, Key: i.key, Now: func() time.Time { return today }}
	for _, m := range more {
		c.Intermediates = append(c.Intermediates, m.cert)
	}
	return c
}

// keys are made once: RSA keys take their time.
var keys sync.Map

func key(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	if k, ok := keys.Load(kind); ok {
		return k.(crypto.Signer)
	}
	var k crypto.Signer
	var err error
	switch kind {
	case "rsa":
		k, err = rsa.GenerateKey(rand.Reader, 2048)
	case "rsa1024":
		k, err = rsa.GenerateKey(rand.Reader, 1024)
	case "p256", "ca":
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "p521":
		k, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "ed25519":
		_, k, err = ed25519.GenerateKey(rand.Reader)
	default: // the same in each process
		seed := sha256.Sum256([]byte(kind))
		k = ed25519.NewKeyFromSeed(seed[:])
	}
	if err != nil {
		t.Fatal(err)
	}
	keys.Store(kind, k)
	return k
}

var serials = big.NewInt(4096)

// issue makes a certificate; without an issuer it is self-signed.
func issue(t testing.TB, k crypto.Signer, by *issued, change func(*x509.Certificate)) issued {
	t.Helper()
	serials = new(big.Int).Add(serials, big.NewInt(1))
	c := &x509.Certificate{SerialNumber: serials, Subject: pkix.Name{CommonName: "Test Signer", Organization: []string{"Sekai City"}},
		NotBefore: today.AddDate(-1, 0, 0), NotAfter: today.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
		EmailAddresses: []string{"news@city.example.jp"}}
	if change != nil {
		change(c)
	}
	parent, signer := c, k
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, k.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return issued{cert, k}
}

func authority(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.BasicConstraintsValid = true, true
		c.KeyUsage, c.ExtKeyUsage, c.EmailAddresses = x509.KeyUsageCertSign, nil, nil
		c.NotBefore, c.NotAfter = today.AddDate(-5, 0, 0), today.AddDate(5, 0, 0)
	}
}

// pki is a root, an authority below it and what trusts the root.
type pki struct {
	root, middle issued
	v            *Verifier
	file         string // the root, PEM
}

func newPKI(t testing.TB) *pki {
	t.Helper()
	p := &pki{}
	p.root = issue(t, key(t, "ca"), nil, authority("Test Root"))
	p.middle = issue(t, key(t, "p384"), &p.root, authority("Test Mail CA"))
	p.v = &Verifier{Roots: x509.NewCertPool()}
	p.v.Roots.AddCert(p.root.cert)
	p.file = writePEM(t, "root.pem", p.root.cert)
	return p
}

func (p *pki) leaf(t testing.TB, kind string, change func(*x509.Certificate)) issued {
	t.Helper()
	return issue(t, key(t, kind), &p.middle, change)
}

func writePEM(t testing.TB, name string, certs ...*x509.Certificate) string {
	t.Helper()
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// writeKey writes a certificate and its key for OpenSSL.
func writeKey(t testing.TB, i issued) (cert, keyFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "cert.pem", i.cert), path
}

// utf8Name is a subjectAltName with one SmtpUTF8Mailbox.
func utf8Name(t testing.TB, address string) pkix.Extension {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidSmtpUTF8Mailbox)
			b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(address)) })
			})
		})
	})
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: b.BytesOrPanic()}
}
