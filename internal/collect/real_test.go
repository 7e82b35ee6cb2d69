package collect

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"sekimori/internal/store"
)

// data returns the path of the shared test data, or skips the test.
func data(t testing.TB, elem ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("go.mod not found above the test's folder")
		}
		dir = up
	}
	p := filepath.Join(append([]string{dir, "..", "shared", "data"}, elem...)...)
	if _, err := os.Stat(p); err != nil {
		if os.Getenv("SEKIMORI_REQUIRE") == "all" {
			t.Fatalf("test data: %v", err)
		}
		t.Skipf("test data is absent: %v", err)
	}
	return p
}

// reportFiles are the 30 files that the README of the test data lists.
func reportFiles(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{
		"reports-parsedmarc/aggregate/*",
		"reports-parsedmarc/aggregate_invalid/*",
		"reports-parsedmarc/extract_report/*",
		"reports-parsedmarc/empty.xml",
		"reports-schema-and-small/dmarcbis/*.xml",
		"reports-schema-and-small/mail-dmarc/t/fixtures/test_dmarc.xml*",
	} {
		files, err := filepath.Glob(filepath.Join(data(t), filepath.FromSlash(pattern)))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		out = append(out, files...)
	}
	if len(out) != 30 {
		t.Fatalf("%d report files, want 30", len(out))
	}
	return out
}

func openStore(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestReportFiles imports the public samples into a real store.
func TestReportFiles(t *testing.T) {
	s := openStore(t, t.TempDir())
	res, err := New(s).Import(context.Background(), reportFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range res.Rejected {
		t.Logf("%s: %s: kept %s", r.Path, r.Error, r.Kept)
	}
	if res.Files != 30 || res.Reports != 22 || res.Rows != 2347 || res.Duplicates != 7 || len(res.Rejected) != 1 {
		t.Errorf("got %d files, %d reports, %d rows, %d duplicates, %d rejected; want 30, 22, 2347, 7, 1",
			res.Files, res.Reports, res.Rows, res.Duplicates, len(res.Rejected))
	}
}
