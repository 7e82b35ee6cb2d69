package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
)

// maxGroups is the most groups that one question gives.
const maxGroups = 10_000

// attribute returns an attribute's place in the lists of an entry, from 1.
func (w *surveyWave) attribute(name string) (int, error) {
	i := slices.Index(w.attributes, name)
	if i < 0 {
		return 0, fmt.Errorf("the list has no attribute %q; it has %s: %w", name, strings.Join(w.attributes, ", "), ErrNotFound)
	}
	return i + 1, nil
}

// fact returns a fact's place among the wave's.
func (w *surveyWave) fact(name string) (int, error) {
	i := slices.Index(w.facts, name)
	if i < 0 {
		return 0, fmt.Errorf("the wave has no fact %q; it has %s: %w", name, strings.Join(w.facts, ", "), ErrNotFound)
	}
	return i, nil
}

// bit is true for results in whose set of bits ("yes" or "no") fact k is.
func bit(set string, k int) string {
	return fmt.Sprintf("%s%d & %d::UBIGINT <> 0", set, k/64, uint64(1)<<(k%64))
}

// tallies are two columns for each of n facts: how many yes, how many no.
func tallies(n int) string {
	var b strings.Builder
	for k := range n {
		fmt.Fprintf(&b, ", coalesce(count_if(%s), 0), coalesce(count_if(%s), 0)", bit("yes", k), bit("no", k))
	}
	return b.String()
}

// masks are the columns of a result's states.
const masks = "yes0, no0, yes1, no1"

// entriesWithResults is the measured entries of a wave, some columns of them,
// and the states of their results, NULL where there are none.
func entriesWithResults(wave int64, columns string) string {
	return fmt.Sprintf(`(SELECT no, %s FROM survey_entry WHERE wave = %d AND %s) e
		LEFT JOIN (SELECT no, %s FROM survey_result WHERE wave = %[2]d) r ON r.no = e.no`, columns, wave, measured, masks)
}

// groups runs a statement that gives value, domains, first, last and tallies.
func (s *Store) groups(ctx context.Context, facts int, q string, args []any) ([]Group, error) {
	var out []Group
	err := s.query(ctx, q, args, func(r *sql.Rows) error {
		g := Group{Facts: make([]Tally, facts)}
		to := []any{&g.Value, &g.Domains, &g.First, &g.Last}
		for i := range g.Facts {
			to = append(to, &g.Facts[i].Yes, &g.Facts[i].No)
		}
		if err := r.Scan(to...); err != nil {
			return err
		}
		for i := range g.Facts {
			t := &g.Facts[i]
			t.Unknown = g.Domains - t.Yes - t.No
		}
		out = append(out, g)
		return nil
	})
	return out, err
}

// Groups counts the domains to be measured, and the states of their facts, by
// the values of an attribute: the most frequent values, as many as asked for
// (at most 10,000, and all of those for 0), of equally frequent ones the one
// that comes first in the alphabet. A value that is not given counts as "". Of
// attribute "" it is one group "" of all domains, also where there are none. A
// domain without a result is unknown in every fact. What it gives is kept until
// the wave changes, and not to be changed. Cost: half a second for
// 35 facts of a million domains.
func (s *Store) Groups(ctx context.Context, wave int64, attribute string, most int) ([]Group, error) {
	w, err := s.survey(ctx, wave)
	if err != nil {
		return nil, err
	}
	return keptTable(w, fmt.Sprintf("groups %q %d", attribute, most), func() ([]Group, error) {
		return s.askGroups(ctx, w, attribute, most)
	})
}

func (s *Store) askGroups(ctx context.Context, w *surveyWave, attribute string, most int) ([]Group, error) {
	n, wave := len(w.facts), w.id
	if attribute == "" {
		return s.groups(ctx, n, "SELECT '', count(*), coalesce(min(e.no), 0), coalesce(max(e.no), 0)"+tallies(n)+" FROM "+entriesWithResults(wave, "of"), nil)
	}
	i, err := w.attribute(attribute)
	if err != nil {
		return nil, err
	}
	if most <= 0 || most > maxGroups {
		most = maxGroups
	}
	// The values come first, so that tallies are kept for those alone that are asked for.
	return s.groups(ctx, n, fmt.Sprintf(`WITH top AS (SELECT attributes[%d] AS v, count(*) AS n, min(no) AS first, max(no) AS last
			FROM survey_entry WHERE wave = %d AND %s GROUP BY v ORDER BY n DESC, v LIMIT %d)
		SELECT t.v, any_value(t.n), any_value(t.first), any_value(t.last)%s
		FROM %s JOIN top t ON t.v = e.v GROUP BY t.v ORDER BY 2 DESC, 1`,
		i, wave, measured, most, tallies(n), entriesWithResults(wave, fmt.Sprintf("attributes[%d] AS v", i))), nil)
}

// Bands counts as Groups does, by the bands that the bounds, which rise, cut
// an attribute's numbers into: one below the first bound, one from each bound
// up to the next, and then, if there are any, one more for values that are no
// numbers. Values of groups are empty; bands of no domains are there, too.
func (s *Store) Bands(ctx context.Context, wave int64, attribute string, bounds []float64) ([]Group, error) {
	w, err := s.survey(ctx, wave)
	if err != nil {
		return nil, err
	}
	return keptTable(w, fmt.Sprintf("bands %q %v", attribute, bounds), func() ([]Group, error) {
		return s.askBands(ctx, w, attribute, bounds)
	})
}

func (s *Store) askBands(ctx context.Context, w *surveyWave, attribute string, bounds []float64) ([]Group, error) {
	i, err := w.attribute(attribute)
	if err != nil {
		return nil, err
	}
	var band strings.Builder
	band.WriteString("0")
	for k, b := range bounds {
		if math.IsNaN(b) || math.IsInf(b, 0) || k > 0 && b <= bounds[k-1] || k >= maxGroups {
			return nil, fmt.Errorf("bounds of bands %v: want rising numbers", bounds)
		}
		fmt.Fprintf(&band, " + (x >= $%d::DOUBLE)::INTEGER", k+1)
	}
	args := make([]any, len(bounds))
	for k := range bounds {
		args[k] = bounds[k]
	}
	rows, err := s.groups(ctx, len(w.facts), fmt.Sprintf(`SELECT if(isnan(x), %d, %s)::VARCHAR AS band, count(*), min(e.no), max(e.no)%s FROM %s GROUP BY band`,
		len(bounds)+1, band.String(), tallies(len(w.facts)), entriesWithResults(w.id, fmt.Sprintf("numbers[%d] AS x", i))), args)
	if err != nil {
		return nil, err
	}
	out := make([]Group, len(bounds)+2)
	for k := range out {
		out[k].Facts = make([]Tally, len(w.facts))
	}
	for _, g := range rows {
		var k int
		if _, err := fmt.Sscan(g.Value, &k); err != nil {
			return nil, err
		}
		g.Value = ""
		out[k] = g
	}
	if out[len(out)-1].Domains == 0 {
		out = out[:len(out)-1]
	}
	return out, nil
}

// Shapes says what the attributes of the domains to be measured are like, in
// the order of the list. Cost: half a second an attribute for a million
// domains, once for a sealed list.
func (s *Store) Shapes(ctx context.Context, wave int64) ([]AttributeShape, error) {
	w, err := s.survey(ctx, wave)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	known, sealed := w.shapes, w.sealed
	w.mu.Unlock()
	if known != nil {
		return slices.Clone(known), nil
	}
	out := make([]AttributeShape, 0, len(w.attributes))
	for i, name := range w.attributes {
		a := AttributeShape{Name: name}
		var quantiles any
		err := s.query(ctx, fmt.Sprintf(`SELECT count(*) FILTER (v <> ''), count(DISTINCT v) FILTER (v <> ''), count(*) FILTER (NOT isnan(x)),
				coalesce(quantile_disc(x, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]) FILTER (NOT isnan(x)), [])
			FROM (SELECT attributes[%d] AS v, numbers[%[1]d] AS x FROM survey_entry WHERE wave = %d AND %s)`, i+1, wave, measured), nil,
			func(r *sql.Rows) error { return r.Scan(&a.Filled, &a.Distinct, &a.Numeric, &quantiles) })
		if err != nil {
			return nil, err
		}
		if l, ok := quantiles.([]any); ok {
			for _, q := range l {
				if v, ok := q.(float64); ok {
					a.Quantiles = append(a.Quantiles, v)
				}
			}
		}
		out = append(out, a)
	}
	if sealed {
		w.mu.Lock()
		w.shapes = out
		w.mu.Unlock()
	}
	return slices.Clone(out), nil
}

// SurveyCodes counts the domains by their problems, the most frequent first.
func (s *Store) SurveyCodes(ctx context.Context, wave int64) ([]CodeTotal, error) {
	var out []CodeTotal
	err := s.query(ctx, `SELECT c, count(*) AS n FROM (SELECT unnest(codes) AS c FROM survey_result WHERE wave = ?) GROUP BY c`, []any{wave}, func(r *sql.Rows) error {
		var id uint32
		var t CodeTotal
		if err := r.Scan(&id, &t.Domains); err != nil {
			return err
		}
		t.Code = codeOf(s.surveys.codes.name(id))
		out = append(out, t)
		return nil
	})
	slices.SortFunc(out, func(a, b CodeTotal) int {
		if a.Domains != b.Domains {
			return int(b.Domains - a.Domains)
		}
		return strings.Compare(a.key(), b.key())
	})
	return out, err
}
