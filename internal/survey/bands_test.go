package survey

import (
	"math"
	"slices"
	"testing"
)

func TestParseBands(t *testing.T) {
	for _, c := range []struct {
		in, attribute string
		bounds        []float64
	}{
		{"capital=10,100,1000", "capital", []float64{10, 100, 1000}},
		{"資本金 = 1000, 10,100 ,10", "資本金", []float64{10, 100, 1000}},
		{"a=b=-5,0,2.5", "a=b", []float64{-5, 0, 2.5}},
		{"x=1e6", "x", []float64{1e6}},
	} {
		a, b, err := ParseBands(c.in)
		if err != nil || a != c.attribute || !slices.Equal(b, c.bounds) {
			t.Errorf("ParseBands(%q) = %q, %v, %v", c.in, a, b, err)
		}
	}
	for _, in := range []string{"", "=1", "x", "x=", "x=1,,2", "x=Inf", "x=nan", "x=1円"} {
		if _, b, err := ParseBands(in); err == nil {
			t.Errorf("ParseBands(%q) = %v, want an error", in, b)
		}
	}
}

func TestNiceBounds(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []float64
		want []float64
	}{
		{"inhabitants of municipalities", []float64{160, 3200, 5800, 9500, 15000, 23500, 34000, 51000, 78000, 155000, 3777000}, []float64{5000, 10000, 20000, 50000, 100000}},
		{"capital in yen", []float64{1e6, 3e6, 1e7, 1e7, 2e7, 5e7, 1e8, 1e8, 5e8, 5e9, 1e12}, []float64{1e7, 5e7, 1e8, 2e9}},
		{"some without capital", []float64{0, 0, 0, 1e7, 2e7, 5e7, 1e8, 1e8, 5e8, 5e9, 1e12}, []float64{1e7, 5e7, 1e8, 2e9}},
		{"years", []float64{1889, 1950, 1954, 1955, 1956, 1960, 1970, 1985, 2000, 2005, 2010}, []float64{1960, 1980, 2000}},
		{"all alike", []float64{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, nil},
		{"no numbers", nil, nil},
		{"not numbers", []float64{1, math.NaN(), 3}, nil},
		{"below zero", []float64{-10, -8, -6, -4, -2, 0, 2, 4, 6, 8, 10}, []float64{-5, 0, 5}},
		{"shares", []float64{0, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1}, []float64{.2, .4, .6, .8}},
		{"mostly nothing", []float64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1000}, []float64{200, 400, 600, 800, 1000}},
	} {
		if got := NiceBounds(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestNiceBoundsHold checks that there are never more than five, ascending,
// and that each cuts something.
func TestNiceBoundsHold(t *testing.T) {
	seed := uint64(1)
	random := func() float64 {
		seed = seed*6364136223846793005 + 1442695040888963407
		return float64(seed>>11) / (1 << 53)
	}
	for range 20000 {
		q := make([]float64, 11)
		scale := math.Pow(10, random()*18-6)
		for i := range q {
			q[i] = math.Pow(random(), 1+random()*8) * scale
			if random() < .1 {
				q[i] = -q[i]
			}
		}
		slices.Sort(q)
		b := NiceBounds(q)
		if len(b) > 5 || !slices.IsSorted(b) || len(b) > 0 && (b[0] <= q[0] || b[len(b)-1] > q[10]) || len(slices.Compact(slices.Clone(b))) != len(b) {
			t.Fatalf("%v is cut at %v", q, b)
		}
	}
}

func TestBandValues(t *testing.T) {
	want := []string{"<-0.5", "-0.5..<1000000", ">=1000000"}
	for i, b := range bandsOf([]float64{-0.5, 1e6}) {
		if b.Value() != want[i] {
			t.Errorf("%v is called %s, want %s", b, b.Value(), want[i])
		}
	}
}

func FuzzParseBands(f *testing.F) {
	f.Add("capital=10,100,1000")
	f.Add("a=b=-5,0,2.5")
	f.Fuzz(func(t *testing.T, s string) {
		a, b, err := ParseBands(s)
		if err != nil {
			return
		}
		if a == "" && len(s) > 0 && s[0] != ' ' {
			t.Skip()
		}
		if len(b) == 0 || len(b) > MaxBounds || !slices.IsSorted(b) {
			t.Errorf("ParseBands(%q) = %v", s, b)
		}
	})
}
