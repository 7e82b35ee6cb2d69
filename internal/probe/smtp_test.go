package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var somewhere = []netip.Addr{netip.MustParseAddr("192.0.2.25")}

// exchanger is a mail exchanger that says what a test wants it to.
type exchanger struct {
	greeting string // "220 mx.example ESMTP"
	ehlo     string // the whole reply; "" = one that offers STARTTLS
	starttls string // "220 go ahead"
	config   *tls.Config
	talk     string        // what is said instead of TLS
	delay    time.Duration // before the greeting

	mu    sync.Mutex
	heard []string // commands, those inside TLS with "tls " before them
	calls int
}

func (x *exchanger) note(line string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.heard = append(x.heard, strings.TrimSpace(line))
}

// said are the commands heard so far.
func (x *exchanger) said() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.heard)
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (x *exchanger) serve(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	x.mu.Lock()
	x.calls++
	x.mu.Unlock()
	time.Sleep(x.delay)
	_, _ = io.WriteString(c, orElse(x.greeting, "220 mx.example ESMTP\r\n"))
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		x.note(line)
		switch verb := strings.ToUpper(strings.Fields(line + " x")[0]); verb {
		case "EHLO":
			_, _ = io.WriteString(c, orElse(x.ehlo, "250-mx.example\r\n250-SIZE 1000\r\n250-starttls\r\n250 8BITMIME\r\n"))
		case "STARTTLS":
			_, _ = io.WriteString(c, orElse(x.starttls, "220 go ahead\r\n"))
			if x.config == nil {
				if x.talk != "" {
					_, _ = in.ReadByte()
					_, _ = io.WriteString(c, x.talk)
				}
				return
			}
			t := tls.Server(c, x.config)
			if t.Handshake() != nil {
				return
			}
			inside := bufio.NewReader(t)
			for {
				line, err := inside.ReadString('\n')
				if err != nil {
					return
				}
				x.note("tls " + line)
			}
		case "QUIT":
			_, _ = io.WriteString(c, "221 bye\r\n")
			return
		default:
			_, _ = io.WriteString(c, "502 no\r\n")
		}
	}
}

// dialer connects to an exchanger, whatever the address, which has to be of
// port 25.
func (x *exchanger) dialer(t testing.TB) func(ctx context.Context, network, address string) (net.Conn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go x.serve(c)
		}
	}()
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, port, _ := net.SplitHostPort(address); port != "25" {
			t.Errorf("connects to %s", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, l.Addr().String())
	}
}

func TestSTARTTLS(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	good := with(ca.issue(t, soon, "mx.example"))
	old := good.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	static := good.Clone()
	static.MaxVersion = tls.VersionTLS12
	for _, c := range []struct {
		name      string
		x         *exchanger
		why       Why // of the error; "" for a session
		untrusted Why
		version   uint16
		heard     string
	}{
		{"good", &exchanger{config: good}, "", "", tls.VersionTLS13, "EHLO mail.survey.example|STARTTLS|tls QUIT"},
		{"another's certificate", &exchanger{config: with(ca.issue(t, soon, "other.example"))}, "", WhyWrongName, tls.VersionTLS13, ""},
		{"expired", &exchanger{config: with(ca.issue(t, past, "mx.example"))}, "", WhyExpired, tls.VersionTLS13, ""},
		{"unknown issuer", &exchanger{config: with(stranger.issue(t, soon, "mx.example"))}, "", WhyUntrusted, tls.VersionTLS13, ""},
		{"TLS 1.0", &exchanger{config: old}, "", "", tls.VersionTLS10, ""},
		{"TLS 1.2", &exchanger{config: static}, "", "", tls.VersionTLS12, ""},
		{"a banner that takes its time", &exchanger{config: good, delay: 300 * time.Millisecond}, "", "", tls.VersionTLS13, ""},
		{"a banner of many lines", &exchanger{config: good, greeting: "220-mx.example\r\n220-be welcome\r\n220 now\r\n"}, "", "", tls.VersionTLS13, ""},
		{"not offered", &exchanger{ehlo: "250-mx.example\r\n250 SIZE STARTTLS\r\n"}, WhyNotOffered, "", 0, "EHLO mail.survey.example|QUIT"},
		{"one line", &exchanger{ehlo: "250 STARTTLS\r\n"}, WhyNotOffered, "", 0, ""},
		{"no EHLO", &exchanger{ehlo: "502 what?\r\n"}, WhyNotOffered, "", 0, ""},
		{"a hang", &exchanger{delay: 5 * time.Second}, WhyTimeout, "", 0, ""},
		{"turned away", &exchanger{greeting: "554 you are on a list\r\n"}, WhyRejected, "", 0, "QUIT"},
		{"turned away after EHLO", &exchanger{ehlo: "550 not you\r\n"}, WhyRejected, "", 0, "EHLO mail.survey.example|QUIT"},
		{"later", &exchanger{greeting: "421 busy\r\n"}, WhyLater, "", 0, "QUIT"},
		{"later, after EHLO", &exchanger{ehlo: "451 busy\r\n"}, WhyLater, "", 0, ""},
		{"TLS not now", &exchanger{starttls: "454 TLS not available due to temporary reason\r\n"}, WhyLater, "", 0, ""},
		{"TLS refused", &exchanger{starttls: "501 no\r\n"}, WhyTurnedDown, "", 0, ""},
		{"plain text into TLS", &exchanger{config: good, starttls: "220 go ahead\r\n250 injected\r\n"}, WhyInjected, "", 0, ""},
		{"no TLS after all", &exchanger{config: &tls.Config{}}, WhyHandshake, "", 0, ""},
		{"something else after all", &exchanger{talk: "250 what do you want?\r\n"}, WhyNoTLS, "", 0, ""},
		{"closed instead of TLS", &exchanger{}, WhyBroken, "", 0, ""},
		{"closed at once", &exchanger{greeting: "220 x\r\n", ehlo: "221 bye\r\n"}, WhyNotOffered, "", 0, ""},
		{"HTTP", &exchanger{greeting: "HTTP/1.1 400 Bad Request\r\n\r\n"}, WhyNotSMTP, "", 0, ""},
		{"SSH", &exchanger{greeting: "SSH-2.0-x\r\n"}, WhyNotSMTP, "", 0, ""},
		{"codes that differ", &exchanger{ehlo: "250-a\r\n251 STARTTLS\r\n"}, WhyNotSMTP, "", 0, ""},
		{"an endless line", &exchanger{greeting: "220 " + strings.Repeat("x", 1<<20)}, WhyNotSMTP, "", 0, ""},
		{"an endless reply", &exchanger{greeting: strings.Repeat("220-x\r\n", 5000)}, WhyNotSMTP, "", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &SMTP{Helo: "mail.survey.example", Roots: ca.pool, Timeout: 2 * time.Second, Private: true, Dial: c.x.dialer(t)}
			session, untrusted, err := s.STARTTLS(t.Context(), "MX.example.", somewhere)
			if why(err) != c.why || why(untrusted) != c.untrusted {
				t.Errorf("%v, certificate %v; want %q, %q", err, untrusted, c.why, c.untrusted)
			}
			if c.why == "" && (session == nil || session.Version != c.version || len(session.PeerCertificates) == 0 || session.CipherSuite == 0) {
				t.Errorf("%+v", session)
			}
			if c.heard != "" {
				retry(t, func() error { // QUIT comes when it comes
					if got := strings.Join(c.x.said(), "|"); got != c.heard {
						return errors.New(got)
					}
					return nil
				})
			}
			for _, line := range c.x.said() {
				if strings.Contains(line, "MAIL") || strings.Contains(line, "RCPT") {
					t.Errorf("says %q", line)
				}
			}
		})
	}
}

// why is the reason of an error.
func why(err error) Why {
	var e *Error
	if errors.As(err, &e) {
		return e.Why
	}
	if err != nil {
		return "no *Error"
	}
	return ""
}

// TestSMTPOnce: a host that many domains share is asked once, even where they
// ask at the same time; who gives up does not spoil it for the others.
func TestSMTPOnce(t *testing.T) {
	ca := newAuthority(t)
	x := exchanger{delay: 200 * time.Millisecond, config: &tls.Config{Certificates: []tls.Certificate{ca.issue(t, time.Now().Add(time.Hour), "mx.example")}}}
	s := &SMTP{Roots: ca.pool, Private: true, Dial: x.dialer(t)}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := s.STARTTLS(short, "mx.example", somewhere); why(err) != WhyTimeout {
		t.Errorf("%v", err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, untrusted, err := s.STARTTLS(t.Context(), "mx.example", somewhere); err != nil || untrusted != nil {
				t.Errorf("%v, %v", err, untrusted)
			}
		})
	}
	wg.Wait()
	heard := x.said()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.calls != 1 {
		t.Errorf("%d connections, want 1", x.calls)
	}
	if len(s.places) != 0 {
		t.Errorf("%d places are kept", len(s.places))
	}
	if !strings.HasPrefix(heard[0], "EHLO [127.0.0.1]") {
		t.Errorf("%q", heard)
	}
}

// TestSMTPPolite: few conversations at one address, however many hosts are
// there.
func TestSMTPPolite(t *testing.T) {
	x := exchanger{delay: 50 * time.Millisecond, ehlo: "250 mx.example\r\n"}
	dial := x.dialer(t)
	var now, most atomic.Int32
	s := &SMTP{Private: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		c, err := dial(ctx, network, address)
		return closing{c, func() { now.Add(-1) }}, err
	}}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			if _, _, err := s.STARTTLS(t.Context(), "mx"+string(rune('a'+i))+".example", somewhere); why(err) != WhyNotOffered {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if m := most.Load(); m > DefaultMailPerAddress {
		t.Errorf("%d at a time", m)
	}
}

type closing struct {
	net.Conn
	then func()
}

func (c closing) Close() error { c.then(); return c.Conn.Close() }

// TestSMTPBlocked: where no mail exchanger answers at all, most are not tried.
func TestSMTPBlocked(t *testing.T) {
	var dials atomic.Int32
	open := &atomic.Bool{}
	x := exchanger{ehlo: "250 mx.example\r\n"}
	dial := x.dialer(t)
	s := &SMTP{Private: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		if open.Load() {
			return dial(ctx, network, address)
		}
		return nil, context.DeadlineExceeded
	}}
	count := map[Why]int{}
	ask := func(n int) {
		for i := range n {
			_, _, err := s.STARTTLS(t.Context(), "mx"+strings.Repeat("x", i%60)+string(rune('a'+i/60))+".example", somewhere)
			count[why(err)]++
		}
	}
	ask(400)
	if !s.Blocked() {
		t.Error("it is not said to be blocked")
	}
	if n := dials.Load(); n < manySilent || n > manySilent+400/16+1 || count[WhyTimeout] != int(n) || count[WhyTimeout]+count[WhyBlocked] != 400 {
		t.Errorf("%d attempts, %v", n, count)
	}
	open.Store(true)
	s.visits = map[string]*visit{}
	clear(count)
	ask(100)
	if count[WhyNotOffered] < 80 || s.Blocked() {
		t.Errorf("once one answers: %v", count)
	}
}

func TestSMTPAddresses(t *testing.T) {
	dials := &sync.Map{}
	s := &SMTP{Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		dials.Store(address, true)
		return nil, errors.New("no network")
	}}
	parse := func(all ...string) (out []netip.Addr) {
		for _, a := range all {
			out = append(out, netip.MustParseAddr(a))
		}
		return
	}
	for _, c := range []struct {
		host  string
		addrs []netip.Addr
		want  Why
	}{
		{"a.example", nil, WhyNoAddress},
		{"b.example", parse("127.0.0.1", "10.0.0.1", "::1", "fe80::1%eth0", "192.0.2.1"), WhyAddress},
		{"c.example", parse("::ffff:127.0.0.1"), WhyAddress},
		{"127.0.0.1", parse("8.8.8.8"), WhyURL},
		{"", parse("8.8.8.8"), WhyURL},
		{"x y.example", parse("8.8.8.8"), WhyURL},
		{"d.example", parse("10.0.0.1", "8.8.8.8", "8.8.4.4", "1.1.1.1", "9.9.9.9"), WhyBroken},
	} {
		if _, _, err := s.STARTTLS(t.Context(), c.host, c.addrs); why(err) != c.want {
			t.Errorf("%q %v: %v, want %s", c.host, c.addrs, err, c.want)
		}
	}
	var got []string
	dials.Range(func(k, _ any) bool { got = append(got, k.(string)); return true })
	slices.Sort(got)
	if !slices.Equal(got, []string{"1.1.1.1:25", "8.8.4.4:25", "8.8.8.8:25"}) {
		t.Errorf("connected to %v", got)
	}
}

// TestSMTPMemory: the hosts that are remembered are bounded.
func TestSMTPMemory(t *testing.T) {
	s := &SMTP{Private: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("none") }}
	for i := range maxVisits + 500 {
		_, _, _ = s.STARTTLS(t.Context(), "mx"+strings.Repeat("y", i%60)+strings.Repeat("z", i/60%60)+".x"+string(rune('a'+i/3600))+".example", somewhere)
	}
	if n := len(s.visits); n > maxVisits {
		t.Errorf("%d hosts are remembered", n)
	}
}

// script is a connection on which everything that will be said is there.
type script struct {
	net.Conn
	in io.Reader
}

func (s script) Read(p []byte) (int, error)      { return s.in.Read(p) }
func (s script) Write(p []byte) (int, error)     { return len(p), nil }
func (s script) SetDeadline(time.Time) error     { return nil }
func (s script) SetReadDeadline(time.Time) error { return nil }
func (s script) LocalAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv6loopback} }
func (s script) Close() error                    { return nil }

func FuzzSMTP(f *testing.F) {
	f.Add("220 mx\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n")
	f.Add("220-a\r\n220 b\r\n500 what\r\n")
	f.Add("220 mx\r\n250-mx\r\n250-STARTTLS\r\n250 X\r\n220 go\r\n\x16\x03\x01\x00\x05")
	f.Add("421\n")
	f.Fuzz(func(t *testing.T, said string) {
		s := &SMTP{}
		session, err := s.converse(t.Context(), "mx.example", script{in: strings.NewReader(said)})
		if session != nil || why(err) == "" || why(err) == "no *Error" {
			t.Errorf("%v, %v", session, err)
		}
	})
}
