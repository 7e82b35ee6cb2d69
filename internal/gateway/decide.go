package gateway

import (
	"net/netip"
	"strings"

	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

// Facts are what decides about a message beside its verdict.
type Facts struct {
	Client   netip.Addr
	MailFrom domain.Name // of the reverse-path; zero for a null one, or none that is a name
	List     domain.Name // of List-Id, or of List-Post where there is none
	// BadFrom: there is not exactly one author's domain (RFC 9989 §5.3.1).
	BadFrom bool
	// Claims: such a From mentions a domain whose policy this message fails.
	Claims bool
	// TooLong: of the header only the author was looked at, so that a DKIM
	// signature may be good that nobody verified.
	TooLong bool
	// CannotHold: the MTA does not let a filter quarantine; the message is
	// marked instead.
	CannotHold bool
}

// Because is what decided.
type Because string

const (
	Nothing   Because = ""        // no reason to treat it differently
	ByPolicy  Because = "policy"  // the domain owner's policy, as the site follows it
	ByFrom    Because = "from"    // Site.OnBadFrom
	ByTrouble Because = "trouble" // Site.OnTrouble
	ByLength  Because = "length"  // the header is too long to be verified
	ByRule    Because = "rule"    // one of Site.Rules
)

// Decision is what is done with a message, and what its domain's owner is told.
type Decision struct {
	Action  verdict.Action
	Asked   verdict.Action // without monitoring mode
	Because Because        // of Asked
	// Rule says which rule of the site changed the outcome; the zero Step where
	// none did.
	Rule        explain.Step
	Disposition aggregate.Disposition // RFC 9990 §3.1.1.8
	Reasons     []aggregate.Reason    // why it is not what the policy asks for
}

// Comments of reasons in reports. They are read by owners of domains anywhere,
// and by programs: ASCII, and the same for the same cause, so that rows merge.
const (
	commentMonitoring = "monitoring only: nothing is enforced here yet"
	commentLevel      = "p=reject is treated as quarantine here (RFC 9989 section 7.4)"
	commentFrom       = "not exactly one author domain in From (RFC 9989 section 5.3.1)"
	commentTrouble    = "not evaluated: temporary DNS failure (RFC 9989 section 5.3.6)"
	commentNoClient   = "SPF was not evaluated: the client's address is not known"
	commentLong       = "header too long to verify DKIM: treated as quarantine"
	commentPct        = "pct left this message out (RFC 7489 section 6.6.4)"
)

// Decide says what becomes of a message: the policy of the domain's owner as
// the site follows it, then the site's rules, then its mode. It asks nobody and
// keeps nothing; equal arguments give equal decisions.
//
// Without a DMARC policy nothing is done, whatever SPF says: a policy of SPF's
// own ("-all") is not enforced (RFC 9989 §7.1 warns of it, because it comes
// before DKIM had its chance).
func Decide(site *Site, v *check.Verdict, f Facts) Decision {
	var d Decision
	d.Asked, d.Because = site.asked(v, f)
	rule, matched := site.match(v, f)
	if matched {
		action := rule.Action
		if action == "" {
			action = verdict.Accept
		}
		if action != d.Asked {
			d.Rule = rule.step(action)
			d.Asked, d.Because = action, ByRule
		}
	}
	if d.Asked == verdict.Quarantine && f.CannotHold {
		d.Asked = verdict.Mark
	}
	d.Action = d.Asked
	if site.Mode != Enforce {
		d.Action = verdict.Accept
	}
	d.report(v, rule)
	return d
}

// asked is what the policy asks for, as the site follows it.
func (s *Site) asked(v *check.Verdict, f Facts) (verdict.Action, Because) {
	if f.TooLong && (v.DMARC.Status == dmarc.Fail && v.DMARC.Disposition.Level() > 0 || v.DMARC.Status != dmarc.Pass && f.BadFrom) {
		// A signature might have passed: nothing is refused. But who makes a
		// header that long does not get around the author's policy.
		return or(s.OnQuarantine, verdict.Quarantine), ByLength
	}
	switch v.DMARC.Status {
	case dmarc.Fail:
		if v.NoSPF && !f.Client.IsValid() {
			// The MTA does not say who the client is. SPF might have passed.
			break
		}
		switch v.DMARC.Disposition {
		case dmarc.Reject:
			// RFC 9989 §7.4: a message is not refused for p=reject alone.
			return or(s.OnReject, verdict.Quarantine), ByPolicy
		case dmarc.Quarantine:
			return or(s.OnQuarantine, verdict.Quarantine), ByPolicy
		}
	case dmarc.TempError:
		// RFC 9989 §5.3.6: neither pass nor fail. Later it may be told.
		if a := or(s.OnTrouble, verdict.Accept); a != verdict.Accept {
			return a, ByTrouble
		}
	}
	if f.BadFrom {
		// RFC 9989 §5.3.1, §11.5: no domain in it has a policy that decides.
		if a := or(s.OnBadFrom, verdict.Accept); a != verdict.Accept {
			return a, ByFrom
		}
		if f.Claims {
			return or(s.OnQuarantine, verdict.Quarantine), ByFrom
		}
	}
	return verdict.Accept, Nothing
}

func or(a, otherwise verdict.Action) verdict.Action {
	if a == "" {
		return otherwise
	}
	return a
}

// disposition is what a report calls an action.
func disposition(a verdict.Action, v *check.Verdict) aggregate.Disposition {
	switch a {
	case verdict.Refuse:
		return aggregate.DispositionReject
	case verdict.Quarantine, verdict.Mark:
		// RFC 9989 §3.2.12, §4.7: "quarantine" is to treat as suspicious, be it by
		// a hold or by a mark.
		return aggregate.DispositionQuarantine
	}
	if v.DMARC.Status == dmarc.Pass && v.DMARC.Policy.Level() > 0 {
		return aggregate.DispositionPass // RFC 9990 §3.1.1.8: passed under an enforcing policy
	}
	return aggregate.DispositionNone
}

// report fills in what the owner of the domain is told. A reason is due where
// alignment failed and what was done is not what the policy says (RFC 9990
// §3.1.1.8); it is given as well where mail that passes is held up.
func (d *Decision) report(v *check.Verdict, rule *Rule) {
	d.Disposition = disposition(d.Action, v)
	add := func(kind, comment string) {
		d.Reasons = append(d.Reasons, aggregate.Reason{Type: kind, Comment: comment})
	}
	wanted := disposition(verdict.Accept, v) // what the policy comes to
	if v.DMARC.Status == dmarc.Fail {
		wanted = aggregate.Disposition(v.DMARC.Policy)
		if v.DMARC.Disposition != v.DMARC.Policy {
			wanted = aggregate.Disposition(v.DMARC.Disposition)
			if v.DMARC.Testing {
				add("policy_test_mode", "") // RFC 9989 §4.7, t=y
			} else {
				add("other", commentPct)
			}
		}
	}
	if v.DMARC.Status == dmarc.TempError && v.DMARC.Policy.Level() > 0 {
		add("other", commentTrouble)
	}
	if d.Disposition == wanted {
		return
	}
	if d.Action != d.Asked {
		add("local_policy", commentMonitoring)
		return
	}
	switch d.Because {
	case ByRule:
		add(rule.override(v))
	case ByPolicy:
		add("local_policy", commentLevel)
	case ByFrom:
		add("local_policy", commentFrom)
	case ByLength:
		add("local_policy", commentLong)
	case Nothing:
		add("other", commentNoClient)
	}
}

// steps explain the decision, apart from a rule, which is told by itself.
func (d *Decision) steps(v *check.Verdict) []explain.Step {
	var out []explain.Step
	args := explain.Args{"action": string(d.Asked)}
	switch d.Because {
	case ByPolicy:
		args["domain"], args["policy"] = v.DMARC.PolicyDomain.Unicode(), string(v.DMARC.Policy)
		code := "gateway.by-policy"
		if v.DMARC.Disposition == dmarc.Reject && d.Asked != verdict.Refuse {
			code = "gateway.by-policy-lowered"
		}
		out = append(out, explain.Step{Code: code, Args: args, Ref: "RFC 9989 §7.4"})
	case ByFrom:
		out = append(out, explain.Step{Code: "gateway.by-from", Args: args, Ref: "RFC 9989 §5.3.1"})
	case ByLength:
		out = append(out, explain.Step{Code: "gateway.by-length", Args: args})
	case ByTrouble:
		out = append(out, explain.Step{Code: "gateway.by-trouble", Args: args, Ref: "RFC 9989 §5.3.6"})
	}
	if d.Action != d.Asked {
		out = append(out, explain.Step{Code: "gateway.monitoring", Args: explain.Args{"action": string(d.Asked)}})
	}
	return out
}

// quarantineReason is what the MTA is told about mail it is to hold, and shows
// to its operator. It is ASCII, of at most 200 octets.
func (d *Decision) quarantineReason(v *check.Verdict) string {
	var b strings.Builder
	switch d.Because {
	case ByRule:
		b.WriteString("rule of this site")
	case ByFrom:
		b.WriteString("From names no single domain")
	case ByLength:
		b.WriteString("header too long to verify")
	default:
		b.WriteString("DMARC fail")
	}
	if from := v.From(); !from.IsZero() {
		b.WriteString(" from=" + from.String())
	}
	if v.DMARC.Policy != "" {
		b.WriteString(" policy=" + string(v.DMARC.Policy))
	}
	return ascii(b.String(), 200)
}
