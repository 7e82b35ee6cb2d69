package smime

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"sekimori/domain"
	"sekimori/message"
)

// certificate is a certificate of the message, as far as it could be read.
// What crypto/x509 refuses as a whole may still have a key that verifies.
type certificate struct {
	serial, issuer []byte
	spki           []byte
	parsed         *x509.Certificate // nil where crypto/x509 refuses it
	key            crypto.PublicKey
	bits           int
}

// readCertificate reads the parts that find and use the key.
func readCertificate(raw []byte) (*certificate, bool) {
	c := &certificate{}
	var whole, tbs, serial, part cryptobyte.String
	in := cryptobyte.String(raw)
	if !in.ReadASN1(&whole, cbasn1.SEQUENCE) || !whole.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return nil, false
	}
	if !tbs.SkipOptionalASN1(cbasn1.Tag(0).Constructed().ContextSpecific()) || !tbs.ReadASN1(&serial, cbasn1.INTEGER) ||
		!tbs.SkipASN1(cbasn1.SEQUENCE) || !tbs.ReadASN1Element(&part, cbasn1.SEQUENCE) {
		return nil, false
	}
	c.serial, c.issuer = serial, part
	if !tbs.SkipASN1(cbasn1.SEQUENCE) { // validity
		return nil, false
	}
	if !tbs.SkipASN1(cbasn1.SEQUENCE) || !tbs.ReadASN1Element(&part, cbasn1.SEQUENCE) { // subject, key
		return nil, false
	}
	c.spki = part
	c.parsed, _ = x509.ParseCertificate(bytes.Clone(raw)) // which keeps what it is given
	return c, true
}

// is reports whether the certificate is the one that the signer names.
func (c *certificate) is(i *signerInfo) bool {
	if i.keyID == nil {
		return bytes.Equal(c.serial, i.serial) && bytes.Equal(c.issuer, i.issuer)
	}
	if c.parsed != nil && len(c.parsed.SubjectKeyId) > 0 {
		return bytes.Equal(c.parsed.SubjectKeyId, i.keyID)
	}
	// Without the extension, the usual way to make one (RFC 5280 §4.2.1.2).
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.spki, &info); err != nil {
		return false
	}
	sum := sha1.Sum(info.Key.RightAlign())
	return bytes.Equal(sum[:], i.keyID)
}

// Object identifiers in certificates.
var (
	oidEmailAddress    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	oidSubjectAltName  = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidKeyUsage        = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage     = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidSmtpUTF8Mailbox = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 9}
)

// maxAddresses bounds the addresses that are read of one certificate.
const maxAddresses = 100

// addresses returns the mail addresses of a certificate: rfc822Name and
// SmtpUTF8Mailbox (RFC 8398) among the alternative names, then emailAddress in
// the subject, the old way (RFC 8550 §3).
func addresses(c *x509.Certificate) []string {
	var out []string
	add := func(a string) {
		if a = strings.TrimSpace(a); strings.Contains(a, "@") && len(out) < maxAddresses {
			out = append(out, a)
		}
	}
	for _, a := range c.EmailAddresses {
		add(a)
	}
	for _, x := range c.Extensions {
		if x.Id.Equal(oidSubjectAltName) {
			for _, a := range utf8Mailboxes(x.Value) {
				add(a)
			}
		}
	}
	for _, n := range c.Subject.Names {
		if a, ok := n.Value.(string); ok && n.Type.Equal(oidEmailAddress) {
			add(a)
		}
	}
	return distinct(out)
}

// utf8Mailboxes reads the SmtpUTF8Mailbox names of a GeneralNames.
func utf8Mailboxes(value []byte) []string {
	var out []string
	var names cryptobyte.String
	in := cryptobyte.String(value)
	if !in.ReadASN1(&names, cbasn1.SEQUENCE) {
		return nil
	}
	for !names.Empty() {
		var name, box, text cryptobyte.String
		var tag cbasn1.Tag
		if !names.ReadAnyASN1(&name, &tag) {
			return out
		}
		var id asn1.ObjectIdentifier
		if tag == cbasn1.Tag(0).Constructed().ContextSpecific() && name.ReadASN1ObjectIdentifier(&id) && id.Equal(oidSmtpUTF8Mailbox) &&
			name.ReadASN1(&box, cbasn1.Tag(0).Constructed().ContextSpecific()) && box.ReadASN1(&text, cbasn1.UTF8String) {
			out = append(out, string(text))
		}
	}
	return out
}

func distinct(in []string) []string {
	var out []string
next:
	for _, a := range in {
		for _, b := range out {
			if a == b {
				continue next
			}
		}
		out = append(out, a)
	}
	return out
}

// mailbox is an address, ready to be compared.
type mailbox struct {
	shown  string
	local  string
	domain domain.Name
}

func readMailbox(a string) (mailbox, bool) {
	local, host := message.SplitAddress(a)
	d, err := domain.Parse(host)
	if err != nil || local == "" {
		return mailbox{}, false
	}
	return mailbox{shown: a, local: local, domain: d}, true
}

// same compares two addresses. Only the owner of a domain may say that the case
// of a local part matters (RFC 5321 §2.4), and none does: clients of mail do not tell them
// apart either.
func (m mailbox) same(o mailbox) bool {
	return m.domain == o.domain && lower(m.local) == lower(o.local)
}

// lower makes letters of ASCII small, and no others: some of those look alike
// and are not.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// extension reports whether the certificate has the extension.
func extension(c *x509.Certificate, id asn1.ObjectIdentifier) bool {
	for _, x := range c.Extensions {
		if x.Id.Equal(id) {
			return true
		}
	}
	return false
}

// mayMail reports whether the extended key usage admits mail (RFC 8550
// §4.4.4): absent, emailProtection or any.
func mayMail(c *x509.Certificate) bool {
	if !extension(c, oidExtKeyUsage) {
		return true
	}
	for _, u := range c.ExtKeyUsage {
		if u == x509.ExtKeyUsageEmailProtection || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

// maySign reports whether the key usage admits signatures (RFC 8550 §4.4.2).
func maySign(c *x509.Certificate) bool {
	return !extension(c, oidKeyUsage) || c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) != 0
}

// title names the subject or issuer of a certificate for people: its common
// name with the organisation, or the whole name where it has neither.
func title(n pkix.Name) string {
	switch {
	case n.CommonName != "" && len(n.Organization) > 0 && n.Organization[0] != n.CommonName:
		return n.CommonName + " (" + n.Organization[0] + ")"
	case n.CommonName != "":
		return n.CommonName
	case len(n.Organization) > 0:
		return n.Organization[0]
	}
	return n.String()
}
