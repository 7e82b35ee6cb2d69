package advise

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// rowReader gathers rows into hosts, and keeps those that may tell something:
// at most most of the addresses with mail that passed, or that authenticated as
// somebody, and at most maxLoneHosts of those that did neither. A botnet has
// hundreds of thousands of the latter, all alike; first come those that use an
// author domain that few others use, then the busiest. The rest is one host
// without an address.
type rowReader struct {
	ours   string            // our organizational domain
	domain string            // the policy domain
	orgs   map[string]string // organizational domains by name
	text   map[string]string // one copy of each name
	most   int

	at    *host // its rows are being read
	told  []*host
	lone  []*host
	free  []*host
	users map[string]int // author domain → lone hosts that use it most

	rest        host
	restAuthors map[string]*count
	folded      int // addresses of rest with messages in the window
}

const (
	// maxLoneHosts is how many addresses without any authentication are looked
	// at one by one.
	maxLoneHosts = 20_000
	// fewUsers is how many lone hosts may use an author domain that is special
	// to them.
	fewUsers = 5
)

func newRowReader(ours, domain string, most int) *rowReader {
	return &rowReader{ours: ours, domain: domain, most: most, orgs: map[string]string{}, text: map[string]string{},
		users: map[string]int{}, restAuthors: map[string]*count{}}
}

func (r *rowReader) new(addr netip.Addr) *host {
	if n := len(r.free); n > 0 {
		h := r.free[n-1]
		r.free = r.free[:n-1]
		*h = host{addr: addr}
		return h
	}
	return &host{addr: addr}
}

// flush puts the host whose rows were read where it belongs, and makes room
// where there are too many.
func (r *rowReader) flush() {
	h := r.at
	r.at = nil
	switch {
	case h == nil:
	case !h.addr.IsValid():
		r.put(h)
	case h.lone():
		if top := h.headerFrom.top(); r.users[top] > 0 || len(r.users) < maxSurvey {
			r.users[top]++
		}
		if r.lone = append(r.lone, h); len(r.lone) >= 2*r.mostLone() {
			r.lone = r.keep(r.lone, r.mostLone())
		}
	default:
		if r.told = append(r.told, h); len(r.told) >= r.most+r.most/4+1 {
			r.told = r.keep(r.told, r.most)
		}
	}
}

func (r *rowReader) mostLone() int { return max(1, min(maxLoneHosts, r.most)) }

// keep keeps so many hosts of a list, those that use an author domain of their
// own first, then those with the most messages; the others are put together.
func (r *rowReader) keep(list []*host, most int) []*host {
	if len(list) <= most {
		return list
	}
	type ranked struct {
		few         bool
		window, all uint64
		h           *host
	}
	order := make([]ranked, len(list))
	for i, h := range list {
		order[i] = ranked{r.few(h), h.window.messages, h.all.messages, h}
	}
	slices.SortFunc(order, func(a, b ranked) int {
		switch {
		case a.few != b.few && a.few:
			return -1
		case a.few != b.few:
			return 1
		}
		return cmp.Or(cmp.Compare(b.window, a.window), cmp.Compare(b.all, a.all), a.h.addr.Compare(b.h.addr))
	})
	for i := range order {
		if list[i] = order[i].h; i >= most {
			r.put(order[i].h)
			r.free = append(r.free, order[i].h)
		}
	}
	return list[:most]
}

// few reports whether a lone host uses an author domain that few others use.
func (r *rowReader) few(h *host) bool {
	n := r.users[h.headerFrom.top()]
	return n > 0 && n <= fewUsers && h.lone()
}

// put adds a host to those that are one.
func (r *rowReader) put(h *host) {
	r.rest.sum(&h.evidence)
	for _, x := range h.authors {
		c := r.restAuthors[x.name]
		if c == nil {
			if len(r.restAuthors) >= maxSurvey {
				continue // anybody can invent names
			}
			c = &count{}
			r.restAuthors[x.name] = c
		}
		c.sum(x.count)
	}
	if h.window.messages > 0 {
		r.folded++
	}
}

// hosts ends the reading and returns the hosts, the busiest first.
func (r *rowReader) hosts() []*host {
	r.flush()
	r.told = r.keep(r.told, r.most)
	r.lone = r.keep(r.lone, max(0, min(r.mostLone(), r.most-len(r.told))))
	out := slices.Concat(r.told, r.lone)
	if r.rest.all.messages > 0 {
		for name, c := range r.restAuthors {
			r.rest.authors = append(r.rest.authors, authored{name, *c})
		}
		slices.SortFunc(r.rest.authors, func(a, b authored) int {
			return cmp.Or(cmp.Compare(b.messages, a.messages), strings.Compare(a.name, b.name))
		})
		rest := r.rest
		out = append(out, &rest)
	}
	r.told, r.lone, r.free = nil, nil, nil
	slices.SortFunc(out, byMessages)
	return out
}

// author counts messages of the window with an author domain of its own.
func (h *host) author(name string, c count) {
	for i := range h.authors {
		if h.authors[i].name == name {
			h.authors[i].sum(c)
			return
		}
	}
	if len(h.authors) < maxNames {
		h.authors = append(h.authors, authored{name, c})
	}
}

// org returns the organizational domain of a name. The cache is bounded: the
// names in reports are anybody's.
func (r *rowReader) org(name string) string {
	if o, ok := r.orgs[name]; ok {
		return o
	}
	if len(r.orgs) >= 1<<17 {
		clear(r.orgs)
	}
	o := r.intern(sources.Organization(name))
	r.orgs[r.intern(name)] = o
	return o
}

func (r *rowReader) intern(s string) string {
	if t, ok := r.text[s]; ok {
		return t
	}
	if len(r.text) >= 1<<17 {
		clear(r.text)
	}
	s = strings.Clone(s)
	r.text[s] = s
	return s
}

// add takes one row. The rows of an address come one after the other.
func (r *rowReader) add(row store.SourceRow) {
	if row.Messages == 0 {
		return
	}
	if r.at == nil || r.at.addr != row.Addr {
		r.flush()
		r.at = r.new(row.Addr)
	}
	h := r.at
	if h.all.messages == 0 || row.FirstDay < h.first {
		h.first = row.FirstDay
	}
	if h.all.messages == 0 || row.LastDay > h.last {
		h.last = row.LastDay
	}
	n, failing := row.Messages, !row.Aligned()
	c := count{}
	c.add(n, failing)
	h.all.sum(c)
	if row.Inner > 0 {
		in := count{}
		in.add(row.Inner, failing)
		h.window.sum(in)
		if row.HeaderFrom != r.domain {
			h.author(r.intern(row.HeaderFrom), in)
		}
	}
	h.reporters = max(h.reporters, row.Reporters)
	h.headerFrom.add(r.intern(row.HeaderFrom), c)

	if row.DKIMDomain != "" {
		h.dkim.add(r.intern(row.DKIMDomain), c)
		if o := r.org(row.DKIMDomain); o != r.ours {
			h.foreign.add(o, c)
		}
	}
	if row.EnvelopeDomain != "" {
		h.envelope.add(r.intern(row.EnvelopeDomain), c)
	}
	spfForeign := false
	if row.SPFDomain != "" {
		h.spf.add(r.intern(row.SPFDomain), c)
		if o := r.org(row.SPFDomain); o != r.ours {
			spfForeign = true
			if row.DKIMDomain == "" || r.org(row.DKIMDomain) != o {
				h.foreign.add(o, c)
			}
		}
	}
	ourEnvelope := row.EnvelopeDomain != "" && r.org(row.EnvelopeDomain) == r.ours
	switch {
	case row.SPFAligned:
		h.spfAligned += n
	case row.DKIMAligned:
		h.dkimAligned += n
		if ourEnvelope && row.SPFDomain == "" {
			h.ownReturn += n
		}
	case row.DKIMFailed != "" && r.org(row.DKIMFailed) == r.ours:
		h.ourSigFails += n
		if spfForeign {
			h.foreignAuth += n
		} else {
			h.bare += n
			h.forged += n
		}
		if ourEnvelope && row.SPFDomain == "" {
			h.ownReturn += n
		}
	case spfForeign, row.DKIMDomain != "":
		h.foreignAuth += n
	default:
		h.bare += n
		if ourEnvelope {
			h.bareReturn += n
		}
	}
	if failing && row.DKIMDomain != "" && r.org(row.DKIMDomain) != r.ours {
		h.foreignSig += n
	}
	switch row.Override {
	case "forwarded", "mailing_list", "trusted_forwarder":
		h.override += n
	}
}
