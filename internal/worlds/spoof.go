package worlds

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

var spoofShapes = [...]shape{
	{"spoof/botnet", 5, (*builder).addBotnet},
	{"spoof/botnet-unnamed", 3, (*builder).addBotnetUnnamed},
	{"spoof/botnet-weekdays", 3, (*builder).addBotnetWeekdays},
	{"spoof/botnet-forged-name", 2, (*builder).addForgedName},
	{"spoof/botnet-forged-signature", 2, (*builder).addForgedSignature},
	{"spoof/botnet-sub-domains", 2, (*builder).addSubdomains},
	{"spoof/botnet-small", 3, (*builder).addBotnetSmall},
	{"spoof/botnet-one-sub-domain", 2, (*builder).addOneSubdomain},
	{"spoof/look-alike-patient", 1, (*builder).addLookalikePatient},
	{"spoof/hacked-accounts-many", 2, (*builder).addHackedMany},
	{"spoof/vendor-neighbour", 1, (*builder).addVendorNeighbour},
	{"spoof/look-alike-rented", 4, (*builder).addLookalikeRented},
	{"spoof/look-alike-named", 3, (*builder).addLookalikeNamed},
	{"spoof/throw-away", 3, (*builder).addThrowaway},
	{"spoof/snowshoe", 2, (*builder).addSnowshoe},
	{"spoof/rented-slow", 3, (*builder).addRentedSlow},
	{"spoof/rented-scattered", 3, (*builder).addRentedScattered},
	{"spoof/monthly", 2, (*builder).addMonthlySpoof},
	{"spoof/service-abuse", 2, (*builder).addServiceAbuse},
	{"spoof/replay", 1, (*builder).addReplay},
	{"spoof/hacked-server", 3, (*builder).addHackedServer},
	{"spoof/hacked-account", 2, (*builder).addHackedAccount},
	{"spoof/ipv6", 1, (*builder).addSpoofIPv6},
	{"spoof/botnet-huge-forged-signature", 0, (*builder).addHugeForged}, // too large for every day
}

// attack is how much a spoofer sends on a day.
func (b *builder) attack() float64 { return max(8, b.scale*b.spread(0.02, 4)) }

// victim is the author domain that a spoofer uses.
func (b *builder) victim() string {
	switch {
	case b.subs > 0 && b.chance(0.1):
		return b.domain
	case b.chance(0.15):
		return pick(b, "info.", "mail.", "support.", "no-reply.") + b.domain
	}
	return b.domain
}

// bots returns hosts on lines of homes all over the world, some with names.
func (b *builder) bots(n int, named float64) []netip.Addr {
	isps := [...]string{"%s.dyn.denwa.example", "%s.cust.kabel.example", "ppp%s.pool.renraku.example", "%s.adsl.linha.example",
		"dynamic-%s.telecom-sur.example", "host-%s.wireless.provincial.example", "%s.ftth.fibra.example", "cpe-%s.mobile.selular.example"}
	out := make([]netip.Addr, n)
	for i := range out {
		out[i] = b.addr(netip.Addr{})
		if b.chance(named) {
			b.ptr(out[i], fmt.Sprintf(isps[b.r.IntN(len(isps))], dashed(out[i])))
		}
	}
	return out
}

// crowd is how many hosts a botnet has.
func (b *builder) crowd() int { return int(b.spread(25, 900)) }

func (b *builder) bare(from string) mail {
	return mail{from: from, envelope: from, spf: pick(b, "fail", "softfail", "none")}
}

func (b *builder) spoofs(name string, addrs []netip.Addr, a amount, vary func() mail) *sender {
	s := b.source(name, Spoof)
	b.during(s, addrs, a, vary)
	return s
}

func (b *builder) addBotnet(name string) {
	addrs := b.bots(b.crowd(), 0.8)
	from := b.victim()
	own, other := b.bare(from), 0.5*b.r.Float64()
	b.spoofs(name, addrs, pick(b, b.waves(b.attack()), b.daily(b.attack())), func() mail {
		k := own
		if b.chance(other) {
			k.envelope, k.spf = fmt.Sprintf("x%d.example", b.r.IntN(20)), "none"
		}
		return k
	})
}

func (b *builder) addBotnetUnnamed(name string) {
	b.spoofs(name, b.bots(b.crowd(), 0.1), b.waves(b.attack()), always(b.bare(b.victim())))
}

func (b *builder) addBotnetWeekdays(name string) {
	b.spoofs(name, b.bots(b.crowd(), pick(b, 0.1, 0.7)), b.office(b.attack()), always(b.bare(b.victim())))
}

// addForgedName adds a botnet whose reverse names are in our domain: whoever
// runs a reverse zone writes what he likes. Only where honest names resolve to
// their addresses can that be told from the truth.
func (b *builder) addForgedName(name string) {
	if !b.forward || len(b.own) == 0 {
		return
	}
	addrs := make([]netip.Addr, 3+b.r.IntN(40))
	for i := range addrs {
		addrs[i] = b.addr(netip.Addr{})
		b.ptr(addrs[i], pick(b, fmt.Sprintf("mail%d.", 20+i), "mail.", "smtp.")+b.domain)
	}
	b.spoofs(name, addrs, pick(b, b.waves(b.attack()), b.office(b.attack()), b.burst(b.attack()*3)), always(b.bare(b.domain)))
}

// addForgedSignature adds a botnet that puts a signature of ours, which does
// not verify, into what it sends: it costs nothing.
func (b *builder) addForgedSignature(name string) {
	addrs := b.bots(b.crowd(), 0.5)
	k := b.bare(b.domain).broken(b.domain, "s2026")
	b.spoofs(name, addrs, pick(b, b.waves(b.attack()), b.daily(b.attack())), always(k))
}

// addHugeForged adds the same with thousands of hosts, some of them rented.
func (b *builder) addHugeForged(name string) {
	addrs, host := b.bots(3000, 0.3), b.vps()
	for i := range 500 {
		addrs = append(addrs, b.pool(1, func(int, netip.Addr) string { return "" })...)
		b.named(addrs[3000+i], host(i, addrs[3000+i]))
	}
	own := b.bare(b.domain).broken(b.domain, "s2026")
	b.chunks *= 10
	b.spoofs(name, addrs, b.daily(b.scale*2), func() mail {
		k := own
		if b.chance(0.3) {
			k.envelope, k.spf = fmt.Sprintf("x%d.example", b.r.IntN(50)), "fail"
		}
		return k
	})
	b.chunks /= 10
}

// addSubdomains adds a botnet that makes up sub-domains of ours.
func (b *builder) addSubdomains(name string) {
	addrs := b.bots(b.crowd(), 0.6)
	var subs []string
	for range 5 + b.r.IntN(60) {
		subs = append(subs, fmt.Sprintf("%s%d.%s", pick(b, "x", "srv", "mx", "web", "a", "mail"), b.r.IntN(999), b.domain))
	}
	b.spoofs(name, addrs, pick(b, b.waves(b.attack()), b.daily(b.attack())), func() mail {
		from := subs[b.r.IntN(len(subs))]
		return mail{from: from, envelope: from, spf: "none"}
	})
}

// addBotnetSmall adds a dozen lines of homes.
func (b *builder) addBotnetSmall(name string) {
	addrs := b.bots(4+b.r.IntN(12), 0.9)
	b.spoofs(name, addrs, pick(b, b.waves(b.attack()/8), b.burst(b.attack()), b.daily(b.attack()/8)), always(b.bare(b.victim())))
}

// addOneSubdomain adds a botnet that uses one sub-domain only, as a rule one
// that we use as well; its envelope sender is our domain.
func (b *builder) addOneSubdomain(name string) {
	from := pick(b, "mail.", "info.", "news.") + b.domain
	var used []string
	for n := range b.dnsNames {
		if within(n, b.domain) && strings.Count(n, ".") == strings.Count(b.domain, ".")+1 {
			used = append(used, n)
		}
	}
	if slices.Sort(used); len(used) > 0 {
		from = pick(b, used...)
	}
	k := mail{from: from, envelope: b.domain, spf: pick(b, "fail", "softfail")}
	b.spoofs(name, b.bots(b.crowd(), 0.7), pick(b, b.waves(b.attack()), b.daily(b.attack()), b.office(b.attack())), always(k))
}

// addLookalikePatient adds a look-alike that sends every week for months, as a
// newsletter does.
func (b *builder) addLookalikePatient(name string) {
	label, _, _ := strings.Cut(b.domain, ".")
	look := pick(b, label+"-support", "login-"+label, "my-"+label) + "." + pick(b, "com", "net", "info")
	addrs := b.pool(1+b.r.IntN(2), b.vps())
	b.record(`%s. TXT "v=spf1 a mx %s -all"`, look, network24(addrs[0]))
	s := b.spoofs(name, addrs, b.weekly(b.attack()), always(mail{from: b.domain, envelope: look, spf: "pass"}.signed(look, "mail")))
	s.Also = []string{Unknown}
}

// addHackedMany adds mailboxes of many companies that were broken into: each
// host is honest, signs, and sends our name for a day or two.
func (b *builder) addHackedMany(name string) {
	s := b.source(name, Spoof)
	first, volume, from := max(0, b.lately()-15), b.attack(), b.victim()
	for range 10 + b.r.IntN(40) {
		org := fmt.Sprintf("%s-%s%d.%s", pick(b, nameParts[:]...), pick(b, "koumuten", "shokai", "seika", "kikaku"), b.r.IntN(1000), pick(b, "co.jp", "com", "jp", "de", "com.br"))
		addrs := b.pool(1, b.honest(pick(b, "mail%d.", "smtp%d.", "mx%d.")+org))
		k := mail{from: from, envelope: org, spf: "pass"}
		if b.chance(0.6) {
			k = k.signed(org, pick(b, "default", "mail", "s1"))
		}
		day := first + b.r.IntN(b.days-first)
		for d := range 1 + b.r.IntN(2) {
			b.send(s, day+d, addrs, volume/10, always(k))
		}
	}
	s.Also = []string{Unknown} // each could be a mailing of one day
}

// addVendorNeighbour adds another customer of a vendor, of ours where there is
// one, on a server of its own.
func (b *builder) addVendorNeighbour(name string) {
	v, d := b.vendor(), b.lookalike()
	if len(b.vendors) > 0 {
		v = b.vendors[0]
	}
	addrs := b.pool(1+b.r.IntN(3), b.honest("out9%d."+v))
	s := b.spoofs(name, addrs, b.burst(b.attack()), always(mail{from: b.domain, envelope: "b." + d, spf: "pass"}.signed(d, "s1").signed(v, "v1")))
	s.Also = []string{Unknown}
}

// lookalike makes a domain that borrows our name.
func (b *builder) lookalike() string {
	label, _, _ := strings.Cut(b.domain, ".")
	if b.chance(0.1) { // nothing in the name tells
		return fmt.Sprintf("%s%s.%s", pick(b, "kaze", "nami", "yuki", "sora", "hana"), pick(b, "works", "design", "trade", "office"), pick(b, "com", "net", "biz"))
	}
	if b.chance(0.5) {
		return fmt.Sprintf("%s%d.%s", pick(b, "secure", "login", "mailer", "news", "notice", "account-"), b.r.IntN(1000), pick(b, "com", "info", "xyz", "example"))
	}
	return pick(b, label+"-support", "login-"+label, strings.Replace(label, "a", "", 1), label+"s", "my-"+label) + "." + pick(b, "com", "net", "info", "xyz")
}

func (b *builder) vps() func(int, netip.Addr) string {
	hoster := pick(b, ".vps-yasui.example", ".static.server-farm.example", ".hosted-by.cheapbox.example", ".cloud-kumo.example")
	return func(_ int, a netip.Addr) string { return pick(b, "vps-", "ip-", "") + dashed(a) + hoster }
}

func (b *builder) addLookalikeRented(name string) {
	look := b.lookalike()
	addrs := b.pool(1+b.r.IntN(4), b.vps())
	b.record(`%s. TXT "v=spf1 a mx %s -all"`, look, network24(addrs[0]))
	k := mail{from: b.victim(), envelope: look, spf: "pass"}
	if b.chance(0.6) {
		k = k.signed(look, "mail")
	}
	b.spoofs(name, addrs, b.burst(b.attack()*2), always(k))
}

// addLookalikeNamed adds one that named its hosts and its mail after its
// domain, as an honest sender does.
func (b *builder) addLookalikeNamed(name string) {
	look := b.lookalike()
	addrs := b.pool(1+b.r.IntN(3), func(i int, _ netip.Addr) string { return fmt.Sprintf("mail%d.%s", i, look) })
	b.record(`%s. TXT "v=spf1 a mx %s -all"`, look, network24(addrs[0]))
	b.spoofs(name, addrs, b.burst(b.attack()*2), always(mail{from: b.victim(), envelope: look, spf: "pass"}.signed(look, "mail")))
}

// addThrowaway adds rented servers by the dozen, each with a domain for a day.
func (b *builder) addThrowaway(name string) {
	s := b.source(name, Spoof)
	host, from, volume := b.vps(), b.victim(), b.attack()
	stem := pick(b, "promo", "sale", "track", "mlnk", "offer")
	first := max(0, b.lately()-10)
	for j := range 15 + b.r.IntN(120) {
		a := b.addr(netip.Addr{})
		b.named(a, host(j, a))
		d := fmt.Sprintf("%s%d%d.%s", stem, b.r.IntN(90)+10, j, pick(b, "example", "xyz", "top"))
		b.send(s, first+b.r.IntN(b.days-first), []netip.Addr{a}, volume/8, always(mail{from: from, envelope: d, spf: "pass"}.signed(d, "k")))
	}
}

// addSnowshoe adds a network full of servers under made-up names.
func (b *builder) addSnowshoe(name string) {
	var names []string
	for i := range 4 + b.r.IntN(10) {
		names = append(names, fmt.Sprintf("%s%s%d.%s", pick(b, "bright", "daily", "green", "smart", "happy"), pick(b, "deals", "offers", "living", "choice"), i, pick(b, "com", "info", "net")))
	}
	near := b.addr(netip.Addr{})
	s := b.source(name, Spoof)
	from, volume := b.victim(), b.attack()
	a := b.burst(volume * 3)
	if b.chance(0.4) {
		a = b.waves(volume)
	}
	for i, d := range names {
		addrs := b.poolNear(b.addr(near), 2+b.r.IntN(4), func(k int, _ netip.Addr) string { return fmt.Sprintf("%s%d.%s", pick(b, "mail", "m", "out"), k+i, d) })
		b.during(s, addrs, func(day int) float64 { return a(day) / float64(len(names)) }, always(mail{from: from, envelope: d, spf: "pass"}.signed(d, "default")))
	}
}

// addRentedSlow adds one rented server that goes on for weeks.
func (b *builder) addRentedSlow(name string) {
	addrs := b.pool(1+b.r.IntN(2), b.vps())
	k := b.bare(b.domain)
	if b.chance(0.6) {
		d := fmt.Sprintf("%s%d.example", pick(b, "news", "mailing", "cast"), b.r.IntN(1000))
		k = mail{from: b.domain, envelope: d, spf: "pass"}
	}
	first := b.r.IntN(b.days - 20)
	s := b.spoofs(name, addrs, amount(b.daily(max(3, b.attack()/8))).from(first), always(k))
	s.Also = []string{Unknown} // a small vendor on a rented server looks the same
}

// addRentedScattered adds rented servers without any authentication.
func (b *builder) addRentedScattered(name string) {
	host := b.vps()
	var addrs []netip.Addr
	for i := range 8 + b.r.IntN(30) {
		a := b.addr(netip.Addr{})
		b.named(a, host(i, a))
		addrs = append(addrs, a)
	}
	b.spoofs(name, addrs, b.waves(b.attack()), always(b.bare(b.victim())))
}

// addMonthlySpoof adds a spoofer that comes when our invoices do: once a month,
// each time from other rented servers and under another domain.
func (b *builder) addMonthlySpoof(name string) {
	s := b.source(name, Spoof)
	host, a := b.vps(), b.monthly(b.attack(), 1)
	last, addrs, k := -10, []netip.Addr(nil), mail{}
	for d := range b.days {
		n := a(d)
		if n == 0 {
			continue
		}
		if d-last > 3 {
			look := b.lookalike()
			addrs = b.pool(1+b.r.IntN(2), host)
			k = mail{from: b.domain, envelope: look, spf: "pass"}
		}
		last = d
		b.send(s, d, addrs, n, always(k))
	}
}

// addServiceAbuse adds another customer of a delivery service, in a burst: the
// service signs, and so does the customer's own domain.
func (b *builder) addServiceAbuse(name string) {
	service := "haishin-kyodo.example"
	addrs := b.pool(2+b.r.IntN(5), func(_ int, a netip.Addr) string {
		x := a.As4()
		return fmt.Sprintf("o%d.ptr%d.%s", x[3], x[2], service)
	})
	d := b.lookalike()
	b.spoofs(name, addrs, b.burst(b.attack()), always(mail{from: b.domain, envelope: "em." + d, spf: "pass"}.signed(d, "s1").signed(service, "smtpapi")))
}

// addReplay adds somebody who sends one signed message of ours a thousand
// times: it passes, and is nobody's forwarding.
func (b *builder) addReplay(name string) {
	if b.unsigned {
		return
	}
	addrs := b.pool(2+b.r.IntN(8), b.vps())
	k := mail{from: b.domain, envelope: b.lookalike(), spf: "pass"}.signed(b.domain, "s2026")
	s := b.spoofs(name, addrs, b.burst(b.attack()), always(k))
	s.Also = []string{Aligned, Forwarder, Unknown} // nothing fails
}

// addHackedServer adds somebody's web server that was broken into.
func (b *builder) addHackedServer(name string) {
	org := fmt.Sprintf("%s%d.%s", pick(b, "hanaya", "dentist", "blog", "hotel", "bicycle"), b.r.IntN(1000), pick(b, "com", "fr", "br", "example", "co.za"))
	host := pick(b, "web%d.", "www%d.", "server%d.") + org
	addrs := b.pool(1, func(int, netip.Addr) string { return fmt.Sprintf(host, b.r.IntN(5)) })
	k := b.bare(b.victim())
	if b.chance(0.5) {
		k.envelope, k.spf = "www-data."+org, pick(b, "pass", "none")
	}
	b.spoofs(name, addrs, b.burst(b.attack()), always(k))
}

// addHackedAccount adds a mailbox at a university that was broken into: the
// host is honest and signs.
func (b *builder) addHackedAccount(name string) {
	org := b.organisation()
	addrs := b.pool(1+b.r.IntN(2), func(i int, _ netip.Addr) string { return fmt.Sprintf("smtp%d.%s", i, org) })
	k := mail{from: b.domain, envelope: org, spf: "pass"}.signed(org, "mail")
	s := b.spoofs(name, addrs, b.burst(b.attack()), always(k))
	s.Also = []string{Unknown}
}

func (b *builder) addSpoofIPv6(name string) {
	var addrs []netip.Addr
	for range 12 + b.r.IntN(60) { // of fewer nobody could tell
		addrs = append(addrs, b.addr6())
	}
	b.spoofs(name, addrs, b.waves(b.attack()), always(b.bare(b.victim())))
}
