package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// NameFact is what the DNS said of a known name when it was last asked.
type NameFact struct {
	Domain string    `json:"domain"` // of the inventory
	Name   string    `json:"name"`
	Looked time.Time `json:"looked"`
	Doc    []byte    `json:"doc"` // the inventory's own document
}

// PutNameFacts keeps facts, in place of earlier ones about the same names, all
// of them in one transaction.
func (s *Store) PutNameFacts(ctx context.Context, facts []NameFact) error {
	return s.change(ctx, "keep facts about names", func(tx *sql.Tx) error {
		st, err := tx.PrepareContext(ctx, "INSERT INTO name_fact VALUES (?, ?, ?, ?) ON CONFLICT (domain, name) DO UPDATE SET looked = excluded.looked, doc = excluded.doc")
		if err != nil {
			return err
		}
		defer st.Close()
		for _, f := range facts {
			if _, err := st.ExecContext(ctx, f.Domain, f.Name, f.Looked.Unix(), f.Doc); err != nil {
				return err
			}
		}
		return nil
	})
}

// NameFacts calls f with the facts about a domain's names, in the order of the
// names' octets. An error of f ends the walk and is returned. f may call
// methods that read.
func (s *Store) NameFacts(ctx context.Context, domain string, f func(NameFact) error) error {
	done, err := s.reading()
	if err != nil {
		return err
	}
	defer done()
	rows, err := s.state.QueryContext(ctx, "SELECT name, looked, doc FROM name_fact WHERE domain = ? ORDER BY name", domain)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		n := NameFact{Domain: domain}
		var looked int64
		if err := rows.Scan(&n.Name, &looked, &n.Doc); err != nil {
			return err
		}
		n.Looked = time.Unix(looked, 0).UTC()
		if err := f(n); err != nil {
			return err
		}
	}
	return rows.Err()
}

// NameFact returns the fact about one name, and whether there is one.
func (s *Store) NameFact(ctx context.Context, domain, name string) (NameFact, bool, error) {
	done, err := s.reading()
	if err != nil {
		return NameFact{}, false, err
	}
	defer done()
	n := NameFact{Domain: domain, Name: name}
	var looked int64
	err = s.state.QueryRowContext(ctx, "SELECT looked, doc FROM name_fact WHERE domain = ? AND name = ?", domain, name).Scan(&looked, &n.Doc)
	if errors.Is(err, sql.ErrNoRows) {
		return n, false, nil
	}
	n.Looked = time.Unix(looked, 0).UTC()
	return n, err == nil, err
}
