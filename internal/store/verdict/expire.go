package verdict

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Expire deletes the files of days that are older than Options.Keep (or SetKeep) by the
// Log's clock, damaged ones that were set aside too, and returns how many. The
// count of own mail of these days goes with them.
// Once a day, or an hour, is often enough.
func (l *Log) Expire(ctx context.Context) (files int, err error) {
	l.mu.Lock()
	days := l.days
	l.mu.Unlock()
	oldest := dayOf(l.o.Now().UTC().AddDate(0, 0, 1-days))
	errs := []error{l.sent.expire(oldest)}
	names, err := os.ReadDir(l.dir)
	if err != nil {
		return 0, fmt.Errorf("expire verdicts: %w", err)
	}
	var old []string
	for _, n := range names {
		if day, ok := dayOfFile(n.Name()); ok && day < oldest {
			old = append(old, n.Name())
		}
	}
	if len(old) == 0 {
		return 0, errors.Join(errs...)
	}
	// How far the mover has come may stand in a file that goes; the journal must
	// then hold nothing up to there.
	if err := l.renew(ctx); err != nil {
		return 0, fmt.Errorf("expire verdicts: %w", err)
	}
	unlock, err := lockDays(l.dir)
	if err != nil {
		return 0, fmt.Errorf("expire verdicts: %w", err)
	}
	defer unlock()
	for _, name := range old {
		// The file's log of changes goes last: alone it is never taken for that of
		// another file (makeDay).
		if err := os.Remove(filepath.Join(l.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		if strings.HasSuffix(name, daySuffix) {
			removeSide(filepath.Join(l.dir, name))
			files++
		}
	}
	if err := errors.Join(errs...); err != nil {
		return files, fmt.Errorf("expire verdicts: %w", err)
	}
	return files, nil
}

// dayOfFile is the day that a file of the folder belongs to.
func dayOfFile(name string) (string, bool) {
	if len(name) < len(dayLayout)+1 || name[len(dayLayout)] != '.' {
		return "", false
	}
	day, rest := name[:len(dayLayout)], name[len(dayLayout):]
	if _, err := time.Parse(dayLayout, day); err != nil {
		return "", false
	}
	return day, rest == daySuffix || rest == ".closed" || strings.HasPrefix(rest, daySuffix+".damaged")
}

// renew moves everything out of the journal, begins a new file of it, and
// closes the day files.
func (l *Log) renew(ctx context.Context) error {
	l.writing.Lock()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		l.writing.Unlock()
		return ErrClosed
	}
	l.mu.Unlock()
	// The next write begins a new file.
	l.rotate = true
	l.writing.Unlock()
	l.mu.Lock()
	l.number++
	l.group.buf = appendFrame(l.group.buf, l.number, frameOutcomes, nil)
	if err := l.commit(l.group); err != nil {
		return err
	}
	l.mu.Lock()
	l.mover.letGo = true
	l.mu.Unlock()
	return l.Flush(ctx)
}
