package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
)

// maxEntry is the highest number of an entry.
const maxEntry = 1 << 28

// AddEntries adds rows of the list, in the order of their numbers; those up to
// the highest number stored are skipped, so that a list that was read in part
// is read again. When it returns nil, all are durable. Batches of some thousand
// entries are best.
func (s *Store) AddEntries(ctx context.Context, wave int64, e []Entry) error {
	if len(e) == 0 {
		return nil
	}
	w, err := s.survey(ctx, wave)
	if err != nil {
		return err
	}
	last := int64(0)
	for i := range e {
		if e[i].No <= last || e[i].No > maxEntry {
			return fmt.Errorf("add entries: number %d after %d: want rising numbers from 1 to %d", e[i].No, last, maxEntry)
		}
		if len(e[i].Attributes) != len(w.attributes) {
			return fmt.Errorf("add entries: entry %d has %d attributes, its wave %d", e[i].No, len(e[i].Attributes), len(w.attributes))
		}
		last = e[i].No
	}
	w.edit.Lock()
	defer w.edit.Unlock()
	highest := int64(0)
	err = s.writing(ctx, "add entries", func() error {
		if err := s.conn.QueryRowContext(ctx, "SELECT coalesce(max(no), 0) FROM survey_entry WHERE wave = ?", wave).Scan(&highest); err != nil {
			return err
		}
		for len(e) > 0 && e[0].No <= highest {
			e = e[1:]
		}
		if len(e) == 0 {
			return nil
		}
		if w.isSealed() {
			return fmt.Errorf("entry %d: the wave's list ends with entry %d", e[0].No, highest)
		}
		highest = last
		return s.appendEntries(wave, e)
	})
	if err == nil {
		w.mu.Lock()
		w.highest = max(w.highest, highest)
		w.changed()
		w.mu.Unlock()
	}
	return err
}

// appendEntries adds to table survey_entry in the open transaction.
func (s *Store) appendEntries(wave int64, e []Entry) error {
	a, err := newAppender(s.native, "survey_entry")
	if err != nil {
		return err
	}
	defer a.close()
	var arena []byte
	var texts [entLists - entTexts][]text
	var lists [entNumbers - entLists]list
	var numbers []float64
	var ends []uint32
	for len(e) > 0 {
		room, err := a.room()
		if err != nil {
			return err
		}
		n := min(room, len(e))
		arena = nil // what DuckDB has not taken over yet stays pinned
		for i := range texts {
			texts[i] = texts[i][:0]
		}
		for i := range lists {
			lists[i] = list{}
		}
		numbers, ends = numbers[:0], nil
		for k := range e[:n] {
			x := &e[k]
			for i, t := range [len(texts)]string{x.Domain, x.Name, x.Input, x.Problem, x.Detail} {
				texts[i] = append(texts[i], layText(t, &arena))
			}
			for i, l := range [len(lists)][]string{x.Aliases, x.Selectors, x.Attributes} {
				for _, t := range l {
					lists[i].fields[0] = append(lists[i].fields[0], layText(t, &arena))
				}
				lists[i].end = append(lists[i].end, uint32(len(lists[i].fields[0])))
			}
			for _, t := range x.Attributes {
				v, ok := ParseNumber(t)
				if !ok {
					v = math.NaN()
				}
				numbers = append(numbers, v)
			}
			ends = append(ends, uint32(len(numbers)))
			col[int64](a, entNo)[a.at+k] = x.No
			col[int64](a, entLine)[a.at+k] = x.Line
		}
		base := a.pin(arena)
		fill(a, entWave, n, wave)
		fill(a, entOf, n, int64(0))
		for i := range texts {
			putTexts(col[text](a, entTexts+i)[a.at:], texts[i], base)
		}
		for i := range lists {
			putList(a, entLists+i, &lists[i], 0, n, base)
		}
		at := a.cols[entNumbers].size
		putList(a, entNumbers, &list{end: ends}, 0, n, 0)
		copy(kid[float64](a, entNumbers, 0)[at:], numbers)
		a.at += n
		e = e[n:]
	}
	return a.finish()
}

// withoutPrefix begins the problems of rows that name nothing of their own, such
// as only an address of free mail: they count as Without, not as Invalid.
const withoutPrefix = "survey.list.without."

// SealEntries says that the list was read to its end: entries with the domain
// of one further up are marked (Of), and all are counted. Sealing again
// changes nothing. Cost: a second for a million entries.
func (s *Store) SealEntries(ctx context.Context, wave int64) (Wave, error) {
	w, err := s.survey(ctx, wave)
	if err != nil {
		return Wave{}, err
	}
	w.edit.Lock()
	defer w.edit.Unlock()
	var out Wave
	err = s.writing(ctx, "seal a list", func() error {
		if !w.isSealed() {
			_, err := s.conn.ExecContext(ctx, `UPDATE survey_entry SET of = f.first
				FROM (SELECT domain AS d, min(no) AS first FROM survey_entry WHERE wave = $1 AND domain <> '' GROUP BY domain HAVING count(*) > 1) f
				WHERE wave = $1 AND domain = f.d AND no > f.first`, wave)
			if err != nil {
				return err
			}
			_, err = s.conn.ExecContext(ctx, `UPDATE survey_wave SET sealed = true, entries = c.entries, domains = c.domains, duplicates = c.duplicates, without = c.without, invalid = c.invalid
				FROM (SELECT count(*) AS entries, count(*) FILTER (domain <> '' AND of = 0) AS domains, count(*) FILTER (of <> 0) AS duplicates,
					count(*) FILTER (domain = '' AND (problem = '' OR starts_with(problem, $2))) AS without,
					count(*) FILTER (domain = '' AND problem <> '' AND NOT starts_with(problem, $2)) AS invalid
					FROM survey_entry WHERE wave = $1) c
				WHERE id = $1`, wave, withoutPrefix)
			if err != nil {
				return err
			}
		}
		var err error
		out, err = s.waveByID(ctx, s.conn, wave)
		return err
	})
	if err == nil {
		w.mu.Lock()
		w.sealed = true
		w.changed()
		w.mu.Unlock()
	}
	return out, err
}

// measured is true for entries that are measured.
const measured = "domain <> '' AND of = 0"

// entryColumns are what scanEntry reads.
const entryColumns = "e.no, e.line, e.of, e.domain, e.name, e.input, e.problem, e.detail, e.aliases, e.selectors, e.attributes"

func (e *Entry) fields() []any {
	return []any{&e.No, &e.Line, &e.Of, &e.Domain, &e.Name, &e.Input, &e.Problem, &e.Detail,
		(*texts)(&e.Aliases), (*texts)(&e.Selectors), (*texts)(&e.Attributes)}
}

// texts scans a list of VARCHAR.
type texts []string

func (t *texts) Scan(v any) error {
	l, ok := v.([]any)
	if !ok {
		return fmt.Errorf("want a list, have %T", v)
	}
	*t = nil
	if len(l) == 0 {
		return nil
	}
	*t = make([]string, len(l))
	for i := range l {
		if (*t)[i], ok = l[i].(string); !ok {
			return fmt.Errorf("want a text in the list, have %T", l[i])
		}
	}
	return nil
}

// Pending lists entries that are to be measured and have no result, by number,
// beyond after; none is left where it gives none. What an open SurveyWriter has
// taken counts as a result. ErrUnsealed before the list was read to its end.
// Cost: the entries of the page.
func (s *Store) Pending(ctx context.Context, wave, after int64, limit int) ([]Entry, error) {
	done, err := s.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	w, err := s.surveyed(ctx, wave)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for after = max(after, 0); ; {
		w.mu.Lock()
		if !w.sealed {
			w.mu.Unlock()
			return nil, fmt.Errorf("wave %d: %w", wave, ErrUnsealed)
		}
		if err := w.load(ctx, s); err != nil {
			w.mu.Unlock()
			return nil, err
		}
		from, to := w.taken.gap(after+1, w.highest, limit-len(out))
		taken := w.taken[:len(w.taken):len(w.taken)]
		var skip numberSet
		if to/64 < int64(len(taken)) {
			taken = taken[:to/64+1]
		}
		if from/64 < int64(len(taken)) {
			skip = append(skip, taken[from/64:]...)
		}
		w.mu.Unlock()
		if from > to || limit <= len(out) {
			return out, nil
		}
		shift := from / 64 * 64
		err := s.run(ctx, fmt.Sprintf("SELECT %s FROM survey_entry e WHERE wave = %d AND no BETWEEN %d AND %d AND %s ORDER BY no", entryColumns, wave, from, to, measured), nil, func(r *sql.Rows) error {
			var e Entry
			if err := r.Scan(e.fields()...); err != nil {
				return err
			}
			if !skip.has(e.No - shift) {
				out = append(out, e)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		after = to
	}
}

// gap returns a span of numbers up to highest that starts with the first one
// not in the set and has about n that are not; from > to where there is none.
func (b numberSet) gap(from, highest int64, n int) (first, last int64) {
	for from <= highest && b.has(from) {
		if from%64 == 0 && from/64 < int64(len(b)) && b[from/64] == math.MaxUint64 {
			from += 64
			continue
		}
		from++
	}
	to := from
	for left := n; to <= highest; to++ {
		if !b.has(to) {
			if left--; left <= 0 {
				break
			}
		}
	}
	return from, min(to, highest)
}

// Retryable lists entries, by number, beyond after, whose result is Unanswered
// or has Retry, and that fewer than so many attempts were made for. Results of
// an open SurveyWriter are moved in first. Cost: a scan of some narrow columns
// of the results, milliseconds for a million.
func (s *Store) Retryable(ctx context.Context, wave, after int64, limit, attempts int) ([]Entry, error) {
	if err := s.settle(ctx, wave); err != nil {
		return nil, err
	}
	var out []Entry
	err := s.run(ctx, `SELECT `+entryColumns+`, r.known, r.questions, r.attempts, r.unanswered FROM survey_entry e JOIN (
			SELECT no, bit_count(yes0 | no0) + bit_count(yes1 | no1) AS known, questions, attempts, unanswered
			FROM survey_result WHERE wave = $1 AND no > $2 AND (unanswered OR retry) AND attempts < $3 ORDER BY no LIMIT $4
		) r ON r.no = e.no WHERE e.wave = $1 AND e.no > $2 ORDER BY e.no`, []any{wave, after, attempts, limit}, func(r *sql.Rows) error {
		var e Entry
		err := r.Scan(append(e.fields(), &e.Earlier.Known, &e.Earlier.Questions, &e.Earlier.Attempts, &e.Earlier.Unanswered)...)
		out = append(out, e)
		return err
	})
	return out, err
}

// MatchEntry tells whose the domains are: each is given with the number of the
// entry that is measured, where an entry has that very domain or alias. A
// domain comes before an alias, and the list's first row before later ones.
// Cost: a scan of the entries' names, 0.1 s for a million, so ask in bulk.
func (s *Store) MatchEntry(ctx context.Context, wave int64, domains []string) (map[string]int64, error) {
	out := map[string]int64{}
	for len(domains) > 0 {
		part := domains[:min(len(domains), 2000)]
		domains = domains[len(part):]
		args := []any{wave}
		var marks strings.Builder
		for _, d := range part {
			args = append(args, d)
			fmt.Fprintf(&marks, ", $%d::VARCHAR", len(args))
		}
		err := s.run(ctx, `WITH q AS (SELECT unnest([`+marks.String()[2:]+`]) AS d),
			m AS (
				SELECT domain AS d, 0 AS rank, no, of FROM survey_entry WHERE wave = $1 AND domain IN (SELECT d FROM q)
				UNION ALL
				SELECT d, 1, no, of FROM (SELECT unnest(aliases) AS d, no, of FROM survey_entry WHERE wave = $1 AND len(aliases) > 0) WHERE d IN (SELECT d FROM q)
			)
			SELECT d, arg_min(if(of > 0, of, no), (rank, no)) FROM m WHERE d <> '' GROUP BY d`, args, func(r *sql.Rows) error {
			var d string
			var no int64
			if err := r.Scan(&d, &no); err != nil {
				return err
			}
			out[d] = no
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
