package gateway

import (
	"strings"

	"sekimori/arc"
	"sekimori/authres"
	"sekimori/dkim"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/spf"
)

// match finds the first rule of which all conditions hold.
func (s *Site) match(v *check.Verdict, f Facts) (*Rule, bool) {
	for i := range s.Rules {
		if s.Rules[i].holds(s, v, f) {
			return &s.Rules[i], true
		}
	}
	return nil, false
}

// holds tells whether all conditions that are set hold. The cheap ones come
// first. A rule without any never does.
func (r *Rule) holds(s *Site, v *check.Verdict, f Facts) bool {
	some := false
	if r.Network.IsValid() {
		if some = true; !r.Network.Contains(f.Client.Unmap()) {
			return false
		}
	}
	if !r.From.IsZero() {
		if some = true; !v.From().IsSubdomainOf(r.From) {
			return false
		}
	}
	if !r.MailFrom.IsZero() {
		if some = true; !f.MailFrom.IsSubdomainOf(r.MailFrom) {
			return false
		}
	}
	if !r.Forwarder.IsZero() {
		if some = true; !authenticated(v, func(d domain.Name) bool { return d.IsSubdomainOf(r.Forwarder) }) {
			return false
		}
	}
	if !r.List.IsZero() {
		org := r.List.Organizational()
		if some = true; !f.List.IsSubdomainOf(r.List) || !authenticated(v, func(d domain.Name) bool { return d.Organizational() == org }) {
			return false
		}
	}
	if !r.Sealer.IsZero() {
		if some = true; !s.sealed(r.Sealer, v) {
			return false
		}
	}
	return some
}

// authenticated tells whether SPF (for MAIL FROM) or a DKIM signature passed
// for a domain that is wanted.
func authenticated(v *check.Verdict, wanted func(domain.Name) bool) bool {
	if !v.NoSPF && v.SPF.Status == spf.Pass {
		if d, err := domain.Parse(v.SPF.Domain); err == nil && wanted(d) {
			return true
		}
	}
	for i := range v.DKIM {
		if v.DKIM[i].Status == dkim.Pass && wanted(v.DKIM[i].Domain) {
			return true
		}
	}
	return false
}

// sealed tells whether the newest seal of a valid chain is that of sealer, and
// the oldest word in the chain that counts says that DMARC passed for the very
// author. A word counts only as far down as every seal above it is of somebody
// the site trusts: whoever seals first can write anything (RFC 8617 §9.4).
func (s *Site) sealed(sealer domain.Name, v *check.Verdict) bool {
	if v.ARC.Status != arc.Pass || len(v.ARC.Chain) == 0 || v.ARC.Chain[0].Domain != sealer {
		return false
	}
	t := v.ARC.Trust(func(d domain.Name) bool {
		for i := range s.Rules {
			if s.Rules[i].Sealer == d {
				return true
			}
		}
		return false
	})
	if t.Instance == 0 {
		return false
	}
	r, err := authres.Parse(t.Results)
	if err != nil {
		return false
	}
	for _, x := range r.All("dmarc") {
		from, ok := x.Get("header", "from")
		if !ok || x.Value != "pass" {
			continue
		}
		if d, err := domain.Parse(from[strings.LastIndexByte(from, '@')+1:]); err == nil && d == v.From() {
			return true
		}
	}
	return false
}

// step says which rule it was, by the most telling of its conditions.
func (r *Rule) step(action verdict.Action) explain.Step {
	args := explain.Args{"action": string(action), "reason": "–"}
	if r.Reason != "" {
		args["reason"] = explain.Clip(r.Reason)
	}
	name := func(code string, d domain.Name) explain.Step {
		args["domain"] = d.Unicode()
		return explain.Step{Code: code, Args: args}
	}
	switch {
	case !r.Forwarder.IsZero():
		return name("gateway.rule-forwarder", r.Forwarder)
	case !r.List.IsZero():
		return name("gateway.rule-list", r.List)
	case !r.Sealer.IsZero():
		s := name("gateway.rule-sealer", r.Sealer)
		s.Ref = "RFC 8617 §7.2.1"
		return s
	case !r.From.IsZero():
		return name("gateway.rule-from", r.From)
	case !r.MailFrom.IsZero():
		return name("gateway.rule-mail-from", r.MailFrom)
	}
	args["network"] = r.Network.String()
	return explain.Step{Code: "gateway.rule-network", Args: args}
}

// override is what a report says of the rule (RFC 9990 §3.1.1.8). Those who
// forward are named only where that let the message through.
func (r *Rule) override(v *check.Verdict) (kind, comment string) {
	comment = explain.Clip(r.Reason)
	switch {
	case r.Action != "" && r.Action != verdict.Accept:
		return "local_policy", comment
	case !r.Forwarder.IsZero():
		return "trusted_forwarder", comment
	case !r.List.IsZero():
		return "mailing_list", comment
	case !r.Sealer.IsZero() && comment == "":
		return "local_policy", v.ARC.Comment("") // RFC 8617 §7.2.2
	}
	return "local_policy", comment
}

// listDomain is the domain of a mailing list by its own word: that of List-Id
// (RFC 2919 §3), or of the address in List-Post (RFC 2369 §3.4) where there is
// no List-Id. The zero Name is none.
func listDomain(h message.Header) domain.Name {
	if !h.Has("List-Id") {
		_, post, _ := strings.Cut(h.Get("List-Post"), "mailto:")
		post, _, _ = strings.Cut(post, ">")
		post, _, _ = strings.Cut(post, "?")
		d, _ := domain.Parse(post[strings.LastIndexByte(post, '@')+1:])
		return d
	}
	id := h.Get("List-Id")
	if open := strings.LastIndexByte(id, '<'); open >= 0 {
		id, _, _ = strings.Cut(id[open+1:], ">")
	}
	// Some write the list's address.
	d, _ := domain.Parse(id[strings.LastIndexByte(id, '@')+1:])
	return d
}
