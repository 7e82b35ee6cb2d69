//go:build unix

package arrival

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"sekimori/internal/mailserver"
)

// lies are what the name server of TestDNS does with a question in whose name
// the word stands.
var lies = map[string]func(w mdns.ResponseWriter, q, truth *mdns.Msg){
	"silence": func(mdns.ResponseWriter, *mdns.Msg, *mdns.Msg) {},
	"slow": func(w mdns.ResponseWriter, _, truth *mdns.Msg) {
		time.Sleep(5 * time.Second)
		_ = w.WriteMsg(truth)
	},
	"trouble":        rcode(mdns.RcodeServerFailure),
	"notimplemented": rcode(mdns.RcodeNotImplemented),
	"formerr":        rcode(mdns.RcodeFormatError),
	"turnedaway":     rcode(mdns.RcodeRefused),
	"wrongid": func(w mdns.ResponseWriter, _, truth *mdns.Msg) {
		truth.Id++
		_ = w.WriteMsg(truth)
	},
	"othername": func(w mdns.ResponseWriter, _, truth *mdns.Msg) {
		truth.Question[0].Name = "other." + truth.Question[0].Name
		_ = w.WriteMsg(truth)
	},
	"truncated": func(w mdns.ResponseWriter, _, truth *mdns.Msg) {
		truth.Truncated, truth.Answer = true, nil // and nobody answers over TCP
		_ = w.WriteMsg(truth)
	},
	"garbage": func(w mdns.ResponseWriter, q, _ *mdns.Msg) {
		_, _ = w.Write([]byte{byte(q.Id >> 8), byte(q.Id), 0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, 0, 0xc0, 0x0c})
	},
	"cut": func(w mdns.ResponseWriter, _, truth *mdns.Msg) {
		if wire, err := truth.Pack(); err == nil {
			_, _ = w.Write(wire[:len(wire)-3])
		}
	},
}

func rcode(code int) func(mdns.ResponseWriter, *mdns.Msg, *mdns.Msg) {
	return func(w mdns.ResponseWriter, q, _ *mdns.Msg) { _ = w.WriteMsg(new(mdns.Msg).SetRcode(q, code)) }
}

// liar is a name server that would know everything about every domain: SPF
// that fails for the client, and DMARC that says reject.
func liar(t *testing.T) string {
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mdns.Server{PacketConn: pc, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		truth := new(mdns.Msg).SetReply(q)
		truth.RecursionAvailable = true
		name := q.Question[0].Name
		if q.Question[0].Qtype == mdns.TypeTXT {
			text := "v=spf1 ip4:" + bankMail + " -all"
			if strings.HasPrefix(strings.ToLower(name), "_dmarc.") {
				text = "v=DMARC1; p=reject"
			}
			truth.Answer = []mdns.RR{&mdns.TXT{Hdr: mdns.RR_Header{Name: name, Rrtype: mdns.TypeTXT, Class: mdns.ClassINET, Ttl: 60}, Txt: []string{text}}}
		}
		for word, lie := range lies {
			if strings.Contains(strings.ToLower(name), word) {
				go lie(w, q, truth)
				return
			}
		}
		_ = w.WriteMsg(truth)
	})}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown() })
	return pc.LocalAddr().String()
}

// TestDNS has the DNS fail in all ways. No message is refused or held for it:
// it is delivered, or asked for again where the site wants that.
func TestDNS(t *testing.T) {
	t.Parallel()
	w := here(t)
	lying := liar(t)
	closed, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down := closed.LocalAddr().String()
	closed.Close()
	var wg sync.WaitGroup
	for name, resolver := range map[string]string{"lying": lying, "down": down} {
		for _, way := range []string{"accept", "tempfail"} {
			g := w.gates[name+"-"+way]
			g.resolver = resolver
			if err := g.configure("  mode: enforce\n  on_reject: refuse\n  on_trouble: " + way + "\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := g.start(); err != nil {
				t.Fatal(err)
			}
			defer g.kill()
			words := []string{"down"}
			if name == "lying" {
				words = nil
				for word := range lies {
					words = append(words, word)
				}
			}
			for _, word := range words {
				wg.Go(func() {
					began := time.Now()
					l := compose("dns-"+word, "a@"+word+".example").signed(word+".example", "r").from(mallory, "a@"+word+".example")
					r, err := w.postfix.Send(g.name, l)
					if err != nil {
						t.Errorf("%s %s: %v", g.name, word, err)
						return
					}
					took := time.Since(began)
					if way == "tempfail" {
						if r.Code/100 != 4 && word != "slow" {
							t.Errorf("%s %s: %s", g.name, word, r)
						}
						if r.Code/100 == 4 && !strings.HasPrefix(r.Lines[0], "4.4.3 ") {
							t.Errorf("%s %s: %s", g.name, word, r)
						}
						t.Logf("%s %s: %s after %s", g.name, word, r, took)
						return
					}
					if r.Code != 250 {
						t.Errorf("%s %s: %s after %s", g.name, word, r, took)
						return
					}
					place, text, err := w.postfix.Await(r.ID(), 10*time.Second)
					if err != nil || place != mailserver.InInbox {
						t.Errorf("%s %s: %s, %v", g.name, word, place, err)
						return
					}
					field, err := said(text)
					if err != nil || strings.Contains(field, "fail") || !strings.Contains(field, "spf=temperror") || !strings.Contains(field, "dmarc=temperror") {
						t.Errorf("%s %s: %s %v", g.name, word, field, err)
					}
					t.Logf("%s %s: %s after %s", g.name, word, field, took)
				})
			}
		}
	}
	wg.Wait()
}

// TestDiskFull fills the disk under the verdicts. Mail flows on, and what was
// decided meanwhile is written when there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	w := here(t)
	g := w.gates["full"]
	if err := g.configure("  mode: enforce\n"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(g.data(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", g.data(), "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	defer func() { _ = syscall.Unmount(g.data(), syscall.MNT_DETACH) }()
	if _, err := g.start(); err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	w.flow(t, g, "full-before", 20)
	ballast := fill(t, g.data())
	w.flow(t, g, "full-during", 60)
	time.Sleep(1500 * time.Millisecond)
	w.flow(t, g, "full-still", 20)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	w.flow(t, g, "full-after", 20)
	g.awaitCount(t, "bank.example", 120, 10*time.Second)
	// Once more, and the gateway starts while there is no room.
	ballast = fill(t, g.data())
	if err := g.stop(); err != nil {
		t.Errorf("stopped: %v", err)
	}
	if d, err := g.start(); err != nil || d > time.Second {
		t.Fatalf("started on a full disk after %s: %v", d, err)
	}
	w.flow(t, g, "full-started", 20)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	g.awaitCount(t, "bank.example", 140, 10*time.Second)
}

// fill writes a file until the disk is full.
func fill(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 4 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	return path
}

// flow sends messages through a gateway; each has to be delivered.
func (w *world) flow(t *testing.T, g *gate, name string, messages int) {
	t.Helper()
	accepted := map[string]string{}
	c, err := mailserver.Dial(w.postfix.Address(g.name))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range messages {
		id := fmt.Sprintf("%s-%d", name, i)
		l := compose(id, atBank).from(bankMail, atBank)
		if i == 0 {
			if err := c.Introduce(l); err != nil {
				t.Fatal(err)
			}
		}
		r, err := c.Mail(l)
		if err != nil || r.Code != 250 {
			t.Fatalf("%s: %s, %v: %s", id, r, err, g.log())
		}
		accepted[r.ID()] = id
	}
	for id, m := range accepted {
		if place, _, err := w.postfix.Await(id, 10*time.Second); err != nil || place != mailserver.InInbox {
			t.Errorf("%s: %s, %v", m, place, err)
		}
	}
	w.onceEach(t, name+"-", accepted)
}
