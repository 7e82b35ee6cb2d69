package posture

import (
	"context"
	"slices"
	"time"

	"sekimori/bimi"
	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
)

// BIMI is the logo that a mail program may show beside mail of the domain, by
// the record of the selector "default": the domain's own or that of its
// organizational domain. Valid is about the record, and about the logo and the
// certificate where they were looked at.
type BIMI struct {
	Topic
	RecordDomain string   `json:"record_domain"`
	Records      []string `json:"records"`
	Location     string   `json:"location"`
	Authority    string   `json:"authority"` // the mark certificate
	Declined     bool     `json:"declined"`  // the domain wants no logo
	// Eligible: DMARC is strict enough for a logo to be shown.
	Eligible State `json:"eligible"`
	// Logo and Certificate are nil where Options have no Fetch.
	Logo        *Logo            `json:"logo,omitempty"`
	Certificate *MarkCertificate `json:"certificate,omitempty"`
}

// Logo is the drawing that the record leads to; where it leads to none, the
// one in the certificate.
type Logo struct {
	Fetched
	Valid  State  `json:"valid"`
	Octets int    `json:"octets"` // not compressed
	Title  string `json:"title"`
}

// MarkCertificate is the proof of the right to the logo.
type MarkCertificate struct {
	Fetched
	// Valid: it holds for the name and the logo, now, and leads to a trusted
	// root; unknown where all but the root is in order and Options have no
	// BIMIRoots. Whether it was revoked is not asked.
	Valid     State      `json:"valid"`
	Kind      bimi.Kind  `json:"kind"`
	Mark      string     `json:"mark"`
	Subject   string     `json:"subject"` // the organisation
	Issuer    string     `json:"issuer"`
	Names     []string   `json:"names"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
	Trusted   State      `json:"trusted"`
	// SameLogo tells whether the logo that the record leads to is the one in
	// the certificate; unknown where there are not two.
	SameLogo State `json:"same_logo"`
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
	in.awaitLogo()
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
		if x.Logo != nil && !x.Declined {
			in.inspectLogo(ctx, r)
		}
	}
}

// awaitLogo makes room for logo and certificate where they are to be looked
// at. Without a record that counts and wants a logo there is neither.
func (in *inspection) awaitLogo() {
	if in.o.Fetch == nil {
		return
	}
	s := No
	if in.BIMI.Present == Unknown {
		s = Unknown
	}
	in.BIMI.Logo = &Logo{Fetched: Fetched{Fetched: s}, Valid: s}
	in.BIMI.Certificate = &MarkCertificate{Fetched: Fetched{Fetched: s}, Valid: s, Names: []string{}, Trusted: Unknown, SameLogo: Unknown}
}

// inspectLogo fetches what a record leads to. The record chooses from where:
// the Fetcher is told so.
func (in *inspection) inspectLogo(ctx context.Context, r *bimi.Record) {
	x := &in.BIMI
	var logo, certificate []byte
	together([]func(){
		func() {
			if r.Location != "" {
				logo, _ = in.fetch(ctx, &x.Logo.Fetched, r.Location, bimi.MaxLogoRead, true)
			}
		},
		func() {
			if r.Authority != "" {
				certificate, _ = in.fetch(ctx, &x.Certificate.Fetched, r.Authority, bimi.MaxCertificate, true)
			}
		},
	})
	var published *bimi.Logo
	x.Logo.Valid = x.Logo.Fetched.Fetched
	switch {
	case r.Location == "":
	case x.Logo.Fetched.Fetched == Yes:
		l := bimi.ReadLogo(logo)
		published = &l
		x.Logo.is(published)
		in.findAt(TopicBIMI, x.Logo.URL, l.Findings...)
	case x.Logo.Fetched.Fetched == No:
		in.find(TopicBIMI, x.Logo.unfetched("posture.bimi-logo-unfetched", "posture.bimi-logo-unfetched-detail", "draft-14 §4.3"))
	}
	c := x.Certificate
	c.Valid = c.Fetched.Fetched
	sound := Yes // all but the root
	switch {
	case r.Authority == "":
	case c.Fetched.Fetched == Yes:
		sound = in.certificate(certificate, published)
	default:
		if sound = c.Valid; sound == No {
			in.find(TopicBIMI, c.unfetched("posture.bimi-certificate-unfetched", "posture.bimi-certificate-unfetched-detail", "draft-14 §4.3"))
		}
	}
	if r.Location == "" && c.Fetched.Fetched != Yes {
		x.Logo.Valid = c.Fetched.Fetched
	}
	if x.Valid == Yes {
		x.Valid = And(x.Logo.Valid, sound)
	}
}

// is takes over what a logo is.
func (l *Logo) is(read *bimi.Logo) {
	l.Valid, l.Octets, l.Title = state(read.Valid()), len(read.SVG), read.Title
}

// certificate looks at the certificate, and tells whether all but its root is
// in order.
func (in *inspection) certificate(file []byte, published *bimi.Logo) State {
	x, c := &in.BIMI, in.BIMI.Certificate
	now := time.Now()
	if in.o.Now != nil {
		now = in.o.Now()
	}
	read := bimi.ReadCertificate(file, bimi.CertificateInput{Domain: x.RecordDomain, Selector: "default", Roots: in.o.BIMIRoots, Now: now})
	c.Kind, c.Mark, c.Subject, c.Issuer = read.Kind, read.Mark, read.Organization, read.Issuer
	c.Names = append(c.Names, read.Names...)
	if !read.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = &read.NotBefore, &read.NotAfter
	}
	c.Trusted = State(read.Trust)
	differs := read.Compare(published)
	if published != nil && read.Logo != nil {
		c.SameLogo = state(len(differs) == 0)
	}
	in.findAt(TopicBIMI, c.URL, append(read.Findings, differs...)...)
	sound := And(state(read.Valid()), Not(state(len(differs) > 0)))
	c.Valid = And(sound, c.Trusted)
	if x.Location == "" {
		x.Logo.Valid = No
		if read.Logo != nil {
			x.Logo.is(read.Logo)
		}
	}
	return sound
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
