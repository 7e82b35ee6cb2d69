package survey

import (
	"testing"

	"sekimori/internal/posture"
	"sekimori/internal/store"
)

func TestFigure(t *testing.T) {
	s := Share{store.Tally{Yes: 224, Unknown: 823}}
	for _, f := range posture.Facts {
		g := FigureOf(string(f), s)
		v, ok := g.Value()
		_, _, interval := g.Interval()
		if f == posture.FactDKIM || f == posture.FactDKIMValid {
			if !g.Least || g.Of() != 1047 || !ok || v != 224.0/1047 || interval {
				t.Errorf("%s: %v of %d, interval %t", f, v, g.Of(), interval)
			}
		} else if g.Least || g.Of() != 224 || v != 1 || !interval {
			t.Errorf("%s: %v of %d, interval %t", f, v, g.Of(), interval)
		}
	}
	if v, ok := s.Value(); !ok || v != 1 {
		t.Errorf("the share itself is %v", v)
	}
	if _, ok := FigureOf("dkim", Share{}).Value(); ok {
		t.Error("there is a lower bound of nothing")
	}
	if _, ok := FigureOf("dkim", s).Above(FigureOf("dkim", Share{store.Tally{Unknown: 9}})); ok {
		t.Error("lower bounds have a difference")
	}
	if d, ok := FigureOf("spf", Share{store.Tally{Yes: 3, No: 1}}).Above(FigureOf("spf", Share{store.Tally{Yes: 1, No: 3}})); !ok || d != 0.5 {
		t.Errorf("the difference is %v", d)
	}
}

// TestFigures checks that a key that was found in one wave only counts there.
func TestFigures(t *testing.T) {
	c := FactChange{Fact: "dkim"}
	c.Moves[store.Yes][store.Yes], c.Moves[store.Unknown][store.Yes], c.Moves[store.Yes][store.Unknown], c.Moves[store.No][store.Unknown], c.Moves[store.Unknown][store.Unknown] = 5, 3, 1, 2, 9
	c.Before.Yes, c.After.Yes = 5, 5
	before, after := c.Figures()
	if before.Tally != (store.Tally{Yes: 6, No: 2, Unknown: 12}) || after.Tally != (store.Tally{Yes: 8, Unknown: 12}) || before.Of() != 20 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	c.Fact = "spf"
	if before, after = c.Figures(); before.Share != c.Before || after.Share != c.After || before.Least {
		t.Errorf("before %+v, after %+v", before, after)
	}
}
