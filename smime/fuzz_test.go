package smime

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"math/big"
	"testing"

	"sekimori/message"
)

// FuzzVerify: whatever comes, the result explains itself, and a pass is one in
// every respect.
func FuzzVerify(f *testing.F) {
	// Ed25519 from fixed seeds: all processes that fuzz trust the same root.
	root := issue(f, key(f, "fixed root"), nil, func(c *x509.Certificate) {
		authority("Fixed Root")(c)
		c.SerialNumber = big.NewInt(1)
	})
	leaf := issue(f, key(f, "fixed leaf"), &root, nil)
	v := &Verifier{Roots: x509.NewCertPool()}
	v.Roots.AddCert(root.cert)
	for _, opaque := range []bool{false, true} {
		c := leaf.credential()
		c.Opaque = opaque
		raw := sign(f, c, plainMail)
		in := parse(f, raw)
		in.Arrived = today
		if r := v.Verify(context.Background(), in); r.Status != Pass {
			f.Fatal(r)
		}
		f.Add(raw)
	}
	f.Add([]byte("From: a@b.example\nContent-Type: multipart/signed; boundary=b\n\n--b\n\nx\n--b\nContent-Type: application/pkcs7-signature\n\nMIAGCSqGSIb3DQEHAqCA\n--b--\n"))
	f.Add([]byte("From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/octet-stream; name=x.p7m\n\n0\x80\n--b--\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, rest, err := message.Read(bytes.NewReader(raw), 0)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(rest)
		given := bytes.Clone(body)
		r := v.Verify(context.Background(), Input{Header: h, Body: body, Arrived: today})
		if !bytes.Equal(given, body) {
			t.Error("the body was changed")
		}
		if r.Form == "" && r.Status != None || r.Form != "" && (r.Reason.Code == "" || len(r.Steps) == 0) {
			t.Errorf("%+v explains nothing", r)
		}
		if r.Status != Pass {
			return
		}
		good := 0
		for _, s := range r.Signers {
			if s.Status == Pass {
				good++
				if s.Signature != Yes || s.Chain != Yes || s.Valid != Yes || s.Match != MatchAddress || s.Usage != Yes || !r.Whole {
					t.Errorf("%+v passes", s)
				}
			}
		}
		if good == 0 {
			t.Errorf("%+v passes", r)
		}
	})
}

// FuzzSignedData: what is read lies in the input, and is never more than was
// asked for.
func FuzzSignedData(f *testing.F) {
	p := newPKI(f)
	c := p.leaf(f, "p256", nil).credential(p.middle)
	for _, opaque := range []bool{false, true} {
		c.Opaque = opaque
		cms, _, err := c.signedData([]byte("Content-Type: text/plain\r\n\r\nx\r\n"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(cms)
	}
	f.Add([]byte("\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80\x06\x01\x2a\xa0\x80\x24\x80\x04\x01a\x00\x00\x00\x00\x00\x00\x31\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		limits := Limits{Certificates: 2, Signers: 2}.withDefaults()
		_, s, err := contentInfo(in)
		if err != nil {
			return
		}
		d, err := readSignedData(s, limits)
		if err != nil {
			return
		}
		if len(d.certificates) > 2 || len(d.signers) > 2 || len(d.content) > len(in) {
			t.Errorf("%d certificates, %d signers, %d octets of %d", len(d.certificates), len(d.signers), len(d.content), len(in))
		}
		for i := range d.signers {
			if d.signers[i].hasAttributes {
				d.signers[i].toBeSigned()
			}
		}
		for _, raw := range d.certificates {
			if c, ok := readCertificate(raw); ok {
				publicKey(c.spki)
				if c.parsed != nil {
					addresses(c.parsed)
				}
			}
		}
	})
}
