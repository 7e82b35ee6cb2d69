// Package smime verifies the signatures of S/MIME messages (RFC 8551, RFC 8550)
// for a receiving server or a survey, and gives the result that RFC 7281
// defines for it.
//
//	v := &smime.Verifier{Roots: pool}
//	result := v.Verify(ctx, smime.Input{Header: h, Body: body, Arrived: at})
//
// # What is looked at
//
// Each is told by itself, so that a table can be made of it, and all of them
// together make the status:
//
//   - structure: the message has the form of a signed message (Result.Form).
//   - signature: the digest and the signature over the exact octets are right
//     (Signer.Signature). Line ends are made CRLF, as RFC 8551 §3.1.1 has them,
//     because files often have LF; nothing else is changed, and nothing is
//     encoded anew.
//   - chain: the signer's certificate leads to a root (Signer.Chain).
//   - validity: it was valid when the message arrived (Signer.Valid). The time
//     of signing is what the signer claims, and decides nothing.
//   - address: it is for the address in From or Sender (Signer.Match); that it
//     is for another address of the same domain is told apart, because
//     organisations have certificates for a role or for a gateway.
//   - usage: it may be used to sign mail (Signer.Usage).
//
// Revocation is not asked for: neither CRLs nor OCSP.
//
// # Which status for what
//
//   - none: no signature that can be seen; what is in an encrypted message
//     cannot be.
//   - pass: all of the above is so.
//   - fail: the content was changed, or the signature is wrong.
//   - policy: the signature is right, but not acceptable: unknown root, expired
//     certificate, another address, weak algorithm, parts that are not signed.
//   - neutral: what calls itself a signature cannot be read.
//   - permerror: it cannot be verified: the certificate is not there, or the
//     algorithm is not known.
//
// temperror, for CRLs and OCSP, is not among the results of Verify.
//
// # Why not a library
//
// The Go libraries for CMS (RFC 5652) rewrite a message that is in BER, as most
// are, into DER before they look at it, know neither RSA-PSS nor Ed25519, and give up on
// the whole where one certificate is malformed. Here BER is read as it stands.
package smime
