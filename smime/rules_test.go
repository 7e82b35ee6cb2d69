package smime

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/internal/require"
)

const plainMail = "Received: from mail.city.example.jp ([192.0.2.1]) by mx.receiver.example; Fri, 20 Nov 2026 18:30:00 +0900\r\n" +
	"From: =?utf-8?b?5biC5b255omA?= <news@city.example.jp>\r\nTo: reader@receiver.example\r\nSubject: news\r\n" +
	"Date: Fri, 20 Nov 2026 18:29:58 +0900\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n" +
	"\x1b$B$3$s$K$A$O\x1b(B\r\n\r\nfrom the city\r\n"

// sign signs plainMail, or what it is replaced by.
func sign(t testing.TB, c *Credential, mail string) []byte {
	t.Helper()
	in := parse(t, []byte(mail))
	out, err := Sign(in.Header, in.Body, c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *pki) verify(t testing.TB, raw []byte) Result {
	t.Helper()
	in := parse(t, raw)
	in.Arrived = today
	return p.v.Verify(context.Background(), in)
}

// TestSign signs with each kind of key, and has OpenSSL confirm it.
func TestSign(t *testing.T) {
	p := newPKI(t)
	program := ""
	if path, err := exec.LookPath("openssl"); err == nil {
		program = path
	} else {
		t.Log("OpenSSL is absent: its opinion is not asked")
	}
	for _, c := range []struct {
		kind, scheme, digest string
		change               func(*Credential)
		theirs               bool // OpenSSL 3.0 can verify it
	}{
		{"rsa", "rsa", "sha-256", nil, true},
		{"rsa", "rsa", "sha-512", func(c *Credential) { c.Digest = crypto.SHA512 }, true},
		{"rsa", "rsa-pss", "sha-384", func(c *Credential) { c.PSS, c.Digest = true, crypto.SHA384 }, true},
		{"p256", "ecdsa", "sha-256", nil, true},
		{"p384", "ecdsa", "sha-384", func(c *Credential) { c.Digest = crypto.SHA384 }, true},
		{"p521", "ecdsa", "sha-512", func(c *Credential) { c.Digest = crypto.SHA512 }, true},
		{"ed25519", "ed25519", "sha-512", nil, false},
	} {
		for _, opaque := range []bool{false, true} {
			credential := p.leaf(t, c.kind, nil).credential(p.middle)
			credential.Opaque = opaque
			if c.change != nil {
				c.change(credential)
			}
			raw := sign(t, credential, plainMail)
			r := p.verify(t, raw)
			if r.Status != Pass || len(r.Signers) != 1 || !r.Whole || r.Roots != GivenRoots {
				t.Errorf("%s opaque=%v: %+v", c.kind, opaque, r)
				continue
			}
			s := r.Signers[0]
			if s.Scheme != c.scheme || s.Digest != c.digest || s.Match != MatchAddress || s.MatchedIn != "from" ||
				!s.SigningTime.Equal(today) || s.Subject != "Test Signer (Sekai City)" || s.Issuer != "Test Mail CA" {
				t.Errorf("%s: %+v", c.kind, s)
			}
			if program != "" && c.theirs {
				cmd := exec.Command(program, "cms", "-verify", "-CAfile", p.file, "-attime", "1795167000", "-out", os.DevNull)
				cmd.Stdin = bytes.NewReader(raw)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("OpenSSL, %s %s opaque=%v: %s", c.kind, c.scheme, opaque, out)
				}
			}
			lf := bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
			if r := p.verify(t, lf); !opaque && r.Status != Pass {
				t.Errorf("%s with LF: %s", c.kind, r.Reason.Code)
			}
		}
	}
}

func TestSignRefuses(t *testing.T) {
	p := newPKI(t)
	in := parse(t, []byte(plainMail))
	for _, c := range []*Credential{{}, p.leaf(t, "rsa1024", nil).credential(),
		{Certificate: p.root.cert, Key: p.root.key, Digest: crypto.SHA1}} {
		if _, err := Sign(in.Header, in.Body, c); err == nil {
			t.Errorf("%+v signs", c)
		}
	}
}

// TestAcceptance goes through what makes a right signature acceptable or not.
func TestAcceptance(t *testing.T) {
	p := newPKI(t)
	server := func(c *x509.Certificate) {
		authority("Test Server CA")(c)
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	forServers := issue(t, key(t, "p521"), &p.root, server)
	expired := issue(t, key(t, "p256"), &p.root, func(c *x509.Certificate) {
		authority("Old CA")(c)
		c.NotBefore, c.NotAfter = today.AddDate(-3, 0, 0), today.AddDate(0, -1, 0)
	})
	constrained := issue(t, key(t, "p256"), &p.root, func(c *x509.Certificate) {
		authority("Constrained CA")(c)
		c.PermittedEmailAddresses, c.PermittedDNSDomainsCritical = []string{"other.example"}, true
	})
	other := issue(t, key(t, "ca"), nil, authority("Other Root"))
	address := func(a ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.EmailAddresses = a }
	}
	from := func(f string) string {
		return strings.Replace(plainMail, "From: =?utf-8?b?5biC5b255omA?= <news@city.example.jp>", f, 1)
	}
	type states struct {
		chain, valid State
		match        Match
		usage        State
	}
	fine := states{Yes, Yes, MatchAddress, Yes}
	for _, c := range []struct {
		name   string
		signer issued
		more   []issued
		mail   string
		status Status
		reason string
		want   states
	}{
		{"all is well", p.leaf(t, "p256", nil), []issued{p.middle}, plainMail, Pass, "smime.pass", fine},
		{"intermediate missing", p.leaf(t, "p256", nil), nil, plainMail, Policy, "smime.chain-untrusted", states{No, Yes, MatchAddress, Yes}},
		{"another root", issue(t, key(t, "p256"), &other, nil), []issued{other}, plainMail, Policy, "smime.chain-untrusted", states{No, Yes, MatchAddress, Yes}},
		{"self-signed", issue(t, key(t, "p256"), nil, nil), nil, plainMail, Policy, "smime.self-signed", states{No, Yes, MatchAddress, Yes}},
		{"expired", p.leaf(t, "p256", func(c *x509.Certificate) { c.NotAfter = today.AddDate(0, 0, -1) }), []issued{p.middle}, plainMail,
			Policy, "smime.certificate-expired", states{Yes, No, MatchAddress, Yes}},
		{"not yet valid", p.leaf(t, "p256", func(c *x509.Certificate) { c.NotBefore = today.AddDate(0, 0, 1) }), []issued{p.middle}, plainMail,
			Policy, "smime.certificate-early", states{Yes, No, MatchAddress, Yes}},
		{"issuer expired", issue(t, key(t, "p384"), &expired, nil), []issued{expired}, plainMail,
			Policy, "smime.issuer-expired", states{Yes, No, MatchAddress, Yes}},
		{"for servers", p.leaf(t, "p256", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), []issued{p.middle}, plainMail,
			Policy, "smime.usage-forbidden", states{Yes, Yes, MatchAddress, No}},
		{"no extended key usage", p.leaf(t, "p256", func(c *x509.Certificate) { c.ExtKeyUsage = nil }), []issued{p.middle}, plainMail, Pass, "smime.pass", fine},
		{"any usage", p.leaf(t, "p256", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), []issued{p.middle}, plainMail, Pass, "smime.pass", fine},
		{"encryption only", p.leaf(t, "p256", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), []issued{p.middle}, plainMail,
			Policy, "smime.key-usage-forbidden", states{Yes, Yes, MatchAddress, No}},
		{"non-repudiation", p.leaf(t, "p256", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment }), []issued{p.middle}, plainMail, Pass, "smime.pass", fine},
		{"issuer for servers", issue(t, key(t, "p256"), &forServers, nil), []issued{forServers}, plainMail,
			Policy, "smime.issuer-usage-forbidden", states{Yes, Yes, MatchAddress, No}},
		{"issuer for another domain", issue(t, key(t, "p384"), &constrained, nil), []issued{constrained}, plainMail,
			Policy, "smime.chain-forbidden", states{No, Yes, MatchAddress, Yes}},
		{"case", p.leaf(t, "p256", address("News@CITY.example.jp")), []issued{p.middle}, plainMail, Pass, "smime.pass", fine},
		{"role of the domain", p.leaf(t, "p256", address("mayor@city.example.jp")), []issued{p.middle}, plainMail,
			Policy, "smime.address-domain", states{Yes, Yes, MatchDomain, Yes}},
		{"the organization", p.leaf(t, "p256", address("gateway@mail.example.jp")), []issued{p.middle}, plainMail,
			Policy, "smime.address-organization", states{Yes, Yes, MatchOrganization, Yes}},
		{"somebody else", p.leaf(t, "p256", address("news@town.example.com")), []issued{p.middle}, plainMail,
			Policy, "smime.address-differs", states{Yes, Yes, MatchNone, Yes}},
		{"one of several", p.leaf(t, "p256", address("a@town.example.com", "news@city.example.jp")), []issued{p.middle}, plainMail, Pass, "smime.pass", fine},
		{"no address", p.leaf(t, "p256", address()), []issued{p.middle}, plainMail,
			Policy, "smime.address-absent", states{Yes, Yes, MatchUnknown, Yes}},
		{"address in the subject alone", p.leaf(t, "p256", func(c *x509.Certificate) {
			c.EmailAddresses = nil
			c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidEmailAddress, Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte("news@city.example.jp")}}}
		}), []issued{p.middle}, plainMail, Pass, "smime.pass", fine},
		{"UTF-8 address", p.leaf(t, "p256", func(c *x509.Certificate) {
			c.EmailAddresses, c.ExtraExtensions = nil, []pkix.Extension{utf8Name(t, "知らせ@市役所.example")}
		}), []issued{p.middle}, from("From: 知らせ@市役所.example"), Pass, "smime.pass", fine},
		{"UTF-8 address, A-label", p.leaf(t, "p256", func(c *x509.Certificate) {
			c.EmailAddresses, c.ExtraExtensions = nil, []pkix.Extension{utf8Name(t, "news@市役所.example")}
		}), []issued{p.middle}, from("From: news@xn--mnq41g1n0h.example"), Policy, "smime.address-differs", states{Yes, Yes, MatchNone, Yes}},
		{"header in Shift_JIS", p.leaf(t, "p256", nil), []issued{p.middle}, from("From: \x8es\x96\xf0\x8f\x8a <news@city.example.jp>"), Pass, "smime.pass", fine},
		{"sender signs", p.leaf(t, "p256", nil), []issued{p.middle}, from("From: mayor@other.example\r\nSender: news@city.example.jp"), Pass, "smime.pass", fine},
		{"two authors, one signs", p.leaf(t, "p256", nil), []issued{p.middle}, from("From: news@city.example.jp, mayor@bank.example"),
			Policy, "smime.authors-uncovered", fine},
		{"two From fields, one signs", p.leaf(t, "p256", nil), []issued{p.middle}, from("From: mayor@bank.example\r\nFrom: news@city.example.jp"),
			Policy, "smime.authors-uncovered", fine},
		{"no From", p.leaf(t, "p256", nil), []issued{p.middle}, from("X-From: nobody"), Policy, "smime.no-author", states{Yes, Yes, MatchUnknown, Yes}},
	} {
		r := p.verify(t, sign(t, c.signer.credential(c.more...), c.mail))
		if len(r.Signers) != 1 {
			t.Errorf("%s: %+v", c.name, r)
			continue
		}
		s := r.Signers[0]
		got := states{s.Chain, s.Valid, s.Match, s.Usage}
		if r.Status != c.status || r.Reason.Code != c.reason || got != c.want || s.Signature != Yes {
			t.Errorf("%s: %s %s %v, want %s %s %v", c.name, r.Status, r.Reason.Code, got, c.status, c.reason, c.want)
		}
		if last := s.Steps[len(s.Steps)-1]; r.Status == Pass && last.Code != "smime.pass" {
			t.Errorf("%s: the last step is %s", c.name, last.Code)
		}
	}
}

// TestChanged goes through what happens to messages on their way.
func TestChanged(t *testing.T) {
	p := newPKI(t)
	raw := string(sign(t, p.leaf(t, "p256", nil).credential(p.middle), plainMail))
	in := parse(t, []byte(raw))
	var boundary string
	if _, params := contentType(in.Header.Get("Content-Type")); params != nil {
		boundary = "--" + params["boundary"]
	}
	head, body := raw[:strings.Index(raw, "MIME-Version")], raw[strings.Index(raw, "\r\n\r\n")+4:]
	_, mimeFields, _ := strings.Cut(raw[:strings.Index(raw, "\r\n\r\n")+4], "MIME-Version: 1.0\r\n")
	wrapped := head + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=list\r\n\r\n--list\r\n" + mimeFields + body +
		"\r\n--list\r\nContent-Type: text/plain\r\n\r\nTo leave the list, write to it.\r\n--list--\r\n"
	signature := strings.Index(raw, "\r\n\r\nMI") + 4
	for _, c := range []struct {
		name, raw string
		form      Form
		status    Status
		reason    string
	}{
		{"nothing", raw, Detached, Pass, "smime.pass"},
		{"LF", strings.ReplaceAll(raw, "\r\n", "\n"), Detached, Pass, "smime.pass"},
		{"a word", strings.Replace(raw, "from the city", "from the town", 1), Detached, Fail, "smime.content-differs"},
		{"a field of the part", strings.Replace(raw, "charset=iso-2022-jp", "charset=shift_jis", 1), Detached, Fail, "smime.content-differs"},
		{"a space", strings.Replace(raw, "from the city", "from the city ", 1), Detached, Fail, "smime.content-differs"},
		{"a footer in the part", strings.Replace(raw, "from the city\r\n", "from the city\r\n-- \r\nTo leave the list…\r\n", 1), Detached, Fail, "smime.content-differs"},
		{"a footer around", wrapped, Detached, Policy, "smime.not-outermost"},
		{"a footer as a part", strings.Replace(raw, boundary+"--", boundary+"\r\n\r\nTo leave the list…\r\n"+boundary+"--", 1), Detached, Policy, "smime.unsigned-parts"},
		{"text before and behind", strings.Replace(raw, boundary, "preamble\r\n"+boundary, 1) + "epilogue\r\n", Detached, Pass, "smime.pass"},
		{"closing line gone", strings.Replace(raw, boundary+"--\r\n", "", 1), Detached, Pass, "smime.pass"},
		{"signature gone", raw[:strings.LastIndex(raw[:signature], boundary)] + boundary + "--\r\n", Detached, Neutral, "smime.part-missing"},
		{"signature cut off", raw[:signature+200], Detached, Neutral, "smime.unreadable"},
		{"signature empty", raw[:signature], Detached, Neutral, "smime.unreadable"},
		{"legacy names", strings.NewReplacer("application/pkcs7-signature", "application/x-pkcs7-signature").Replace(raw), Detached, Pass, "smime.pass"},
		{"protocol in capitals", strings.Replace(raw, `protocol="application/pkcs7-signature"`, `PROTOCOL=Application/PKCS7-Signature`, 1), Detached, Pass, "smime.pass"},
		{"no protocol", strings.Replace(raw, `protocol="application/pkcs7-signature";`, "", 1), Detached, Pass, "smime.pass"},
		{"PGP", strings.Replace(raw, `protocol="application/pkcs7-signature"`, `protocol="application/pgp-signature"`, 1), "", None, ""},
		{"a signature by name", strings.Replace(raw, "Content-Type: application/pkcs7-signature", "Content-Type: application/octet-stream", 1), Detached, Pass, "smime.pass"},
		{"no transfer encoding", strings.Replace(raw, "Content-Transfer-Encoding: base64\r\n", "", 1), Detached, Pass, "smime.pass"},
		{"micalg wrong", strings.Replace(raw, "micalg=sha-256", "micalg=md5", 1), Detached, Pass, "smime.pass"},
		{"an mbox's separator", "From news@city.example.jp Fri Nov 20 18:30:00 2026\r\n" + raw, Detached, Pass, "smime.pass"},
	} {
		if c.raw == raw && c.name != "nothing" {
			t.Errorf("%s: nothing changed", c.name)
		}
		r := p.verify(t, []byte(c.raw))
		if r.Form != c.form || r.Status != c.status || r.Reason.Code != c.reason {
			t.Errorf("%s: %q %s %s, want %q %s %s", c.name, r.Form, r.Status, r.Reason.Code, c.form, c.status, c.reason)
		}
	}
}

// TestByOpenSSL verifies what OpenSSL signs, in the ways that it can.
func TestByOpenSSL(t *testing.T) {
	program := require.Program(t, "openssl", "openssl")
	p := newPKI(t)
	content := filepath.Join(t.TempDir(), "content")
	_, mime, _ := strings.Cut(plainMail, "MIME-Version: 1.0\r\n")
	if err := os.WriteFile(content, []byte(mime), 0o600); err != nil {
		t.Fatal(err)
	}
	middle := writePEM(t, "middle.pem", p.middle.cert)
	second := p.leaf(t, "p256", func(c *x509.Certificate) {
		c.Subject.CommonName, c.EmailAddresses = "Second", []string{"second@city.example.jp"}
	})
	cert2, key2 := writeKey(t, second)
	withID := func(c *x509.Certificate) { c.SubjectKeyId = []byte("key of the city hall") }
	for _, c := range []struct {
		name, key string
		change    func(*x509.Certificate)
		args      []string
		form      Form
		status    Status
		reason    string
	}{
		{"plain", "rsa", nil, nil, Detached, Pass, "smime.pass"},
		{"ECDSA", "p384", nil, []string{"-md", "sha384"}, Detached, Pass, "smime.pass"},
		{"opaque", "rsa", nil, []string{"-nodetach"}, Opaque, Pass, "smime.pass"},
		{"opaque, BER", "rsa", nil, []string{"-nodetach", "-stream"}, Opaque, Pass, "smime.pass"},
		{"detached, BER", "rsa", nil, []string{"-stream"}, Detached, Pass, "smime.pass"},
		{"PSS", "rsa", nil, []string{"-keyopt", "rsa_padding_mode:pss"}, Detached, Pass, "smime.pass"},
		{"PSS, salt of its own", "rsa", nil, []string{"-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:11", "-md", "sha512"}, Detached, Pass, "smime.pass"},
		{"PSS, another mask", "rsa", nil, []string{"-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_mgf1_md:sha1"}, Detached, PermError, "smime.key-unusable"},
		{"by key identifier", "rsa", withID, []string{"-keyid"}, Detached, Pass, "smime.pass"},
		{"no attributes", "rsa", nil, []string{"-noattr"}, Detached, Policy, "smime.attributes-missing"},
		{"no certificates", "rsa", nil, []string{"-nocerts"}, Detached, PermError, "smime.certificate-missing"},
		{"SHA-1", "rsa", nil, []string{"-md", "sha1"}, Detached, Policy, "smime.digest-weak"},
		{"MD5", "rsa", nil, []string{"-md", "md5"}, Detached, Policy, "smime.digest-weak"},
		{"SHA-224", "rsa", nil, []string{"-md", "sha224"}, Detached, Pass, "smime.pass"},
		{"short key", "rsa1024", nil, nil, Detached, Pass, "smime.pass"},
		{"two signers", "rsa", nil, []string{"-signer", cert2, "-inkey", key2}, Detached, Pass, "smime.pass"},
		{"content type of its own", "rsa", nil, []string{"-nodetach", "-econtent_type", "1.2.3.4"}, Opaque, Neutral, "smime.content-unknown"},
	} {
		signer, keyFile := writeKey(t, p.leaf(t, c.key, c.change))
		args := append([]string{"cms", "-sign", "-binary", "-in", content, "-signer", signer, "-inkey", keyFile, "-certfile", middle}, c.args...)
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %s", c.name, out)
			continue
		}
		raw := append([]byte("From: news@city.example.jp\n"), out...)
		in := parse(t, raw)
		in.Arrived = today
		r := p.v.Verify(context.Background(), in)
		if r.Form != c.form || r.Status != c.status || r.Reason.Code != c.reason {
			t.Errorf("%s: %q %s %s, want %q %s %s", c.name, r.Form, r.Status, r.Reason.Code, c.form, c.status, c.reason)
		}
		if c.name == "two signers" && (len(r.Signers) != 2 || r.Signers[0].Signature != Yes || r.Signers[1].Signature != Yes) {
			t.Errorf("%s: %+v", c.name, r.Signers)
		}
	}
}

func TestNothing(t *testing.T) {
	p := newPKI(t)
	for _, raw := range []string{plainMail, "", "\r\n\r\n", "Content-Type: multipart/signed\r\n\r\n", "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\n--a--\r\n",
		"Content-Type: application/pdf\r\n\r\nx"} {
		if r := p.verify(t, []byte(raw)); r.Status != None || r.Form != "" {
			t.Errorf("%q: %+v", raw, r)
		}
		if in := parse(t, []byte(raw)); Announced(in.Header) && !strings.Contains(raw, "signed") {
			t.Errorf("%q is announced", raw)
		}
	}
	in := parse(t, sign(t, p.leaf(t, "p256", nil).credential(), plainMail))
	in.Cut = true
	if r := p.v.Verify(context.Background(), in); r.Status != Neutral || r.Reason.Code != "smime.body-long" {
		t.Errorf("%+v", r)
	}
	in.Cut, in.Arrived = false, today
	small := &Verifier{Limits: Limits{Body: 100}}
	if r := small.Verify(context.Background(), in); r.Status != Neutral || r.Reason.Code != "smime.body-long" {
		t.Errorf("%+v", r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r := p.v.Verify(ctx, in); r.Status != PermError {
		t.Errorf("%+v", r)
	}
}

// TestAnnounced: mail of other kinds costs one look at its header.
func TestAnnounced(t *testing.T) {
	for value, want := range map[string]bool{
		`multipart/signed; protocol="application/pkcs7-signature"; boundary=b`: true,
		`MULTIPART/Signed; boundary=b`:                                         true,
		`multipart/signed; protocol="application/pgp-signature"; boundary=b`:   false,
		`multipart/mixed; boundary=b`:                                          false,
		`application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m`:    true,
		`application/x-pkcs7-mime`:                                             true,
		`application/octet-stream; name="smime.P7M"`:                           true,
		`application/octet-stream; name=report.pdf`:                            false,
		`text/plain`: false,
		``:           false,
	} {
		in := parse(t, []byte("From: a@b.example\r\nContent-Type: "+value+"\r\n\r\nx"))
		if got := Announced(in.Header); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
	in := parse(t, []byte(plainMail))
	if n := testing.AllocsPerRun(100, func() { Announced(in.Header) }); n > 0 {
		t.Errorf("%v allocations for a message without S/MIME", n)
	}
}
