package survey

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"sekimori/internal/check"
)

// Mailbox is a mailbox on an IMAP server (RFC 9051) whose messages are read and
// left as they are: it is opened read-only, and no message is marked as seen.
//
// With the scheme imaps everything is encrypted from the start. With imap the
// server must offer STARTTLS; only on a loopback address may it do without.
type Mailbox struct {
	URL      *url.URL // imaps://USER@HOST[:PORT]/FOLDER, by ParseMailbox
	Password string
	Roots    *x509.CertPool // nil means the system's
	// Known reports whether a message need not be fetched again, by its name as
	// Each hands it out, up to the UID; nil means that none is known.
	Known MailboxKnown
	// Wait is how long the first of the pauses before another try takes; 0
	// means a second.
	Wait time.Duration
}

// MailboxKnown are messages of mailboxes that a wave has already: by the
// mailbox's name and validity, their UIDs.
type MailboxKnown map[string]*imap.UIDSet

const (
	imapTries   = 4               // in a row without a new message
	imapSilence = 5 * time.Minute // without an octet while one is waited for
	imapFetch   = 100             // messages of one command
	uidMark     = "/;UID="        // RFC 5092 §11
)

// errSignIn is in the error about a refused user name or password.
var errSignIn = errors.New("the server refuses the user name or the password")

// ParseMailbox reads imaps://USER@HOST[:PORT]/FOLDER; the folder is INBOX where
// none is given. A password in the URL is an error, because command lines are
// seen by others.
func ParseMailbox(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("%q is no URL: want imaps://USER@HOST/FOLDER", s)
	}
	switch {
	case u.Scheme != "imaps" && u.Scheme != "imap":
		return nil, fmt.Errorf("%q: want imaps://USER@HOST/FOLDER", s)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q names no host: want imaps://USER@HOST/FOLDER", s)
	case u.User == nil || u.User.Username() == "":
		return nil, fmt.Errorf("%q names no user: want imaps://USER@HOST/FOLDER", s)
	}
	if _, given := u.User.Password(); given {
		return nil, fmt.Errorf("%s: a password does not belong into the URL: put it into a file", u.Redacted())
	}
	if strings.ContainsAny(u.User.Username()+u.Path, "\r\n\x00") {
		return nil, fmt.Errorf("%q: control characters", s)
	}
	return &url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host, Path: "/" + cmp.Or(strings.Trim(u.Path, "/"), "INBOX")}, nil
}

// KnownMail notes a stored message that came from an IMAP server, by its path.
func (k MailboxKnown) KnownMail(path string) {
	i := strings.LastIndex(path, uidMark)
	if i < 0 {
		return
	}
	uid, err := strconv.ParseUint(path[i+len(uidMark):], 10, 32)
	if err != nil || uid == 0 {
		return
	}
	set := k[path[:i]]
	if set == nil {
		set = new(imap.UIDSet)
		k[path[:i]] = set
	}
	set.AddNum(imap.UID(uid))
}

// Place is the mailbox as an input of Mailing. Its messages come in the order
// of their UIDs, each under its URL (RFC 5092). A connection that breaks is
// made again, and the reading goes on where it was; after several tries in
// vain the run ends with the error, and what was read until then stays.
func (b *Mailbox) Place() check.Place {
	return check.Place{Name: b.URL.String(), Each: b.each}
}

func (b *Mailbox) each(ctx context.Context, yield func(name string, r io.Reader) error) error {
	s := imapSession{Mailbox: b, yield: yield}
	wait := b.Wait
	if wait == 0 {
		wait = time.Second
	}
	for tries := 0; ; {
		before := s.fetched
		err := s.run(ctx)
		switch {
		case err == nil || s.fatal:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errSignIn):
			return err
		}
		if s.fetched > before {
			tries = 0
		}
		if tries++; tries >= imapTries || s.validity == 0 && tries >= 2 {
			return fmt.Errorf("%s: %w", b.URL, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait << (tries - 1)):
		}
	}
}

// imapSession reads a mailbox over one connection after another.
type imapSession struct {
	*Mailbox
	yield    func(name string, r io.Reader) error
	validity uint32
	last     imap.UID // handed out
	fetched  int64
	fatal    bool // the error is not the connection's
}

// stop marks an error after which no other try helps.
func (s *imapSession) stop(err error) error {
	s.fatal = true
	return err
}

func (s *imapSession) run(ctx context.Context) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	folder := strings.TrimPrefix(s.URL.Path, "/")
	box, err := c.Select(folder, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return s.refused(fmt.Errorf("open the folder %q: %w", folder, err), err)
	}
	if s.last > 0 && box.UIDValidity != s.validity {
		s.last = 0 // the server numbered the messages anew (RFC 9051 §2.3.1.1)
	}
	s.validity = box.UIDValidity
	if box.NumMessages == 0 {
		c.Logout().Wait()
		return nil
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{UID: []imap.UIDSet{{{Start: s.last + 1, Stop: 0}}}}, nil).Wait()
	if err != nil {
		return s.refused(fmt.Errorf("list the messages of %q: %w", folder, err), err)
	}
	uids, _ := found.All.(imap.UIDSet)
	if err := s.sane(uids, c); err != nil {
		return s.stop(err)
	}
	name := s.URL.String() + ";UIDVALIDITY=" + strconv.FormatUint(uint64(s.validity), 10)
	known := s.Known[name]
	var next imap.UIDSet
	n := 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		err := s.fetch(c, name, next)
		next, n = nil, 0
		return err
	}
	for _, r := range uids {
		for uid := r.Start; uid <= r.Stop && uid != 0; uid++ {
			// "n:*" names the last message even where its UID is lower.
			if uid <= s.last || known != nil && known.Contains(uid) {
				continue
			}
			next.AddNum(uid)
			if n++; n == imapFetch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	c.Logout().Wait()
	return nil
}

// sane checks that a server does not name more messages than it has.
func (s *imapSession) sane(uids imap.UIDSet, c *imapclient.Client) error {
	have := int64(0)
	if m := c.Mailbox(); m != nil {
		have = int64(m.NumMessages)
	}
	for _, r := range uids {
		have -= int64(r.Stop) - int64(r.Start) + 1
		if r.Start == 0 || r.Stop < r.Start || have < 0 {
			return fmt.Errorf("%s: the server's list of messages does not agree with their number", s.URL)
		}
	}
	return nil
}

// fetch hands out the messages of a set.
func (s *imapSession) fetch(c *imapclient.Client, name string, set imap.UIDSet) error {
	cmd := c.Fetch(set, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
	err := s.messages(cmd, name)
	if err != nil {
		// Not Close: it would read the rest of the set.
		return err
	}
	if err := cmd.Close(); err != nil {
		return fmt.Errorf("fetch messages: %w", err)
	}
	return nil
}

func (s *imapSession) messages(cmd *imapclient.FetchCommand, name string) error {
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		uid := imap.UID(0)
		for item := m.Next(); item != nil; item = m.Next() {
			switch item := item.(type) {
			case imapclient.FetchItemDataUID:
				uid = item.UID
			case imapclient.FetchItemDataBodySection:
				if item.Literal == nil || uid == 0 {
					continue
				}
				r := &literal{r: item.Literal, left: item.Literal.Size()}
				err := s.yield(name+uidMark+strconv.FormatUint(uint64(uid), 10), r)
				if r.err != nil {
					return fmt.Errorf("read a message: %w", r.err)
				}
				if err != nil {
					return s.stop(err)
				}
				s.last = max(s.last, uid)
				s.fetched++
			}
		}
	}
	return nil
}

// literal tells a message that was cut off from one that ended.
type literal struct {
	r    io.Reader
	left int64
	err  error
}

func (l *literal) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.left -= int64(n)
	if err == io.EOF && l.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		l.err = err
	}
	return n, err
}

// refused tells an answer of the server, after which trying again is in vain,
// from a fault of the connection.
func (s *imapSession) refused(err, cause error) error {
	var answer *imap.Error
	if errors.As(cause, &answer) {
		return s.stop(fmt.Errorf("%s: %w", s.URL, err))
	}
	return err
}

// connect makes the connection and signs in.
func (s *imapSession) connect(ctx context.Context) (*imapclient.Client, error) {
	host, port := s.URL.Hostname(), s.URL.Port()
	if port == "" {
		port = map[string]string{"imaps": "993", "imap": "143"}[s.URL.Scheme]
	}
	config := &tls.Config{ServerName: host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"imap"}}
	raw, err := s.dial(ctx, net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	o := &imapclient.Options{TLSConfig: config}
	var c *imapclient.Client
	switch {
	case s.URL.Scheme == "imaps":
		t := tls.Client(raw, config)
		if err := t.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, s.untrusted(fmt.Errorf("TLS with %s: %w", host, err))
		}
		c = imapclient.New(t, o)
	default:
		if c, err = imapclient.NewStartTLS(raw, o); err == nil {
			break
		}
		if _, bad := errors.AsType[*tls.CertificateVerificationError](err); bad || !loopback(raw.RemoteAddr()) {
			return nil, s.untrusted(fmt.Errorf("STARTTLS with %s: %w", host, err))
		}
		if raw, err = s.dial(ctx, net.JoinHostPort(host, port)); err != nil {
			return nil, err
		}
		c = imapclient.New(raw, o)
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := c.WaitGreeting(); err != nil {
		c.Close()
		return nil, fmt.Errorf("greeting of %s: %w", host, err)
	}
	if err := c.Login(s.URL.User.Username(), s.Password).Wait(); err != nil {
		c.Close()
		var answer *imap.Error
		if errors.As(err, &answer) {
			return nil, fmt.Errorf("%s: %w (%s)", s.URL, errSignIn, line(answer.Text, 200))
		}
		return nil, fmt.Errorf("sign in to %s: %w", host, err)
	}
	return c, nil
}

// untrusted ends the tries where the server's certificate is not accepted.
func (s *imapSession) untrusted(err error) error {
	if _, bad := errors.AsType[*tls.CertificateVerificationError](err); bad {
		return s.stop(err)
	}
	return err
}

func (s *imapSession) dial(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 30 * time.Second}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &watched{Conn: c}, nil
}

func loopback(a net.Addr) bool {
	p, err := netip.ParseAddrPort(a.String())
	return err == nil && p.Addr().Unmap().IsLoopback()
}

// watched ends a connection on which a read waits for too long. The client
// library waits for ever for the next response.
type watched struct{ net.Conn }

func (w *watched) Read(p []byte) (int, error) {
	t := time.AfterFunc(imapSilence, func() { w.Close() })
	defer t.Stop()
	return w.Conn.Read(p)
}
