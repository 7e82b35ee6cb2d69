package worlds

import (
	"fmt"
	"net/netip"
)

// vendorMail is mail of a vendor that authenticates as itself.
func (b *builder) vendorMail(v string) mail {
	k := mail{from: b.domain, envelope: pick(b, "", "bounce.", "b.") + v, spf: "pass"}
	if b.chance(0.35) {
		k.from = b.sub()
	}
	if b.chance(0.6) {
		k = k.signed(v, pick(b, "v1", "default", "mail"))
	}
	b.record(`%s. TXT "v=spf1 ip4:%d.%d.0.0/16 -all"`, k.envelope, 20+b.r.IntN(100), b.r.IntN(250))
	return k
}

// vendorFails adds a vendor of ours that is not aligned.
func (b *builder) vendorFails(name string, hosts int, a amount, period int) *sender {
	v := b.vendor()
	addrs := b.pool(hosts, b.honest(pick(b, "smtp%d.", "out%d.", "mail%d.", "mta%d.")+v))
	return b.fails(name, addrs, a, period, b.vendorMail(v))
}

func (b *builder) addWeekly(name string) {
	b.vendorFails(name, 1+b.r.IntN(5), b.weekly(b.part()*4), 7)
}

func (b *builder) addMonthly(name string) {
	a := b.monthly(b.part()*8, 1)
	if b.chance(0.25) { // in the middle of the month and at its end
		a = plus(a, b.monthly(b.part()*6, 1))
	}
	b.vendorFails(name, 1+b.r.IntN(2), a, 31)
}

func (b *builder) addQuarterly(name string) {
	b.vendorFails(name, 1+b.r.IntN(2), b.monthly(b.part()*15, pick(b, 2, 3)), 92)
}

func (b *builder) addYearly(name string) {
	day := b.r.IntN(b.days - 2)
	if b.chance(0.6) {
		day = b.days - 28 + b.r.IntN(25)
	}
	s := b.vendorFails(name, 1+b.r.IntN(2), once(map[int]bool{day: true, day + 1: b.chance(0.5)}, b.part()*20), 0)
	s.Also = []string{Unknown} // one run is no rhythm
}

func (b *builder) addBusiness(name string) {
	b.vendorFails(name, 1+b.r.IntN(3), pick(b, b.office(b.part()), b.closed(b.part())), 0)
}

func (b *builder) addDaily(name string) {
	b.vendorFails(name, 1+b.r.IntN(3), b.daily(b.part()), 0)
}

func (b *builder) addNew(name string) {
	first := b.days - 12 - b.r.IntN(16)
	b.vendorFails(name, 1+b.r.IntN(2), pick(b, b.office(b.part()), b.closed(b.part()), b.weekly(b.part()*3)).from(first), 0)
}

func (b *builder) addPausing(name string) {
	b.vendorFails(name, 1+b.r.IntN(2), b.pausing(b.office(b.part())), 0)
}

// addOurEnvelope adds a vendor that uses our address as its envelope sender and
// does not sign: only its hosts' names and its rhythm tell.
func (b *builder) addOurEnvelope(name string) {
	v := b.vendor()
	addrs := b.pool(1+b.r.IntN(3), b.honest(pick(b, "smtp%d.", "out%d.", "batch%d.")+v))
	from := b.domain
	if b.chance(0.4) {
		from = b.sub()
	}
	a := pick(b, b.office(b.part()), b.closed(b.part()), b.weekly(b.part()*4), b.daily(b.part()))
	b.fails(name, addrs, a, 0, mail{from: from, envelope: from, spf: pick(b, "fail", "softfail")})
}

// addHalf adds a vendor that signs one kind of its mail for us and forgets the
// other, on the same hosts.
func (b *builder) addHalf(name string) {
	v := b.vendor()
	s := b.source(name, Broken)
	addrs := b.pool(1+b.r.IntN(4), b.honest("out%d."+v))
	k, part := b.vendorMail(v), 0.15+0.6*b.r.Float64()
	good := k.signed(b.signer(k.from), "k1")
	b.during(s, addrs, pick(b, b.office(b.part()), b.daily(b.part())), func() mail {
		if b.chance(part) {
			return k
		}
		return good
	})
}

// addEvents adds a vendor for events: runs of a week or two, here and there,
// always by the same names.
func (b *builder) addEvents(name string) {
	on := map[int]bool{}
	for d := b.r.IntN(20); d < b.days; d += 12 + b.r.IntN(25) {
		for k := range 2 + b.r.IntN(6) {
			if !b.weekend(d + k) {
				on[d+k] = true
			}
		}
	}
	b.vendorFails(name, 1+b.r.IntN(2), once(on, b.part()*2), 0)
}

// addMoved adds a vendor that moves to other addresses half-way, with the same
// names.
func (b *builder) addMoved(name string) {
	v := b.vendor()
	s := b.source(name, Broken)
	old := b.pool(1+b.r.IntN(3), b.honest("smtp%d."+v))
	after := b.pool(1+b.r.IntN(3), b.honest("mta%d."+v))
	k, a, when := b.vendorMail(v), pick(b, b.office(b.part()), b.weekly(b.part()*4), b.monthly(b.part()*8, 1)), b.days/3+b.r.IntN(b.days/2)
	b.during(s, old, a.until(when), always(k))
	b.during(s, after, a.from(when), always(k))
}

func (b *builder) addVendorIPv6(name string) {
	v := b.vendor()
	a := b.addr6()
	var addrs []netip.Addr
	for i := range 1 + b.r.IntN(4) {
		if i > 0 {
			a = b.addr(a)
		}
		b.named(a, fmt.Sprintf("six%d.%s", i, v))
		addrs = append(addrs, a)
	}
	if b.chance(0.5) {
		addrs = append(addrs, b.pool(1, b.honest("four%d."+v))...)
	}
	b.fails(name, addrs, pick(b, b.office(b.part()), b.weekly(b.part()*4)), 0, b.vendorMail(v))
}

func (b *builder) addManyNetworks(name string) {
	v := b.vendor()
	var addrs []netip.Addr
	host := b.honest("node%d." + v)
	for range 5 + b.r.IntN(25) {
		addrs = append(addrs, b.pool(1, host)...)
	}
	b.fails(name, addrs, pick(b, b.office(b.part()), b.weekly(b.part()*5), b.monthly(b.part()*8, 1), b.daily(b.part())), 0, b.vendorMail(v))
}

// addByService adds a vendor that sends through a delivery service that
// thousands share: the hosts are the service's, the identity is the vendor's.
func (b *builder) addByService(name string) {
	v, service := b.vendor(), pick(b, "haishin-kyodo.example", "sendwave.example", "postgrid.example")
	addrs := b.pool(2+b.r.IntN(8), func(_ int, a netip.Addr) string {
		x := a.As4()
		return fmt.Sprintf("o%d.ptr%d.%s", x[3], x[2], service)
	})
	k := b.vendorMail(v)
	k.envelope = "em." + v
	k = k.signed(service, "smtpapi")
	b.fails(name, addrs, pick(b, b.office(b.part()), b.weekly(b.part()*4), b.monthly(b.part()*8, 1), b.closed(b.part())), 0, k)
}

// addVendorUnnamed adds a vendor whose hosts have no names: only what it signs
// and when it sends tell.
func (b *builder) addVendorUnnamed(name string) {
	v := b.vendor()
	addrs := b.pool(1+b.r.IntN(2), func(int, netip.Addr) string { return "" })
	b.fails(name, addrs, pick(b, b.closed(b.part()), b.weekly(b.part()*4), b.monthly(b.part()*8, 1)), 0, b.vendorMail(v))
}

// addKeyRolled adds a vendor whose signature of ours passes until it rolls the
// key and nobody tells the DNS.
func (b *builder) addKeyRolled(name string) {
	v := b.vendor()
	s := b.source(name, Broken)
	addrs := b.pool(1+b.r.IntN(4), b.honest("out%d."+v))
	k := b.vendorMail(v)
	k.sigs = [3]signature{}
	when, a := b.days-35+b.r.IntN(28), pick(b, b.office(b.part()), b.closed(b.part()), b.daily(b.part()))
	sign := b.signer(k.from)
	b.during(s, addrs, a.until(when), always(k.signed(sign, "k1")))
	b.during(s, addrs, a.from(when), always(k.broken(sign, "k2")))
}

// addKeyWrong adds a vendor whose signature of ours never verified.
func (b *builder) addKeyWrong(name string) {
	v := b.vendor()
	addrs := b.pool(1+b.r.IntN(3), b.honest("out%d."+v))
	k := b.vendorMail(v)
	k.sigs = [3]signature{}
	b.fails(name, addrs, pick(b, b.office(b.part()), b.weekly(b.part()*4)), 0, k.broken(b.signer(k.from), "esp"))
}

// addSPFRemoved adds a vendor that only had our SPF record, until somebody
// tidied up.
func (b *builder) addSPFRemoved(name string) {
	v := b.vendor()
	s := b.source(name, Broken)
	addrs := b.pool(1+b.r.IntN(3), b.honest("out%d."+v))
	when, a := b.days-40+b.r.IntN(30), pick(b, b.office(b.part()), b.daily(b.part()))
	k := mail{from: b.domain, envelope: b.domain, spf: "pass"}
	b.during(s, addrs, a.until(when), always(k))
	k.spf = "fail"
	b.during(s, addrs, a.from(when), always(k))
}

// addFixed adds a vendor that was put right within the last 30 days.
func (b *builder) addFixed(name string) {
	b.fixed(name, b.days-20+b.r.IntN(12))
}

// addFixedBefore adds one that was put right before.
func (b *builder) addFixedBefore(name string) {
	b.fixed(name, b.days-33-b.r.IntN(max(1, b.days/2-20)))
}

func (b *builder) fixed(name string, when int) {
	v := b.vendor()
	s := b.source(name, Broken)
	addrs := b.pool(1+b.r.IntN(3), b.honest("out%d."+v))
	k, a := b.vendorMail(v), pick(b, b.office(b.part()), b.closed(b.part()))
	b.during(s, addrs, a.until(when), always(k))
	b.during(s, addrs, a.from(when), always(k.signed(b.signer(k.from), "fixed")))
}

// addAgain adds one that was put right and broke again.
func (b *builder) addAgain(name string) {
	v := b.vendor()
	s := b.source(name, Broken)
	addrs := b.pool(1+b.r.IntN(3), b.honest("out%d."+v))
	k, a := b.vendorMail(v), pick(b, b.office(b.part()), b.daily(b.part()))
	first := 10 + b.r.IntN(20)
	again := b.days - 25 + b.r.IntN(15)
	b.during(s, addrs, a.until(first), always(k))
	b.during(s, addrs, a.from(first).until(again), always(k.signed(b.signer(k.from), "fixed")))
	b.during(s, addrs, a.from(again), always(k))
}

// addOneOfPool adds a vendor of which one host of several was forgotten: it
// does not sign for us.
func (b *builder) addOneOfPool(name string) {
	v := b.vendor()
	n := 2 + b.r.IntN(4)
	s := b.source(name, Broken)
	addrs := b.pool(n, b.honest("out%d."+v))
	k := b.vendorMail(v)
	good := k.signed(b.signer(k.from), "k1")
	a := b.office(b.part())
	for d := range b.days {
		m := a(d)
		b.send(s, d, addrs[1:], m*float64(n-1)/float64(n), always(good))
		b.send(s, d, addrs[:1], m/float64(n), always(k))
	}
}
