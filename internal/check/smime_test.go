package check

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"

	"sekimori/authres"
	"sekimori/dkim"
	"sekimori/message"
	"sekimori/smime"
)

// smimeSigned signs a draft with S/MIME, then with DKIM, as a sender does.
func smimeSigned(t testing.TB, draft string, opaque bool) (string, *smime.Verifier) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Bank"}, EmailAddresses: []string{"info@bank.example"},
		NotBefore: today.AddDate(-1, 0, 0), NotAfter: today.AddDate(1, 0, 0), BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	h, body, err := message.Read(strings.NewReader(crlfs(draft)), 0)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := smime.Sign(h, text, &smime.Credential{Certificate: cert, Key: key, Opaque: opaque})
	if err != nil {
		t.Fatal(err)
	}
	v := &smime.Verifier{Roots: x509.NewCertPool()}
	v.Roots.AddCert(cert)
	return signed(t, string(raw), bankKey), v
}

const bankLetter = "From: info@bank.example\nTo: customer@receiver.example\nSubject: statement\nDate: Fri, 20 Nov 2026 18:29:58 +0900\n\nYour statement is ready.\n\nFrom us, with care.\n"

func checkAt(t testing.TB, c *Checker, text string) Verdict {
	t.Helper()
	in := bankInput
	in.Time = today
	v, err := c.Check(context.Background(), in, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSMIME(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		text, v := smimeSigned(t, bankLetter, opaque)
		got := checkAt(t, &Checker{Resolver: bankResolver(t), SMIME: v}, text)
		if got.SMIME == nil || got.SMIME.Status != smime.Pass || got.Outcome() != Confirmed || got.DKIM[0].Status != dkim.Pass {
			t.Fatalf("opaque=%v: %+v", opaque, got.SMIME)
		}
		field := got.AuthenticationResults()
		if !strings.HasSuffix(field, "; smime=pass body.smime-identifier=info@bank.example") {
			t.Error(field)
		}
		if r, err := authres.Parse(field); err != nil || r.Results[len(r.Results)-1].Method != "smime" {
			t.Errorf("%+v %v", r, err)
		}
		steps := got.Steps()
		if last := steps[len(steps)-1]; last.Code != "check.smime" || len(last.Children) < 8 {
			t.Errorf("%+v", last)
		}
		raw, err := json.Marshal(got)
		if err != nil || !strings.Contains(string(raw), `"smime":{"result":"pass","form":"`) || !strings.Contains(string(raw), `"addresses":["info@bank.example"]`) {
			t.Errorf("%s %v", raw, err)
		}

		// A body changed by one letter.
		got = checkAt(t, &Checker{Resolver: bankResolver(t), SMIME: v}, strings.Replace(text, "statement is ready", "statement is steady", 1))
		if !opaque && (got.SMIME.Status != smime.Fail || !strings.Contains(got.AuthenticationResults(), "smime=fail reason=content-differs body.smime-identifier=info@bank.example")) {
			t.Errorf("%s", got.AuthenticationResults())
		}

		// Without a verifier nothing is said, and the rest is the same.
		off := checkAt(t, &Checker{Resolver: bankResolver(t)}, text)
		if off.SMIME != nil || off.Outcome() != Confirmed || strings.Contains(off.AuthenticationResults(), "smime") {
			t.Errorf("%+v", off)
		}

		// A body longer than is kept.
		short := checkAt(t, &Checker{Resolver: bankResolver(t), SMIME: &smime.Verifier{Limits: smime.Limits{Body: 500}}}, text)
		if short.SMIME == nil || short.SMIME.Status != smime.Neutral || short.SMIME.Reason.Code != "smime.body-long" || short.Outcome() != Confirmed {
			t.Errorf("%+v", short.SMIME)
		}
	}
}

// TestSMIMEAbsent: mail without S/MIME has the verdict that it had, to the
// letter, and its body is not kept.
// TestSMIMEWrapped: a mailing list puts a signed message beside a note of its
// own.
func TestSMIMEWrapped(t *testing.T) {
	text, v := smimeSigned(t, bankLetter, false)
	h, body, err := message.Read(strings.NewReader(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	var outer, part strings.Builder
	for _, f := range h {
		switch {
		case f.Is("MIME-Version"), f.Is("DKIM-Signature"):
		case f.Is("Content-Type"):
			part.WriteString(f.Raw())
		default:
			outer.WriteString(f.Raw())
		}
	}
	const kind = "MIME-Version: 1.0\r\nContent-Type: Multipart/Mixed; boundary=list\r\n\r\n"
	const note = "\r\n--list\r\nContent-Type: text/plain\r\n\r\nTo unsubscribe, write to us.\r\n--list--\r\n"
	got := checkAt(t, &Checker{Resolver: bankResolver(t), SMIME: v}, outer.String()+kind+"--list\r\n"+part.String()+"\r\n"+string(inner)+note)
	if got.SMIME == nil || got.SMIME.Status != smime.Policy || got.SMIME.Reason.Code != "smime.not-outermost" {
		t.Fatalf("%+v", got.SMIME)
	}
	if got := checkAt(t, &Checker{Resolver: bankResolver(t), SMIME: v}, outer.String()+kind+"--list\r\n\r\nplain\r\n"+note); got.SMIME != nil {
		t.Errorf("without a signature: %+v", got.SMIME)
	}
}

func TestSMIMEAbsent(t *testing.T) {
	text := sized(t, 3000)
	with := checkAt(t, &Checker{Resolver: bankResolver(t), SMIME: &smime.Verifier{}}, text)
	without := checkAt(t, &Checker{Resolver: bankResolver(t)}, text)
	a, _ := json.Marshal(with)
	b, _ := json.Marshal(without)
	if string(a) != string(b) {
		t.Errorf("%s\n%s", a, b)
	}
	h, _, _ := message.Read(strings.NewReader(text), 0)
	c := &Checker{Resolver: bankResolver(t), SMIME: &smime.Verifier{}}
	if n := c.Begin(context.Background(), bankInput, h); n.kept != nil {
		t.Error("the body is kept")
	} else {
		n.Finish(context.Background())
	}
}

// TestSMIMEQuoting: a mailbox's ">From " is taken off, or left on, as the
// signature has it.
func TestSMIMEQuoting(t *testing.T) {
	for _, inMail := range []string{"From us, with care.", ">From us, with care."} {
		text, v := smimeSigned(t, strings.Replace(bankLetter, "From us, with care.", inMail, 1), false)
		i := strings.Index(text, "DKIM-Signature")
		text = text[strings.Index(text[i:], "\r\nFrom: ")+i+2:] // S/MIME alone has to tell
		box := "From info@bank.example Fri Nov 20 18:30:00 2026\n" + strings.Replace(unix(text), "\nFrom us", "\n>From us", 1) + "\n"
		b := bankBatch(t)
		b.Checker.SMIME, b.Given.Time = v, today
		all := run(t, b, Place{Name: "box", File: write(t, t.TempDir()+"/box", box)})
		if len(all) != 1 || all[0].Err != nil || all[0].Verdict.SMIME == nil || all[0].Verdict.SMIME.Status != smime.Pass {
			t.Errorf("%q: %+v", inMail, all)
		}
	}
}

func TestSMIMEWithoutSigners(t *testing.T) {
	c := &Checker{Resolver: bankResolver(t), SMIME: &smime.Verifier{}}
	v := checkAt(t, c, "From: info@bank.example\r\nContent-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n")
	if v.SMIME == nil || v.SMIME.Status != smime.Neutral || !strings.HasSuffix(v.AuthenticationResults(), "; smime=neutral reason=unreadable") {
		t.Errorf("%+v %s", v.SMIME, v.AuthenticationResults())
	}
	// Encrypted: there is nothing to say about a signature.
	v = checkAt(t, c, "From: info@bank.example\r\nContent-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\nMA8GCSqGSIb3DQEHA6ACMAA=\r\n")
	if v.SMIME == nil || v.SMIME.Status != smime.None || v.SMIME.Form != smime.Encrypted || strings.Contains(v.AuthenticationResults(), "smime") {
		t.Errorf("%+v %s", v.SMIME, v.AuthenticationResults())
	}
	if s := v.Steps(); s[len(s)-1].Code != "check.smime-unsigned" {
		t.Errorf("%+v", s)
	}
}

// TestSMIMELong: a long body waits in a file, which is gone afterwards; where
// it cannot be written, that is said.
func TestSMIMELong(t *testing.T) {
	text, v := smimeSigned(t, bankLetter+strings.Repeat("All work and no play makes a dull message.\n", 20000), false)
	dir := t.TempDir()
	c := &Checker{Resolver: bankResolver(t), SMIME: v, TempDir: dir}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			in := bankInput
			in.Time = today
			got, err := c.Check(context.Background(), in, strings.NewReader(text))
			if err != nil || got.SMIME == nil || got.SMIME.Status != smime.Pass {
				t.Errorf("%+v %v", got.SMIME, err)
			}
		})
	}
	group.Wait()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
	c = &Checker{Resolver: bankResolver(t), SMIME: v, TempDir: dir + "/nowhere"}
	got := checkAt(t, c, text)
	if got.SMIME == nil || got.SMIME.Status != smime.TempError || got.Outcome() != Confirmed ||
		!strings.HasSuffix(got.AuthenticationResults(), "; smime=temperror reason=smime-not-kept") {
		t.Errorf("%+v %s", got.SMIME, got.AuthenticationResults())
	}
}
