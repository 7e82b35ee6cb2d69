package milter

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// FuzzSession sends any octets into a server's session: it ends, nothing
// panics, events come in their order, and nothing larger than the limits is
// ever held.
func FuzzSession(f *testing.F) {
	f.Add(append(hello(stepAll), frames("DCj\x00mx\x00", "Ch\x004\x00\x01192.0.2.1\x00", "Hx\x00", "DMi\x001\x00", "M<a@b>\x00SIZE=1\x00", "R<c@d>\x00", "T",
		"LSubject\x00 x\n y\x00", "N", "Bxx", "Eyy", "M<>\x00", "A", "K", "C\x00L\x00\x00/x\x00", "UXX\x00", "Q")...))
	f.Add(append(hello(0), frames("M<a@b>\x00", "M<a@b>\x00", "Hx\x00", "E")...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 'O'})
	f.Fuzz(func(t *testing.T, in []byte) {
		srv := &Server{Limits: Limits{Frame: MaxChunk, Args: 1000, Macros: 1000}, Offer: Offer{Actions: actAll, Answers: []Kind{Mail, Body}}}
		ended := make(chan error, 1)
		srv.Serve = func(_ context.Context, s *Session) error {
			var last Kind
			for {
				ev, err := s.Next()
				if err != nil {
					if _, again := s.Next(); again == nil {
						t.Error("a session went on behind its end")
					}
					ended <- err
					return err
				}
				switch {
				case ev.Kind == Mail && last >= Mail && last < EndOfMessage,
					ev.Kind >= Rcpt && ev.Kind <= Abort && (last < Mail || last >= EndOfMessage || ev.Kind < last):
					t.Errorf("%s after %s", ev.Kind, last)
				}
				if ev.Kind != Unknown {
					last = ev.Kind
				}
				if len(s.in.buf) > len(chunk{})*2 || s.macros.size > 1000 || s.macros.size < 0 || len(ev.Value) > MaxChunk {
					t.Errorf("holds %d octets of buffer, %d of macros", len(s.in.buf), s.macros.size)
				}
				s.Macro("i")
				if ev.Kind == EndOfMessage {
					s.InsertHeader(0, "X", s.Macro("i"))
					s.Quarantine(ev.Kind.String())
				}
				if len(ev.Body)%3 == 1 {
					s.Reply(Response{Do: Skip})
				}
			}
		}
		near, far := net.Pipe()
		srv.start()
		srv.slots <- struct{}{}
		if !srv.add(far) {
			t.Fatal("not added")
		}
		near.SetDeadline(time.Now().Add(10 * time.Second))
		go io.Copy(io.Discard, near)
		near.Write(in)
		near.Close()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			buf := make([]byte, 1<<16)
			t.Fatalf("the session does not end\n%s", buf[:runtime.Stack(buf, true)])
		}
	})
}

// FuzzNegotiation reads both sides' negotiations.
func FuzzNegotiation(f *testing.F) {
	f.Add(hello(stepAll)[lead:])
	f.Add(append(hello(0)[lead:], "\x00\x00\x00\x00j {x}\x00\x00\x00\x00\x05i\x00"...))
	f.Fuzz(func(t *testing.T, in []byte) {
		peer, rest, err := readNegotiation(in)
		if err != nil {
			return
		}
		o := Offer{Actions: actAll, Macros: map[Kind][]string{Mail: {"i"}}}
		met := o.wanted().meet(peer)
		if met.actions&^peer.actions != 0 || met.steps&^peer.steps != 0 || met.version > peer.version || met.version > 6 || met.version < 2 {
			t.Errorf("%+v of %+v", met, peer)
		}
		lists, err := readMacroLists(rest)
		if err != nil {
			return
		}
		back, err := readMacroLists((&Offer{Macros: lists}).appendMacroLists(nil))
		if err != nil {
			t.Errorf("%q: %v", lists, err)
		}
		for k := range back {
			if strings.Join(back[k], " ") != strings.Join(lists[k], " ") {
				t.Errorf("%q became %q", lists, back)
			}
		}
	})
}

// FuzzMacros defines macros from any octets.
func FuzzMacros(f *testing.F) {
	f.Add([]byte("Ci\x00x\x00{auth_authen}\x00y\x00"), "auth_authen")
	f.Add([]byte("E\x00\x00\x00"), "{}")
	f.Fuzz(func(t *testing.T, in []byte, name string) {
		var m macros
		for range 2 {
			if err := m.define(in, 100); err != nil && len(in) < 100 && m.size > 100 {
				t.Errorf("%v at %d octets", err, m.size)
			}
			if v := m.get(name); len(v) > len(in) {
				t.Errorf("%q of %q", v, in)
			}
		}
		m.forget(stageConnect)
		if m.size != 0 || m.get(name) != "" {
			t.Errorf("left %d octets", m.size)
		}
	})
}

// FuzzReply makes replies of any text, and reads any as the MTA.
func FuzzReply(f *testing.F) {
	f.Add(550, "5.7.1", "100%", []byte("550 5.7.1 x\x00"))
	f.Add(451, "", "", []byte("451-4.7.1 a\r\n451 4.7.1 b%%\x00"))
	f.Fuzz(func(t *testing.T, code int, enhanced, text string, wire []byte) {
		_, _ = readReply(wire)
		_, _ = readChange('m', wire)
		_, _ = readChange('e', wire)
		r := Response{Code: code, Enhanced: enhanced, Text: []string{text, text}}
		b, err := r.append(nil)
		if err != nil {
			return
		}
		if bytes.Count(b, []byte("\n")) != 1 || bytes.IndexByte(b, 0) != len(b)-1 {
			t.Errorf("%q", b)
		}
		back, err := readReply(b)
		if err != nil || back.Code != code || back.Text[0] != text || back.Text[1] != text || enhanced != "" && back.Enhanced != enhanced {
			t.Errorf("%+v became %q, %+v, %v", r, b, back, err)
		}
	})
}

// FuzzFieldValue finds nothing that ends a field.
func FuzzFieldValue(f *testing.F) {
	f.Add("a\r\n b")
	f.Fuzz(func(t *testing.T, in string) {
		out, err := fieldValue(in)
		if err == nil && (strings.ContainsAny(out, "\r\x00") || strings.HasSuffix(out, "\n") ||
			strings.Count(out, "\n") != strings.Count(out, "\n ")+strings.Count(out, "\n\t")) {
			t.Errorf("%q became %q", in, out)
		}
	})
}

// FuzzReadFrame reads frames from any octets.
func FuzzReadFrame(f *testing.F) {
	f.Add(frames("Bxyz"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		var buf []byte
		for {
			code, data, err := ReadFrame(r, buf, 1000)
			if len(data) > 1000 {
				t.Errorf("%d octets", len(data))
			}
			if err != nil {
				return
			}
			if again := AppendFrame(nil, code, data); !bytes.Contains(in, again) {
				t.Errorf("%q", again)
			}
			buf = data
		}
	})
}

// FuzzClient lets a filter answer anything: the client ends.
func FuzzClient(f *testing.F) {
	b, at := begin(nil, cmdNegotiate)
	b = end(negotiated{6, actAll &^ ActSetMacros, 0}.append(b), at)
	f.Add(append(b, frames("c", "c", "c", "c", "c", "c", "c", "c", "c", "c", "i\x00\x00\x00\x00X\x00y\x00", "p", "y550 5.7.1 x\x00")...))
	f.Fuzz(func(t *testing.T, in []byte) {
		near, far := net.Pipe()
		go func() { io.Copy(io.Discard, far) }()
		go func() { far.Write(in); far.Close() }()
		c, err := NewClient(near, ClientOptions{Timeout: 5 * time.Second, MaxReply: 1000})
		if err != nil {
			near.Close()
			return
		}
		defer c.Close()
		for range 3 {
			o, err := c.Send(context.Background(), example())
			if err != nil {
				var timeout net.Error
				if errors.As(err, &timeout) && timeout.Timeout() {
					t.Error(err)
				}
				return
			}
			m := Apply(*example(), o)
			if _, err := m.Bytes(); err != nil {
				t.Error(err)
			}
		}
	})
}
