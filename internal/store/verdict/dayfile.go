package verdict

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"
	"modernc.org/sqlite"
)

// A day's file, DATA/gateway/YYYY-MM-DD.sqlite, holds the entries whose time
// is in that UTC day, and those of earlier days that were closed before their
// entries came.
//
// A message costs some 140 octets in entry (its identifiers, addresses and
// sizes), 80 in find (four to five of its keys are new in their block of 64
// entries), and its share of row, sender and spoof, which grow with the kinds
// of mail rather than with its amount: 234 in all for a day of 1,000,000
// (BenchmarkFind with VERDICT_SCALE). A message that makes a row of its own
// takes some 300 more.
const daySchema = `
CREATE TABLE day (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	closed INTEGER NOT NULL,  -- no entry is added any more
	applied INTEGER NOT NULL, -- the highest number of the journal that is in here
	base INTEGER NOT NULL,    -- the run of the first entry: see find
	counted INTEGER NOT NULL  -- messages that reports count
);
INSERT INTO day VALUES (1, 0, 0, -1, 0);
CREATE TABLE policy (
	id INTEGER PRIMARY KEY,
	domain TEXT NOT NULL, text TEXT NOT NULL, method TEXT NOT NULL,
	UNIQUE (domain, text, method)
);
-- A row of a report, told apart further by words, action, rule and the codes of
-- the explanation. It does not change; its count is in tally.
CREATE TABLE row (
	id INTEGER PRIMARY KEY,
	policy INTEGER NOT NULL,
	ip BLOB NOT NULL,
	key BLOB NOT NULL,  -- 12 octets tell the report row, 6 the kind
	data BLOB NOT NULL, -- see appendKind
	why BLOB            -- see appendSteps; compressed
);
CREATE UNIQUE INDEX row_key ON row (policy, ip, key);
CREATE TABLE tally (row INTEGER PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE entry (
	id INTEGER PRIMARY KEY,
	row INTEGER NOT NULL,
	state INTEGER NOT NULL,
	data BLOB NOT NULL, -- see appendMessage
	print BLOB,         -- where the outcome is not known
	heir INTEGER        -- the entry that came in its place
);
CREATE INDEX entry_print ON entry (print) WHERE print IS NOT NULL;
-- Which block of 64 entries has a key; see findKey.
CREATE TABLE find (k INTEGER PRIMARY KEY);
-- Live figures: by minute of Entry.Time, and by ten minutes (slot).
CREATE TABLE minute (m INTEGER PRIMARY KEY, lo INTEGER NOT NULL, hi INTEGER NOT NULL, counts BLOB NOT NULL);
CREATE TABLE sender (slot INTEGER, ip BLOB, n INTEGER NOT NULL, PRIMARY KEY (slot, ip)) WITHOUT ROWID;
CREATE TABLE spoof (slot INTEGER, author TEXT, ip BLOB, n INTEGER NOT NULL, PRIMARY KEY (slot, author, ip)) WITHOUT ROWID;
PRAGMA user_version = 1;
`

const (
	dayVersion = 1
	daySuffix  = ".sqlite"
	dayLayout  = "2006-01-02"
)

// State of an entry, in its column.
const (
	stateOpen      = iota // the MTA has not gone on yet; after a restart: nobody knows
	stateConfirmed        // the MTA got the answer
	stateCancelled        // it did not
	stateReplaced         // the same message came again: heir
	stateLeft             // nobody knows
	stateMask      = 7
	// counted: the row's tally counts this entry.
	counted = 8
	// shadow: an earlier copy of the message is counted in a day that is closed,
	// so this one is not.
	shadow = 16
	// heir: this one counts in place of an earlier copy.
	heir = 32
)

// sqliteURI is what opens a file.
func sqliteURI(path string, q url.Values) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}).String()
}

func dayPath(dir, day string) string { return filepath.Join(dir, day+daySuffix) }

func dayOf(t time.Time) string { return t.UTC().Format(dayLayout) }

func nextDay(day string) (string, error) {
	t, err := time.Parse(dayLayout, day)
	if err != nil {
		return "", fmt.Errorf("day %q: want YYYY-MM-DD", day)
	}
	return dayOf(t.AddDate(0, 0, 1)), nil
}

// listDays lists the days that have a file, the oldest first. A folder that is
// not there has none.
func listDays(dir string) ([]string, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("verdicts: %w", err)
	}
	var out []string
	for _, n := range names {
		day, ok := strings.CutSuffix(n.Name(), daySuffix)
		if _, err := time.Parse(dayLayout, day); !ok || err != nil {
			continue
		}
		out = append(out, day)
	}
	slices.Sort(out)
	return out, nil
}

// dayFile is a day's file open for writing. It serves one goroutine.
type dayFile struct {
	day, path string
	db        *sql.DB
	conn      *sql.Conn
	stmts     map[string]*sql.Stmt
	dirty     bool // committed, not synced
	info      os.FileInfo

	rows     rowIDs
	policies map[Policy]int64
	zip      *zstd.Encoder
}

// pack compresses an explanation.
func (d *dayFile) pack(b []byte) []byte { return d.zip.EncodeAll(b, nil) }

// openDay opens a day's file for writing, and makes it where there is none.
func openDay(ctx context.Context, dir, day string, busy time.Duration) (*dayFile, error) {
	path := dayPath(dir, day)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := makeDay(ctx, dir, day); err != nil {
			return nil, fmt.Errorf("verdicts of %s: %w", day, err)
		}
	}
	q := url.Values{"mode": {"rw"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()),
		"synchronous(NORMAL)",
		"wal_autocheckpoint(4000)",
		"journal_size_limit(33554432)",
		"cache_size(-4096)",
	}}
	db, err := sql.Open("sqlite", sqliteURI(path, q))
	if err != nil {
		return nil, fmt.Errorf("verdicts of %s: %w", day, err)
	}
	db.SetMaxOpenConns(1)
	d := &dayFile{day: day, path: path, db: db, stmts: map[string]*sql.Stmt{}, policies: map[Policy]int64{}}
	if d.conn, err = db.Conn(ctx); err == nil {
		var version int
		err = d.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
		switch {
		case err != nil:
		case version > dayVersion:
			err = fmt.Errorf("%s was written by a newer version of this program", path)
		case version != dayVersion:
			err = errDamaged
		}
	}
	if err == nil {
		d.info, err = os.Stat(path)
	}
	if err != nil {
		d.close()
		return nil, fmt.Errorf("verdicts of %s: %w", day, err)
	}
	return d, nil
}

// there reports whether the file's name still leads to it: what is written to a
// file that was removed is gone.
func (d *dayFile) there() bool {
	info, err := os.Stat(d.path)
	return err == nil && os.SameFile(info, d.info)
}

// makeDay makes a day's file: under another name first, so that nobody ever
// sees a part of it.
func makeDay(ctx context.Context, dir, day string) error {
	unlock, err := lockDays(dir)
	if err != nil {
		return err
	}
	defer unlock()
	path := dayPath(dir, day)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	// A log of changes without its file belongs to a file that is gone.
	removeSide(path)
	tmp := filepath.Join(dir, "."+day+".new")
	os.Remove(tmp)
	removeSide(tmp)
	db, err := sql.Open("sqlite", sqliteURI(tmp, url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)"}}))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, "BEGIN;"+daySchema+"COMMIT;")
	if err == nil {
		if _, gone := os.Stat(closedMark(dir, day)); gone == nil {
			_, err = db.ExecContext(ctx, "UPDATE day SET closed = 1")
		}
	}
	if err = errors.Join(err, db.Close()); err == nil {
		err = os.Chmod(tmp, 0o600) // it holds personal data; SQLite's side files follow it
	}
	if err == nil {
		// Closing has put everything into the file and removed the log of changes.
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		removeSide(tmp)
		return err
	}
	syncDir(dir)
	return nil
}

func removeSide(path string) {
	os.Remove(path + "-wal")
	os.Remove(path + "-shm")
}

// lockDays holds off others who make or remove day files.
func lockDays(dir string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(dir, "days.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// close closes the file. SQLite then puts its log of changes into it.
func (d *dayFile) close() error {
	for _, s := range d.stmts {
		s.Close()
	}
	if d.conn != nil {
		d.conn.Close()
	}
	return d.db.Close()
}

// stmt returns a statement that is prepared once.
func (d *dayFile) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := d.stmts[query]; s != nil {
		return s, nil
	}
	s, err := d.conn.PrepareContext(ctx, query)
	if err == nil {
		d.stmts[query] = s
	}
	return s, err
}

func (d *dayFile) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := d.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// one reads one row; false where there is none.
func (d *dayFile) one(ctx context.Context, query string, args []any, into ...any) (bool, error) {
	s, err := d.stmt(ctx, query)
	if err != nil {
		return false, err
	}
	err = s.QueryRowContext(ctx, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// sync makes durable what was committed. The log of changes holds it; what was
// moved from there into the file SQLite has synced by itself.
func (d *dayFile) sync() error {
	if !d.dirty {
		return nil
	}
	f, err := os.Open(d.path + "-wal")
	if errors.Is(err, os.ErrNotExist) {
		d.dirty = false
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("verdicts of %s: %w", d.day, err)
	}
	d.dirty = false
	return nil
}

var errDamaged = errors.New("not a file of verdicts")

// isDamaged reports whether a file's content is at fault.
func isDamaged(err error) bool {
	if errors.Is(err, errDamaged) {
		return true
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case 11, 26: // SQLITE_CORRUPT, SQLITE_NOTADB
		return true
	}
	return false
}

// setAside renames a damaged file, so that a new one can take its place, and
// writes down why.
func setAside(dir, day string, why error) (string, error) {
	unlock, err := lockDays(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	path := dayPath(dir, day)
	name := path + ".damaged"
	for i := 2; ; i++ {
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			break
		}
		name = fmt.Sprintf("%s.damaged-%d", path, i)
	}
	if err := os.Rename(path, name); err != nil {
		return "", err
	}
	if err := os.Rename(path+"-wal", name+"-wal"); err != nil {
		os.Remove(path + "-wal")
	}
	os.Remove(path + "-shm")
	_ = os.WriteFile(name+".txt", []byte(why.Error()+"\n"), 0o600)
	syncDir(dir)
	return filepath.Base(name), nil
}

// closedMark is a file that says that a day is closed, for when its file is
// damaged.
func closedMark(dir, day string) string { return filepath.Join(dir, day+".closed") }

// CloseDay closes a day, from any process: no entry is added to it any more;
// entries of its time go to the next day that is open. It is durable when
// CloseDay returns, and closing again does nothing. The day should be over, and
// what was appended for it in its file (Log.Flush) first.
func CloseDay(ctx context.Context, dir, day string) error {
	if t, err := time.Parse(dayLayout, day); err != nil || dayOf(t) != day {
		return fmt.Errorf("close a day of verdicts: day %q: want YYYY-MM-DD", day)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("close a day of verdicts: %w", err)
	}
	d, err := openDay(ctx, dir, day, 10*time.Second)
	if err != nil {
		return err
	}
	defer d.close()
	if _, err = d.conn.ExecContext(ctx, "PRAGMA synchronous = FULL"); err == nil {
		_, err = d.conn.ExecContext(ctx, "UPDATE day SET closed = 1 WHERE closed = 0")
	}
	if err == nil {
		err = os.WriteFile(closedMark(dir, day), nil, 0o600)
	}
	if err != nil {
		return fmt.Errorf("close %s of the verdicts: %w", day, err)
	}
	return nil
}
