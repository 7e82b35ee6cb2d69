// Package resolve asks recursive name servers over the network. It keeps what
// it learns, asks the same question once however many wait for it, and never
// asks more than a set number of questions at a time.
//
// Trust: an answer, the absence of records among them, is Secure where the
// server says that it validated it (the AD bit, RFC 4035 §3.2.3) and the way to
// it can be trusted: a loopback address, "options trust-ad" in resolv.conf, or
// Options.TrustAD. It is Bogus, and the error ErrTemporary, where the server
// says that validation failed (RFC 8914), or fails and then answers when told
// not to validate (RFC 4035 §3.2.2). Otherwise its Security is Unknown: a clear
// AD bit does not tell what is proven to be unsigned from what could not be
// validated (RFC 4033 §5), so no answer is ever Insecure by it.
//
// Forgery: each question has a random number, a port of its own and letters of
// random case (draft-vixie-dnsext-dns0x20); datagrams that do not bear all of
// them are not looked at, and where many of those come, or the server does not
// keep the case, the question is put again over TCP (RFC 5452 §9).
//
// Bounds: an answer may have 64 KiB on the wire, 4,096 records and 256 KiB of
// text; a chain of aliases 16 links, over at most eight questions.
package resolve

import (
	"context"
	"errors"
	"fmt"
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
	// Memory is how many octets they may have together, roughly; 0 means 64 MiB.
	Entries int
	Memory  int64
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

// Bounds of an answer.
const (
	maxChain   = 16 // aliases that are followed within it
	maxSteps   = 8  // questions for one chain of aliases
	maxRecords = 4096
	maxText    = 256 << 10
)

// rounds is how often a server that does not answer is asked.
const rounds = 3

// Resolver is a caching stub resolver, safe for concurrent use.
type Resolver struct {
	o       Options
	began   time.Time // where the clock of the cache begins
	servers []server
	first   atomic.Uint32 // index of the server that answered last
	slots   chan struct{}
	// datagrams are buffers for answers, *datagram.
	datagrams sync.Pool
	cache     *cache
	mu        sync.Mutex
	flights   map[key]*flight
}

type key struct {
	name string // in wire form (see rr.AppendWire)
	typ  uint16
}

// flight is a question on its way.
type flight struct {
	done      chan struct{}
	answer    dns.Answer
	err       error // a *dns.Failure
	abandoned bool  // it never began: whoever waits may begin it
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
	if o.Memory == 0 {
		o.Memory = 64 << 20
	}
	r := &Resolver{o: o, slots: make(chan struct{}, o.Concurrency), cache: newCache(o.Entries, o.Memory), flights: map[key]*flight{}}
	r.datagrams.New = func() any { return new(datagram) }
	if r.began = time.Now(); o.Now != nil {
		r.began = o.Now()
	}
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
		r.servers = append(r.servers, newServer(addr, o.TrustAD || loopback(addr)))
	}
	return r, nil
}

// Lookup answers from the cache or asks. The error matches one of dns's
// errors; ErrTemporary where ctx ended too. The answer's Security and Extended
// are set beside an error as well, where they are known. A cached answer takes
// no memory, and its records are shared.
func (r *Resolver) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	code := rr.Code(t)
	if code == 0 {
		return dns.Answer{}, &dns.Failure{Name: name, Type: t, Err: dns.ErrNoData}
	}
	var buf [rr.MaxName + 2]byte
	wire, ok := rr.AppendWire(buf[:0], name)
	if !ok { // RFC 1035 §2.3.4
		return dns.Answer{}, &dns.Failure{Name: name, Type: t, Err: dns.ErrNameNotFound}
	}
	if a, err, ok := r.cache.get(wire, code, r.now()); ok {
		return a, err
	}
	k := key{string(wire), code}
	for {
		f, err := r.ask(ctx, k, t)
		if err != nil {
			return dns.Answer{}, &dns.Failure{Name: name, Type: t, Err: fmt.Errorf("%w: %w", dns.ErrTemporary, err)}
		}
		if !f.abandoned {
			return f.answer, f.err
		}
	}
}

// Cached returns an answer, or a failure, that Lookup would give without asking
// anybody.
func (r *Resolver) Cached(name string, t dns.Type) (dns.Answer, error, bool) {
	var buf [rr.MaxName + 2]byte
	wire, ok := rr.AppendWire(buf[:0], name)
	if !ok {
		return dns.Answer{}, nil, false
	}
	return r.cache.get(wire, rr.Code(t), r.now())
}

// now is the time on the clock of the cache.
func (r *Resolver) now() time.Duration {
	if r.o.Now == nil {
		return time.Since(r.began)
	}
	return r.o.Now().Sub(r.began)
}

// ask puts a question, or waits for the same one that is on its way. The
// question goes on when one of those who wait leaves; its answer is kept. The
// error is that ctx ended.
func (r *Resolver) ask(ctx context.Context, k key, t dns.Type) (*flight, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
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
			go r.fly(k, t, f)
		case <-ctx.Done():
			f.abandoned = true
			r.land(k, f)
			return nil, ctx.Err()
		}
	} else {
		r.mu.Unlock()
	}
	select {
	case <-f.done:
		return f, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *Resolver) fly(k key, t dns.Type, f *flight) {
	defer func() { <-r.slots }()
	// A point in time, and no context: the tries end by their own deadlines, and
	// a timer for each question costs.
	a, err := r.resolve(time.Now().Add(r.o.Deadline), k)
	keep := a.TTL
	switch {
	case err == nil:
		keep = min(max(keep, r.o.MinTTL), r.o.MaxTTL)
	case errors.Is(err, dns.ErrTemporary):
		keep = r.o.MinTTL
	default:
		keep = min(max(keep, r.o.MinTTL), r.o.MaxNegativeTTL)
	}
	if err != nil {
		err = &dns.Failure{Name: rr.Raw(k.name), Type: t, Err: err}
	}
	f.answer, f.err = a, err
	r.cache.put(k, a, err, r.now()+keep)
	r.land(k, f)
}

func (r *Resolver) land(k key, f *flight) {
	r.mu.Lock()
	delete(r.flights, k)
	r.mu.Unlock()
	close(f.done)
}

// resolve asks, and follows aliases that the servers left to us. The error
// wraps one of dns's.
func (r *Resolver) resolve(end time.Time, k key) (dns.Answer, error) {
	var whole dns.Answer
	for i := range maxSteps {
		m, s, err := r.exchange(end, k)
		if err != nil {
			a := dns.Answer{}
			var x *refusal
			if errors.As(err, &x) {
				a.Extended = x.extended
				if x.bogus {
					a.Security = dns.Bogus
				}
			}
			return a, fmt.Errorf("%w: %w", dns.ErrTemporary, err)
		}
		a, next, err := read(m, k, s.trusted)
		if i > 0 { // the answer is as good as the worst of its links
			a.TTL = min(a.TTL, whole.TTL)
			if whole.Security != dns.Secure {
				a.Security = whole.Security
			}
			if a.Name == "" {
				a.Name = whole.Name
			}
			a.Extended = append(whole.Extended, a.Extended...)
		}
		if next == "" {
			return a, err
		}
		k.name, whole = next, a
	}
	return dns.Answer{}, fmt.Errorf("%w: too many aliases", dns.ErrTemporary)
}

// exchange asks the servers in turn until one has an answer. One that does not
// answer is asked again, after the others; one that refuses or fails is not
// (RFC 9520 §3.1). Where none has an answer and one failed, it is asked whether
// it has one that it could not validate.
func (r *Resolver) exchange(end time.Time, k key) (*mdns.Msg, server, error) {
	var last error
	var failed *refusal
	at := 0
	start := int(r.first.Load())
	done := make([]bool, len(r.servers))
	for try := range rounds * len(r.servers) {
		i := (start + try) % len(r.servers)
		if done[i] {
			continue
		}
		m, err := r.try(end, r.servers[i], k, false)
		if err == nil {
			r.first.Store(uint32(i))
			return m, r.servers[i], nil
		}
		var x *refusal
		if errors.As(err, &x) {
			if done[i] = true; x.bogus {
				return nil, server{}, err
			}
			if failed == nil && x.rcode == mdns.RcodeServerFailure {
				failed, at = x, i
			}
		}
		last = err
		if over(end) {
			break
		}
	}
	switch {
	case failed == nil:
		return nil, server{}, last
	case over(end):
		return nil, server{}, failed
	}
	s := r.servers[at]
	if _, err := r.try(end, s, k, true); err != nil {
		return nil, server{}, failed
	}
	// It can: unless it was a moment's weakness, validation is what fails.
	m, err := r.try(end, s, k, false)
	if err == nil {
		return m, s, nil
	}
	var again *refusal
	if errors.As(err, &again) && again.rcode == mdns.RcodeServerFailure {
		failed.bogus = true
	}
	return nil, server{}, failed
}
