package collect

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// progress counts what an import has done. The counts are its own, so that
// looking at them holds nobody up.
type progress struct {
	read       atomic.Int64 // bytes
	filesFound atomic.Int64
	bytesFound atomic.Int64
	counted    atomic.Bool
	filesDone  atomic.Int64
	reports    atomic.Int64
	rowsDone   atomic.Int64
	duplicates atomic.Int64
	rejected   atomic.Int64
	failures   atomic.Int64
	current    atomic.Pointer[found]
}

const progressEvery = 100 * time.Millisecond

// watch calls Importer.Progress until the function that it returns is called.
// A walk of its own counts ahead: it keeps no list.
func (r *run) watch(roots []root, up *upload) (stop func()) {
	if r.im.Progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(r.ctx)
	var wait sync.WaitGroup
	if up != nil {
		r.filesFound.Store(1)
		r.bytesFound.Store(up.size)
		r.counted.Store(true)
	} else {
		wait.Add(1)
		go func() {
			defer wait.Done()
			w := &walker{roots: roots, data: r.data,
				file: func(f found) error {
					r.filesFound.Add(1)
					r.bytesFound.Add(f.info.Size())
					return nil
				},
				broken: func(root, string, error) error { return nil },
			}
			if w.walk(ctx) == nil {
				r.counted.Store(true)
			}
		}()
	}
	tick := time.NewTicker(progressEvery)
	wait.Add(1)
	go func() {
		defer wait.Done()
		for {
			select {
			case <-tick.C:
				r.im.Progress(r.snapshot(false))
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		tick.Stop()
		cancel()
		wait.Wait()
		r.im.Progress(r.snapshot(true))
	}
}

func (r *run) snapshot(done bool) Progress {
	p := Progress{
		Files: r.filesDone.Load(), FilesTotal: r.filesFound.Load(),
		Bytes: r.read.Load(), BytesTotal: r.bytesFound.Load(), Counting: !r.counted.Load(),
		Reports: r.reports.Load(), Rows: r.rowsDone.Load(),
		Duplicates: r.duplicates.Load(), Rejected: r.rejected.Load(), Failures: r.failures.Load(), Done: done,
	}
	p.FilesTotal = max(p.FilesTotal, p.Files)
	p.BytesTotal = max(p.BytesTotal, p.Bytes)
	if f := r.current.Load(); f != nil {
		p.Path = f.root.show(f.path)
	}
	return p
}
