package posture

import (
	"context"

	"sekimori/dns"
	"sekimori/explain"
)

// Status is the DNSSEC state of the domain (RFC 4033 §5).
type Status string

const (
	StatusSecure   Status = "secure"
	StatusInsecure Status = "insecure" // the resolver validates, and could not prove the answers
	StatusBogus    Status = "bogus"
	StatusUnknown  Status = "unknown" // the resolver does not say
)

// DNSSEC is how the domain's own records are signed. Present: they are signed;
// Valid: and the signatures hold.
//
// A resolver that validates marks what it could prove. What it does not mark
// is insecure or, rarely, indeterminate; the two cannot be told apart through
// a resolver and both are "insecure" here. That a resolver validates at all is
// seen from the root, which is signed; where it does not, the status is
// "unknown".
type DNSSEC struct {
	Topic
	Status Status `json:"status"`
}

func (in *inspection) inspectDNSSEC(ctx context.Context, f first) {
	d, b := &in.DNSSEC, in.a.budget(budgetDNSSEC)
	d.Status = in.security(ctx, b, f)
	switch d.Status {
	case StatusSecure:
		d.Present, d.Valid = Yes, Yes
	case StatusInsecure:
		d.Present, d.Valid = No, No
		in.find(TopicDNSSEC, explain.Finding{Grade: explain.Advice,
			Step: explain.Step{Code: "posture.dnssec-missing", Args: explain.Args{"domain": in.name.String()}, Ref: "RFC 4033 §5"}})
	case StatusBogus:
		d.Present, d.Valid = Yes, No
		in.find(TopicDNSSEC, explain.Finding{Grade: explain.Error,
			Step: explain.Step{Code: "posture.dnssec-bogus", Args: explain.Args{"domain": in.name.String()}, Ref: "RFC 4033 §5"}})
	default:
		d.Present, d.Valid = Unknown, Unknown
	}
}

func (in *inspection) security(ctx context.Context, b *budget, f first) Status {
	// TXT and MX are asked anyway, and mostly tell; SOA is asked where neither
	// does.
	switch {
	case f.mx.Security == dns.Bogus || f.txt.Security == dns.Bogus:
		return StatusBogus
	case f.mx.Security == dns.Secure || f.txt.Security == dns.Secure:
		return StatusSecure
	case !answered(f.mx, f.mxErr) && !answered(f.txt, f.txtErr):
		return StatusUnknown
	case f.mx.Security == dns.Insecure || f.txt.Security == dns.Insecure:
		return StatusInsecure
	}
	soa, err := b.Lookup(ctx, in.name.String(), dns.SOA)
	switch {
	case soa.Security == dns.Bogus:
		return StatusBogus
	case soa.Security == dns.Secure:
		return StatusSecure
	case soa.Security == dns.Insecure:
		return StatusInsecure
	case !answered(soa, err):
		return StatusUnknown
	}
	if root, err := b.Lookup(ctx, ".", dns.SOA); err == nil && root.Security == dns.Secure {
		return StatusInsecure
	}
	return StatusUnknown
}

// certain reads a missing word about security, from a resolver that was seen
// to validate, as insecure.
func (in *inspection) certain(s dns.Security) dns.Security {
	if s == dns.Unknown && (in.DNSSEC.Status == StatusSecure || in.DNSSEC.Status == StatusInsecure) {
		return dns.Insecure
	}
	return s
}
