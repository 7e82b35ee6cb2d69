package check

import (
	"context"

	"sekimori/arc"
	"sekimori/dkim"
	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/smime"
	"sekimori/spf"
)

// Verdict is everything that was found out about a message. Its JSON form is
// that of "sekimori verify --json".
type Verdict struct {
	Input Input
	// SPF is the result for MAIL FROM, the one that counts. NoSPF says that it
	// was not evaluated, because the client's address or the reverse-path is
	// not known; SPF is then that of HELO, which DMARC does not count, or none
	// where the name in HELO is not known either.
	SPF   spf.Result
	NoSPF bool
	Helo  spf.Result // for HELO; the zero Result where it was not evaluated
	DKIM  []Signature
	ARC   arc.Result
	// Trust says how far the chain may be believed by Checker.Sealers. It is for
	// local policy; DMARC does not pass by it.
	Trust      arc.Trust
	DMARC      dmarc.Result
	AuthServID string
	// SMIME is the result for S/MIME; nil where the header announces none, or
	// Checker.SMIME is nil. It is told beside DMARC, which does not look at it.
	SMIME *smime.Result
	// Headless says that what was given has no header of a message.
	Headless bool
}

// Signature is the result of one DKIM signature, in the order of the header.
type Signature struct {
	dkim.Result
	// Aligned says that the signature's domain belongs with that of the From
	// field, so that it makes DMARC pass, or would if it could be evaluated.
	// It is looked up only for signatures that are valid or whose key could not
	// be had for now.
	Aligned bool
}

// Outcome is the verdict in one word.
type Outcome string

const (
	// Confirmed: DMARC passes.
	Confirmed Outcome = "confirmed"
	// Unconfirmed: the domain has no DMARC policy, and nothing speaks against
	// the message.
	Unconfirmed Outcome = "unconfirmed"
	// Failed: DMARC fails, or cannot be applied for a fault that stays; or there
	// is no policy, neither SPF nor any signature passes, and SPF or a signature
	// fails. What cannot be evaluated, such as a signature whose key is gone, is
	// no failure.
	Failed Outcome = "failed"
	// Undecided: the DNS did not give the answers that the verdict hangs on.
	Undecided Outcome = "undecided"
)

// evaluate joins SPF and DKIM to DMARC.
func (v *Verdict) evaluate(ctx context.Context, n *Checking, results []dkim.Result) {
	var room [8]dmarc.Identifier
	ids := room[:0]
	if s := v.SPF.Status; !v.NoSPF && (s == spf.Pass || s == spf.TempError) {
		if d, err := domain.Parse(v.SPF.Domain); err == nil {
			ids = append(ids, dmarc.Identifier{Method: "spf", Domain: d, Temporary: s == spf.TempError})
		}
	}
	first := len(ids)
	if len(results) > 0 {
		v.DKIM = make([]Signature, len(results))
	}
	for i, r := range results {
		v.DKIM[i].Result = r
		if counts(r) {
			ids = append(ids, dmarc.Identifier{Method: "dkim", Domain: r.Domain, Selector: r.Selector, Temporary: r.Status == dkim.TempError})
		}
	}
	v.DMARC = n.checker.dmarc.Evaluate(ctx, n.discovery, ids)
	for i, r := range results {
		if v.DMARC.Status == dmarc.NoRecord {
			// Without a record on the way, a name is an organizational domain
			// of its own (RFC 9989 §4.10.2): only the same name is aligned.
			v.DKIM[i].Aligned = r.Status == dkim.Pass && r.Domain == v.DMARC.From
			continue
		}
		if counts(r) {
			if first < len(v.DMARC.Alignments) {
				v.DKIM[i].Aligned = v.DMARC.Alignments[first].Aligned
			}
			first++
		}
	}
}

// counts reports whether DMARC is told of a signature.
func counts(r dkim.Result) bool {
	return (r.Status == dkim.Pass || r.Status == dkim.TempError) && !r.Domain.IsZero()
}

// Outcome returns the verdict in one word.
func (v *Verdict) Outcome() Outcome {
	switch v.DMARC.Status {
	case dmarc.Pass:
		return Confirmed
	case dmarc.Fail, dmarc.PermError:
		return Failed
	case dmarc.TempError:
		return Undecided
	}
	passed := v.SPF.Status == spf.Pass
	failed := v.SPF.Status == spf.Fail
	temporary := v.SPF.Status == spf.TempError
	for _, s := range v.DKIM {
		switch s.Status {
		case dkim.Pass:
			passed = true
		case dkim.Fail:
			failed = true
		case dkim.TempError:
			temporary = true
		}
	}
	switch {
	case passed:
		return Unconfirmed
	case temporary:
		return Undecided
	case failed:
		return Failed
	}
	return Unconfirmed
}

// From returns the domain of the From field that the verdict is about; the
// zero Name where the field names none, or several.
func (v *Verdict) From() domain.Name { return v.DMARC.From }
