package check

import (
	"encoding/base64"
	"strconv"
	"strings"

	"sekimori/arc"
	"sekimori/authres"
	"sekimori/dkim"
	"sekimori/domain"
)

// AuthenticationResults returns the value of the Authentication-Results field
// (RFC 8601) that says the verdict, on one line. SPF that was not evaluated is
// left out, and so is ARC where there is no chain: their "none" would claim
// that somebody looked.
func (v *Verdict) AuthenticationResults() string { return v.Results().String() }

// AuthenticationResultsField returns the whole folded field with its CRLF.
func (v *Verdict) AuthenticationResultsField() string { return v.Results().Field() }

// Results returns what the Authentication-Results field says of the verdict, for
// callers that have more to say in it. It is the caller's.
func (v *Verdict) Results() *authres.Results {
	r := &authres.Results{AuthServID: v.AuthServID, Results: make([]authres.Result, 0, 4+len(v.DKIM))}
	if !v.NoSPF {
		// RFC 8601 §2.7.2: the domain alone, because nobody checked the local
		// part.
		x := authres.Result{Method: "spf", Value: string(v.SPF.Status), Props: make([]authres.Prop, 0, 2)}
		if v.SPF.Domain != "" {
			x.Props = append(x.Props, authres.Prop{Type: "smtp", Name: "mailfrom", Value: v.SPF.Domain})
		}
		if v.Input.Helo != "" {
			x.Props = append(x.Props, authres.Prop{Type: "smtp", Name: "helo", Value: inASCII(v.Input.Helo)})
		}
		r.Results = append(r.Results, x)
	}
	if v.heloOnly() && v.SPF.Domain != "" {
		r.Results = append(r.Results, authres.Result{Method: "spf", Value: string(v.SPF.Status),
			Props: []authres.Prop{{Type: "smtp", Name: "helo", Value: inASCII(v.SPF.Domain)}}})
	}
	if len(v.DKIM) == 0 {
		r.Results = append(r.Results, authres.Result{Method: "dkim", Value: string(dkim.None)})
	}
	for i := range v.DKIM {
		r.Results = append(r.Results, v.DKIM[i].result())
	}
	if v.ARC.Status != arc.None {
		x := authres.Result{Method: "arc", Value: string(v.ARC.Status)}
		if v.Input.IP.IsValid() {
			x.Props = append(x.Props, authres.Prop{Type: "smtp", Name: "remote-ip", Value: v.Input.IP.String()}) // RFC 8617 §6
		}
		if v.ARC.Status == arc.Pass {
			x.Props = append(x.Props, authres.Prop{Type: "header", Name: "oldest-pass", Value: strconv.Itoa(v.ARC.OldestPass)})
		}
		r.Results = append(r.Results, x)
	}
	x := authres.Result{Method: "dmarc", Value: string(v.DMARC.Status)}
	if from := v.From(); !from.IsZero() {
		x.Props = make([]authres.Prop, 0, 2)
		x.Props = append(x.Props, authres.Prop{Type: "header", Name: "from", Value: from.String()})
	}
	if p := v.DMARC.Applied(); p != "" {
		x.Props = append(x.Props, authres.Prop{Type: "policy", Name: "dmarc", Value: string(p)}) // RFC 9989 §9.1
	}
	r.Results = append(r.Results, x)
	r.Results = append(r.Results, smimeResults(v.SMIME)...)
	return r
}

// inASCII is a host name for a field that must be understood where the message
// itself is not internationalized (RFC 8616 §5): in A-labels, or with what is
// no domain name replaced.
func inASCII(host string) string {
	for i := 0; i < len(host); i++ {
		if host[i] < 0x80 {
			continue
		}
		if n, err := domain.Parse(host); err == nil {
			return n.String()
		}
		return strings.Map(func(r rune) rune {
			if r >= 0x80 {
				return '?'
			}
			return r
		}, host)
	}
	return host
}

func (s *Signature) result() authres.Result {
	x := authres.Result{Method: "dkim", Value: string(s.Status), Props: make([]authres.Prop, 0, 4)}
	if s.Status != dkim.Pass {
		x.Reason = s.ReasonCode()
	}
	add := func(name, value string) {
		if value != "" {
			x.Props = append(x.Props, authres.Prop{Type: "header", Name: name, Value: value})
		}
	}
	add("d", s.Domain.String())
	add("s", s.Selector)
	add("a", string(s.Algorithm))
	if sig := s.Signature; sig != nil && len(sig.Value) >= 6 {
		add("b", base64.StdEncoding.EncodeToString(sig.Value[:6])) // RFC 6008 §4: eight characters or more
	}
	return x
}
