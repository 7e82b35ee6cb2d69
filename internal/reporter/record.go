package reporter

import (
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"sekimori/report/aggregate"
)

// maxSignatures is how many DKIM results a row has at most (RFC 9990 §3.1.3).
// Whoever made the row has put the important ones first.
const maxSignatures = 100

// fit makes a row fit for a form, without changing the row's own slices. What
// the form cannot say is said as near to it as it can.
func fit(form aggregate.Form, in *aggregate.Record, out *aggregate.Record) {
	reasons, dkim := out.Reasons[:0], out.DKIMResults[:0]
	*out = *in
	// A row that the writer refuses would cost the whole report.
	out.SourceIP = in.SourceIP.Unmap().WithZone("")
	if !out.SourceIP.IsValid() {
		out.SourceIP = netip.IPv4Unspecified()
	}
	switch in.Disposition {
	case aggregate.DispositionNone, aggregate.DispositionPass, aggregate.DispositionQuarantine, aggregate.DispositionReject:
	default:
		out.Disposition = aggregate.DispositionNone
	}
	out.HeaderFrom, out.EnvelopeFrom, out.EnvelopeTo = clean(in.HeaderFrom), clean(in.EnvelopeFrom), clean(in.EnvelopeTo)
	for _, d := range in.DKIMResults[:min(len(in.DKIMResults), maxSignatures)] {
		d.Domain, d.Selector, d.HumanResult = clean(d.Domain), clean(d.Selector), clean(d.HumanResult)
		d.Result = among(d.Result, "permerror", dkimResults)
		dkim = append(dkim, d)
	}
	out.DKIMResults = dkim
	for _, r := range in.Reasons {
		r = reason(form, r)
		r.Comment = clean(r.Comment)
		reasons = append(reasons, r)
	}
	out.Reasons = reasons
	if form == aggregate.RFC7489 {
		if out.Disposition == aggregate.DispositionPass {
			out.Disposition = aggregate.DispositionNone // nothing was done to it
		}
		out.SPFResults = spf7489(in)
	} else {
		out.SPFResults = spf9990(in)
	}
}

// Results that both forms have (RFC 7489 appendix C, RFC 9990 appendix A).
var (
	dkimResults = []string{"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"}
	spfResults  = []string{"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}
)

// among keeps a token that a form knows. One that it does not know must not
// cost a whole report.
func among(token, otherwise string, known []string) string {
	if slices.Contains(known, token) {
		return token
	}
	return otherwise
}

// reason translates a reason for departing from the policy. The forms share
// three; of the others a comment keeps the name.
func reason(form aggregate.Form, r aggregate.Reason) aggregate.Reason {
	switch r.Type {
	case "local_policy", "mailing_list", "other", "trusted_forwarder":
		return r
	case "policy_test_mode":
		if form == aggregate.RFC9990 {
			return r
		}
	case "forwarded", "sampled_out":
		if form == aggregate.RFC7489 {
			return r
		}
	}
	comment := r.Type
	if r.Comment != "" {
		comment += ": " + r.Comment
	}
	return aggregate.Reason{Type: "other", Comment: comment}
}

// spf9990 keeps the result of MAIL FROM: RFC 9990 reports no other, and one at
// most.
func spf9990(in *aggregate.Record) []aggregate.SPFResult {
	for _, s := range in.SPFResults {
		if s.Scope == "mfrom" || s.Scope == "" {
			s.Domain, s.HumanResult = clean(s.Domain), clean(s.HumanResult)
			if s.Result != "policy" {
				s.Result = among(s.Result, "none", spfResults)
			}
			return []aggregate.SPFResult{s}
		}
	}
	return nil
}

// spf7489 keeps all results and has at least one, as appendix C of RFC 7489
// requires; it has no words beside a result.
func spf7489(in *aggregate.Record) []aggregate.SPFResult {
	if len(in.SPFResults) == 0 {
		// Nothing was evaluated, which is what "none" says (RFC 7208 §2.6.1).
		domain := in.EnvelopeFrom
		if domain == "" {
			domain = in.HeaderFrom
		}
		return []aggregate.SPFResult{{Domain: clean(domain), Scope: "mfrom", Result: "none"}}
	}
	out := make([]aggregate.SPFResult, len(in.SPFResults))
	for i, s := range in.SPFResults {
		s.Domain, s.HumanResult = clean(s.Domain), ""
		if s.Scope != "helo" {
			s.Scope = "mfrom"
		}
		if s.Result == "policy" {
			s.Result = "fail" // it did not count, for a reason of the receiver's
		}
		s.Result = among(s.Result, "none", spfResults)
		out[i] = s
	}
	return out
}

// clean takes out of a text what XML cannot hold (XML 1.0 §2.2): the sender
// chose it.
func clean(s string) string {
	for i := 0; ; i++ {
		if i == len(s) {
			return s
		}
		if s[i] < ' ' || s[i] >= 0x7f {
			break
		}
	}
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\t', c == '\n', c == '\r':
			return ' '
		case c < ' ', c == 0x7f, c == 0xfffe, c == 0xffff:
			return utf8.RuneError
		}
		return c // bytes that are no UTF-8 come as U+FFFD
	}, s)
}
