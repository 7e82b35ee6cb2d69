package advise

import (
	"context"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/internal/store"
)

// slow answers reverse look-ups once open is closed; nil is open.
type slow struct {
	open  chan struct{}
	asked atomic.Int64
}

func (s *slow) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	if t != dns.PTR {
		return dns.Answer{}, dns.ErrNameNotFound
	}
	if s.open != nil {
		select {
		case <-s.open:
		case <-ctx.Done():
			return dns.Answer{}, ctx.Err()
		}
	}
	s.asked.Add(1)
	return dns.Answer{Name: name, Records: []string{"host-" + strings.SplitN(name, ".", 2)[0] + ".dynamic.isp.example."}}, nil
}

// TestPending checks that an answer comes within its budget, that look-ups go
// on behind it, and that it is worked out anew when they have told something.
func TestPending(t *testing.T) {
	m := newMemory()
	fill(m, "a.example", 40, 500, 60)
	r := &slow{open: make(chan struct{})}
	adv := New(Config{Store: m, Resolver: r, PTRBudget: 50 * time.Millisecond})
	defer adv.Close()
	name := mustName(t, "a.example")
	a, _, err := adv.Cached(t.Context(), name, Question{})
	if err != nil || a.Pending != 61 {
		t.Fatalf("%d pending, %v", a.Pending, err)
	}
	close(r.open)
	for wait := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if a, _, err = adv.Cached(t.Context(), name, Question{}); err != nil {
			t.Fatal(err)
		}
		if a.Pending == 0 {
			break
		}
		if time.Since(wait) > 20*time.Second {
			t.Fatalf("still %d pending after %d questions", a.Pending, r.asked.Load())
		}
	}
	if len(a.Sources[len(a.Sources)-1].PTR) == 0 {
		t.Errorf("no names in the new answer: %+v", a.Sources)
	}
	if n := r.asked.Load(); n > 3*61 {
		t.Errorf("%d questions about 61 addresses", n)
	}
}

// TestAnswer checks that a command is given what is kept where it is new.
func TestAnswer(t *testing.T) {
	m := newMemory()
	fill(m, "a.example", 40, 500, 30)
	adv := New(Config{Store: m})
	defer adv.Close()
	name := mustName(t, "a.example")
	for range 3 {
		a, err := adv.Answer(t.Context(), name, Question{})
		if err != nil {
			t.Fatal(err)
		}
		if s := a.Sources[len(a.Sources)-1]; len(s.Addresses) != 30 || s.AddressCount != 30 {
			t.Errorf("%d of %d addresses", len(s.Addresses), s.AddressCount)
		}
	}
	if m.scans != 1 {
		t.Errorf("%d scans for one answer", m.scans)
	}
	// With a DNS to ask there is more to be told.
	with := New(Config{Store: m, Resolver: &slow{}})
	defer with.Close()
	for range 2 {
		if _, err := with.Answer(t.Context(), name, Question{}); err != nil {
			t.Fatal(err)
		}
	}
	if m.scans != 2 {
		t.Errorf("%d scans for two answers", m.scans)
	}
}

// TestReader checks what is kept of more addresses than are looked at one by one.
func TestReader(t *testing.T) {
	r := newRowReader("a.example", "a.example", 50)
	add := func(i int, row store.SourceRow) {
		row.Addr = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		row.Inner, row.FirstDay, row.LastDay = row.Messages, 100, 101
		r.add(row)
	}
	const bots = 5000
	for i := range bots {
		switch i {
		case 1234: // few messages, and a name of its own
			add(i, store.SourceRow{HeaderFrom: "shop.a.example", Messages: 1})
		case 2345:
			add(i, store.SourceRow{HeaderFrom: "a.example", SPFDomain: "a.example", SPFAligned: true, Messages: 1})
		case 3456:
			add(i, store.SourceRow{HeaderFrom: "a.example", Messages: 1e6})
		default:
			add(i, store.SourceRow{HeaderFrom: []string{"a.example", "b.a.example"}[i%2], Messages: 10})
		}
	}
	var messages, named uint64
	found := map[int]bool{}
	hosts := r.hosts()
	for _, h := range hosts {
		messages += h.window.messages
		if h.addr.IsValid() {
			b := h.addr.As4()
			found[int(b[1])<<16|int(b[2])<<8|int(b[3])] = true
		}
		for _, x := range h.authors {
			named += x.messages
		}
	}
	if want := uint64(1 + 1 + 1e6 + (bots-3)*10); messages != want || len(hosts) != 51 || r.folded != bots-50 {
		t.Errorf("%d messages of %d hosts, %d folded; want %d", messages, len(hosts), r.folded, want)
	}
	if !found[1234] || !found[2345] || !found[3456] {
		t.Errorf("what is special was put together with the rest: %v", found)
	}
	if want := uint64(1 + (bots/2-1)*10); named != want {
		t.Errorf("%d messages with author domains of their own, want %d", named, want)
	}
}
