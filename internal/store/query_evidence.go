package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// evidenceColumns are the texts that tell one kind of mail from another.
const evidenceColumns = "header_from, auth_dkim, failed_dkim, auth_spf, spf_checked, override"

// maxKinds bounds the kinds of mail that are told apart; each takes about 200
// bytes. Who writes reports, or mail, may invent as many as he likes.
const maxKinds = 1 << 17

// maxSame bounds how many rows of one address are put in order.
const maxSame = 4096

// Evidence calls f with the domain's messages by address and kind of mail, in
// the order of addresses, and of kinds within an address. Messages are those of
// w, Inner those that lie in inner as well. Of kinds beyond the 131,072 with
// the most records only the alignment is told. Reporters is exact while the
// store knows at most 128 of them, and may be too low beyond. An error of f
// ends the walk and is returned. f may call methods that read.
//
// Cost: two scans of the domain's records in the window, some 0.2 µs for each
// record. Imports do not hold back for it.
func (s *Store) Evidence(ctx context.Context, domain string, w, inner Window, f func(SourceRow) error) error {
	// To group by six texts takes seven times as long as by a hash of them. So
	// the kinds of mail are found first, each with its hash, and addresses are
	// grouped by the hash. Where two kinds have one, somebody took pains; there
	// is a slower hash that nobody can make out.
	err := s.evidence(ctx, domain, w, inner, "hash("+evidenceColumns+")", f)
	if errors.Is(err, errSameHash) {
		err = s.evidence(ctx, domain, w, inner, "md5_number_lower(concat_ws(chr(0), "+evidenceColumns+"))", f)
	}
	return err
}

func (s *Store) evidence(ctx context.Context, domain string, w, inner Window, by string, f func(SourceRow) error) error {
	id, ok := s.domains.id(domain)
	if !ok {
		return nil
	}
	sp := s.span(id, w)
	from := fmt.Sprintf("record WHERE dom = %d AND %s", id, sp.touches())
	kinds, err := s.kinds(ctx, from, by)
	if err != nil {
		return err
	}
	in := s.span(id, inner)
	within := fmt.Sprintf("if(first >= %s AND first < %s, n, 0)", in.begin.date(), in.end.date())
	if sp.longest > 1 {
		within = fmt.Sprintf("if(%s, %s, 0)", in.touches(), in.messages())
	}
	sum, err := s.summing(ctx, id)
	if err != nil {
		return err
	}
	// Reporters are bits: a set of them in each group would not fit in memory.
	bits, count := "bit_or(1::UBIGINT << (org & 63))", "bit_count(r)"
	if s.reporters.len() > 64 {
		bits = "{l: bit_or(if(org & 64 = 0, 1::UBIGINT << (org & 63), 0)), h: bit_or(if(org & 64 = 0, 0, 1::UBIGINT << (org & 63)))}"
		count = "bit_count(r.l) + bit_count(r.h)"
	}
	q := fmt.Sprintf(`SELECT net, host, kind, dkim_aligned, spf_aligned, least(m, 18446744073709551615)::UBIGINT, least(i, 18446744073709551615)::UBIGINT,
			a, b, (%s)::INTEGER FROM (
			SELECT net, host, kind, dkim_aligned, spf_aligned, %s AS m, %s AS i, %s AS a, %s AS b, %s AS r
			FROM (SELECT net, host, %s AS kind, dkim_aligned, spf_aligned, org, %s AS m, %s AS i, %s AS a, %s AS b FROM %s)
			WHERE m > 0 GROUP BY net, host, kind, dkim_aligned, spf_aligned)
		ORDER BY net, host`,
		count, fmt.Sprintf(sum, "m"), fmt.Sprintf(sum, "i"), dayNumber("min(a)"), dayNumber("max(b)"), bits, by, sp.messages(), within, sp.firstDay(), sp.lastDay(), from)
	type ordered struct {
		SourceRow
		order int
	}
	var same []ordered
	flush := func() error {
		slices.SortFunc(same, func(a, b ordered) int {
			return cmp.Or(cmp.Compare(a.order, b.order), compareBool(a.DKIMAligned, b.DKIMAligned), compareBool(a.SPFAligned, b.SPFAligned))
		})
		for i := range same {
			if err := f(same[i].SourceRow); err != nil {
				return err
			}
		}
		same = same[:0]
		return nil
	}
	var at number
	var addr netip.Addr
	err = s.walk(ctx, q, func(v []driver.Value) error {
		n := number{v[0].(uint64), v[1].(uint64)}
		hash := v[2].(uint64)
		row := ordered{SourceRow: SourceRow{DKIMAligned: v[3].(bool), SPFAligned: v[4].(bool), Messages: v[5].(uint64), Inner: v[6].(uint64),
			FirstDay: Day(v[7].(int32)), LastDay: Day(v[8].(int32)), Reporters: int(v[9].(int32))}}
		if n != at || len(same) == maxSame {
			if err := flush(); err != nil {
				return err
			}
			at, addr = n, numberAddr(n)
		}
		row.Addr = addr
		if k, ok := kinds[hash]; ok {
			row.order = k.order
			row.HeaderFrom, row.DKIMDomain, row.DKIMFailed, row.SPFDomain, row.EnvelopeDomain, row.Override = k.text[0], k.text[1], k.text[2], k.text[3], k.text[4], k.text[5]
		} else {
			row.order, row.HeaderFrom = maxKinds, fold(domain)
		}
		same = append(same, row)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// summing is how a domain's messages are summed up. Numbers of double precision
// are exact up to 2^53 and take a third of the time of DuckDB's integers of 128
// bits, which a domain with hostile counts gets.
func (s *Store) summing(ctx context.Context, dom uint32) (string, error) {
	sum := "sum(%s::DOUBLE)"
	err := s.run(ctx, fmt.Sprintf("SELECT coalesce(sum(messages::DOUBLE), 0) FROM report_day WHERE dom = %d", dom), nil, func(r *sql.Rows) error {
		var all float64
		err := r.Scan(&all)
		if all >= 1<<52 {
			sum = "sum(%s)"
		}
		return err
	})
	return sum, err
}

// kind is what one sort of mail has in common: the texts of evidenceColumns.
type kind struct {
	text  [6]string
	order int // among all
}

var errSameHash = errors.New("two kinds of mail have one hash")

// kinds returns the kinds of mail in a selection of record, by their hash.
func (s *Store) kinds(ctx context.Context, from, hash string) (map[uint64]kind, error) {
	q := fmt.Sprintf("SELECT %[1]s, %[2]s FROM (SELECT %[2]s, count(*) AS rows FROM %[3]s GROUP BY %[2]s ORDER BY rows DESC LIMIT %[4]d)", hash, evidenceColumns, from, maxKinds)
	var list []kind
	var hashes []uint64
	text := map[string]string{} // one copy of each name
	err := s.run(ctx, q, nil, func(r *sql.Rows) error {
		var h uint64
		var k kind
		if err := r.Scan(&h, &k.text[0], &k.text[1], &k.text[2], &k.text[3], &k.text[4], &k.text[5]); err != nil {
			return err
		}
		for i, t := range k.text {
			if known, ok := text[t]; ok {
				k.text[i] = known
			} else {
				text[t] = t
			}
		}
		k.order = len(list)
		list, hashes = append(list, k), append(hashes, h)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make(map[uint64]kind, len(list))
	places := make([]int, len(list))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return slices.Compare(list[a].text[:], list[b].text[:]) })
	for i, p := range places {
		k := list[p]
		if _, ok := out[hashes[p]]; ok {
			return nil, errSameHash
		}
		k.order = i
		out[hashes[p]] = k
	}
	return out, nil
}

// GroupDays calls f with the messages of groups of addresses by day, those that
// did not pass apart, in no order. group gives each address's group, by a
// number of the caller's. At most 5,000 addresses are taken. An error of f ends
// the walk and is returned.
//
// Cost: a scan of the domain's records in the window, of five columns.
func (s *Store) GroupDays(ctx context.Context, domain string, w Window, addrs []netip.Addr, group []int, f func(group int, day Day, messages, failing uint64) error) error {
	id, ok := s.domains.id(domain)
	if !ok || len(addrs) == 0 {
		return nil
	}
	if len(addrs) > maxHistory || len(group) != len(addrs) {
		return fmt.Errorf("days of %d addresses in %d groups: at most %d can be asked for, each with its group", len(addrs), len(group), maxHistory)
	}
	nets, hosts := addrTexts(addrs)
	var groups strings.Builder
	for i, g := range group {
		if i > 0 {
			groups.WriteByte(',')
		}
		groups.WriteString(strconv.Itoa(g))
	}
	sp := s.span(id, w)
	from := fmt.Sprintf("record JOIN wanted ON net = a AND host = b WHERE dom = %d AND %s", id, sp.touches())
	q := fmt.Sprintf(`WITH wanted(a, b, g) AS MATERIALIZED (SELECT unnest(string_split(?, ','))::UBIGINT, unnest(string_split(?, ','))::UBIGINT, unnest(string_split(?, ','))::INTEGER)
		SELECT g, %s, %s AS m, %s FROM (%s) GROUP BY g, day HAVING m > 0`,
		dayNumber("day"), total("m"), total("if(dkim_aligned OR spf_aligned, 0, m)"), sp.perDay("g, dkim_aligned, spf_aligned", from))
	return s.query(ctx, q, []any{nets, hosts, groups.String()}, func(r *sql.Rows) error {
		var g int
		var day Day
		var messages, failing uint64
		if err := r.Scan(&g, &day, &messages, &failing); err != nil {
			return err
		}
		return f(g, day, messages, failing)
	})
}
