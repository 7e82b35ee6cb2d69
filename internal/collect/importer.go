package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"sekimori/internal/store"
)

// Import imports all reports in the files and folders given. What it could
// not read is in the Result and no error. An error is of the arguments (then
// nothing was done), of the context, or with ErrAborted of the store; the
// Result says what was done until then, and the same import run again goes on
// from there, to the Result of an undisturbed one.
func (im *Importer) Import(ctx context.Context, paths []string) (Result, error) {
	roots, err := resolve(paths)
	if err != nil {
		return emptyResult(), err
	}
	data := newDataFolder(im.DataDir)
	for _, r := range roots {
		if r.abs == data.dir {
			return emptyResult(), fmt.Errorf("%s is the data folder itself: name the folder with the reports", r.given)
		}
		// A pipe or a device is read like an upload.
		if !r.info.Mode().IsRegular() && !r.info.IsDir() {
			if len(roots) > 1 {
				return emptyResult(), fmt.Errorf("%s is neither a file nor a folder: import it by itself", r.given)
			}
			f, err := os.Open(r.given)
			if err != nil {
				return emptyResult(), err
			}
			defer f.Close()
			return im.ImportReader(ctx, r.given, f)
		}
	}
	spec := store.ImportSpec{}
	for _, r := range roots {
		spec.Paths = append(spec.Paths, r.abs)
	}
	return im.run(ctx, spec, roots, nil)
}

// ImportReader imports what comes from standard input or an upload, under a
// name that stands for its path. It is copied to DATA/tmp first, so that a
// slow sender holds nothing up.
func (im *Importer) ImportReader(ctx context.Context, name string, r io.Reader) (Result, error) {
	name = clip(strings.ToValidUTF8(name, "\ufffd"), nameLength)
	limits := im.Limits.withDefaults()
	f, err := scratch{dir: tmpDir(im.DataDir)}.file()
	if err != nil {
		return emptyResult(), fmt.Errorf("%w: %w", ErrAborted, err)
	}
	defer closeFile(f)
	n, err := io.Copy(writeFailure{f}, &contextReader{ctx, io.LimitReader(r, limits.Upload+1)})
	var failed *keepError
	switch {
	case errors.As(err, &failed):
		return emptyResult(), fmt.Errorf("%w: write temporary file: %w", ErrAborted, failed.err)
	case err != nil:
		return emptyResult(), fmt.Errorf("read %s: %w", name, err)
	case n > limits.Upload:
		return emptyResult(), fmt.Errorf("%s has more than %d bytes: %w", name, limits.Upload, ErrLimit)
	}
	in := &upload{name: name, f: f, size: n}
	return im.run(ctx, store.ImportSpec{Paths: []string{name}}, nil, in)
}

// upload is an input that is no file of the user's.
type upload struct {
	name string
	f    *os.File
	size int64
}

func emptyResult() Result { return Result{Rejected: []Rejected{}} }

// run is one import under way.
type run struct {
	im       *Importer
	limits   Limits
	id       int64
	resume   bool
	ctx      context.Context
	cancel   context.CancelFunc
	opener   *opener
	keeper   *keeper
	data     dataFolder
	group    *group
	parsers  sync.Pool // of *parser
	batches  sync.Pool // of *store.Rows
	encoders sync.Pool // of *zstd.Encoder
	progress

	files  chan found
	jobs   chan func()
	active sync.WaitGroup // workers that may still spawn jobs

	mu  sync.Mutex
	err error // the first fatal one
	res Result
	cut int // rejected inputs that are not listed
}

func (im *Importer) run(ctx context.Context, spec store.ImportSpec, roots []root, up *upload) (Result, error) {
	limits := im.Limits.withDefaults()
	started, err := im.Ledger.StartImport(ctx, spec)
	if err != nil {
		return emptyResult(), fmt.Errorf("%w: %w", ErrAborted, err)
	}
	whole := false
	defer func() {
		if !whole { // for the same import to go on with; nothing to say if even that fails
			_ = im.Ledger.EndImport(context.WithoutCancel(ctx), started.ID, false)
		}
	}()
	r := &run{im: im, limits: limits, id: started.ID, resume: started.Resumed, res: emptyResult(),
		files: make(chan found, 64), jobs: make(chan func())}
	r.ctx, r.cancel = context.WithCancel(ctx)
	defer r.cancel()
	r.keeper = &keeper{dataDir: im.DataDir, list: im.Quarantine, now: im.now}
	r.opener = &opener{limits: limits, pools: &pools{}, scratch: scratch{dir: tmpDir(im.DataDir), memory: limits.Memory}}
	r.group = newGroup(r)
	r.data = newDataFolder(im.DataDir)
	stop := r.watch(roots, up)

	var committer sync.WaitGroup
	committer.Add(1)
	go func() {
		defer committer.Done()
		r.giveWay()
		r.group.loop()
	}()
	if up != nil {
		r.upload(up)
	} else {
		r.work(roots)
	}
	r.group.close()
	committer.Wait()
	stop()

	r.mu.Lock()
	res, failed := r.res, r.err
	r.mu.Unlock()
	res.sort(r.cut)
	switch {
	case ctx.Err() != nil:
		return res, ctx.Err()
	case failed != nil:
		return res, fmt.Errorf("%w: %w", ErrAborted, failed)
	}
	if err := im.Ledger.EndImport(ctx, r.id, true); err != nil {
		return res, fmt.Errorf("%w: %w", ErrAborted, err)
	}
	whole = true
	return res, nil
}

// giveWay puts the goroutine into the background, if the import is there.
func (r *run) giveWay() {
	if r.im.Background {
		background()
	}
}

// work walks the roots and lets the workers open what the walk finds.
func (r *run) work(roots []root) {
	n := r.im.workers()
	idle := make(chan struct{}) // closed when no worker can spawn a job any more
	r.active.Add(n)
	var workers sync.WaitGroup
	for range n {
		workers.Add(1)
		go func() {
			defer workers.Done()
			r.giveWay()
			r.worker(idle)
		}()
	}
	go func() { r.active.Wait(); close(idle) }()

	w := &walker{roots: roots, data: r.data,
		file: func(f found) error {
			select {
			case r.files <- f:
				return nil
			case <-r.ctx.Done():
				return fatal(r.ctx.Err())
			}
		},
		broken: func(root root, path string, err error) error {
			return r.rejectPath(root, path, err)
		}}
	if err := w.walk(r.ctx); err != nil {
		r.abort(err)
	}
	close(r.files)
	workers.Wait()
}

// worker opens files and, when another worker has entries to share, those.
func (r *run) worker(idle <-chan struct{}) {
	files := r.files
	for {
		select {
		case f, ok := <-files:
			if !ok {
				files = nil
				r.active.Done()
				continue
			}
			r.file(f)
		case job := <-r.jobs:
			job()
		case <-idle:
			return
		}
	}
}

// spawn runs job on a worker that waits for work, or else at once.
func (r *run) spawn(job func()) {
	select {
	case r.jobs <- job:
	default:
		job()
	}
}

// abort ends the import; the first error is the one that counts.
func (r *run) abort(err error) {
	if err == nil {
		return
	}
	var f *fatalError
	if errors.As(err, &f) {
		err = f.err
	}
	r.mu.Lock()
	if r.err == nil {
		r.err = err
	}
	r.mu.Unlock()
	r.cancel()
}

// file deals with one file of the walk.
func (r *run) file(in found) {
	if r.ctx.Err() != nil {
		return
	}
	res := store.FileResult{Path: in.path, Size: in.info.Size(), ModTime: in.info.ModTime()}
	if r.resume {
		done, ok, err := r.im.Ledger.FileDoneResult(r.ctx, r.id, res)
		if err != nil {
			r.abort(err)
			return
		}
		if ok {
			r.read.Add(res.Size)
			r.reports.Add(done.Reports)
			r.rowsDone.Add(done.Rows)
			r.duplicates.Add(done.Duplicates)
			r.failures.Add(done.FailureReports + done.FailureDuplicates)
			r.rejected.Add(int64(len(done.Rejected)))
			r.count(in.root, done)
			return
		}
	}
	f, err := os.Open(in.path)
	if errors.Is(err, fs.ErrNotExist) {
		return // gone since it was listed: a maildir's message was moved
	}
	t := &task{run: r, root: in.root, res: res, budget: newBudget(r.limits), f: f, started: r.im.now()}
	t.pending.Store(1)
	if err != nil {
		t.fail(r.ctx, "", err, nil)
		t.finish()
		return
	}
	r.current.Store(&in)
	t.open(io.NewSectionReader(f, 0, math.MaxInt64), res.Size)
}

// upload deals with the one input of ImportReader, with all workers.
func (r *run) upload(up *upload) {
	n := r.im.workers()
	idle := make(chan struct{})
	var workers sync.WaitGroup
	for range n - 1 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			r.giveWay()
			for {
				select {
				case job := <-r.jobs:
					job()
				case <-idle:
					return
				}
			}
		}()
	}
	t := &task{run: r, root: root{given: up.name, abs: up.name}, budget: newBudget(r.limits), started: r.im.now(),
		res: store.FileResult{Path: up.name, Size: up.size, ModTime: r.im.now()}, upload: up}
	t.pending.Store(1)
	r.current.Store(&found{root: t.root, path: up.name})
	t.open(io.NewSectionReader(up.f, 0, up.size), up.size)
	close(idle)
	workers.Wait()
}

// rejectPath notes a path that cannot even be opened.
func (r *run) rejectPath(root root, path string, err error) error {
	if kerr := r.keeper.note(r.ctx, r.id, rejection{path: path, reason: err}, copied{}); kerr != nil {
		return kerr
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected.Add(1)
	r.list(root, []store.Rejected{{Path: path, Error: plain(err)}})
	return nil
}

// count adds the result of a file that is wholly dealt with.
func (r *run) count(root root, f store.FileResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.res.Files++
	r.filesDone.Add(1)
	r.res.Reports += f.Reports
	r.res.Rows += f.Rows
	r.res.Messages = addMessages(r.res.Messages, f.Messages)
	r.res.Duplicates += f.Duplicates
	r.res.FailureReports += f.FailureReports
	r.res.FailureDuplicates += f.FailureDuplicates
	r.list(root, f.Rejected)
}

// list adds rejected inputs, under the names that the caller knows.
func (r *run) list(root root, rejected []store.Rejected) {
	for _, j := range rejected {
		if len(r.res.Rejected) >= r.limits.Rejected {
			r.cut++
			continue
		}
		kept := ""
		if j.Kept != "" {
			kept = filepath.Join(r.im.DataDir, filepath.FromSlash(j.Kept))
		}
		r.res.Rejected = append(r.res.Rejected, Rejected{Path: root.show(j.Path), Error: j.Error, Kept: kept})
	}
}

func (r *Result) sort(cut int) {
	sort.SliceStable(r.Rejected, func(i, j int) bool {
		a, b := r.Rejected[i], r.Rejected[j]
		if a.Path != b.Path {
			return a.Path < b.Path
		}
		return a.Error < b.Error
	})
	if cut > 0 {
		r.Rejected = append(r.Rejected, Rejected{Error: fmt.Sprintf("and %d more, which the quarantine lists", cut)})
	}
}

// plain takes the path off an error of the operating system: it is shown
// beside it.
func plain(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Op + ": " + p.Err.Error()
	}
	return err.Error()
}
