package advise

import (
	"math/bits"
	"slices"
	"strings"

	"sekimori/explain"
	"sekimori/internal/sources"
)

// task is one thing that may have to be done before the next step.
type task struct {
	g      *group
	kind   taskKind
	atRisk uint64
}

type taskKind int

const (
	repair taskKind = iota // a broken source with messages at risk
	settle                 // an unknown one that may be ours
	before                 // a broken one that will send again, and has not in the window
)

// maxExhaustive is up to how many tasks every choice is tried.
const maxExhaustive = 12

// shortest returns the fewest tasks after which enough says that it is enough,
// as indices in order. tasks are in the order of their weight: the first ones
// are taken until it is enough, and those that turn out not to be needed are
// left out. Of up to 12 tasks it is proven that fewer would not do: every
// smaller choice is tried, and of several as short the one that comes first in
// the order wins. Where nothing is ever enough, all of them are returned.
func shortest(n int, enough func(done []bool) bool) []int {
	done := make([]bool, n)
	taken := 0
	for i := 0; i < n && !enough(done); i++ {
		done[i] = true
		taken++
	}
	if enough(done) {
		for i := n - 1; i >= 0; i-- {
			if !done[i] {
				continue
			}
			if done[i] = false; enough(done) {
				taken--
			} else {
				done[i] = true
			}
		}
		if n <= maxExhaustive {
			try := make([]bool, n)
			best, size := -1, taken
			for set := range 1 << n {
				k := bits.OnesCount(uint(set))
				if k > size || k == size && best >= 0 {
					continue
				}
				for i := range try {
					try[i] = set>>i&1 == 1
				}
				if k < size && enough(try) {
					best, size = set, k
				}
			}
			if best >= 0 {
				for i := range done {
					done[i] = best>>i&1 == 1
				}
			}
		}
	}
	var out []int
	for i, d := range done {
		if d {
			out = append(out, i)
		}
	}
	return out
}

// fix writes a task as its public form.
func (n *analysis) fix(t task, upper float64) Fix {
	f := Fix{Source: t.g.id(), Key: t.g.key, Name: t.g.label(), AtRisk: t.atRisk, Upper95: upper}
	switch t.kind {
	case settle:
		f.What = explain.Step{Code: "fix.settle", Args: explain.Args{"source": t.g.label(), "failing": int64(t.atRisk)}}
	case before:
		f.What = n.wrong(t.g)
		f.What.Children = slices.Insert(f.What.Children, 0, explain.Step{Code: "fix.before-next", Args: explain.Args{
			"last": t.g.last.String(), "days": int64(t.g.pattern.period), "next": t.g.occasion(n.from()).String()}})
	default:
		f.What = n.wrong(t.g)
	}
	return f
}

// wrong says what is wrong with a source of ours that fails, and as children
// what to change, the most lasting change first. DKIM comes before SPF: it
// survives forwarding, and does not count against SPF's ten look-ups
// (RFC 7208 §4.6.4).
func (n *analysis) wrong(g *group) explain.Step {
	s := &n.scene
	author, vendor := g.headerFrom.top(), g.vendor(s.ours)
	if author == "" {
		author = s.domain
	}
	own := g.ptrOrg == s.ours && s.ours != "" || s.permitted(g)
	strict := ""
	for _, list := range []names{g.dkim, g.spf} {
		for _, x := range list {
			if strict == "" && x.failing > 0 && x.failing*2 >= g.failing() && within(x.name, s.ours) {
				strict = x.name // passed for a name of ours, and is not aligned
			}
		}
	}
	dkim := explain.Step{Code: "fix.sign", Args: explain.Args{"domain": author}}
	if vendor != "" && !own {
		dkim = explain.Step{Code: "fix.vendor-sign", Args: explain.Args{"domain": author, "vendor": vendor}}
	}
	addrs := g.addresses(5)
	spf := explain.Step{Code: "fix.allow-addresses", Args: explain.Args{"domain": author, "addresses": addrs, "more": int64(max(0, len(g.hosts)-len(addrs)))}}
	if vendor != "" && !own {
		spf = explain.Step{Code: "fix.own-envelope", Args: explain.Args{"domain": author, "vendor": vendor}}
	}
	failing := g.failing()
	var dead []string
	for _, h := range g.headerFrom {
		if h.failing >= 10 && h.failing == h.messages {
			dead = append(dead, h.name)
		}
	}
	args := explain.Args{"source": g.label(), "domain": author, "failing": int64(g.window.failing), "messages": int64(g.window.messages)}
	step := explain.Step{Args: args}
	switch {
	case strict != "":
		step.Code, step.Ref = "fix.wrong-strict", "RFC 9989 §4.7"
		args["used"] = strict
		step.Children = []explain.Step{
			{Code: "fix.sign-exactly", Args: explain.Args{"domain": author}},
			{Code: "fix.relax", Args: explain.Args{"domain": s.domain}, Ref: "RFC 9989 §4.7"},
		}
	case g.ourSigFails > 0 && g.ourSigFails*2 >= failing:
		step.Code, step.Ref = "fix.wrong-signature", "RFC 6376 §6.1"
		args["domain"] = s.ours
		step.Children = []explain.Step{
			{Code: "fix.check-key", Args: explain.Args{"domain": s.ours, "selectors": g.selectors.sorted(3)}},
			{Code: "fix.sign-last"},
			spf,
		}
	case g.passing() > 0 && len(dead) > 0 && len(dead) < len(g.headerFrom):
		step.Code = "fix.wrong-author"
		args["domains"] = dead
		dkim.Args["domain"], spf.Args["domain"] = dead[0], dead[0]
		step.Children = []explain.Step{dkim, spf}
	case g.passing() > 0 && g.foreignAuth*2 < failing:
		step.Code = "fix.wrong-some-hosts"
		spf.Code, spf.Args = "fix.allow-addresses", explain.Args{"domain": author, "addresses": g.failingAddresses(5), "more": int64(0)}
		step.Children = []explain.Step{dkim, spf}
	case vendor != "" && !own && g.foreignAuth*2 >= failing:
		step.Code = "fix.wrong-vendor-name"
		args["vendor"], args["signed"] = vendor, g.foreignSig*2 >= failing
		step.Children = []explain.Step{dkim, spf}
	case g.ownReturn*2 >= failing && g.ownReturn > 0 || within(g.envelope.top(), s.ours):
		step.Code = "fix.wrong-not-in-spf"
		if e := g.envelope.top(); within(e, s.ours) {
			args["domain"] = e
		}
		step.Children = []explain.Step{
			{Code: "fix.allow-addresses", Args: explain.Args{"domain": args["domain"], "addresses": addrs, "more": int64(max(0, len(g.hosts)-len(addrs)))}},
			dkim,
		}
	default:
		step.Code = "fix.wrong-nothing"
		step.Children = []explain.Step{dkim, spf}
	}
	return step
}

// vendor is the organization behind a source that is not ours.
func (g *group) vendor(ours string) string {
	if g.sender != nil && g.sender.Name != "" && g.sender.Kind != "network" {
		return g.sender.Name
	}
	for _, o := range []string{g.foreign.top(), g.ptrOrg} {
		if o != "" && o != ours {
			return o
		}
	}
	return ""
}

// within reports whether a name is that of our organization, or below it.
func within(name, ours string) bool {
	return name != "" && (name == ours || strings.HasSuffix(name, "."+ours) || sources.Organization(name) == ours)
}

// addresses lists the busiest addresses.
func (g *group) addresses(limit int) []string {
	out := []string{}
	for _, h := range g.hosts {
		if h.addr.IsValid() && len(out) < limit {
			out = append(out, h.addr.String())
		}
	}
	return out
}

// failingAddresses lists the addresses with the most failing messages.
func (g *group) failingAddresses(limit int) []string {
	hosts := slices.Clone(g.hosts)
	slices.SortStableFunc(hosts, func(a, b *host) int {
		switch {
		case a.all.failing > b.all.failing:
			return -1
		case a.all.failing < b.all.failing:
			return 1
		}
		return a.addr.Compare(b.addr)
	})
	out := []string{}
	for _, h := range hosts {
		if h.addr.IsValid() && h.all.failing > 0 && len(out) < limit {
			out = append(out, h.addr.String())
		}
	}
	return out
}
