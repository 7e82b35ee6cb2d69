package arc

import (
	"fmt"
	"strings"

	"sekimori/domain"
	"sekimori/explain"
)

// Trust is what a receiver that trusts certain sealers may conclude from a
// chain. Nothing in it is a DMARC pass: what it gives is a reason for local
// policy, to be reported as such (RFC 8617 §7.2.2).
type Trust struct {
	// Instance is the oldest set whose word counts: it and all newer ones were
	// sealed by trusted domains. 0 where none counts.
	Instance int
	// Sealer is who sealed that set, Results what it found when the message
	// reached it: what authres.Parse reads.
	Sealer  domain.Name
	Results string
	Step    explain.Step // why, or why not
}

// Trust tells how far back the chain may be believed by somebody who trusts
// the domains for which trusted says so. A sealer can write anything into its
// set and leave out what was before it, so the sets count from the newest down
// to the first whose sealer is not trusted. The chain has to have passed, and
// its newest signature has to cover the author (From); without that nothing
// ties it to the message that people see.
func (r Result) Trust(trusted func(domain.Name) bool) Trust {
	refuse := func(code, ref string, args explain.Args) Trust {
		return Trust{Step: explain.Step{Code: code, Ref: ref, Args: args}}
	}
	switch {
	case r.Status == None:
		return refuse("arc.trust-no-chain", "RFC 8617 §5.2", explain.Args{})
	case r.Status != Pass:
		return refuse("arc.trust-failed", "RFC 8617 §5.2", explain.Args{})
	case !r.fromSigned:
		return refuse("arc.trust-from-unsigned", "RFC 6376 §5.4", explain.Args{})
	}
	var sealers []string
	t := Trust{}
	for _, s := range r.Chain {
		if !trusted(s.Domain) {
			if t.Instance == 0 {
				return refuse("arc.trust-unknown-sealer", "RFC 8617 §9.4", explain.Args{
					"instance": int64(s.Instance), "domain": explain.Clip(s.Domain.Unicode())})
			}
			break
		}
		t.Instance, t.Sealer, t.Results = s.Instance, s.Domain, s.Results
		sealers = append(sealers, explain.Clip(s.Domain.Unicode()))
	}
	t.Step = explain.Step{Code: "arc.trusted", Ref: "RFC 8617 §7.2.1", Args: explain.Args{
		"instance": int64(t.Instance), "sets": int64(r.Sets), "sealers": sealers}}
	return t
}

// Comment is what RFC 8617 §7.2.2 has a DMARC report say beside the reason
// local_policy: the status, who sealed, and the address from which the first
// sealer got the message, where it is known.
func (r Result) Comment(remoteIP string) string {
	var b strings.Builder
	b.WriteString("arc=")
	b.WriteString(string(r.Status))
	for _, s := range r.Chain {
		fmt.Fprintf(&b, " as[%d].d=%s as[%d].s=%s", s.Instance, s.Domain, s.Instance, explain.Clip(s.Selector))
	}
	if remoteIP != "" {
		b.WriteString(" remote-ip[1]=")
		b.WriteString(explain.Clip(remoteIP))
	}
	return b.String()
}
