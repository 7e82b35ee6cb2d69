package sources

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/internal/store"
)

// names is a cache in memory.
type names struct {
	mu   sync.Mutex
	m    map[netip.Addr]store.PTR
	fail error
}

func (n *names) PTRs(_ context.Context, addrs []netip.Addr) (map[netip.Addr]store.PTR, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := map[netip.Addr]store.PTR{}
	for _, a := range addrs {
		if p, ok := n.m[a]; ok {
			out[a] = p
		}
	}
	return out, n.fail
}

func (n *names) PutPTRs(_ context.Context, ps []store.PTR) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range ps {
		n.m[p.Addr] = p
	}
	return n.fail
}

// resolver answers as its function does.
type resolver struct {
	asked atomic.Int64
	f     func(ctx context.Context, name string) (dns.Answer, error)
}

func (r *resolver) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	r.asked.Add(1)
	if t != dns.PTR {
		return dns.Answer{}, dns.ErrNoData
	}
	return r.f(ctx, name)
}

func addrs(n int) []netip.Addr {
	var out []netip.Addr
	for i := range n {
		out = append(out, netip.AddrFrom4([4]byte{192, 0, byte(i / 250), byte(1 + i%250)}))
	}
	return out
}

func TestNames(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := &names{m: map[netip.Addr]store.PTR{}}
	r := &resolver{f: func(_ context.Context, name string) (dns.Answer, error) {
		switch name {
		case "1.0.0.192.in-addr.arpa.":
			return dns.Answer{Records: []string{"MX.Example.", "bad name.", "<script>.example.", "b.example."}}, nil
		case "2.0.0.192.in-addr.arpa.":
			return dns.Answer{}, fmt.Errorf("x: %w", dns.ErrNameNotFound)
		case "3.0.0.192.in-addr.arpa.":
			return dns.Answer{Records: []string{"-\x00-."}}, nil
		}
		return dns.Answer{}, fmt.Errorf("x: %w", dns.ErrTemporary)
	}}
	f := Finder{Cache: c, Resolver: r, Now: func() time.Time { return now }, Concurrency: 1}
	a := addrs(4)
	want := map[netip.Addr][]string{a[0]: {"mx.example", "b.example"}, a[1]: nil, a[2]: nil}
	got, err := f.Names(context.Background(), a)
	if err != nil || !reflect.DeepEqual(got.Names, want) || got.Missing != 1 || got.Unreachable || got.OutOfTime {
		t.Fatalf("%+v, %v", got, err)
	}
	// Kept, the failure too for a while.
	before := r.asked.Load()
	if got, err = f.Names(context.Background(), a); err != nil || got.Missing != 1 || r.asked.Load() != before {
		t.Fatalf("again: %+v, %v, asked %d times more", got, err, r.asked.Load()-before)
	}
	// The failure is asked again after two hours, absence after a week, names after a month.
	for after, n := range map[time.Duration]int64{3 * time.Hour: 1, 8 * 24 * time.Hour: 3, 31 * 24 * time.Hour: 4} {
		c2 := &names{m: map[netip.Addr]store.PTR{}}
		for k, v := range c.m {
			c2.m[k] = v
		}
		before = r.asked.Load()
		later := Finder{Cache: c2, Resolver: r, Now: func() time.Time { return now.Add(after) }, Concurrency: 1}
		if _, err := later.Names(context.Background(), a); err != nil || r.asked.Load()-before != n {
			t.Errorf("after %v: asked %d times, want %d, %v", after, r.asked.Load()-before, n, err)
		}
	}
	// Without a resolver what is kept still counts, out of date as it may be.
	old := Finder{Cache: c, Now: func() time.Time { return now.Add(1000 * time.Hour) }}
	if got, err = old.Names(context.Background(), a); err != nil || len(got.Names) != 3 || got.Missing != 1 {
		t.Errorf("without a resolver: %+v, %v", got, err)
	}
}

func TestNamesUnreachable(t *testing.T) {
	c := &names{m: map[netip.Addr]store.PTR{}}
	r := &resolver{f: func(context.Context, string) (dns.Answer, error) { return dns.Answer{}, dns.ErrTemporary }}
	f := Finder{Cache: c, Resolver: r, Concurrency: 4}
	got, err := f.Names(context.Background(), addrs(1000))
	if err != nil || !got.Unreachable || got.Missing != 1000 || r.asked.Load() > giveUpAfter+8 {
		t.Errorf("%+v, %v, asked %d times", got, err, r.asked.Load())
	}
	if len(c.m) != 0 {
		t.Errorf("%d failures kept: they say nothing about the addresses", len(c.m))
	}
}

func TestNamesBudget(t *testing.T) {
	c := &names{m: map[netip.Addr]store.PTR{}}
	slow := &resolver{f: func(ctx context.Context, name string) (dns.Answer, error) {
		select {
		case <-time.After(5 * time.Millisecond):
			return dns.Answer{Records: []string{"mx.example."}}, nil
		case <-ctx.Done():
			return dns.Answer{}, dns.ErrTemporary
		}
	}}
	f := Finder{Cache: c, Resolver: slow, Concurrency: 2, Budget: 60 * time.Millisecond}
	start := time.Now()
	got, err := f.Names(context.Background(), addrs(1000))
	if err != nil || !got.OutOfTime || got.Missing == 0 || got.Missing == 1000 {
		t.Errorf("%d missing, out of time %v, %v", got.Missing, got.OutOfTime, err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("took %v", d)
	}
	// The next call goes on where this one stopped.
	first := len(c.m)
	if got, err = f.Names(context.Background(), addrs(1000)); err != nil || len(c.m) <= first {
		t.Errorf("the second call learnt nothing: %d, %v", len(c.m), err)
	}
	// A server that never answers at all.
	dead := &resolver{f: func(ctx context.Context, _ string) (dns.Answer, error) {
		<-ctx.Done()
		return dns.Answer{}, dns.ErrTemporary
	}}
	f = Finder{Resolver: dead, Budget: 30 * time.Millisecond}
	if got, err = f.Names(context.Background(), addrs(100)); err != nil || !got.Unreachable || got.Missing != 100 {
		t.Errorf("dead server: %+v, %v", got, err)
	}
}

func TestNamesCacheFails(t *testing.T) {
	broken := errors.New("disk full")
	c := &names{m: map[netip.Addr]store.PTR{}, fail: broken}
	r := &resolver{f: func(context.Context, string) (dns.Answer, error) {
		return dns.Answer{Records: []string{"mx.example."}}, nil
	}}
	f := Finder{Cache: c, Resolver: r}
	got, err := f.Names(context.Background(), addrs(3))
	if !errors.Is(err, broken) || len(got.Names) != 3 {
		t.Errorf("%+v, %v: what was found must come with the error", got, err)
	}
	if got, err := (&Finder{}).Names(context.Background(), addrs(3)); err != nil || got.Missing != 3 {
		t.Errorf("nothing at all: %+v, %v", got, err)
	}
}
