package reporter

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// How long a step of a delivery may take. RFC 5321 §4.5.3.2 asks for minutes,
// towards hosts of the Internet; this MTA is the site's own, and the answer to
// the whole message is given after its filters have seen it.
const (
	dialTimeout    = 20 * time.Second
	commandTimeout = 2 * time.Minute
	writeTimeout   = 2 * time.Minute // for each write of the message
	answerTimeout  = 10 * time.Minute
)

// Mailer hands mail to the site's MTA by SMTP. It may be used by several
// goroutines; each Send takes a connection of its own.
type Mailer struct {
	Address string // host:port
	Helo    string
	TLS     TLS            // Opportunistic unless set
	Roots   *x509.CertPool // for Require; nil means the system's
}

// Mail is one message, whole, with its signatures.
type Mail struct {
	From string   // envelope-from; empty is the null reverse-path
	To   []string // envelope
	Size int64    // octets; 0 is unknown
	// Write writes the message, lines ending in CRLF. It may be called again.
	Write func(io.Writer) error
}

// MailError is why the MTA did not take a message.
type MailError struct {
	Code    int    // of the SMTP reply; 0 where there was none
	Reply   string // its text, or what went wrong
	Lasting bool   // 5xx about this message: trying again does not help
	// Gone says that the MTA could not be reached, or did not let us begin: it is
	// not about this message.
	Gone bool
	Err  error // the cause, where there is one
}

// Error says what went wrong.
func (e *MailError) Error() string {
	if e.Code != 0 {
		return fmt.Sprintf("the mail server answers %d %s", e.Code, e.Reply)
	}
	return e.Reply
}

// Unwrap returns Err.
func (e *MailError) Unwrap() error { return e.Err }

// Send sends one message to all of its recipients, or to none. An error that is
// a *MailError says whether trying again may help; any other error was not the
// MTA's, and it may.
func (m *Mailer) Send(ctx context.Context, mail Mail) error {
	c, err := m.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	return c.send(ctx, mail)
}

// connection is one to the MTA, for one message after the other.
type connection struct {
	c      *smtp.Client
	conn   net.Conn
	broken bool // no further message may go through it
}

// dial opens a connection, as far as EHLO.
func (m *Mailer) dial(ctx context.Context) (*connection, error) {
	gone := func(doing string, err error) error {
		e := &MailError{Reply: fmt.Sprintf("mail server %s: %s: %v", m.Address, doing, err), Gone: true, Err: err}
		var reply *smtp.SMTPError
		if errors.As(err, &reply) {
			e.Code, e.Reply = reply.Code, oneLine(reply)
		}
		return e
	}
	host, _, err := net.SplitHostPort(m.Address)
	if err != nil {
		return nil, gone("its address", err)
	}
	if m.TLS != Plain {
		c, err := m.encrypted(ctx, host)
		if err == nil {
			return c, nil
		}
		var unreachable connectError
		switch {
		case errors.As(err, &unreachable):
			return nil, gone("connect", unreachable.error)
		case m.TLS == Require:
			return nil, gone("encryption is required, and fails", err)
		}
		// Opportunistic: what does not work is done without (RFC 7435).
	}
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, gone("connect", err)
	}
	c := smtp.NewClient(conn)
	c.CommandTimeout, c.SubmissionTimeout = commandTimeout, answerTimeout
	if err := helloWithin(ctx, conn, func() error { return c.Hello(m.Helo) }); err != nil {
		conn.Close()
		return nil, gone("EHLO", err)
	}
	return &connection{c: c, conn: conn}, nil
}

// encrypted opens a connection with STARTTLS (RFC 3207).
func (m *Mailer) encrypted(ctx context.Context, host string) (*connection, error) {
	config := &tls.Config{ServerName: host, RootCAs: m.Roots, MinVersion: tls.VersionTLS12}
	if m.TLS != Require {
		// Whoever could take the certificate's place could as well hide STARTTLS.
		config.InsecureSkipVerify = true
	}
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, connectError{err}
	}
	var c *smtp.Client
	err = helloWithin(ctx, conn, func() error {
		if c, err = smtp.NewClientStartTLS(conn, config); err != nil {
			return err
		}
		c.CommandTimeout, c.SubmissionTimeout = commandTimeout, answerTimeout
		return c.Hello(m.Helo) // the handshake is in it
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &connection{c: c, conn: conn}, nil
}

// connectError says that there was not even a connection.
type connectError struct{ error }

func (m *Mailer) connect(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", m.Address)
	if err != nil {
		return nil, err
	}
	return &impatient{Conn: conn}, nil
}

// helloWithin gives up when ctx ends, or when the greeting takes too long.
func helloWithin(ctx context.Context, conn net.Conn, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := f(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}

// impatient bounds each write: the SMTP client sets no deadline while a message
// goes out.
type impatient struct{ net.Conn }

func (c *impatient) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// send sends one message. After an error that is no MailError with a Code the
// connection is broken.
func (c *connection) send(ctx context.Context, mail Mail) error {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	err := c.transaction(mail)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		c.broken = true
		return ctx.Err()
	}
	var reply *smtp.SMTPError
	var local localError
	switch {
	case errors.As(err, &local):
		c.broken = true // a message half sent must not be ended
		return local.error
	case !errors.As(err, &reply) || reply.Code < 400 || reply.Code > 599:
		c.broken = true
		return &MailError{Reply: "the connection to the mail server broke: " + err.Error(), Err: err}
	}
	// 421 ends the connection (RFC 5321 §3.8); otherwise RSET ends the message.
	if reply.Code == 421 || c.c.Reset() != nil {
		c.broken = true
	}
	return &MailError{Code: reply.Code, Reply: oneLine(reply), Lasting: reply.Code >= 500, Err: err}
}

// localError is our own failure to produce the message.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

func (c *connection) transaction(mail Mail) error {
	if err := c.c.Mail(mail.From, &smtp.MailOptions{Size: mail.Size}); err != nil {
		return err
	}
	for _, to := range mail.To {
		if err := c.c.Rcpt(to, nil); err != nil {
			return err
		}
	}
	w, err := c.c.Data()
	if err != nil {
		return err
	}
	out := &partial{w: w}
	buf := bufio.NewWriterSize(out, 32<<10)
	err = mail.Write(buf)
	if err == nil {
		err = buf.Flush()
	}
	if out.err != nil {
		return out.err
	}
	if err != nil {
		return localError{err}
	}
	return w.Close()
}

// partial tells an error of the connection from one of the message's source.
type partial struct {
	w   io.Writer
	err error
}

func (s *partial) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if err != nil {
		s.err = err
	}
	return n, err
}

// close says QUIT where that is possible.
func (c *connection) close() {
	if c.broken || c.c.Quit() != nil {
		c.conn.Close()
	}
}

func oneLine(e *smtp.SMTPError) string {
	s := strings.Join(strings.Fields(e.Message), " ")
	if e.EnhancedCode[0] > 0 {
		s = fmt.Sprintf("%d.%d.%d %s", e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2], s)
	}
	return s
}
