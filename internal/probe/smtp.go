package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Defaults of SMTP.
const (
	DefaultMailTimeout     = 20 * time.Second
	DefaultMailConcurrency = 64
	DefaultMailPerAddress  = 2
)

// Why a conversation with a mail exchanger failed, beside the reasons that
// fetching knows.
const (
	// These are certain.
	WhyNotOffered Why = "starttls-not-offered"
	WhyTurnedDown Why = "starttls-refused" // it is offered, and refused when asked for
	WhyInjected   Why = "starttls-injected"
	WhyNoTLS      Why = "starttls-no-tls" // what follows is something else
	WhyNotSMTP    Why = "not-smtp"

	// These are temporary: nothing is known.
	WhyRejected Why = "smtp-rejected" // by its greeting it does not want to hear from here
	WhyLater    Why = "smtp-later"    // it asks to come back later
	WhyBlocked  Why = "smtp-blocked"  // no mail exchanger at all was reached from here
	// TLS began and did not come about. That may be for want of a cipher that
	// other senders have, or for a certificate that only this one cannot read.
	WhyHandshake Why = "starttls-handshake"
)

// SMTP sees whether mail exchangers encrypt (RFC 3207). It greets, asks for
// TLS and says good-bye; it never names a sender or a recipient. The zero value
// is ready to use. It is safe for concurrent use; a copy of one in use is not.
//
// It is polite: a host is asked once, however many domains it serves, and its
// answer kept for an hour, a failure for a minute; at one address at most
// PerAddress conversations are on the way. Where the first 40 addresses all
// time out, port 25 is taken to be blocked on the way out, and most of the
// others are not tried.
type SMTP struct {
	// Helo is how it calls itself, a name that leads back to this host if there
	// is one; empty means its address (RFC 5321 §4.1.4).
	Helo string
	// Roots are whom certificates are to be issued by; nil means the system's.
	Roots *x509.CertPool
	// Timeout is for one host, once it is its turn; 0 means DefaultMailTimeout.
	Timeout time.Duration
	// Concurrency is how many conversations may be on the way, PerAddress how
	// many with one address; 0 means the defaults.
	Concurrency, PerAddress int
	// Private lets hosts be at addresses that are not of the public Internet,
	// for tests and networks of one's own.
	Private bool
	// Dial connects; nil means net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock by which certificates hold; nil means time.Now.
	Now func() time.Time

	mu      sync.Mutex
	visits  map[string]*visit
	places  map[netip.Addr]*place
	slots   chan struct{}
	silent  int // addresses that timed out before any answered
	reached bool
}

// visit is a conversation with a host, on the way or over.
type visit struct {
	done      chan struct{}
	until     time.Time // how long its outcome is kept; of one on the way, the zero time
	session   *tls.ConnectionState
	untrusted error
	err       error
}

const (
	maxVisits   = 4096
	keepVisit   = time.Hour
	keepFailure = time.Minute
	mxAddresses = 3  // how many addresses of a host are tried
	manySilent  = 40 // of which none answers: it is this side
	maxSilent   = 7 * time.Second
)

// STARTTLS finds out what a host offers to those who deliver mail to it: the
// version, cipher and certificates of the session if it encrypts, and in
// untrusted why the certificate does not hold for the host's name under the
// Roots, as MTA-STS wants it (RFC 8461 §4.1). Both errors are *Error; err tells
// why there is no session.
//
// What it says of a host may be up to an hour old. Hosts beyond those that fit
// in the memory are asked again.
func (s *SMTP) STARTTLS(ctx context.Context, host string, addresses []netip.Addr) (session *tls.ConnectionState, untrusted, err error) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !isHost(host) {
		return nil, nil, &Error{Why: WhyURL, About: host, Err: fmt.Errorf("%.80q is no name of a host", host)}
	}
	addrs, err := s.usable(host, addresses)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	v := s.visits[host]
	if v == nil || !v.until.IsZero() && time.Now().After(v.until) {
		v = &visit{done: make(chan struct{})}
		s.begin(host, v)
		// The outcome is everybody's: it must not end with who asked first.
		go s.visit(context.WithoutCancel(ctx), v, host, addrs)
	}
	s.mu.Unlock()
	select {
	case <-v.done:
		return v.session, v.untrusted, v.err
	case <-ctx.Done():
		return nil, nil, &Error{Why: WhyTimeout, About: host, Err: ctx.Err()}
	}
}

// begin notes a visit, and forgets others where there are too many.
func (s *SMTP) begin(host string, v *visit) {
	if s.visits == nil {
		s.visits, s.places = map[string]*visit{}, map[netip.Addr]*place{}
		s.slots = make(chan struct{}, orDefault(s.Concurrency, DefaultMailConcurrency))
	}
	for name, old := range s.visits {
		if len(s.visits) < maxVisits {
			break
		}
		if !old.until.IsZero() {
			delete(s.visits, name) // whichever comes
		}
	}
	s.visits[host] = v
}

// usable are the addresses to be tried.
func (s *SMTP) usable(host string, all []netip.Addr) ([]netip.Addr, error) {
	var out []netip.Addr
	shut := netip.Addr{}
	for _, a := range all {
		a = a.Unmap()
		switch {
		case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "", !s.Private && !global(a):
			shut = a
		case len(out) < mxAddresses:
			out = append(out, a)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case len(all) > 0:
		return nil, &Error{Why: WhyAddress, About: shut.String(), Err: fmt.Errorf("%s is at %s, which is not of the public Internet", host, shut)}
	}
	return nil, &Error{Why: WhyNoAddress, About: host, Err: fmt.Errorf("%s has no address", host)}
}

func (s *SMTP) visit(ctx context.Context, v *visit, host string, addrs []netip.Addr) {
	var session *tls.ConnectionState
	var err error
	left := s.Timeout
	if left <= 0 {
		left = DefaultMailTimeout
	}
	for _, a := range addrs {
		var took time.Duration
		session, took, err = s.call(ctx, host, a, left)
		var e *Error
		if left -= took; left <= 0 || !errors.As(err, &e) || e.Why != WhyTimeout && e.Why != WhyRefused && e.Why != WhyBroken {
			break // it answered: the others are to be alike
		}
	}
	if err == nil {
		v.untrusted = s.verify(host, session)
	}
	v.session, v.err = session, err
	var e *Error
	keep := keepVisit
	if errors.As(err, &e) && e.Temporary() {
		keep = keepFailure
	}
	s.mu.Lock()
	v.until = time.Now().Add(keep)
	s.mu.Unlock()
	close(v.done)
}

// call has one conversation with one address, and tells how long it took.
func (s *SMTP) call(ctx context.Context, host string, a netip.Addr, timeout time.Duration) (*tls.ConnectionState, time.Duration, error) {
	leave, err := s.enter(a)
	if err != nil {
		return nil, 0, err
	}
	defer leave()
	began := time.Now()
	session, err := s.connect(ctx, host, a, timeout)
	return session, time.Since(began), err
}

func (s *SMTP) connect(ctx context.Context, host string, a netip.Addr, timeout time.Duration) (*tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dial := s.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: min(maxSilent, timeout)}).DialContext
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(a.String(), "25"))
	s.heard(err)
	if err != nil {
		e := dialError(ctx, []error{err})
		e.About = a.String()
		return nil, e
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	_ = conn.SetDeadline(end)
	return s.converse(ctx, host, conn)
}

// enter waits for a turn with an address; leave ends it.
func (s *SMTP) enter(a netip.Addr) (leave func(), err error) {
	s.mu.Lock()
	if !s.reached && s.silent >= manySilent && s.silent%16 != 0 { // now and then one is tried all the same
		s.silent++
		s.mu.Unlock()
		return nil, &Error{Why: WhyBlocked, About: a.String(), Err: fmt.Errorf("of the first %d mail exchangers none answered: is port 25 blocked here?", manySilent)}
	}
	p := s.places[a]
	if p == nil {
		p = &place{slots: make(chan struct{}, orDefault(s.PerAddress, DefaultMailPerAddress))}
		s.places[a] = p
	}
	p.users++
	s.mu.Unlock()
	p.slots <- struct{}{} // the address first: who waits for one must not hold up the others
	s.slots <- struct{}{}
	return func() {
		<-s.slots
		<-p.slots
		s.mu.Lock()
		defer s.mu.Unlock()
		if p.users--; p.users == 0 {
			delete(s.places, a)
		}
	}, nil
}

// Blocked reports whether port 25 seems to be blocked on the way out: many mail
// exchangers were called, and none answered.
func (s *SMTP) Blocked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.reached && s.silent >= manySilent
}

// heard counts how many addresses were silent before the first that was not.
func (s *SMTP) heard(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n net.Error
	switch {
	case err == nil || errors.Is(err, syscall.ECONNREFUSED):
		s.reached = true
	case errors.As(err, &n) && n.Timeout(), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		s.silent++
	}
}

// verify says why a certificate does not hold for a host.
func (s *SMTP) verify(host string, session *tls.ConnectionState) error {
	chain := session.PeerCertificates
	o := x509.VerifyOptions{DNSName: host, Roots: s.Roots, Intermediates: x509.NewCertPool()}
	if s.Now != nil {
		o.CurrentTime = s.Now()
	}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(o); err != nil {
		return handshakeError(context.Background(), &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err})
	}
	return nil
}

// conversation is what is said on one connection.
type conversation struct {
	net.Conn
	in *bufio.Reader
}

// Limits of what a mail exchanger may say (RFC 5321 §4.5.3.1.5 has 512 octets a
// line).
const (
	maxReplyLine = 4096
	maxReply     = 200 // lines
	maxChain     = 10  // certificates that are kept
)

func (s *SMTP) converse(ctx context.Context, host string, conn net.Conn) (*tls.ConnectionState, error) {
	c := &conversation{conn, bufio.NewReaderSize(conn, maxReplyLine)}
	if err := c.greet(ctx, s.helo(conn)); err != nil {
		return nil, err
	}
	if _, _, err := c.ask(ctx, "STARTTLS", WhyTurnedDown); err != nil {
		return nil, err
	}
	if c.in.Buffered() > 0 {
		// Whatever was sent in clear after the reply could be taken for part of
		// the encrypted session (RFC 3207 §6, CVE-2011-0411 and its kin).
		return nil, &Error{Why: WhyInjected, About: host, Err: errors.New("there is plain text between the reply to STARTTLS and the beginning of TLS")}
	}
	t := tls.Client(conn, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS10, CipherSuites: everyCipher(),
		// A session is wanted whatever the certificate; verify judges that.
		InsecureSkipVerify: true})
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, noSession(ctx, host, err)
	}
	state := t.ConnectionState()
	if len(state.PeerCertificates) == 0 {
		return nil, &Error{Why: WhyHandshake, About: host, Err: errors.New("no certificate")}
	}
	_ = t.SetDeadline(time.Now().Add(time.Second))
	_, _ = t.Write([]byte("QUIT\r\n"))
	return &tls.ConnectionState{Version: state.Version, HandshakeComplete: true, CipherSuite: state.CipherSuite, ServerName: host,
		PeerCertificates: state.PeerCertificates[:min(len(state.PeerCertificates), maxChain)]}, nil
}

// noSession is why TLS did not come about.
func noSession(ctx context.Context, host string, err error) *Error {
	e := &Error{Why: WhyHandshake, About: host, Err: err}
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header):
		e.Why = WhyNoTLS
	case timedOut(ctx, err):
		e.Why = WhyTimeout
	case cutOff(err):
		e.Why = WhyBroken
	}
	return e
}

// everyCipher lists what there is: that a host has nothing better than what
// nobody should use any more is to be seen.
func everyCipher() []uint16 {
	var out []uint16
	for _, c := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		out = append(out, c.ID)
	}
	return out
}

func (s *SMTP) helo(conn net.Conn) string {
	if s.Helo != "" {
		return s.Helo
	}
	a, err := netip.ParseAddrPort(conn.LocalAddr().String())
	switch ip := a.Addr().Unmap(); {
	case err != nil:
		return "[127.0.0.1]"
	case ip.Is6():
		return "[IPv6:" + ip.WithZone("").String() + "]"
	default:
		return "[" + ip.String() + "]"
	}
}

// greet reads the greeting and says EHLO; that the host offers STARTTLS is no
// error.
func (c *conversation) greet(ctx context.Context, helo string) error {
	if _, _, err := c.reply(ctx, WhyRejected); err != nil {
		return err
	}
	code, lines, err := c.ask(ctx, "EHLO "+helo, WhyRejected)
	if code >= 500 && code <= 504 {
		// It knows no extensions, and so no STARTTLS (RFC 5321 §4.1.4).
		return &Error{Why: WhyNotOffered, Err: errors.New("it does not know EHLO")}
	}
	if err != nil {
		return err
	}
	for _, l := range lines[1:] {
		if word, _, _ := strings.Cut(strings.TrimSpace(l), " "); strings.EqualFold(word, "STARTTLS") {
			return nil
		}
	}
	c.quit()
	return &Error{Why: WhyNotOffered, Err: errors.New("STARTTLS is not among its extensions")}
}

func (c *conversation) quit() {
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = c.Write([]byte("QUIT\r\n"))
}

// ask sends a command and reads the reply.
func (c *conversation) ask(ctx context.Context, command string, refused Why) (int, []string, error) {
	if _, err := c.Write([]byte(command + "\r\n")); err != nil {
		return 0, nil, exchangeError(ctx, err)
	}
	return c.reply(ctx, refused)
}

// reply reads a reply of one line or more (RFC 5321 §4.2.1): its code and its
// texts. One that is not of 2yz is an error, of 5yz with the given Why.
func (c *conversation) reply(ctx context.Context, refused Why) (code int, texts []string, err error) {
	for len(texts) < maxReply {
		line, err := c.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return 0, nil, &Error{Why: WhyNotSMTP, Err: fmt.Errorf("a line of more than %d octets", maxReplyLine)}
		}
		if err != nil {
			return 0, nil, exchangeError(ctx, err)
		}
		text := strings.TrimRight(string(line), "\r\n")
		n, err := strconv.Atoi(text[:min(len(text), 3)])
		if err != nil || n < 200 || n > 599 || code != 0 && n != code || len(text) > 3 && text[3] != ' ' && text[3] != '-' {
			return 0, nil, &Error{Why: WhyNotSMTP, Err: fmt.Errorf("%.80q is no reply of SMTP", text)}
		}
		code = n
		texts = append(texts, text[min(len(text), 4):])
		if len(text) == 3 || text[3] == ' ' {
			return code, texts, c.judge(code, text, refused)
		}
	}
	return 0, nil, &Error{Why: WhyNotSMTP, Err: fmt.Errorf("a reply of more than %d lines", maxReply)}
}

func (c *conversation) judge(code int, text string, refused Why) error {
	switch {
	case code < 300:
		return nil
	case code >= 500:
		if refused == WhyRejected {
			c.quit()
		}
		return &Error{Why: refused, About: text, Err: errors.New(text)}
	}
	c.quit()
	return &Error{Why: WhyLater, About: text, Err: errors.New(text)}
}
