package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// flushResults or flushOctets of documents go into DuckDB in one
	// transaction, or what there is after flushAfter.
	flushResults = 2048
	flushOctets  = 8 << 20
	flushAfter   = 5 * time.Second
	// Put waits while so much is on its way into DuckDB.
	mostResults = 8 * flushResults
	mostOctets  = 4 * flushOctets
	// syncEvery is how often the journal is synced.
	syncEvery = time.Second
)

// SurveyWriter takes a wave's results. Its methods may be called from any
// goroutine. Results go to a journal first, in one write for all that are put
// at the same time, and from there to DuckDB in batches. The journal is synced
// once a second: a crash of the machine, other than one of the program, may
// cost the results of the last second.
type SurveyWriter struct {
	s *Store
	w *surveyWave

	flushing sync.Mutex // held by who moves results into DuckDB; before mu
	stop     context.CancelFunc
	working  sync.WaitGroup
	kick     chan struct{}

	mu      sync.Mutex
	cond    *sync.Cond
	enc     *encoder
	sample  *sample // nil where there is a dictionary
	f       *os.File
	size    int64    // of what is whole in the file
	frames  []byte   // to be written next
	queue   []packed // theirs
	spare   []byte
	round   int64 // number of the next write
	wrote   int64 // writes done
	failed  int64 // number of the write that failed
	writing bool
	batch   []packed // in the file, not in DuckDB
	octets  int      // of their documents
	since   time.Time
	moving  []packed // in the older file, on their way into DuckDB
	err     error    // why nothing can be put any more
	closed  bool
}

var errWriterClosed = errors.New("the survey's writer was closed")

// Surveying opens a wave for results; ErrSurveying where it is open already,
// ErrUnsealed before its list was read to its end. What an interrupted run
// left in the journal is moved in first.
func (s *Store) Surveying(ctx context.Context, wave int64) (*SurveyWriter, error) {
	w, err := s.survey(ctx, wave)
	if err != nil {
		return nil, err
	}
	w.edit.Lock()
	defer w.edit.Unlock()
	if w.open() != nil {
		return nil, fmt.Errorf("wave %d: %w", wave, ErrSurveying)
	}
	if !w.isSealed() {
		return nil, fmt.Errorf("wave %d: %w", wave, ErrUnsealed)
	}
	if err := s.moveIn(ctx, w); err != nil {
		return nil, err
	}
	sw := &SurveyWriter{s: s, w: w, kick: make(chan struct{}, 1), failed: math.MaxInt64}
	sw.cond = sync.NewCond(&sw.mu)
	if sw.enc, err = s.dictionary(ctx, s.duck, wave, "result"); err != nil {
		return nil, err
	}
	if sw.enc.codec == 0 {
		sw.sample = &sample{}
	}
	if err := sw.create(); err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.Background())
	sw.stop = stop
	w.mu.Lock()
	w.writer = sw
	w.mu.Unlock()
	sw.working.Add(2)
	go sw.syncing(background)
	go sw.moveInBatches(background)
	return sw, nil
}

// create begins a new journal.
func (sw *SurveyWriter) create() error {
	f, err := os.OpenFile(sw.s.journal(sw.w.id), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("journal of a survey: %w", err)
	}
	if _, err := f.WriteString(journalMagic); err != nil {
		f.Close()
		return fmt.Errorf("journal of a survey: %w", err)
	}
	sw.f, sw.size = f, int64(len(journalMagic))
	return nil
}

// Put takes a result; a later one for the same entry replaces it. When it
// returns nil, the result survives the end of the process, however that ends;
// DuckDB has it some seconds later. It waits where results come faster than
// DuckDB takes them. An error is final: the writer takes nothing more, what it
// took before is safe. r may be used again.
func (sw *SurveyWriter) Put(r Result) error {
	p, err := sw.pack(r)
	if err != nil {
		return err
	}
	sw.mu.Lock()
	defer sw.mu.Unlock()
	for sw.err == nil && !sw.closed && (len(sw.queue)+len(sw.batch)+len(sw.moving) >= mostResults || sw.octets >= mostOctets) {
		sw.hurry()
		sw.cond.Wait()
	}
	if sw.closed {
		return errWriterClosed
	}
	if sw.err != nil {
		return sw.err
	}
	if sw.sample != nil {
		sw.sample.add(r.Doc)
	}
	sw.frames = appendFrame(sw.frames, &p)
	sw.queue = append(sw.queue, p)
	for mine := sw.round; sw.wrote <= mine; {
		if mine >= sw.failed {
			return sw.err
		}
		if sw.writing {
			sw.cond.Wait()
		} else {
			sw.write()
		}
	}
	return nil
}

// pack compresses a result.
func (sw *SurveyWriter) pack(r Result) (packed, error) {
	switch {
	case r.No < 1 || r.No > sw.w.last():
		return packed{}, fmt.Errorf("result for entry %d: the wave has entries 1 to %d", r.No, sw.w.last())
	case len(r.States) != len(sw.w.facts):
		return packed{}, fmt.Errorf("result for entry %d has %d states, its wave %d facts", r.No, len(r.States), len(sw.w.facts))
	case len(r.Doc) > maxDoc:
		return packed{}, fmt.Errorf("result for entry %d: its document has %d octets, at most %d can be kept", r.No, len(r.Doc), maxDoc)
	}
	p := packed{no: r.No, unanswered: r.Unanswered, retry: r.Retry, questions: r.Questions, attempts: r.Attempts,
		at: stamp(r.At), took: r.Took.Microseconds()}
	for i, st := range r.States {
		switch st {
		case Yes:
			p.yes[i/64] |= 1 << (i % 64)
		case No:
			p.not[i/64] |= 1 << (i % 64)
		}
	}
	p.codes = distinctCodes(r.Codes)
	sw.mu.Lock()
	enc := sw.enc
	sw.mu.Unlock()
	p.codec = enc.codec
	p.doc = enc.pack(r.Doc, nil)
	return p, nil
}

// distinctCodes are the problems, each once, as many as are kept.
func distinctCodes(in []Code) []Code {
	var out []Code
next:
	for _, c := range in {
		for _, o := range out {
			if o == c {
				continue next
			}
		}
		if out = append(out, c); len(out) == maxCodes {
			break
		}
	}
	return out
}

// last is the highest number of an entry.
func (w *surveyWave) last() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.highest
}

// write writes what is to be written; mu is held, but not while it does.
func (sw *SurveyWriter) write() {
	out, queue, round, f := sw.frames, sw.queue, sw.round, sw.f
	sw.frames, sw.queue, sw.writing = sw.spare[:0], nil, true
	sw.round++
	sw.mu.Unlock()
	_, err := f.Write(out)
	if err != nil {
		err = fmt.Errorf("journal of a survey: %w", err)
		// A frame that is cut off would hide those behind it.
		err = errors.Join(err, f.Truncate(sw.size))
	} else {
		sw.w.mu.Lock()
		for i := range queue {
			sw.w.taken.add(queue[i].no)
		}
		sw.w.mu.Unlock()
	}
	sw.mu.Lock()
	if sw.spare = out[:0]; cap(out) > flushOctets {
		sw.spare = nil
	}
	sw.writing = false
	if err != nil {
		sw.err, sw.failed = err, min(sw.failed, round)
	} else {
		sw.size += int64(len(out))
		sw.wrote = round + 1
		if len(sw.batch) == 0 {
			sw.since = time.Now()
		}
		sw.batch = append(sw.batch, queue...)
		for i := range queue {
			sw.octets += len(queue[i].doc)
		}
		if len(sw.batch) >= flushResults || sw.octets >= flushOctets {
			sw.hurry()
		}
	}
	sw.cond.Broadcast()
}

// hurry asks for a batch to be moved in.
func (sw *SurveyWriter) hurry() {
	select {
	case sw.kick <- struct{}{}:
	default:
	}
}

// syncing syncs the journal.
func (sw *SurveyWriter) syncing(ctx context.Context) {
	defer sw.working.Done()
	t := time.NewTicker(syncEvery)
	defer t.Stop()
	synced := int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		sw.mu.Lock()
		f, wrote := sw.f, sw.wrote
		sw.mu.Unlock()
		if wrote == synced {
			continue
		}
		err := f.Sync()
		if err == nil {
			err = syncDir(filepath.Dir(f.Name()))
		}
		if err == nil {
			synced = wrote
		} else if !errors.Is(err, os.ErrClosed) { // moved in meanwhile
			sw.fail(fmt.Errorf("journal of a survey: %w", err))
		}
	}
}

// fail ends the taking of results.
func (sw *SurveyWriter) fail(err error) {
	sw.mu.Lock()
	if sw.err == nil {
		sw.err = err
	}
	sw.cond.Broadcast()
	sw.mu.Unlock()
}

// moveInBatches moves results into DuckDB, a batch at a time.
func (sw *SurveyWriter) moveInBatches(ctx context.Context) {
	defer sw.working.Done()
	t := time.NewTicker(flushAfter / 5)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sw.kick:
		case <-t.C:
			sw.mu.Lock()
			due := len(sw.batch) > 0 && time.Since(sw.since) >= flushAfter
			sw.mu.Unlock()
			if !due {
				continue
			}
		}
		if err := sw.flush(ctx); err != nil && ctx.Err() == nil {
			sw.fail(err)
		}
	}
}

// flush moves a batch into DuckDB.
func (sw *SurveyWriter) flush(ctx context.Context) error {
	sw.flushing.Lock()
	defer sw.flushing.Unlock()
	old := sw.s.journals(sw.w.id)[0]
	sw.mu.Lock()
	if sw.moving == nil {
		for sw.writing {
			sw.cond.Wait()
		}
		if len(sw.batch) == 0 {
			sw.mu.Unlock()
			return nil
		}
		f := sw.f
		err := os.Rename(f.Name(), old)
		if err == nil {
			if err = sw.create(); err != nil {
				sw.f = f
				err = errors.Join(err, os.Rename(old, f.Name()))
			}
		}
		if err != nil {
			sw.mu.Unlock()
			return fmt.Errorf("journal of a survey: %w", err)
		}
		f.Close()
		sw.moving, sw.batch, sw.octets = sw.batch, nil, 0
	}
	batch := sw.moving
	var dictionary []byte
	if sw.sample != nil && (sw.sample.full() || sw.closed) && len(sw.sample.bytes) >= dictionaryLeast {
		dictionary = sw.sample.bytes
	}
	sw.mu.Unlock()

	var enc *encoder
	err := sw.s.storeResults(ctx, sw.w, batch, func() (err error) {
		if dictionary != nil {
			enc, err = sw.s.addDictionary(ctx, sw.w.id, "result", dictionary)
		}
		return err
	})
	if err == nil {
		err = os.Remove(old)
	}
	if err != nil {
		return err
	}
	sw.mu.Lock()
	sw.moving = nil
	if enc != nil {
		sw.enc, sw.sample = enc, nil
	}
	sw.cond.Broadcast()
	sw.mu.Unlock()
	return nil
}

// settle moves everything that was put before into DuckDB.
func (sw *SurveyWriter) settle(ctx context.Context) error {
	for range 2 { // what is on its way, and what came after it
		if err := sw.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close moves everything into DuckDB and closes the journal. Where it fails,
// the journal stays, and the next Surveying or Open goes on with it. A second
// Close does nothing.
func (sw *SurveyWriter) Close(ctx context.Context) error {
	sw.mu.Lock()
	if sw.closed {
		sw.mu.Unlock()
		return nil
	}
	sw.closed = true
	sw.cond.Broadcast()
	for sw.writing || len(sw.queue) > 0 && sw.failed == math.MaxInt64 {
		if sw.writing {
			sw.cond.Wait()
		} else {
			sw.write()
		}
	}
	sw.mu.Unlock()
	sw.stop()
	sw.working.Wait()
	err := sw.settle(ctx)
	if err != nil {
		err = errors.Join(err, sw.f.Sync(), sw.f.Close())
	} else {
		err = errors.Join(sw.f.Close(), sw.s.removeJournals(sw.w.id))
	}
	w := sw.w
	w.edit.Lock()
	defer w.edit.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writer = nil
	return err
}
