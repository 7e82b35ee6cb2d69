package store

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// left reports whether a file of reports was not closed: its log is still there.
func left(path string) (bool, error) {
	i, err := os.Stat(path + ".wal")
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && i.Size() > 0, err
}

// mendTorn follows the opening of a file that was not closed. Where a process dies
// in the middle of a commit, DuckDB 1.5 takes back what its log holds of that
// transaction, but for whole row groups, which stay in the table until its next
// start or its next checkpoint, whichever comes first. So the checkpoint comes
// now, and what nobody committed is deleted: records and days of a report that
// is not there, and classes that stand there twice, of which the older rows are
// those that the kept answer is about. A crash in between leaves that to the next
// start. Cost: that of a checkpoint, of a look at the newest rows, and of a pass
// over the classes.
func (s *Store) mendTorn(ctx context.Context) error {
	if _, err := s.conn.ExecContext(ctx, "CHECKPOINT"); err != nil {
		return engineError(err)
	}
	var deleted int64
	for _, q := range []string{
		"DELETE FROM record WHERE seq > (SELECT coalesce(max(seq), 0) FROM report)",
		"DELETE FROM report_day WHERE seq > (SELECT coalesce(max(seq), 0) FROM report)",
		`DELETE FROM source_class WHERE rowid IN (
			SELECT unnest(list_sort(list(rowid))[2:]) FROM source_class GROUP BY dom, net, host HAVING count(*) > 1)`,
	} {
		r, err := s.conn.ExecContext(ctx, q)
		if err != nil {
			return fmt.Errorf("rows that nobody committed: %w", engineError(err))
		}
		n, err := r.RowsAffected()
		if err != nil {
			return err
		}
		deleted += n
	}
	if deleted == 0 {
		return nil
	}
	_, err := s.conn.ExecContext(ctx, "CHECKPOINT")
	return engineError(err)
}
