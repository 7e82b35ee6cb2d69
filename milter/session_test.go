package milter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve runs a server on a socket until the test ends; its address is
// returned.
func serve(t testing.TB, srv *Server) string {
	t.Helper()
	address := "unix:" + filepath.Join(t.TempDir(), "s")
	ln, err := Listen(address, SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Listen(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("listen: %v", err)
		}
	})
	return address
}

func dial(t testing.TB, address string, o ClientOptions) *Client {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	c, err := Dial(context.Background(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// each makes a filter of a function that answers single events.
func each(f func(s *Session, ev Event) error) func(context.Context, *Session) error {
	return func(_ context.Context, s *Session) error {
		for {
			ev, err := s.Next()
			if err != nil {
				return err
			}
			if err := f(s, ev); err != nil {
				return err
			}
		}
	}
}

// transcript writes down what comes.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func (w *transcript) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Reset()
}

func (w *transcript) note(s *Session, ev Event) {
	switch ev.Kind {
	case Connect:
		fmt.Fprintf(w, "connect %s %c %v %s j=%s\n", ev.Host, ev.Family, ev.Addr, ev.Path, s.Macro("j"))
	case Mail, Rcpt:
		fmt.Fprintf(w, "%s %q\n", ev.Kind, ev.Args)
	case Body:
		if len(ev.Body) > 40 {
			fmt.Fprintf(w, "body %d octets\n", len(ev.Body))
		} else {
			fmt.Fprintf(w, "body %q\n", ev.Body)
		}
	case HeaderField:
		fmt.Fprintf(w, "header field %s:%q\n", ev.Name, ev.Value)
	case EndOfMessage:
		fmt.Fprintf(w, "end of message i=%s\n", s.Macro("i"))
	default:
		fmt.Fprintf(w, "%s\n", strings.TrimSpace(ev.Kind.String()+" "+ev.Name))
	}
}

func example() *Message {
	return &Message{
		Client: netip.MustParseAddrPort("192.0.2.1:34567"), Helo: "mail.example.org", From: "a@example.org", Params: []string{"SIZE=100"},
		Rcpt: []string{"b@example.jp", "c@example.jp"}, QueueID: "4Tabc",
		Header: []Field{{"From", " a@example.org"}, {"Subject", " one\r\n two"}, {"X-Tight", "none"}},
		Body:   strings.NewReader("hello\r\n"),
	}
}

const exampleSeen = `connect [192.0.2.1] 4 192.0.2.1:34567  j=localhost
helo mail.example.org
mail ["<a@example.org>" "SIZE=100"]
rcpt ["<b@example.jp>"]
rcpt ["<c@example.jp>"]
data
header field From:" a@example.org"
header field Subject:" one\n two"
header field X-Tight:"none"
end of header
body "hello\r\n"
end of message i=4Tabc
`

func TestSession(t *testing.T) {
	old := strings.NewReplacer(`:" `, `:"`).Replace(exampleSeen)
	tests := []struct {
		name    string
		options ClientOptions
		offer   Offer
		want    string
	}{
		{"version 6", ClientOptions{}, Offer{}, exampleSeen},
		{"all answered", ClientOptions{}, Offer{Answers: []Kind{Connect, Helo, Mail, Rcpt, Data, HeaderField, EndOfHeader, Body}}, exampleSeen},
		{"nothing offered", ClientOptions{Steps: 1 << 30, Version: 2}, Offer{Without: []Kind{Unknown}}, old},
		{"version 2 with no_header_reply", ClientOptions{Steps: stepV2 | NoReplyHeader, Actions: actV2, Version: 2}, Offer{}, old},
		{"unwanted events", ClientOptions{}, Offer{Without: []Kind{Helo, Data, EndOfHeader, Body}},
			strings.NewReplacer("helo mail.example.org\n", "", "data\n", "", "end of header\n", "", "body \"hello\\r\\n\"\n", "").Replace(exampleSeen)},
		{"unwanted events that come all the same", ClientOptions{Steps: 1 << 30, Version: 2}, Offer{Without: []Kind{Helo, Data, EndOfHeader, Body}},
			strings.NewReplacer("helo mail.example.org\n", "", "data\n", "", "end of header\n", "", "body \"hello\\r\\n\"\n", "").Replace(old)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var seen transcript
			address := serve(t, &Server{Offer: tt.offer, OnError: func(err error) { t.Error(err) },
				Serve: each(func(s *Session, ev Event) error {
					seen.note(s, ev)
					if ev.Kind == EndOfMessage {
						if err := s.InsertHeader(0, "X-Seen", "yes"); err != nil {
							return err
						}
					}
					return nil
				})})
			c := dial(t, address, tt.options)
			for range 2 { // a second message on the same connection
				o, err := c.Send(context.Background(), example())
				if err != nil {
					t.Fatal(err)
				}
				if o.At != EndOfMessage || o.Response.Do != Continue || len(o.Changes) != 1 {
					t.Errorf("outcome %+v", o)
				}
				m := Apply(*example(), o)
				if b, _ := m.Bytes(); !strings.HasPrefix(string(b), "X-Seen: yes\r\nFrom: a@") {
					t.Errorf("delivered %q", b)
				}
			}
			again := tt.want[strings.Index(tt.want, "mail ["):]
			if got := seen.String(); got != tt.want+again {
				t.Errorf("seen\n%s\nwant\n%s", got, tt.want+again)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 20000) // more than one frame, more than one write
	address := serve(t, &Server{Offer: Offer{Actions: actAll &^ ActSetMacros},
		Serve: each(func(s *Session, ev Event) error {
			if ev.Kind != EndOfMessage {
				if err := s.AddHeader("X", "y"); !errors.Is(err, ErrTooEarly) {
					return fmt.Errorf("at %s: %v", ev.Kind, err)
				}
				return nil
			}
			return errors.Join(
				s.DeleteHeader(1, "X-Tight"), s.ChangeHeader(1, "Subject", "three\r\n\tfour"),
				s.InsertHeader(0, "Authentication-Results", " mx; none"), s.AddHeader("X-End", ""),
				s.ReplaceBody(strings.NewReader(body)), s.Quarantine("held"),
				s.AddRcpt("d@example.jp"), s.AddRcpt("e@example.jp", "NOTIFY=NEVER"), s.DeleteRcpt("<b@example.jp>"),
				s.ChangeFrom("", "SIZE=1"), s.Progress(), s.Reply(Response{Do: Accept}))
		}), OnError: func(err error) { t.Error(err) }})
	for _, lead := range []Step{stepAll, stepAll &^ LeadingSpace} {
		o, err := dial(t, address, ClientOptions{Steps: lead}).Send(context.Background(), example())
		if err != nil {
			t.Fatal(err)
		}
		if o.Response.Do != Accept || !o.Quarantined() || o.Progress != 1 {
			t.Errorf("outcome %+v", o)
		}
		m := Apply(*example(), o)
		if m.From != "" || strings.Join(m.Rcpt, " ") != "c@example.jp d@example.jp e@example.jp" {
			t.Errorf("envelope %q %q", m.From, m.Rcpt)
		}
		got, _ := m.Bytes()
		end := "X-End:\r\n\r\n"
		if lead&LeadingSpace != 0 {
			end = "X-End: \r\n\r\n"
		}
		want := "Authentication-Results: mx; none\r\nFrom: a@example.org\r\nSubject: three\r\n\tfour\r\n" + end + body
		if string(got) != want {
			t.Errorf("delivered %.200q\nwant %.200q", got, want)
		}
	}
}

func TestReplies(t *testing.T) {
	long := strings.Repeat("x", maxReplyLine+1)
	tests := []struct {
		r    Response
		wire string // "": refused
	}{
		{Response{Code: 550, Enhanced: "5.7.26", Text: []string{"100% sure"}}, "550 5.7.26 100%% sure"},
		{Response{Do: Custom, Code: 451, Text: []string{"a", "b"}}, "451-4.7.1 a\r\n451 4.7.1 b"},
		{Response{Code: 550}, "550 5.7.1 Command rejected"},
		{Response{Code: 550, Enhanced: "4.7.1"}, ""},
		{Response{Code: 550, Enhanced: "5.7"}, ""},
		{Response{Code: 550, Enhanced: "5.07.1"}, ""},
		{Response{Code: 550, Enhanced: "5.7.1234"}, ""},
		{Response{Code: 250, Enhanced: "2.0.0"}, ""},
		{Response{Do: Custom}, ""},
		{Response{Code: 550, Text: []string{"a\r\n250 ok"}}, ""},
		{Response{Code: 550, Text: []string{"a\x00"}}, ""},
		{Response{Code: 550, Text: []string{"关"}}, ""},
		{Response{Code: 550, Text: []string{long}}, ""},
		{Response{Code: 550, Text: make([]string, 33)}, ""},
	}
	for _, tt := range tests {
		b, err := tt.r.append(nil)
		if tt.wire == "" {
			if err == nil {
				t.Errorf("%+v: %q was taken", tt.r, b)
			}
			continue
		}
		if err != nil || string(b) != tt.wire+"\x00" {
			t.Errorf("%+v: %q, %v; want %q", tt.r, b, err, tt.wire)
		}
		back, err := readReply(b)
		if err != nil || back.Code != tt.r.Code {
			t.Errorf("%q read back: %+v, %v", b, back, err)
		}
	}
}

// TestForm asks for what cannot be said: the message goes on.
func TestForm(t *testing.T) {
	address := serve(t, &Server{Offer: Offer{Actions: actAll &^ ActSetMacros}, OnError: func(err error) { t.Error(err) },
		Serve: each(func(s *Session, ev Event) error {
			if ev.Kind != EndOfMessage {
				return nil
			}
			for i, err := range []error{
				s.InsertHeader(-1, "X", "y"), s.InsertHeader(0, "", "y"), s.InsertHeader(0, "X:", "y"), s.InsertHeader(0, "X Y", "y"),
				s.InsertHeader(0, "X", "a\r\nb"), s.AddHeader("X", "a\n"), s.AddHeader("X", "a\rb"), s.AddHeader("X", "a\x00"), s.AddHeader("X", strings.Repeat("x", 70000)),
				s.ChangeHeader(0, "X", "y"), s.DeleteHeader(0, "X"), s.Quarantine(""), s.Quarantine("a\nb"), s.AddRcpt("a\r\nb"), s.ChangeFrom("a", "b\n"),
				s.Reply(Response{Code: 200}), s.Reply(Response{Do: Skip}), s.Reply(Response{Do: 'x'}),
			} {
				if !errors.Is(err, ErrForm) {
					t.Errorf("%d: %v", i, err)
				}
			}
			return s.AddHeader("X", "y")
		})})
	for range 2 {
		c := dial(t, address, ClientOptions{})
		o, err := c.Send(context.Background(), example())
		if err != nil || len(o.Changes) != 1 || o.Response.Do != Continue {
			t.Errorf("outcome %+v, %v", o, err)
		}
	}
	// Nothing that was not negotiated.
	few := serve(t, &Server{Offer: Offer{Actions: actAll &^ ActSetMacros}, OnError: func(err error) { t.Error(err) }, Serve: each(func(s *Session, ev Event) error {
		if ev.Kind != EndOfMessage {
			if err := s.Reply(Response{Do: Accept}); !errors.Is(err, ErrNoReply) {
				t.Errorf("reply at %s: %v", ev.Kind, err)
			}
			return nil
		}
		for i, err := range []error{s.ChangeHeader(1, "X", "y"), s.Quarantine("x"), s.ReplaceBody(strings.NewReader("")), s.AddRcpt("a@b"), s.AddRcpt("a@b", "c"), s.DeleteRcpt("a@b"), s.ChangeFrom("a@b")} {
			if !errors.Is(err, ErrNotOffered) {
				t.Errorf("%d: %v", i, err)
			}
		}
		if err := s.Reply(Response{Do: Accept}); err != nil {
			return err
		}
		if err := s.Reply(Response{}); !errors.Is(err, ErrAnswered) && err != nil {
			t.Errorf("second reply: %v", err)
		}
		if err := s.AddHeader("X", "y"); !errors.Is(err, ErrAnswered) {
			t.Errorf("change behind the reply: %v", err)
		}
		return nil
	})})
	if o, err := dial(t, few, ClientOptions{Actions: ActAddHeader}).Send(context.Background(), example()); err != nil || o.Response.Do != Accept {
		t.Errorf("outcome %+v, %v", o, err)
	}
}

// TestVerdicts lets the filter decide at each step.
func TestVerdicts(t *testing.T) {
	all := []Kind{Connect, Helo, Mail, Rcpt, Data, HeaderField, EndOfHeader, Body, EndOfMessage}
	for _, at := range all {
		for _, do := range []Verdict{Accept, Reject, TempFail, Discard, Skip, Custom} {
			t.Run(at.String()+" "+do.String(), func(t *testing.T) {
				faults := make(chan error, 1)
				var seen transcript
				answered := false
				address := serve(t, &Server{Offer: Offer{Answers: all}, OnError: func(err error) { t.Error(err) },
					Serve: each(func(s *Session, ev Event) error {
						seen.note(s, ev)
						if ev.Kind == at && !answered {
							answered = true
							r := Response{Do: do}
							if do == Custom {
								r = Response{Code: 550, Enhanced: "5.7.1", Text: []string{"no"}}
							}
							faults <- s.Reply(r)
						}
						return nil
					})})
				c := dial(t, address, ClientOptions{})
				m := example()
				m.Body = strings.NewReader(strings.Repeat("x", MaxChunk+5))
				o, err := c.Send(context.Background(), m)
				if err != nil {
					t.Fatal(err)
				}
				fault := <-faults
				connection := at == Connect || at == Helo
				if wrong := do == Skip && at != Body || do == Discard && connection; wrong != (fault != nil) {
					t.Errorf("reply: %v", fault)
				}
				wantAt, wantDo := at, do
				if fault != nil || do == Skip || at == Rcpt && do != Accept && do != Discard {
					wantAt, wantDo = EndOfMessage, Continue
				}
				if o.At != wantAt || o.Response.Do != wantDo {
					t.Errorf("outcome %s %s, want %s %s", o.At, o.Response.Do, wantAt, wantDo)
				}
				if do == Skip && at == Body && (!o.Skipped || strings.Contains(seen.String(), `"xxxxx"`)) {
					t.Errorf("skip was not heeded")
				}
				if connection && fault == nil && do != Skip {
					if _, err := c.Send(context.Background(), example()); !errors.Is(err, ErrEnded) {
						t.Errorf("the connection was decided on, and went on: %v", err)
					}
					return
				}
				seen.Reset()
				if o, err := c.Send(context.Background(), example()); err != nil || o.At != EndOfMessage {
					t.Errorf("next message: %+v, %v", o, err)
				}
				if !strings.HasPrefix(seen.String(), "mail [") {
					t.Errorf("next message began with %s", seen.String())
				}
			})
		}
	}
}

// raw is a connection to a server over which any octets can be sent.
func raw(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(address, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	t.Cleanup(func() { conn.Close() })
	return conn
}

func hello(steps Step) []byte {
	b, at := begin(nil, cmdNegotiate)
	return end(negotiated{6, actAll, steps}.append(b), at)
}

func frames(pairs ...string) []byte {
	var b []byte
	for _, p := range pairs {
		b = AppendFrame(b, p[0], p[1:])
	}
	return b
}

func TestConnect(t *testing.T) {
	for in, want := range map[string]string{
		"h.example\x004\x01\x02192.0.2.1\x00":  "h.example 4 192.0.2.1:258",
		"h\x006\x00\x19IPv6:2001:db8::1\x00":   "h 6 [2001:db8::1]:25",
		"h\x006\x00\x19ipv6:2001:db8::1\x00":   "h 6 [2001:db8::1]:25",
		"h\x006\x00\x19fe80::1%eth0\x00":       "h 6 [fe80::1]:25",
		"h\x006\x00\x19::ffff:192.0.2.1\x00":   "h 6 192.0.2.1:25",
		"h\x004\x00\x19192.0.2.1":              "h 4 192.0.2.1:25",
		"h\x004\x00\x19unknown\x00":            "h 4 invalid AddrPort",
		"\x00U":                                " U invalid AddrPort",
		"localhost\x00L\x00\x00/var/run/s\x00": "localhost L invalid AddrPort /var/run/s",
		"localhost\x00L/var/run/s\x00":         "localhost L invalid AddrPort /var/run/s",
		"localhost\x00L\x00":                   "localhost L invalid AddrPort",
		"localhost\x00L":                       "localhost L invalid AddrPort",
	} {
		ev, err := readConnect([]byte(in), 100)
		got := strings.TrimRight(fmt.Sprintf("%s %c %v %s", ev.Host, ev.Family, ev.Addr, ev.Path), " ")
		if err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", in, got, err, want)
		}
	}
}

// TestOrder sends frames in unusual orders.
func TestOrder(t *testing.T) {
	const mail, rcpt, field = "M<a@b>\x00", "R<c@d>\x00", "LX\x00y\x00"
	tests := []struct {
		name string
		in   []string
		want string // the events; "!" is a breach
	}{
		{"MAIL ends what was", []string{"Hx\x00", mail, rcpt, mail, "E"}, "helo x|mail|rcpt|abort|mail|end of message"},
		{"HELO ends what was", []string{mail, "Hx\x00", mail}, "mail|abort|helo x|mail"},
		{"abort", []string{"A", mail, "A", "A", mail, "E", "A"}, "mail|abort|mail|end of message"},
		{"new connection", []string{"Ch\x00U", mail, "K", "Cg\x00U"}, "connect|mail|abort|connect"},
		{"two connects", []string{"Ch\x00U", "Ch\x00U"}, "connect|!"},
		{"unknown command", []string{"UXYZ\x00", mail, "UXYZ\x00", rcpt}, "unknown command XYZ|mail|unknown command XYZ|rcpt"},
		{"body with the end", []string{mail, "Bab", "Ecd"}, "mail|body|body|end of message"},
		{"no MAIL", []string{rcpt}, "!"},
		{"body before header", []string{mail, "Bx", field}, "mail|body|!"},
		{"two ends of header", []string{mail, "N", "N"}, "mail|end of header|!"},
		{"two DATA", []string{mail, "T", "T"}, "mail|data|!"},
		{"rcpt after DATA", []string{mail, "T", rcpt}, "mail|data|!"},
		{"a letter that is none", []string{"z"}, "!"},
		{"second negotiation", []string{mail, string(hello(0)[4:])}, "mail|!"},
		{"no family", []string{"Ch\x00"}, "!"},
		{"no address", []string{"Ch\x004\x00\x01x\x00"}, "connect"},
		{"no port", []string{"Ch\x004\x00"}, "!"},
		{"unknown family", []string{"Ch\x00x"}, "!"},
		{"mail without end", []string{"M<a@b>"}, "!"},
		{"field without end", []string{mail, "LX\x00y"}, "mail|!"},
		{"field without value", []string{mail, "LX\x00"}, "mail|!"},
		{"field with NUL", []string{mail, "LX\x00y\x00z\x00"}, "mail|!"},
		{"field without name", []string{mail, "L\x00y\x00"}, "mail|!"},
		{"empty field", []string{mail, "LX\x00\x00"}, "mail|header field"},
		{"macros for nothing", []string{"D"}, "!"},
		{"macros without end", []string{"DMi\x00x"}, "!"},
		{"odd macros", []string{"DMi\x00", mail}, "mail"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			ended := make(chan error, 1)
			srv := &Server{Serve: func(_ context.Context, s *Session) error {
				for {
					ev, err := s.Next()
					if err != nil {
						ended <- err
						return err
					}
					what := ev.Kind.String()
					if ev.Kind == Helo || ev.Kind == Unknown {
						what += " " + ev.Name
					}
					got = append(got, what)
				}
			}}
			conn := raw(t, serve(t, srv))
			conn.Write(append(hello(stepAll), frames(append(tt.in, "Q")...)...))
			err := <-ended
			var p *ProtocolError
			if errors.As(err, &p) {
				got = append(got, "!")
			} else if !errors.Is(err, io.EOF) {
				t.Errorf("ended with %v", err)
			}
			if s := strings.Join(got, "|"); s != tt.want {
				t.Errorf("events %s, want %s (%v)", s, tt.want, err)
			}
		})
	}
}

// TestNegotiation checks the answers to offers.
func TestNegotiation(t *testing.T) {
	o := Offer{Actions: actAll &^ ActSetMacros, Without: []Kind{Helo, Data}, Answers: []Kind{Body}}
	for _, tt := range []struct{ peer, want negotiated }{
		{negotiated{6, actAll, stepAll}, negotiated{6, actAll &^ ActSetMacros, NoHelo | NoData | NoReplyConnect | NoReplyHelo | NoReplyMail | NoReplyRcpt | NoReplyData | NoReplyHeader | NoReplyEOH | NoReplyUnknown | CanSkip | LeadingSpace}},
		{negotiated{2, 0, 0}, negotiated{2, ActAddHeader | ActChangeBody | ActAddRcpt | ActDeleteRcpt, NoHelo}},
		{negotiated{7, 1 << 31, 1 << 31}, negotiated{6, 0, 0}},
		{negotiated{4, ActQuarantine, NoReplyHeader}, negotiated{4, ActQuarantine, NoReplyHeader}},
	} {
		if got := o.wanted().meet(tt.peer.offers()); got != tt.want {
			t.Errorf("%+v: %+v, want %+v", tt.peer, got, tt.want)
		}
	}
	for _, bad := range []Offer{{Actions: 1 << 20}, {Without: []Kind{EndOfMessage}}, {Without: []Kind{Abort}}, {Answers: []Kind{Abort}},
		{Macros: map[Kind][]string{Body: {"i"}}}, {Macros: map[Kind][]string{Mail: {"a b"}}}, {Macros: map[Kind][]string{Mail: {""}}}} {
		if bad.check() == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if b, _ := begin(nil, cmdNegotiate); true {
		if _, _, err := readNegotiation(negotiated{1, 0, 0}.append(b)[lead:]); err == nil {
			t.Error("version 1 was taken")
		}
	}
}

// TestNewConnection has several clients' messages on one connection.
func TestNewConnection(t *testing.T) {
	var connects, messages int
	ended := make(chan struct{})
	address := serve(t, &Server{Serve: func(_ context.Context, s *Session) error {
		defer close(ended)
		for {
			ev, err := s.Next()
			if err != nil {
				return err
			}
			switch {
			case ev.Kind == Connect:
				connects++
			case ev.Kind == EndOfMessage:
				messages++
				if messages == 3 {
					s.Reply(Response{Do: Accept})
				}
			}
		}
	}})
	c := dial(t, address, ClientOptions{})
	for i := range 4 {
		m := example()
		m.Client = netip.AddrPortFrom(m.Client.Addr(), uint16(i+1))
		if _, err := c.Send(context.Background(), m); (i == 3) != errors.Is(err, ErrEnded) {
			t.Errorf("message %d: %v", i, err)
		}
	}
	<-ended
	if connects != 3 || messages != 3 {
		t.Errorf("%d connects, %d messages", connects, messages)
	}
}

func TestMacros(t *testing.T) {
	var m macros
	at := func(want string) {
		t.Helper()
		got := m.get("j") + "," + m.get("{tls_version}") + "," + m.get("i") + "," + m.get("auth_authen") + "," + m.get("rcpt_addr")
		if got != want {
			t.Errorf("macros %s, want %s", got, want)
		}
	}
	def := func(s string) {
		t.Helper()
		if err := m.define([]byte(s), 100); err != nil {
			t.Fatal(err)
		}
	}
	def("Cj\x00mx\x00")
	def("H{tls_version}\x00TLSv1.3\x00")
	def("M{auth_authen}\x00alice\x00")
	def("R{rcpt_addr}\x00a\x00i\x001\x00")
	at("mx,TLSv1.3,1,alice,a")
	def("R{rcpt_addr}\x00b\x00")
	at("mx,TLSv1.3,,alice,b")
	def("Ei\x002\x00")
	m.stale = true // the message is over; its macros can still be asked for
	at("mx,TLSv1.3,2,alice,b")
	def("R{rcpt_addr}\x00c\x00") // of the next one, whose MAIL had none
	at("mx,TLSv1.3,,,c")
	def("Mi\x003\x00")
	at("mx,TLSv1.3,3,,")
	def("H{tls_version}\x00\x00")
	at("mx,,3,,")
	def("Cj\x00other\x00")
	at("other,,,,")
	if err := m.define([]byte("Mx\x00"+strings.Repeat("y", 100)+"\x00"), 100); err == nil {
		t.Error("more macros than the limit were taken")
	}
}

func TestMacroLists(t *testing.T) {
	got := make(chan string, 1)
	address := serve(t, &Server{Offer: Offer{Macros: map[Kind][]string{Mail: {"auth_authen", "{auth_type}"}, EndOfMessage: {"i"}}},
		Serve: each(func(s *Session, ev Event) error {
			if ev.Kind == EndOfMessage {
				got <- s.Macro("auth_authen") + "," + s.Macro("mail_addr") + "," + s.Macro("i") + "," + s.Macro("rcpt_addr")
			}
			return nil
		})})
	m := example()
	m.Macros = map[Kind]map[string]string{Mail: {"auth_authen": "alice"}}
	if _, err := dial(t, address, ClientOptions{}).Send(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "alice,,4Tabc,c@example.jp" {
		t.Errorf("macros %s", s)
	}
}
