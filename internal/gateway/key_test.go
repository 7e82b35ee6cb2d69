package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sekimori/dkim"
	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/require"
)

// TestKeyModes is the matrix of who may read a key's file.
func TestKeyModes(t *testing.T) {
	text, err := os.ReadFile(makeKey(t, 256))
	if err != nil {
		t.Fatal(err)
	}
	d := signDomain(t, "example.jp")
	root := os.Geteuid() == 0
	for _, c := range []struct {
		mode     os.FileMode
		uid, gid int // -1: as created
		ok       bool
		says     string
	}{
		{0o600, -1, -1, true, ""},
		{0o400, -1, -1, true, ""},
		{0o700, -1, -1, true, ""},
		{0o640, 0, 0, true, ""}, // root, and root's group
		{0o440, 0, 0, true, ""}, // as systemd hands credentials over
		{0o640, 0, 65534, false, "a group can read"},
		{0o640, 1234, 0, false, "a group can read"},
		{0o660, 0, 0, false, "can write"},
		{0o620, 0, 0, false, "can write"},
		{0o602, -1, -1, false, "can write"},
		{0o604, -1, -1, false, "everybody can read"},
		{0o644, -1, -1, false, "everybody can read"},
		{0o601, -1, -1, false, "everybody can read"},
		{0o650, 0, 0, false, "a group can read"},
		{0o777, -1, -1, false, "can write"},
	} {
		if c.uid >= 0 && !root {
			continue
		}
		path := keyFile(t, text, c.mode)
		if c.uid >= 0 {
			if err := os.Chown(path, c.uid, c.gid); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := LoadKeys([]Key{{d, "s", path}})
		if (err == nil) != c.ok || err != nil && (!strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "chmod")) {
			t.Errorf("%04o %d:%d: %v", c.mode, c.uid, c.gid, err)
		}
	}
	// A link is as good as what it leads to.
	path := keyFile(t, text, 0o644)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadKeys([]Key{{d, "s", link}}); err == nil {
		t.Error("a link hides the mode")
	}
}

func TestKeyBroken(t *testing.T) {
	good, err := os.ReadFile(makeKey(t, 256))
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curveDER, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	d := signDomain(t, "example.jp")
	for what, c := range map[string]struct {
		text []byte
		says string
	}{
		"empty":       {nil, "empty"},
		"no PEM":      {[]byte("hello"), "no private key"},
		"cut":         {good[:len(good)/2], "no private key"},
		"public":      {block("PUBLIC KEY", []byte{1}), "a public key"},
		"certificate": {block("CERTIFICATE", []byte{1}), "no private key"},
		"garbage":     {block("PRIVATE KEY", []byte{1, 2, 3}), "cannot be read"},
		"PKCS #1":     {block("RSA PRIVATE KEY", []byte{1, 2, 3}), "cannot be read"},
		"curve":       {block("PRIVATE KEY", curveDER), "neither RSA nor Ed25519"},
		"SEC 1":       {block("EC PRIVATE KEY", []byte{1}), "elliptic curve"},
		"OpenSSH":     {block("OPENSSH PRIVATE KEY", []byte{1}), "OpenSSH"},
		"encrypted":   {block("ENCRYPTED PRIVATE KEY", []byte{1}), "passphrase"},
		"two":         {append(slices.Clone(good), good...), "more than one"},
		"long":        {make([]byte, maxKeyFile+1), "longer than"},
	} {
		path := keyFile(t, c.text, 0o600)
		_, _, err := LoadKeys([]Key{{d, "s", path}})
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	path := keyFile(t, good, 0o600)
	for what, c := range map[string]struct {
		key  Key
		says string
	}{
		"absent":   {Key{d, "s", filepath.Join(t.TempDir(), "nothing")}, "no such file"},
		"a folder": {Key{d, "s", t.TempDir()}, "not a file"},
		"selector": {Key{d, "a b", path}, "selector"},
		"none":     {Key{d, "", path}, "selector"},
		"domain":   {Key{domain.Name{}, "s", path}, "no domain"},
	} {
		if _, _, err := LoadKeys([]Key{c.key}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Everything that is wrong is said at once.
	_, _, err = LoadKeys([]Key{{d, "s", path}, {d, "S", path}, {d, "x", "/nowhere/key.pem"}})
	if err == nil || !strings.Contains(err.Error(), "already") || !strings.Contains(err.Error(), "/nowhere/key.pem") {
		t.Errorf("all: %v", err)
	}
	// A certificate beside the key does no harm.
	beside := append(block("CERTIFICATE", []byte{1}), good...)
	if _, _, err := LoadKeys([]Key{{d, "s", keyFile(t, beside, 0o600)}}); err != nil {
		t.Errorf("beside: %v", err)
	}
}

// TestKeyTools reads the keys that people make, with OpenSSL and opendkim-genkey.
func TestKeyTools(t *testing.T) {
	openssl := require.Program(t, "openssl", "openssl")
	for what, args := range map[string][]string{
		"PKCS #8 RSA":     {"genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"},
		"PKCS #1 RSA":     {"genrsa", "-traditional", "2048"},
		"PKCS #8 Ed25519": {"genpkey", "-algorithm", "ed25519"},
	} {
		path := filepath.Join(t.TempDir(), "key.pem")
		if out, err := exec.Command(openssl, append(args, "-out", path)...).CombinedOutput(); err != nil {
			// genrsa takes its options before the length.
			if args[0] != "genrsa" {
				t.Fatalf("%v: %s", err, out)
			}
			if out, err = exec.Command(openssl, "genrsa", "-traditional", "-out", path, "2048").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := LoadKeys([]Key{{signDomain(t, "example.jp"), "s", path}}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func keyCodes(list []explain.Finding) []string {
	out := []string{}
	for _, f := range list {
		out = append(out, string(f.Grade)+" "+f.Code)
	}
	return out
}

func TestKeyAdvice(t *testing.T) {
	d, e := signDomain(t, "example.jp"), signDomain(t, "example.org")
	short, good, ed := makeKey(t, 1024), makeKey(t, 2048), makeKey(t, 256)
	_, found, err := LoadKeys([]Key{{d, "r", good}, {d, "e", ed}, {e, "e", ed}, {e, "e2", ed}, {signDomain(t, "short.example"), "s", short}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"warning departure.key-alone", "warning departure.key-alone", "warning departure.key-short"}
	if got := keyCodes(found); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if found[2].Args["bits"] != int64(1024) || found[2].Args["selector"] != "s" {
		t.Errorf("%v", found[2].Args)
	}
}

func TestKeyCheck(t *testing.T) {
	d := signDomain(t, "example.jp")
	var keys []Key
	for i := range 9 {
		keys = append(keys, Key{d, "s" + strconv.Itoa(i), makeKey(t, 256)})
	}
	keys = append(keys, Key{d, "rsa", makeKey(t, 2048)})
	s := loadKeys(t, keys...)
	record := func(i int) string { return s.keys[i].record }
	zone := "s0._domainkey.example.jp. TXT \"" + record(0) + "\"\n" +
		// s1 is not there.
		"s2._domainkey.example.jp. TXT \"" + record(1) + "\"\n" +
		"s3._domainkey.example.jp. TXT \"v=DKIM1; k=ed25519; p=\"\n" +
		"s4._domainkey.example.jp. TXT \"v=spf1 -all\"\n" +
		"s5._domainkey.example.jp. TXT \"" + record(5) + "\"\ns5._domainkey.example.jp. TXT \"x\"\n" +
		"s6._domainkey.example.jp. TYPE65280 \\# 0\n" +
		"s7._domainkey.example.jp. TXT \"" + strings.Replace(record(7), "p=", "t=y; p=", 1) + "\"\n" +
		"s8._domainkey.example.jp. TXT \"" + strings.Replace(record(8), "p=", "s=tlsrpt; p=", 1) + "\"\n" +
		// A Ed25519 key where an RSA key should be.
		"rsa._domainkey.example.jp. TXT \"" + record(0) + "\"\n"
	z, err := dnstest.Parse(strings.NewReader(zone), "zone")
	if err != nil {
		t.Fatal(err)
	}
	found := s.Check(context.Background(), z)
	want := []string{
		"error departure.record-missing", "error departure.record-differs", "error departure.record-revoked", "error departure.record-unusable",
		"error departure.record-several", "advice departure.record-unknown", "warning departure.record-testing", "error departure.record-unusable", "error departure.record-differs",
	}
	if got := keyCodes(found); !slices.Equal(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
	for _, f := range found {
		if f.Code == "departure.record-unknown" {
			if f.Publish != nil {
				t.Error("trouble of the DNS asks for a record")
			}
			continue
		}
		if f.Publish == nil || f.Publish.Type != "TXT" || f.Publish.Name != f.Args["name"] {
			t.Errorf("%s: %+v", f.Code, f.Publish)
			continue
		}
		if _, err := dkim.ParseKey(f.Publish.Value); err != nil {
			t.Errorf("%s: %v", f.Code, err)
		}
	}
	if got := (*Signer)(nil).Check(context.Background(), z); got != nil {
		t.Errorf("without keys: %v", got)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := parseKey(text)
		if (key == nil) == (err == nil) {
			t.Errorf("%v, %v", key, err)
		}
	})
}
