package reporter

import (
	"context"
	"crypto/x509"
	"io"
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

// Send sends one message. An error that is a *MailError says whether trying
// again may help; any other error was not the MTA's, and it may.
func (m *Mailer) Send(ctx context.Context, mail Mail) error { return nil }

// MailError is why the MTA did not take a message.
type MailError struct {
	Code    int    // of the SMTP reply; 0 where there was none
	Reply   string // its text, or what went wrong
	Lasting bool   // 5xx about this message: trying again does not help
}

// Error says what went wrong.
func (e *MailError) Error() string { return e.Reply }
