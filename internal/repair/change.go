package repair

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/sources"
)

const (
	addressesListed = 10  // addresses that a record is written out for
	selectorsListed = 3   // keys that are asked for
	stringMost      = 255 // octets of one string of a TXT record (RFC 1035 §3.3)
)

// plan writes down what to change, in order.
type plan struct {
	m      *Manager
	ctx    context.Context
	d      *diagnosis
	source *advise.Source
	sender sources.Sender // of the catalogue; zero for none
	addrs  []netip.Addr   // that fail, the most first
	all    bool           // these are all of them

	out   []LetterChange
	notes []explain.Step
}

func (p *plan) add(c LetterChange) { p.out = append(p.out, c) }

func (p *plan) step(code string, args explain.Args) explain.Step {
	return explain.Step{Code: code, Args: args}
}

// service is the arguments of a sentence about the vendor.
func (p *plan) service(domain string) explain.Args {
	return explain.Args{"service": p.d.service, "service_ja": p.d.serviceJA, "domain": domain}
}

// write makes the plan. One of SPF and DKIM is enough; DKIM comes first where
// the system can do it, since it holds when mail is passed on.
func (p *plan) write() {
	switch p.d.kind {
	case Device:
		p.add(LetterChange{What: p.step("repair.change-relay", explain.Args{"domain": p.d.domain}), Who: "owner"})
		p.instead(p.spf)
	case Vendor:
		p.vendor()
	default:
		p.server()
	}
	p.add(LetterChange{What: p.step("repair.change-stop", explain.Args{"domain": p.d.domain}), Who: "owner", Instead: true})
}

// instead marks what f adds as another way.
func (p *plan) instead(f func()) {
	from := len(p.out)
	f()
	for i := from; i < len(p.out); i++ {
		p.out[i].Instead = i == from
	}
}

// vendor is what to change at a service.
func (p *plan) vendor() {
	d := p.d
	if len(d.dkimFails) > 0 || d.dkimDomain != "" {
		p.repairKey()
	} else if len(d.dkimStrict) > 0 {
		p.add(LetterChange{What: p.step("repair.change-dkim-exact", p.service(d.author)), Who: "owner"})
	} else {
		c := LetterChange{What: p.step("repair.change-dkim-vendor", p.service(d.author)), Who: "owner", URL: p.sender.URL}
		if p.sender.ID != "" {
			c.Steps = p.sender.Steps(d.author)
		}
		p.add(c)
		p.keys()
	}
	from := len(p.out)
	switch {
	case d.spfOurs != "" && p.sender.Include != "":
		p.include()
	case d.spfOurs != "":
		p.spf()
	case len(d.spfForeign) > 0:
		p.add(LetterChange{What: p.step("repair.change-envelope-vendor", p.service(d.author)), Who: "owner"})
	}
	if from < len(p.out) {
		p.out[from].Hints = append(p.out[from].Hints, p.step("repair.hint-either", nil))
	}
}

// keys is the records that a vendor's signatures need in our DNS.
func (p *plan) keys() {
	c := LetterChange{What: p.step("repair.change-dkim-key", p.service(p.d.author)), Who: "dns", Type: "TXT", Name: "<selector>._domainkey." + p.d.author, Record: "<value>"}
	if strings.HasSuffix(p.sender.DKIMHow, "dkim-cname") || slices.ContainsFunc(p.sender.Setup, func(s string) bool { return strings.HasSuffix(s, "dkim-cname") }) {
		c.Type = "CNAME"
	}
	if strings.HasSuffix(p.sender.DKIMHow, "dkim-auto") {
		return
	}
	if len(p.sender.Selectors) == 0 {
		p.add(c)
		return
	}
	for _, s := range p.sender.Selectors[:min(len(p.sender.Selectors), selectorsListed)] {
		k := c
		k.Name = s + "._domainkey." + p.d.author
		p.add(k)
	}
}

// server is what to change at a mail server or application of our own.
func (p *plan) server() {
	d := p.d
	switch {
	case len(d.dkimFails) > 0 || d.dkimDomain != "":
		p.repairKey()
	case len(d.dkimStrict) > 0:
		p.add(LetterChange{What: p.step("repair.change-dkim-exact", p.service(d.author)), Who: "owner"})
	default:
		p.spf()
		p.add(LetterChange{What: p.step("repair.change-dkim-own", explain.Args{"domain": d.author}), Who: "owner",
			Hints: []explain.Step{p.step("repair.hint-either", nil)}})
		p.add(LetterChange{What: p.step("repair.change-dkim-key-own", explain.Args{"domain": d.author}), Who: "dns",
			Name: "<selector>._domainkey." + d.author, Type: "TXT", Record: "v=DKIM1; k=rsa; p=<key>"})
		p.add(LetterChange{What: p.step("repair.change-relay", explain.Args{"domain": d.domain}), Who: "owner", Instead: true})
		return
	}
	if d.spfOurs != "" || len(d.spfForeign) == 0 {
		p.spf()
	}
}

// repairKey is for signatures in our name that do not verify.
func (p *plan) repairKey() {
	d := p.d
	domain := d.dkimDomain
	if domain == "" {
		domain = d.author
	}
	c := LetterChange{What: p.step("repair.change-dkim-repair", explain.Args{"selectors": d.dkimFails, "domain": domain}), Who: "owner"}
	if len(d.dkimFails) == 0 {
		c.What = p.step("repair.change-dkim-repair-unnamed", explain.Args{"domain": domain})
	}
	var missing []string
	for _, s := range d.dkimFails[:min(len(d.dkimFails), selectorsListed)] {
		name := s + "._domainkey." + domain
		switch there, known := p.key(name); {
		case !known:
		case there:
			c.Hints = append(c.Hints, p.step("repair.hint-key-present", explain.Args{"name": name}))
		default:
			c.Hints = append(c.Hints, p.step("repair.hint-key-missing", explain.Args{"name": name}))
			missing = append(missing, name)
		}
	}
	p.add(c)
	for _, name := range missing {
		p.add(LetterChange{What: p.step("repair.change-dkim-key-own", explain.Args{"domain": domain}), Who: "dns", Name: name, Type: "TXT", Record: "v=DKIM1; k=rsa; p=<key>"})
	}
}

// key looks whether there is a key at a name; known is false where the DNS does
// not say.
func (p *plan) key(name string) (there, known bool) {
	if p.m.c.Resolver == nil {
		return false, false
	}
	ctx, cancel := context.WithTimeout(p.ctx, lookTime)
	defer cancel()
	a, err := p.m.c.Resolver.Lookup(ctx, name, dns.TXT)
	switch {
	case err == nil:
		return len(a.Records) > 0, true
	case errors.Is(err, dns.ErrNameNotFound), errors.Is(err, dns.ErrNoData):
		return false, true
	}
	p.note(name)
	return false, false
}

// note says that a name could not be looked up.
func (p *plan) note(name string) {
	for _, n := range p.notes {
		if n.Args["name"] == name {
			return
		}
	}
	p.notes = append(p.notes, p.step("repair.note-not-looked-up", explain.Args{"name": explain.Clip(name)}))
}

// include is the vendor's servers in the SPF record of the domain that errors
// return to.
func (p *plan) include() {
	target := p.d.spfOurs
	now := p.m.spfRecord(p.ctx, p.d.domain, target)
	c := LetterChange{What: p.step("repair.change-spf-include", explain.Args{"include": "include:" + p.sender.Include, "domain": target}), Who: "dns", Name: target, Type: "TXT"}
	if now.known && includes(now.record, p.sender.Include) {
		c.Now = now.record
		c.Hints = append(c.Hints, p.step("repair.hint-spf-listed", explain.Args{"domain": target}))
		p.seen(&c, now)
		p.add(c)
		return
	}
	p.record(&c, now, []string{"include:" + p.sender.Include}, p.m.cost(p.ctx, p.sender.Include))
	p.add(c)
}

// spf is the servers' addresses in the SPF record of the domain that errors
// return to. Where they return elsewhere, that comes first.
func (p *plan) spf() {
	d := p.d
	target := d.spfOurs
	if target == "" {
		target = d.author
		if len(d.spfStrict) == 0 {
			p.add(LetterChange{What: p.step("repair.change-envelope-own", explain.Args{"domain": d.author}), Who: "owner"})
		}
	}
	if len(d.spfStrict) > 0 {
		p.add(LetterChange{What: p.step("repair.change-envelope-exact", explain.Args{"domain": d.author}), Who: "owner"})
	}
	now := p.m.spfRecord(p.ctx, d.domain, target)
	var terms, texts []string
	for _, a := range p.addrs[:min(len(p.addrs), addressesListed)] {
		if !now.known || now.record == "" || !now.permit.Addr(a) {
			terms, texts = append(terms, addressTerm(a)), append(texts, a.String())
		}
	}
	c := LetterChange{Who: "dns", Name: target, Type: "TXT"}
	if len(p.addrs) > 0 && len(terms) == 0 {
		for _, a := range p.addrs[:min(len(p.addrs), addressesListed)] {
			texts = append(texts, a.String())
		}
		c.What, c.Now = p.step("repair.change-spf-addresses", explain.Args{"addresses": texts, "domain": target}), now.record
		c.Hints = append(c.Hints, p.step("repair.hint-spf-listed", explain.Args{"domain": target}))
		p.seen(&c, now)
		p.add(c)
		return
	}
	c.What = p.step("repair.change-spf-addresses", explain.Args{"addresses": texts, "domain": target})
	if len(terms) == 0 {
		terms = []string{"ip4:<address>"}
		c.What = p.step("repair.change-spf-servers", explain.Args{"domain": target})
	}
	if !p.all {
		c.Hints = append(c.Hints, p.step("repair.hint-more-addresses", explain.Args{"n": int64(p.source.AddressCount)}))
	}
	p.record(&c, now, terms, 0)
	p.add(c)
}

// record writes the whole new record where the present one is known, and warns
// where it asks for too much.
func (p *plan) record(c *LetterChange, now published, terms []string, cost int) {
	if !now.known {
		c.Record = "v=spf1 … " + strings.Join(terms, " ") + " …"
		c.Hints = append(c.Hints, p.step("repair.hint-spf-unknown", explain.Args{"terms": strings.Join(terms, " ")}))
		p.note(c.Name)
		return
	}
	c.Now, c.Record = explain.ClipFolded(now.record), withTerms(now.record, terms...)
	if len(now.record) <= 2048 {
		c.Now = now.record
	}
	p.seen(c, now)
	if c.Record == "" || len(c.Record) > 4096 {
		c.Record = "v=spf1 … " + strings.Join(terms, " ") + " …"
		c.Hints = append(c.Hints, p.step("repair.hint-spf-unreadable", explain.Args{"domain": c.Name, "terms": strings.Join(terms, " ")}))
		return
	}
	// RFC 7208 §4.6.4. Where an include's own cost is not known, it is one at least.
	if now.lookups >= 0 {
		if then := now.lookups + max(cost, min(-cost, 1)); then > spfLookups {
			c.Hints = append(c.Hints, p.step("repair.hint-spf-limit", explain.Args{"now": int64(now.lookups), "then": int64(then), "limit": int64(spfLookups), "domain": c.Name}))
		}
	}
	if len(c.Record) > stringMost {
		c.Hints = append(c.Hints, p.step("repair.hint-spf-long", explain.Args{"n": int64(len(c.Record)), "limit": int64(stringMost)}))
	}
}

// seen says of when the record is where it was not looked up now.
func (p *plan) seen(c *LetterChange, now published) {
	if now.seen != 0 {
		c.Hints = append(c.Hints, p.step("repair.hint-spf-observed", explain.Args{"domain": c.Name, "day": now.seen.String()}))
	}
}
