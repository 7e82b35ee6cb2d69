package reporter

import (
	"bufio"
	"context"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"sekimori/internal/store/outbox"
	"sekimori/internal/store/verdict"
)

// What the process that is killed reports about: its days and policies.
const (
	killDays     = 3
	killPolicies = 20
)

// killWorld is the same in each life of the process, apart from the site's
// name: a report that was made must not change with it.
func killWorld(t testing.TB, dir, addr string, life int) (Options, *days) {
	d := &days{}
	var zone strings.Builder
	for day := range killDays {
		for p := range killPolicies {
			domain := fmt.Sprintf("d%d.example.com", p)
			pol := verdict.Policy{Domain: domain, Method: "treewalk",
				Text: fmt.Sprintf("v=DMARC1; p=reject; rua=mailto:a@d%d.example.com,mailto:b@d%d.reports.example", p, p)}
			d.add(fmt.Sprintf("2026-11-%02d", 19+day), pol, row(byte(p+1), uint64(1+day)), row(200, uint64(p+1)))
			fmt.Fprintf(&zone, "%s._report._dmarc.d%d.reports.example. TXT \"v=DMARC1\"\n", domain, p)
		}
	}
	o := options(t, d)
	o.Resolver = parseZone(t, zone.String())
	o.Dir, o.SMTP = dir, addr
	o.Organization = fmt.Sprintf("Life %d", life)
	o.Now = time.Now
	return o, d
}

// TestLife is the process that is killed. It is done when everything is sent.
func TestLife(t *testing.T) {
	if os.Getenv("SEKIMORI_LIFE") == "" {
		t.Skip("a part of TestKill")
	}
	var life int
	var dir, addr string
	if _, err := fmt.Sscanf(os.Getenv("SEKIMORI_LIFE"), "%d %s %s", &life, &addr, &dir); err != nil {
		t.Fatal(err)
	}
	o, _ := killWorld(t, dir, addr, life)
	o.Event = func(e Event) { fmt.Println(e.Kind) }
	r := reporter(t, o)
	fmt.Println("alive")
	for {
		out, err := r.Round(context.Background(), "")
		if err != nil {
			t.Fatal(err)
		}
		if out.Waiting == 0 {
			return
		}
	}
}

// TestKill kills the process 50 times while it closes days, writes reports and
// sends them. Each report arrives at each destination at least once, always
// the same one, and about each day and policy there is one.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	s := newSink(t, false)
	s.data = func() error { time.Sleep(3 * time.Millisecond); return nil } // under its lock: one after the other
	rnd := rand.New(rand.NewSource(time.Now().UnixNano()))
	live := func(life int) (*exec.Cmd, *bufio.Reader) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLife$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("SEKIMORI_LIFE=%d %s %s", life, s.addr, dir), "TMPDIR="+t.TempDir())
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, bufio.NewReader(out)
	}
	killed := 0
	for life := range 60 {
		if killed == 50 {
			break
		}
		cmd, out := live(life)
		// By what it has done, so that it gets further on any machine.
		for range 1 + rnd.Intn(5) {
			if _, err := out.ReadString('\n'); err != nil {
				break // all done: it ended by itself
			}
		}
		time.Sleep(time.Duration(rnd.Intn(5000)) * time.Microsecond)
		_ = cmd.Process.Signal(syscall.SIGKILL)
		if cmd.Wait() != nil {
			killed++
		}
	}
	before := len(s.messages())
	if killed < 50 {
		t.Errorf("it could be killed %d times before it was done", killed)
	}
	cmd, out := live(60)
	rest := make(chan string)
	go func() {
		var b strings.Builder
		_, _ = bufio.NewReader(out).WriteTo(&b)
		rest <- b.String()
	}()
	text := <-rest
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	got := s.messages()

	_, d := killWorld(t, dir, s.addr, 0)
	type key struct{ domain, day string }
	reports := map[key]string{} // by day and domain: id and content
	arrived := map[string]string{}
	totals := map[string]uint64{} // by report id
	for _, g := range got {
		m := open(t, g.data)
		k := key{m.report.PolicyPublished.Domain, dayOf(m.report.Metadata.Begin)}
		id := m.report.Metadata.ReportID + " " + sum(m.gz) + " " + m.filename
		if was, ok := reports[k]; ok && was != id {
			t.Errorf("%v: two reports:\n%s\n%s", k, was, id)
		}
		reports[k] = id
		totals[m.report.Metadata.ReportID] = m.messages
		way := k.domain + " " + k.day + " " + g.to
		if was, ok := arrived[way]; ok && was != m.header.Get("Message-Id") {
			t.Errorf("%s: two messages, %s and %s", way, was, m.header.Get("Message-Id"))
		}
		arrived[way] = m.header.Get("Message-Id")
	}
	if len(arrived) != killDays*killPolicies*2 || len(reports) != killDays*killPolicies {
		t.Errorf("%d reports arrived over %d ways, want %d over %d", len(reports), len(arrived), killDays*killPolicies, killDays*killPolicies*2)
	}
	for k, id := range reports {
		var want, have uint64
		for _, p := range d.days[k.day] {
			if p.Domain == k.domain {
				for _, r := range p.rows {
					want += r.Count
				}
			}
		}
		if have = totals[strings.Fields(id)[0]]; have != want {
			t.Errorf("%v: %d messages, want %d", k, have, want)
		}
	}
	box, err := outbox.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	counts, err := box.Counts(context.Background())
	if err != nil || counts[outbox.Sent] != killDays*killPolicies*2 || len(counts) != 1 {
		t.Errorf("%v %v", counts, err)
	}
	t.Logf("killed %d times; %d messages arrived before the last life, %d in all, %d of them twice", killed, before, len(got), len(got)-len(arrived))
}
