package dane

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"slices"
	"time"
)

// Matches reports whether a certificate is the one of a record that is Usable,
// or has its key.
func (r *Record) Matches(c *x509.Certificate) bool {
	data := c.Raw
	if r.Selector == SPKI {
		data = c.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case Full:
		return r.Data == string(data)
	case SHA256:
		sum := sha256.Sum256(data)
		return r.Data == string(sum[:])
	case SHA512:
		sum := sha512.Sum512(data)
		return r.Data == string(sum[:])
	}
	return false
}

// Presented is what a mail exchanger showed when TLS began.
type Presented struct {
	// Chain has the host's own certificate first, as sent.
	Chain []*x509.Certificate
	// Names are the names that a certificate may be for: the mail exchanger's
	// and, where the MX records are secure, the domain's (RFC 7672 §3.2.2).
	Names []string
	Now   time.Time
}

// Authenticates reports whether one of the records makes a mail exchanger the
// one it claims to be (RFC 7672 §3.1). Records that are not Usable count for
// nothing. A record of usage 3 is for the host's own certificate, whatever
// names and dates that has (§3.1.1). One of usage 2 is for an issuer, from
// whom the chain must hold, for one of the names and today (§3.1.2); names
// are looked for in the subject alternative names alone.
func Authenticates(records []Record, p Presented) bool {
	if len(p.Chain) == 0 {
		return false
	}
	leaf := p.Chain[0]
	for i := range records {
		r := &records[i]
		switch {
		case !r.Usable():
		case r.Usage == EE:
			if r.Matches(leaf) {
				return true
			}
		default:
			if slices.ContainsFunc(issuers(r, p.Chain[1:]), func(anchor *x509.Certificate) bool { return p.holds(anchor) }) {
				return true
			}
		}
	}
	return false
}

// issuers are the certificates that a record of usage 2 is about: those of the
// chain, or the record's own where it holds a whole one, which a host need not
// send.
func issuers(r *Record, chain []*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range chain {
		if r.Matches(c) {
			out = append(out, c)
		}
	}
	if len(out) == 0 && r.Selector == Cert && r.Matching == Full {
		if c, err := x509.ParseCertificate([]byte(r.Data)); err == nil {
			out = append(out, c)
		}
	}
	return out
}

// holds tells whether the chain holds from an issuer, for one of the names.
func (p Presented) holds(anchor *x509.Certificate) bool {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: p.Now}
	o.Roots.AddCert(anchor)
	for _, c := range p.Chain[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := p.Chain[0].Verify(o); err != nil {
		return false
	}
	return slices.ContainsFunc(p.Names, func(n string) bool { return p.Chain[0].VerifyHostname(n) == nil })
}
