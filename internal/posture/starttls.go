package posture

import (
	"context"
	"crypto/tls"
	"net/netip"
)

// Mailer sees what a mail exchanger offers to those who deliver to it.
type Mailer interface {
	STARTTLS(ctx context.Context, host string, addresses []netip.Addr) (session *tls.ConnectionState, untrusted, err error)
}

// STARTTLS is whether the MX hosts take mail encrypted (RFC 3207).
type STARTTLS struct {
	Topic
}

func newSTARTTLS(s State) *STARTTLS { return &STARTTLS{Topic: Topic{Present: s, Valid: s}} }

func (in *inspection) inspectSTARTTLS(ctx context.Context) { in.STARTTLS = newSTARTTLS(Unknown) }
