package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"sekimori/report/aggregate"
)

// Put stores small reports in one group commit: when it returns nil, all of
// them are durable; when it returns an error, none is stored. A report that is
// already there (KeyOf) gives an Outcome with Duplicate. Batches of some
// hundred reports are best: each costs three fsyncs.
func (s *Store) Put(ctx context.Context, in []*Incoming) ([]Outcome, error) {
	if len(in) == 0 {
		return nil, nil
	}
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	defer func() { <-s.writer }()
	s.yield(ctx)

	b := s.newBatch()
	out := make([]Outcome, len(in))
	fresh := map[keySum]int{}
	for i, n := range in {
		if n.Rows == nil {
			return nil, fmt.Errorf("report %d of the batch has no rows", i)
		}
		k := KeyOf(n.Report).sum()
		if first, ok := fresh[k]; ok {
			out[i] = out[first]
			out[i].Duplicate = true
			b.again[k]++
			continue
		}
		o, found, err := s.lookup(ctx, k, n.Origin)
		if err != nil {
			return nil, err
		}
		if found {
			out[i] = o
			if !o.Resumed {
				b.again[k]++
			}
			continue
		}
		fresh[k] = i
		out[i] = b.plan(n, k)
	}
	if len(b.heads) > 0 {
		if err := b.keepRaw(); err != nil {
			return nil, err
		}
		if err := s.begin(ctx); err != nil {
			b.forget()
			return nil, err
		}
		err := b.write(ctx)
		if err == nil {
			err = s.commit()
		}
		if err != nil {
			s.rollback()
			b.forget()
			return nil, err
		}
	}
	return out, b.acknowledge()
}

// keySum is a key's SHA-256.
type keySum [32]byte

func (k Key) sum() keySum {
	h := sha256.New()
	var n [8]byte
	for _, f := range []string{k.Reporter, k.Domain, k.ReportID} {
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		h.Write(n[:])
		h.Write([]byte(f))
	}
	for _, t := range []int64{k.Begin, k.End} {
		binary.BigEndian.PutUint64(n[:], uint64(t))
		h.Write(n[:])
	}
	return keySum(h.Sum(nil))
}

// sum is a hash of an origin: equal origins tell a resumed import.
func (o Origin) sum() int64 {
	k := Key{Reporter: o.Path, Domain: o.Member, Begin: o.Import}.sum()
	return int64(binary.BigEndian.Uint64(k[:]))
}

// Seen tells whether a report with this key is stored. Resumed is never set.
func (s *Store) Seen(ctx context.Context, k Key) (Outcome, bool, error) {
	done, err := s.reading()
	if err != nil {
		return Outcome{}, false, err
	}
	defer done()
	o, ok, err := s.lookup(ctx, k.sum(), Origin{Import: -1})
	return o, ok, err
}

func (s *Store) lookup(ctx context.Context, k keySum, from Origin) (Outcome, bool, error) {
	var seq, origin, rows, messages int64
	err := s.state.QueryRowContext(ctx, "SELECT seq, origin, rows, messages FROM accepted WHERE key = ?", k[:]).
		Scan(&seq, &origin, &rows, &messages)
	if errors.Is(err, sql.ErrNoRows) {
		return Outcome{}, false, nil
	}
	if err != nil {
		return Outcome{}, false, fmt.Errorf("look up a report: %w", err)
	}
	return Outcome{Seq: seq, Duplicate: true, Resumed: origin == from.sum(), Rows: rows, Messages: uint64(messages)}, true, nil
}

// batch is one transaction's reports.
type batch struct {
	s         *Store
	heads     []head
	again     map[keySum]int64
	domains   additions
	reporters additions
	packN     uint32
	packSize  int64
}

// head is a report about to be written.
type head struct {
	in     *Incoming
	rows   *Rows // nil where they are written already
	n      int64
	key    keySum
	file   filing
	totals DayTotals
	days   []DayTotals
	raw    place
	stored time.Time
}

func (s *Store) newBatch() *batch {
	b := &batch{s: s, again: map[keySum]int64{}, domains: additions{to: &s.domains}, reporters: additions{to: &s.reporters}}
	b.packN, b.packSize = s.packs.mark()
	return b
}

// file says where a report's rows are to be filed.
func (b *batch) file(r aggregate.Report, seq int64) filing {
	first, n := Spread(time.Unix(seconds(r.Metadata.Begin), 0), time.Unix(seconds(r.Metadata.End), 0))
	f := filing{
		seq: seq, first: first, days: n,
		dom: b.domains.id(fold(r.PolicyPublished.Domain)),
		org: b.reporters.id(r.Metadata.Reporter()),
	}
	// Before the commit, so that no query sees days it does not expect.
	b.s.mu.Lock()
	if d := b.s.newest[f.dom]; d.longest < n {
		d.longest = n
		b.s.newest[f.dom] = d
	}
	b.s.mu.Unlock()
	return f
}

// plan adds a small report to the batch.
func (b *batch) plan(in *Incoming, k keySum) Outcome {
	f := b.file(in.Report, b.s.next+int64(len(b.heads)))
	days := make([]DayTotals, f.days)
	in.Rows.days(days)
	b.heads = append(b.heads, head{in: in, rows: in.Rows, n: int64(in.Rows.n), key: k, file: f, totals: in.Rows.day, days: days, stored: now()})
	return Outcome{Seq: f.seq, Rows: int64(in.Rows.n), Messages: in.Rows.messages}
}

// keepRaw makes the reports as received durable.
func (b *batch) keepRaw() error {
	var err error
	for i := range b.heads {
		h := &b.heads[i]
		if h.raw, err = b.s.packs.add(h.file.seq, h.in.Raw); err != nil {
			break
		}
	}
	if err == nil {
		err = b.s.packs.sync()
	}
	if err != nil {
		b.forget()
	}
	return err
}

// forget takes back the bytes of a batch that failed.
func (b *batch) forget() { b.s.packs.undo(b.packN, b.packSize) }

// write puts the batch into the open transaction.
func (b *batch) write(ctx context.Context) error {
	rec, err := newAppender(b.s.native, "record")
	if err != nil {
		return err
	}
	defer rec.close()
	since := 0 // rows since pages had a turn
	for i := range b.heads {
		if err := ctx.Err(); err != nil {
			return err
		}
		if h := &b.heads[i]; h.rows != nil {
			if since += h.rows.n; since >= 2*chunkRows {
				since = 0
				b.s.yield(ctx)
			}
			if err := appendRecords(rec, h.file, h.rows); err != nil {
				return err
			}
		}
	}
	if err := rec.finish(); err != nil {
		return err
	}
	return b.writeHeads()
}

// writeHeads puts everything but records into the open transaction.
func (b *batch) writeHeads() error {
	if err := b.domains.write(b.s, "policy_domain"); err != nil {
		return err
	}
	if err := b.reporters.write(b.s, "reporter"); err != nil {
		return err
	}
	rep, err := newAppender(b.s.native, "report")
	if err != nil {
		return err
	}
	defer rep.close()
	day, err := newAppender(b.s.native, "report_day")
	if err != nil {
		return err
	}
	defer day.close()
	for i := range b.heads {
		if err := appendHead(rep, &b.heads[i]); err != nil {
			return err
		}
		if err := appendDays(day, &b.heads[i]); err != nil {
			return err
		}
		// Before the commit, so that no query sees more rows than it expects.
		b.s.mu.Lock()
		d := b.s.newest[b.heads[i].file.dom]
		d.rows += b.heads[i].n
		b.s.newest[b.heads[i].file.dom] = d
		b.s.mu.Unlock()
	}
	if err := rep.finish(); err != nil {
		return err
	}
	return day.finish()
}

// begin starts a transaction of the writer's connection.
func (s *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := s.conn.ExecContext(context.Background(), "BEGIN")
	return engineError(err)
}

// commit is the moment from which reports are stored, whatever happens next.
func (s *Store) commit() error {
	_, err := s.conn.ExecContext(context.Background(), "COMMIT")
	return engineError(err)
}

func (s *Store) rollback() {
	// After a failed commit there is no transaction, which is just as well.
	_, _ = s.conn.ExecContext(context.Background(), "ROLLBACK")
}

// acknowledge follows a commit: the keys go into SQLite, and readers may see
// new numbers. A crash before it is mended by repair.
func (b *batch) acknowledge() error {
	s := b.s
	b.domains.commit()
	b.reporters.commit()
	s.next += int64(len(b.heads))
	s.mu.Lock()
	for i := range b.heads {
		f := &b.heads[i].file
		d := s.newest[f.dom]
		d.seq = f.seq
		s.newest[f.dom] = d
	}
	s.mu.Unlock()
	s.version.Store(s.next - 1)
	if len(b.heads) == 0 && len(b.again) == 0 {
		return nil
	}
	var err error
	if len(b.heads) > 0 {
		// DuckDB syncs its log, not the folder in which it made it anew.
		err = syncDir(s.dir)
	}
	if err == nil {
		err = b.note()
	}
	if err != nil {
		s.torn = len(b.heads) > 0
		return fmt.Errorf("note accepted reports: %w", engineError(err))
	}
	return nil
}

// note puts the batch's keys into SQLite.
func (b *batch) note() error {
	return transaction(context.Background(), b.s.state, func(tx *sql.Tx) error {
		if err := accept(tx, b.heads); err != nil {
			return err
		}
		for k, n := range b.again {
			if _, err := tx.Exec("UPDATE accepted SET again = again + ?, again_at = ? WHERE key = ?", n, time.Now().Unix(), k[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

func accept(tx *sql.Tx, heads []head) error {
	if len(heads) == 0 {
		return nil
	}
	st, err := tx.Prepare("INSERT INTO accepted (seq, key, origin, rows, messages) VALUES (?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	defer st.Close()
	for i := range heads {
		h := &heads[i]
		if _, err := st.Exec(h.file.seq, h.key[:], h.in.Origin.sum(), h.n, int64(h.totals.Messages)); err != nil {
			return err
		}
	}
	return nil
}
