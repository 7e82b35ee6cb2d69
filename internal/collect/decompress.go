package collect

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"sekimori/internal/store"
)

// ErrLimit is in every error that says that one of Limits was exceeded.
var ErrLimit = errors.New("limit exceeded")

// budget is what is left of the limits of one input file. It is shared by all
// goroutines that work on the file.
type budget struct {
	limits   Limits
	inflated atomic.Int64
	entries  atomic.Int64
}

func newBudget(l Limits) *budget {
	b := &budget{limits: l}
	b.inflated.Store(l.Inflated)
	b.entries.Store(l.Entries)
	return b
}

// entry takes one entry off the budget.
func (b *budget) entry() error {
	if b.entries.Add(-1) < 0 {
		return fmt.Errorf("more than %d entries in one file: %w", b.limits.Entries, ErrLimit)
	}
	return nil
}

// meter takes what comes out of a decompressor off the budget.
type meter struct {
	r    io.Reader
	b    *budget
	what string
	n    int64
	err  error
}

func (m *meter) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	n, err := m.r.Read(p)
	m.n += int64(n)
	switch {
	case m.n > m.b.limits.Entry:
		m.err = fmt.Errorf("%s inflates to more than %d bytes: %w", m.what, m.b.limits.Entry, ErrLimit)
	case m.b.inflated.Add(-int64(n)) < 0:
		m.err = fmt.Errorf("%s: the file inflates to more than %d bytes altogether: %w", m.what, m.b.limits.Inflated, ErrLimit)
	default:
		m.err = err
	}
	if m.err != nil && m.err != io.EOF {
		return 0, m.err
	}
	return n, m.err
}

const (
	bufferSize = 32 << 10
	// zstdWindow bounds the memory of one decoder; zstd -19 needs 8 MiB,
	// --ultra -22 at most 128 MiB.
	zstdWindow = 128 << 20
)

// pools keep decompressors and buffers for the next entry.
type pools struct {
	buffers, gzips, deflates, zstds, heads sync.Pool
}

// head is memory for the beginning of a message.
func (p *pools) head() []byte {
	if b, ok := p.heads.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return nil
}

func (p *pools) freeHead(b []byte) { p.heads.Put(&b) }

func (p *pools) buffer(r io.Reader) *bufio.Reader {
	b, ok := p.buffers.Get().(*bufio.Reader)
	if !ok {
		return bufio.NewReaderSize(r, bufferSize)
	}
	b.Reset(r)
	return b
}

func (p *pools) free(b *bufio.Reader) {
	b.Reset(nil)
	p.buffers.Put(b)
}

// layer is a decompressor over an entry's bytes. When it has delivered
// io.EOF, end is where in the entry its stream ends.
type layer interface {
	io.Reader
	end() int64
	close()
}

// layer opens the decompressor for kind over br, which buffers src.
func (p *pools) layer(kind Kind, src *source, br *bufio.Reader) (layer, store.Encoding, error) {
	at := position{src, br}
	switch kind {
	case Gzip:
		g := &gzipLayer{position: at, pools: p}
		if zr, ok := p.gzips.Get().(*gzip.Reader); ok {
			g.zr = zr
		} else {
			g.zr = new(gzip.Reader)
		}
		if err := g.zr.Reset(br); err != nil {
			g.close()
			return nil, "", at.explain("gzip", err)
		}
		g.zr.Multistream(false)
		return g, store.Gzip, nil
	case Zstd:
		z := &zstdLayer{position: at, pools: p}
		if d, ok := p.zstds.Get().(*zstd.Decoder); ok {
			z.zr = d
		} else {
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
			if err != nil {
				return nil, "", fmt.Errorf("zstd: %w", err)
			}
			z.zr = d
		}
		if err := z.zr.Reset(br); err != nil {
			z.close()
			return nil, "", at.explain("zstd", err)
		}
		return z, store.Zstd, nil
	case Bzip2:
		return &bzip2Layer{position: at, zr: bzip2.NewReader(br)}, "", nil
	}
	return nil, "", fmt.Errorf("%s is not compressed", kind)
}

// position knows how far a decompressor has read.
type position struct {
	src *source
	br  *bufio.Reader
}

func (p position) offset() int64 { return p.src.n - int64(p.br.Buffered()) }

// explain says where and why decompression failed.
func (p position) explain(what string, err error) error {
	var corrupt flate.CorruptInputError
	var invalid bzip2.StructuralError
	switch {
	case isFatal(err), errors.Is(err, ErrLimit):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%s: cut off: the data ends at byte %d in the middle of the stream", what, p.offset())
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, zstd.ErrCRCMismatch):
		return fmt.Errorf("%s: damaged: the checksum before byte %d does not match", what, p.offset())
	case errors.Is(err, gzip.ErrHeader):
		return fmt.Errorf("%s: damaged: no valid header before byte %d", what, p.offset())
	case errors.As(err, &corrupt), errors.As(err, &invalid), errors.Is(err, zstd.ErrMagicMismatch):
		return fmt.Errorf("%s: damaged at about byte %d", what, p.offset())
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%s: needs a window of more than 128 MiB: %w", what, ErrLimit)
	}
	return fmt.Errorf("%s: at about byte %d: %w", what, p.offset(), err)
}

// gzipLayer reads one or several gzip members (RFC 1952 §2.2). What follows
// the last one and is no member is ignored: Mimecast appends a line end.
type gzipLayer struct {
	position
	pools *pools
	zr    *gzip.Reader
	last  int64
	err   error
}

func (g *gzipLayer) Read(p []byte) (int, error) {
	for g.err == nil {
		n, err := g.zr.Read(p)
		if err == nil {
			if n == 0 && len(p) > 0 {
				continue
			}
			return n, nil
		}
		if err != io.EOF {
			g.err = g.explain("gzip", err)
			return n, g.err
		}
		g.last = g.offset()
		g.err = g.next()
		if n > 0 {
			return n, nil
		}
	}
	return 0, g.err
}

// next begins the next member, or returns io.EOF.
func (g *gzipLayer) next() error {
	head, err := g.br.Peek(3)
	if err != nil && err != io.EOF {
		return g.explain("gzip", err)
	}
	if len(head) < 3 || head[0] != 0x1f || head[1] != 0x8b || head[2] != 8 {
		return io.EOF
	}
	if err := g.zr.Reset(g.br); err != nil {
		return g.explain("gzip", err)
	}
	g.zr.Multistream(false)
	return nil
}

func (g *gzipLayer) end() int64 { return g.last }

func (g *gzipLayer) close() {
	if g.zr != nil {
		g.pools.gzips.Put(g.zr)
		g.zr = nil
	}
}

// zstdLayer reads zstd frames (RFC 8878).
type zstdLayer struct {
	position
	pools *pools
	zr    *zstd.Decoder
}

func (z *zstdLayer) Read(p []byte) (int, error) {
	n, err := z.zr.Read(p)
	if err != nil && err != io.EOF {
		err = z.explain("zstd", err)
	}
	return n, err
}

func (z *zstdLayer) end() int64 { return z.offset() }

func (z *zstdLayer) close() {
	if z.zr != nil {
		if z.zr.Reset(nil) == nil {
			z.pools.zstds.Put(z.zr)
		}
		z.zr = nil
	}
}

type bzip2Layer struct {
	position
	zr io.Reader
}

func (b *bzip2Layer) Read(p []byte) (int, error) {
	n, err := b.zr.Read(p)
	if err != nil && err != io.EOF {
		err = b.explain("bzip2", err)
	}
	return n, err
}

func (b *bzip2Layer) end() int64 { return b.offset() }
func (b *bzip2Layer) close()     {}

// deflateLayer reads the deflated data of a zip entry and checks it against
// the size and the checksum that the archive's directory gives.
type deflateLayer struct {
	position
	pools *pools
	zr    io.ReadCloser // nil for stored data
	crc   hash.Hash32
	n     uint64
	want  zipSum
	err   error
}

type zipSum struct {
	crc  uint32
	size uint64
}

func (p *pools) deflate(src *source, br *bufio.Reader, stored bool, want zipSum) *deflateLayer {
	d := &deflateLayer{position: position{src, br}, pools: p, crc: crc32.NewIEEE(), want: want}
	if stored {
		return d
	}
	if zr, ok := p.deflates.Get().(io.ReadCloser); ok {
		if r, ok := zr.(flate.Resetter); ok && r.Reset(br, nil) == nil {
			d.zr = zr
			return d
		}
	}
	d.zr = flate.NewReader(br)
	return d
}

func (d *deflateLayer) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	var r io.Reader = d.br
	if d.zr != nil {
		r = d.zr
	}
	n, err := r.Read(p)
	d.crc.Write(p[:n])
	d.n += uint64(n)
	switch {
	case err == io.EOF && (d.n != d.want.size || d.crc.Sum32() != d.want.crc):
		err = fmt.Errorf("zip: damaged: size or checksum of the entry do not match after %d bytes", d.n)
	case err == nil && d.n > d.want.size:
		err = fmt.Errorf("zip: damaged: the entry has more than the %d bytes announced", d.want.size)
	case err != nil && err != io.EOF:
		err = d.explain("zip", err)
	}
	d.err = err
	return n, err
}

func (d *deflateLayer) end() int64 { return d.offset() }

func (d *deflateLayer) close() {
	if d.zr != nil {
		d.pools.deflates.Put(d.zr)
		d.zr = nil
	}
}
