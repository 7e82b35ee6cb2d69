package dkim

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/message"
)

// Status is the result of one signature, or of none, by the token that
// Authentication-Results has for it (RFC 8601 §2.7.1).
type Status string

const (
	None      Status = "none"
	Pass      Status = "pass"
	Fail      Status = "fail"
	Policy    Status = "policy"
	Neutral   Status = "neutral"
	TempError Status = "temperror"
	PermError Status = "permerror"
)

// Limits bound one verification. A zero field means its default.
type Limits struct {
	// Signatures is how many signatures of one message are verified; default
	// 10. Where there are more, those of domains that the From field names come
	// first, then the topmost. Each asks at most one DNS question.
	Signatures int
	// MinRSABits and MaxRSABits bound the keys; default 1024 and 4096. Below
	// 1024 bits nothing verifies, whatever MinRSABits says (RFC 8301 §3.2).
	MinRSABits, MaxRSABits int
}

func (l Limits) withDefaults() Limits {
	if l.Signatures <= 0 {
		l.Signatures = 10
	}
	l.MinRSABits = max(l.MinRSABits, 1024)
	if l.MaxRSABits <= 0 {
		l.MaxRSABits = 4096
	}
	return l
}

// Verifier verifies the signatures of messages. It is safe for concurrent use,
// and must not be copied after its first use: it remembers keys that it has
// parsed (by their text; at most 1,024).
type Verifier struct {
	Resolver dns.Resolver
	Limits   Limits
	// Now is the time against which "x" is held: that of the message's
	// arrival (RFC 6376 §3.5). nil means time.Now.
	Now func() time.Time
	// AcceptUnsigned lets a signature pass though its "l" leaves a part of the
	// body unsigned; Result.Unsigned then says how much. By default such a
	// signature gets Policy: anybody could have put that part in (RFC 6376
	// §8.2).
	AcceptUnsigned bool
	// Sequential asks for the keys one after the other, in the goroutine of
	// Begin, instead of all at once beside the reading of the body. It takes
	// less work and, unless the answers are in a cache, longer: for callers
	// that have many messages at hand.
	Sequential bool
	// Diagnose has a body that does not match hashed in the other
	// canonicalization too, to tell how it was changed. It costs another hash
	// of the body for every message.
	Diagnose bool

	keys    keyCache
	buffers sync.Pool
}

// Result is what became of one signature.
type Result struct {
	Status    Status
	Domain    domain.Name // d=; zero where it could not be read
	Selector  string      // s=
	Algorithm Algorithm   // a=
	Identity  string      // i=
	Signature *Signature  // as far as it could be read; nil only in the one for the rest (see Finish)
	KeyBits   int         // of the key used, 0 where there is none
	Testing   bool        // t=y: a failure must count like no signature (RFC 6376 §3.6.1)
	Unsigned  int64       // octets of the canonicalized body beyond l=
	Security  dns.Security
	Reason    explain.Step   // the step that decided
	Steps     []explain.Step // all of them; the last is Reason
	Err       error          // what the DNS or the parser said, where that was the reason
}

// Verification is one message on its way through a Verifier. It is for one
// goroutine.
type Verification struct {
	v      *Verifier
	limits Limits
	now    time.Time
	fields *Fields
	sigs   []candidate
	beyond int // signatures that were not looked at
	first  [2]candidate
}

// candidate is a signature being verified.
type candidate struct {
	place int // in the header section
	field message.Field
	sig   *Signature
	args  explain.Args // domain, selector and algorithm
	err   *Error       // why it cannot be verified
	key   *keyLookup
	body  *message.BodyDigest
	other *message.BodyDigest // in the other canonicalization
}

// keyLookup is a question for a key under way.
type keyLookup struct {
	name   string
	done   chan struct{} // nil where the answer is there
	keys   []*Key
	answer dns.Answer
	err    error
	fault  any // a panic, for whoever waits
}

// Begin reads the signatures in a header section, starts asking for their keys
// and adds what has to be hashed of the body to d. Questions end with ctx.
func (v *Verifier) Begin(ctx context.Context, h message.Header, d *message.Digests) *Verification {
	now := v.Now
	if now == nil {
		now = time.Now
	}
	return v.BeginAt(ctx, now(), h, d)
}

// BeginAt is Begin for a message that arrived at another time than Now.
func (v *Verifier) BeginAt(ctx context.Context, at time.Time, h message.Header, d *message.Digests) *Verification {
	n := &Verification{v: v, limits: v.Limits.withDefaults(), now: at}
	n.sigs = n.first[:0]
	for i := range h {
		if !h[i].Is("DKIM-Signature") {
			continue
		}
		if len(n.sigs) == n.limits.Signatures {
			n.beyond++
			continue
		}
		n.sigs = append(n.sigs, candidate{place: i, field: h[i]})
	}
	if n.beyond > 0 {
		n.prefer(h)
	}
	if len(n.sigs) == 0 {
		return n
	}
	n.fields = NewFields(h)
	for i := range n.sigs {
		c := &n.sigs[i]
		sig, err := ParseSignature(c.field.RawValue())
		c.sig = sig
		if err != nil {
			c.err = err.(*Error)
			continue
		}
		if !sig.Expires.IsZero() && n.now.After(sig.Expires) {
			// RFC 6376 §3.5, "x"
			c.err = problem("dkim.expired", "RFC 6376 §3.5", "x", stamp(sig.Expires))
			continue
		}
		n.ask(ctx, i)
		limit := int64(-1)
		if sig.Limited {
			limit = sig.Length
		}
		hash := message.BodyHash{Canonicalization: sig.BodyCanon, Hash: sig.Algorithm.Hash(), Limit: limit}
		c.body = d.Add(hash)
		if v.Diagnose {
			hash.Canonicalization = message.Relaxed
			if sig.BodyCanon == message.Relaxed {
				hash.Canonicalization = message.Simple
			}
			c.other = d.Add(hash)
		}
	}
	return n
}

// prefer takes, of more signatures than are verified, those of the author's
// domains first (RFC 6376 §6.1 leaves the choice to the verifier): ten
// signatures of others on top must not hide the one that DMARC is about.
func (n *Verification) prefer(h message.Header) {
	var from strings.Builder
	for i := range h {
		if h[i].Is("From") {
			from.WriteString(strings.ToLower(h[i].RawValue()))
		}
	}
	var ours, others []candidate
	for i := range h {
		if !h[i].Is("DKIM-Signature") || len(ours) == n.limits.Signatures {
			continue
		}
		sig, err := ParseSignature(h[i].RawValue())
		switch {
		case err == nil && strings.Contains(from.String(), sig.Domain.Organizational().String()):
			ours = append(ours, candidate{place: i, field: h[i]})
		case len(others) < n.limits.Signatures:
			others = append(others, candidate{place: i, field: h[i]})
		}
	}
	n.sigs = append(ours, others...)[:n.limits.Signatures]
	slices.SortFunc(n.sigs, func(a, b candidate) int { return cmp.Compare(a.place, b.place) })
}

// ask starts the question for the key of a signature, unless it is asked
// already.
func (n *Verification) ask(ctx context.Context, i int) {
	c := &n.sigs[i]
	name := c.sig.selector.String() + "._domainkey." + c.sig.Domain.String()
	for j := range n.sigs[:i] {
		if k := n.sigs[j].key; k != nil && k.name == name {
			c.key = k
			return
		}
	}
	k := &keyLookup{name: name}
	c.key = k
	if n.v.Sequential || dns.Ready(n.v.Resolver, name, dns.TXT) {
		k.keys, k.answer, k.err = lookup(ctx, n.v.Resolver, name, n.v.keys.parse)
		return
	}
	k.done = make(chan struct{})
	go func() {
		defer func() {
			k.fault = recover()
			close(k.done)
		}()
		k.keys, k.answer, k.err = lookup(ctx, n.v.Resolver, name, n.v.keys.parse)
	}()
}

// Finish gives the results, one per signature in the order of the header
// section, after the body went through the Digests of Begin and these were
// closed. It waits for keys as long as ctx lets it. Where there are more
// signatures than the limit, one more Result of status Policy, without a
// Signature, stands for the rest. No signature gives no result.
func (n *Verification) Finish(ctx context.Context) []Result {
	if len(n.sigs) == 0 {
		return nil
	}
	buf := n.v.buffer()
	defer n.v.buffers.Put(buf)
	results := make([]Result, len(n.sigs), len(n.sigs)+1)
	for i := range n.sigs {
		n.finish(ctx, &n.sigs[i], &results[i], buf)
	}
	if n.beyond > 0 {
		// RFC 6376 §6.1: verifiers may limit the number of signatures.
		e := limited("dkim.too-many-signatures", len(n.sigs)+n.beyond, n.limits.Signatures)
		e.Step.Ref = "RFC 6376 §8.4"
		results = append(results, Result{Status: Policy, Reason: e.Step, Steps: []explain.Step{e.Step}, Err: e})
	}
	return results
}

// Verify verifies a whole message. The error is one of reading body, and there
// are no results then. Without a signature to hash it for, body is not read.
func (v *Verifier) Verify(ctx context.Context, h message.Header, body io.Reader) ([]Result, error) {
	var d message.Digests
	n := v.Begin(ctx, h, &d)
	needed := false
	for i := range n.sigs {
		needed = needed || n.sigs[i].body != nil
	}
	if needed {
		if err := v.copy(&d, body); err != nil {
			return nil, err
		}
	}
	d.Close()
	return n.Finish(ctx), nil
}

// scratch is memory that messages use one after the other.
type scratch struct {
	header []byte
	body   []byte
}

func (v *Verifier) buffer() *scratch {
	if b, ok := v.buffers.Get().(*scratch); ok {
		return b
	}
	return &scratch{header: make([]byte, 0, 8<<10)}
}

func (v *Verifier) copy(d *message.Digests, body io.Reader) error {
	if w, ok := body.(io.WriterTo); ok {
		_, err := w.WriteTo(d)
		return err
	}
	b := v.buffer()
	defer v.buffers.Put(b)
	if b.body == nil {
		b.body = make([]byte, 64<<10)
	}
	for {
		k, err := body.Read(b.body)
		d.Write(b.body[:k])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
