package resolve

import (
	"fmt"
	"time"

	mdns "github.com/miekg/dns"

	"sekimori/dns"
	"sekimori/dns/rr"
)

// read takes the answer out of a message, following the aliases in it. next is
// the name to ask for where the server left the end of the chain to us. The
// error wraps one of dns's.
func read(m *mdns.Msg, k key, trusted bool) (a dns.Answer, next string, err error) {
	a.Extended = rr.Extended(m)
	if trusted && m.AuthenticatedData {
		a.Security = dns.Secure
	}
	end, ttl, err := follow(m, k)
	if err != nil {
		return dns.Answer{Extended: a.Extended}, "", err
	}
	if end != k.name {
		a.Name = rr.Raw(end)
	}
	seen := map[string]bool{}
	size := 0
	for _, r := range m.Answer {
		h := r.Header()
		if h.Rrtype != k.typ || h.Class != mdns.ClassINET {
			continue
		}
		if owner, ok := rr.Wire(h.Name); !ok || owner != end {
			continue
		}
		text, ok := rr.Text(r)
		if !ok || seen[text] {
			continue // RFC 2181 §5: a set has no duplicates
		}
		if size += len(text); size > maxText || len(a.Records) == maxRecords {
			return dns.Answer{Extended: a.Extended}, "", fmt.Errorf("%w: answer with too much in it", dns.ErrTemporary)
		}
		seen[text] = true
		a.Records = append(a.Records, text)
		ttl = min(ttl, life(h.Ttl))
	}
	if len(a.Records) > 0 {
		a.TTL = time.Duration(ttl) * time.Second
		return a, "", nil
	}
	soa := false
	for _, r := range m.Ns {
		if s, ok := r.(*mdns.SOA); ok {
			soa = true
			ttl = min(ttl, life(s.Hdr.Ttl), life(s.Minttl)) // RFC 2308 §5
		}
	}
	if !soa && end == k.name {
		ttl = 0 // RFC 2308 §5: not to be kept; the least time applies
	}
	a.TTL = time.Duration(ttl) * time.Second
	switch {
	case m.Rcode == mdns.RcodeNameError:
		return a, "", dns.ErrNameNotFound
	case end != k.name && !soa && end != "": // the root has no records to be had by an alias
		return a, end, nil
	}
	return a, "", dns.ErrNoData
}

// follow goes along the aliases of a message to their end, and returns the
// least of their times to live.
func follow(m *mdns.Msg, k key) (end string, ttl uint32, err error) {
	type alias struct {
		to  string
		ttl uint32
	}
	aliases := map[string]alias{}
	for _, r := range m.Answer {
		c, ok := r.(*mdns.CNAME)
		if !ok || k.typ == mdns.TypeCNAME || len(aliases) > 4*maxChain {
			continue
		}
		owner, ok1 := rr.Wire(c.Hdr.Name)
		to, ok2 := rr.Wire(c.Target)
		if _, have := aliases[owner]; ok1 && ok2 && !have {
			aliases[owner] = alias{to, life(c.Hdr.Ttl)}
		}
	}
	end, ttl = k.name, 1<<31-1
	for range maxChain {
		x, ok := aliases[end]
		if !ok {
			return end, ttl, nil
		}
		end, ttl = x.to, min(ttl, x.ttl)
	}
	return "", 0, fmt.Errorf("%w: aliases go round in a circle, or on and on", dns.ErrTemporary)
}

// life reads a time to live (RFC 2181 §8).
func life(ttl uint32) uint32 {
	if ttl > 1<<31-1 {
		return 0
	}
	return ttl
}
