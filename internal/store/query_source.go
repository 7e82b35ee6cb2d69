package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"net/netip"
	"strconv"
	"strings"
)

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// SetClasses replaces the domain's classes of addresses, all at once and
// durably. The zero Addr gives the class of every address that is not listed,
// which is "unknown" otherwise. An address listed twice keeps the first.
func (s *Store) SetClasses(ctx context.Context, domain string, rows iter.Seq2[netip.Addr, ClassRow]) error {
	id, ok := s.domains.id(domain)
	if !ok {
		return fmt.Errorf("domain %s: %w", domain, ErrNotFound)
	}
	done, err := s.reading()
	if err != nil {
		return err
	}
	defer done()
	s.classes.Lock()
	defer s.classes.Unlock()
	conn, err := s.duck.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = s.setClasses(ctx, conn, id, rows)
	if err != nil {
		_, _ = conn.ExecContext(context.Background(), "ROLLBACK")
		return fmt.Errorf("classes of %s: %w", domain, engineError(err))
	}
	s.kept.classedAnew(id)
	return nil
}

func (s *Store) setClasses(ctx context.Context, conn *sql.Conn, dom uint32, rows iter.Seq2[netip.Addr, ClassRow]) error {
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("DELETE FROM source_class WHERE dom = %d", dom)); err != nil {
		return err
	}
	err := conn.Raw(func(dc any) error {
		native, err := nativeConn(dc)
		if err != nil {
			return err
		}
		a, err := newAppender(native, "source_class")
		if err != nil {
			return err
		}
		defer a.close()
		seen := map[netip.Addr]bool{}
		for addr, c := range rows {
			addr = addr.Unmap().WithZone("")
			if seen[addr] {
				continue
			}
			seen[addr] = true
			if _, err := a.room(); err != nil {
				return err
			}
			var arena []byte
			class, source := layText(c.Class, &arena), layText(c.Source, &arena)
			base := a.pin(arena)
			fill(a, 0, 1, dom)
			n := addrNumber(addr)
			fill(a, 1, 1, n.net)
			fill(a, 2, 1, n.host)
			putText(a, 3, class, base)
			putText(a, 4, source, base)
			a.at++
		}
		return a.finish()
	})
	if err != nil {
		return err
	}
	_, err = conn.ExecContext(context.Background(), "COMMIT")
	return err
}

// sourceRecords is what follows FROM to select a source's records, with its
// argument.
func (s *Store) sourceRecords(ctx context.Context, dom uint32, source string, sp span) (string, []any, error) {
	def, err := s.defaultClass(ctx, dom)
	if err != nil {
		return "", nil, err
	}
	in := "(net, host) IN (SELECT net, host FROM source_class WHERE dom = %d AND source = ?)"
	if def.Source == source {
		in = "(net, host) NOT IN (SELECT net, host FROM source_class WHERE dom = %d AND source <> ?)"
	}
	return fmt.Sprintf("record WHERE dom = %d AND %s AND "+in, dom, sp.touches(), dom), []any{source}, nil
}

var addressSort = map[string]string{
	"": "m", "messages": "m", "failing": "failing", "addr": "(net, host)", "first_day": "a", "last_day": "b", "reporters": "reporters",
}

// SourceAddresses pages through a source's addresses, with how many there are.
// Page.Sort: "messages" (default, descending), "failing", "addr", "first_day",
// "last_day", "reporters". Page.Search is an address, the beginning of an IPv4
// address up to a dot, or a prefix such as 192.0.2.0/24. Cost: a scan of the
// domain's records in the window.
func (s *Store) SourceAddresses(ctx context.Context, domain, source string, w Window, p Page) ([]AddressTotals, int64, error) {
	return kept(ctx, s, domain, []any{"SourceAddresses", source, w, p}, func(ctx context.Context, id uint32) ([]AddressTotals, int64, error) {
		return s.sourceAddresses(ctx, id, source, w, p)
	})
}

func (s *Store) sourceAddresses(ctx context.Context, id uint32, source string, w Window, p Page) ([]AddressTotals, int64, error) {
	order, err := p.order(addressSort, "(net, host)")
	if err != nil {
		return nil, 0, err
	}
	sp := s.span(id, w)
	from, args, err := s.sourceRecords(ctx, id, source, sp)
	if err != nil {
		return nil, 0, err
	}
	if p.Search != "" {
		from += " AND " + addrRange(p.Search)
	}
	limit, offset := p.bounds()
	q := fmt.Sprintf(`SELECT net, host, m, failing, %s, %s, reporters, count(*) OVER () FROM (
			SELECT net, host, %s AS m, %s AS failing, min(a) AS a, max(b) AS b, count(DISTINCT org) AS reporters FROM (
				SELECT net, host, org, dkim_aligned OR spf_aligned AS aligned, %s AS m, %s AS a, %s AS b FROM %s)
			GROUP BY net, host HAVING m > 0)%s LIMIT %d OFFSET %d`,
		dayNumber("a"), dayNumber("b"), total("m"), total("if(aligned, 0, m)"), sp.messages(), sp.firstDay(), sp.lastDay(), from, order, limit, offset)
	var out []AddressTotals
	var count int64
	err = s.query(ctx, q, args, func(r *sql.Rows) error {
		var n number
		var a AddressTotals
		err := r.Scan(&n.net, &n.host, &a.Messages, &a.Failing, &a.FirstDay, &a.LastDay, &a.Reporters, &count)
		a.Addr = numberAddr(n)
		out = append(out, a)
		return err
	})
	if err == nil && len(out) == 0 && offset > 0 { // beyond the end: there is no row to say how many there are
		_, count, err = s.sourceAddresses(ctx, id, source, w, Page{Limit: 1, Search: p.Search})
	}
	return out, count, err
}

// addrRange is a condition on net and host for what a person types to find addresses.
func addrRange(search string) string {
	search = strings.TrimSpace(search)
	p, err := netip.ParsePrefix(search)
	if err != nil {
		if a, err := netip.ParseAddr(search); err == nil {
			p = netip.PrefixFrom(a.WithZone(""), a.BitLen())
		} else if octets := strings.Split(strings.TrimSuffix(search, "."), "."); len(octets) < 4 {
			var b [4]byte
			for i, o := range octets {
				n, err := strconv.ParseUint(o, 10, 8)
				if err != nil {
					return "false"
				}
				b[i] = byte(n)
			}
			p = netip.PrefixFrom(netip.AddrFrom4(b), 8*len(octets))
		}
	}
	if !p.IsValid() {
		return "false"
	}
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	first := addrNumber(p.Masked().Addr())
	last := number{first.net | ^uint64(0)>>min(bits, 64), first.host}
	if bits <= 64 {
		return fmt.Sprintf("net BETWEEN %d AND %d", first.net, last.net)
	}
	last.host |= ^uint64(0) >> (bits - 64)
	return fmt.Sprintf("net = %d AND host BETWEEN %d AND %d", first.net, first.host, last.host)
}

// aboutSource answers a question about a source from its records in a window,
// kept or by asking.
func aboutSource[T any](ctx context.Context, s *Store, question, domain, source string, w Window,
	ask func(ctx context.Context, sp span, from string, args []any) ([]T, error)) ([]T, error) {
	rows, _, err := kept(ctx, s, domain, []any{question, source, w}, func(ctx context.Context, id uint32) ([]T, int64, error) {
		sp := s.span(id, w)
		from, args, err := s.sourceRecords(ctx, id, source, sp)
		if err != nil {
			return nil, 0, err
		}
		rows, err := ask(ctx, sp, from, args)
		return rows, 0, err
	})
	return rows, err
}

// SourceDaily returns each day of the window on which a source sent, oldest
// first. Cost: a scan of the domain's records in the window.
func (s *Store) SourceDaily(ctx context.Context, domain, source string, w Window) ([]DayTotals, error) {
	return aboutSource(ctx, s, "SourceDaily", domain, source, w, s.sourceDaily)
}

func (s *Store) sourceDaily(ctx context.Context, sp span, from string, args []any) ([]DayTotals, error) {
	q := fmt.Sprintf("SELECT %s, %s AS m, %s, %s, %s FROM (%s) GROUP BY day HAVING m > 0 ORDER BY day",
		dayNumber("day"), total("m"), total("if(dkim_aligned OR spf_aligned, m, 0)"),
		total("if(disposition = 'quarantine', m, 0)"), total("if(disposition = 'reject', m, 0)"),
		sp.perDay("dkim_aligned, spf_aligned, disposition", from))
	return s.days(ctx, q, append(args, args...)...)
}

// sourceMost is how many rows the lists about a source have at most.
const sourceMost = 1000

// SourceReporters returns who reported a source, the most messages first, at
// most 1,000. Cost: a scan of the domain's records in the window.
func (s *Store) SourceReporters(ctx context.Context, domain, source string, w Window) ([]ReporterTotals, error) {
	return aboutSource(ctx, s, "SourceReporters", domain, source, w, s.sourceReporters)
}

func (s *Store) sourceReporters(ctx context.Context, sp span, from string, args []any) ([]ReporterTotals, error) {
	q := fmt.Sprintf(`SELECT org, %s AS m, %s, count(*), %s, %s FROM (
			SELECT org, seq, sum(m) AS m, sum(if(aligned, 0, m)) AS failing, min(a) AS a, max(b) AS b FROM (
				SELECT org, seq, dkim_aligned OR spf_aligned AS aligned, %s AS m, %s AS a, %s AS b FROM %s)
			GROUP BY org, seq)
		GROUP BY org HAVING m > 0 ORDER BY m DESC, org LIMIT %d`,
		total("m"), total("failing"), dayNumber("min(a)"), dayNumber("max(b)"), sp.messages(), sp.firstDay(), sp.lastDay(), from, sourceMost)
	var out []ReporterTotals
	err := s.query(ctx, q, args, func(r *sql.Rows) error {
		var org uint32
		var t ReporterTotals
		err := r.Scan(&org, &t.Messages, &t.Failing, &t.Reports, &t.FirstDay, &t.LastDay)
		t.Reporter = s.reporters.name(org)
		out = append(out, t)
		return err
	})
	return out, err
}

// SourceAuth returns a source's DKIM and SPF results, the most messages first,
// at most 1,000. Cost: a scan of the domain's records in the window with their
// lists of results, the dearest of the queries about a source.
func (s *Store) SourceAuth(ctx context.Context, domain, source string, w Window) ([]AuthTotals, error) {
	return aboutSource(ctx, s, "SourceAuth", domain, source, w, s.sourceAuth)
}

func (s *Store) sourceAuth(ctx context.Context, sp span, from string, args []any) ([]AuthTotals, error) {
	q := fmt.Sprintf(`WITH r AS NOT MATERIALIZED (SELECT dkim, spf, %s AS m FROM %s)
		SELECT 'dkim' AS method, e.domain, e.selector AS detail, e.result, %s AS sum FROM (SELECT unnest(dkim) AS e, m FROM r) GROUP BY ALL HAVING sum > 0
		UNION ALL
		SELECT 'spf', e.domain, e.scope, e.result, %s AS sum FROM (SELECT unnest(spf) AS e, m FROM r) GROUP BY ALL HAVING sum > 0
		ORDER BY sum DESC, method, 2, detail, 4 LIMIT %d`, sp.messages(), from, total("m"), total("m"), sourceMost)
	var out []AuthTotals
	err := s.query(ctx, q, args, func(r *sql.Rows) error {
		var a AuthTotals
		var detail string
		err := r.Scan(&a.Method, &a.Domain, &detail, &a.Result, &a.Messages)
		if a.Method == "dkim" {
			a.Selector = detail
		} else {
			a.Scope = detail
		}
		out = append(out, a)
		return err
	})
	return out, err
}

// SourceEnvelopes returns the names that a source's mail carries, the most
// messages first, at most 1,000. Cost: a scan of the domain's records in the window.
func (s *Store) SourceEnvelopes(ctx context.Context, domain, source string, w Window) ([]EnvelopeTotals, error) {
	return aboutSource(ctx, s, "SourceEnvelopes", domain, source, w, s.sourceEnvelopes)
}

func (s *Store) sourceEnvelopes(ctx context.Context, sp span, from string, args []any) ([]EnvelopeTotals, error) {
	q := fmt.Sprintf(`SELECT header_from, envelope_from, %s AS sum, %s FROM (
			SELECT header_from, envelope_from, dkim_aligned OR spf_aligned AS aligned, %s AS m FROM %s)
		GROUP BY header_from, envelope_from HAVING sum > 0 ORDER BY sum DESC, header_from, envelope_from LIMIT %d`,
		total("m"), total("if(aligned, 0, m)"), sp.messages(), from, sourceMost)
	var out []EnvelopeTotals
	err := s.query(ctx, q, args, func(r *sql.Rows) error {
		var e EnvelopeTotals
		err := r.Scan(&e.HeaderFrom, &e.EnvelopeFrom, &e.Messages, &e.Failing)
		out = append(out, e)
		return err
	})
	return out, err
}
