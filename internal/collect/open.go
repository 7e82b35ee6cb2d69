package collect

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"sekimori/internal/store"
	"sekimori/message"
	"sekimori/report/failure"
)

// document is one XML document that may be a report.
type document struct {
	member string    // its place in the input file, "" for the file itself
	r      io.Reader // the XML
	raw    *rawBytes // the compressed bytes that r comes out of; nil for plain XML
}

// rawBytes are a document's compressed bytes. They are complete when the
// document was read to its end.
type rawBytes struct {
	encoding store.Encoding
	src      *source // records into spool
	spool    *spool
	start    int64 // of the stream in the entry
	layer    layer
}

// take returns the bytes, cut at the end of the compressed stream, and what
// gives them free once the store has them.
func (r *rawBytes) take() (store.Raw, func(), error) {
	s := r.spool
	r.stop()
	s.truncate(r.layer.end() - r.start)
	return s.raw(r.encoding), s.close, nil
}

// stop ends the recording.
func (r *rawBytes) stop() { r.src.rec, r.spool = nil, nil }

// drop ends the recording and forgets what was recorded.
func (r *rawBytes) drop() {
	s := r.spool
	r.stop()
	s.close()
}

// visitor is what an opener finds things for. Its methods may be called by
// several goroutines.
type visitor interface {
	// report reads a document. A fatal error ends everything; any other says
	// why the document was refused.
	report(ctx context.Context, d *document) error
	// failure takes a failure report. A fatal error ends everything; any other
	// says why the report was refused.
	failure(ctx context.Context, member string, rep *failure.Report) error
	// reject keeps an entry that could not be read. keep writes a copy of the
	// entry; where it is nil the input file stands for it.
	reject(ctx context.Context, member string, reason error, keep func(io.Writer) error) error
	// abort ends everything because of a fatal error.
	abort(err error)
	// spawn runs job now, or lets an idle worker run it at the same time.
	spawn(job func())
}

// opener opens one input file.
type opener struct {
	visit   visitor
	limits  Limits
	budget  *budget
	pools   *pools
	scratch scratch
}

// entry is one thing to open: an input file, or what was found in one.
type entry struct {
	member string
	depth  int
	r      io.Reader   // the content
	at     io.ReaderAt // the content again, for random access; may be nil
	size   int64       // of at
	raw    *rawBytes   // what r is decompressed from
	mail   *mailState  // of the message that the entry is in; nil outside
}

// inside returns an entry found in e.
func (e *entry) inside(r io.Reader) *entry {
	return &entry{member: e.member, depth: e.depth + 1, r: r, mail: e.mail}
}

func joinMember(outer, inner string) string {
	if outer == "" {
		return inner
	}
	return outer + "!" + inner
}

// open reads an entry, whatever it is. The error says why the entry as a whole
// could not be read; of archives and mailboxes, what is wrong with the entries
// was given to the visitor already. found counts the reports given to the
// visitor, without those in spawned jobs.
func (o *opener) open(ctx context.Context, e *entry) (found int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, fatal(err)
	}
	if e.depth > o.limits.Depth {
		return 0, fmt.Errorf("more than %d containers in each other: %w", o.limits.Depth, ErrLimit)
	}
	src := &source{r: e.r}
	br := o.pools.buffer(src)
	defer o.pools.free(br)
	head, err := br.Peek(SniffLen)
	if err != nil && err != io.EOF {
		return 0, err
	}
	kind := Sniff(head)
	if e.raw != nil && kind != XML {
		e.raw.drop()
		e.raw = nil
	}
	switch kind {
	case Empty:
		if len(head) > 0 {
			return 0, fmt.Errorf("%w: nothing but white space in it", errEmpty)
		}
		return 0, errEmpty
	case XML:
		return 1, o.visit.report(ctx, &document{member: e.member, r: br, raw: e.raw})
	case Gzip, Zstd, Bzip2:
		return o.decompress(ctx, e, kind, src, br)
	case Zip:
		return o.zip(ctx, e, br)
	case Tar:
		return o.tar(ctx, e, br)
	case Mail:
		return o.mail(ctx, e, br)
	case Mbox:
		return o.mbox(ctx, e, br)
	case Base64:
		in := e.inside(message.NewBase64Reader(br))
		return o.open(ctx, in)
	case JSON:
		return 0, describeJSON(head)
	}
	return 0, describe(head)
}

func (o *opener) decompress(ctx context.Context, e *entry, kind Kind, src *source, br *bufio.Reader) (int, error) {
	// Record the compressed bytes: what is buffered now and all that follows.
	buffered, err := br.Peek(br.Buffered())
	if err != nil {
		return 0, err
	}
	rec := o.scratch.spool()
	if _, err := rec.Write(buffered); err != nil {
		return 0, err
	}
	start := src.n - int64(len(buffered))
	src.rec = rec
	raw := &rawBytes{src: src, spool: rec, start: start}
	defer raw.drop()
	l, encoding, err := o.pools.layer(kind, src, br)
	if err != nil {
		return 0, err
	}
	defer l.close()
	in := e.inside(&meter{r: l, b: o.budget, what: string(kind)})
	if encoding == "" {
		raw.drop() // not a form that is kept
	} else {
		raw.encoding, raw.layer = encoding, l
		in.raw = raw
	}
	found, err := o.open(ctx, in)
	if errors.Is(err, errEmpty) {
		err = fmt.Errorf("%s: nothing in it", kind)
	}
	return found, err
}

// errEmpty says that an entry has no content.
var errEmpty = errors.New("an empty file")
