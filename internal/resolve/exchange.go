package resolve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"sekimori/dns"
	"sekimori/dns/rr"
)

// errBogus is a SERVFAIL that the server explains with failed validation.
var errBogus = errors.New("DNSSEC validation failed")

// try asks one server once: over UDP, and over TCP where the answer does not
// fit. An error means that another server, or a later time, may know more.
func (r *Resolver) try(ctx context.Context, s server, k key) (*mdns.Msg, error) {
	q := new(mdns.Msg)
	q.Id = mdns.Id()
	q.RecursionDesired = true
	q.AuthenticatedData = true // RFC 6840 §5.7: we understand the AD bit
	q.Question = []mdns.Question{{Name: k.name, Qtype: k.typ, Qclass: mdns.ClassINET}}
	q.SetEdns0(bufferSize, false)
	m, err := r.send(ctx, "udp", s, q)
	if err == nil && m.Rcode == mdns.RcodeFormatError && len(m.Answer) == 0 {
		q.Extra = nil // a server from before EDNS (RFC 6891 §7)
		m, err = r.send(ctx, "udp", s, q)
	}
	if err == nil && m.Truncated {
		m, err = r.send(ctx, "tcp", s, q)
		if err == nil && m.Truncated {
			err = errors.New("answer cut short over TCP")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", s.addr, err)
	}
	switch m.Rcode {
	case mdns.RcodeSuccess, mdns.RcodeNameError:
		return m, nil
	}
	if m.Rcode == mdns.RcodeServerFailure && explainsBogus(m) {
		return nil, fmt.Errorf("server %s: %w", s.addr, errBogus)
	}
	return nil, fmt.Errorf("server %s: answered %s", s.addr, mdns.RcodeToString[m.Rcode])
}

// send makes one exchange and checks that the answer is one to the question.
func (r *Resolver) send(ctx context.Context, network string, s server, q *mdns.Msg) (*mdns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	c := mdns.Client{Net: network, Timeout: r.o.Timeout, UDPSize: bufferSize}
	m, _, err := c.ExchangeContext(ctx, q, s.addr)
	if err != nil {
		return nil, err
	}
	if m.Id != q.Id || !m.Response || m.Opcode != mdns.OpcodeQuery || len(m.Question) != 1 ||
		!strings.EqualFold(m.Question[0].Name, q.Question[0].Name) || m.Question[0].Qtype != q.Question[0].Qtype ||
		m.Question[0].Qclass != mdns.ClassINET {
		return nil, errors.New("answer to another question")
	}
	return m, nil
}

// explainsBogus reads extended errors (RFC 8914 §4.7 to §4.13).
func explainsBogus(m *mdns.Msg) bool {
	opt := m.IsEdns0()
	return opt != nil && slices.ContainsFunc(opt.Option, func(o mdns.EDNS0) bool {
		e, ok := o.(*mdns.EDNS0_EDE)
		return ok && e.InfoCode >= 6 && e.InfoCode <= 12
	})
}

// read takes the answer out of a message, following the aliases in it. next is
// the name to ask for where the server left the end of the chain to us.
func read(m *mdns.Msg, k key, trusted bool) (a answer, next string) {
	if trusted && m.AuthenticatedData {
		a.security = dns.Secure
	}
	name, ttl := k.name, uint32(1<<31-1)
	seen := map[string]bool{name: true}
	for k.typ != mdns.TypeCNAME {
		to := ""
		for _, r := range m.Answer {
			if c, ok := r.(*mdns.CNAME); ok && strings.EqualFold(c.Hdr.Name, name) {
				to, ttl = strings.ToLower(c.Target), min(ttl, c.Hdr.Ttl)
				break
			}
		}
		if to == "" {
			break
		}
		if seen[to] {
			a.err = fmt.Errorf("%w: aliases go round in a circle", dns.ErrTemporary)
			return a, ""
		}
		seen[to] = true
		name = to
	}
	for _, r := range m.Answer {
		h := r.Header()
		if h.Rrtype != k.typ || h.Class != mdns.ClassINET || !strings.EqualFold(h.Name, name) {
			continue
		}
		if text, ok := rr.Text(r); ok && !slices.Contains(a.records, text) {
			a.records = append(a.records, text)
			ttl = min(ttl, h.Ttl)
		}
	}
	a.ttl = time.Duration(ttl) * time.Second
	if len(a.records) > 0 {
		return a, ""
	}
	soa := false
	for _, r := range m.Ns {
		if s, ok := r.(*mdns.SOA); ok {
			soa = true
			ttl = min(ttl, s.Hdr.Ttl, s.Minttl) // RFC 2308 §5
		}
	}
	if !soa && name == k.name {
		ttl = 0 // RFC 2308 §5: not to be kept; the least time applies
	}
	a.ttl = time.Duration(ttl) * time.Second
	switch {
	case m.Rcode == mdns.RcodeNameError:
		a.err = dns.ErrNameNotFound
	case name != k.name && !soa:
		return a, name
	default:
		a.err = dns.ErrNoData
	}
	return a, ""
}

// trustsAD reports whether resolv.conf(5) has "options trust-ad".
func trustsAD(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) > 1 && fields[0] == "options" && slices.Contains(fields[1:], "trust-ad") {
			return true
		}
	}
	return false
}
