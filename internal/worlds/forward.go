package worlds

import (
	"fmt"
	"net/netip"
)

var forwardShapes = [...]shape{
	{"forwarder/plain", 5, (*builder).addPlain},
	{"forwarder/srs", 5, (*builder).addSRS},
	{"forwarder/list-footer", 4, (*builder).addListFooter},
	{"forwarder/list-resigned", 3, (*builder).addListResigned},
	{"forwarder/mailbox-provider", 4, (*builder).addMailbox},
	{"forwarder/security-gateway", 3, (*builder).addSecurity},
	{"forwarder/chain", 2, (*builder).addChain},
	{"forwarder/arc", 3, (*builder).addARC},
	{"forwarder/alumni", 2, (*builder).addAlumni},
	{"forwarder/unnamed", 2, (*builder).addUnnamed},
	{"forwarder/long-tail", 4, (*builder).addLongTail},
	{"forwarder/ipv6", 1, (*builder).addForwardIPv6},
	{"forwarder/small-company", 2, (*builder).addSmallCompany},
	{"forwarder/list-all-broken", 2, (*builder).addListBroken},
	{"forwarder/srs-hoster", 2, (*builder).addSRSHoster},
	{"forwarder/breaking", 2, (*builder).addBreaking},
}

// forward is what a forwarder does to our mail.
type forward struct {
	name     string
	addrs    []netip.Addr
	envelope string  // of its own (SRS), "" for ours
	breaks   float64 // share of signatures that do not survive
	strips   float64 // share that loses the signature altogether
	resigns  string  // domain that signs in its turn
	override string
	share    float64 // of messages of which the receiver may say so
	part     float64 // of our scale
	also     []string
}

// forwards adds a forwarder. What comes in is what our servers send.
func (b *builder) forwards(f forward) {
	if b.unsigned { // then nothing tells a forwarder from a server that was forgotten
		f.also = append(f.also, Unknown)
	}
	s := b.source(f.name, Forwarder, f.also...)
	from := b.domain
	base := b.ours(from)
	volume := b.scale * f.part
	if b.kind == "small" {
		volume = max(volume, 0.5)
	}
	a := b.office(volume)
	if b.kind == "shop" || b.kind == "isp" { // as our servers do
		a = b.daily(volume)
	}
	b.during(s, f.addrs, a, func() mail {
		k := mail{from: from, envelope: base.envelope, spf: pick(b, "fail", "softfail")}
		if f.envelope != "" {
			k.envelope, k.spf = f.envelope, "pass"
		}
		switch p := b.r.Float64(); {
		case b.unsigned:
		case p < f.strips:
		case p < f.strips+f.breaks:
			k = k.broken(b.domain, "s2026")
		default:
			k = k.signed(b.domain, "s2026")
		}
		if f.resigns != "" {
			k = k.signed(f.resigns, "fwd")
		}
		if f.override != "" && b.chance(f.share) {
			k.override = f.override
		}
		return k
	})
}

// organisation makes the name of one that has mailboxes that forward.
func (b *builder) organisation() string {
	n := b.r.IntN(900)
	return pick(b, fmt.Sprintf("u-%s%d.ac.jp", pick(b, nameParts[:]...), n), fmt.Sprintf("%s%d.ne.jp", pick(b, nameParts[:]...), n),
		fmt.Sprintf("college%d.edu", n), fmt.Sprintf("%s-daigaku%d.ac.jp", pick(b, nameParts[:]...), n), fmt.Sprintf("%snet%d.ad.jp", pick(b, nameParts[:]...), n))
}

func (b *builder) small() float64 { return b.spread(0.002, 0.03) }

func (b *builder) addPlain(name string) {
	org := b.organisation()
	addrs := b.pool(1+b.r.IntN(3), b.honest(pick(b, "fw%d.", "mail%d.", "mx%d.", "relay%d.", "forward%d.")+org))
	b.forwards(forward{name: name, addrs: addrs, breaks: b.spread(0.01, 0.08), part: b.small()})
}

func (b *builder) addSRS(name string) {
	org := b.organisation()
	addrs := b.pool(1+b.r.IntN(3), b.honest(pick(b, "srs%d.", "fwd%d.", "mail%d.", "mx%d.")+org))
	b.forwards(forward{name: name, addrs: addrs, envelope: org, breaks: b.spread(0.01, 0.1), part: b.small()})
}

func (b *builder) addListFooter(name string) {
	org := b.organisation()
	lists := pick(b, "lists.", "ml.", "mailman.") + org
	addrs := b.pool(1, b.honest(pick(b, "lists%d.", "ml%d.", "mail%d.", "list%d.")+org))
	b.forwards(forward{name: name, addrs: addrs, envelope: lists, breaks: 0.75 + 0.2*b.r.Float64(), override: "mailing_list", share: 0.5, part: b.small()})
}

func (b *builder) addListResigned(name string) {
	org := b.organisation()
	lists := pick(b, "ml.", "lists.", "groups.") + org
	addrs := b.pool(1+b.r.IntN(2), b.honest(pick(b, "ml%d.", "lists%d.", "mta%d.")+org))
	b.forwards(forward{name: name, addrs: addrs, envelope: lists, strips: 0.9, resigns: org, override: "mailing_list", share: 0.4, part: b.small()})
}

func (b *builder) addMailbox(name string) {
	org := fmt.Sprintf("%s%d.%s", pick(b, "yuubin", "mailbox", "posuto", "freemail"), b.r.IntN(100), pick(b, "example", "com", "jp"))
	host := pick(b, "mail-q%d.", "mta%d.", "o%d.mx.", "fwd-%d.")
	addrs := b.pool(10+b.r.IntN(20), func(i int, _ netip.Addr) string { return fmt.Sprintf(host, i) + org })
	b.forwards(forward{name: name, addrs: addrs, envelope: org, breaks: b.spread(0.01, 0.08), part: 2 * b.small()})
}

// addSecurity adds the receivers' own gateways in the cloud, which rewrite
// links and pass on to where the reports come from.
func (b *builder) addSecurity(name string) {
	org := fmt.Sprintf("%s%d.%s", pick(b, "mailguard", "trapmail", "shieldbox", "bunkermail"), b.r.IntN(50), pick(b, "com", "net", "example"))
	addrs := b.pool(4+b.r.IntN(8), func(i int, _ netip.Addr) string { return fmt.Sprintf("filter%d.%s", i, org) })
	b.forwards(forward{name: name, addrs: addrs, breaks: 0.3 + 0.5*b.r.Float64(), part: b.small(), override: "local_policy", share: 0.2})
}

func (b *builder) addChain(name string) {
	org, via := b.organisation(), b.organisation()
	addrs := b.pool(2, b.honest("relay%d."+org))
	b.forwards(forward{name: name, addrs: addrs, envelope: via, breaks: 0.1 + 0.3*b.r.Float64(), part: b.small() / 2})
}

func (b *builder) addARC(name string) {
	org := b.organisation()
	addrs := b.pool(1+b.r.IntN(4), b.honest("mx%d."+org))
	b.forwards(forward{name: name, addrs: addrs, envelope: org, breaks: 0.5 * b.r.Float64(), override: "arc", share: 1, part: b.small()})
}

func (b *builder) addAlumni(name string) {
	org := fmt.Sprintf("alumni.%s", b.organisation())
	addrs := b.pool(1, b.honest("alias%d."+org))
	b.forwards(forward{name: name, addrs: addrs, breaks: 0.05, part: b.small() / 3, override: "forwarded", share: 0.5})
}

// addUnnamed adds a forwarder of which only the address is known; the share of
// our signatures that pass tells.
func (b *builder) addUnnamed(name string) {
	addrs := []netip.Addr{b.addr(netip.Addr{})}
	b.forwards(forward{name: name, addrs: addrs, breaks: b.spread(0.02, 0.3), part: b.small() / 2})
}

// addLongTail adds some hundred mailboxes that forward a message now and then.
func (b *builder) addLongTail(name string) {
	var addrs []netip.Addr
	for range 40 + b.r.IntN(250) {
		a := b.addr(netip.Addr{})
		switch b.r.IntN(4) {
		case 0:
			b.ptr(a, fmt.Sprintf("mail.kaisha%d.co.jp", b.r.IntN(5000)))
		case 1:
			b.ptr(a, dashed(a)+".static.bizline.example")
		case 2:
			b.ptr(a, fmt.Sprintf("mx.%s", b.organisation()))
		}
		addrs = append(addrs, a)
	}
	b.forwards(forward{name: name, addrs: addrs, breaks: b.spread(0.02, 0.1), part: b.spread(0.005, 0.04), also: []string{Aligned, Unknown}})
}

func (b *builder) addForwardIPv6(name string) {
	org := b.organisation()
	a := b.addr6()
	b.named(a, "mx6."+org)
	b.forwards(forward{name: name, addrs: []netip.Addr{a}, envelope: org, breaks: b.spread(0.01, 0.1), part: b.small()})
}

// addSmallCompany adds a company's own server whose staff forward to a large
// mailbox provider.
func (b *builder) addSmallCompany(name string) {
	org := fmt.Sprintf("%s-shoji%d.co.jp", pick(b, nameParts[:]...), b.r.IntN(100))
	addrs := b.pool(1, b.honest(pick(b, "mail%d.", "www%d.", "ns%d.")+org))
	envelope := ""
	if b.chance(0.4) {
		envelope = org
	}
	b.forwards(forward{name: name, addrs: addrs, envelope: envelope, breaks: b.spread(0.01, 0.2), part: b.small() / 2})
}

// addListBroken adds a list that no signature survives and that no receiver
// names as one; its mail keeps our signature.
func (b *builder) addListBroken(name string) {
	org := fmt.Sprintf("%s-gakkai%d.%s", pick(b, nameParts[:]...), b.r.IntN(100), pick(b, "jp", "or.jp", "org"))
	lists := pick(b, "lists.", "ml.", "mailman.") + org
	addrs := b.pool(1, b.honest(pick(b, "lists%d.", "ml%d.", "www%d.")+org))
	b.forwards(forward{name: name, addrs: addrs, envelope: lists, breaks: 1, part: b.small()})
}

// addSRSHoster adds a hoster of web sites whose customers have their mail passed
// on.
func (b *builder) addSRSHoster(name string) {
	hoster := fmt.Sprintf("%s%d.%s", pick(b, "rentalserver", "heterolab", "coreweb"), b.r.IntN(30), pick(b, "jp", "ne.jp", "net"))
	addrs := b.pool(1+b.r.IntN(4), func(int, netip.Addr) string { return fmt.Sprintf("sv%d.%s", 100+b.r.IntN(900), hoster) })
	b.forwards(forward{name: name, addrs: addrs, envelope: "srs." + hoster, breaks: b.spread(0.01, 0.1), part: b.small()})
}

// addBreaking adds an old forwarder that breaks half of the signatures: it
// rewrites the body.
func (b *builder) addBreaking(name string) {
	org := b.organisation()
	addrs := b.pool(1+b.r.IntN(2), b.honest("relay%d."+org))
	b.forwards(forward{name: name, addrs: addrs, breaks: 0.3 + 0.4*b.r.Float64(), part: b.small()})
}
