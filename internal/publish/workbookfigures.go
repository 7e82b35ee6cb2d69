package publish

import (
	"fmt"
	"slices"

	"github.com/xuri/excelize/v2"

	"sekimori/internal/posture"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// meansWidth is how wide the column is that says what a fact means.
const meansWidth = 78

// chartRows is how many values of an attribute a chart shows; a longer one
// cannot be read.
const chartRows = 60

// changeRows is how many facts the chart of changes shows: those that go on
// one page.
const changeRows = 15

// figures builds the sheets with the figures.
func (b *workbook) figures() error {
	for _, build := range []func() error{b.overview, b.attributes, b.combinations, b.changes, b.allFigures, b.method} {
		if err := build(); err != nil {
			return err
		}
		if b.err != nil {
			return b.err
		}
	}
	return nil
}

// head writes a row of headings. The first of them stand over text.
func (b *workbook) head(sheet string, row, texts int, heads ...string) {
	for i, h := range heads {
		style := b.style.headNumber
		if i < texts {
			style = b.style.head
		}
		b.put(sheet, i+1, row, style, h)
	}
}

// share writes yes, known, share, the ends of its interval and unknown into
// six cells.
func (b *workbook) share(sheet string, column, row int, s survey.Figure) {
	b.three(sheet, column, row, s)
	var low, high any
	if l, h, ok := s.Interval(); ok {
		low, high = l, h
	}
	for i, v := range []any{low, high} {
		b.put(sheet, column+3+i, row, b.style.share, v)
	}
	b.put(sheet, column+5, row, b.style.count, s.Unknown)
}

// three writes yes, the denominator and the share. In a column of what is
// known a lower bound says that it counts all.
func (b *workbook) three(sheet string, column, row int, s survey.Figure) {
	of, share := b.style.count, b.style.share
	if s.Least {
		of, share = b.style.ofAll, b.style.least
	}
	b.put(sheet, column, row, b.style.count, s.Yes)
	b.put(sheet, column+1, row, of, s.Of())
	b.put(sheet, column+2, row, share, ratio(s))
}

// overview shows the whole list.
func (b *workbook) overview() error {
	name, err := b.sheet(b.t("publish.sheet.overview"), false)
	if err != nil {
		return err
	}
	b.widths(name, 30, 10, 13, 9, 10, 10, 10, meansWidth)
	b.put(name, 1, 1, b.style.title, b.title())
	b.put(name, 1, 2, b.style.lead, b.answer())
	b.put(name, 1, 3, b.style.lead, b.t("publish.counts", "list", clipped(b.Wave.List, maxShown), "domains", b.Wave.Domains, "measured", b.Measured(), "unanswered", b.Wave.Unanswered, "period", b.period()))
	b.least(name, 4, b.shown())
	const first = 5
	b.head(name, first, 1, b.t("publish.col.fact"), b.t("publish.col.yes"), b.t("publish.col.known"), b.t("publish.col.share"), b.t("publish.col.low"), b.t("publish.col.high"), b.t("publish.col.unknown"))
	b.put(name, 8, first, b.style.head, b.t("publish.col.means"))
	row := first
	for _, t := range b.topics() {
		for _, i := range t.Facts {
			row++
			b.put(name, 1, row, b.style.text, b.named(i))
			b.share(name, 2, row, b.figure(b.All(), i))
			b.put(name, 8, row, b.style.soft, b.means(i))
			b.height(name, row, b.means(i), meansWidth)
		}
	}
	b.freeze(name, 1, first)
	if b.err != nil || row == first {
		return b.err
	}
	if err := b.repeat(name, first, first); err != nil {
		return err
	}
	// The charts stand below the table: on paper as on the screen.
	at := row + 2
	if facts := b.headlines(); len(facts) > 0 {
		b.pageBreak(name, at)
		b.put(name, 1, at, b.style.head, b.t("publish.chart.data"))
		for i, h := range []string{"yes", "no", "unknown"} {
			b.put(name, 2+i, at, b.style.headNumber, b.t("publish.col."+h))
		}
		for i, f := range facts {
			s := b.All().Facts[f]
			b.put(name, 1, at+1+i, b.style.text, b.fact(f))
			for j, n := range []int64{s.Yes, s.No, s.Unknown} {
				b.put(name, 2+j, at+1+i, b.style.count, n)
			}
		}
		end := at + len(facts)
		if b.err == nil {
			b.err = b.stacked(name, fmt.Sprintf("A%d", end+2), b.t("publish.chart.states"), at, at+1, end, 1, []bar{{2, inkBlue}, {3, inkPale}, {4, inkGrey}}, 1050, uint(130+36*len(facts)))
		}
	}
	return b.err
}

// bar is a series of a chart: its column, and its colour.
type bar struct {
	column int
	color  string
}

// series are the series of a chart whose categories stand in rows from first
// to last of a column, and whose names stand in the row head.
func series(sheet string, head, first, last, categories int, bars []bar) []excelize.ChartSeries {
	ref := func(column, from, to int) string {
		letter, _ := excelize.ColumnNumberToName(column)
		if from == to {
			return fmt.Sprintf("%s!$%s$%d", quoted(sheet), letter, from)
		}
		return fmt.Sprintf("%s!$%s$%d:$%s$%d", quoted(sheet), letter, from, letter, to)
	}
	out := make([]excelize.ChartSeries, 0, len(bars))
	for _, s := range bars {
		out = append(out, excelize.ChartSeries{Name: ref(s.column, head, head), Categories: ref(categories, first, last), Values: ref(s.column, first, last),
			Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{s.color}}, DataLabel: excelize.ChartDataLabel{Font: excelize.Font{Color: labelOn(s.color), Size: 9}}, Line: excelize.LineOptions{Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"FFFFFF"}}, Width: 0.75}})
	}
	return out
}

// labelOn is the colour of figures on a colour.
func labelOn(color string) string {
	switch color {
	case inkBlue, inkDeep, inkGrey:
		return "FFFFFF"
	}
	return inkText
}

// axis is how an axis is written.
func axis(size float64) excelize.Font { return excelize.Font{Color: inkText, Size: size} }

// pageBreak begins a page at a row.
func (b *workbook) pageBreak(sheet string, row int) {
	if b.err == nil {
		b.err = b.file.InsertPageBreak(sheet, fmt.Sprintf("A%d", row))
	}
}

// stacked draws counts as parts of a whole.
func (b *workbook) stacked(sheet, cell, title string, head, first, last, categories int, bars []bar, width, height uint) error {
	gap, overlap := uint(45), 100
	return b.file.AddChart(sheet, cell, &excelize.Chart{
		Type: excelize.BarPercentStacked, Series: series(sheet, head, first, last, categories, bars), GapWidth: &gap, Overlap: &overlap,
		Title: chartTitle(title), Legend: excelize.ChartLegend{Position: "bottom"}, Dimension: excelize.ChartDimension{Width: width, Height: height},
		XAxis: excelize.ChartAxis{ReverseOrder: true, Font: axis(10)}, YAxis: excelize.ChartAxis{Font: axis(9), NumFmt: excelize.ChartNumFmt{CustomNumFmt: "0%"}, MajorGridLines: true},
		PlotArea: excelize.ChartPlotArea{ShowVal: true},
		Format:   excelize.GraphicOptions{Positioning: "oneCell"},
	})
}

// clustered draws shares beside each other, from 0 to 100 %.
func (b *workbook) clustered(sheet, cell, title string, head, first, last, categories int, bars []bar, width, height uint) error {
	gap, zero, one := uint(60), 0.0, 1.0
	shares := series(sheet, head, first, last, categories, bars)
	for i := range shares {
		shares[i].DataLabel.Font.Color = inkText // beside the bar
	}
	return b.file.AddChart(sheet, cell, &excelize.Chart{
		Type: excelize.Bar, Series: shares, GapWidth: &gap,
		Title: chartTitle(title), Legend: excelize.ChartLegend{Position: "bottom"}, Dimension: excelize.ChartDimension{Width: width, Height: height},
		XAxis:    excelize.ChartAxis{ReverseOrder: true, TickLabelSkip: 1, Font: axis(9)},
		YAxis:    excelize.ChartAxis{Font: axis(9), NumFmt: excelize.ChartNumFmt{CustomNumFmt: "0%"}, MajorGridLines: true, Minimum: &zero, Maximum: &one},
		PlotArea: excelize.ChartPlotArea{ShowVal: last-first < 16, NumFmt: excelize.ChartNumFmt{CustomNumFmt: "0.0%"}},
		Format:   excelize.GraphicOptions{Positioning: "oneCell"},
	})
}

func chartTitle(s string) excelize.ChartTitle {
	return excelize.ChartTitle{Paragraph: []excelize.RichTextRun{{Text: textOf(s), Font: &excelize.Font{Bold: true, Size: 12, Color: inkText}}}}
}

// attributes builds a sheet for each tabulated attribute: yes, known and share
// of the main facts by value, and a chart of some of them.
func (b *workbook) attributes() error {
	facts := b.headlines()
	for _, t := range b.Tables[1:] {
		name, err := b.sheet(b.t("publish.sheet.by", "attribute", clipped(t.Attribute, maxShown)), false)
		if err != nil {
			return err
		}
		b.put(name, 1, 1, b.style.title, b.t("publish.by", "attribute", clipped(t.Attribute, maxShown)))
		b.least(name, 2, facts)
		const first = 4
		widths := []float64{26, 9}
		b.put(name, 1, first-1, b.style.head, clipped(t.Attribute, maxShown))
		b.put(name, 2, first-1, b.style.headNumber, b.t("publish.col.domains"))
		for _, column := range []int{1, 2} {
			b.put(name, column, first, b.style.head, nil)
			b.merge(name, column, first-1, column, first)
		}
		for i, f := range facts {
			at := 3 + 3*i
			for j := range 3 {
				b.put(name, at+j, first-1, b.style.head, nil)
			}
			b.put(name, at, first-1, b.style.headMiddle, b.named(f))
			b.merge(name, at, first-1, at+2, first-1)
			of := "known"
			if survey.LowerBound(b.Wave.Facts[f]) {
				of = "all"
			}
			for j, h := range []string{"yes", of, "share"} {
				b.put(name, at+j, first, b.style.headNumber, b.t("publish.col."+h))
			}
			widths = append(widths, 8, 8, 8.5)
		}
		b.widths(name, widths...)
		row := first
		for _, r := range t.Rows {
			row++
			b.byRow(name, row, b.value(r), r, facts, b.style.text, b.style.count, b.style.share, b.style.least)
		}
		b.byRow(name, row+1, b.t("publish.value.all"), b.All(), facts, b.style.totalText, b.style.totalCount, b.style.totalShare, b.style.totalLeast)
		b.freeze(name, 2, first)
		if b.err != nil {
			return b.err
		}
		if err := b.repeat(name, first-1, first); err != nil {
			return err
		}
		if n := len(t.Rows); n == 0 || n > chartRows || len(facts) == 0 {
			continue
		}
		if err := b.byChart(name, t, row, first, facts); err != nil {
			return err
		}
	}
	return b.err
}

func (b *workbook) merge(sheet string, column, row, toColumn, toRow int) {
	from, err := excelize.CoordinatesToCellName(column, row)
	if err != nil || b.err != nil {
		return
	}
	to, _ := excelize.CoordinatesToCellName(toColumn, toRow)
	b.err = b.file.MergeCell(sheet, from, to)
}

func (b *workbook) byRow(sheet string, row int, label string, r survey.Row, facts []int, text, count, share, least int) {
	b.put(sheet, 1, row, text, label)
	b.put(sheet, 2, row, count, r.Domains)
	for i, f := range facts {
		s, style := b.figure(r, f), share
		if s.Least {
			style = least
		}
		b.put(sheet, 3+3*i, row, count, s.Yes)
		b.put(sheet, 4+3*i, row, count, s.Of())
		b.put(sheet, 5+3*i, row, style, ratio(s))
	}
}

// least writes a line on which of the facts are lower bounds, if some are.
func (b *workbook) least(sheet string, row int, facts []int) {
	if n := b.leastNote(facts); n != "" {
		b.put(sheet, 1, row, b.style.lead, n)
	}
}

// ratio is a share as a cell has it; nothing where nothing is known.
func ratio(s survey.Figure) any {
	if v, ok := s.Value(); ok {
		return v
	}
	return nil
}

// byChart draws main facts by value, below the table: SPF, DMARC and, where
// there is room, DMARC in force. Their names stand above the column of their
// shares in a merged cell, which begins two columns before.
func (b *workbook) byChart(sheet string, t survey.Table, row, first int, facts []int) error {
	want := []bar{{color: inkPale}, {color: inkBlue}, {color: inkDeep}}
	height := uint(160 + 46*len(t.Rows))
	if len(t.Rows) > 16 {
		want = want[:2]
		height = uint(140 + 17*len(t.Rows))
	}
	var out []excelize.ChartSeries
	for j, f := range [...]posture.Fact{posture.FactSPF, posture.FactDMARC, posture.FactDMARCEnforced} {
		i := slices.IndexFunc(facts, func(i int) bool { return b.Wave.Facts[i] == string(f) })
		if i < 0 || j >= len(want) {
			continue
		}
		s := series(sheet, first-1, first+1, row, 1, []bar{{5 + 3*i, want[j].color}})[0]
		letter, _ := excelize.ColumnNumberToName(3 + 3*i)
		s.Name = fmt.Sprintf("%s!$%s$%d", quoted(sheet), letter, first-1)
		s.DataLabel.Font.Color = inkText // beside the bar
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil
	}
	// Where table and chart do not go on one page, the chart begins the next.
	if row*20+int(height) > 900 {
		if b.pageBreak(sheet, row+3); b.err != nil {
			return b.err
		}
	}
	gap, zero, one := uint(50), 0.0, 1.0
	return b.file.AddChart(sheet, fmt.Sprintf("A%d", row+4), &excelize.Chart{
		Type: excelize.Bar, Series: out, GapWidth: &gap,
		Title: chartTitle(b.t("publish.chart.by", "attribute", clipped(t.Attribute, maxShown))), Legend: excelize.ChartLegend{Position: "top"},
		Dimension: excelize.ChartDimension{Width: 1400, Height: height},
		XAxis:     excelize.ChartAxis{ReverseOrder: true, TickLabelSkip: 1, Font: axis(9)},
		YAxis:     excelize.ChartAxis{Font: axis(9), NumFmt: excelize.ChartNumFmt{CustomNumFmt: "0%"}, MajorGridLines: true, Minimum: &zero, Maximum: &one},
		PlotArea:  excelize.ChartPlotArea{ShowVal: len(t.Rows) <= 16, NumFmt: excelize.ChartNumFmt{CustomNumFmt: "0.0%"}},
		Format:    excelize.GraphicOptions{Positioning: "oneCell"},
	})
}

// combinations shows what protects the messages.
func (b *workbook) combinations() error {
	if b.Mail.Messages == 0 {
		return nil
	}
	name, err := b.sheet(b.t("publish.sheet.combinations"), true)
	if err != nil {
		return err
	}
	b.widths(name, 13, 13, 13, 17, 10, 10)
	b.put(name, 1, 1, b.style.title, b.t("publish.mail.title"))
	b.put(name, 1, 2, b.style.lead, b.mailScope())
	row := 3
	for _, part := range []struct {
		code string
		list []store.Combination
	}{{"publish.mail.then", b.Mail.Then}, {"publish.mail.now", b.Mail.Now}} {
		row++
		b.put(name, 1, row, b.style.lead, b.t(part.code))
		row++
		b.head(name, row, 4, "S/MIME", "SPF", "DKIM", "DMARC", b.t("publish.col.messages"), b.t("publish.col.share"))
		var total int64
		for _, c := range part.list {
			row++
			for i, w := range []string{c.SMIME, c.SPF, c.DKIM, c.DMARC} {
				b.put(name, 1+i, row, b.style.text, word(w))
			}
			b.put(name, 5, row, b.style.count, c.Count)
			b.put(name, 6, row, b.style.share, float64(c.Count)/float64(b.Mail.Messages))
			total += c.Count
		}
		row++
		b.put(name, 1, row, b.style.totalText, b.t("publish.value.total"))
		for i := 2; i <= 4; i++ {
			b.put(name, i, row, b.style.totalText, nil)
		}
		b.put(name, 5, row, b.style.totalCount, total)
		b.put(name, 6, row, b.style.totalShare, float64(total)/float64(b.Mail.Messages))
		row++
	}
	return b.err
}

// mailScope says which messages the tables count.
func (v view) mailScope() string {
	if v.Mail.Matched {
		return v.t("publish.mail.matched", "messages", v.Mail.Messages, "all", v.Wave.Messages)
	}
	return v.t("publish.mail.unmatched", "messages", v.Mail.Messages)
}

// changes sets the wave against an earlier one.
func (b *workbook) changes() error {
	if b.Change == nil {
		return nil
	}
	name, err := b.sheet(b.t("publish.sheet.changes"), false)
	if err != nil {
		return err
	}
	b.widths(name, 30, 10, 13, 10, 10, 13, 10, 15, 13, 15, 13)
	b.put(name, 1, 1, b.style.title, b.t("publish.change.title", "before", clipped(b.Change.Before.Name, maxShown), "after", clipped(b.Wave.Name, maxShown)))
	b.put(name, 1, 2, b.style.lead, b.t("publish.change.scope", "both", b.Change.Both))
	b.least(name, 3, b.movedFacts())
	const first = 4
	before, after := b.t("publish.col.before"), b.t("publish.col.after")
	col := func(code string) string { return b.t("publish.col." + code) }
	b.head(name, first, 1, col("fact"), before+" "+col("yes"), before+" "+col("known"), before+" "+col("share"), after+" "+col("yes"), after+" "+col("known"), after+" "+col("share"),
		col("points"), col("gained"), col("lost"), col("unclear"))
	row := first
	for _, f := range b.moves() {
		row++
		b.put(name, 1, row, b.style.text, f.name)
		var points any = f.points
		for i, s := range []survey.Figure{f.before, f.after} {
			if b.three(name, 2+3*i, row, s); s.Least {
				points = nil
			}
		}
		b.put(name, 8, row, b.style.points, points)
		b.put(name, 9, row, b.style.count, f.Gained())
		b.put(name, 10, row, b.style.count, f.Lost())
		b.put(name, 11, row, b.style.count, f.Before.Unknown)
	}
	b.freeze(name, 1, first)
	b.pageBreak(name, row+2)
	if b.err == nil && row > first {
		b.err = b.clustered(name, fmt.Sprintf("A%d", row+2), b.t("publish.chart.change"), first, first+1, min(row, first+changeRows), 1, []bar{{4, inkPale}, {7, inkBlue}}, 1100, uint(130+32*min(row-first, changeRows)))
	}
	return b.err
}

// allFigures lists every figure in a form that other tables can be made from.
func (b *workbook) allFigures() error {
	col := func(code string, width float64, style int) column {
		return column{b.t("publish.col." + code), width, style}
	}
	count, share := b.style.count, b.style.share
	r, err := b.rowSheet(b.t("publish.sheet.figures"), []column{col("attribute", 20, b.style.text), col("value", 26, b.style.text), col("domains", 10, count), col("fact", 26, b.style.text), col("metric", 18, b.style.text),
		col("yes", 9, count), col("no", 9, count), col("unknown", 9, count), col("known", 9, count), col("share", 9, share), col("low", 9, share), col("high", 9, share), col("least", 10, share)})
	if err != nil {
		return err
	}
	for _, t := range b.Tables {
		attribute := t.Attribute
		if t.Kind == survey.Whole {
			attribute = b.t("publish.value.all")
		}
		for _, row := range t.Rows {
			label := b.value(row)
			if t.Kind == survey.Whole {
				label = attribute
			}
			for i, f := range b.Wave.Facts {
				s := b.figure(row, i)
				var v, low, high, least any
				if l, h, ok := s.Interval(); ok {
					v, low, high = ratio(s), l, h
				} else if s.Least {
					least = ratio(s)
				}
				if err := r.add(attribute, label, row.Domains, b.fact(i), f, s.Yes, s.No, s.Unknown, s.Known(), v, low, high, least); err != nil {
					return err
				}
			}
		}
	}
	return r.flush()
}

// method says how to read the workbook.
func (b *workbook) method() error {
	name, err := b.sheet(b.t("publish.sheet.method"), true)
	if err != nil {
		return err
	}
	b.widths(name, 28, 76)
	b.put(name, 1, 1, b.style.title, b.t("publish.method.title"))
	row := 2
	for _, n := range b.notes(b.version) {
		row++
		b.put(name, 1, row, b.style.note, n)
		b.put(name, 2, row, b.style.note, nil)
		b.merge(name, 1, row, 2, row)
		b.height(name, row, n, 98)
	}
	row += 2
	b.head(name, row, 2, b.t("publish.col.fact"), b.t("publish.col.means"))
	for i := range b.Wave.Facts {
		row++
		b.put(name, 1, row, b.style.wrap, b.fact(i))
		b.put(name, 2, row, b.style.soft, b.means(i))
		b.height(name, row, b.means(i), 70)
	}
	return b.err
}
