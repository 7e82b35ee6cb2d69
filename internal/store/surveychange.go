package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// ChangedRow is a domain in two waves.
type ChangedRow struct {
	Before, After SurveyRow
}

// inBoth is the domains that are measured in both waves: their numbers, b and
// a, and their states in columns yes0b to no1b and yes0a to no1a, 0 where they
// have no result. The later wave's entries may be narrowed.
func inBoth(before, after int64, narrow string) string {
	side := func(wave int64, suffix, narrow string) string {
		var columns strings.Builder
		for _, m := range strings.Split(masks, ", ") {
			fmt.Fprintf(&columns, ", coalesce(r.%s, 0) AS %[1]s%s", m, suffix)
		}
		return fmt.Sprintf(`(SELECT e.domain, e.no AS %s%s FROM (SELECT no, domain FROM survey_entry WHERE wave = %d AND %s%s) e
			LEFT JOIN (SELECT no, %s FROM survey_result WHERE wave = %[3]d) r ON r.no = e.no)`, suffix, columns.String(), wave, measured, narrow, masks)
	}
	return side(before, "b", "") + " JOIN " + side(after, "a", narrow) + " USING (domain)"
}

// Changes counts, for each fact of both waves, in the order of the later one,
// the domains that are in both by their states in the one and in the other,
// where there are any. Where attribute is not "", only domains count that have
// this value of it in the later wave. Cost: a second for a million domains.
func (s *Store) Changes(ctx context.Context, before, after int64, attribute, value string) ([]Change, error) {
	b, err := s.survey(ctx, before)
	if err != nil {
		return nil, err
	}
	a, err := s.survey(ctx, after)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	version := b.version
	b.mu.Unlock()
	return keptTable(a, fmt.Sprintf("changes %d %d %q %q", before, version, attribute, value), func() ([]Change, error) {
		return s.askChanges(ctx, b, a, attribute, value)
	})
}

func (s *Store) askChanges(ctx context.Context, b, a *surveyWave, attribute, value string) ([]Change, error) {
	narrow, args := "", []any(nil)
	if attribute != "" {
		i, err := a.attribute(attribute)
		if err != nil {
			return nil, err
		}
		narrow, args = fmt.Sprintf(" AND attributes[%d] = $1", i), []any{value}
	}
	var facts []string
	var columns strings.Builder
	columns.WriteString("count(*)")
	for k, name := range a.facts {
		was := slices.Index(b.facts, name)
		if was < 0 {
			continue
		}
		facts = append(facts, name)
		yb, nb, ya, na := sideBit("yes", was, "b"), sideBit("no", was, "b"), sideBit("yes", k, "a"), sideBit("no", k, "a")
		for _, c := range [...]string{yb, nb, ya, na, yb + " AND " + ya, yb + " AND " + na, nb + " AND " + ya, nb + " AND " + na} {
			columns.WriteString(", coalesce(count_if(" + c + "), 0)")
		}
	}
	counts := make([]int64, 1+8*len(facts))
	to := make([]any, len(counts))
	for i := range counts {
		to[i] = &counts[i]
	}
	err := s.query(ctx, "SELECT "+columns.String()+" FROM "+inBoth(b.id, a.id, narrow), args, func(r *sql.Rows) error { return r.Scan(to...) })
	if err != nil {
		return nil, err
	}
	var out []Change
	for i, name := range facts {
		c := counts[1+8*i:]
		yb, nb, ya, na, yy, yn, ny, nn := c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
		uu := counts[0] - yb - nb - ya - na + yy + yn + ny + nn
		for _, ch := range [...]Change{
			{name, Yes, Yes, yy}, {name, Yes, No, yn}, {name, Yes, Unknown, yb - yy - yn},
			{name, No, Yes, ny}, {name, No, No, nn}, {name, No, Unknown, nb - ny - nn},
			{name, Unknown, Yes, ya - yy - ny}, {name, Unknown, No, na - yn - nn}, {name, Unknown, Unknown, uu},
		} {
			if ch.Domains > 0 {
				out = append(out, ch)
			}
		}
	}
	return out, nil
}

// sideBit is bit for a column of inBoth.
func sideBit(set string, k int, side string) string {
	return fmt.Sprintf("%s%d%s & %d::UBIGINT <> 0", set, k/64, side, uint64(1)<<(k%64))
}

// sideState is stateIs for columns of inBoth.
func sideState(k int, side string, state State) string {
	yes, no := sideBit("yes", k, side), sideBit("no", k, side)
	switch state {
	case Yes:
		return yes
	case No:
		return no
	}
	return fmt.Sprintf("NOT (%s OR %s)", yes, no)
}

// changeSort are the columns by which ChangedRows sorts.
var changeSort = map[string]string{"": "a", "no": "a", "domain": "domain"}

// ChangedRows lists the domains of both waves that have a fact in one state
// before and in one after, with how many there are, in the order of the later
// wave's list; Page.Sort may be "domain". Page.Search is a substring of the
// domain. Documents are left out.
func (s *Store) ChangedRows(ctx context.Context, before, after int64, fact string, from, to State, p Page) ([]ChangedRow, int64, error) {
	wb, err := s.survey(ctx, before)
	if err != nil {
		return nil, 0, err
	}
	wa, err := s.survey(ctx, after)
	if err != nil {
		return nil, 0, err
	}
	kb, err := wb.fact(fact)
	if err != nil {
		return nil, 0, err
	}
	ka, err := wa.fact(fact)
	if err != nil {
		return nil, 0, err
	}
	if p.Sort == "" {
		p.Sort = "no"
	}
	order, err := p.order(changeSort, "a")
	if err != nil {
		return nil, 0, err
	}
	narrow, args := "", []any(nil)
	if t := strings.TrimSpace(p.Search); t != "" {
		narrow, args = " AND contains(domain, lower($1))", []any{strings.ToValidUTF8(t, "\uFFFD")}
	}
	tail := fmt.Sprintf(" FROM %s WHERE %s AND %s", inBoth(before, after, narrow), sideState(kb, "b", from), sideState(ka, "a", to))
	var total int64
	if err := s.query(ctx, "SELECT count(*)"+tail, args, func(r *sql.Rows) error { return r.Scan(&total) }); err != nil {
		return nil, 0, err
	}
	limit, offset := p.bounds()
	if int64(offset) >= total {
		return nil, total, nil
	}
	var nb, na []int64
	err = s.query(ctx, fmt.Sprintf("SELECT b, a%s%s LIMIT %d OFFSET %d", tail, order, limit, offset), args, func(r *sql.Rows) error {
		var b, a int64
		err := r.Scan(&b, &a)
		nb, na = append(nb, b), append(na, a)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	rb, err := s.numbered(ctx, wb, nb)
	if err != nil {
		return nil, 0, err
	}
	ra, err := s.numbered(ctx, wa, na)
	if err != nil {
		return nil, 0, err
	}
	out := make([]ChangedRow, len(rb))
	for i := range out {
		out[i] = ChangedRow{Before: rb[i], After: ra[i]}
	}
	return out, total, nil
}
