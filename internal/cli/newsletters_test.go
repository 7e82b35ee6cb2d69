//go:build unix

package cli

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/dkim"
	"sekimori/domain"
	"sekimori/internal/require"
	"sekimori/message"
)

// protection is what a newsletter is protected by, in the words of a table.
type protection struct{ smime, spf, dkim, dmarc string }

// edition is newsletters that are protected alike.
type edition struct {
	count     int
	then, now protection
	receiver  string // whose fields stand on top: "gmail", "microsoft", "postfix", "filter"
	host      string // the sending host's address
	org       string // %d is the number of the organisation
	orgs      int    // that many take turns
	gone      bool   // the key of the signature is gone by now
}

// editions are the newsletters of a survey like those that were published: 72
// messages, seven combinations.
var editions = []edition{
	{27, protection{"none", "pass", "pass", "pass"}, protection{"none", "pass", "pass", "pass"}, "gmail", "192.0.2.10", "city%d.example", 5, false},
	{3, protection{"none", "pass", "pass", "pass"}, protection{"none", "pass", "permerror", "pass"}, "microsoft", "192.0.2.10", "city%d.example", 5, true},
	{19, protection{"none", "pass", "none", "bestguesspass"}, protection{"none", "pass", "none", "none"}, "microsoft", "192.0.2.20", "town%d.example", 4, false},
	// These have published a policy since.
	{2, protection{"none", "pass", "none", "bestguesspass"}, protection{"none", "pass", "none", "pass"}, "microsoft", "192.0.2.20", "ward%d.example", 1, false},
	{12, protection{"pass", "pass", "pass", "pass"}, protection{"pass", "pass", "pass", "pass"}, "postfix", "192.0.2.10", "bank%d.example", 2, false},
	{6, protection{"none", "pass", "none", "none"}, protection{"none", "pass", "none", "none"}, "filter", "192.0.2.20", "town%d.example", 4, false},
	{1, protection{"none", "none", "none", "none"}, protection{"none", "none", "none", "none"}, "gmail", "192.0.2.30", "bare%d.example", 1, false},
	// This one has corrected its record since.
	{1, protection{"none", "permerror", "none", "none"}, protection{"none", "pass", "none", "none"}, "microsoft", "192.0.2.20", "shop%d.example", 1, false},
	{1, protection{"pass", "softfail", "none", "none"}, protection{"pass", "softfail", "none", "none"}, "postfix", "192.0.2.99", "club%d.example", 1, false},
}

// newsletters makes the messages, the zone of their senders, and the list of
// the organisations.
type newsletters struct {
	dir      string
	key      ed25519.PrivateKey
	rsa      *rsa.PrivateKey
	ca       *x509.Certificate
	messages [][]byte
}

// arrival is when the first of them came in; one comes every hour.
var arrival = time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)

// zoneOfNewsletters is what the senders publish now.
func (n *newsletters) zone() string {
	var z strings.Builder
	record := func(name, text string) { fmt.Fprintf(&z, "%s. 3600 IN TXT %q\n", name, text) }
	z.WriteString("example. 3600 IN SOA ns.example. postmaster.example. 1 3600 600 604800 600\n")
	key := base64.StdEncoding.EncodeToString(n.key.Public().(ed25519.PublicKey))
	sender := func(name, spf, dmarc string, signs bool) {
		fmt.Fprintf(&z, "%s. 3600 IN MX 10 mx.%s.\nmx.%s. 3600 IN A 192.0.2.10\n", name, name, name)
		if spf != "" {
			record(name, spf)
			record("news."+name, spf)
		} else {
			fmt.Fprintf(&z, "news.%s. 3600 IN A 192.0.2.30\n", name)
		}
		if dmarc != "" {
			record("_dmarc."+name, dmarc)
		}
		if signs {
			record("s1._domainkey."+name, "v=DKIM1; k=ed25519; p="+key)
		}
	}
	for i := 1; i <= 5; i++ {
		sender(fmt.Sprintf("city%d.example", i), "v=spf1 ip4:192.0.2.10 -all", "v=DMARC1; p=quarantine", true)
	}
	for i := 1; i <= 4; i++ {
		sender(fmt.Sprintf("town%d.example", i), "v=spf1 ip4:192.0.2.20 -all", "", false)
	}
	sender("ward1.example", "v=spf1 ip4:192.0.2.20 -all", "v=DMARC1; p=none", false)
	sender("bank1.example", "v=spf1 ip4:192.0.2.10 -all", "v=DMARC1; p=reject", true)
	sender("bank2.example", "v=spf1 ip4:192.0.2.10 -all", "v=DMARC1; p=reject", true)
	sender("bare1.example", "", "", false)
	sender("shop1.example", "v=spf1 ip4:192.0.2.20 -all", "", false)
	sender("club1.example", "v=spf1 ip4:192.0.2.10 ~all", "", false)
	sender("stranger.example", "v=spf1 ip4:192.0.2.66 -all", "", false)
	return z.String()
}

// listOfNewsletters is the survey's list: some rows give a URL, an address or
// a subdomain.
const listOfNewsletters = `名称,ドメイン,種別
市1,https://www.city1.example/index.html,市
市2,city2.example,市
市3,info@city3.example,市
市4,news.city4.example,市
市5,city5.example,市
町1,town1.example,町
町2,town2.example,町
町3,town3.example,町
町4,town4.example,町
区1,ward1.example,区
銀行1,bank1.example,会社
銀行2,bank2.example,会社
素1,bare1.example,会社
店1,shop1.example,会社
会1,club1.example,会社
沈黙1,silent.example,会社
`

// makeNewsletters makes everything in a folder.
func makeNewsletters(t *testing.T) *newsletters {
	t.Helper()
	n := &newsletters{dir: t.TempDir()}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n.key = key
	n.certificates(t)
	no := 0
	for _, e := range editions {
		for i := range e.count {
			no++
			org := fmt.Sprintf(e.org, i%e.orgs+1)
			n.messages = append(n.messages, n.message(t, e, org, no))
		}
	}
	return n
}

// certificates makes an authority for S/MIME.
func (n *newsletters) certificates(t *testing.T) {
	t.Helper()
	var err error
	if n.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Mail CA"}, NotBefore: arrival.AddDate(-1, 0, 0), NotAfter: arrival.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	n.write(t, "ca.pem", "CERTIFICATE", n.certify(t, ca, ca))
	n.ca = ca
	key, err := x509.MarshalPKCS8PrivateKey(n.rsa)
	if err != nil {
		t.Fatal(err)
	}
	n.write(t, "key.pem", "PRIVATE KEY", key)
	for _, org := range []string{"bank1.example", "bank2.example", "club1.example"} {
		// They have run out since the messages came in.
		leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: org}, NotBefore: arrival.AddDate(0, -1, 0), NotAfter: arrival.AddDate(0, 0, 10),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}, EmailAddresses: []string{"news@" + org}}
		n.write(t, org+".pem", "CERTIFICATE", n.certify(t, leaf, ca))
	}
}

func (n *newsletters) certify(t *testing.T, c, by *x509.Certificate) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, by, n.rsa.Public(), n.rsa)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (n *newsletters) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// message makes one message as it lies in the mailbox.
func (n *newsletters) message(t *testing.T, e edition, org string, no int) []byte {
	t.Helper()
	at := arrival.Add(time.Duration(no) * time.Hour)
	from := "news@" + org
	if no%3 == 0 && e.then.smime == "none" && !strings.HasPrefix(org, "bare") {
		from = "letter@news." + org
	}
	head := fmt.Sprintf("From: =?UTF-8?B?%s?= <%s>\r\nTo: reader@receiver.example\r\nSubject: =?UTF-8?B?%s?=\r\nDate: %s\r\nMessage-ID: <%d@%s>\r\n",
		base64.StdEncoding.EncodeToString([]byte("広報")), from, base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "お知らせ 第%d号", no)), at.Format(time.RFC1123Z), no, org)
	text := fmt.Sprintf("Content-Type: text/plain; charset=us-ascii\r\n\r\nNewsletter %d\r\n\r\nFrom here on, news.\r\n", no)
	mail := head + "MIME-Version: 1.0\r\n" + text
	if e.then.smime == "pass" {
		mail = head + n.sign(t, org, text)
	}
	if e.then.dkim == "pass" {
		mail = n.dkim(t, org, at, mail, e.gone) + mail
	}
	return []byte(n.received(e, org, from, at, no) + mail)
}

// dkim makes the field of a signature, which is valid for a week.
func (n *newsletters) dkim(t *testing.T, org string, at time.Time, mail string, gone bool) string {
	t.Helper()
	d, err := domain.Parse(org)
	if err != nil {
		t.Fatal(err)
	}
	h, body, err := message.Read(strings.NewReader(mail), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &dkim.Signer{Domain: d, Selector: "s1", Key: crypto.Signer(n.key), Expires: 7 * 24 * time.Hour, Now: func() time.Time { return at }}
	if gone {
		s.Selector = "s0"
	}
	fields, err := dkim.Sign(h, body, s)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(fields, "")
}

// sign makes a signed message of a part, without the outer header.
func (n *newsletters) sign(t *testing.T, org, part string) string {
	t.Helper()
	c := exec.Command(require.Program(t, "openssl", "openssl"), "cms", "-sign", "-md", "sha256", "-signer", filepath.Join(n.dir, org+".pem"), "-inkey", filepath.Join(n.dir, "key.pem"), "-crlfeol")
	c.Stdin = strings.NewReader(part)
	out, err := c.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("openssl: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(out), "\r\n", "\n"), "\n", "\r\n")
}

// received makes the fields that the receiving server put on top.
func (n *newsletters) received(e edition, org, from string, at time.Time, no int) string {
	date := at.Format(time.RFC1123Z)
	sender := from[strings.IndexByte(from, '@')+1:]
	selector := "s1"
	if e.gone {
		selector = "s0"
	}
	switch e.receiver {
	case "gmail":
		results := fmt.Sprintf("dkim=pass header.i=@%s header.s=%s header.b=abcdefgh;\r\n       spf=pass (google.com: domain of %s designates %s as permitted sender) smtp.mailfrom=%s;\r\n       dmarc=pass (p=QUARANTINE sp=QUARANTINE dis=NONE) header.from=%s",
			org, selector, from, e.host, from, sender)
		if e.then.spf == "none" { // no record, no signature, no policy
			results = fmt.Sprintf("spf=pass (google.com: best guess record for domain of %s designates %s as permitted sender) smtp.mailfrom=%s", from, e.host, from)
		}
		return fmt.Sprintf("Delivered-To: reader@receiver.example\r\nReceived: by 2002:a05:7300:641e:b0:1a2:b3c4:d5e6 with SMTP id c%dcsp;\r\n        %s\r\n", no, date) +
			fmt.Sprintf("Return-Path: <%s>\r\nReceived: from mail.%s (mail.%s. [%s])\r\n        by mx.google.com with ESMTPS id x%d\r\n        for <reader@receiver.example>;\r\n        %s\r\n", from, org, org, e.host, no, date) +
			fmt.Sprintf("Received-SPF: pass (google.com: domain of %s designates %s as permitted sender) client-ip=%s;\r\nAuthentication-Results: mx.google.com;\r\n       %s\r\n", from, e.host, e.host, results)
	case "microsoft":
		results := fmt.Sprintf("spf=%s (sender IP is %s)\r\n smtp.mailfrom=%s; dkim=%s (message not signed)\r\n header.d=none;dmarc=%s action=none\r\n header.from=%s;compauth=pass reason=109", e.then.spf, e.host, sender, e.then.dkim, e.then.dmarc, sender)
		if e.then.dkim == "pass" {
			results = fmt.Sprintf("spf=pass (sender IP is %s)\r\n smtp.mailfrom=%s; dkim=pass (signature was verified)\r\n header.d=%s;dmarc=pass action=none\r\n header.from=%s;compauth=pass reason=100", e.host, sender, org, sender)
		}
		return fmt.Sprintf("Received: from OS3PR01MB%04d.jpnprd01.prod.outlook.com (2603:1096:604:1::%x)\r\n by TYCPR01MB1.jpnprd01.prod.outlook.com with HTTPS; %s\r\n", no, no, date) +
			fmt.Sprintf("Authentication-Results: %s\r\nReceived-SPF: Pass (protection.outlook.com: domain of %s designates\r\n %s as permitted sender) receiver=protection.outlook.com;\r\n client-ip=%s; helo=mail.%s; pr=C\r\n", results, sender, e.host, e.host, org) +
			fmt.Sprintf("Received: from mail.%s (%s) by\r\n TY2PEPF0000AB%d.mail.protection.outlook.com (10.167.253.1) with Microsoft SMTP\r\n Server id 15.20; %s\r\nReturn-Path: %s\r\n", org, e.host, no, date, from)
	case "filter": // milters on both sides of the border's own field; the sender brings a field along
		return fmt.Sprintf("Return-Path: <%s>\r\nAuthentication-Results: mx.receiver.example; dmarc=none (p=none dis=none) header.from=%s\r\n", from, sender) +
			fmt.Sprintf("Received: from mail.%s (mail.%s [%s])\r\n\tby mx.receiver.example (Postfix) with ESMTPS id 4X%d\r\n\tfor <reader@receiver.example>; %s\r\n", org, org, e.host, no, date) +
			fmt.Sprintf("Authentication-Results: mx.receiver.example; dkim=none\r\nReceived-SPF: pass (mx.receiver.example: domain of %s designates %s) receiver=mx.receiver.example;\r\n\tidentity=mailfrom; client-ip=%s; helo=mail.%s; envelope-from=\"%s\"\r\n", from, e.host, e.host, org, from) +
			fmt.Sprintf("Authentication-Results: mail.%s; spf=pass smtp.mailfrom=%s; dkim=pass header.d=%s; dmarc=pass header.from=%s\r\n", org, sender, org, sender)
	}
	return fmt.Sprintf("Return-Path: <%s>\r\nAuthentication-Results: mx.receiver.example;\r\n\tspf=%s smtp.mailfrom=%s;\r\n\tdkim=%s header.d=%s header.s=s1;\r\n\tdmarc=%s header.from=%s\r\n", from, e.then.spf, from, e.then.dkim, org, e.then.dmarc, sender) +
		fmt.Sprintf("Received: from mail.%s (mail.%s [%s])\r\n\tby mx.receiver.example (Postfix) with ESMTPS id 4X%d\r\n\tfor <reader@receiver.example>; %s\r\n", org, org, e.host, no, date)
}

// writeMailbox writes messages as an mbox file, with LF and quoted.
func writeMailbox(t *testing.T, path string, messages [][]byte) {
	t.Helper()
	var b bytes.Buffer
	for _, m := range messages {
		b.WriteString("From news@sender.example Tue Sep  1 00:00:00 2026\n")
		for l := range strings.Lines(strings.ReplaceAll(string(m), "\r\n", "\n")) {
			if strings.HasPrefix(strings.TrimLeft(l, ">"), "From ") {
				io.WriteString(&b, ">")
			}
			b.WriteString(l)
		}
		b.WriteString("\n")
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
