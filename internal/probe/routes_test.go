package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sekimori/internal/require"
	"sekimori/rpki"
)

// freePort is one of a loopback address on which nothing listens.
func freePort(t *testing.T, ip string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// start runs a program until the test ends.
func start(t *testing.T, path string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = t.TempDir()
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Postfix ends its group
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(path), said.String())
		}
	})
}

// retry tries again for some seconds.
func retry(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func vrpsJSON(n int) string {
	var b strings.Builder
	b.WriteString(`{"metadata":{"buildtime":"2026-11-22T00:00:00Z"},"roas":[` +
		`{"asn":64496,"prefix":"198.51.100.0/22","maxLength":24,"ta":"x","expires":4102444800},` +
		`{"asn":64497,"prefix":"203.0.113.0/24","maxLength":24,"ta":"x","expires":4102444800},` +
		`{"asn":64511,"prefix":"2001:db8::/32","maxLength":48,"ta":"x","expires":4102444800}`)
	for i := range n {
		fmt.Fprintf(&b, `,{"asn":%d,"prefix":"10.%d.%d.0/24","maxLength":24,"ta":"x","expires":4102444800}`, i, i>>8, i&255)
	}
	b.WriteString("]}")
	return b.String()
}

// TestStayRTR asks a real cache, in both versions.
func TestStayRTR(t *testing.T) {
	path := require.Program(t, "stayrtr", "stayrtr")
	file := write(t, "vrps.json", vrpsJSON(20000))
	want, _, err := LoadVRPs(t.Context(), file)
	if err != nil || want.Len() != 20003 {
		t.Fatal(want.Len(), err)
	}
	for _, version := range []string{"0", "1", "2"} {
		t.Run("version "+version, func(t *testing.T) {
			t.Parallel()
			address := "127.0.0.1:" + freePort(t, "127.0.0.1")
			start(t, path, "-bind", address, "-cache", file, "-checktime=false", "-metrics.addr", "", "-protocol", version, "-loglevel", "error")
			var s *rpki.VRPs
			retry(t, func() error {
				var err error
				s, _, err = LoadVRPs(t.Context(), "rtr://"+address)
				return err
			})
			if s.Len() != want.Len() {
				t.Fatalf("%d payloads, want %d", s.Len(), want.Len())
			}
			all := map[rpki.VRP]bool{}
			for v := range want.All() {
				all[v] = true
			}
			for v := range s.All() {
				if !all[v] {
					t.Fatalf("%s is not among those served", v)
				}
			}
		})
	}
}

// TestBird reads the dump of a real router that heard the routes from another
// by BGP.
func TestBird(t *testing.T) {
	path := require.Program(t, "bird", "bird2")
	dir := t.TempDir()
	speaker, listener := freePort(t, "127.0.0.1"), freePort(t, "127.0.0.2")
	a := write(t, "a.conf", `router id 192.0.2.1; log stderr all; protocol device {}
protocol static { ipv4; route 192.0.2.0/24 blackhole; route 198.51.100.0/22 blackhole; route 203.0.113.0/24 blackhole; route 0.0.0.0/0 blackhole; }
protocol static { ipv6; route 2001:db8::/32 blackhole; }
filter out4 { bgp_next_hop = 127.0.0.1; if net = 198.51.100.0/22 then { bgp_path.prepend(64496); bgp_path.prepend(64500); } accept; }
filter out6 { bgp_next_hop = ::1; accept; }
protocol bgp { local 127.0.0.1 port `+speaker+` as 64511; neighbor 127.0.0.2 port `+listener+` as 64512; multihop; strict bind yes; passive;
ipv4 { import all; export filter out4; }; ipv6 { import all; export filter out6; }; }
`)
	b := write(t, "b.conf", `router id 192.0.2.2; log stderr all; protocol device {}
protocol static { ipv4; route 10.0.0.0/8 blackhole; }
protocol bgp { local 127.0.0.2 port `+listener+` as 64512; neighbor 127.0.0.1 port `+speaker+` as 64511; multihop; strict bind yes; connect delay time 1;
ipv4 { import all; export none; }; ipv6 { import all; export none; }; }
protocol mrt { table "master4"; filename "`+dir+`/rib4"; period 1; }
protocol mrt { table "master6"; filename "`+dir+`/rib6"; period 1; }
`)
	start(t, path, "-f", "-c", a, "-s", filepath.Join(dir, "a.ctl"), "-P", filepath.Join(dir, "a.pid"))
	start(t, path, "-f", "-c", b, "-s", filepath.Join(dir, "b.ctl"), "-P", filepath.Join(dir, "b.pid"))
	vrps, _, err := LoadVRPs(t.Context(), write(t, "vrps.json", vrpsJSON(0)))
	if err != nil {
		t.Fatal(err)
	}
	table := rpki.Table{VRPs: vrps}
	retry(t, func() error {
		var err error
		if table.Routes, _, err = LoadRoutes(t.Context(), filepath.Join(dir, "rib4"), 0); err == nil && table.Routes.Len() != 3 {
			err = fmt.Errorf("%d routes", table.Routes.Len())
		}
		return err
	})
	for address, want := range map[string]string{
		"192.0.2.7":    "192.0.2.0/24 AS64511 not-found",
		"198.51.101.7": "198.51.100.0/22 AS64496 valid",
		"203.0.113.7":  "203.0.113.0/24 AS64511 invalid",
		"10.0.0.1":     "", // the router's own, which it tells nobody
		"8.8.8.8":      "",
	} {
		got := ""
		for _, o := range table.Origins(netip.MustParseAddr(address)) {
			got += fmt.Sprintf("%s %s %s", o.Prefix, o.ASN, o.State)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	retry(t, func() error {
		var err error
		if table.Routes, _, err = LoadRoutes(t.Context(), filepath.Join(dir, "rib6"), 0); err == nil && table.Routes.Len() != 1 {
			err = fmt.Errorf("%d routes", table.Routes.Len())
		}
		return err
	})
	if o := table.Origins(netip.MustParseAddr("2001:db8::25")); len(o) != 1 || o[0].State != rpki.Valid {
		t.Errorf("%+v", o)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	for source, want := range map[string]string{
		filepath.Join(dir, "none"):    "no such file",
		dir:                           "is a folder",
		"rtr://":                      "want rtr://HOST",
		"rtr://127.0.0.1/x":           "want rtr://HOST",
		"rtr://127.0.0.1:1":           "refused",
		write(t, "empty", ""):         "empty: the source is empty",
		write(t, "page", "<!DOCTYPE"): "line 1",
	} {
		if _, _, err := LoadVRPs(t.Context(), source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
	if _, _, err := LoadRoutes(t.Context(), write(t, "page", "<!DOCTYPE"), 0); err == nil || !strings.Contains(err.Error(), "page: prefix to AS: line 1") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := LoadVRPs(ctx, write(t, "vrps.json", vrpsJSON(0))); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestSilentCache: a cache that says nothing is left when the caller wants.
func TestSilentCache(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, _, err := LoadVRPs(ctx, "rtr://"+l.Addr().String()); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}
