package spf

import (
	"context"
	"errors"

	"sekimori/dns"
	"sekimori/explain"
)

// Flattened is advice: a record that needs fewer questions.
type Flattened struct {
	Records  []explain.Publish // the domain's own first
	Findings []explain.Finding // what to know before publishing
	Lookups  int               // of the advised record
}

// Flatten advises a record in which includes are resolved to networks.
func Flatten(ctx context.Context, r dns.Resolver, domain string) (Flattened, error) {
	return Flattened{}, errors.New("not written yet")
}
