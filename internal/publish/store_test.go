package publish

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"sekimori/internal/store"
)

// fakeStore is a wave in memory, counted in the plainest way.
type fakeStore struct {
	wave store.Wave
	rows []store.SurveyRow
	mail []store.MailResult
	// earlier is what Changes answers.
	earlier []store.Change
}

func (f *fakeStore) measurable(yield func(*store.SurveyRow) bool) {
	for i := range f.rows {
		if r := &f.rows[i]; r.Domain != "" && r.Of == 0 && !yield(r) {
			return
		}
	}
}

func (f *fakeStore) attribute(name string) int { return slices.Index(f.wave.Attributes, name) }

func (f *fakeStore) tally(g *store.Group, r *store.SurveyRow) {
	if g.Facts == nil {
		g.Facts = make([]store.Tally, len(f.wave.Facts))
	}
	g.Domains++
	if g.First == 0 {
		g.First = r.No
	}
	g.Last = r.No
	for i := range g.Facts {
		state := store.Unknown
		if i < len(r.Result.States) {
			state = r.Result.States[i]
		}
		switch state {
		case store.Yes:
			g.Facts[i].Yes++
		case store.No:
			g.Facts[i].No++
		default:
			g.Facts[i].Unknown++
		}
	}
}

func (f *fakeStore) Groups(_ context.Context, _ int64, attribute string, most int) ([]store.Group, error) {
	at := f.attribute(attribute)
	if attribute != "" && at < 0 {
		return nil, fmt.Errorf("no attribute %q", attribute)
	}
	byValue := map[string]*store.Group{}
	for r := range f.measurable {
		v := ""
		if attribute != "" {
			v = r.Attributes[at]
		}
		if byValue[v] == nil {
			byValue[v] = &store.Group{Value: v}
		}
		f.tally(byValue[v], r)
	}
	var out []store.Group
	for _, g := range byValue {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b store.Group) int {
		return cmp.Or(cmp.Compare(b.Domains, a.Domains), cmp.Compare(a.Value, b.Value))
	})
	return out[:min(len(out), most)], nil
}

func (f *fakeStore) Bands(_ context.Context, _ int64, attribute string, bounds []float64) ([]store.Group, error) {
	out := make([]store.Group, len(bounds)+1)
	for i := range out {
		out[i].Facts = make([]store.Tally, len(f.wave.Facts))
	}
	var others store.Group
	for r := range f.measurable {
		n, ok := number64(r.Attributes[f.attribute(attribute)])
		if !ok {
			f.tally(&others, r)
			continue
		}
		i := 0
		for i < len(bounds) && n >= bounds[i] {
			i++
		}
		f.tally(&out[i], r)
	}
	if others.Domains > 0 {
		out = append(out, others)
	}
	return out, nil
}

func (f *fakeStore) Shapes(context.Context, int64) ([]store.AttributeShape, error) {
	var out []store.AttributeShape
	for i, name := range f.wave.Attributes {
		s := store.AttributeShape{Name: name}
		seen := map[string]bool{}
		var numbers []float64
		for r := range f.measurable {
			v := r.Attributes[i]
			if v == "" {
				continue
			}
			s.Filled++
			seen[v] = true
			if n, ok := number64(v); ok {
				numbers = append(numbers, n)
			}
		}
		s.Distinct, s.Numeric = int64(len(seen)), int64(len(numbers))
		if slices.Sort(numbers); len(numbers) > 0 {
			for q := range 11 {
				s.Quantiles = append(s.Quantiles, numbers[q*(len(numbers)-1)/10])
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func number64(s string) (n float64, ok bool) {
	_, err := fmt.Sscanf(s, "%g", &n)
	return n, err == nil
}

func (f *fakeStore) Changes(context.Context, int64, int64, string, string) ([]store.Change, error) {
	return f.earlier, nil
}

func (f *fakeStore) Combinations(_ context.Context, _ int64, b store.Basis, matchedOnly bool) ([]store.Combination, error) {
	count := map[store.Combination]int64{}
	for i := range f.mail {
		m := &f.mail[i]
		if matchedOnly && m.Entry == 0 {
			continue
		}
		states := m.Now
		if b == store.BasisThen {
			states = recorded(m)
		}
		count[store.Combination{SMIME: m.SMIME, MailStates: states}]++
	}
	var out []store.Combination
	for c, n := range count {
		c.Count = n
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b store.Combination) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	return out, nil
}

func (f *fakeStore) EachSurveyRow(_ context.Context, _ int64, yield func(*store.SurveyRow) error) error {
	for i := range f.rows {
		row := f.rows[i]
		if err := yield(&row); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeStore) EachMail(_ context.Context, _ int64, yield func(*store.MailResult) error) error {
	for i := range f.mail {
		m := f.mail[i]
		if err := yield(&m); err != nil {
			return err
		}
	}
	return nil
}

// day is when the fake waves were measured.
var day = time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
