package verdict

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// settle notes the outcome of an entry that is in the file.
func (b *batch) settle(ctx context.Context, s settled) error {
	if err := b.flush(ctx); err != nil {
		return err
	}
	var row, state int64
	ok, err := b.d.one(ctx, "SELECT row, state FROM entry WHERE id = ?", []any{int64(s.number)}, &row, &state)
	if err != nil || !ok || state&stateMask != stateOpen {
		return err
	}
	flags := state &^ stateMask
	switch s.outcome {
	case confirmed:
		_, err = b.d.exec(ctx, "UPDATE entry SET state = ?2, print = NULL WHERE id = ?1", int64(s.number), stateConfirmed|flags)
		return err
	case cancelled:
		// One that counts and cannot be taken back, or that stands for an earlier
		// copy, is as good as unknown: when the message comes again, that copy
		// takes its place, so that one of them all counts.
		if !b.closed && flags&(heir|shadow) == 0 {
			if flags&counted != 0 {
				b.tally[row]--
				b.counted--
			}
			_, err = b.d.exec(ctx, "UPDATE entry SET state = ?2, print = NULL WHERE id = ?1", int64(s.number), stateCancelled)
			return err
		}
	}
	_, err = b.d.exec(ctx, "UPDATE entry SET state = ?2 WHERE id = ?1", int64(s.number), stateLeft|flags)
	return err
}

// earlier is an entry whose outcome is not known, and that has the print of a
// new one.
type earlier struct {
	number, row, state, heir int64
}

// replace looks for an entry with an unknown outcome in whose place the new one
// comes: the same message, at most five days apart. It returns counted where
// the new one now counts instead, shadow where the earlier one goes on
// counting as its day is closed, 0 where there is none.
func (m *mover) replace(ctx context.Context, b *batch, it *item) (int64, error) {
	days, err := listDays(m.l.dir)
	if err != nil {
		return 0, err
	}
	oldest := dayOf(time.UnixMicro(it.at).Add(-again))
	for _, day := range slices.Backward(days) {
		if day < oldest {
			break
		}
		if day == b.day {
			o, ok, err := m.earlierIn(ctx, b.d, it)
			if err != nil {
				return 0, err
			}
			if !ok {
				continue
			}
			if o.heir == int64(it.number) {
				return o.replaced(), nil
			}
			if o.state&counted != 0 {
				b.tally[o.row]--
				b.counted--
			}
			_, err = b.d.exec(ctx, replaceEntry, o.number, stateReplaced|o.state&shadow, int64(it.number))
			if o.state&shadow != 0 {
				return shadow, err
			}
			return counted, err
		}
		took, err := m.replaceIn(ctx, day, it)
		if took != 0 || err != nil {
			return took, err
		}
	}
	return 0, nil
}

const replaceEntry = "UPDATE entry SET state = ?2, heir = ?3 WHERE id = ?1"

// replaced is what became of the heir of an entry.
func (o *earlier) replaced() int64 {
	if o.state&(counted|shadow) != 0 {
		return shadow
	}
	return counted
}

// earlierIn looks into one day.
func (m *mover) earlierIn(ctx context.Context, d *dayFile, it *item) (earlier, bool, error) {
	s, err := d.stmt(ctx, "SELECT id, row, state, data, coalesce(heir, 0) FROM entry WHERE print = ? ORDER BY id DESC LIMIT 1000")
	if err != nil {
		return earlier{}, false, err
	}
	rows, err := s.QueryContext(ctx, it.print[:])
	if err != nil {
		return earlier{}, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var o earlier
		var data []byte
		if err := rows.Scan(&o.number, &o.row, &o.state, &data, &o.heir); err != nil {
			return earlier{}, false, err
		}
		if o.heir == int64(it.number) {
			return o, true, rows.Close()
		}
		if o.number >= int64(it.number) {
			continue
		}
		switch o.state & stateMask {
		case stateLeft:
		case stateOpen:
			if uint64(o.number) >= m.l.first {
				continue // its outcome will be known yet
			}
		default:
			continue
		}
		dec := decoder{b: data}
		dec.take(2)
		if apart := it.at - dec.int(); dec.bad || apart > again.Microseconds() || apart < -again.Microseconds() {
			continue
		}
		return o, true, rows.Close()
	}
	return earlier{}, false, rows.Err()
}

// replaceIn replaces an entry of another day than the one being written to. It
// is durable when replaceIn returns, before the new entry is.
func (m *mover) replaceIn(ctx context.Context, day string, it *item) (took int64, err error) {
	f, err := openForReading(ctx, m.l.dir, day)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || isDamaged(err) {
			return 0, nil
		}
		return 0, err
	}
	has, err := f.hasPrint(ctx, it.print)
	f.close()
	if err != nil || !has {
		if isDamaged(err) {
			err = nil
		}
		return 0, err
	}
	d, err := m.open(ctx, day)
	if err != nil {
		return 0, err
	}
	if _, err := d.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return 0, fmt.Errorf("verdicts of %s: %w", day, err)
	}
	o, ok, err := m.earlierIn(ctx, d, it)
	if err != nil || !ok || o.heir == int64(it.number) {
		_, _ = d.exec(context.WithoutCancel(ctx), "ROLLBACK")
		if err != nil || !ok {
			return 0, err
		}
		return o.replaced(), nil
	}
	var closed bool
	_, err = d.one(ctx, "SELECT closed FROM day", nil, &closed)
	state := stateReplaced | o.state&shadow
	took = counted
	switch {
	case err != nil:
	case o.state&shadow != 0:
		took = shadow
	case closed:
		state |= counted
		took = shadow
	default:
		if _, err = d.exec(ctx, "UPDATE tally SET n = n - 1 WHERE row = ?", o.row); err == nil {
			_, err = d.exec(ctx, "UPDATE day SET counted = counted - 1")
		}
	}
	if err == nil {
		_, err = d.exec(ctx, replaceEntry, o.number, state, int64(it.number))
	}
	if err == nil {
		d.dirty = true
		_, err = d.exec(ctx, "COMMIT")
	}
	if err != nil {
		_, _ = d.exec(context.WithoutCancel(ctx), "ROLLBACK")
		return 0, fmt.Errorf("verdicts of %s: %w", day, err)
	}
	return took, d.sync()
}
