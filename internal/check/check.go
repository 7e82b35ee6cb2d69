// Package check joins the protocols into one answer about one message: is it
// really from the domain in its From field? It evaluates SPF, DKIM, ARC and
// DMARC, writes the Authentication-Results field, and explains each step.
//
// A Checker works on a message as it comes: Begin takes the header and starts
// every question to the DNS at once, Write takes the body, which is hashed in
// one pass for all signatures, Finish joins the results. Check does all three
// for a message in a Reader; a Batch does it for many.
package check

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"sekimori/arc"
	"sekimori/dkim"
	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/message"
	"sekimori/smime"
	"sekimori/spf"
)

// Checker evaluates messages. It is safe for concurrent use; its fields must
// not change after the first use, and it must not be copied then, because it
// remembers keys that it has parsed. Resolver must be set. One message costs at most the
// questions that the limits of the protocols add up to, and memory for its
// header; the body is not kept, but for SMIME.
type Checker struct {
	Resolver dns.Resolver
	// AuthServID is the authserv-id of the Authentication-Results field (RFC
	// 8601 §2.5); empty means "localhost".
	AuthServID string
	// Receiver is the name of the receiving host, for SPF's %{r} macro;
	// AuthServID where it is empty.
	Receiver string
	Now      func() time.Time // nil means time.Now

	// Helo evaluates SPF for the HELO identity beside that of MAIL FROM (RFC
	// 7208 §2.3). It is only told: DMARC looks at MAIL FROM alone.
	Helo bool
	// WithoutARC leaves ARC out: its result is then none.
	WithoutARC bool
	// Sealers are the domains whose ARC seals are trusted (RFC 8617 §7.2, §9.6).
	// A trusted chain is told; it never makes DMARC pass.
	Sealers []domain.Name

	// SMIME verifies signatures of S/MIME messages. nil leaves them out, and the
	// Verdict says nothing of them. The body of a message whose header says that
	// it is S/MIME is kept until it ends, up to the verifier's limit; at most
	// two that are longer than 256 KiB are in memory at a time.
	SMIME *smime.Verifier
	// TempDir is where bodies of S/MIME messages of more than 256 KiB wait for
	// their end; empty means the system's.
	TempDir string

	// Sequential asks for SPF and DMARC one after the other, in the goroutine
	// of Begin, instead of at once. What the Resolver has at hand (dns.Ready) is
	// asked for so in any case. It takes less work and, unless the answers
	// are in a cache, longer: for callers that have many messages at hand.
	Sequential bool

	// AcceptUnsigned and Diagnose are those of dkim.Verifier.
	AcceptUnsigned, Diagnose bool

	SPFLimits   spf.Limits
	DKIMLimits  dkim.Limits
	ARCLimits   arc.Limits
	DMARC       dmarc.Options
	DMARCLimits dmarc.Limits

	made    sync.Once
	records spf.Cache
	dkim    dkim.Verifier
	dmarc   dmarc.Verifier
	long    chan struct{} // held while a long S/MIME message is in memory
}

// make builds what all messages share.
func (c *Checker) make() {
	c.long = make(chan struct{}, atOnce)
	c.dkim = dkim.Verifier{Resolver: c.Resolver, Limits: c.DKIMLimits, AcceptUnsigned: c.AcceptUnsigned, Diagnose: c.Diagnose, Sequential: c.Sequential}
	c.dmarc = dmarc.Verifier{Resolver: c.Resolver, Options: c.DMARC, Limits: c.DMARCLimits}
	c.dmarc.Options.Sequential = c.dmarc.Options.Sequential || c.Sequential
}

// now is when the message arrived.
func (c *Checker) now(in Input) time.Time {
	switch {
	case !in.Time.IsZero():
		return in.Time
	case c.Now != nil:
		return c.Now()
	}
	return time.Now()
}

// Checking is a message on its way through a Checker. It is for one
// goroutine, which calls Begin (or Start and Header), Write as often as needed,
// and Finish once.
type Checking struct {
	checker *Checker
	ctx     context.Context
	input   Input
	header  message.Header
	digests message.Digests
	asked   sync.WaitGroup

	spf, helo         spf.Result
	withSPF, withHelo bool
	dkim              *dkim.Verification
	arc               *arc.Validation
	discovery         *dmarc.Discovery
	faults            [2]any // panics of what was asked at once
	kept              *kept  // nil for all but S/MIME messages
}

// Begin starts the evaluation of a message. The questions to the DNS that it
// starts end with ctx.
func (c *Checker) Begin(ctx context.Context, in Input, h message.Header) *Checking {
	n := c.Start(ctx, in)
	n.Header(h)
	return n
}

// Start is the first half of Begin, for when the connection is known and the
// message still to come: it starts SPF.
func (c *Checker) Start(ctx context.Context, in Input) *Checking {
	c.made.Do(c.make)
	n := &Checking{checker: c, ctx: ctx, input: in}
	n.withSPF = in.IP.IsValid() && (in.MailFrom != "" || in.NullSender && in.Helo != "")
	// The HELO identity of a null reverse-path is that of MAIL FROM already
	// (RFC 7208 §2.4).
	n.withHelo = (c.Helo || !n.withSPF) && in.IP.IsValid() && in.Helo != "" && !in.NullSender
	switch {
	case !n.withSPF && !n.withHelo:
	case c.Sequential || n.spfReady():
		n.runSPF()
	default:
		n.asked.Go(func() {
			defer func() { n.faults[0] = recover() }()
			n.runSPF()
		})
	}
	return n
}

// Header is the second half of Begin: it takes the header section and starts
// DKIM, ARC and DMARC.
func (n *Checking) Header(h message.Header) {
	c := n.checker
	n.header = h
	n.keep(h)
	names, problem := dmarc.FromDomains(h)
	inPlace := c.Sequential || problem == nil && dns.Ready(c.Resolver, "_dmarc."+names[0].String(), dns.TXT)
	discover := func() {
		if problem == nil {
			n.discovery = c.dmarc.Discover(n.ctx, names[0])
		} else {
			n.discovery = c.dmarc.DiscoverFrom(n.ctx, h)
		}
	}
	if !inPlace {
		n.asked.Go(func() {
			defer func() { n.faults[1] = recover() }()
			discover()
		})
	}
	at := c.now(n.input)
	n.dkim = c.dkim.BeginAt(n.ctx, at, h, &n.digests)
	if !c.WithoutARC && hasChain(h) {
		v := arc.Verifier{Resolver: c.Resolver, Limits: c.ARCLimits, Now: func() time.Time { return at }}
		n.arc = v.Begin(n.ctx, h, &n.digests)
	}
	if inPlace {
		discover()
	}
}

// spfReady reports whether the record that SPF begins with is at hand. What it
// leads to mostly is, too.
func (n *Checking) spfReady() bool {
	host := n.input.Helo
	if n.input.MailFrom != "" {
		_, host = message.SplitAddress(n.input.MailFrom)
	}
	return host != "" && dns.Ready(n.checker.Resolver, host, dns.TXT)
}

// hasChain tells whether there is any field of ARC.
func hasChain(h message.Header) bool {
	for _, f := range h {
		if raw := f.Raw(); len(raw) > 4 && strings.EqualFold(raw[:4], "ARC-") {
			return true
		}
	}
	return false
}

func (n *Checking) runSPF() {
	v := spf.Verifier{Resolver: n.checker.Resolver, Limits: n.checker.SPFLimits, Receiver: n.checker.receiver(), Now: n.checker.Now, Cache: &n.checker.records}
	in := spf.Input{IP: n.input.IP, Helo: n.input.Helo, MailFrom: n.input.MailFrom}
	if n.withSPF {
		n.spf = v.Verify(n.ctx, in)
	}
	if n.withHelo {
		n.helo = v.VerifyHelo(n.ctx, in)
	}
}

// Write takes the next piece of the body. It never fails.
func (n *Checking) Write(p []byte) (int, error) {
	if n.kept != nil {
		n.kept.write(p)
	}
	return n.digests.Write(p)
}

// Finish ends the message and waits for what was asked.
func (n *Checking) Finish(ctx context.Context) Verdict {
	n.digests.Close()
	c := n.checker
	v := Verdict{Input: n.input, AuthServID: c.authServID()}
	results := n.dkim.Finish(ctx)
	if n.arc != nil {
		v.ARC = n.arc.Finish(ctx)
		v.Trust = v.ARC.Trust(func(d domain.Name) bool { return slices.Contains(c.Sealers, d) })
	} else {
		v.ARC.Status = arc.None
	}
	v.SMIME = n.smime(ctx)
	n.asked.Wait()
	for _, f := range n.faults {
		if f != nil {
			panic(f) // in the goroutine of the caller, who can catch it
		}
	}
	v.SPF, v.Helo = n.spf, n.helo
	if !n.withSPF {
		v.SPF = spf.Result{Status: spf.None, Identity: spf.MailFrom}
		v.NoSPF = true
		if n.withHelo {
			v.SPF, v.Helo = v.Helo, spf.Result{} // all that can be told
		}
	}
	v.evaluate(ctx, n, results)
	return v
}

// Check evaluates a whole message. The error is that of reading it; a verdict
// has none.
func (c *Checker) Check(ctx context.Context, in Input, r io.Reader) (Verdict, error) {
	br, ok := r.(*bufio.Reader)
	if !ok {
		br = readers.Get().(*bufio.Reader)
		br.Reset(r)
		defer func() {
			br.Reset(nil)
			readers.Put(br)
		}()
	}
	h, body, err := message.Read(br, 0)
	if err != nil {
		return Verdict{}, err
	}
	n := c.Begin(ctx, in, h)
	switch r.(type) {
	case *bytes.Reader, *bytes.Buffer, *strings.Reader: // in memory: hashed where it lies
		_, err = io.Copy(n, body)
	default:
		buf := buffers.Get().(*[32 << 10]byte)
		_, err = io.CopyBuffer(writerOnly{n}, readerOnly{body}, buf[:])
		buffers.Put(buf)
	}
	v := n.Finish(ctx)
	if err != nil {
		return Verdict{}, err
	}
	return v, nil
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func (c *Checker) authServID() string {
	if c.AuthServID == "" {
		return "localhost"
	}
	return c.AuthServID
}

func (c *Checker) receiver() string {
	if c.Receiver == "" {
		return c.authServID()
	}
	return c.Receiver
}
