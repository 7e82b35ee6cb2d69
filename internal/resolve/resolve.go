// Package resolve asks recursive name servers over the network. It keeps what
// it learns, asks the same question once however many wait for it, and never
// asks more than a set number of questions at a time.
//
// Trust: an answer is Secure where the server says that it validated it (the
// AD bit, RFC 4035 §3.2.3) and the way to it can be trusted: a loopback
// address, "options trust-ad" in resolv.conf, or Options.TrustAD. Otherwise
// its Security is Unknown; a clear AD bit tells nothing.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"

	"sekimori/dns"
	"sekimori/dns/rr"
)

// Options tune a Resolver. The zero value asks the system's servers.
type Options struct {
	// Servers are recursive name servers, "host:port" or "host" for port 53,
	// in order of preference; none means those of /etc/resolv.conf.
	Servers []string
	// Timeout is for one try of one server; 0 means 2 s.
	Timeout time.Duration
	// Deadline is for one question, all tries together; 0 means 8 s.
	Deadline time.Duration
	// Concurrency is how many questions may be on the way; 0 means 64.
	Concurrency int
	// Entries is how many answers are kept; 0 means 65,536, negative none.
	Entries int
	// MinTTL and MaxTTL bound how long an answer is kept, MaxNegativeTTL how
	// long the absence of one; 0 means 5 s, 24 h and 1 h. A failure is kept
	// for MinTTL (RFC 9520 §3.2).
	MinTTL, MaxTTL, MaxNegativeTTL time.Duration
	// TrustAD takes the servers' word for DNSSEC although they are not on
	// this host: right where the path to them is protected.
	TrustAD bool
	// Now is the clock of the cache; nil means time.Now.
	Now func() time.Time
}

// bufferSize is the EDNS buffer size that avoids fragments (DNS Flag Day 2020).
const bufferSize = 1232

// maxChain is how many aliases are followed.
const maxChain = 8

// Resolver is a caching stub resolver, safe for concurrent use.
type Resolver struct {
	o       Options
	servers []server
	first   atomic.Uint32 // index of the server that answered last
	slots   chan struct{}
	cache   *cache
	mu      sync.Mutex
	flights map[key]*flight
}

type server struct {
	addr    string
	trusted bool
}

type key struct {
	name string // lower case, final dot
	typ  uint16
}

// flight is a question on its way.
type flight struct {
	done   chan struct{}
	answer answer
}

// answer is the outcome of a question; err is one of dns's errors, wrapped.
type answer struct {
	records  []string
	ttl      time.Duration
	security dns.Security
	err      error
}

// New returns a Resolver. It fails where a server is not an address, or the
// system's configuration cannot be read; it asks nothing.
func New(o Options) (*Resolver, error) {
	setDefault := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	setDefault(&o.Timeout, 2*time.Second)
	setDefault(&o.Deadline, 8*time.Second)
	setDefault(&o.MinTTL, 5*time.Second)
	setDefault(&o.MaxTTL, 24*time.Hour)
	setDefault(&o.MaxNegativeTTL, time.Hour)
	if o.Concurrency <= 0 {
		o.Concurrency = 64
	}
	if o.Entries == 0 {
		o.Entries = 1 << 16
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Resolver{o: o, slots: make(chan struct{}, o.Concurrency), cache: newCache(o.Entries), flights: map[key]*flight{}}
	if len(o.Servers) == 0 {
		servers, err := systemServers("/etc/resolv.conf")
		if err != nil {
			return nil, err
		}
		r.servers = servers
	}
	for _, s := range o.Servers {
		addr, err := withPort(s)
		if err != nil {
			return nil, err
		}
		r.servers = append(r.servers, server{addr, o.TrustAD || loopback(addr)})
	}
	return r, nil
}

// systemServers reads resolv.conf(5).
func systemServers(path string) ([]server, error) {
	c, err := mdns.ClientConfigFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("name servers of this host: %w: name one with --resolver", err)
	}
	trust := trustsAD(path)
	var out []server
	for _, s := range c.Servers {
		addr := net.JoinHostPort(s, c.Port)
		out = append(out, server{addr, trust || loopback(addr)})
	}
	if len(out) == 0 {
		out = append(out, server{"127.0.0.1:53", true}) // resolv.conf(5)
	}
	return out, nil
}

func withPort(s string) (string, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return net.JoinHostPort(a.String(), "53"), nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if strings.ContainsAny(s, ": /") || s == "" {
			return "", fmt.Errorf("name server %q: want HOST:PORT", s)
		}
		host, port = s, "53"
	}
	if host == "" || port == "" {
		return "", fmt.Errorf("name server %q: want HOST:PORT", s)
	}
	if _, err := net.LookupPort("udp", port); err != nil {
		return "", fmt.Errorf("name server %q: %q is no port", s, port)
	}
	return net.JoinHostPort(host, port), nil
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || host == "localhost"
}

// Lookup answers from the cache or asks. The error matches one of dns's
// errors; ErrTemporary where ctx ended too. With ErrTemporary the answer's
// Security is Bogus where the server said so (RFC 8914).
func (r *Resolver) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	fail := func(err error) error {
		return fmt.Errorf("%s %s: %w", strings.TrimSuffix(name, "."), t, err)
	}
	code := rr.Code(t)
	if code == 0 {
		return dns.Answer{}, fail(dns.ErrNoData)
	}
	k := key{strings.ToLower(mdns.Fqdn(name)), code}
	if _, ok := mdns.IsDomainName(k.name); !ok || strings.TrimSuffix(k.name, ".") == "" && name != "." {
		return dns.Answer{}, fail(dns.ErrNameNotFound) // no such name can exist (RFC 1035 §2.3.4)
	}
	a, ok := r.cache.get(k, r.o.Now())
	if !ok {
		var err error
		if a, err = r.ask(ctx, k); err != nil {
			return dns.Answer{}, fail(err)
		}
	}
	out := dns.Answer{TTL: a.ttl, Security: a.security}
	if a.err != nil {
		return out, fail(a.err)
	}
	out.Records = append([]string(nil), a.records...)
	return out, nil
}

// ask puts a question, or waits for the same one that is on its way. The
// question goes on when one of those who wait leaves; its answer is kept.
func (r *Resolver) ask(ctx context.Context, k key) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, fmt.Errorf("%w: %w", dns.ErrTemporary, err)
	}
	r.mu.Lock()
	f := r.flights[k]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		r.flights[k] = f
		r.mu.Unlock()
		// The slot is waited for by the caller, so that there are never more
		// goroutines than callers and slots.
		select {
		case r.slots <- struct{}{}:
			go r.fly(k, f)
		case <-ctx.Done():
			// Whoever joined meanwhile gets a temporary failure that is not kept.
			f.answer = answer{err: fmt.Errorf("%w: too many questions at a time", dns.ErrTemporary)}
			r.land(k, f)
			return answer{}, fmt.Errorf("%w: %w", dns.ErrTemporary, ctx.Err())
		}
	} else {
		r.mu.Unlock()
	}
	select {
	case <-f.done:
		return f.answer, nil
	case <-ctx.Done():
		return answer{}, fmt.Errorf("%w: %w", dns.ErrTemporary, ctx.Err())
	}
}

func (r *Resolver) fly(k key, f *flight) {
	defer func() { <-r.slots }()
	ctx, cancel := context.WithTimeout(context.Background(), r.o.Deadline)
	defer cancel()
	f.answer = r.resolve(ctx, k)
	keep := f.answer.ttl
	switch {
	case f.answer.err == nil:
		keep = min(max(keep, r.o.MinTTL), r.o.MaxTTL)
	case errors.Is(f.answer.err, dns.ErrTemporary):
		keep = r.o.MinTTL
	default:
		keep = min(max(keep, r.o.MinTTL), r.o.MaxNegativeTTL)
	}
	r.cache.put(k, f.answer, r.o.Now().Add(keep))
	r.land(k, f)
}

func (r *Resolver) land(k key, f *flight) {
	r.mu.Lock()
	delete(r.flights, k)
	r.mu.Unlock()
	close(f.done)
}

// resolve follows aliases that the servers left to us.
func (r *Resolver) resolve(ctx context.Context, k key) answer {
	ttl := time.Duration(-1)
	shorten := func(a answer) answer {
		if ttl >= 0 {
			a.ttl = min(a.ttl, ttl)
		}
		return a
	}
	security := dns.Secure
	for range maxChain {
		m, s, err := r.exchange(ctx, k)
		if errors.Is(err, errBogus) {
			return answer{err: err, security: dns.Bogus}
		}
		if err != nil {
			return answer{err: err}
		}
		a, next := read(m, k, s.trusted)
		if a.security != dns.Secure {
			security = a.security
		}
		if next == "" {
			a.security = security
			return shorten(a)
		}
		k.name = next
		if ttl < 0 || a.ttl < ttl {
			ttl = a.ttl
		}
	}
	return answer{err: fmt.Errorf("%w: more than %d aliases", dns.ErrTemporary, maxChain)}
}

// exchange asks the servers in turn until one has an answer, twice round.
func (r *Resolver) exchange(ctx context.Context, k key) (*mdns.Msg, server, error) {
	var last error
	start := int(r.first.Load())
	for try := range 2 * len(r.servers) {
		i := (start + try) % len(r.servers)
		m, err := r.try(ctx, r.servers[i], k)
		if err == nil {
			r.first.Store(uint32(i))
			return m, r.servers[i], nil
		}
		last = err
		if ctx.Err() != nil || errors.Is(err, errBogus) {
			break
		}
	}
	return nil, server{}, fmt.Errorf("%w: %w", dns.ErrTemporary, last)
}
