package verdict

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"sekimori/explain"
)

// Find returns entries, the newest first (by ID), and whether there are more;
// the next page is Before the last one's ID. A key (message id, address,
// client, queue id) is looked up in every day that is kept, for about a
// millisecond a day of 1,000,000 messages; then the blocks of 64 entries that have it are
// read. A network of addresses costs more the more of them have sent.
func (r *Reader) Find(ctx context.Context, q Query) (found []Entry, more bool, err error) {
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	q.Limit = min(q.Limit, maxLimit)
	type part struct {
		day string
		max uint64
	}
	var parts []part
	err = r.days(ctx, func(f *dayReader) error {
		if !q.Since.IsZero() && f.day < dayOf(q.Since) {
			return errEnough
		}
		var top int64
		err := f.db.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM entry").Scan(&top)
		if err == nil && top > 0 {
			parts = append(parts, part{f.day, uint64(top)})
		}
		return err
	})
	if err != nil {
		return nil, false, err
	}
	slices.SortStableFunc(parts, func(a, b part) int {
		if a.max > b.max {
			return -1
		}
		if a.max < b.max {
			return 1
		}
		return 0
	})
	criteria := q.criteria()
	for _, p := range parts {
		// Days overlap in their numbers only where a clock jumped, or entries of a
		// closed day came late.
		if len(found) > q.Limit && found[q.Limit].ID > p.max {
			break
		}
		err := r.with(ctx, p.day, func(f *dayReader) error {
			s := search{r: r, f: f, q: &q, criteria: criteria, limit: q.Limit + 1}
			if err := s.run(ctx); err != nil {
				return err
			}
			found = append(found, s.found...)
			return nil
		})
		if err != nil && !isGone(err) {
			return nil, false, err
		}
		slices.SortFunc(found, func(a, b Entry) int {
			if a.ID > b.ID {
				return -1
			}
			return 1
		})
		found = found[:min(len(found), q.Limit+1)]
	}
	if more = len(found) > q.Limit; more {
		found = found[:q.Limit]
	}
	return found, more, nil
}

// search looks through one day.
type search struct {
	r        *Reader
	f        *dayReader
	q        *Query
	criteria []criterion
	limit    int

	base   int64
	lo, hi uint64
	kinds  map[int64]*kindOf
	found  []Entry
}

// kindOf is what a row holds of its entries.
type kindOf struct {
	Entry
	why []explain.Step
}

func (s *search) run(ctx context.Context) error {
	var top int64
	if err := s.f.db.QueryRowContext(ctx, "SELECT base, (SELECT coalesce(max(id), 0) FROM entry) FROM day").Scan(&s.base, &top); err != nil {
		return err
	}
	s.hi = uint64(top)
	if s.q.Before > 0 {
		s.hi = min(s.hi, s.q.Before-1)
	}
	if !s.q.Since.IsZero() || !s.q.Until.IsZero() {
		if err := s.narrow(ctx); err != nil {
			return err
		}
	}
	if s.base < 0 || s.hi == 0 || s.lo > s.hi {
		return nil
	}
	s.lo = max(s.lo, uint64(s.base)<<runBits)
	s.kinds = map[int64]*kindOf{}
	if len(s.criteria) > 0 {
		c := &s.criteria[0]
		hashes := c.hashes
		if c.prefix.IsValid() {
			var few bool
			var err error
			if hashes, few, err = s.clients(ctx, c.prefix); err != nil {
				return err
			}
			if !few {
				hashes = nil
			} else if len(hashes) == 0 {
				return nil
			}
		}
		if len(hashes) > 0 {
			return s.byKeys(ctx, hashes)
		}
	}
	for hi := s.hi; hi >= s.lo; {
		from := max(s.lo, hi-min(hi, 255))
		if err := s.scan(ctx, from, hi); err != nil || len(s.found) >= s.limit || from == 0 {
			return err
		}
		hi = from - 1
	}
	return nil
}

// narrow bounds the numbers by the query's time.
func (s *search) narrow(ctx context.Context) error {
	from, to := int64(0), int64(1)<<62
	if !s.q.Since.IsZero() {
		from = s.q.Since.Unix() / 60
	}
	if !s.q.Until.IsZero() {
		to = s.q.Until.Unix() / 60
	}
	var lo, hi sql.NullInt64
	if err := s.f.db.QueryRowContext(ctx, "SELECT min(lo), max(hi) FROM minute WHERE m BETWEEN ? AND ?", from, to).Scan(&lo, &hi); err != nil {
		return err
	}
	// Cancelled entries are in no minute; they have the numbers of their time.
	if !hi.Valid {
		s.lo, s.hi = 1, 0
		return nil
	}
	s.lo, s.hi = max(s.lo, uint64(lo.Int64)), min(s.hi, uint64(hi.Int64))
	return nil
}

// maxClients is how many addresses of a network are looked for one by one.
const maxClients = 500

// clients returns the keys of a network's addresses that may have sent one of
// the newest entries looked for: those of the latest ten minutes in which as
// many address-times were seen as entries are wanted. Where they are too many,
// few is false: then entries of the network are frequent, and a plain walk
// finds them soon.
func (s *search) clients(ctx context.Context, p netip.Prefix) (hashes []uint32, few bool, err error) {
	first, last := p.Addr(), lastAddr(p)
	var lo, hi sql.NullInt64
	if err := s.f.db.QueryRowContext(ctx, "SELECT min(slot), max(slot) FROM sender").Scan(&lo, &hi); err != nil || !hi.Valid {
		return nil, true, err
	}
	if s.q.Before > 0 {
		var m sql.NullInt64
		if err := s.f.db.QueryRowContext(ctx, "SELECT max(m) FROM minute WHERE lo < ?", int64(s.q.Before)).Scan(&m); err != nil || !m.Valid {
			return nil, true, err
		}
		hi.Int64 = min(hi.Int64, m.Int64/slotMinutes)
	}
	if !s.q.Until.IsZero() {
		hi.Int64 = min(hi.Int64, s.q.Until.Unix()/60/slotMinutes)
	}
	if !s.q.Since.IsZero() {
		lo.Int64 = max(lo.Int64, s.q.Since.Unix()/60/slotMinutes)
	}
	rows, err := s.f.db.QueryContext(ctx, `WITH RECURSIVE t(slot) AS (VALUES (?1) UNION ALL SELECT slot - 1 FROM t WHERE slot > ?2)
		SELECT s.slot, s.ip FROM t CROSS JOIN sender s WHERE s.slot = t.slot AND s.ip BETWEEN ?3 AND ?4 AND length(s.ip) = ?5`,
		hi.Int64, lo.Int64, first.AsSlice(), last.AsSlice(), first.BitLen()/8)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	seen := map[netip.Addr]bool{}
	for rows.Next() {
		var at int64
		var ip []byte
		if err := rows.Scan(&at, &ip); err != nil {
			return nil, false, err
		}
		a, ok := netip.AddrFromSlice(ip)
		if !ok || seen[a] {
			continue
		}
		if seen[a] = true; len(seen) > maxClients {
			return nil, false, nil
		}
		hashes = append(hashes, hashClient(a))
	}
	return hashes, true, rows.Err()
}

// lastAddr is a network's last address.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// byKeys walks the blocks that have one of the keys, the newest first. Runs are
// asked few at first, then more at once.
func (s *search) byKeys(ctx context.Context, hashes []uint32) error {
	values := strings.TrimSuffix(strings.Repeat("(?),", len(hashes)), ",")
	// See findKey: a run's keys are one range of numbers, a key's another in it.
	query := fmt.Sprintf(`WITH RECURSIVE r(n) AS (VALUES (?1) UNION ALL SELECT n - 1 FROM r WHERE n > ?2), h(v) AS (VALUES %[1]s)
		SELECT f.k FROM r CROSS JOIN h CROSS JOIN find f WHERE f.k BETWEEN (r.n << %[2]d) | (h.v << %[3]d) AND (r.n << %[2]d) | (h.v << %[3]d) | %[4]d`,
		values, hashBits+runBits-blockBits, runBits-blockBits, 1<<(runBits-blockBits)-1)
	args := make([]any, 2, 2+len(hashes))
	for _, h := range hashes {
		args = append(args, int64(h))
	}
	lowest := max(runOf(s.lo)-s.base, 0)
	runs := int64(2)
	for hi := runOf(s.hi) - s.base; hi >= lowest; {
		lo := max(lowest, hi-runs+1)
		args[0], args[1] = hi, lo
		blocks, err := s.blocks(ctx, query, args)
		if err != nil {
			return err
		}
		for _, b := range slices.Backward(blocks) {
			from, to := max(s.lo, b<<blockBits), min(s.hi, b<<blockBits|(1<<blockBits-1))
			if from > to {
				continue
			}
			if err := s.scan(ctx, from, to); err != nil || len(s.found) >= s.limit {
				return err
			}
		}
		hi = lo - 1
		runs = min(runs*4, 512)
	}
	return nil
}

// blocks returns the blocks of some runs, ascending.
func (s *search) blocks(ctx context.Context, query string, args []any) ([]uint64, error) {
	rows, err := s.f.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []uint64
	for rows.Next() {
		var k int64
		if err := rows.Scan(&k); err != nil {
			return nil, err
		}
		const in = runBits - blockBits
		out = append(out, uint64(k>>(hashBits+in)+s.base)<<in|uint64(k&(1<<in-1)))
	}
	slices.Sort(out)
	return slices.Compact(out), rows.Err()
}

// stored is an entry as its table has it.
type stored struct {
	id, row, state int64
	data           []byte
}

// scan adds the entries between two numbers that meet all criteria.
func (s *search) scan(ctx context.Context, from, to uint64) error {
	rows, err := s.f.db.QueryContext(ctx, "SELECT id, row, state, data FROM entry WHERE id BETWEEN ? AND ? ORDER BY id DESC", int64(from), int64(to))
	if err != nil {
		return err
	}
	defer rows.Close()
	var some []stored
	for rows.Next() {
		var x stored
		if err := rows.Scan(&x.id, &x.row, &x.state, &x.data); err != nil {
			return err
		}
		if len(x.data) < 2 {
			return errEncoding
		}
		if s.q.Action == "" || int(x.data[0]>>4) == actionNumber(s.q.Action) {
			some = append(some, x)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	// What is kept with the row is the same for many entries, and looked at
	// first where the search goes by it.
	byKind := len(s.criteria) > 0 && s.criteria[0].kind
	for _, x := range some {
		var k *kindOf
		if byKind && x.data[1]&sameClient != 0 {
			if k, err = s.kind(ctx, x.row); err != nil {
				return err
			}
			if !s.meets(&k.Entry, true) {
				continue
			}
		}
		var e Entry
		if err := parseMessage(x.data, &e); err != nil {
			return err
		}
		if !s.meets(&e, false) {
			continue
		}
		if k == nil {
			if k, err = s.kind(ctx, x.row); err != nil {
				return err
			}
		}
		e = k.Entry
		if err := parseMessage(x.data, &e); err != nil {
			return err
		}
		if !s.meets(&e, true) {
			continue
		}
		e.ID, e.Answer, e.Counted = uint64(x.id), answerOf(x.state), x.state&counted != 0
		e.Record.Count = 1
		e.Why = k.why
		if s.found = append(s.found, e); len(s.found) >= s.limit {
			return nil
		}
	}
	return nil
}

// meets reports whether an entry meets the criteria that look at its kind, or
// the others.
func (s *search) meets(e *Entry, kind bool) bool {
	for i := range s.criteria {
		if c := &s.criteria[i]; c.kind == kind && !c.test(e) {
			return false
		}
	}
	return true
}

// maxKinds is how many rows a search remembers.
const maxKinds = 1024

func (s *search) kind(ctx context.Context, row int64) (*kindOf, error) {
	if k := s.kinds[row]; k != nil {
		return k, nil
	}
	var kind, why []byte
	if err := s.f.db.QueryRowContext(ctx, "SELECT data, why FROM row WHERE id = ?", row).Scan(&kind, &why); err != nil {
		return nil, err
	}
	k := &kindOf{}
	if err := parseKind(kind, &k.Entry); err != nil {
		return nil, err
	}
	k.Client = k.Record.SourceIP
	steps, err := s.r.steps(why)
	if err != nil {
		return nil, err
	}
	k.why = steps
	if len(s.kinds) >= maxKinds {
		clear(s.kinds)
	}
	s.kinds[row] = k
	return k, nil
}

// steps decodes an explanation.
func (r *Reader) steps(packed []byte) ([]explain.Step, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	b, err := r.zip.DecodeAll(packed, nil)
	if err != nil {
		return nil, errEncoding
	}
	d := decoder{b: b}
	out := d.steps(0)
	return out, d.done()
}

func newUnpacker() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(4*maxWhy), zstd.WithDecoderLowmem(true))
}
