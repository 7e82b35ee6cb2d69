package advise

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"

	"sekimori/explain"
	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// finding is what was concluded about a group.
type finding struct {
	class Class
	// score is for and against "ours", in points of about a factor of three
	// in odds each. It decides only about groups that never pass.
	score float64
	steps []explain.Step
	path  path      // how it was decided
	items []weighed // the evidence, with points for sense
	sense Class     // what points above 0 speak for
	reach float64   // score of the forwarding evidence, where it was weighed
	// notable is set for a host without a name or authentication that does
	// not behave like the others of its kind.
	notable bool
}

// path is how a finding was come by: each has a curve of its own from its
// scores to probabilities.
type path uint8

const (
	byRest     path = iota // many small sources taken together
	byPassing              // it passes, or is ours by name: the figures decide
	bySigned               // it passes by our signature alone
	byForward              // evidence of forwarding
	byIdentity             // it fails, with an identity or a name
	byAddress              // it fails, and nothing is known but an address
	byWord                 // a person said so
)

func (p path) String() string {
	return [...]string{"byRest", "byPassing", "bySigned", "byForward", "byIdentity", "byAddress", "byWord"}[p]
}

// scene is what is known about the domain as a whole.
type scene struct {
	domain string // the policy domain
	ours   string // its organizational domain
	begin  store.Day
	end    store.Day
	window store.Window

	permit    sources.Permit             // our SPF records
	pointed   map[netip.Addr]string      // addresses that names of ours point to (A, MX), and the name
	permitOrg map[string]bool            // organizations that they include
	direct    map[string]uint64          // messages by author domain that came from where our SPF record allows
	users     map[string]map[string]bool // author domain → groups that use it, by key
	networks  map[netip.Prefix]bool      // where mail of ours comes from directly
	services  map[string]bool            // organizations that send for us and pass
	denied    map[string]bool            // organizations that a person said are not ours
	taught    map[string]bool            // of services, those that are known by a person's word alone
	scattered map[string]int             // author domain → networks that use it without any authentication
	typical   map[string]uint64          // author domain → messages of a typical host among these
	exists    map[string]bool            // author domains looked up: whether the DNS has them
	silent    bool                       // our SPF record allows nobody, and nothing ever passed
	envelopes map[string]int             // envelope domain → hosts that use it most
	hours     float64                    // business value of all mail that passes
	unsigned  bool                       // most of what we send directly has no signature of ours
	was       sources.PermitHistory      // what our SPF record allowed when, as far as it was watched
	wasOrg    map[string]bool            // organisations that it included at any time
	fleeting  int                        // domains that senders without a rhythm authenticate as
	bareOrgs  map[string]int             // author domain → organisations whose hosts use it without authentication
	kindred   map[kind]*kindred          // lone hosts of one author domain and one kind of name
	series    map[string]int             // stem of their names → how many have it
	large     map[string]int             // author domain → networks with a host without authentication that sends far more than a typical one
	fifth     map[string]uint64          // author domain → messages of the host that is fifth among these, of as many networks
	forging   map[string]int             // author domain → networks of such hosts that put signatures of ours into much of their mail
}

// weigh collects evidence for and against one answer.
type weigh struct {
	score float64
	items []weighed
	// bad is set by evidence of bad character. Without it, what authenticates
	// as somebody is not called spoofing: it may be a mailing of one day.
	bad bool
}

type weighed struct {
	points float64
	step   explain.Step
}

func (w *weigh) add(points float64, code string, args explain.Args) {
	w.score += points
	w.items = append(w.items, weighed{points, explain.Step{Code: code, Args: args}})
}

// suspect adds evidence of bad character.
func (w *weigh) suspect(points float64, code string, args explain.Args) {
	w.bad = true
	w.add(points, code, args)
}

// forwarder is the finding that a group passes mail on.
func (w *weigh) forwarder() finding {
	return finding{class: Forwarder, path: byForward, reach: w.score, steps: w.steps(1), items: w.items, sense: Forwarder}
}

// steps returns the evidence, what speaks for the sign first, the strongest first.
func (w *weigh) steps(sign float64) []explain.Step {
	items := slices.Clone(w.items)
	slices.SortStableFunc(items, func(a, b weighed) int { return cmp.Compare(sign*b.points, sign*a.points) })
	out := make([]explain.Step, 0, len(items))
	for _, i := range items {
		out = append(out, i.step)
	}
	return out
}

// Thresholds on the score of a group that does not pass.
const (
	oursFrom      = 3.0  // at least: broken
	spoofBare     = -2.0 // at most, without any authentication: spoof
	spoofIdentity = -2.5 // at most, with an identity of its own: spoof
	forwardFrom   = 2.0  // at least, of the forwarding score: forwarder
)

// classify decides what a group is.
func (s *scene) classify(g *group) {
	if g.rest {
		s.classifyRest(g)
		return
	}
	if g.swarm {
		g.finding = finding{class: Spoof, path: byRest, steps: []explain.Step{{Code: "why.scattered", Args: explain.Args{"networks": int64(len(g.hosts))}}}}
		return
	}
	n := g.all.messages
	own := g.ptrOrg == s.ours && s.ours != ""
	switch {
	case g.spfAligned*5 >= n || own && g.passing() > 0:
		s.state(g, nil)
	case g.dkimAligned > 0 && g.dkimAligned*20 >= n, g.ourSigFails*2 >= g.failing() && g.ourSigFails > 0, g.override*5 >= n:
		f := s.forwarding(g)
		switch {
		case f.score >= forwardFrom && s.provenForwarder(g):
			g.finding = f.forwarder()
		case g.dkimAligned > 0 && g.dkimAligned*20 >= n:
			s.state(g, f)
		default:
			s.weighIdentity(g)
		}
	case g.spfAligned > 0 && g.spfAligned*20 >= n:
		s.state(g, nil)
	default:
		if f := s.forwarding(g); f.score >= forwardFrom+2 && s.provenForwarder(g) {
			g.finding = f.forwarder()
			return
		}
		s.weighIdentity(g)
	}
}

// state tells a source of ours that passes from one that is broken.
func (s *scene) state(g *group, against *weigh) {
	c := g.window
	if c.messages == 0 {
		c = g.all
	}
	w := &weigh{}
	if g.spfAligned > 0 {
		w.add(5, "why.passes-spf", explain.Args{"messages": int64(g.spfAligned), "domains": g.spf.sorted(3)})
	}
	if g.dkimAligned > 0 {
		w.add(4, "why.passes-dkim", explain.Args{"messages": int64(g.dkimAligned), "domains": g.dkim.sorted(3)})
	}
	if g.ptrOrg == s.ours {
		w.add(3, "why.own-name", explain.Args{"names": g.ptrs(3)})
	}
	found := finding{path: byPassing}
	if against != nil {
		// Evidence against forwarding is evidence for a sender of ours.
		found.path, found.reach = bySigned, against.score
		for _, i := range against.items {
			if i.points <= -2 {
				w.add(-i.points, i.step.Code, i.step.Args)
			}
		}
	}
	steps := w.steps(0)
	share := ratio(c.failing, c.messages)
	var dead []string // author domains of which everything fails
	for _, h := range g.headerFrom {
		if h.failing >= 10 && h.failing == h.messages {
			dead = append(dead, h.name)
		}
	}
	fails := explain.Args{"failing": int64(c.failing), "messages": int64(c.messages), "share": share}
	switch {
	case c.failing >= 3 && share > 0.05:
		found.class = Broken
		w.add(6, "why.often-fails", fails)
	case len(dead) > 0 && c.failing > 0:
		found.class = Broken
		w.add(6, "why.author-fails", explain.Args{"domains": dead})
	default:
		found.class = Aligned
		if c.failing > 0 {
			w.add(0, "why.seldom-fails", fails)
		}
	}
	found.steps = steps
	for _, last := range w.items[len(steps):] {
		if found.class == Broken { // what is wrong comes first
			found.steps = slices.Insert(steps, 0, last.step)
		} else {
			found.steps = append(steps, last.step)
		}
	}
	if against != nil {
		for _, i := range against.items {
			if i.points >= 1 {
				w.add(-i.points, i.step.Code, i.step.Args)
			}
		}
	}
	found.items, found.sense = w.items, found.class
	g.finding = found
}

// provenForwarder reports whether there is evidence of forwarding that a
// spoofer does not get for free. An envelope sender of ours, our author domain
// and a signature of ours that fails are free. What is not: our signature
// passing in one message of twenty, the receivers' word, and the name of an
// organization or host that forwards or runs lists, or has users who forward,
// with mail that is a small part of what we send directly.
func (s *scene) provenForwarder(g *group) bool {
	n := g.all.messages
	if g.dkimAligned > 0 && g.dkimAligned*20 >= n || g.override*5 >= n {
		return true
	}
	passes := g.ofKind(sources.Passes, sources.ListsOf, sources.MailboxOf, sources.ISP) && g.most(sources.Named)
	named := func(name string) bool {
		return name != "" && (sources.Academic(name) || sources.Lists(name) || sources.Forwards(name))
	}
	ok := false
	switch {
	case g.most(sources.Named):
		ok = passes || sources.Academic(g.ptrOrg) || slices.ContainsFunc(g.ptrs(10), named)
		ok = ok || slices.ContainsFunc(g.spf.sorted(maxNames), named) && g.ptrOrg == g.foreign.top()
	case g.asked == 0:
		ok = slices.ContainsFunc(g.spf.sorted(maxNames), named)
	}
	if !ok {
		return false
	}
	var direct uint64
	for _, h := range g.headerFrom {
		direct += s.direct[h.name]
	}
	return n*20 <= direct
}

// forwarding weighs whether a group passes on mail that we sent.
func (s *scene) forwarding(g *group) *weigh {
	w := &weigh{}
	n := float64(g.all.messages)
	if share := float64(g.override) / n; share >= 0.2 {
		w.add(4, "why.override", explain.Args{"share": share})
	}
	signed := g.dkimAligned + g.ourSigFails
	if signed > 0 && float64(g.dkimAligned) >= n/2 {
		w.add(0, "why.our-signature", explain.Args{"messages": int64(g.dkimAligned)})
	}
	if g.ptrOrg == s.ours {
		w.add(-5, "why.own-name", explain.Args{"names": g.ptrs(3)})
	}
	if s.permitted(g) {
		w.add(-5, "why.in-spf", nil)
	} else if o := s.includedOrg(g); o != "" {
		w.add(-5, "why.spf-include", explain.Args{"domain": o})
	}
	own := g.ownReturn
	if s.unsigned { // then this is all that is left of us
		own += g.bareReturn
	}
	if float64(own) >= n/2 {
		w.add(3, "why.own-return", explain.Args{"share": float64(own) / n})
	}
	if signed == 0 && !s.unsigned && g.override == 0 && len(s.direct) > 0 {
		w.add(-3, "why.signature-missing", nil)
	}
	if g.failing() >= 20 && g.dkimAligned > 0 && g.ourSigFails == 0 && g.override == 0 && len(g.foreign) > 0 {
		w.add(-2, "why.signature-missing", nil) // from all that fails, and nothing broke one
	}
	if p := g.pattern; p.broke != 0 {
		w.add(-4, "why.broke-on", explain.Args{"day": p.broke.String()})
	} else if p.fixed != 0 {
		w.add(-4, "why.fixed-on", explain.Args{"day": p.fixed.String()})
	}
	if g.divided() {
		w.add(-4, "why.hosts-differ", nil)
	}
	if g.dkimAligned >= 1000 && g.ourSigFails*1000 < 4*g.dkimAligned && g.ownReturn*5 < g.all.messages {
		w.add(-2, "why.never-breaks", explain.Args{"messages": int64(g.dkimAligned)})
	}
	var shared, direct uint64
	for _, h := range g.headerFrom {
		if d := s.direct[h.name]; d > 0 {
			shared += h.messages
			direct += d
		}
	}
	switch {
	case float64(shared) >= 0.8*n:
		w.add(1.5, "why.shared-author", explain.Args{"domains": g.headerFrom.sorted(3)})
		if r := float64(shared) / float64(direct); r < 0.05 {
			w.add(1, "why.small-part", explain.Args{"share": r})
		} else if r > 0.3 {
			w.add(-2, "why.large-part", explain.Args{"share": r})
		}
	case float64(shared) <= 0.2*n:
		w.add(-3, "why.own-author", explain.Args{"domains": g.headerFrom.sorted(3)})
	}
	foreign := g.foreign.top()
	name := cmp.Or(g.ptrOrg, foreign)
	switch hosts := g.ptrs(10); {
	case slices.ContainsFunc(hosts, sources.Lists) || slices.ContainsFunc(g.spf.sorted(maxNames), sources.Lists):
		w.add(2, "why.list-name", explain.Args{"names": append(hosts, foreign)[:1]})
	case slices.ContainsFunc(hosts, sources.Forwards) || slices.ContainsFunc(g.spf.sorted(maxNames), sources.Forwards):
		w.add(1.5, "why.forward-name", explain.Args{"names": append(hosts, foreign)[:1]})
	}
	switch {
	case g.ofKind(sources.Passes, sources.ListsOf):
		w.add(2, "why.known-forwarder", explain.Args{"name": g.sender.Name})
	case g.ofKind(sources.MailboxOf, sources.ISP) && g.most(sources.Named):
		w.add(1, "why.known-mailbox", explain.Args{"name": g.sender.Name})
	case g.ofKind(sources.Delivery, sources.SaaS):
		w.add(-2, "why.known-delivery", explain.Args{"name": g.sender.Name})
	case sources.Academic(name):
		w.add(1, "why.mailbox-provider", explain.Args{"domain": name})
	}
	if signed > 0 {
		switch r := float64(g.ourSigFails) / float64(signed); {
		case r >= 0.2:
			w.add(1, "why.signature-breaks", explain.Args{"share": r})
		case r >= 0.01:
			w.add(0.5, "why.signature-breaks", explain.Args{"share": r})
		}
	}
	if g.failing() > 0 && g.foreignSig*2 >= g.failing() && g.override == 0 && !slices.ContainsFunc(g.ptrs(10), sources.Lists) {
		w.add(-2.5, "why.own-signature", explain.Args{"domain": foreign})
	}
	if foreign != "" && foreign == g.ptrOrg && signed > 0 {
		w.add(1, "why.own-envelope", explain.Args{"domain": foreign})
	}
	if p := g.pattern; p.known && p.period >= 5 && p.occasions >= 4 {
		w.add(-2, "why.periodic", explain.Args{"days": int64(p.period), "times": int64(p.occasions)})
	}
	return w
}

// weighIdentity decides about a group that does not pass: ours and broken, or
// somebody else using our name.
func (s *scene) weighIdentity(g *group) {
	w := &weigh{}
	g.notable = false
	n := float64(g.all.messages)
	bare := float64(g.bare) >= n/2
	lone := bare && g.ptrOrg == "" // nothing but an address
	if s.silent {
		w.suspect(-4, "why.silent-domain", nil)
	}
	related := s.weighRelations(g, w)
	s.weighKnown(g, w, bare, related)
	s.weighName(g, w, bare)
	s.weighCrowd(g, w)
	s.weighTime(g, w, bare, lone)
	s.weighAuthors(g, w)
	if bare {
		w.add(-1, "why.no-authentication", nil)
	}
	if n := s.bareOrgs[g.headerFrom.top()]; n >= 8 && !related && g.unauthenticated() {
		w.suspect(-2, "why.many-organisations", explain.Args{"organisations": int64(n)})
	}
	if direct := s.direct[g.headerFrom.top()]; lone && !related && direct > 0 && g.all.messages*10 > direct && s.scattered[g.headerFrom.top()] >= 3 {
		w.add(-1, "why.much-for-a-stray", explain.Args{"share": float64(g.all.messages) / float64(direct)})
	}
	if lone && !related {
		if top := g.headerFrom.top(); s.scattered[top] >= 10 {
			w.add(-2, "why.scattered", explain.Args{"networks": int64(s.scattered[top])})
		}
	}
	if g.ourSigFails > 0 && g.ourSigFails*2 >= g.failing() {
		args := explain.Args{"messages": int64(g.ourSigFails)}
		switch {
		case lone && !related && g.all.messages >= 100 && s.forging[g.headerFrom.top()] == 1 && !g.most(sources.Consumer):
			// Whoever forges signatures does so on all of his hosts.
			w.add(2, "why.broken-signature", args)
		case lone || bare && !related && !g.most(sources.Named):
			w.add(0, "why.forged-signature", args)
		case bare:
			w.add(1, "why.broken-signature", args)
		case w.bad:
			w.add(0, "why.forged-signature", args)
		default:
			w.add(2.5, "why.broken-signature", args)
		}
	}
	list := g.ourSigFails*2 >= g.failing() && slices.ContainsFunc(g.spf.sorted(maxNames), sources.Lists)
	// What others pass on comes when we send it.
	apart := s.hours >= 4.5 && g.pattern.active >= 20 && g.pattern.business < 2
	if (s.unsigned && !apart || list) && !related && w.score >= oursFrom && g.pattern.period == 0 && g.ptrOrg != s.ours && s.mayForward(g) {
		// Without signatures, or from a list that breaks them all, mail of ours that others pass on looks like this.
		w.add(oursFrom-0.5-w.score, "why.may-be-forwarded", nil)
	}
	if foreign := g.foreign.top(); !related && w.score >= oursFrom && looksLike(foreign, s.ours) && !s.services[foreign] && !s.permitOrg[foreign] {
		// Patience makes no imitation ours: a person has to say so.
		w.add(oursFrom-0.5-w.score, "why.imitation", explain.Args{"domain": foreign})
	}
	if len(w.items) == 0 && g.asked == 0 {
		w.add(0, "why.name-not-known", nil)
	} else if len(w.items) == 0 {
		w.add(0, "why.signature-missing", nil)
	}
	limit := spoofIdentity
	if bare {
		limit = spoofBare
	}
	g.finding = finding{class: Unknown, score: w.score, steps: w.steps(1), notable: g.notable, path: byIdentity, items: w.items, sense: Broken}
	if bare && g.ptrOrg == "" {
		g.path = byAddress
	}
	switch {
	case w.score >= oursFrom:
		g.class = Broken
	case w.score <= limit && (bare || w.bad):
		g.class = Spoof
		g.steps = w.steps(-1)
	}
}

// unauthenticated reports whether a group's hosts have chosen names and its mail
// shows nothing at all.
func (g *group) unauthenticated() bool {
	return g.ptrOrg != "" && g.bare*10 >= g.all.messages*9 && g.passing() == 0 && g.ourSigFails == 0 && !g.rest
}

// weighRelations weighs ties to what is known to be ours, and reports whether
// the addresses themselves have such a tie.
func (s *scene) weighRelations(g *group, w *weigh) (related bool) {
	if g.ptrOrg == s.ours {
		points := 6.0
		if slices.ContainsFunc(g.hosts, func(h *host) bool { return h.unsure }) {
			points = 3
		}
		w.add(points, "why.own-name", explain.Args{"names": g.ptrs(3)})
	}
	near := 0
	for _, h := range g.hosts {
		if s.networks[network(h.addr)] {
			near++
		}
	}
	switch {
	case s.permitted(g):
		related = true
		w.add(6, "why.in-spf", nil)
	case near*2 > len(g.hosts):
		related = true
		w.add(5.5, "why.own-network", nil)
	default:
		if name := s.pointing(g); name != "" {
			related = true
			w.add(5, "why.own-address", explain.Args{"name": name})
		}
	}
	if o := s.includedOrg(g); o != "" {
		w.add(4, "why.spf-include", explain.Args{"domain": o})
	} else {
		foreign := g.foreign.top()
		for _, o := range []string{foreign, g.ptrOrg} {
			if o == "" || o == s.ours || !s.services[o] || s.taught[o] && g.saying != nil {
				continue
			}
			points := 3.0
			if o != foreign && foreign != "" || g.shared() {
				points = 1 // the hosts of a service, but another customer of it
			}
			w.add(points, "why.our-vendor", explain.Args{"domain": o})
			break
		}
	}
	return related
}

// weighName weighs what the hosts' names and identities tell.
func (s *scene) weighName(g *group, w *weigh, bare bool) {
	foreign := g.foreign.top()
	if foreign != "" && !bare && !s.permitOrg[foreign] && !s.services[foreign] {
		if int(g.last-g.first) >= 60 {
			// Nobody throws away what he uses for months.
		} else if throwaway(foreign) {
			w.suspect(-1.5, "why.throwaway-name", explain.Args{"domain": foreign})
		}
		if looksLike(foreign, s.ours) {
			w.suspect(-2, "why.look-alike", explain.Args{"domain": foreign})
		}
		if bona(foreign) {
			w.add(1, "why.registered-name", explain.Args{"domain": foreign})
		}
	}
	for _, o := range []string{foreign, g.ptrOrg} {
		if s.denied[o] && g.saying == nil {
			w.suspect(-4, "why.denied", explain.Args{"domain": o})
			break
		}
	}
	switch {
	case g.asked == 0:
	case g.ptrOrg != "" && g.ptrOrg == foreign:
		w.add(1.5, "why.vendor-host", explain.Args{"domain": foreign, "names": g.ptrs(3)})
	case g.most(sources.Consumer):
		w.suspect(-3, "why.consumer-line", explain.Args{"names": g.ptrs(3)})
	case g.most(sources.Numbered):
		if bare {
			w.add(-1, "why.rented-server", explain.Args{"names": g.ptrs(3)})
		} else {
			if p := g.pattern; p.natural() && p.occasions >= 4 {
				// One identity through so many occasions is no passing tenant's.
				w.add(-0.5, "why.rented-server-identity", explain.Args{"names": g.ptrs(3), "domain": foreign})
				break
			}
			w.suspect(-2, "why.rented-server-identity", explain.Args{"names": g.ptrs(3), "domain": foreign})
		}
	case g.most(sources.Nameless):
		points := -1.5
		if p := g.pattern; !bare && (p.period > 0 || p.business >= 2.3 || p.span >= 30) {
			points = -0.5 // what keeps a rhythm under one identity may have forgotten its name
		}
		w.add(points, "why.no-name", nil)
	}
}

// looksLike reports whether an organization's domain borrows our name: it
// holds our label as a part set off by hyphens, or differs from it in a letter.
func looksLike(domain, ours string) bool {
	a, _, _ := strings.Cut(domain, ".")
	b, _, _ := strings.Cut(ours, ".")
	if domain == ours || len(b) < 4 {
		return false
	}
	if strings.Contains("-"+a+"-", "-"+b+"-") && a != b {
		return true
	}
	if a == b || len(a)-len(b) > 1 || len(b)-len(a) > 1 {
		return a == b // the same label under another suffix
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	ra, rb := a[i:], b[i:]
	switch {
	case len(ra) > len(rb):
		return ra[1:] == rb
	case len(ra) < len(rb):
		return ra == rb[1:]
	}
	return ra[1:] == rb[1:]
}

// weighAuthors weighs the author domains that a group uses.
func (s *scene) weighAuthors(g *group, w *weigh) {
	top := g.headerFrom.top()
	if top == "" || top == s.domain {
		return
	}
	exists, asked := s.exists[top]
	switch {
	case asked && !exists:
		points := -2.0
		if p := g.pattern; len(s.users[top]) > 1 && g.lone() {
			// one of many
		} else if p.business >= 4.5 || p.occasions >= 2 && p.period > 0 || g.bare*2 < g.all.messages && (p.span >= 14 && p.active >= 8 || g.ptrOrg != "" && g.ptrOrg == g.foreign.top()) {
			points = -1 // a name that is only used in From is a common neglect
		}
		w.add(points, "why.author-not-in-dns", explain.Args{"domain": top})
	case len(s.users[top]) == 1 && g.pattern.active >= 10:
		w.add(1.5, "why.only-user", explain.Args{"domain": top})
	case asked && exists && s.direct[top] > 0:
		w.add(0.5, "why.author-used", explain.Args{"domain": top})
	}
}

// classifyRest decides about the addresses that were not looked at one by one.
func (s *scene) classifyRest(g *group) {
	class, code := Unknown, "why.rest"
	switch {
	case g.failing()*20 <= g.all.messages:
		class, code = Aligned, "why.rest-passes"
	case g.bare*10 >= g.failing()*9:
		class, code = Spoof, "why.rest-no-authentication"
	}
	g.finding = finding{class: class, steps: []explain.Step{{Code: code, Args: explain.Args{"messages": int64(g.all.messages)}}}}
}

// pointing returns the name of ours that points to most of the group's hosts,
// "" for none.
func (s *scene) pointing(g *group) string {
	n, name := 0, ""
	for _, h := range g.hosts {
		if p := s.pointed[h.addr.Unmap()]; p != "" {
			n++
			name = p
		}
	}
	if n*2 > len(g.hosts) {
		return name
	}
	return ""
}

// mayForward reports whether a group could pass on mail that we send directly:
// the same author domains, a small part of it, and no line of a home or a
// rented server.
func (s *scene) mayForward(g *group) bool {
	var shared, direct uint64
	for _, h := range g.headerFrom {
		if d := s.direct[h.name]; d > 0 {
			shared += h.messages
			direct += d
		}
	}
	return shared*10 >= g.all.messages*9 && g.all.messages*10 <= direct && !g.most(sources.Consumer) && !g.most(sources.Numbered)
}

// permitted reports whether our SPF records allow most of the group's hosts now.
func (s *scene) permitted(g *group) bool {
	n := 0
	for _, h := range g.hosts {
		if s.permit.Addr(h.addr) {
			n++
		}
	}
	return n*2 > len(g.hosts)
}

// includedOrg returns the organization behind the group that our SPF records
// include, "" for none.
func (s *scene) includedOrg(g *group) string {
	for _, o := range []string{g.ptrOrg, g.foreign.top()} {
		if o != "" && o != s.ours && s.permitOrg[o] {
			return o
		}
	}
	return ""
}

func ratio(a, b uint64) float64 {
	if b == 0 {
		return 0
	}
	r := float64(a) / float64(b)
	if math.IsNaN(r) {
		return 0
	}
	return r
}
