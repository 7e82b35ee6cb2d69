package store

import (
	"context"
	"database/sql"
	"sync"
)

// said numbers the changes of what people said and did that answers depend on.
type said struct {
	mu      sync.RWMutex
	version int64            // of the last change
	of      map[string]int64 // by domain; "" for changes that concern all
}

func (v *said) load(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "SELECT domain, version FROM said")
	if err != nil {
		return err
	}
	defer rows.Close()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.of = map[string]int64{}
	for rows.Next() {
		var domain string
		var n int64
		if err := rows.Scan(&domain, &n); err != nil {
			return err
		}
		v.of[domain] = n
		v.version = max(v.version, n)
	}
	return rows.Err()
}

// StateVersion grows with every change of what answers depend on: words,
// departments and what belongs to them, and since when a piece of work is said
// to be done. Answers kept under an older one are stale. It grows over restarts
// too, and reads memory only.
func (s *Store) StateVersion() int64 {
	s.said.mu.RLock()
	defer s.said.mu.RUnlock()
	return s.said.version
}

// DomainStateVersion is StateVersion of one domain: of changes that concern it
// or all domains. 0 where there were none.
func (s *Store) DomainStateVersion(domain string) int64 {
	s.said.mu.RLock()
	defer s.said.mu.RUnlock()
	return max(s.said.of[fold(domain)], s.said.of[""])
}

// saying runs f in a durable transaction of the state file. f returns the
// domains that it changed something for, "" for all.
func (s *Store) saying(ctx context.Context, doing string, f func(*sql.Tx) ([]string, error)) error {
	var changed []string
	var next int64
	err := s.change(ctx, doing, func(tx *sql.Tx) error {
		var err error
		if changed, err = f(tx); err != nil || len(changed) == 0 {
			return err
		}
		// Transactions that write come one after the other, so next is ours alone.
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) + 1 FROM said").Scan(&next); err != nil {
			return err
		}
		for _, d := range changed {
			if _, err := tx.ExecContext(ctx, "INSERT INTO said VALUES (?, ?) ON CONFLICT (domain) DO UPDATE SET version = excluded.version", d, next); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(changed) == 0 {
		return err
	}
	s.said.mu.Lock()
	defer s.said.mu.Unlock()
	for _, d := range changed {
		s.said.of[d] = max(s.said.of[d], next)
	}
	s.said.version = max(s.said.version, next)
	return nil
}
