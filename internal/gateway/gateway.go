package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"sekimori/dns"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/message"
)

// Log keeps verdicts; *verdict.Log does.
type Log interface {
	Append(e *verdict.Entry) (verdict.Receipt, error)
}

// Departure signs what leaves; *Signer does. Begin takes the header of a
// message, adds to d what has to be hashed of its body, and returns nil where
// there is no key for the author's domain.
type Departure interface {
	Begin(h message.Header, d *message.Digests) (Leaving, error)
}

// Leaving is a message on its way out. Finish comes after the body went through
// the digests of Begin and these were closed; it returns whole fields with
// their CRLF, to be put on top of the header in this order.
type Leaving interface {
	Finish() (fields []string, err error)
}

// Options are what a Gateway works with. Resolver must be set.
type Options struct {
	Site     Site
	Resolver dns.Resolver
	// Log keeps the verdicts; nil keeps none.
	Log Log
	// Signer signs what leaves; nil leaves own mail unsigned.
	Signer Departure
	Now    func() time.Time // nil means time.Now
	// Done is told of each message after its answer, own mail included; it must
	// be quick and not change the entry. nil tells nobody.
	Done func(*verdict.Entry)
	// Sent is told of each own message that was signed, after its answer: when, by
	// whom, with which signatures, and to how many recipients outside of the
	// author's organization, whose receivers may report it. It must be quick; nil
	// tells nobody.
	Sent func(at time.Time, s verdict.Sent)
	// Failure is told of each message for which its domain's owner asks for
	// failure reports (RFC 9989 §4.7, ruf and fo), after its answer; it must be
	// quick: what takes time waits elsewhere. nil means that none are sent.
	Failure func(context.Context, FailureCase)
	// Fault is told of panics, which are faults of the program: what, and where.
	// The messages concerned are taken unverified. nil tells nobody.
	Fault func(error)
	// Hostname is the host's name: the authserv-id where neither the site nor
	// the MTA gives one, and the receiver in SPF's macros. Empty means
	// os.Hostname.
	Hostname string
	// Patience bounds the questions to the DNS of one message, from its end;
	// what is not answered then counts as a temporary error. Default 20 s.
	Patience time.Duration
}

// FailureCase is a message that did not authenticate, as a failure report needs
// it (RFC 9991). Nothing in it is changed by anybody; it may be kept.
type FailureCase struct {
	Entry   *verdict.Entry
	Verdict *check.Verdict // its DMARC.Record names who wants reports
	Header  message.Header // as it arrived
	Port    uint16         // of the client; 0 where it is not known (RFC 6692)
	// AuthenticationResults is the value of the field that was added, or would
	// have been had the message been taken.
	AuthenticationResults string
	// Delivery is the Delivery-Result (RFC 6591 §3.2.2): "delivered", "spam",
	// "policy" or "reject".
	Delivery string
}

// Gateway treats mail by the site's policy. It is safe for concurrent use: Serve
// runs once for each connection of an MTA.
type Gateway struct {
	options  Options
	now      func() time.Time
	hostname string
	patience time.Duration
	checker  check.Checker
	rules    atomic.Pointer[ruling]
	counts   counters
}

// ruling is what messages are treated by until the next Reload.
type ruling struct {
	site   Site
	signer Departure
}

// New makes a Gateway. The error names what is wrong with the site.
func New(o Options) (*Gateway, error) {
	if o.Resolver == nil {
		return nil, errors.New("gateway: no resolver given")
	}
	g := &Gateway{options: o, now: o.Now, hostname: o.Hostname, patience: o.Patience}
	if g.now == nil {
		g.now = time.Now
	}
	if g.patience <= 0 {
		g.patience = 20 * time.Second
	}
	if g.hostname == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("gateway: the host's name: %w: give an authserv-id", err)
		}
		g.hostname = name
	}
	g.checker.Resolver, g.checker.Receiver, g.checker.AuthServID, g.checker.Now = o.Resolver, g.hostname, g.hostname, o.Now
	// RFC 9989 §11.5: of several authors the strictest policy counts.
	g.checker.DMARC.EachAuthor = true
	return g, g.Reload(o.Site, o.Signer)
}

// Reload takes another site and signer. Messages that have begun are treated by
// the old ones. With an error nothing changes.
func (g *Gateway) Reload(site Site, signer Departure) error {
	if err := site.Check(); err != nil {
		return err
	}
	g.rules.Store(&ruling{site: site, signer: signer})
	return nil
}

// Own tells whether a client is one of ours, by its address.
func (s *Site) Own(client netip.Addr) bool {
	client = client.Unmap()
	for _, n := range s.Networks {
		if n.Contains(client) {
			return true
		}
	}
	return false
}
