package verdict

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
)

// The mover carries the journal into the day files, in the order of the
// numbers. What makes it safe:
//
//   - A transaction changes one day file, and writes into it the number that it
//     has come to (day.applied). So the highest such number of all files is how
//     far everything has come, and nothing up to there is carried again.
//   - It goes to another day file only when what it committed in the one before
//     is durable. So this holds after a loss of power too, which can take the
//     last transactions of the file being written (synchronous=NORMAL): its
//     number goes back with them, and the journal still has the entries.
//   - A file of the journal is removed when all of it was carried, and the day
//     files are durable.
//   - A day is closed in the same way that an entry is added: with the file's
//     write lock. An entry goes to the first open day from its own on.
//
// An outcome changes an entry that is there already, or, as most come close
// behind the entry, is known when the entry is added. Doing it twice is doing
// it once.

const (
	moveEvery   = time.Second
	moveEntries = 4000    // of a transaction
	moveBytes   = 1 << 20 // of journal, at once
	hurry       = moveEntries
	maxOpenDays = 3
	maxWhere    = 1 << 15
	retryAfter  = time.Second
	// again is for how long a message that comes again takes the place of one
	// whose outcome is not known (RFC 5321 §4.5.4.1: retries go on for 4 to 5
	// days).
	again = 5 * 24 * time.Hour
)

// mover is used by one goroutine at a time.
type mover struct {
	l       *Log
	applied uint64
	unread  []string // days whose number could not be read yet

	days    []*dayFile // open ones, the last used last
	reader  *segmentReader
	arena   []byte
	chunk   []item
	reached uint64         // the last frame read
	index   map[uint64]int // entries of the chunk
	where   map[uint64]string
	prints  printFilter
	loaded  bool
	closed  map[string]bool // days known to be closed
	letGo   bool            // close all day files after this pass; under Log.mu

	seen, again uint64 // entries read so far; those to be read a second time
	// rescue is a day whose file was damaged: its entries that the journal
	// still has are carried again.
	rescue string
	zip    *zstd.Encoder
}

// item is a frame of the journal: an entry or an outcome.
type item struct {
	record
	settled settled
	entry   bool
	rescued bool // carried again
}

// newMover finds how far the day files are.
func newMover(l *Log) (*mover, error) {
	m := &mover{l: l, index: map[uint64]int{}, where: map[uint64]string{}, closed: map[string]bool{}}
	days, err := listDays(l.dir)
	if err != nil {
		return nil, err
	}
	m.unread = days
	_ = m.readApplied(context.Background()) // tried again before anything is moved
	m.zip, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(maxWhy), zstd.WithLowerEncoderMem(true))
	return m, err
}

// readApplied reads how far the day files are that were not read yet.
func (m *mover) readApplied(ctx context.Context) error {
	var still []string
	var trouble error
	for _, day := range m.unread {
		f, err := openForReading(ctx, m.l.dir, day)
		if err == nil {
			var head dayHead
			if head, err = f.head(ctx); err == nil {
				m.applied = max(m.applied, head.applied)
				m.closed[day] = head.closed
			}
			f.close()
		}
		switch {
		case err == nil, errors.Is(err, os.ErrNotExist):
		case isDamaged(err):
			// Now, as the journal may still have some of what it had.
			if err := m.judge(day, nil, err); !errors.Is(err, errAside) {
				trouble = err
			}
		default:
			still = append(still, day)
			trouble = err
		}
	}
	m.unread = still
	return trouble
}

// run is the mover's life.
func (m *mover) run() {
	l := m.l
	defer l.running.Done()
	// Not one that can end: watching it would cost more than most statements.
	// The mover looks at stop itself.
	ctx := context.Background()
	pause := time.NewTimer(time.Hour)
	pause.Stop()
	defer pause.Stop()
	// waiting: something is there to move, and the pause is on.
	waiting := false
	hurrying := l.hurrying
	if l.o.still {
		waiting, hurrying = true, nil
	}
	for {
		moving := l.moving
		if waiting {
			moving = nil
		}
		select {
		case <-l.stop:
			return
		case done := <-l.flushing:
			err := m.pass(ctx)
			if err != nil {
				pause.Reset(retryAfter)
				waiting = true
			}
			done <- err
		case <-moving:
			pause.Reset(moveEvery)
			waiting = true
		case <-hurrying:
			if m.pass(ctx) != nil {
				pause.Reset(retryAfter)
				waiting = true
			}
		case <-pause.C:
			waiting = false
			if m.pass(ctx) != nil {
				pause.Reset(retryAfter)
				waiting = true
			}
		}
	}
}

// pass carries everything that is in the journal now.
func (m *mover) pass(ctx context.Context) error {
	err := m.carry(ctx)
	if errors.Is(err, ErrClosed) {
		return err
	}
	m.l.faults.Lock()
	m.l.trouble = err
	m.l.faults.Unlock()
	return err
}

func (m *mover) carry(ctx context.Context) error {
	if len(m.unread) > 0 {
		if err := m.readApplied(ctx); err != nil {
			return err
		}
	}
	if !m.loaded {
		if err := m.loadPrints(ctx); err != nil {
			return err
		}
		m.loaded = true
	}
	// What comes meanwhile is for the next pass, or a Flush would never end
	// under a load that the mover cannot follow.
	m.l.mu.Lock()
	target := m.l.number
	m.l.mu.Unlock()
	for {
		if len(m.chunk) == 0 {
			if m.reached >= target {
				return m.closeAll()
			}
			if err := m.read(); err != nil {
				return err
			}
		}
		if len(m.chunk) == 0 {
			return m.closeAll()
		}
		moved, err := m.apply(ctx)
		m.l.unmoved.Add(-moved)
		if err != nil {
			return err
		}
		m.chunk = m.chunk[:0]
	}
}

// stopping reports whether the Log is being closed.
func (m *mover) stopping() bool {
	select {
	case <-m.l.stop:
		return true
	default:
		return false
	}
}

// end is how far the segment being read is written, and whether another
// follows.
func (m *mover) end() (s *segment, end int64, last bool) {
	l := m.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return nil, 0, true
	}
	return l.segments[0], l.segments[0].end, len(l.segments) == 1
}

// read fills the chunk. Segments that were carried are removed.
func (m *mover) read() error {
	m.chunk, m.arena = m.chunk[:0], m.arena[:0]
	clear(m.index)
	if m.arena == nil {
		m.arena = make([]byte, 0, moveBytes)
	}
	entries := 0
	for entries < moveEntries && len(m.chunk) < 4*moveEntries {
		s, end, last := m.end()
		if s == nil {
			return nil
		}
		if m.reader == nil || m.reader.s != s {
			m.reader = newSegmentReader(s)
			if s.old {
				if err := checkMagic(s); err != nil {
					return err
				}
			}
		}
		before, off := m.reader.at, m.reader.off
		f, ok, err := m.reader.next(end)
		if err != nil {
			m.reader.forget()
			return err
		}
		if !ok {
			m.reader.forget()
			if last {
				return nil
			}
			// Everything in it is carried only when the chunk is.
			if len(m.chunk) > 0 {
				return nil
			}
			if err := m.remove(s); err != nil {
				return err
			}
			continue
		}
		if len(m.chunk) > 0 && len(m.arena)+len(f.content) > cap(m.arena) {
			m.reader.at, m.reader.off = before, off
			m.reached = f.number - 1
			return nil
		}
		m.reached = f.number
		carried := f.number <= m.applied
		if carried && m.rescue == "" {
			continue
		}
		if len(m.arena)+len(f.content) > cap(m.arena) {
			m.arena = make([]byte, 0, len(f.content)+moveBytes)
		}
		start := len(m.arena)
		m.arena = append(m.arena, f.content...)
		f.content = m.arena[start:len(m.arena):len(m.arena)]
		switch f.kind {
		case frameEntry:
			// Entries of this Log were counted when they were appended.
			uncounted := f.number <= m.again || f.number < m.l.first && f.number > m.seen
			m.seen = max(m.seen, f.number)
			r, err := parseRecord(f)
			if err != nil {
				m.l.lost.Add(1)
				if !uncounted {
					m.l.unmoved.Add(-1)
				}
				continue
			}
			if carried && dayOf(time.UnixMicro(r.at)) != m.rescue {
				continue
			}
			if uncounted {
				m.l.unmoved.Add(1)
			}
			m.index[f.number] = len(m.chunk)
			m.chunk = append(m.chunk, item{record: r, entry: true, rescued: carried})
			entries++
		case frameOutcomes:
			err := parseOutcomes(f.content, func(s settled) {
				if i, ok := m.index[s.number]; ok {
					if m.chunk[i].outcome == 0 {
						m.chunk[i].outcome = s.outcome
					}
					return
				}
				if carried {
					return
				}
				m.chunk = append(m.chunk, item{record: record{number: f.number}, settled: s})
			})
			if err != nil {
				continue // its check was right and its content is not
			}
		}
	}
	return nil
}

func checkMagic(s *segment) error {
	var b [len(segmentMagic)]byte
	if _, err := s.f.ReadAt(b[:], 0); err != nil || string(b[:]) != segmentMagic {
		// Nothing was ever written, or it is not ours: nothing to carry.
		s.end = 0
	}
	return nil
}

// remove takes a segment away whose entries are in the day files.
func (m *mover) remove(s *segment) error {
	for _, d := range m.days {
		if err := d.sync(); err != nil {
			return err
		}
	}
	m.l.mu.Lock()
	m.l.segments = m.l.segments[1:]
	m.l.mu.Unlock()
	m.reader = nil
	s.f.Close()
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("journal of verdicts: %w", err)
	}
	return nil
}

// open returns a day's file, the one to write to next. What was written to
// another is durable then.
func (m *mover) open(ctx context.Context, day string) (*dayFile, error) {
	for _, d := range m.days {
		if d.day == day && !d.there() {
			m.drop(d)
			break
		}
	}
	for i, d := range m.days {
		if d.day != day {
			if err := d.sync(); err != nil {
				return nil, err
			}
			continue
		}
		m.days = append(append(m.days[:i:i], m.days[i+1:]...), d)
		for _, o := range m.days[:len(m.days)-1] {
			if err := o.sync(); err != nil {
				return nil, err
			}
		}
		return d, nil
	}
	for len(m.days) >= maxOpenDays {
		old := m.days[0]
		m.days = m.days[1:]
		old.close()
	}
	d, err := openDay(ctx, m.l.dir, day, m.l.o.busy)
	if err != nil {
		return nil, m.judge(day, nil, err)
	}
	d.zip = m.zip
	m.days = append(m.days, d)
	return d, nil
}

// closeAll closes the day files where Expire wants that.
func (m *mover) closeAll() error {
	m.l.mu.Lock()
	want := m.letGo
	m.letGo = false
	m.l.mu.Unlock()
	if !want {
		return nil
	}
	clear(m.closed)
	return m.close()
}

// drop closes a day's file.
func (m *mover) drop(d *dayFile) {
	for i, o := range m.days {
		if o == d {
			m.days = append(m.days[:i:i], m.days[i+1:]...)
		}
	}
	d.close()
}

// judge sets a file aside that an error says is damaged.
func (m *mover) judge(day string, d *dayFile, err error) error {
	if !isDamaged(err) {
		return err
	}
	if d != nil {
		m.drop(d)
	}
	name, aside := setAside(m.l.dir, day, err)
	if aside != nil {
		return errors.Join(err, aside)
	}
	m.l.faults.Lock()
	m.l.damaged = append(m.l.damaged, name)
	m.l.faults.Unlock()
	m.l.explained.clear() // its rows are made anew
	// Until a day is closed, all entries of its time are in its file alone.
	m.rescue = ""
	if _, open := os.Stat(closedMark(m.l.dir, day)); open != nil {
		m.rescue = day
	}
	return errAside
}

// errAside: a damaged file was set aside; the same again works.
var errAside = errors.New("a damaged file of verdicts was set aside")

// close closes the day files.
func (m *mover) close() error {
	var errs []error
	for _, d := range m.days {
		errs = append(errs, d.sync(), d.close())
	}
	m.days = nil
	return errors.Join(errs...)
}

// printFilter says of most prints that no entry with an unknown outcome has
// them (a Bloom filter: what it affirms is looked up).
type printFilter struct {
	bits []uint64
	full bool
}

const filterBits = 1 << 20

func (f *printFilter) places(p [16]byte) (a, b uint) {
	x := uint(p[0]) | uint(p[1])<<8 | uint(p[2])<<16
	y := uint(p[3]) | uint(p[4])<<8 | uint(p[5])<<16
	return x % filterBits, y % filterBits
}

func (f *printFilter) add(p [16]byte) {
	if f.bits == nil {
		f.bits = make([]uint64, filterBits/64)
	}
	a, b := f.places(p)
	f.bits[a/64] |= 1 << (a % 64)
	f.bits[b/64] |= 1 << (b % 64)
}

func (f *printFilter) has(p [16]byte) bool {
	if f.full || f.bits == nil {
		return f.full
	}
	a, b := f.places(p)
	return f.bits[a/64]&(1<<(a%64)) != 0 && f.bits[b/64]&(1<<(b%64)) != 0
}

// maxPrints is how many prints of a day are looked at when a Log is opened;
// with more, every message's print is looked up.
const maxPrints = 200_000

// loadPrints fills the filter with what earlier Logs left.
func (m *mover) loadPrints(ctx context.Context) error {
	days, err := listDays(m.l.dir)
	if err != nil {
		return err
	}
	for _, day := range days {
		f, err := openForReading(ctx, m.l.dir, day)
		if err == nil {
			var n int
			n, err = f.prints(ctx, maxPrints, m.prints.add)
			m.prints.full = m.prints.full || n >= maxPrints
			f.close()
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) && !isDamaged(err) {
			return err
		}
	}
	return nil
}
