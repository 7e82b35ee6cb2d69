package store

import (
	"context"
	"database/sql"
	"fmt"
)

// ClassCount is a part of a domain's messages: of one day, as one reporter saw
// them, from the addresses of one source.
type ClassCount struct {
	Day      Day
	Reporter string
	Class    string // of the source, as SetClasses has it
	Source   string // ID; "" for addresses that no source has
	Aligned  bool
	Messages uint64
}

// ClassCounts calls f with the window's messages that failed, by day, reporter
// and source; with passing, with those that passed too. An error of f ends the
// walk and is returned. f may call methods that read.
//
// Cost: a scan of the domain's failing records in the window, or of all of
// them, joined with its classes; some 0.1 µs for each record.
func (s *Store) ClassCounts(ctx context.Context, domain string, w Window, passing bool, f func(ClassCount) error) error {
	id, ok := s.domains.id(domain)
	if !ok {
		return nil
	}
	def, err := s.defaultClass(ctx, id)
	if err != nil {
		return err
	}
	// A source is known by the hash of its ID while rows are counted: a number
	// is cheaper than a text. Two sources of one hash would be a wonder, as an
	// ID is a hash itself, and cost no more than a wrong line.
	sources := map[uint64]ClassRow{}
	err = s.run(ctx, fmt.Sprintf("SELECT DISTINCT hash(source), class, source FROM source_class WHERE dom = %d", id), nil, func(r *sql.Rows) error {
		var k uint64
		var c ClassRow
		err := r.Scan(&k, &c.Class, &c.Source)
		sources[k] = c
		return err
	})
	if err != nil {
		return err
	}
	sp := s.span(id, w)
	which := ""
	if !passing {
		which = " AND NOT dkim_aligned AND NOT spf_aligned"
	}
	rows := sp.perDay("net, host, org, dkim_aligned, spf_aligned", fmt.Sprintf("record WHERE dom = %d%s AND %s", id, which, sp.touches()))
	q := fmt.Sprintf(`WITH f AS (%s), c AS (SELECT net, host, hash(source) AS k FROM source_class WHERE dom = %d)
		SELECT %s, org, coalesce(c.k, 0) AS source, dkim_aligned OR spf_aligned AS aligned, %s AS m FROM f LEFT JOIN c USING (net, host) GROUP BY ALL HAVING m > 0`,
		rows, id, dayNumber("day"), total("m"))
	return s.run(ctx, q, nil, func(r *sql.Rows) error {
		var c ClassCount
		var org uint32
		var k uint64
		if err := r.Scan(&c.Day, &org, &k, &c.Aligned, &c.Messages); err != nil {
			return err
		}
		row, ok := sources[k]
		if !ok {
			row = def
		}
		c.Reporter, c.Class, c.Source = s.reporters.name(org), row.Class, row.Source
		return f(c)
	})
}

// DomainReporter is what one reporter saw of a domain in a window.
type DomainReporter struct {
	Reporter string
	Messages uint64
	Aligned  uint64
}

// DomainReporters returns who reported a domain in a window, in no order. Cost:
// a scan of report_day and of two columns of the domain's reports.
func (s *Store) DomainReporters(ctx context.Context, domain string, w Window) ([]DomainReporter, error) {
	id, ok := s.domains.id(domain)
	if !ok {
		return nil, nil
	}
	sp := s.span(id, w)
	q := fmt.Sprintf(`SELECT org, %s AS m, %s FROM (SELECT seq, messages, aligned FROM report_day WHERE dom = %d AND day >= %s AND day < %s) d
		JOIN (SELECT seq, org FROM report WHERE dom = %[3]d) r USING (seq) GROUP BY org HAVING m > 0`,
		total("messages"), total("aligned"), id, sp.begin.date(), sp.end.date())
	var out []DomainReporter
	err := s.run(ctx, q, nil, func(r *sql.Rows) error {
		var org uint32
		var d DomainReporter
		err := r.Scan(&org, &d.Messages, &d.Aligned)
		d.Reporter = s.reporters.name(org)
		out = append(out, d)
		return err
	})
	return out, err
}
