package gateway

import (
	"context"
	"errors"
	"strings"

	"sekimori/authres"
	"sekimori/bimi"
	"sekimori/dkim"
	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/taglist"
)

// maxLocation bounds a URI of BIMI in octets, so that it fits into a line (RFC
// 5322 §2.1.1).
const maxLocation = 900

// indicator looks for the record that names the sender's logo, where the
// message has earned one (BIMI draft-14 §7.1): DMARC passes for the one author's
// address, under policies that are enforced. It adds the field by which the
// readers' programs find the logo, and the result to r.
//
// Nobody has fetched the logo or its certificate, so that the result is never
// "pass" but "skipped", with the reason; "declined" and "fail" (a record with a
// fault) are what they are. Where there is no record nothing is said: most
// domains have none.
func (n *session) indicator(a *arrival, v *check.Verdict, p *parts, d *Decision, r *authres.Results) []added {
	if a.rules.site.WithoutBIMI || d.Asked != verdict.Accept || v.DMARC.Status != dmarc.Pass || badFrom(v) {
		return nil
	}
	org, ok, err := n.enforced(a.ctx, v)
	if err != nil {
		r.Results = append(r.Results, authres.Result{Method: "bimi", Value: "temperror"})
		return nil
	}
	if !ok {
		return nil
	}
	from := p.addresses()
	if len(from) != 1 {
		return nil
	}
	in := bimi.Input{Author: v.From(), Organizational: org, Local: from[0].Local}
	if in.Selector, ok = bimiSelector(v, p); !ok {
		return nil
	}
	f := bimi.Lookup(a.ctx, n.g.options.Resolver, in)
	x := authres.Result{Method: "bimi"}
	where := func() {
		x.Props = append(x.Props, authres.Prop{Type: "header", Name: "d", Value: f.Domain.String()}, authres.Prop{Type: "header", Name: "selector", Value: f.Selector})
	}
	var fields []added
	switch {
	case f.Temporary:
		x.Value = "temperror"
	case f.Record == nil && dns.Absent(f.Err):
		return nil
	case f.Record == nil:
		x.Value, x.Reason = "fail", "record invalid"
	case f.Declined:
		x.Value = "declined"
		where()
	default:
		x.Value, x.Reason = "skipped", "logo not verified"
		where()
		fields = location(f.Record)
	}
	r.Results = append(r.Results, x)
	return fields
}

// location is the record for the reader's program (draft-14 §7.7).
func location(r *bimi.Record) []added {
	if !plainURI(r.Location) || !plainURI(r.Authority) {
		return nil
	}
	var b strings.Builder
	b.WriteString("v=BIMI1; l=")
	b.WriteString(r.Location)
	if r.Authority != "" {
		b.WriteString(";\n\ta=")
		b.WriteString(r.Authority)
	}
	out := []added{{"BIMI-Location", b.String()}}
	if r.Avatar == bimi.Personal {
		out = append(out, added{"BIMI-Logo-Preference", "avp=" + string(r.Avatar)})
	}
	return out
}

// plainURI: what can stand in a field as it is.
func plainURI(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ';' || c == ',' {
			return false
		}
	}
	return len(s) <= maxLocation
}

// enforced tells whether the policies of the author's domain and of its
// organization are enforced (draft-14 §7.1): none of them is "none", also not
// for subdomains, none is only tested (t=y), and none spares a part of the
// mail (RFC 7489 §6.3, pct). The error is that the DNS did not tell.
func (n *session) enforced(ctx context.Context, v *check.Verdict) (org domain.Name, ok bool, err error) {
	if v.DMARC.Policy.Level() == 0 || !strict(v.DMARC.Record) {
		return org, false, nil
	}
	author := v.From()
	if v.DMARC.PolicyDomain != author {
		// The record is the organization's, or that of a public suffix above.
		return v.DMARC.Organizational, true, nil
	}
	if author.Organizational() == author {
		return author, true, nil // by the list, which saves a walk
	}
	w := dmarc.Verifier{Resolver: n.g.options.Resolver}
	org, err = w.Discover(ctx, author).Organizational(ctx, author)
	if err != nil || org == author {
		return org, err == nil, err
	}
	above := w.Discover(ctx, org)
	switch {
	case above.Err != nil:
		return org, false, above.Err
	case above.Record == nil:
		return org, false, errors.New("no record where there was one") // it went in between
	}
	return org, above.Policy.Level() > 0 && strict(above.Record), nil
}

func strict(r *dmarc.Record) bool {
	p, sp, _ := r.Effective()
	return p.Level() > 0 && sp.Level() > 0 && !r.Testing && (p == dmarc.Reject || r.Pct >= 100)
}

// bimiSelector is the selector that the message asks for: that of its
// BIMI-Selector field, if an aligned signature covers it (draft-14 §4.5), else
// the default. Of several fields nobody knows which was meant, and ok is false.
func bimiSelector(v *check.Verdict, p *parts) (selector string, ok bool) {
	if p.selectors == 0 {
		return "", true
	}
	covered := false
	for i := range v.DKIM {
		s := &v.DKIM[i]
		covered = covered || s.Status == dkim.Pass && s.Aligned && s.Signature != nil && s.Signature.Signs("BIMI-Selector")
	}
	if !covered {
		return "", true
	}
	if p.selectors > 1 || len(p.selector) > 1000 {
		return "", false
	}
	list, faults := taglist.Parse(p.selector)
	version, _ := list.Get("v")
	selector, ok = list.Get("s")
	if len(faults) > 0 || version != "BIMI1" || !ok {
		return "", false
	}
	if _, err := domain.Parse(selector); err != nil {
		return "", false
	}
	return selector, true
}
