package worlds

import (
	"fmt"
	"net/netip"
)

var brokenShapes = [...]shape{
	{"broken/dept-server", 4, (*builder).addDeptServer},
	{"broken/dept-rented", 3, (*builder).addDeptRented},
	{"broken/old-gateway", 3, (*builder).addOldGateway},
	{"broken/new-own-server", 2, (*builder).addNewOwn},
	{"broken/web-server", 2, (*builder).addWebServer},
	{"broken/web-form", 3, (*builder).addWebForm},
	{"broken/device", 2, (*builder).addDevice},
	{"broken/cloud-nat", 2, (*builder).addCloudNAT},
	{"broken/spf-permerror", 1, (*builder).addPermerror},
	{"broken/partner", 2, (*builder).addPartner},
	{"broken/gateway-body", 2, (*builder).addGatewayBody},
	{"broken/strict", 1, (*builder).addStrict},
	{"broken/isp-relay", 1, (*builder).addISPRelay},

	{"broken/own-forgotten", 2, (*builder).addOwnForgotten},
	{"broken/own-ipv6", 1, (*builder).addOwnIPv6},

	{"broken/vendor-our-envelope", 3, (*builder).addOurEnvelope},
	{"broken/vendor-half", 2, (*builder).addHalf},
	{"broken/vendor-weekly", 4, (*builder).addWeekly},
	{"broken/vendor-monthly", 5, (*builder).addMonthly},
	{"broken/vendor-quarterly", 1, (*builder).addQuarterly},
	{"broken/vendor-yearly", 1, (*builder).addYearly},
	{"broken/vendor-business", 4, (*builder).addBusiness},
	{"broken/vendor-daily", 3, (*builder).addDaily},
	{"broken/vendor-new", 3, (*builder).addNew},
	{"broken/vendor-pausing", 2, (*builder).addPausing},
	{"broken/vendor-events", 2, (*builder).addEvents},
	{"broken/vendor-moved", 2, (*builder).addMoved},
	{"broken/vendor-ipv6", 1, (*builder).addVendorIPv6},
	{"broken/vendor-many-networks", 2, (*builder).addManyNetworks},
	{"broken/vendor-by-service", 3, (*builder).addByService},
	{"broken/vendor-unnamed", 1, (*builder).addVendorUnnamed},
	{"broken/key-rolled", 2, (*builder).addKeyRolled},
	{"broken/key-wrong", 2, (*builder).addKeyWrong},
	{"broken/spf-removed", 2, (*builder).addSPFRemoved},
	{"broken/fixed-lately", 2, (*builder).addFixed},
	{"broken/fixed-before", 1, (*builder).addFixedBefore},
	{"broken/broken-again", 2, (*builder).addAgain},
	{"broken/one-of-pool", 1, (*builder).addOneOfPool},
}

// part is what a broken source sends on a business day.
func (b *builder) part() float64 {
	v := b.scale * b.spread(0.008, 0.25)
	if b.kind == "small" {
		v = max(v, 2)
	}
	return v
}

// fails adds a broken source that sends mail of one kind.
func (b *builder) fails(name string, addrs []netip.Addr, a amount, period int, k mail) *sender {
	s := b.source(name, Broken)
	s.period, s.broken = period, func(d int) bool { return a(d) > 0 }
	b.during(s, addrs, a, always(k))
	return s
}

func (b *builder) addDeptServer(name string) {
	from := b.sub()
	addrs := b.pool(1, func(int, netip.Addr) string { return pick(b, "mail.", "smtp.", "sv1.") + from })
	b.fails(name, addrs, pick(b, b.office(b.part()), b.closed(b.part()), b.daily(b.part())), 0, mail{from: from, envelope: from, spf: "fail"})
}

// addDeptRented adds a server that a department rents; its sub-domain's own
// records may point to it.
func (b *builder) addDeptRented(name string) {
	from := b.subName()
	b.dnsNames[from] = true
	hoster := pick(b, ".static.rentaru.example", ".vps.sakuraba.example", ".compute.kumo-server.example")
	addrs := b.pool(1+b.r.IntN(2), func(_ int, a netip.Addr) string { return "ip-" + dashed(a) + hoster })
	switch b.r.IntN(3) {
	case 0:
		b.record("%s. A %s", from, addrs[0])
	case 1:
		b.record("%s. MX 10 mail.%[1]s.\nmail.%[1]s. A %[2]s", from, addrs[0])
	default:
		b.record("%s. MX 10 mx1.%s.", from, b.domain)
	}
	b.fails(name, addrs, pick(b, b.office(b.part()), b.closed(b.part())), 0, mail{from: from, envelope: from, spf: pick(b, "fail", "none", "softfail")})
}

func (b *builder) addOldGateway(name string) {
	if len(b.own) == 0 {
		return
	}
	near := b.own[0]
	p := near.As4()
	for i, t := range b.spf { // the record names the hosts, no longer the network
		if t == fmt.Sprintf("ip4:%d.%d.%d.0/24", p[0], p[1], p[2]) {
			b.spf[i] = "ip4:" + near.String()
			for _, a := range b.own[1:] {
				if p2 := a.As4(); p2[2] == p[2] && p2[1] == p[1] {
					b.spf[i] += " ip4:" + a.String()
				}
			}
		}
	}
	addrs := b.poolNear(b.addr(near), 1, b.honest("oldgw%d."+b.domain))
	from := b.domain
	if b.chance(0.4) {
		from = b.sub()
	}
	b.fails(name, addrs, pick(b, b.office(b.part()), b.daily(b.part())), 0, mail{from: from, envelope: "relay." + b.domain, spf: pick(b, "none", "fail")})
}

// addNewOwn adds a server that joined ours without being told to anyone.
func (b *builder) addNewOwn(name string) {
	first := b.days - 10 - b.r.IntN(b.days/2)
	addrs := b.pool(1, func(int, netip.Addr) string { return "mx9." + b.domain })
	b.fails(name, addrs, b.office(b.part()*2).from(first), 0, mail{from: b.domain, envelope: b.domain, spf: "fail"})
}

func (b *builder) addWebServer(name string) {
	host := "www." + b.subName()
	b.dnsNames[host] = true
	addrs := b.pool(1, func(int, netip.Addr) string { return host })
	b.record("%s. A %s", host, addrs[0])
	b.fails(name, addrs, b.daily(b.part()/3), 0, mail{from: b.domain, envelope: host, spf: "none"})
}

// addWebForm adds the form of our web site on a shared hoster: the reverse name
// and the envelope are the hoster's, and SPF passes for it. Our web site may
// have that address.
func (b *builder) addWebForm(name string) {
	hoster := fmt.Sprintf("%s%d.%s", pick(b, "rentalserver", "heterolab", "coreweb"), b.r.IntN(30), pick(b, "jp", "ne.jp", "net"))
	host := fmt.Sprintf("%s%d.%s", pick(b, "www", "sv", "web"), 100+b.r.IntN(900), hoster)
	addrs := b.pool(1, func(int, netip.Addr) string { return host })
	from := b.domain
	if b.chance(0.4) {
		from = b.sub()
	}
	if b.chance(0.7) {
		b.record("www.%s. A %s", b.domain, addrs[0])
	}
	k := mail{from: from, envelope: host, spf: pick(b, "pass", "none")}
	b.fails(name, addrs, b.daily(max(1, b.part()/4)), 0, k)
}

// addDevice adds scanners and stores behind an office's line.
func (b *builder) addDevice(name string) {
	var addrs []netip.Addr
	if b.chance(0.5) && len(b.own) > 0 {
		addrs = []netip.Addr{b.addr(b.own[0])}
	} else {
		addrs = b.pool(1, func(_ int, a netip.Addr) string { return dashed(a) + ".static.bizline.example" })
	}
	from := b.domain
	if b.chance(0.5) {
		from = b.sub()
	}
	b.fails(name, addrs, b.closed(max(1.5, b.part()/3)), 0, mail{from: from, envelope: from, spf: "fail"})
}

// addCloudNAT adds an application in a cloud whose address changes every few
// weeks.
func (b *builder) addCloudNAT(name string) {
	from := b.sub()
	var addrs []netip.Addr
	for range 3 + b.r.IntN(4) {
		addrs = append(addrs, b.pool(1, func(_ int, a netip.Addr) string {
			return "ec2-" + dashed(a) + ".ap-northeast-1.compute.kumoten.example"
		})...)
	}
	s := b.source(name, Broken)
	a := pick(b, b.office(b.part()), b.closed(b.part()))
	each := b.days/len(addrs) + 1
	for d := range b.days {
		b.send(s, d, addrs[d/each:d/each+1], a(d), always(mail{from: from, envelope: from, spf: "fail"}))
	}
}

// addPermerror adds a service that our SPF record names after more than ten
// look-ups: receivers give up before they come to it (RFC 7208 §4.6.4).
func (b *builder) addPermerror(name string) {
	v := b.vendor()
	addrs := b.pool(1+b.r.IntN(3), b.honest("batch%d."+v))
	b.longSPF = true
	b.late = append(b.late, "include:spf."+v)
	b.record(`spf.%s. TXT "v=spf1 %s -all"`, v, network24(addrs[0]))
	b.fails(name, addrs, pick(b, b.office(b.part()), b.weekly(b.part()*4)), 0, mail{from: b.domain, envelope: b.domain, spf: "permerror"})
}

// addPartner adds the mail server of our group, which is under another policy
// domain of ours and sends for us too.
func (b *builder) addPartner(name string) {
	if len(b.partners) == 0 {
		b.partners = append(b.partners, fmt.Sprintf("group%d.%s", b.seed%100000, pick(b, "co.jp", "or.jp")))
	}
	i := b.r.IntN(len(b.partners))
	p := b.partners[i]
	addrs := b.pool(1+b.r.IntN(2), b.honest("mail%d."+p))
	b.record(`%s. TXT "v=spf1 %s -all"`, p, network24(addrs[0]))
	s := b.fails(name, addrs, b.office(b.part()), 0, mail{from: b.domain, envelope: p, spf: "pass"}.signed(p, "g1"))
	own := b.office(b.scale * 0.5)
	for d := range b.days {
		b.sendTo(s, int8(i+1), d, addrs, own(d), always(mail{from: p, envelope: p, spf: "pass"}.signed(p, "g1")))
	}
}

// addGatewayBody adds a gateway in the cloud through which part of our mail
// leaves: it adds a line to the body, and our signature breaks.
func (b *builder) addGatewayBody(name string) {
	if b.unsigned {
		return
	}
	org := fmt.Sprintf("%s%d.%s", pick(b, "mimegate", "sendguard", "outfilter"), b.r.IntN(50), pick(b, "jp", "com"))
	addrs := b.pool(2+b.r.IntN(4), b.honest("out%d."+org))
	b.fails(name, addrs, b.office(b.scale*(0.3+0.4*b.r.Float64())), 0, mail{from: b.domain, envelope: b.domain, spf: "softfail"}.broken(b.signer(b.domain), "s2026"))
}

// addStrict adds a vendor that signs with our domain for a sub-domain, where
// strict alignment wants the same one. In a world that is not strict it makes
// it so.
func (b *builder) addStrict(name string) {
	if len(b.sources) > 1 {
		return // the others were made under relaxed alignment
	}
	b.strict = true
	v := b.vendor()
	from := b.sub()
	addrs := b.pool(1+b.r.IntN(3), b.honest("out%d."+v))
	b.fails(name, addrs, b.office(b.part()), 0, mail{from: from, envelope: "b." + v, spf: "pass"}.signed(b.domain, "esp1"))
}

// addOwnForgotten adds one of our servers of many that stands elsewhere, does
// not sign and is in no record.
func (b *builder) addOwnForgotten(name string) {
	if len(b.own) == 0 {
		return
	}
	addrs := b.pool(1, b.honest("mail7%d."+b.domain))
	b.fails(name, addrs, pick(b, b.office(b.scale*0.3), b.daily(b.scale*0.2)), 0, mail{from: b.domain, envelope: b.domain, spf: pick(b, "fail", "softfail")})
}

// addOwnIPv6 adds a server of ours that sends by IPv6 to those who have it, from
// an address that our record does not allow; it does not sign.
func (b *builder) addOwnIPv6(name string) {
	a := b.addr6()
	b.named(a, "mail6."+b.domain)
	b.fails(name, []netip.Addr{a}, b.office(b.part()), 0, mail{from: b.domain, envelope: b.domain, spf: "softfail"})
}

// addISPRelay adds people who send through their provider with our address.
func (b *builder) addISPRelay(name string) {
	if b.unsigned {
		return
	}
	isp := fmt.Sprintf("%s-net%d.ne.jp", pick(b, nameParts[:]...), b.r.IntN(50))
	addrs := b.pool(2, func(i int, _ netip.Addr) string { return fmt.Sprintf("smtp%d.%s", i+1, isp) })
	s := b.fails(name, addrs, b.closed(b.part()), 0, mail{from: b.domain, envelope: b.domain, spf: "softfail"})
	s.Also = []string{Unknown} // only the missing signatures speak against a forwarder
}
