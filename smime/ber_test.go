package smime

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"
)

func TestOID(t *testing.T) {
	for in, want := range map[string]string{
		"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02": oidSignedData,
		"\x2b\x65\x70":                         "1.3.101.112",
		"\x88\x37":                             "2.999",
		"":                                     "",
		"\x80":                                 "",
		"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f": "",
	} {
		if got := oid([]byte(in)); got != want {
			t.Errorf("oid(%x) = %q, want %q", in, got, want)
		}
	}
}

// TestBER reads the same values in each way of writing their length.
func TestBER(t *testing.T) {
	for in, want := range map[string]string{
		"\x04\x03abc":                                   "abc",
		"\x04\x81\x03abc":                               "abc",
		"\x04\x84\x00\x00\x00\x03abc":                   "abc",
		"\x24\x05\x04\x01a\x04\x00":                     "a",
		"\x24\x80\x04\x01a\x04\x02bc\x00\x00":           "abc",
		"\x24\x80\x24\x80\x04\x03abc\x00\x00\x00\x00":   "abc",
		"\x24\x80\x24\x05\x04\x03abc\x04\x01d\x00\x00":  "abcd",
		"\x24\x80\x00\x00":                              "",
		"\x24\x80\x04\x01a\x04\x02bc\x00":               "!",
		"\x24\x80\x04\x01a\x02\x01b\x00\x00":            "!",
		"\x04\x80abc\x00\x00":                           "!",
		"\x04\x04abc":                                   "!",
		"\x04\x85\x01\x00\x00\x00\x00abc":               "!",
		"\x04":                                          "!",
		"\x1f\x81\x01\x00":                              "!",
		strings.Repeat("\x24\x80", 6) + "\x04\x01a":     "!",
		strings.Repeat("\x24\x80", 100) + "\x04\x01a":   "!",
		"\x24\x80" + strings.Repeat("\x24\x80", 1<<16):  "!",
		"\x24\x84\x7f\xff\xff\xff\x04\x01a":             "!",
		"\x24\x80\x04\x88\xff\xff\xff\xff\xff\xff\xff1": "!",
	} {
		s := newScanner([]byte(in))
		e, err := s.next()
		var got []byte
		if err == nil {
			got, err = s.octets(e)
		}
		if want == "!" && err == nil || want != "!" && (err != nil || string(got) != want) {
			t.Errorf("%.20x: %q %v, want %q", in, got, err, want)
		}
	}
}

func TestDistinguished(t *testing.T) {
	in := []byte("\x31\x80\x30\x80\x02\x81\x01\x05\x00\x00\x30\x84\x00\x00\x00\x02\x05\x00\x00\x00")
	s := newScanner(in)
	e, err := s.next()
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.distinguished(e, 0)
	if want := []byte("\x31\x09\x30\x03\x02\x01\x05\x30\x02\x05\x00"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x %v, want %x", got, err, want)
	}
}

// TestHostile bounds the time that the worst bodies take.
func TestHostile(t *testing.T) {
	head := "From: a@b.example\r\nContent-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: binary\r\n\r\n"
	mixed := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	for name, raw := range map[string]string{
		"elements of nothing":  head + "\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80" + strings.Repeat("\x30\x00", 8<<20),
		"nested":               head + strings.Repeat("\x30\x80", 8<<20),
		"nested and closed":    head + strings.Repeat("\x30\x80", 8<<20) + strings.Repeat("\x00", 1<<20),
		"boundaries":           "From: a@b.example\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n", 2<<20),
		"boundaries, nested":   "From: a@b.example\r\n" + strings.Repeat(mixed+"--b\r\n", 100) + strings.Repeat("--b\r\n\r\n", 1<<20),
		"signed of many parts": "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n", 200<<10),
	} {
		in := parse(t, []byte(raw))
		begin := time.Now()
		r := (&Verifier{}).Verify(context.Background(), in)
		if took := time.Since(begin); took > 2*time.Second || r.Status == Pass {
			t.Errorf("%s: %s after %v", name, r.Status, took)
		}
	}
}

// TestHugeKeys: keys that would take minutes are not tried.
func TestHugeKeys(t *testing.T) {
	p := newPKI(t)
	n := new(big.Int).Lsh(big.NewInt(1), 300_000)
	n.Sub(n, big.NewInt(159))
	huge := func(c *x509.Certificate) {
		authority("Huge CA")(c)
		c.SubjectKeyId = []byte("huge")
	}
	serials = new(big.Int).Add(serials, big.NewInt(1))
	template := &x509.Certificate{SerialNumber: serials}
	huge(template)
	der, err := x509.CreateCertificate(rand.Reader, template, p.root.cert, &rsa.PublicKey{N: n, E: 1<<31 - 1}, p.root.key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	// Issued under the huge one's name, with a signature of its length.
	fake := issue(t, key(t, "rsa"), nil, huge)
	leaf := issue(t, key(t, "p256"), &fake, nil)
	var parts struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	if _, err := asn1.Unmarshal(leaf.cert.Raw, &parts); err != nil {
		t.Fatal(err)
	}
	parts.Signature = asn1.BitString{Bytes: bytes.Repeat([]byte{1}, 300_000/8), BitLength: 300_000}
	if der, err = asn1.Marshal(parts); err != nil {
		t.Fatal(err)
	}
	if leaf.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	c := leaf.credential(issued{cert: ca})
	begin := time.Now()
	r := p.verify(t, sign(t, c, plainMail))
	if took := time.Since(begin); took > 2*time.Second || r.Reason.Code != "smime.chain-untrusted" {
		t.Errorf("%s after %v", r.Reason.Code, took)
	}
}
