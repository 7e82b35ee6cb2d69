package verdict

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"time"
)

// dayReader is a day's file open for reading. It may be used from several
// goroutines.
type dayReader struct {
	day  string
	db   *sql.DB
	info os.FileInfo // tells whether the name still leads to this file
}

// dayHead is what a day's file says of itself.
type dayHead struct {
	closed  bool
	applied uint64
	base    int64
	counted int64
}

// openForReading opens a day's file; os.ErrNotExist says that there is none
// (any more).
func openForReading(ctx context.Context, dir, day string) (*dayReader, error) {
	path := dayPath(dir, day)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	q := url.Values{"mode": {"ro"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", (2 * time.Second).Milliseconds()),
		"cache_size(-256)", // some thirty files may be open
		"query_only(1)",
	}}
	f, err := openReader(ctx, day, sqliteURI(path, q))
	if err != nil && !isDamaged(err) {
		if _, gone := os.Stat(path); gone != nil {
			return nil, gone
		}
		// In a folder that this process cannot write to, SQLite reads a file
		// that nobody has open as one that does not change.
		if _, busy := os.Stat(path + "-wal"); os.IsNotExist(busy) {
			q.Set("immutable", "1")
			if f2, err2 := openReader(ctx, day, sqliteURI(path, q)); err2 == nil {
				f, err = f2, nil
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("verdicts of %s: %w", day, err)
	}
	f.info = info
	return f, nil
}

func openReader(ctx context.Context, day, uri string) (*dayReader, error) {
	db, err := sql.Open("sqlite", uri)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(2)
	db.SetMaxIdleConns(1)
	var version int
	if err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err == nil {
		switch {
		case version > dayVersion:
			err = fmt.Errorf("written by a newer version of this program")
		case version != dayVersion:
			err = errDamaged
		}
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return &dayReader{day: day, db: db}, nil
}

func (f *dayReader) close() { f.db.Close() }

// head reads how the day stands.
func (f *dayReader) head(ctx context.Context) (dayHead, error) {
	var h dayHead
	var applied int64
	err := f.db.QueryRowContext(ctx, "SELECT closed, applied, base, counted FROM day").Scan(&h.closed, &applied, &h.base, &h.counted)
	h.applied = uint64(applied)
	if err != nil {
		err = fmt.Errorf("verdicts of %s: %w", f.day, err)
	}
	return h, err
}

// has reports whether the file has an entry.
func (f *dayReader) has(ctx context.Context, number uint64) (bool, error) {
	var n int
	err := f.db.QueryRowContext(ctx, "SELECT count(*) FROM entry WHERE id = ?", int64(number)).Scan(&n)
	return n > 0, err
}

// hasPrint reports whether an entry with the print may be of unknown outcome.
func (f *dayReader) hasPrint(ctx context.Context, p [16]byte) (bool, error) {
	var n int
	err := f.db.QueryRowContext(ctx, "SELECT count(*) FROM entry WHERE print = ?", p[:]).Scan(&n)
	return n > 0, err
}

// prints calls add for at most limit prints, and returns how many there were.
func (f *dayReader) prints(ctx context.Context, limit int, add func([16]byte)) (int, error) {
	rows, err := f.db.QueryContext(ctx, "SELECT print FROM entry WHERE print IS NOT NULL LIMIT ?", limit)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return n, err
		}
		if len(b) == 16 {
			add([16]byte(b))
		}
		n++
	}
	return n, rows.Err()
}
