package posture

import (
	"context"
	"slices"

	"sekimori/bimi"
	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
)

// BIMI is the logo that a mail program may show beside mail of the domain, by
// the record of the selector "default": the domain's own or that of its
// organizational domain. Logo and certificate are not fetched.
type BIMI struct {
	Topic
	RecordDomain string   `json:"record_domain"`
	Records      []string `json:"records"`
	Location     string   `json:"location"`
	Authority    string   `json:"authority"` // the mark certificate
	Declined     bool     `json:"declined"`  // the domain wants no logo
	// Eligible: DMARC is strict enough for a logo to be shown.
	Eligible State `json:"eligible"`
}

func (b *BIMI) init() { b.Records, b.Eligible = []string{}, Unknown }

// inspectBIMI follows inspectDMARC, which finds the organizational domain.
func (in *inspection) inspectBIMI(ctx context.Context) {
	x, b := &in.BIMI, in.a.budget(budgetBIMI)
	x.init()
	org, err := domain.Parse(in.DMARC.OrganizationalDomain)
	if err != nil {
		org = in.name.Organizational() // the list's, where the walk had no answer
	}
	f := bimi.Lookup(ctx, b, bimi.Input{Author: in.name, Organizational: org})
	x.Records = in.record(TopicBIMI, f.Records, nil, "BIMI1", f.Record != nil, f.Temporary, f.Findings)
	if x.Present != Yes {
		return
	}
	x.RecordDomain = in.name.String()
	if a, err := b.Lookup(ctx, bimi.Name("default", x.RecordDomain), dns.TXT); err != nil || !slices.ContainsFunc(a.Records, bimi.Begins) {
		x.RecordDomain = org.String()
		list := *in.findings[TopicBIMI]
		for i := range list {
			list[i].Name = bimi.Name("default", x.RecordDomain)
		}
	}
	if r := f.Record; r != nil {
		x.Location, x.Authority, x.Declined = explain.Clip(r.Location), explain.Clip(r.Authority), r.Declined()
	}
}

// judgeBIMI needs the DMARC policies: neither the domain nor its organization
// may be at none, and quarantine has to be for all mail (draft-14 §7.1).
func (in *inspection) judgeBIMI() {
	x, d := &in.BIMI, &in.DMARC
	switch {
	case d.Enforced == Unknown:
		x.Eligible = Unknown
	case d.Enforced == No || d.SubdomainPolicy == "none" || d.orgPolicy == dmarc.None || d.Policy == "quarantine" && d.Percent < 100:
		x.Eligible = No
	default:
		x.Eligible = Yes
	}
	if x.Present == Yes && x.Eligible == No && !x.Declined {
		in.find(TopicBIMI, explain.Finding{Grade: explain.Warning, Step: explain.Step{Code: "posture.bimi-not-eligible", Args: in.args(), Ref: "draft-14 §7.1"}})
	}
}
