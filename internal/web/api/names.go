package api

import (
	"context"
	"io"
	"time"

	"sekimori/domain"
	"sekimori/internal/inventory"
	"sekimori/internal/store"
)

// NameKeeper takes in names that files tell of; *store.Store has it.
type NameKeeper interface {
	PutNames(ctx context.Context, names []store.KnownName) (added int64, err error)
}

// names is the inventory of the data folder.
type names struct {
	c     inventory.Config
	keep  NameKeeper
	asker *inventory.Asker
}

// NewInventory returns the inventory of a store; asker is nil where the DNS is
// not asked.
func NewInventory(c inventory.Config, keep NameKeeper, asker *inventory.Asker) Inventory {
	return &names{c, keep, asker}
}

func (n *names) Take(ctx context.Context, name domain.Name, q inventory.Query) (*inventory.Inventory, error) {
	return inventory.Take(ctx, n.c, name, q)
}

func (n *names) Load(ctx context.Context, name domain.Name, file string, r io.Reader) (inventory.Summary, error) {
	now := time.Now
	if n.c.Now != nil {
		now = n.c.Now
	}
	return inventory.Load(ctx, n.keep, name, file, r, now())
}

func (n *names) Ask(name domain.Name) {
	if n.asker != nil {
		n.asker.Start(name)
	}
}
