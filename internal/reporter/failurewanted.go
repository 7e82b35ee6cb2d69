package reporter

import (
	"slices"
	"strings"

	"sekimori/dkim"
	"sekimori/dmarc"
	"sekimori/internal/check"
	"sekimori/message"
	"sekimori/report/failure"
	"sekimori/spf"
)

// wish is what is to be reported about a message.
type wish struct {
	kind      failure.Kind
	unaligned []failure.Method
	// signature is one that failed: an aligned one where there is one; nil where
	// none did.
	signature *check.Signature
	spf       bool // SPF gave no pass, and what it was evaluated by matters
}

// wanted says whether the owner of the policy asks for a report on a message,
// and on what (RFC 9989 §4.7, fo; RFC 9991 §2, §3). Trouble with the DNS is
// never reported as a failure: what could not be evaluated might have passed.
func wanted(v *check.Verdict) (wish, bool) {
	r := v.DMARC.Record
	if r == nil || len(r.RUF) == 0 || r.PSD == dmarc.IsPSD || v.DMARC.Status != dmarc.Pass && v.DMARC.Status != dmarc.Fail {
		return wish{}, false
	}
	var w wish
	failedDKIM := failedSignature(v)
	w.signature = failedDKIM
	if !slices.Contains(v.DMARC.AlignedBy, "dkim") && !unknownDKIM(v) {
		w.unaligned = append(w.unaligned, failure.MethodDKIM)
	}
	if !slices.Contains(v.DMARC.AlignedBy, "spf") && !v.NoSPF && v.SPF.Status != spf.TempError {
		w.unaligned = append(w.unaligned, failure.MethodSPF)
		w.spf = v.SPF.Status != spf.Pass
	}
	all, any, signed, path := asksFor(r)
	switch {
	case all && v.DMARC.Status == dmarc.Fail, any && len(w.unaligned) > 0:
		w.kind = failure.DMARC
	case signed && failedDKIM != nil:
		w.kind = signatureKind(failedDKIM)
	case path && !v.NoSPF && (v.SPF.Status == spf.Fail || v.SPF.Status == spf.SoftFail):
		w.kind, w.spf = failure.SPF, true
	default:
		return wish{}, false
	}
	return w, true
}

// asksFor reads fo: a report where all mechanisms fail to give an aligned pass
// ("0"), where any does ("1"), where a signature ("d") or SPF ("s") fails,
// aligned or not. With "d" or "s" alone nothing else is asked for.
func asksFor(r *dmarc.Record) (all, any, signed, path bool) {
	any, signed, path = r.FO.Any, r.FO.DKIM, r.FO.SPF
	value, _ := r.Get("fo")
	all = any || !signed && !path || slices.ContainsFunc(strings.Split(value, ":"), func(s string) bool { return strings.TrimSpace(s) == "0" })
	return all, any, signed, path
}

// unknownDKIM tells a signature that might have passed with an aligned domain.
func unknownDKIM(v *check.Verdict) bool {
	return slices.ContainsFunc(v.DKIM, func(s check.Signature) bool { return s.Status == dkim.TempError && s.Aligned })
}

// failedSignature is the signature to tell of: of those that failed, one whose
// domain is aligned, or else the first. A key that is only being tested counts
// as no signature (RFC 6376 §3.6.1).
func failedSignature(v *check.Verdict) *check.Signature {
	var first *check.Signature
	for i := range v.DKIM {
		s := &v.DKIM[i]
		if s.Signature == nil || s.Testing || s.Domain.IsZero() || s.Status != dkim.Fail && s.Status != dkim.Policy && s.Status != dkim.PermError {
			continue
		}
		// Whether a failed signature is aligned nobody looked up; the names tell
		// in nearly every case.
		if s.Domain == v.DMARC.From || v.DMARC.Record.ADKIM != dmarc.Strict && s.Domain.IsSubdomainOf(v.DMARC.Organizational) {
			return s
		}
		if first == nil {
			first = s
		}
	}
	return first
}

// signatureKind is why a signature failed, in the words of RFC 6591 §3.3.
func signatureKind(s *check.Signature) failure.Kind {
	switch code := s.Reason.Code; {
	case strings.HasPrefix(code, "dkim.body-"):
		return failure.BodyHash
	case strings.Contains(code, "revoked"):
		return failure.Revoked
	}
	return failure.Signature
}

// loops tells messages on which no report may be made, because it could end in
// another such message: reports and other mail by machines, notifications (RFC
// 3834 §2, RFC 5321 §4.5.5), and what comes from us or goes to us.
func (f *Failures) loops(c *FailureCase) bool {
	in := &c.Verdict.Input
	if in.NullSender || in.MailFrom == "" || foldAddress(in.MailFrom) == foldAddress(f.o.Email) {
		return true
	}
	for _, to := range c.Entry.Rcpt {
		if foldAddress(strings.Trim(to, "<>")) == foldAddress(f.o.Email) {
			return true
		}
	}
	for _, h := range c.Header {
		switch strings.ToLower(h.Name()) {
		case "auto-submitted":
			if kind, _ := message.ParseParams(h.Value()); !strings.EqualFold(kind, "no") {
				return true
			}
		case "content-type":
			kind, _ := message.ParseParams(h.Value())
			if strings.EqualFold(kind, "multipart/report") || strings.EqualFold(kind, "message/feedback-report") {
				return true
			}
		case "subject":
			if strings.Contains(strings.ToLower(h.Value()), "report domain:") { // RFC 9990 §3.5.2
				return true
			}
		case "from":
			if list, err := message.ParseAddrSpecs(h.RawValue()); err == nil {
				for _, a := range list {
					if foldAddress(a.String()) == foldAddress(f.o.Email) {
						return true
					}
				}
			}
		case "precedence":
			p := strings.ToLower(h.Value())
			if (p == "bulk" || p == "junk") && c.Verdict.DMARC.From == f.host {
				return true
			}
		}
	}
	return false
}
