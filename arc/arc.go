// Package arc verifies and makes Authenticated Received Chains (RFC 8617): what
// forwarders and mailing lists say they found when a message reached them,
// sealed so that nobody can change it unseen.
//
// ARC is an experiment on its way to Historic (draft-ietf-dmarc-arc-to-historic),
// and nothing here needs it: a chain is evidence for local policy, never a
// DMARC pass. Who seals can write what he likes; see Result.Trust.
//
// A Verifier works like that of package dkim, on the same pass over the body:
//
//	var d message.Digests
//	n := v.Begin(ctx, header, &d)
//	io.Copy(&d, body)
//	d.Close()
//	result := n.Finish(ctx)
package arc

import (
	"context"
	"io"
	"time"

	"sekimori/dkim"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/message"
)

// Status is the Chain Validation Status (RFC 8617 §4.4).
type Status string

const (
	None Status = "none" // there is no chain
	Pass Status = "pass"
	Fail Status = "fail" // to be treated like none (RFC 8617 §5.2)
)

// maxSets is how many ARC Sets a message may have (RFC 8617 §4.2.1).
const maxSets = 50

// Limits bound one verification. A zero field means its default.
//
// A chain asks for two keys first, those of its newest set. Only where these
// signatures are right does it ask for the others, at most 98, eight at a time.
// The body is hashed three times at most; the header section at most once per
// set.
type Limits struct {
	// Sets is how many sets a chain may have; default, and most, 50 (RFC 8617
	// §4.2.1).
	Sets int
	// MinRSABits and MaxRSABits are as in dkim.Limits.
	MinRSABits, MaxRSABits int
}

func (l Limits) sets() int {
	if l.Sets <= 0 || l.Sets > maxSets {
		return maxSets
	}
	return l.Sets
}

func (l Limits) keys() dkim.Limits {
	return dkim.Limits{MinRSABits: l.MinRSABits, MaxRSABits: l.MaxRSABits}
}

// Verifier verifies chains. It is safe for concurrent use.
type Verifier struct {
	Resolver dns.Resolver
	Limits   Limits
	// Now is the time against which "x" of the newest signature is held; nil
	// means time.Now.
	Now func() time.Time
}

// Result is what became of a message's chain.
type Result struct {
	Status Status
	// Sets is the highest instance number found; 0 where there is none.
	Sets int
	// OldestPass is the lowest instance whose message signature still holds, 0
	// where all do (RFC 8617 §5.2, step 5): before it the message was changed.
	// It means nothing unless Status is Pass.
	OldestPass int
	// Chain are the sets that could be read, the newest first.
	Chain []Set
	// Temporary tells that the chain failed because the DNS did not answer.
	// RFC 8617 §5.2.1 has that be a failure like any other; a receiver may
	// still prefer to ask for the message again later.
	Temporary bool
	Reason    explain.Step   // the step that decided
	Steps     []explain.Step // all of them; the last is Reason
	Err       error          // what the DNS or the parser said, where that was the reason

	fromSigned bool // by the newest message signature
}

// Set is what one ARC Set says. Unless the chain passed it is hearsay.
type Set struct {
	Instance int
	Domain   domain.Name // of the ARC-Seal, d=
	Selector string      // of the ARC-Seal, s=
	Status   Status      // of the chain as the sealer found it, cv=
	// Results is the ARC-Authentication-Results field without its instance,
	// unfolded: what authres.Parse reads.
	Results string
}

// Sealers returns the domains that sealed, the newest first.
func (r Result) Sealers() []domain.Name {
	if len(r.Chain) == 0 {
		return nil
	}
	out := make([]domain.Name, len(r.Chain))
	for i := range r.Chain {
		out[i] = r.Chain[i].Domain
	}
	return out
}

// Newest returns what the newest set says of the message: the value of an
// Authentication-Results field, or "".
func (r Result) Newest() string {
	if len(r.Chain) == 0 {
		return ""
	}
	return r.Chain[0].Results
}

// Verify verifies a whole message. The error is one of reading body. Without a
// chain that has to be hashed, body is not read.
func (v *Verifier) Verify(ctx context.Context, h message.Header, body io.Reader) (Result, error) {
	var d message.Digests
	n := v.Begin(ctx, h, &d)
	if n.NeedsBody() {
		if _, err := io.Copy(&d, body); err != nil {
			return Result{}, err
		}
	}
	d.Close()
	return n.Finish(ctx), nil
}
