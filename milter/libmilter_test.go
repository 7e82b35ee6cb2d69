package milter_test

import (
	"context"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/internal/require"
	"sekimori/milter"
)

// TestLibmilter lets the client talk to Sendmail's own library, in OpenDKIM:
// several messages on a connection.
func TestLibmilter(t *testing.T) {
	program := require.Program(t, "opendkim", "opendkim")
	address := "local:" + filepath.Join(t.TempDir(), "s")
	cmd := exec.Command(program, "-f", "-b", "v", "-x", "/dev/null", "-p", address)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	var c *milter.Client
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err = milter.Dial(t.Context(), address, milter.ClientOptions{Timeout: 20 * time.Second}); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	defer c.Close()
	if c.Version() != 6 || c.Steps()&milter.LeadingSpace == 0 || c.Actions()&milter.ActAddHeader == 0 {
		t.Errorf("version %d, steps %#x, actions %#x", c.Version(), c.Steps(), c.Actions())
	}
	for i := range 3 {
		m := milter.Message{Client: netip.MustParseAddrPort("[2001:db8::1]:25"), Helo: "h.example", From: "a@example.org", Rcpt: []string{"b@example.jp"},
			Header: []milter.Field{{Name: "From", Value: " a@example.org"}, {Name: "Subject", Value: " one\r\n two"}, {Name: "Date", Value: " Sun, 22 Nov 2026 03:00:00 +0000"}},
			Body:   strings.NewReader(strings.Repeat("0123456789abcdef\r\n", 10000))}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		o, err := c.Send(ctx, &m)
		cancel()
		if err != nil || o.At != milter.EndOfMessage && o.At != milter.EndOfHeader || o.Response.Do != milter.Accept && o.Response.Do != milter.Continue {
			t.Errorf("message %d: %+v, %v\n%s", i, o, err, said.String())
			return
		}
		t.Logf("message %d: %s at %s, %d changes", i, o.Response.Do, o.At, len(o.Changes))
	}
}
