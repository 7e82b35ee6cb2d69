package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/internal/require"
	"sekimori/message"
)

// verdict is a result in the words of the collections: a key that they lack is
// told from other permanent errors.
func verdicts(res []Result) []string {
	out := make([]string, len(res))
	for i, r := range res {
		out[i] = string(r.Status)
		if r.Reason.Code == "dkim.key-absent" {
			out[i] = "nokey"
		}
	}
	return out
}

func zoneOf(m map[string]string) records {
	zone := records{}
	for name, txt := range m {
		zone[strings.ToLower(name)] = []string{txt}
	}
	return zone
}

func TestLieser(t *testing.T) {
	dir := require.Data(t, "dkim-lieser")
	var txt map[string]string
	load(t, filepath.Join(dir, "dns.json"), &txt)
	var want struct {
		Cases []struct {
			File, Note string
			Results    []string
		}
		Variants []struct {
			DNS     map[string]string
			Results []string
			Note    string
		} `json:"key_record_variants_for_rfc6376-A.2.eml"`
	}
	load(t, filepath.Join(dir, "expected.json"), &want)
	if len(want.Cases) != 29 || len(want.Variants) != 8 {
		t.Errorf("%d cases and %d variants, want 29 and 8", len(want.Cases), len(want.Variants))
	}
	// Some signatures expire; all were made before this.
	now := at(time.Date(2018, 6, 12, 0, 0, 0, 0, time.UTC))
	v := &Verifier{Resolver: zoneOf(txt), Now: now}
	for _, c := range want.Cases {
		res := verify(t, v, crlf(read(t, filepath.Join(dir, c.File))))
		if got := verdicts(res); !slices.Equal(got, c.Results) {
			t.Errorf("%s: %v, want %v (%s):%s", c.File, got, c.Results, c.Note, codes(res))
		}
	}
	msg := crlf(read(t, filepath.Join(dir, "rfc6376-A.2.eml")))
	for _, c := range want.Variants {
		res := verify(t, &Verifier{Resolver: zoneOf(c.DNS), Now: now}, msg)
		if got := verdicts(res); !slices.Equal(got, c.Results) {
			t.Errorf("key record %v: %v, want %v (%s):%s", c.DNS, got, c.Results, c.Note, codes(res))
		}
	}
}

func TestDkimpy(t *testing.T) {
	dir := require.Data(t, "dkim-dkimpy")
	file := func(n string) string { return read(t, filepath.Join(dir, n)) }
	var txt map[string]string
	load(t, filepath.Join(dir, "dns.json"), &txt)
	zone := zoneOf(txt)
	var want struct {
		Verify []struct {
			File    string
			Results []string
		}
		Refused []struct{ File, Why string } `json:"key_records_that_must_be_refused"`
		Sign    []struct{ File string }      `json:"messages_for_signing"`
	}
	load(t, filepath.Join(dir, "expected.json"), &want)
	for _, c := range want.Verify {
		res := verify(t, &Verifier{Resolver: zone, Now: at(testTime)}, crlf(file(c.File)))
		if got := verdicts(res); !slices.Equal(got, c.Results) {
			t.Errorf("%s: %v, want %v:%s", c.File, got, c.Results, codes(res))
		}
	}
	for _, c := range want.Refused {
		k, err := ParseKey(strings.TrimSpace(file(c.File)))
		if err == nil {
			err = k.Usable(RSASHA256, Limits{})
		}
		if err == nil {
			t.Errorf("%s is accepted: %s", c.File, c.Why)
		}
		found := LintKey(strings.TrimSpace(file(c.File)), "test._domainkey.example.com")
		if len(found) == 0 {
			t.Errorf("%s: the linter finds nothing: %s", c.File, c.Why)
		}
	}

	// Keys and messages for signing, each with each.
	seed := func(n string) ed25519.PrivateKey {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(file(n)))
		if err != nil || len(raw) != ed25519.SeedSize {
			t.Fatalf("%s: %d octets: %v", n, len(raw), err)
		}
		return ed25519.NewKeyFromSeed(raw)
	}
	zone["t1._domainkey.example.com"] = []string{strings.TrimSpace(file("test.txt"))}
	zone["t2._domainkey.example.com"] = []string{strings.TrimSpace(file("test2.txt"))}
	zone["t3._domainkey.example.com"] = []string{strings.TrimSpace(file("ed25519test.dns"))}
	keys := map[string]crypto.Signer{
		"t1": privateKey(t, file("test.private")), "t2": privateKey(t, file("test2.private")), "t3": seed("ed25519test.key"),
	}
	if got := record(seed("rfc8032_7_1.key")); !strings.HasSuffix(zone["brisbane._domainkey.football.example.com"][0], got[strings.Index(got, "p="):]) {
		t.Errorf("the key of RFC 8463 A.3 gives the record %s", got)
	}
	v := &Verifier{Resolver: zone, Now: at(testTime)}
	for _, c := range want.Sign {
		msg := crlf(file(c.File))
		for sel, key := range keys {
			s := &Signer{Domain: name("example.com"), Selector: sel, Key: key, Now: at(testTime)}
			if c.File == "test_nofrom.message" {
				h, body, _ := message.Read(strings.NewReader(msg), 0)
				if _, err := Sign(h, body, s); !errors.Is(err, ErrNoFrom) {
					t.Errorf("%s: %v, want ErrNoFrom", c.File, err)
				}
				continue
			}
			s.HeaderCanon, s.BodyCanon = message.Simple, message.Relaxed
			res := verify(t, v, signed(t, msg, s))
			if len(res) == 0 || res[0].Status != Pass {
				t.Errorf("%s, signed with %s:%s, want pass", c.File, sel, codes(res))
			}
		}
	}
}

// privateKey reads a PEM file: PKCS #1 or PKCS #8.
func privateKey(t *testing.T, text string) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("no PEM block")
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k.(crypto.Signer)
}

func TestMailauth(t *testing.T) {
	dir := require.Data(t, "dkim-mailauth")
	var txt map[string]map[string][][]string
	load(t, filepath.Join(dir, "dkim/ec/fixtures/dns.json"), &txt)
	zone := records{}
	for name, types := range txt {
		for _, rec := range types["TXT"] {
			zone[name] = append(zone[name], strings.Join(rec, ""))
		}
	}
	v := &Verifier{Resolver: zone, Now: at(testTime)}
	res := verify(t, v, crlf(read(t, filepath.Join(dir, "dkim/ec/fixtures/signed.eml"))))
	if got := verdicts(res); !slices.Equal(got, []string{"pass", "pass"}) {
		t.Errorf("signed.eml:%s, want two passes", codes(res))
	}

	rsaKey := privateKey(t, read(t, filepath.Join(dir, "fixtures/private-rsa.pem")))
	small := privateKey(t, read(t, filepath.Join(dir, "fixtures/private-small.pem")))
	ed := privateKey(t, read(t, filepath.Join(dir, "fixtures/private-ed25519.pem")))
	zone["rsa._domainkey.example.com"] = []string{published(t, filepath.Join(dir, "fixtures/public-rsa.pem"))}
	zone["ed._domainkey.example.com"] = []string{published(t, filepath.Join(dir, "fixtures/public-ed25519.pem"))}
	zone["small._domainkey.example.com"] = []string{published(t, filepath.Join(dir, "fixtures/public-small.pem"))}
	for _, file := range []string{"authtest.eml", "message1.eml", "message2.eml", "message4.eml", "zproov.eml"} {
		msg := crlf(read(t, filepath.Join(dir, "fixtures", file)))
		for _, bc := range []message.Canonicalization{message.Simple, message.Relaxed} {
			signers := []*Signer{
				{Domain: name("example.com"), Selector: "rsa", Key: rsaKey, BodyCanon: bc, Now: at(testTime)},
				{Domain: name("example.com"), Selector: "ed", Key: ed, HeaderCanon: bc, Now: at(testTime)},
			}
			res := verify(t, v, signed(t, msg, signers...))
			if got := verdicts(res); len(got) < 2 || got[0] != "pass" || got[1] != "pass" {
				t.Errorf("%s, body %s:%s, want pass pass", file, bc, codes(res))
			}
		}
	}
	if _, err := AlgorithmOf(small); err == nil {
		t.Error("a small RSA key is accepted for signing")
	}
	k, err := ParseKey(zone["small._domainkey.example.com"][0])
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Usable(RSASHA256, Limits{MinRSABits: 1}); err == nil {
		t.Errorf("a key of %d bits is accepted for verifying", k.Bits())
	}
}

// published makes a record of a PEM file.
func published(t *testing.T, path string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(read(t, path)))
	if block == nil {
		t.Fatalf("%s: no PEM block", path)
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return k.String()
}
