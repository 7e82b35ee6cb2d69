package survey

import (
	"math"
	"testing"
)

// TestWilson compares with values computed independently, to fifty digits, from
// the roots of (p̂−p)² = z²·p(1−p)/n.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		yes, n    int64
		low, high float64
	}{
		{923, 1026, 0.87970492250719567, 0.91653414223099172},
		{146, 1026, 0.12225579224974997, 0.16501314248460425},
		{144, 1026, 0.12043562923627639, 0.16294921249935496},
		{0, 10, 3.6123360006855538e-51, 0.2775327998628892},
		{10, 10, 0.72246720013711074, 1},
		{1, 1, 0.20654931437723742, 1},
		{0, 1, 1.0327465718861871e-50, 0.79345068562276255},
		{5, 10, 0.236593090512564, 0.76340690948743595},
		{1, 1000000, 1.765245767453715e-07, 5.664911804311442e-06},
		{999999, 1000000, 0.99999433508819568, 0.99999982347542327},
		{0, 1741, 2.8655898647544788e-53, 0.0022016090924905553},
		{1741, 1741, 0.99779839090750944, 1},
		{0, 0, 0, 1},
		{-3, 10, 0, 0.27753279986288926},
		{12, 10, 0.7224672001371107, 1},
	} {
		low, high := Wilson(c.yes, c.n)
		if math.Abs(low-c.low) > 1e-12 || math.Abs(high-c.high) > 1e-12 {
			t.Errorf("Wilson(%d, %d) = %v, %v, want %v, %v", c.yes, c.n, low, high, c.low, c.high)
		}
	}
}

// TestWilsonHolds checks what must hold for any numbers: the interval contains
// the share, lies within 0 and 1, mirrors, and narrows as n grows.
func TestWilsonHolds(t *testing.T) {
	for n := int64(1); n <= 200; n++ {
		for yes := int64(0); yes <= n; yes++ {
			low, high := Wilson(yes, n)
			p := float64(yes) / float64(n)
			if !(0 <= low && low <= p && p <= high && high <= 1) {
				t.Fatalf("Wilson(%d, %d) = %v, %v does not hold %v", yes, n, low, high, p)
			}
			if l, h := Wilson(n-yes, n); math.Abs(1-l-high) > 1e-12 || math.Abs(1-h-low) > 1e-12 {
				t.Fatalf("Wilson(%d, %d) does not mirror", yes, n)
			}
			if l, h := Wilson(yes*10, n*10); h-l >= high-low {
				t.Fatalf("Wilson(%d, %d) is not narrower for ten times as many", yes, n)
			}
		}
	}
}
