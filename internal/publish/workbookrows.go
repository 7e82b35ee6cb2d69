package publish

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"sekimori/internal/posture"
	"sekimori/internal/store"
)

// rowSheet is a table with a row for each thing, streamed; where one sheet is
// full it goes on in the next.
type rowSheet struct {
	book   *workbook
	title  string
	heads  []string
	widths []float64
	styles []int
	most   int // rows of a sheet, its heading included

	stream *excelize.StreamWriter
	row    int
	cells  []any
}

// column is a column of a rowSheet.
type column struct {
	head  string // as it is shown
	width float64
	style int
}

func (b *workbook) rowSheet(title string, columns []column) (*rowSheet, error) {
	r := &rowSheet{book: b, title: title, most: sheetRows}
	for _, c := range columns {
		r.heads, r.widths, r.styles = append(r.heads, c.head), append(r.widths, c.width), append(r.styles, c.style)
	}
	r.cells = make([]any, len(columns))
	return r, r.next()
}

// next begins a sheet with its heading.
func (r *rowSheet) next() error {
	if err := r.flush(); err != nil {
		return err
	}
	name, err := r.book.sheet(r.title, false)
	if err != nil {
		return err
	}
	if err := r.book.repeat(name, 1, 1); err != nil {
		return err
	}
	if r.stream, err = r.book.file.NewStreamWriter(name); err != nil {
		return err
	}
	for i, w := range r.widths {
		if err := r.stream.SetColWidth(i+1, i+1, w); err != nil {
			return err
		}
	}
	if err := r.stream.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	heads := make([]any, len(r.heads))
	for i, h := range r.heads {
		style := r.book.style.head
		if r.styles[i] == r.book.style.count || r.styles[i] == r.book.style.share {
			style = r.book.style.headNumber
		}
		heads[i] = excelize.Cell{StyleID: style, Value: cellOf(h)}
	}
	r.row = 1
	return r.stream.SetRow("A1", heads)
}

// add writes a row. Zero times and nil are empty cells.
func (r *rowSheet) add(values ...any) error {
	if r.row >= r.most {
		if err := r.next(); err != nil {
			return err
		}
	}
	for i, v := range values {
		switch x := v.(type) {
		case string:
			if v = any(cellOf(x)); x == "" {
				v = nil
			}
		case time.Time:
			if v = any(x.In(japan).Truncate(time.Second)); x.IsZero() {
				v = nil
			}
		}
		r.cells[i] = excelize.Cell{StyleID: r.styles[i], Value: v}
	}
	r.row++
	return r.stream.SetRow(fmt.Sprintf("A%d", r.row), r.cells)
}

func (r *rowSheet) flush() error {
	if r == nil || r.stream == nil {
		return nil
	}
	err := r.stream.Flush()
	r.stream = nil
	return err
}

// beginRows begins the sheets that are filled row by row.
func (b *workbook) beginRows() error {
	col := func(code string, width float64, style int) column {
		return column{b.t("publish.col." + code), width, style}
	}
	text, wrap, count := b.style.text, b.style.wrap, b.style.count
	who := []column{col("line", 7, count), col("name", 28, wrap), col("domain", 26, text)}
	b.rows = make([]*rowSheet, 4)
	var err error
	begin := func(kind int, title string, columns []column) {
		if err == nil {
			b.rows[kind], err = b.rowSheet(b.t(title), columns)
		}
	}
	begin(spfRows, "publish.sheet.spf", append(slices.Clone(who), col("kind", 12, text), col("spf-state", 16, text), col("what", 60, wrap), col("spf-record", 50, wrap)))
	if b.Wave.Messages > 0 {
		begin(messageRows, "publish.sheet.messages", append(slices.Clone(who), col("from", 30, text), col("subject", 36, wrap), col("arrived", 17, b.style.stamp),
			column{"S/MIME", 11, text}, column{"SPF", 11, text}, column{"DKIM", 11, text}, column{"DMARC", 14, text}, col("basis", 16, text),
			column{"SPF " + b.t("publish.col.now"), 11, text}, column{"DKIM " + b.t("publish.col.now"), 11, text}, column{"DMARC " + b.t("publish.col.now"), 11, text}))
	}
	begin(problemRows, "publish.sheet.problems", append(slices.Clone(who), col("kind", 12, text), col("topic", 12, text), col("grade", 10, text), col("what", 70, wrap), col("code", 30, text)))
	domains := append(slices.Clone(who), col("status", 14, text))
	for _, a := range b.Wave.Attributes {
		domains = append(domains, column{clipped(a, maxShown), 16, text})
	}
	for i := range b.Wave.Facts {
		domains = append(domains, column{b.fact(i), 11, text})
	}
	domains = append(domains, col("dmarc-policy", 12, text), col("spf-all", 10, text), col("spf-lookups", 9, count), col("spf-record", 50, text), col("dmarc-record", 50, text), col("codes", 40, text), col("measured", 17, b.style.stamp))
	begin(domainRows, "publish.sheet.domains", domains)
	return err
}

// problem writes a line of the list of problems, which is as long as that of
// summary.json.
func (b *workbook) problem(p Problem) error {
	return b.rows[problemRows].add(b.line(p.Line), p.Name, p.Domain, b.t("publish.kind."+p.Kind), b.metric(p.Metric), b.grade(p.Grade), p.Text, p.Code)
}

// line is the number of a line; nothing for 0.
func (b *workbook) line(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// metric names what a problem is about.
func (v view) metric(m string) string {
	if code := "publish.metric." + m; v.lang.Has(code) {
		return v.t(code)
	}
	return m
}

// grade names how bad a problem is.
func (v view) grade(g string) string {
	if code := "publish.grade." + g; v.lang.Has(code) {
		return v.t(code)
	}
	return g
}

// spfState says what is wrong with a domain's SPF: "missing", "wrong", or ""
// for nothing that is known.
func spfState(r *record, wave store.Wave) string {
	switch {
	case r.status != measured:
		return ""
	case state(r.SurveyRow, wave, posture.FactSPF) == store.No:
		return "missing"
	case state(r.SurveyRow, wave, posture.FactSPF) == store.Yes && state(r.SurveyRow, wave, posture.FactSPFValid) == store.No:
		return "wrong"
	}
	return ""
}

// spf lists a domain whose SPF is missing or wrong.
func (b *workbook) spf(r *record, problems []Problem) error {
	what := spfState(r, b.Wave)
	if what == "" {
		return nil
	}
	return b.rows[spfRows].add(b.line(r.Line), r.Name, r.Domain, b.t("publish.kind.domain"), b.t("publish.spf."+what), spfText(problems), records(r.SPF.Records))
}

// spfText is the sentence on what is wrong with a domain's SPF.
func spfText(problems []Problem) string {
	for _, grade := range [...]string{"error", "warning"} {
		for _, p := range problems {
			if p.Kind == "domain" && p.Metric == "spf" && p.Grade == grade && p.Text != "" {
				return p.Text
			}
		}
	}
	return ""
}

func (b *workbook) spfMessage(m *store.MailResult, p Problem) error {
	return b.rows[spfRows].add(b.line(p.Line), p.Name, p.Domain, b.t("publish.kind.message"), word(recorded(m).SPF), p.Text, nil)
}

// mail writes a message.
func (b *workbook) mail(m *store.MailResult, of *owner) error {
	if of == nil {
		of = &owner{}
	}
	then, basis := recorded(m), "now"
	if m.Then != (store.MailStates{}) {
		basis = "then"
	}
	return b.rows[messageRows].add(b.line(of.line), of.name, of.domain, clipped(m.From, maxShown), clipped(m.Subject, 200), m.Arrived,
		word(m.SMIME), word(then.SPF), word(then.DKIM), word(then.DMARC), b.t("publish.basis."+basis), word(m.Now.SPF), word(m.Now.DKIM), word(m.Now.DMARC))
}

// records are the records of a domain in a cell. They may be as long as their
// owner likes, which a sheet of a million of them may not.
func records(r []string) string { return clipped(strings.Join(r, " | "), 1000) }

// domain writes an entry of the list.
func (b *workbook) domain(r *record) error {
	values := make([]any, 0, len(b.rows[domainRows].heads))
	values = append(values, b.line(r.Line), r.Name, r.Domain, b.t("publish.status."+string(r.status)))
	for i := range b.Wave.Attributes {
		values = append(values, r.attribute(i))
	}
	for i := range b.Wave.Facts {
		values = append(values, b.stateText(r.state(i)))
	}
	var lookups any
	if len(r.SPF.Records) > 0 {
		lookups = r.SPF.Lookups
	}
	values = append(values, r.DMARC.Policy, r.all(), lookups, records(r.SPF.Records), records(r.DMARC.Records), r.codes(), r.Result.At)
	return b.rows[domainRows].add(values...)
}
