package publish

import (
	"archive/zip"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"sekimori/internal/locale"
	"sekimori/internal/require"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

func openBook(t *testing.T, dir string) *excelize.File {
	t.Helper()
	f, err := excelize.OpenFile(filepath.Join(dir, WorkbookFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestWorkbook reads the workbook of the small survey back.
func TestWorkbook(t *testing.T) {
	f := openBook(t, written(t, small(t), options(locale.Japanese)))
	want := []string{"概要", "種別", "都道府県", "人口", "メールの認証", "集計データ", "調査方法と用語", "SPFなし・誤り", "メール一覧", "問題の一覧", "全ドメイン"}
	if got := f.GetSheetList(); !slices.Equal(got, want) {
		t.Errorf("sheets %v", got)
	}
	rows := func(sheet string) [][]string {
		r, err := f.GetRows(sheet)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	find := func(sheet, first string) []string {
		for _, r := range rows(sheet) {
			if len(r) > 0 && r[0] == first {
				return r
			}
		}
		t.Errorf("%s has no row %q", sheet, first)
		return make([]string, 40)
	}
	if r := find("概要", "SPFあり"); r[1] != "8" || r[2] != "9" || r[3] != "88.9%" || r[4] != "56.5%" || r[5] != "98.0%" || r[6] != "1" {
		t.Errorf("SPF: %v", r)
	}
	if r := find("人口", "5万以上"); r[1] != "4" || r[2] != "3" || r[3] != "3" || r[4] != "100.0%" {
		t.Errorf("band: %v", r)
	}
	if r := rows("メールの認証"); r[4][0] != "S/MIME" || r[5][4] != "2" || r[5][5] != "33.3%" {
		t.Errorf("combinations: %v", r)
	}
	if r := rows("SPFなし・誤り"); len(r) != 1+2+3 || r[1][2] != "broken.example" || r[2][2] != "bare.example" {
		t.Errorf("SPF list: %v", r)
	}
	if r := rows("全ドメイン"); len(r) != 14 || r[1][1] != "強井市" || !slices.Contains(r[1], "○") || !slices.Contains(r[9], "不明") {
		t.Errorf("domains: %v", r)
	}
	if r := rows("メール一覧"); len(r) != 8 || r[1][3] != "news@strong.example" {
		t.Errorf("messages: %v", r)
	}
}

// TestWorkbookCharts checks that there are charts, whose references lead to
// sheets that exist.
func TestWorkbookCharts(t *testing.T) {
	b := big()
	before := compared(b)
	o := Options{Lang: locale.Japanese}
	o.Against = &before
	dir := written(t, b, o)
	z, err := zip.OpenReader(filepath.Join(dir, WorkbookFile))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	sheets := openBook(t, dir).GetSheetList()
	charts := 0
	for _, part := range z.File {
		if !strings.HasPrefix(part.Name, "xl/charts/chart") {
			continue
		}
		charts++
		r, err := part.Open()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range strings.Split(string(raw), "<f>")[1:] {
			ref := strings.ReplaceAll(s[:strings.Index(s, "</f>")], "&#39;", "'")
			if name, _, ok := strings.Cut(strings.TrimPrefix(ref, "'"), "'!"); !ok || !slices.Contains(sheets, name) {
				t.Errorf("%s refers to %s", part.Name, ref)
			}
		}
	}
	if charts != 5 {
		t.Errorf("%d charts", charts)
	}
}

// TestWorkbookFull checks that a table goes on in the next sheet where one is
// full.
func TestWorkbookFull(t *testing.T) {
	v := view{summaryOnly(t, small(t)), locale.English}
	b, err := newWorkbook(v, "test", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	b.rows[problemRows].most = 3
	for i := range 5 {
		if err := b.problem(Problem{Kind: "domain", Line: int64(i), Text: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "x.xlsx")
	for _, r := range b.rows {
		if err := r.flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.file.SaveAs(path); err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sheet, n := range map[string]int{"Problems": 3, "Problems 2": 3, "Problems 3": 2} {
		if rows, err := f.GetRows(sheet); err != nil || len(rows) != n {
			t.Errorf("%s: %d rows, %v", sheet, len(rows), err)
		}
	}
}

// hostile is a survey whose every text is an attempt to break out of where it
// is shown.
func hostile(t testing.TB) *fakeStore {
	f := small(t)
	nasty := []string{"<script>alert(1)</script>", "=cmd|'/C calc'!A0", "\u202e\u2066evil\u200f", "'\"><img src=x onerror=alert(1)>", strings.Repeat("長い", 5000), "{{.}}", "-1+1", "</style><script>", "\x00\x01\ufffe", "@SUM(1)", "]]>", "&amp;<b>", "\\u003cscript"}
	f.wave.Name, f.wave.List = "=1+1<script>alert(1)</script>", "</title><script>alert(1)</script>.csv"
	f.wave.Attributes = []string{"<b>=x</b>[]:*?/\\'", "=HYPERLINK(\"http://x\")", "人口"}
	for i := range f.rows {
		r := &f.rows[i]
		r.Name, r.Input, r.Detail = nasty[i%len(nasty)], nasty[(i+1)%len(nasty)], nasty[(i+2)%len(nasty)]
		r.Attributes = []string{nasty[i%3], nasty[(i+3)%len(nasty)], r.Attributes[2]}
		r.Aliases = []string{nasty[(i+5)%len(nasty)]}
	}
	for i := range f.mail {
		m := &f.mail[i]
		m.From, m.Subject = nasty[i%len(nasty)]+"@x", nasty[(i+4)%len(nasty)]
		m.SMIME, m.Then.SPF = "=1", "<script>alert(1)</script>"
	}
	return f
}

// TestHostileSheets checks that no cell of any file is a formula, and that no
// text turns the direction of writing.
func TestHostileSheets(t *testing.T) {
	for _, lang := range locale.Langs {
		dir := written(t, hostile(t), Options{Lang: lang, Names: true})
		check := func(where, cell string) {
			for _, bad := range []string{"=", "+", "-", "@"} {
				if strings.HasPrefix(strings.TrimSpace(cell), bad) {
					t.Errorf("%s: %.40q", where, cell)
				}
			}
			if strings.ContainsAny(cell, "\u202e\u2066\u200f\x00\x01") || len([]rune(cell)) > cellRunes {
				t.Errorf("%s: %.40q", where, cell)
			}
		}
		for _, row := range readCSV(t, dir) {
			for column, cell := range row {
				check("column", column)
				check(column, cell)
			}
		}
		f := openBook(t, dir)
		for _, sheet := range f.GetSheetList() {
			rows, err := f.GetRows(sheet)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range rows {
				for j, cell := range r {
					check(fmt.Sprintf("%s %d %d", sheet, i+1, j+1), cell)
					name, _ := excelize.CoordinatesToCellName(j+1, i+1)
					if formula, err := f.GetCellFormula(sheet, name); formula != "" || err != nil {
						t.Errorf("%s %s: formula %q, %v", sheet, name, formula, err)
					}
				}
			}
		}
	}
}

// TestLibreOffice has another program open the workbook and print it.
func TestLibreOffice(t *testing.T) {
	if testing.Short() {
		t.Skip("starts LibreOffice")
	}
	office := require.Program(t, "soffice", "libreoffice-calc-nogui")
	dir := written(t, hostile(t), Options{Lang: locale.English})
	cmd := exec.CommandContext(t.Context(), office, "-env:UserInstallation=file://"+t.TempDir(), "--headless", "--convert-to", "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1", "--outdir", dir, filepath.Join(dir, WorkbookFile))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "report-*.csv"))
	if want := len(openBook(t, dir).GetSheetList()); err != nil || len(found) != want {
		t.Errorf("LibreOffice found %d sheets of %d, %v", len(found), want, err)
	}
}

func TestSheetNames(t *testing.T) {
	b := &workbook{sheets: map[string]bool{}}
	for _, c := range [][2]string{
		{"都道府県", "都道府県"}, {"都道府県", "都道府県 2"}, {"a/b:c[d]*?\\'", "a b c d"}, {"", "_"}, {"History", "History_"}, {"A/B:C[D]*?\\'", "A B C D 2"},
		{strings.Repeat("長", 40), strings.Repeat("長", 25) + "…"}, {"😀", "□"},
	} {
		if got := b.sheetName(c[0]); got != c[1] {
			t.Errorf("sheetName(%q) = %q, want %q", c[0], got, c[1])
		}
	}
}

// summaryOnly is the summary of a fake survey.
func summaryOnly(t testing.TB, f *fakeStore) *survey.Summary {
	t.Helper()
	s, err := survey.Summarize(t.Context(), f, f.wave, options(locale.English).Tabulation)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var _ Store = (*store.Store)(nil)
