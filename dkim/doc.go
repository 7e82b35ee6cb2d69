// Package dkim signs mail and verifies signatures of DomainKeys Identified Mail
// (RFC 6376, with RFC 8301, RFC 8463 and RFC 8616).
//
// # Verifying
//
// A Verifier goes over the body once, however many signatures there are, and
// asks for the keys while the body arrives:
//
//	v := &dkim.Verifier{Resolver: r}
//	results, err := v.Verify(ctx, header, body)
//
// or, where the body goes through other hands as well,
//
//	var d message.Digests
//	n := v.Begin(ctx, header, &d)
//	io.Copy(&d, body)
//	d.Close()
//	results := n.Finish(ctx)
//
// There is one Result per signature, in the order of the header section. Each
// says why it came out so: Result.Reason is the step that decided, Result.Steps
// all that was looked at.
//
// # Which status for what
//
// The RFC knows success, temporary and permanent failure; the statuses are
// those of RFC 8601 §2.7.1:
//
//   - pass: the signature verifies.
//   - fail: the signature was verified and is wrong: the signed fields or the
//     body were changed, or the key is another one.
//   - policy: it verifies, but is not accepted: "l=" leaves a part of the body
//     unsigned, the key is longer than the limit, there are too many signatures.
//   - temperror: the key could not be had for now. Only the DNS gives it.
//   - permerror: the signature or its key cannot be used: syntax, no key, a
//     revoked key, an algorithm or a key length that RFC 8301 forbids, expired.
//
// A signature that does not pass is as good as none (RFC 6376 §6.1).
//
// # Signing
//
//	s := &dkim.Signer{Domain: d, Selector: "2026a", Key: key}
//	fields, err := dkim.Sign(header, body, s)
//
// # What other protocols use
//
// ARC seals as DKIM signs (RFC 8617 §4.1): Fields selects and canonicalizes
// header fields, SignatureOf reads the tags that both have, Lookup finds keys,
// Key.Verify and SignDigest are the two sides of a signature.
package dkim
