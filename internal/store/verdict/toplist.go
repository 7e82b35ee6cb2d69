package verdict

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// top is how many domains and senders Live lists.
const top = 20

// Bounds of what a toplist looks at: of each day the thousand with the most,
// and so many sources of a domain or domains of a source.
const (
	topOfDay    = 1000
	maxDistinct = 10_000
)

// toplist finds who failed most, and in whose name, within some ten minutes
// from since to until.
type toplist struct {
	since, until time.Time
	failing      map[netip.Addr]int64
	spoofed      map[string]int64
}

func (t *toplist) slots() (first, last int64) {
	return t.since.Unix() / 60 / slotMinutes, t.until.Add(-1).Unix() / 60 / slotMinutes
}

// each calls f for the rows of a query, whose columns are scanned into the
// places given.
func (f *dayReader) each(ctx context.Context, query string, args []any, into []any, each func()) error {
	rows, err := f.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		each()
	}
	return rows.Err()
}

// add looks at a day.
func (t *toplist) add(ctx context.Context, f *dayReader) error {
	first, last := t.slots()
	var ip []byte
	var author string
	var n int64
	err := f.each(ctx, "SELECT ip, sum(n) AS bad FROM spoof WHERE slot BETWEEN ? AND ? GROUP BY ip ORDER BY bad DESC, ip LIMIT ?",
		[]any{first, last, topOfDay}, []any{&ip, &n}, func() {
			a, _ := netip.AddrFromSlice(ip)
			t.failing[a] += n
		})
	if err != nil {
		return err
	}
	return f.each(ctx, "SELECT author, sum(n) AS bad FROM spoof WHERE slot BETWEEN ? AND ? GROUP BY author ORDER BY bad DESC, author LIMIT ?",
		[]any{first, last, topOfDay}, []any{&author, &n}, func() { t.spoofed[author] += n })
}

// finish gives those with the most, and what else there is to say of them.
func (t *toplist) finish(ctx context.Context, r *Reader) ([]Spoofed, []Sender, error) {
	var spoofed []Spoofed
	for d, n := range t.spoofed {
		spoofed = append(spoofed, Spoofed{Domain: d, Messages: n})
	}
	slices.SortFunc(spoofed, func(a, b Spoofed) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Domain, b.Domain))
	})
	spoofed = spoofed[:min(top, len(spoofed))]
	var senders []Sender
	for a, n := range t.failing {
		senders = append(senders, Sender{Client: a, Failing: n})
	}
	slices.SortFunc(senders, func(a, b Sender) int {
		return cmp.Or(cmp.Compare(b.Failing, a.Failing), a.Client.Compare(b.Client))
	})
	senders = senders[:min(top, len(senders))]
	if len(spoofed) == 0 {
		return nil, nil, nil
	}

	first, last := t.slots()
	sources, domains := map[string]map[netip.Addr]bool{}, map[netip.Addr]map[string]bool{}
	totals := map[netip.Addr]int64{}
	byAuthor, byIP := []any{first, last}, []any{first, last}
	for _, s := range spoofed {
		sources[s.Domain] = map[netip.Addr]bool{}
		byAuthor = append(byAuthor, s.Domain)
	}
	for _, s := range senders {
		domains[s.Client] = map[string]bool{}
		byIP = append(byIP, s.Client.AsSlice())
	}
	marks := func(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }
	err := r.days(ctx, func(f *dayReader) error {
		if f.day < dayOf(t.since) {
			return nil
		}
		var ip []byte
		var author string
		var n int64
		note := func() {
			a, _ := netip.AddrFromSlice(ip)
			if of := sources[author]; of != nil && len(of) < maxDistinct {
				of[a] = true
			}
			if of := domains[a]; of != nil && len(of) < maxDistinct {
				of[author] = true
			}
		}
		err := f.each(ctx, "SELECT DISTINCT author, ip FROM spoof WHERE slot BETWEEN ? AND ? AND author IN ("+marks(len(spoofed))+")", byAuthor, []any{&author, &ip}, note)
		if err == nil {
			err = f.each(ctx, "SELECT DISTINCT author, ip FROM spoof WHERE slot BETWEEN ? AND ? AND ip IN ("+marks(len(senders))+")", byIP, []any{&author, &ip}, note)
		}
		if err == nil {
			// Ten minutes by ten minutes, as the table is ordered.
			err = f.each(ctx, `WITH RECURSIVE t(slot, last) AS (SELECT max(?, (SELECT min(slot) FROM sender)), min(?, (SELECT max(slot) FROM sender))
					UNION ALL SELECT slot + 1, last FROM t WHERE slot < last)
				SELECT s.ip, sum(s.n) FROM t CROSS JOIN sender s WHERE s.slot = t.slot AND s.ip IN (`+marks(len(senders))+`) GROUP BY s.ip`,
				byIP, []any{&ip, &n}, func() {
					a, _ := netip.AddrFromSlice(ip)
					totals[a] += n
				})
		}
		return err
	})
	for i := range spoofed {
		spoofed[i].Sources = int64(len(sources[spoofed[i].Domain]))
	}
	for i := range senders {
		senders[i].Domains = int64(len(domains[senders[i].Client]))
		senders[i].Messages = max(totals[senders[i].Client], senders[i].Failing)
	}
	return spoofed, senders, err
}
