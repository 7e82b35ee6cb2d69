package store

import (
	"context"
	"database/sql"
)

// sayingsMost is how many words about one source are kept.
const sayingsMost = 200

// PutSaying keeps a word about a source, beside the earlier ones, and returns
// it with its number. Its At is now where it has none. Of each source the 200
// newest are kept. Domain and Key are wanted; a name has at most 200
// characters, a note 4,000. Durable when it returns.
func (s *Store) PutSaying(ctx context.Context, w Saying) (Saying, error) {
	if err := domainName("domain", &w.Domain); err != nil {
		return w, err
	}
	if err := sourceKey(w.Domain, w.Key); err != nil {
		return w, err
	}
	err := trim(written{"source", &w.Source, NameMost}, written{"class", &w.Class, NameMost},
		written{"name", &w.Name, NameMost}, written{"note", &w.Note, NoteMost}, written{"by", &w.By, NameMost})
	if err != nil {
		return w, err
	}
	networks, identities, err := recognised(w.Networks, w.Identities)
	if err != nil {
		return w, err
	}
	w.At = moment(w.At)
	err = s.saying(ctx, "keep a word", func(tx *sql.Tx) ([]string, error) {
		r, err := tx.ExecContext(ctx, "INSERT INTO saying (domain, key, source, class, name, note, who, at, networks, identities) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			w.Domain, w.Key, w.Source, w.Class, w.Name, w.Note, w.By, micros(w.At), networks, identities)
		if err != nil {
			return nil, err
		}
		if w.ID, err = r.LastInsertId(); err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM saying WHERE domain = ?1 AND key = ?2 AND id <=
			(SELECT id FROM saying WHERE domain = ?1 AND key = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)`, w.Domain, w.Key, sayingsMost)
		return []string{w.Domain}, err
	})
	return w, err
}

// Sayings returns what was said about a domain's sources: the latest word of
// each key first, the newest before the others, and then what was said before,
// also the newest first.
func (s *Store) Sayings(ctx context.Context, domain string) ([]Saying, error) {
	return rowsOf(ctx, s, `SELECT id, domain, key, source, class, name, note, who, at, networks, identities,
			row_number() OVER (PARTITION BY key ORDER BY id DESC) > 1 AS old
		FROM saying WHERE domain = ? ORDER BY old, id DESC`, []any{fold(domain)}, func(r *sql.Rows) (Saying, error) {
		var w Saying
		var at int64
		var networks, identities string
		var old bool
		err := r.Scan(&w.ID, &w.Domain, &w.Key, &w.Source, &w.Class, &w.Name, &w.Note, &w.By, &at, &networks, &identities, &old)
		if err == nil {
			err = textList(networks, &w.Networks)
		}
		if err == nil {
			err = textList(identities, &w.Identities)
		}
		w.At = microTime(at)
		return w, err
	})
}

// rowsOf runs a statement on the state file and returns what scan makes of its rows.
func rowsOf[T any](ctx context.Context, s *Store, q string, args []any, scan func(*sql.Rows) (T, error)) ([]T, error) {
	var out []T
	err := s.each(ctx, q, args, func(r *sql.Rows) error {
		v, err := scan(r)
		out = append(out, v)
		return err
	})
	return out, err
}

// each runs a statement on the state file and calls f for each row.
func (s *Store) each(ctx context.Context, q string, args []any, f func(*sql.Rows) error) error {
	done, err := s.reading()
	if err != nil {
		return err
	}
	defer done()
	rows, err := s.state.QueryContext(ctx, q, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
