package resolve

import (
	"hash/maphash"
	"sync"
	"time"

	"sekimori/dns"
)

// cache keeps answers until they expire, the most recently used ones where
// there is no room for all. It is cut into shards, so that many may read at a
// time.
type cache struct {
	seed   maphash.Seed
	shards []shard
}

type shard struct {
	mu      sync.Mutex
	entries map[uint64]*entry // by hash: of two questions with one, the later is kept
	root    entry             // of a ring: next is the most recently used
	number  int               // entries that there is room for
	room    int64             // octets, the same
	used    int64
	_       [40]byte // keeps neighbours out of one cache line
}

type entry struct {
	key        key
	hash       uint64
	answer     dns.Answer
	err        error
	expires    time.Duration // on the resolver's clock
	moved      time.Duration // to the front
	size       int64
	next, prev *entry
}

// restless is how long an entry that was used stays where it is in the order
// of use, which need not be exact.
const restless = time.Second

// newCache makes a cache of so many entries and octets; none where either is
// negative or nothing.
func newCache(number int, room int64) *cache {
	if number <= 0 || room <= 0 {
		return &cache{}
	}
	n := 1
	if number >= 1024 {
		n = 16
	}
	c := &cache{seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range c.shards {
		s := &c.shards[i]
		s.entries = map[uint64]*entry{}
		s.number, s.room = number/n, room/int64(n)
		s.root.next, s.root.prev = &s.root, &s.root
	}
	return c
}

// hash adds a type to the hash of a name.
func hash(name uint64, typ uint16) uint64 { return name + uint64(typ)*0x9e3779b97f4a7c15 }

// get returns an answer that has not expired, its TTL what is left of it. The
// records are shared.
func (c *cache) get(name []byte, typ uint16, now time.Duration) (dns.Answer, error, bool) {
	if len(c.shards) == 0 {
		return dns.Answer{}, nil, false
	}
	h := hash(maphash.Bytes(c.seed, name), typ)
	s := &c.shards[h%uint64(len(c.shards))]
	s.mu.Lock()
	e := s.entries[h]
	if e == nil || e.key.typ != typ || e.key.name != string(name) {
		s.mu.Unlock()
		return dns.Answer{}, nil, false
	}
	left := e.expires - now
	if left <= 0 {
		s.drop(e)
		s.mu.Unlock()
		return dns.Answer{}, nil, false
	}
	if now-e.moved >= restless { // the neighbours are far away in memory
		e.moved = now
		e.unlink()
		s.front(e)
	}
	a, err := e.answer, e.err
	s.mu.Unlock()
	a.TTL = left
	return a, err, true
}

func (c *cache) put(k key, a dns.Answer, err error, expires time.Duration) {
	if len(c.shards) == 0 {
		return
	}
	h := hash(maphash.String(c.seed, k.name), k.typ)
	s := &c.shards[h%uint64(len(c.shards))]
	e := &entry{key: k, hash: h, answer: a, err: err, expires: expires, moved: -restless, size: 256 + int64(2*len(k.name))}
	for _, t := range a.Records {
		e.size += int64(len(t)) + 16
	}
	for _, x := range a.Extended {
		e.size += int64(len(x.Text)) + 24
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[h]; old != nil {
		s.drop(old)
	}
	if e.size > s.room {
		return
	}
	for len(s.entries) >= s.number || s.used+e.size > s.room {
		s.drop(s.root.prev)
	}
	s.entries[h] = e
	s.used += e.size
	s.front(e)
}

func (s *shard) drop(e *entry) {
	e.unlink()
	delete(s.entries, e.hash)
	s.used -= e.size
}

func (s *shard) front(e *entry) {
	e.prev, e.next = &s.root, s.root.next
	e.next.prev, s.root.next = e, e
}

func (e *entry) unlink() { e.prev.next, e.next.prev = e.next, e.prev }
