package milter

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// typical is a message of some 10 KB with 20 fields.
func typical() (*Message, []byte) {
	m := &Message{Client: netip.MustParseAddrPort("192.0.2.1:34567"), Helo: "mail.example.org", From: "a@example.org", Rcpt: []string{"b@example.jp"}, QueueID: "4T1"}
	for range 20 {
		m.Header = append(m.Header, Field{"X-Field", " " + strings.Repeat("x", 70) + "\n\t" + strings.Repeat("y", 30)})
	}
	return m, bytes.Repeat([]byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n"), 8192/64)
}

// BenchmarkSession sends messages over one connection, to a filter that adds a
// field.
func BenchmarkSession(b *testing.B) {
	serveOne := each(func(s *Session, ev Event) error {
		if ev.Kind == EndOfMessage {
			return s.InsertHeader(0, "Authentication-Results", "mx.example.jp; spf=pass smtp.mailfrom=example.org")
		}
		return nil
	})
	run := func(b *testing.B, c *Client) {
		m, body := typical()
		r := bytes.NewReader(nil)
		m.Body = r
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			r.Reset(body)
			if _, err := c.Send(context.Background(), m); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("unix", func(b *testing.B) {
		run(b, dial(b, serve(b, &Server{Serve: serveOne}), ClientOptions{}))
	})
	b.Run("pipe", func(b *testing.B) {
		near, far := net.Pipe()
		srv := &Server{Serve: serveOne}
		srv.start()
		srv.slots <- struct{}{}
		srv.add(far)
		c, err := NewClient(near, ClientOptions{})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		run(b, c)
	})
	b.Run("all answered", func(b *testing.B) {
		all := Offer{Answers: []Kind{Connect, Helo, Mail, Rcpt, Data, HeaderField, EndOfHeader, Body}}
		run(b, dial(b, serve(b, &Server{Serve: serveOne, Offer: all}), ClientOptions{}))
	})
}

// memory is a connection whose other end was written before, over and over.
type memory struct {
	net.Conn
	in   []byte
	left []byte
}

// BenchmarkFrames is the server's side alone: frames in, events out.
func BenchmarkFrames(b *testing.B) {
	m, body := typical()
	in := frames("DMi\x001\x00", "M<a@example.org>\x00SIZE=100\x00", "DRi\x001\x00", "R<b@example.jp>\x00", "T")
	for _, f := range m.Header {
		in = AppendFrame(in, cmdHeader, f.Name, "\x00", f.Value, "\x00")
	}
	in = append(in, frames("N")...)
	in = AppendFrame(in, cmdEndOfBody, body)
	srv := &Server{Serve: each(nil)}
	srv.start()
	s := &Session{srv: srv, conn: nothing{}}
	s.in = inflow{chunks: &srv.chunks, limit: srv.limits.Frame, idle: srv.limits.Idle, read: srv.limits.Read, conn: &memory{Conn: nothing{}, in: in}}
	s.terms = srv.wish
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		for {
			ev, err := s.Next()
			if err != nil {
				b.Fatal(err)
			}
			if ev.Kind == EndOfMessage {
				break
			}
		}
	}
}

func (m *memory) Read(p []byte) (int, error) {
	if len(m.left) == 0 {
		m.left = m.in
	}
	n := copy(p, m.left)
	m.left = m.left[n:]
	return n, nil
}

// nothing takes all and has nothing.
type nothing struct{ net.Conn }

func (nothing) Write(p []byte) (int, error)      { return len(p), nil }
func (nothing) SetReadDeadline(time.Time) error  { return nil }
func (nothing) SetWriteDeadline(time.Time) error { return nil }
func (nothing) Close() error                     { return nil }
