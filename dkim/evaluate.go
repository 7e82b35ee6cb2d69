package dkim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"

	"sekimori/dns"
	"sekimori/explain"
)

// finish works one result out.
func (n *Verification) finish(ctx context.Context, c *candidate, r *Result, buf *scratch) {
	sig := c.sig
	r.Signature = sig
	r.Domain, r.Selector, r.Algorithm, r.Identity = sig.Domain, sig.Selector, sig.Algorithm, sig.Identity
	r.Steps = make([]explain.Step, 0, 6)
	c.args = explain.Args{
		"domain": explain.ClipFolded(sig.Domain.Unicode()), "selector": explain.ClipFolded(sig.Selector), "algorithm": explain.ClipFolded(string(sig.Algorithm))}
	if sig.Domain.IsZero() || sig.Selector == "" || sig.Algorithm == "" {
		r.say("dkim.signature-unread", "RFC 6376 §3.5", nil)
	} else {
		r.say("dkim.signature-found", "RFC 6376 §3.5", c.args)
	}
	if c.err != nil {
		r.decide(PermError, c.err)
		return
	}
	keys, ok := n.await(ctx, c, r)
	if !ok {
		return
	}
	key := n.choose(c, r, keys)
	if key == nil {
		return
	}

	bodyOK := n.body(c, r)
	digest := n.headerDigest(c, buf)
	signed := n.match(c, r, keys, key, digest[:])
	n.coverage(c, r)
	if sig.Created.After(n.now.Add(skew)) {
		// RFC 6376 §3.5, "t": verifiers may ignore such signatures; clocks
		// are wrong often enough, and nothing is gained by it.
		r.say("dkim.created-in-future", "RFC 6376 §3.5", explain.Args{"created": stamp(sig.Created), "now": stamp(n.now)})
	}
	if r.Testing {
		r.say("dkim.testing", "RFC 6376 §3.6.1", c.args)
	}
	n.conclude(c, r, bodyOK, signed)
}

// await waits for the answer to the question for the key.
func (n *Verification) await(ctx context.Context, c *candidate, r *Result) ([]*Key, bool) {
	k := c.key
	ok := k.wait(ctx)
	if ok && k.fault != nil {
		panic(k.fault) // where the caller can catch it
	}
	if !ok {
		r.decide(TempError, keyStep("dkim.key-temporary", k.name))
		r.Err = ctx.Err()
		return nil, false
	}
	r.Security = k.answer.Security
	if k.err == nil {
		return k.keys, true
	}
	var unusable *Error
	switch {
	case errors.As(k.err, &unusable): // RFC 6376 §6.1.2: key syntax error
		e := &Error{Step: explain.Step{Code: unusable.Step.Code, Ref: unusable.Step.Ref, Args: explain.Args{}}, text: unusable.text}
		for name, value := range unusable.Step.Args {
			e.Step.Args[name] = value
		}
		e.Step.Args["name"] = explain.ClipFolded(k.name)
		r.decide(PermError, e)
	case dns.Absent(k.err): // RFC 6376 §6.1.2: no key for signature
		r.decide(PermError, keyStep("dkim.key-absent", k.name))
		r.Err = k.err
	default: // RFC 6376 §6.1.2: key unavailable
		r.decide(TempError, keyStep("dkim.key-temporary", k.name))
		r.Err = k.err
	}
	return nil, false
}

// wait reports whether the answer came before ctx ended. An answer that is
// there counts, whatever became of ctx.
func (k *keyLookup) wait(ctx context.Context) bool {
	if k.done == nil {
		return true
	}
	select {
	case <-k.done:
		return true
	default:
	}
	select {
	case <-k.done:
		return true
	case <-ctx.Done():
		return false
	}
}

func keyStep(code, name string) *Error {
	return &Error{Step: step(code, "RFC 6376 §6.1.2", explain.Args{"name": explain.ClipFolded(name)}), text: phrase(code) + ": " + name}
}

// choose finds the first key that may be used for the signature.
func (n *Verification) choose(c *candidate, r *Result, keys []*Key) *Key {
	var first *Error
	status := PermError
	for _, k := range keys {
		e := n.acceptable(c, k)
		if e == nil {
			r.KeyBits, r.Testing = k.Bits(), k.Testing()
			r.say("dkim.key-found", "RFC 6376 §6.1.2", explain.Args{
				"name": explain.ClipFolded(c.key.name), "type": string(k.Type), "bits": int64(k.Bits()), "security": string(r.Security)})
			if len(keys) > 1 {
				r.say("dkim.several-keys", "RFC 6376 §3.6.2.2", explain.Args{"count": int64(len(keys))})
			}
			return k
		}
		if first == nil {
			first = e
			r.KeyBits, r.Testing = k.Bits(), k.Testing()
			if e.Step.Code == "dkim.key-long" {
				status = Policy // it is our limit, not the standard's
			}
		}
	}
	r.decide(status, first)
	return nil
}

// acceptable tells whether a key may be used for the signature.
func (n *Verification) acceptable(c *candidate, k *Key) *Error {
	e := k.usable(c.sig.Algorithm, n.limits)
	if e == nil && k.StrictIdentity() && c.sig.identityDomain() != c.sig.Domain {
		// RFC 6376 §3.6.1, t=s
		e = problem("dkim.key-strict-identity", "RFC 6376 §3.6.1", "i", c.sig.Identity)
		e.Step.Args["domain"] = explain.ClipFolded(c.sig.Domain.String())
	}
	return e
}

// body compares the body hash.
func (n *Verification) body(c *candidate, r *Result) bool {
	sig, octets := c.sig, c.body.Octets()
	if sig.Limited && sig.Length > octets {
		// RFC 6376 §3.5, "l": not larger than the body.
		r.say("dkim.body-short", "RFC 6376 §3.5", explain.Args{"signed": sig.Length, "octets": octets})
		return false
	}
	if sig.Limited {
		r.Unsigned = octets - sig.Length
	}
	if bytes.Equal(c.body.Sum(), sig.BodyHash) {
		r.say("dkim.body-intact", "RFC 6376 §6.1.3", explain.Args{"octets": octets - r.Unsigned})
		return true
	}
	s := step("dkim.body-hash-differs", "RFC 6376 §6.1.3", explain.Args{
		"canonicalization": string(sig.BodyCanon), "octets": octets})
	if c.other != nil && bytes.Equal(c.other.Sum(), sig.BodyHash) {
		s.Children = []explain.Step{step("dkim.body-other-canonicalization", "RFC 6376 §3.4", explain.Args{
			"canonicalization": string(c.other.Canonicalization)})}
	}
	r.Steps = append(r.Steps, s)
	return false
}

// headerDigest hashes the signed fields and the signature (RFC 6376 §3.7).
func (n *Verification) headerDigest(c *candidate, buf *scratch) [sha256.Size]byte {
	canon := c.sig.HeaderCanon
	b := n.fields.AppendSigned(buf.header[:0], canon, c.sig.Headers)
	b = AppendSelf(b, canon, c.field)
	digest := sha256.Sum256(b)
	if cap(b) <= 1<<20 {
		buf.header = b
	}
	return digest
}

// match verifies the signature with the keys that are acceptable.
func (n *Verification) match(c *candidate, r *Result, keys []*Key, chosen *Key, digest []byte) bool {
	ok := chosen.Verify(c.sig.Algorithm, digest, c.sig.Value) == nil
	for _, k := range keys {
		if ok {
			break
		}
		if k == chosen || n.acceptable(c, k) != nil {
			continue
		}
		if ok = k.Verify(c.sig.Algorithm, digest, c.sig.Value) == nil; ok {
			r.KeyBits, r.Testing = k.Bits(), k.Testing()
		}
	}
	if ok {
		r.say("dkim.header-intact", "RFC 6376 §6.1.3", explain.Args{"fields": int64(len(c.sig.Headers))})
	} else {
		r.say("dkim.signature-invalid", "RFC 6376 §6.1.3", c.args)
	}
	return ok
}

// conclude decides, once the hash and the signature are known.
func (n *Verification) conclude(c *candidate, r *Result, bodyOK, signed bool) {
	var why explain.Step
	switch {
	case bodyOK && signed && r.Unsigned > 0 && !n.v.AcceptUnsigned:
		r.Status = Policy
		why = step("dkim.body-partly-unsigned", "RFC 6376 §8.2", explain.Args{"signed": c.sig.Length, "unsigned": r.Unsigned})
	case bodyOK && signed:
		r.Status = Pass
		why = step("dkim.pass", "RFC 6376 §6.1.3", c.args)
		if r.Unsigned > 0 {
			why.Children = []explain.Step{step("dkim.body-unsigned-accepted", "RFC 6376 §8.2", explain.Args{
				"signed": c.sig.Length, "unsigned": r.Unsigned})}
		}
	default:
		r.Status = Fail
		// The body first: it is what is changed on the way most often.
		for i := range r.Steps {
			switch r.Steps[i].Code {
			case "dkim.body-hash-differs", "dkim.body-short", "dkim.signature-invalid":
				r.Reason = r.Steps[i]
				r.Steps = append(append(r.Steps[:i:i], r.Steps[i+1:]...), r.Reason)
				return
			}
		}
	}
	r.Reason = why
	r.Steps = append(r.Steps, why)
}

func (r *Result) say(code, ref string, args explain.Args) {
	r.Steps = append(r.Steps, step(code, ref, args))
}

// decide ends with an error.
func (r *Result) decide(s Status, e *Error) {
	r.Status, r.Reason, r.Err = s, e.Step, e
	r.Steps = append(r.Steps, e.Step)
}
