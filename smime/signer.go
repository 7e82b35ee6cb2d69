package smime

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"time"

	"sekimori/explain"
)

// signedMessage is a message whose signatures are being verified.
type signedMessage struct {
	verifier     *Verifier
	found        *found
	data         *signedData
	certificates []*certificate
	from, sender authors
	at           time.Time
	partly       explain.Step // why the signature does not cover all; zero if it does
	octets       [][]byte     // see signedOctets
	sums         map[crypto.Hash][][]byte
}

func (m *signedMessage) readCertificates() {
	for _, raw := range m.data.certificates {
		if len(raw) > maxSmall {
			continue // none in use comes near
		}
		if c, ok := readCertificate(raw); ok {
			m.certificates = append(m.certificates, c)
		}
	}
}

// signedOctets returns what may have been signed: the content with CRLF for
// line ends and, where it has both CRLF and LF, as received: then the LF may
// be content (RFC 3030's binary). One that has LF alone was a message with CRLF
// before it became a file.
func (m *signedMessage) signedOctets() [][]byte {
	if m.octets != nil {
		return m.octets
	}
	if m.found.form == Opaque {
		m.octets = [][]byte{m.data.content}
		return m.octets
	}
	given := m.found.content
	m.octets = [][]byte{withCRLF(given)}
	if len(m.octets[0]) != len(given) && bytes.Contains(given, []byte("\r\n")) {
		m.octets = append(m.octets, given)
	}
	return m.octets
}

// contentSums returns the digests of signedOctets.
func (m *signedMessage) contentSums(h crypto.Hash) [][]byte {
	if s, ok := m.sums[h]; ok {
		return s
	}
	var out [][]byte
	for _, b := range m.signedOctets() {
		w := h.New()
		w.Write(b)
		out = append(out, w.Sum(nil))
	}
	if m.sums == nil {
		m.sums = map[crypto.Hash][][]byte{}
	}
	m.sums[h] = out
	return out
}

// decide gives the signer its status, unless it has a worse one already: the
// first reason stands.
func (s *Signer) decide(st Status, why explain.Step) {
	s.Steps = append(s.Steps, why)
	if s.Status == "" {
		s.Status, s.Reason = st, why
	}
}

func (s *Signer) note(why explain.Step) { s.Steps = append(s.Steps, why) }

// verify verifies one signature. All is looked at that can be, also when the
// status is settled.
func (m *signedMessage) verify(s *Signer, i *signerInfo) {
	var c *certificate
	for _, have := range m.certificates {
		if have.is(i) {
			c = have
			break
		}
	}
	if c != nil {
		s.describe(c)
		s.note(step("smime.signer", "", explain.Args{"subject": orDash(s.Subject), "issuer": orDash(s.Issuer)}))
	}
	s.SigningTime = i.signingTime
	hash := digests[i.digest.oid]
	s.Digest = digestName(hash)
	if hash == 0 || !hash.Available() {
		s.decide(PermError, step("smime.algorithm-unknown", "RFC 8551 §2.1", explain.Args{"oid": orDash(i.digest.oid)}))
		return
	}
	how, ok := schemes[i.signature.oid]
	if !ok {
		s.decide(PermError, step("smime.algorithm-unknown", "RFC 8551 §2.2", explain.Args{"oid": orDash(i.signature.oid)}))
		return
	}
	s.Scheme = string(how.scheme)
	if how.hash != 0 && how.hash != hash {
		s.decide(PermError, step("smime.algorithms-disagree", "RFC 5652 §5.3", explain.Args{"digest": s.Digest, "signature": digestName(how.hash)}))
		return
	}
	if !m.content(s, i, hash) {
		return
	}
	if c == nil {
		s.decide(PermError, step("smime.certificate-missing", "RFC 8551 §2.3", nil))
		return
	}
	var err error
	if c.key == nil {
		c.key, c.bits, err = publicKey(c.spki)
	}
	s.KeyBits = c.bits
	if err != nil || !usable(c.key) {
		s.decide(PermError, step("smime.key-unusable", "RFC 8551 §2.2", nil))
		return
	}
	if isRSA := how.scheme == pkcs1 || how.scheme == pss; isRSA && (c.bits < minRSA || c.bits > maxRSA) {
		// RFC 8551 §2.2: such signatures need not be verified, and prove nothing.
		s.decide(Policy, step("smime.key-length", "RFC 8551 §6", explain.Args{"bits": int64(c.bits), "least": int64(minRSA), "most": int64(maxRSA)}))
		return
	}
	if !m.value(s, i, c, how.scheme, hash) {
		return
	}
	s.Signature = Yes
	s.note(step("smime.signature-valid", "RFC 5652 §5.6", explain.Args{"digest": s.Digest, "scheme": s.Scheme, "bits": int64(s.KeyBits)}))
	m.accept(s, i, c, hash)
}

// content compares the digest in the signed attributes with that of the
// content. It reports whether the signature is worth looking at.
func (m *signedMessage) content(s *Signer, i *signerInfo, hash crypto.Hash) bool {
	if m.found.form == Opaque && !m.data.hasContent {
		s.Signature = No
		s.decide(Neutral, step("smime.content-missing", "RFC 8551 §3.5.2", nil))
		return false
	}
	if m.found.form == Detached && m.data.hasContent {
		// RFC 8551 §3.5.3.1 has it absent. What is shown is the first part, so
		// that is what must have been signed.
		same := false
		for _, b := range m.signedOctets() {
			same = same || bytes.Equal(b, m.data.content)
		}
		if !same {
			s.Signature = No
			s.decide(Fail, step("smime.content-two", "RFC 8551 §3.5.3", nil))
			return false
		}
	}
	if !i.hasAttributes {
		return true // the signature is over the content itself
	}
	if i.repeated != "" || i.messageDigest == nil || i.contentType != m.data.contentType {
		// RFC 5652 §5.3, §11.1, §11.2
		s.Signature = No
		s.decide(Fail, step("smime.attributes-invalid", "RFC 5652 §11", nil))
		return false
	}
	for _, sum := range m.contentSums(hash) {
		if subtle.ConstantTimeCompare(sum, i.messageDigest) == 1 {
			s.note(step("smime.content-intact", "RFC 5652 §5.6", explain.Args{"octets": int64(len(m.signedOctets()[0]))}))
			return true
		}
	}
	s.Signature = No
	s.decide(Fail, step("smime.content-differs", "RFC 5652 §5.6", nil))
	return false
}

// value checks the signature's value.
func (m *signedMessage) value(s *Signer, i *signerInfo, c *certificate, how scheme, hash crypto.Hash) bool {
	var over [][]byte
	if i.hasAttributes {
		var err error
		if over, err = i.toBeSigned(); err != nil {
			s.Signature = No
			s.decide(Fail, step("smime.attributes-invalid", "RFC 5652 §11", nil))
			return false
		}
	} else {
		over = m.signedOctets()
		if len(over[0]) > 0 && over[0][0] == tagSet {
			// Signed attributes of another message could be passed off as a
			// content; no MIME entity begins like them.
			over = nil
		}
	}
	for _, b := range over {
		switch err := how.verify(c.key, hash, i.signature.params, b, i.value); err {
		case nil:
			return true
		case errSignature:
		default:
			s.decide(PermError, step("smime.key-unusable", "RFC 8551 §2.2", nil))
			return false
		}
	}
	s.Signature = No
	code := "smime.signature-invalid"
	if !i.hasAttributes {
		code = "smime.signature-or-content"
	}
	s.decide(Fail, step(code, "RFC 5652 §5.6", nil))
	return false
}

// accept says whether a signature that is right is acceptable.
func (m *signedMessage) accept(s *Signer, i *signerInfo, c *certificate, hash crypto.Hash) {
	if weak(hash) {
		s.decide(Policy, step("smime.digest-weak", "RFC 8551 §6", explain.Args{"digest": s.Digest}))
	}
	if isRSA := s.Scheme == string(pkcs1) || s.Scheme == string(pss); isRSA && c.bits < softRSA {
		s.note(step("smime.key-short", "RFC 8551 §6", explain.Args{"bits": int64(c.bits)}))
	}
	if !i.hasAttributes {
		s.decide(Policy, step("smime.attributes-missing", "RFC 8551 §2.5", nil))
	}
	switch t := i.signingTime; {
	case t.IsZero():
	case t.After(m.at.Add(clockSkew)):
		s.note(step("smime.signed-in-future", "RFC 8551 §2.5.1", explain.Args{"time": stamp(t), "at": stamp(m.at)}))
	default:
		s.note(step("smime.signed-at", "RFC 8551 §2.5.1", explain.Args{"time": stamp(t)}))
	}
	if c.parsed == nil {
		s.decide(Policy, step("smime.certificate-unreadable", "RFC 5280 §4.1", nil))
		return
	}
	m.trust(s, c.parsed)
	s.note(step("smime.revocation-not-asked", "RFC 8550 §4.3", nil))
	m.match(s)
	if m.partly.Code != "" && s.Status == "" {
		s.Status, s.Reason = Policy, m.partly // told for the whole message already
	}
	if s.Status == "" {
		s.decide(Pass, step("smime.pass", "RFC 7281 §3", explain.Args{"address": clip(s.Address)}))
	}
}

// clockSkew is how far clocks may be apart.
const clockSkew = 10 * time.Minute

// describe takes what the certificate says.
func (s *Signer) describe(c *certificate) {
	s.Serial = hex.EncodeToString(c.serial[:min(len(c.serial), 64)])
	x := c.parsed
	if x == nil {
		return
	}
	s.Certificate = x
	s.Subject, s.Issuer = clip(title(x.Subject)), clip(title(x.Issuer))
	s.NotBefore, s.NotAfter = x.NotBefore, x.NotAfter
	s.Addresses = addresses(x)
	if len(s.Addresses) > 0 {
		s.Address = s.Addresses[0]
	}
	if s.Subject == "" {
		s.Subject = clip(s.Address)
	}
}

func digestName(h crypto.Hash) string {
	if h == 0 {
		return ""
	}
	return strings.ToLower(h.String())
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func clip(s string) string { return explain.ClipFolded(s) }

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
