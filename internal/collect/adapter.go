package collect

import (
	"context"

	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// Adapter makes a store a Sink, a Ledger and a Quarantine.
type Adapter struct{ *store.Store }

// FromStore returns the store as what an Importer needs.
func FromStore(s *store.Store) Adapter { return Adapter{s} }

// Begin starts one large report.
func (a Adapter) Begin(ctx context.Context, head aggregate.Report) (Stream, error) {
	t, err := a.Store.Begin(ctx, head)
	if err != nil {
		return nil, err // not a nil *store.Stream in the interface
	}
	return t, nil
}
