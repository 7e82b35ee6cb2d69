package smime_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"sekimori/message"
	"sekimori/smime"
)

// A message is signed, and verified by somebody who trusts the signer's root.
func Example() {
	arrived := time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "City Hall"}, EmailAddresses: []string{"news@city.example.jp"},
		NotBefore: arrived.AddDate(0, -1, 0), NotAfter: arrived.AddDate(1, 0, 0), BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}

	h, body, _ := message.Read(strings.NewReader("From: news@city.example.jp\r\nSubject: news\r\n\r\nfrom the city\r\n"), 0)
	text, _ := io.ReadAll(body)
	signed, err := smime.Sign(h, text, &smime.Credential{Certificate: certificate, Key: key})
	if err != nil {
		panic(err)
	}

	h, body, _ = message.Read(strings.NewReader(string(signed)), 0)
	text, _ = io.ReadAll(body)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	v := &smime.Verifier{Roots: roots}
	r := v.Verify(context.Background(), smime.Input{Header: h, Body: text, Arrived: arrived})
	fmt.Println(r.Status, r.Form, r.Signers[0].Address, r.Signers[0].Match)

	r = v.Verify(context.Background(), smime.Input{Header: h, Body: []byte(strings.Replace(string(text), "city", "town", 1)), Arrived: arrived})
	fmt.Println(r.Status, r.Reason.Code)
	// Output:
	// pass detached news@city.example.jp address
	// fail smime.content-differs
}
