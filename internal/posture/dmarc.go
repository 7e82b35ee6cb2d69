package posture

import (
	"context"
	"errors"
	"strings"

	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
)

// DMARC is what receivers are asked to do with mail in the domain's name that
// fails (RFC 9989): the domain's own record, or the one it inherits.
type DMARC struct {
	Topic
	// Inherited: the record is that of a domain above.
	Inherited State `json:"inherited"`
	// RecordDomain is the domain whose record applies, without "_dmarc.".
	RecordDomain         string   `json:"record_domain"`
	OrganizationalDomain string   `json:"organizational_domain"`
	Records              []string `json:"records"`
	// Policy is what applies to this domain, from the tag PolicyTag, and
	// SubdomainPolicy what applies to names below it that exist and have no
	// record. Both are empty where no record applies.
	Policy          string `json:"policy"`
	PolicyTag       string `json:"policy_tag"`
	SubdomainPolicy string `json:"subdomain_policy"`
	// The tags of the record; empty where absent or invalid, but for ADKIM and
	// ASPF, which then have their default.
	P       string `json:"p"`
	SP      string `json:"sp"`
	NP      string `json:"np"`
	ADKIM   string `json:"adkim"`
	ASPF    string `json:"aspf"`
	Testing bool   `json:"testing"` // t=y
	// Percent is pct, which RFC 9989 dropped and older receivers obey; 100
	// where absent.
	Percent int `json:"pct"`
	// RUA and RUF are where reports go.
	RUA []Destination `json:"rua"`
	RUF []Destination `json:"ruf"`
	// Enforced: the policy for this domain is quarantine or reject, and not
	// under test.
	Enforced State `json:"enforced"`

	record    *dmarc.Record
	none      bool         // the domain has no record of its own, though what is above is not known
	meant     string       // the policy of a record whose slip keeps it out of force
	orgPolicy dmarc.Policy // of the organizational domain; empty where that has no record
}

func (d *DMARC) init() {
	d.Records, d.RUA, d.RUF = []string{}, []Destination{}, []Destination{}
	d.Inherited, d.Enforced, d.Percent = Unknown, Unknown, 100
}

// Destination is where reports go.
type Destination struct {
	URI string `json:"uri"`
	// External: it lies in another organisation, which has to agree.
	External State `json:"external"`
	// Authorized: it is the organisation's own, or the other one agrees
	// (RFC 9990 §4).
	Authorized State `json:"authorized"`
}

func (in *inspection) inspectDMARC(ctx context.Context) {
	d, b := &in.DMARC, in.a.budget(budgetDMARC)
	d.init()
	v := dmarc.Verifier{Resolver: b, Options: dmarc.Options{Sequential: in.o.Frugal}}
	found := v.Discover(ctx, in.name)
	if org, err := found.Organizational(ctx, in.name); err == nil {
		d.OrganizationalDomain = org.String()
	}
	at := found.Domain
	if at.IsZero() {
		at = in.name
	}
	own, err := b.Lookup(ctx, "_dmarc."+at.String(), dns.TXT)
	if err == nil {
		d.Records = texts(dmarcRecords(own.Records))
	}
	if found.Err != nil {
		d.none = dns.Absent(err) || err == nil && len(d.Records) == 0
	}
	switch {
	case found.Err != nil && !in.unreachableAbove(ctx, b, found.Err):
		d.Present, d.Valid = Unknown, Unknown
		return
	case found.Record == nil && len(d.Records) == 0:
		d.Present, d.Valid, d.Enforced, d.Inherited = No, No, No, No
		return
	case found.Record == nil:
		d.Present, d.Valid, d.Enforced = Yes, No, No
		d.RecordDomain, d.Inherited = at.String(), state(at != in.name)
		in.lintDMARC(at, own.Records)
		return
	}
	r := found.Record
	d.record = r
	d.Present, d.Valid = Yes, state(!found.Rescued)
	d.RecordDomain, d.Inherited = at.String(), state(at != in.name)
	d.Policy, d.PolicyTag = string(found.Policy), found.Tag
	d.P, d.SP, d.NP = string(r.P), string(r.SP), string(r.NP)
	d.ADKIM, d.ASPF, d.Testing, d.Percent = string(r.ADKIM), string(r.ASPF), r.Testing, r.Pct
	d.Enforced = state(found.Policy.Level() > 0 && !r.Testing)
	_, sp, _ := r.Effective()
	d.SubdomainPolicy, d.orgPolicy = string(sp), found.Policy
	if d.Inherited == Yes {
		d.orgPolicy, _, _ = r.Effective()
	}
	if org, err := domain.Parse(d.OrganizationalDomain); err == nil && org != at {
		// RFC 9989 §4.10.1: a record between the author domain and the
		// organizational domain is not used; names below ask the latter.
		if up := v.Discover(ctx, org); up.Record != nil {
			p, sp, _ := up.Record.Effective()
			d.SubdomainPolicy, d.orgPolicy = string(sp), p
		}
	}
	d.RUA = in.destinations(ctx, &v, at, r, "rua")
	d.RUF = in.destinations(ctx, &v, at, r, "ruf")
	in.lintDMARC(at, own.Records)
}

// unreachableAbove reports whether a walk failed only because the resolver does
// not reach the public suffixes above the domain at all, while it has the answers
// of everything below: it serves some zones of its own, as in a closed network,
// and in that DNS no suffix has a policy to inherit. A suffix that answers
// anything may be hiding one.
func (in *inspection) unreachableAbove(ctx context.Context, b *budget, err error) bool {
	var failure *dns.Failure
	if !errors.As(err, &failure) {
		return false
	}
	at, bad := domain.Parse(strings.TrimPrefix(failure.Name, "_dmarc."))
	if bad != nil || at == in.name || !at.IsPublicSuffix() {
		return false
	}
	for ; !at.IsZero(); at = at.Parent() {
		a, err := b.Lookup(ctx, "_dmarc."+at.String(), dns.TXT)
		switch {
		case dns.Absent(err), err == nil && len(dmarcRecords(a.Records)) == 0:
			continue
		case err == nil:
			return false
		}
		if _, err := b.Lookup(ctx, at.String(), dns.NS); err == nil || dns.Absent(err) {
			return false
		}
	}
	return true
}

// dmarcRecords are the texts that are records, or were meant to be.
func dmarcRecords(all []string) []string {
	var out []string
	for _, s := range all {
		head := strings.ToLower(strings.TrimSpace(s[:min(len(s), 64)]))
		if strings.HasPrefix(strings.ReplaceAll(head, " ", ""), "v=dmarc1") {
			out = append(out, s)
		}
	}
	return out
}

// lintDMARC looks at every text at the name. That a destination outside has to
// agree is left out: here it was asked.
func (in *inspection) lintDMARC(at domain.Name, all []string) {
	where := ""
	if at != in.name {
		where = "_dmarc." + at.String()
	}
	for _, f := range dmarc.LintAll(all, at.String()) {
		if f.Code != "dmarc.lint.uri-external" {
			in.findAt(TopicDMARC, where, f)
		}
	}
}

// destinations checks where reports go. A destination that could not be
// checked for want of an answer, or of questions, is unknown.
func (in *inspection) destinations(ctx context.Context, v *dmarc.Verifier, at domain.Name, r *dmarc.Record, tag string) []Destination {
	out := []Destination{}
	for _, u := range v.Destinations(ctx, at, r, tag) {
		d := Destination{URI: explain.Clip(u.URI.String()), External: state(u.External), Authorized: state(u.Allowed)}
		if u.Err != nil {
			d.Authorized = Unknown
			if !u.External {
				d.External = Unknown
			}
		}
		out = append(out, d)
		if u.External && !u.Allowed && u.Err == nil && u.Name != "" {
			in.find(TopicDMARC, explain.Finding{Grade: explain.Warning, Part: d.URI,
				Step:    explain.Step{Code: "posture.dmarc-destination-refused", Args: explain.Args{"uri": d.URI}, Ref: "RFC 9990 §4"},
				Publish: in.publish(u.Name, "TXT", "v=DMARC1;")})
		}
	}
	return out
}
