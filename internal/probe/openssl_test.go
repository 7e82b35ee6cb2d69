package probe

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sekimori/internal/require"
)

// TestOpenSSL fetches from another's TLS and HTTP.
func TestOpenSSL(t *testing.T) {
	openssl := require.Program(t, "openssl", "openssl")
	ca := newAuthority(t)
	dir := t.TempDir()
	write := func(name string, b []byte) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert := ca.issue(t, time.Now().Add(time.Hour), "a.example")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
	write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	write(".well-known/mta-sts.txt", []byte("version: STSv1\n"))
	for _, tt := range []struct {
		flags []string
		want  Why
	}{
		{[]string{"-tls1_3"}, ""},
		{[]string{"-tls1_2"}, ""},
		{[]string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}, WhyTLS},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		_ = l.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, openssl, append([]string{"s_server", "-accept", address, "-cert", "cert.pem", "-key", "key.pem", "-WWW", "-quiet"}, tt.flags...)...)
		cmd.Dir = dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 200 { // until it listens
			if c, err := net.Dial("tcp", address); err == nil {
				_ = c.Close()
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		h := world(t, ca, address)
		h.Timeout = 5 * time.Second
		body, typ, err := h.Fetch(t.Context(), "https://a.example/.well-known/mta-sts.txt", 1000, false)
		var e *Error
		if tt.want == "" && (err != nil || string(body) != "version: STSv1\n" || typ != "text/plain") || tt.want != "" && (!errors.As(err, &e) || e.Why != tt.want) {
			t.Errorf("%v: %q, %q, %v", tt.flags, body, typ, err)
		}
		cancel()
		_ = cmd.Wait()
	}
}
