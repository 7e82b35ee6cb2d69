package store

import (
	"cmp"
	"context"
	"database/sql"

	"fmt"
	"slices"
	"strings"

	"sekimori/report/aggregate"
)

// DomainNames lists all policy domains, in alphabetical order. It reads
// memory only.
func (s *Store) DomainNames(ctx context.Context) ([]string, error) {
	done, err := s.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	s.domains.mu.RLock()
	names := slices.Clone(s.domains.names)
	s.domains.mu.RUnlock()
	slices.Sort(names)
	return names, ctx.Err()
}

// Newest returns the end (exclusive) of the newest report of a domain, or of
// all domains for "". Cost: a scan of two narrow columns, a row for each report
// and day.
func (s *Store) Newest(ctx context.Context, domain string) (Day, bool, error) {
	where := ""
	if domain != "" {
		id, ok := s.domains.id(domain)
		if !ok {
			return 0, false, nil
		}
		where = fmt.Sprintf(" WHERE dom = %d", id)
	}
	var d sql.NullInt32
	err := s.query(ctx, "SELECT "+dayNumber("max(day)")+" FROM report_day"+where, nil, func(r *sql.Rows) error { return r.Scan(&d) })
	return Day(d.Int32 + 1), d.Valid, err
}

// domainPolicy is what one domain's reports with one p add up to.
type domainPolicy struct {
	p           string
	first, last Day
	newest      int64 // seq of the report with the last day
	messages    uint64
	aligned     uint64
	reports     int64
}

// Domains returns each domain with reports in the window, in alphabetical
// order. Cost: one scan of report_day, a row for each report and day, and the
// heads of as many reports as there are domains.
func (s *Store) Domains(ctx context.Context, w Window) ([]DomainTotals, error) {
	sp := spanOf(w)
	in := fmt.Sprintf("(day >= %s AND day < %s)", sp.begin.date(), sp.end.date())
	q := fmt.Sprintf(`SELECT dom, p, %s, %s, max_by(seq, (day, seq)),
			least(coalesce(sum(messages) FILTER (%[3]s), 0), 18446744073709551615::HUGEINT)::UBIGINT,
			least(coalesce(sum(aligned) FILTER (%[3]s), 0), 18446744073709551615::HUGEINT)::UBIGINT,
			count(*) FILTER (%[3]s AND (nth = 0 OR day = %s))
		FROM report_day GROUP BY dom, p`, dayNumber("min(day)"), dayNumber("max(day)"), in, sp.begin.date())
	byDomain := map[uint32][]domainPolicy{}
	err := s.query(ctx, q, nil, func(r *sql.Rows) error {
		var dom uint32
		var d domainPolicy
		if err := r.Scan(&dom, &d.p, &d.first, &d.last, &d.newest, &d.messages, &d.aligned, &d.reports); err != nil {
			return err
		}
		byDomain[dom] = append(byDomain[dom], d)
		return nil
	})
	if err != nil {
		return nil, err
	}

	out := make([]DomainTotals, 0, len(byDomain))
	place := map[uint32]int{}  // in out
	seqs := map[int64]uint32{} // newest report's
	var unclear []string       // domains whose run of p needs a closer look
	for dom, ps := range byDomain {
		t := DomainTotals{Domain: s.domains.name(dom)}
		newest := slices.MaxFunc(ps, func(a, b domainPolicy) int {
			return cmp.Or(cmp.Compare(a.last, b.last), cmp.Compare(a.newest, b.newest))
		})
		other := Day(-1)
		for _, p := range ps {
			t.Messages = addSat(t.Messages, p.messages)
			t.Aligned = addSat(t.Aligned, p.aligned)
			t.Reports += p.reports
			if p.p != newest.p {
				other = max(other, p.last)
			}
		}
		if t.Reports == 0 {
			continue
		}
		t.Newest, t.PolicySince = newest.last, newest.first
		if other >= newest.first {
			// On the day of a change reports show both.
			t.PolicySince = newest.last
			unclear = append(unclear, fmt.Sprintf("(%d, %s, %s)", dom, quote(newest.p), other.date()))
		}
		place[dom] = len(out)
		seqs[newest.newest] = dom
		out = append(out, t)
	}
	if err := s.policySince(ctx, unclear, func(dom uint32, d Day) { out[place[dom]].PolicySince = d }); err != nil {
		return nil, err
	}
	err = s.policies(ctx, seqs, func(dom uint32, p aggregate.PolicyPublished) { out[place[dom]].Policy = p })
	slices.SortFunc(out, func(a, b DomainTotals) int { return strings.Compare(a.Domain, b.Domain) })
	return out, err
}

// quote is a string as a SQL literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// policySince finds the first day with p after the last day with another. Each
// of what is (dom, p, last day with another).
func (s *Store) policySince(ctx context.Context, what []string, f func(uint32, Day)) error {
	if len(what) == 0 {
		return nil
	}
	q := "SELECT r.dom, " + dayNumber("min(r.day)") + " FROM report_day r JOIN (VALUES " + strings.Join(what, ", ") +
		") v(dom, p, other) ON r.dom = v.dom AND r.p = v.p AND r.day > v.other GROUP BY r.dom"
	return s.query(ctx, q, nil, func(r *sql.Rows) error {
		var dom uint32
		var d Day
		err := r.Scan(&dom, &d)
		f(dom, d)
		return err
	})
}

// policies reads the policies of reports; seqs maps their numbers to domains.
func (s *Store) policies(ctx context.Context, seqs map[int64]uint32, f func(uint32, aggregate.PolicyPublished)) error {
	if len(seqs) == 0 {
		return nil
	}
	list := make([]string, 0, len(seqs))
	for seq := range seqs {
		list = append(list, fmt.Sprint(seq))
	}
	q := "SELECT seq, domain, adkim, aspf, p, sp, np, pct, fo, testing, discovery FROM report WHERE seq IN (" + strings.Join(list, ", ") + ")"
	return s.query(ctx, q, nil, func(r *sql.Rows) error {
		var seq int64
		var p aggregate.PolicyPublished
		err := r.Scan(&seq, &p.Domain, &p.ADKIM, &p.ASPF, &p.P, &p.SP, &p.NP, &p.PCT, &p.FO, &p.Testing, &p.DiscoveryMethod)
		f(seqs[seq], p)
		return err
	})
}

// PolicyHistory returns the policies that a domain's reports show, oldest
// first, without gaps or overlaps where there are reports. Receivers word one
// record differently (some leave out sp, pct or np), and on the day of a
// change some show the old one: a day counts for the policy that most of its
// reports show, and policies that mean the same are one. Cost: the heads of the
// domain's reports.
func (s *Store) PolicyHistory(ctx context.Context, domain string) ([]PolicySpan, error) {
	id, ok := s.domains.id(domain)
	if !ok {
		return nil, nil
	}
	// The defaults are those of RFC 9989 §4.7; pct is RFC 7489 §6.3.
	q := fmt.Sprintf(`SELECT %s, first_key.p, first_key.sp, first_key.pct, first_key.testing, first_key.adkim, first_key.aspf,
			coalesce(max(np), ''), coalesce(max(fo), ''), coalesce(max(discovery), ''), count(*), %s
		FROM (SELECT first, {p: p, sp: if(sp = '', p, sp), pct: if(pct = '', '100', pct), testing: if(testing = '', 'n', testing),
				adkim: if(adkim = '', 'r', adkim), aspf: if(aspf = '', 'r', aspf)} AS first_key, np, fo, discovery, messages
			FROM report WHERE dom = %d)
		GROUP BY first, first_key ORDER BY first, count(*), first_key`, dayNumber("first"), total("messages"), id)
	var days []PolicySpan // one for each day, the most shown
	err := s.query(ctx, q, nil, func(r *sql.Rows) error {
		d := PolicySpan{Policy: aggregate.PolicyPublished{Domain: fold(domain)}}
		p := &d.Policy
		if err := r.Scan(&d.From, &p.P, &p.SP, &p.PCT, &p.Testing, &p.ADKIM, &p.ASPF, &p.NP, &p.FO, &p.DiscoveryMethod, &d.Reports, &d.Messages); err != nil {
			return err
		}
		d.To = d.From
		if n := len(days); n > 0 && days[n-1].From == d.From {
			days[n-1] = d // shown by as many or more
		} else {
			days = append(days, d)
		}
		return nil
	})
	var out []PolicySpan
	for _, d := range days {
		if n := len(out); n > 0 && sameMeaning(out[n-1].Policy, d.Policy) {
			o := &out[n-1]
			o.To = d.To
			o.Reports += d.Reports
			o.Messages = addSat(o.Messages, d.Messages)
			o.Policy.NP = cmp.Or(d.Policy.NP, o.Policy.NP)
			o.Policy.FO = cmp.Or(d.Policy.FO, o.Policy.FO)
			o.Policy.DiscoveryMethod = cmp.Or(d.Policy.DiscoveryMethod, o.Policy.DiscoveryMethod)
			continue
		}
		out = append(out, d)
	}
	return out, err
}

// sameMeaning compares policies in what every form of report can say.
func sameMeaning(a, b aggregate.PolicyPublished) bool {
	a.NP, a.FO, a.DiscoveryMethod = b.NP, b.FO, b.DiscoveryMethod
	return a == b
}

// DomainDaily returns each day of the window that a report covers, oldest
// first. Cost: a scan of report_day.
func (s *Store) DomainDaily(ctx context.Context, domain string, w Window) ([]DayTotals, error) {
	id, ok := s.domains.id(domain)
	if !ok {
		return nil, nil
	}
	sp := s.span(id, w)
	q := fmt.Sprintf("SELECT %s, %s, %s, %s, %s FROM report_day WHERE dom = %d AND day >= %s AND day < %s GROUP BY day ORDER BY day",
		dayNumber("day"), total("messages"), total("aligned"), total("quarantined"), total("rejected"), id, sp.begin.date(), sp.end.date())
	return s.days(ctx, q)
}

func (s *Store) days(ctx context.Context, q string, args ...any) ([]DayTotals, error) {
	var out []DayTotals
	err := s.query(ctx, q, args, func(r *sql.Rows) error {
		var d DayTotals
		err := r.Scan(&d.Day, &d.Messages, &d.Aligned, &d.Quarantined, &d.Rejected)
		out = append(out, d)
		return err
	})
	return out, err
}

// ClassDaily returns the window's messages by day and class, oldest day first.
// What passed counts as "aligned", whatever the class of its address; what
// failed has its address's class (SetClasses). Cost: a scan of the domain's
// failing records, joined with its classes.
func (s *Store) ClassDaily(ctx context.Context, domain string, w Window) ([]ClassTotals, error) {
	id, ok := s.domains.id(domain)
	if !ok {
		return nil, nil
	}
	sp := s.span(id, w)
	def, err := s.defaultClass(ctx, id)
	if err != nil {
		return nil, err
	}
	failing := sp.perDay("net, host", fmt.Sprintf("record WHERE dom = %d AND NOT dkim_aligned AND NOT spf_aligned AND %s", id, sp.touches()))
	q := fmt.Sprintf(`WITH f AS (%s),
		c AS (SELECT net, host, class FROM source_class WHERE dom = %d)
		SELECT %s, class, m FROM (
			SELECT day, 'aligned' AS class, %s AS m FROM report_day WHERE dom = %d AND day >= %s AND day < %s GROUP BY day HAVING m > 0
			UNION ALL
			SELECT day, coalesce(c.class, ?) AS class, %s AS m FROM f LEFT JOIN c USING (net, host) GROUP BY ALL HAVING m > 0)
		ORDER BY day, class`,
		failing, id, dayNumber("day"), total("aligned"), id, sp.begin.date(), sp.end.date(), total("m"))
	var out []ClassTotals
	err = s.query(ctx, q, []any{def.Class}, func(r *sql.Rows) error {
		var c ClassTotals
		err := r.Scan(&c.Day, &c.Class, &c.Messages)
		out = append(out, c)
		return err
	})
	return out, err
}

// defaultClass is the class of addresses that SetClasses did not list.
func (s *Store) defaultClass(ctx context.Context, dom uint32) (ClassRow, error) {
	c := ClassRow{Class: "unknown"}
	err := s.query(ctx, fmt.Sprintf("SELECT class, source FROM source_class WHERE dom = %d AND net = 0 AND host = 0", dom), nil,
		func(r *sql.Rows) error { return r.Scan(&c.Class, &c.Source) })
	return c, err
}
