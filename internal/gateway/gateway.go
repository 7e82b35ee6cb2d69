package gateway

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"sekimori/dns"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/milter"
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
	// Failure is told of each message for which its domain's owner asks for
	// failure reports (RFC 9989 §4.7, ruf and fo), after its answer; it must be
	// quick: what takes time waits elsewhere. nil means that none are sent.
	Failure func(context.Context, FailureCase)
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
	options Options
	now     func() time.Time
	checker check.Checker
	rules   atomic.Pointer[ruling]
	counts  counters
}

// ruling is what messages are treated by until the next Reload.
type ruling struct {
	site   Site
	signer Departure
}

// New makes a Gateway. The error names what is wrong with the site.
func New(o Options) (*Gateway, error) {
	g := &Gateway{options: o, now: o.Now}
	if g.now == nil {
		g.now = time.Now
	}
	g.checker = check.Checker{Resolver: o.Resolver, Receiver: o.Hostname, Now: o.Now}
	return g, g.Reload(o.Site, o.Signer)
}

// Reload takes another site and signer. Messages that have begun are treated by
// the old ones. With an error nothing changes.
func (g *Gateway) Reload(site Site, signer Departure) error {
	g.rules.Store(&ruling{site: site, signer: signer})
	return nil
}

// Serve treats the messages of one connection, until the MTA says goodbye (then
// the error is nil), the connection is lost, or ctx ends.
func (g *Gateway) Serve(ctx context.Context, s *milter.Session) error { return nil }

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
