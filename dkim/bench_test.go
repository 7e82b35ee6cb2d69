package dkim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"sekimori/message"
)

// benchMessage is a message as large as asked for, signed with rsa-2048, with
// the header that mail has on arrival.
func benchMessage(b testing.TB, size int, key crypto.Signer) (string, records) {
	var m strings.Builder
	m.WriteString("Received: from mail.example.jp (mail.example.jp [192.0.2.1])\r\n\tby mx.example.net (Postfix) with ESMTPS id 4XYZ12abcd\r\n\tfor <user@example.net>; Sat, 21 Nov 2026 12:00:00 +0000 (UTC)\r\n")
	m.WriteString("Received: from [10.0.0.5] (unknown [10.0.0.5])\r\n\tby mail.example.jp (Postfix) with ESMTPSA id 1A2B3C4D5E\r\n\tfor <user@example.net>; Sat, 21 Nov 2026 21:00:00 +0900 (JST)\r\n")
	m.WriteString("From: =?UTF-8?B?5bGx55Sw5aSq6YOO?= <yamada@example.jp>\r\nTo: user@example.net\r\nSubject: =?UTF-8?B?44GK55+l44KJ44Gb?=\r\n")
	m.WriteString("Date: Sat, 21 Nov 2026 21:00:00 +0900\r\nMessage-ID: <20261121.1@example.jp>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n")
	m.WriteString("X-Mailer: Example 1.0\r\nList-Unsubscribe: <https://example.jp/u>\r\n\r\n")
	for i := 0; m.Len() < size-1000; i++ {
		fmt.Fprintf(&m, "Line %d of a message that says nothing at all, in words of usual length.\r\n", i)
		if i%9 == 8 {
			m.WriteString("\r\n")
		}
	}
	s := &Signer{Domain: name("example.jp"), Selector: "r2", Key: key, Now: at(testTime)}
	return signed(b, m.String(), s), records{"r2._domainkey.example.jp": {record(key)}}
}

func benchVerify(b *testing.B, size int) {
	msg, zone := benchMessage(b, size, rsa2048())
	raw := []byte(msg)
	b.Run("limit", func(b *testing.B) {
		key := rsa2048()
		digest := sha256.Sum256([]byte(msg))
		sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(msg)))
		for b.Loop() {
			digest := sha256.Sum256(raw)
			if rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], sig) != nil {
				b.Fatal("the signature is wrong")
			}
		}
	})
	b.Run("ours", func(b *testing.B) {
		v := &Verifier{Resolver: zone, Now: at(testTime), Sequential: true}
		b.SetBytes(int64(len(msg)))
		b.ReportAllocs()
		for b.Loop() {
			h, body, err := message.Read(bytes.NewReader(raw), 0)
			if err != nil {
				b.Fatal(err)
			}
			res, err := v.Verify(context.Background(), h, body)
			if err != nil || len(res) != 1 || res[0].Status != Pass {
				b.Fatalf("%+v %v", res, err)
			}
		}
	})
	// Without reading the header, and without a signature and a hash to speak
	// of: what is this package's own.
	b.Run("own", func(b *testing.B) {
		msg, zone := benchMessage(b, size, edKey())
		v := &Verifier{Resolver: zone, Now: at(testTime), Sequential: true}
		h, _, err := message.Read(strings.NewReader(msg), 0)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			var d message.Digests
			n := v.Begin(context.Background(), h, &d)
			n.sigs[0].sig.Value = n.sigs[0].sig.Value[:1] // refused at once
			d.Close()
			n.Finish(context.Background())
		}
	})
	b.Run("go-msgauth", func(b *testing.B) {
		b.SetBytes(int64(len(msg)))
		b.ReportAllocs()
		lookup := func(name string) ([]string, error) { return zone[name], nil }
		for b.Loop() {
			res, err := msgauth.VerifyWithOptions(bytes.NewReader(raw), &msgauth.VerifyOptions{LookupTXT: lookup})
			if err != nil || len(res) != 1 || res[0].Err != nil {
				b.Fatal(res, err)
			}
		}
	})
}

func BenchmarkVerify10K(b *testing.B)  { benchVerify(b, 10<<10) }
func BenchmarkVerify100K(b *testing.B) { benchVerify(b, 100<<10) }

func BenchmarkSign10K(b *testing.B) {
	msg, _ := benchMessage(b, 10<<10, edKey())
	raw := []byte(msg)
	s := &Signer{Domain: name("example.jp"), Selector: "ed", Key: edKey()}
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		h, body, err := message.Read(bytes.NewReader(raw), 0)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Sign(h, body, s); err != nil {
			b.Fatal(err)
		}
	}
}
