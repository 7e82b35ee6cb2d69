package dmarc

import (
	"context"
	"fmt"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
)

// Destination is what became of one URI of rua or ruf: whether reports may be
// sent there, and where to.
type Destination struct {
	URI URI // as the policy record has it
	// External says that the URI's host is of another organization than the
	// policy record (RFC 9990 §4).
	External bool
	// Allowed says that reports may be sent.
	Allowed bool
	// To are the URIs to send to: URI itself, or those the host named instead.
	// Empty unless Allowed.
	To []URI
	// Name was asked for the host's consent; empty where none is needed.
	Name   string
	Reason explain.Step
	Err    error // the DNS did not tell: to be tried again
}

// Destinations checks where reports about a policy domain may go: the URIs of
// rua or ruf, by the tag's name, in their order, at most Limits.Destinations of
// them (RFC 9990 §3.5, §4; RFC 9991 §2, §5). A URI of another scheme than
// mailto is never allowed: reports are sent by mail only.
//
// A destination outside asks at most one name beside the walks.
func (v *Verifier) Destinations(ctx context.Context, policyDomain domain.Name, r *Record, tag string) []Destination {
	uris := r.RUA
	if tag == "ruf" {
		uris = r.RUF
	}
	uris = uris[:min(len(uris), v.Limits.withDefaults().Destinations)]
	if len(uris) == 0 {
		return nil
	}
	d := &Discovery{Author: policyDomain, Method: v.method()}
	d.tree.resolver, d.tree.dup, d.tree.sequential = v.Resolver, v.Options.Duplicates, v.Options.Sequential
	out := make([]Destination, len(uris))
	for i, u := range uris {
		if tag == "ruf" && r.PSD == IsPSD {
			// RFC 9991 §2: not without a specific agreement.
			out[i] = Destination{URI: u, Reason: explain.Step{Code: "dmarc.external-psd", Ref: "RFC 9991 §2", Args: explain.Args{"uri": explain.ClipFolded(u.Text)}}}
			continue
		}
		out[i] = d.destination(ctx, policyDomain, u, tag)
	}
	return out
}

// External checks one URI of rua or ruf, by the tag's name, of the record at
// policyDomain (RFC 9990 §4; RFC 9991 §5).
func (v *Verifier) External(ctx context.Context, policyDomain domain.Name, u URI, tag string) Destination {
	d := &Discovery{Author: policyDomain, Method: v.method()}
	d.tree.resolver, d.tree.dup, d.tree.sequential = v.Resolver, v.Options.Duplicates, v.Options.Sequential
	return d.destination(ctx, policyDomain, u, tag)
}

func (d *Discovery) destination(ctx context.Context, policyDomain domain.Name, u URI, tag string) Destination {
	out := Destination{URI: u}
	args := explain.Args{"uri": explain.ClipFolded(u.Text), "domain": policyDomain.String()}
	say := func(code, ref string) Destination {
		out.Reason = explain.Step{Code: code, Args: args, Ref: ref}
		return out
	}
	if u.Scheme != "mailto" || u.Host.IsZero() {
		return say("dmarc.external-scheme", "RFC 9989 §4.7")
	}
	fail := func(err error) Destination {
		out.Err = err
		return say("dmarc.external-failed", "RFC 9990 §4")
	}
	if u.Host != policyDomain {
		// The organizational domains are compared, not the names.
		mine, err := d.Organizational(ctx, policyDomain)
		if err != nil {
			return fail(err)
		}
		theirs, err := d.Organizational(ctx, u.Host)
		if err != nil {
			return fail(err)
		}
		out.External = mine != theirs
	}
	if !out.External {
		out.Allowed, out.To = true, []URI{u}
		return say("dmarc.external-same", "RFC 9990 §4")
	}
	// Steps 2 to 4: the name to ask; one too long for the DNS gives no consent.
	out.Name = policyDomain.String() + "._report._dmarc." + u.Host.String()
	args["name"] = out.Name
	if _, err := domain.Parse(out.Name); err != nil {
		return say("dmarc.external-long", "RFC 9990 §4")
	}
	a, err := d.tree.resolver.Lookup(ctx, out.Name, dns.TXT)
	if err != nil && !dns.Absent(err) {
		return fail(fmt.Errorf("consent of %s: %w", u.Host, err))
	}
	// Steps 6 to 8: any record of this version is consent; p is not needed.
	consent, stranger := false, false
	var instead []URI
	for _, txt := range a.Records {
		rec, err := parse(txt, d.tree.dup)
		if err != nil {
			continue
		}
		consent = true
		// Step 9: the host may name other addresses, of its own only.
		uris := rec.RUA
		if tag == "ruf" {
			uris = rec.RUF
		}
		for _, o := range uris {
			stranger = stranger || o.Host != u.Host
		}
		if instead == nil && len(uris) > 0 {
			instead = uris[:min(len(uris), 10)]
		}
	}
	switch {
	case !consent:
		return say("dmarc.external-refused", "RFC 9990 §4")
	case stranger:
		// "MUST NOT generate a report to either the original or the override".
		return say("dmarc.external-stranger", "RFC 9990 §4")
	case instead == nil:
		instead = []URI{u}
	}
	for _, o := range instead {
		if o.Scheme == "mailto" {
			out.To = append(out.To, o)
		}
	}
	if out.To == nil {
		return say("dmarc.external-scheme", "RFC 9989 §4.7")
	}
	out.Allowed = true
	return say("dmarc.external-allowed", "RFC 9990 §4")
}
