package advise

import "math"

// upperBound returns the exact (Clopper–Pearson) one-sided 95 % upper bound of
// a share of which x of n were seen: the share at which x or fewer would be
// seen in one case of twenty. We take it rather than Wilson's interval because
// it never promises too much for the small counts that decide here: with none
// of n seen it is 1-0.05^(1/n), about 3/n, so that 3,000 legitimate messages
// are the least that can show a share below 0.1 %. Messages are not thrown
// like dice, though: it is a bound for chance alone, not for a sender that
// has not shown up yet.
func upperBound(x, n uint64) float64 {
	switch {
	case n == 0 || x >= n:
		return 1
	case x == 0:
		return -math.Expm1(math.Log(0.05) / float64(n))
	}
	// The bound is the 0.95 quantile of Beta(x+1, n-x).
	a, b := float64(x)+1, float64(n-x)
	lo, hi := float64(x)/float64(n), 1.0
	for range 200 {
		mid := (lo + hi) / 2
		if mid == lo || mid == hi {
			break
		}
		if betaInc(a, b, mid) < 0.95 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// betaInc is the regularized incomplete beta function I_x(a, b), by its
// continued fraction (Lentz's method).
func betaInc(a, b, x float64) float64 {
	if x <= 0 {
		return 0
	}
	if x >= 1 {
		return 1
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab - la - lb + a*math.Log(x) + b*math.Log1p(-x))
	if x < (a+1)/(a+b+2) {
		return front * betaFraction(a, b, x) / a
	}
	return 1 - front*betaFraction(b, a, 1-x)/b
}

func betaFraction(a, b, x float64) float64 {
	const tiny = 1e-300
	guard := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c, d := 1.0, 1/guard(1-(a+b)*x/(a+1))
	h := d
	for m := 1.0; m < 20000; m++ {
		num := m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		d = 1 / guard(1+num*d)
		c = guard(1 + num/c)
		h *= d * c
		num = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		d = 1 / guard(1+num*d)
		c = guard(1 + num/c)
		step := d * c
		h *= step
		if math.Abs(step-1) < 1e-13 {
			break
		}
	}
	return h
}
