package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"time"
)

// span is a window as SQL over tables with columns first, days and n. Its
// fragments contain nothing but numbers and dates.
type span struct {
	begin, end Day
	longest    int // no row has more days
}

// spanOf returns the window as a span; the zero Window is all time.
func spanOf(w Window) span {
	if w == (Window{}) {
		return span{0, maxDay, maxDays}
	}
	begin := min(max(w.Begin, 0), maxDay)
	return span{begin, max(begin, min(w.End, maxDay)), maxDays}
}

// span returns the window as a span over a domain's rows. Where all reports
// are of one day, as nearly all are, the SQL is simpler and DuckDB skips what
// lies before the window.
func (s *Store) span(dom uint32, w Window) span {
	sp := spanOf(w)
	s.mu.RLock()
	defer s.mu.RUnlock()
	sp.longest = max(1, s.newest[dom].longest)
	return sp
}

const (
	// maxDays is the most days that Spread gives a report.
	maxDays = 366
	// maxDay is the end of year 9999 and of a report that begins then.
	maxDay Day = 2932897 + maxDays
)

// date is a day as a SQL literal. Days beyond 9999 have five digits, which
// DuckDB reads too.
func (d Day) date() string { return fmt.Sprintf("(DATE '1970-01-01' + %d)", int32(d)) }

// touches is true for rows whose days meet the window. Comparing first with
// numbers lets DuckDB skip row groups by their least and greatest values.
func (s span) touches() string {
	if s.longest == 1 {
		return fmt.Sprintf("first >= %s AND first < %s", s.begin.date(), s.end.date())
	}
	return fmt.Sprintf("first > %s AND first < %s AND (days = 1 AND first >= %s OR days > 1 AND first + days::INTEGER > %s)",
		(s.begin - Day(s.longest)).date(), s.end.date(), s.begin.date(), s.begin.date())
}

// messages is a row's messages within the window (Spread): c*k1/n - c*k0/n.
func (s span) messages() string {
	if s.longest == 1 {
		return "n"
	}
	return fmt.Sprintf(`CASE WHEN days = 1 THEN n ELSE
		(n::UHUGEINT * least(days, greatest(0, %s - first))::UHUGEINT // days::UHUGEINT
		- n::UHUGEINT * least(days, greatest(0, %s - first))::UHUGEINT // days::UHUGEINT)::UBIGINT END`, s.end.date(), s.begin.date())
}

// firstDay and lastDay bound a row's days within the window.
func (s span) firstDay() string {
	if s.longest == 1 {
		return "first"
	}
	return fmt.Sprintf("greatest(first, %s)", s.begin.date())
}

func (s span) lastDay() string {
	if s.longest == 1 {
		return "first"
	}
	return fmt.Sprintf("least(first + days::INTEGER - 1, %s)", (s.end - 1).date())
}

// total is a sum as an unsigned 64-bit number; beyond, it stays at the largest.
func total(of string) string {
	return "least(coalesce(sum(" + of + "), 0), 18446744073709551615::HUGEINT)::UBIGINT"
}

// perDay is a row for each day of each row of a selection of record. from is
// what follows FROM, with its WHERE; columns, plain names, are kept.
func (s span) perDay(columns, from string) string {
	if s.longest == 1 {
		return fmt.Sprintf("SELECT first AS day, n AS m, %s FROM %s", columns, from)
	}
	return fmt.Sprintf(`
		SELECT first AS day, n AS m, %[1]s FROM %[2]s AND days = 1
		UNION ALL
		SELECT day, m, %[1]s FROM (
			SELECT first + k::INTEGER AS day, (n::UHUGEINT * (k + 1)::UHUGEINT // days::UHUGEINT - n::UHUGEINT * k::UHUGEINT // days::UHUGEINT)::UBIGINT AS m, %[1]s
			FROM (SELECT first, days, n, unnest(range(days::BIGINT)) AS k, %[1]s FROM %[2]s AND days > 1))
		WHERE day >= %[3]s AND day < %[4]s`, columns, from, s.begin.date(), s.end.date())
}

// dayNumber is a date as a Day.
func dayNumber(expr string) string { return "(" + expr + " - DATE '1970-01-01')::INTEGER" }

// query runs a page's statement and calls f for each row. Meanwhile imports
// hold back.
func (s *Store) query(ctx context.Context, q string, args []any, f func(*sql.Rows) error) error {
	s.asking.Add(1)
	defer s.asking.Add(-1)
	return s.run(ctx, q, args, f)
}

// yield lets pages go first: on a machine of two cores an import would make
// them wait. It holds the writer back while somebody asks, but not for more
// than yieldMost at a time, so that an import goes on, if slower, under any
// number of readers.
func (s *Store) yield(ctx context.Context) {
	for waited := time.Duration(0); s.asking.Load() > 0 && waited < yieldMost && ctx.Err() == nil; waited += time.Millisecond {
		time.Sleep(time.Millisecond)
	}
}

const yieldMost = 100 * time.Millisecond

// walk is run for many rows: f gets the values as the driver has them, for the
// time of the call. It spares database/sql's scan of each value.
func (s *Store) walk(ctx context.Context, q string, f func([]driver.Value) error) error {
	done, err := s.reading()
	if err != nil {
		return err
	}
	defer done()
	conn, err := s.duck.Conn(ctx)
	if err != nil {
		return engineError(err)
	}
	defer conn.Close()
	return conn.Raw(func(dc any) error {
		rows, err := dc.(driver.QueryerContext).QueryContext(ctx, q, nil)
		if err != nil {
			return engineError(err)
		}
		defer rows.Close()
		values := make([]driver.Value, len(rows.Columns()))
		for n := 0; ; n++ {
			if n%chunkRows == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if err := rows.Next(values); err == io.EOF {
				return nil
			} else if err != nil {
				return engineError(err)
			}
			if err := f(values); err != nil {
				return err
			}
		}
	})
}

// run runs a statement on a read connection and calls f for each row.
func (s *Store) run(ctx context.Context, q string, args []any, f func(*sql.Rows) error) error {
	done, err := s.reading()
	if err != nil {
		return err
	}
	defer done()
	rows, err := s.duck.QueryContext(ctx, q, args...)
	if err != nil {
		return engineError(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return engineError(rows.Err())
}
