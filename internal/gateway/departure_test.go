package gateway

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"sekimori/dkim"
	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/internal/require"
	"sekimori/message"
)

func signDomain(t testing.TB, s string) domain.Name {
	t.Helper()
	n, err := domain.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// makeKey writes a new private key into a file that only its owner can read.
func makeKey(t testing.TB, bits int) string {
	t.Helper()
	var key crypto.Signer
	var err error
	if bits == 256 {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, bits)
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return keyFile(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func keyFile(t testing.TB, text []byte, mode os.FileMode) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "key*.pem")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.Name(), mode); err != nil { // past the umask
		t.Fatal(err)
	}
	return f.Name()
}

func loadKeys(t testing.TB, keys ...Key) *Signer {
	t.Helper()
	s, _, err := LoadKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// zoneOf is the DNS in which the keys of a Signer are published.
func zoneOfKeys(t testing.TB, s *Signer) *dnstest.Zone {
	t.Helper()
	var b strings.Builder
	for _, k := range s.keys {
		fmt.Fprintf(&b, "%s. IN TXT \"%s\"\n", k.name, k.record)
	}
	z, err := dnstest.Parse(strings.NewReader(b.String()), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func signText(t testing.TB, s *Signer, text string) (fields []string, signed string) {
	t.Helper()
	h, body, err := message.Read(strings.NewReader(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	fields, err = s.Sign(h, body)
	if err != nil {
		t.Fatal(err)
	}
	return fields, strings.Join(fields, "") + text
}

func verifyText(t testing.TB, r dns.Resolver, text string) []dkim.Result {
	t.Helper()
	h, body, err := message.Read(strings.NewReader(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	results, err := (&dkim.Verifier{Resolver: r}).Verify(context.Background(), h, body)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func onWire(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

var departures = map[string]string{
	"plain":      "From: Taro <taro@example.jp>\nTo: a@example.org\nSubject: hello\nDate: Sun, 22 Nov 2026 12:00:00 +0900\nMessage-ID: <1@example.jp>\n\nbody\n",
	"folded":     "From: Taro\n <taro@example.jp>\nSubject: a\n  b\n\tc\nReferences: <1@x>\n <2@x>\n\nbody \n\n\n",
	"empty body": "From: taro@example.jp\n\n",
	"no body":    "From: taro@example.jp\nSubject: x\n",
	"8-bit":      "From: =?utf-8?B?5bGx55Sw?= <taro@example.jp>\nSubject: 日本語\nContent-Type: text/plain; charset=utf-8\n\n本文です\n.dots\n",
	"two in one": "From: a@example.jp, b@example.jp\nSender: a@example.jp\n\nbody\n",
	"group":      "From: Staff: a@example.jp, b@example.jp;\n\nbody\n",
	"subdomain":  "From: taro@mail.dept.example.jp\n\nbody\n",
	"upper case": "FROM: TARO@EXAMPLE.JP\n\nbody\n",
	"many to":    "From: taro@example.jp\nTo: " + strings.Repeat("someone@example.org,\n ", 2000) + "a@example.org\n\nbody\n",
}

// TestSignedVerifies has what is signed verified by ourselves and by others.
func TestSignedVerifies(t *testing.T) {
	s := loadKeys(t,
		Key{signDomain(t, "example.jp"), "r2026", makeKey(t, 2048)},
		Key{signDomain(t, "example.jp"), "e2026", makeKey(t, 256)},
	)
	zone := zoneOfKeys(t, s)
	signed := map[string]string{}
	for what, text := range departures {
		fields, out := signText(t, s, onWire(text))
		if len(fields) != 2 || !strings.Contains(fields[0], "a=rsa-sha256") || !strings.Contains(fields[1], "a=ed25519-sha256") {
			t.Fatalf("%s: fields %q", what, fields)
		}
		for _, f := range fields {
			if strings.Contains(f, "i=") || !strings.HasPrefix(f, "DKIM-Signature: v=1;") || !strings.HasSuffix(f, "\r\n") {
				t.Errorf("%s: %q", what, f)
			}
		}
		for _, r := range verifyText(t, zone, out) {
			if r.Status != dkim.Pass || r.Domain.String() != "example.jp" {
				t.Errorf("%s: %s %v", what, r.Status, r.Reason)
			}
		}
		signed[what] = out
		// An MTA hands its milter folds by LF: the same signature comes of it.
		if _, lf := signText(t, s, text); !strings.HasPrefix(lf, "DKIM-Signature") {
			t.Errorf("%s: not signed with LF", what)
		} else {
			for _, r := range verifyText(t, zone, onWire(lf)) {
				if r.Status != dkim.Pass {
					t.Errorf("%s, signed with LF and sent with CRLF: %v", what, r.Reason)
				}
			}
		}
	}
	t.Run("go-msgauth", func(t *testing.T) {
		lookup := func(n string) ([]string, error) {
			a, err := zone.Lookup(context.Background(), n, dns.TXT)
			return a.Records, err
		}
		for what, text := range signed {
			if what == "no body" {
				text += "\r\n" // it wants an end of the header
			}
			list, err := msgauth.VerifyWithOptions(strings.NewReader(text), &msgauth.VerifyOptions{LookupTXT: lookup})
			if err != nil || len(list) != 2 {
				t.Errorf("%s: %d verifications, %v", what, len(list), err)
			}
			for _, v := range list {
				if v.Err != nil {
					t.Errorf("%s: %v", what, v.Err)
				}
			}
		}
	})
	t.Run("opendkim", func(t *testing.T) {
		path := require.Program(t, "opendkim", "opendkim")
		dir := t.TempDir()
		var table strings.Builder
		for _, k := range s.keys {
			fmt.Fprintf(&table, "%s %s\n", k.name, k.record)
		}
		writeIn(t, dir, "keys", table.String())
		writeIn(t, dir, "conf", "Mode v\nSyslog no\nRequireSafeKeys no\nOn-Default accept\nAuthservID mx.example\nTemporaryDirectory "+dir+"\nTestPublicKeys "+dir+"/keys\n")
		for what, text := range signed {
			if what == "no body" {
				text += "\r\n" // OpenDKIM wants an end of the header
			}
			out, err := exec.Command(path, "-x", filepath.Join(dir, "conf"), "-t", writeIn(t, dir, "m", text)).CombinedOutput()
			// OpenDKIM tells of one signature, the first, and knows RSA only.
			if err != nil || !strings.Contains(string(out), "verification (s=r2026, d=example.jp, 2048-bit key) succeeded") {
				t.Errorf("%s: %v: %s", what, err, out)
			}
		}
	})
}

func writeIn(t testing.TB, dir, file, text string) string {
	t.Helper()
	p := filepath.Join(dir, file)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNotSigned(t *testing.T) {
	s := loadKeys(t, Key{signDomain(t, "example.jp"), "s", makeKey(t, 256)})
	for what, text := range map[string]string{
		"another domain": "From: a@example.org\n\nx\n",
		"above":          "From: a@jp\n\nx\n",
		"looks alike":    "From: a@notexample.jp\n\nx\n",
		"no From":        "Sender: a@example.jp\n\nx\n",
		"two fields":     "From: a@example.jp\nFrom: b@example.jp\n\nx\n",
		"two domains":    "From: a@example.jp, b@example.org\n\nx\n",
		"no domain":      "From: root\n\nx\n",
		"unreadable":     "From: a@example.jp b@example.jp\n\nx\n",
		"nothing":        "",
	} {
		if fields, _ := signText(t, s, onWire(text)); len(fields) != 0 {
			t.Errorf("%s: %q", what, fields)
		}
		h, _, _ := message.Read(strings.NewReader(onWire(text)), 0)
		if n, err := s.Begin(h, &message.Digests{}); n != nil || err != nil {
			t.Errorf("%s: %v, %v", what, n, err)
		}
	}
	for _, none := range []*Signer{nil, {}} {
		if n, err := none.Begin(message.Header{}, &message.Digests{}); n != nil || err != nil || len(none.For(signDomain(t, "example.jp"))) != 0 {
			t.Errorf("without keys: %v, %v", n, err)
		}
	}
}

// TestNearest: a subdomain has its own keys, or those of the nearest domain
// above it.
func TestNearest(t *testing.T) {
	idn := loadKeys(t, Key{signDomain(t, "例え.jp"), "s", makeKey(t, 256)})
	for _, from := range []string{"taro@例え.jp", "taro@xn--r8jz45g.jp", "taro@部.例え.JP"} {
		if fields, _ := signText(t, idn, onWire("From: "+from+"\n\nx\n")); len(fields) != 1 || !strings.Contains(fields[0], "d=xn--r8jz45g.jp;") {
			t.Errorf("%s: %q", from, fields)
		}
	}
	s := loadKeys(t,
		Key{signDomain(t, "example.jp"), "s1", makeKey(t, 256)},
		Key{signDomain(t, "dept.example.jp"), "s2", makeKey(t, 256)},
		Key{signDomain(t, "dept.example.jp"), "s3", makeKey(t, 256)},
	)
	for from, want := range map[string]string{
		"example.jp": "s1", "a.example.jp": "s1", "dept.example.jp": "s2 s3", "x.y.dept.example.jp": "s2 s3", "adept.example.jp": "s1", "jp": "", "example.org": "",
	} {
		var got []string
		for _, k := range s.For(signDomain(t, from)) {
			got = append(got, k.Selector)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", from, got, want)
		}
	}
}

// TestOnce: what is signed already is not signed again, unless the signature is
// broken, forged, or by another key.
func TestOnce(t *testing.T) {
	s := loadKeys(t, Key{signDomain(t, "example.jp"), "r", makeKey(t, 2048)}, Key{signDomain(t, "example.jp"), "e", makeKey(t, 256)})
	text := onWire(departures["plain"])
	fields, once := signText(t, s, text)
	if len(fields) != 2 {
		t.Fatalf("%q", fields)
	}
	if again, _ := signText(t, s, once); len(again) != 0 {
		t.Errorf("signed twice: %q", again)
	}
	// One of two keys is missing.
	if again, _ := signText(t, s, fields[0]+text); len(again) != 1 || !strings.Contains(again[0], "s=e;") {
		t.Errorf("the other key: %q", again)
	}
	// A filter changed the message.
	for _, changed := range []string{strings.Replace(once, "body", "BODY", 1), strings.Replace(once, "Subject: hello", "Subject: [spam?] hello", 1)} {
		again, out := signText(t, s, changed)
		if len(again) != 2 {
			t.Errorf("changed: %q", again)
		}
		passes := 0
		for _, r := range verifyText(t, zoneOfKeys(t, s), out) {
			if r.Status == dkim.Pass {
				passes++
			}
		}
		if passes != 2 {
			t.Errorf("%d signatures pass", passes)
		}
	}
	// Somebody writes a field that looks like ours.
	forged := "DKIM-Signature: v=1; a=rsa-sha256; d=example.jp; s=r; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
	if again, _ := signText(t, s, strings.Repeat(forged, 50)+text); len(again) != 2 {
		t.Errorf("forged: %q", again)
	}
	// Only so many are looked at.
	began := time.Now()
	if again, _ := signText(t, s, strings.Repeat(forged, 5000)+text); len(again) != 2 || time.Since(began) > 5*time.Second {
		t.Errorf("many: %q in %v", again, time.Since(began))
	}
	// A signature of somebody else's is none of ours.
	if again, _ := signText(t, s, strings.Replace(forged, "d=example.jp", "d=example.org", 1)+text); len(again) != 2 {
		t.Errorf("another's: %q", again)
	}
}

// TestSupplied: a host on the way may supply Date and Message-ID, and nothing
// else.
func TestSupplied(t *testing.T) {
	s := loadKeys(t, Key{signDomain(t, "example.jp"), "e", makeKey(t, 256)})
	_, out := signText(t, s, onWire("From: a@example.jp\nSubject: x\n\nbody\n"))
	for add, want := range map[string]dkim.Status{
		"Date: Sun, 22 Nov 2026 12:00:00 +0900\r\nMessage-ID: <1@relay>\r\n": dkim.Pass,
		"Received: from x\r\n":            dkim.Pass,
		"Subject: another\r\n":            dkim.Fail,
		"From: b@example.jp\r\n":          dkim.Fail,
		"To: victim@example.org\r\n":      dkim.Fail,
		"Content-Type: text/html\r\n":     dkim.Fail,
		"Reply-To: thief@example.org\r\n": dkim.Fail,
	} {
		if r := verifyText(t, zoneOfKeys(t, s), add+out); len(r) != 1 || r[0].Status != want {
			t.Errorf("%q: %+v", add, r)
		}
	}
	// Where they are there, no second one may come.
	_, out = signText(t, s, onWire(departures["plain"]))
	for _, add := range []string{"Date: Sun, 22 Nov 2026 12:00:00 +0900\r\n", "Message-ID: <1@relay>\r\n"} {
		if r := verifyText(t, zoneOfKeys(t, s), add+out); r[0].Status != dkim.Fail {
			t.Errorf("%q: %v", add, r[0].Status)
		}
	}
}

// TestLarge: the body goes through in pieces and is not kept.
func TestLarge(t *testing.T) {
	s := loadKeys(t, Key{signDomain(t, "example.jp"), "e", makeKey(t, 256)})
	h, _, _ := message.Read(strings.NewReader("From: a@example.jp\r\n\r\n"), 0)
	var d message.Digests
	n, err := s.Begin(h, &d)
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 70) + "\r\n")
	for range 200000 {
		if _, err := d.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	fields, err := n.Finish()
	if err != nil || len(fields) != 1 {
		t.Fatalf("%v, %v", fields, err)
	}
	v := &dkim.Verifier{Resolver: zoneOfKeys(t, s)}
	signed, ok := message.ParseField(fields[0])
	if !ok {
		t.Fatal("no field")
	}
	body := io.LimitReader(&repeatedLine{line: line}, int64(200000*len(line)))
	r, err := v.Verify(context.Background(), append(message.Header{signed}, h...), body)
	if err != nil || len(r) != 1 || r[0].Status != dkim.Pass {
		t.Errorf("%+v, %v", r, err)
	}
}

// repeatedLine is a line without end.
type repeatedLine struct {
	line []byte
	at   int
}

func (r *repeatedLine) Read(p []byte) (int, error) {
	n := copy(p, r.line[r.at:])
	r.at = (r.at + n) % len(r.line)
	return n, nil
}

func BenchmarkSign(b *testing.B) {
	for _, c := range []struct {
		what string
		bits []int
	}{{"rsa", []int{2048}}, {"ed25519", []int{256}}, {"both", []int{2048, 256}}} {
		b.Run(c.what, func(b *testing.B) {
			var keys []Key
			for i, bits := range c.bits {
				keys = append(keys, Key{signDomain(b, "example.jp"), fmt.Sprintf("s%d", i), makeKey(b, bits)})
			}
			s := loadKeys(b, keys...)
			h, _, _ := message.Read(strings.NewReader(onWire(departures["plain"])), 0)
			body := strings.Repeat("a line of text, as mail has many of them\r\n", 240)
			b.ReportAllocs()
			for b.Loop() {
				if f, err := s.Sign(h, strings.NewReader(body)); err != nil || len(f) != len(c.bits) {
					b.Fatal(f, err)
				}
			}
		})
	}
}

// FuzzSign: whatever is signed verifies as it was handed over.
func FuzzSign(f *testing.F) {
	s := loadKeys(f, Key{signDomain(f, "example.jp"), "e", makeKey(f, 256)})
	zone := zoneOfKeys(f, s)
	for _, text := range departures {
		f.Add([]byte(text))
	}
	f.Add([]byte("From:taro@example.jp\r\n \r\n\tx\r\nSubject:\r\n\r\nb"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, body, err := message.Read(bytes.NewReader(text), 0)
		if err != nil {
			return
		}
		whole, err := io.ReadAll(body)
		if err != nil {
			return
		}
		fields, err := s.Sign(h, bytes.NewReader(whole))
		if err != nil {
			t.Fatal(err)
		}
		if len(fields) == 0 {
			return
		}
		signed, ok := message.ParseField(fields[0])
		if !ok {
			t.Fatalf("no field: %q", fields[0])
		}
		r, err := (&dkim.Verifier{Resolver: zone}).Verify(context.Background(), append(message.Header{signed}, h...), bytes.NewReader(whole))
		if err != nil || r[0].Status != dkim.Pass {
			t.Errorf("%v, %v: %q", r, err, fields[0])
		}
		again, err := s.Sign(append(message.Header{signed}, h...), bytes.NewReader(whole))
		if err != nil || len(again) != 0 {
			t.Errorf("signed again: %q, %v", again, err)
		}
	})
}
