package verdict

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Errors of a Log and of CloseDay.
var (
	// ErrLocked: another process, or another Log of this one, writes into the
	// folder. The error says which.
	ErrLocked = errors.New("the verdict log is in use")
	// ErrClosed: the Log was closed.
	ErrClosed = errors.New("the verdict log is closed")
)

// Options say how a Log keeps verdicts. The zero Options are usable.
type Options struct {
	// Keep is for how many days the verdicts of a day are kept, that day
	// included. Default 30.
	Keep int
	// Backlog is how many entries wait in memory while the journal cannot be
	// written, at most; further ones are lost, and counted. Default 100,000.
	Backlog int
	// BacklogBytes bounds the backlog's memory. Default 64 MiB.
	BacklogBytes int64
	// Segment is the size of a file of the journal. Default 16 MiB.
	Segment int64
	// Linger is for how long Close goes on moving entries into the day files;
	// the rest is safe in the journal. Default one second.
	Linger time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time

	open func(path string) (storage, error) // a segment; for tests of faults
	busy time.Duration                      // how long to wait for a locked day file
	// still moves entries when Flush asks for it only.
	still bool
}

const (
	defaultKeep    = 30
	defaultBacklog = 100_000
	defaultSegment = 16 << 20
)

func (o *Options) defaults() {
	if o.Keep <= 0 {
		o.Keep = defaultKeep
	}
	if o.Backlog <= 0 {
		o.Backlog = defaultBacklog
	}
	if o.BacklogBytes <= 0 {
		o.BacklogBytes = 64 << 20
	}
	if o.Segment <= 0 {
		o.Segment = defaultSegment
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.open == nil {
		o.open = openStorage
	}
	if o.busy <= 0 {
		o.busy = 200 * time.Millisecond
	}
	if o.Linger <= 0 {
		o.Linger = time.Second
	}
}

// Log is where a gateway keeps its verdicts. One Log at a time writes into a
// folder. Its methods may be called from any goroutine.
type Log struct {
	dir     string
	journal string
	o       Options
	lock    *os.File
	seed    maphash.Seed
	first   uint64 // numbers from here on are this Log's

	// mu guards what follows. It is held for moments, never over a write.
	mu         sync.Mutex
	number     uint64 // the last one given
	group      *group
	free       *group
	outcomes   []settled
	settleSoon bool       // what waits there is written within outcomeWait
	segments   []*segment // the oldest first; the mover takes the first away
	closed     bool
	days       int // Options.Keep, or what SetKeep said

	// writing is held by who writes to the journal.
	writing      sync.Mutex
	current      *segment
	rotate       bool // begin a new segment with the next write
	backlog      []stash
	waitingBytes int64

	explained recent

	waiting, unmoved, appended, lost, torn atomic.Int64

	faults  sync.Mutex
	fault   error
	trouble error // of the mover
	damaged []string

	settling, retrying, moving, hurrying chan struct{}
	flushing                             chan chan error
	stop                                 chan struct{}
	running                              sync.WaitGroup
	mover                                *mover
	sent                                 *tally
}

// Stats is how a Log does.
type Stats struct {
	// Waiting counts entries that are in memory only, because the journal
	// cannot be written.
	Waiting int64
	// Unmoved counts entries in the journal that are not in a day file yet.
	// Until the journal of an earlier run is read, its entries are not among
	// them.
	Unmoved int64
	// Appended counts entries since Open; Lost those that were dropped since the
	// backlog was full.
	Appended, Lost int64
	// Fault is what is wrong with the journal now, Moving what is wrong with
	// the day files; nil where all is well.
	Fault, Moving error
	// Damaged are the day files that were set aside since Open, by their new
	// names.
	Damaged []string
	// Torn counts octets at the ends of journal files that were not whole when
	// the folder was opened: what was being written when the machine lost power.
	Torn int64
}

// Open opens the folder for writing, and makes it where there is none. What an
// earlier process left in the journal is carried on in the background.
// ErrLocked (errors.Is) says that there is a Log already.
func Open(dir string, o Options) (*Log, error) {
	o.defaults()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	l := &Log{
		dir: dir, journal: filepath.Join(dir, "journal"), o: o, days: o.Keep, seed: maphash.MakeSeed(), group: &group{},
		settling: make(chan struct{}, 1), retrying: make(chan struct{}, 1),
		moving: make(chan struct{}, 1), hurrying: make(chan struct{}, 1),
		flushing: make(chan chan error), stop: make(chan struct{}),
	}
	if err := os.MkdirAll(l.journal, 0o700); err != nil {
		return nil, fmt.Errorf("verdict log: %w", err)
	}
	if l.lock, err = lockLog(dir); err != nil {
		return nil, err
	}
	if err := l.open(); err != nil {
		l.release()
		return nil, err
	}
	var damaged string
	if l.sent, damaged, err = openTally(dir); err != nil {
		l.release()
		return nil, err
	}
	if damaged != "" {
		l.damaged = append(l.damaged, damaged)
	}
	l.running.Add(2)
	go l.keep()
	go l.mover.run()
	wake(l.moving)
	return l, nil
}

// open finds what an earlier Log left, and the number to go on from.
func (l *Log) open() error {
	var err error
	if l.segments, err = findSegments(l.journal); err != nil {
		return fmt.Errorf("verdict log: %w", err)
	}
	os.Remove(filepath.Join(l.journal, spareName+".new"))
	for i, s := range l.segments {
		f, err := os.Open(s.path)
		if err != nil {
			return fmt.Errorf("journal of verdicts: %w", err)
		}
		s.f = f
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("journal of verdicts: %w", err)
		}
		s.end = info.Size()
		l.number = max(l.number, s.first-1)
		if i < len(l.segments)-2 {
			continue // the next one's name says where it ends
		}
		r := newSegmentReader(s)
		for {
			f, ok, err := r.next(s.end)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			l.number = max(l.number, f.number)
		}
		l.torn.Add(r.torn)
	}
	if l.mover, err = newMover(l); err != nil {
		return err
	}
	// A day file may know more than a journal that was damaged.
	l.number = max(l.number, l.mover.applied)
	l.first = l.number + 1
	// The first segment is made now, so that a folder that cannot be written
	// to shows at once, and its name keeps the number.
	next, err := nextSegment(l.journal, l.first, l.o.Segment, l.o.open)
	if err != nil {
		l.setFault(err)
		wake(l.retrying)
		return nil
	}
	l.segments = append(l.segments, next)
	l.current = next
	return nil
}

// lockLog takes the folder for this Log. The lock goes away with the process,
// however it ends.
func lockLog(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("verdict log: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		who, _ := bufio.NewReader(f).ReadString('\n')
		f.Close()
		return nil, fmt.Errorf("%s: %w by process %s; stop it first", dir, ErrLocked, strings.TrimSpace(who))
	}
	if err == nil {
		if err = f.Truncate(0); err == nil {
			_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
		}
		if errors.Is(err, syscall.ENOSPC) {
			err = nil // who it is is for people
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("verdict log: lock %s: %w", path, err)
	}
	return f, nil
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// keep does what has to be done in time: it writes outcomes and the backlog,
// makes the journal durable, and sees to the spare segment.
func (l *Log) keep() {
	defer l.running.Done()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	settle := time.NewTimer(time.Hour)
	settle.Stop()
	defer settle.Stop()
	var synced *segment
	var upto int64
	spare := func() {
		if _, err := os.Stat(filepath.Join(l.journal, spareName)); err != nil {
			_ = makeSpare(l.journal, l.o.Segment) // tried again in a second, and when it is needed
		}
	}
	spare()
	for {
		select {
		case <-l.stop:
			return
		case <-l.settling:
			settle.Reset(outcomeWait)
		case <-settle.C:
			l.mu.Lock()
			l.settleSoon = false
			l.commitOutcomes()
		case <-tick.C:
			select {
			case <-l.retrying:
				if l.drain() != nil {
					wake(l.retrying)
				}
			default:
			}
			l.mu.Lock()
			var now *segment
			var end int64
			if n := len(l.segments); n > 0 {
				now = l.segments[n-1]
				end = now.end
			}
			l.mu.Unlock()
			if now != nil && !now.old && (now != synced || end != upto) {
				if synced != nil && synced != now {
					_ = synced.f.Sync() // closed already where the mover was done with it
					spare()
				}
				if err := now.f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
					l.setFault(fmt.Errorf("journal of verdicts: %w", err))
					wake(l.retrying) // the next retry that works clears it
				} else {
					synced, upto = now, end
				}
			}
		}
	}
}

func (l *Log) setFault(err error) {
	l.faults.Lock()
	l.fault = err
	l.faults.Unlock()
}

func (l *Log) faultNow() error {
	l.faults.Lock()
	defer l.faults.Unlock()
	return l.fault
}

// Flush returns once everything appended so far is in the day files, with what
// is known of the outcomes. Where that is not possible it goes on trying until
// ctx ends; the error then says what is in the way.
func (l *Log) Flush(ctx context.Context) error {
	for {
		err := l.flush(ctx)
		if err == nil || errors.Is(err, ErrClosed) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("verdicts are not in their day files yet: %w", errors.Join(ctx.Err(), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (l *Log) flush(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.commitOutcomes()
	// Who is writing now has finished before the lock is ours.
	if err := l.drain(); err != nil {
		return err
	}
	done := make(chan error, 1)
	select {
	case l.flushing <- done:
	case <-l.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-l.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SetKeep changes Options.Keep; 0 is the default.
func (l *Log) SetKeep(days int) {
	if days <= 0 {
		days = defaultKeep
	}
	l.mu.Lock()
	l.days = days
	l.mu.Unlock()
}

// Close moves what can be moved within Options.Linger, and ends the Log soon
// after; what stays in the journal is carried on by the next Open. The error
// says what could not be written.
func (l *Log) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), l.o.Linger)
	defer cancel()
	_ = l.Flush(ctx) // what it does not manage is in the journal, or shows below
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	var err error
	l.closed = true
	l.putOutcomes()
	if g := l.group; len(g.buf) > 0 {
		_ = l.commit(g) // with those who were about to write
	} else {
		l.mu.Unlock()
	}
	close(l.stop)
	l.running.Wait()
	err = l.sent.close()
	if drained := l.drain(); drained != nil {
		err = errors.Join(err, fmt.Errorf("%d verdicts are lost: %w", l.waiting.Load(), drained))
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.current != nil {
		err = errors.Join(err, l.current.f.Sync())
	}
	err = errors.Join(err, l.mover.close())
	l.release()
	return err
}

// release gives back files and the lock.
func (l *Log) release() {
	if l.mover != nil {
		l.mover.close()
	}
	for _, s := range l.segments {
		if s.f != nil {
			s.f.Close()
		}
	}
	l.lock.Close()
}

// Stats says how the Log does.
func (l *Log) Stats() Stats {
	s := Stats{
		Waiting: l.waiting.Load(), Unmoved: max(l.unmoved.Load(), 0), Appended: l.appended.Load(),
		Lost: l.lost.Load(), Torn: l.torn.Load(),
	}
	l.faults.Lock()
	defer l.faults.Unlock()
	s.Fault, s.Moving = l.fault, l.trouble
	s.Damaged = append(s.Damaged, l.damaged...)
	return s
}
