package posture

import (
	"context"
	"testing"

	"sekimori/dns"
)

// Counted is for tests outside of the package, which may use packages that
// import it: a Resolver, and the check of what it was asked.
func Counted(lookup func(ctx context.Context, name string, t dns.Type) (dns.Answer, error)) (dns.Resolver, func(*testing.T, *Posture)) {
	c := &counted{lookup: lookup}
	return c, c.check
}
