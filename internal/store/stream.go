package store

import (
	"context"
	"errors"

	"sekimori/report/aggregate"
)

// Stream is one large report on its way in: a transaction of its own, whose
// memory does not grow with the report. It is not for concurrent use.
type Stream struct {
	s      *Store
	ctx    context.Context
	b      *batch
	rec    *appender
	file   filing
	days   []DayTotals
	totals DayTotals
	n      int64
	err    error
	over   bool
}

var errStreamOver = errors.New("the stream was committed or aborted")

// Begin starts one large report. It holds the writer until Commit or Abort,
// so at most one stream is open and Put waits for it. Of head, the reporter,
// the policy domain and the period must already be known: rows are filed under
// them. A report whose head comes after its records has to be read twice.
func (s *Store) Begin(ctx context.Context, head aggregate.Report) (*Stream, error) {
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		<-s.writer
		return nil, err
	}
	t := &Stream{s: s, ctx: ctx, b: s.newBatch()}
	t.file = t.b.file(head, s.next)
	t.days = make([]DayTotals, t.file.days)
	if t.rec, t.err = newAppender(s.native, "record"); t.err != nil {
		err := t.err
		return nil, errors.Join(err, t.Abort())
	}
	return t, nil
}

// Append adds records; rows may be used again when it returns. After an error
// only Abort makes sense.
func (t *Stream) Append(rows *Rows) error {
	if t.over {
		return errStreamOver
	}
	if t.err != nil {
		return t.err
	}
	t.s.yield(t.ctx)
	t.n += int64(rows.n)
	t.totals.merge(rows.day)
	rows.days(t.days)
	// Rows that wait in the chunk point into rows.arena, so send them now.
	if t.err = appendRecords(t.rec, t.file, rows); t.err == nil {
		t.err = t.rec.send()
	}
	return t.err
}

// Commit makes the report durable; in.Rows is nil. A duplicate is rolled back.
// ErrHeadChanged says that in.Report files its rows elsewhere than the head
// given to Begin did; nothing was stored then, and the report should be read
// again with in.Report as its head. The stream is over in any case.
func (t *Stream) Commit(ctx context.Context, in Incoming) (Outcome, error) {
	if t.over {
		return Outcome{}, errStreamOver
	}
	if t.err != nil {
		err := t.err
		t.Abort()
		return Outcome{}, err
	}
	s, b := t.s, t.b
	if b.file(in.Report, t.file.seq) != t.file {
		t.Abort()
		return Outcome{}, ErrHeadChanged
	}
	k := KeyOf(in.Report).sum()
	o, found, err := s.lookup(ctx, k, in.Origin)
	if err != nil || found {
		t.end()
		defer func() { <-s.writer }()
		if err == nil && !o.Resumed {
			b = s.newBatch()
			b.again[k]++
			err = b.acknowledge()
		}
		return o, err
	}
	b.heads = []head{{in: &in, n: t.n, key: k, file: t.file, totals: t.totals, days: t.days, stored: now()}}
	if err = ctx.Err(); err == nil {
		err = b.keepRaw()
	}
	if err == nil {
		err = t.rec.finish()
	}
	if err == nil {
		err = b.writeHeads()
	}
	if err == nil {
		err = s.commit()
	}
	if err != nil {
		b.forget()
		t.Abort()
		return Outcome{}, err
	}
	t.over = true
	defer func() { <-s.writer }()
	return Outcome{Seq: t.file.seq, Rows: t.n, Messages: t.totals.Messages}, b.acknowledge()
}

// end rolls back, keeping the writer.
func (t *Stream) end() {
	t.over = true
	if t.rec != nil {
		t.rec.close()
	}
	t.s.rollback()
}

// Abort leaves nothing of the report. It does nothing after Commit or Abort.
func (t *Stream) Abort() error {
	if t.over {
		return nil
	}
	t.end()
	<-t.s.writer
	return nil
}
