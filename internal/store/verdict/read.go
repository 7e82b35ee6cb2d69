package verdict

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// ErrUnknown: there is no such entry, day or policy.
var ErrUnknown = errors.New("no such verdict")

// Reader reads a folder of verdicts, also while a Log of this or of another
// process writes into it. It sees what was carried into the day files: usually
// everything but the last second. Its methods may be called from
// any goroutine. Days may come and go while it is open.
type Reader struct {
	dir string
	zip *zstd.Decoder

	mu     sync.Mutex
	files  map[string]*dayUse
	closed bool
}

// dayUse is a file that stays open between calls.
type dayUse struct {
	*dayReader
	users int
	gone  bool // close it when nobody uses it
}

// Read opens a folder for reading. One that is not there holds nothing.
func Read(dir string) (*Reader, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("verdicts: %s is not a folder", dir)
	}
	r := &Reader{dir: dir, files: map[string]*dayUse{}}
	r.zip, err = newUnpacker()
	return r, err
}

// Close closes the Reader; calls under way end first by themselves.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for day, f := range r.files {
		r.drop(day, f)
	}
	return nil
}

// drop forgets a file, with mu held.
func (r *Reader) drop(day string, f *dayUse) {
	delete(r.files, day)
	f.gone = true
	if f.users == 0 {
		f.close()
	}
}

// use returns a day's file. The caller gives it back.
func (r *Reader) use(ctx context.Context, day string) (*dayUse, error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, os.ErrClosed
	}
	if f := r.files[day]; f != nil {
		// A file of the name may have been removed or set aside since.
		if info, err := os.Stat(dayPath(r.dir, day)); err == nil && os.SameFile(info, f.info) {
			f.users++
			r.mu.Unlock()
			return f, nil
		}
		r.drop(day, f)
	}
	r.mu.Unlock()
	opened, err := openForReading(ctx, r.dir, day)
	if err != nil {
		return nil, err
	}
	f := &dayUse{dayReader: opened, users: 1}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.files[day] != nil {
		f.gone = true // another was quicker
	} else {
		r.files[day] = f
	}
	return f, nil
}

func (r *Reader) giveBack(f *dayUse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.users--
	if f.gone && f.users == 0 {
		f.close()
	}
}

// with calls f with a day's file. ErrUnknown says that there is none.
func (r *Reader) with(ctx context.Context, day string, f func(*dayReader) error) error {
	file, err := r.use(ctx, day)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("verdicts of %s: %w", day, ErrUnknown)
	}
	if err != nil {
		return err
	}
	defer r.giveBack(file)
	if err := f(file.dayReader); err != nil {
		return fmt.Errorf("verdicts of %s: %w", day, err)
	}
	return nil
}

// days calls f with each day's file, the newest first, until it fails. Files
// that are removed meanwhile, and damaged ones, are passed over: the Log sets
// the latter aside.
func (r *Reader) days(ctx context.Context, f func(*dayReader) error) error {
	days, err := listDays(r.dir)
	if err != nil {
		return err
	}
	for _, day := range slices.Backward(days) {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := r.with(ctx, day, f)
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil && !isGone(err) {
			return err
		}
	}
	return nil
}

// isGone reports whether a day's file went away or is of no use.
func isGone(err error) bool { return errors.Is(err, ErrUnknown) || isDamaged(err) }

// errEnough ends a walk over the days.
var errEnough = errors.New("enough")

// Day is a UTC day.
type Day struct {
	Day      string // "2026-11-22"
	Messages int64  // that its reports count, those without a policy included
	Closed   bool   // no entry is added any more
}

// Days returns the days that are kept, the oldest first.
func (r *Reader) Days(ctx context.Context) ([]Day, error) {
	var out []Day
	err := r.days(ctx, func(f *dayReader) error {
		h, err := f.head(ctx)
		if err != nil {
			return err
		}
		out = append(out, Day{Day: f.day, Messages: h.counted, Closed: h.closed})
		return nil
	})
	slices.Reverse(out)
	return out, err
}

// Entry returns one entry, or ErrUnknown. It has everything that Append was
// given, but that the explanation is that of the first message of its kind that
// day.
func (r *Reader) Entry(ctx context.Context, id uint64) (Entry, error) {
	var out Entry
	found := false
	err := r.days(ctx, func(f *dayReader) error {
		var err error
		if out, err = f.entry(ctx, r, id); errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			found = true
			err = errEnough
		}
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("entry %d: %w", id, ErrUnknown)
	}
	return out, err
}

func (f *dayReader) entry(ctx context.Context, r *Reader, id uint64) (Entry, error) {
	var e Entry
	var kind, data, why []byte
	var state int64
	err := f.db.QueryRowContext(ctx, "SELECT e.state, e.data, r.data, r.why FROM entry e JOIN row r ON r.id = e.row WHERE e.id = ?", int64(id)).
		Scan(&state, &data, &kind, &why)
	if err != nil {
		return e, err
	}
	if err := parseKind(kind, &e); err != nil {
		return e, err
	}
	if err := parseMessage(data, &e); err != nil {
		return e, err
	}
	e.ID, e.Answer, e.Counted = id, answerOf(state), state&counted != 0
	e.Record.Count = 1
	e.Why, err = r.steps(why)
	return e, err
}

func answerOf(state int64) Answer {
	switch state & stateMask {
	case stateConfirmed:
		return Received
	case stateCancelled:
		return NotReceived
	case stateReplaced:
		return Repeated
	}
	return Unsure
}
