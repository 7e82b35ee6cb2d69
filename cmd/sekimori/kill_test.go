package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sekimori/report/aggregate"
)

// program returns a command that runs sekimori as a process of its own.
func program(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "sekimori")
	if err := os.Symlink(self, link); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	cmd := exec.Command(link, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LANG=C", "TMPDIR="+t.TempDir()) // what a killed process leaves goes with the test
	return cmd
}

// result runs an import to its end and returns its document.
func result(t *testing.T, cmd *exec.Cmd) map[string]any {
	t.Helper()
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, &errOut)
	}
	var doc map[string]any
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return doc
}

func writeReport(t *testing.T, path string, id, rows int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	day := time.Date(2026, 9, 1+id%28, 0, 0, 0, 0, time.UTC)
	w, err := aggregate.NewWriter(f, aggregate.RFC9990, aggregate.Report{
		Metadata:        aggregate.Metadata{OrgName: "receiver.example", Email: "d@receiver.example", ReportID: fmt.Sprint(id), Begin: day, End: day.Add(24*time.Hour - time.Second)},
		PolicyPublished: aggregate.PolicyPublished{Domain: fmt.Sprintf("d%d.example", id%3), P: "none"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		ok := i%3 != 0
		rec := aggregate.Record{SourceIP: netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), Count: uint64(1 + i%7), Disposition: "none", SPF: ok, HeaderFrom: "d.example",
			SPFResults: []aggregate.SPFResult{{Domain: "d.example", Scope: "mfrom", Result: map[bool]string{true: "pass", false: "fail"}[ok]}}}
		if err := w.WriteRecord(&rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestKilledImport kills an import twenty times at random moments and runs it
// again until it ends by itself: its final figures, and what advise then says,
// are those of an import that nobody disturbed.
func TestKilledImport(t *testing.T) {
	dir := t.TempDir()
	reports := filepath.Join(dir, "reports")
	if err := os.MkdirAll(reports, 0o755); err != nil {
		t.Fatal(err)
	}
	for id := range 1500 {
		writeReport(t, filepath.Join(reports, fmt.Sprintf("%04d.xml", id)), id, 4)
	}
	writeReport(t, filepath.Join(reports, "0700-large.xml"), 10_000, 60_000)
	writeReport(t, filepath.Join(reports, "0800-again.xml"), 3, 4) // a duplicate
	if err := os.WriteFile(filepath.Join(reports, "0900-broken.xml"), []byte("<feedback><report_metadata>"), 0o644); err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	want := result(t, program(t, dir, "import", "--json", "--data", "undisturbed", "reports"))
	took := time.Since(began)
	if want["reports"] != 1501.0 || want["duplicates"] != 1.0 {
		t.Fatalf("undisturbed: %v", want)
	}

	kills, whole := 0, 0
	for data := "killed"; kills < 20; {
		cmd := program(t, dir, "import", "--json", "--data", data, "reports")
		var out, errOut bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errOut
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(rand.Int64N(int64(took))), func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit) && exit.ExitCode() == -1 && !json.Valid(out.Bytes()):
			kills++
		case errors.As(err, &exit) && exit.ExitCode() == -1: // killed when all was said: it may be the end or not
			compare(t, dir, data, want, out.Bytes())
			whole++
			data = fmt.Sprintf("killed%d", whole)
		case errors.As(err, &exit) && exit.ExitCode() == 1: // it came to its end: check, and begin anew
			compare(t, dir, data, want, out.Bytes())
			whole++
			data = fmt.Sprintf("killed%d", whole)
		default:
			t.Fatalf("after %d kills: %v\n%s", kills, err, &errOut)
		}
		if kills == 20 {
			out, err := program(t, dir, "import", "--json", "--data", data, "reports").Output()
			if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
				t.Fatal(err)
			}
			compare(t, dir, data, want, out)
		}
	}
	t.Logf("%d kills, %d imports that came to their end in between, %v undisturbed", kills, whole, took)
}

func compare(t *testing.T, dir, data string, want map[string]any, out []byte) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	for _, k := range []string{"files", "reports", "rows", "messages", "duplicates"} {
		if got[k] != want[k] {
			t.Errorf("%s: %s = %v, want %v", data, k, got[k], want[k])
		}
	}
	if n := len(got["rejected"].([]any)); n != 1 {
		t.Errorf("%s: %d rejected, want 1", data, n)
	}
	for _, d := range []string{"d0.example", "d1.example", "d2.example"} {
		a := result(t, program(t, dir, "advise", d, "--json", "--zone", "/dev/null", "--data", "undisturbed"))
		b := result(t, program(t, dir, "advise", d, "--json", "--zone", "/dev/null", "--data", data))
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%s: advice on %s differs from that of an undisturbed import:\n%s", data, d, diff)
		}
	}
}
