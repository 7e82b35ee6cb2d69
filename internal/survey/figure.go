package survey

import (
	"sekimori/internal/posture"
	"sekimori/internal/store"
)

// LowerBound tells the facts of which only presence can be shown. A DKIM key
// is found by its selector, which nothing lists: where none was found there may
// be one all the same, so the fact is unknown and almost never no, and the
// share of yes among what is known is about 100 % whatever is true. What can be
// said is that at least so many of all have it.
func LowerBound(fact string) bool {
	return fact == string(posture.FactDKIM) || fact == string(posture.FactDKIMValid)
}

// Figure is a share as people are shown it; see FigureOf. Its Value and
// Interval stand for those of the Share, which published data keeps.
type Figure struct {
	Share
	// Least says that Value is a lower bound: yes among all domains, whether
	// anything is known of them or not. It has no interval.
	Least bool
}

// FigureOf is how the share of a fact is shown.
func FigureOf(fact string, s Share) Figure { return Figure{s, LowerBound(fact)} }

// Of is the denominator of Value: what is known, or for a lower bound all.
func (f Figure) Of() int64 {
	if f.Least {
		return f.Yes + f.No + f.Unknown
	}
	return f.Known()
}

// Value is yes as a part of Of; ok is false where that is nothing.
func (f Figure) Value() (share float64, ok bool) {
	n := f.Of()
	if n == 0 {
		return 0, false
	}
	return float64(f.Yes) / float64(n), true
}

// Interval is the 95 % interval of Value; a lower bound has none.
func (f Figure) Interval() (low, high float64, ok bool) {
	if f.Least {
		return 0, 0, false
	}
	return f.Share.Interval()
}

// Above is by how much f lies above g as a part of the whole. Two lower bounds
// tell nothing of the difference between what they bound: ok is false.
func (f Figure) Above(g Figure) (difference float64, ok bool) {
	x, known := f.Value()
	y, too := g.Value()
	if !known || !too || f.Least || g.Least {
		return 0, false
	}
	return x - y, true
}

// Figures are a fact's shares before and after as people are shown them. Lower
// bounds count all domains that are in both waves, also those of which the fact
// is known in one of them only.
func (c *FactChange) Figures() (before, after Figure) {
	before, after = FigureOf(c.Fact, c.Before), FigureOf(c.Fact, c.After)
	if !before.Least {
		return before, after
	}
	before.Tally, after.Tally = store.Tally{}, store.Tally{}
	for from := range c.Moves {
		for to, n := range c.Moves[from] {
			before.add(store.State(from), n)
			after.add(store.State(to), n)
		}
	}
	return before, after
}

func (f *Figure) add(s store.State, n int64) {
	switch s {
	case store.Yes:
		f.Yes += n
	case store.No:
		f.No += n
	default:
		f.Unknown += n
	}
}
