package verdict

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"sekimori/explain"
)

// outcome is what a Receipt says.
type outcome uint8

const (
	confirmed outcome = iota + 1
	cancelled
	left
)

// group is what goes to the journal with one write: usually one entry; more,
// where others came while the disk was busy.
type group struct {
	buf     []byte
	entries int64
	led     bool          // somebody writes it, or waits to
	done    chan struct{} // closed when it is written; nil where nobody waits
	err     error
}

// stash is a group that could not be written.
type stash struct {
	buf     []byte
	entries int64
}

// encoders are buffers for entries.
var encoders = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// Append keeps an entry and sets its ID. When it returns, the entry survives
// the end of the process, however that comes; a loss of power can take those
// of the last second. While the journal cannot be written the entry waits in
// memory, which is no error but shows in Stats; where that backlog is full,
// the entry is lost and the error says so. What e holds is not kept. A Time that
// is zero, or no plausible year, becomes now.
//
// It costs one write(2) for one entry, or for all that came at the same time.
func (l *Log) Append(e *Entry) (Receipt, error) {
	if y := e.Time.Year(); y < 1970 || y > 9998 {
		e.Time = l.o.Now() // it has to have a day
	}
	pooled := encoders.Get().(*[]byte)
	b, key := l.encode((*pooled)[:0], e)

	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return Receipt{}, ErrClosed
	}
	l.putOutcomes()
	l.number++
	e.ID = l.number
	g := l.group
	g.buf = appendFrame(g.buf, e.ID, frameEntry, b)
	g.entries++
	if cap(b) <= 64<<10 {
		*pooled = b
	}
	err := l.commit(g)
	encoders.Put(pooled)
	if err != nil {
		return Receipt{}, err
	}
	if key != 0 {
		l.explained.add(key)
	}
	return Receipt{log: l, id: e.ID}, nil
}

// commit returns when the group is written. It is called with mu held, and
// gives it back.
func (l *Log) commit(g *group) error {
	if g.led {
		if g.done == nil {
			g.done = make(chan struct{})
		}
		done := g.done
		l.mu.Unlock()
		<-done
		return g.err
	}
	g.led = true
	l.mu.Unlock()

	l.writing.Lock()
	l.mu.Lock()
	if l.group == g { // always so: only its leader takes a group away
		l.group = l.free
		if l.group == nil {
			l.group = &group{}
		}
		l.free = nil
	}
	l.mu.Unlock()
	g.err = l.write(g.buf, g.entries)
	err := g.err
	if g.done != nil {
		close(g.done)
	} else if cap(g.buf) <= 1<<20 {
		*g = group{buf: g.buf[:0]}
		l.mu.Lock()
		l.free = g
		l.mu.Unlock()
	}
	l.writing.Unlock()
	return err
}

// encode makes the content of an entry's frame. The key is not 0 where the
// explanation went in, so that the next entry of the kind can do without.
func (l *Log) encode(b []byte, e *Entry) ([]byte, uint64) {
	b = append(b, e.Print[:]...)
	b = binary.AppendVarint(b, e.Time.UnixMicro())
	b = section(b, func(b []byte) []byte { return appendKind(b, e) })
	kind := len(b)
	b = section(b, func(b []byte) []byte { return appendMessage(b, e) })
	if len(e.Why) == 0 {
		return append(b, 0, 0, 0, 0), 0
	}
	// The explanation of a kind is kept once a day: it is long, and two
	// messages that differ in nothing that the kind holds, nor in the codes of
	// the explanation, are explained alike.
	var h maphash.Hash
	h.SetSeed(l.seed)
	h.Write(b[kindStart(b):kind])
	var day [8]byte
	binary.LittleEndian.PutUint64(day[:], uint64(e.Time.Unix()/86400))
	h.Write(day[:])
	key := h.Sum64() | 1
	if l.explained.has(key) {
		return append(b, 0, 0, 0, 0), 0
	}
	start := len(b)
	b = section(b, func(b []byte) []byte { return appendSteps(b, e.Why, 0) })
	if len(b)-start > maxWhy {
		flat := make([]explain.Step, 0, len(e.Why))
		for _, s := range e.Why {
			flat = append(flat, explain.Step{Code: s.Code, Ref: s.Ref})
		}
		b = section(b[:start], func(b []byte) []byte { return appendSteps(b, flat, 0) })
		if len(b)-start > maxWhy {
			b = append(b[:start], 0, 0, 0, 0)
		}
	}
	return b, key
}

// section adds what f adds, with its length in front.
func section(b []byte, f func([]byte) []byte) []byte {
	start := len(b)
	b = f(append(b, 0, 0, 0, 0))
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// kindStart is where the kind begins in an entry's content.
func kindStart(b []byte) int {
	_, n := binary.Varint(b[16:])
	return 16 + n
}

// sumCodes hashes the codes of an explanation.
func sumCodes(h uint64, steps []explain.Step) uint64 {
	for i := range steps {
		h = fnv(h, steps[i].Code)
		h = sumCodes(fnv(h, "("), steps[i].Children)
		h = fnv(h, ")")
	}
	return h
}

// FNV-1a, 64 bits.
const (
	fnvStart uint64 = 14695981039346656037
	fnvPrime uint64 = 1099511628211
)

func fnv(h uint64, s string) uint64 {
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return h
}

// record is an entry as the journal holds it. Its parts point into the frame.
type record struct {
	number  uint64
	at      int64 // Entry.Time, microseconds
	print   [16]byte
	kind    []byte
	message []byte
	why     []byte // empty where the kind was explained before
	outcome outcome
}

func parseRecord(f frame) (record, error) {
	r := record{number: f.number}
	d := decoder{b: f.content}
	copy(r.print[:], d.take(16))
	r.at = d.int()
	for _, part := range [...]*[]byte{&r.kind, &r.message, &r.why} {
		n := d.take(4)
		if d.bad {
			break
		}
		*part = d.take(uint64(binary.LittleEndian.Uint32(n)))
	}
	return r, d.done()
}

// settled is the outcome of one entry.
type settled struct {
	number  uint64
	outcome outcome
}

// Receipt is for saying what became of the answer about a message. One of its
// methods is called once, from any goroutine; they return at once, and what
// they say is written with the next entry, or within 100 ms. The zero Receipt
// is that of no entry.
type Receipt struct {
	log *Log
	id  uint64
}

// maxOutcomes is how many outcomes wait for the next write at most.
const maxOutcomes = 256

// outcomeWait is how long they wait at most.
const outcomeWait = 100 * time.Millisecond

// Confirm says that the MTA has got the answer about the message: it has gone
// on with its next command. What was said before about the message holds.
func (r Receipt) Confirm() { r.settle(confirmed) }

// Cancel says that the MTA has not got the answer and will send the message
// again: nothing counts this entry.
func (r Receipt) Cancel() { r.settle(cancelled) }

// Leave says that nobody will ever know whether the MTA got the answer, since
// the connection ended before its next command. The entry counts, unless the
// same message comes again within five days.
func (r Receipt) Leave() { r.settle(left) }

func (r Receipt) settle(o outcome) {
	l := r.log
	if l == nil {
		return
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.outcomes = append(l.outcomes, settled{r.id, o})
	n := len(l.outcomes)
	if n >= maxOutcomes {
		l.commitOutcomes()
		return
	}
	rouse := !l.settleSoon
	l.settleSoon = true
	l.mu.Unlock()
	if rouse {
		wake(l.settling)
	}
}

// putOutcomes adds what waits to the group at hand, with mu held.
func (l *Log) putOutcomes() {
	if len(l.outcomes) == 0 {
		return
	}
	l.number++
	var small [1024]byte
	b := small[:0]
	for _, s := range l.outcomes {
		b = append(b, byte(s.outcome))
		b = binary.AppendUvarint(b, s.number)
	}
	l.outcomes = l.outcomes[:0]
	l.group.buf = appendFrame(l.group.buf, l.number, frameOutcomes, b)
}

// commitOutcomes writes what waits. It is called with mu held and gives it
// back.
func (l *Log) commitOutcomes() {
	if len(l.outcomes) == 0 {
		l.mu.Unlock()
		return
	}
	l.putOutcomes()
	_ = l.commit(l.group) // a failure shows in Stats: the entries count then, as unsure ones
}

func parseOutcomes(b []byte, f func(settled)) error {
	d := decoder{b: b}
	for len(d.b) > 0 {
		s := settled{outcome: outcome(d.byte()), number: d.uint()}
		if d.bad || s.outcome < confirmed || s.outcome > left {
			return errEncoding
		}
		f(s)
	}
	return nil
}

// write puts a group's frames into the journal, or into the backlog. It is
// called with writing held.
func (l *Log) write(b []byte, entries int64) error {
	if len(b) == 0 {
		return nil
	}
	err := l.stashed() // order matters: nothing overtakes the backlog
	if err == nil {
		if err = l.put(b); err == nil {
			l.appended.Add(entries)
			if n := l.unmoved.Add(entries); n >= hurry && n-entries < hurry {
				wake(l.hurrying)
			}
			wake(l.moving)
			return nil
		}
	}
	l.setFault(err)
	if l.waiting.Load()+entries > int64(l.o.Backlog) || l.waitingBytes+int64(len(b)) > l.o.BacklogBytes {
		l.lost.Add(entries)
		l.explained.clear()
		return errFull
	}
	l.backlog = append(l.backlog, stash{append([]byte(nil), b...), entries})
	l.waiting.Add(entries)
	l.waitingBytes += int64(len(b))
	l.appended.Add(entries)
	wake(l.retrying)
	return nil
}

// stashed returns the fault that fills the backlog, nil where that is empty.
func (l *Log) stashed() error {
	if len(l.backlog) == 0 {
		return nil
	}
	if err := l.faultNow(); err != nil {
		return err
	}
	return errBacklog
}

// put writes frames to the end of the journal, with writing held. After an
// error nothing was written that counts.
func (l *Log) put(b []byte) error {
	s := l.current
	if s == nil || s.end > int64(len(segmentMagic)) && (l.rotate || s.end+int64(len(b)) > l.o.Segment) {
		// The frames of this group have numbers; the first of them names the file.
		next, err := nextSegment(l.journal, binary.LittleEndian.Uint64(b[frameHead:]), l.o.Segment, l.o.open)
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.segments = append(l.segments, next)
		l.mu.Unlock()
		l.current, s, l.rotate = next, next, false
	}
	if _, err := s.f.WriteAt(b, s.end); err != nil {
		return err
	}
	l.mu.Lock()
	s.end += int64(len(b))
	l.mu.Unlock()
	return nil
}

// drain writes the backlog.
func (l *Log) drain() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	for len(l.backlog) > 0 {
		s := l.backlog[0]
		if err := l.put(s.buf); err != nil {
			l.setFault(err)
			return err
		}
		l.backlog[0] = stash{}
		l.backlog = l.backlog[1:]
		l.waiting.Add(-s.entries)
		l.waitingBytes -= int64(len(s.buf))
		l.unmoved.Add(s.entries)
	}
	l.backlog = nil
	l.setFault(nil)
	wake(l.moving)
	return nil
}

// errFull is the error of an entry that is lost.
var errFull = errors.New("the verdict is lost: the journal cannot be written, and the backlog is full; see why in the log's fault")

// errBacklog says that earlier entries wait, where nothing else is wrong any more.
var errBacklog = errors.New("earlier verdicts wait for the journal")

// recent is a bounded set of what was seen lately: between half of it and all.
type recent struct {
	mu       sync.Mutex
	now, old map[uint64]struct{}
}

const maxRecent = 8192

func (r *recent) has(k uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.now[k]; ok {
		return true
	}
	_, ok := r.old[k]
	return ok
}

func (r *recent) add(k uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.now) >= maxRecent {
		r.old, r.now = r.now, nil
	}
	if r.now == nil {
		r.now = make(map[uint64]struct{}, 64)
	}
	r.now[k] = struct{}{}
}

func (r *recent) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now, r.old = nil, nil
}
