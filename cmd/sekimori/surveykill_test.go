package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"sekimori/dns"
	"sekimori/dns/dnstest"
)

// nameServer is a recursive name server on loopback that knows a zone. It
// remembers in which phases the MX records of a domain were asked for, with
// which each look at a domain begins.
type nameServer struct {
	zone *dnstest.Zone
	addr string

	mu     sync.Mutex
	phase  int
	phases map[string]uint64
}

func serveZone(t *testing.T, zone string) *nameServer {
	t.Helper()
	z, err := dnstest.Parse(strings.NewReader(zone), "zone")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{zone: z, phases: map[string]uint64{}}
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = pc.LocalAddr().String()
	server := &mdns.Server{PacketConn: pc, Handler: s}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return s
}

// ServeDNS is that of the library.
func (s *nameServer) ServeDNS(w mdns.ResponseWriter, q *mdns.Msg) {
	name := strings.ToLower(strings.TrimSuffix(q.Question[0].Name, "."))
	kind := dns.Type(mdns.TypeToString[q.Question[0].Qtype])
	if kind == dns.MX {
		s.mu.Lock()
		s.phases[name] |= 1 << s.phase
		s.mu.Unlock()
	}
	m := new(mdns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	a, err := s.zone.Lookup(context.Background(), name, kind)
	if errors.Is(err, dns.ErrNameNotFound) {
		m.Rcode = mdns.RcodeNameError
	}
	for _, r := range a.Records {
		if kind == dns.TXT {
			r = fmt.Sprintf("%q", r)
		}
		if x, err := mdns.NewRR(fmt.Sprintf("%s 60 IN %s %s", q.Question[0].Name, kind, r)); err == nil && x != nil {
			m.Answer = append(m.Answer, x)
		}
	}
	if len(m.Answer) == 0 {
		x, _ := mdns.NewRR("example. 60 IN SOA ns.example. root.example. 1 60 60 60 60")
		m.Ns = []mdns.RR{x}
	}
	_ = w.WriteMsg(m)
}

func (s *nameServer) next() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase++
}

// writeSurvey writes a list of n domains, and returns the zone that they are in.
func writeSurvey(t *testing.T, path string, n int) string {
	t.Helper()
	var zone, list bytes.Buffer
	zone.WriteString("$TTL 60\nexample. IN NS ns.example.\nns.example. IN A 127.0.0.1\nmx.example. IN A 192.0.2.1\n")
	list.WriteString("団体名,種別,ドメイン\n")
	for i := range n {
		d := fmt.Sprintf("d%d.example", i)
		fmt.Fprintf(&list, "団体%d,%s,%s\n", i, []string{"市", "町", "村"}[i%3], d)
		fmt.Fprintf(&zone, "%s. IN MX 10 mx.example.\n", d)
		if i%4 > 0 {
			fmt.Fprintf(&zone, "%s. IN TXT \"v=spf1 mx -all\"\n", d)
		}
		if i%5 == 0 {
			fmt.Fprintf(&zone, "_dmarc.%s. IN TXT \"v=DMARC1; p=reject\"\n", d)
		}
	}
	if err := os.WriteFile(path, list.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return zone.String()
}

// tables is what a survey found, without when.
func tables(t *testing.T, out []byte) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	for _, k := range []string{"name", "started", "finished", "version", "written"} {
		delete(doc, k)
	}
	return doc
}

// TestKilledSurvey kills a survey at random moments and runs it again until it
// ends: no domain that was done is asked about again, none is lost, and the
// tables are those of a survey that nobody disturbed.
func TestKilledSurvey(t *testing.T) {
	const n, atOnce, kills = 1500, 8, 6
	dir := t.TempDir()
	server := serveZone(t, writeSurvey(t, filepath.Join(dir, "list.csv"), n))
	command := func(data string) *exec.Cmd {
		return program(t, dir, "survey", "run", "list.csv", "--name", "w", "--json", "--data", data, "--resolver", server.addr, "--concurrency", fmt.Sprint(atOnce), "--retries", "0", "--https=false")
	}
	began := time.Now()
	var errOut bytes.Buffer
	cmd := command("undisturbed")
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &errOut)
	}
	took := time.Since(began)
	want := tables(t, out)
	if want["measured"] != float64(n) {
		t.Fatalf("undisturbed: %v measured", want["measured"])
	}
	clear(server.phases)

	killed := 0
	for i := 0; ; i++ {
		cmd := command("killed")
		var out, errOut bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errOut
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var timer *time.Timer
		if i < kills { // so many, and a last one that may end
			timer = time.AfterFunc(took/8+time.Duration(rand.Int64N(int64(took/5))), func() { _ = cmd.Process.Kill() })
		}
		err := cmd.Wait()
		if timer != nil {
			timer.Stop()
		}
		server.next()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == -1 {
			killed++
			continue
		}
		if err != nil {
			t.Fatalf("after %d kills: %v\n%s", killed, err, &errOut)
		}
		if diff := cmp.Diff(want, tables(t, out.Bytes())); diff != "" {
			t.Errorf("after %d kills the tables differ (-undisturbed +killed):\n%s", killed, diff)
		}
		break
	}
	again := 0
	for i := range n {
		phases := server.phases[fmt.Sprintf("d%d.example", i)]
		if phases == 0 {
			t.Errorf("d%d.example was never asked about", i)
		}
		again += max(0, bits.OnesCount64(phases)-1)
	}
	// What was under way when it was killed is all that may be asked again.
	t.Logf("%d kills, %d of %d domains begun again, %v undisturbed", killed, again, n, took.Round(time.Millisecond))
	if killed == 0 || again > killed*atOnce {
		t.Errorf("%d kills, %d domains begun again, want at most %d for each kill", killed, again, atOnce)
	}
}

// TestStoppedSurvey: Ctrl-C ends a survey soon, with status 3 and word of how it
// goes on.
func TestStoppedSurvey(t *testing.T) {
	dir := t.TempDir()
	server := serveZone(t, writeSurvey(t, filepath.Join(dir, "list.csv"), 3000))
	cmd := program(t, dir, "survey", "run", "list.csv", "--name", "w", "--data", "d", "--resolver", server.addr, "--concurrency", "4", "--https=false")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		server.mu.Lock()
		n := len(server.phases)
		server.mu.Unlock()
		if n > 20 || time.Now().After(until) {
			break
		}
	}
	stopped := time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(errOut.String(), "run the same command again to go on") {
		t.Errorf("%v: %s", err, &errOut)
	}
	t.Logf("ended %v after Ctrl-C", time.Since(stopped).Round(time.Millisecond))
	if took := time.Since(stopped); took > 5*time.Second {
		t.Errorf("it took %v to end", took)
	}
}
