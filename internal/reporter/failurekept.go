package reporter

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Files in the gateway's folder.
const (
	redactionFile = "redaction.key"
	failuresFile  = "failures.json"
)

// redactionKey returns the site's secret for redaction, 32 octets, and makes it
// where there is none. It is never changed, so that reports stay comparable;
// whoever deletes the file begins anew.
func redactionKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, redactionFile)
	for range 2 {
		text, err := os.ReadFile(path)
		if err == nil {
			key, err := hex.DecodeString(strings.TrimSpace(string(text)))
			if err != nil || len(key) != 32 {
				return nil, fmt.Errorf("%s: not a key for redaction, which is 64 hexadecimal digits: delete the file to have a new one made", path)
			}
			return key, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("key for redaction: %w", err)
		}
		key := make([]byte, 32)
		if _, err := rand.Read(key); err != nil {
			return nil, fmt.Errorf("key for redaction: %w", err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("key for redaction: %w", err)
		}
		if err := writeNew(path, hex.EncodeToString(key)+"\n"); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("key for redaction: %w", err)
		}
		// Read what is there: another process may have been quicker.
	}
	return nil, fmt.Errorf("%s: comes and goes", path)
}

// writeNew writes a file whole, where there is none of the name.
func writeNew(path, text string) error {
	return writeSynced(filepath.Dir(path), ".new-*", []byte(text), func(tmp string) error {
		return os.Link(tmp, path) // fails where the name is taken
	})
}

// writeSynced writes and syncs a temporary file (mode 0600) in a folder, and has
// it put where it belongs. What is left of it is removed.
func writeSynced(dir, pattern string, text []byte, put func(tmp string) error) error {
	tmp, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return put(tmp.Name())
}

// lately is what was reported within the hour: what a process that begins
// needs, to keep to the limits and to report nothing twice. It holds names of
// domains, and no person's.
type lately struct {
	Sent  []sentReport         `json:"sent"`
	Quiet map[string]time.Time `json:"quiet"` // kinds of failure, by a keyed hash
}

// maxLately bounds the file.
const maxLately = 8 << 20

// recall reads what was reported lately. What cannot be read is no reason not
// to begin.
func (f *Failures) recall() error {
	file, err := os.Open(filepath.Join(f.o.Dir, failuresFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("failure reports: %w", err)
	}
	defer file.Close()
	var l lately
	if err := json.NewDecoder(io.LimitReader(file, maxLately)).Decode(&l); err != nil {
		f.tell(Event{Kind: FailureTrouble, Err: fmt.Errorf("%s: %w", file.Name(), err)})
		return nil
	}
	now := f.o.Now()
	f.sent = l.Sent
	f.age(now)
	for key, until := range l.Quiet {
		if until.After(now) && until.Sub(now) <= f.o.Repeat && f.recent.Len() < f.o.Events {
			f.events[key] = f.recent.PushBack(&failing{key: key, due: until})
		}
	}
	return nil
}

// remember writes what was reported lately. It is called before a report goes
// out, so that one which is lost is not sent a second time either.
func (f *Failures) remember() error {
	f.mu.Lock()
	f.age(f.o.Now())
	l := lately{Sent: f.sent, Quiet: map[string]time.Time{}}
	for e := f.recent.Front(); e != nil; e = e.Next() {
		if k := e.Value.(*failing); k.report == nil {
			l.Quiet[k.key] = k.due
		}
	}
	text, err := json.Marshal(l)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return writeSynced(f.o.Dir, ".failures-*", text, func(tmp string) error {
		return os.Rename(tmp, filepath.Join(f.o.Dir, failuresFile))
	})
}
