package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// TestSheet: a spreadsheet as public bodies write them, with a title above the
// headers, a sheet of remarks before the list, numbers with formats, and
// domains in links.
func TestSheet(t *testing.T) {
	dir := t.TempDir()
	x := excelize.NewFile()
	defer x.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(x.SetSheetName("Sheet1", "説明"))
	must(x.SetSheetRow("説明", "A1", &[]any{"この一覧について"}))
	_, err := x.NewSheet("一覧")
	must(err)
	must(x.SetSheetRow("一覧", "A1", &[]any{"令和8年度 団体一覧"}))
	must(x.SetSheetRow("一覧", "A3", &[]any{"団体名", "都道府県", "公式ホームページ", "人口", "調査日"}))
	must(x.SetSheetRow("一覧", "A4", &[]any{"山川市", "青葉県", "https://www.yamakawa.example/index.html", 12345, "2026/4/1"}))
	must(x.SetSheetRow("一覧", "A6", &[]any{"海辺町", "青葉県", "umibe.example", 2000.5, nil}))
	must(x.SetSheetRow("一覧", "A7", &[]any{"谷村", "霞県", "なし", 900}))
	style, err := x.NewStyle(&excelize.Style{NumFmt: 3}) // #,##0
	must(err)
	must(x.SetCellStyle("一覧", "D4", "D7", style))
	must(x.SaveAs(filepath.Join(dir, "list.xlsx")))

	dry := func(args ...string) (understood, string, int) {
		var out, errOut bytes.Buffer
		status := Run(t.Context(), Env{Args: append([]string{"survey", "run", "list.xlsx", "--dry-run", "--json"}, args...), Out: &out, Err: &errOut, Dir: dir, Lang: locale.English})
		var u understood
		if out.Len() > 0 {
			must(json.Unmarshal(out.Bytes(), &u))
		}
		return u, errOut.String(), status
	}
	u, complaint, status := dry()
	if status != StatusDone || u.Sheet != "一覧" || u.Header != 3 || u.Rows != 3 || u.Domains != 2 || u.Without != 1 || len(u.Columns) != 5 {
		t.Errorf("status %d %s: %+v", status, complaint, u)
	}
	if _, complaint, status = dry("--sheet", "説明"); status != StatusUsage || !strings.Contains(complaint, "list.xlsx: sheet 説明: the list holds no domains") {
		t.Errorf("status %d: %s", status, complaint)
	}
	if _, complaint, status = dry("--sheet", "ない"); status != StatusUsage || !strings.Contains(complaint, "there are 説明, 一覧") {
		t.Errorf("status %d: %s", status, complaint)
	}

	e := Env{Dir: dir, Lang: locale.English}
	l, err := (&listFlags{}).open(&e, "list.xlsx")
	must(err)
	defer l.close()
	var got []string
	_, err = l.Each(func(x store.Entry) error {
		got = append(got, fmt.Sprint(x.Line, x.Name, x.Domain, x.Attributes))
		return nil
	})
	must(err)
	want := "4山川市yamakawa.example[青葉県 12,345 2026/4/1] 6海辺町umibe.example[青葉県 2,001 ] 7谷村[霞県 900 ]"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("entries %s\n   want %s", s, want)
	}

	for name, text := range map[string]string{"broken.xlsx": "PK\x03\x04 and then nothing", "old.xls": "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"} {
		must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		var errOut bytes.Buffer
		if status := Run(t.Context(), Env{Args: []string{"survey", "run", name, "--dry-run"}, Out: &errOut, Err: &errOut, Dir: dir, Lang: locale.English}); status != StatusUsage || !strings.Contains(errOut.String(), name+": not a") {
			t.Errorf("%s: status %d: %s", name, status, &errOut)
		}
	}
}

// TestLargeSheet: rows are read one by one, however many there are. It writes a
// spreadsheet of 20,000 rows, or as many as SEKIMORI_SHEET_ROWS says.
func TestLargeSheet(t *testing.T) {
	n := 20_000
	if s := os.Getenv("SEKIMORI_SHEET_ROWS"); s != "" {
		fmt.Sscan(s, &n)
	}
	dir := t.TempDir()
	x := excelize.NewFile()
	w, err := x.NewStreamWriter("Sheet1")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.SetRow("A1", []any{"団体名", "種別", "ドメイン", "人口"}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := w.SetRow(fmt.Sprintf("A%d", i+2), []any{fmt.Sprintf("団体%d", i), []string{"市", "町", "村"}[i%3], fmt.Sprintf("d%d.example", i), i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := x.SaveAs(filepath.Join(dir, "large.xlsx")); err != nil {
		t.Fatal(err)
	}
	x.Close()
	x, w = nil, nil
	runtime.GC()
	e := Env{Dir: dir, Lang: locale.English}
	l, err := (&listFlags{}).open(&e, "large.xlsx")
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	var most uint64
	rows := 0
	count, err := l.Each(func(store.Entry) error {
		if rows++; rows%5000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
		}
		return nil
	})
	if err != nil || count.Named != int64(n) {
		t.Fatalf("%+v, %v", count, err)
	}
	t.Logf("%d rows, %d MiB of heap at most", n, most>>20)
	if most > 256<<20 {
		t.Errorf("%d MiB of heap", most>>20)
	}
}
