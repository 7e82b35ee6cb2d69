package advise

import "sekimori/explain"

// source writes a group as its public form.
func (g *group) source() Source {
	s := Source{
		ID: g.id(), Name: g.name, Class: g.class, Messages: g.window.messages, Failing: g.window.failing,
		Addresses: []string{}, AddressCount: 0, HeaderFrom: g.headerFrom.sorted(maxNames), Reasons: g.steps,
		DKIM: g.dkim.sorted(maxNames), SPF: g.spf.sorted(maxNames), PTR: g.ptrs(10),
		Reporters: g.reporters, FirstDay: g.first, LastDay: g.last,
		Key: g.key, Word: g.word, Rhythm: g.pattern.rhythm(), Sender: g.sender, OtherDomains: g.otherDomains, Seen: g.seen,
		Selectors: g.selectors.sorted(maxNames), Envelope: g.envelope.sorted(maxNames), Department: g.department,
		identities: append([]string{}, g.identities()...), path: g.path, features: g.features(),
	}
	s.Probabilities = g.probabilities()
	s.Probability = s.Probabilities.Of(g.class)
	s.For, s.Against = g.reasons()
	s.Question = g.question(s.Probability)
	if s.Reasons == nil {
		s.Reasons = []explain.Step{}
	}
	for _, h := range g.hosts {
		if h.addr.IsValid() && h.window.messages > 0 {
			s.Addresses = append(s.Addresses, h.addr.String())
		}
	}
	s.AddressCount = len(s.Addresses) + g.folded
	return s
}
