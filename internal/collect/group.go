package collect

import (
	"context"
	"sync"
	"time"

	"sekimori/internal/store"
)

// A group commit is made when so much is waiting, or so long.
const (
	groupRows    = 64 << 10
	groupReports = 2000
	groupBytes   = 32 << 20               // of rows and reports as received
	groupIdle    = 100 * time.Millisecond // since something came last
	groupAge     = 500 * time.Millisecond // since something came first
	// groupAhead is how many group commits' worth may wait while one is made.
	groupAhead = 2
)

// waiting is a small report that is to be committed with others.
type waiting struct {
	in   *store.Incoming
	task *task
	free func() // gives back the report's memory
	// sighting is a failure report instead; in and free are nil then.
	sighting *store.Sighting
}

// group gathers small reports and commits them together, on one goroutine.
type group struct {
	run   *run
	wake  chan struct{}
	mu    sync.Mutex
	space sync.Cond

	queue       []waiting
	rows        int
	bytes       int64
	first, last time.Time
	closed      bool
}

func newGroup(r *run) *group {
	g := &group{run: r, wake: make(chan struct{}, 1)}
	g.space.L = &g.mu
	return g
}

func (w waiting) bytes() int64 {
	if w.in == nil {
		return 1024
	}
	return int64(w.in.Rows.Size()) + int64(len(w.in.Raw.Bytes)) + 1024
}

func (w waiting) rows() int {
	if w.in == nil {
		return 0
	}
	return w.in.Rows.Len()
}

// add hands a report over. It waits while too much is waiting already.
func (g *group) add(ctx context.Context, w waiting) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for ctx.Err() == nil && (g.rows >= groupAhead*groupRows || g.bytes >= groupAhead*groupBytes || len(g.queue) >= groupAhead*groupReports) {
		g.space.Wait()
	}
	if err := ctx.Err(); err != nil {
		return fatal(err)
	}
	g.last = time.Now()
	if len(g.queue) == 0 {
		g.first = g.last
	}
	g.queue = append(g.queue, w)
	g.rows += w.rows()
	g.bytes += w.bytes()
	if len(g.queue) == 1 || g.full() {
		g.poke()
	}
	return nil
}

func (g *group) full() bool {
	return g.rows >= groupRows || g.bytes >= groupBytes || len(g.queue) >= groupReports
}

func (g *group) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// close says that nothing more comes.
func (g *group) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.poke()
}

// loop commits until the group is closed and empty, or the import ends.
func (g *group) loop() {
	ctx := g.run.ctx
	stop := context.AfterFunc(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.space.Broadcast()
	})
	defer stop()
	for ctx.Err() == nil {
		g.mu.Lock()
		now := time.Now()
		due := len(g.queue) > 0 && (g.closed || g.full() || now.Sub(g.last) >= groupIdle || now.Sub(g.first) >= groupAge)
		if !due {
			over, empty := g.closed, len(g.queue) == 0
			g.mu.Unlock()
			if over {
				return
			}
			g.wait(ctx, empty)
			continue
		}
		batch := g.take()
		g.mu.Unlock()
		g.commit(ctx, batch)
	}
}

func (g *group) wait(ctx context.Context, empty bool) {
	var after <-chan time.Time
	if !empty {
		t := time.NewTimer(groupIdle / 4)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-g.wake:
	case <-after:
	case <-ctx.Done():
	}
}

// take cuts the next batch off the queue.
func (g *group) take() []waiting {
	n, rows, bytes := 0, 0, int64(0)
	for n < len(g.queue) && n < groupReports && rows < groupRows && bytes < groupBytes {
		rows += g.queue[n].rows()
		bytes += g.queue[n].bytes()
		n++
	}
	batch := g.queue[:n:n]
	g.queue = append([]waiting(nil), g.queue[n:]...)
	g.rows -= rows
	g.bytes -= bytes
	g.first = time.Now()
	g.space.Broadcast()
	return batch
}

func (g *group) commit(ctx context.Context, batch []waiting) {
	var reports, sightings []waiting
	for _, w := range batch {
		if w.sighting != nil {
			sightings = append(sightings, w)
		} else {
			reports = append(reports, w)
		}
	}
	if len(reports) > 0 {
		if err := g.commitReports(ctx, reports); err != nil {
			g.run.abort(err)
			return
		}
	}
	if len(sightings) > 0 {
		if err := g.commitSightings(ctx, sightings); err != nil {
			g.run.abort(err)
		}
	}
}

func (g *group) commitReports(ctx context.Context, batch []waiting) error {
	in := make([]*store.Incoming, len(batch))
	for i, w := range batch {
		in[i] = w.in
	}
	out, err := g.run.im.Sink.Put(ctx, in)
	for _, w := range batch {
		w.free()
	}
	if err != nil {
		return err
	}
	for i, w := range batch {
		w.task.stored(out[i])
	}
	return nil
}
