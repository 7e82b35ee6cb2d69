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

// confirming is a resolver of names and their addresses.
type confirming struct {
	mu    sync.Mutex
	asked []string
	ptr   map[string][]string
	addrs map[string][]string // nil: the DNS does not answer
}

func (c *confirming) Lookup(_ context.Context, name string, t dns.Type) (dns.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, string(t)+" "+name)
	if t == dns.PTR {
		if n, ok := c.ptr[name]; ok {
			return dns.Answer{Records: n}, nil
		}
		return dns.Answer{}, dns.ErrNameNotFound
	}
	a, ok := c.addrs[name]
	switch {
	case !ok:
		return dns.Answer{}, fmt.Errorf("x: %w", dns.ErrNoData)
	case a == nil:
		return dns.Answer{}, fmt.Errorf("x: %w", dns.ErrTemporary)
	}
	return dns.Answer{Records: a}, nil
}

func TestNamesConfirmed(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := &names{m: map[netip.Addr]store.PTR{}}
	r := &confirming{
		ptr: map[string][]string{
			"1.0.0.192.in-addr.arpa.": {"mx.example."},
			"2.0.0.192.in-addr.arpa.": {"mx.bank.example."}, // somebody else's name
			"3.0.0.192.in-addr.arpa.": {"nowhere.example."},
			"4.0.0.192.in-addr.arpa.": {"slow.example."},
			"5.0.0.192.in-addr.arpa.": {"192-0-0-5.dyn.isp.example."}, // does not matter
			"6.0.0.192.in-addr.arpa.": {"a.example.", "b.example.", "c.example.", "d.example."},
			"8.0.0.192.in-addr.arpa.": {"192-0-0-8.ours.example."}, // numbered, but ours
			"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.": {"mx6.example."},
		},
		addrs: map[string][]string{
			"mx.example": {"198.51.100.1", "192.0.0.1"}, "mx.bank.example": {"198.51.100.2"}, "slow.example": nil,
			"d.example": {"192.0.0.6"}, "192-0-0-8.ours.example": {"192.0.0.8"}, "mx6.example": {"2001:db8::1"},
		},
	}
	list := append(addrs(8), netip.MustParseAddr("2001:db8::1"))
	f := Finder{Cache: c, Resolver: r, Now: func() time.Time { return now }, Concurrency: 1, Confirm: true, Ours: "ours.example"}
	check := func(f *Finder, unconfirmed int) {
		t.Helper()
		got, err := f.Names(context.Background(), list)
		if err != nil {
			t.Fatal(err)
		}
		a := func(i int) netip.Addr { return list[i-1] }
		want := Found{
			Confirmed: map[netip.Addr][]string{a(1): {"mx.example"}, a(8): {"192-0-0-8.ours.example"}, a(9): {"mx6.example"}},
			Denied:    map[netip.Addr][]string{a(2): {"mx.bank.example"}},
			Absent:    map[netip.Addr][]string{a(3): {"nowhere.example"}, a(6): {"a.example", "b.example", "c.example"}}, // three at most
		}
		if !reflect.DeepEqual(got.Confirmed, want.Confirmed) || !reflect.DeepEqual(got.Denied, want.Denied) || !reflect.DeepEqual(got.Absent, want.Absent) ||
			got.Unconfirmed != unconfirmed || got.Missing != 0 {
			t.Errorf("%+v", got)
		}
	}
	check(&f, 1) // slow.example
	asked := len(r.asked)
	check(&f, 1)
	if len(r.asked) != asked {
		t.Errorf("asked again: %q", r.asked[asked:])
	}
	// What the DNS did not answer is asked again after two hours; nothing else.
	now = now.Add(3 * time.Hour)
	r.addrs["slow.example"] = []string{"192.0.0.4"}
	if got, _ := f.Names(context.Background(), list); len(got.Confirmed) != 4 || got.Unconfirmed != 0 || len(r.asked) != asked+1 {
		t.Errorf("%v, asked %q", got.Confirmed, r.asked[asked:])
	}
	// Without a resolver what was kept counts.
	if got, _ := (&Finder{Cache: c, Confirm: true}).Names(context.Background(), list); len(got.Confirmed) != 4 || len(got.Denied) != 1 {
		t.Errorf("without a resolver: %+v", got)
	}
	// A name that stays the same stays confirmed; when the DNS fails, the old name
	// is better than none.
	now = now.Add(31 * 24 * time.Hour)
	down := &resolver{f: func(_ context.Context, name string) (dns.Answer, error) {
		if name == "2.0.0.192.in-addr.arpa." {
			return dns.Answer{Records: []string{"mx.bank.example."}}, nil
		}
		return dns.Answer{}, dns.ErrTemporary
	}}
	g := Finder{Cache: c, Resolver: down, Now: func() time.Time { return now }, Concurrency: 1}
	for range 2 {
		if got, _ := g.Names(context.Background(), list); got.Missing != 0 || got.Names[list[0]][0] != "mx.example" || len(got.Confirmed) != 4 {
			t.Errorf("the DNS fails: %+v", got)
		}
	}
}
