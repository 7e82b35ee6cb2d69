package survey

import (
	"context"
	"sync"

	"sekimori/internal/store"
)

// queue holds entries that wait, a line for each authority, and hands them out
// so that no authority has more than its share of the domains that are looked
// at: one that is slow holds up its own line only, as long as there is room for
// others to come in. It is safe for concurrent use.
type queue struct {
	domains int // that are looked at at a time
	room    int // for entries that wait

	mu      sync.Mutex
	change  *sync.Cond
	lines   map[*authority]*lane
	ring    []*lane // those with somebody waiting
	next    int
	waiting int
	closed  bool
	stop    func() bool
	ctx     context.Context
}

type lane struct {
	at      *authority
	entries []ticket
	active  int
	rung    bool // it is in the ring
}

// ticket is an entry in its line.
type ticket struct {
	store.Entry
	given []string // selectors, from the list and from reports
	visit *visit
	lane  *lane
}

func newQueue(ctx context.Context, domains, room int) *queue {
	q := &queue{domains: domains, room: room, lines: map[*authority]*lane{}, ctx: ctx}
	q.change = sync.NewCond(&q.mu)
	q.stop = context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.change.Broadcast()
	})
	return q
}

// reserve waits for room for one more entry; false where the context ended.
func (q *queue) reserve() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.waiting >= q.room && q.ctx.Err() == nil {
		q.change.Wait()
	}
	q.waiting++
	return q.ctx.Err() == nil
}

// push puts an entry, for which there is room reserved, into its line.
func (q *queue) push(t ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[t.visit.own]
	if l == nil {
		l = &lane{at: t.visit.own}
		q.lines[t.visit.own] = l
	}
	l.entries = append(l.entries, t)
	if !l.rung {
		l.rung = true
		q.ring = append(q.ring, l)
	}
	q.change.Broadcast()
}

// close says that no more entries come.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.change.Broadcast()
}

// pop waits for an entry whose authority may have one more; false where there
// is none any more, or the context ended.
func (q *queue) pop() (ticket, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.ctx.Err() != nil {
			return ticket{}, false
		}
		for range q.ring {
			if q.next >= len(q.ring) {
				q.next = 0
			}
			l := q.ring[q.next]
			if l.active >= l.at.share(q.domains) {
				q.next++
				continue
			}
			t := l.entries[0]
			l.entries[0] = ticket{}
			l.entries = l.entries[1:]
			l.active++
			t.lane = l
			if q.waiting--; len(l.entries) == 0 {
				l.entries, l.rung = nil, false
				last := len(q.ring) - 1
				q.ring[q.next] = q.ring[last]
				q.ring[last] = nil
				q.ring = q.ring[:last]
			} else {
				q.next++
			}
			q.change.Broadcast()
			return t, true
		}
		if q.closed && q.waiting == 0 {
			return ticket{}, false
		}
		q.change.Wait()
	}
}

// done gives the place of an entry that was looked at to the next.
func (q *queue) done(t ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.lane.active--; t.lane.active == 0 && !t.lane.rung {
		delete(q.lines, t.lane.at)
	}
	q.change.Broadcast()
}
