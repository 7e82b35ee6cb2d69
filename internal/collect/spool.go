package collect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"sekimori/internal/store"
)

// scratch makes spools: short-lived copies in memory or, beyond a size, in a
// file in DATA/tmp.
type scratch struct {
	dir    string // "" means that nothing may go to a file
	memory int64
}

// file makes a temporary file that vanishes when it is closed, also with the
// process where the system lets an open file be removed.
func (s scratch) file() (*os.File, error) {
	if s.dir == "" {
		return nil, errors.New("no folder for temporary files")
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for temporary files: %w", err)
	}
	f, err := os.CreateTemp(s.dir, "collect-*")
	if err != nil {
		return nil, fmt.Errorf("make temporary file: %w", err)
	}
	os.Remove(f.Name()) // fails on systems where closeFile does it
	return f, nil
}

func closeFile(f *os.File) {
	f.Close()
	os.Remove(f.Name())
}

func (s scratch) spool() *spool { return &spool{scratch: s} }

// spool is a sequence of bytes, written once and then read at any place. Its
// errors are those of the data folder, and fatal.
type spool struct {
	scratch scratch
	buf     []byte
	f       *os.File
	n       int64
}

func (s *spool) Write(p []byte) (int, error) {
	if s.f == nil && s.n+int64(len(p)) > s.scratch.memory {
		f, err := s.scratch.file()
		if err != nil {
			return 0, fatal(err)
		}
		s.f = f
		if _, err := f.Write(s.buf); err != nil {
			return 0, fatalf("write temporary file: %w", err)
		}
		s.buf = nil
	}
	if s.f != nil {
		n, err := s.f.Write(p)
		s.n += int64(n)
		if err != nil {
			return n, fatalf("write temporary file: %w", err)
		}
		return n, nil
	}
	s.buf = append(s.buf, p...)
	s.n += int64(len(p))
	return len(p), nil
}

// truncate cuts the spool to n bytes.
func (s *spool) truncate(n int64) {
	if n < s.n {
		s.n = n
		if s.f == nil {
			s.buf = s.buf[:n]
		}
	}
}

// at returns random access to the n bytes written. In memory, it stays valid
// until the next Write.
func (s *spool) at() io.ReaderAt {
	if s.f != nil {
		return s.f
	}
	return bytes.NewReader(s.buf)
}

// raw hands the bytes over to the store. The spool must stay open until the
// store has them.
func (s *spool) raw(e store.Encoding) store.Raw {
	if s.f != nil {
		return store.Raw{Encoding: e, File: s.f, Size: s.n}
	}
	return store.Raw{Encoding: e, Bytes: s.buf}
}

func (s *spool) close() {
	if s == nil {
		return
	}
	if s.f != nil {
		closeFile(s.f)
		s.f = nil
	}
	s.buf, s.n = nil, 0
}

// source reads the bytes of an entry, counts them, and copies them to a spool
// while one is set.
type source struct {
	r   io.Reader
	n   int64
	rec *spool
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if s.rec != nil && n > 0 {
		if _, werr := s.rec.Write(p[:n]); werr != nil {
			return n, werr
		}
	}
	return n, err
}

// tmpDir is where spools go.
func tmpDir(dataDir string) string { return filepath.Join(dataDir, "tmp") }
