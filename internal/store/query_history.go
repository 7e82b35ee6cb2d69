package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxHistory is how many addresses History takes at a time.
const maxHistory = 5000

// History calls f with the messages of some addresses by day, those that did
// not pass apart, in the order of addresses and days. An error of f ends the
// walk and is returned. At most 5,000 addresses are taken. f may call methods
// that read.
//
// Cost: a scan of the domain's records in the window, of five columns.
func (s *Store) History(ctx context.Context, domain string, w Window, addrs []netip.Addr, f func(addr netip.Addr, day Day, messages, failing uint64) error) error {
	id, ok := s.domains.id(domain)
	if !ok || len(addrs) == 0 {
		return nil
	}
	if len(addrs) > maxHistory {
		return fmt.Errorf("history of %d addresses: at most %d can be asked for", len(addrs), maxHistory)
	}
	nets, hosts := addrTexts(addrs)
	sp := s.span(id, w)
	from := fmt.Sprintf("record WHERE dom = %d AND %s AND (net, host) IN (SELECT a, b FROM wanted)", id, sp.touches())
	q := fmt.Sprintf(`WITH wanted(a, b) AS MATERIALIZED (SELECT unnest(string_split(?, ','))::UBIGINT, unnest(string_split(?, ','))::UBIGINT)
		SELECT net, host, %s, %s AS m, %s FROM (%s) GROUP BY net, host, day HAVING m > 0 ORDER BY net, host, day`,
		dayNumber("day"), total("m"), total("if(dkim_aligned OR spf_aligned, 0, m)"),
		sp.perDay("net, host, dkim_aligned, spf_aligned", from))
	return s.query(ctx, q, []any{nets, hosts}, func(r *sql.Rows) error {
		var n number
		var day Day
		var messages, failing uint64
		if err := r.Scan(&n.net, &n.host, &day, &messages, &failing); err != nil {
			return err
		}
		return f(numberAddr(n), day, messages, failing)
	})
}

// addrTexts writes the halves of addresses with commas between. A query takes
// them as two texts: to parse and plan thousands of literals takes longer than
// the scan of a small domain.
func addrTexts(addrs []netip.Addr) (nets, hosts string) {
	var net, host strings.Builder
	for i, a := range addrs {
		if i > 0 {
			net.WriteByte(',')
			host.WriteByte(',')
		}
		n := addrNumber(a)
		net.WriteString(strconv.FormatUint(n.net, 10))
		host.WriteString(strconv.FormatUint(n.host, 10))
	}
	return net.String(), host.String()
}
