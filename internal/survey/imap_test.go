//go:build unix

package survey

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sekimori/internal/check"
	"sekimori/internal/require"
)

// imapServer is a Dovecot of the test's own.
type imapServer struct {
	imap, imaps int // ports
	roots       *x509.CertPool
	maildir     string
}

const imapSecret = "correct-horse"

// startDovecot starts it on loopback, with a certificate of its own authority.
func startDovecot(t *testing.T) *imapServer {
	t.Helper()
	program := require.Program(t, "dovecot", "dovecot-imapd")
	dir := t.TempDir()
	uid, gid := os.Getuid(), os.Getgid()
	users := ""
	if uid == 0 {
		// As root it serves mail as somebody else, who has to reach the folder.
		uid, gid = 65534, 65534
		for _, d := range []string{dir, filepath.Dir(dir)} {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	} else {
		me, err := exec.Command("id", "-un").Output()
		if err != nil {
			t.Fatal(err)
		}
		group, err := exec.Command("id", "-gn").Output()
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSpace(string(me))
		users = fmt.Sprintf("default_internal_user = %s\ndefault_internal_group = %s\ndefault_login_user = %s\nservice anvil {\n  chroot =\n}\nservice imap-login {\n  chroot =\n}\n", name, strings.TrimSpace(string(group)), name)
	}
	s := &imapServer{imap: freePort(t), imaps: freePort(t), maildir: filepath.Join(dir, "mail")}
	s.certificate(t, dir)
	for _, d := range []string{"mail", "mail/cur", "mail/new", "mail/tmp", "home"} {
		p := filepath.Join(dir, d)
		if err := os.Mkdir(p, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(p, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	config := fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = imap
listen = 127.0.0.1
auth_failure_delay = 0
ssl = yes
ssl_cert = <%[1]s/server.pem
ssl_key = <%[1]s/server.key
mail_location = maildir:%[1]s/mail
passdb {
  driver = static
  args = password=%[6]s
}
userdb {
  driver = static
  args = uid=%[2]d gid=%[3]d home=%[1]s/home
}
service imap-login {
  inet_listener imap {
    port = %[4]d
  }
  inet_listener imaps {
    port = %[5]d
    ssl = yes
  }
}
%[7]s`, dir, uid, gid, s.imap, s.imaps, imapSecret, users)
	file := filepath.Join(dir, "dovecot.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "-F", "-c", file)
	out := new(strings.Builder)
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	})
	for range 100 {
		if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.imaps)); err == nil {
			conn.Close()
			return s
		}
		time.Sleep(50 * time.Millisecond)
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	t.Fatalf("dovecot does not answer:\n%s\n%s", out, log)
	return nil
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// certificate makes the server's certificate and the authority behind it.
func (s *imapServer) certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	root, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if ca, err = x509.ParseCertificate(root); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s.roots = x509.NewCertPool()
	s.roots.AddCert(ca)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{"server.pem": {Type: "CERTIFICATE", Bytes: der}, "server.key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// deliver puts a message into the mailbox.
func (s *imapServer) deliver(t *testing.T, name, text string) {
	t.Helper()
	p := filepath.Join(s.maildir, "new", name)
	if err := os.WriteFile(p, []byte(strings.ReplaceAll(text, "\r\n", "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(p, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *imapServer) mailbox(t *testing.T, scheme, host string, port int) *Mailbox {
	t.Helper()
	u, err := ParseMailbox(fmt.Sprintf("%s://survey@%s:%d/", scheme, host, port))
	if err != nil {
		t.Fatal(err)
	}
	return &Mailbox{URL: u, Password: imapSecret, Roots: s.roots, Wait: time.Millisecond}
}

func TestIMAP(t *testing.T) {
	s := startDovecot(t)
	const messages = 250 // more than one command fetches
	for i := range messages {
		s.deliver(t, fmt.Sprintf("%04d.x", i), letter("news@city.example", fmt.Sprintf("no. %d", i), ""))
	}
	s.deliver(t, "9999.x", "not a message at all\n\nreally\n")

	st := &mailStore{entries: map[string]int64{"city.example": 3}}
	m := mailing(t, st)
	b := s.mailbox(t, "imaps", "localhost", s.imaps)
	count, err := m.Run(t.Context(), 1, []check.Place{b.Place()})
	if err != nil {
		t.Fatal(err)
	}
	if count.Fresh != messages || count.Rejected != 1 || count.Matched != messages {
		t.Fatalf("%+v", count)
	}
	known := MailboxKnown{}
	for _, r := range st.mail {
		if !strings.HasPrefix(r.Path, fmt.Sprintf("imaps://survey@localhost:%d/INBOX;UIDVALIDITY=", s.imaps)) || r.Now.SPF != "pass" {
			t.Fatalf("%s: spf %s", r.Path, r.Now.SPF)
		}
		known.KnownMail(r.Path)
	}
	seen, err := filepath.Glob(filepath.Join(s.maildir, "cur", "*,*S*"))
	if err != nil || len(seen) != 0 {
		t.Errorf("%d messages are marked as seen", len(seen))
	}

	// What came since is fetched, and nothing else; by STARTTLS this time. (The
	// name of the mailbox is another then: nothing of it is known.)
	s.deliver(t, "9999.y", letter("news@city.example", "the newest", ""))
	b.Known = known
	if count, err = m.Run(t.Context(), 1, []check.Place{b.Place()}); err != nil || count.Fresh != 1 || count.Read != 2 {
		t.Errorf("resumed: %+v, %v", count, err)
	}
	starttls := s.mailbox(t, "imap", "127.0.0.1", s.imap)
	starttls.Known = known
	if count, err = m.Run(t.Context(), 1, []check.Place{starttls.Place()}); err != nil || count.Again != messages+1 || count.Fresh != 0 {
		t.Errorf("STARTTLS: %+v, %v", count, err)
	}
	// The same messages from the folder itself are the same messages.
	if count, err = m.Run(t.Context(), 1, []check.Place{{Name: "mail", File: s.maildir}}); err != nil || count.Again != messages+1 || count.Fresh != 0 {
		t.Errorf("maildir: %+v, %v", count, err)
	}
	if got := len(st.mail); got != messages+1 {
		t.Errorf("%d messages are kept", got)
	}

	// Faults.
	stranger := s.mailbox(t, "imaps", "localhost", s.imaps)
	stranger.Roots = x509.NewCertPool()
	if _, err = m.Run(t.Context(), 1, []check.Place{stranger.Place()}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v", err)
	}
	missing := s.mailbox(t, "imaps", "localhost", s.imaps)
	missing.URL.Path = "/Newsletters/日本"
	if _, err = m.Run(t.Context(), 1, []check.Place{missing.Place()}); err == nil || !strings.Contains(err.Error(), "open the folder") {
		t.Errorf("no such folder: %v", err)
	}
	wrong := s.mailbox(t, "imaps", "localhost", s.imaps)
	wrong.Password = "wrong"
	if _, err = m.Run(t.Context(), 1, []check.Place{wrong.Place()}); err == nil || !strings.Contains(err.Error(), "refuses the user name or the password") || strings.Contains(err.Error(), "wrong\"") {
		t.Errorf("wrong password: %v", err)
	}
}

// TestIMAPBreaks reads through a connection that breaks again and again: every
// message comes, none comes cut off.
func TestIMAPBreaks(t *testing.T) {
	s := startDovecot(t)
	const messages = 60
	for i := range messages {
		s.deliver(t, fmt.Sprintf("%04d.x", i), letter("news@city.example", fmt.Sprintf("no. %d", i), "")+strings.Repeat("a line of a long letter\r\n", 400))
	}
	port := breaker(t, s.imap, 120_000)
	st := &mailStore{}
	b := s.mailbox(t, "imap", "127.0.0.1", port)
	b.Wait = time.Millisecond
	count, err := mailing(t, st).Run(t.Context(), 1, []check.Place{b.Place()})
	if err != nil || count.Fresh != messages || count.Again != 0 || count.Rejected != 0 {
		t.Fatalf("%+v, %v", count, err)
	}
	// One that never lasts ends with an error.
	dead := s.mailbox(t, "imap", "127.0.0.1", breaker(t, s.imap, 5000))
	dead.Wait = time.Millisecond
	if _, err := mailing(t, &mailStore{}).Run(t.Context(), 1, []check.Place{dead.Place()}); err == nil {
		t.Error("no error from a connection that never lasts")
	}
}

// breaker is a proxy whose connections break after so many octets from the
// server.
func breaker(t *testing.T, port int, octets int64) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				client.Close()
				return
			}
			go func() { _, _ = io.Copy(server, client) }()
			go func() {
				_, _ = io.CopyN(client, server, octets)
				client.Close()
				server.Close()
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// TestIMAPHostile talks to servers that lie.
func TestIMAPHostile(t *testing.T) {
	for name, answers := range map[string]map[string]string{
		"more messages than it has": {"EXAMINE": "* 2 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n", "UID SEARCH": "* SEARCH 1 2 3 4\r\n"},
		"a range without an end":    {"EXAMINE": "* 2 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n", "UID SEARCH": "* ESEARCH (TAG \"%s\") UID ALL 1:4294967295\r\n"},
		"a message that is cut off": {"EXAMINE": "* 1 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n", "UID SEARCH": "* SEARCH 1\r\n", "UID FETCH": "* 1 FETCH (UID 1 BODY[] {5000}\r\nFrom: a@city.example\r\n\r\ncut"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &Mailbox{Password: "x", Wait: time.Millisecond}
			b.URL, _ = ParseMailbox(fmt.Sprintf("imap://survey@127.0.0.1:%d/", liar(t, answers)))
			st := &mailStore{}
			if count, err := mailing(t, st).Run(t.Context(), 1, []check.Place{b.Place()}); err == nil || count.Read != 0 {
				t.Errorf("%+v, %v", count, err)
			}
		})
	}
}

// liar is a server that answers commands as it is told, and closes the
// connection in the middle of a fetch.
func liar(t *testing.T, answers map[string]string) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprint(c, "* OK [CAPABILITY IMAP4rev1] hello\r\n")
				lines := bufio.NewScanner(c)
				for lines.Scan() {
					tag, command, _ := strings.Cut(lines.Text(), " ")
					for prefix, answer := range answers {
						if strings.HasPrefix(command, prefix) {
							fmt.Fprint(c, strings.ReplaceAll(answer, "%s", tag))
						}
					}
					switch {
					case strings.HasPrefix(command, "UID FETCH"):
						return
					case strings.HasPrefix(command, "STARTTLS"):
						fmt.Fprintf(c, "%s NO\r\n", tag)
					default:
						fmt.Fprintf(c, "%s OK done\r\n", tag)
					}
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func TestParseMailbox(t *testing.T) {
	for in, want := range map[string]string{
		"imaps://info@mail.example":                       "imaps://info@mail.example/INBOX",
		"imaps://info@city.example@mail.example:9993/A/B": "imaps://info%40city.example@mail.example:9993/A/B",
		"imap://info@127.0.0.1/%E6%97%A5":                 "imap://info@127.0.0.1/%E6%97%A5",
		"imaps://info:secret@mail.example":                "",
		"imaps://mail.example/INBOX":                      "",
		"imaps://info@/INBOX":                             "",
		"http://info@mail.example":                        "",
		"newsletters.mbox":                                "",
		"imaps://info@mail.example/a%0d%0aA1 LOGOUT":      "",
	} {
		u, err := ParseMailbox(in)
		got := ""
		if err == nil {
			got = u.String()
		}
		if got != want {
			t.Errorf("%s: %q (%v), want %q", in, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}
