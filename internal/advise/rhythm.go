package advise

import (
	"math"
	"slices"

	"sekimori/internal/store"
)

// pattern is how a source's messages lie in time.
type pattern struct {
	known     bool // days were read; otherwise only span and first are set
	active    int  // days with messages
	span      int  // days from first to last, both counted
	occasions int  // runs of activity with at least gap quiet days between
	// period is the days between the beginnings of occasions, where these are
	// regular: 7 for weekly, about 30 for monthly; 0 for none.
	period int
	// business is how surely business days are busier than weekends: the z
	// value of a rank sum test. From 3.3 on it is hardly chance.
	business float64
	// burst is set when nine of ten messages came within five days. Reports
	// of several days smear what was one day, so a few stray ones are let be.
	burst bool
	// isNew is set when the first message, or the burst, came well after the
	// first report.
	isNew bool
	from  store.Day // of the first message, or of the burst
	// waves is set where a tenth of the days between first and last has half
	// of the messages or more, and there are many such days: what comes and
	// goes like that is no daily business.
	waves bool
	equal bool // there were two occasions, of one size
	// weekday is how likely occasions on any days are to keep to one day of the
	// week as these do; 1 where there are fewer than six.
	weekday float64
	// broke is the day from which on nearly everything failed that had passed
	// before, fixed the reverse; 0 for none. A forwarder breaks a share.
	broke, fixed store.Day
}

// gap is how many quiet days part two occasions.
const gap = 4

// patternOf reads a pattern from activity by day. begin is the first day of
// which there are reports of the domain, end the exclusive last.
func patternOf(days map[store.Day]count, begin, end store.Day) pattern {
	p := pattern{known: true, active: len(days), weekday: 1}
	if len(days) == 0 {
		return p
	}
	list := make([]store.Day, 0, len(days))
	for d := range days {
		list = append(list, d)
	}
	slices.Sort(list)
	first, last := list[0], list[len(list)-1]
	p.span = int(last-first) + 1
	p.from = first
	if from, share := peak(days, list); p.span <= burstDays || share >= 0.9 {
		p.burst, p.from = true, from
	}
	p.isNew = p.from-begin >= 14
	busy := busyDays(days, list)
	starts := busy[:1:1]
	for i := 1; i < len(busy); i++ {
		if int(busy[i]-busy[i-1]) > gap {
			starts = append(starts, busy[i])
		}
	}
	p.occasions = len(starts)
	if p.period = period(starts); len(busy)*2 > p.span || len(starts) == 2 && len(busy)*3 > p.span {
		p.period = 0 // a pause is no period
	}
	p.weekday = oneWeekday(starts)
	if len(starts) == 2 {
		var sums [2]uint64
		for d, c := range days {
			if d < starts[1] {
				sums[0] += c.messages
			} else {
				sums[1] += c.messages
			}
		}
		lo, hi := min(sums[0], sums[1]), max(sums[0], sums[1])
		p.equal = hi >= 20 && lo*100 >= hi*85
	}
	p.business = businessDays(days, first, last)
	p.waves = waves(days, p.span)
	p.broke, p.fixed = turns(days, list)
	return p
}

// busyDays leaves out the days with less than a tenth of the busiest one's
// messages: reports of several days smear a run, and a stray message is none.
func busyDays(days map[store.Day]count, list []store.Day) []store.Day {
	var most uint64
	for _, c := range days {
		most = max(most, c.messages)
	}
	out := make([]store.Day, 0, len(list))
	for _, d := range list {
		if days[d].messages*10 >= most {
			out = append(out, d)
		}
	}
	return out
}

// waves reports whether half of the messages or more came on a tenth of the
// days, where there are thirty days and a hundred messages to tell by.
func waves(days map[store.Day]count, span int) bool {
	if span < 30 || len(days)*3 < span {
		return false
	}
	var all, most uint64
	list := make([]uint64, 0, len(days))
	for _, c := range days {
		list = append(list, c.messages)
		all += c.messages
	}
	slices.Sort(list)
	for _, n := range list[len(list)-min(len(list), span/10):] {
		most += n
	}
	return all >= 100 && most*2 >= all
}

// turns finds the day on which a source last broke, or was fixed: on nearly all
// days everything passed or everything failed, and there are three days and 20
// messages of each. What breaks on the way breaks here and there on any day.
func turns(days map[store.Day]count, list []store.Day) (broke, fixed store.Day) {
	var good, bad, mixed count // messages, and days in failing
	failing, since := false, store.Day(0)
	for _, d := range list {
		c := days[d]
		if c.messages < 3 {
			continue
		}
		switch share := ratio(c.failing, c.messages); {
		case share <= 0.05:
			good.add(c.messages, false)
			good.failing++
			if failing || since == 0 {
				failing, since = false, d
			}
		case share >= 0.95:
			bad.add(c.messages, false)
			bad.failing++
			if !failing || since == 0 {
				failing, since = true, d
			}
		default:
			mixed.add(c.messages, false)
		}
	}
	all := good.messages + bad.messages + mixed.messages
	switch {
	case good.messages < 20 || bad.messages < 20 || good.failing < 3 || bad.failing < 3 || mixed.messages*7 > all:
		return 0, 0
	case failing:
		return since, 0
	}
	return 0, since
}

// burstDays is how long a burst may last.
const burstDays = 5

// peak returns the first of the five days in a row with the most messages, and
// their share of all. list is the days in order.
func peak(days map[store.Day]count, list []store.Day) (from store.Day, share float64) {
	var sum, most, all uint64
	for i, j := 0, 0; j < len(list); j++ {
		sum += days[list[j]].messages
		all += days[list[j]].messages
		for list[j]-list[i] >= burstDays {
			sum -= days[list[i]].messages
			i++
		}
		if sum > most {
			most, from = sum, list[i]
		}
	}
	return from, ratio(most, all)
}

// period finds a regular distance between the beginnings of occasions. Small
// shifts are human: a run on the 25th, or on the first business day.
func period(starts []store.Day) int {
	if len(starts) < 3 {
		if len(starts) == 2 {
			if d := int(starts[1] - starts[0]); d >= 26 && d <= 36 || d >= 84 && d <= 98 || d >= 175 && d <= 190 || d >= 355 && d <= 375 {
				return d
			}
		}
		return 0
	}
	gaps := make([]int, len(starts)-1)
	for i := range gaps {
		gaps[i] = int(starts[i+1] - starts[i])
	}
	if d := regular(gaps); d > 0 {
		return d
	}
	// Two runs a month: each second beginning is a month after the last.
	if len(gaps) >= 4 {
		pairs := make([]int, len(gaps)-1)
		for i := range pairs {
			pairs[i] = gaps[i] + gaps[i+1]
		}
		if d := regular(pairs); d >= 27 && d <= 34 {
			return d
		}
	}
	return 0
}

// regular finds the distance that most gaps have. Hosts that send a message now
// and then have gaps too: so most of them have to be the distance itself, and
// the slack is a tenth, which takes in the lengths of months.
func regular(gaps []int) int {
	sorted := slices.Clone(gaps)
	slices.Sort(sorted)
	median := sorted[len(sorted)/2]
	if median < 5 {
		return 0
	}
	slack := max(1, median/9)
	once, near := 0, 0
	for _, g := range gaps {
		// An occasion may be left out: twice the period is regular too.
		k := max(1, (g+median/2)/median)
		if k <= 3 && abs(g-k*median) <= slack*min(k, 2) {
			near++
			if k == 1 {
				once++
			}
		}
	}
	if near*5 < len(gaps)*4 || once*5 < len(gaps)*3 {
		return 0
	}
	return median
}

// oneWeekday returns how likely so many of so many occasions would fall on one
// day of the week if each fell on any: seven times the tail of the binomial
// distribution.
func oneWeekday(starts []store.Day) float64 {
	n := len(starts)
	if n < 6 {
		return 1
	}
	var on [7]int
	for _, d := range starts {
		on[(int(d)%7+7)%7]++
	}
	most, tail := slices.Max(on[:]), 0.0
	ln, _ := math.Lgamma(float64(n + 1))
	for k := most; k <= n; k++ {
		a, _ := math.Lgamma(float64(k + 1))
		b, _ := math.Lgamma(float64(n - k + 1))
		tail += math.Exp(ln - a - b + float64(k)*math.Log(1.0/7) + float64(n-k)*math.Log(6.0/7))
	}
	return min(1, 7*tail)
}

// steady reports whether a source sent on a third of the days of a month and
// more, and not in waves.
func (p pattern) steady() bool { return p.span >= 30 && p.active*3 >= p.span && !p.waves }

// constant reports whether a source sent on nearly every day of a month and more.
func (p pattern) constant() bool { return p.span >= 30 && p.active*10 >= p.span*8 }

// natural reports whether a period is one that people keep: weeks, months,
// quarters, halves of a year and years.
func (p pattern) natural() bool {
	for _, r := range [...][2]int{{6, 8}, {13, 15}, {26, 33}, {57, 64}, {84, 98}, {175, 190}, {355, 375}} {
		if p.period >= r[0] && p.period <= r[1] {
			return true
		}
	}
	return false
}

// businessDays compares the messages of Monday to Friday with those of
// Saturday and Sunday between first and last, quiet days included, by a rank
// sum test (Mann and Whitney, normal approximation, corrected for ties). UTC
// days are close enough to the days of a sender: a shift of nine hours moves
// an office's whole day by less than one.
func businessDays(days map[store.Day]count, first, last store.Day) float64 {
	type day struct {
		n       uint64
		weekend bool
	}
	list := make([]day, 0, int(last-first)+1)
	n1, n2 := 0.0, 0.0
	for d := first; d <= last; d++ {
		w := weekend(d)
		list = append(list, day{days[d].messages, w})
		if w {
			n2++
		} else {
			n1++
		}
	}
	if n1 < 5 || n2 < 2 {
		return 0
	}
	work, free := 0.0, 0.0 // messages
	for _, d := range list {
		if d.weekend {
			free += float64(d.n)
		} else {
			work += float64(d.n)
		}
	}
	slices.SortFunc(list, func(a, b day) int {
		switch {
		case a.n < b.n:
			return -1
		case a.n > b.n:
			return 1
		}
		return 0
	})
	total := n1 + n2
	ranks, ties := 0.0, 0.0 // sum of the business days' ranks
	for i := 0; i < len(list); {
		j := i
		for j < len(list) && list[j].n == list[i].n {
			j++
		}
		rank, t := float64(i+j+1)/2, float64(j-i)
		ties += t*t*t - t
		for _, d := range list[i:j] {
			if !d.weekend {
				ranks += rank
			}
		}
		i = j
	}
	u := ranks - n1*(n1+1)/2
	variance := n1 * n2 / 12 * (total + 1 - ties/(total*(total-1)))
	if variance <= 0 {
		return 0
	}
	z := (u - n1*n2/2) / math.Sqrt(variance)
	if free/n2 > 0.6*work/n1 {
		z = min(z, 2) // surely a little quieter, but no office
	}
	return z
}

// weekend reports whether a day is a Saturday or Sunday. 1970-01-01 was a Thursday.
func weekend(d store.Day) bool {
	w := (int(d)%7 + 7 + 4) % 7 // 0 is Sunday
	return w == 0 || w == 6
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
