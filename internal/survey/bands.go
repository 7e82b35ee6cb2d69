package survey

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// MaxBounds is how many bounds an attribute may be cut at.
const MaxBounds = 99

// automaticBounds is how many bounds are chosen where none were given.
const automaticBounds = 5

// Band is a range of numbers: from Low up to, but without, High. The first
// band of a table has no Low (-Inf), the last no High (+Inf).
type Band struct{ Low, High float64 }

// Value names the band in data: "<10", "10..<100", ">=100".
func (b Band) Value() string {
	low, high := strconv.FormatFloat(b.Low, 'f', -1, 64), strconv.FormatFloat(b.High, 'f', -1, 64)
	switch {
	case math.IsInf(b.Low, -1):
		return "<" + high
	case math.IsInf(b.High, 1):
		return ">=" + low
	}
	return low + "..<" + high
}

// bandsOf returns the bands between bounds.
func bandsOf(bounds []float64) []Band {
	out := make([]Band, 0, len(bounds)+1)
	low := math.Inf(-1)
	for _, b := range bounds {
		out = append(out, Band{low, b})
		low = b
	}
	return append(out, Band{low, math.Inf(1)})
}

// ParseBands reads "COLUMN=10,100,1000": an attribute and where its numbers
// are cut. The column's name may hold "=" itself. The bounds come back
// ascending, each once.
func ParseBands(s string) (attribute string, bounds []float64, err error) {
	i := strings.LastIndexByte(s, '=')
	if i <= 0 {
		return "", nil, fmt.Errorf("%q: want COLUMN=BOUND,BOUND…, such as capital=10,100,1000", s)
	}
	attribute = strings.TrimSpace(s[:i])
	for f := range strings.SplitSeq(s[i+1:], ",") {
		n, err := strconv.ParseFloat(strings.TrimSpace(f), 64)
		if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			return "", nil, fmt.Errorf("%q: bound %q is not a number: want digits such as 1000000, without separators or units", s, f)
		}
		bounds = append(bounds, n+0) // no negative zero
		if len(bounds) > MaxBounds {
			return "", nil, fmt.Errorf("%q: more than %d bounds", attribute, MaxBounds)
		}
	}
	slices.Sort(bounds)
	return attribute, slices.Compact(bounds), nil
}

// NiceBounds chooses at most five bounds, 1, 2 or 5 times a power of ten, that
// cut numbers into bands of comparable size. Quantiles are the numbers' values
// at 0, 10 %, … 100 %. Numbers that span little more than one power of ten, or
// that go below zero, are cut at even distances instead. Nothing comes back where all are alike.
func NiceBounds(quantiles []float64) []float64 {
	if len(quantiles) < 3 || slices.ContainsFunc(quantiles, func(q float64) bool { return math.IsNaN(q) || math.IsInf(q, 0) }) {
		return nil
	}
	least, most := quantiles[0], quantiles[len(quantiles)-1]
	if !(least < most) {
		return nil
	}
	var out []float64
	inner := quantiles[1 : len(quantiles)-1]
	first, last := inner[0], inner[len(inner)-1]
	above := slices.IndexFunc(inner, func(q float64) bool { return q > 0 })
	if first >= 0 && above >= 0 && last/inner[above] >= 20 {
		for i := 1; i <= automaticBounds; i++ {
			out = append(out, niceNear(quantileAt(quantiles, float64(i)/(automaticBounds+1))))
		}
	} else {
		if first == last {
			first, last = least, most
		}
		step := niceStep((last - first) / automaticBounds)
		for i := math.Ceil(first / step); i*step <= last && len(out) < automaticBounds+3; i++ {
			out = append(out, undust(i*step))
		}
	}
	// A bound at or below the least number, or above the greatest, cuts nothing.
	out = slices.DeleteFunc(slices.Compact(out), func(b float64) bool { return b <= least || b > most })
	for len(out) > automaticBounds {
		out = thin(out)
	}
	return out
}

// quantileAt returns the value at a share of the numbers, between two quantiles.
func quantileAt(quantiles []float64, share float64) float64 {
	x := share * float64(len(quantiles)-1)
	i := min(int(x), len(quantiles)-2)
	return quantiles[i] + (quantiles[i+1]-quantiles[i])*(x-float64(i))
}

// niceNear is the 1, 2 or 5 times a power of ten that is nearest to a positive
// number by ratio.
func niceNear(x float64) float64 {
	if x <= 0 {
		return 0
	}
	e := math.Floor(math.Log10(x))
	best, off := x, math.Inf(1)
	for _, m := range [...]float64{1, 2, 5, 10} {
		n := undust(m * math.Pow(10, e))
		if d := math.Abs(math.Log(n / x)); d < off {
			best, off = n, d
		}
	}
	return best
}

// niceStep is the least 1, 2 or 5 times a power of ten that is not below x.
func niceStep(x float64) float64 {
	e := math.Floor(math.Log10(x))
	for _, m := range [...]float64{1, 2, 5, 10} {
		if n := undust(m * math.Pow(10, e)); n >= x*(1-1e-9) {
			return n
		}
	}
	return undust(math.Pow(10, e+1))
}

// undust takes the dust of binary fractions off a decimal number.
func undust(x float64) float64 {
	n, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 12, 64), 64)
	if err != nil {
		return x
	}
	return n + 0
}

// thin leaves every second bound.
func thin(in []float64) []float64 {
	var out []float64
	for i := 0; i < len(in); i += 2 {
		out = append(out, in[i])
	}
	return out
}

// From is where the band begins; ok is false where it has no beginning.
func (b Band) From() (low float64, ok bool) { return b.Low, !math.IsInf(b.Low, -1) }

// To is where the band ends, itself not in it; ok is false where it has no end.
func (b Band) To() (high float64, ok bool) { return b.High, !math.IsInf(b.High, 1) }
