package web

import (
	"cmp"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"sekimori/domain"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// attributeView is the page of one attribute: all its values.
type attributeView struct {
	*waveHead
	Attribute string
	Facts     []choice // to look at one fact alone
	Fact      *factLine
	Table     attributeTable
	Whole     []shareView // of the whole list, for comparison
	Least     string      // as in factTable
	List      *listing
	Others    []choice // the other attributes
}

// choice is an option of a form, or one of several links.
type choice struct {
	Value, Label, URL string
	Current           bool
}

// sectorView is the page of one value of an attribute.
type sectorView struct {
	*waveHead
	Attribute, Label string
	AttributeURL     string
	Domains          int64
	Lead             string
	Tables           []sectorTable
	organisations
}

// sectorTable sets the facts of a sector beside those of the whole list.
type sectorTable struct {
	ID    string
	Lines []sectorLine
	Least string // as in factTable
}

type sectorLine struct {
	factLine
	Whole shareView
	// Points is the difference to the whole list in percentage points; "" where
	// one of them is not known.
	Points string
	Apart  bool // the intervals do not overlap
}

// organisations is a list of organisations with its filters.
type organisations struct {
	Columns []factLine
	Rows    []organisationLine
	List    *listing
	Facts   []choice
	States  []choice
	Code    string // worded problem that the list is narrowed to
	Uncode  string // address without it
	Keep    []hiddenField
	Narrow  bool // something narrows the list
	// Odd: these are the rows that were not to be measured. Which leads from
	// the ones to the others; empty where there are none.
	Odd   bool
	Which []choice
}

type organisationLine struct {
	store.SurveyRow
	URL, Name, Domain, Ascii string
	States                   []organisationState
	Errors, Warnings, Hints  int
	Status                   string // code: why there are no states; "" where there are
	StatusArgs               int64
	Odd                      string // what was odd about the row; "" for nothing
}

type organisationState struct{ Label, State string }

func (s *server) surveyBy(w http.ResponseWriter, r *http.Request, p *page) error {
	h, err := s.wave(r, p, "")
	if err != nil {
		return err
	}
	sum, err := s.sums.of(r.Context(), s.Store, h.Wave)
	if err != nil {
		return err
	}
	name := p.query.Get("attribute")
	i := slices.IndexFunc(sum.Tables, func(t survey.Table) bool { return t.Attribute == name && t.Kind != survey.Whole })
	if i < 0 {
		return errNotFound
	}
	t := &sum.Tables[i]
	if p.query.Get("value") == "" && p.query.Get("none") == "" {
		return s.attribute(p, h, sum, t)
	}
	return s.sector(r, p, h, sum, t)
}

// attribute shows every value of an attribute.
func (s *server) attribute(p *page, h *waveHead, sum *survey.Summary, t *survey.Table) error {
	v := &attributeView{waveHead: h, Attribute: t.Attribute}
	fact := p.query.Get("fact")
	if !slices.Contains(h.Facts, fact) {
		fact = ""
	}
	for _, o := range sum.Tables[1:] {
		v.Others = append(v.Others, choice{Label: o.Attribute, URL: h.attributeURL(o.Attribute), Current: o.Attribute == t.Attribute})
	}
	v.Facts = append(v.Facts, choice{Label: p.text("web.survey.by.key-facts"), Current: fact == ""})
	for _, f := range h.Facts {
		v.Facts = append(v.Facts, choice{Value: f, Label: factLabel(p.Lang, f), Current: f == fact})
	}
	v.Table = attributeTableOf(p, h, t)
	columns := columnsOf(&h.Wave)
	if fact != "" {
		columns = []string{fact}
		f := factLine{Fact: fact, Label: factLabel(p.Lang, fact), Means: factMeans(p.Lang, fact)}
		v.Fact, v.Table.Columns = &f, []factLine{f}
		for j := range v.Table.Rows {
			v.Table.Rows[j].Shares = []shareView{shareViewOf(p.Lang, factShare(&h.Wave, t.Rows[j].Facts, fact))}
		}
	}
	for _, f := range columns {
		v.Whole = append(v.Whole, shareViewOf(p.Lang, survey.FigureOf(f, sum.Fact(f))))
	}
	v.Least = leastNote(p.Lang, columns)
	v.List = p.list("web.survey.by.caption", append([]string{"list", "name", "domains"}, columns...), append([]string{"domains"}, columns...)...).
		exports("survey-by", "wave", h.Name, "attribute", t.Attribute, "lang", string(p.Lang))
	v.List.Fragment, v.List.SearchLabel = "values", "web.survey.by.search"
	if q := strings.ToLower(v.List.Search); q != "" {
		v.Table.Rows = slices.DeleteFunc(v.Table.Rows, func(r attributeRow) bool { return !strings.Contains(strings.ToLower(r.Label), q) })
	}
	sortValues(v.Table.Rows, v.List, slices.Index(columns, v.List.Sort))
	from, to := v.List.cut(len(v.Table.Rows))
	v.Table.Rows = v.Table.Rows[from:to]
	h.under(p, crumb{t.Attribute, ""})
	p.template, p.Data = "surveyby", v
	return nil
}

// sortValues puts the values of an attribute into the order asked for; column
// is the index of the share to sort by, or negative. The order of the table
// itself is kept among equals, and values of which nothing is known come last.
func sortValues(rows []attributeRow, l *listing, column int) {
	turn := func(c int) int {
		if l.Desc {
			return -c
		}
		return c
	}
	switch {
	case column >= 0:
		slices.SortStableFunc(rows, func(a, b attributeRow) int {
			x, xok := a.Shares[column].Value()
			y, yok := b.Shares[column].Value()
			switch {
			case xok != yok && xok:
				return -1
			case xok != yok:
				return 1
			}
			return turn(cmp.Compare(x, y))
		})
	case l.Sort == "name":
		slices.SortStableFunc(rows, func(a, b attributeRow) int { return turn(cmp.Compare(a.Label, b.Label)) })
	case l.Sort == "domains":
		slices.SortStableFunc(rows, func(a, b attributeRow) int { return turn(cmp.Compare(a.Domains, b.Domains)) })
	case l.Desc:
		slices.Reverse(rows)
	}
}

// sector shows one value of an attribute and its organisations.
func (s *server) sector(r *http.Request, p *page, h *waveHead, sum *survey.Summary, t *survey.Table) error {
	value := p.query.Get("value")
	i := slices.IndexFunc(t.Rows, func(r survey.Row) bool { return r.Value == value })
	if i < 0 {
		return errNotFound
	}
	row := &t.Rows[i]
	v := &sectorView{waveHead: h, Attribute: t.Attribute, Label: bandLabel(p.Lang, row), AttributeURL: h.attributeURL(t.Attribute), Domains: row.Domains}
	here, _ := tablesOf(p.Lang, &h.Wave, row.Facts)
	for _, g := range here {
		st := sectorTable{ID: g.ID, Least: g.Least}
		for _, f := range g.Lines {
			line := sectorLine{factLine: f, Whole: shareViewOf(p.Lang, survey.FigureOf(f.Fact, sum.Fact(f.Fact)))}
			line.NoURL = p.with("fact", f.Fact, "state", "no", "code", "", "page", "", "q", "") + "#organisations"
			line.Points = pointsOf(p, f.Figure, line.Whole.Figure)
			line.Apart = apart(f.Figure, line.Whole.Figure)
			st.Lines = append(st.Lines, line)
		}
		v.Tables = append(v.Tables, st)
	}
	v.Lead = sectorLead(p, h, sum, row)
	f := store.SurveyFilter{Attribute: t.Attribute, Value: row.Value}
	switch {
	case row.Band != nil:
		f.Value, f.Band, f.Low, f.High = "", true, row.Band.Low, row.Band.High
	case t.Kind == survey.Bands:
		f.Rest = true
	}
	if err := s.organisations(r, p, h, &v.organisations, f); err != nil {
		return err
	}
	v.List.exports("survey", "wave", h.Name, "attribute", t.Attribute, "value", row.Value, "none", p.query.Get("none"),
		"fact", p.query.Get("fact"), "state", p.query.Get("state"), "code", p.query.Get("code"), "lang", string(p.Lang))
	h.under(p, crumb{t.Attribute, v.AttributeURL}, crumb{v.Label, ""})
	p.template, p.Data = "surveysector", v
	return nil
}

// sectorLead says in a sentence how the sector stands.
func sectorLead(p *page, h *waveHead, sum *survey.Summary, row *survey.Row) string {
	for _, fact := range []string{"protected", "dmarc_enforced"} {
		s, all := factShare(&h.Wave, row.Facts, fact), survey.FigureOf(fact, sum.Fact(fact))
		f, ok := s.Value()
		g, known := all.Value()
		if !ok || !known {
			continue
		}
		return p.text("web.survey.sector.lead", "yes", s.Yes, "known", s.Of(), "share", f, "all_share", g, "fact", factLabel(p.Lang, fact))
	}
	return ""
}

// pointsOf is the difference of two shares in percentage points, worded; ""
// where there is none that says something.
func pointsOf(p *page, a, b survey.Figure) string {
	d, ok := a.Above(b)
	if !ok {
		return ""
	}
	return points(p, d)
}

// points words a difference of shares: "+2.3", with a real minus sign.
func points(p *page, d float64) string {
	n := math.Round(d*1000) / 10
	text := strconv.FormatFloat(math.Abs(n), 'f', 1, 64)
	switch {
	case n > 0:
		text = "+" + text
	case n < 0:
		text = "−" + text
	default:
		text = "±0.0"
	}
	return p.text("web.survey.points", "n", text)
}

// apart reports whether the 95 % intervals of two shares do not touch.
func apart(a, b survey.Figure) bool {
	al, ah, ok := a.Interval()
	bl, bh, known := b.Interval()
	return ok && known && (al > bh || bl > ah)
}

// listView is all organisations of a wave.
type listView struct {
	*waveHead
	organisations
}

func (s *server) surveyList(w http.ResponseWriter, r *http.Request, p *page) error {
	h, err := s.wave(r, p, "list")
	if err != nil {
		return err
	}
	v := &listView{waveHead: h}
	v.Odd = p.query.Get("odd") == "1"
	if h.Duplicates+h.Without+h.Invalid > 0 {
		v.Which = []choice{{Label: p.text("web.survey.list.measured"), URL: h.URL + "/list", Current: !v.Odd},
			{Label: p.text("web.survey.list.odd"), URL: h.URL + "/list?odd=1", Current: v.Odd}}
	}
	if err := s.organisations(r, p, h, &v.organisations, store.SurveyFilter{Odd: v.Odd}); err != nil {
		return err
	}
	v.List.exports("survey", "wave", h.Name, "fact", p.query.Get("fact"), "state", p.query.Get("state"), "code", p.query.Get("code"), "odd", p.query.Get("odd"), "lang", string(p.Lang))
	h.under(p, crumb{p.text("web.survey.list.title"), ""})
	p.template, p.Data = "surveylist", v
	return nil
}

// organisations reads the filters from the address and fills a list.
func (s *server) organisations(r *http.Request, p *page, h *waveHead, v *organisations, f store.SurveyFilter) error {
	v.List = p.list("web.survey.list.title", []string{"no", "name", "domain", "problems"}, "problems").ordered("no", "name", "domain", "problems")
	v.List.Fragment, v.List.SearchLabel = "organisations", "web.survey.list.search"
	if fact := p.query.Get("fact"); !f.Odd && slices.Contains(h.Facts, fact) {
		f.Fact = fact
		f.State, _ = stateOf(cmp.Or(p.query.Get("state"), "no"))
	}
	if !f.Odd {
		f.Code = clip(p.query.Get("code"), 200)
	}
	f.Search = v.List.Search
	if n, err := domain.Parse(f.Search); err == nil { // names stand there in A-labels
		f.Search = n.String()
	}
	v.Narrow = f.Fact != "" || f.Code != "" || f.Search != ""
	if f.Code != "" {
		v.Code, v.Uncode = p.Lang.Outline(f.Code), p.with("code", "", "page", "")+"#organisations"
	}
	v.Facts = append(v.Facts, choice{Label: p.text("web.survey.list.every"), Current: f.Fact == ""})
	for _, name := range h.Facts {
		v.Facts = append(v.Facts, choice{Value: name, Label: factLabel(p.Lang, name), Current: f.Fact == name})
	}
	for _, word := range []string{"no", "yes", "unknown"} {
		v.States = append(v.States, choice{Value: word, Label: p.text("web.survey.state." + word), Current: word == f.State.String()})
	}
	if f.Fact == "" {
		for i := range v.States {
			v.States[i].Current = i == 0
		}
	}
	for _, hf := range v.List.Hidden() {
		if hf.Name != "fact" && hf.Name != "state" {
			v.Keep = append(v.Keep, hf)
		}
	}
	facts := columnsOf(&h.Wave)
	if f.Fact != "" && !slices.Contains(facts, f.Fact) {
		facts = append(facts, f.Fact)
	}
	for _, name := range facts {
		v.Columns = append(v.Columns, factLine{Fact: name, Label: factLabel(p.Lang, name)})
	}
	page := v.List.page()
	page.Search = ""
	rows, total, err := s.Store.SurveyRows(r.Context(), h.ID, f, page)
	if err != nil {
		return err
	}
	v.List.Total = total
	for _, row := range rows {
		v.Rows = append(v.Rows, organisationOf(p, h, row, facts))
	}
	return nil
}

// organisationOf is a line of a list.
func organisationOf(p *page, h *waveHead, row store.SurveyRow, facts []string) organisationLine {
	o := organisationLine{SurveyRow: row, URL: h.organisationURL(row.No)}
	o.Domain, o.Ascii = namesOf(row.Domain)
	o.Name = cmp.Or(row.Name, o.Domain, row.Input, "–")
	o.Status, o.StatusArgs = statusOf(&row)
	o.Odd = inputProblem(p, &row)
	for _, f := range facts {
		o.States = append(o.States, organisationState{factLabel(p.Lang, f), stateAt(&h.Wave, &row, f).String()})
	}
	for _, c := range row.Result.Codes {
		switch c.Grade {
		case "error":
			o.Errors++
		case "warning":
			o.Warnings++
		default:
			o.Hints++
		}
	}
	return o
}

func (h *waveHead) organisationURL(no int64) string {
	return h.URL + "/domain/" + strconv.FormatInt(no, 10)
}

// statusOf says why an entry has no result; "" where it has one.
func statusOf(row *store.SurveyRow) (code string, n int64) {
	switch {
	case row.Of != 0:
		return "web.survey.status.duplicate", row.Of
	case row.Domain == "" && (row.Problem == "" || strings.HasPrefix(row.Problem, "survey.list.without")):
		return "web.survey.status.without", 0
	case row.Domain == "":
		return "web.survey.status.invalid", 0
	case row.Result.No == 0:
		return "web.survey.status.waiting", 0
	case row.Result.Unanswered:
		return "web.survey.status.unanswered", 0
	}
	return "", 0
}
