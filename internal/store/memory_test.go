package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// largeImport streams a report of so many rows and prints the most memory that
// this took, in KiB.
func largeImport(dir string, rows int) error {
	ctx := context.Background()
	s, err := Open(ctx, dir, Options{})
	if err != nil {
		return err
	}
	rep := testReport("large.example", "receiver.example", "large", 0, 1)
	t, err := s.Begin(ctx, rep)
	if err != nil {
		return err
	}
	var batch Rows
	for i := range rows {
		rec := sampleRecord(i)
		// Every row has a long string that no other has, as an attacker's would.
		rec.EnvelopeFrom = fmt.Sprintf("%d.%s.example", i, strings.Repeat("long-name-", 8))
		batch.Add(&rec)
		if batch.Len() == 4096 || i == rows-1 {
			if err := t.Append(&batch); err != nil {
				return err
			}
			batch.Reset()
		}
	}
	if _, err := t.Commit(ctx, Incoming{Report: rep}); err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Println(strings.Fields(after)[0])
	return s.Close()
}

// A report's size must not show in the memory that storing it takes.
func TestStreamMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("needs /proc")
	}
	var peaks []int
	for _, rows := range []int{500_000, 1_500_000} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprint("STORE_TEST_LARGE=", rows), "STORE_TEST_DIR="+t.TempDir())
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		kib, err := strconv.Atoi(string(bytes.TrimSpace(out)))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d rows: at most %d MiB", rows, kib>>10)
		peaks = append(peaks, kib>>10)
	}
	if peaks[1] > 450 {
		t.Errorf("a report of 1,500,000 rows takes %d MiB, want at most 450", peaks[1])
	}
	if peaks[1] > peaks[0]+100 {
		t.Errorf("memory grows with the report: %v MiB", peaks)
	}
}
