package api

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"sekimori/internal/store"
)

// Limits of the format.
const (
	sheetRows = 1 << 20 // rows of a sheet (excelize.TotalRows)
	cellRunes = 32767   // characters of a cell
)

// workbook is a table on its way into a spreadsheet, a sheet after the other
// where one is not enough. Rows beyond 16 MiB wait in a temporary file.
type workbook struct {
	file   *excelize.File
	table  table
	q      *exportQuery
	title  string
	most   int // rows of a sheet, the heading included
	stream *excelize.StreamWriter
	sheets int
	row    int
	head   int   // style
	styles []int // of each column
	cells  []any // of the row being written
}

// xlsx sends a table as an Office Open XML workbook: numbers are numbers, days
// are dates, the heading stays in view. It is whole before the first byte is
// sent.
func (s *server) xlsx(w http.ResponseWriter, r *http.Request, name string, t table, q *exportQuery) (err error) {
	leave, err := s.enter(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	f := excelize.NewFile(excelize.Options{TmpDir: s.TempDir})
	defer f.Close()
	b := &workbook{file: f, table: t, q: q, title: q.lang.Text("table.name."+name, nil), most: sheetRows}
	if err := b.fill(func(emit func(...any) error) error { return t.rows(r.Context(), s, q, emit) }); err != nil {
		return err
	}
	startDownload(w, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", q.file(name)+".xlsx")
	out := s.patient(w)
	if _, err = f.WriteTo(out); err == nil {
		err = out.Close()
	}
	if err != nil {
		s.cutOff(r, err)
	}
	return nil
}

// fill writes all rows.
func (b *workbook) fill(rows func(emit func(...any) error) error) error {
	if err := b.style(); err != nil {
		return err
	}
	b.cells = make([]any, len(b.table.columns))
	if err := b.sheet(); err != nil {
		return err
	}
	err := rows(func(row ...any) error {
		if b.row == b.most {
			if err := b.sheet(); err != nil {
				return err
			}
		}
		for i, v := range row {
			b.cells[i] = excelize.Cell{StyleID: b.styles[i], Value: b.value(v)}
		}
		b.row++
		return b.stream.SetRow(fmt.Sprintf("A%d", b.row), b.cells)
	})
	if err != nil {
		return err
	}
	return b.stream.Flush()
}

func (b *workbook) style() error {
	var err error
	b.head, err = b.file.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}, Alignment: &excelize.Alignment{Vertical: "top", WrapText: true},
		Border: []excelize.Border{{Type: "bottom", Style: 1, Color: "808080"}}})
	if err != nil {
		return err
	}
	for _, c := range b.table.columns {
		st := &excelize.Style{Alignment: &excelize.Alignment{Vertical: "top"}}
		switch c.kind {
		case number:
			st.NumFmt = 3 // #,##0
		case share:
			st.NumFmt = 10 // 0.00%
		case day:
			f := "yyyy-mm-dd"
			st.CustomNumFmt = &f
		case moment:
			f := "yyyy-mm-dd hh:mm:ss"
			st.CustomNumFmt = &f
		default:
			st.NumFmt = 49 // text
			st.Alignment.WrapText = true
		}
		id, err := b.file.NewStyle(st)
		if err != nil {
			return err
		}
		b.styles = append(b.styles, id)
	}
	return nil
}

// sheet begins the next sheet with its heading.
func (b *workbook) sheet() error {
	if b.stream != nil {
		if err := b.stream.Flush(); err != nil {
			return err
		}
	}
	b.sheets++
	name := sheetName(b.title)
	if b.sheets > 1 {
		name = fmt.Sprintf("%s %d", sheetName(b.title), b.sheets)
		if _, err := b.file.NewSheet(name); err != nil {
			return err
		}
	} else if err := b.file.SetSheetName("Sheet1", name); err != nil {
		return err
	}
	var err error
	if b.stream, err = b.file.NewStreamWriter(name); err != nil {
		return err
	}
	for i, c := range b.table.columns {
		width := map[kind]float64{text: 28, number: 12, share: 11, day: 12, moment: 20}[c.kind]
		if err := b.stream.SetColWidth(i+1, i+1, width); err != nil {
			return err
		}
	}
	if err := b.stream.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	heads := make([]any, 0, len(b.table.columns))
	for _, h := range b.table.headings(b.q.lang) {
		heads = append(heads, excelize.Cell{StyleID: b.head, Value: h})
	}
	b.row = 1
	return b.stream.SetRow("A1", heads)
}

// value is a value as a cell takes it.
func (b *workbook) value(v any) any {
	switch v := v.(type) {
	case string:
		v = harmless(strings.ToValidUTF8(v, "\uFFFD"))
		if utf8.RuneCountInString(v) > cellRunes {
			v = string([]rune(v)[:cellRunes-1]) + "…"
		}
		return v
	case store.Day:
		if v == 0 {
			return nil
		}
		return v.Time()
	case time.Time:
		if v.IsZero() {
			return nil
		}
		return v.UTC().Truncate(time.Second)
	}
	return v
}

// sheetName shortens a title to what a sheet may be called: 31 characters
// without :\/?*[], with room for a number.
func sheetName(title string) string {
	title = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`:\/?*[]'`, r) {
			return ' '
		}
		return r
	}, title)
	if r := []rune(title); len(r) > 26 {
		title = string(r[:26])
	}
	return strings.TrimSpace(title)
}
