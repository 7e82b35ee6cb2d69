package store

import (
	"context"
	"database/sql"
	"sync"
)

// dictionary numbers names, so that rows hold four bytes for one.
type dictionary struct {
	mu    sync.RWMutex
	ids   map[string]uint32 // by folded name
	names []string          // by id - 1
}

// id returns a name's number.
func (d *dictionary) id(name string) (uint32, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	id, ok := d.ids[fold(name)]
	return id, ok
}

// name returns a number's name.
func (d *dictionary) name(id uint32) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if id == 0 || int(id) > len(d.names) {
		return ""
	}
	return d.names[id-1]
}

// len returns how many names there are.
func (d *dictionary) len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.names)
}

func (d *dictionary) load(ctx context.Context, db *sql.DB, table string) error {
	rows, err := db.QueryContext(ctx, "SELECT id, name FROM "+table+" ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids, d.names = map[string]uint32{}, nil
	for rows.Next() {
		var id uint32
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return err
		}
		for int(id) > len(d.names) {
			d.names = append(d.names, "")
		}
		d.names[id-1] = name
		d.ids[fold(name)] = id
	}
	return rows.Err()
}

// additions are names that a transaction adds to a dictionary.
type additions struct {
	to    *dictionary
	ids   map[string]uint32
	names []string
}

// id returns the number of a name, giving it the next one if it is new.
func (a *additions) id(name string) uint32 {
	key := fold(name)
	if id, ok := a.to.id(key); ok {
		return id
	}
	if id, ok := a.ids[key]; ok {
		return id
	}
	if a.ids == nil {
		a.ids = map[string]uint32{}
	}
	id := uint32(len(a.to.names) + len(a.names) + 1)
	a.ids[key] = id
	a.names = append(a.names, name)
	return id
}

// write appends the new names to their table.
func (a *additions) write(s *Store, table string) error {
	if len(a.names) == 0 {
		return nil
	}
	app, err := newAppender(s.native, table)
	if err != nil {
		return err
	}
	defer app.close()
	var arena []byte
	first := uint32(len(a.to.names) + 1)
	for i, name := range a.names {
		if _, err := app.room(); err != nil {
			return err
		}
		arena = arena[:0:0]
		t := layText(name, &arena)
		fill(app, 0, 1, first+uint32(i))
		putText(app, 1, t, app.pin(arena))
		app.at++
	}
	return app.finish()
}

// commit makes the new names known.
func (a *additions) commit() {
	d := a.to
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, id := range a.ids {
		d.ids[key] = id
	}
	d.names = append(d.names, a.names...)
}
