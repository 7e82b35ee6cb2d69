package gateway

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/milter"
)

// listen puts a gateway behind a socket, and returns its address.
func (g *gate) listen(t testing.TB) string {
	t.Helper()
	address := "unix:" + filepath.Join(t.TempDir(), "milter.sock")
	ln, err := milter.Listen(address, milter.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	srv := &milter.Server{Serve: g.Serve, Offer: Offer(), OnError: func(err error) { t.Error(err) }}
	done := make(chan error, 1)
	go func() { done <- srv.Listen(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return address
}

// settled are the counters once every message is counted: that is after its
// answer is sent.
func (g *gate) settled() Stats {
	for range 200 {
		if s := g.Stats(); s.InProgress == 0 {
			return s
		}
		time.Sleep(5 * time.Millisecond)
	}
	return g.Stats()
}

func dial(t testing.TB, address string, o milter.ClientOptions) *milter.Client {
	t.Helper()
	if o.Hostname == "" {
		o.Hostname = "mx.example"
	}
	c, err := milter.Dial(context.Background(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// sent is a message for the wire.
func (m mail) sent(t testing.TB) *milter.Message {
	t.Helper()
	h, body, err := message.Read(strings.NewReader(m.text), 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	out := &milter.Message{Helo: m.helo, From: m.from, Rcpt: m.rcpt, QueueID: "4bQ1", Body: body}
	if m.client != "" {
		out.Client = netip.MustParseAddrPort(m.client)
	}
	for _, f := range h {
		out.Header = append(out.Header, milter.Field{Name: f.Name(), Value: f.RawValue()})
	}
	if len(m.macros) > 0 {
		out.Macros = map[milter.Kind]map[string]string{milter.Mail: m.macros}
	}
	return out
}

// send sends a message, and returns its outcome and how it is passed on.
func send(t testing.TB, c *milter.Client, m mail) (milter.Outcome, message.Header, string) {
	t.Helper()
	sent := m.sent(t)
	body, err := io.ReadAll(sent.Body)
	if err != nil {
		t.Fatal(err)
	}
	sent.Body = bytes.NewReader(body)
	o, err := c.Send(context.Background(), sent)
	if err != nil {
		t.Fatal(err)
	}
	sent.Body = bytes.NewReader(body)
	after := milter.Apply(*sent, o)
	raw, err := after.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	h, rest, err := message.Read(bytes.NewReader(raw), 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(rest)
	if err != nil {
		t.Fatal(err)
	}
	return o, h, string(b)
}

// TestWire: over a real socket, several messages of different fate in one
// connection, with and without the space after the colon.
func TestWire(t *testing.T) {
	g := newGate(t, zone(t, bankZone), Options{Site: Site{Mode: Enforce, OnQuarantine: "mark"}})
	address := g.listen(t)
	for _, steps := range []milter.Step{0, ^milter.LeadingSpace &^ (1 << 31)} {
		c := dial(t, address, milter.ClientOptions{Steps: steps})
		good, bad := good, bad
		good.text = signed(t, draft("info@bank.example"), "bank.example")
		bad.text = "Authentication-Results: other.example; dmarc=pass\r\nAuthentication-Results: MX.example; dmarc=pass\r\nbimi-indicator: PHN2Zz4=\r\n" + draft("info@bank.example")
		for range 2 {
			o, h, body := send(t, c, good)
			if o.Response.Do != milter.Continue || !strings.HasPrefix(h[0].Value(), "mx.example;\tspf=pass") || !strings.Contains(h.Get("Authentication-Results"), "dkim=pass") || body != good.text[strings.Index(good.text, "\r\n\r\n")+4:] {
				t.Errorf("%+v %s", o, h.Get("Authentication-Results"))
			}
			o, h, _ = send(t, c, bad)
			if !o.Quarantined() || len(h.All("Authentication-Results")) != 2 || !strings.HasPrefix(h[0].Value(), "mx.example;") || h.All("Authentication-Results")[1].Value() != "other.example; dmarc=pass" || h.Has("BIMI-Indicator") {
				t.Errorf("%+v %v", o, h)
			}
			forged := bad
			forged.text = "X-Spam-Flag: NO\r\nx-spam-flag: no\r\n" + draft("a@quiet.example")
			o, h, _ = send(t, c, forged)
			if o.Quarantined() || len(h.All("X-Spam-Flag")) != 1 || h.Get("X-Spam-Flag") != "YES" || !h[0].Is("Authentication-Results") {
				t.Errorf("%+v %v", o, h)
			}
		}
	}
	if s := g.settled(); s.InProgress != 0 || s.Panics != 0 || len(g.book.entries) != 12 {
		t.Errorf("%+v, %d entries", s, len(g.book.entries))
	}
}

// TestCrowd: many connections at once, while the site changes, each with
// messages of different fate; every answer is that of its own message.
func TestCrowd(t *testing.T) {
	g := newGate(t, &cached{zone: zone(t, bankZone)}, Options{Site: Site{Mode: Enforce}})
	address := g.listen(t)
	passing := good
	passing.text = signed(t, draft("info@bank.example"), "bank.example")
	forged := bad
	forged.text = draft("info@bank.example")
	stop := make(chan struct{})
	var reloads, sessions sync.WaitGroup
	reloads.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			if err := g.Reload(Site{Mode: Enforce, OnReject: []verdict.Action{verdict.Quarantine, verdict.Mark}[i%2]}, nil); err != nil {
				t.Error(err)
			}
		}
	})
	for range 16 {
		sessions.Go(func() {
			c, err := milter.Dial(context.Background(), address, milter.ClientOptions{Hostname: "mx.example"})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for i := range 20 {
				m, want := passing, "dmarc=pass"
				if i%3 == 1 {
					m, want = forged, "dmarc=fail"
				}
				o, err := c.Send(context.Background(), m.sent(t))
				if err != nil || len(o.Changes) == 0 || !strings.Contains(o.Changes[len(o.Changes)-1].Value+o.Changes[0].Value, want) {
					t.Errorf("%v %+v", err, o)
					return
				}
			}
		})
	}
	sessions.Wait()
	close(stop)
	reloads.Wait()
	if s := g.settled(); s.InProgress != 0 || s.Panics != 0 || len(g.book.entries) != 320 {
		t.Errorf("%+v, %d entries", s, len(g.book.entries))
	}
}
