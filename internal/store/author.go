package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
)

// AuthorTotals is the mail of one author domain (the domain of From).
type AuthorTotals struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Failing  uint64 `json:"failing"`
	// Of Failing, by the class of the address (SetClasses). What is left over
	// is of aligned sources: the few that break on the way.
	Broken    uint64 `json:"broken"`
	Forwarder uint64 `json:"forwarder"`
	Unknown   uint64 `json:"unknown"`
	Spoof     uint64 `json:"spoof"`

	FirstDay    Day `json:"first_day"`
	LastDay     Day `json:"last_day"`
	LastAligned Day `json:"last_aligned"` // last day on which a message passed; 0 for none
	Reporters   int `json:"reporters"`
}

// authorsMost bounds the names that AuthorNames gives: anyone can send mail
// from names that he makes up.
const authorsMost = 200_000

// AuthorNames calls f with the author domains of a policy domain's reports, in
// the order of their octets, and returns how many there are. Those with the
// most messages come, limit of them (0: 200,000, which is also the most). An
// error of f ends the walk and is returned. f may call methods that read.
// Reporters is as exact as that of Sources. Cost: a scan of the domain's
// records in the window, joined with its classes.
func (s *Store) AuthorNames(ctx context.Context, domain string, w Window, limit int, f func(AuthorTotals) error) (int64, error) {
	id, ok := s.domains.id(domain)
	if !ok {
		return 0, nil
	}
	if limit <= 0 || limit > authorsMost {
		limit = authorsMost
	}
	def, err := s.defaultClass(ctx, id)
	if err != nil {
		return 0, err
	}
	sp := s.span(id, w)
	of := func(class string) string { return total("if(class = '" + class + "', m, 0)") }
	q := fmt.Sprintf(`WITH c AS (SELECT net, host, class FROM source_class WHERE dom = %[1]d),
		r AS (SELECT header_from, org, dkim_aligned OR spf_aligned AS aligned, net, host, %[2]s AS m, %[3]s AS a, %[4]s AS b FROM record WHERE dom = %[1]d AND %[5]s),
		k AS (SELECT header_from, org, aligned, m, a, b, if(aligned, '', coalesce(c.class, ?)) AS class FROM r LEFT JOIN c USING (net, host))
		SELECT * FROM (
			SELECT header_from, %[6]s AS messages, %[7]s, %[8]s, %[9]s, %[10]s, %[11]s, %[12]s, %[13]s, coalesce(%[14]s, 0),
				(bit_count(bit_or(if(org & 64 = 0, 1::UBIGINT << (org & 63), 0))) + bit_count(bit_or(if(org & 64 = 0, 0, 1::UBIGINT << (org & 63)))))::INTEGER, count(*) OVER ()
			FROM k GROUP BY header_from HAVING messages > 0 ORDER BY messages DESC, header_from LIMIT %[15]d)
		ORDER BY header_from`,
		id, sp.messages(), sp.firstDay(), sp.lastDay(), sp.touches(),
		total("m"), total("if(aligned, 0, m)"), of("broken"), of("forwarder"), of("unknown"), of("spoof"),
		dayNumber("min(a)"), dayNumber("max(b)"), dayNumber("max(if(aligned, b, NULL))"), limit)
	var count int64
	err = s.run(ctx, q, []any{def.Class}, func(r *sql.Rows) error {
		var a AuthorTotals
		err := r.Scan(&a.Name, &a.Messages, &a.Failing, &a.Broken, &a.Forwarder, &a.Unknown, &a.Spoof, &a.FirstDay, &a.LastDay, &a.LastAligned, &a.Reporters, &count)
		if err != nil {
			return err
		}
		return f(a)
	})
	return count, err
}

// AuthorDaily returns each day of the window on which mail of an author domain
// was reported under a policy domain, oldest first. Cost: a scan of the
// domain's records in the window.
func (s *Store) AuthorDaily(ctx context.Context, domain, author string, w Window) ([]DayTotals, error) {
	id, ok := s.domains.id(domain)
	if !ok {
		return nil, nil
	}
	sp := s.span(id, w)
	author = fold(author)
	return s.sourceDaily(ctx, sp, fmt.Sprintf("record WHERE dom = %d AND %s AND header_from = ?", id, sp.touches()), []any{author})
}

// sourceDomainsMost is how many addresses SourceDomains takes.
const sourceDomainsMost = 250_000

// SourceDomains returns how many of the policy domains that the store knows
// have mail from each of some addresses in a window; addresses without are left
// out. Where the store knows one domain only, each address is taken to have
// sent in its name. At most 250,000 addresses are taken.
//
// Cost: a scan of three columns of all records in the window.
func (s *Store) SourceDomains(ctx context.Context, addrs []netip.Addr, w Window) (map[netip.Addr]int, error) {
	if len(addrs) > sourceDomainsMost {
		return nil, fmt.Errorf("domains of %d addresses: at most %d can be asked for", len(addrs), sourceDomainsMost)
	}
	out := make(map[netip.Addr]int, len(addrs))
	s.domains.mu.RLock()
	domains := len(s.domains.names)
	s.domains.mu.RUnlock()
	if domains == 1 {
		for _, a := range addrs {
			out[a.Unmap().WithZone("")] = 1
		}
	}
	if domains <= 1 || len(addrs) == 0 {
		return out, nil
	}
	nets, hosts := addrTexts(addrs)
	sp := spanOf(w)
	s.mu.RLock()
	sp.longest = 1
	for _, n := range s.newest {
		sp.longest = max(sp.longest, n.longest)
	}
	s.mu.RUnlock()
	q := fmt.Sprintf(`WITH wanted(a, b) AS MATERIALIZED (SELECT unnest(string_split(?, ','))::UBIGINT, unnest(string_split(?, ','))::UBIGINT)
		SELECT net, host, count(DISTINCT dom) FROM record WHERE %s AND (net, host) IN (SELECT a, b FROM wanted) GROUP BY net, host`, sp.touches())
	err := s.run(ctx, q, []any{nets, hosts}, func(r *sql.Rows) error {
		var n number
		var count int
		err := r.Scan(&n.net, &n.host, &count)
		out[numberAddr(n)] = count
		return err
	})
	return out, err
}
