package gateway

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"sekimori/dkim"
	"sekimori/explain"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/milter"
)

// conversation is what a session of package milter is to the gateway.
type conversation interface {
	Next() (milter.Event, error)
	Macro(name string) string
	LeadingSpace() bool
	Has(milter.Action) bool
	InsertHeader(index int, name, value string) error
	DeleteHeader(index int, name string) error
	Quarantine(reason string) error
	Reply(milter.Response) error
}

// Offer is what the gateway asks of an MTA: it changes header fields and holds
// messages, answers only at their end, and wants few macros.
func Offer() milter.Offer {
	return milter.Offer{
		Actions: milter.ActAddHeader | milter.ActChangeHeader | milter.ActQuarantine,
		Without: []milter.Kind{milter.Data, milter.Unknown},
		Macros: map[milter.Kind][]string{
			milter.Connect:      {"j"},
			milter.Mail:         {"i", "{auth_authen}"},
			milter.EndOfMessage: {"i"},
		},
	}
}

// session is one connection of an MTA: the client of the moment, and at most one
// message.
type session struct {
	g *Gateway
	c conversation

	client netip.Addr
	port   uint16
	local  bool // the client did not come over a network
	helo   string

	message *arrival
	receipt verdict.Receipt // of the last message
	unsure  bool            // its answer is written, and nothing came after it
}

// Serve treats the messages of one connection, until the MTA says goodbye (then
// the error is nil), the connection is lost, or ctx ends. A fault of our own
// never costs a message: it is taken unverified, and Stats counts it.
func (g *Gateway) Serve(ctx context.Context, s *milter.Session) error { return g.serve(ctx, s) }

func (g *Gateway) serve(ctx context.Context, c conversation) error {
	n := session{g: g, c: c}
	defer n.drop()
	for {
		ev, err := c.Next()
		if n.unsure {
			n.unsure = false
			if err == nil || err == io.EOF {
				n.receipt.Confirm() // the MTA goes on: it has read the answer
			} else {
				n.receipt.Leave()
			}
		}
		switch {
		case err == io.EOF || errors.Is(err, milter.ErrShutdown):
			return nil
		case err != nil:
			return err
		}
		if err := n.take(ctx, ev); err != nil {
			return err
		}
	}
}

// take treats an event. A panic on the way is caught here.
func (n *session) take(ctx context.Context, ev milter.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = n.fault(ctx, ev, p)
		}
	}()
	switch ev.Kind {
	case milter.Connect:
		n.drop()
		n.helo = ""
		n.client, n.port = ev.Addr.Addr().Unmap(), ev.Addr.Port()
		n.local = local(&ev)
	case milter.Helo:
		n.helo = clip(ev.Name, maxHelo)
	case milter.Mail:
		n.begin(ctx, ev)
	case milter.Rcpt:
		if a := n.message; a != nil && len(ev.Args) > 0 && len(a.in.Rcpt) < maxRcpt {
			a.in.Rcpt = append(a.in.Rcpt, clip(reversePath(ev.Args[0]), maxAddress))
		}
	case milter.HeaderField:
		if a := n.message; a != nil {
			a.field(ev.Name, ev.Value, n.c.LeadingSpace())
		}
	case milter.EndOfHeader:
		n.endOfHeader()
	case milter.Body:
		n.body(ev.Body)
	case milter.EndOfMessage:
		return n.end(ctx)
	case milter.Abort:
		n.drop()
	}
	return nil
}

// local tells whether a message was handed in on the host itself. Over a socket
// of the machine it was. Of what comes from a program, Sendmail says that the
// client is of no family, and Postfix that it is 127.0.0.1 with the port 0,
// which no client over the network has. A client whose address an MTA does not
// know is somebody else.
func local(ev *milter.Event) bool {
	switch ev.Family {
	case 'L':
		return true
	case '4', '6':
		return ev.Addr.Addr().Unmap().IsLoopback() && ev.Addr.Port() == 0
	}
	return ev.Host == "localhost"
}

// begin is MAIL: the message's rules are those of now, and SPF starts.
func (n *session) begin(ctx context.Context, ev milter.Event) {
	n.drop()
	a := arrivals.Get().(*arrival)
	n.message = a
	n.g.counts.inProgress.Add(1)
	a.rules = n.g.rules.Load()
	a.ctx, a.cancel = context.WithCancel(ctx)
	if len(ev.Args) > 0 {
		a.in.MailFrom = clip(reversePath(ev.Args[0]), 4*maxAddress)
		a.in.NullSender = a.in.MailFrom == ""
	}
	a.in.IP, a.in.Helo = n.client, n.helo
	a.in.Time = n.g.now()
	a.user = clip(n.c.Macro("{auth_authen}"), maxAddress)
	switch {
	case a.user != "":
		a.own = signedIn
	case n.local:
		a.own = fromHost
	case a.rules.site.Own(n.client):
		a.own = fromNetwork
	}
	a.id = n.id(a.rules)
	a.begin()
	if a.own == foreign {
		a.checking = n.g.checker.Start(a.ctx, a.in)
	}
}

// id is the authserv-id.
func (n *session) id(r *ruling) string {
	if r.site.AuthServID != "" {
		return r.site.AuthServID
	}
	if j := n.c.Macro("j"); j != "" && len(j) <= 255 {
		return j
	}
	return n.g.hostname
}

// endOfHeader starts what the header tells to do.
func (n *session) endOfHeader() {
	a := n.message
	if a == nil || a.headed {
		return
	}
	a.endOfHeader()
	switch {
	case a.failed:
	case a.own != foreign:
		if a.rules.signer == nil {
			return
		}
		if a.over { // not all that would have to be signed was kept
			a.unsigned = true
			return
		}
		leaving, err := a.rules.signer.Begin(a.header, &a.digests)
		if err != nil {
			a.unsigned = true
			return
		}
		a.leaving = leaving
	default:
		// From here on the DNS has its time. What follows of the message comes
		// at once, as MTAs have all of it before they ask a filter.
		a.timer = time.AfterFunc(n.g.patience, a.cancel)
		if a.over {
			a.checking.Header(a.authors())
		} else {
			a.checking.Header(a.header)
		}
	}
}

func (n *session) body(p []byte) {
	a := n.message
	if a == nil {
		return
	}
	a.size += int64(len(p))
	a.prints[0].Write(p)
	switch {
	case a.failed || a.over:
	case a.leaving != nil:
		a.digests.Write(p)
	case a.own == foreign:
		a.checking.Write(p)
	}
}

// drop forgets the message at hand. What still asks the DNS for it may read its
// header a while, so that its buffers are not used again.
func (n *session) drop() {
	if a := n.message; a != nil {
		n.message = nil
		a.stop()
		n.g.counts.inProgress.Add(-1)
	}
}

// stop ends all questions.
func (a *arrival) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.cancel()
}

// verify ends the evaluation.
func (n *session) verify(a *arrival) {
	a.verdict = a.checking.Finish(a.ctx)
	v := &a.verdict
	v.AuthServID = a.id
	if a.over {
		// RFC 6376 §8.4: a limit of ours. There may be signatures, and they may
		// be good.
		s := explain.Step{Code: "gateway.header-too-long", Args: explain.Args{"octets": int64(maxHeader), "fields": int64(maxFields)}, Ref: "RFC 6376 §8.4"}
		v.DKIM = []check.Signature{{Result: dkim.Result{Status: dkim.Policy, Reason: s, Steps: []explain.Step{s}}}}
	}
}
