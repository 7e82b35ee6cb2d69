package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// packs keeps the reports as they were received, one after the other in files
// raw/0001.pack, raw/0002.pack … Each has a header in front:
//
//	"SKMR" | seq, 8 bytes big-endian | length, 8 bytes big-endian
//
// Where a report's bytes lie is in table report. Bytes that no report points
// to (a crash before the commit) are harmless; new ones go behind them.
type packs struct {
	dir string

	mu   sync.Mutex
	n    uint32 // number of the newest file
	f    *os.File
	size int64
	enc  *zstd.Encoder
	buf  []byte
}

const (
	packMagic  = "SKMR"
	packHeader = 20
	packMax    = 1 << 30 // a new file begins beyond this
)

// place is where a report's bytes lie. The zero place is nowhere.
type place struct {
	pack     uint32
	pos      int64 // of the bytes, behind the header
	size     int64
	encoding Encoding
}

func openPacks(dir string) (*packs, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.pack"))
	if err != nil {
		return nil, err
	}
	p := &packs{dir: dir}
	for _, name := range names {
		var n uint32
		if _, err := fmt.Sscanf(filepath.Base(name), "%d.pack", &n); err == nil {
			p.n = max(p.n, n)
		}
	}
	if p.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *packs) path(n uint32) string { return filepath.Join(p.dir, fmt.Sprintf("%04d.pack", n)) }

// rotate makes sure that a file with room is open.
func (p *packs) rotate() error {
	if p.f != nil && p.size < packMax {
		return nil
	}
	if p.f != nil {
		if err := p.close(); err != nil {
			return err
		}
		p.n++
	}
	p.n = max(p.n, 1)
	f, err := os.OpenFile(p.path(p.n), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return err
	}
	if size >= packMax {
		f.Close()
		p.n++
		return p.rotate()
	}
	if err := syncDir(p.dir); err != nil {
		f.Close()
		return err
	}
	p.f, p.size = f, size
	return nil
}

// add appends a report's bytes. They are durable after sync.
func (p *packs) add(seq int64, raw Raw) (place, error) {
	if raw.Bytes == nil && raw.File == nil {
		return place{}, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.rotate(); err != nil {
		return place{}, err
	}
	if raw.Encoding == "" {
		raw.Encoding = Identity
	}
	var src io.Reader
	size := raw.Size
	switch {
	case raw.File != nil:
		src = io.NewSectionReader(raw.File, 0, raw.Size)
	case raw.Encoding == Identity:
		p.buf = p.enc.EncodeAll(raw.Bytes, p.buf[:0])
		raw.Encoding = Zstd
		src, size = bytes.NewReader(p.buf), int64(len(p.buf))
	default:
		src, size = bytes.NewReader(raw.Bytes), int64(len(raw.Bytes))
	}
	var h [packHeader]byte
	copy(h[:], packMagic)
	binary.BigEndian.PutUint64(h[4:], uint64(seq))
	binary.BigEndian.PutUint64(h[12:], uint64(size))
	start := p.size
	_, err := p.f.Write(h[:])
	if err == nil {
		var n int64
		n, err = io.Copy(p.f, src)
		if err == nil && n != size {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		err = fmt.Errorf("keep the report as received: %w", err)
		return place{}, errors.Join(err, p.cut(start))
	}
	p.size += packHeader + size
	return place{pack: p.n, pos: start + packHeader, size: size, encoding: raw.Encoding}, nil
}

// mark returns the state to go back to when a transaction fails.
func (p *packs) mark() (n uint32, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.f == nil {
		return 0, 0
	}
	return p.n, p.size
}

// undo takes back what was added after mark, as far as it is in the same file;
// elsewhere it stays as waste.
func (p *packs) undo(n uint32, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.f != nil && p.n == n && p.size > size {
		_ = p.cut(size) // waste is harmless
	}
}

func (p *packs) cut(size int64) error {
	if err := p.f.Truncate(size); err != nil {
		return err
	}
	if _, err := p.f.Seek(size, io.SeekStart); err != nil {
		return err
	}
	p.size = size
	return nil
}

// sync makes what was added durable.
func (p *packs) sync() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.f == nil {
		return nil
	}
	if err := p.f.Sync(); err != nil {
		return fmt.Errorf("keep the report as received: %w", err)
	}
	return nil
}

// close closes the file that is being written.
func (p *packs) close() error {
	if p.f == nil {
		return nil
	}
	err := errors.Join(p.f.Sync(), p.f.Close())
	p.f = nil
	return err
}

// open returns a report's bytes.
func (p *packs) open(seq int64, at place) (*io.SectionReader, io.Closer, error) {
	f, err := os.Open(p.path(at.pack))
	if err != nil {
		return nil, nil, err
	}
	var h [packHeader]byte
	if _, err := f.ReadAt(h[:], at.pos-packHeader); err != nil ||
		string(h[:4]) != packMagic || int64(binary.BigEndian.Uint64(h[4:])) != seq || int64(binary.BigEndian.Uint64(h[12:])) != at.size {
		f.Close()
		return nil, nil, fmt.Errorf("%s, offset %d: report %d is not there; restore the file from a backup", p.path(at.pack), at.pos, seq)
	}
	return io.NewSectionReader(f, at.pos, at.size), f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
