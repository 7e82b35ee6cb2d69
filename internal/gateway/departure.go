package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sekimori/dkim"
	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/message"
)

// Signer holds the keys of the site's domains. Mail from a domain is signed
// with all of the domain's keys, or, where it has none, with those of the
// nearest domain above it; whose signature is then aligned in relaxed mode only
// (RFC 9989 §4.4.1). It is safe for concurrent use; the zero Signer signs
// nothing.
type Signer struct {
	keys     []*signingKey // in the order of the configuration
	byDomain map[domain.Name][]*signingKey
}

// signingKey is a key and where its public half is published.
type signingKey struct {
	signer dkim.Signer
	file   string
	name   string // of the key record
	record string // as it is to be published
	bits   int
}

// For returns the signers for mail from a domain, in the order of the
// configuration. They are shared and must not be changed.
func (s *Signer) For(from domain.Name) []*dkim.Signer {
	keys := s.forDomain(from)
	out := make([]*dkim.Signer, len(keys))
	for i, k := range keys {
		out[i] = &k.signer
	}
	return out
}

func (s *Signer) forDomain(from domain.Name) []*signingKey {
	if s == nil {
		return nil
	}
	for ; !from.IsZero(); from = from.Parent() {
		if keys := s.byDomain[from]; keys != nil {
			return keys
		}
	}
	return nil
}

// What an Entry's DKIM says of own mail, which is given to Options.Done and not
// kept. It is empty where there is no key for the author, and where the message
// bore our signatures already.
const (
	WordSigned   = "signed"
	WordUnsigned = "unsigned" // there is a key, and it or another could not sign
)

// departing is one message on its way through a Signer.
type departing struct {
	signing []*dkim.Signing
	under   []*signingKey
	// signed verifies the signatures by our keys that the message has already;
	// nil where there is none.
	signed *dkim.Verification
}

// maxThere is how many of the signatures that a message brings along are looked
// at, from the top, for one by our own keys.
const maxThere = 20

// Begin starts signing a message: its header section as it arrived, folded by
// CRLF or LF. It returns nil where there is nothing to sign: no key for the
// author's domain, or not exactly one From field with exactly one domain, where
// nobody could tell which of several answers for the message (RFC 9989 §5.3.1).
//
// A message that passes twice, such as through a content filter, is signed
// once: a key does not sign where a signature by it is there that verifies. One
// that does not verify any more, because the filter changed the message, stays
// where it is and counts as none (RFC 6376 §6.1).
func (s *Signer) Begin(h message.Header, d *message.Digests) (Leaving, error) {
	names, unclear := dmarc.FromDomains(h)
	if unclear != nil {
		return nil, nil
	}
	keys := s.forDomain(names[0])
	if len(keys) == 0 {
		return nil, nil
	}
	n := &departing{}
	n.verify(h, keys, d)
	covered := coverage(h)
	for _, k := range keys {
		signer := k.signer
		signer.Headers = covered
		signing, err := signer.Begin(h, d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.file, err)
		}
		n.signing, n.under = append(n.signing, signing), append(n.under, k)
	}
	return n, nil
}

// coverage is h= for a message: dkim.DefaultHeaders, but that Date and
// Message-ID are not sealed where they are absent. A host on the way may supply
// them (RFC 5321 §6.4, RFC 6409 §8), and would break the signature by it.
func coverage(h message.Header) []string {
	out := dkim.DefaultHeaders(h)
	for _, name := range [...]string{"Date", "Message-ID"} {
		if !h.Has(name) {
			out = slices.DeleteFunc(out, func(n string) bool { return strings.EqualFold(n, name) })
		}
	}
	return out
}

// verify begins with the signatures by our keys that are there already.
func (n *departing) verify(h message.Header, keys []*signingKey, d *message.Digests) {
	there, own := 0, []int(nil)
	for i, f := range h {
		if !f.Is("DKIM-Signature") {
			continue
		}
		if there++; there > maxThere {
			break
		}
		if byOneOf(f, keys) {
			own = append(own, i)
		}
	}
	if own == nil {
		return
	}
	// The others are left out: they need the DNS and their result is not asked.
	rest := make(message.Header, 0, len(h))
	for i, f := range h {
		if !f.Is("DKIM-Signature") || slices.Contains(own, i) {
			rest = append(rest, f)
		}
	}
	v := &dkim.Verifier{Resolver: published(keys), Limits: dkim.Limits{Signatures: maxThere, MaxRSABits: 16384}, Sequential: true}
	n.signed = v.Begin(context.Background(), rest, d)
}

func byOneOf(f message.Field, keys []*signingKey) bool {
	sig, _ := dkim.ParseSignature(f.RawValue())
	return sig != nil && slices.ContainsFunc(keys, func(k *signingKey) bool { return k.made(sig.Domain, sig.Selector) })
}

// made tells a signature of this key by its d= and s=.
func (k *signingKey) made(d domain.Name, selector string) bool {
	return k.signer.Domain == d && strings.EqualFold(k.signer.Selector, selector)
}

// published answers for our own keys as the DNS should, without asking it.
type published []*signingKey

func (p published) Lookup(_ context.Context, name string, t dns.Type) (dns.Answer, error) {
	for _, k := range p {
		if t == dns.TXT && strings.EqualFold(strings.TrimSuffix(name, "."), k.name) {
			return dns.Answer{Records: []string{k.record}}, nil
		}
	}
	return dns.Answer{}, &dns.Failure{Name: name, Type: t, Err: dns.ErrNameNotFound}
}

// Finish signs with every key of which no valid signature is there yet. The
// fields are to be put at the top of the header section in their order. Beside
// an error there are those of the keys that could sign.
func (n *departing) Finish() ([]string, error) {
	var there []dkim.Result
	if n.signed != nil {
		there = n.signed.Finish(context.Background())
	}
	var out []string
	var errs []error
	for i, signing := range n.signing {
		k := n.under[i]
		if slices.ContainsFunc(there, func(r dkim.Result) bool { return r.Status == dkim.Pass && k.made(r.Domain, r.Selector) }) {
			continue
		}
		field, err := signing.Finish()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", k.file, err))
			continue
		}
		out = append(out, field)
	}
	return out, errors.Join(errs...)
}

// Sign signs a message that is at hand as a whole, such as a report: what Begin
// and Finish do together.
func (s *Signer) Sign(h message.Header, body io.Reader) ([]string, error) {
	var d message.Digests
	n, err := s.Begin(h, &d)
	if n == nil || err != nil {
		return nil, err
	}
	if _, err := io.Copy(&d, body); err != nil {
		return nil, err
	}
	if err := d.Close(); err != nil {
		return nil, err
	}
	return n.Finish()
}
