package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"
	"github.com/duckdb/duckdb-go/v2/mapping"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Store is an open data folder. All of its methods may be called from any
// goroutine; those that write reports wait for one another, those that read
// wait for nobody.
type Store struct {
	dir   string
	lock  *os.File
	duck  *sql.DB
	state *sql.DB
	packs *packs

	// writer holds one token: whoever took it may use what follows.
	writer chan struct{}
	conn   *sql.Conn
	native mapping.Connection
	torn   bool // SQLite lacks keys of committed reports: repair first
	next   int64

	domains, reporters dictionary

	mu      sync.RWMutex
	newest  map[uint32]newest // by domain
	version atomic.Int64
	ptrs    atomic.Int64 // look-ups kept since they were last counted; 0 before the first count
	// sightings are the same for failure reports.
	sightings atomic.Int64

	classes sync.Mutex // one SetClasses at a time
	running runningImports
	kept    answers
	files   filesDone
	surveys surveys
	said    said
	asking  atomic.Int32   // queries of pages at work
	reads   sync.WaitGroup // readers at work; Close waits for them
	done    bool           // under mu: no new readers and writers
}

// Open opens the data folder dir, makes it where it is absent, and repairs
// what a crash left. ErrLocked (errors.Is) says that another process has it.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	s := &Store{dir: dir, writer: make(chan struct{}, 1), newest: map[uint32]newest{}}
	if err := s.open(ctx, o); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, o Options) error {
	var err error
	if s.lock, err = lockFolder(s.dir); err != nil {
		return err
	}
	for _, d := range []string{"raw", "quarantine", "survey", "tmp"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
	}
	if s.packs, err = openPacks(filepath.Join(s.dir, "raw")); err != nil {
		return err
	}
	if s.state, err = openState(ctx, filepath.Join(s.dir, "state.sqlite")); err != nil {
		return err
	}
	unclosed, err := left(filepath.Join(s.dir, "reports.duckdb"))
	if err != nil {
		return err
	}
	if s.duck, err = openDuck(ctx, s.dir, o); err != nil {
		return err
	}
	if s.conn, err = s.duck.Conn(ctx); err != nil {
		return engineError(err)
	}
	if unclosed {
		if err := s.mendTorn(ctx); err != nil {
			return err
		}
	}
	err = s.conn.Raw(func(dc any) error {
		s.native, err = nativeConn(dc)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	if err := s.said.load(ctx, s.state); err != nil {
		return err
	}
	if err := s.repair(ctx); err != nil {
		return err
	}
	return s.recoverSurveys(ctx)
}

// lockFolder takes the folder for this process. The lock goes away with the
// process, however it ends.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return f, nil
}

// openDuck opens the file of reports. Extensions are neither installed nor
// loaded by themselves, and SQL reaches no other file.
func openDuck(ctx context.Context, dir string, o Options) (*sql.DB, error) {
	if o.Memory == 0 {
		o.Memory = 224 << 20
	}
	if o.Threads == 0 {
		o.Threads = runtime.NumCPU()
	}
	path := filepath.Join(dir, "reports.duckdb")
	if strings.ContainsAny(path, "?%") {
		return nil, fmt.Errorf("data folder %s: its path must not contain %q or %q; choose another", dir, "?", "%")
	}
	opt := url.Values{
		"memory_limit":                 {fmt.Sprintf("%dMiB", max(o.Memory>>20, 64))},
		"threads":                      {fmt.Sprint(o.Threads)},
		"temp_directory":               {filepath.Join(dir, "tmp")},
		"autoinstall_known_extensions": {"false"},
		"autoload_known_extensions":    {"false"},
		"checkpoint_threshold":         {"64MiB"},
	}
	if err := makeDuck(ctx, path, opt.Encode()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, engineError(err))
	}
	db, err := connectDuck(ctx, path, opt.Encode())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, engineError(err))
	}
	for _, p := range []string{path, path + ".wal"} {
		if err := os.Chmod(p, 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
			db.Close()
			return nil, err
		}
	}
	return db, nil
}

// connectDuck opens a file of reports and brings its tables up to date.
func connectDuck(ctx context.Context, path, options string) (*sql.DB, error) {
	c, err := duckdb.NewConnector(path+"?"+options, nil)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(12)
	db.SetMaxIdleConns(12)
	if err := migrateDuck(ctx, db); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// makeDuck makes the file of reports where there is none: under another name
// first, since DuckDB cannot open what it was killed in the middle of making.
func makeDuck(ctx context.Context, path, options string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	draft := path + ".new"
	for _, p := range []string{draft, draft + ".wal"} {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	db, err := connectDuck(ctx, draft, options)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "CHECKPOINT")
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	f, err := os.Open(draft)
	if err != nil {
		return err
	}
	if err = errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// openState opens the file of small state.
func openState(ctx context.Context, path string) (*sql.DB, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()
	esc := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	opt := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}}
	db, err := sql.Open("sqlite", "file:"+esc+"?"+opt.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	if err := migrateState(ctx, db); err != nil {
		db.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return db, nil
}

// Close waits for the writer and for readers, writes a checkpoint and gives
// the folder free.
func (s *Store) Close() error {
	surveys := s.closeSurveys(context.Background())
	s.mu.Lock()
	if s.done {
		s.mu.Unlock()
		return nil
	}
	s.done = true
	s.mu.Unlock()
	s.writer <- struct{}{}
	s.reads.Wait()
	err := s.flushFiles(context.Background())
	return errors.Join(surveys, err, s.release())
}

// release closes whatever is open.
func (s *Store) release() error {
	var errs []error
	if s.conn != nil {
		// database/sql closes the connection with the handle in it.
		if _, err := s.conn.ExecContext(context.Background(), "CHECKPOINT"); err != nil {
			errs = append(errs, engineError(err))
		}
		errs = append(errs, s.conn.Close())
	}
	if s.duck != nil {
		errs = append(errs, s.duck.Close())
	}
	if s.state != nil {
		errs = append(errs, s.running.close(context.Background(), s.state), s.state.Close())
	}
	if s.packs != nil {
		errs = append(errs, s.packs.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Dir returns the data folder's absolute path.
func (s *Store) Dir() string { return s.dir }

// acquire takes the writer.
func (s *Store) acquire(ctx context.Context) error {
	s.mu.RLock()
	done := s.done
	s.mu.RUnlock()
	if done {
		return ErrClosed
	}
	select {
	case s.writer <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.RLock()
	done = s.done
	s.mu.RUnlock()
	err := ErrClosed
	if !done {
		err = nil
		if s.torn {
			err = s.repair(ctx)
		}
	}
	if err != nil {
		<-s.writer
	}
	return err
}

// reading marks a reader; the function it returns ends that. A reader may
// call methods that read: if Close came between, these fail with ErrClosed.
func (s *Store) reading() (func(), error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.done {
		return nil, ErrClosed
	}
	s.reads.Add(1)
	return s.reads.Done, nil
}

// fold is how names are compared: without regard to ASCII case, surrounding
// space and the root's dot.
func fold(s string) string {
	return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))), ".")
}

// engineError adds what to do to an error of DuckDB or SQLite that a person can
// mend.
func engineError(err error) error {
	if err == nil {
		return nil
	}
	switch m := err.Error(); {
	case strings.Contains(m, "No space left on device"), strings.Contains(m, "database or disk is full"): // SQLite says it so
		return fmt.Errorf("the disk that holds the data folder is full; free some space and try again: %w", errors.Join(syscall.ENOSPC, err))
	case strings.Contains(m, "Could not set lock on file"):
		return fmt.Errorf("%w: %w", ErrLocked, err)
	case strings.Contains(m, "Out of Memory Error"):
		return fmt.Errorf("the database's share of memory is too small for this (Options.Memory): %w", err)
	}
	return err
}

// now is the time that rows are stamped with, in whole microseconds.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
