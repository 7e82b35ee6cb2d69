package advise

import "sekimori/explain"

// coverage says how much of our mail the reporters see: of the copies that our
// own mail server signed and sent. A list multiplies what was sent once, and
// another server may use the same key: more than all is all. Where it is not known
// how much was sent, the number of reporters and the share of the busiest is
// all that can be said: who does not report is not seen at all.
func (n *analysis) coverage() Coverage {
	c := Coverage{Sent: n.sent.Copies, Since: n.sent.Since}
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
		c.Seen = min(n.sent.Reported, c.Sent)
		c.Share = ratio(c.Seen, c.Sent)
		n.say("ladder.coverage", explain.Args{"sent": int64(c.Sent), "seen": int64(c.Seen), "share": c.Share, "since": c.Since.String()})
	} else if c.Reporters > 0 {
		n.say("ladder.coverage-unknown", explain.Args{"reporters": int64(c.Reporters)})
	}
	if c.Reporters > 0 && c.Largest >= 0.5 {
		n.say("ladder.one-eye", explain.Args{"reporter": name, "share": c.Largest})
	}
	return c
}
