package advise

import (
	"math"
	"slices"

	"sekimori/dmarc"
	"sekimori/explain"
)

// Of the trigger that makes us go a step back.
const (
	watchDays = 3     // the newest days that are looked at
	leastTrip = 0.005 // a smaller share of legitimate mail never trips it
	leastLost = 10    // nor do fewer messages on a day
	// spread is how many times the usual spread of days the share has to be
	// above the usual day. Failing messages come in clusters (one mailing list,
	// one receiver's resolver), so days spread wider than chance alone.
	spread = 6
)

// stepBack works out what failure rate is out of the ordinary for this domain,
// and whether the newest days show it. The ordinary is the middle (median) of
// the days before them and the spread about it (median absolute deviation):
// both are let be by a few bad days. Before a policy is enforced, sources that
// are to be fixed first are no part of the ordinary. Failing messages of aligned and broken
// sources count; forwarded and spoofed mail says nothing about ours.
func (n *analysis) stepBack(a *Advice) StepBack {
	s := StepBack{Days: watchDays, Share: leastTrip, Messages: leastLost}
	enforced := policy(n.policy.seen.P) != dmarc.None
	back := dmarc.None
	if policy(n.policy.seen.P) == dmarc.Reject {
		back = dmarc.Quarantine
	}
	if r, err := dmarc.Parse(a.NextRecord); err == nil {
		r = r.With("p", string(back)).Without("t")
		if r.SP != "" && r.SP.Level() > back.Level() {
			r = r.With("sp", string(back))
		}
		s.Record = r.String()
	}
	watched := n.window.End - watchDays
	var shares, sizes []float64
	for d, c := range n.counts.days {
		if d < watched && c.ours > 0 {
			failing := c.failing
			if !enforced {
				failing -= c.broken // what is to be fixed before the step
			}
			shares = append(shares, ratio(failing, c.ours))
			sizes = append(sizes, float64(c.ours))
		}
	}
	if len(shares) > 0 {
		usual, size := middle(shares), middle(sizes)
		off := make([]float64, len(shares))
		for i, x := range shares {
			off[i] = math.Abs(x - usual)
		}
		// 1.4826 makes the median deviation one standard deviation of days that
		// lie normally; below chance alone it cannot be.
		sigma := max(1.4826*middle(off), math.Sqrt(max(usual, 1/max(size, 1))/max(size, 1)))
		s.Share = min(1, max(leastTrip, 2*usual, usual+spread*sigma))
		s.Messages = max(leastLost, uint64(math.Ceil(s.Share*size/4)))
	}
	if !enforced {
		return s
	}
	for d := max(watched, n.window.Begin); d < n.window.End; d++ {
		c := n.counts.days[d]
		if c == nil || c.failing < s.Messages || ratio(c.failing, c.ours) < s.Share {
			continue
		}
		if !s.Tripped || c.failing > s.Failing {
			s.Tripped, s.Day, s.Failing = true, d, c.failing
		}
	}
	if s.Tripped {
		n.say("ladder.step-back", explain.Args{"day": s.Day.String(), "failing": int64(s.Failing), "share": s.Share, "policy": string(back)})
	}
	return s
}

// middle is the median of some numbers, 0 of none.
func middle(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	if k := len(v) / 2; len(v)%2 == 0 {
		return (v[k-1] + v[k]) / 2
	}
	return v[len(v)/2]
}
