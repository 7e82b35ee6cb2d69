package posture

import (
	"context"

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

func (in *inspection) inspectBIMI(ctx context.Context) {
	x, b := &in.BIMI, in.a.budget(budgetBIMI)
	x.init()
	x.Present, x.Valid = Unknown, Unknown
	at := in.name
	for i := range 2 {
		if i == 1 {
			if org := in.name.Organizational(); org != in.name {
				at = org
			} else {
				return
			}
		}
		a, err := b.Lookup(ctx, "default._bimi."+at.String(), dns.TXT)
		if err != nil && !dns.Absent(err) {
			x.Present, x.Valid = Unknown, Unknown
			return
		}
		x.Present, x.Valid = No, No
		if r := versioned(a.Records, "BIMI1"); len(r) > 0 {
			x.Records, x.RecordDomain = texts(r), at.String()
			x.Present, x.Valid = Yes, state(len(r) == 1)
			return
		}
	}
	_ = domain.Name{}
}

// judgeBIMI needs the DMARC policy.
func (in *inspection) judgeBIMI() {
	x, d := &in.BIMI, &in.DMARC
	switch {
	case d.Enforced == Yes && d.SubdomainPolicy != "none":
		x.Eligible = Yes
	case d.Enforced == Unknown:
		x.Eligible = Unknown
	default:
		x.Eligible = No
	}
	if x.Present == Yes && x.Eligible == No && !x.Declined {
		in.find(TopicBIMI, explain.Finding{Grade: explain.Warning, Step: explain.Step{Code: "posture.bimi-not-eligible", Args: in.args()}})
	}
}
