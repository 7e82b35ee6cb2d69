package posture

import (
	"context"

	"sekimori/dane"
	"sekimori/dns"
	"sekimori/explain"
)

// DANE is whether senders can verify the MX hosts' certificates by the DNS
// (RFC 7672). Present: some MX host has TLSA records; Valid: every one has
// usable ones, and they, the MX records and the hosts' addresses are secure.
//
// A frugal inspection does not ask for TLSA records where the MX records are
// insecure or bogus: they would have no effect.
type DANE struct {
	Topic
	Hosts []DANEHost `json:"hosts"`
}

func (d *DANE) init() { d.Hosts = []DANEHost{} }

// DANEHost is one MX host.
type DANEHost struct {
	Host    string `json:"host"`
	Present State  `json:"present"`
	// Secure tells whether the TLSA records, and the addresses of the host,
	// are secure; unknown where the resolver does not say.
	Secure  State    `json:"secure"`
	Usable  State    `json:"usable"` // at least one record is
	Records []string `json:"records"`

	found  []explain.Finding
	usable []dane.Record
}

// inspectDANE follows inspectMX, whose hosts it looks at, and inspectDNSSEC.
func (in *inspection) inspectDANE(ctx context.Context, f first) {
	d, b := &in.DANE, in.a.budget(budgetDANE)
	mx := in.certain(f.mx.Security)
	d.init()
	d.Present, d.Valid = Unknown, Unknown
	switch {
	case in.MX.Present == Unknown:
		return
	case in.MX.Null == Yes || in.MX.Present == No:
		// RFC 7672 §2.2.2 knows the domain's own address too; nobody uses it.
		d.Present, d.Valid = No, No
		return
	case in.o.Frugal && mx == dns.Insecure:
		d.Present, d.Valid = No, No
		return
	case in.o.Frugal && mx == dns.Bogus:
		return
	}
	var hosts []*Host
	for i := range in.MX.Hosts {
		if in.MX.Hosts[i].Resolves != No {
			hosts = append(hosts, &in.MX.Hosts[i])
		}
	}
	if len(hosts) == 0 {
		d.Present, d.Valid = No, No
		return
	}
	d.Hosts = make([]DANEHost, len(hosts))
	tasks := make([]func(), len(hosts))
	for i, h := range hosts {
		tasks[i] = func() { d.Hosts[i] = in.tlsa(ctx, b, h) }
	}
	together(tasks)
	d.sum(mx)
	in.judgeDANE(mx)
}

// tlsa asks for the records of one host: those of the name its addresses are
// at, if it is a secure alias, and else its own (RFC 7672 §2.2.2, §2.2.3).
func (in *inspection) tlsa(ctx context.Context, b *budget, h *Host) DANEHost {
	x := DANEHost{Host: h.Host, Secure: Unknown, Usable: No, Records: []string{}}
	var a dns.Answer
	err := error(dns.ErrNoData)
	if h.Alias != "" && h.secure {
		a, err = b.Lookup(ctx, dane.Name(h.Alias), dns.TLSA)
	}
	if dns.Absent(err) {
		a, err = b.Lookup(ctx, dane.Name(h.Host), dns.TLSA)
	}
	x.Present = present(err)
	switch {
	case x.Present == Unknown:
		x.Usable = Unknown
	case x.Present == No:
		x.Secure = No
	case a.Security == dns.Secure && h.secure:
		x.Secure = Yes
	case in.certain(a.Security) != dns.Unknown:
		x.Secure = No
	}
	all := a.Records[:min(len(a.Records), maxListed)]
	for _, txt := range all {
		if r, err := dane.Parse(txt); err == nil && r.Usable() {
			x.Usable = Yes
			x.usable = append(x.usable, *r)
		}
	}
	x.Records = append(x.Records, texts(all)...)
	if len(all) > 0 {
		x.found = dane.LintAll(all, h.Host)
	}
	return x
}

// sum draws Present and Valid from the hosts.
func (d *DANE) sum(mx dns.Security) {
	d.Present, d.Valid = No, Yes
	for _, h := range d.Hosts {
		switch {
		case h.Present == Yes:
			d.Present = Yes
		case h.Present == Unknown && d.Present == No:
			d.Present = Unknown
		}
		switch {
		case h.Present == No || h.Usable == No || h.Secure == No && h.Present == Yes:
			d.Valid = No
		case (h.Present == Unknown || h.Secure == Unknown) && d.Valid == Yes:
			d.Valid = Unknown
		}
	}
	switch {
	case d.Present != Yes:
		d.Valid = d.Present
	case mx == dns.Insecure || mx == dns.Bogus:
		d.Valid = No
	case mx != dns.Secure && d.Valid == Yes:
		d.Valid = Unknown
	}
}

func (in *inspection) judgeDANE(mx dns.Security) {
	d := &in.DANE
	say := func(g explain.Grade, code, ref string, hosts []string) {
		args := in.args()
		if hosts != nil {
			args["hosts"] = hosts
		}
		in.find(TopicDANE, explain.Finding{Grade: g, Step: explain.Step{Code: code, Args: args, Ref: ref}})
	}
	var without, insecure []string
	for _, h := range d.Hosts {
		in.findAt(TopicDANE, dane.Name(h.Host), h.found...)
		switch {
		case h.Present == No:
			without = append(without, explain.Clip(h.Host))
		case h.Present != Yes:
		case h.Usable == No: // the linter says it
		case h.Secure == No || mx == dns.Insecure:
			insecure = append(insecure, explain.Clip(h.Host))
		}
	}
	if d.Present == Yes && len(without) > 0 {
		say(explain.Warning, "posture.dane-partial", "RFC 7672 §2.2.1", without)
	}
	if len(insecure) > 0 {
		say(explain.Warning, "posture.dane-insecure", "RFC 7672 §2.2", insecure)
	}
	if d.Present == No && mx == dns.Secure {
		say(explain.Advice, "posture.dane-missing", "RFC 7672 §1.3", nil)
	}
}
