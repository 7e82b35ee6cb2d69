//go:build unix

package arrival

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/dkim"
	"sekimori/internal/mailserver"
	"sekimori/internal/require"
	"sekimori/internal/resolve"
)

// signing writes the keys of receiver.example to a folder and returns the
// section that signs with both.
func signing(dir string) (string, error) {
	text := "sign:\n"
	for name, key := range keys() {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return "", err
		}
		path := filepath.Join(dir, name+".pem")
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			return "", err
		}
		text += fmt.Sprintf("  - {domain: receiver.example, selector: %s, key: %s}\n", name, path)
	}
	return text, nil
}

// TestDeparture has our own people send: from our network, and authenticated
// from anywhere.
func TestDeparture(t *testing.T) {
	w := here(t)
	resolver, err := resolve.New(resolve.Options{Servers: []string{w.dns.Resolver}})
	if err != nil {
		t.Fatal(err)
	}
	verifier := &dkim.Verifier{Resolver: resolver}
	const clerk = "clerk@receiver.example"
	at := func(l *letter, client, login string) mailserver.Letter {
		e := l.from(client, clerk)
		e.Login = login
		return e
	}
	bits := compose("eight", "書記 <"+clerk+">")
	bits.body = "八 bits\r\n\r\n\r\n.\r\n..\r\n"
	eight := at(bits, own, "")
	eight.Parameters = "SMTPUTF8 BODY=8BITMIME"
	long := compose("long", clerk)
	long.body = strings.Repeat("a line like many others\r\n", 100_000)
	odd := compose("odd", clerk, "X-Folded:  a\r\n\t b ", "x-UPPER: lower", "Cc: a@other.example,\r\n b@other.example")
	forged := compose("own-forged", clerk).top("Authentication-Results: " + receiver + "; dmarc=pass header.from=bank.example")
	for _, c := range []struct {
		name   string
		send   mailserver.Letter
		signed int
		field  string
	}{
		{"our network", at(compose("own", clerk), own, ""), 2, ""},
		{"authenticated", at(compose("auth", clerk), elsewhere, "clerk"), 2, "auth=pass clerk"},
		{"a subdomain", at(compose("sub", "clerk@tax.receiver.example"), own, ""), 2, ""},
		{"eight bits", eight, 2, ""},
		{"long", at(long, own, ""), 2, ""},
		{"odd fields", at(odd, own, ""), 2, ""},
		{"a forged field", at(forged, own, ""), 2, ""},
		{"for another domain", at(compose("foreign", atBank), own, ""), 0, ""},
		{"two authors", at(compose("two", clerk+", boss@receiver.example", "Sender: "+clerk), own, ""), 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, text := w.bring(t, "hold", c.send)
			if got != delivered {
				t.Fatalf("%s: %s", got, text)
			}
			h, body, err := header([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			results, err := verifier.Verify(t.Context(), h, bytes.NewReader(bytes.ReplaceAll(body, []byte("\n"), []byte("\r\n"))))
			if err != nil {
				t.Fatal(err)
			}
			if len(results) != c.signed {
				t.Errorf("%d signatures, want %d", len(results), c.signed)
			}
			for _, r := range results {
				if r.Status != dkim.Pass || r.Domain.String() != "receiver.example" {
					t.Errorf("%s of %s by %s/%s: %v", r.Status, r.Algorithm, r.Domain, r.Selector, r.Reason)
				}
			}
			field, err := said([]byte(text))
			if c.field == "" && err == nil || c.field != "" && field != c.field {
				t.Errorf("field %q (%v), want %q", field, err, c.field)
			}
			if strings.Contains(text, "dmarc=pass") {
				t.Errorf("the forged field is still there: %s", text[:min(2000, len(text))])
			}
			if c.signed > 0 {
				openDKIM(t, []byte(text))
			}
		})
	}
	// The same text from anywhere else is not signed.
	got, text := w.bring(t, "hold", mailserver.Letter{Client: netip.MustParseAddr(elsewhere), Helo: "x.example", From: clerk, Rcpt: []string{clerk}, Data: compose("alien", clerk).bytes()})
	if got != held || strings.Contains(text, "DKIM-Signature") {
		t.Errorf("%s: %s", got, text)
	}
}

// TestSendmail has a program on the host itself send mail, by sendmail(1) and
// not by SMTP: it is ours, whatever the configuration says of networks.
func TestSendmail(t *testing.T) {
	w := here(t)
	const clerk = "clerk@receiver.example"
	l := compose("by-sendmail", clerk)
	if err := w.postfix.Submit(clerk, []string{"reader@receiver.example"}, bytes.ReplaceAll(l.bytes(), []byte("\r\n"), []byte("\n"))); err != nil {
		t.Fatal(err)
	}
	text := w.bySubject(t, "by-sendmail")
	if !strings.Contains(text, "DKIM-Signature") || strings.Contains(text, "dmarc=") {
		t.Errorf("not taken for our own: %s", text)
	}
	openDKIM(t, []byte(text))
	// A client that Postfix knows no address of is not one of ours.
	c, err := mailserver.Dial(w.postfix.Address("hold"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if r, err := c.Command("XCLIENT ADDR=[UNAVAILABLE] NAME=[UNAVAILABLE]"); err != nil || r.Code != 220 {
		t.Fatal(r, err)
	}
	if r, err := c.Command("EHLO somewhere.example"); err != nil || r.Code != 250 {
		t.Fatal(r, err)
	}
	unknown := compose("unknown-client", clerk).from(own, clerk)
	r, err := c.Mail(unknown)
	if err != nil {
		t.Fatal(err)
	}
	if _, text := w.fateOf(t, "hold", r); strings.Contains(text, "DKIM-Signature") {
		t.Errorf("signed for a client without an address: %s", text)
	}
}

// TestBounce has Postfix itself write a notification, which is ours as well.
func TestBounce(t *testing.T) {
	w := here(t)
	l := compose("bounced", "clerk@receiver.example")
	if err := w.postfix.Submit("clerk@receiver.example", []string{"nobody@nowhere.example"}, bytes.ReplaceAll(l.bytes(), []byte("\r\n"), []byte("\n"))); err != nil {
		t.Fatal(err)
	}
	text := w.bySubject(t, "Undelivered Mail Returned to Sender")
	if !strings.Contains(text, "d=receiver.example") || strings.Contains(text, "dmarc=") {
		t.Errorf("not taken for our own: %s", text)
	}
	openDKIM(t, []byte(text))
}

// bySubject waits for a message in the inbox or on hold.
func (w *world) bySubject(t *testing.T, subject string) string {
	t.Helper()
	mark := []byte("\nSubject: " + subject + "\n")
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		all, err := w.postfix.Delivered()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range all {
			if bytes.Contains(text, mark) {
				return string(mailserver.Undelivered(text))
			}
		}
		held, err := w.postfix.Held()
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range held {
			if text, err := w.postfix.Message(id); err == nil && bytes.Contains(text, mark) {
				return string(text)
			}
		}
	}
	t.Fatalf("%s: neither delivered nor held: %s", subject, w.postfix.Log())
	return ""
}

// openDKIM has OpenDKIM verify both signatures of a message.
func openDKIM(t *testing.T, text []byte) {
	t.Helper()
	program := require.Program(t, "opendkim", "opendkim")
	dir := t.TempDir()
	table := ""
	for name, key := range keys() {
		k, err := dkim.NewKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		table += name + "._domainkey.receiver.example " + k.String() + "\n"
	}
	conf := fmt.Sprintf("Mode v\nSyslog no\nAuthservID test\nRequireSafeKeys no\nOn-Default accept\nTemporaryDirectory %[1]s\nTestPublicKeys %[1]s/keys\n", dir)
	for name, content := range map[string]string{"keys": table, "conf": conf, "message": strings.ReplaceAll(string(text), "\n", "\r\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, "-x", filepath.Join(dir, "conf"), "-vv", "-t", filepath.Join(dir, "message"))
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"a=ed25519-sha256 header.s=e", "a=rsa-sha256 header.s=r"} {
		passed := false
		for line := range strings.Lines(string(out)) {
			passed = passed || strings.Contains(line, "dkim=pass") && strings.Contains(line, "header.d=receiver.example") && strings.Contains(line, want)
		}
		if err != nil || !passed {
			t.Errorf("opendkim does not confirm %s: %v: %s", want, err, out)
		}
	}
}
