package repair

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"sekimori/internal/advise"
	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// factsVersion is of the document that is kept with a case.
const factsVersion = 1

// facts is what the program remembers about a case's source: as it was when it
// last failed, so that a letter can be written and its mail be found again
// when it has long looked otherwise.
type facts struct {
	Version int           `json:"version"`
	Source  advise.Source `json:"source"`
	Window  store.Window  `json:"window"` // that Source's figures are of
	Policy  string        `json:"policy"`
	Next    string        `json:"next"`
	// Siblings are the keys of sources that shared an identity with it when the
	// case was opened: their mail proves nothing.
	Siblings []string `json:"siblings,omitempty"`
	// ByHand says that a person chose the department.
	ByHand bool `json:"by_hand,omitempty"`
}

// factsAddresses is how many addresses of a source are remembered.
const factsAddresses = 64

// remember is the facts of a source as it is now.
func remember(s *advise.Source, a *advise.Advice) facts {
	f := facts{Version: factsVersion, Source: *s, Window: a.Window, Policy: a.Policy, Next: a.Ladder.Next}
	f.Source.Addresses = s.Addresses[:min(len(s.Addresses), factsAddresses)]
	f.Source.Reasons, f.Source.For, f.Source.Against, f.Source.Question = nil, nil, nil, nil
	return f
}

// text is the facts as they are kept. They are small; what does not fit, which
// only names of enormous length could bring about, goes without its lists.
func (f facts) text() []byte {
	b, err := json.Marshal(f)
	if err != nil || len(b) > 60<<10 {
		s := f.Source
		f.Source = advise.Source{ID: s.ID, Key: s.Key, Messages: s.Messages, Failing: s.Failing, AddressCount: s.AddressCount, Rhythm: s.Rhythm, FirstDay: s.FirstDay, LastDay: s.LastDay}
		f.Siblings = nil
		b, _ = json.Marshal(f)
	}
	return b
}

// readFacts is the reverse of text. What cannot be read is empty.
func readFacts(b []byte) facts {
	var f facts
	if len(b) > 0 && json.Unmarshal(b, &f) != nil {
		return facts{}
	}
	return f
}

// period is a source's usual period in days: a week where it has none.
func (f facts) period() int {
	if d := f.Source.Rhythm.Days; d > 1 {
		return min(d, 400)
	}
	return 7
}

// usual is how many messages a usual period has. Of a source whose period is
// longer than the window, the window has seen one occasion at the most.
func (f facts) usual() uint64 {
	days := f.Window.Days()
	if days <= 0 || f.period() >= days {
		return f.Source.Messages
	}
	return uint64(float64(f.Source.Messages) * float64(f.period()) / float64(days))
}

// lumped reports whether a key is that of many sources put together, which is
// no piece of work (package advise makes such lines where there are too many).
func lumped(key string) bool {
	return key == "" || key == "rest" || key == "swarm" ||
		strings.HasPrefix(key, "spoof/") || strings.HasPrefix(key, "unknown/") || strings.HasPrefix(key, "more/")
}

// recognised is what a source is recognised by, as a word about it keeps it.
func recognised(s *advise.Source, domain string) ([]netip.Prefix, []string) {
	said := s.Saying(domain)
	ours := sources.Organization(domain)
	return said.Networks, slices.DeleteFunc(said.Identities, func(o string) bool { return o == ours })
}

// alike says how alike a source and a case are: 0 for not at all, 1 for the
// same place, 2 for an identity in common. The same place is an address in
// common where all of the case's are known, and else at least half of the
// source's networks; with an author domain in common.
func alike(s *found, c *store.Case, f *facts) int {
	common := func(a, b []string) bool {
		return slices.ContainsFunc(a, func(v string) bool { return slices.Contains(b, v) })
	}
	if common(s.identities, c.Identities) {
		return 2
	}
	if len(s.identities) > 0 && len(c.Identities) > 0 || len(s.networks) == 0 {
		return 0 // two services may live in one network
	}
	if len(f.Source.HeaderFrom) > 0 && len(s.HeaderFrom) > 0 && !common(s.HeaderFrom, f.Source.HeaderFrom) {
		return 0
	}
	if f.complete() {
		if common(s.Addresses, f.Source.Addresses) {
			return 1
		}
		return 0
	}
	n := 0
	for _, p := range s.networks {
		if slices.Contains(c.Networks, p) {
			n++
		}
	}
	if n*2 >= len(s.networks) && n > 0 {
		return 1
	}
	return 0
}

// complete reports whether all addresses of the source are remembered.
func (f facts) complete() bool {
	return len(f.Source.Addresses) > 0 && f.Source.AddressCount <= len(f.Source.Addresses)
}

// filter is the mail that is a case's: that of the sources it is found in, and
// that of the addresses it had, as far as they are known one by one. authors
// narrow the addresses, which may send other mail too.
func (f facts) filter(c *store.Case, ids []string) store.MailFilter {
	out := store.MailFilter{Sources: ids[:min(len(ids), 100)]}
	const authorsKnown = 12 // advise lists no more: then there may be others
	if n := len(f.Source.HeaderFrom); n > 0 && n < authorsKnown {
		out.Authors = f.Source.HeaderFrom
	}
	if f.complete() {
		for _, a := range f.Source.Addresses {
			if addr, err := netip.ParseAddr(a); err == nil {
				out.Networks = append(out.Networks, netip.PrefixFrom(addr, addr.BitLen()))
			}
		}
	} else if len(c.Identities) == 0 {
		out.Networks = c.Networks
	}
	return out
}
