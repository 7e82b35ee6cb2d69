package publish

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// written publishes a wave into a new folder.
func written(t testing.TB, f *fakeStore, o Options) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "new", "report")
	files, s, err := Write(t.Context(), f, f.wave, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if s == nil || len(files) != 4 {
		t.Fatalf("%d files, summary %v", len(files), s)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 4 {
		t.Fatalf("the folder has %v, %v", left, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file.Path); err != nil || info.Size() != file.Size || info.Size() == 0 {
			t.Errorf("%s: %v", file.Path, err)
		}
	}
	return dir
}

func readCSV(t *testing.T, dir string) []map[string]string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, ResultsFile))
	if err != nil {
		t.Fatal(err)
	}
	raw, marked := bytes.CutPrefix(raw, []byte("\ufeff"))
	if !marked || !bytes.Contains(raw, []byte("\r\n")) {
		t.Error("no byte order mark, or no CRLF")
	}
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, r := range rows[1:] {
		m := map[string]string{}
		for i, c := range r {
			if _, twice := m[rows[0][i]]; twice {
				t.Fatalf("two columns are called %q", rows[0][i])
			}
			m[rows[0][i]] = c
		}
		out = append(out, m)
	}
	return out
}

func TestResults(t *testing.T) {
	rows := readCSV(t, written(t, small(t), options(locale.Japanese)))
	if len(rows) != 13 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, c := range []struct {
		row          int
		column, want string
	}{
		{0, "line", "2"}, {0, "name", "強井市"}, {0, "domain", "strong.example"}, {0, "status", "measured"}, {0, "種別", "市"}, {0, "人口", "120000"},
		{0, "spf", "yes"}, {0, "dmarc_policy", "reject"}, {0, "spf_all", "fail"}, {0, "spf_record", "v=spf1 ip4:192.0.2.1 -all"}, {0, "problems", ""}, {0, "measured_at", "2026-11-20 03:00:00"},
		{4, "spf_all", "neutral"},
		{5, "spf_valid", "no"}, {5, "spf_all", ""},
		{6, "spf", "no"}, {6, "dmarc_policy", ""},
		{8, "status", "unanswered"}, {8, "spf", "unknown"}, {8, "measured_at", "2026-11-20 03:00:00"},
		{9, "status", "measured"}, {9, "dmarc", "unknown"}, {9, "spf", "yes"},
		{10, "status", "duplicate"}, {10, "duplicate_of", "1"}, {10, "spf", ""},
		{11, "status", "without-domain"}, {11, "name", "名無町"},
		{12, "status", "invalid"}, {12, "input", "http://"}, {12, "input_problem", "survey.no-such-code"},
	} {
		if got, ok := rows[c.row][c.column]; got != c.want || !ok {
			t.Errorf("row %d, %s: %q, want %q", c.row+1, c.column, got, c.want)
		}
	}
	if !strings.Contains(rows[6]["problems"], "posture.spf-missing") {
		t.Errorf("problems of row 7: %q", rows[6]["problems"])
	}
}

// TestColumnNames checks that an attribute that is called as a column of ours
// keeps apart from it.
func TestColumnNames(t *testing.T) {
	w := store.Wave{WaveSpec: store.WaveSpec{Attributes: []string{"domain", "spf", "size", "size"}, Facts: []string{"spf", "dmarc"}}}
	got := strings.Join(attributeColumns(w), ",")
	if want := "domain (2),spf (2),size,size (2)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestCells(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"a":                    "a",
		"=cmd()":               "'=cmd()",
		"+81":                  "'+81",
		"-1":                   "'-1",
		"@SUM(A1)":             "'@SUM(A1)",
		"\t=1":                 "' =1",
		"\r\n=1":               "'  =1",
		"　＝1":                  "'　＝1",
		"\u00a0=1":             "'\u00a0=1",
		"＠x":                   "'＠x",
		"a=b":                  "a=b",
		"a\x00b\u202ec":        "a\ufffdb\ufffdc",
		"\xff":                 "\ufffd",
		"x\uffff":              "x\ufffd",
		strings.Repeat("字", 5): "字字字字字",
	} {
		if got := cellOf(in); got != want {
			t.Errorf("cellOf(%q) = %q, want %q", in, got, want)
		}
	}
	if got := cellOf("=" + strings.Repeat("字", 40000)); len([]rune(got)) != cellRunes || !strings.HasPrefix(got, "'=") {
		t.Errorf("a cell of %d characters", len([]rune(got)))
	}
}
