package check

import (
	"sekimori/arc"
	"sekimori/dkim"
	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/spf"
)

// Summary says the verdict in one step, for a person who knows none of the
// protocols.
func (v *Verdict) Summary() explain.Step {
	from := v.From()
	args := explain.Args{"from": shown(from)}
	switch v.Outcome() {
	case Confirmed:
		return explain.Step{Code: "check.confirmed", Args: args}
	case Undecided:
		return explain.Step{Code: "check.undecided", Args: args}
	case Unconfirmed:
		if d, ok := v.related(); ok {
			args["domain"] = shown(d)
			return explain.Step{Code: "check.unconfirmed-related", Args: args}
		}
		return explain.Step{Code: "check.unconfirmed", Args: args}
	}
	switch {
	case v.Headless:
		return explain.Step{Code: "check.no-header"}
	case from.IsZero():
		return explain.Step{Code: "check.no-author"}
	case v.DMARC.Status == dmarc.PermError:
		return explain.Step{Code: "check.failed-record", Args: args}
	case v.DMARC.Status == dmarc.Fail && v.NoSPF:
		return explain.Step{Code: "check.failed-without-spf", Args: args}
	case v.DMARC.Status == dmarc.Fail:
		return explain.Step{Code: "check.failed", Args: args}
	}
	return explain.Step{Code: "check.failed-no-policy", Args: args}
}

// Request says what the owner of the domain asks receivers to do with the
// message; ok is false where there is nothing to ask.
func (v *Verdict) Request() (s explain.Step, ok bool) {
	if v.DMARC.Status != dmarc.Fail {
		return s, false
	}
	args := explain.Args{"domain": shown(v.DMARC.PolicyDomain), "policy": string(v.DMARC.Policy)}
	switch v.DMARC.Disposition {
	case dmarc.Reject:
		return explain.Step{Code: "check.asks-reject", Args: args, Ref: "RFC 9989 §4.7"}, true
	case dmarc.Quarantine:
		return explain.Step{Code: "check.asks-quarantine", Args: args, Ref: "RFC 9989 §4.7"}, true
	}
	return explain.Step{Code: "check.asks-nothing", Args: args, Ref: "RFC 9989 §4.7"}, true
}

// shown is a domain name for people: in U-labels and, where that hides what is
// in the DNS, in A-labels too. Many U-labels look like other names.
func shown(n domain.Name) string {
	if u := n.Unicode(); u != n.String() {
		return u + " (" + n.String() + ")"
	}
	return n.String()
}

// related finds a domain that passed and, by the public suffix list, belongs
// with the From field's: all that can be said where there is no DMARC policy.
func (v *Verdict) related() (domain.Name, bool) {
	org := v.From().Organizational()
	if org.IsZero() {
		return domain.Name{}, false
	}
	for _, s := range v.DKIM {
		if s.Status == dkim.Pass && s.Domain.Organizational() == org {
			return s.Domain, true
		}
	}
	if !v.NoSPF && v.SPF.Status == spf.Pass {
		if d, err := domain.Parse(v.SPF.Domain); err == nil && d.Organizational() == org {
			return d, true
		}
	}
	return domain.Name{}, false
}

// Steps explains the verdict: the sentence that sums it up, where the
// connection data comes from, then each protocol with its own steps below.
func (v *Verdict) Steps() []explain.Step {
	steps := make([]explain.Step, 0, 6+len(v.DKIM))
	sum := v.Summary()
	if r, ok := v.Request(); ok {
		sum.Children = append(sum.Children, r)
	}
	steps = append(steps, sum, v.connection(), v.spfStep())
	if v.Helo.Status != "" {
		steps = append(steps, explain.Step{Code: "check.helo", Ref: "RFC 7208 §2.3", Children: v.Helo.Steps,
			Args: explain.Args{"result": string(v.Helo.Status), "domain": clip(v.Helo.Domain)}})
	}
	if len(v.DKIM) == 0 {
		steps = append(steps, explain.Step{Code: "check.unsigned", Ref: "RFC 6376 §6.1"})
	}
	for i := range v.DKIM {
		steps = append(steps, v.DKIM[i].step())
	}
	from := "–" // no usable From field
	if n := v.From(); !n.IsZero() {
		from = shown(n)
	}
	steps = append(steps, explain.Step{Code: "check.dmarc", Ref: "RFC 9989 §5.3", Children: v.DMARC.Steps,
		Args: explain.Args{"result": string(v.DMARC.Status), "from": from}})
	if v.ARC.Sets > 0 || v.ARC.Status != arc.None {
		steps = append(steps, v.arcStep())
	}
	if v.SMIME != nil {
		steps = append(steps, smimeStep(v.SMIME))
	}
	return steps
}

func (v *Verdict) connection() explain.Step {
	in := &v.Input
	if !in.IP.IsValid() {
		return explain.Step{Code: "check.connection-unknown", Children: in.Origin}
	}
	helo, from := "–", "–" // unknown
	if in.Helo != "" {
		helo = clip(in.Helo)
	}
	if in.sender() {
		from = clip("<" + in.MailFrom + ">")
	}
	return explain.Step{Code: "check.connection", Children: in.Origin, Args: explain.Args{
		"ip": in.IP.String(), "helo": helo, "mail_from": from}}
}

// heloOnly reports whether SPF could be evaluated for the HELO identity alone.
func (v *Verdict) heloOnly() bool { return v.NoSPF && v.SPF.Identity == spf.Helo }

func (v *Verdict) spfStep() explain.Step {
	if v.heloOnly() {
		return explain.Step{Code: "check.spf-helo-only", Ref: "RFC 7208 §2.3", Children: v.SPF.Steps,
			Args: explain.Args{"result": string(v.SPF.Status), "domain": clip(v.SPF.Domain)}}
	}
	if v.NoSPF {
		s := explain.Step{Code: "check.spf-not-evaluated", Ref: "RFC 7208 §2.4"}
		switch {
		case !v.Input.IP.IsValid():
			s.Children = []explain.Step{{Code: "check.spf-needs-address"}}
		default:
			s.Children = []explain.Step{{Code: "check.spf-needs-sender"}}
		}
		return s
	}
	code := "check.spf"
	if v.Input.NullSender {
		code = "check.spf-null-sender"
	}
	return explain.Step{Code: code, Ref: "RFC 7208 §2.4", Children: v.SPF.Steps,
		Args: explain.Args{"result": string(v.SPF.Status), "domain": clip(v.SPF.Domain)}}
}

func (s *Signature) step() explain.Step {
	code := "check.dkim"
	if s.Aligned {
		code = "check.dkim-aligned"
	}
	return explain.Step{Code: code, Ref: "RFC 6376 §6.1", Children: s.Steps, Args: explain.Args{
		"result": string(s.Status), "domain": shown(s.Domain), "selector": clip(s.Selector)}}
}

func (v *Verdict) arcStep() explain.Step {
	s := explain.Step{Code: "check.arc", Ref: "RFC 8617 §5.2", Children: v.ARC.Steps, Args: explain.Args{
		"result": string(v.ARC.Status), "sets": int64(v.ARC.Sets)}}
	if v.ARC.Status == arc.Pass {
		s.Children = append(s.Children[:len(s.Children):len(s.Children)], v.Trust.Step)
	}
	return s
}
