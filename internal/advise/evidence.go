package advise

import (
	"net/netip"
	"slices"
	"strings"

	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// maxNames bounds the different names that are kept of one address or of one
// source: further ones are counted in messages only.
const maxNames = 12

// count is messages by outcome.
type count struct{ messages, failing uint64 }

func (c *count) add(n uint64, failing bool) {
	c.messages += n
	if failing {
		c.failing += n
	}
}

func (c *count) sum(o count) {
	c.messages += o.messages
	c.failing += o.failing
}

// named is a name with its messages.
type named struct {
	name string
	count
}

// names is a short list of names with their messages.
type names []named

func (l *names) add(name string, c count) {
	for i := range *l {
		if (*l)[i].name == name {
			(*l)[i].sum(c)
			return
		}
	}
	if len(*l) < maxNames {
		// Most lists stay at one; a list may be shared, so it is never grown in place.
		*l = append((*l)[:len(*l):len(*l)], named{name, c})
	}
}

func (l *names) merge(o names) {
	for _, n := range o {
		l.add(n.name, n.count)
	}
}

// top returns the name with the most messages, "" for none.
func (l names) top() string {
	best := -1
	for i := range l {
		if best < 0 || l[i].messages > l[best].messages || l[i].messages == l[best].messages && l[i].name < l[best].name {
			best = i
		}
	}
	if best < 0 {
		return ""
	}
	return l[best].name
}

// sorted returns the names, the most messages first, at most limit of them.
func (l names) sorted(limit int) []string {
	c := slices.Clone(l)
	slices.SortFunc(c, func(a, b named) int {
		switch {
		case a.messages != b.messages && a.messages > b.messages:
			return -1
		case a.messages != b.messages:
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	out := make([]string, 0, min(len(c), limit))
	for _, n := range c[:min(len(c), limit)] {
		out = append(out, n.name)
	}
	return out
}

// evidence is what stored rows say about an address, or about a group of them.
type evidence struct {
	all    count // over the whole history that was read
	window count // of it, in the window that was asked for

	spfAligned  uint64 // passed DMARC by SPF: sent by whom our SPF record names
	dkimAligned uint64 // passed DMARC by DKIM alone
	ourSigFails uint64 // failed with a signature of ours that did not verify
	foreignAuth uint64 // failed, and another organization's SPF or DKIM passed
	foreignSig  uint64 // of it, with another organization's DKIM signature
	bare        uint64 // failed with nothing that passed, a signature of ours that did not verify included
	forged      uint64 // of bare, with such a signature: it comes free to anyone
	ownReturn   uint64 // our envelope sender, from where our SPF record does not allow it
	bareReturn  uint64 // the same without any signature of ours
	override    uint64 // the receiver named it forwarded, a list or a trusted forwarder

	headerFrom names // author domains
	dkim       names // signing domains that passed
	spf        names // envelope domains that passed SPF
	foreign    names // organizations other than ours that passed SPF or DKIM
	envelope   names // domains that SPF was checked for, passed or not

	first, last store.Day // zero while all.messages is 0
	reporters   int       // most reporters in one row
}

func (e *evidence) failing() uint64 { return e.all.failing }
func (e *evidence) passing() uint64 { return e.all.messages - e.all.failing }

// sum adds another evidence to e.
func (e *evidence) sum(o *evidence) {
	if o.all.messages > 0 {
		if e.all.messages == 0 || o.first < e.first {
			e.first = o.first
		}
		if e.all.messages == 0 || o.last > e.last {
			e.last = o.last
		}
	}
	e.all.sum(o.all)
	e.window.sum(o.window)
	e.spfAligned += o.spfAligned
	e.dkimAligned += o.dkimAligned
	e.ourSigFails += o.ourSigFails
	e.foreignAuth += o.foreignAuth
	e.foreignSig += o.foreignSig
	e.bare += o.bare
	e.forged += o.forged
	e.ownReturn += o.ownReturn
	e.bareReturn += o.bareReturn
	e.override += o.override
	e.headerFrom.merge(o.headerFrom)
	e.dkim.merge(o.dkim)
	e.spf.merge(o.spf)
	e.foreign.merge(o.foreign)
	e.envelope.merge(o.envelope)
	e.reporters = max(e.reporters, o.reporters)
}

// host is one address.
type host struct {
	addr netip.Addr
	evidence
	ptr     []string // host names, lower case
	asked   bool     // ptr is known, also when empty
	kind    sources.Kind
	org     string // organization in a chosen name, "" for other kinds
	claimed string // organization in a name that its own zone does not agree to
	unsure  bool   // its name is ours and leads nowhere, where others of ours lead back
	owner   string // organization in any name: the hoster, the provider
	// authors is the window's messages by author domain, other than the policy
	// domain; at most maxNames.
	authors []authored
}
