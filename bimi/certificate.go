package bimi

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"time"

	"sekimori/explain"
)

// Limits of a mark certificate's file.
const (
	MaxCertificate = 256 << 10 // octets
	maxChain       = 8         // certificates
)

var (
	oidUsage  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 31}       // id-kp-BrandIndicatorforMessageIdentification
	oidSCT    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2} // RFC 6962 §3.3
	oidPolicy = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 53087, 1, 1}    // the mark certificates' general policy
	oidMark   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 53087, 1, 13}   // markType, in the subject
	oidTrade  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 53087, 1, 4}    // trademarkRegistration, in the subject
	oidPilot  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 53087, 4, 1}    // pilotIdentifier
)

// Kind is what a mark certificate proves.
type Kind string

const (
	VMC Kind = "vmc" // a registered or a government's mark
	CMC Kind = "cmc" // a mark in use before, or a changed form of a registered one
)

// Trust tells whether a certificate leads to a trusted root.
type Trust string

const (
	Trusted   Trust = "yes"
	Untrusted Trust = "no"
	NotAsked  Trust = "unknown" // no roots were given
)

// CertificateInput says what a certificate is to hold for.
type CertificateInput struct {
	// Domain and Selector are where the record stands that names it.
	Domain, Selector string
	// Roots are the issuers of mark certificates that are trusted; nil leaves
	// open whether the certificate leads to one of them. They are others than
	// those of the web.
	Roots *x509.CertPool
	Now   time.Time
}

// Certificate is what a mark certificate says, and what is wrong with it.
// Whether it was revoked is not asked.
type Certificate struct {
	Kind         Kind   // empty where it does not say
	Mark         string // the mark's type, such as "Registered Mark"
	Organization string // whose mark it is
	Issuer       string
	Names        []string // for which it holds, at most 20
	NotBefore    time.Time
	NotAfter     time.Time
	Trust        Trust
	// Logo is the logo in it; nil where there is none that can be read.
	Logo     *Logo
	Findings []explain.Finding
}

// Valid reports whether nothing is wrong with the certificate but, perhaps,
// that nobody knows its root.
func (c *Certificate) Valid() bool {
	return !slices.ContainsFunc(c.Findings, func(f explain.Finding) bool { return f.Grade == explain.Error })
}

// ReadCertificate looks at the file of a mark certificate, as the tag a= of a
// record leads to it: in PEM, the certificate itself first, then those of its
// issuers in turn (draft-fetch-validation-vmc-wchuang-11 §5).
func ReadCertificate(file []byte, in CertificateInput) Certificate {
	c := certificateReader{in: in, Certificate: Certificate{Trust: NotAsked}}
	if chain := c.parse(file); len(chain) > 0 {
		c.describe(chain[0])
		c.leaf(chain[0])
		c.chain(chain)
		c.logo(chain[0])
	}
	return c.Certificate
}

type certificateReader struct {
	Certificate
	in CertificateInput
}

const certificateRef = "draft-fetch-validation-vmc-wchuang-11"

func (c *certificateReader) add(g explain.Grade, code string, args explain.Args) {
	c.Findings = append(c.Findings, explain.Finding{Grade: g, Step: explain.Step{Code: code, Args: args, Ref: certificateRef}})
}

// parse reads the file; without a certificate in it the result is empty.
func (c *certificateReader) parse(file []byte) []*x509.Certificate {
	var chain []*x509.Certificate
	if len(file) > MaxCertificate {
		c.add(explain.Error, "bimi.certificate.long", explain.Args{"limit": int64(MaxCertificate)})
		return nil
	}
	for rest := file; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch {
		case strings.Contains(block.Type, "PRIVATE KEY"):
			c.add(explain.Error, "bimi.certificate.private-key", nil)
		case block.Type != "CERTIFICATE":
		case len(chain) == maxChain:
			c.add(explain.Error, "bimi.certificate.many", explain.Args{"limit": int64(maxChain)})
			return chain
		default:
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				c.add(explain.Error, "bimi.certificate.unreadable", explain.Args{"number": int64(len(chain) + 1)})
				return nil
			}
			chain = append(chain, cert)
		}
	}
	if len(chain) == 0 {
		c.add(explain.Error, "bimi.certificate.none", nil)
	}
	return chain
}

// describe takes over what the certificate says.
func (c *certificateReader) describe(leaf *x509.Certificate) {
	c.NotBefore, c.NotAfter = leaf.NotBefore.UTC(), leaf.NotAfter.UTC()
	c.Organization = explain.Clip(strings.Join(leaf.Subject.Organization, ", "))
	c.Issuer = explain.Clip(leaf.Issuer.CommonName)
	if c.Issuer == "" {
		c.Issuer = explain.Clip(leaf.Issuer.String())
	}
	for _, n := range leaf.DNSNames[:min(len(leaf.DNSNames), 20)] {
		c.Names = append(c.Names, explain.Clip(strings.ToLower(n)))
	}
	registered := false
	for _, a := range leaf.Subject.Names {
		switch s, _ := a.Value.(string); {
		case a.Type.Equal(oidMark):
			c.Mark = explain.Clip(s)
		case a.Type.Equal(oidTrade):
			registered = true
		}
	}
	switch strings.ToLower(c.Mark) {
	case "registered mark", "government mark":
		c.Kind = VMC
	case "prior use mark", "modified registered mark":
		c.Kind = CMC
	case "":
		if registered { // those of before 2023 do not say
			c.Kind = VMC
		}
	}
}

// leaf looks at the certificate itself.
func (c *certificateReader) leaf(leaf *x509.Certificate) {
	if leaf.IsCA {
		c.add(explain.Error, "bimi.certificate.order", nil)
	}
	switch now := c.in.Now; {
	case now.Before(leaf.NotBefore):
		c.add(explain.Error, "bimi.certificate.early", explain.Args{"date": leaf.NotBefore.UTC().Format(time.DateOnly)})
	case now.After(leaf.NotAfter):
		c.add(explain.Error, "bimi.certificate.expired", explain.Args{"date": leaf.NotAfter.UTC().Format(time.DateOnly)})
	case now.AddDate(0, 0, 30).After(leaf.NotAfter):
		c.add(explain.Warning, "bimi.certificate.ends", explain.Args{"date": leaf.NotAfter.UTC().Format(time.DateOnly)})
	}
	if !used(leaf) {
		c.add(explain.Error, "bimi.certificate.usage", nil)
	}
	domain := strings.ToLower(c.in.Domain)
	holds := slices.ContainsFunc(leaf.DNSNames, func(n string) bool {
		return strings.EqualFold(n, domain) || strings.EqualFold(n, Name(c.in.Selector, domain))
	})
	if !holds {
		c.add(explain.Error, "bimi.certificate.name", explain.Args{"domain": explain.Clip(domain), "names": append([]string{}, c.Names...)})
	}
	if extension(leaf, oidSCT) == nil {
		c.add(explain.Error, "bimi.certificate.log", nil)
	}
	if extension(leaf, oidPilot) != nil {
		c.add(explain.Error, "bimi.certificate.pilot", nil)
	}
	if !slices.ContainsFunc(leaf.PolicyIdentifiers, oidPolicy.Equal) {
		c.add(explain.Warning, "bimi.certificate.policy", nil)
	}
	if c.Kind == "" {
		c.add(explain.Warning, "bimi.certificate.kind", explain.Args{"mark": c.Mark})
	}
	if len(leaf.CRLDistributionPoints) == 0 {
		c.add(explain.Warning, "bimi.certificate.revocation", nil)
	}
}

func used(cert *x509.Certificate) bool {
	return slices.ContainsFunc(cert.UnknownExtKeyUsage, oidUsage.Equal)
}

func extension(cert *x509.Certificate, id asn1.ObjectIdentifier) []byte {
	for _, e := range cert.Extensions {
		if e.Id.Equal(id) {
			return e.Value
		}
	}
	return nil
}

// maxKeyBits bounds an issuer's RSA key. With one of some hundred thousand bits
// a single check of a signature takes a minute.
const maxKeyBits = 8192

func keyBits(cert *x509.Certificate) int {
	if k, ok := cert.PublicKey.(*rsa.PublicKey); ok {
		return k.N.BitLen()
	}
	return 0
}

// chain looks at the issuers' certificates, and for a root that is trusted.
func (c *certificateReader) chain(chain []*x509.Certificate) {
	leaf := chain[0]
	between := x509.NewCertPool()
	for i, cert := range chain[1:] {
		switch {
		case !cert.IsCA:
			c.add(explain.Error, "bimi.certificate.leaves", nil)
			return
		case keyBits(cert) > maxKeyBits:
			c.add(explain.Error, "bimi.certificate.issuer-key", explain.Args{"bits": int64(keyBits(cert)), "most": int64(maxKeyBits)})
			return
		case chain[i].CheckSignatureFrom(cert) != nil:
			c.add(explain.Error, "bimi.certificate.chain", explain.Args{"number": int64(i + 1)})
			return
		}
		between.AddCert(cert)
	}
	switch {
	case len(chain) > 1 && !used(chain[1]):
		c.add(explain.Error, "bimi.certificate.issuer-usage", nil)
	case len(chain) == 1:
		c.add(explain.Warning, "bimi.certificate.alone", nil)
	}
	if c.in.Roots == nil {
		return
	}
	// What is said of its dates is said above: here they are taken as kept.
	at := c.in.Now
	if at.Before(leaf.NotBefore) || at.After(leaf.NotAfter) {
		at = leaf.NotAfter
	}
	checked := *leaf
	checked.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), func(id asn1.ObjectIdentifier) bool {
		return id.Equal(oidLogotype) || id.Equal(oidPilot)
	})
	_, err := checked.Verify(x509.VerifyOptions{Roots: c.in.Roots, Intermediates: between, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if c.Trust = Trusted; err != nil {
		c.Trust = Untrusted
		c.add(explain.Error, "bimi.certificate.untrusted", explain.Args{"issuer": c.Issuer})
	}
}

// logo looks at the logo in the certificate.
func (c *certificateReader) logo(leaf *x509.Certificate) {
	value := extension(leaf, oidLogotype)
	if value == nil {
		c.add(explain.Error, "bimi.certificate.no-logo", nil)
		return
	}
	file, err := logotype(value)
	switch {
	case errors.Is(err, errHash):
		c.add(explain.Error, "bimi.certificate.logo-hash", nil)
	case err != nil:
		c.add(explain.Error, "bimi.certificate.logo-unreadable", nil)
		return
	}
	l := ReadLogo(file)
	if c.Logo = &l; !l.Valid() {
		c.add(explain.Error, "bimi.certificate.logo-invalid", nil)
	}
}

// Compare says whether the logo that a record leads to is the one in the
// certificate that it leads to, as it has to be: octet for octet, compression
// aside (draft-fetch-validation-vmc-wchuang-11 §5). No finding where either is
// not known.
func (c *Certificate) Compare(published *Logo) []explain.Finding {
	if c.Logo == nil || published == nil || c.Logo.SVG == nil || published.SVG == nil || bytes.Equal(c.Logo.SVG, published.SVG) {
		return nil
	}
	return []explain.Finding{{Grade: explain.Error, Step: explain.Step{Code: "bimi.certificate.other-logo", Ref: certificateRef}}}
}
