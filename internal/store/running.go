package store

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

// endWait is how long a whole import stays open for going on with. A process
// that is killed after its import was whole, but before its user saw the
// result, so gives the same result when asked again.
const endWait = 2 * time.Second

// runningImports are the imports that goroutines of this process are at, and
// those that are whole and about to be closed.
type runningImports struct {
	mu    sync.Mutex
	ids   map[int64]bool
	whole []int64
}

// begin marks an import as running; false says that it was already.
func (r *runningImports) begin(id int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids[id] {
		return false
	}
	if r.ids == nil {
		r.ids = map[int64]bool{}
	}
	r.ids[id] = true
	return true
}

// any reports whether an import is at work.
func (r *runningImports) any() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids) > len(r.whole)
}

// end takes an import off the running ones, or, a whole one, off the list a
// little later.
func (r *runningImports) end(id int64, whole bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if whole {
		r.whole = append(r.whole, id)
	} else {
		delete(r.ids, id)
	}
}

// close closes the imports that are whole: their files are forgotten, their
// totals kept.
func (r *runningImports) close(ctx context.Context, state *sql.DB) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.whole) > 0 {
		id := r.whole[0]
		err := transaction(ctx, state, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `UPDATE import SET finished = ?2,
				(files, reports, rows, messages, duplicates, rejected, failures, failures_again) =
				(SELECT count(*), coalesce(sum(reports), 0), coalesce(sum(rows), 0), coalesce(sum(messages), 0),
					coalesce(sum(duplicates), 0), coalesce(sum(json_array_length(rejected)), 0),
					coalesce(sum(failures), 0), coalesce(sum(failures_again), 0)
				FROM import_file WHERE import = ?1)
				WHERE id = ?1 AND finished = 0`, id, time.Now().Unix())
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "DELETE FROM import_file WHERE import = ?", id)
			return err
		})
		if err != nil {
			return fmt.Errorf("close an import: %w", err)
		}
		delete(r.ids, id)
		r.whole = r.whole[1:]
	}
	return nil
}

// EndImport ends a run of an import. One that is not whole is left for
// StartImport to go on with; a whole one is closed soon after, at the latest
// as the last thing that Close does.
func (s *Store) EndImport(ctx context.Context, importID int64, whole bool) error {
	done, err := s.reading()
	if err != nil {
		s.running.end(importID, false)
		return err
	}
	defer done()
	if err := s.flushFiles(ctx); err != nil {
		s.running.end(importID, false)
		return err
	}
	s.running.end(importID, whole)
	if whole {
		// A failure leaves it for Close, which reports it.
		time.AfterFunc(endWait, func() { _ = s.closeImports(context.Background()) })
	}
	return nil
}

// closeImports closes the imports that are whole.
func (s *Store) closeImports(ctx context.Context) error {
	done, err := s.reading()
	if err != nil {
		return err
	}
	defer done()
	return s.running.close(ctx, s.state)
}
