package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

const (
	// smallRows and smallBytes are what a report may have to be gathered with
	// others into a group commit; a larger one streams into the store.
	smallRows  = 4000
	smallBytes = 4 << 20
	// chunkRows and chunkBytes are how much of a large report is handed to
	// the store at a time; three such chunks are in memory.
	chunkRows  = 8 << 10
	chunkBytes = 2 << 20
	// plainSmall is the largest plain XML that is compressed in one piece.
	plainSmall = 256 << 10
)

// parser reads one report at a time. It is kept for the next one, because its
// buffers are large.
type parser struct {
	in  *aggregate.Reader
	rec aggregate.Record
}

func (r *run) parser() *parser {
	if p, ok := r.parsers.Get().(*parser); ok {
		return p
	}
	return &parser{in: aggregate.NewReader(nil, r.limits.Report)}
}

// free keeps the parser for the next report.
func (r *run) free(p *parser) {
	p.in.Reset(nil)
	p.rec = aggregate.Record{}
	r.parsers.Put(p)
}

func (r *run) batch() *store.Rows {
	if rows, ok := r.batches.Get().(*store.Rows); ok {
		return rows
	}
	return new(store.Rows)
}

// keptRoom is the memory of a batch, in bytes, up to which it is used again.
// Thousands of batches wait in one group commit: were large ones kept too, all
// of them would in time be as large as the largest report.
const keptRoom = 32 << 10

func (r *run) freeBatch(rows *store.Rows) {
	if rows.Room() > keptRoom {
		return
	}
	rows.Reset()
	r.batches.Put(rows)
}

// rawKeeper has the report as it was received, once it was read to its end.
type rawKeeper interface {
	take() (raw store.Raw, free func(), err error)
	drop()
}

// report is visitor's: it reads a document into the store, wholly or not at
// all. What it counts is durable.
func (t *task) report(ctx context.Context, d *document) error {
	r := t.run
	p := r.parser()
	defer r.free(p)
	src, raw := d.r, rawKeeper(d.raw)
	if d.raw == nil {
		plain := r.plain(d.r)
		src, raw = plain, plain
	}
	defer raw.drop()
	p.in.Reset(src)
	origin := store.Origin{Import: r.id, Path: t.res.Path, Member: d.member}

	rows := r.batch()
	for rows.Len() < smallRows && rows.Size() < smallBytes {
		err := p.in.Next(&p.rec)
		if err == io.EOF {
			rep, _ := p.in.Report()
			in := &store.Incoming{Report: rep, Rows: rows, Origin: origin}
			var free func()
			if in.Raw, free, err = raw.take(); err != nil {
				return err
			}
			t.pending.Add(1)
			err = r.group.add(ctx, waiting{in: in, task: t, free: func() { free(); r.freeBatch(rows) }})
			if err != nil {
				t.finish()
			}
			return err
		}
		if err != nil {
			r.freeBatch(rows)
			return err
		}
		rows.Add(&p.rec)
	}
	defer r.freeBatch(rows)
	return t.large(ctx, p, rows, raw, origin)
}

// large streams a report into the store. rows are its first records.
func (t *task) large(ctx context.Context, p *parser, rows *store.Rows, raw rawKeeper, origin store.Origin) error {
	sink := t.run.im.Sink
	head, known := p.in.Report()
	if !known { // the head comes last: read twice
		return t.twice(ctx, p, raw, origin)
	}
	key := store.KeyOf(head)
	_, seen, err := sink.Seen(ctx, key)
	if err != nil {
		return fatal(err)
	}
	if seen {
		return t.duplicate(ctx, p, key, raw, origin)
	}
	st, err := sink.Begin(ctx, head)
	if err != nil {
		return fatal(err)
	}
	rep, err := t.stream(p, st, rows)
	if err != nil {
		return errors.Join(err, fatal(st.Abort()))
	}
	in := store.Incoming{Report: rep, Origin: origin}
	var free func()
	if in.Raw, free, err = raw.take(); err != nil {
		return errors.Join(err, st.Abort())
	}
	defer free()
	out, err := st.Commit(ctx, in)
	if errors.Is(err, store.ErrHeadChanged) {
		return t.again(ctx, p, in)
	}
	if err != nil {
		return fatal(err)
	}
	t.pending.Add(1) // stored ends what the group's reports began
	t.stored(out)
	return nil
}

// stream reads the records that are left into st, while another goroutine
// appends those before. first was read already; it may be empty.
func (t *task) stream(p *parser, st Stream, first *store.Rows) (aggregate.Report, error) {
	r := t.run
	full := make(chan *store.Rows, 1)
	spare := make(chan *store.Rows, 3)
	chunks := []*store.Rows{r.batch(), r.batch()}
	for _, c := range chunks {
		spare <- c
	}
	var failed firstError
	var appending sync.WaitGroup
	appending.Add(1)
	go func() {
		defer appending.Done()
		r.giveWay()
		for rows := range full {
			if failed.get() == nil {
				failed.set(fatal(st.Append(rows)))
			}
			rows.Reset()
			spare <- rows
		}
	}()
	rows, err := first, error(nil)
	for err == nil && failed.get() == nil {
		if rows.Len() >= chunkRows || rows.Size() >= chunkBytes {
			full <- rows
			rows = <-spare
		}
		if err = p.in.Next(&p.rec); err == nil {
			rows.Add(&p.rec)
		}
	}
	if err == io.EOF {
		full <- rows
	}
	close(full)
	appending.Wait()
	for _, c := range chunks {
		r.freeBatch(c)
	}
	if err := failed.get(); err != nil {
		return aggregate.Report{}, err
	}
	if err != io.EOF {
		return aggregate.Report{}, err
	}
	rep, _ := p.in.Report()
	return rep, nil
}

// skim reads a report to its end without keeping its records.
func (p *parser) skim(ctx context.Context) (aggregate.Report, error) {
	for {
		err := p.in.Next(&p.rec)
		if err == nil {
			err = fatal(ctx.Err())
		}
		if err == io.EOF {
			rep, _ := p.in.Report()
			return rep, nil
		}
		if err != nil {
			return aggregate.Report{}, err
		}
	}
}

// duplicate reads the rest of a large report whose key is stored already: it
// must be whole to count as a duplicate.
func (t *task) duplicate(ctx context.Context, p *parser, key store.Key, raw rawKeeper, origin store.Origin) error {
	rep, err := p.skim(ctx)
	if err != nil {
		return err
	}
	in := store.Incoming{Report: rep, Origin: origin}
	if store.KeyOf(rep) != key {
		var free func()
		if in.Raw, free, err = raw.take(); err != nil {
			return err
		}
		defer free()
		return t.again(ctx, p, in)
	}
	in.Rows = new(store.Rows) // not looked at
	out, err := t.run.im.Sink.Put(ctx, []*store.Incoming{&in})
	if err != nil {
		return fatal(err)
	}
	t.pending.Add(1)
	t.stored(out[0])
	return nil
}

// twice reads a large report whose head comes after its records: to the end
// for the head, and then again from the copy kept.
func (t *task) twice(ctx context.Context, p *parser, raw rawKeeper, origin store.Origin) error {
	rep, err := p.skim(ctx)
	if err != nil {
		return err
	}
	in := store.Incoming{Report: rep, Origin: origin}
	var free func()
	if in.Raw, free, err = raw.take(); err != nil {
		return err
	}
	defer free()
	return t.again(ctx, p, in)
}

// again reads a report from its copy, its head being known.
func (t *task) again(ctx context.Context, p *parser, in store.Incoming) error {
	src, err := inflate(in.Raw)
	if err != nil {
		return fatal(err)
	}
	defer src.Close()
	p.in.Reset(&contextReader{ctx, src})
	st, err := t.run.im.Sink.Begin(ctx, in.Report)
	if err != nil {
		return fatal(err)
	}
	rows := t.run.batch()
	defer t.run.freeBatch(rows)
	if _, err := t.stream(p, st, rows); err != nil {
		return errors.Join(err, fatal(st.Abort()))
	}
	out, err := st.Commit(ctx, in)
	if err != nil {
		return fatal(err)
	}
	t.pending.Add(1)
	t.stored(out)
	return nil
}

// inflate reads the XML of a report as received.
func inflate(raw store.Raw) (io.ReadCloser, error) {
	var r io.Reader = bytes.NewReader(raw.Bytes)
	if raw.File != nil {
		r = io.NewSectionReader(raw.File, 0, raw.Size)
	}
	switch raw.Encoding {
	case store.Gzip:
		return gzip.NewReader(r)
	case store.Deflate:
		return flate.NewReader(r), nil
	case store.Zstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("a report kept as %q cannot be read again", raw.Encoding)
}

// plainXML reads plain XML and keeps it compressed: a small one in one piece
// at the end, a larger one as it goes.
type plainXML struct {
	r     io.Reader
	run   *run
	buf   []byte
	spool *spool
	enc   *zstd.Encoder
}

func (r *run) plain(src io.Reader) *plainXML { return &plainXML{r: src, run: r} }

// encoder makes a compressor for XML: fast, with a window of little memory.
func (r *run) encoder() *zstd.Encoder {
	if e, ok := r.encoders.Get().(*zstd.Encoder); ok {
		return e
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil // the options are constant and valid
	}
	return e
}

func (x *plainXML) Read(p []byte) (int, error) {
	n, err := x.r.Read(p)
	if x.enc == nil && len(x.buf)+n <= plainSmall {
		x.buf = append(x.buf, p[:n]...)
		return n, err
	}
	if x.enc == nil {
		x.spool = x.run.opener.scratch.spool()
		x.enc = x.run.encoder()
		x.enc.Reset(x.spool)
		if _, werr := x.enc.Write(x.buf); werr != nil {
			return n, fatal(werr)
		}
		x.buf = nil
	}
	if _, werr := x.enc.Write(p[:n]); werr != nil {
		return n, fatal(werr)
	}
	return n, err
}

func (x *plainXML) take() (store.Raw, func(), error) {
	if x.enc == nil {
		e := x.run.encoder()
		defer x.run.encoders.Put(e)
		return store.Raw{Encoding: store.Zstd, Bytes: e.EncodeAll(x.buf, nil)}, func() {}, nil
	}
	err := x.enc.Close()
	s := x.spool
	x.spool = nil
	x.drop()
	if err != nil {
		s.close()
		return store.Raw{}, nil, fatal(err)
	}
	return s.raw(store.Zstd), s.close, nil
}

func (x *plainXML) drop() {
	if x.enc != nil {
		x.enc.Reset(nil)
		x.run.encoders.Put(x.enc)
		x.enc = nil
	}
	x.spool.close()
	x.spool, x.buf = nil, nil
}
