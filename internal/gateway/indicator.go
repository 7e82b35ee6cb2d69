package gateway

import (
	"sekimori/authres"
	"sekimori/internal/check"
)

func (n *session) indicator(a *arrival, v *check.Verdict, p *parts, r *authres.Results) []added {
	return nil
}
