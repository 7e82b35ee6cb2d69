package verdict

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// batch is one transaction on one day's file.
type batch struct {
	d    *dayFile
	day  string
	base int64
	upto uint64

	entries []entryRow
	keys    []int64
	tally   map[int64]int64
	counted int64
	closed  bool
	minutes map[int64]*minute
	senders map[senderKey]int64
	spoofs  map[spoofKey]int64

	hashes []uint32
	moved  int64
}

type entryRow struct {
	number uint64
	row    int64
	state  int64
	data   []byte
	print  []byte
}

// apply carries the chunk. Items that were carried before an error are not
// carried again; moved counts the entries that are in.
func (m *mover) apply(ctx context.Context) (moved int64, err error) {
	var b *batch
	fail := func(err error) (int64, error) {
		if b != nil {
			_, _ = b.d.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			b.d.forget()
			err = m.judge(b.day, b.d, err)
		}
		if errors.Is(err, errAside) {
			return moved, m.afterAside(ctx)
		}
		return moved, err
	}
	commit := func(upto int) error {
		if b == nil {
			return nil
		}
		if err := b.commit(ctx); err != nil {
			return err
		}
		for i := range m.chunk[:upto] {
			m.chunk[i].rescued = false
		}
		m.applied = max(m.applied, b.upto)
		moved += b.moved
		b = nil
		return nil
	}
	for i := range m.chunk {
		it := &m.chunk[i]
		if it.number <= m.applied && !it.rescued {
			continue
		}
		if m.stopping() {
			return fail(ErrClosed) // the journal has it
		}
		if !it.entry {
			day, err := m.find(ctx, b, it.settled.number)
			if err != nil {
				return fail(err)
			}
			if day == "" {
				continue // its day is gone
			}
			if b == nil || b.day != day {
				if err := commit(i); err != nil {
					return fail(err)
				}
				if b, err = m.begin(ctx, day, true); err != nil {
					return fail(err)
				}
			}
			if err := b.settle(ctx, it.settled); err != nil {
				return fail(err)
			}
			delete(m.where, it.settled.number)
			b.upto = it.number
			continue
		}
		day := dayOf(time.UnixMicro(it.at))
		for b == nil || b.day != day || b.closed {
			// A day before the one at hand may be closed and lead here.
			if m.closed[day] {
				if day, err = nextDay(day); err != nil {
					return fail(err)
				}
				continue
			}
			if err := commit(i); err != nil {
				return fail(err)
			}
			if b, err = m.begin(ctx, day, false); err != nil {
				return fail(err)
			}
			if b == nil {
				m.closed[day] = true
			}
		}
		if err := m.add(ctx, b, it); err != nil {
			return fail(err)
		}
	}
	if err := commit(len(m.chunk)); err != nil {
		return fail(err)
	}
	return moved, nil
}

// afterAside goes on after a damaged file was set aside: the journal is read
// again from its start, as some of what the file had may be there still.
func (m *mover) afterAside(ctx context.Context) error {
	for i := range m.chunk {
		if m.chunk[i].entry && (m.chunk[i].number > m.applied || m.chunk[i].rescued) {
			m.l.unmoved.Add(-1) // counted again when it is read again
		}
	}
	m.again = m.seen
	m.chunk = m.chunk[:0]
	m.reader = nil
	m.applied, m.reached = 0, 0
	clear(m.closed)
	clear(m.where)
	days, err := listDays(m.l.dir)
	if err != nil {
		return err
	}
	m.unread = days
	for _, d := range m.days {
		if err := d.sync(); err != nil {
			return err
		}
	}
	return m.readApplied(ctx)
}

// begin begins a transaction on a day's file. It is nil for a closed day,
// unless closed days will do.
func (m *mover) begin(ctx context.Context, day string, anyway bool) (*batch, error) {
	d, err := m.open(ctx, day)
	if err != nil {
		return nil, err
	}
	b := &batch{
		d: d, day: day, tally: map[int64]int64{}, minutes: map[int64]*minute{},
		senders: map[senderKey]int64{}, spoofs: map[spoofKey]int64{},
	}
	if _, err := d.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return nil, m.judge(day, d, fmt.Errorf("verdicts of %s: %w", day, err))
	}
	var closed bool
	var applied int64
	_, err = d.one(ctx, "SELECT closed, applied, base FROM day", nil, &closed, &applied, &b.base)
	if err != nil || closed && !anyway {
		_, _ = d.exec(context.WithoutCancel(ctx), "ROLLBACK")
		if err != nil {
			err = m.judge(day, d, fmt.Errorf("verdicts of %s: %w", day, err))
		}
		return nil, err
	}
	m.closed[day] = closed
	b.closed = closed
	b.upto = uint64(applied)
	return b, nil
}

// add adds an entry to the batch.
func (m *mover) add(ctx context.Context, b *batch, it *item) error {
	var e Entry
	if parseKind(it.kind, &e) != nil || parseMessage(it.message, &e) != nil {
		// Its check was right and its content is not: nothing that another try
		// would change.
		m.l.lost.Add(1)
		b.moved++
		return nil
	}
	e.ID = it.number
	if b.base < 0 {
		b.base = runOf(it.number)
	}
	state := int64(stateOpen)
	switch it.outcome {
	case confirmed:
		state = stateConfirmed
	case cancelled:
		state = stateCancelled
	case left:
		state = stateLeft
	}
	known := it.print != [16]byte{}
	count := e.Action != TryAgain && state != stateCancelled
	if count {
		state |= counted
		if known && m.prints.has(it.print) {
			if err := b.flush(ctx); err != nil {
				return err
			}
			took, err := m.replace(ctx, b, it)
			if err != nil {
				return err
			}
			switch took {
			case counted:
				state |= heir
			case shadow:
				state = state&^counted | shadow
				count = false
			}
		}
	}
	row, err := b.d.row(ctx, &e, it)
	if err != nil {
		return err
	}
	r := entryRow{number: it.number, row: row, state: state, data: it.message}
	if s := state & stateMask; known && e.Action != TryAgain && (s == stateOpen || s == stateLeft) {
		r.print = it.print[:]
		m.prints.add(it.print)
		if s == stateOpen && it.number >= m.l.first && len(m.where) < maxWhere {
			m.where[it.number] = b.day
		}
	}
	b.entries = append(b.entries, r)
	b.hashes = entryKeys(b.hashes[:0], &e)
	for _, h := range b.hashes {
		b.keys = append(b.keys, findKey(b.base, it.number, h))
	}
	if count {
		b.tally[row]++
		b.counted++
	}
	if state&stateMask != stateCancelled {
		b.live(&e)
	}
	b.upto = max(b.upto, it.number)
	b.moved++
	return nil
}

// Statements of the mover that insert many rows: what stands before and after
// the values.
var (
	insertEntry = insert{"INSERT INTO entry (id, row, state, data, print) VALUES ", ""}
	insertKey   = insert{"INSERT OR IGNORE INTO find VALUES ", ""}
	addTally    = insert{"INSERT INTO tally VALUES ", " ON CONFLICT (row) DO UPDATE SET n = n + excluded.n"}
	addSender   = insert{"INSERT INTO sender VALUES ", " ON CONFLICT (slot, ip) DO UPDATE SET n = n + excluded.n"}
	addSpoof    = insert{"INSERT INTO spoof VALUES ", " ON CONFLICT (slot, author, ip) DO UPDATE SET n = n + excluded.n"}
)

type insert struct{ head, tail string }

// query is the INSERT of n rows.
func (s insert) query(columns, n int) string {
	one := "(" + strings.TrimSuffix(strings.Repeat("?,", columns), ",") + ")"
	return s.head + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + s.tail
}

// multis are the sizes of such statements, so that few are prepared.
var multis = [...]int{256, 32, 4, 1}

// many inserts count rows; args adds the arguments of one.
func (d *dayFile) many(ctx context.Context, into insert, columns, count int, args func([]any, int) []any) error {
	buf := make([]any, 0, multis[0]*columns)
	for i := 0; i < count; {
		n := 1
		for _, size := range multis {
			if count-i >= size {
				n = size
				break
			}
		}
		buf = buf[:0]
		for k := range n {
			buf = args(buf, i+k)
		}
		if _, err := d.exec(ctx, into.query(columns, n), buf...); err != nil {
			return err
		}
		i += n
	}
	return nil
}

// flush writes the entries and counts gathered so far.
func (b *batch) flush(ctx context.Context) error {
	err := b.d.many(ctx, insertEntry, 5, len(b.entries), func(a []any, i int) []any {
		r := &b.entries[i]
		var print any
		if r.print != nil {
			print = r.print
		}
		return append(a, int64(r.number), r.row, r.state, r.data, print)
	})
	if err != nil {
		return err
	}
	b.entries = b.entries[:0]
	rows := slices.Sorted(maps.Keys(b.tally))
	err = b.d.many(ctx, addTally, 2, len(rows), func(a []any, i int) []any { return append(a, rows[i], b.tally[rows[i]]) })
	clear(b.tally)
	return err
}

// commit ends the transaction.
func (b *batch) commit(ctx context.Context) error {
	if err := b.flush(ctx); err != nil {
		return err
	}
	slices.Sort(b.keys)
	b.keys = slices.Compact(b.keys)
	if err := b.d.many(ctx, insertKey, 1, len(b.keys), func(a []any, i int) []any { return append(a, b.keys[i]) }); err != nil {
		return err
	}
	if err := b.putLive(ctx); err != nil {
		return err
	}
	if _, err := b.d.exec(ctx, "UPDATE day SET applied = ?1, base = ?2, counted = counted + ?3", int64(b.upto), b.base, b.counted); err != nil {
		return err
	}
	b.d.dirty = true
	_, err := b.d.exec(ctx, "COMMIT")
	return err
}

// rowIDs remembers rows of a day's file: between half of maxRowIDs and all.
type rowIDs struct{ now, old map[[16]byte]int64 }

const maxRowIDs = 32768

func (r *rowIDs) get(k [16]byte) (int64, bool) {
	if id, ok := r.now[k]; ok {
		return id, true
	}
	id, ok := r.old[k]
	return id, ok
}

func (r *rowIDs) put(k [16]byte, id int64) {
	if len(r.now) >= maxRowIDs/2 {
		r.old, r.now = r.now, nil
	}
	if r.now == nil {
		r.now = make(map[[16]byte]int64, 1024)
	}
	r.now[k] = id
}

// forget drops what is remembered of the file: a transaction was rolled back.
func (d *dayFile) forget() {
	d.rows = rowIDs{}
	clear(d.policies)
}

// row returns the number of the entry's row, which it adds where it is new.
func (d *dayFile) row(ctx context.Context, e *Entry, it *item) (int64, error) {
	sum := sha256.Sum256(it.kind)
	kind := [16]byte(sum[:16])
	id, ok := d.rows.get(kind)
	if ok && len(it.why) == 0 {
		return id, nil
	}
	if ok {
		why := d.pack(it.why)
		_, err := d.exec(ctx, "UPDATE row SET why = ?2 WHERE id = ?1 AND why IS NULL", id, why)
		return id, err
	}
	merge, err := mergePart(it.kind)
	if err != nil {
		return 0, err
	}
	policy, err := d.policy(ctx, e.Policy)
	if err != nil {
		return 0, err
	}
	merged := sha256.Sum256(merge)
	key := append(merged[:12:12], kind[:6]...)
	ip := e.Record.SourceIP.Unmap().AsSlice()
	if ip == nil {
		ip = []byte{}
	}
	var why any
	if len(it.why) > 0 {
		why = d.pack(it.why)
	}
	// A row that is not remembered is mostly new.
	res, err := d.exec(ctx, "INSERT INTO row (policy, ip, key, data, why) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", policy, ip, key, it.kind, why)
	if err != nil {
		return 0, err
	}
	added, err := res.RowsAffected()
	switch {
	case err != nil:
	case added > 0:
		id, err = res.LastInsertId()
	default:
		var hasWhy bool
		_, err = d.one(ctx, "SELECT id, why IS NOT NULL FROM row WHERE policy = ? AND ip = ? AND key = ?", []any{policy, ip, key}, &id, &hasWhy)
		if err == nil && !hasWhy && why != nil {
			_, err = d.exec(ctx, "UPDATE row SET why = ?2 WHERE id = ?1", id, why)
		}
	}
	if err != nil {
		return 0, err
	}
	d.rows.put(kind, id)
	return id, nil
}

// maxPolicies bounds what is remembered of policies.
const maxPolicies = 4096

func (d *dayFile) policy(ctx context.Context, p Policy) (int64, error) {
	if id, ok := d.policies[p]; ok {
		return id, nil
	}
	var id int64
	found, err := d.one(ctx, "SELECT id FROM policy WHERE domain = ? AND text = ? AND method = ?", []any{p.Domain, p.Text, p.Method}, &id)
	if err == nil && !found {
		var res sql.Result
		if res, err = d.exec(ctx, "INSERT INTO policy (domain, text, method) VALUES (?, ?, ?)", p.Domain, p.Text, p.Method); err == nil {
			id, err = res.LastInsertId()
		}
	}
	if err != nil {
		return 0, err
	}
	if len(d.policies) >= maxPolicies {
		clear(d.policies)
	}
	d.policies[p] = id
	return id, nil
}

// find returns the day whose file has an entry, "" where none has.
func (m *mover) find(ctx context.Context, b *batch, number uint64) (string, error) {
	if day, ok := m.where[number]; ok {
		return day, nil
	}
	if b != nil {
		if err := b.flush(ctx); err != nil {
			return "", err
		}
		var one int
		if ok, err := b.d.one(ctx, "SELECT 1 FROM entry WHERE id = ?", []any{int64(number)}, &one); ok || err != nil {
			return b.day, err
		}
	}
	days, err := listDays(m.l.dir)
	if err != nil {
		return "", err
	}
	for _, day := range slices.Backward(days) {
		f, err := openForReading(ctx, m.l.dir, day)
		if err != nil {
			continue // gone or damaged: then it is not there
		}
		has, err := f.has(ctx, number)
		f.close()
		if err != nil && !isDamaged(err) {
			return "", err
		}
		if has {
			return day, nil
		}
	}
	return "", nil
}
