package publish

import (
	"archive/zip"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/xuri/excelize/v2"

	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// sheetRows is how many rows a sheet has (excelize.TotalRows).
const sheetRows = 1 << 20

// Colours of the workbook: those of the pages on white paper.
const (
	inkBlue   = "0877D7" // yes
	inkDeep   = "00118F" // the strictest
	inkCyan   = "008DA6" // between
	inkPale   = "C9CDD6" // no
	inkGrey   = "7F7F7F" // unknown
	inkLine   = "B3B3B3"
	inkHead   = "E8F1FE"
	inkShadow = "545458"
	inkText   = "1A1A1A"
)

// workbook is report.xlsx on its way. Sheets with figures are built in memory;
// those with a row for each domain, message or problem are streamed, and wait
// in temporary files once they are larger than 16 MiB.
type workbook struct {
	view
	version string
	file    *excelize.File
	sheets  map[string]bool // names taken, in lower case
	style   styles
	rows    []*rowSheet // in the order of their kinds below
	err     error       // the first one of put
}

// styles are the numbers of the workbook's styles.
type styles struct {
	title, lead, note                             int
	head, headNumber, headMiddle                  int
	text, wrap, soft, stamp                       int
	count, share, points, least, ofAll            int
	totalText, totalCount, totalShare, totalLeast int
}

// Kinds of streamed sheets.
const (
	spfRows = iota
	messageRows
	problemRows
	domainRows
)

// newWorkbook begins the workbook and its streamed sheets. temp is where these
// wait.
func newWorkbook(v view, version, temp string) (*workbook, error) {
	b := &workbook{view: v, version: version, file: excelize.NewFile(excelize.Options{TmpDir: temp}), sheets: map[string]bool{}}
	if err := b.file.SetDefaultFont(b.family()); err != nil {
		return b, err
	}
	if err := b.makeStyles(); err != nil {
		return b, err
	}
	if err := b.figures(); err != nil {
		return b, err
	}
	return b, b.beginRows()
}

// family is the workbook's font: one that comes with Excel in Japan, or
// everywhere. Programs that lack it take another.
func (b *workbook) family() string {
	if b.lang == locale.Japanese {
		return "Yu Gothic"
	}
	return "Arial"
}

func (b *workbook) makeStyles() error {
	line := []excelize.Border{{Type: "bottom", Style: 1, Color: inkLine}}
	head := excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{inkHead}}
	plain, bold := &excelize.Font{Family: b.family(), Size: 10}, &excelize.Font{Family: b.family(), Size: 10, Bold: true}
	soft := &excelize.Font{Family: b.family(), Size: 10, Color: inkShadow}
	text := &excelize.Alignment{Horizontal: "left", Vertical: "center", Indent: 1}
	wrapped := &excelize.Alignment{Horizontal: "left", Vertical: "center", Indent: 1, WrapText: true}
	right := &excelize.Alignment{Vertical: "center"}
	percent, least, ofAll, moment, points := "0.0%", `"≥ "0.0%`, `"`+b.t("publish.least.all")+` "#,##0`, "yyyy-mm-dd hh:mm", "+0.0;−0.0;±0.0"
	for _, s := range []struct {
		id    *int
		style excelize.Style
	}{
		{&b.style.title, excelize.Style{Font: &excelize.Font{Family: b.family(), Bold: true, Size: 16}}},
		{&b.style.lead, excelize.Style{Font: plain}},
		{&b.style.note, excelize.Style{Font: plain, Alignment: &excelize.Alignment{Vertical: "top", WrapText: true}}},
		{&b.style.head, excelize.Style{Font: bold, Fill: head, Alignment: wrapped, Border: line}},
		{&b.style.headNumber, excelize.Style{Font: bold, Fill: head, Alignment: &excelize.Alignment{Vertical: "center", Horizontal: "right", WrapText: true}, Border: line}},
		{&b.style.headMiddle, excelize.Style{Font: bold, Fill: head, Alignment: &excelize.Alignment{Vertical: "center", Horizontal: "center", WrapText: true}, Border: line}},
		{&b.style.text, excelize.Style{Font: plain, NumFmt: 49, Alignment: text, Border: line}},
		{&b.style.wrap, excelize.Style{Font: plain, NumFmt: 49, Alignment: wrapped, Border: line}},
		{&b.style.soft, excelize.Style{Font: soft, NumFmt: 49, Alignment: wrapped, Border: line}},
		{&b.style.count, excelize.Style{Font: plain, NumFmt: 3, Alignment: right, Border: line}},
		{&b.style.share, excelize.Style{Font: plain, CustomNumFmt: &percent, Alignment: right, Border: line}},
		{&b.style.least, excelize.Style{Font: plain, CustomNumFmt: &least, Alignment: right, Border: line}},
		{&b.style.ofAll, excelize.Style{Font: plain, CustomNumFmt: &ofAll, Alignment: right, Border: line}},
		{&b.style.points, excelize.Style{Font: plain, CustomNumFmt: &points, Alignment: right, Border: line}},
		{&b.style.totalText, excelize.Style{Font: bold, NumFmt: 49, Alignment: text, Border: line}},
		{&b.style.totalCount, excelize.Style{Font: bold, NumFmt: 3, Alignment: right, Border: line}},
		{&b.style.totalShare, excelize.Style{Font: bold, CustomNumFmt: &percent, Alignment: right, Border: line}},
		{&b.style.totalLeast, excelize.Style{Font: bold, CustomNumFmt: &least, Alignment: right, Border: line}},
		{&b.style.stamp, excelize.Style{Font: plain, CustomNumFmt: &moment, Alignment: &excelize.Alignment{Vertical: "center", Horizontal: "left", Indent: 1}, Border: line}},
	} {
		id, err := b.file.NewStyle(&s.style)
		if err != nil {
			return err
		}
		*s.id = id
	}
	return nil
}

// sheet adds a sheet that prints on A4, as wide as the paper, with its page
// number below and its first rows on every page.
func (b *workbook) sheet(title string, portrait bool) (string, error) {
	name := b.sheetName(title)
	var err error
	if len(b.sheets) == 1 {
		err = b.file.SetSheetName("Sheet1", name)
	} else {
		_, err = b.file.NewSheet(name)
	}
	if err != nil {
		return "", err
	}
	paper, wide, high, fit, turn, grid := 9, 1, 0, true, "landscape", false
	if portrait {
		turn = "portrait"
	}
	if err := b.file.SetSheetProps(name, &excelize.SheetPropsOptions{FitToPage: &fit}); err != nil {
		return "", err
	}
	if err := b.file.SetPageLayout(name, &excelize.PageLayoutOptions{Size: &paper, Orientation: &turn, FitToWidth: &wide, FitToHeight: &high}); err != nil {
		return "", err
	}
	if err := b.file.SetSheetView(name, 0, &excelize.ViewOptions{ShowGridLines: &grid}); err != nil {
		return "", err
	}
	side, end := 0.4, 0.6
	if err := b.file.SetPageMargins(name, &excelize.PageLayoutMarginsOptions{Left: &side, Right: &side, Top: &end, Bottom: &end}); err != nil {
		return "", err
	}
	return name, b.file.SetHeaderFooter(name, &excelize.HeaderFooterOptions{OddHeader: "&L" + field(b.title()) + "&R&A", OddFooter: "&C&P / &N"})
}

// title is what the workbook is called.
func (v view) title() string {
	return v.t("publish.title", "name", clipped(v.Wave.Name, maxShown))
}

// field is text in a header or footer, in which & has a meaning, and which may
// have 255 characters.
func field(s string) string {
	return strings.ReplaceAll(clipped(s, 100), "&", "&&")
}

// repeat prints the rows from first to last on top of every page of a sheet.
func (b *workbook) repeat(sheet string, first, last int) error {
	return b.file.SetDefinedName(&excelize.DefinedName{Name: "_xlnm.Print_Titles", Scope: sheet, RefersTo: fmt.Sprintf("%s!$%d:$%d", quoted(sheet), first, last)})
}

// quoted is a sheet's name in a reference. sheetName leaves no apostrophe.
func quoted(sheet string) string { return "'" + sheet + "'" }

// sheetName makes a title what a sheet may be called: 31 characters in UTF-16
// without :\/?*[]', unlike any other sheet of the workbook.
func (b *workbook) sheetName(title string) string {
	title = strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(`:\/?*[]'`, r):
			return ' '
		case r > 0xffff: // two units of UTF-16
			return '□'
		}
		return r
	}, clipped(title, 60))
	title = strings.TrimSpace(title)
	if r := []rune(title); len(r) > 26 {
		title = strings.TrimSpace(string(r[:25])) + "…"
	}
	if title == "" || strings.EqualFold(title, "history") { // Excel keeps that name for itself
		title += "_"
	}
	name := title
	for n := 2; b.sheets[strings.ToLower(name)]; n++ {
		name = fmt.Sprintf("%s %d", title, n)
	}
	b.sheets[strings.ToLower(name)] = true
	return name
}

// put writes a cell of a sheet in memory. What is no number is text.
func (b *workbook) put(sheet string, column, row, style int, v any) {
	if b.err != nil {
		return
	}
	cell, err := excelize.CoordinatesToCellName(column, row)
	if err == nil {
		err = b.file.SetCellStyle(sheet, cell, cell, style)
	}
	if err == nil && v != nil {
		if s, ok := v.(string); ok {
			err = b.file.SetCellStr(sheet, cell, cellOf(s))
		} else {
			err = b.file.SetCellValue(sheet, cell, v)
		}
	}
	b.err = err
}

// widths sets the widths of a sheet's columns, from the first on.
func (b *workbook) widths(sheet string, widths ...float64) {
	for i, w := range widths {
		if b.err != nil {
			return
		}
		name, err := excelize.ColumnNumberToName(i + 1)
		if err == nil {
			err = b.file.SetColWidth(sheet, name, name, w)
		}
		b.err = err
	}
}

// height makes a row of a sheet high enough for a text in a column of a width.
func (b *workbook) height(sheet string, row int, text string, width float64) {
	if b.err == nil {
		b.err = b.file.SetRowHeight(sheet, row, lineHeight(text, int(width)))
	}
}

// freeze keeps the rows above and the columns left of a cell in view.
func (b *workbook) freeze(sheet string, columns, rows int) {
	if b.err != nil {
		return
	}
	cell, err := excelize.CoordinatesToCellName(columns+1, rows+1)
	if err == nil {
		pane := "bottomRight"
		if columns == 0 {
			pane = "bottomLeft"
		}
		err = b.file.SetPanes(sheet, &excelize.Panes{Freeze: true, XSplit: columns, YSplit: rows, TopLeftCell: cell, ActivePane: pane})
	}
	b.err = err
}

// finish ends the streamed sheets and writes the file.
func (b *workbook) finish(w io.Writer) error {
	for _, r := range b.rows {
		if err := r.flush(); err != nil {
			return err
		}
	}
	b.file.SetActiveSheet(0)
	if err := b.file.SetDocProps(&excelize.DocProperties{Title: b.title(), Creator: "Sekimori", Language: string(b.lang)}); err != nil {
		return err
	}
	// The library would gather the whole file in memory before it writes; this
	// one goes straight to where it belongs, and nothing is left to gather.
	b.file.SetZipWriter(func(io.Writer) excelize.ZipWriter {
		z := zip.NewWriter(w)
		z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.DefaultCompression) })
		return z
	})
	_, err := b.file.WriteTo(io.Discard)
	return err
}

func (b *workbook) close() error { return b.file.Close() }

func (b *workbook) entry(r *record, problems []Problem) error {
	for _, p := range problems {
		if err := b.problem(p); err != nil {
			return err
		}
	}
	if err := b.spf(r, problems); err != nil {
		return err
	}
	return b.domain(r)
}

func (b *workbook) message(m *store.MailResult, of *owner, problems []Problem) error {
	for _, p := range problems {
		if err := b.problem(p); err != nil {
			return err
		}
		if p.Metric == "spf" {
			if err := b.spfMessage(m, p); err != nil {
				return err
			}
		}
	}
	return b.mail(m, of)
}
