package sources

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"

	"sekimori/dns"
	"sekimori/spf"
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

// PermitIndex answers what a Permit allows in a time that does not grow with its
// prefixes: for asking about many addresses. It is safe for concurrent use; the
// zero PermitIndex allows nothing.
type PermitIndex struct{ table *bart.Lite }

// Index makes a PermitIndex of the prefixes that there are now.
func (p Permit) Index() PermitIndex {
	t := new(bart.Lite)
	for _, n := range p.Prefixes {
		t.Insert(n)
	}
	return PermitIndex{t}
}

// Addr reports whether the record allows an address.
func (x PermitIndex) Addr(a netip.Addr) bool { return x.table != nil && x.table.Contains(a.Unmap()) }

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
	if w.seen[name] || depth > 8 {
		return nil
	}
	w.seen[name] = true
	texts, err := w.lookup(name, dns.TXT)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(texts, spf.IsRecord)
	if i < 0 {
		return nil
	}
	if depth == 0 {
		w.out.Found = true
	}
	terms, _ := spf.ParseTerms(texts[i]) // a record at fault still tells something
	for k := range terms {
		w.term(&terms[k], name, depth)
	}
	return nil
}

func (w *permitWalk) term(t *spf.Term, name string, depth int) {
	if t.Qualifier != spf.Plus && (!t.IsModifier() || t.Name != spf.Redirect) || strings.Contains(t.Value.String(), "%") {
		return
	}
	target := strings.ToLower(strings.TrimSuffix(t.Value.String(), "."))
	switch t.Name {
	case spf.IP4, spf.IP6:
		w.prefix(t.Network)
	case spf.Include, spf.Redirect:
		if !slices.Contains(w.out.Domains, target) {
			w.out.Domains = append(w.out.Domains, target)
		}
		_ = w.record(target, depth+1) // counted in Partial
	case spf.A, spf.MX:
		if target == "" {
			target = name
		}
		hosts := []string{target}
		if t.Name == spf.MX {
			hosts = nil
			mxs, _ := w.lookup(target, dns.MX)
			for _, mx := range mxs {
				if _, host, ok := strings.Cut(mx, " "); ok && host != "." {
					hosts = append(hosts, host)
				}
			}
		}
		for _, h := range hosts {
			w.host(t, h)
		}
	}
}

// host adds the addresses of a host, with the network around them that the
// term has.
func (w *permitWalk) host(t *spf.Term, name string) {
	for _, kind := range []dns.Type{dns.A, dns.AAAA} {
		addrs, _ := w.lookup(name, kind)
		for _, s := range addrs {
			a, err := netip.ParseAddr(s)
			if err != nil {
				continue
			}
			w.prefix(around(t, a))
		}
	}
}

// around is the network around an address that an "a" or "mx" term has.
func around(t *spf.Term, a netip.Addr) netip.Prefix {
	bits, length := a.BitLen(), t.Bits4
	if a.Is6() {
		length = t.Bits6
	}
	if length.Given {
		bits = int(length.Bits)
	}
	return netip.PrefixFrom(a, bits)
}

// prefix adds a network.
func (w *permitWalk) prefix(p netip.Prefix) {
	if !saysNothing(p) {
		w.out.Prefixes = append(w.out.Prefixes, p.Masked())
	}
}

// saysNothing tells networks so wide that they are no evidence (RFC 7208 knows
// +all in many disguises), and what is none.
func saysNothing(p netip.Prefix) bool {
	return !p.IsValid() || p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 20
}
