package collect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"sekimori/internal/store"
)

// keeper copies what cannot be read to DATA/quarantine.
type keeper struct {
	dataDir string
	list    Quarantine
	now     func() time.Time
}

// sidecarSuffix ends the name of the file with the reason, beside each copy.
const sidecarSuffix = ".json"

// sidecar is the reason beside a copy, as NAME.json.
type sidecar struct {
	Path   string    `json:"path"` // of the input file
	Member string    `json:"member,omitempty"`
	Error  string    `json:"error"`
	At     time.Time `json:"at"`
	Size   int64     `json:"size"`
	SHA256 string    `json:"sha256"`
}

// errTooLargeToKeep says that an input is not copied.
var errTooLargeToKeep = errors.New("too large to keep a copy")

// rejection is an input, or a part of one, that is to be kept.
type rejection struct {
	path   string // of the input file
	member string // the part of it, "" for the file itself
	reason error
}

// at names the input as the quarantine and the results do.
func (r rejection) at() string {
	if r.member == "" {
		return r.path
	}
	return r.path + "!" + r.member
}

// copied is a copy in the quarantine; the zero copied is none.
type copied struct {
	name string // relative to the data folder
	size int64
}

// note lists a rejection and its copy. The error is fatal.
func (k *keeper) note(ctx context.Context, importID int64, r rejection, c copied) error {
	q := store.Quarantined{Import: importID, Path: r.at(), Kept: c.name, Size: c.size, Reason: plain(r.reason), At: k.now().UTC()}
	if _, err := k.list.AddQuarantined(ctx, q); err != nil {
		return fatalf("note rejected input: %w", err)
	}
	return nil
}

// copy keeps what write writes, under a name made of its hash and of name. It
// returns no copy where write fails or writes more than limit bytes: the input
// cannot be read then, or is too large. The error is fatal.
func (k *keeper) copy(r rejection, name string, limit int64, write func(io.Writer) error) (copied, error) {
	if write == nil {
		return copied{}, nil
	}
	dir := filepath.Join(k.dataDir, "quarantine")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return copied{}, fatalf("make quarantine folder: %w", err)
	}
	f, err := os.CreateTemp(dir, ".copy-*")
	if err != nil {
		return copied{}, fatalf("make a file in the quarantine folder: %w", err)
	}
	temp := f.Name()
	defer os.Remove(temp) // fails once it has its name
	defer f.Close()
	sum := sha256.New()
	to := &limitedWriter{w: io.MultiWriter(writeFailure{f}, sum), left: limit}
	err = write(to)
	var failed *keepError
	if errors.As(err, &failed) {
		return copied{}, fatalf("copy to the quarantine folder: %w", failed.err)
	}
	if err != nil {
		return copied{}, nil
	}
	size := limit - to.left
	hash := hex.EncodeToString(sum.Sum(nil))
	name = hash[:16] + "-" + safeName(name)
	final := filepath.Join(dir, name)
	c := copied{filepath.ToSlash(filepath.Join("quarantine", name)), size}
	if _, err := os.Stat(final + sidecarSuffix); err == nil {
		return c, nil // the same input again
	}
	if err := errors.Join(f.Sync(), f.Close(), os.Rename(temp, final)); err != nil {
		return copied{}, fatalf("copy to the quarantine folder: %w", err)
	}
	doc, err := json.MarshalIndent(sidecar{r.path, r.member, plain(r.reason), k.now().UTC(), size, hash}, "", "  ")
	if err != nil {
		return copied{}, fatal(err)
	}
	if err := writeDurably(dir, final+sidecarSuffix, append(doc, '\n')); err != nil {
		return copied{}, fatalf("write to the quarantine folder: %w", err)
	}
	return c, nil
}

// keepError is a failure of the quarantine folder, not of the input.
type keepError struct{ err error }

func (e *keepError) Error() string { return e.err.Error() }

// writeFailure marks the errors of a file as such.
type writeFailure struct{ f *os.File }

func (w writeFailure) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		err = &keepError{err}
	}
	return n, err
}

type limitedWriter struct {
	w    io.Writer
	left int64
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > l.left {
		return 0, errTooLargeToKeep
	}
	l.left -= int64(len(p))
	return l.w.Write(p)
}

// writeDurably writes a small file so that it is there wholly or not at all.
func writeDurably(dir, path string, b []byte) error {
	f, err := os.CreateTemp(dir, ".copy-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// safeName makes a file name of what a sender chose: its last element, without
// characters that mean something to a shell, a system or a reader.
func safeName(s string) string {
	if i := strings.LastIndexAny(s, "/\\"); i >= 0 {
		s = s[i+1:]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)), strings.ContainsRune("!-_.,=@+", r):
			return r
		case r >= 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			return r
		}
		return '_'
	}, s)
	s = strings.TrimLeft(s, ".-")
	for len(s) > 100 { // keep the end: it tells the kind
		r := []rune(s)
		s = string(r[max(1, len(r)/10):])
	}
	if s == "" {
		s = "input"
	}
	return s
}
