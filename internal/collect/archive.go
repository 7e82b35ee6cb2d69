package collect

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"path"
	"strings"
	"sync/atomic"

	"sekimori/internal/store"
)

const (
	// handOver is the largest entry that is read into memory so that another
	// worker can take it.
	handOver = 1 << 20
	// zipDirectory is how many bytes of a zip's directory are read: the
	// standard library holds all of it in memory.
	zipDirectory = 32 << 20
)

// skipEntry tells entries that are no input: what systems put beside files.
func skipEntry(name string) bool {
	name = strings.ReplaceAll(name, "\\", "/")
	if strings.HasPrefix(name, "__MACOSX/") {
		return true
	}
	base := path.Base(name)
	if base == "." { // an entry without a name
		return false
	}
	return strings.HasPrefix(base, ".") || isControlFile(base)
}

// names makes the members of a container distinct: a name met again gets its
// number added. It holds hashes, because there may be a million names.
type names map[uint64]struct{}

// nameLength is how many characters of an entry's name are used.
const nameLength = 300

func (n names) distinct(name string, no int64) string {
	if name == "" {
		name = fmt.Sprintf("entry %d", no)
	}
	name = clip(strings.ToValidUTF8(name, "\ufffd"), nameLength)
	h := fnv.New64a()
	io.WriteString(h, name)
	if _, again := n[h.Sum64()]; again {
		return fmt.Sprintf("%s#%d", name, no)
	}
	n[h.Sum64()] = struct{}{}
	return name
}

// done deals with the outcome of one entry of an archive or a mailbox. Inside
// a message, the message stands for its attachments.
func (o *opener) done(ctx context.Context, in *entry, err error, keep func(io.Writer) error) error {
	if err == nil {
		return nil
	}
	if isFatal(err) {
		o.visit.abort(err) // the caller may have gone on without waiting
		return err
	}
	if in.mail != nil {
		in.mail.add(in.member, err)
		return nil
	}
	return o.visit.reject(ctx, in.member, err, keep)
}

// spawnEntry opens an entry whose bytes are in memory, perhaps on another
// worker. Within a message all is done in order.
func (o *opener) spawnEntry(ctx context.Context, in *entry, b []byte, fail func(error)) (int, error) {
	in.r, in.at, in.size = bytes.NewReader(b), bytes.NewReader(b), int64(len(b))
	keep := func(w io.Writer) error { _, err := w.Write(b); return err }
	if in.mail != nil {
		n, err := o.open(ctx, in)
		return n, o.done(ctx, in, err, keep)
	}
	o.visit.spawn(func() {
		_, err := o.open(ctx, in)
		fail(o.done(ctx, in, err, keep))
	})
	return 0, nil
}

// firstError keeps the first error of jobs that run beside each other.
type firstError struct{ p atomic.Pointer[error] }

func (f *firstError) set(err error) {
	if err != nil {
		f.p.CompareAndSwap(nil, &err)
	}
}

func (f *firstError) get() error {
	if p := f.p.Load(); p != nil {
		return *p
	}
	return nil
}

func (o *opener) tar(ctx context.Context, e *entry, br *bufio.Reader) (int, error) {
	tr := tar.NewReader(br)
	seen := names{}
	found, files := 0, 0
	var failed firstError
	for no := int64(1); ; no++ {
		if err := failed.get(); err != nil {
			return found, err
		}
		h, err := tr.Next()
		if err == io.EOF {
			if files == 0 {
				return found, errors.New("tar: nothing in it")
			}
			return found, nil
		}
		if err != nil {
			return found, tarError(err, no, "")
		}
		if err := o.budget.entry(); err != nil {
			return found, err
		}
		if h.Typeflag != tar.TypeReg || skipEntry(h.Name) {
			continue
		}
		files++
		in := e.inside(tr)
		in.member = joinMember(e.member, seen.distinct(h.Name, no))
		if h.Size > o.limits.Entry {
			if err := o.done(ctx, in, fmt.Errorf("tar: entry of %d bytes: %w", h.Size, ErrLimit), nil); err != nil {
				return found, err
			}
			continue
		}
		if h.Size <= handOver {
			b := make([]byte, h.Size)
			if _, err := io.ReadFull(tr, b); err != nil {
				return found, tarError(err, no, h.Name)
			}
			n, err := o.spawnEntry(ctx, in, b, failed.set)
			found += n
			if err != nil {
				return found, err
			}
			continue
		}
		n, err := o.open(ctx, in)
		found += n
		if err := o.done(ctx, in, err, nil); err != nil {
			return found, err
		}
	}
}

func tarError(err error, no int64, name string) error {
	if isFatal(err) || errors.Is(err, ErrLimit) {
		return err
	}
	where := fmt.Sprintf("entry %d", no)
	if name != "" {
		where += fmt.Sprintf(" (%s)", clip(name, 100))
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("tar: cut off in %s", where)
	case errors.Is(err, tar.ErrHeader):
		return fmt.Errorf("tar: damaged: %s has no valid header", where)
	}
	return fmt.Errorf("tar: %s: %w", where, err)
}

// zip reads an archive by its directory, which stands at its end: what comes
// as a stream is spooled first.
func (o *opener) zip(ctx context.Context, e *entry, br *bufio.Reader) (int, error) {
	at, size := e.at, e.size
	if at == nil {
		sp := o.scratch.spool()
		defer sp.close()
		n, err := io.Copy(sp, io.LimitReader(br, o.limits.Entry+1))
		if err != nil {
			return 0, err
		}
		if n > o.limits.Entry {
			return 0, fmt.Errorf("zip: more than %d bytes: %w", o.limits.Entry, ErrLimit)
		}
		at, size = sp.at(), n
	}
	dir := &directoryLimit{r: at, left: zipDirectory}
	zr, err := zip.NewReader(dir, size)
	if err != nil {
		if dir.left < 0 {
			return 0, fmt.Errorf("zip: a directory of more than %d bytes: %w", zipDirectory, ErrLimit)
		}
		return 0, fmt.Errorf("zip: damaged: no readable directory at its end (%w)", err)
	}
	for _, f := range zr.File {
		if f.Name == "[Content_Types].xml" {
			return 0, errors.New("not a report: an Office document")
		}
	}
	dir.left = 1 << 62 // from now on it reads entries
	if e.mail == nil && e.at != nil {
		return o.zipBeside(ctx, e, zr)
	}
	return o.zipInOrder(ctx, e, zr)
}

// directoryLimit bounds what is read while a zip's directory is.
type directoryLimit struct {
	r    io.ReaderAt
	left int64
}

func (d *directoryLimit) ReadAt(p []byte, off int64) (int, error) {
	if d.left < 1<<61 {
		if d.left -= int64(len(p)); d.left < 0 {
			return 0, ErrLimit
		}
	}
	return d.r.ReadAt(p, off)
}

func (o *opener) zipInOrder(ctx context.Context, e *entry, zr *zip.Reader) (int, error) {
	return o.zipEntries(ctx, e, zr, func(job func()) { job() })
}

// zipBeside lets idle workers take entries: the archive can be read at several
// places at once.
func (o *opener) zipBeside(ctx context.Context, e *entry, zr *zip.Reader) (int, error) {
	return o.zipEntries(ctx, e, zr, o.visit.spawn)
}

func (o *opener) zipEntries(ctx context.Context, e *entry, zr *zip.Reader, run func(func())) (int, error) {
	seen := names{}
	var found atomic.Int64
	var failed firstError
	files := 0
	for i, f := range zr.File {
		if err := failed.get(); err != nil {
			return int(found.Load()), err
		}
		if err := o.budget.entry(); err != nil {
			return int(found.Load()), err
		}
		if strings.HasSuffix(f.Name, "/") || !f.Mode().IsRegular() || skipEntry(f.Name) {
			continue
		}
		files++
		in := e.inside(nil)
		in.member = joinMember(e.member, seen.distinct(f.Name, int64(i+1)))
		run(func() {
			n, err := o.zipEntry(ctx, in, f)
			found.Add(int64(n))
			keep := func(w io.Writer) error { return o.copyZipEntry(w, f) }
			failed.set(o.done(ctx, in, err, keep))
		})
	}
	if files == 0 {
		return 0, errors.New("zip: nothing in it")
	}
	return int(found.Load()), failed.get()
}

func (o *opener) zipEntry(ctx context.Context, in *entry, f *zip.File) (int, error) {
	src, stored, err := openZipEntry(f)
	if err != nil {
		return 0, err
	}
	br := o.pools.buffer(src)
	defer o.pools.free(br)
	l := o.pools.deflate(src, br, stored, zipSum{f.CRC32, f.UncompressedSize64})
	defer l.close()
	in.r = &meter{r: l, b: o.budget, what: "zip entry"}
	if !stored {
		rec := o.scratch.spool()
		src.rec = rec
		in.raw = &rawBytes{encoding: store.Deflate, src: src, spool: rec, layer: l}
		raw := in.raw
		defer raw.drop()
	}
	return o.open(ctx, in)
}

func openZipEntry(f *zip.File) (src *source, stored bool, err error) {
	switch {
	case f.Flags&1 != 0:
		return nil, false, errors.New("zip: the entry is encrypted")
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return nil, false, fmt.Errorf("zip: compression method %d is not supported: unpack and pack again", f.Method)
	}
	r, err := f.OpenRaw()
	if err != nil {
		return nil, false, fmt.Errorf("zip: damaged: no entry where the directory says (%w)", err)
	}
	return &source{r: r}, f.Method == zip.Store, nil
}

// copyZipEntry inflates an entry once more, for the quarantine.
func (o *opener) copyZipEntry(w io.Writer, f *zip.File) error {
	if f.UncompressedSize64 > uint64(o.limits.Memory) {
		return errNotByItself
	}
	src, stored, err := openZipEntry(f)
	if err != nil {
		return err
	}
	br := o.pools.buffer(src)
	defer o.pools.free(br)
	l := o.pools.deflate(src, br, stored, zipSum{f.CRC32, f.UncompressedSize64})
	defer l.close()
	_, err = io.Copy(w, io.LimitReader(l, o.limits.Memory))
	return err
}

// errNotByItself says that an entry cannot be copied: its file is.
var errNotByItself = errors.New("the entry is kept within its file")
