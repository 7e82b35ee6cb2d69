package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"sekimori/dns"
	"sekimori/dns/rr"
	"sekimori/internal/nameserver"
)

func TestLame(t *testing.T) {
	lame := serve(t, func(_ *peer, q *mdns.Msg, _ bool) *mdns.Msg {
		m := reply(q, 0)
		switch q.Question[0].Name {
		case "referral.example.":
			ns, _ := mdns.NewRR("example. 300 IN NS ns.example.")
			m.Ns = []mdns.RR{ns}
		case "nothing.example.":
			m.RecursionAvailable = false
		case "refused.example.":
			m.Rcode = mdns.RcodeRefused
		}
		return m
	})
	good := serve(t, func(_ *peer, q *mdns.Msg, _ bool) *mdns.Msg {
		return reply(q, 0, q.Question[0].Name+" 60 A 192.0.2.1")
	})
	for _, name := range []string{"referral.example", "nothing.example", "refused.example"} {
		alone := ask(t, Options{}, lame)
		if _, err := alone.Lookup(context.Background(), name, dns.A); !errors.Is(err, dns.ErrTemporary) {
			t.Errorf("%s: %v, want a failure: it is not known to have no data", name, err)
		}
		both := ask(t, Options{Servers: []string{lame.addr, good.addr}}, nil)
		if _, err := both.Lookup(context.Background(), name, dns.A); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ask(t, Options{}, lame).Lookup(context.Background(), "nodata.example", dns.A); !errors.Is(err, dns.ErrNoData) {
		t.Errorf("no data from a resolver: %v", err)
	}
}

func TestExtended(t *testing.T) {
	p := serve(t, func(_ *peer, q *mdns.Msg, _ bool) *mdns.Msg {
		name := q.Question[0].Name
		rcode := map[string]int{"none.example.": mdns.RcodeNameError, "fail.example.": mdns.RcodeServerFailure}[name]
		var records []string
		if rcode == 0 {
			records = []string{name + " 60 A 192.0.2.1"}
		}
		m := reply(q, rcode, records...)
		m.AuthenticatedData = rcode != mdns.RcodeServerFailure
		m.SetEdns0(1232, false)
		for range 10 {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &mdns.EDNS0_EDE{InfoCode: 3, ExtraText: "stale\n\xff" + strings.Repeat("x", 20)})
		}
		return m
	})
	r := ask(t, Options{}, p)
	for name, want := range map[string]error{"a.example": nil, "none.example": dns.ErrNameNotFound, "fail.example": dns.ErrTemporary} {
		for range 2 {
			a, err := r.Lookup(context.Background(), name, dns.A)
			if !errors.Is(err, want) || len(a.Extended) != 8 || a.Extended[0].Code != 3 || a.Extended[0].Text != "stale "+strings.Repeat("x", 20) {
				t.Errorf("%s: %+v, %v", name, a.Extended, err)
			}
			if secure := a.Security == dns.Secure; secure == (want == dns.ErrTemporary) {
				t.Errorf("%s: %q", name, a.Security)
			}
		}
	}
}

// TestForged floods a question with answers that are none.
func TestForged(t *testing.T) {
	pc, l, err := nameserver.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	tcp := &mdns.Server{Listener: l, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		_ = w.WriteMsg(reply(q, 0, q.Question[0].Name+" 60 A 192.0.2.2"))
	})}
	go func() { _ = tcp.ActivateAndServe() }()
	defer func() { _ = tcp.Shutdown() }()
	go func() {
		for {
			buf := make([]byte, 2000)
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			q := new(mdns.Msg)
			if q.Unpack(buf[:n]) != nil {
				continue
			}
			name := q.Question[0].Name
			send := func(m *mdns.Msg) {
				if b, err := m.Pack(); err == nil {
					_, _ = pc.WriteTo(b, from)
				}
			}
			forged := 5
			if strings.HasPrefix(strings.ToLower(name), "flood.") {
				forged = 100
			}
			for i := range forged {
				m := reply(q, 0, name+" 60 A 203.0.113.6")
				switch i % 5 {
				case 0:
					m.Id++
				case 1:
					m.Question[0].Name = "x" + name
				case 2:
					m.Question[0].Qtype = mdns.TypeAAAA
				case 3:
					m.Response = false
				case 4:
					_, _ = pc.WriteTo([]byte("garbage"), from)
					m.Question = nil
				}
				send(m)
			}
			m := reply(q, 0, name+" 60 A 192.0.2.1")
			switch {
			case strings.HasPrefix(strings.ToLower(name), "case."):
				m.Question[0].Name = strings.ToLower(name) // keeps no case: over TCP then
				if m.Question[0].Name == name {
					m.Question[0].Name = strings.ToUpper(name)
				}
			case strings.HasPrefix(strings.ToLower(name), "broken."):
				b, _ := m.Pack()
				_, _ = pc.WriteTo(b[:len(b)-3], from)
				continue
			}
			send(m)
		}
	}()
	r := ask(t, Options{Servers: []string{pc.LocalAddr().String()}, Timeout: 2 * time.Second}, nil)
	for name, want := range map[string]string{
		"a.example": "192.0.2.1", "flood.example": "192.0.2.2", "case.example": "192.0.2.2", "broken.example": "192.0.2.2",
	} {
		a, err := r.Lookup(context.Background(), name, dns.A)
		if err != nil || !reflect.DeepEqual(a.Records, []string{want}) {
			t.Errorf("%s: %q, %v, want %s", name, a.Records, err, want)
		}
	}
}

// TestForwarder asks one that turns names to small letters and has no TCP, and
// asks for the root.
func TestForwarder(t *testing.T) {
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mdns.Server{PacketConn: pc, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		m := reply(q, 0, strings.ToLower(q.Question[0].Name)+" 60 IN NS ns.example.")
		m.Question[0].Name = strings.ToLower(q.Question[0].Name)
		_ = w.WriteMsg(m)
	})}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown() })
	r := ask(t, Options{Servers: []string{pc.LocalAddr().String()}, Timeout: time.Second}, nil)
	for _, name := range []string{"some-longer-name.example", "."} {
		if a, err := r.Lookup(context.Background(), name, dns.NS); err != nil || !reflect.DeepEqual(a.Records, []string{"ns.example."}) {
			t.Errorf("%s: %q, %v", name, a.Records, err)
		}
	}
}

func TestHostileAnswers(t *testing.T) {
	p := serve(t, func(_ *peer, q *mdns.Msg, tcp bool) *mdns.Msg {
		name := q.Question[0].Name
		switch name {
		case "many.example.", "long.example.":
			if !tcp {
				m := reply(q, 0)
				m.Truncated = true
				return m
			}
			m := reply(q, 0)
			for i := range 3500 {
				if name == "many.example." {
					m.Answer = append(m.Answer, &mdns.A{Hdr: mdns.RR_Header{Name: name, Rrtype: mdns.TypeA, Class: 1, Ttl: 9}, A: net.IPv4(10, 0, byte(i>>8), byte(i))})
				} else if i < 1500 {
					x := fmt.Sprintf("%d.%s.%s.%[2]s.%[2]s.long.example.", i, strings.Repeat("a", 60), strings.Repeat("a", 50))
					m.Answer = append(m.Answer, &mdns.NS{Hdr: mdns.RR_Header{Name: name, Rrtype: mdns.TypeNS, Class: 1, Ttl: 9}, Ns: x})
				}
			}
			m.Compress = true
			return m
		case "chain.example.":
			m := reply(q, 0)
			for i := range 200 {
				to := fmt.Sprintf("c%d.example.", i)
				m.Answer = append(m.Answer, &mdns.CNAME{Hdr: mdns.RR_Header{Name: name, Rrtype: mdns.TypeCNAME, Class: 1, Ttl: 9}, Target: to})
				name = to
			}
			return m
		case "ttl.example.":
			return reply(q, 0, "ttl.example. 4294967295 A 192.0.2.1")
		case "other.example.": // records of other names and classes are not the answer
			return reply(q, 0, "x.example. 60 A 192.0.2.1", "other.example. 60 CH A 192.0.2.1", "other.example. 60 AAAA ::1", "example. 50 SOA ns. root. 1 2 3 4 5")
		}
		return reply(q, mdns.RcodeServerFailure)
	})
	r := ask(t, Options{Timeout: 3 * time.Second}, p)
	if a, err := r.Lookup(context.Background(), "many.example", dns.A); err != nil || len(a.Records) != 3500 {
		t.Errorf("many: %d records, %v", len(a.Records), err)
	}
	for _, name := range []string{"long.example", "chain.example"} {
		typ := dns.A
		if name == "long.example" {
			typ = dns.NS
		}
		if a, err := r.Lookup(context.Background(), name, typ); !errors.Is(err, dns.ErrTemporary) || errors.Is(err, context.DeadlineExceeded) || strings.Contains(fmt.Sprint(err), "timeout") {
			t.Errorf("%s: %d records, %v", name, len(a.Records), err)
		}
	}
	if a, err := r.Lookup(context.Background(), "ttl.example", dns.A); err != nil || a.TTL > 5*time.Second {
		t.Errorf("TTL %v, %v: want that of none (RFC 2181 §8)", a.TTL, err)
	}
	if _, err := r.Lookup(context.Background(), "other.example", dns.A); !errors.Is(err, dns.ErrNoData) {
		t.Errorf("other: %v", err)
	}
	before := p.asked.Load()
	for _, name := range []string{"", "a..b", ".a", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a"} {
		if _, err := r.Lookup(context.Background(), name, dns.A); !errors.Is(err, dns.ErrNameNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if p.asked.Load() != before {
		t.Error("a name that cannot exist is asked for")
	}
}

// TestAbandoned leaves a question before it has begun: those who wait for it
// begin it themselves.
func TestAbandoned(t *testing.T) {
	hold := make(chan struct{})
	p := serve(t, func(_ *peer, q *mdns.Msg, _ bool) *mdns.Msg {
		if q.Question[0].Name == "first.example." {
			<-hold
		}
		return reply(q, 0, q.Question[0].Name+" 60 A 192.0.2.1")
	})
	r := ask(t, Options{Concurrency: 1, Timeout: 5 * time.Second}, p)
	go func() { _, _ = r.Lookup(context.Background(), "first.example", dns.A) }()
	time.Sleep(30 * time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error, 1)
	go func() { _, err := r.Lookup(ctx, "second.example", dns.A); left <- err }()
	time.Sleep(30 * time.Millisecond)
	stayed := make(chan error, 1)
	go func() { _, err := r.Lookup(context.Background(), "second.example", dns.A); stayed <- err }()
	time.Sleep(30 * time.Millisecond)
	cancel()
	if err := <-left; !errors.Is(err, dns.ErrTemporary) || !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	close(hold)
	if err := <-stayed; err != nil {
		t.Errorf("who stayed: %v", err)
	}
}

// FuzzAnswer reads messages from anywhere.
func FuzzAnswer(f *testing.F) {
	q := new(mdns.Msg).SetQuestion("a.example.", mdns.TypeTXT)
	out, _ := q.Pack()
	for _, m := range []*mdns.Msg{
		reply(q, 0, `a.example. 60 TXT "x"`), reply(q, 3, "example. 60 SOA ns. root. 1 2 3 4 5"),
		reply(q, 0, "a.example. 60 CNAME b.example.", `b.example. 60 TXT "y"`),
	} {
		b, _ := m.Pack()
		f.Add(b[2:])
	}
	question := out[12:]
	k := key{"\x01a\x07example", mdns.TypeTXT}
	f.Fuzz(func(t *testing.T, in []byte) {
		in = append(append([]byte(nil), out[:2]...), in...)
		if answers(in, out, question) == no {
			return
		}
		m := new(mdns.Msg)
		if m.Unpack(in) != nil {
			return
		}
		a, next, err := read(m, k, true)
		n := 0
		for _, s := range a.Records {
			n += len(s)
		}
		if n > maxText || len(a.Records) > maxRecords || len(a.Extended) > 8 || a.TTL < 0 {
			t.Fatalf("%d octets, %d records, TTL %v", n, len(a.Records), a.TTL)
		}
		if (err == nil && next == "") != (len(a.Records) > 0) {
			t.Fatalf("%v, next %q, %d records", err, next, len(a.Records))
		}
		if _, ok := rr.Wire(rr.Present(next)); !ok {
			t.Fatalf("next is %q", next)
		}
	})
}
