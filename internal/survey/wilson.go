package survey

import "math"

// z95 is the quantile of the normal distribution that leaves 2.5 % above it.
const z95 = 1.959963984540054

// Wilson returns the 95 % score interval for a share of yes among n answers,
// as fractions (E. B. Wilson, 1927). Unlike the textbook's interval it stays
// within 0 and 1, and says something for 0 of n and for n of n. For n = 0
// nothing is known: 0 and 1. Numbers out of range are taken to its ends.
func Wilson(yes, n int64) (low, high float64) {
	if n <= 0 {
		return 0, 1
	}
	yes = min(max(yes, 0), n)
	p, m := float64(yes)/float64(n), float64(n)
	zz := z95 * z95
	middle := (p + zz/(2*m)) / (1 + zz/m)
	half := z95 / (1 + zz/m) * math.Sqrt(p*(1-p)/m+zz/(4*m*m))
	low, high = max(0, middle-half), min(1, middle+half)
	// The ends are exact; the arithmetic above may miss them by a hair.
	if yes == 0 {
		low = 0
	}
	if yes == n {
		high = 1
	}
	return low, high
}
