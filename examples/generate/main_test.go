package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sekimori/report/aggregate"
)

// digest sums the names and contents of all files below dir.
func digest(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%s %d\n", rel, len(data))
		h.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestDeterministic(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	first, err := generate(a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := generate(b)
	if err != nil {
		t.Fatal(err)
	}
	if first != second || digest(t, a) != digest(t, b) {
		t.Errorf("two runs differ: %+v, %+v", first, second)
	}
	before := digest(t, a)
	if _, err := generate(a); err != nil {
		t.Fatalf("a second run into the same folder: %v", err)
	}
	if digest(t, a) != before {
		t.Error("a second run into the same folder changed it")
	}
}

func TestKeepsOtherPeoplesFolders(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine.txt")
	if err := os.WriteFile(mine, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := generate(dir); err == nil {
		t.Error("wrote into a folder that holds other files")
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
}

// TestReportsSay reads every report as its receiver would have sent it, without
// its container, and compares what it says with what was counted.
func TestReportsSay(t *testing.T) {
	m := newMinistry()
	o := &output{}
	var rows int
	var messages uint64
	tidy := []string{"kensaku-mail.example", "minato-isp.example", "sakurane.example", "teigaku-mobile.example", "nordpost.example", "cloudgate.example", "pref-nagisa.example"}
	seen := map[aggregate.DeviationCode]int{}
	for i := range receivers {
		r := &receivers[i]
		for k := range m.tally {
			if k.receiver != i {
				continue
			}
			_, xml, err := o.xml(r, k, m)
			if err != nil {
				t.Fatal(err)
			}
			if cutShort(r, k) {
				continue
			}
			rd := aggregate.NewReader(bytes.NewReader(xml), aggregate.Limits{})
			var rec aggregate.Record
			for err == nil {
				if err = rd.Next(&rec); err == nil {
					rows++
					messages += rec.Count
				}
			}
			rep, _ := rd.Report()
			if err != io.EOF || rep.PolicyPublished.Domain != k.policy || rep.Form != r.form {
				t.Errorf("%s %v: %v, %s, %s", r.org, k, err, rep.PolicyPublished.Domain, rep.Form)
			}
			for _, d := range rep.Deviations {
				seen[d.Code]++
			}
			if slices.Contains(tidy, r.org) && len(rep.Deviations) > 0 {
				t.Errorf("%s %v: deviations %v", r.org, k, rep.Deviations)
			}
		}
	}
	if rows != o.totals.rows || messages != o.totals.messages {
		t.Errorf("read %d rows and %d messages, counted %+v", rows, messages, o.totals)
	}
	if len(seen) < 6 {
		t.Errorf("only %d kinds of deviations: %v", len(seen), seen)
	}
	t.Logf("%+v, deviations %v", o.totals, seen)
}
