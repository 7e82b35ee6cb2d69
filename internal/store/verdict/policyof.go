package verdict

import (
	"context"
	"fmt"
	"strings"
)

// PoliciesOf returns the numbers of a day's policies of one domain, an A-label in
// lower case, for Rows: without counting what came under them, which reads the
// whole day. ErrUnknown says that nothing is kept of the day, or that its file is
// damaged.
func (r *Reader) PoliciesOf(ctx context.Context, day, domain string) ([]int64, error) {
	var out []int64
	err := r.with(ctx, day, func(f *dayReader) error {
		rows, err := f.db.QueryContext(ctx, "SELECT id FROM policy WHERE domain = ? ORDER BY id", strings.ToLower(domain))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return err
			}
			out = append(out, id)
		}
		return rows.Err()
	})
	if isDamaged(err) {
		err = fmt.Errorf("verdicts of %s: %w", day, ErrUnknown) // the Log sets it aside
	}
	return out, err
}

// DayNames returns the days that have a file, the oldest first, as "2026-11-22",
// without opening any.
func (r *Reader) DayNames() ([]string, error) { return listDays(r.dir) }
