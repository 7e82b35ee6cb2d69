package resolve

import (
	"container/list"
	"sync"
	"time"
)

// cache keeps answers until they expire, the most recently used ones where
// there is no room for all.
type cache struct {
	mu      sync.Mutex
	limit   int
	entries map[key]*list.Element
	order   *list.List // the most recently used first
}

type entry struct {
	key     key
	answer  answer
	expires time.Time
}

func newCache(limit int) *cache {
	return &cache{limit: limit, entries: map[key]*list.Element{}, order: list.New()}
}

// get returns an answer that has not expired. Its ttl is what is left.
func (c *cache) get(k key, now time.Time) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if !ok {
		return answer{}, false
	}
	x := e.Value.(*entry)
	left := x.expires.Sub(now)
	if left <= 0 {
		c.order.Remove(e)
		delete(c.entries, k)
		return answer{}, false
	}
	c.order.MoveToFront(e)
	a := x.answer
	a.ttl = left
	return a, true
}

func (c *cache) put(k key, a answer, expires time.Time) {
	if c.limit <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[k]; ok {
		e.Value = &entry{k, a, expires}
		c.order.MoveToFront(e)
		return
	}
	for len(c.entries) >= c.limit {
		last := c.order.Back()
		delete(c.entries, last.Value.(*entry).key)
		c.order.Remove(last)
	}
	c.entries[k] = c.order.PushFront(&entry{k, a, expires})
}
