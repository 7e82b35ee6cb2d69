package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// CodeTotal counts the domains that have a problem.
type CodeTotal struct {
	Code
	Domains int64
}

// resultColumns are what a rowScan reads of a result; r is outer joined.
const resultColumns = `coalesce(r.no, 0), coalesce(r.yes0, 0), coalesce(r.no0, 0), coalesce(r.yes1, 0), coalesce(r.no1, 0),
	coalesce(r.unanswered, false), coalesce(r.retry, false), coalesce(r.questions, 0), coalesce(r.attempts, 0), coalesce(r.measured, TIMESTAMP '1970-01-01'), coalesce(r.took, 0),
	coalesce(r.codes, []), coalesce(octet_length(r.doc), 0)`

// rowScan reads entryColumns and resultColumns into a row.
type rowScan struct {
	row   SurveyRow
	masks [4]uint64
	took  int64
	codes any
	size  int64 // of the document, compressed
}

func (x *rowScan) fields() []any {
	r := &x.row.Result
	return append(x.row.Entry.fields(), &r.No, &x.masks[0], &x.masks[1], &x.masks[2], &x.masks[3],
		&r.Unanswered, &r.Retry, &r.Questions, &r.Attempts, &r.At, &x.took, &x.codes, &x.size)
}

// done completes the row.
func (x *rowScan) done(s *Store, facts int) *SurveyRow {
	r := &x.row.Result
	if r.No == 0 {
		*r = Result{}
		return &x.row
	}
	r.At, r.Took = sometime(r.At), time.Duration(x.took)*time.Microsecond
	r.States = make([]State, facts)
	for k := range r.States {
		switch {
		case x.masks[2*(k/64)]>>(k%64)&1 != 0:
			r.States[k] = Yes
		case x.masks[2*(k/64)+1]>>(k%64)&1 != 0:
			r.States[k] = No
		}
	}
	if l, ok := x.codes.([]any); ok {
		for _, id := range l {
			if id, ok := id.(uint32); ok {
				r.Codes = append(r.Codes, codeOf(s.surveys.codes.name(id)))
			}
		}
	}
	return &x.row
}

// rows calls f for the rows of a wave that a condition on no picks, in the
// order of their numbers. It holds a connection meanwhile, so f must not ask
// for another: as many readers at once as there are connections would wait for
// one another.
func (s *Store) rows(ctx context.Context, w *surveyWave, where string, f func(*rowScan) error) error {
	q := fmt.Sprintf(`SELECT %s, %s FROM (SELECT * FROM survey_entry WHERE wave = %d AND %s) e
		LEFT JOIN (SELECT * FROM survey_result WHERE wave = %[3]d AND %[4]s) r ON r.no = e.no ORDER BY e.no`, entryColumns, resultColumns, w.id, where)
	return s.run(ctx, q, nil, func(r *sql.Rows) error {
		var x rowScan
		if err := r.Scan(x.fields()...); err != nil {
			return err
		}
		x.done(s, len(w.facts))
		return f(&x)
	})
}

// surveySort are the columns by which SurveyRows sorts.
var surveySort = map[string]string{"": "e.no", "no": "e.no", "domain": "e.domain", "name": "e.name",
	"problems": "coalesce(len(r.codes), 0)", "yes": "coalesce(bit_count(r.yes0) + bit_count(r.yes1), 0)"}

// SurveyRows lists domains to be measured, or with Odd the other rows of the
// list, with how many there are; without documents. Page.Sort: "" or "no" (the order of the list), "domain", "name",
// "problems" (how many), "yes" (facts that hold). Page.Search is one more
// substring of domain or name. Cost: a quarter of a second for a million.
func (s *Store) SurveyRows(ctx context.Context, wave int64, f SurveyFilter, p Page) ([]SurveyRow, int64, error) {
	w, err := s.survey(ctx, wave)
	if err != nil {
		return nil, 0, err
	}
	where, args, err := w.filter(s, f)
	if err != nil {
		return nil, 0, err
	}
	where, args = search(where, args, f.Search)
	where, args = search(where, args, p.Search)
	if p.Sort == "" {
		p.Sort = "no"
	}
	order, err := p.order(surveySort, "e.no")
	if err != nil {
		return nil, 0, err
	}
	join := ""
	if strings.Contains(where, "r.") || strings.Contains(order, "r.") {
		join = fmt.Sprintf(" LEFT JOIN (SELECT * FROM survey_result WHERE wave = %d) r ON r.no = e.no", wave)
	}
	which := measured
	if f.Odd {
		which = "NOT (" + measured + ")"
	}
	from := fmt.Sprintf("FROM (SELECT * FROM survey_entry WHERE wave = %d AND %s) e%s%s", wave, which, join, where)
	var total int64
	if err := s.query(ctx, "SELECT count(*) "+from, args, func(r *sql.Rows) error { return r.Scan(&total) }); err != nil {
		return nil, 0, err
	}
	limit, offset := p.bounds()
	if int64(offset) >= total {
		return nil, total, nil
	}
	// Numbers first: rows are wide, and a page has few of them.
	var numbers []int64
	err = s.query(ctx, fmt.Sprintf("SELECT e.no %s%s LIMIT %d OFFSET %d", from, order, limit, offset), args, func(r *sql.Rows) error {
		var no int64
		err := r.Scan(&no)
		numbers = append(numbers, no)
		return err
	})
	if err != nil || len(numbers) == 0 {
		return nil, total, err
	}
	out, err := s.numbered(ctx, w, numbers)
	return out, total, err
}

// numbered returns the rows of these numbers, in this order.
func (s *Store) numbered(ctx context.Context, w *surveyWave, numbers []int64) ([]SurveyRow, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	var list strings.Builder
	at := map[int64]int{}
	for i, no := range numbers {
		fmt.Fprintf(&list, ", %d", no)
		at[no] = i
	}
	out := make([]SurveyRow, len(numbers))
	err := s.rows(ctx, w, "no IN ("+list.String()[2:]+")", func(x *rowScan) error {
		out[at[x.row.Entry.No]] = x.row
		return nil
	})
	return out, err
}

// filter is a filter as SQL, but for Search: a WHERE clause, or nothing.
func (w *surveyWave) filter(s *Store, f SurveyFilter) (where string, args []any, err error) {
	var and []string
	if f.Attribute != "" {
		i, err := w.attribute(f.Attribute)
		if err != nil {
			return "", nil, err
		}
		switch {
		case f.Rest:
			and = append(and, fmt.Sprintf("isnan(e.numbers[%d])", i))
		case f.Band:
			args = append(args, f.Low, f.High)
			and = append(and, fmt.Sprintf("NOT isnan(e.numbers[%d]) AND e.numbers[%[1]d] >= $%[2]d::DOUBLE AND e.numbers[%[1]d] < $%[3]d::DOUBLE", i, len(args)-1, len(args)))
		default:
			args = append(args, f.Value)
			and = append(and, fmt.Sprintf("e.attributes[%d] = $%d", i, len(args)))
		}
	}
	if f.Fact != "" {
		k, err := w.fact(f.Fact)
		if err != nil {
			return "", nil, err
		}
		and = append(and, stateIs("r.", k, f.State))
	}
	if f.Code != "" {
		var ids []string
		for _, id := range s.surveys.codes.search("|" + f.Code) {
			if codeOf(s.surveys.codes.name(id)).Code == f.Code {
				ids = append(ids, fmt.Sprint(id))
			}
		}
		and = append(and, "list_has_any(r.codes, ["+strings.Join(ids, ", ")+"]::UINTEGER[])")
	}
	if len(and) == 0 {
		return "", nil, nil
	}
	return " WHERE " + strings.Join(and, " AND "), args, nil
}

// stateIs is true for results, or their absence, with a fact in a state.
func stateIs(table string, k int, state State) string {
	yes, no := bit(table+"yes", k), bit(table+"no", k)
	switch state {
	case Yes:
		return yes
	case No:
		return no
	}
	return fmt.Sprintf("NOT coalesce(%s OR %s, false)", yes, no)
}

// search adds the condition that domain or name contains a text.
func search(where string, args []any, text string) (string, []any) {
	if text = strings.TrimSpace(text); text == "" {
		return where, args
	}
	args = append(args, strings.ToValidUTF8(text, "\uFFFD"))
	and := fmt.Sprintf("(contains(e.domain, lower($%d)) OR contains(lower(e.name), lower($%[1]d)))", len(args))
	if where == "" {
		return " WHERE " + and, args
	}
	return where + " AND " + and, args
}

// search returns the numbers of the names that contain a text.
func (d *dictionary) search(text string) []uint32 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []uint32
	for i, name := range d.names {
		if strings.Contains(name, text) {
			out = append(out, uint32(i+1))
		}
	}
	return out
}

const (
	// windowRows is how many rows EachSurveyRow reads at a time.
	windowRows = 8192
	// windowOctets bounds the compressed documents among them that are read at
	// a time, but for one that is longer.
	windowOctets = 4 << 20
)

// EachSurveyRow calls f for every entry, measured or not, in the order of the
// list, with documents. A row is f's to keep. Memory does not grow with the
// list. What is put meanwhile may be there or not.
func (s *Store) EachSurveyRow(ctx context.Context, wave int64, f func(*SurveyRow) error) error {
	w, err := s.survey(ctx, wave)
	if err != nil {
		return err
	}
	var highest int64
	if err := s.run(ctx, "SELECT coalesce(max(no), 0) FROM survey_entry WHERE wave = ?", []any{wave}, func(r *sql.Rows) error { return r.Scan(&highest) }); err != nil {
		return err
	}
	var rows []*rowScan
	for from := int64(1); from <= highest; from += windowRows {
		rows = rows[:0]
		err := s.rows(ctx, w, fmt.Sprintf("no BETWEEN %d AND %d", from, from+windowRows-1), func(x *rowScan) error {
			rows = append(rows, x)
			return nil
		})
		if err != nil {
			return err
		}
		for len(rows) > 0 {
			n, octets := 0, int64(0)
			for n < len(rows) && (n == 0 || octets+rows[n].size <= windowOctets) {
				octets += rows[n].size
				n++
			}
			if err := s.withDocs(ctx, w, rows[:n], f); err != nil {
				return err
			}
			rows = rows[n:]
		}
	}
	return nil
}

// withDocs calls f for rows, with their documents.
func (s *Store) withDocs(ctx context.Context, w *surveyWave, rows []*rowScan, f func(*SurveyRow) error) error {
	type doc struct {
		codec uint32
		bytes []byte
	}
	docs := make(map[int64]doc, len(rows))
	err := s.run(ctx, "SELECT no, codec, doc FROM survey_result WHERE wave = ? AND no BETWEEN ? AND ?",
		[]any{w.id, rows[0].row.Entry.No, rows[len(rows)-1].row.Entry.No}, func(r *sql.Rows) error {
			var no int64
			var d doc
			err := r.Scan(&no, &d.codec, &d.bytes)
			docs[no] = d
			return err
		})
	if err != nil {
		return err
	}
	for _, x := range rows {
		if d := docs[x.row.Entry.No]; x.row.Result.No != 0 && len(d.bytes) > 0 {
			if x.row.Result.Doc, err = s.unpack(ctx, d.codec, d.bytes); err != nil {
				return fmt.Errorf("entry %d: %w", x.row.Entry.No, err)
			}
		}
		if err := f(&x.row); err != nil {
			return err
		}
	}
	return nil
}

// SurveyRow returns an entry with its result and document; ErrNotFound where
// the list has none of this number.
func (s *Store) SurveyRow(ctx context.Context, wave, no int64) (SurveyRow, error) {
	w, err := s.survey(ctx, wave)
	if err != nil {
		return SurveyRow{}, err
	}
	var found []*rowScan
	err = s.rows(ctx, w, fmt.Sprintf("no = %d", no), func(x *rowScan) error {
		found = append(found, x)
		return nil
	})
	if err != nil {
		return SurveyRow{}, err
	}
	if len(found) == 0 {
		return SurveyRow{}, fmt.Errorf("entry %d of wave %d: %w", no, wave, ErrNotFound)
	}
	err = s.withDocs(ctx, w, found[:1], func(*SurveyRow) error { return nil })
	return found[0].row, err
}
