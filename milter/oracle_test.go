package milter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	oracle "github.com/emersion/go-milter"
)

// TestOracleClient lets another implementation's client talk to our server.
func TestOracleClient(t *testing.T) {
	const noReplies = oracle.OptNoHeaderReply | oracle.OptNoConnReply | oracle.OptNoHeloReply | oracle.OptNoMailReply | oracle.OptNoRcptReply |
		oracle.OptNoDataReply | oracle.OptNoUnknownReply | oracle.OptNoEOHReply | oracle.OptNoBodyReply
	for _, tt := range []struct {
		name string
		mask oracle.OptProtocol
	}{
		{"nothing", 0},
		{"no header reply", oracle.OptNoHeaderReply},
		{"no replies", noReplies},
		{"all", noReplies | oracle.OptHeaderLeadingSpace | oracle.OptSkip},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen transcript
			address := serve(t, &Server{Offer: Offer{Actions: actAll &^ ActSetMacros}, OnError: func(err error) { t.Error(err) },
				Serve: each(func(s *Session, ev Event) error {
					seen.note(s, ev)
					if ev.Kind != EndOfMessage {
						return nil
					}
					return errors.Join(s.InsertHeader(1, "X-In", "one"), s.ChangeHeader(2, "Subject", ""), s.AddHeader("X-Add", "two\r\n three"),
						s.ReplaceBody(strings.NewReader("new")), s.Quarantine("because"), s.AddRcpt("x@y"), s.DeleteRcpt("b@example.jp"), s.ChangeFrom("f@g"),
						s.Progress(), s.Reply(Response{Code: 451, Enhanced: "4.7.0", Text: []string{"later", "or never"}}))
				})})
			c := oracle.NewClientWithOptions("unix", strings.TrimPrefix(address, "unix:"), oracle.ClientOptions{
				ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
				ActionMask:   oracle.OptAddHeader | oracle.OptChangeBody | oracle.OptAddRcpt | oracle.OptRemoveRcpt | oracle.OptChangeHeader | oracle.OptQuarantine | oracle.OptChangeFrom | oracle.OptAddRcptWithArgs,
				ProtocolMask: tt.mask})
			s, err := c.Session()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for round := range 2 {
				seen.Reset()
				check := func(a *oracle.Action, err error) {
					t.Helper()
					if err != nil || a.Code != oracle.ActContinue {
						t.Fatalf("%+v, %v", a, err)
					}
				}
				lead := ""
				if s.ProtocolOption(oracle.OptHeaderLeadingSpace) {
					lead = " "
				}
				if round == 0 {
					if err := s.Macros(oracle.CodeConn, "j", "mx"); err != nil {
						t.Fatal(err)
					}
					check(s.Conn("h", oracle.FamilyInet6, 25, "2001:db8::1"))
					check(s.Helo("helo"))
				}
				check(s.Mail("a@example.org", []string{"SIZE=1"}))
				check(s.Rcpt("b@example.jp", nil))
				check(s.HeaderField("Subject", lead+"x\n y"))
				check(s.HeaderEnd())
				check(s.BodyChunk(bytes.Repeat([]byte("x"), MaxChunk)))
				check(s.BodyChunk([]byte("y")))
				if err := s.Macros(oracle.CodeEOB, "i", "77"); err != nil {
					t.Fatal(err)
				}
				mods, a, err := s.End()
				if err != nil {
					t.Fatal(err)
				}
				want := "connect h 6 [2001:db8::1]:25  j=mx\nhelo helo\n"
				if round == 1 {
					want = ""
				}
				want += "mail [\"<a@example.org>\" \"SIZE=1\"]\nrcpt [\"<b@example.jp>\"]\nheader field Subject:\"" + lead + "x\\n y\"\nend of header\nbody 65535 octets\nbody \"y\"\nend of message i=77\n"
				if seen.String() != want {
					t.Errorf("seen\n%s\nwant\n%s", seen.String(), want)
				}
				if a.Code != oracle.ActReplyCode || a.SMTPCode != 451 || a.SMTPText != "4.7.0 later\r\n451 4.7.0 or never" {
					t.Errorf("answer %+v", a)
				}
				var got []string
				for _, m := range mods {
					got = append(got, fmt.Sprintf("%c %d %s=%q %s%s%s %q", m.Code, m.HeaderIndex, m.HeaderName, m.HeaderValue, m.Rcpt, m.From, m.Reason, m.Body))
				}
				wantMods := []string{`i 1 X-In="` + lead + `one"  ""`, `m 2 Subject=""  ""`, `h 0 X-Add="` + lead + `two\n three"  ""`, `b 0 =""  "new"`,
					`q 0 =""  because ""`, `+ 0 ="" <x@y> ""`, `- 0 ="" <b@example.jp> ""`, `e 0 ="" <f@g> ""`}
				g, w := strings.Join(got, "\n"), strings.Join(wantMods, "\n")
				if strings.Join(strings.Fields(g), " ") != strings.Join(strings.Fields(w), " ") {
					t.Errorf("changes\n%s\nwant\n%s", g, w)
				}
			}
		})
	}
}

// recorder is a filter of the other implementation.
type recorder struct {
	oracle.NoOpMilter
	mu   *sync.Mutex
	seen *strings.Builder
}

func (r recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.seen, format+"\n", args...)
}

func (r recorder) Connect(host, family string, port uint16, addr net.IP, m *oracle.Modifier) (oracle.Response, error) {
	r.note("connect %s %s %d %s j=%s", host, family, port, addr, m.Macros["j"])
	return oracle.RespContinue, nil
}

func (r recorder) Helo(name string, m *oracle.Modifier) (oracle.Response, error) {
	r.note("helo %s", name)
	return oracle.RespContinue, nil
}

func (r recorder) MailFrom(from string, m *oracle.Modifier) (oracle.Response, error) {
	r.note("mail %s", from)
	return oracle.RespContinue, nil
}

func (r recorder) RcptTo(to string, m *oracle.Modifier) (oracle.Response, error) {
	r.note("rcpt %s i=%s", to, m.Macros["i"])
	return oracle.RespContinue, nil
}

func (r recorder) Header(name, value string, m *oracle.Modifier) (oracle.Response, error) {
	r.note("header %s:%q", name, value)
	return oracle.RespContinue, nil
}

func (r recorder) BodyChunk(b []byte, m *oracle.Modifier) (oracle.Response, error) {
	r.note("body %d", len(b))
	return oracle.RespContinue, nil
}

func (r recorder) Body(m *oracle.Modifier) (oracle.Response, error) {
	for _, err := range []error{m.InsertHeader(0, "X-In", "one"), m.ChangeHeader(1, "Subject", ""), m.AddHeader("X-Add", "two"),
		m.ReplaceBody([]byte("new")), m.Quarantine("because"), m.AddRecipient("<x@y>"), m.DeleteRecipient("<b@example.jp>"), m.ChangeFrom("f@g")} {
		if err != nil {
			return nil, err
		}
	}
	r.note("end i=%s", m.Macros["i"])
	return oracle.RespAccept, nil
}

// TestOracleServer lets our client talk to another implementation's server,
// which answers at every step, speaks version 2 and does not take the end of a
// body along with its last piece.
func TestOracleServer(t *testing.T) {
	for _, protocol := range []oracle.OptProtocol{0, oracle.OptNoData | oracle.OptNoUnknown} {
		var mu sync.Mutex
		var seen strings.Builder
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := &oracle.Server{NewMilter: func() oracle.Milter { return recorder{mu: &mu, seen: &seen} }, Protocol: protocol,
			Actions: oracle.OptAddHeader | oracle.OptChangeBody | oracle.OptAddRcpt | oracle.OptRemoveRcpt | oracle.OptChangeHeader | oracle.OptQuarantine | oracle.OptChangeFrom}
		ended := make(chan struct{})
		go func() { srv.Serve(ln); close(ended) }()
		defer func() { ln.Close(); <-ended }()
		c := dial(t, "tcp:"+ln.Addr().String(), ClientOptions{})
		if c.Version() != 2 {
			t.Errorf("version %d", c.Version())
		}
		m := example()
		m.Client = netip.MustParseAddrPort("[2001:db8::7]:99")
		m.Body = strings.NewReader(strings.Repeat("x", MaxChunk))
		m.Params = nil
		o, err := c.Send(context.Background(), m)
		if err != nil {
			t.Fatal(err)
		}
		if o.At != EndOfMessage || o.Response.Do != Accept || !o.Quarantined() {
			t.Errorf("outcome %+v", o)
		}
		b, _ := func() ([]byte, error) { m := Apply(*m, o); return m.Bytes() }()
		if want := "X-In: one\r\nFrom: a@example.org\r\nX-Tight:none\r\nX-Add: two\r\n\r\nnew"; string(b) != want {
			t.Errorf("delivered %q, want %q", b, want)
		}
		want := "connect [2001:db8::7] tcp6 99 2001:db8::7 j=localhost\nhelo mail.example.org\nmail a@example.org\nrcpt b@example.jp i=4Tabc\nrcpt c@example.jp i=4Tabc\n" +
			"header From:\"a@example.org\"\nheader Subject:\"one\\n two\"\nheader X-Tight:\"none\"\nbody 65535\nend i=4Tabc\n"
		mu.Lock()
		if seen.String() != want {
			t.Errorf("seen\n%s\nwant\n%s", seen.String(), want)
		}
		mu.Unlock()
	}
}
