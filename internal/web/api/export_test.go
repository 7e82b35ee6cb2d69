package api

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"sekimori/internal/locale"
)

func TestCSV(t *testing.T) {
	_, h := newWorld(t, Config{})
	for _, c := range []struct {
		target string
		lines  int // with the heading
		want   []string
	}{
		{"domains.csv?lang=en", 2, []string{"Domain,", "kakuu.example,none,,10,7,0.700000,0,0,0,0," + locale.English.Text("web.verdict.not-ready", nil)}},
		{"domains.csv?lang=ja", 2, []string{"ドメイン,", locale.Japanese.Text("web.verdict.not-ready", nil)}},
		{"domains.csv?lang=en&search=zz", 1, []string{"Domain,"}},
		{"daily.csv?domain=kakuu.example&lang=en", 2, []string{"2026-09-01,10,7,0,1"}},
		{"ladder.csv?domain=kakuu.example&lang=en", 2, []string{"reject,2,0.250000"}},
		{"policies.csv?domain=kakuu.example&lang=en", 2, []string{"2026-09-01,2026-09-30,none"}},
		{"sources.csv?domain=kakuu.example&lang=ja", 6, []string{"broken.example," + locale.Japanese.Text("web.class.broken", nil) + ",9,1,0.111111,1,kakuu.example"}},
		{"sources.csv?domain=kakuu.example&class=spoof&lang=en", 2, []string{"spoof.example," + locale.English.Text("web.class.spoof", nil)}},
		{"addresses.csv?domain=kakuu.example&source=sspoof&lang=en", 2501, []string{"192.0.9.195,2499,0"}},
		{"source-daily.csv?domain=kakuu.example&source=x&lang=en", 1, []string{"Day (UTC)"}},
		{"reporters.csv?domain=kakuu.example&source=x&lang=en", 2, []string{"'=cmd"}},
		{"auth.csv?domain=kakuu.example&source=x&lang=en", 2, []string{"DKIM,kakuu.example,,,pass,3"}},
		{"envelopes.csv?domain=kakuu.example&source=x&lang=en", 1, nil},
		{"reports.csv?lang=en", 4, []string{"1,架空プロバイダ,kakuu.example,1,2026-09-01 00:00:00"}},
		{"records.csv?seq=1&lang=en", 2, []string{"2001:db8::1,1099511627776,none,fail,fail,,'＝kakuu.example"}},
		{"deviations.csv?seq=1&lang=en", 1, nil},
		{"quarantine.csv?lang=en", 2, []string{"a.xml,3,"}},
		{"imports.csv?lang=en", 2, []string{",/mail,3,"}},
	} {
		rec := do(h, "GET", "/export/"+c.target, nil, nil)
		body := rec.Body.String()
		if rec.Code != 200 || !strings.HasPrefix(body, "\ufeff") {
			t.Errorf("%s: %d %.100q", c.target, rec.Code, body)
			continue
		}
		lines, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(body, "\ufeff"))).ReadAll()
		if err != nil || len(lines) != c.lines {
			t.Errorf("%s: %d lines, want %d, %v", c.target, len(lines), c.lines, err)
		}
		for _, want := range c.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %q in\n%.600s", c.target, want, body)
			}
		}
		if strings.Contains(lines[0][0], "⟦") {
			t.Errorf("%s: heading %q", c.target, lines[0])
		}
	}
}

func TestExportRefuses(t *testing.T) {
	_, h := newWorld(t, Config{})
	for target, status := range map[string]int{
		"nothing.csv": 404, "domains": 404, "domains.pdf": 404, "domains.csv.exe": 404,
		"sources.csv": 400, "sources.csv?domain=other.example": 404, "addresses.csv?domain=kakuu.example": 400,
		"records.csv": 400, "records.csv?seq=99": 404, "records.csv?seq=-1": 400, "domains.csv?days=9999": 400,
		"domains.csv?lang=tlh": 400, "daily.csv?domain=kakuu.example&until=x": 400, "reports.csv?deviations=maybe": 400,
		"reports.csv?sort=colour": 400, "domains.csv?sort=domain": 400, "reports.csv?sort=rows&desc=true": 200,
		"domains.csv?search=" + strings.Repeat("x", 201): 400,
	} {
		if rec := do(h, "GET", "/export/"+target, nil, nil); rec.Code != status {
			t.Errorf("%s: %d, want %d: %s", target, rec.Code, status, rec.Body)
		}
	}
}

func TestXLSX(t *testing.T) {
	_, h := newWorld(t, Config{})
	rec := do(h, "GET", "/export/records.xlsx?seq=1", map[string]string{"Accept-Language": "ja"}, nil)
	if rec.Code != 200 || rec.Header().Get("Content-Disposition") != `attachment; filename=records-1.xlsx` {
		t.Fatalf("%d %v", rec.Code, rec.Header())
	}
	f, err := excelize.OpenReader(bytes.NewReader(rec.Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	sheet := f.GetSheetName(0)
	if sheet != "レポートの行" {
		t.Errorf("sheet %q", sheet)
	}
	rows, err := f.GetRows(sheet, excelize.Options{RawCellValue: true})
	if err != nil || len(rows) != 2 || rows[0][0] != "IPアドレス" || rows[1][1] != "1099511627776" || rows[1][6] != "'＝kakuu.example" {
		t.Errorf("%v %q", err, rows)
	}
	if typ, _ := f.GetCellType(sheet, "B2"); typ != excelize.CellTypeNumber && typ != excelize.CellTypeUnset {
		t.Errorf("a count is of type %v", typ)
	}
	rec = do(h, "GET", "/export/daily.xlsx?domain=kakuu.example&lang=en", nil, nil)
	if f, err = excelize.OpenReader(bytes.NewReader(rec.Body.Bytes())); err != nil {
		t.Fatal(err)
	}
	if v, _ := f.GetCellValue("Daily", "A2"); v != "2026-09-01" {
		t.Errorf("the day shows as %q", v)
	}
	if v, _ := f.GetCellValue("Daily", "A2", excelize.Options{RawCellValue: true}); v != "46266" {
		t.Errorf("the day is %q, not a date", v)
	}
}

func TestWorkbookGoesOnToTheNextSheet(t *testing.T) {
	f := excelize.NewFile()
	b := &workbook{file: f, table: table{columns: []column{{code: "messages", kind: number}}}, q: &exportQuery{lang: locale.English}, title: "Bits/pieces", most: 4}
	err := b.fill(func(emit func(...any) error) error {
		for i := range 7 {
			if err := emit(int64(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.GetSheetList(); len(got) != 3 || got[0] != "Bits pieces" || got[2] != "Bits pieces 3" {
		t.Errorf("sheets %q", got)
	}
	rows, err := f.GetRows("Bits pieces 3")
	if err != nil || len(rows) != 2 || rows[0][0] != "Messages" || rows[1][0] != "6" {
		t.Errorf("%q %v", rows, err)
	}
}

func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", "=1+1": "'=1+1", "+81": "'+81", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1",
		"＝１": "'＝１", "a=b": "a=b", "192.0.2.1": "192.0.2.1",
	} {
		if got := harmless(in); got != want {
			t.Errorf("harmless(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestWords checks that every heading, title and word of a download is there
// in both languages.
func TestWords(t *testing.T) {
	for _, l := range locale.Langs {
		for name, tab := range tables() {
			if !l.Has("table.name." + name) {
				t.Errorf("%s: no title for %s", l, name)
			}
			for _, c := range tab.columns {
				if !l.Has("table." + c.code) {
					t.Errorf("%s: no heading for %s", l, c.code)
				}
			}
		}
	}
}
