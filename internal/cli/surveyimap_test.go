//go:build unix

package cli

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"sekimori/internal/locale"
)

// TestNewslettersByIMAP reads them from a mail server: all at first, then what
// came since.
func TestNewslettersByIMAP(t *testing.T) {
	n := makeNewsletters(t)
	n.lay(t)
	port, inbox := n.serve(t)
	for _, m := range n.messages[:40] {
		inbox(m)
	}
	if err := os.WriteFile(filepath.Join(n.dir, "password"), []byte("geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(want int, args ...string) string {
		t.Helper()
		var out, complaints bytes.Buffer
		status := Run(t.Context(), Env{Args: append([]string{"survey"}, append(args, "--zone", "zone", "--data", filepath.Join(n.dir, "data"))...), Out: &out, Err: &complaints, Dir: n.dir, Lang: locale.English})
		if status != want {
			t.Fatalf("%v: status %d\n%s%s", args, status, &out, &complaints)
		}
		return out.String() + complaints.String()
	}
	run(StatusDone, "run", "list.csv", "--name", "2026-11")
	mail := []string{"mail", "--imap", fmt.Sprintf("imaps://survey@localhost:%d/", port), "--password-file", "password", "--imap-roots", "ca.pem", "--roots", "ca.pem"}
	if said := run(StatusDone, mail...); !strings.Contains(said, "40 messages read for the survey 2026-11: 40 new, 0 known already.") {
		t.Error(said)
	}
	for _, m := range n.messages[40:] {
		inbox(m)
	}
	said := run(StatusDone, mail...)
	if !strings.Contains(said, "32 messages read for the survey 2026-11: 32 new, 0 known already.") || !strings.Contains(said, "the 72 messages from organisations of the list") {
		t.Error(said)
	}
	if said := run(StatusDone, mail...); !strings.HasPrefix(said, "No new message found.\n") || !strings.Contains(said, "the 72 messages") {
		t.Error(said)
	}
	// Without the authority of its own, the server is not believed.
	said = run(StatusTemporary, "mail", "--imap", fmt.Sprintf("imaps://survey@localhost:%d/", port), "--password-file", "password")
	if !strings.Contains(said, "certificate") || !strings.Contains(said, "run the command again to go on") {
		t.Error(said)
	}
}

// letterbox is a message on its way into a mailbox.
type letterbox struct {
	io.Reader
	size int64
}

func (l letterbox) Size() int64 { return l.size }

// serve is a mail server with an empty mailbox, and how messages get into it.
func (n *newsletters) serve(t *testing.T) (port int, inbox func([]byte)) {
	t.Helper()
	leaf := &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: n.ca.NotBefore, NotAfter: n.ca.NotAfter,
		DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	certificate := tls.Certificate{Certificate: [][]byte{n.certify(t, leaf, n.ca)}, PrivateKey: n.rsa}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	users := imapmemserver.New()
	user := imapmemserver.NewUser("survey", "geheim")
	if err := user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	users.AddUser(user)
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return users.NewSession(), nil, nil
		},
		Caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}}, InsecureAuth: true, Logger: log.New(io.Discard, "", 0),
	})
	go func() {
		_ = server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}}))
	}()
	t.Cleanup(func() { server.Close() })
	return l.Addr().(*net.TCPAddr).Port, func(m []byte) {
		t.Helper()
		if _, err := user.Append("INBOX", letterbox{bytes.NewReader(m), int64(len(m))}, &imap.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
