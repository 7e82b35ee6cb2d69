package verdict

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// The journal is a row of files, DATA/gateway/journal/NUMBER.seg. Each begins
// with segmentMagic; NUMBER, in 16 hexadecimal digits, is not above the number
// of its first frame. A frame is
//
//	length of what follows the check   4 octets, little-endian
//	CRC-32C of what follows            4 octets
//	number                             8 octets; rises from frame to frame
//	kind                               1 octet: entry or outcomes
//	content
//
// Files are allocated at their full size before they are used, and the next
// one waits as "spare", so that a disk that runs full leaves room for the
// verdicts of some ten thousand messages. What follows the last frame is
// zeros; a frame that is not whole ends the file.
const (
	segmentMagic  = "SKMVERD1"
	segmentSuffix = ".seg"
	spareName     = "spare"
	frameHead     = 8
	frameMin      = 9 // number and kind
)

// Kinds of frame.
const (
	frameEntry    = 1
	frameOutcomes = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame adds a frame to b. The content is what comes in parts.
func appendFrame(b []byte, number uint64, kind byte, content []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(frameMin+len(content)))
	b = append(b, 0, 0, 0, 0)
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, number)
	b = append(b, kind)
	b = append(b, content...)
	binary.LittleEndian.PutUint32(b[start-4:], crc32.Checksum(b[start:], castagnoli))
	return b
}

// A storage is what a segment is written to: a file, but in tests of faults.
type storage interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
}

// segment is one file of the journal.
type segment struct {
	path  string
	first uint64
	f     storage
	end   int64 // of what was written, under Log.mu; the file's size for those of an earlier Log
	old   bool  // of an earlier Log: its end has to be found
}

func segmentName(first uint64) string { return fmt.Sprintf("%016x%s", first, segmentSuffix) }

// findSegments lists the journal's files by number.
func findSegments(dir string) ([]*segment, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []*segment
	for _, n := range names {
		base, ok := strings.CutSuffix(n.Name(), segmentSuffix)
		first, err := strconv.ParseUint(base, 16, 64)
		if !ok || err != nil || len(base) != 16 {
			continue
		}
		out = append(out, &segment{path: filepath.Join(dir, n.Name()), first: first, old: true})
	}
	slices.SortFunc(out, func(a, b *segment) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return out, nil
}

// makeSpare makes the file that becomes the next segment.
func makeSpare(dir string, size int64) error {
	path := filepath.Join(dir, spareName)
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for err = allocate(f, size); errors.Is(err, syscall.ENOSPC) && size >= 256<<10; err = allocate(f, size) {
		size /= 4 // little room is better than none
	}
	if err == nil {
		_, err = f.WriteAt([]byte(segmentMagic), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// nextSegment turns the spare into a segment that begins with the number.
func nextSegment(dir string, first uint64, size int64, open func(string) (storage, error)) (*segment, error) {
	spare := filepath.Join(dir, spareName)
	path := filepath.Join(dir, segmentName(first))
	err := os.Rename(spare, path)
	if errors.Is(err, os.ErrNotExist) {
		if err = makeSpare(dir, size); err == nil {
			err = os.Rename(spare, path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("journal of verdicts: %w", err)
	}
	f, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("journal of verdicts: %w", err)
	}
	syncDir(dir)
	return &segment{path: path, first: first, f: f, end: int64(len(segmentMagic))}, nil
}

func openStorage(path string) (storage, error) { return os.OpenFile(path, os.O_RDWR, 0o600) }

// syncDir makes the names in a folder durable, where the system can.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}

// frame is what a segmentReader found.
type frame struct {
	number  uint64
	kind    byte
	content []byte // valid until the next call
}

// segmentReader reads a segment's frames in order.
type segmentReader struct {
	s   *segment
	at  int64 // in the file, of the next frame
	buf []byte
	off int // in buf, of the next frame; buf[off:] is read ahead
	// ended says that an old segment has no further frame; torn how many octets
	// that are none follow.
	ended bool
	torn  int64
}

func newSegmentReader(s *segment) *segmentReader {
	return &segmentReader{s: s, at: int64(len(segmentMagic))}
}

const readAhead = 256 << 10

// next returns the next frame before end, and false where there is none.
func (r *segmentReader) next(end int64) (frame, bool, error) {
	if r.ended || r.at+frameHead+frameMin > end {
		r.ended = r.s.old
		return frame{}, false, nil
	}
	head, err := r.peek(frameHead, end)
	if err != nil {
		return frame{}, false, err
	}
	n := int64(binary.LittleEndian.Uint32(head))
	sum := binary.LittleEndian.Uint32(head[4:])
	if n == 0 && sum == 0 {
		r.ended = r.s.old
		return frame{}, false, nil
	}
	if n < frameMin || n > maxFrame || r.at+frameHead+n > end {
		return r.tear(end)
	}
	b, err := r.peek(int(frameHead+n), end)
	if err != nil {
		return frame{}, false, err
	}
	b = b[frameHead:]
	if crc32.Checksum(b, castagnoli) != sum {
		return r.tear(end)
	}
	r.at += frameHead + n
	r.off += int(frameHead + n)
	return frame{number: binary.LittleEndian.Uint64(b), kind: b[8], content: b[frameMin:]}, true, nil
}

// tear ends an old segment at something that is no frame.
func (r *segmentReader) tear(end int64) (frame, bool, error) {
	if !r.s.old {
		return frame{}, false, fmt.Errorf("journal of verdicts: %s, offset %d: %w", filepath.Base(r.s.path), r.at, errEncoding)
	}
	r.ended = true
	// Zeros behind it were never written.
	var b [32 << 10]byte
	last := r.at
	for at := r.at; at < end; {
		n, err := r.s.f.ReadAt(b[:min(int64(len(b)), end-at)], at)
		for i := n - 1; i >= 0; i-- {
			if b[i] != 0 {
				last = at + int64(i) + 1
				break
			}
		}
		at += int64(n)
		if err != nil || n == 0 {
			break
		}
	}
	r.torn = last - r.at
	return frame{}, false, nil
}

// peek returns the n octets from where the reader is, without moving on.
func (r *segmentReader) peek(n int, end int64) ([]byte, error) {
	if len(r.buf)-r.off >= n {
		return r.buf[r.off : r.off+n], nil
	}
	want := min(max(int64(n), readAhead), end-r.at)
	if int64(cap(r.buf)) < want {
		r.buf = make([]byte, want)
	}
	r.buf, r.off = r.buf[:want], 0
	got, err := r.s.f.ReadAt(r.buf, r.at)
	r.buf = r.buf[:got]
	if got < n {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("journal of verdicts: read %s: %w", filepath.Base(r.s.path), err)
	}
	return r.buf[:n], nil
}

// forget drops what was read ahead: more may have been written since.
func (r *segmentReader) forget() { r.buf, r.off = r.buf[:0], 0 }
