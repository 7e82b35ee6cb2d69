//go:build unix

package resolve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"sekimori/dns"
	"sekimori/internal/nameserver"
	"sekimori/internal/require"
)

func freePort(t *testing.T) int {
	t.Helper()
	port, err := nameserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// start runs a name server until the end of the test, and waits until it
// answers a question about name.
func start(t *testing.T, addr, name string, command ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children go with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	q := new(mdns.Msg).SetQuestion(name, mdns.TypeSOA)
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(30 * time.Millisecond) {
		c := mdns.Client{Timeout: 500 * time.Millisecond}
		if m, _, err := c.Exchange(q, addr); err == nil && m.Rcode == mdns.RcodeSuccess {
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", command[0], &out)
		default:
		}
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-ended
	t.Fatalf("%s does not answer: %s", command[0], &out)
}

// peers starts NSD with a signed, an unsigned and a badly signed zone, and two
// Unbounds before it: one explains failures (RFC 8914), the other does not.
func peers(t *testing.T) (explaining, silent string) {
	t.Helper()
	nsd, unbound := require.Program(t, "nsd", "nsd"), require.Program(t, "unbound", "unbound")
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	zone := func(apex string, more ...string) []string {
		return append([]string{
			apex + " 300 IN SOA ns." + apex + " root." + apex + " 1 3600 600 86400 60",
			apex + " 300 IN NS ns." + apex, "ns." + apex + " 300 IN A 127.0.0.1",
		}, more...)
	}
	big := ` 300 IN TXT` + strings.Repeat(` "`+strings.Repeat("x", 250)+`"`, 24)
	signed, ds := sign(t, "signed.test.", zone("signed.test.",
		`signed.test. 300 IN TXT "v=spf1 -all"`,
		"signed.test. 300 IN MX 10 mx.signed.test.",
		"mx.signed.test. 300 IN A 192.0.2.1", "mx.signed.test. 300 IN AAAA 2001:db8::1",
		"_25._tcp.mx.signed.test. 300 IN TLSA 3 1 1 "+strings.Repeat("ab", 32),
		"alias.signed.test. 200 IN CNAME mx.signed.test.",
		"away.signed.test. 200 IN CNAME mx.plain.test.",
		"big.signed.test."+big,
		`we\032ird\@x.signed.test. 300 IN TXT "found"`,
		"sub.signed.test. 300 IN NS ns.sub.signed.test.", "ns.sub.signed.test. 300 IN A 127.0.0.1",
	), time.Now().Add(24*time.Hour))
	old, oldDS := sign(t, "old.test.", zone("old.test.", `old.test. 300 IN TXT "v=spf1 -all"`), time.Now().Add(-120*time.Hour)) // longer ago than Unbound tolerates
	zones := map[string]string{
		"signed": signed, "old": old,
		"plain": strings.Join(zone("plain.test.", "mx.plain.test. 300 IN A 192.0.2.2", "big.plain.test."+big,
			"to.plain.test. 100 IN CNAME to2.plain.test.", "to2.plain.test. 50 IN CNAME mx.plain.test."), "\n") + "\n",
		"sub": strings.Join(zone("sub.signed.test.", "a.sub.signed.test. 300 IN A 192.0.2.3"), "\n") + "\n",
	}
	port := freePort(t)
	conf := fmt.Sprintf("server:\n ip-address: 127.0.0.1@%d\n port: %[1]d\n username: %q\n chroot: \"\"\n zonesdir: %q\n pidfile: %q\n"+
		" database: \"\"\n xfrdfile: %q\n zonelistfile: %q\n xfrdir: %q\n server-count: 1\nremote-control:\n control-enable: no\n",
		port, me.Username, dir, filepath.Join(dir, "nsd.pid"), filepath.Join(dir, "xfrd"), filepath.Join(dir, "list"), dir)
	stubs := ""
	for name, text := range zones {
		apex := name + ".test"
		if name == "sub" {
			apex = "sub.signed.test"
		}
		conf += fmt.Sprintf("zone:\n name: %s\n zonefile: %s\n", apex, write(name+".zone", text))
		stubs += fmt.Sprintf("stub-zone:\n name: %s\n stub-addr: 127.0.0.1@%d\n", apex, port)
	}
	start(t, fmt.Sprintf("127.0.0.1:%d", port), "signed.test.", nsd, "-d", "-c", write("nsd.conf", conf))
	run := func(explain string) string {
		port := freePort(t)
		start(t, fmt.Sprintf("127.0.0.1:%d", port), "signed.test.", unbound, "-d", "-c", write("unbound-"+explain+".conf", fmt.Sprintf(
			"server:\n interface: 127.0.0.1@%d\n port: %[1]d\n do-ip6: no\n username: \"\"\n chroot: \"\"\n directory: %q\n pidfile: \"\"\n use-syslog: no\n"+
				" num-threads: 1\n do-not-query-localhost: no\n module-config: \"validator iterator\"\n local-zone: \"test.\" nodefault\n qname-minimisation: no\n"+
				" ede: %s\n trust-anchor: %q\n trust-anchor: %q\nremote-control:\n control-enable: no\n%s", port, dir, explain, ds, oldDS, stubs)))
		return fmt.Sprintf("127.0.0.1:%d", port)
	}
	return run("yes"), run("no")
}

// TestPeers asks Unbound, which asks NSD.
func TestPeers(t *testing.T) {
	explaining, silent := peers(t)
	r, err := New(Options{Servers: []string{explaining}})
	if err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 6000)
	for _, c := range []struct {
		name     string
		typ      dns.Type
		want     string // the first record
		end      string
		security dns.Security
		err      error
	}{
		{name: "signed.test", typ: dns.TXT, want: "v=spf1 -all", security: dns.Secure},
		{name: "signed.test", typ: dns.MX, want: "10 mx.signed.test.", security: dns.Secure},
		{name: "signed.test", typ: dns.NS, want: "ns.signed.test.", security: dns.Secure},
		{name: "signed.test", typ: dns.SOA, want: "ns.signed.test. root.signed.test. 1 3600 600 86400 60", security: dns.Secure},
		{name: "_25._tcp.mx.signed.test", typ: dns.TLSA, want: "3 1 1 " + strings.Repeat("ab", 32), security: dns.Secure},
		{name: "alias.signed.test", typ: dns.AAAA, want: "2001:db8::1", end: "mx.signed.test", security: dns.Secure},
		{name: "away.signed.test", typ: dns.A, want: "192.0.2.2", end: "mx.plain.test"},
		{name: "away.signed.test", typ: dns.CNAME, want: "mx.plain.test.", security: dns.Secure},
		{name: "big.signed.test", typ: dns.TXT, want: big, security: dns.Secure},
		{name: "we ird@x.signed.test", typ: dns.TXT, want: "found", security: dns.Secure},
		{name: "mx.signed.test", typ: dns.TXT, err: dns.ErrNoData, security: dns.Secure},
		{name: "none.signed.test", typ: dns.TXT, err: dns.ErrNameNotFound, security: dns.Secure},
		{name: "sub.signed.test", typ: dns.DS, err: dns.ErrNoData, security: dns.Secure},
		{name: "a.sub.signed.test", typ: dns.A, want: "192.0.2.3"},
		{name: "mx.plain.test", typ: dns.A, want: "192.0.2.2"},
		{name: "to.plain.test", typ: dns.A, want: "192.0.2.2", end: "mx.plain.test"},
		{name: "big.plain.test", typ: dns.TXT, want: big},
		{name: "mx.plain.test", typ: dns.AAAA, err: dns.ErrNoData},
		{name: "none.plain.test", typ: dns.A, err: dns.ErrNameNotFound},
		{name: "old.test", typ: dns.TXT, err: dns.ErrTemporary, security: dns.Bogus},
	} {
		a, err := r.Lookup(context.Background(), c.name, c.typ)
		got := ""
		if len(a.Records) > 0 {
			got = a.Records[0]
		}
		if got != c.want || a.Name != c.end || a.Security != c.security || !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%s %s: %.60q, at %q, %q, %v %v", c.name, c.typ, got, a.Name, a.Security, a.Extended, err)
		}
		if c.security == dns.Bogus && (len(a.Extended) == 0 || !a.Extended[0].Bogus()) {
			t.Errorf("%s %s: extended errors %v, want why", c.name, c.typ, a.Extended)
		}
	}
	if a, err := r.Lookup(context.Background(), "signed.test", dns.DNSKEY); err != nil || !strings.HasPrefix(a.Records[0], "257 3 13 ") {
		t.Errorf("DNSKEY: %v, %v", a, err)
	}

	// Without extended errors, what fails only while it is validated is bogus.
	if r, err = New(Options{Servers: []string{silent}}); err != nil {
		t.Fatal(err)
	}
	if a, err := r.Lookup(context.Background(), "old.test", dns.TXT); a.Security != dns.Bogus || len(a.Extended) != 0 || !errors.Is(err, dns.ErrTemporary) {
		t.Errorf("without explanation: %+v, %v", a, err)
	}

	// Every second datagram is lost.
	lossy := proxy(t, explaining, 2)
	if r, err = New(Options{Servers: []string{lossy}, Timeout: 200 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, name := range []string{"signed.test", "big.signed.test"} {
		wg.Go(func() {
			if _, err := r.Lookup(context.Background(), name, dns.TXT); err != nil {
				t.Errorf("with losses: %v", err)
			}
		})
	}
	wg.Wait()
	if a, err := r.Lookup(context.Background(), "none.signed.test", dns.TXT); !errors.Is(err, dns.ErrNameNotFound) || a.Security != dns.Secure {
		t.Errorf("with losses: %+v, %v", a, err)
	}
}

// proxy passes datagrams and connections on to addr, and loses every n-th
// datagram, beginning with the first.
func proxy(t *testing.T, addr string, n int64) string {
	t.Helper()
	pc, l, err := nameserver.Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	t.Cleanup(func() { l.Close() })
	pass := func(network string, out []byte, size int) []byte {
		c, err := net.DialTimeout(network, addr, time.Second)
		if err != nil {
			return nil
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		_, _ = c.Write(out)
		in := make([]byte, size)
		got := 0
		for {
			k, err := c.Read(in[got:])
			if got += k; err != nil || network == "udp" || got >= 2 && got >= 2+int(in[0])<<8+int(in[1]) {
				return in[:got]
			}
		}
	}
	var count atomic.Int64
	go func() {
		for {
			buf := make([]byte, 4096)
			k, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if count.Add(1)%n == 1 {
				continue
			}
			go func() { _, _ = pc.WriteTo(pass("udp", buf[:k], 4096), from) }()
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 4096)
				if k, err := c.Read(buf); err == nil {
					_, _ = c.Write(pass("tcp", buf[:k], 70000))
				}
			}()
		}
	}()
	return pc.LocalAddr().String()
}
