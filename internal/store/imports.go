package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// filesDone gathers the results of files, so that many small files cost few
// transactions. Losing some in a crash only means reading those files again.
type filesDone struct {
	mu      sync.Mutex
	pending map[fileKey]FileResult
	since   time.Time
}

type fileKey struct {
	importID int64
	path     string
}

// FileDone is written out after this many files or this long.
const (
	filesPending = 256
	filesWait    = 250 * time.Millisecond
)

// StartImport begins an import, or goes on with an interrupted one that has
// the same paths in the same order (Resumed is then set). Paths should be
// absolute and clean. Every StartImport wants an EndImport.
func (s *Store) StartImport(ctx context.Context, spec ImportSpec) (Import, error) {
	im := Import{Paths: slices.Clone(spec.Paths)}
	if err := s.closeImports(ctx); err != nil {
		return im, err
	}
	err := s.change(ctx, "start an import", func(tx *sql.Tx) error {
		paths := jsonText(spec.Paths)
		unfinished, err := queryImports(ctx, tx, "SELECT "+importColumns+" FROM import WHERE finished = 0 AND paths = ? ORDER BY id DESC", paths)
		if err != nil {
			return err
		}
		for _, u := range unfinished {
			if s.running.begin(u.ID) {
				im, im.Resumed = u, true
				return nil
			}
		}
		im.Started = time.Now().UTC().Truncate(time.Second)
		r, err := tx.ExecContext(ctx, "INSERT INTO import (paths, started) VALUES (?, ?)", paths, im.Started.Unix())
		if err != nil {
			return err
		}
		if im.ID, err = r.LastInsertId(); err == nil {
			s.running.begin(im.ID)
		}
		return err
	})
	return im, err
}

const importColumns = "id, paths, started, finished, files, reports, rows, messages, duplicates, rejected, failures, failures_again"

type scanner interface{ Scan(...any) error }

func scanImport(row scanner, im *Import) error {
	var paths string
	var started, finished, messages int64
	err := row.Scan(&im.ID, &paths, &started, &finished, &im.Files, &im.Reports, &im.Rows, &messages, &im.Duplicates, &im.Rejected, &im.FailureReports, &im.FailureDuplicates)
	if err != nil {
		return err
	}
	im.Started, im.Messages = time.Unix(started, 0).UTC(), uint64(messages)
	if finished != 0 {
		im.Finished = time.Unix(finished, 0).UTC()
	}
	return json.Unmarshal([]byte(paths), &im.Paths)
}

// FileDone notes that a file of an import is wholly dealt with: its reports
// were put, what was refused is in quarantine. The note itself becomes durable
// a little later, with others, and at the latest in EndImport or Close; a
// crash before that makes the import read the file again.
func (s *Store) FileDone(ctx context.Context, importID int64, r FileResult) error {
	s.files.mu.Lock()
	if s.files.pending == nil {
		s.files.pending = map[fileKey]FileResult{}
	}
	if len(s.files.pending) == 0 {
		s.files.since = time.Now()
	}
	r.Rejected = slices.Clone(r.Rejected)
	s.files.pending[fileKey{importID, r.Path}] = r
	full := len(s.files.pending) >= filesPending || time.Since(s.files.since) >= filesWait
	s.files.mu.Unlock()
	if !full {
		return nil
	}
	done, err := s.reading()
	if err != nil {
		return err
	}
	defer done()
	return s.flushFiles(ctx)
}

// flushFiles writes out the files that are pending.
func (s *Store) flushFiles(ctx context.Context) error {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	if len(s.files.pending) == 0 {
		return nil
	}
	err := transaction(ctx, s.state, func(tx *sql.Tx) error {
		st, err := tx.PrepareContext(ctx, `INSERT OR REPLACE INTO import_file (import, path, size, mtime, reports, rows, duplicates, messages, rejected, failures, failures_again)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		defer st.Close()
		for k, r := range s.files.pending {
			if r.Rejected == nil {
				r.Rejected = []Rejected{}
			}
			_, err := st.ExecContext(ctx, k.importID, r.Path, r.Size, r.ModTime.UnixNano(), r.Reports, r.Rows, r.Duplicates, int64(r.Messages), jsonText(r.Rejected), r.FailureReports, r.FailureDuplicates)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note files of an import: %w", err)
	}
	clear(s.files.pending)
	return nil
}

// FileDoneResult returns what FileDone noted for a file of the import, if the
// file has the same path, size and modification time; of f only these count.
func (s *Store) FileDoneResult(ctx context.Context, importID int64, f FileResult) (FileResult, bool, error) {
	done, err := s.reading()
	if err != nil {
		return FileResult{}, false, err
	}
	defer done()
	s.files.mu.Lock()
	r, ok := s.files.pending[fileKey{importID, f.Path}]
	s.files.mu.Unlock()
	if ok {
		return r, r.Size == f.Size && r.ModTime.Equal(f.ModTime), nil
	}
	r = FileResult{Path: f.Path, Size: f.Size, ModTime: f.ModTime}
	var messages int64
	var rejected string
	err = s.state.QueryRowContext(ctx, `SELECT reports, rows, duplicates, messages, rejected, failures, failures_again FROM import_file
		WHERE import = ? AND path = ? AND size = ? AND mtime = ?`, importID, f.Path, f.Size, f.ModTime.UnixNano()).
		Scan(&r.Reports, &r.Rows, &r.Duplicates, &messages, &rejected, &r.FailureReports, &r.FailureDuplicates)
	if errors.Is(err, sql.ErrNoRows) {
		return FileResult{}, false, nil
	}
	if err != nil {
		return FileResult{}, false, err
	}
	r.Messages = uint64(messages)
	return r, true, json.Unmarshal([]byte(rejected), &r.Rejected)
}

// Imports lists imports, newest first, with how many there are. An unfinished
// one's totals are zero.
func (s *Store) Imports(ctx context.Context, p Page) ([]Import, int64, error) {
	done, err := s.reading()
	if err != nil {
		return nil, 0, err
	}
	defer done()
	var total int64
	if err := s.state.QueryRowContext(ctx, "SELECT count(*) FROM import").Scan(&total); err != nil {
		return nil, 0, err
	}
	limit, offset := p.bounds()
	out, err := queryImports(ctx, s.state, "SELECT "+importColumns+" FROM import ORDER BY id DESC LIMIT ? OFFSET ?", limit, offset)
	return out, total, err
}

// queryImports reads imports whole; there are few.
func queryImports(ctx context.Context, q interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}, query string, args ...any) ([]Import, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Import
	for rows.Next() {
		var im Import
		if err := scanImport(rows, &im); err != nil {
			return nil, err
		}
		out = append(out, im)
	}
	return out, rows.Err()
}
