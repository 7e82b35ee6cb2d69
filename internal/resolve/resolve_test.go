package resolve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"sekimori/dns"
	"sekimori/internal/nameserver"
)

// peer is a name server on loopback that misbehaves as told.
type peer struct {
	addr  string
	asked atomic.Int64
	tcp   atomic.Int64
	busy  atomic.Int64 // questions being answered
	most  atomic.Int64
	mu    sync.Mutex
	seen  []*mdns.Msg
}

// serve starts a server. answer returns nil for no answer at all.
func serve(t *testing.T, answer func(p *peer, q *mdns.Msg, tcp bool) *mdns.Msg) *peer {
	t.Helper()
	p := &peer{}
	handler := func(tcp bool) mdns.HandlerFunc {
		return func(w mdns.ResponseWriter, q *mdns.Msg) {
			p.asked.Add(1)
			if tcp {
				p.tcp.Add(1)
			}
			n := p.busy.Add(1)
			for m := p.most.Load(); n > m && !p.most.CompareAndSwap(m, n); m = p.most.Load() {
			}
			p.mu.Lock()
			p.seen = append(p.seen, q.Copy())
			p.mu.Unlock()
			asked := q.Question[0].Name // in random case, as it has to come back
			q.Question[0].Name = strings.ToLower(asked)
			m := answer(p, q, tcp)
			p.busy.Add(-1)
			if m != nil {
				if len(m.Question) == 1 && m.Question[0].Name == q.Question[0].Name {
					m.Question[0].Name = asked
				}
				_ = w.WriteMsg(m)
			}
		}
	}
	pc, l, err := nameserver.Listen()
	if err != nil {
		t.Fatal(err)
	}
	p.addr = pc.LocalAddr().String()
	for _, s := range []*mdns.Server{{PacketConn: pc, Handler: handler(false)}, {Listener: l, Handler: handler(true)}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return p
}

// reply makes an answer with records in presentation form.
func reply(q *mdns.Msg, rcode int, records ...string) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetRcode(q, rcode)
	m.RecursionAvailable = true
	for _, s := range records {
		r, err := mdns.NewRR(s)
		if err != nil {
			panic(err)
		}
		if r.Header().Rrtype == mdns.TypeSOA {
			m.Ns = append(m.Ns, r)
		} else {
			m.Answer = append(m.Answer, r)
		}
	}
	return m
}

func ask(t *testing.T, o Options, p *peer) *Resolver {
	t.Helper()
	if p != nil {
		o.Servers = append(o.Servers, p.addr)
	}
	if o.Timeout == 0 {
		o.Timeout = 150 * time.Millisecond
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnswers(t *testing.T) {
	var shaky atomic.Bool
	p := serve(t, func(p *peer, q *mdns.Msg, tcp bool) *mdns.Msg {
		name := q.Question[0].Name
		switch name {
		case "a.example.":
			return reply(q, 0, "A.example. 300 A 192.0.2.1", "a.example. 200 A 192.0.2.2", "evil.example. 1 A 6.6.6.6", "a.example. 200 A 192.0.2.2")
		case "txt.example.":
			return reply(q, 0, `txt.example. 60 TXT "v=spf1 " "-all"`, `txt.example. 60 TXT "other \"x\""`)
		case "alias.example.":
			return reply(q, 0, "alias.example. 30 CNAME b.example.", "b.example. 60 CNAME a.example.", "a.example. 300 A 192.0.2.1")
		case "far.example.": // an authoritative server that leaves the rest to us
			return reply(q, 0, "far.example. 30 CNAME a.example.")
		case "none.example.":
			return reply(q, mdns.RcodeNameError, "example. 600 SOA ns. root. 1 2 3 4 120")
		case "empty.example.":
			return reply(q, 0, "example. 50 SOA ns. root. 1 2 3 4 120")
		case "gone.example.":
			return reply(q, mdns.RcodeNameError, "gone.example. 30 CNAME nowhere.example.", "example. 600 SOA ns. root. 1 2 3 4 120")
		case "circle.example.":
			return reply(q, 0, "circle.example. 30 CNAME b.example.", "b.example. 60 CNAME circle.example.")
		case "endless.example.", "e.endless.example.", "e.e.endless.example.":
			return reply(q, 0, name+" 30 CNAME e."+name)
		case "secure.example.":
			m := reply(q, 0, "secure.example. 300 A 192.0.2.1")
			m.AuthenticatedData = true
			return m
		case "bogus.example.":
			m := reply(q, mdns.RcodeServerFailure)
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = append(m.IsEdns0().Option, &mdns.EDNS0_EDE{InfoCode: 6})
			return m
		case "shaky.example.": // it fails once, and then what it sends is lost
			switch {
			case q.CheckingDisabled:
				return reply(q, 0, "shaky.example. 60 A 192.0.2.7")
			case !shaky.Swap(true):
				return reply(q, mdns.RcodeServerFailure)
			}
			return nil
		case "refused.example.":
			return reply(q, mdns.RcodeRefused)
		case "silent.example.":
			return nil
		case "truncated.example.":
			if !tcp {
				m := reply(q, 0)
				m.Truncated = true
				return m
			}
			return reply(q, 0, "truncated.example. 60 A 192.0.2.9")
		case "always.truncated.example.":
			m := reply(q, 0)
			m.Truncated = true
			return m
		case "formerr.example.":
			if q.IsEdns0() != nil {
				return reply(q, mdns.RcodeFormatError)
			}
			return reply(q, 0, "formerr.example. 60 A 192.0.2.8")
		case "wrongname.example.":
			m := reply(q, 0, "wrongname.example. 60 A 6.6.6.6")
			m.Question[0].Name = "other.example."
			return m
		case "wrongid.example.":
			m := reply(q, 0, "wrongid.example. 60 A 6.6.6.6")
			m.Id++
			return m
		case "notanswer.example.":
			m := reply(q, 0, "notanswer.example. 60 A 6.6.6.6")
			m.Response = false
			return m
		}
		return reply(q, mdns.RcodeServerFailure)
	})
	r := ask(t, Options{Deadline: 2 * time.Second}, p)
	type want struct {
		records  []string
		ttl      int
		security dns.Security
		err      error
	}
	for _, c := range []struct {
		name string
		typ  dns.Type
		want want
	}{
		{"a.example", dns.A, want{records: []string{"192.0.2.1", "192.0.2.2"}, ttl: 200}},
		{"TXT.example.", dns.TXT, want{records: []string{"v=spf1 -all", `other "x"`}, ttl: 60}},
		{"alias.example", dns.A, want{records: []string{"192.0.2.1"}, ttl: 30}},
		{"alias.example", dns.CNAME, want{records: []string{"b.example."}, ttl: 30}},
		{"far.example", dns.A, want{records: []string{"192.0.2.1", "192.0.2.2"}, ttl: 30}},
		{"none.example", dns.A, want{err: dns.ErrNameNotFound}},
		{"empty.example", dns.A, want{err: dns.ErrNoData}},
		{"gone.example", dns.A, want{err: dns.ErrNameNotFound}},
		{"circle.example", dns.A, want{err: dns.ErrTemporary}},
		{"endless.example", dns.A, want{err: dns.ErrTemporary}},
		{"secure.example", dns.A, want{records: []string{"192.0.2.1"}, ttl: 300, security: dns.Secure}},
		{"bogus.example", dns.A, want{err: dns.ErrTemporary, security: dns.Bogus}},
		{"shaky.example", dns.A, want{err: dns.ErrTemporary}},
		{"refused.example", dns.A, want{err: dns.ErrTemporary}},
		{"servfail.example", dns.A, want{err: dns.ErrTemporary}},
		{"silent.example", dns.A, want{err: dns.ErrTemporary}},
		{"truncated.example", dns.A, want{records: []string{"192.0.2.9"}, ttl: 60}},
		{"always.truncated.example", dns.A, want{err: dns.ErrTemporary}},
		{"formerr.example", dns.A, want{records: []string{"192.0.2.8"}, ttl: 60}},
		{"wrongname.example", dns.A, want{err: dns.ErrTemporary}},
		{"wrongid.example", dns.A, want{err: dns.ErrTemporary}},
		{"notanswer.example", dns.A, want{err: dns.ErrTemporary}},
		{strings.Repeat("a", 64) + ".example", dns.A, want{err: dns.ErrNameNotFound}},
		{"", dns.A, want{err: dns.ErrNameNotFound}},
		{"a.example", "SPF", want{err: dns.ErrNoData}},
	} {
		for _, kept := range []bool{false, true} { // the cache must say the same
			got, err := r.Lookup(context.Background(), c.name, c.typ)
			if !errors.Is(err, c.want.err) || (err == nil) != (c.want.err == nil) {
				t.Errorf("%s %s (kept %v): error %v, want %v", c.name, c.typ, kept, err, c.want.err)
				continue
			}
			if !reflect.DeepEqual(got.Records, c.want.records) || got.Security != c.want.security {
				t.Errorf("%s %s (kept %v): %+v, want %+v", c.name, c.typ, kept, got, c.want)
			}
			if d := time.Duration(c.want.ttl)*time.Second - got.TTL; err == nil && (d < 0 || d > 3*time.Second) {
				t.Errorf("%s %s (kept %v): TTL %v, want %d s", c.name, c.typ, kept, got.TTL, c.want.ttl)
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.seen[:1] {
		opt := q.IsEdns0()
		if opt == nil || opt.UDPSize() != 1232 || !q.AuthenticatedData || !q.RecursionDesired {
			t.Errorf("question lacks EDNS 1232, AD or RD: %v", q)
		}
	}
	if p.tcp.Load() == 0 {
		t.Error("nothing was asked over TCP")
	}
}

func TestUntrustedAD(t *testing.T) {
	m := reply(new(mdns.Msg).SetQuestion("a.example.", mdns.TypeA), 0, "a.example. 60 A 192.0.2.1")
	m.AuthenticatedData = true
	k := key{"\x01a\x07example", mdns.TypeA}
	if a, _, _ := read(m, k, false); a.Security != dns.Unknown {
		t.Errorf("AD from afar gives %q", a.Security)
	}
	if a, _, _ := read(m, k, true); a.Security != dns.Secure {
		t.Errorf("AD from a trusted server gives %q", a.Security)
	}
}

func TestCacheTimes(t *testing.T) {
	var ttl atomic.Int64
	p := serve(t, func(_ *peer, q *mdns.Msg, _ bool) *mdns.Msg {
		switch q.Question[0].Name {
		case "none.example.":
			return reply(q, mdns.RcodeNameError, fmt.Sprintf("example. %d SOA ns. root. 1 2 3 4 %[1]d", ttl.Load()))
		case "nosoa.example.":
			return reply(q, mdns.RcodeNameError)
		case "broken.example.":
			return reply(q, mdns.RcodeServerFailure)
		}
		return reply(q, 0, fmt.Sprintf("%s %d A 192.0.2.1", q.Question[0].Name, ttl.Load()))
	})
	now := time.Unix(1e9, 0)
	r := ask(t, Options{Now: func() time.Time { return now }, MinTTL: 10 * time.Second, MaxTTL: time.Hour, MaxNegativeTTL: time.Minute}, p)
	kept := func(name string) time.Duration { // how long an answer is kept
		start := now
		_, _ = r.Lookup(context.Background(), name, dns.A)
		for d := time.Second; d <= 2*time.Hour; d += time.Second {
			now = start.Add(d)
			before := p.asked.Load()
			_, _ = r.Lookup(context.Background(), name, dns.A)
			if p.asked.Load() > before {
				return d
			}
		}
		return -1
	}
	for _, c := range []struct {
		name string
		ttl  int64
		want time.Duration
	}{
		{"a.example", 100, 100 * time.Second},
		{"short.example", 1, 10 * time.Second},
		{"long.example", 86400, time.Hour},
		{"none.example", 3600, time.Minute},
		{"none.example", 20, 20 * time.Second},
		{"nosoa.example", 0, 10 * time.Second},
		{"broken.example", 0, 10 * time.Second},
	} {
		ttl.Store(c.ttl)
		now = now.Add(24 * time.Hour)
		if got := kept(c.name); got != c.want {
			t.Errorf("%s with TTL %d is kept for %v, want %v", c.name, c.ttl, got, c.want)
		}
	}
}

func TestCacheLimit(t *testing.T) {
	c := newCache(3, 1<<20)
	for i := range 5 {
		c.put(key{fmt.Sprint(i), 1}, dns.Answer{}, nil, time.Minute)
		c.get([]byte("0"), 1, time.Duration(i)*restless) // stays in use
	}
	for name, want := range map[string]bool{"0": true, "1": false, "2": false, "3": true, "4": true} {
		if _, _, ok := c.get([]byte(name), 1, 0); ok != want {
			t.Errorf("entry %s is there: %v, want %v", name, ok, want)
		}
	}
	if _, _, ok := c.get([]byte("4"), 1, time.Minute); ok || len(c.shards[0].entries) != 2 {
		t.Error("what has expired is kept")
	}
	// Room is counted in octets too.
	c = newCache(1<<16, 16*10_000)
	for i := range 2000 {
		c.put(key{fmt.Sprint(i), 1}, dns.Answer{Records: []string{strings.Repeat("x", 1000)}}, nil, time.Minute)
	}
	c.put(key{"huge", 1}, dns.Answer{Records: []string{strings.Repeat("x", 20_000)}}, nil, time.Minute)
	if _, _, ok := c.get([]byte("huge"), 1, 0); ok {
		t.Error("an answer without room is kept")
	}
	for i := range c.shards {
		s := &c.shards[i]
		used := int64(0)
		for e := s.root.next; e != &s.root; e = e.next {
			used += e.size
		}
		if used != s.used || used > 10_000 || len(s.entries) == 0 {
			t.Errorf("shard %d: %d octets, %d counted, %d entries", i, used, s.used, len(s.entries))
		}
	}
	none := newCache(-1, 1)
	none.put(key{"a", 1}, dns.Answer{}, nil, time.Minute)
	if _, _, ok := none.get([]byte("a"), 1, 0); ok {
		t.Error("a cache without room keeps something")
	}
}

func TestFailover(t *testing.T) {
	dead := serve(t, func(*peer, *mdns.Msg, bool) *mdns.Msg { return nil })
	sick := serve(t, func(_ *peer, q *mdns.Msg, _ bool) *mdns.Msg { return reply(q, mdns.RcodeServerFailure) })
	good := serve(t, func(_ *peer, q *mdns.Msg, _ bool) *mdns.Msg {
		return reply(q, 0, q.Question[0].Name+" 60 A 192.0.2.1")
	})
	r := ask(t, Options{Servers: []string{dead.addr, sick.addr, good.addr}}, nil)
	for _, name := range []string{"a.example", "b.example"} {
		if _, err := r.Lookup(context.Background(), name, dns.A); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := dead.asked.Load(); n != 1 {
		t.Errorf("the dead server was asked %d times, want once: the one that answered comes first", n)
	}
}

func TestSingleFlight(t *testing.T) {
	release := make(chan struct{})
	p := serve(t, func(_ *peer, q *mdns.Msg, _ bool) *mdns.Msg {
		<-release
		return reply(q, 0, q.Question[0].Name+" 60 A 192.0.2.1")
	})
	r := ask(t, Options{Timeout: 5 * time.Second}, p)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := r.Lookup(context.Background(), "a.example", dns.A); err != nil {
				t.Error(err)
			}
		})
	}
	// One that leaves takes nobody's answer away.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.Lookup(ctx, "a.example", dns.A); !errors.Is(err, dns.ErrTemporary) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want temporary and deadline", err)
	}
	time.Sleep(20 * time.Millisecond)
	close(release)
	wg.Wait()
	if n := p.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

func TestConcurrency(t *testing.T) {
	p := serve(t, func(_ *peer, q *mdns.Msg, _ bool) *mdns.Msg {
		time.Sleep(5 * time.Millisecond)
		return reply(q, 0, q.Question[0].Name+" 60 A 192.0.2.1")
	})
	r := ask(t, Options{Concurrency: 4, Timeout: 5 * time.Second, Deadline: 20 * time.Second}, p)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			if _, err := r.Lookup(context.Background(), fmt.Sprintf("n%d.example", i), dns.A); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if m := p.most.Load(); m > 4 || m < 2 {
		t.Errorf("%d questions at a time, want at most 4", m)
	}
	// Waiting for a turn ends with the caller's patience.
	full := ask(t, Options{Concurrency: 1, Timeout: time.Second}, serve(t, func(*peer, *mdns.Msg, bool) *mdns.Msg { return nil }))
	go func() { _, _ = full.Lookup(context.Background(), "first.example", dns.A) }()
	time.Sleep(20 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := full.Lookup(ctx, "second.example", dns.A); !errors.Is(err, dns.ErrTemporary) || time.Since(start) > 500*time.Millisecond {
		t.Errorf("error %v after %v", err, time.Since(start))
	}
}

func TestDeadline(t *testing.T) {
	p := serve(t, func(*peer, *mdns.Msg, bool) *mdns.Msg { return nil })
	r := ask(t, Options{Timeout: 10 * time.Second, Deadline: 100 * time.Millisecond}, p)
	start := time.Now()
	if _, err := r.Lookup(context.Background(), "a.example", dns.A); !errors.Is(err, dns.ErrTemporary) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("took %v", d)
	}
}

func TestServers(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1:53", "192.0.2.1:5353": "192.0.2.1:5353", "::1": "[::1]:53", "[::1]:54": "[::1]:54",
		"[::1]": "[::1]:53", "ns.example": "ns.example:53", "localhost:domain": "localhost:domain",
		"": "", ":53": "", "a b": "", "ns.example:port": "", "https://x": "", "192.0.2.1:99999": "",
	} {
		got, err := withPort(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("withPort(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	if _, err := New(Options{Servers: []string{"no port:"}}); err == nil {
		t.Error("a bad server is accepted")
	}
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(s string) {
		if err := os.WriteFile(conf, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("nameserver 192.0.2.53\nnameserver ::1\noptions edns0 trust-ad\n")
	got, err := systemServers(conf)
	if want := []server{newServer("192.0.2.53:53", true), newServer("[::1]:53", true)}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("servers %v, %v, want %v", got, err, want)
	}
	write("nameserver 192.0.2.53\nsearch example\n")
	if got, err = systemServers(conf); err != nil || got[0].trusted {
		t.Errorf("servers %v, %v", got, err)
	}
	write("")
	if got, err = systemServers(conf); err != nil || len(got) != 1 || got[0].addr != "127.0.0.1:53" {
		t.Errorf("servers of an empty file: %v, %v", got, err)
	}
	if _, err := systemServers(conf + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want not exist", err)
	}
}
