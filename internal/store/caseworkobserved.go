package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	valueMost      = 64 << 10 // octets of what a name publishes
	spansMost      = 1000     // spans of one name and kind
	happeningsMost = 10_000   // of one domain
	stepMost       = 16 << 10 // octets of a happening's step
)

// Observe notes what names publish and returns what changed, in the order
// given: first sights too, with a zero Before. What is as before only moves the
// span's To. A value has at most 65,536 octets; of each name and kind the 1,000
// newest spans are kept. All of it is one durable transaction.
//
// An observation that is older than the last one of its name and kind changes
// nothing.
func (s *Store) Observe(ctx context.Context, seen []Observation) ([]ObservedChange, error) {
	if len(seen) == 0 {
		return nil, nil
	}
	seen = slices.Clone(seen)
	for i := range seen {
		o := &seen[i]
		if err := errors.Join(domainName("domain", &o.Domain), domainName("name", &o.Name), trim(written{"kind", &o.Kind, NameMost})); err != nil {
			return nil, err
		}
		if len(o.Value) > valueMost {
			return nil, fmt.Errorf("%s of %s: %d octets: at most %d are kept", o.Kind, o.Name, len(o.Value), valueMost)
		}
		if o.To = moment(o.To); o.From.IsZero() {
			o.From = o.To
		}
		if o.From = moment(o.From); o.To.Before(o.From) {
			return nil, fmt.Errorf("%s of %s: the span ends before it begins", o.Kind, o.Name)
		}
	}
	var changed []ObservedChange
	err := s.change(ctx, "note what a zone publishes", func(tx *sql.Tx) error {
		changed = nil
		for _, o := range seen {
			var id, since, until int64
			var value string
			err := tx.QueryRowContext(ctx, "SELECT id, value, since, until FROM observation WHERE domain = ? AND kind = ? AND name = ? ORDER BY id DESC LIMIT 1",
				o.Domain, o.Kind, o.Name).Scan(&id, &value, &since, &until)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if err == nil {
				before := Observation{o.Domain, o.Name, o.Kind, value, microTime(since), microTime(until)}
				if o.To.Before(before.To) {
					continue
				}
				if value == o.Value {
					if _, err := tx.ExecContext(ctx, "UPDATE observation SET until = ? WHERE id = ?", micros(o.To), id); err != nil {
						return err
					}
					continue
				}
				if o.From.Before(before.To) {
					o.From = before.To
				}
				changed = append(changed, ObservedChange{before, o})
			} else {
				changed = append(changed, ObservedChange{After: o})
			}
			_, err = tx.ExecContext(ctx, "INSERT INTO observation (domain, name, kind, value, since, until) VALUES (?, ?, ?, ?, ?, ?)",
				o.Domain, o.Name, o.Kind, o.Value, micros(o.From), micros(o.To))
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `DELETE FROM observation WHERE domain = ?1 AND kind = ?2 AND name = ?3 AND id <=
				(SELECT id FROM observation WHERE domain = ?1 AND kind = ?2 AND name = ?3 ORDER BY id DESC LIMIT 1 OFFSET ?4)`, o.Domain, o.Kind, o.Name, spansMost)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return changed, err
}

// Observations returns what a domain's names of a kind ("" for all) published,
// the newest spans first, at most limit of them (0: 1,000; the most is 10,000).
func (s *Store) Observations(ctx context.Context, domain, kind string, limit int) ([]Observation, error) {
	if limit <= 0 {
		limit = 1000
	}
	return rowsOf(ctx, s, `SELECT domain, name, kind, value, since, until FROM observation
		WHERE domain = ?1 AND (?2 = '' OR kind = ?2) ORDER BY since DESC, id DESC LIMIT ?3`,
		[]any{fold(domain), kind, min(limit, 10_000)}, func(r *sql.Rows) (Observation, error) {
			var o Observation
			var since, until int64
			err := r.Scan(&o.Domain, &o.Name, &o.Kind, &o.Value, &since, &until)
			o.From, o.To = microTime(since), microTime(until)
			return o, err
		})
}

// Happen adds to timelines and returns how many entries were new: one that has
// the domain, kind and key of another changes nothing. Of each domain the
// 10,000 latest are kept. All of it is one durable transaction.
func (s *Store) Happen(ctx context.Context, h []Happening) (int, error) {
	if len(h) == 0 {
		return 0, nil
	}
	h = slices.Clone(h)
	for i := range h {
		e := &h[i]
		if err := errors.Join(domainName("domain", &e.Domain), trim(written{"kind", &e.Kind, NameMost}, written{"key", &e.Key, pathMost})); err != nil {
			return 0, err
		}
		if len(e.Step) > stepMost {
			return 0, fmt.Errorf("%s of %s: %d octets: at most %d are kept", e.Kind, e.Domain, len(e.Step), stepMost)
		}
	}
	added := 0
	err := s.change(ctx, "add to a timeline", func(tx *sql.Tx) error {
		added = 0
		domains := map[string]bool{}
		for _, e := range h {
			r, err := tx.ExecContext(ctx, "INSERT INTO happening (domain, at, kind, key, step) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
				e.Domain, micros(moment(e.At)), e.Kind, e.Key, nonNil(e.Step))
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			if n > 0 {
				added++
				domains[e.Domain] = true
			}
		}
		for d := range domains {
			_, err := tx.ExecContext(ctx, `DELETE FROM happening WHERE id IN
				(SELECT id FROM happening WHERE domain = ? ORDER BY at DESC, id DESC LIMIT -1 OFFSET ?)`, d, happeningsMost)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return added, err
}

// Happenings returns a domain's timeline from a moment on, the latest first, at
// most limit entries (0: 1,000; the most is 10,000). The domain "" is all.
func (s *Store) Happenings(ctx context.Context, domain string, since time.Time, limit int) ([]Happening, error) {
	if limit <= 0 {
		limit = 1000
	}
	q := "SELECT id, domain, at, kind, key, step FROM happening WHERE at >= ? AND domain = ? ORDER BY at DESC, id DESC LIMIT ?"
	args := []any{micros(since), fold(domain), min(limit, happeningsMost)}
	if domain == "" {
		q = "SELECT id, domain, at, kind, key, step FROM happening WHERE at >= ? ORDER BY at DESC, id DESC LIMIT ?"
		args = []any{micros(since), min(limit, happeningsMost)}
	}
	return rowsOf(ctx, s, q, args, func(r *sql.Rows) (Happening, error) {
		var e Happening
		var at int64
		err := r.Scan(&e.ID, &e.Domain, &at, &e.Kind, &e.Key, &e.Step)
		e.At = microTime(at)
		return e, err
	})
}

// namesMost is how many names are known below one domain.
const namesMost = 1_000_000

// PutNames notes names that somebody told of and returns how many a domain
// did not have from that origin yet; for the others only Last, and From, move
// on. A domain has at most 1,000,000. All of it is one durable transaction: of
// a long list give some ten thousands at a time, which takes a second.
func (s *Store) PutNames(ctx context.Context, names []KnownName) (int64, error) {
	if len(names) == 0 {
		return 0, nil
	}
	var added int64
	at := now()
	err := s.change(ctx, "note names", func(tx *sql.Tx) error {
		added = 0
		put, err := tx.PrepareContext(ctx, `INSERT INTO known_name VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
			source = iif(excluded.last >= last, excluded.source, source), first = min(first, excluded.first), last = max(last, excluded.last)`)
		if err != nil {
			return err
		}
		defer put.Close()
		before := map[string]int64{}
		count := func(domain string) (n int64, err error) {
			err = tx.QueryRowContext(ctx, "SELECT count(*) FROM known_name WHERE domain = ?", domain).Scan(&n)
			return n, err
		}
		for _, n := range names {
			if err := errors.Join(domainName("domain", &n.Domain), domainName("name", &n.Name),
				trim(written{"origin", &n.Origin, NameMost}, written{"file", &n.From, pathMost})); err != nil {
				return err
			}
			if n.Last.IsZero() {
				n.Last = at
			}
			if n.First.IsZero() {
				n.First = n.Last
			}
			if _, ok := before[n.Domain]; !ok {
				if before[n.Domain], err = count(n.Domain); err != nil {
					return err
				}
			}
			if _, err := put.ExecContext(ctx, n.Domain, n.Name, n.Origin, n.From, micros(n.First), micros(n.Last)); err != nil {
				return err
			}
		}
		for domain, was := range before {
			is, err := count(domain)
			if err != nil {
				return err
			}
			if is > namesMost {
				return fmt.Errorf("%s would have %d names: at most %d are kept; give a shorter list", domain, is, namesMost)
			}
			added += is - was
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return added, nil
}

// Names calls f with the names known below a domain, in alphabetical order;
// one that several origins tell of comes once for each. An error of f ends the
// walk and is returned. f may call methods that read.
func (s *Store) Names(ctx context.Context, domain string, f func(KnownName) error) error {
	return s.each(ctx, "SELECT domain, name, origin, source, first, last FROM known_name WHERE domain = ? ORDER BY name, origin", []any{fold(domain)}, func(r *sql.Rows) error {
		var n KnownName
		var first, last int64
		if err := r.Scan(&n.Domain, &n.Name, &n.Origin, &n.From, &first, &last); err != nil {
			return err
		}
		n.First, n.Last = microTime(first), microTime(last)
		return f(n)
	})
}

// RemoveNames forgets the names of one origin below a domain, or of all for
// "", and returns how many they were.
func (s *Store) RemoveNames(ctx context.Context, domain, origin string) (int64, error) {
	var n int64
	err := s.change(ctx, "forget names", func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM known_name WHERE domain = ?1 AND (?2 = '' OR origin = ?2)", fold(domain), origin)
		if err != nil {
			return err
		}
		n, err = r.RowsAffected()
		return err
	})
	return n, err
}
