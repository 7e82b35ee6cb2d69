package smime

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"

	"sekimori/explain"
	"sekimori/message"
)

// trust looks at the certificate's chain, its time and its usage.
func (m *signedMessage) trust(s *Signer, c *x509.Certificate) {
	args := explain.Args{"from": stamp(c.NotBefore), "to": stamp(c.NotAfter), "at": stamp(m.at)}
	at, within := m.at, true
	switch {
	case m.at.Before(c.NotBefore):
		at, within = c.NotBefore, false
	case m.at.After(c.NotAfter):
		at, within = c.NotAfter, false
	}
	chains, err := m.chains(c, at)
	s.Chain = Yes
	issuersValid := true
	if err != nil && !at.Equal(c.NotBefore) {
		// A certificate above it may have expired since it was issued.
		if older, e := m.chains(c, c.NotBefore); e == nil {
			chains, err, issuersValid = older, nil, false
		}
	}
	var noRoots x509.SystemRootsError
	switch {
	case errors.As(err, &noRoots):
		s.Chain = Unknown
		s.decide(Policy, step("smime.roots-absent", "RFC 8550 §4.2", nil))
	case err != nil:
		s.Chain = No
		s.decide(Policy, m.untrusted(c, err))
	default:
		root := chains[0][len(chains[0])-1]
		why := step("smime.chain-trusted", "RFC 8550 §4.2", explain.Args{"root": orDash(clip(title(root.Subject)))})
		why.Children = m.roots()
		s.note(why)
	}
	switch {
	case m.at.Before(c.NotBefore):
		s.Valid = No
		s.decide(Policy, step("smime.certificate-early", "RFC 5280 §4.1.2.5", args))
	case !within:
		s.Valid = No
		s.decide(Policy, step("smime.certificate-expired", "RFC 5280 §4.1.2.5", args))
	case !issuersValid:
		s.Valid = No
		s.decide(Policy, step("smime.issuer-expired", "RFC 5280 §6.1.3", args))
	default:
		s.Valid = Yes
		s.note(step("smime.certificate-valid", "RFC 5280 §4.1.2.5", args))
	}
	switch {
	case !mayMail(c):
		s.Usage = No
		s.decide(Policy, step("smime.usage-forbidden", "RFC 8550 §4.4.4", nil))
	case !maySign(c):
		s.Usage = No
		s.decide(Policy, step("smime.key-usage-forbidden", "RFC 8550 §4.4.2", nil))
	case len(chains) > 0 && !slices.ContainsFunc(chains, chainMayMail):
		s.Usage = No
		s.decide(Policy, step("smime.issuer-usage-forbidden", "RFC 8550 §4.4.4", nil))
	default:
		s.Usage = Yes
	}
}

// chains builds the chains to the roots, whatever they are for.
func (m *signedMessage) chains(c *x509.Certificate, at time.Time) ([][]*x509.Certificate, error) {
	pool := x509.NewCertPool()
	if m.verifier.Intermediates != nil {
		pool = m.verifier.Intermediates.Clone()
	}
	for _, o := range m.certificates {
		if o.parsed == nil || o.parsed == c {
			continue
		}
		if k, ok := o.parsed.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSA {
			continue // it would only take time
		}
		pool.AddCert(o.parsed)
	}
	return c.Verify(x509.VerifyOptions{Roots: m.verifier.Roots, Intermediates: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
}

// chainMayMail reports whether the certificates between the signer's and the
// root admit mail, where they restrict what they issue for.
func chainMayMail(chain []*x509.Certificate) bool {
	for i := 1; i < len(chain)-1; i++ {
		if !mayMail(chain[i]) {
			return false
		}
	}
	return true
}

// untrusted tells why there is no chain.
func (m *signedMessage) untrusted(c *x509.Certificate, err error) explain.Step {
	args := explain.Args{"issuer": orDash(clip(title(c.Issuer)))}
	code := "smime.chain-untrusted"
	var invalid x509.CertificateInvalidError
	var critical x509.UnhandledCriticalExtension
	switch {
	case string(c.RawIssuer) == string(c.RawSubject):
		code = "smime.self-signed"
	case errors.As(err, &invalid):
		switch invalid.Reason {
		case x509.CANotAuthorizedForThisName, x509.CANotAuthorizedForExtKeyUsage, x509.NotAuthorizedToSign, x509.TooManyIntermediates, x509.TooManyConstraints, x509.UnconstrainedName, x509.NameConstraintsWithoutSANs:
			code = "smime.chain-forbidden"
		}
	case errors.As(err, &critical):
		code = "smime.chain-forbidden"
	}
	why := step(code, "RFC 8550 §4.2", args)
	if code == "smime.chain-untrusted" {
		why.Children = m.roots()
	}
	return why
}

// roots says which list was asked, where it was not made for mail.
func (m *signedMessage) roots() []explain.Step {
	if m.verifier.Roots != nil {
		return nil
	}
	return []explain.Step{{Code: "smime.roots-system"}}
}

// authors are the addresses of a header field.
type authors struct {
	boxes []mailbox
	bad   bool // there is a field that cannot be read
}

// senders reads the addresses of all fields of a name.
func senders(h message.Header, name string) authors {
	var a authors
	for _, f := range h.All(name) {
		list, err := message.ParseAddrSpecs(f.RawValue())
		a.bad = a.bad || err != nil
		for _, x := range list {
			b, ok := readMailbox(x.String())
			b.shown = clip(x.Local + "@" + x.Domain)
			if !ok {
				a.bad = true
				continue
			}
			b.local = x.Local
			a.boxes = append(a.boxes, b)
		}
	}
	return a
}

// match compares the certificate's addresses with those of From and Sender
// (RFC 8550 §3).
func (m *signedMessage) match(s *Signer) {
	if len(m.from.boxes) == 0 && len(m.sender.boxes) == 0 {
		s.decide(Policy, step("smime.no-author", "RFC 8550 §3", nil))
		return
	}
	var own []mailbox
	for _, a := range s.Addresses {
		if b, ok := readMailbox(a); ok {
			own = append(own, b)
		}
	}
	if len(own) == 0 {
		s.decide(Policy, step("smime.address-absent", "RFC 8550 §3", nil))
		return
	}
	s.Match = MatchNone
	rank := map[Match]int{MatchNone: 0, MatchOrganization: 1, MatchDomain: 2, MatchAddress: 3}
	var author mailbox
	for _, field := range []struct {
		name string
		a    authors
	}{{"from", m.from}, {"sender", m.sender}} {
		for _, b := range field.a.boxes {
			for _, o := range own {
				how := MatchNone
				switch org := b.domain.Organizational(); {
				case o.same(b):
					how = MatchAddress
				case o.domain == b.domain:
					how = MatchDomain
				case !org.IsZero() && o.domain.Organizational() == org:
					how = MatchOrganization
				}
				if rank[how] > rank[s.Match] {
					s.Match, s.Address, s.MatchedIn, author = how, o.shown, field.name, b
				}
			}
		}
	}
	if s.Match == MatchNone {
		first := m.from.boxes
		if len(first) == 0 {
			first = m.sender.boxes
		}
		author = first[0]
	}
	args := explain.Args{"address": clip(s.Address), "author": author.shown}
	switch s.Match {
	case MatchAddress:
		code := "smime.address-matches"
		if s.MatchedIn == "sender" {
			code = "smime.address-matches-sender"
		}
		s.note(step(code, "RFC 8550 §3", args))
	case MatchDomain:
		s.decide(Policy, step("smime.address-domain", "RFC 8550 §3", args))
	case MatchOrganization:
		s.decide(Policy, step("smime.address-organization", "RFC 8550 §3", args))
	default:
		s.decide(Policy, step("smime.address-differs", "RFC 8550 §3", args))
	}
}

// settleAuthors takes a pass back where From names several authors and some of
// them signed nothing: readers are shown any of them.
func (r *Result) settleAuthors(m *signedMessage) {
	if r.Status != Pass || len(m.from.boxes) < 2 && !m.from.bad {
		return
	}
	for _, s := range r.Signers {
		if s.Status == Pass && s.MatchedIn == "sender" {
			return // RFC 5322 §3.6.2: with several authors, Sender says who sent it
		}
	}
	var missing []string
	for _, b := range m.from.boxes {
		if !slices.ContainsFunc(r.Signers, func(s Signer) bool {
			return s.Status == Pass && slices.ContainsFunc(s.Addresses, func(a string) bool {
				o, ok := readMailbox(a)
				return ok && o.same(b)
			})
		}) {
			missing = append(missing, b.shown)
		}
	}
	if len(missing) == 0 && !m.from.bad {
		return
	}
	why := step("smime.authors-uncovered", "RFC 5322 §3.6.2", explain.Args{"addresses": orDash(clip(strings.Join(missing, ", ")))})
	r.end(Policy, why)
	for i := range r.Signers {
		if s := &r.Signers[i]; s.Status == Pass {
			s.Status, s.Reason = Policy, why
			s.Steps = append(s.Steps[:len(s.Steps)-1], why)
		}
	}
}
