package api

import (
	"cmp"
	"context"
	"slices"
	"time"

	"sekimori/internal/store"
)

// surveyed is a made-up survey of three organisations.
var surveyed = store.Wave{ID: 1, WaveSpec: store.WaveSpec{Name: "2026-11", List: "list.csv", Attributes: []string{"=sector", "size"}, Facts: []string{"spf", "dmarc", "later"}},
	Started: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Finished: time.Date(2026, 11, 1, 1, 0, 0, 0, time.UTC), Sealed: true, Entries: 3, Domains: 3, Measured: 2, Messages: 2}

func surveyRows3() []store.SurveyRow {
	at := time.Date(2026, 11, 1, 0, 30, 0, 0, time.UTC)
	return []store.SurveyRow{
		{Entry: store.Entry{No: 1, Line: 2, Name: "=cmd", Domain: "a.example", Attributes: []string{"city", "10"}},
			Result: store.Result{No: 1, States: []store.State{store.Yes, store.No, store.Unknown}, Codes: []store.Code{{Topic: "dmarc", Grade: "error", Code: "posture.dmarc-missing"}}, Doc: []byte(`{"domain":"a.example"}`), At: at}},
		{Entry: store.Entry{No: 2, Line: 3, Name: "架空市", Domain: "b.example", Attributes: []string{"town", ""}},
			Result: store.Result{No: 2, States: []store.State{store.Yes, store.Yes, store.Unknown}, At: at}},
		{Entry: store.Entry{No: 3, Line: 4, Domain: "c.example", Attributes: []string{"city", "7"}}},
	}
}

func (w *world) Waves(context.Context) ([]store.Wave, error) {
	before := surveyed
	before.ID, before.Name, before.Finished = 2, "2025-11", time.Time{}
	return []store.Wave{surveyed, before}, w.err
}

func (w *world) Wave(ctx context.Context, name string) (store.Wave, error) {
	waves, err := w.Waves(ctx)
	for _, v := range waves {
		if v.Name == name {
			return v, err
		}
	}
	return store.Wave{}, cmp.Or(err, store.ErrNotFound)
}

func (w *world) tally(rows []store.SurveyRow, value string) store.Group {
	g := store.Group{Value: value, Domains: int64(len(rows)), Facts: make([]store.Tally, 3)}
	for _, r := range rows {
		for i := range g.Facts {
			switch {
			case r.Result.No == 0 || r.Result.States[i] == store.Unknown:
				g.Facts[i].Unknown++
			case r.Result.States[i] == store.Yes:
				g.Facts[i].Yes++
			default:
				g.Facts[i].No++
			}
		}
	}
	return g
}

func (w *world) Groups(_ context.Context, _ int64, attribute string, _ int) ([]store.Group, error) {
	rows := surveyRows3()
	if attribute == "=sector" {
		return []store.Group{w.tally([]store.SurveyRow{rows[0], rows[2]}, "city"), w.tally(rows[1:2], "town")}, w.err
	}
	return []store.Group{w.tally(rows, "")}, w.err
}

func (w *world) Bands(context.Context, int64, string, []float64) ([]store.Group, error) {
	return nil, w.err
}

func (w *world) Shapes(context.Context, int64) ([]store.AttributeShape, error) {
	return []store.AttributeShape{{Name: "=sector", Filled: 3, Distinct: 2}}, w.err
}

func (w *world) Changes(context.Context, int64, int64, string, string) ([]store.Change, error) {
	return []store.Change{{Fact: "dmarc", From: store.No, To: store.Yes, Domains: 1}, {Fact: "dmarc", From: store.Unknown, To: store.No, Domains: 2}}, w.err
}

func (w *world) ChangedRows(context.Context, int64, int64, string, store.State, store.State, store.Page) ([]store.ChangedRow, int64, error) {
	rows := surveyRows3()
	return []store.ChangedRow{{Before: rows[1], After: rows[1]}}, 1, w.err
}

func (w *world) Combinations(context.Context, int64, store.Basis, bool) ([]store.Combination, error) {
	return []store.Combination{{SMIME: "none", MailStates: store.MailStates{SPF: "pass", DKIM: "pass", DMARC: "pass"}, Count: 2}}, w.err
}

func (w *world) SurveyRows(_ context.Context, _ int64, f store.SurveyFilter, p store.Page) ([]store.SurveyRow, int64, error) {
	rows := surveyRows3()
	rows = slices.DeleteFunc(rows, func(r store.SurveyRow) bool {
		return f.Fact != "" && (r.Result.No == 0 || r.Result.States[0] != f.State)
	})
	from := min(p.Offset, len(rows))
	return rows[from:min(from+p.Limit, len(rows))], int64(len(rows)), w.err
}

func (w *world) SurveyRow(_ context.Context, _, no int64) (store.SurveyRow, error) {
	if no < 1 || no > 3 {
		return store.SurveyRow{}, cmp.Or(w.err, store.ErrNotFound)
	}
	return surveyRows3()[no-1], w.err
}

func (w *world) EachSurveyRow(_ context.Context, _ int64, f func(*store.SurveyRow) error) error {
	for _, r := range surveyRows3() {
		if err := f(&r); err != nil {
			return err
		}
	}
	return w.err
}

func (w *world) SurveyCodes(context.Context, int64) ([]store.CodeTotal, error) {
	return []store.CodeTotal{{Code: store.Code{Topic: "dmarc", Grade: "error", Code: "posture.dmarc-missing"}, Domains: 1}}, w.err
}

func (w *world) Mails(context.Context, int64, int64, store.Page) ([]store.MailResult, int64, error) {
	return []store.MailResult{{Entry: 1, From: "@x", Subject: "=1+1", SMIME: "none", Now: store.MailStates{SPF: "pass", DKIM: "pass", DMARC: "pass"}, Arrived: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)}, {From: "y"}}, 2, w.err
}

func (w *world) EachMail(ctx context.Context, wave int64, f func(*store.MailResult) error) error {
	mails, _, _ := w.Mails(ctx, wave, 0, store.Page{})
	for i := range mails {
		if err := f(&mails[i]); err != nil {
			return err
		}
	}
	return w.err
}
