package dkim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"sekimori/message"
)

func TestSignRefuses(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := Signer{Domain: name("example.jp"), Selector: "ed", Key: edKey()}
	for _, c := range []struct {
		what   string
		change func(*Signer)
		msg    string
		want   string
	}{
		{"nothing", func(*Signer) {}, letter, ""},
		{"no From", func(*Signer) {}, "Subject: s\r\n\r\n", "no From"},
		{"no key", func(s *Signer) { s.Key = nil }, letter, "neither RSA nor Ed25519"},
		{"ecdsa", func(s *Signer) { s.Key = p256 }, letter, "neither RSA nor Ed25519"},
		{"no domain", func(s *Signer) { s.Domain = name("jp") }, letter, "tag d="},
		{"no selector", func(s *Signer) { s.Selector = "" }, letter, "tag s="},
		{"selector with a semicolon", func(s *Signer) { s.Selector = "a;b" }, letter, ""},
		{"From not signed", func(s *Signer) { s.Headers = []string{"Subject"} }, letter, "from unsigned"},
		{"no fields signed", func(s *Signer) { s.Headers = []string{} }, letter, "tag h="},
		{"a field with a colon", func(s *Signer) { s.Headers = []string{"From", "a;b"} }, letter, ""},
		{"identity elsewhere", func(s *Signer) { s.Identity = "a@example.com" }, letter, "identity outside"},
		{"unknown canonicalization", func(s *Signer) { s.BodyCanon = "nowsp" }, letter, "unknown canonicalization"},
	} {
		s := good
		c.change(&s)
		h, body, _ := message.Read(strings.NewReader(c.msg), 0)
		fields, err := Sign(h, body, &s)
		switch {
		case c.what == "nothing":
			if err != nil || len(fields) != 1 {
				t.Errorf("%s: %v", c.what, err)
			}
		case err == nil:
			t.Errorf("%s: signed: %s", c.what, fields)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want something about %q", c.what, err, c.want)
		}
	}
	h, body, _ := message.Read(strings.NewReader("Subject: s\r\n\r\n"), 0)
	if _, err := Sign(h, body, &good); !errors.Is(err, ErrNoFrom) {
		t.Errorf("no From: %v, want ErrNoFrom", err)
	}
}

func TestDefaultHeaders(t *testing.T) {
	h, _, err := message.Read(strings.NewReader("Received: x\r\nFrom: a\r\nsubject: b\r\nSubject: c\r\nList-Id: d\r\nX-Mine: e\r\n\r\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	const want = "From:From:To:Cc:Subject:Subject:Subject:Date:Message-ID:Reply-To:In-Reply-To:References:" +
		"MIME-Version:Content-Type:Content-Transfer-Encoding:List-Id"
	if got := strings.Join(DefaultHeaders(h), ":"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	many, _, err := message.Read(strings.NewReader(strings.Repeat("Subject: x\r\n", 5000)+"From: a\r\n\r\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := DefaultHeaders(many); len(got) != maxHeaders || got[0] != "From" {
		t.Errorf("%d names, the first %s; want %d, From", len(got), got[0], maxHeaders)
	}
}

// TestFolding: lines of 77 columns at most, and nothing lost, whatever the
// lengths of names.
func TestFolding(t *testing.T) {
	zone := records{}
	for _, sel := range []string{"a", "selector-2026-11", strings.Repeat("l", 30) + "." + strings.Repeat("m", 20)} {
		for _, dom := range []string{"example.jp", "a-rather-long-name.of-a-ministry.go.jp"} {
			for _, identity := range []string{"", "@" + dom, "someone.of.importance@" + dom} {
				zone[sel+"._domainkey."+dom] = []string{record(rsa1024())}
				s := &Signer{Domain: name(dom), Selector: sel, Key: rsa1024(), Identity: identity, Expires: 99 * time.Hour, HeaderCanon: message.Simple, Now: at(testTime)}
				msg := signed(t, sample, s)
				field, _, _ := strings.Cut(msg, "\r\nFrom")
				for _, line := range strings.Split(field, "\r\n") {
					if len(line) > 77 {
						t.Errorf("%d columns: %q", len(line), line)
					}
				}
				if r := verify(t, &Verifier{Resolver: zone, Now: at(testTime)}, msg)[0]; r.Status != Pass {
					t.Errorf("%s %s: %s %s", sel, dom, r.Status, r.Reason.Code)
				}
			}
		}
	}
}

func TestExpires(t *testing.T) {
	zone := records{"ed._domainkey.example.jp": {record(edKey())}}
	msg := signed(t, sample, &Signer{Domain: name("example.jp"), Selector: "ed", Key: edKey(), Expires: time.Hour, Now: at(testTime)})
	for after, want := range map[time.Duration]string{0: "dkim.pass", time.Hour: "dkim.pass", time.Hour + time.Second: "dkim.expired"} {
		r := verify(t, &Verifier{Resolver: zone, Now: at(testTime.Add(after))}, msg)[0]
		if r.Reason.Code != want {
			t.Errorf("after %v: %s, want %s", after, r.Reason.Code, want)
		}
	}
}
