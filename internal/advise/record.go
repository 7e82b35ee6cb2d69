package advise

import (
	"context"
	"errors"
	"strings"

	"sekimori/dns"
	"sekimori/explain"
)

// tags is a DMARC record in its order.
type tags []tag

type tag struct{ name, value string }

// parseTags reads a record leniently (RFC 9989 §4.8); false for anything that
// is no DMARC record.
func parseTags(s string) (tags, bool) {
	var out tags
	for i, part := range strings.Split(s, ";") {
		name, value, ok := strings.Cut(part, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if i == 0 && (name != "v" || value != "DMARC1") {
			return nil, false
		}
		if ok && name != "" && out.get(name) == "" {
			out = append(out, tag{name, value})
		}
	}
	return out, true
}

func (t tags) get(name string) string {
	for _, x := range t {
		if x.name == name {
			return x.value
		}
	}
	return ""
}

func isAbsent(err error) bool {
	return errors.Is(err, dns.ErrNameNotFound) || errors.Is(err, dns.ErrNoData)
}

// publishedRecord returns the DMARC record of a domain, "" where there is none
// or it cannot be looked up (RFC 9989 §4.10: exactly one).
func publishedRecord(ctx context.Context, r dns.Resolver, domain string) string {
	a, err := r.Lookup(ctx, "_dmarc."+domain, dns.TXT)
	if err != nil {
		return ""
	}
	found := ""
	for _, s := range a.Records {
		if _, ok := parseTags(s); ok {
			if found != "" {
				return ""
			}
			found = s
		}
	}
	return found
}

// stricter orders policies; an unknown one is as good as none.
func stricter(p string) int {
	switch p {
	case "quarantine":
		return 1
	case "reject":
		return 2
	}
	return 0
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
	now, known := parseTags(n.policy.published)
	p := seen.P
	if stricter(p) == 0 {
		p = "none"
	}
	if known && now.get("p") != "" && strings.ToLower(now.get("p")) != p {
		n.note("note.policy-changed", explain.Args{"seen": p, "published": strings.ToLower(now.get("p"))})
		p = strings.ToLower(now.get("p"))
	}
	if a.Verdict == Ready {
		switch {
		case p != "none" || t.legitimate == 0 && t.messages > 0:
			p = "reject" // the last step, or the only one where there is no mail to lose
		default:
			p = "quarantine"
		}
	}
	out := tags{{"v", "DMARC1"}, {"p", p}}
	sp := strings.ToLower(now.get("sp"))
	if !known && seen.SP != seen.P {
		sp = seen.SP
	}
	// Receivers often write sp into their reports although none is published.
	if sp != "" && stricter(sp) != stricter(p) {
		if a.Verdict == Ready && stricter(sp) < stricter(p) {
			sp = p // the step is for subdomains too: their mail was counted
		}
		if sp != p {
			out = append(out, tag{"sp", sp})
		}
	}
	np := strings.ToLower(now.get("np"))
	if !known {
		np = seen.NP
	}
	failing := false // a subdomain of ours, not known to exist, has failing mail
	for name := range t.subdomains {
		if e, asked := n.scene.exists[name]; !asked || !e {
			failing = true
		}
	}
	effective := np
	if effective == "" {
		effective = sp
	}
	if effective == "" {
		effective = p
	}
	switch {
	case stricter(effective) == 2 && np == "":
	case !failing && p != "reject" && t.messages > 0:
		out = append(out, tag{"np", "reject"})
		if stricter(effective) < 2 {
			n.note("note.np-reject", nil)
		}
	case np != "":
		out = append(out, tag{"np", np})
	}
	for _, name := range []string{"adkim", "aspf"} {
		v := strings.ToLower(now.get(name))
		if !known {
			v = map[string]string{"adkim": seen.ADKIM, "aspf": seen.ASPF}[name]
		}
		if v == "s" {
			out = append(out, tag{name, v})
		}
	}
	fo := now.get("fo")
	if !known {
		fo = seen.FO
	}
	if fo != "" && fo != "0" {
		out = append(out, tag{"fo", fo})
	}
	rua := now.get("rua")
	if rua == "" {
		rua = "mailto:dmarc-reports@" + a.Domain
		n.note("note.rua-assumed", explain.Args{"address": "dmarc-reports@" + a.Domain})
	}
	out = append(out, tag{"rua", rua})
	if ruf := now.get("ruf"); ruf != "" {
		out = append(out, tag{"ruf", ruf})
	}
	if t := strings.ToLower(now.get("t")); t == "y" && a.Verdict != Ready {
		out = append(out, tag{"t", "y"})
	}
	if now.get("pct") != "" {
		n.note("note.pct-historic", nil)
	}
	var b strings.Builder
	for i, x := range out {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(x.name + "=" + x.value)
	}
	return b.String()
}
