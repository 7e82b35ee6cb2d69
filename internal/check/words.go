package check

import (
	"slices"

	"sekimori/domain"
)

// SPFWord is the result of SPF in one word; "unknown" where it could not be
// evaluated, because nobody knows which host sent the message.
func (v *Verdict) SPFWord() string {
	if v.NoSPF {
		return "unknown"
	}
	return string(v.SPF.Status)
}

// DKIMWord joins the results of all signatures to one word. It is pass if any
// signature passes, and none if there is no signature. Else a signature of the
// author's organisation goes before those of others, and of equals the most
// telling result: temperror, behind which a pass may hide, fail, policy,
// neutral, permerror.
func (v *Verdict) DKIMWord() string {
	best, ownBest := "none", false
	from := v.From()
	for i := range v.DKIM {
		s := &v.DKIM[i]
		own := s.Aligned || belongs(s.Domain, from)
		if i == 0 || preferDKIM(string(s.Status), own, best, ownBest) {
			best, ownBest = string(s.Status), own
		}
	}
	return best
}

// DMARCWord is the result of DMARC in one word.
func (v *Verdict) DMARCWord() string { return string(v.DMARC.Status) }

// telling are results of DKIM, the most telling first.
var telling = []string{"pass", "temperror", "fail", "policy", "neutral", "permerror", "none"}

// preferDKIM reports whether a signature's result says more than that of
// another.
func preferDKIM(word string, own bool, than string, thanOwn bool) bool {
	if (word == "pass") != (than == "pass") {
		return word == "pass"
	}
	if own != thanOwn {
		return own
	}
	rank := func(w string) int {
		if i := slices.Index(telling, w); i >= 0 {
			return i
		}
		return len(telling)
	}
	return rank(word) < rank(than)
}

// belongs reports whether a signature's domain is of the author's organisation,
// by the public suffix list.
func belongs(d, from domain.Name) bool {
	if d.IsZero() || from.IsZero() {
		return false
	}
	org := from.Organizational()
	return d == from || !org.IsZero() && d.Organizational() == org
}
