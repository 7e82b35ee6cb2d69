package dkim

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/message"
)

// forge signs a message with a field of which everything but bh= and b= is
// given, sense or nonsense: "@" stands for the body hash.
func forge(t testing.TB, msg, tags string, key crypto.Signer) string {
	t.Helper()
	h, body, err := message.Read(strings.NewReader(msg), 0)
	if err != nil {
		t.Fatal(err)
	}
	sig, _ := ParseSignature(strings.Replace(tags, "@", "", 1))
	var d message.Digests
	limit := int64(-1)
	if sig.Limited {
		limit = sig.Length
	}
	sum := d.Add(message.BodyHash{Canonicalization: sig.BodyCanon, Hash: crypto.SHA256, Limit: limit})
	if _, err := io.Copy(&d, body); err != nil {
		t.Fatal(err)
	}
	d.Close()
	tags = strings.Replace(tags, "bh=@", "bh="+base64.StdEncoding.EncodeToString(sum.Sum()), 1)
	head := "DKIM-Signature: " + tags + "; b="
	f, ok := message.ParseField(head)
	if !ok {
		t.Fatalf("%q is no field", head)
	}
	in := AppendSelf(NewFields(h).AppendSigned(nil, sig.HeaderCanon, sig.Headers), sig.HeaderCanon, f)
	digest := sha256.Sum256(in)
	value, err := SignDigest(key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return head + base64.StdEncoding.EncodeToString(value) + "\r\n" + msg
}

const letter = "From: a@example.jp\r\nSubject: s\r\n\r\nHello, World.\r\n" // a body of 15 octets

// TestRules: one message each, signed so that only what is named is odd.
func TestRules(t *testing.T) {
	const ed = "a=ed25519-sha256; d=example.jp; s=ed; h=from; bh=@"
	big5000, _ := NewKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 4999, 1), E: 65537})
	big512, _ := NewKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 511, 1), E: 65537})
	good := record(edKey())
	zone := records{
		"ed._domainkey.example.jp":      {good},
		"r1._domainkey.example.jp":      {record(rsa1024())},
		"bare._domainkey.example.jp":    {strings.TrimPrefix(good, "v=DKIM1; ")},
		"revoked._domainkey.example.jp": {"v=DKIM1; k=ed25519; p="},
		"testing._domainkey.example.jp": {"v=DKIM1; t=y; " + good[9:]},
		"strict._domainkey.example.jp":  {"v=DKIM1; t=s; " + good[9:]},
		"tlsrpt._domainkey.example.jp":  {"v=DKIM1; s=tlsrpt; " + good[9:]},
		"sha1._domainkey.example.jp":    {"v=DKIM1; h=sha1; " + good[9:]},
		"late._domainkey.example.jp":    {good[9:] + "; v=DKIM1"},
		"odd._domainkey.example.jp":     {"v=DKIM2; " + good[9:]},
		"dsa._domainkey.example.jp":     {"v=DKIM1; k=dsa; p=AAAA"},
		"none._domainkey.example.jp":    {"v=DKIM1; k=rsa"},
		"text._domainkey.example.jp":    {"hello"},
		"base64._domainkey.example.jp":  {"v=DKIM1; k=ed25519; p=!!!!"},
		"twice._domainkey.example.jp":   {good + "; p=AAAA"},
		"der._domainkey.example.jp":     {"v=DKIM1; k=rsa; p=AAAA"},
		"empty._domainkey.example.jp":   {"v=DKIM1;; " + good[9:] + ";"},
		"short._domainkey.example.jp":   {big512.String()},
		"long._domainkey.example.jp":    {big5000.String()},
		"two._domainkey.example.jp":     {"v=spf1 -all", "a", "b", "c", record(otherEd()), good},
		"broken._domainkey.example.jp":  {"SERVFAIL"},
	}
	zone[name("はるなつ._domainkey.日本.jp").String()] = []string{good} // RFC 8616 §4
	now := testTime.Unix()
	for _, c := range []struct {
		name, tags string
		want       Status
		code       string
	}{
		{"plain", "v=1; " + ed, Pass, "dkim.pass"},
		{"folded", "v=1;\r\n\ta=ed25519-sha256 ; d=example.jp;\r\n s=ed; h = from :\r\n\t subject; bh=@", Pass, "dkim.pass"},
		{"unknown tags", "v=1; zz=1; " + ed, Pass, "dkim.pass"},
		{"all tags", fmt.Sprintf("v=1; c=simple/relaxed; q=http/x : dns/txt; i=b=40c@mail.example.jp; t=%d; x=%d; z=From:a|To:b; ", now-9, now+9) + ed, Pass, "dkim.pass"},
		{"one canonicalization", "v=1; c=relaxed; " + ed, Pass, "dkim.pass"},
		{"key without v", "v=1; " + strings.Replace(ed, "s=ed", "s=bare", 1), Pass, "dkim.pass"},
		{"key with an empty tag", "v=1; " + strings.Replace(ed, "s=ed", "s=empty", 1), Pass, "dkim.pass"},
		{"rsa", "v=1; a=rsa-sha256; d=example.jp; s=r1; h=from; bh=@", Pass, "dkim.pass"},
		{"U-labels", "v=1; i=x@日本.jp; " + strings.Replace(strings.Replace(ed, "d=example.jp", "d=日本.jp", 1), "s=ed", "s=はるなつ", 1), Pass, "dkim.pass"},

		// RFC 6376 §6.1.1
		{"no v", ed, PermError, "dkim.tag-missing"},
		{"v=2", "v=2; " + ed, PermError, "dkim.version-unknown"},
		{"v=1.0", "v=1.0; " + ed, PermError, "dkim.version-unknown"},
		{"no d", "v=1; a=ed25519-sha256; s=ed; h=from; bh=@", PermError, "dkim.tag-missing"},
		{"no h", "v=1; a=ed25519-sha256; d=example.jp; s=ed; bh=@", PermError, "dkim.tag-missing"},
		{"no bh", "v=1; a=ed25519-sha256; d=example.jp; s=ed; h=from", PermError, "dkim.tag-missing"},
		{"a twice", "v=1; a=ed25519-sha256; " + ed, PermError, "dkim.tag-repeated"},
		{"no =", "v=1; what; " + ed, PermError, "dkim.tags-malformed"},
		{"empty tag", "v=1;; " + ed, PermError, "dkim.tags-malformed"},
		{"short bh", "v=1; a=ed25519-sha256; d=example.jp; s=ed; h=from; bh=AAAA", PermError, "dkim.tag-invalid"},
		{"empty h", "v=1; a=ed25519-sha256; d=example.jp; s=ed; h=; bh=@", PermError, "dkim.tag-invalid"},
		{"hole in h", "v=1; a=ed25519-sha256; d=example.jp; s=ed; h=from::to; bh=@", PermError, "dkim.tag-invalid"},
		{"space in h", "v=1; a=ed25519-sha256; d=example.jp; s=ed; h=from to; bh=@", PermError, "dkim.tag-invalid"},
		{"too much in h", "v=1; a=ed25519-sha256; d=example.jp; s=ed; h=from" + strings.Repeat(":x", 512) + "; bh=@", PermError, "dkim.too-many-fields"},
		{"too long", "v=1; z=" + strings.Repeat("x", maxField) + "; " + ed, PermError, "dkim.signature-long"},
		{"From not in h", "v=1; a=ed25519-sha256; d=example.jp; s=ed; h=subject; bh=@", PermError, "dkim.from-unsigned"},
		{"d of one label", "v=1; " + strings.Replace(ed, "example.jp", "jp", 1), PermError, "dkim.tag-invalid"},
		{"d with a dot at its end", "v=1; " + strings.Replace(ed, "example.jp", "example.jp.", 1), PermError, "dkim.tag-invalid"},
		{"d with a space", "v=1; " + strings.Replace(ed, "example.jp", "exam ple.jp", 1), PermError, "dkim.tag-invalid"},
		{"l without a number", "v=1; l=-1; " + ed, PermError, "dkim.tag-invalid"},
		{"t without a number", "v=1; t=x; " + ed, PermError, "dkim.tag-invalid"},
		{"c unknown", "v=1; c=strict; " + ed, PermError, "dkim.canonicalization-unknown"},
		{"c unknown for the body", "v=1; c=relaxed/nowsp; " + ed, PermError, "dkim.canonicalization-unknown"},
		{"q unknown", "v=1; q=http/json; " + ed, PermError, "dkim.query-unknown"},
		{"i elsewhere", "v=1; i=a@example.com; " + ed, PermError, "dkim.identity-outside"},
		{"i above", "v=1; i=@jp; " + ed, PermError, "dkim.identity-outside"},
		{"i almost below", "v=1; i=@notexample.jp; " + ed, PermError, "dkim.identity-outside"},
		{"i below", "v=1; i=@sub.example.jp; " + ed, Pass, "dkim.pass"},
		{"i with a line end", "v=1; i=a=0D=0AX:=20y@example.jp; " + ed, PermError, "dkim.tag-invalid"},
		{"i empty", "v=1; i=; " + ed, PermError, "dkim.tag-invalid"},
		{"i without @", "v=1; i=example.jp; " + ed, PermError, "dkim.tag-invalid"},
		{"i with two @", `v=1; i="a@b"@example.jp; ` + ed, Pass, "dkim.pass"},

		// RFC 8301 §3.1, RFC 6376 §3.3
		{"rsa-sha1", "v=1; a=rsa-sha1; d=example.jp; s=r1; h=from; bh=@", PermError, "dkim.algorithm-sha1"},
		{"unknown algorithm", "v=1; a=rsa-sha512; d=example.jp; s=r1; h=from; bh=@", PermError, "dkim.algorithm-unknown"},

		// RFC 6376 §3.5, "t" and "x"
		{"expired", fmt.Sprintf("v=1; x=%d; ", now-1) + ed, PermError, "dkim.expired"},
		{"expires now", fmt.Sprintf("v=1; x=%d; ", now) + ed, Pass, "dkim.pass"},
		{"never expires", "v=1; x=9999999999999999999999; " + ed, Pass, "dkim.pass"},
		{"expires before it was made", fmt.Sprintf("v=1; t=%d; x=%d; ", now+2, now+2) + ed, PermError, "dkim.expires-before-created"},
		{"made tomorrow", fmt.Sprintf("v=1; t=%d; ", now+86400) + ed, Pass, "dkim.pass"},

		// RFC 6376 §3.5, "l"
		{"l is all", "v=1; l=15; " + ed, Pass, "dkim.pass"},
		{"l is a part", "v=1; l=5; " + ed, Policy, "dkim.body-partly-unsigned"},
		{"l is nothing", "v=1; l=0; " + ed, Policy, "dkim.body-partly-unsigned"},
		{"l is too much", "v=1; l=16; " + ed, Fail, "dkim.body-short"},
		{"l is huge", "v=1; l=" + strings.Repeat("9", 76) + "; " + ed, Fail, "dkim.body-short"},
		{"l is longer than that", "v=1; l=" + strings.Repeat("9", 77) + "; " + ed, PermError, "dkim.tag-invalid"},

		// RFC 6376 §6.1.2
		{"no key", "v=1; " + strings.Replace(ed, "s=ed", "s=nobody", 1), PermError, "dkim.key-absent"},
		{"no answer", "v=1; " + strings.Replace(ed, "s=ed", "s=broken", 1), TempError, "dkim.key-temporary"},
		{"revoked", "v=1; " + strings.Replace(ed, "s=ed", "s=revoked", 1), PermError, "dkim.key-revoked"},
		{"testing", "v=1; " + strings.Replace(ed, "s=ed", "s=testing", 1), Pass, "dkim.pass"},
		{"t=s, i is d", "v=1; i=x@example.jp; " + strings.Replace(ed, "s=ed", "s=strict", 1), Pass, "dkim.pass"},
		{"t=s, no i", "v=1; " + strings.Replace(ed, "s=ed", "s=strict", 1), Pass, "dkim.pass"},
		{"t=s, i below d", "v=1; i=x@sub.example.jp; " + strings.Replace(ed, "s=ed", "s=strict", 1), PermError, "dkim.key-strict-identity"},
		{"key for reports", "v=1; " + strings.Replace(ed, "s=ed", "s=tlsrpt", 1), PermError, "dkim.key-service"},
		{"key for sha1", "v=1; " + strings.Replace(ed, "s=ed", "s=sha1", 1), PermError, "dkim.key-hash-refused"},
		{"key with v at its end", "v=1; " + strings.Replace(ed, "s=ed", "s=late", 1), PermError, "dkim.key-version-place"},
		{"key of another version", "v=1; " + strings.Replace(ed, "s=ed", "s=odd", 1), PermError, "dkim.key-version"},
		{"key of another type", "v=1; " + strings.Replace(ed, "s=ed", "s=dsa", 1), PermError, "dkim.key-type-unknown"},
		{"key without p", "v=1; " + strings.Replace(ed, "s=ed", "s=none", 1), PermError, "dkim.key-without-data"},
		{"no key but text", "v=1; " + strings.Replace(ed, "s=ed", "s=text", 1), PermError, "dkim.key-malformed"},
		{"key that is no base64", "v=1; " + strings.Replace(ed, "s=ed", "s=base64", 1), PermError, "dkim.key-not-base64"},
		{"p twice", "v=1; " + strings.Replace(ed, "s=ed", "s=twice", 1), PermError, "dkim.key-tag-repeated"},
		{"key that is no key", "v=1; a=rsa-sha256; d=example.jp; s=der; h=from; bh=@", PermError, "dkim.key-undecodable"},
		{"rsa with an ed25519 key", "v=1; a=rsa-sha256; d=example.jp; s=ed; h=from; bh=@", PermError, "dkim.key-type-differs"},
		{"short key", "v=1; a=rsa-sha256; d=example.jp; s=short; h=from; bh=@", PermError, "dkim.key-short"},
		{"long key", "v=1; a=rsa-sha256; d=example.jp; s=long; h=from; bh=@", Policy, "dkim.key-long"},
		{"several keys", "v=1; " + strings.Replace(ed, "s=ed", "s=two", 1), Pass, "dkim.pass"},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := crypto.Signer(edKey())
			if strings.Contains(c.tags, "a=rsa") {
				key = rsa1024()
			}
			msg := forge(t, letter, c.tags, key)
			v := &Verifier{Resolver: zone, Now: at(testTime)}
			res := verify(t, v, msg)
			if len(res) != 1 {
				t.Fatalf("%d results", len(res))
			}
			r := res[0]
			if r.Status != c.want || r.Reason.Code != c.code {
				t.Fatalf("%s %s (%v), want %s %s", r.Status, r.Reason.Code, r.Err, c.want, c.code)
			}
			if r.Steps[len(r.Steps)-1].Code != r.Reason.Code {
				t.Errorf("the last step is %s, the reason %s", r.Steps[len(r.Steps)-1].Code, r.Reason.Code)
			}
			if (r.Status == Pass || r.Status == Fail || r.Reason.Code == "dkim.body-partly-unsigned") != (r.Err == nil) {
				t.Errorf("%s with the error %v", r.Status, r.Err)
			}
			if r.Testing != (c.name == "testing") {
				t.Errorf("testing is %t", r.Testing)
			}
			var e *Error
			if r.Status == PermError && !errors.As(r.Err, &e) && !dns.Absent(r.Err) {
				t.Errorf("the error is a %T", r.Err)
			}
		})
	}
}

func otherEd() crypto.Signer {
	k, err := ParseKey("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
	if err != nil {
		panic(err)
	}
	return publicOnly{k.Public}
}

type publicOnly struct{ crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.PublicKey }
func (publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("no private key")
}

func TestAcceptUnsigned(t *testing.T) {
	zone := records{"ed._domainkey.example.jp": {record(edKey())}}
	msg := forge(t, letter, "v=1; l=5; a=ed25519-sha256; d=example.jp; s=ed; h=from; bh=@", edKey())
	r := verify(t, &Verifier{Resolver: zone, Now: at(testTime), AcceptUnsigned: true}, msg)[0]
	if r.Status != Pass || r.Unsigned != 10 || len(r.Reason.Children) != 1 {
		t.Errorf("%s, %d octets unsigned, %+v; want pass, 10, and a word about it", r.Status, r.Unsigned, r.Reason)
	}
	r = verify(t, &Verifier{Resolver: zone, Now: at(testTime)}, msg)[0]
	if r.Status != Policy || r.Unsigned != 10 {
		t.Errorf("%s, %d octets unsigned; want policy, 10", r.Status, r.Unsigned)
	}
	r = verify(t, &Verifier{Resolver: zone, Now: at(testTime)}, strings.Replace(msg, "Hello", "Hullo", 1))[0]
	if r.Status != Fail || r.Reason.Code != "dkim.body-hash-differs" {
		t.Errorf("changed within l=: %s %s, want fail", r.Status, r.Reason.Code)
	}
}

func TestDiagnose(t *testing.T) {
	zone := records{"ed._domainkey.example.jp": {record(edKey())}}
	msg := signed(t, letter, &Signer{Domain: name("example.jp"), Selector: "ed", Key: edKey(), BodyCanon: message.Relaxed, Now: at(testTime)})
	msg = strings.Replace(strings.Replace(msg, "relaxed/relaxed", "relaxed/simple", 1), "Hello, World.", "Hello, World. ", 1)
	r := verify(t, &Verifier{Resolver: zone, Now: at(testTime), Diagnose: true}, msg)[0]
	if r.Status != Fail || r.Reason.Code != "dkim.body-hash-differs" || len(r.Reason.Children) != 1 {
		t.Errorf("%s %+v; want fail, with a hint at the canonicalization", r.Status, r.Reason)
	}
}

func TestManySignatures(t *testing.T) {
	zone := &counting{records: records{"ed._domainkey.example.jp": {record(edKey())}}}
	s := &Signer{Domain: name("example.jp"), Selector: "ed", Key: edKey(), Now: at(testTime)}
	one := signed(t, letter, s)
	field := strings.TrimSuffix(one, letter)
	res := verify(t, &Verifier{Resolver: zone, Now: at(testTime)}, strings.Repeat(field, 25)+letter)
	if len(res) != 11 || res[9].Status != Pass || res[10].Status != Policy || res[10].Reason.Code != "dkim.too-many-signatures" {
		t.Errorf("%s; want ten passes and a word about the rest", codes(res))
	}
	if zone.asked != 1 {
		t.Errorf("%d questions for one key, want 1", zone.asked)
	}
	if res := verify(t, &Verifier{Resolver: zone}, letter); res != nil {
		t.Errorf("%s for a message without a signature, want nothing", codes(res))
	}
	// The author's own signature is found below any number of others.
	other := strings.Repeat(strings.Replace(field, "d=example.jp", "d=example.net", 1), 12)
	res = verify(t, &Verifier{Resolver: zone, Now: at(testTime)}, other+one)
	if len(res) != 11 || res[9].Status != Pass || res[8].Status == Pass {
		t.Errorf("%s; want the author's at last", codes(res))
	}
}

// counting counts questions, one at a time.
type counting struct {
	records
	asked int
}

func (c *counting) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	c.asked++
	return c.records.Lookup(ctx, name, t)
}

// silent never answers.
type silent struct{}

func (silent) Lookup(ctx context.Context, _ string, _ dns.Type) (dns.Answer, error) {
	<-ctx.Done()
	return dns.Answer{}, fmt.Errorf("%w: %w", dns.ErrTemporary, ctx.Err())
}

func TestNoAnswer(t *testing.T) {
	msg := signed(t, letter, &Signer{Domain: name("example.jp"), Selector: "ed", Key: edKey(), Now: at(testTime)})
	h, body, _ := message.Read(strings.NewReader(msg), 0)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	res, err := (&Verifier{Resolver: silent{}, Now: at(testTime)}).Verify(ctx, h, body)
	if err != nil || len(res) != 1 || res[0].Status != TempError || res[0].Reason.Code != "dkim.key-temporary" {
		t.Errorf("%s %v, want temperror", codes(res), err)
	}
}

func TestUncovered(t *testing.T) {
	zone := records{"ed._domainkey.example.jp": {record(edKey())}}
	msg := forge(t, letter, "v=1; a=ed25519-sha256; d=example.jp; s=ed; h=from; bh=@", edKey())
	msg = strings.Replace(msg, "\r\nSubject:", "\r\nReply-To: x@example.com\r\nSubject:", 1)
	msg = "From: b@example.com\r\n" + msg
	r := verify(t, &Verifier{Resolver: zone, Now: at(testTime)}, msg)[0]
	var left []string
	for _, s := range r.Steps {
		if s.Code == "dkim.fields-uncovered" {
			left = s.Args["fields"].([]string)
		}
	}
	if got := strings.Join(left, " "); r.Status != Pass || got != "From Subject Reply-To" {
		t.Errorf("%s, uncovered: %s; want pass, From Subject Reply-To", r.Status, got)
	}
}
