package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// DataVersion changes with every committed report. It grows, also over restarts.
func (s *Store) DataVersion() int64 { return s.version.Load() }

// DomainVersion changes with every committed report of the domain, and grows;
// 0 for a domain without reports.
func (s *Store) DomainVersion(domain string) int64 {
	id, ok := s.domains.id(domain)
	if !ok {
		return 0
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.newest[id].seq
}

// change runs f in a durable transaction of the state file.
func (s *Store) change(ctx context.Context, doing string, f func(*sql.Tx) error) error {
	done, err := s.reading()
	if err != nil {
		return err
	}
	defer done()
	if err := transaction(ctx, s.state, f); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// Setting returns a setting's value.
func (s *Store) Setting(ctx context.Context, key string) (string, bool, error) {
	done, err := s.reading()
	if err != nil {
		return "", false, err
	}
	defer done()
	var v string
	err = s.state.QueryRowContext(ctx, "SELECT value FROM setting WHERE key = ?", key).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return v, err == nil, err
}

// SetSetting keeps a setting; it is durable when SetSetting returns.
func (s *Store) SetSetting(ctx context.Context, key, value string) error {
	return s.change(ctx, "keep setting "+key, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO setting VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)
		return err
	})
}

// maxPTR bounds the cache of reverse lookups; beyond it those go that expired
// first.
const maxPTR = 2_000_000

// PTRs returns the cached lookups of addrs, expired ones too.
func (s *Store) PTRs(ctx context.Context, addrs []netip.Addr) (map[netip.Addr]PTR, error) {
	done, err := s.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	out := make(map[netip.Addr]PTR, min(len(addrs), 1<<16))
	for len(addrs) > 0 {
		part := addrs[:min(len(addrs), 500)]
		addrs = addrs[len(part):]
		args := make([]any, len(part))
		for i, a := range part {
			args[i] = a.Unmap().AsSlice()
		}
		rows, err := s.state.QueryContext(ctx, "SELECT addr, names, status, looked, expires, confirmed, denied, checked FROM ptr WHERE addr IN (?"+strings.Repeat(", ?", len(part)-1)+")", args...)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var p PTR
			var addr []byte
			var names, confirmed, denied string
			var looked, expires, checked int64
			if err := rows.Scan(&addr, &names, &p.Status, &looked, &expires, &confirmed, &denied, &checked); err != nil {
				rows.Close()
				return nil, err
			}
			p.Addr, _ = netip.AddrFromSlice(addr)
			p.Looked, p.Expires = time.Unix(looked, 0).UTC(), time.Unix(expires, 0).UTC()
			p.Names, p.Confirmed = lines(names), lines(confirmed)
			for _, n := range lines(denied) {
				if absent, ok := strings.CutPrefix(n, absentMark); ok {
					p.Absent = append(p.Absent, absent)
				} else {
					p.Denied = append(p.Denied, n)
				}
			}
			if checked != 0 {
				p.CheckAgain = time.Unix(checked, 0).UTC()
			}
			out[p.Addr] = p
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// PutPTRs caches lookups, all of them in one transaction. A zone's identifier
// is dropped from addresses. Some 2,000,000 lookups are kept, at most 5 % more.
func (s *Store) PutPTRs(ctx context.Context, p []PTR) error {
	return s.change(ctx, "keep names of addresses", func(tx *sql.Tx) error {
		st, err := tx.PrepareContext(ctx, `INSERT INTO ptr (addr, names, status, looked, expires, confirmed, denied, checked) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (addr) DO UPDATE SET names = excluded.names, status = excluded.status, looked = excluded.looked, expires = excluded.expires,
			confirmed = excluded.confirmed, denied = excluded.denied, checked = excluded.checked`)
		if err != nil {
			return err
		}
		defer st.Close()
		for _, e := range p {
			if !e.Addr.IsValid() {
				continue
			}
			var denied strings.Builder
			for _, n := range e.Denied {
				denied.WriteString("\n" + n)
			}
			for _, n := range e.Absent {
				denied.WriteString("\n" + absentMark + n)
			}
			var checked int64
			if !e.CheckAgain.IsZero() {
				checked = e.CheckAgain.Unix()
			}
			if _, err := st.ExecContext(ctx, e.Addr.Unmap().AsSlice(), strings.Join(e.Names, "\n"), string(e.Status), e.Looked.Unix(), e.Expires.Unix(),
				strings.Join(e.Confirmed, "\n"), strings.TrimPrefix(denied.String(), "\n"), checked); err != nil {
				return err
			}
		}
		// Counting reads the whole table: once in a while will do.
		if n := s.ptrs.Add(int64(len(p))); n > int64(len(p)) && n < maxPTR/20 {
			return nil
		}
		s.ptrs.Store(1)
		var n int64
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM ptr").Scan(&n); err != nil || n <= maxPTR {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM ptr WHERE addr IN (SELECT addr FROM ptr ORDER BY expires LIMIT ?)", n-maxPTR+maxPTR/20)
		return err
	})
}

// absentMark stands before those names of ptr.denied that lead nowhere. No host
// name begins so.
const absentMark = "!"

// lines takes a list of names apart; none is nil.
func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// Advice returns the kept answer to a question about a domain.
func (s *Store) Advice(ctx context.Context, domain, question string) (CachedAdvice, bool, error) {
	done, err := s.reading()
	if err != nil {
		return CachedAdvice{}, false, err
	}
	defer done()
	a := CachedAdvice{Domain: fold(domain), Question: question}
	var computed int64
	err = s.state.QueryRowContext(ctx, "SELECT version, computed, summary, doc FROM advice WHERE domain = ? AND question = ?", a.Domain, question).
		Scan(&a.Version, &computed, &a.Summary, &a.Doc)
	if errors.Is(err, sql.ErrNoRows) {
		return CachedAdvice{}, false, nil
	}
	a.Computed = time.Unix(computed, 0).UTC()
	return a, err == nil, err
}

// PutAdvice keeps an answer in place of the one before. For each domain, the
// 16 answers last computed are kept.
func (s *Store) PutAdvice(ctx context.Context, a CachedAdvice) error {
	return s.change(ctx, "keep advice", func(tx *sql.Tx) error {
		d := fold(a.Domain)
		_, err := tx.ExecContext(ctx, `INSERT INTO advice VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (domain, question) DO UPDATE SET
			version = excluded.version, computed = excluded.computed, summary = excluded.summary, doc = excluded.doc`,
			d, a.Question, a.Version, a.Computed.Unix(), nonNil(a.Summary), nonNil(a.Doc))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM advice WHERE domain = ?1 AND question NOT IN
			(SELECT question FROM advice WHERE domain = ?1 ORDER BY computed DESC, question LIMIT 16)`, d)
		return err
	})
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// AdviceSummaries returns the kept answers of all domains to a question, in
// the order of their domains, without their documents.
func (s *Store) AdviceSummaries(ctx context.Context, question string) ([]CachedAdvice, error) {
	done, err := s.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	rows, err := s.state.QueryContext(ctx, "SELECT domain, version, computed, summary FROM advice WHERE question = ? ORDER BY domain", question)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []CachedAdvice
	for rows.Next() {
		a := CachedAdvice{Question: question}
		var computed int64
		if err := rows.Scan(&a.Domain, &a.Version, &computed, &a.Summary); err != nil {
			return nil, err
		}
		a.Computed = time.Unix(computed, 0).UTC()
		out = append(out, a)
	}
	return out, rows.Err()
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs and strings: cannot happen
	}
	return string(b)
}
