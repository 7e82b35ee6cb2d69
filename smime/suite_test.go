package smime

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/internal/require"
	"sekimori/message"
)

// parse cuts a message in two.
func parse(t testing.TB, raw []byte) Input {
	t.Helper()
	h, rest, err := message.Read(bytes.NewReader(raw), 0)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(rest)
	if err != nil {
		t.Fatal(err)
	}
	return Input{Header: h, Body: body}
}

// thunderbird returns the messages of the suite by name, and its root.
func thunderbird(t testing.TB) (map[string][]byte, *x509.CertPool) {
	t.Helper()
	root := require.Data(t, "smime-thunderbird")
	files := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".eml" {
			files[filepath.Base(path)], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(root, "smime", "TestCA.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no root in TestCA.pem")
	}
	return files, pool
}

// inSuite is when the certificates of the suite are valid.
var inSuite = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// expected is what a message's name promises. The outermost layer is what
// counts.
func expected(name string) (Form, Status, string) {
	name = strings.TrimSuffix(name, ".eml")
	detached, opaque := strings.LastIndex(name, "dsig."), strings.LastIndex(name, ".sig.")
	weak := strings.Contains(name, "SHA1")
	switch {
	case name == "nested-sigs", strings.HasPrefix(name, "outer-smime-bad-sig"):
		return Detached, Fail, "smime.content-differs"
	case name == "multipart-alternative": // one of its parts
		return Encrypted, None, "smime.encrypted"
	case strings.HasPrefix(name, "outer-pgp"):
		return "", None, ""
	case strings.HasSuffix(name, ".env"):
		return Encrypted, None, "smime.encrypted"
	case strings.HasSuffix(name, ".bad"):
		return Detached, Fail, "smime.content-differs"
	case strings.HasSuffix(name, ".mismatch-econtent"):
		return Detached, Fail, "smime.content-two"
	case name == "alice.dsig.SHA256.multipart.env.dsig", strings.HasPrefix(name, "alice.env.mixed"):
		return Detached, Fail, "smime.content-differs" // made by hand: readme.txt
	case strings.HasPrefix(name, "alice.env.dsig.") && strings.Count(name, "dsig") == 1 && opaque < 0:
		// Signed with LF for line ends, sent with CRLF; OpenSSL says so too.
		return Detached, Fail, "smime.content-differs"
	case weak && opaque > detached:
		return Opaque, Policy, "smime.digest-weak"
	case weak:
		return Detached, Policy, "smime.digest-weak"
	case opaque > detached:
		return Opaque, Pass, "smime.pass"
	}
	return Detached, Pass, "smime.pass"
}

func TestThunderbird(t *testing.T) {
	files, roots := thunderbird(t)
	if len(files) != 66 {
		t.Errorf("%d messages", len(files))
	}
	v := &Verifier{Roots: roots}
	for name, raw := range files {
		for _, ends := range []string{"as it is", "LF"} {
			if ends == "LF" {
				raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
			}
			in := parse(t, raw)
			in.Arrived = inSuite
			r := v.Verify(context.Background(), in)
			form, status, reason := expected(name)
			if r.Form != form || r.Status != status || r.Reason.Code != reason {
				t.Errorf("%s, line ends %s: %s %s %s, want %s %s %s", name, ends, r.Form, r.Status, r.Reason.Code, form, status, reason)
			}
			for _, s := range r.Signers {
				if status == Pass && (s.Signature != Yes || s.Chain != Yes || s.Valid != Yes || s.Match != MatchAddress || s.Usage != Yes) {
					t.Errorf("%s: %+v", name, s)
				}
			}
		}
	}
}

// openssl asks OpenSSL whether the signature of a message is right, whoever
// made it.
func openssl(t testing.TB, program string, raw []byte) bool {
	t.Helper()
	cmd := exec.Command(program, "cms", "-verify", "-noverify", "-out", os.DevNull)
	cmd.Stdin = bytes.NewReader(raw)
	return cmd.Run() == nil
}

func TestThunderbirdByOpenSSL(t *testing.T) {
	program := require.Program(t, "openssl", "openssl")
	files, roots := thunderbird(t)
	v := &Verifier{Roots: roots}
	for name, raw := range files {
		in := parse(t, raw)
		in.Arrived = inSuite
		r := v.Verify(context.Background(), in)
		ours := len(r.Signers) > 0 && r.Signers[0].Signature == Yes
		if theirs := openssl(t, program, raw); ours != theirs {
			t.Errorf("%s: %s; OpenSSL says %v", name, r.Reason.Code, theirs)
		}
	}
}
