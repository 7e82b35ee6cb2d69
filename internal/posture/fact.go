package posture

import "sekimori/mtasts"

// Fact is a statement about a domain that is true, false or not known: what
// surveys count and what profiles require. Its text is the name in their
// published tables, which does not change.
type Fact string

const (
	FactExists    Fact = "exists"
	FactSendsMail Fact = "sends_mail"
	FactMX        Fact = "mx"
	FactNullMX    Fact = "null_mx"

	FactSPF       Fact = "spf"           // a record is published
	FactSPFValid  Fact = "spf_valid"     // and can be evaluated
	FactSPFClosed Fact = "spf_closed"    // and ends in -all or ~all
	FactSPFNobody Fact = "spf_deny_all"  // and authorises nobody
	FactSPFDMARC  Fact = "spf_and_dmarc" // SPF and DMARC are both published

	FactDMARC           Fact = "dmarc"     // a record applies, own or inherited
	FactDMARCOwn        Fact = "dmarc_own" // it is the domain's own
	FactDMARCValid      Fact = "dmarc_valid"
	FactDMARCQuarantine Fact = "dmarc_quarantine" // the policy is quarantine
	FactDMARCReject     Fact = "dmarc_reject"     // the policy is reject
	FactDMARCEnforced   Fact = "dmarc_enforced"   // quarantine or reject, not under test
	FactDMARCReports    Fact = "dmarc_reports"    // aggregate reports have somewhere to go

	FactDKIM      Fact = "dkim"       // a key was found, or names below _domainkey
	FactDKIMValid Fact = "dkim_valid" // a key was found that can be used

	FactMTASTS        Fact = "mta_sts"         // the record is published
	FactMTASTSValid   Fact = "mta_sts_valid"   // and the policy could be fetched and read
	FactMTASTSEnforce Fact = "mta_sts_enforce" // and its mode is enforce
	FactTLSRPT        Fact = "tls_rpt"
	FactDANE          Fact = "dane"
	FactDANEValid     Fact = "dane_valid"
	FactSTARTTLS      Fact = "starttls"

	FactBIMI            Fact = "bimi"             // a record is published
	FactBIMILogo        Fact = "bimi_logo"        // and the logo is in proper form
	FactBIMICertificate Fact = "bimi_certificate" // and a mark certificate holds for it

	FactDNSSEC Fact = "dnssec" // the domain's records are signed, and the signatures hold
	FactRPKI   Fact = "rpki"   // the networks of MX hosts and name servers have a valid origin

	// FactProtected is the yardstick of the domain's kind: one that sends mail
	// has SPF or DKIM and an enforced DMARC policy; one that sends none says so
	// by SPF, and by DMARC with reject.
	FactProtected Fact = "protected"
)

// Facts lists the facts in the order in which tables show them. New ones are
// added at the end.
var Facts = [...]Fact{
	FactExists, FactSendsMail, FactMX, FactNullMX,
	FactSPF, FactSPFValid, FactSPFClosed, FactSPFNobody,
	FactDMARC, FactDMARCOwn, FactDMARCValid, FactDMARCQuarantine, FactDMARCReject, FactDMARCEnforced, FactDMARCReports,
	FactSPFDMARC, FactDKIM, FactDKIMValid,
	FactMTASTS, FactMTASTSValid, FactMTASTSEnforce, FactTLSRPT, FactDANE, FactDANEValid, FactSTARTTLS,
	FactBIMI, FactBIMILogo, FactBIMICertificate, FactDNSSEC, FactRPKI, FactProtected,
}

// And is yes where all are, no where one is not, and else unknown.
func And(all ...State) State {
	out := Yes
	for _, s := range all {
		switch {
		case s == No:
			return No
		case s != Yes:
			out = Unknown
		}
	}
	return out
}

// Or is yes where one is, no where none is, and else unknown.
func Or(any ...State) State {
	out := No
	for _, s := range any {
		switch {
		case s == Yes:
			return Yes
		case s != No:
			out = Unknown
		}
	}
	return out
}

// Fact tells whether a statement holds; Unknown for one that was not looked
// at, and for one that is not in Facts.
func (p *Posture) Fact(f Fact) State {
	switch f {
	case FactExists:
		return known(p.Exists)
	case FactSendsMail:
		return known(p.SendsMail)
	case FactMX:
		return known(p.MX.Present)
	case FactNullMX:
		return known(p.MX.Null)
	case FactSPF:
		return known(p.SPF.Present)
	case FactSPFValid:
		return known(p.SPF.Valid)
	case FactSPFClosed:
		return p.spfHolds(p.SPF.All == "-" || p.SPF.All == "~")
	case FactSPFNobody:
		return p.spfHolds(p.SPF.denies)
	case FactSPFDMARC:
		return And(p.SPF.Present, p.DMARC.Present)
	case FactDMARC:
		return known(p.DMARC.Present)
	case FactDMARCOwn:
		if p.DMARC.Inherited == Yes || p.DMARC.none {
			return No
		}
		return And(p.DMARC.Present, Not(p.DMARC.Inherited))
	case FactDMARCValid:
		return known(p.DMARC.Valid)
	case FactDMARCQuarantine:
		return p.policyIs("quarantine")
	case FactDMARCReject:
		return p.policyIs("reject")
	case FactDMARCEnforced:
		return known(p.DMARC.Enforced)
	case FactDMARCReports:
		return p.reports()
	case FactDKIM:
		return known(p.DKIM.Present)
	case FactDKIMValid:
		return known(p.DKIM.Valid)
	case FactMTASTS:
		return known(p.MTASTS.Present)
	case FactMTASTSValid:
		if p.MTASTS.Policy != nil {
			return known(p.MTASTS.Valid)
		}
	case FactMTASTSEnforce:
		if q := p.MTASTS.Policy; q != nil && p.MTASTS.Valid == Yes {
			return state(q.Mode == mtasts.Enforce)
		} else if q != nil {
			return known(p.MTASTS.Valid)
		}
	case FactTLSRPT:
		return known(p.TLSRPT.Present)
	case FactDANE:
		return known(p.DANE.Present)
	case FactDANEValid:
		return known(p.DANE.Valid)
	case FactBIMI:
		return known(p.BIMI.Present)
	case FactBIMILogo:
		if l := p.BIMI.Logo; l != nil {
			return known(l.Valid)
		}
	case FactBIMICertificate:
		if c := p.BIMI.Certificate; c != nil {
			return known(c.Valid)
		}
	case FactDNSSEC:
		return And(p.DNSSEC.Present, p.DNSSEC.Valid)
	case FactSTARTTLS:
		return known(p.Topic(TopicSTARTTLS).Present)
	case FactRPKI:
		return known(p.Topic(TopicRPKI).Valid)
	case FactProtected:
		return p.protected()
	}
	return Unknown
}

func known(s State) State {
	if s == "" {
		return Unknown
	}
	return s
}

// Not is yes where it is no, no where it is yes, and else unknown.
func Not(s State) State {
	switch s {
	case Yes:
		return No
	case No:
		return Yes
	}
	return Unknown
}

// spfHolds is a statement about an SPF record that can be evaluated.
func (p *Posture) spfHolds(b bool) State {
	if p.SPF.Present == Yes && p.SPF.Valid == Yes {
		return state(b)
	}
	return And(p.SPF.Present, p.SPF.Valid)
}

func (p *Posture) policyIs(policy string) State {
	if p.DMARC.Present == Yes && p.DMARC.Policy != "" {
		return state(p.DMARC.Policy == policy)
	}
	return And(p.DMARC.Present, p.DMARC.Valid)
}

// reports tells whether an address for aggregate reports is published that may
// have them.
func (p *Posture) reports() State {
	if p.DMARC.Present != Yes {
		return known(p.DMARC.Present)
	}
	out := No
	for _, d := range p.DMARC.RUA {
		out = Or(out, d.Authorized)
	}
	return out
}

func (p *Posture) protected() State {
	sends := And(p.DMARC.Enforced, Or(p.SPF.Valid, p.DKIM.Valid), Not(state(p.SPF.everybody)))
	silent := And(p.policyIs("reject"), p.DMARC.Enforced, Or(p.Fact(FactSPFNobody), Not(p.Exists)))
	switch p.SendsMail {
	case Yes:
		return sends
	case No:
		return silent
	}
	if sends == silent {
		return sends
	}
	return Unknown
}
