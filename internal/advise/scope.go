package advise

import (
	"cmp"
	"slices"
	"strings"

	"sekimori/dmarc"
	"sekimori/explain"
)

// maxScopes bounds the sub-domains that are told of one by one.
const maxScopes = 100

// authored is the window's messages with one author domain from one address.
type authored struct {
	name string
	count
}

// scope is the window's messages of a part of the domain.
type scope struct {
	name       string
	messages   uint64
	legitimate uint64
	atRisk     uint64
	indirect   uint64
	stopped    uint64
	plausible  uint64
}

func (s *scope) add(g *group, c count) {
	s.messages += c.messages
	switch g.class {
	case Aligned:
		s.legitimate += c.messages
	case Broken:
		s.legitimate += c.messages
		if g.window.failing > 0 { // what was fixed since is at risk no more
			s.atRisk += uint64(float64(c.failing) * ratio(g.atRisk, g.window.failing))
		}
	case Forwarder:
		s.legitimate += c.messages
		s.indirect += c.failing
	case Spoof:
		s.stopped += c.failing
	default:
		if g.plausible() {
			s.plausible += c.failing
		}
	}
}

func (s *scope) sum(o *scope) {
	s.messages += o.messages
	s.legitimate += o.legitimate
	s.atRisk += o.atRisk
	s.indirect += o.indirect
	s.stopped += o.stopped
	s.plausible += o.plausible
}

// scopes prices the next step for the parts of the domain: sp (sub-domains that
// exist, or of which it is not known), np (those that do not) and each
// sub-domain with mail, those with the most mail of ours first. A sub-domain
// whose verdict differs from the domain's can go its own way, with a record of
// its own (RFC 9989 §4.10.1: the author domain's own record comes first).
func (n *analysis) scopes(a *Advice) []ScopeCost {
	by := map[string]*scope{}
	for _, g := range n.groups {
		if !n.of(g) {
			continue
		}
		for _, h := range g.hosts {
			for _, x := range h.authors {
				s := by[x.name]
				if s == nil {
					if len(by) >= maxSurvey {
						continue // anybody can invent names
					}
					s = &scope{name: x.name}
					by[x.name] = s
				}
				s.add(g, x.count)
			}
		}
	}
	sp, np := &scope{name: "sp"}, &scope{name: "np"}
	var list []*scope
	unasked := 0
	for _, s := range by {
		e, asked := n.scene.exists[s.name]
		if asked && !e {
			np.sum(s)
		} else {
			sp.sum(s)
		}
		if !asked {
			unasked++
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *scope) int {
		return cmp.Or(cmp.Compare(b.legitimate+b.plausible, a.legitimate+a.plausible), cmp.Compare(b.messages, a.messages), strings.Compare(a.name, b.name))
	})
	out := []ScopeCost{n.scope(a, sp), n.scope(a, np)}
	for _, s := range list[:min(len(list), maxScopes)] {
		out = append(out, n.scope(a, s))
	}
	if len(list) > maxScopes {
		n.say("ladder.more-scopes", explain.Args{"more": int64(len(list) - maxScopes)})
	}
	if unasked > 0 {
		n.say("ladder.not-asked", explain.Args{"names": int64(unasked)})
	}
	return out
}

// scope prices one part. The verdict is by the same mark as the domain's.
func (n *analysis) scope(a *Advice, s *scope) ScopeCost {
	c := ScopeCost{Scope: s.name, Legitimate: s.legitimate, AtRisk: s.atRisk, Indirect: s.indirect, Stopped: s.stopped, Exists: s.name != "np"}
	if e, asked := n.scene.exists[s.name]; asked {
		c.Exists = e
	}
	if s.legitimate > 0 {
		c.Upper95 = upperBound(s.atRisk, s.legitimate)
	}
	enough := n.days >= min(minDays, max(1, n.window.Days()))
	switch {
	case s.atRisk > 0 && c.Upper95 > maxRisk, s.plausible > 0 && ratio(s.plausible, max(1, s.legitimate)) > maxRisk:
		c.Verdict = NotReady
	case a.Messages == 0 || !enough || s.legitimate > 0 && c.Upper95 > maxRisk:
		c.Verdict = InsufficientData
	default:
		c.Verdict = Ready // also where there is no mail of ours to lose
	}
	c.Record = n.scopeRecord(a, s, c)
	return c
}

// scopeRecord writes what to publish for a part; "" where nothing of its own is
// called for.
func (n *analysis) scopeRecord(a *Advice, s *scope, c ScopeCost) string {
	next, err := dmarc.Parse(a.NextRecord)
	if err != nil {
		return ""
	}
	up := dmarc.Quarantine
	if c.Legitimate == 0 && s.plausible == 0 || next.P != dmarc.None && a.Verdict != Ready || next.P == dmarc.Reject {
		up = dmarc.Reject
	}
	_, sp, np := next.Effective()
	switch {
	case c.Verdict != Ready && a.Verdict == Ready && c.AtRisk > 0 && s.name != "np":
		// Held back, so that the rest may go on.
		if s.name == "sp" {
			return "sp=" + string(policy(n.policy.seen.P))
		}
		return n.ownRecord(next, policy(n.policy.seen.P))
	case c.Verdict != Ready:
		return ""
	case s.name == "np":
		if np.Level() >= dmarc.Reject.Level() {
			return ""
		}
		return "np=reject"
	case s.name == "sp":
		if sp.Level() >= up.Level() {
			return ""
		}
		return "sp=" + string(up)
	case !c.Exists && np.Level() >= up.Level() || c.Exists && sp.Level() >= up.Level():
		return ""
	case !c.Exists:
		return "np=reject"
	}
	return n.ownRecord(next, up)
}

// ownRecord is a record for a sub-domain, with the domain's ways of reporting.
func (n *analysis) ownRecord(next *dmarc.Record, p dmarc.Policy) string {
	r := dmarc.New(p)
	for _, tag := range []string{"adkim", "aspf", "fo", "rua", "ruf"} {
		if v, ok := next.Get(tag); ok {
			r = r.With(tag, v)
		}
	}
	return r.String()
}
