package inventory

import (
	"context"
	"fmt"
	"io"
	"time"

	"sekimori/domain"
	"sekimori/internal/store"
)

// loadBatch is how many names go into one transaction.
const loadBatch = 20_000

// Names keeps names; *store.Store has it.
type Names interface {
	PutNames(ctx context.Context, names []store.KnownName) (added int64, err error)
}

// Load reads a file of names (see Read) and keeps those of the domain. A file
// that turns out to be unreadable halfway has been taken up to there: to load
// it again changes nothing but what was missing.
func Load(ctx context.Context, st Names, name domain.Name, file string, r io.Reader, now time.Time) (Summary, error) {
	if name.IsZero() {
		return Summary{File: file}, fmt.Errorf("%s: no domain given that its names should belong to", file)
	}
	var batch []store.KnownName
	var added int64
	flush := func() error {
		n, err := st.PutNames(ctx, batch)
		added += n
		batch = batch[:0]
		return err
	}
	sum, err := Reading{Domain: name, Now: now}.Read(file, r, func(n store.KnownName) error {
		if batch = append(batch, n); len(batch) < loadBatch {
			return ctx.Err()
		}
		return flush()
	})
	if ferr := flush(); err == nil {
		err = ferr
	}
	sum.Added = added
	return sum, err
}
