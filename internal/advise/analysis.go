package advise

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// Bounds of one analysis.
const (
	maxPTRs    = 20000
	maxPermits = 12    // author domains whose SPF record is read
	maxAuthors = 40    // author domains that are looked up
	maxSurvey  = 10000 // author domains that are told apart
)

// analysis is the working out of one answer.
type analysis struct {
	a      *Advisor
	ctx    context.Context
	name   domain.Name
	window store.Window
	newest bool // the window ends with the newest report

	rows    *rowReader
	hosts   []*host
	groups  []*group
	scene   scene
	policy  policyState
	days    int // days of the window with reports
	notes   []explain.Step
	words   words
	domains []string // of the store, where they were read
	daily   []store.DayTotals
	counts  counts
	// department narrows the answer, by its name; "" does not. sent is what
	// our own mail server sent, where that is known.
	department string
	sent       sources.Sent
	said       []explain.Step // of the ladder
	began      time.Time
	pending    []netip.Addr // addresses that may have names still to be looked up
	open       int          // how many have
	asked      bool         // the DNS was there to be asked
}

// run does all of it.
func (n *analysis) run() (*Advice, error) {
	n.began = time.Now()
	stop := n.prefetch()
	err := n.read()
	stop()
	if err != nil {
		return nil, err
	}
	if err := n.lookup(); err != nil {
		return nil, err
	}
	n.groups = part(gather(n.hosts, n.scene.ours))
	for _, g := range n.groups {
		if holdsRest(g) {
			g.folded = n.rows.folded
		}
	}
	if err := n.readWords(); err != nil {
		return nil, err
	}
	n.recognise()
	if err := n.observe(); err != nil {
		return nil, err
	}
	n.survey()
	n.scene.learn(n.words)
	n.matchWords()
	if err := n.watch(); err != nil {
		return nil, err
	}
	if err := n.readDays(); err != nil {
		return nil, err
	}
	n.crowds()
	for _, g := range n.groups {
		n.scene.classify(g)
	}
	n.second()
	n.heed()
	n.groups = trim(fold(n.groups))
	n.headline()
	for _, g := range n.groups {
		if f := g.features(); n.a.c.Inspect != nil {
			n.a.c.Inspect(g.id(), g.path.String(), f[:])
		}
		g.own, g.mainAuthor = g.ptrOrg == n.scene.ours, g.headerFrom.top() == n.scene.domain
	}
	if err := n.departments(); err != nil {
		return nil, err
	}
	if err := n.mend(); err != nil {
		return nil, err
	}
	if n.newest && len(n.groups) > 0 {
		if err := n.a.c.Store.SetClasses(n.ctx, n.name.String(), n.classes()); err != nil {
			return nil, err
		}
	}
	if err := n.count(); err != nil {
		return nil, err
	}
	if n.a.c.Sent != nil && n.department == "" {
		var err error
		if n.sent, err = n.a.c.Sent(n.ctx, n.name.String(), n.window); err != nil {
			return nil, err
		}
	}
	a := n.answer()
	a.Daily = n.counts.list()
	return a, nil
}

func (n *analysis) note(code string, args explain.Args) {
	n.notes = append(n.notes, explain.Step{Code: code, Args: args})
}

// read sums the stored rows up by address: the window, and the time before it.
func (n *analysis) read() error {
	st, name := n.a.c.Store, n.name.String()
	ours := n.name.Organizational().String()
	n.rows = newRowReader(ours, name, n.a.c.MaxAddresses)
	begin := min(n.window.End-history, n.window.Begin)
	daily, err := st.DomainDaily(n.ctx, name, store.Window{Begin: begin, End: n.window.End})
	if err != nil {
		return err
	}
	n.scene = scene{
		domain: name, ours: ours, window: n.window, begin: n.window.Begin, end: n.window.End,
		permitOrg: map[string]bool{}, exists: map[string]bool{}, pointed: map[netip.Addr]string{},
	}
	n.daily = daily
	first := true
	for _, d := range daily {
		if d.Messages == 0 {
			continue
		}
		if first || d.Day < n.scene.begin {
			n.scene.begin, first = d.Day, false
		}
		if d.Day >= n.window.Begin {
			n.days++
		}
	}
	span := store.Window{Begin: min(n.scene.begin, n.window.Begin), End: n.window.End}
	if err := st.Evidence(n.ctx, name, span, n.window, func(r store.SourceRow) error {
		n.rows.add(r)
		return nil
	}); err != nil {
		return err
	}
	n.hosts = n.rows.hosts()
	spans, err := st.PolicyHistory(n.ctx, name)
	if err != nil {
		return err
	}
	n.policy = policyAt(spans, n.window)
	return nil
}

// lookup finds our SPF records and the record published now, and host names.
// The records take at most half of the budget: they are few and tell much.
func (n *analysis) lookup() error {
	resolver, budget := n.a.c.Resolver, n.budget()
	if budget == 0 {
		resolver = nil
	}
	start := time.Now()
	reached := false
	if resolver != nil && len(n.hosts) > 0 {
		ctx, cancel := context.WithTimeout(n.ctx, budget/2)
		reached = n.lookupRecords(ctx, resolver)
		cancel()
	}
	addrs := n.addresses()
	f := sources.Finder{Cache: n.a.c.Store, Resolver: resolver, Now: n.a.c.Now, Confirm: true, Ours: n.scene.ours, Catalogue: n.a.c.Catalogue, Budget: budget - time.Since(start)}
	if resolver == nil || f.Budget <= 0 {
		f.Budget = -1
	}
	found, err := f.Names(n.ctx, addrs)
	if n.ctx.Err() != nil {
		return n.ctx.Err()
	}
	if n.asked = resolver != nil && !found.Unreachable; resolver != nil {
		n.open = found.Missing + found.Unconfirmed
		for _, x := range addrs {
			names, ok := found.Names[x]
			if !ok || found.Unconfirmed > 0 && len(names) > 0 && found.Confirmed[x] == nil && found.Denied[x] == nil && found.Absent[x] == nil {
				n.pending = append(n.pending, x)
			}
		}
	}
	if err != nil {
		n.note("note.names-not-kept", nil)
	}
	for _, h := range n.hosts {
		names, ok := found.Names[h.addr]
		h.describe(names, ok, n.scene.ours)
	}
	n.confirm(found)
	switch {
	case len(addrs) == 0:
	case resolver == nil && found.Missing == len(addrs):
		n.note("note.no-resolver", explain.Args{"addresses": int64(found.Missing)})
	case found.Unreachable && !reached:
		n.note("note.resolver-unreachable", explain.Args{"addresses": int64(found.Missing)})
	case found.Missing > 0 || len(n.hosts) > len(addrs)+1:
		n.note("note.names-missing", explain.Args{"addresses": int64(found.Missing + max(0, len(n.hosts)-len(addrs)-1)), "of": int64(len(n.hosts))})
	}
	return nil
}

// addresses lists the addresses whose names are wanted, those with mail that
// tells something first, then the busiest.
func (n *analysis) addresses() []netip.Addr {
	addrs := make([]netip.Addr, 0, min(len(n.hosts), maxPTRs))
	for _, lone := range []bool{false, true} {
		for _, h := range n.hosts {
			if h.addr.IsValid() && h.lone() == lone && len(addrs) < maxPTRs {
				addrs = append(addrs, h.addr)
			}
		}
	}
	return addrs
}

// lookupRecords reads the record published now, the SPF records of the busiest
// author domains, and whether the author domains exist. It reports whether the
// resolver answered.
func (n *analysis) lookupRecords(ctx context.Context, r dns.Resolver) bool {
	s := &n.scene
	permit, err := sources.LookupPermit(ctx, r, s.domain)
	if err != nil {
		return false // the rest would fare no better
	}
	s.allow(s.domain, permit)
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	for i, name := range n.authors() {
		wg.Go(func() {
			var p sources.Permit
			if i < maxPermits {
				p, _ = sources.LookupPermit(ctx, r, name)
			}
			e, known := true, true
			if !p.Found {
				e, known = exists(ctx, r, name)
			}
			if i < maxPermits && (e || p.Found) {
				s.point(ctx, r, name, &mu)
			}
			mu.Lock()
			defer mu.Unlock()
			s.allow(name, p)
			if known {
				s.exists[name] = e
			}
		})
	}
	wg.Go(func() { s.point(ctx, r, s.domain, &mu) })
	wg.Wait()
	n.policy.published = publishedRecord(ctx, r, s.domain)
	return true
}

// point notes the addresses that a name of ours points to: its own, its web
// site's and its mail exchangers', as far as these are names of ours. A web
// site on a server that many share counts too: the mail is in our name.
func (s *scene) point(ctx context.Context, r dns.Resolver, name string, mu *sync.Mutex) {
	hosts := []string{name, "www." + name}
	if mx, err := r.Lookup(ctx, name, dns.MX); err == nil {
		for _, x := range mx.Records[:min(len(mx.Records), 10)] {
			_, host, _ := strings.Cut(x, " ")
			if host = strings.ToLower(strings.TrimSuffix(host, ".")); sources.Organization(host) == s.ours {
				hosts = append(hosts, host)
			}
		}
	}
	for _, host := range hosts {
		for _, t := range []dns.Type{dns.A, dns.AAAA} {
			a, err := r.Lookup(ctx, host, t)
			if err != nil {
				continue
			}
			mu.Lock()
			for _, x := range a.Records[:min(len(a.Records), 20)] {
				if addr, err := netip.ParseAddr(x); err == nil {
					s.pointed[addr.Unmap()] = host
				}
			}
			mu.Unlock()
		}
	}
}

// allow adds what an author domain's SPF record allows.
func (s *scene) allow(name string, p sources.Permit) {
	s.permit.Prefixes = append(s.permit.Prefixes, p.Prefixes...)
	for _, d := range p.Domains {
		if o := sources.Organization(d); o != s.ours {
			s.permitOrg[o] = true
		}
	}
	if p.Found {
		s.exists[name] = true
		s.permit.Found = true
	}
	s.permit.Domains = append(s.permit.Domains, p.Domains...)
	s.permit.Partial = s.permit.Partial || p.Partial
}

// authors returns the author domains of ours below the policy domain, those
// with the most messages first.
func (n *analysis) authors() []string {
	seen := map[string]*count{}
	for _, h := range n.hosts {
		for _, f := range h.headerFrom {
			c := seen[f.name]
			if c == nil {
				if len(seen) >= 10000 {
					continue // anybody can invent names
				}
				c = &count{}
				seen[f.name] = c
			}
			c.sum(f.count)
		}
	}
	var list names
	for name, c := range seen {
		if name != n.scene.domain && n.rows.org(name) == n.scene.ours {
			list = append(list, named{name, *c})
		}
	}
	return list.sorted(maxAuthors)
}

// exists reports whether a name is in the DNS: only NXDOMAIN says that it is
// not (RFC 9989 §3.2.13), for the policy np. False in the second result means
// that it could not be found out.
func exists(ctx context.Context, r dns.Resolver, name string) (exists, known bool) {
	a, err := r.Lookup(ctx, name, dns.TXT)
	switch {
	case err == nil || a.Name != "": // an alias is there, wherever it points
		return true, true
	case dns.Absent(err):
		return !errors.Is(err, dns.ErrNameNotFound), true
	}
	return false, false
}

// survey fills in what the groups tell about the domain as a whole.
func (n *analysis) survey() {
	s := &n.scene
	s.direct, s.users = map[string]uint64{}, map[string]map[string]bool{}
	s.networks, s.services = map[netip.Prefix]bool{}, map[string]bool{}
	var direct, signed uint64
	swarms := map[string]*swarm{}
	s.envelopes = map[string]int{}
	passing := uint64(0)
	for _, g := range n.groups {
		passing += g.passing()
		for _, h := range g.hosts {
			if e := h.envelope.top(); e != "" {
				if _, ok := s.envelopes[e]; ok || len(s.envelopes) < maxSurvey {
					s.envelopes[e]++
				}
			}
			aligned := h.spfAligned > 0 && h.spfAligned*5 >= h.all.messages
			if aligned || h.org == s.ours && h.passing() > 0 {
				s.networks[network(h.addr)] = true
			}
			if aligned {
				direct += h.all.messages
				for _, d := range h.dkim {
					if n.rows.org(d.name) == s.ours {
						signed += d.messages
					}
				}
			}
			for _, f := range h.headerFrom {
				if aligned {
					s.direct[f.name] += f.messages - f.failing
				}
				u := s.users[f.name]
				if u == nil && len(s.users) >= maxSurvey {
					continue // anybody can invent names
				}
				if u == nil {
					u = map[string]bool{}
					s.users[f.name] = u
				}
				if len(u) < 3 {
					u[g.key] = true
				}
			}
			if h.bare*2 >= h.all.messages && h.kind != sources.Named && h.addr.IsValid() {
				top := h.headerFrom.top()
				if swarms[top] == nil && len(swarms) >= maxSurvey {
					continue
				}
				if swarms[top] == nil {
					swarms[top] = &swarm{networks: map[netip.Prefix]bool{}}
				}
				swarms[top].add(h)
			}
		}
		if g.passing()*2 > g.all.messages && g.ptrOrg != s.ours {
			if f := s.forwarding(g); f.score < forwardFrom {
				for _, o := range []string{g.ptrOrg, g.foreign.top()} {
					if o != "" && g.passing() >= 10 {
						s.services[o] = true
					}
				}
			}
		}
	}
	s.unsigned = signed*2 < direct
	s.silent = passing == 0 && s.permit.Found && !s.permit.Partial && len(s.permit.Prefixes) == 0 && len(s.permit.Domains) == 0
	s.scatter(swarms)
}

// second looks again at groups that are unknown, now that it is known what the
// others are: hosts around a source of ours are likely ours.
func (n *analysis) second() {
	s := &n.scene
	for _, g := range n.groups {
		if g.class != Broken || g.ptrOrg != s.ours {
			continue
		}
		for _, h := range g.hosts {
			s.networks[network(h.addr)] = true
		}
	}
	for _, g := range n.groups {
		if g.class == Unknown && !g.rest {
			s.classify(g)
		}
	}
}

// holdsRest reports whether a group holds the addresses that are one host.
func holdsRest(g *group) bool {
	return slices.ContainsFunc(g.hosts, func(h *host) bool { return !h.addr.IsValid() })
}

// classes gives the class of each address to the store. That of addresses put
// together is what the store takes for those it does not find.
func (n *analysis) classes() iter.Seq2[netip.Addr, store.ClassRow] {
	return func(yield func(netip.Addr, store.ClassRow) bool) {
		var rest *group
		if i := slices.IndexFunc(n.groups, holdsRest); i >= 0 {
			rest = n.groups[i]
			if !yield(netip.Addr{}, store.ClassRow{Class: string(rest.class), Source: rest.id()}) {
				return
			}
		}
		for _, g := range n.groups {
			if g == rest {
				continue
			}
			row := store.ClassRow{Class: string(g.class), Source: g.id()}
			for _, h := range g.hosts {
				if !yield(h.addr, row) {
					return
				}
			}
		}
	}
}
