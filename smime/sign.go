package smime

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekimori/message"
)

// Credential is what a message is signed with. The zero value is invalid: it
// needs Certificate and Key. It is safe for concurrent use if Key is.
type Credential struct {
	Certificate *x509.Certificate
	// Intermediates go into the message, so that receivers find the way to
	// a root they know.
	Intermediates []*x509.Certificate
	// Key is an RSA key of 2,048 bits or more, an ECDSA key, or Ed25519.
	Key    crypto.Signer
	Digest crypto.Hash // SHA256, the default, SHA384 or SHA512; Ed25519 takes SHA512 always (RFC 8419 §3.1)
	// PSS makes RSA signatures in the newer way (RFC 4056), which many
	// receivers do not know.
	PSS bool
	// Opaque wraps the content in the signature (RFC 8551 §3.5.2). What is on the
	// way cannot change it then, and readers without S/MIME cannot read it.
	Opaque bool
	Now    func() time.Time // nil means time.Now
}

var errCredential = errors.New("sign: want a certificate and its key")

// Sign returns a message with an S/MIME signature (RFC 8551): its header
// fields but those of MIME stay as they are, and come first; the fields of MIME and the body
// become the signed part. Line ends are made CRLF. The content is
// signed as it is: where it has octets above 127, all who pass it on must take
// them (RFC 8551 §3.1.3 advises to encode them). DKIM signs afterwards.
func Sign(h message.Header, body []byte, c *Credential) ([]byte, error) {
	if c.Certificate == nil || c.Key == nil {
		return nil, errCredential
	}
	var out, part bytes.Buffer
	typed := false
	for _, f := range h {
		name := strings.ToLower(f.Name())
		switch {
		case strings.HasPrefix(name, "content-"):
			typed = typed || name == "content-type"
			part.WriteString(line(f))
		case name == "mime-version":
		default:
			out.WriteString(line(f))
		}
	}
	if !typed {
		part.WriteString("Content-Type: text/plain; charset=us-ascii\r\n") // RFC 2045 §5.2
	}
	part.WriteString("\r\n")
	part.Write(body)
	content := withCRLF(part.Bytes())
	cms, name, err := c.signedData(content)
	if err != nil {
		return nil, err
	}
	out.WriteString("MIME-Version: 1.0\r\n")
	if c.Opaque {
		out.WriteString("Content-Type: application/pkcs7-mime; smime-type=signed-data;\r\n\tname=smime.p7m\r\n" +
			"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=smime.p7m\r\n\r\n")
		writeBase64(&out, cms)
		return out.Bytes(), nil
	}
	boundary, err := boundaryFor(content)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(&out, "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n\tmicalg=%s; boundary=\"%s\"\r\n\r\n", name, boundary)
	fmt.Fprintf(&out, "This is a signed message in MIME format (S/MIME).\r\n\r\n--%s\r\n", boundary)
	out.Write(content)
	fmt.Fprintf(&out, "\r\n--%s\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n"+
		"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=smime.p7s\r\n\r\n", boundary)
	writeBase64(&out, cms)
	fmt.Fprintf(&out, "\r\n--%s--\r\n", boundary)
	return out.Bytes(), nil
}

// line is a field with CRLF at its end and inside.
func line(f message.Field) string {
	raw := string(withCRLF([]byte(f.Raw())))
	if !strings.HasSuffix(raw, "\r\n") {
		raw += "\r\n"
	}
	return raw
}

func writeBase64(out *bytes.Buffer, b []byte) {
	text := base64.StdEncoding.EncodeToString(b)
	for len(text) > 64 {
		out.WriteString(text[:64] + "\r\n")
		text = text[64:]
	}
	out.WriteString(text + "\r\n")
}

// boundaryFor makes a boundary that the content does not have.
func boundaryFor(content []byte) (string, error) {
	for {
		var b [15]byte
		if _, err := rand.Read(b[:]); err != nil {
			return "", err
		}
		if s := "=_signed_" + hex.EncodeToString(b[:]); !bytes.Contains(content, []byte(s)) {
			return s, nil
		}
	}
}

// Object identifiers that are written.
var (
	writeData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	writeSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	writeContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	writeMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	writeSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	writeRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	writePSS           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	writeMGF1          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	writeEd25519       = asn1.ObjectIdentifier{1, 3, 101, 112}
)

// written are the hash functions that signatures are made with, with the last
// arc of their identifiers and of those of ECDSA, and the word of micalg (RFC
// 8551 §3.5.3.2).
var written = map[crypto.Hash]struct {
	arc, ecdsa int
	micalg     string
}{
	crypto.SHA256: {1, 2, "sha-256"},
	crypto.SHA384: {2, 3, "sha-384"},
	crypto.SHA512: {3, 4, "sha-512"},
}

// signedData makes the ContentInfo with the SignedData of RFC 5652 §5.1.
func (c *Credential) signedData(content []byte) (cms []byte, micalg string, err error) {
	hash := c.Digest
	if hash == 0 {
		hash = crypto.SHA256
	}
	if _, ok := c.Key.Public().(ed25519.PublicKey); ok {
		hash = crypto.SHA512
	}
	w, ok := written[hash]
	if !ok {
		return nil, "", fmt.Errorf("sign: digest %v: want SHA-256, SHA-384 or SHA-512", hash)
	}
	digest := sequence(identifier(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, w.arc}))
	sum := hash.New()
	sum.Write(content)
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	attributes := [][]byte{
		attribute(writeContentType, identifier(writeData)),
		attribute(writeSigningTime, timeOf(now())),
		attribute(writeMessageDigest, appendElement(nil, tagOctetString, sum.Sum(nil))),
	}
	slices.SortFunc(attributes, bytes.Compare) // DER of a SET OF
	set := bytes.Join(attributes, nil)
	algorithm, value, err := c.sign(appendElement(nil, tagSet, set), hash, w.ecdsa, digest)
	if err != nil {
		return nil, "", err
	}
	version := integer(1)
	serial, err := asn1.Marshal(c.Certificate.SerialNumber)
	if err != nil {
		return nil, "", fmt.Errorf("sign: serial number of the certificate: %w", err)
	}
	signer := sequence(version, sequence(c.Certificate.RawIssuer, serial), digest,
		appendElement(nil, tagContext|constructed, set), algorithm, appendElement(nil, tagOctetString, value))
	certificates := bytes.Clone(c.Certificate.Raw)
	for _, x := range c.Intermediates {
		certificates = append(certificates, x.Raw...)
	}
	inner := identifier(writeData)
	if c.Opaque {
		inner = append(inner, appendElement(nil, tagContext|constructed, appendElement(nil, tagOctetString, content))...)
	}
	data := sequence(version, appendElement(nil, tagSet, digest), sequence(inner),
		appendElement(nil, tagContext|constructed, certificates), appendElement(nil, tagSet, signer))
	return sequence(identifier(writeSignedData), appendElement(nil, tagContext|constructed, data)), w.micalg, nil
}

// sign makes the value of a signature over m, and names its algorithm.
func (c *Credential) sign(m []byte, hash crypto.Hash, ecdsaArc int, digest []byte) (algorithm, value []byte, err error) {
	h := hash.New()
	h.Write(m)
	sum := h.Sum(nil)
	switch k := c.Key.Public().(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < softRSA {
			return nil, nil, fmt.Errorf("sign: RSA key of %d bits: want %d or more", k.N.BitLen(), softRSA)
		}
		if !c.PSS {
			value, err = c.Key.Sign(rand.Reader, sum, hash)
			return sequence(identifier(writeRSA), []byte{tagNull, 0}), value, err
		}
		params := sequence(appendElement(nil, tagContext|constructed, digest),
			appendElement(nil, tagContext|constructed|1, sequence(identifier(writeMGF1), digest)),
			appendElement(nil, tagContext|constructed|2, integer(int64(hash.Size()))))
		value, err = c.Key.Sign(rand.Reader, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash})
		return sequence(identifier(writePSS), params), value, err
	case *ecdsa.PublicKey:
		value, err = c.Key.Sign(rand.Reader, sum, hash)
		return sequence(identifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, ecdsaArc})), value, err
	case ed25519.PublicKey:
		value, err = c.Key.Sign(rand.Reader, m, crypto.Hash(0))
		return sequence(identifier(writeEd25519)), value, err
	}
	return nil, nil, fmt.Errorf("sign: a key of type %T: want RSA, ECDSA or Ed25519", c.Key.Public())
}

func sequence(parts ...[]byte) []byte {
	return appendElement(nil, tagSequence, bytes.Join(parts, nil))
}

func attribute(kind asn1.ObjectIdentifier, value []byte) []byte {
	return sequence(identifier(kind), appendElement(nil, tagSet, value))
}

// identifier is the DER of an identifier above, which cannot fail.
func identifier(id asn1.ObjectIdentifier) []byte {
	b, _ := asn1.Marshal(id)
	return b
}

// integer is the DER of a number, which cannot fail.
func integer(n int64) []byte {
	b, _ := asn1.Marshal(n)
	return b
}

// timeOf is a Time: UTCTime up to 2049 (RFC 5652 §11.3).
func timeOf(t time.Time) []byte {
	t = t.UTC()
	if t.Year() >= 1950 && t.Year() < 2050 {
		return appendElement(nil, 0x17, t.AppendFormat(nil, "060102150405Z"))
	}
	return appendElement(nil, 0x18, t.AppendFormat(nil, "20060102150405Z"))
}
