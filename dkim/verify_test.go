package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/message"
)

// records is a Resolver of TXT records.
type records map[string][]string

func (r records) Lookup(_ context.Context, name string, t dns.Type) (dns.Answer, error) {
	txt, ok := r[strings.ToLower(strings.TrimSuffix(name, "."))]
	if !ok || t != dns.TXT {
		return dns.Answer{}, dns.ErrNameNotFound
	}
	if len(txt) == 1 && txt[0] == "SERVFAIL" {
		return dns.Answer{}, dns.ErrTemporary
	}
	return dns.Answer{Records: txt}, nil
}

// Keys for the tests, made once.
var (
	rsa1024 = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(1024) })
	rsa2048 = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	edKey   = sync.OnceValue(func() ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))
	})
)

func newRSA(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

func record(k crypto.Signer) string {
	key, err := NewKey(k.Public())
	if err != nil {
		panic(err)
	}
	return key.String()
}

func name(s string) domain.Name {
	n, err := domain.Parse(s)
	if err != nil {
		panic(err)
	}
	return n
}

// testTime is when the tests happen.
var testTime = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// crlf makes line ends what they are on the wire.
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// verify verifies a message as text.
func verify(t testing.TB, v *Verifier, msg string) []Result {
	t.Helper()
	h, body, err := message.Read(strings.NewReader(msg), 0)
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Verify(context.Background(), h, body)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// signed puts the signatures of signers on a message.
func signed(t testing.TB, msg string, signers ...*Signer) string {
	t.Helper()
	h, body, err := message.Read(strings.NewReader(msg), 0)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := Sign(h, body, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(fields, "") + msg
}

const sample = "From: 山田 <yamada@example.jp>\r\n" +
	"To: a@example.com,\r\n\tb@example.com\r\n" +
	"Subject:  Hello   world \r\n" +
	"Date: Sat, 21 Nov 2026 21:00:00 +0900\r\n" +
	"Message-ID: <1@example.jp>\r\n" +
	"\r\n" +
	"First  line \t\r\n\r\n  second\tline\r\n\r\n\r\n"

func TestSignThenVerify(t *testing.T) {
	v := &Verifier{Now: at(testTime), Resolver: records{
		"r1._domainkey.example.jp": {record(rsa1024())},
		"r2._domainkey.example.jp": {record(rsa2048())},
		"ed._domainkey.example.jp": {record(edKey())},
	}}
	for _, hc := range []message.Canonicalization{message.Simple, message.Relaxed} {
		for _, bc := range []message.Canonicalization{message.Simple, message.Relaxed} {
			var signers []*Signer
			for sel, key := range map[string]crypto.Signer{"r1": rsa1024(), "r2": rsa2048(), "ed": edKey()} {
				signers = append(signers, &Signer{Domain: name("example.jp"), Selector: sel, Key: key,
					HeaderCanon: hc, BodyCanon: bc, Expires: time.Hour, Identity: "yamada@example.jp", Now: at(testTime)})
			}
			msg := signed(t, sample, signers...)
			for _, line := range strings.SplitAfter(msg, "\r\n") {
				if strings.HasPrefix(line, "From") {
					break
				}
				if len(line) > 79 {
					t.Errorf("line of %d columns: %q", len(line)-2, line)
				}
			}
			res := verify(t, v, msg)
			if len(res) != 3 {
				t.Fatalf("%s/%s: %d results, want 3", hc, bc, len(res))
			}
			for _, r := range res {
				if r.Status != Pass {
					t.Errorf("%s/%s %s: %s, want pass: %+v", hc, bc, r.Selector, r.Status, r.Reason)
				}
			}
			for _, change := range []struct{ from, to, want string }{
				{"Subject:  Hello", "Subject:  Hallo", "dkim.signature-invalid"},
				{"second", "third!", "dkim.body-hash-differs"},
				{"\r\nDate:", "\r\nSubject: added\r\nDate:", "dkim.signature-invalid"},
				{"\r\nDate:", "\r\nCc: added@example.net\r\nDate:", "dkim.signature-invalid"},
			} {
				for _, r := range verify(t, v, strings.Replace(msg, change.from, change.to, 1)) {
					if r.Status != Fail || r.Reason.Code != change.want {
						t.Errorf("%s/%s %s, %q changed: %s %s, want fail %s", hc, bc, r.Selector, change.from, r.Status, r.Reason.Code, change.want)
					}
				}
			}
		}
	}
}
