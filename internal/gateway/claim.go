package gateway

import (
	"slices"
	"strings"

	"sekimori/dkim"
	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/internal/check"
	"sekimori/message"
	"sekimori/spf"
)

// Limits of what is looked at in a From that cannot be judged.
const (
	maxClaims = 8   // domains
	maxSigns  = 100 // "@"
)

// claims tells whether a From that DMARC cannot judge names a domain whose owner
// wants mail like this treated: readers are shown something of such a field
// too, and a slip in it must not be a way around the owner's policy (RFC 9989
// §5.3.1, §11.5). More domains than are looked at count as one that does.
//
// It is asked only where DMARC says permerror: From cannot be read in one way,
// or names more authors than are evaluated.
func (n *session) claims(a *arrival, v *check.Verdict) bool {
	if v.DMARC.Status != dmarc.PermError {
		return false
	}
	names, all := mentioned(a.authors())
	if !all {
		return true
	}
	w := dmarc.Verifier{Resolver: n.g.options.Resolver}
	for _, d := range names {
		if r := w.Evaluate(a.ctx, w.Discover(a.ctx, d), identifiers(v)); r.Status == dmarc.Fail && r.Disposition.Level() > 0 {
			return true
		}
	}
	return false
}

// mentioned lists what looks like the domain of an address in From fields; all
// is false where there is more than is looked at.
func mentioned(h message.Header) (out []domain.Name, all bool) {
	signs := 0
	for _, f := range h {
		value := message.DecodeWords(f.Value()) // some readers decode it all
		for _, s := range [...]string{f.Value(), value} {
			for {
				_, rest, found := strings.Cut(s, "@")
				if !found {
					break
				}
				if signs++; signs > maxSigns || len(out) > maxClaims {
					return out, false
				}
				s = rest
				end := strings.IndexFunc(rest, func(r rune) bool {
					return r < 0x80 && r != '-' && r != '.' && r != '_' && (r < '0' || '9' < r) && (r|0x20 < 'a' || 'z' < r|0x20)
				})
				if end >= 0 {
					rest = rest[:end]
				}
				if d, err := domain.Parse(strings.Trim(rest, ".")); err == nil && !slices.Contains(out, d) {
					out = append(out, d)
				}
			}
		}
	}
	return out, len(out) <= maxClaims
}

// identifiers are the domains that were authenticated.
func identifiers(v *check.Verdict) (out []dmarc.Identifier) {
	if d, err := domain.Parse(v.SPF.Domain); err == nil && !v.NoSPF && (v.SPF.Status == spf.Pass || v.SPF.Status == spf.TempError) {
		out = append(out, dmarc.Identifier{Method: "spf", Domain: d, Temporary: v.SPF.Status == spf.TempError})
	}
	for i := range v.DKIM {
		s := &v.DKIM[i]
		if !s.Domain.IsZero() && (s.Status == dkim.Pass || s.Status == dkim.TempError) {
			out = append(out, dmarc.Identifier{Method: "dkim", Domain: s.Domain, Selector: s.Selector, Temporary: s.Status == dkim.TempError})
		}
	}
	return out
}
