package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"sekimori/report/aggregate"
)

// newest is what the store keeps in memory about a domain.
type newest struct {
	seq     int64 // of its newest report
	longest int   // the most days that one of its reports covers
	rows    int64 // of all its reports, or more
}

// load reads what the store keeps in memory: the dictionaries and each
// domain's newest report.
func (s *Store) load(ctx context.Context) error {
	if err := s.domains.load(ctx, s.duck, "policy_domain"); err != nil {
		return engineError(err)
	}
	if err := s.reporters.load(ctx, s.duck, "reporter"); err != nil {
		return engineError(err)
	}
	if err := s.surveys.codes.load(ctx, s.duck, "survey_code"); err != nil {
		return engineError(err)
	}
	rows, err := s.duck.QueryContext(ctx, "SELECT dom, max(seq), max(days), sum(rows)::BIGINT FROM report GROUP BY dom")
	if err != nil {
		return engineError(err)
	}
	defer rows.Close()
	var last int64
	for rows.Next() {
		var dom uint32
		var n newest
		if err := rows.Scan(&dom, &n.seq, &n.longest, &n.rows); err != nil {
			return err
		}
		s.newest[dom] = n
		last = max(last, n.seq)
	}
	s.version.Store(last)
	s.next = last + 1
	return rows.Err()
}

// repair makes SQLite agree with DuckDB, whose commit is what counts: keys of
// reports that are not there go, keys of reports that are there come. The
// first happens where the DuckDB file was replaced by an older copy, the second
// after a crash between the two commits.
func (s *Store) repair(ctx context.Context) error {
	var newest int64
	if err := s.conn.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM report").Scan(&newest); err != nil {
		return fmt.Errorf("repair: %w", engineError(err))
	}
	var known int64
	if err := s.state.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM accepted").Scan(&known); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	switch {
	case known > newest:
		if _, err := s.state.ExecContext(ctx, "DELETE FROM accepted WHERE seq > ?", newest); err != nil {
			return fmt.Errorf("repair: %w", err)
		}
	case known < newest:
		if err := s.acceptFrom(ctx, known); err != nil {
			return fmt.Errorf("repair: %w", engineError(err))
		}
	}
	s.torn = false
	s.next = newest + 1
	s.version.Store(newest)
	return nil
}

// acceptFrom inserts the keys of reports beyond known.
func (s *Store) acceptFrom(ctx context.Context, known int64) error {
	rows, err := s.conn.QueryContext(ctx, `SELECT seq, org_name, email, domain, report_id, begun, ended, rows, messages, import, path, member
		FROM report WHERE seq > ? ORDER BY seq`, known)
	if err != nil {
		return err
	}
	defer rows.Close()
	return transaction(ctx, s.state, func(tx *sql.Tx) error {
		for rows.Next() {
			h := head{in: &Incoming{}}
			var m aggregate.Metadata
			var p aggregate.PolicyPublished
			o := &h.in.Origin
			if err := rows.Scan(&h.file.seq, &m.OrgName, &m.Email, &p.Domain, &m.ReportID, &m.Begin, &m.End, &h.n, &h.totals.Messages, &o.Import, &o.Path, &o.Member); err != nil {
				return err
			}
			h.key = KeyOf(aggregate.Report{Metadata: m, PolicyPublished: p}).sum()
			if err := accept(tx, []head{h}); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// seconds is a time in seconds since 1970, kept within what DuckDB and RFC 3339
// can say: 1970 to the end of 9999.
func seconds(t time.Time) int64 { return min(max(t.Unix(), 0), 253402300799) }

// timestamp is a time as DuckDB's TIMESTAMP, in microseconds since 1970.
func timestamp(t time.Time) int64 { return seconds(t)*1e6 + int64(t.Nanosecond()/1000) }
