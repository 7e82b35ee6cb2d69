package sources

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"sekimori/dns"
)

// Permit is what a domain's SPF record allows now, as evidence of whose an
// address is. It is not an SPF evaluation (RFC 7208 §4): macros, exists and
// ptr are left out, limits are wider, and qualifiers that do not pass are
// ignored.
type Permit struct {
	Prefixes []netip.Prefix
	Domains  []string // that the record includes or redirects to, lower case
	Found    bool     // there is an SPF record
	Partial  bool     // some look-ups failed
}

// Addr reports whether the record allows an address.
func (p Permit) Addr(a netip.Addr) bool {
	a = a.Unmap()
	for _, n := range p.Prefixes {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// maxPermitLookups bounds the questions for one record: more than the 10 that
// RFC 7208 §4.6.4 allows, since a record that is over the limit tells as much.
const maxPermitLookups = 40

// LookupPermit reads a domain's SPF record and those that it includes. It
// asks at most 40 questions. What fails makes the answer Partial; the error
// is set only where the record itself could not be looked up.
func LookupPermit(ctx context.Context, r dns.Resolver, name string) (Permit, error) {
	w := permitWalk{ctx: ctx, r: r, seen: map[string]bool{}}
	err := w.record(strings.ToLower(strings.TrimSuffix(name, ".")), 0)
	if errors.Is(err, dns.ErrNameNotFound) || errors.Is(err, dns.ErrNoData) {
		err = nil
	}
	return w.out, err
}

type permitWalk struct {
	ctx   context.Context
	r     dns.Resolver
	seen  map[string]bool
	asked int
	out   Permit
}

func (w *permitWalk) lookup(name string, t dns.Type) ([]string, error) {
	if w.asked++; w.asked > maxPermitLookups {
		w.out.Partial = true
		return nil, dns.ErrNoData
	}
	a, err := w.r.Lookup(w.ctx, name, t)
	if err != nil && !errors.Is(err, dns.ErrNameNotFound) && !errors.Is(err, dns.ErrNoData) {
		w.out.Partial = true
	}
	return a.Records, err
}

func (w *permitWalk) record(name string, depth int) error {
	if w.seen[name] || depth > 8 || strings.Contains(name, "%") {
		return nil
	}
	w.seen[name] = true
	texts, err := w.lookup(name, dns.TXT)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(texts, func(s string) bool {
		return strings.EqualFold(s, "v=spf1") || len(s) > 7 && strings.EqualFold(s[:7], "v=spf1 ")
	})
	if i < 0 {
		return nil
	}
	if depth == 0 {
		w.out.Found = true
	}
	for _, term := range strings.Fields(texts[i])[1:] {
		w.term(strings.ToLower(term), name, depth)
	}
	return nil
}

func (w *permitWalk) term(term, name string, depth int) {
	switch term[0] {
	case '-', '~', '?':
		return
	case '+':
		term = term[1:]
	}
	if to, ok := strings.CutPrefix(term, "redirect="); ok {
		w.include(to, depth)
		return
	}
	mechanism, arg, _ := strings.Cut(term, ":")
	mechanism, bits, hasBits := strings.Cut(mechanism, "/")
	switch mechanism {
	case "include":
		w.include(arg, depth)
	case "ip4", "ip6":
		w.prefix(arg)
	case "a", "mx":
		target, argBits, argHas := strings.Cut(arg, "/")
		if argHas {
			bits, hasBits = argBits, true
		}
		if target == "" {
			target = name
		}
		if strings.Contains(target, "%") {
			return
		}
		hosts := []string{target}
		if mechanism == "mx" {
			hosts = nil
			mxs, _ := w.lookup(target, dns.MX)
			for _, mx := range mxs {
				if _, host, ok := strings.Cut(mx, " "); ok && host != "." {
					hosts = append(hosts, host)
				}
			}
		}
		for _, h := range hosts {
			for _, t := range []dns.Type{dns.A, dns.AAAA} {
				addrs, _ := w.lookup(h, t)
				for _, a := range addrs {
					if t == dns.A && hasBits && bits != "" && bits[0] != '/' {
						b, _, _ := strings.Cut(bits, "/")
						a += "/" + b
					}
					w.prefix(a)
				}
			}
		}
	}
}

func (w *permitWalk) include(to string, depth int) {
	to = strings.TrimSuffix(to, ".")
	if to == "" || strings.Contains(to, "%") {
		return
	}
	if !slices.Contains(w.out.Domains, to) {
		w.out.Domains = append(w.out.Domains, to)
	}
	_ = w.record(to, depth+1) // counted in Partial
}

// prefix adds a network, however it is written. One so wide that it says
// nothing (RFC 7208 knows +all in many disguises) is left out.
func (w *permitWalk) prefix(s string) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 20 {
		return
	}
	w.out.Prefixes = append(w.out.Prefixes, p.Masked())
}
