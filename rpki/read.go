package rpki

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// MaxSize is how many octets are read of a source, after decompression.
const MaxSize = 16 << 30

// plain undoes gzip and bzip2, told by how the data begins, and bounds the
// whole. A cut-off source is an error when it is read, never a shorter one.
func plain(r io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(4)
	if len(head) == 0 {
		if err == io.EOF {
			return nil, errors.New("the source is empty")
		}
		return nil, err
	}
	var in io.Reader = b
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		if in, err = gzip.NewReader(b); err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
	case bytes.HasPrefix(head, []byte("BZh")):
		in = bzip2.NewReader(b)
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X'}), bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return nil, errors.New("compressed with xz or zstd: decompress it first (gzip and bzip2 are read as they are)")
	}
	return bufio.NewReaderSize(&bounded{r: in, left: MaxSize}, 256<<10), nil
}

// bounded fails where io.LimitReader would end: what is cut off must not look
// complete.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, fmt.Errorf("more than %d octets", int64(MaxSize))
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// ReadVRPs reads the output of a validator: the JSON of rpki-client and of
// Routinator (json, jsonext), or CSV with or without a header, each also in
// gzip or bzip2; which one is told by how it begins. It streams.
//
// A source that ends early is an error. An entry that makes no sense is skipped
// and told in the Reading; where these are more than one in a hundred, or
// nothing else is there, that is an error too.
func ReadVRPs(r io.Reader) (*VRPs, Reading, error) {
	in, err := plain(r)
	if err != nil {
		return nil, Reading{}, err
	}
	l := &loader{}
	if first, err := begin(in); err != nil {
		return nil, l.Reading, err
	} else if first == '{' {
		err = l.json(in)
		if err != nil {
			return nil, l.Reading, fmt.Errorf("JSON: %w", err)
		}
	} else if err := l.csv(in); err != nil {
		return nil, l.Reading, fmt.Errorf("CSV: %w", err)
	}
	return l.done()
}

// begin skips a byte order mark and blanks and returns the octet after them,
// which is still to be read.
func begin(in *bufio.Reader) (byte, error) {
	if head, _ := in.Peek(3); bytes.Equal(head, []byte("\xef\xbb\xbf")) {
		in.Discard(3)
	}
	for {
		c, err := in.ReadByte()
		switch {
		case err == io.EOF:
			return 0, errors.New("the source is empty")
		case err != nil:
			return 0, err
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			return c, in.UnreadByte()
		}
	}
}

// loader collects payloads as they are read.
type loader struct {
	b vrpBuilder
	Reading
}

// place is where something stands in a source.
type place struct {
	unit string // "line", "offset"
	n    int64
}

func (p place) String() string { return fmt.Sprintf("%s %d", p.unit, p.n) }

// unstated is a maxLength that is not given, which means the prefix's own
// length (RFC 9582 §4.3.2.2).
const unstated = -1

// entry takes one payload. Its error is one that ends the reading.
func (l *loader) entry(at place, asn ASN, prefix string, maxLength int64) error {
	p, err := parsePrefix(prefix)
	if err != nil {
		return l.odd(at, err)
	}
	if maxLength == unstated {
		maxLength = int64(p.Bits())
	}
	if maxLength < int64(p.Bits()) || maxLength > int64(p.Addr().BitLen()) {
		return l.odd(at, fmt.Errorf("prefix %s: maxLength %d: want %d to %d", p, maxLength, p.Bits(), p.Addr().BitLen()))
	}
	l.Entries++
	return l.b.add(VRP{p, uint8(maxLength), asn})
}

// odd skips one that makes no sense.
func (l *loader) odd(at place, err error) error {
	l.Entries++
	l.skip(fmt.Errorf("%s: %w", at, err))
	return nil
}

func (l *loader) done() (*VRPs, Reading, error) {
	kept := l.Entries - l.Skipped
	if kept == 0 || l.Skipped*100 > l.Entries {
		if len(l.Problems) > 0 {
			return nil, l.Reading, fmt.Errorf("%d of %d entries make no sense, the first: %w", l.Skipped, l.Entries, l.Problems[0])
		}
		return nil, l.Reading, ErrNoVRPs
	}
	s := l.b.build()
	l.Repeated = kept - int64(s.Len())
	return s, l.Reading, nil
}
