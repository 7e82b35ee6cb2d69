package api

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/internal/locale"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// surveyQuery is what a download of a survey is asked for.
type surveyQuery struct {
	wave, other      string
	attribute, value string
	low, high        string // of a band, as survey.Band.Value has them
	none, odd        bool   // domains without a value; rows that were not to be measured
	fact, state      string
	from, to, code   string
}

func (q *surveyQuery) long() bool {
	for _, s := range []string{q.wave, q.other, q.attribute, q.value, q.low, q.high, q.fact, q.state, q.from, q.to, q.code} {
		if len(s) > 2000 {
			return true
		}
	}
	return false
}

func (q *exportQuery) needWave(ctx context.Context, s *server) (store.Wave, error) {
	if q.survey.wave == "" {
		return store.Wave{}, huma.Error400BadRequest("wave is missing")
	}
	return s.Store.Wave(ctx, q.survey.wave)
}

func stateOf(s string) store.State {
	return map[string]store.State{"yes": store.Yes, "no": store.No}[s]
}

// rowsOf is the filter of a list of domains. A value of a table of bands is
// found again by its name.
func (q *surveyQuery) rowsOf(ctx context.Context, s *server, w store.Wave, search string) (store.SurveyFilter, error) {
	f := store.SurveyFilter{Attribute: q.attribute, Value: q.value, Code: q.code, Search: search, Odd: q.odd}
	if q.fact != "" {
		f.Fact, f.State = q.fact, stateOf(q.state)
		if q.state == "" {
			f.State = store.No
		}
		if !slices.Contains(w.Facts, q.fact) {
			return f, huma.Error400BadRequest("fact: the survey has no such fact")
		}
	}
	if q.attribute == "" {
		f.Value = ""
		return f, nil
	}
	if !slices.Contains(w.Attributes, q.attribute) {
		return f, huma.Error400BadRequest("attribute: the list has no such column")
	}
	if q.value == "" && !q.none || q.value != "" && !strings.ContainsAny(q.value, "<>") {
		return f, nil
	}
	sum, err := survey.Summarize(ctx, s.Store, w, survey.Tabulation{})
	if err != nil {
		return f, err
	}
	for _, t := range sum.Tables {
		if t.Attribute == q.attribute && t.Kind == survey.Bands && q.none {
			f.Rest = true
		}
		for _, r := range t.Rows {
			if t.Attribute == q.attribute && r.Band != nil && r.Value == q.value {
				f.Value, f.Band, f.Low, f.High = "", true, r.Band.Low, r.Band.High
			}
		}
	}
	return f, nil
}

// factWord names a fact for people.
func factWord(l locale.Lang, fact string) string {
	if code := "publish.fact." + fact; l.Has(code) {
		return l.Text(code, nil)
	}
	return fact
}

// surveyTable is the domains of a survey; its columns follow the wave.
func surveyTable() table {
	t := table{sorts: "no,name,domain,problems",
		columns: []column{{code: "survey_no", kind: number}, {code: "line", kind: number}, {code: "organisation", kind: text}, {code: "domain", kind: text}}}
	t.of = func(ctx context.Context, s *server, q *exportQuery) (table, error) {
		w, err := q.needWave(ctx, s)
		if err != nil {
			return t, err
		}
		f, err := q.survey.rowsOf(ctx, s, w, q.page.Search)
		if err != nil {
			return t, err
		}
		out := t
		out.columns = slices.Clone(t.columns)
		for _, a := range w.Attributes {
			out.columns = append(out.columns, column{kind: text, label: a})
		}
		for _, name := range w.Facts {
			out.columns = append(out.columns, column{kind: text, label: factWord(q.lang, name)})
		}
		out.columns = append(out.columns, column{code: "problems", kind: text}, column{code: "at", kind: moment})
		out.rows = func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			if f == (store.SurveyFilter{}) && (q.sort == "" || q.sort == "no") && !q.page.Desc {
				// The whole list, in its order: in one pass, however long it is.
				return s.Store.EachSurveyRow(ctx, w.ID, func(r *store.SurveyRow) error {
					if r.Domain == "" || r.Of != 0 {
						return nil // is not measured
					}
					return emit(surveyCells(q, &w, r)...)
				})
			}
			q.page.Search = "" // is in the filter
			return q.all("no", func(p store.Page) (int, error) {
				rows, _, err := s.Store.SurveyRows(ctx, w.ID, f, p)
				if err != nil {
					return 0, err
				}
				for i := range rows {
					if err := emit(surveyCells(q, &w, &rows[i])...); err != nil {
						return 0, err
					}
				}
				return len(rows), nil
			})
		}
		return out, nil
	}
	return t
}

func surveyCells(q *exportQuery, w *store.Wave, r *store.SurveyRow) []any {
	cells := []any{r.No, r.Line, r.Name, r.Domain}
	for i := range w.Attributes {
		v := ""
		if i < len(r.Attributes) {
			v = r.Attributes[i]
		}
		cells = append(cells, v)
	}
	for i := range w.Facts {
		st := store.Unknown
		if i < len(r.Result.States) {
			st = r.Result.States[i]
		}
		cells = append(cells, q.word("web.survey.state.", st.String()))
	}
	var codes []string
	for _, c := range r.Result.Codes {
		codes = append(codes, c.Code)
	}
	return append(cells, strings.Join(codes, " "), r.Result.At)
}

// surveyByTable counts a survey's domains by an attribute, fact by fact.
func surveyByTable() table {
	return table{
		sorts: "list,name,domains",
		columns: []column{{code: "survey_value", kind: text}, {code: "survey_domains", kind: number}, {code: "survey_fact", kind: text}, {code: "survey_yes", kind: number}, {code: "survey_no_state", kind: number},
			{code: "survey_unknown", kind: number}, {code: "survey_share", kind: share}, {code: "survey_low95", kind: share}, {code: "survey_high95", kind: share}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			w, err := q.needWave(ctx, s)
			if err != nil {
				return err
			}
			sum, err := survey.Summarize(ctx, s.Store, w, survey.Tabulation{})
			if err != nil {
				return err
			}
			attribute := q.survey.attribute
			if attribute == "" {
				attribute = survey.All
			}
			for _, t := range sum.Tables {
				if t.Attribute != attribute || (t.Kind == survey.Whole) != (q.survey.attribute == "") {
					continue
				}
				for _, r := range t.Rows {
					for i, f := range r.Facts {
						value, _ := f.Value()
						low, high, _ := f.Interval()
						cells := []any{r.Value, r.Domains, factWord(q.lang, w.Facts[i]), f.Yes, f.No, f.Unknown, any(value), any(low), any(high)}
						if f.Known() == 0 {
							cells[6], cells[7], cells[8] = "", "", ""
						}
						if err := emit(cells...); err != nil {
							return err
						}
					}
				}
				return nil
			}
			return huma.Error404NotFound("the survey has no table of this column")
		},
	}
}

func surveyProblemsTable() table {
	return table{
		columns: []column{{code: "survey_grade", kind: text}, {code: "survey_topic", kind: text}, {code: "survey_problem", kind: text}, {code: "survey_domains", kind: number}, {code: "survey_share", kind: share}, {code: "survey_code", kind: text}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			w, err := q.needWave(ctx, s)
			if err != nil {
				return err
			}
			codes, err := s.Store.SurveyCodes(ctx, w.ID)
			if err != nil {
				return err
			}
			for _, c := range codes {
				if err := emit(q.word("web.survey.grade.", c.Grade), q.word("cli.check.topic.", c.Topic), q.lang.Outline(c.Code.Code), c.Domains,
					part(uint64(max(0, c.Domains)), uint64(max(0, w.Domains))), c.Code.Code); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// twoWaves finds the waves that a comparison is about.
func (q *exportQuery) twoWaves(ctx context.Context, s *server) (before, after store.Wave, err error) {
	if after, err = q.needWave(ctx, s); err != nil {
		return before, after, err
	}
	if q.survey.other == "" {
		return before, after, huma.Error400BadRequest("other is missing")
	}
	before, err = s.Store.Wave(ctx, q.survey.other)
	return before, after, err
}

func surveyChangesTable() table {
	t := table{columns: []column{{code: "survey_fact", kind: text}, {code: "survey_before_share", kind: share}, {code: "survey_before_yes", kind: number}, {code: "survey_before_known", kind: number},
		{code: "survey_after_share", kind: share}, {code: "survey_after_yes", kind: number}, {code: "survey_after_known", kind: number}}}
	for _, from := range []string{"yes", "no", "unknown"} {
		for _, to := range []string{"yes", "no", "unknown"} {
			t.columns = append(t.columns, column{code: "survey_" + from + "_to_" + to, kind: number})
		}
	}
	t.rows = func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
		before, after, err := q.twoWaves(ctx, s)
		if err != nil {
			return err
		}
		c, err := survey.Compare(ctx, s.Store, before, after, "", "")
		if err != nil {
			return err
		}
		cell := func(sh survey.Share) any {
			if v, ok := sh.Value(); ok {
				return v
			}
			return ""
		}
		for _, f := range c.Facts {
			cells := []any{factWord(q.lang, f.Fact), cell(f.Before), f.Before.Yes, f.Before.Known(), cell(f.After), f.After.Yes, f.After.Known()}
			for _, from := range []store.State{store.Yes, store.No, store.Unknown} {
				for _, to := range []store.State{store.Yes, store.No, store.Unknown} {
					cells = append(cells, f.Moves[from][to])
				}
			}
			if err := emit(cells...); err != nil {
				return err
			}
		}
		return nil
	}
	return t
}

// surveyMovedTable is the domains of which a fact went from one state to another.
func surveyMovedTable() table {
	return table{
		sorts:   "no,domain",
		columns: []column{{code: "survey_no", kind: number}, {code: "organisation", kind: text}, {code: "domain", kind: text}, {code: "survey_fact", kind: text}, {code: "survey_from", kind: text}, {code: "survey_to", kind: text}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			before, after, err := q.twoWaves(ctx, s)
			if err != nil {
				return err
			}
			if !slices.Contains(after.Facts, q.survey.fact) || !slices.Contains(before.Facts, q.survey.fact) {
				return huma.Error400BadRequest("fact: want one of both surveys")
			}
			from, to := stateOf(q.survey.from), stateOf(q.survey.to)
			return q.all("no", func(p store.Page) (int, error) {
				rows, _, err := s.Store.ChangedRows(ctx, before.ID, after.ID, q.survey.fact, from, to, p)
				if err != nil {
					return 0, err
				}
				for i := range rows {
					r := &rows[i].After
					if err := emit(r.No, r.Name, r.Domain, factWord(q.lang, q.survey.fact), q.word("web.survey.state.", from.String()), q.word("web.survey.state.", to.String())); err != nil {
						return 0, err
					}
				}
				return len(rows), nil
			})
		},
	}
}

func surveyCombinationsTable() table {
	return table{
		columns: []column{{code: "survey_basis", kind: text}, {code: "survey_smime", kind: text}, {code: "survey_spf", kind: text}, {code: "survey_dkim", kind: text}, {code: "survey_dmarc", kind: text}, {code: "messages", kind: number}, {code: "survey_share", kind: share}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			w, err := q.needWave(ctx, s)
			if err != nil {
				return err
			}
			for _, basis := range []store.Basis{store.BasisThen, store.BasisNow} {
				all, err := s.Store.Combinations(ctx, w.ID, basis, true)
				if err == nil && len(all) == 0 { // no message belongs to an organisation of the list
					all, err = s.Store.Combinations(ctx, w.ID, basis, false)
				}
				if err != nil {
					return err
				}
				var sum int64
				for _, c := range all {
					sum += c.Count
				}
				for _, c := range all {
					if err := emit(q.word("web.survey.mail.", string(basis)), c.SMIME, c.SPF, c.DKIM, c.DMARC, c.Count, float64(c.Count)/math.Max(1, float64(sum))); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}

func surveyMailTable() table {
	return table{
		sorts: "arrived,from",
		columns: []column{{code: "survey_no", kind: number}, {code: "survey_from_address", kind: text}, {code: "survey_subject", kind: text}, {code: "survey_arrived", kind: moment}, {code: "survey_smime", kind: text},
			{code: "survey_then_spf", kind: text}, {code: "survey_then_dkim", kind: text}, {code: "survey_then_dmarc", kind: text},
			{code: "survey_now_spf", kind: text}, {code: "survey_now_dkim", kind: text}, {code: "survey_now_dmarc", kind: text}, {code: "path", kind: text}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			w, err := q.needWave(ctx, s)
			if err != nil {
				return err
			}
			return q.all("", func(p store.Page) (int, error) {
				mails, _, err := s.Store.Mails(ctx, w.ID, 0, p)
				if err != nil {
					return 0, err
				}
				for _, m := range mails {
					if err := emit(m.Entry, m.From, m.Subject, m.Arrived, m.SMIME, m.Then.SPF, m.Then.DKIM, m.Then.DMARC, m.Now.SPF, m.Now.DKIM, m.Now.DMARC, m.Path); err != nil {
						return 0, err
					}
				}
				return len(mails), nil
			})
		},
	}
}
