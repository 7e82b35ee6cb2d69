package worlds

import "time"

// amount is how many messages are sent on a day, on average.
type amount func(day int) float64

func (b *builder) date(day int) time.Time { return b.begin.AddDate(0, 0, day) }

func (b *builder) weekend(day int) bool {
	w := b.date(day).Weekday()
	return w == time.Saturday || w == time.Sunday
}

// office sends on business days, hardly at weekends and on holidays.
func (b *builder) office(volume float64) amount {
	idle := 0.01 + 0.05*b.r.Float64()
	return func(d int) float64 {
		if b.weekend(d) || b.holidays[d] {
			return volume * idle
		}
		return volume * (0.6 + 0.8*b.r.Float64())
	}
}

// closed sends on business days only.
func (b *builder) closed(volume float64) amount {
	return func(d int) float64 {
		if b.weekend(d) || b.holidays[d] {
			return 0
		}
		return volume * (0.5 + b.r.Float64())
	}
}

// daily sends every day alike, more at weekends in some.
func (b *builder) daily(volume float64) amount {
	weekend := 0.7 + 0.9*b.r.Float64()
	return func(d int) float64 {
		n := volume * (0.7 + 0.6*b.r.Float64())
		if b.weekend(d) {
			n *= weekend
		}
		return n
	}
}

// weekly sends on one or two days of the week; now and then it is late by a day
// or left out.
func (b *builder) weekly(volume float64) amount {
	wd, late := b.r.IntN(5)+1, b.noise*0.2
	on := map[int]bool{}
	for d := 0; d < b.days; d++ {
		if int(b.date(d).Weekday()) != wd || b.chance(late/2) {
			continue
		}
		if b.chance(late) {
			on[d+1] = true
		} else {
			on[d] = true
		}
	}
	return once(on, volume)
}

// monthly sends on one day of each month, on the business day after it where
// that is none; every is 1 for monthly, 2 for every other month, 3 for
// quarterly, 12 for yearly.
func (b *builder) monthly(volume float64, every int) amount {
	dom, phase := 1+b.r.IntN(28), b.r.IntN(every)
	two := b.chance(0.3) // the second half goes out a day later
	on := map[int]bool{}
	for d := 0; d < b.days; d++ {
		at := b.date(d)
		if at.Day() != dom || (int(at.Month())+at.Year()*12)%every != phase%every {
			continue
		}
		x := d
		for b.weekend(x) || b.holidays[x] {
			x++
		}
		on[x] = true
		if two {
			on[x+1] = true
		}
	}
	return once(on, volume)
}

func once(on map[int]bool, volume float64) amount {
	return func(d int) float64 {
		if on[d] {
			return volume
		}
		return 0
	}
}

// from leaves out what lies before a day, until what lies after.
func (a amount) from(first int) amount {
	return func(d int) float64 {
		if d < first {
			return 0
		}
		return a(d)
	}
}

func (a amount) until(end int) amount {
	return func(d int) float64 {
		if d >= end {
			return 0
		}
		return a(d)
	}
}

// pausing is silent for weeks at a time.
func (b *builder) pausing(a amount) amount {
	on, quiet, shift := 10+b.r.IntN(25), 15+b.r.IntN(30), b.r.IntN(40)
	return func(d int) float64 {
		if (d+shift)%(on+quiet) >= on {
			return 0
		}
		return a(d)
	}
}

// burst is a campaign of a few days, most often in the last 30.
func (b *builder) burst(volume float64) amount {
	first, length := b.lately(), 1+b.r.IntN(3)
	return func(d int) float64 {
		if d < first || d >= first+length {
			return 0
		}
		return volume * (0.5 + b.r.Float64())
	}
}

// lately is a day, in two of three cases among the last 30.
func (b *builder) lately() int {
	if b.chance(0.35) {
		return b.r.IntN(b.days - 3)
	}
	return b.days - 29 + b.r.IntN(26)
}

// waves is a low level with peaks.
func (b *builder) waves(volume float64) amount {
	each := 0.03 + 0.08*b.r.Float64()
	return func(int) float64 {
		if b.chance(each) {
			return volume * (2 + 3*b.r.Float64())
		}
		return volume * 0.2 * b.r.Float64()
	}
}

// plus adds two amounts.
func plus(x, y amount) amount { return func(d int) float64 { return x(d) + y(d) } }
