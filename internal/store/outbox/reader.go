package outbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Reader reads a folder's outbox, also while a process sends from it. A folder
// without one holds nothing, until it has one. Its methods may be called from
// any goroutine.
type Reader struct {
	dir string

	mu  sync.Mutex
	box *Box // nil until there is one
}

// Read returns a Reader of the gateway's folder.
func Read(dir string) (*Reader, error) { return &Reader{dir: dir}, nil }

// Close closes the Reader.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.box == nil {
		return nil
	}
	err := r.box.Close()
	r.box = nil
	return err
}

// Box returns the outbox, or nil where there is none yet. It is closed with
// the Reader.
func (r *Reader) Box() (*Box, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.box != nil {
		return r.box, nil
	}
	_, err := os.Stat(filepath.Join(r.dir, "outbox.sqlite"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	r.box, err = Open(r.dir)
	return r.box, err
}

// Reports returns reports with what became of them, the newest day first, then
// by domain; and how many there are in all.
func (r *Reader) Reports(ctx context.Context, f Filter) ([]Entry, int64, error) {
	b, err := r.Box()
	if b == nil {
		return nil, 0, err
	}
	n, err := b.Count(ctx, f)
	if err != nil {
		return nil, 0, err
	}
	list, err := b.List(ctx, f)
	return list, n, err
}

// Report returns the report with a report id, or ErrUnknown.
func (r *Reader) Report(ctx context.Context, reportID string) (Entry, error) {
	b, err := r.Box()
	if err != nil {
		return Entry{}, err
	}
	if b == nil {
		return Entry{}, ErrUnknown
	}
	list, err := b.entries(ctx, "(SELECT * FROM report WHERE report_id = ? ORDER BY id DESC LIMIT 1)", reportID)
	if err == nil && len(list) == 0 {
		err = ErrUnknown
	}
	if err != nil {
		return Entry{}, err
	}
	return list[0], nil
}

// Open opens the report with a report id as it was frozen, gzipped, and tells
// the name that it is sent under. A report that goes nowhere was not written:
// ErrUnknown, as for one that is not there.
func (r *Reader) Open(ctx context.Context, reportID string) (gz io.ReadCloser, name string, err error) {
	e, err := r.Report(ctx, reportID)
	if err != nil {
		return nil, "", err
	}
	if e.File == "" {
		return nil, "", fmt.Errorf("%w: the report on %s of %s goes nowhere, and was not written", ErrUnknown, e.Domain, e.Day)
	}
	f, err := os.Open(filepath.Join(r.dir, Folder, e.File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if err != nil {
		return nil, "", fmt.Errorf("outbox: %w", err)
	}
	return f, e.Filename, nil
}
