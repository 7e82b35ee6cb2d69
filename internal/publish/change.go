package publish

import (
	"strconv"

	"github.com/rivo/uniseg"

	"sekimori/internal/survey"
)

// moved is a fact of a comparison as it is shown.
type moved struct {
	*survey.FactChange
	number        int // of the fact in the wave
	name          string
	points        float64 // of no meaning where before and after are lower bounds
	before, after survey.Figure
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
			if f == nil {
				continue
			}
			m := moved{FactChange: f, number: i, name: v.named(i)}
			if m.before, m.after = f.Figures(); m.before.Of() == 0 {
				continue
			}
			m.points, _ = f.Points()
			out = append(out, m)
		}
	}
	return out
}

// movedFacts are the numbers of the facts of moves.
func (v view) movedFacts() []int {
	var out []int
	for _, m := range v.moves() {
		out = append(out, m.number)
	}
	return out
}

// Points writes a difference of shares, with a true minus sign.
func Points(p float64) string {
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
	return float64(13*max(lines, 1) + 3)
}
