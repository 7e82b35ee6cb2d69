package verdict

import (
	"bytes"
	"context"

	"sekimori/report/aggregate"
)

// PolicyTotals is what came under one policy on one day.
type PolicyTotals struct {
	Policy   Policy
	ID       int64 // in this day
	Messages int64 // counted
	Rows     int64 // of a report
}

// Policies returns a day's policies in a fixed order, by domain, then text,
// those only that a message counts for. Messages without a policy are in the
// one whose Domain is empty. ErrUnknown says that nothing is kept of the day.
func (r *Reader) Policies(ctx context.Context, day string) ([]PolicyTotals, error) {
	var out []PolicyTotals
	err := r.with(ctx, day, func(f *dayReader) error {
		rows, err := f.db.QueryContext(ctx, `SELECT p.id, p.domain, p.text, p.method, sum(t.n) AS messages, count(DISTINCT substr(r.key, 1, 12))
			FROM policy p JOIN row r ON r.policy = p.id JOIN tally t ON t.row = r.id WHERE t.n > 0
			GROUP BY p.id HAVING messages > 0 ORDER BY p.domain, p.text, p.method`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p PolicyTotals
			if err := rows.Scan(&p.ID, &p.Policy.Domain, &p.Policy.Text, &p.Policy.Method, &p.Messages, &p.Rows); err != nil {
				return err
			}
			out = append(out, p)
		}
		return rows.Err()
	})
	return out, err
}

// Rows calls f for each row of the report on a policy, merged and counted,
// ordered by address and then in a fixed order of no meaning: the same rows
// come in the same order each time. All are of one moment. The record is valid
// until f returns; an error of f ends Rows. The rows are streamed: memory does
// not grow with them.
func (r *Reader) Rows(ctx context.Context, day string, policyID int64, f func(*aggregate.Record) error) error {
	return r.with(ctx, day, func(d *dayReader) error {
		rows, err := d.db.QueryContext(ctx, `SELECT r.key, t.n, r.data FROM row r JOIN tally t ON t.row = r.id
			WHERE r.policy = ? AND t.n > 0 ORDER BY r.policy, r.ip, r.key`, policyID)
		if err != nil {
			return err
		}
		defer rows.Close()
		var rec aggregate.Record
		var last, key, kind []byte
		give := func() error {
			if last == nil {
				return nil
			}
			return f(&rec)
		}
		for rows.Next() {
			var n int64
			if err := rows.Scan(&key, &n, &kind); err != nil {
				return err
			}
			if len(key) < 12 {
				return errEncoding
			}
			// Kinds that differ in what no report shows follow one another.
			if last != nil && bytes.Equal(key[:12], last) {
				rec.Count += uint64(n)
				continue
			}
			if err := give(); err != nil {
				return err
			}
			merge, err := mergePart(kind)
			if err != nil {
				return err
			}
			dec := decoder{b: merge}
			var p Policy
			dec.merge(&p, &rec)
			if err := dec.done(); err != nil {
				return err
			}
			rec.Count = uint64(n)
			last = append(last[:0], key[:12]...)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		return give()
	})
}
