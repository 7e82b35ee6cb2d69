package advise

import (
	"cmp"
	"context"
	"math"
	"net/netip"
	"slices"
	"strings"

	"sekimori/explain"
	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// maxSayings bounds the words of a domain that an answer looks at.
const maxSayings = 2000

// maxKnown bounds the networks and the identities that a source is recognised by.
const maxKnown = 64

// Words gives what people said about the sources of a domain: the latest of
// each key first, then earlier ones. *store.Store has it.
type Words interface {
	Sayings(ctx context.Context, domain string) ([]store.Saying, error)
}

// words is what people said, the latest of each source.
type words struct {
	list  []store.Saying
	byKey map[string]int
}

// newWords keeps the latest word of each key. A word that was taken back keeps
// the key, so that an earlier one does not come up again.
func newWords(all []store.Saying) words {
	w := words{byKey: map[string]int{}}
	for _, s := range all {
		if i, ok := w.byKey[s.Key]; ok {
			if s.At.After(w.list[i].At) {
				w.list[i] = s
			}
			continue
		}
		if len(w.list) >= maxSayings {
			break
		}
		w.byKey[s.Key] = len(w.list)
		w.list = append(w.list, s)
	}
	return w
}

// match returns the word about a group: the one about its key; else the latest
// about a source of the same kind that was recognised by an identity that the
// group has too; else by at least half of the group's networks, where no
// identity speaks against it. A line of many sources put together is matched
// by its key for its name alone: its parts are matched one by one.
func (w words) match(g *group) (store.Saying, bool) {
	if i, ok := w.byKey[g.key]; ok && !lumped(g.key) {
		return w.list[i], true
	}
	if len(w.list) == 0 || g.rest {
		return store.Saying{}, false
	}
	ids, nets := g.identities(), g.networks()
	best, rank := -1, 0
	for i := range w.list {
		s := &w.list[i]
		if s.Class == "" && s.Name == "" && s.Note == "" {
			continue
		}
		r := 0
		switch {
		case failingKey(s.Key) == failingKey(g.key) && !lumped(s.Key) && slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(s.Identities, id) }):
			r = 2
		case len(ids) > 0 && len(s.Identities) > 0:
			// Two services may live in one network.
		case common(nets, s.Networks)*2 >= len(nets) && len(nets) > 0:
			r = 1
		}
		if r > rank || r == rank && r > 0 && s.At.After(w.list[best].At) {
			best, rank = i, r
		}
	}
	if best < 0 {
		return store.Saying{}, false
	}
	return w.list[best], true
}

// readWords reads what people said about the domain's sources.
func (n *analysis) readWords() error {
	if n.a.c.Words == nil {
		return nil
	}
	all, err := n.a.c.Words.Sayings(n.ctx, n.scene.domain)
	if err != nil {
		return err
	}
	n.words = newWords(all)
	return nil
}

// lumped reports whether a key is that of many sources put together.
func lumped(key string) bool {
	return key == "rest" || key == "swarm" || strings.HasPrefix(key, "spoof/") || strings.HasPrefix(key, "unknown/") || strings.HasPrefix(key, "more/")
}

// failingKey reports whether a key is of a source that did not pass when the
// key was made.
func failingKey(key string) bool {
	return strings.Contains(key, "/") && !strings.HasPrefix(key, "net:") || single(key)
}

func common(a, b []netip.Prefix) int {
	n := 0
	for _, p := range a {
		if slices.Contains(b, p) {
			n++
		}
	}
	return n
}

// identities are the organisations that a group's mail authenticated as, or
// that its host names are of. A service that many share tells nobody apart.
func (g *group) identities() []string {
	var out []string
	for _, o := range append([]string{g.ptrOrg}, g.foreign.sorted(maxNames)...) {
		if o != "" && !slices.Contains(out, o) && !slices.Contains(g.service, o) {
			out = append(out, o)
		}
	}
	return out
}

// networks are those of a group's addresses, the busiest first.
func (g *group) networks() []netip.Prefix {
	var out []netip.Prefix
	for _, h := range g.hosts {
		if len(out) == maxKnown {
			break
		}
		if p := network(h.addr); h.addr.IsValid() && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// Saying is the beginning of a word about a source of a domain: its key, and
// what it will be recognised by later. The rest is for the caller to fill in.
func (s *Source) Saying(domain string) store.Saying {
	out := store.Saying{Domain: domain, Key: s.Key, Source: s.ID, Networks: []netip.Prefix{}, Identities: []string{}}
	for _, a := range s.Addresses {
		if len(out.Networks) == maxKnown {
			break
		}
		if addr, err := netip.ParseAddr(a); err == nil && !slices.Contains(out.Networks, network(addr)) {
			out.Networks = append(out.Networks, network(addr))
		}
	}
	out.Identities = append(out.Identities, s.identities...)
	if s.identities == nil { // an answer that was kept
		ours := sources.Organization(domain)
		for _, list := range [][]string{s.PTR, s.DKIM, s.SPF} {
			for _, n := range list {
				if o := sources.Organization(n); o != "" && o != ours && !slices.Contains(out.Identities, o) && len(out.Identities) < maxKnown {
					out.Identities = append(out.Identities, o)
				}
			}
		}
	}
	return out
}

// said is a word as far as it decides.
func said(class string) (c Class, ours bool) {
	switch c = Class(class); c {
	case Aligned, Broken:
		return c, true
	case Forwarder, Spoof:
		return c, false
	}
	return "", false
}

// learn takes over what words tell about the neighbours of a source: a service
// confirmed for us is one of our services, a denied one is not.
func (s *scene) learn(w words) {
	s.denied, s.taught = map[string]bool{}, map[string]bool{}
	for i := range w.list {
		x := &w.list[i]
		if lumped(x.Key) {
			continue
		}
		c, ours := said(x.Class)
		for _, o := range x.Identities {
			switch {
			case o == s.ours || o == "":
			case ours:
				if !s.services[o] {
					s.services[o], s.taught[o] = true, true
				}
			case c == Spoof:
				s.denied[o] = true
			}
		}
	}
	for o := range s.denied {
		delete(s.services, o)
	}
}

// matchWords finds the word about each group.
func (n *analysis) matchWords() {
	if len(n.words.list) == 0 {
		return
	}
	for _, g := range n.groups {
		if x, ok := n.words.match(g); ok && (x.Class != "" || x.Name != "" || x.Note != "") {
			g.saying = &x
		}
	}
}

// headline gives a line of many sources the name and the note that people gave
// it. Its parts have been looked at one by one.
func (n *analysis) headline() {
	for _, g := range n.groups {
		i, ok := n.words.byKey[g.key]
		if !ok || !lumped(g.key) {
			continue
		}
		x := n.words.list[i]
		if x.Name == "" && x.Note == "" {
			continue
		}
		g.word = &Word{Name: x.Name, Note: x.Note, By: x.By, At: x.At}
		g.name = cmp.Or(x.Name, g.name)
	}
}

// heed lets words override what was found.
func (n *analysis) heed() {
	for _, g := range n.groups {
		x := g.saying
		if x == nil {
			continue
		}
		g.word = &Word{Class: Class(x.Class), Name: x.Name, Note: x.Note, By: x.By, At: x.At, key: x.Key}
		if x.Name != "" {
			g.name = x.Name
		}
		c, ours := said(x.Class)
		if c == "" {
			g.word.Class = ""
			continue
		}
		alone := g.finding
		code := "why.said-ours"
		switch {
		case ours:
			n.scene.state(g, nil)
		case c == Forwarder:
			code = "why.said-forwarder"
			g.finding = finding{class: Forwarder}
		default:
			code = "why.said-not-ours"
			g.finding = finding{class: Spoof}
		}
		g.word.Class, g.path = g.class, byWord
		step := explain.Step{Code: code, Args: explain.Args{"by": x.By, "day": store.DayOf(x.At).String()}}
		steps := []explain.Step{step, {Code: "why.evidence-alone", Args: explain.Args{"class": string(alone.class)}}}
		g.steps = append(steps, alone.steps...)
		g.items = append([]weighed{{10, step}}, alone.items...)
		for i := range g.items[1:] { // evidence of what it is not speaks against it
			agrees := alone.class == g.class || ours && (alone.class == Broken || alone.class == Aligned)
			points := math.Abs(g.items[i+1].points)
			if !agrees {
				points = -points
			}
			g.items[i+1].points = points
		}
		g.sense = g.class
	}
}
