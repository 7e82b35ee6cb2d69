package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

// fillJournal appends entries to the verdicts of a folder and kills itself with
// a signal that nothing can be done about: most of them are in the journal
// alone.
func fillJournal() {
	l, err := verdict.Open(os.Args[1], verdict.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for i := range 100_000 {
		domain := fmt.Sprintf("d%d.example", i%1000)
		r, err := l.Append(&verdict.Entry{Time: time.Now(), Took: time.Millisecond, QueueID: fmt.Sprint(i), MessageID: fmt.Sprintf("%d@%s", i, domain),
			Client: netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), Helo: "mail." + domain, MailFrom: "someone@" + domain, From: "someone@" + domain,
			Rcpt: []string{"someone@city.example.jp"}, Size: 10_000, Action: verdict.Accept, Asked: verdict.Accept, SPF: "pass", DKIM: "pass", DMARC: "pass", ARC: "none",
			Policy: verdict.Policy{Domain: domain, Text: "v=DMARC1; p=reject; rua=mailto:d@" + domain, Method: "treewalk"},
			Record: aggregate.Record{SourceIP: netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), Disposition: "pass", DKIM: true, SPF: true, HeaderFrom: domain}, Print: [16]byte{byte(i), byte(i >> 8), byte(i >> 16)}})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		r.Confirm()
	}
	fmt.Println(l.Stats().Unmoved)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// TestGatewayRestart: with 100,000 verdicts left in the journal by a process
// that was killed, the gateway answers its first message within a second, and
// none of them is lost.
func TestGatewayRestart(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data", "gateway")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "fill-journal")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	fill := exec.Command(link, data)
	var complaint strings.Builder
	fill.Stderr = &complaint
	left, _ := fill.Output()
	if complaint.Len() > 0 {
		t.Fatal(complaint.String())
	}

	began := time.Now()
	g := startGateway(t, dir)
	var out strings.Builder
	if err := deliver(g.address, "203.0.113.9", strings.NewReader(forged), &out); err != nil {
		t.Fatalf("%v\n%s", err, g.log)
	}
	took := time.Since(began)
	t.Logf("%s verdicts in the journal alone; %v from the start of the process to the first answer", strings.TrimSpace(string(left)), took.Round(time.Millisecond))
	if took > time.Second {
		t.Errorf("%v to the first answer, want at most a second", took)
	}

	r, err := verdict.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for until := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		days, err := r.Days(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var kept int64
		for _, d := range days {
			kept += d.Messages
		}
		if kept == 100_001 {
			break
		}
		if kept > 100_001 || time.Now().After(until) {
			t.Fatalf("%d messages in %v, want 100,001\n%s", kept, days, g.log)
		}
	}
}
