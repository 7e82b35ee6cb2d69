package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/internal/require"
)

// TestPostfix talks to a real mail exchanger: one port that encrypts, one that
// does not, one that asks for TLS 1.2 at most.
func TestPostfix(t *testing.T) {
	control := require.Program(t, "postfix", "postfix")
	if os.Getuid() != 0 {
		require.Missing(t, "root, which Postfix wants to be started by")
	}
	dir, err := os.MkdirTemp("", "postfix") // a socket's path may not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if said, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("%s", said)
		}
		os.RemoveAll(dir)
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	cert := ca.issue(t, time.Now().Add(time.Hour), "mx.example")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string]string{}
	for _, name := range []string{"tls", "plain", "old"} {
		ports[name] = freePort(t, "127.0.0.1")
	}
	for _, sub := range []string{"conf", "queue", "data"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{
		"pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})) + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})),
		"conf/main.cf": fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = /tmp, %[1]s
myhostname = mx.example
inet_protocols = ipv4
inet_interfaces = 127.0.0.1
alias_maps =
smtpd_peername_lookup = no
smtpd_tls_chain_files = %[1]s/pem
smtpd_tls_security_level = may
`, dir),
		"conf/master.cf": fmt.Sprintf(`127.0.0.1:%s inet n - n - - smtpd
127.0.0.1:%s inet n - n - - smtpd -o smtpd_tls_security_level=none
127.0.0.1:%s inet n - n - - smtpd -o smtpd_tls_protocols=<=TLSv1.2
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
`, ports["tls"], ports["plain"], ports["old"]),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "chown", "postfix", filepath.Join(dir, "data")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	conf := filepath.Join(dir, "conf")
	if out, err := exec.CommandContext(t.Context(), control, "-c", conf, "check").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	daemons, err := exec.CommandContext(t.Context(), "postconf", "-c", conf, "-h", "daemon_directory").Output()
	if err != nil {
		t.Fatal(err)
	}
	start(t, filepath.Join(strings.TrimSpace(string(daemons)), "master"), "-c", conf, "-d")
	for name, want := range map[string]struct {
		why     Why
		version uint16
	}{"tls": {"", tls.VersionTLS13}, "plain": {WhyNotOffered, 0}, "old": {"", tls.VersionTLS12}} {
		retry(t, func() error {
			s := &SMTP{Helo: "mail.survey.example", Roots: ca.pool, Private: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+ports[name])
			}}
			session, untrusted, err := s.STARTTLS(t.Context(), "mx.example", somewhere)
			if why(err) != want.why || untrusted != nil || err == nil && session.Version != want.version {
				return fmt.Errorf("%s: %+v, %v, %v", name, session, untrusted, err)
			}
			return nil
		})
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	if strings.Contains(string(log), "lost connection") || strings.Contains(string(log), "SSL_accept error") || strings.Contains(string(log), "improper command pipelining") {
		t.Error("Postfix finds something to complain of")
	}
}
