package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// MailFilter says which of a domain's mail is meant: that of some sources, and
// beside it that of some networks; of the networks, only the mail of Authors
// where there are any. Messages that are both count once. The zero MailFilter
// means none.
type MailFilter struct {
	Sources  []string // advise.Source.ID, as last classed; at most 100
	Networks []netip.Prefix
	Authors  []string // author domains, lower case; at most 100
}

const (
	filterMost   = 100 // sources, and authors
	filterNetMax = 512 // networks
)

// records is what follows FROM to select the mail of a domain, with its
// arguments.
func (f MailFilter) records(dom uint32, sp span) (string, []any, error) {
	if len(f.Sources) > filterMost || len(f.Authors) > filterMost || len(f.Networks) > filterNetMax {
		return "", nil, fmt.Errorf("mail of %d sources, %d networks and %d authors: at most %d, %d and %d can be asked for",
			len(f.Sources), len(f.Networks), len(f.Authors), filterMost, filterNetMax, filterMost)
	}
	var or []string
	var args []any
	if len(f.Sources) > 0 {
		or = append(or, fmt.Sprintf("(net, host) IN (SELECT net, host FROM source_class WHERE dom = %d AND source IN (?%s))", dom, strings.Repeat(", ?", len(f.Sources)-1)))
		for _, id := range f.Sources {
			args = append(args, id)
		}
	}
	if len(f.Networks) > 0 {
		var nets []string
		for _, p := range f.Networks {
			if !p.IsValid() {
				return "", nil, fmt.Errorf("mail of networks: one of them is not valid")
			}
			nets = append(nets, addrRange(p.String()))
		}
		cond := "(" + strings.Join(nets, " OR ") + ")"
		if len(f.Authors) > 0 {
			cond = "(" + cond + " AND header_from IN (?" + strings.Repeat(", ?", len(f.Authors)-1) + "))"
			for _, a := range f.Authors {
				args = append(args, fold(a))
			}
		}
		or = append(or, cond)
	}
	if len(or) == 0 {
		or = []string{"false"}
	}
	return "record WHERE dom = " + strconv.FormatUint(uint64(dom), 10) + " AND " + sp.touches() + " AND (" + strings.Join(or, " OR ") + ")", args, nil
}

// MailDaily returns each day of the window on which there was mail of a
// filter, oldest first. Cost: a scan of the domain's records in the window.
func (s *Store) MailDaily(ctx context.Context, domain string, w Window, f MailFilter) ([]DayTotals, error) {
	return mail(ctx, s, domain, w, f, s.sourceDaily)
}

// MailReporters returns who reported mail of a filter, the most messages
// first, at most 1,000. Cost: a scan of the domain's records in the window.
func (s *Store) MailReporters(ctx context.Context, domain string, w Window, f MailFilter) ([]ReporterTotals, error) {
	return mail(ctx, s, domain, w, f, s.sourceReporters)
}

// MailAuth returns the DKIM and SPF results of mail of a filter that failed
// DMARC, the most messages first, at most 1,000. Cost: a scan of the domain's
// failing records in the window with their lists of results.
func (s *Store) MailAuth(ctx context.Context, domain string, w Window, f MailFilter) ([]AuthTotals, error) {
	return mail(ctx, s, domain, w, f, func(ctx context.Context, sp span, from string, args []any) ([]AuthTotals, error) {
		return s.sourceAuth(ctx, sp, from+" AND NOT dkim_aligned AND NOT spf_aligned", args)
	})
}

// MailEnvelopes returns the names that mail of a filter carries, the most
// messages first, at most 1,000. Cost: a scan of the domain's records in the window.
func (s *Store) MailEnvelopes(ctx context.Context, domain string, w Window, f MailFilter) ([]EnvelopeTotals, error) {
	return mail(ctx, s, domain, w, f, s.sourceEnvelopes)
}

// MailAddresses returns the addresses of mail of a filter that failed DMARC,
// the most messages first, limit of them (0: 50; the most is 1,000). Cost: a
// scan of the domain's failing records in the window.
func (s *Store) MailAddresses(ctx context.Context, domain string, w Window, f MailFilter, limit int) ([]AddressTotals, error) {
	limit, _ = Page{Limit: limit}.bounds()
	return mail(ctx, s, domain, w, f, func(ctx context.Context, sp span, from string, args []any) ([]AddressTotals, error) {
		q := fmt.Sprintf(`SELECT net, host, m, %s, %s, reporters FROM (
				SELECT net, host, %s AS m, min(a) AS a, max(b) AS b, count(DISTINCT org) AS reporters FROM (
					SELECT net, host, org, %s AS m, %s AS a, %s AS b FROM %s AND NOT dkim_aligned AND NOT spf_aligned)
				GROUP BY net, host HAVING m > 0)
			ORDER BY m DESC, net, host LIMIT %d`,
			dayNumber("a"), dayNumber("b"), total("m"), sp.messages(), sp.firstDay(), sp.lastDay(), from, limit)
		var out []AddressTotals
		err := s.query(ctx, q, args, func(r *sql.Rows) error {
			var n number
			var a AddressTotals
			err := r.Scan(&n.net, &n.host, &a.Messages, &a.FirstDay, &a.LastDay, &a.Reporters)
			a.Addr, a.Failing = numberAddr(n), a.Messages
			out = append(out, a)
			return err
		})
		return out, err
	})
}

func mail[T any](ctx context.Context, s *Store, domain string, w Window, f MailFilter, ask func(ctx context.Context, sp span, from string, args []any) ([]T, error)) ([]T, error) {
	id, ok := s.domains.id(domain)
	if !ok {
		return nil, nil
	}
	sp := s.span(id, w)
	from, args, err := f.records(id, sp)
	if err != nil {
		return nil, err
	}
	return ask(ctx, sp, from, args)
}
