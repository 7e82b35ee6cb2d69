package posture

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/dns/dnstest"
)

const logoZone = `$TTL 60
a.example.      IN MX 10 mx.a.example.
mx.a.example.   IN A 192.0.2.1
_dmarc.a.example. IN TXT "v=DMARC1; p=reject; rua=mailto:d@a.example"
default._bimi.a.example. IN TXT "v=BIMI1; l=https://l.example/l.svg; a=https://l.example/c.pem"
sub.a.example.  IN MX 10 mx.a.example.
plain.example.  IN MX 10 mx.a.example.
default._bimi.plain.example. IN TXT "v=BIMI1; l=https://l.example/l.svg; a="
proof.example.  IN MX 10 mx.a.example.
default._bimi.proof.example. IN TXT "v=BIMI1; l=; a=https://l.example/c.pem"
declined.example.  IN MX 10 mx.a.example.
default._bimi.declined.example. IN TXT "v=BIMI1; l=; a="
bad.example.    IN MX 10 mx.a.example.
default._bimi.bad.example. IN TXT "v=BIMI1; l=http://l.example/l.svg"
slow.example.   IN MX 10 mx.a.example.
default._bimi.slow.example. IN TYPE65280 \# 0
none.example.   IN MX 10 mx.a.example.
`

const drawing = `<svg xmlns="http://www.w3.org/2000/svg" version="1.2" baseProfile="tiny-ps" viewBox="0 0 9 9"><title>Example Co.</title></svg>`

// markCertificate makes a mark certificate for names with a logo in it, and
// the pool of its root.
func markCertificate(t *testing.T, now time.Time, svg string, names ...string) (file string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	usage := []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 31}}
	sign := func(c, by *x509.Certificate) *x509.Certificate {
		c.SerialNumber, c.BasicConstraintsValid = big.NewInt(1), true
		c.NotBefore, c.NotAfter = now.AddDate(0, -1, 0), now.AddDate(1, 0, 0)
		der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		out, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "root"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign, UnknownExtKeyUsage: usage}
	root := sign(ca, ca)
	wrap := func(tag byte, parts ...[]byte) []byte {
		b, err := asn1.Marshal(asn1.RawValue{Class: int(tag >> 6), Tag: int(tag & 31), IsCompound: tag&32 != 0, Bytes: slices.Concat(parts...)})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sum := sha256.Sum256([]byte(svg))
	const sequence = 0x30
	details := wrap(sequence, wrap(22, []byte("image/svg+xml")),
		wrap(sequence, wrap(sequence, wrap(sequence, wrap(6, []byte{0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1})), wrap(4, sum[:]))),
		wrap(sequence, wrap(22, []byte("data:image/svg+xml;base64,"+base64.StdEncoding.EncodeToString([]byte(svg))))))
	oid, err := x509.OIDFromInts([]uint64{1, 3, 6, 1, 4, 1, 53087, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	leaf := sign(&x509.Certificate{DNSNames: names, UnknownExtKeyUsage: usage, Policies: []x509.OID{oid}, CRLDistributionPoints: []string{"http://crl.example/"},
		Subject: pkix.Name{Organization: []string{"Example Co."}, ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 53087, 1, 13}, Value: "Prior Use Mark"}}},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 12}, Value: wrap(sequence, wrap(0xa2, wrap(0xa0, wrap(sequence, wrap(sequence, details)))))},
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: []byte{4, 0}}}}, root)
	for _, c := range []*x509.Certificate{leaf, root} {
		file += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	roots = x509.NewCertPool()
	roots.AddCert(root)
	return file, roots
}

func TestLogo(t *testing.T) {
	z, err := dnstest.Parse(strings.NewReader(logoZone), "zone")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	proof, roots := markCertificate(t, now, drawing, "a.example", "proof.example")
	_, others := markCertificate(t, now, drawing, "a.example")
	elsewhere, _ := markCertificate(t, now, drawing, "b.example")
	svg, cert := page{body: drawing}, page{body: proof}
	late := page{err: failure{true, "timeout", ""}}
	gone := page{err: failure{false, "status", "404"}}
	for _, tt := range []struct {
		name, domain string
		logo, cert   page
		roots        *x509.CertPool
		valid        State // of the topic
		logoValid    State
		certValid    State
		same         State
		codes        string
		asked        int
	}{
		{"both", "a.example", svg, cert, roots, Yes, Yes, Yes, Yes, "", 2},
		{"inherited", "sub.a.example", svg, cert, roots, Yes, Yes, Yes, Yes, "", 2},
		{"no roots", "a.example", svg, cert, nil, Yes, Yes, Unknown, Yes, "", 2},
		{"other roots", "a.example", svg, cert, others, No, Yes, No, Yes, "bimi.certificate.untrusted", 2},
		{"another name", "a.example", svg, page{body: elsewhere}, nil, No, Yes, No, Yes, "bimi.certificate.name", 2},
		{"another logo", "a.example", page{body: drawing + "\n"}, cert, roots, No, Yes, No, No, "bimi.certificate.other-logo", 2},
		{"a logo with faults", "a.example", page{body: strings.Replace(drawing, "tiny-ps", "tiny", 1)}, cert, roots, No, No, No, No, "bimi.svg.value bimi.certificate.other-logo", 2},
		{"logo gone", "a.example", gone, cert, roots, No, No, Yes, Unknown, "posture.bimi-logo-unfetched-detail", 2},
		{"logo in vain", "a.example", late, cert, roots, Unknown, Unknown, Yes, Unknown, "", 2},
		{"certificate gone", "a.example", svg, gone, roots, No, Yes, No, Unknown, "posture.bimi-certificate-unfetched-detail", 2},
		{"certificate in vain", "a.example", svg, late, roots, Unknown, Yes, Unknown, Unknown, "", 2},
		{"no certificate", "a.example", svg, page{body: "<html>"}, roots, No, Yes, No, Unknown, "bimi.certificate.none", 2},
		{"logo alone", "plain.example", svg, cert, roots, Yes, Yes, No, Unknown, "bimi.lint.no-certificate", 1},
		{"certificate alone", "proof.example", svg, cert, roots, Yes, Yes, Yes, Unknown, "", 1},
		{"certificate alone, in vain", "proof.example", svg, late, roots, Unknown, Unknown, Unknown, Unknown, "", 1},
		{"declined", "declined.example", svg, cert, roots, Yes, No, No, Unknown, "", 0},
		{"a record that does not count", "bad.example", svg, cert, roots, No, No, No, Unknown, "bimi.lint.uri", 0},
		{"not known", "slow.example", svg, cert, roots, Unknown, Unknown, Unknown, Unknown, "", 0},
		{"none", "none.example", svg, cert, roots, No, No, No, Unknown, "", 0},
		{"no such domain", "nowhere.example", svg, cert, roots, No, No, No, Unknown, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &web{pages: map[string]page{"https://l.example/l.svg": tt.logo, "https://l.example/c.pem": tt.cert}}
			p := Inspect(t.Context(), z, name(t, tt.domain), Options{Fetch: w, BIMIRoots: tt.roots, Now: func() time.Time { return now }})
			l, c := p.BIMI.Logo, p.BIMI.Certificate
			if p.BIMI.Valid != tt.valid || l.Valid != tt.logoValid || c.Valid != tt.certValid || c.SameLogo != tt.same {
				t.Errorf("valid %s, logo %+v, certificate %+v", p.BIMI.Valid, l, c)
			}
			if p.Fact(FactBIMILogo) != tt.logoValid || p.Fact(FactBIMICertificate) != tt.certValid {
				t.Errorf("facts: logo %s, certificate %s", p.Fact(FactBIMILogo), p.Fact(FactBIMICertificate))
			}
			if c.Valid == Yes && (c.Kind != "cmc" || c.Subject != "Example Co." || c.NotAfter == nil || c.Trusted != Yes) || l.Valid == Yes && l.Title != "Example Co." {
				t.Errorf("logo %+v, certificate %+v", l, c)
			}
			var codes []string
			for _, f := range p.Findings {
				if f.Topic == TopicBIMI && f.Code != "posture.bimi-not-eligible" {
					codes = append(codes, f.Code)
				}
			}
			if got := strings.Join(codes, " "); got != tt.codes {
				t.Errorf("findings %q, want %q", got, tt.codes)
			}
			if len(w.asked) != tt.asked {
				t.Errorf("asked for %q", w.asked)
			}
			for _, u := range w.asked {
				if !strings.HasPrefix(u, "chosen ") {
					t.Errorf("%s: the record chose it", u)
				}
			}
			if b, err := json.Marshal(p); err != nil || strings.Contains(string(b), ":null") {
				t.Errorf("%v, or null in a list", err)
			}

			p = Inspect(t.Context(), z, name(t, tt.domain), Options{})
			if p.BIMI.Logo != nil || p.BIMI.Certificate != nil || p.Fact(FactBIMILogo) != Unknown || p.Fact(FactBIMICertificate) != Unknown {
				t.Errorf("without a Fetcher: %+v", p.BIMI)
			}
		})
	}
}
