package advise

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"sekimori/internal/store"
)

var monday = store.DayOf(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC))

func on(days ...int) map[store.Day]count {
	m := map[store.Day]count{}
	for _, d := range days {
		m[monday+store.Day(d)] = count{10, 10}
	}
	return m
}

func TestPattern(t *testing.T) {
	begin, end := monday, monday+120
	for _, c := range []struct {
		name                     string
		days                     []int
		occasions, period, slack int
		isNew                    bool
	}{
		{"none", nil, 0, 0, 0, false},
		{"once", []int{20}, 1, 0, 0, true},
		{"one run", []int{3, 4, 5, 6}, 1, 0, 0, false},
		{"weekly", []int{0, 7, 14, 21, 28, 35}, 6, 7, 0, false},
		{"weekly, two days each", []int{0, 1, 7, 8, 14, 15, 21, 22}, 4, 7, 0, false},
		{"weekly, one left out", []int{0, 7, 21, 28, 35, 42}, 6, 7, 0, false},
		{"monthly", []int{24, 55, 86}, 3, 31, 0, true},
		{"month's last business day", []int{26, 57, 87, 118}, 4, 31, 1, true},
		{"twice, a month apart", []int{10, 40}, 2, 30, 0, false},
		{"twice, two weeks apart", []int{10, 24}, 2, 0, 0, false},
		{"irregular", []int{0, 6, 30, 37, 80, 99}, 6, 0, 0, false},
	} {
		p := patternOf(on(c.days...), begin, end)
		if p.occasions != c.occasions || abs(p.period-c.period) > c.slack || p.isNew != c.isNew || !p.known {
			t.Errorf("%s: %+v, want %d occasions, period %d, new %v", c.name, p, c.occasions, c.period, c.isNew)
		}
	}
}

func TestBurst(t *testing.T) {
	wave := on(40, 41, 42)
	for _, d := range []store.Day{38, 39, 43, 44} { // the smear of a report of a week
		wave[monday+d] = count{1, 1}
	}
	for d, c := range map[store.Day]uint64{40: 100, 41: 200, 42: 150} {
		wave[monday+d] = count{c, c}
	}
	if p := patternOf(wave, monday, monday+90); !p.burst || !p.isNew || p.from < monday+38 || p.from > monday+40 {
		t.Errorf("a wave: %+v", p)
	}
	if p := patternOf(on(0, 10, 20, 30), monday, monday+90); p.burst {
		t.Errorf("four occasions: %+v", p)
	}
	if p := patternOf(on(2), monday, monday+90); !p.burst || p.isNew {
		t.Errorf("one day: %+v", p)
	}
}

func TestWeekend(t *testing.T) {
	for d := range 14 {
		day := monday + store.Day(d)
		w := day.Time().Weekday()
		if weekend(day) != (w == time.Saturday || w == time.Sunday) {
			t.Errorf("%v is a %v", day, w)
		}
	}
	if !weekend(store.DayOf(time.Date(1969, 12, 28, 0, 0, 0, 0, time.UTC))) {
		t.Error("28 December 1969 was a Sunday")
	}
}

// TestBusiness checks that offices are told from what runs all week, and that
// chance is not taken for an office.
func TestBusiness(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	make := func(f func(store.Day) float64) map[store.Day]count {
		m := map[store.Day]count{}
		for d := monday; d < monday+90; d++ {
			if n := uint64(max(0, f(d)+r.NormFloat64()*math.Sqrt(f(d)+.1))); n > 0 {
				m[d] = count{n, n}
			}
		}
		return m
	}
	office := businessDays(make(func(d store.Day) float64 {
		if weekend(d) {
			return 2
		}
		return 40
	}), monday, monday+89)
	if office < 6 {
		t.Errorf("an office: z = %.1f", office)
	}
	sparse := businessDays(make(func(d store.Day) float64 {
		if weekend(d) {
			return 0
		}
		return 2
	}), monday, monday+89)
	if sparse < 4 {
		t.Errorf("a small office: z = %.1f", sparse)
	}
	high := 0
	for range 2000 {
		if businessDays(make(func(store.Day) float64 { return 3 }), monday, monday+89) > 3.3 {
			high++
		}
	}
	if high > 5 {
		t.Errorf("%d of 2000 hosts without rhythm seem to have one", high)
	}
	if z := businessDays(on(0, 1, 2), monday, monday+2); z != 0 {
		t.Errorf("three days: z = %v, want 0: nothing can be said", z)
	}
	if z := businessDays(map[store.Day]count{}, monday, monday+89); z != 0 {
		t.Errorf("nothing: z = %v", z)
	}
}

func TestUpperBound(t *testing.T) {
	// One-sided Clopper–Pearson bounds, from the quantiles of the beta distribution.
	for _, c := range []struct {
		x, n uint64
		want float64
	}{
		{0, 10, 0.2588656}, {0, 3000, 0.000998}, {0, 2994, 0.0010000716}, {1, 10, 0.3941633}, {5, 10, 0.7775589}, {9, 10, 0.9948838},
		{10, 10, 1}, {0, 0, 1}, {11, 10, 1},
	} {
		if got := upperBound(c.x, c.n); math.Abs(got-c.want) > c.want*2e-4 {
			t.Errorf("upperBound(%d, %d) = %.7f, want %.7f", c.x, c.n, got, c.want)
		}
	}
	// The definition: at the bound, x or fewer are seen in one case of twenty.
	for _, c := range [][2]uint64{{0, 50}, {3, 40}, {7, 200}, {238, 7940}, {50, 1000000}} {
		p, sum := upperBound(c[0], c[1]), 0.0
		for k := uint64(0); k <= c[0]; k++ {
			a, _ := math.Lgamma(float64(c[1]) + 1)
			b, _ := math.Lgamma(float64(k) + 1)
			d, _ := math.Lgamma(float64(c[1]-k) + 1)
			sum += math.Exp(a - b - d + float64(k)*math.Log(p) + float64(c[1]-k)*math.Log1p(-p))
		}
		if math.Abs(sum-0.05) > 1e-6 {
			t.Errorf("upperBound(%d, %d): probability %.8f, want 0.05", c[0], c[1], sum)
		}
	}
	if b := upperBound(1<<40, 1<<50); !(b > 1.0/1024 && b < 1.001/1024) {
		t.Errorf("large counts: %v", b)
	}
}
