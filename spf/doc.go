// Package spf evaluates, writes and checks SPF records (RFC 7208).
//
// Parse reads a record into terms that print back; a Verifier evaluates a
// domain's records for a client and says why the result came out as it did.
// Lint looks at the text of a record alone, Inspect at everything that it leads
// to in the DNS, without evaluating it for any client; Flatten advises a record
// that needs fewer questions.
//
//	v := spf.Verifier{Resolver: r}
//	res := v.Verify(ctx, spf.Input{IP: ip, Helo: "mx.example.com", MailFrom: "a@example.com"})
//	if res.Status == spf.Pass { … }
package spf
