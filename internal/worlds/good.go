package worlds

import (
	"fmt"
	"net/netip"
)

var goodShapes = [...]shape{
	{"aligned/own", 0, (*builder).addOwn},
	{"aligned/vendor", 6, (*builder).addVendor},
	{"aligned/vendor-periodic", 3, (*builder).addVendorPeriodic},
	{"aligned/spf-only", 3, (*builder).addSPFOnly},
	{"aligned/cloud-suite", 2, (*builder).addSuite},
	{"aligned/sub-domain", 2, (*builder).addSubdomain},
	{"aligned/delivery-service", 3, (*builder).addDelivery},
}

// sub is a new sub-domain that is used as an author domain. It exists in the
// DNS in most worlds: as a host, with mail of its own, or with an SPF record.
func (b *builder) sub() string {
	name := b.subName()
	b.exist(name)
	return name
}

func (b *builder) subName() string {
	k := b.kindData()
	b.subs++
	s := fmt.Sprintf("sub%d", b.subs)
	if len(k.subs) > 0 {
		s = k.subs[b.r.IntN(len(k.subs))]
		if b.subs > 1 {
			s = fmt.Sprintf("%s%d", s, b.subs)
		}
	}
	return s + "." + b.domain
}

// exist puts a name of ours into the DNS.
func (b *builder) exist(name string) {
	if b.dnsNames[name] {
		return
	}
	b.dnsNames[name] = true
	switch b.r.IntN(4) {
	case 0:
		b.record("%s. MX 10 mx1.%s.", name, b.domain)
	case 1:
		b.record("%s. %s %s", name, "A", b.addr(netip.Addr{}))
	default:
		if len(b.own) > 0 {
			b.record(`%s. TXT "v=spf1 %s -all"`, name, network24(b.own[0]))
		} else {
			b.record(`%s. TXT "v=spf1 mx -all"`, name)
		}
	}
}

var vendorWords = [...]string{"okuru", "mailjapan", "kippu-net", "jinji-cloud", "enquete", "postman-pro", "seikyu", "todoke", "kurabu",
	"yoyaku", "kanri-saas", "bulkpost", "smartreg", "hrdesk", "formlet", "edoc", "kessai", "anpi", "meishi", "ticketya", "learnbox", "crmworks"}

// vendor makes the name of a company that sends for others.
func (b *builder) vendor() string {
	return fmt.Sprintf("%s%s.%s", pick(b, vendorWords[:]...), pick(b, "", "-mail", "online", "-jp", fmt.Sprint(b.r.IntN(10)), "24"), pick(b, "co.jp", "jp", "com", "net", "example", "io"))
}

// ours is mail of our own servers.
func (b *builder) ours(from string) mail {
	k := mail{from: from, envelope: from, spf: "pass"}
	if !b.unsigned {
		k = k.signed(b.signer(from), "s2026")
	}
	return k
}

// signer is the domain that signs for an author domain: under strict alignment
// it has to be the same.
func (b *builder) signer(from string) string {
	if b.strict {
		return from
	}
	return b.domain
}

// addOwn adds our main servers.
func (b *builder) addOwn(name string) {
	s := b.source(name, Aligned)
	host := pick(b, "mx%d.", "mail%d.", "smtp%d.", "out-%d.")
	hoster := fmt.Sprintf("%s-net%d.ne.jp", pick(b, nameParts[:]...), b.seed%97)
	addrs := b.pool(1+b.r.IntN(4), func(i int, _ netip.Addr) string {
		if b.hosted {
			return fmt.Sprintf("mail%d.", i+1) + hoster
		}
		return fmt.Sprintf(host, i+1) + b.domain
	})
	b.own = append(b.own, addrs...)
	if b.hosted {
		b.spf = append(b.spf, "include:spf."+hoster)
		b.record(`spf.%s. TXT "v=spf1 %s -all"`, hoster, network24(addrs[0]))
	} else {
		b.spf = append(b.spf, network24(addrs[0]))
	}
	for i, a := range addrs {
		if b.forward || b.hosted {
			continue
		}
		if b.chance(0.2) {
			b.record("%s. A %s", fmt.Sprintf(host, i+1)+b.domain, a)
		}
	}
	b.record("%s. MX 10 %s%s.", b.domain, fmt.Sprintf(host, 1), b.domain)
	fails := 0.001 + 0.02*b.noise
	k := b.ours(b.domain)
	vary := func() mail {
		if !b.unsigned && b.chance(fails) {
			return mail{from: k.from, envelope: k.envelope, spf: k.spf}.broken(b.domain, "s2026")
		}
		return k
	}
	rhythm := b.office(b.scale)
	if b.kind == "shop" || b.kind == "isp" {
		rhythm = b.daily(b.scale)
	}
	b.during(s, addrs, rhythm, vary)
}

// addVendor adds a vendor whose mail passes.
func (b *builder) addVendor(name string) { b.goodVendor(name, false) }

// addVendorPeriodic adds one that sends weekly or monthly.
func (b *builder) addVendorPeriodic(name string) { b.goodVendor(name, true) }

func (b *builder) goodVendor(name string, periodic bool) {
	v := b.vendor()
	b.vendors = append(b.vendors, v)
	s := b.source(name, Aligned)
	addrs := b.pool(1+b.r.IntN(8), b.honest("out%d."+v))
	from := b.domain
	if b.chance(0.5) {
		from = b.sub()
	}
	k := mail{from: from, envelope: "b." + v, spf: "pass"}.signed(b.signer(from), pick(b, "esp1", "k1", "selector1"))
	if b.chance(0.6) {
		k = k.signed(v, "v1")
	}
	switch b.r.IntN(4) {
	case 0: // an envelope domain of ours at the vendor, and no signature of ours
		envelope := "bounce." + from
		if b.strict {
			envelope = from
		}
		if !b.dnsNames[envelope] {
			b.dnsNames[envelope] = true
			b.record(`%s. TXT "v=spf1 include:spf.%s -all"`, envelope, v)
		}
		k = mail{from: from, envelope: envelope, spf: "pass"}.signed(v, "v1")
	case 1, 2:
		b.spf = append(b.spf, "include:spf."+v)
	}
	b.record(`spf.%s. TXT "v=spf1 %s -all"`, v, network24(addrs[0]))
	volume := b.scale * b.spread(0.02, 1)
	a := b.office(volume)
	if periodic {
		if a = b.weekly(volume * 3); b.chance(0.4) {
			a = b.monthly(volume*10, 1)
		}
	}
	fails := 0.0005 + 0.005*b.noise
	b.during(s, addrs, a, func() mail {
		if k.spf == "pass" && k.sigs[0].domain == b.signer(from) && b.chance(fails) {
			x := mail{from: k.from, envelope: k.envelope, spf: k.spf}.broken(b.signer(from), k.sigs[0].selector)
			if k.sigs[1].domain != "" {
				x = x.signed(k.sigs[1].domain, "v1")
			}
			return x
		}
		return k
	})
}

// addSPFOnly adds a server of ours that does not sign.
func (b *builder) addSPFOnly(name string) {
	if len(b.own) == 0 {
		return
	}
	s := b.source(name, Aligned)
	addrs := b.poolNear(b.addr(b.own[0]), 1, b.honest("app%d."+b.domain))
	from := b.domain
	if !b.strict && b.chance(0.4) {
		from = b.sub()
	}
	volume := b.scale * b.spread(0.01, 0.4)
	b.during(s, addrs, pick(b, b.office(volume), b.daily(volume), b.closed(volume)), always(mail{from: from, envelope: from, spf: "pass"}))
}

// addSuite adds a large office suite in the cloud, with many addresses of many
// networks, whose mail passes with our signature.
func (b *builder) addSuite(name string) {
	s := b.source(name, Aligned)
	suite := pick(b, "outbound.suite-kumo.example", "mail-eur.officecloud.example", "prod.workplace.example")
	var addrs []netip.Addr
	for range 2 + b.r.IntN(4) {
		addrs = append(addrs, b.pool(3+b.r.IntN(8), func(_ int, a netip.Addr) string { return "mail-" + dashed(a) + "." + suite })...)
	}
	if b.chance(0.5) {
		a := b.addr6()
		b.named(a, "mail-six."+suite)
		addrs = append(addrs, a)
	}
	k := b.ours(b.domain)
	k.spf = "pass"
	if !b.unsigned {
		k.sigs[0].selector = "selector2"
	}
	b.spf = append(b.spf, "include:spf."+suite)
	nets := ""
	for _, a := range addrs {
		nets += " " + network24(a)
	}
	b.record(`spf.%s. TXT "v=spf1%s ~all"`, suite, nets)
	b.during(s, addrs, b.office(b.scale*b.spread(0.1, 2)), always(k))
}

// addSubdomain adds a department that does it right by itself.
func (b *builder) addSubdomain(name string) {
	s := b.source(name, Aligned)
	from := b.subName()
	b.dnsNames[from] = true
	addrs := b.pool(1+b.r.IntN(2), b.honest("mail%d."+from))
	b.record(`%s. TXT "v=spf1 %s -all"`, from, network24(addrs[0]))
	k := mail{from: from, envelope: from, spf: "pass"}
	if b.chance(0.7) {
		k = k.signed(from, "dept")
	}
	b.during(s, addrs, b.office(b.scale*b.spread(0.01, 0.3)), always(k))
}

// addDelivery adds our own account at a delivery service that thousands share.
func (b *builder) addDelivery(name string) {
	s := b.source(name, Aligned)
	service := "haishin-kyodo.example"
	b.vendors = append(b.vendors, service)
	addrs := b.pool(4+b.r.IntN(10), func(_ int, a netip.Addr) string {
		x := a.As4()
		return fmt.Sprintf("o%d.ptr%d.%s", x[3], x[2], service)
	})
	from := b.domain
	if b.chance(0.4) {
		from = b.sub()
	}
	k := mail{from: from, envelope: "em." + b.domain, spf: "pass"}.signed(b.signer(from), "s1").signed(service, "smtpapi")
	b.dnsNames["em."+b.domain] = true
	b.record(`em.%s. TXT "v=spf1 include:%s ~all"`, b.domain, service)
	b.record(`%s. TXT "v=spf1 %s ~all"`, service, network24(addrs[0]))
	volume := b.scale * b.spread(0.05, 1)
	b.during(s, addrs, pick(b, b.office(volume), b.daily(volume), b.weekly(volume*4)), always(k))
}
