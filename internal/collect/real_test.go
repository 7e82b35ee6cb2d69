package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sekimori/internal/require"
	"sekimori/internal/store"
)

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
		files, err := filepath.Glob(filepath.Join(require.Data(t), filepath.FromSlash(pattern)))
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

// TestWorlds imports the simulated organisations: every message of the truth
// is there once.
func TestWorlds(t *testing.T) {
	for _, world := range []string{"1", "2"} {
		dir := require.Data(t, "worlds", world)
		var truth struct {
			Domain  string
			Sources map[string]struct{ Messages uint64 }
		}
		b, err := os.ReadFile(filepath.Join(dir, "truth.json"))
		if err != nil || json.Unmarshal(b, &truth) != nil {
			t.Fatalf("truth: %v", err)
		}
		var want uint64
		for _, s := range truth.Sources {
			want += s.Messages
		}
		s := openStore(t, t.TempDir())
		im := New(s)
		res, err := im.Import(context.Background(), []string{filepath.Join(dir, "reports.tar.gz")})
		if err != nil || res.Messages != want || res.HasRejected() || res.Duplicates != 0 || res.Files != 1 || want == 0 {
			t.Errorf("world %s: %s, %v; want %d messages", world, summary(res), err, want)
		}
		again, err := im.Import(context.Background(), []string{filepath.Join(dir, "reports.tar.gz")})
		if err != nil || again.Reports != 0 || again.Duplicates != res.Reports {
			t.Errorf("world %s again: %s, %v", world, summary(again), err)
		}
		names, err := s.DomainNames(context.Background())
		if err != nil || len(names) != 1 || names[0] != truth.Domain {
			t.Errorf("world %s: domains %v, %v; want %s", world, names, err, truth.Domain)
		}
	}
}

// TestRealResume interrupts imports into a real store.
func TestRealResume(t *testing.T) {
	dir := mixed(t)
	want := "files 84 reports 101 rows 9314 messages 9314 duplicates 51 rejected 12"
	for round := range 3 {
		s := openStore(t, t.TempDir())
		im := New(s)
		for try := range 4 {
			ctx, cancel := context.WithCancel(context.Background())
			if try < 3 {
				after := time.Duration(5+round*20+try*37) * time.Millisecond
				time.AfterFunc(after, cancel)
			}
			res, err := im.Import(ctx, []string{dir})
			cancel()
			if err == nil {
				if summary(res) != want {
					t.Errorf("round %d, try %d: got %s, want %s", round, try, summary(res), want)
				}
				break
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		heads, n, err := s.Reports(context.Background(), store.ReportFilter{}, store.Page{Limit: 1000})
		if err != nil || n != 101 {
			t.Fatalf("%d reports, %v", n, err)
		}
		var rows int64
		for _, h := range heads {
			rows += h.Rows
		}
		if rows != 9314 {
			t.Errorf("%d rows stored", rows)
		}
	}
}

// TestRealRaw: what the store keeps is the XML that came in.
func TestRealRaw(t *testing.T) {
	small, large := reportXML("1", 3), reportXML("2", 9000)
	dir := t.TempDir()
	writeFile(t, dir, "a.xml", small)
	writeFile(t, dir, "b.zip", zipped(item{"b.xml", large}))
	s := openStore(t, t.TempDir())
	im := New(s)
	im.Limits.Memory = 1000 // the large one goes through a file
	if res, err := im.Import(context.Background(), []string{dir}); err != nil || res.Reports != 2 {
		t.Fatalf("%s, %v", summary(res), err)
	}
	heads, _, err := s.Reports(context.Background(), store.ReportFilter{}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range heads {
		r, _, err := s.Raw(context.Background(), h.Seq)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		want := small
		if h.Rows > 3 {
			want = large
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("report %d: %d bytes, %v; want %d", h.Seq, len(got), err, len(want))
		}
	}
}
