package dkim

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"sekimori/explain"
)

func bits(n int, e int) string {
	k, err := NewKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), n-1, 1), E: e})
	if err != nil {
		panic(err)
	}
	return k.String()
}

func TestLintKey(t *testing.T) {
	const at = "s._domainkey.example.jp"
	good := bits(2048, 65537)
	p := good[strings.Index(good, "p="):]
	ed := edKey().Public().(ed25519.PublicKey)
	edText := base64.StdEncoding.EncodeToString(ed)
	wrapped, _ := x509.MarshalPKIXPublicKey(ed)
	bare := base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&rsa2048().PublicKey))
	for _, c := range []struct {
		txt     string
		want    string // codes without "dkim.", with the first letter of the grade
		publish string // what to publish instead, if anything
	}{
		{good, "", ""},
		{"v=DKIM1; k=ed25519; p=" + edText, "A:key-ed25519", ""},
		{"v=DKIM1; p=", "A:key-revoked", ""},
		{p, "A:key-unversioned", "v=DKIM1; k=rsa; " + p},
		{"k=rsa; v=DKIM1; " + p, "E:key-version-place", "v=DKIM1; k=rsa; " + p},
		{"v=dkim1; " + p, "E:key-version", "v=DKIM1; k=rsa; " + p},
		{"v=dkim1", "E:key-version E:key-without-data", ""},
		{"v=DKIM1; t=y; " + p, "W:key-testing", "v=DKIM1; k=rsa; " + p},
		{"v=DKIM1; t=y:s; " + p, "W:key-testing", "v=DKIM1; k=rsa; t=s; " + p},
		{"v=DKIM1; h=sha1; " + p, "E:key-hash-refused", "v=DKIM1; k=rsa; " + p},
		{"v=DKIM1; h=sha1:sha256; " + p, "A:key-hash-sha1", "v=DKIM1; k=rsa; h=sha256; " + p},
		{"v=DKIM1; s=other; " + p, "E:key-service", ""},
		{"v=DKIM1; s=tlsrpt; " + p, "A:key-service", ""},
		{"v=DKIM1; g=*; " + p, "A:key-granularity", "v=DKIM1; k=rsa; " + p},
		{"v=DKIM1; g=; " + p, "W:key-granularity", "v=DKIM1; k=rsa; " + p},
		{"v=DKIM1; x=1; " + p, "A:key-tag-unknown", "v=DKIM1; k=rsa; " + p},
		{"v=DKIM1;; " + p, "W:key-empty-tag", "v=DKIM1; k=rsa; " + p},
		{"v=DKIM1; " + p[:20] + " " + p[20:], "A:key-spaces", "v=DKIM1; k=rsa; " + p},
		{"v=DKIM1; k=rsa", "E:key-without-data", ""},
		{"v=DKIM1; k=dsa; " + p, "E:key-type-unknown", ""},
		{"v=DKIM1; p=!", "E:key-not-base64", ""},
		{"v=DKIM1; p=AAAA", "E:key-undecodable", ""},
		{"v=DKIM1; " + p + "; " + p, "E:key-tag-repeated", ""},
		{"v=DKIM1; rsa; " + p, "E:key-malformed", ""},
		{"v=DKIM1; h=; " + p, "E:key-tag-invalid", ""},
		{("v=DKIM1; k=rsa; " + p)[:255], "E:key-truncated", ""},
		{"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(wrapped), "E:key-ed25519-wrapped", "v=DKIM1; k=ed25519; p=" + edText},
		{"v=DKIM1; k=ed25519; " + p, "E:key-type-wrong", "v=DKIM1; k=rsa; " + p},
		{"v=DKIM1; p=" + edText, "E:key-type-wrong", "v=DKIM1; k=ed25519; p=" + edText},
		{`"v=DKIM1; k=rsa; " "` + p + `"`, "E:key-pasted", "v=DKIM1; k=rsa; " + p},
		{`v=DKIM1\; k=rsa\; ` + p, "E:key-pasted", "v=DKIM1; k=rsa; " + p},
		{"v=DKIM1; p=" + bare, "W:key-bare", record(rsa2048())},
		{bits(1024, 65537), "A:key-weak", ""},
		{bits(768, 65537), "E:key-short", ""},
		{bits(8192, 65537), "W:key-long", ""},
		{bits(2048, 3), "W:key-exponent", ""},
		{strings.Repeat("x", maxKeyRecord+1), "E:key-record-long", ""},
		{"g=*; t=y; " + p, "A:key-unversioned A:key-granularity W:key-testing", "v=DKIM1; k=rsa; " + p},
	} {
		var got []string
		publish := ""
		for _, f := range LintKey(c.txt, at) {
			got = append(got, strings.ToUpper(string(f.Grade[:1]))+":"+strings.TrimPrefix(f.Code, "dkim."))
			if f.Publish != nil {
				publish = f.Publish.Value
				if f.Publish.Name != at || f.Publish.Type != "TXT" {
					t.Errorf("%q: to be published is %+v", c.txt, f.Publish)
				}
			}
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%.80q: %s, want %s", c.txt, g, c.want)
		}
		if publish != c.publish {
			t.Errorf("%.80q: to be published %q, want %q", c.txt, publish, c.publish)
		}
	}
}

func TestLintKeys(t *testing.T) {
	good := bits(2048, 65537)
	for _, c := range []struct {
		records []string
		want    string
	}{
		{[]string{good}, ""},
		{[]string{"v=spf1 -all", good}, ""},
		{[]string{good, good}, "dkim.key-records-several"},
		{[]string{"v=spf1 -all"}, "dkim.key-unversioned"},
	} {
		found := LintKeys(c.records, "s._domainkey.example.jp")
		got := ""
		if len(found) > 0 {
			got = found[len(found)-1].Code
		}
		if c.want == "dkim.key-unversioned" {
			if len(found) == 0 || found[0].Grade != explain.Error {
				t.Errorf("%q: %+v, want an error", c.records, found)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.records, got, c.want)
		}
	}
}
