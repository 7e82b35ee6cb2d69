package advise

import "sekimori/explain"

// coverage says how much of our mail the reporters see. Where it is not known
// how much was sent, the number of reporters and the share of the busiest is
// all that can be said: who does not report is not seen at all.
func (n *analysis) coverage(t *totals) Coverage {
	c := Coverage{Sent: n.sent}
	var sum, most uint64
	name := ""
	for who, r := range n.counts.receivers {
		if r.legitimate == 0 {
			continue
		}
		c.Reporters++
		sum += r.legitimate
		if r.legitimate > most || r.legitimate == most && who < name {
			most, name = r.legitimate, who
		}
	}
	c.Largest = ratio(most, sum)
	if c.Sent > 0 {
		c.Seen = min(t.direct, c.Sent) // a list multiplies what was sent once
		c.Share = ratio(c.Seen, c.Sent)
		n.say("ladder.coverage", explain.Args{"sent": int64(c.Sent), "seen": int64(c.Seen), "share": c.Share})
	} else if c.Reporters > 0 {
		n.say("ladder.coverage-unknown", explain.Args{"reporters": int64(c.Reporters)})
	}
	if c.Reporters > 0 && c.Largest >= 0.5 {
		n.say("ladder.one-eye", explain.Args{"reporter": name, "share": c.Largest})
	}
	return c
}
