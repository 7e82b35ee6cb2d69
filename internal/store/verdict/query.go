package verdict

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"sekimori/domain"
)

// Query says which entries are looked for; all that is set must hold. The zero
// Query finds the newest.
type Query struct {
	MessageID string // exactly, with or without <>
	Sender    string // envelope-from or From: an address, a domain or @domain
	Address   string // a recipient, its domain or @domain, an IP address or a network
	Text      string // any of the three above, or a queue id
	Since     time.Time
	Until     time.Time // exclusive
	Action    Action
	DMARC     string // its word
	Limit     int    // default 50, at most 1,000
	Before    uint64 // an entry's ID: only older ones
}

const (
	defaultLimit = 50
	maxLimit     = 1000
)

// criterion is one condition: an entry meets it if one of its tests holds.
type criterion struct {
	hashes []uint32 // an entry that meets it has one of these keys
	prefix netip.Prefix
	test   func(*Entry) bool
	// kind says that the test looks at what is kept with the row: the client, the
	// words.
	kind bool
}

// names are the spellings of a domain to look for: as given, in A-labels and in
// U-labels. An address is kept as the message wrote it, while policies, logs and
// replies name the domain in A-labels.
func names(s string) []string {
	s = strings.TrimSuffix(s, ".")
	out := []string{s}
	if d, err := domain.Parse(s); err == nil {
		for _, n := range []string{d.String(), d.Unicode()} {
			if !slices.ContainsFunc(out, func(o string) bool { return strings.EqualFold(o, n) }) {
				out = append(out, n)
			}
		}
	}
	return out
}

// addressCriterion is for an address, "@domain" or a domain; texts gives what
// of an entry it is compared with.
func addressCriterion(s, kind, host string, texts func(*Entry, func(string) bool) bool) criterion {
	at := strings.LastIndexByte(s, '@')
	if at > 0 {
		var c criterion
		var full []string
		for _, n := range names(s[at+1:]) {
			full = append(full, s[:at+1]+n)
			c.hashes = append(c.hashes, hashKey(kind, s[:at+1]+n))
		}
		c.test = func(e *Entry) bool {
			return texts(e, func(t string) bool {
				return slices.ContainsFunc(full, func(f string) bool { return strings.EqualFold(f, t) })
			})
		}
		return c
	}
	var c criterion
	all := names(s[at+1:])
	for _, n := range all {
		c.hashes = append(c.hashes, hashKey(host, n))
	}
	c.test = func(e *Entry) bool {
		return texts(e, func(t string) bool {
			d := domainOf(t)
			return d != "" && slices.ContainsFunc(all, func(n string) bool { return strings.EqualFold(n, d) })
		})
	}
	return c
}

func senderTexts(e *Entry, f func(string) bool) bool { return f(e.MailFrom) || f(e.From) }

func rcptTexts(e *Entry, f func(string) bool) bool { return slices.ContainsFunc(e.Rcpt, f) }

func senderCriterion(s string) criterion {
	return addressCriterion(s, keySender, keyDomain, senderTexts)
}

func messageIDCriterion(s string) criterion {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
	return criterion{hashes: []uint32{hashKey(keyMessageID, s)}, test: func(e *Entry) bool { return e.MessageID == s }}
}

// parseNetwork reads an IP address or a network.
func parseNetwork(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, false
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

func clientCriterion(p netip.Prefix) criterion {
	c := criterion{kind: true, test: func(e *Entry) bool { return p.Contains(e.Client.Unmap()) }}
	if p.IsSingleIP() {
		c.hashes = []uint32{hashClient(p.Addr())}
	} else {
		c.prefix = p
	}
	return c
}

func addressOrClient(s string) criterion {
	if p, ok := parseNetwork(s); ok {
		return clientCriterion(p)
	}
	return addressCriterion(s, keyRcpt, keyRcptHost, rcptTexts)
}

func textCriterion(s string) criterion {
	if p, ok := parseNetwork(s); ok {
		return clientCriterion(p)
	}
	all := []criterion{messageIDCriterion(s), senderCriterion(s), addressOrClient(s),
		{hashes: []uint32{hashKey(keyQueue, s)}, test: func(e *Entry) bool { return strings.EqualFold(e.QueueID, s) }}}
	var c criterion
	for _, one := range all {
		c.hashes = append(c.hashes, one.hashes...)
	}
	c.test = func(e *Entry) bool {
		return slices.ContainsFunc(all, func(one criterion) bool { return one.test(e) })
	}
	return c
}

// criteria are the conditions of a query, those that fewest entries meet first.
func (q *Query) criteria() []criterion {
	var out []criterion
	add := func(s string, f func(string) criterion) {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, f(s))
		}
	}
	add(q.MessageID, messageIDCriterion)
	add(q.Address, addressOrClient)
	add(q.Sender, senderCriterion)
	add(q.Text, textCriterion)
	// A network goes last: it may be wide.
	slices.SortStableFunc(out, func(a, b criterion) int {
		return len(b.hashes[:min(1, len(b.hashes))]) - len(a.hashes[:min(1, len(a.hashes))])
	})
	if q.Action != "" {
		out = append(out, criterion{hashes: []uint32{hashKey(keyAction, string(q.Action))}, kind: true,
			test: func(e *Entry) bool { return e.Action == q.Action }})
	}
	if q.DMARC != "" {
		out = append(out, criterion{hashes: []uint32{hashKey(keyDMARC, q.DMARC)}, kind: true,
			test: func(e *Entry) bool { return strings.EqualFold(e.DMARC, q.DMARC) }})
	}
	if !q.Since.IsZero() || !q.Until.IsZero() {
		out = append(out, criterion{test: func(e *Entry) bool {
			return !(e.Time.Before(q.Since) || !q.Until.IsZero() && !e.Time.Before(q.Until))
		}})
	}
	return out
}
