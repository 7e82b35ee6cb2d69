package check

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"

	"sekimori/message"
)

// Limits of what a Batch keeps of a message that comes in a stream.
const (
	inMemory   = 256 << 10 // octets kept in memory; longer messages go to a file
	maxSpooled = 1 << 30   // octets in all
)

// spool is one message, written once and then read from the start as often as
// needed. Long ones are in a temporary file that vanishes with the process.
type spool struct {
	dir string // where temporary files are made
	buf []byte
	f   *os.File
	n   int64
}

var spools = sync.Pool{New: func() any { return new(spool) }}

func newSpool(dir string) *spool {
	s := spools.Get().(*spool)
	s.dir = dir
	return s
}

// Write fails when the message is longer than is allowed, or when the
// temporary file cannot be written.
func (s *spool) Write(p []byte) (int, error) {
	if s.n+int64(len(p)) > maxSpooled {
		return 0, fmt.Errorf("message of more than %d octets: %w", maxSpooled, message.ErrTooLarge)
	}
	s.buf = append(s.buf, p...)
	s.n += int64(len(p))
	if len(s.buf) > inMemory {
		if err := s.flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// flush moves what is in memory to the temporary file.
func (s *spool) flush() error {
	if s.f == nil {
		f, err := os.CreateTemp(s.dir, "message-*")
		if err != nil {
			return fmt.Errorf("make a temporary file: %w", err)
		}
		os.Remove(f.Name()) // where the system refuses, free does it
		s.f = f
	}
	if _, err := s.f.Write(s.buf); err != nil {
		return fmt.Errorf("write a temporary file: %w", err)
	}
	s.buf = s.buf[:0]
	return nil
}

// reader reads the message from its start. It is for after the last Write.
func (s *spool) reader() io.Reader {
	if s.f != nil {
		return io.MultiReader(io.NewSectionReader(s.f, 0, s.n-int64(len(s.buf))), bytes.NewReader(s.buf))
	}
	return bytes.NewReader(s.buf)
}

// free gives the spool back. Nothing may use it, or what it gave, afterwards.
func (s *spool) free() {
	if s.f != nil {
		s.f.Close()
		os.Remove(s.f.Name())
		s.f = nil
	}
	s.buf, s.n = s.buf[:0], 0
	spools.Put(s)
}
