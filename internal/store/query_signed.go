package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Signature names DKIM signatures by their d= and s=.
type Signature struct{ Domain, Selector string }

// Signed returns how many messages of a policy domain the reports of a window
// tell of that were aligned by DKIM and bore one of these signatures, which
// passed. Receivers that name no selector are not counted. Without signatures it
// is 0, and nothing is read. Cost: a scan of the domain's records in the window
// that were aligned by DKIM, with their lists of results.
func (s *Store) Signed(ctx context.Context, domain string, w Window, by []Signature) (uint64, error) {
	id, ok := s.domains.id(domain)
	if !ok || len(by) == 0 {
		return 0, nil
	}
	var is []string
	var args []any
	for _, g := range by {
		is = append(is, "lower(x.selector) = ? AND lower(x.domain) = ?")
		args = append(args, strings.ToLower(g.Selector), fold(g.Domain))
	}
	sp := s.span(id, w)
	q := fmt.Sprintf("SELECT %s FROM (SELECT %s AS m FROM record WHERE dom = %d AND dkim_aligned AND %s AND len([1 for x in dkim if x.result = 'pass' AND (%s)]) > 0)",
		total("m"), sp.messages(), id, sp.touches(), strings.Join(is, " OR "))
	var n uint64
	err := s.run(ctx, q, args, func(r *sql.Rows) error { return r.Scan(&n) })
	return n, err
}
