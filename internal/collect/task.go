package collect

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/internal/store"
)

// task is one input file being dealt with. It is finished when it was read,
// its spawned jobs have run, and every report of it is committed.
type task struct {
	run     *run
	root    root
	budget  *budget
	f       *os.File // of a file
	upload  *upload  // of ImportReader
	started time.Time

	pending atomic.Int64 // the reading, jobs, and reports on their way
	mu      sync.Mutex
	res     store.FileResult
	parts   int   // rejected so far
	more    int   // rejected parts beyond Limits.Parts
	moreErr error // of the first of them

	keeping   sync.Mutex
	partBytes int64  // kept of parts
	whole     copied // of the whole file
	tried     bool   // to copy it
}

// open reads the file with everything in it.
func (t *task) open(content *io.SectionReader, size int64) {
	defer t.finish()
	o := *t.run.opener
	o.visit, o.budget = t, t.budget
	counted := &countingReader{r: &contextReader{t.run.ctx, content}, n: &t.run.read}
	_, err := o.open(t.run.ctx, &entry{r: counted, at: content, size: size})
	t.run.read.Add(size - counted.own)
	if err != nil {
		if isFatal(err) {
			t.run.abort(err)
			return
		}
		if err := t.fail(t.run.ctx, "", err, nil); err != nil {
			t.run.abort(err)
		}
	}
}

// countingReader counts bytes for the progress.
type countingReader struct {
	r   io.Reader
	n   *atomic.Int64
	own int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	c.own += int64(n)
	return n, err
}

// finish ends one of the things that are pending; the last one notes the file
// as done, unless the import was stopped.
func (t *task) finish() {
	if t.pending.Add(-1) > 0 {
		return
	}
	if t.f != nil {
		defer t.f.Close()
	}
	if t.run.ctx.Err() != nil {
		return
	}
	if t.more > 0 {
		err := fmt.Errorf("and %d more parts of the file that could not be read, such as: %w", t.more, t.moreErr)
		if err := t.note(t.run.ctx, rejection{path: t.res.Path, reason: err}, nil); err != nil {
			t.run.abort(err)
			return
		}
	}
	if err := t.run.im.Ledger.FileDone(t.run.ctx, t.run.id, t.res); err != nil {
		t.run.abort(err)
		return
	}
	t.run.count(t.root, t.res)
}

// abort is visitor's.
func (t *task) abort(err error) { t.run.abort(err) }

// spawn is visitor's.
func (t *task) spawn(job func()) {
	t.pending.Add(1)
	t.run.spawn(func() {
		defer t.finish()
		if t.run.ctx.Err() == nil {
			job()
		}
	})
}

// reject is visitor's.
func (t *task) reject(ctx context.Context, member string, reason error, keep func(io.Writer) error) error {
	if err := t.fail(ctx, member, reason, keep); err != nil {
		t.run.abort(err)
		return err
	}
	return nil
}

// fail keeps an entry, or the whole file where keep is nil or cannot.
func (t *task) fail(ctx context.Context, member string, reason error, keep func(io.Writer) error) error {
	if member != "" {
		t.mu.Lock()
		if t.parts++; t.parts > t.run.limits.Parts {
			t.more++
			if t.moreErr == nil {
				t.moreErr = fmt.Errorf("%s: %w", member, reason)
			}
			t.mu.Unlock()
			return nil
		}
		t.mu.Unlock()
	}
	return t.note(ctx, rejection{path: t.res.Path, member: member, reason: reason}, keep)
}

func (t *task) note(ctx context.Context, rej rejection, keep func(io.Writer) error) error {
	c, err := t.keep(rej, keep)
	if err == nil {
		err = t.run.keeper.note(ctx, t.run.id, rej, c)
	}
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.res.Rejected = append(t.res.Rejected, store.Rejected{Path: rej.at(), Error: plain(rej.reason), Kept: c.name})
	t.run.rejected.Add(1)
	return nil
}

// keptParts is how many bytes of parts of one file are kept by themselves:
// compressed, they may be a hundred times smaller. Beyond it, the file stands
// for its parts.
const keptParts = 64 << 20

// keep copies a part or, where that cannot be, the whole file, once.
func (t *task) keep(rej rejection, part func(io.Writer) error) (copied, error) {
	t.keeping.Lock()
	defer t.keeping.Unlock()
	if name, ok := t.run.data.kept(t.res.Path); ok { // tried once more
		return copied{name, t.res.Size}, nil
	}
	if left := keptParts - t.partBytes; left > 0 && part != nil {
		c, err := t.run.keeper.copy(rej, rej.at(), min(left, t.run.limits.Keep), part)
		if err != nil || c.name != "" {
			t.partBytes += c.size
			return c, err
		}
	}
	if !t.tried {
		var err error
		if t.whole, err = t.run.keeper.copy(rej, rej.path, t.run.limits.Keep, t.copy()); err != nil {
			return copied{}, err
		}
		t.tried = true
	}
	return t.whole, nil
}

// copy returns what copies the whole input; nil where that is not to be.
func (t *task) copy() func(io.Writer) error {
	var from io.ReaderAt
	switch {
	case t.res.Size > t.run.limits.Keep:
		return nil
	case t.upload != nil:
		from = t.upload.f
	case t.f != nil:
		from = t.f
	default:
		return nil
	}
	return func(w io.Writer) error {
		_, err := io.Copy(w, io.NewSectionReader(from, 0, t.res.Size))
		return err
	}
}

// stored counts the outcome of a report that is durable now.
func (t *task) stored(o store.Outcome) {
	t.mu.Lock()
	if o.Duplicate && !o.Resumed {
		t.res.Duplicates++
	} else {
		t.res.Reports++
		t.res.Rows += o.Rows
		t.res.Messages = addMessages(t.res.Messages, o.Messages)
	}
	t.mu.Unlock()
	if o.Duplicate && !o.Resumed {
		t.run.duplicates.Add(1)
	} else {
		t.run.reports.Add(1)
		t.run.rowsDone.Add(o.Rows)
	}
	t.finish()
}

// addMessages adds, staying at the largest number where the sum would pass it.
func addMessages(a, b uint64) uint64 {
	if a+b < a {
		return math.MaxUint64
	}
	return a + b
}
