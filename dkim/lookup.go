package dkim

import (
	"context"
	"sync"

	"sekimori/dns"
)

// KeyName is where the key of a selector and a domain is published (RFC 6376
// §3.6.2.1), without the final dot; "" where the two are no names. U-labels
// become A-labels (RFC 8616 §4).
func KeyName(selector, domain string) string {
	s, ok := domainName(selector)
	if !ok {
		return ""
	}
	d, ok := domainName(domain)
	if !ok {
		return ""
	}
	return s.String() + "._domainkey." + d.String()
}

// maxKeys is how many keys of one name are tried. What to do with more than
// one is undefined (RFC 6376 §3.6.2.2); they are tried in turn.
const maxKeys = 4

// Lookup asks for the keys of a selector. Without an error there is at least
// one key. Records that are no keys are passed over where another one is. The
// error is that of the Resolver, for which dns.Absent tells absence from
// failure, or an *Error that says why no record can be used.
func Lookup(ctx context.Context, r dns.Resolver, selector, domain string) ([]*Key, dns.Answer, error) {
	return lookup(ctx, r, KeyName(selector, domain), ParseKey)
}

func lookup(ctx context.Context, r dns.Resolver, name string, parse func(string) (*Key, error)) ([]*Key, dns.Answer, error) {
	if name == "" {
		return nil, dns.Answer{}, dns.ErrNameNotFound
	}
	answer, err := r.Lookup(ctx, name, dns.TXT)
	if err != nil {
		return nil, answer, err
	}
	if len(answer.Records) == 0 {
		return nil, answer, dns.ErrNoData
	}
	var keys []*Key
	var first error
	for _, txt := range answer.Records {
		if len(keys) == maxKeys {
			break
		}
		k, err := parse(txt)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, answer, first
	}
	return keys, answer, nil
}

// keyCache remembers parsed key records by their text. The zero keyCache is
// ready; it is safe for concurrent use.
type keyCache struct {
	mu sync.RWMutex
	m  map[string]*Key
}

// maxCached bounds the memory of a cache: with the largest records that are
// accepted it is about 25 MB, in practice a tenth of that.
const maxCached = 1024

func (c *keyCache) parse(txt string) (*Key, error) {
	c.mu.RLock()
	k := c.m[txt]
	c.mu.RUnlock()
	if k != nil {
		return k, nil
	}
	k, err := ParseKey(txt)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxCached {
		c.m = make(map[string]*Key)
	}
	c.m[txt] = k
	return k, nil
}
