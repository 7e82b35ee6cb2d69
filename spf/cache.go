package spf

import "sync"

// Cache keeps records that were parsed, by their text: what is common among
// senders, above all the records of large providers, is then parsed once. The
// zero Cache is ready for use. It is safe for concurrent use and holds at most
// some 15 MB. It never grows stale, since a text parses one way.
type Cache struct {
	mu   sync.RWMutex
	held map[string]*Record
	cost int
}

const (
	maxCached     = 4096  // octets of a text that is worth keeping
	maxCacheTerms = 65536 // terms, and as many texts, of all records kept
)

// parse is Parse through the cache, which may be nil.
func (c *Cache) parse(txt string) (*Record, *SyntaxError) {
	if c == nil || len(txt) > maxCached {
		return parse(txt)
	}
	c.mu.RLock()
	r := c.held[txt]
	c.mu.RUnlock()
	if r != nil {
		return r, nil
	}
	r, err := parse(txt)
	if err != nil {
		return nil, err
	}
	cost := 1 + len(r.Terms) + len(txt)/128
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil || c.cost+cost > maxCacheTerms {
		// Full: what is common is soon back.
		c.held, c.cost = map[string]*Record{}, 0
	}
	if c.held[txt] == nil {
		c.held[txt] = r
		c.cost += cost
	}
	return r, nil
}
