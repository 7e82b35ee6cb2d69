package advise

import (
	"context"
	"strings"

	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/explain"
)

// publishedRecord returns the DMARC record of a domain, "" where there is none
// or it cannot be looked up (RFC 9989 §4.10: exactly one).
func publishedRecord(ctx context.Context, r dns.Resolver, domain string) string {
	a, err := r.Lookup(ctx, "_dmarc."+domain, dns.TXT)
	if err != nil {
		return ""
	}
	found := ""
	for _, s := range a.Records {
		if _, err := dmarc.Parse(s); err == nil {
			if found != "" {
				return ""
			}
			found = s
		}
	}
	return found
}

// nextRecord writes the record to publish next. Where the domain is ready, p
// goes one step up; otherwise it stays. sp follows where it was published
// apart and is weaker than the new p; np=reject is added where no mail of
// ours comes from a subdomain that fails: names that do not exist send no mail
// (RFC 9989 §4.7). Where there is no mail of ours at all, and reports enough
// to know, p=reject is one step away. The alignment modes, fo and the addresses
// for reports stay.
func (n *analysis) nextRecord(a *Advice, t totals) string {
	seen := n.policy.seen
	now, err := dmarc.Parse(n.policy.published)
	if err != nil { // what reports saw has to do
		now = dmarc.New(policy(seen.P)).With("np", seen.NP).With("adkim", seen.ADKIM).With("aspf", seen.ASPF).With("fo", seen.FO)
		if seen.SP != seen.P {
			now = now.With("sp", seen.SP)
		}
	}
	p := policy(seen.P)
	if now.P != "" && now.P != p {
		n.note("note.policy-changed", explain.Args{"seen": string(p), "published": string(now.P)})
		p = now.P
	}
	if a.Verdict == Ready {
		switch {
		case p != dmarc.None || t.legitimate == 0 && t.messages > 0:
			p = dmarc.Reject // the last step, or the only one where there is no mail to lose
		default:
			p = dmarc.Quarantine
		}
	}
	next := dmarc.New(p)
	sp := now.SP
	// Receivers often write sp into their reports although none is published.
	if sp != "" && sp != p {
		if a.Verdict == Ready && sp.Level() < p.Level() {
			sp = p // the step is for subdomains too: their mail was counted
		}
		if sp != p {
			next = next.With("sp", string(sp))
		}
	}
	failing := false // a subdomain of ours, not known to exist, has failing mail
	for name := range t.subdomains {
		if e, asked := n.scene.exists[name]; !asked || !e {
			failing = true
		}
	}
	effective := p
	for _, q := range []dmarc.Policy{sp, now.NP} {
		if q != "" {
			effective = q
		}
	}
	switch {
	case effective == dmarc.Reject && now.NP == "":
	case !failing && p != dmarc.Reject && t.messages > 0:
		next = next.With("np", string(dmarc.Reject))
		if effective != dmarc.Reject {
			n.note("note.np-reject", nil)
		}
	case now.NP != "":
		next = next.With("np", string(now.NP))
	}
	if now.ADKIM == dmarc.Strict {
		next = next.With("adkim", string(now.ADKIM))
	}
	if now.ASPF == dmarc.Strict {
		next = next.With("aspf", string(now.ASPF))
	}
	if now.FO != (dmarc.FailureOptions{}) {
		fo, _ := now.Get("fo")
		next = next.With("fo", fo)
	}
	rua, _ := now.Get("rua")
	if rua == "" {
		rua = "mailto:dmarc-reports@" + a.Domain
		n.note("note.rua-assumed", explain.Args{"address": "dmarc-reports@" + a.Domain})
	}
	next = next.With("rua", rua)
	if ruf, _ := now.Get("ruf"); ruf != "" {
		next = next.With("ruf", ruf)
	}
	if now.Testing && a.Verdict != Ready {
		next = next.With("t", "y")
	}
	if now.Has("pct") {
		n.note("note.pct-historic", nil)
	}
	return next.String()
}

// policy reads a policy as reports have it; an unknown one is as good as none.
func policy(s string) dmarc.Policy {
	if p := dmarc.Policy(strings.ToLower(s)); p.Level() > 0 {
		return p
	}
	return dmarc.None
}
