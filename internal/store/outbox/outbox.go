// Package outbox keeps what has to be sent and what became of it: aggregate
// reports, each destination apart, through days of retries and restarts.
//
// # What a crash can do
//
// Everything is in one SQLite file (write-ahead log, synchronous=FULL) beside
// the folder of report files, and a change is durable when its method returns.
// A report goes through it thus:
//
//  1. The day is closed, so that its rows never change again.
//  2. The report's file is written under a temporary name, synced and renamed.
//     A file without an entry here was never sent, and is written again.
//  3. [Box.Add] enters the report with all its deliveries, in one transaction.
//     A day and a policy have one entry at most (a unique key), so from here on
//     the file is never written again: two different reports about the same rows
//     cannot be.
//  4. A delivery is sent, always from that file, and marked when the MTA has
//     taken it. A crash in between has it sent again: the same report id, the
//     same message id, the same file, which tells the reader that it is one.
//  5. When all of a day's reports are entered the day is marked ([Box.MarkDay]).
//     Until then making it is begun again, and skips what is there. Marks are
//     kept for ever.
//
// One process at a time makes and sends (Lock); any number read.
package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Errors of a Box.
var (
	// ErrLocked: another process sends at the moment.
	ErrLocked = errors.New("another process is sending reports")
	// ErrExists: the day has a report on this policy already.
	ErrExists = errors.New("the day has a report on this policy already")
	// ErrUnknown: there is no such report.
	ErrUnknown = errors.New("no such report")
)

// Folder is where the report files are, below the gateway's folder.
const Folder = "out"

// Box is an open outbox. Its methods may be called from any goroutine.
type Box struct {
	dir string
	db  *sql.DB
}

// Open opens the outbox of the gateway's folder, and makes it where there is
// none.
func Open(dir string) (*Box, error) {
	if err := os.MkdirAll(filepath.Join(dir, Folder), 0o700); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	path := filepath.Join(dir, "outbox.sqlite")
	// The file holds addresses: it is made for its owner alone.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	f.Close()
	esc := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	opt := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}}
	db, err := sql.Open("sqlite", "file:"+esc+"?"+opt.Encode())
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(2)
	b := &Box{dir: dir, db: db}
	if err := b.migrate(context.Background()); err != nil {
		db.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// Close closes the outbox.
func (b *Box) Close() error { return b.db.Close() }

// Path is where a report's file is; its name is as in Report.File.
func (b *Box) Path(file string) string { return filepath.Join(b.dir, Folder, file) }

// Lock makes this the one that makes and sends reports of the folder; the
// function it returns ends that. It does not wait: ErrLocked says that it is
// somebody else, be it of this process. The lock goes away with the process,
// however it ends.
func Lock(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "outbox.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// change runs f in a durable transaction.
func (b *Box) change(ctx context.Context, doing string, f func(*sql.Tx) error) error {
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("outbox: %s: %w", doing, err)
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback()
		return fmt.Errorf("outbox: %s: %w", doing, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("outbox: %s: %w", doing, err)
	}
	return nil
}
