package publish

import (
	"strconv"

	"github.com/rivo/uniseg"

	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// moved is a fact of a comparison as it is shown.
type moved struct {
	*survey.FactChange
	name   string
	points float64 // of a hundred
	ok     bool    // both shares are known
}

// moves are the facts of the comparison of which something is known in both
// waves, in the order in which people read them.
func (v view) moves() []moved {
	if v.Change == nil {
		return nil
	}
	at := map[string]*survey.FactChange{}
	for i := range v.Change.Facts {
		at[v.Change.Facts[i].Fact] = &v.Change.Facts[i]
	}
	var out []moved
	for _, t := range v.topics() {
		for _, i := range t.Facts {
			f := at[v.Wave.Facts[i]]
			if f == nil || f.Before.Known() == 0 && f.After.Known() == 0 {
				continue
			}
			m := moved{FactChange: f, name: v.fact(i)}
			before, ok1 := f.Before.Value()
			after, ok2 := f.After.Value()
			if m.ok = ok1 && ok2; m.ok {
				m.points = (after - before) * 100
			}
			out = append(out, m)
		}
	}
	return out
}

// unclear counts the domains of which it is not known whether they changed.
func (m moved) unclear() int64 {
	return m.Moves[store.Unknown][store.Unknown] + m.Moves[store.Unknown][store.Yes] + m.Moves[store.Unknown][store.No] +
		m.Moves[store.Yes][store.Unknown] + m.Moves[store.No][store.Unknown]
}

// points writes a difference of shares, with a true minus sign.
func points(p float64) string {
	s := strconv.FormatFloat(p, 'f', 1, 64)
	switch {
	case s == "0.0" || s == "-0.0":
		return "±0.0"
	case p < 0:
		return "−" + s[1:]
	}
	return "+" + s
}

// lineHeight is how high a row must be for a text that is broken at a width in
// columns.
func lineHeight(s string, width int) float64 {
	lines := (uniseg.StringWidth(s)*21/20 + width - 1) / max(width, 1)
	return float64(14*max(lines, 1) + 4)
}
