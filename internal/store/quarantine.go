package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"
)

// AddQuarantined notes a kept input, whose copy the caller has already put
// under DATA/quarantine; ID and, where zero, At are filled in. The same copy
// of the same input of the same import is noted once.
func (s *Store) AddQuarantined(ctx context.Context, q Quarantined) (Quarantined, error) {
	if q.At.IsZero() {
		q.At = time.Now()
	}
	q.At = q.At.UTC().Truncate(time.Second)
	err := s.change(ctx, "note a quarantined input", func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `INSERT INTO quarantine (import, path, kept, size, reason, at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (import, path, kept) DO UPDATE SET size = excluded.size, reason = excluded.reason, at = excluded.at
			RETURNING id`, q.Import, q.Path, q.Kept, q.Size, q.Reason, q.At.Unix()).Scan(&q.ID)
	})
	return q, err
}

// quarantineSort are the columns by which ListQuarantined sorts.
var quarantineSort = map[string]string{"": "id", "at": "id", "path": "path", "size": "size", "reason": "reason"}

// ListQuarantined lists kept inputs, with how many there are. Page.Sort: "at"
// (default), "path", "size", "reason"; the zero Page lists the newest first.
// Page.Search looks in path and reason.
func (s *Store) ListQuarantined(ctx context.Context, p Page) ([]Quarantined, int64, error) {
	done, err := s.reading()
	if err != nil {
		return nil, 0, err
	}
	defer done()
	order, err := p.order(quarantineSort, "id")
	if err != nil {
		return nil, 0, err
	}
	where := "WHERE ?1 = '' OR path LIKE ?2 ESCAPE '\\' OR reason LIKE ?2 ESCAPE '\\'"
	like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(p.Search) + "%"
	var total int64
	if err := s.state.QueryRowContext(ctx, "SELECT count(*) FROM quarantine "+where, p.Search, like).Scan(&total); err != nil {
		return nil, 0, err
	}
	limit, offset := p.bounds()
	rows, err := s.state.QueryContext(ctx, "SELECT id, import, path, kept, size, reason, at FROM quarantine "+where+order+" LIMIT ?3 OFFSET ?4", p.Search, like, limit, offset)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var out []Quarantined
	for rows.Next() {
		q, err := scanQuarantined(rows)
		if err != nil {
			return nil, 0, err
		}
		out = append(out, q)
	}
	return out, total, rows.Err()
}

func scanQuarantined(row scanner) (q Quarantined, err error) {
	var at int64
	err = row.Scan(&q.ID, &q.Import, &q.Path, &q.Kept, &q.Size, &q.Reason, &at)
	q.At = time.Unix(at, 0).UTC()
	return q, err
}

// OpenQuarantined opens the kept copy. It never leaves DATA/quarantine,
// whatever names and links are there. ErrNotFound where there is none.
func (s *Store) OpenQuarantined(ctx context.Context, id int64) (*os.File, Quarantined, error) {
	done, err := s.reading()
	if err != nil {
		return nil, Quarantined{}, err
	}
	defer done()
	q, err := scanQuarantined(s.state.QueryRowContext(ctx, "SELECT id, import, path, kept, size, reason, at FROM quarantine WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, Quarantined{}, fmt.Errorf("quarantined input %d: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, Quarantined{}, err
	}
	root, err := os.OpenRoot(path.Join(s.dir, "quarantine"))
	if err != nil {
		return nil, q, err
	}
	defer root.Close()
	f, err := root.Open(strings.TrimPrefix(path.Clean(q.Kept), "quarantine/"))
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%s: the copy was deleted: %w", q.Kept, ErrNotFound)
	}
	return f, q, err
}
