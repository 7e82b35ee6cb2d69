package worlds

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"sekimori/dns"
	"sekimori/report/aggregate"
)

// builder puts a world together.
type builder struct {
	r      *rand.Rand
	seed   uint64
	domain string
	kind   string
	days   int
	begin  time.Time // midnight UTC
	scale  float64   // messages of the main servers on a business day

	// How hard the world is, from 0 to 1 each.
	noise    float64 // of our own mail that breaks on the way, and of rhythm
	nameless float64 // share of honest hosts without a reverse name
	// forward is set where honest names also resolve to their addresses;
	// many zones that are handed around hold reverse names only.
	forward  bool
	unsigned bool // our main servers do not sign with DKIM
	hosted   bool // our mail servers are a provider's
	strict   bool // adkim=s, aspf=s
	longSPF  bool // our SPF record needs more than ten look-ups (RFC 7208 §4.6.4)
	holidays map[int]bool

	zone      strings.Builder
	spf       []string // terms of our record
	late      []string // terms that stand after ten look-ups
	policies  []policySpan
	receivers []receiver
	partners  []string // further policy domains of ours, in a sector
	own       []netip.Addr
	vendors   []string // that send for us and pass
	subs      int
	used      map[netip.Addr]bool
	dnsNames  map[string]bool // author domains that the zone has

	kinds    []mail
	kindOf   map[mail]int32
	cells    [][]row // by day and receiver
	sources  []*sender
	byName   map[string]*sender
	chunks   int // most rows that one source makes on one day
	shapeNow string
}

// policySpan is the policy from a day on.
type policySpan struct {
	from      int
	p, sp, np string
}

// sender is a source while the world is made.
type sender struct {
	Source
	name  string
	index int16
	// due is set for a periodic sender that is still broken at the end.
	period int
	broken func(day int) bool
}

// row is messages of one kind from one address, in one report.
type row struct {
	addr   netip.Addr
	kind   int32
	source int16
	domain int8 // index into partners plus one; 0 is our own
	count  uint32
}

// signature is one DKIM result.
type signature struct{ domain, selector, result string }

// mail is one kind of message.
type mail struct {
	from     string
	envelope string
	spf      string // result
	sigs     [3]signature
	override string // type of the receiver's reason
}

// signed returns the mail with another signature that passes.
func (k mail) signed(domain, selector string) mail {
	return k.sig(signature{domain, selector, "pass"})
}

// broken returns the mail with a signature that does not verify.
func (k mail) broken(domain, selector string) mail {
	return k.sig(signature{domain, selector, "fail"})
}

func (k mail) sig(s signature) mail {
	for i := range k.sigs {
		if k.sigs[i].domain == "" {
			k.sigs[i] = s
			return k
		}
	}
	return k
}

// aligned reports whether an authenticated domain is aligned with the author
// domain: relaxed here is "both below our domain", which holds for all names
// that worlds use (RFC 9989 §4.10.2).
func (b *builder) aligned(author, authenticated, policy string) bool {
	if author == authenticated {
		return true
	}
	if b.strict {
		return false
	}
	return within(author, policy) && within(authenticated, policy)
}

func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// outcome tells how DMARC evaluates a kind of mail.
func (b *builder) outcome(k *mail, policy string) (dkim, spf bool) {
	for _, s := range k.sigs {
		dkim = dkim || s.result == "pass" && b.aligned(k.from, s.domain, policy)
	}
	return dkim, k.spf == "pass" && b.aligned(k.from, k.envelope, policy)
}

func (b *builder) chance(p float64) bool { return b.r.Float64() < p }

func pick[T any](b *builder, of ...T) T { return of[b.r.IntN(len(of))] }

// spread returns a number between lo and hi, evenly in its logarithm.
func (b *builder) spread(lo, hi float64) float64 {
	return lo * math.Exp(b.r.Float64()*math.Log(hi/lo))
}

// addr returns an address nobody has: in the /24 (of IPv6: the /48) of near, or
// anywhere.
func (b *builder) addr(near netip.Addr) netip.Addr {
	for {
		n := [4]byte{byte(11 + b.r.IntN(200)), byte(b.r.IntN(256)), byte(b.r.IntN(256)), byte(1 + b.r.IntN(254))}
		if near.Is6() && near.IsValid() {
			x := near.As16()
			x[15], x[14], x[7] = byte(1+b.r.IntN(250)), byte(b.r.IntN(4)), byte(b.r.IntN(8))
			if a := netip.AddrFrom16(x); !b.used[a] {
				b.used[a] = true
				return a
			}
			continue
		}
		if n[0] == 127 || n[0] == 192 || n[0] == 172 || n[0] == 169 || n[0] == 100 || n[0] == 198 {
			continue
		}
		if near.IsValid() {
			m := near.As4()
			n = [4]byte{m[0], m[1], m[2], byte(1 + b.r.IntN(254))}
		}
		a := netip.AddrFrom4(n)
		if !b.used[a] {
			b.used[a] = true
			return a
		}
	}
}

// addr6 returns an IPv6 address of a network of its own.
func (b *builder) addr6() netip.Addr {
	var x [16]byte
	x[0], x[1] = 0x24, byte(b.r.IntN(16))
	for i := 2; i < 6; i++ {
		x[i] = byte(b.r.IntN(256))
	}
	x[15] = byte(1 + b.r.IntN(250))
	a := netip.AddrFrom16(x)
	b.used[a] = true
	return a
}

// record adds a line to the zone.
func (b *builder) record(format string, args ...any) {
	fmt.Fprintf(&b.zone, format, args...)
	b.zone.WriteByte('\n')
}

// ptr gives an address a reverse name, without a word about whether the name
// knows the address.
func (b *builder) ptr(a netip.Addr, host string) {
	if host != "" {
		b.record("%s PTR %s.", dns.Reverse(a), host)
	}
}

// named gives an address a reverse name that is confirmed where the world has
// forward records.
func (b *builder) named(a netip.Addr, host string) {
	b.ptr(a, host)
	if b.forward && host != "" {
		b.record("%s. %s %s", host, kindOfAddr(a), a)
	}
}

func kindOfAddr(a netip.Addr) string {
	if a.Is6() {
		return "AAAA"
	}
	return "A"
}

// pool returns n addresses of one network with names.
func (b *builder) pool(n int, host func(i int, a netip.Addr) string) []netip.Addr {
	return b.poolNear(b.addr(netip.Addr{}), n, host)
}

func (b *builder) poolNear(first netip.Addr, n int, host func(i int, a netip.Addr) string) []netip.Addr {
	out := []netip.Addr{first}
	for len(out) < n {
		out = append(out, b.addr(first))
	}
	for i, a := range out {
		b.named(a, host(i, a))
	}
	return out
}

// honest leaves out names as often as the world does.
func (b *builder) honest(format string) func(i int, a netip.Addr) string {
	if b.chance(b.nameless) {
		return func(int, netip.Addr) string { return "" }
	}
	return func(i int, _ netip.Addr) string { return fmt.Sprintf(format, i+1) }
}

func dashed(a netip.Addr) string {
	return strings.NewReplacer(".", "-", ":", "-").Replace(a.String())
}

func network24(a netip.Addr) string {
	if a.Is6() {
		p, _ := a.Prefix(48)
		return "ip6:" + p.String()
	}
	p, _ := a.Prefix(24)
	return "ip4:" + p.String()
}

// source adds a source. IPs come with the messages.
func (b *builder) source(name, class string, also ...string) *sender {
	n := name
	for i := 2; b.byName[n] != nil; i++ {
		n = fmt.Sprintf("%s-%d", name, i)
	}
	s := &sender{name: n, index: int16(len(b.sources))}
	s.Class, s.Also, s.Shape = class, also, b.shapeNow
	b.sources = append(b.sources, s)
	b.byName[n] = s
	return s
}

// poisson throws a number with a mean.
func (b *builder) poisson(mean float64) int {
	if mean <= 0 {
		return 0
	}
	if mean > 50 {
		return max(0, int(mean+math.Sqrt(mean)*b.r.NormFloat64()+.5))
	}
	l, k, p := math.Exp(-mean), 0, 1.0
	for {
		p *= b.r.Float64()
		if p <= l {
			return k
		}
		k++
	}
}

// send adds about n messages of a day, spread over receivers and addresses.
// Large numbers come in lumps, so that a day of a source is a bounded number
// of rows.
func (b *builder) send(s *sender, day int, addrs []netip.Addr, n float64, vary func() mail) {
	b.sendTo(s, 0, day, addrs, n, vary)
}

func (b *builder) sendTo(s *sender, domain int8, day int, addrs []netip.Addr, n float64, vary func() mail) {
	if day < 0 || day >= b.days || len(addrs) == 0 {
		return
	}
	count := b.poisson(n)
	lumps := min(count, b.chunks)
	for i := range lumps {
		c := count/lumps + min(1, max(0, count%lumps-i))
		org := b.receiver()
		k := vary()
		id, ok := b.kindOf[k]
		if !ok {
			id = int32(len(b.kinds))
			b.kinds = append(b.kinds, k)
			b.kindOf[k] = id
		}
		cell := &b.cells[day*len(b.receivers)+org]
		*cell = append(*cell, row{addrs[b.r.IntN(len(addrs))], id, s.index, domain, uint32(c)})
	}
}

// always returns mail of one kind.
func always(k mail) func() mail { return func() mail { return k } }

// during sends on every day by an amount.
func (b *builder) during(s *sender, addrs []netip.Addr, amount func(day int) float64, vary func() mail) {
	for d := range b.days {
		if n := amount(d); n > 0 {
			b.send(s, d, addrs, n, vary)
		}
	}
}

// policy returns the policy for an author domain on a day.
func (b *builder) policy(day int, author string) aggregate.Disposition {
	at := b.policies[0]
	for _, p := range b.policies {
		if p.from <= day {
			at = p
		}
	}
	p := at.p
	if author != b.domain && at.sp != "" {
		p = at.sp
	}
	if author != b.domain && at.np != "" && !b.dnsNames[author] {
		p = at.np
	}
	return aggregate.Disposition(p)
}
