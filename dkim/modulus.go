package dkim

import (
	"bytes"
	"crypto/rsa"

	"filippo.io/bigmod"
)

// minPrepared and maxPrepared bound the keys that are prepared, in bits;
// crypto/rsa takes the others.
const minPrepared, maxPrepared = 1024, 4096

// prepare works out what verifying with an RSA key needs and crypto/rsa works
// out anew for each signature, a third of its time: the modulus in Montgomery
// form. It returns nil where that is not for us.
func prepare(pub *rsa.PublicKey) *bigmod.Modulus {
	if n := pub.N.BitLen(); n < minPrepared || n > maxPrepared || pub.N.Bit(0) == 0 || pub.E < 3 || pub.E&1 == 0 {
		return nil
	}
	m, err := bigmod.NewModulus(pub.N.Bytes())
	if err != nil {
		return nil
	}
	return m
}

// sha256Info stands before a SHA-256 digest that is signed (RFC 8017 §9.2).
var sha256Info = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// verifyPrepared is RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2.2). The
// encoded message is not parsed but compared octet for octet with the only
// one that is right.
func verifyPrepared(m *bigmod.Modulus, e int, digest, sig []byte) bool {
	if len(sig) != m.Size() || len(digest) != 32 {
		return false
	}
	s, err := bigmod.NewNat().SetBytes(sig, m)
	if err != nil {
		return false // not less than the modulus
	}
	got := bigmod.NewNat().ExpShortVarTime(s, uint(e), m).Bytes(m)
	want := make([]byte, 0, maxPrepared/8)
	want = append(want, 0, 1)
	for range len(sig) - 3 - len(sha256Info) - len(digest) {
		want = append(want, 0xff)
	}
	want = append(want, 0)
	want = append(append(want, sha256Info...), digest...)
	return bytes.Equal(got, want)
}
