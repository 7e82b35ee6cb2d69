package main

import (
	"archive/zip"
	"bytes"
	"io"
	"path/filepath"
	"testing"

	"sekimori/report/aggregate"
)

// count reads a report and returns its rows and its deviations.
func count(t *testing.T, r io.Reader) (int, []aggregate.Deviation) {
	t.Helper()
	rd := aggregate.NewReader(r, aggregate.Limits{})
	var rec aggregate.Record
	rows := 0
	for {
		err := rd.Next(&rec)
		if err == io.EOF {
			rep, _ := rd.Report()
			return rows, rep.Deviations
		}
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
}

func TestReportsAreInForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.gz")
	if err := large(path, 1234, "x"); err != nil {
		t.Fatal(err)
	}
	doc, err := inflated(path)
	if err != nil {
		t.Fatal(err)
	}
	if rows, dev := count(t, bytes.NewReader(doc)); rows != 1234 || len(dev) > 0 {
		t.Errorf("%d rows, deviations %v", rows, dev)
	}
}

func TestWorld(t *testing.T) {
	dir := t.TempDir()
	const want, days = 20000, 3
	if err := world(dir, want, 0, days, "t"); err != nil {
		t.Fatal(err)
	}
	zips, err := filepath.Glob(filepath.Join(dir, "*.zip"))
	if err != nil || len(zips) != days {
		t.Fatal(zips, err)
	}
	rows, names := 0, map[string]bool{}
	for _, name := range zips {
		z, err := zip.OpenReader(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			if names[f.Name] {
				t.Errorf("%s twice", f.Name)
			}
			names[f.Name] = true
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			n, dev := count(t, r)
			if len(dev) > 0 {
				t.Fatalf("%s: %v", f.Name, dev)
			}
			rows += n
			r.Close()
		}
		z.Close()
	}
	if rows < want*95/100 || rows > want*105/100 {
		t.Errorf("%d rows, want about %d", rows, want)
	}
}

func TestFigures(t *testing.T) {
	v := []float64{5, 1, 4, 2, 3}
	if median(v) != 3 || percentile(v, 95) != 5 || percentile(v, 20) != 1 || median(v[:4]) != 3 || median(nil) != 0 {
		t.Errorf("median %g, p95 %g, p20 %g, of four %g", median(v), percentile(v, 95), percentile(v, 20), median(v[:4]))
	}
	for in, want := range map[float64]string{0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234567: "1,234,567"} {
		if got := human(in); got != want {
			t.Errorf("human(%g) = %s, want %s", in, got, want)
		}
	}
}
