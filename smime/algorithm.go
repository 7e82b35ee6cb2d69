package smime

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	_ "crypto/md5" // told as weak, not as unknown
	"crypto/rsa"
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
)

// digests are the hash functions by object identifier (RFC 5754 §2, RFC 8702 §2).
var digests = map[string]crypto.Hash{
	"1.2.840.113549.2.5":      crypto.MD5,
	"1.3.14.3.2.26":           crypto.SHA1,
	"2.16.840.1.101.3.4.2.4":  crypto.SHA224,
	"2.16.840.1.101.3.4.2.1":  crypto.SHA256,
	"2.16.840.1.101.3.4.2.2":  crypto.SHA384,
	"2.16.840.1.101.3.4.2.3":  crypto.SHA512,
	"2.16.840.1.101.3.4.2.6":  crypto.SHA512_256,
	"2.16.840.1.101.3.4.2.8":  crypto.SHA3_256,
	"2.16.840.1.101.3.4.2.9":  crypto.SHA3_384,
	"2.16.840.1.101.3.4.2.10": crypto.SHA3_512,
}

// scheme is how a signature is made. The constants are the words of Signer.Scheme.
type scheme string

const (
	pkcs1   scheme = "rsa"
	pss     scheme = "rsa-pss"
	ecDSA   scheme = "ecdsa"
	edwards scheme = "ed25519"
)

// schemes are the signature algorithms by object identifier. A hash of 0 is
// that of the signer's digest algorithm, which is used always; one that is given must be the same.
var schemes = map[string]struct {
	scheme scheme
	hash   crypto.Hash
}{
	"1.2.840.113549.1.1.1":    {pkcs1, 0}, // rsaEncryption, RFC 3370 §3.2
	"1.2.840.113549.1.1.4":    {pkcs1, crypto.MD5},
	"1.2.840.113549.1.1.5":    {pkcs1, crypto.SHA1},
	"1.2.840.113549.1.1.14":   {pkcs1, crypto.SHA224},
	"1.2.840.113549.1.1.11":   {pkcs1, crypto.SHA256},
	"1.2.840.113549.1.1.12":   {pkcs1, crypto.SHA384},
	"1.2.840.113549.1.1.13":   {pkcs1, crypto.SHA512},
	"1.2.840.113549.1.1.16":   {pkcs1, crypto.SHA512_256},
	"2.16.840.1.101.3.4.3.14": {pkcs1, crypto.SHA3_256},
	"2.16.840.1.101.3.4.3.15": {pkcs1, crypto.SHA3_384},
	"2.16.840.1.101.3.4.3.16": {pkcs1, crypto.SHA3_512},
	"1.2.840.113549.1.1.10":   {pss, 0}, // RFC 4056
	"1.2.840.10045.2.1":       {ecDSA, 0},
	"1.2.840.10045.4.1":       {ecDSA, crypto.SHA1}, // RFC 5753 §7.1.3
	"1.2.840.10045.4.3.1":     {ecDSA, crypto.SHA224},
	"1.2.840.10045.4.3.2":     {ecDSA, crypto.SHA256},
	"1.2.840.10045.4.3.3":     {ecDSA, crypto.SHA384},
	"1.2.840.10045.4.3.4":     {ecDSA, crypto.SHA512},
	"2.16.840.1.101.3.4.3.10": {ecDSA, crypto.SHA3_256},
	"2.16.840.1.101.3.4.3.11": {ecDSA, crypto.SHA3_384},
	"2.16.840.1.101.3.4.3.12": {ecDSA, crypto.SHA3_512},
	"1.3.101.112":             {edwards, 0}, // RFC 8419
}

// weak reports whether collisions of the hash function can be made, so that a
// signature proves little (RFC 6151, RFC 8551 §6).
func weak(h crypto.Hash) bool { return h == crypto.MD5 || h == crypto.SHA1 }

// Bounds of RSA keys, in bits. Below minRSA nothing is verified; below softRSA
// it is noted (RFC 8551 §6); above maxRSA it would take too long.
const minRSA, softRSA, maxRSA = 1024, 2048, 8192

var (
	errSignature = errors.New("the signature does not verify")
	errKey       = errors.New("the key is not of the algorithm's kind")
	errParams    = errors.New("parameters that are not supported")
)

// verify checks value over the message m: errSignature where it is wrong,
// another error where it cannot be checked.
func (s scheme) verify(key crypto.PublicKey, h crypto.Hash, params, m, value []byte) error {
	digest := func() []byte {
		w := h.New()
		w.Write(m)
		return w.Sum(nil)
	}
	ok := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch s {
		case pkcs1:
			ok = rsa.VerifyPKCS1v15(k, h, digest(), value) == nil
		case pss:
			salt, err := pssSalt(params, h)
			if err != nil {
				return err
			}
			ok = rsa.VerifyPSS(k, h, digest(), value, &rsa.PSSOptions{SaltLength: salt, Hash: h}) == nil
		default:
			return errKey
		}
	case *ecdsa.PublicKey:
		if s != ecDSA {
			return errKey
		}
		ok = ecdsa.VerifyASN1(k, digest(), value)
	case ed25519.PublicKey:
		if s != edwards {
			return errKey
		}
		ok = ed25519.Verify(k, m, value)
	default:
		return errKey
	}
	if !ok {
		return errSignature
	}
	return nil
}

// pssSalt reads RSASSA-PSS-params (RFC 4055 §3.1). The hash must be the
// signer's digest algorithm, and that of the mask too (RFC 4056 §3).
func pssSalt(params []byte, h crypto.Hash) (int, error) {
	s := newScanner(params)
	seq, err := s.expect(tagSequence, "parameters")
	if err != nil {
		return 0, errParams
	}
	s = s.within(seq)
	hash, mask, salt := crypto.SHA1, crypto.SHA1, 20
	for s.more() {
		e, err := s.next()
		if err != nil {
			return 0, errParams
		}
		in := s.within(e)
		switch e.tag {
		case tagContext | constructed:
			a, err := in.algorithm()
			if err != nil {
				return 0, errParams
			}
			hash = digests[a.oid]
		case tagContext | constructed | 1:
			a, err := in.algorithm()
			if err != nil || a.oid != "1.2.840.113549.1.1.8" { // MGF1
				return 0, errParams
			}
			of, err := newScanner(a.params).algorithm()
			if err != nil {
				return 0, errParams
			}
			mask = digests[of.oid]
		case tagContext | constructed | 2:
			n, err := in.expect(tagInteger, "salt length")
			if err != nil || len(n.contents) == 0 || len(n.contents) > 2 || n.contents[0]&0x80 != 0 {
				return 0, errParams
			}
			salt = 0
			for _, b := range n.contents {
				salt = salt<<8 | int(b)
			}
		}
	}
	if hash != h || mask != h {
		return 0, errParams
	}
	return salt, nil
}

// publicKey reads a SubjectPublicKeyInfo, also one of RSASSA-PSS (RFC 4055
// §1.2), which crypto/x509 leaves unread. bits is 0 where it cannot be said.
func publicKey(spki []byte) (key crypto.PublicKey, bits int, err error) {
	var info struct {
		Algorithm struct {
			OID    asn1.ObjectIdentifier
			Params asn1.RawValue `asn1:"optional"`
		}
		Key asn1.BitString
	}
	if _, err := asn1.Unmarshal(spki, &info); err != nil {
		return nil, 0, errors.New("the public key cannot be read")
	}
	switch info.Algorithm.OID.String() {
	case "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10":
		var k struct {
			N *big.Int
			E int
		}
		if _, err := asn1.Unmarshal(info.Key.RightAlign(), &k); err != nil || k.N.Sign() <= 0 || k.E < 3 || k.E&1 == 0 || k.E > 1<<31-1 {
			return nil, 0, errors.New("the RSA key cannot be read")
		}
		return &rsa.PublicKey{N: k.N, E: k.E}, k.N.BitLen(), nil
	}
	if key, err = x509.ParsePKIXPublicKey(spki); err != nil {
		return nil, 0, errors.New("a public key of a kind that is not supported")
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		bits = k.Curve.Params().BitSize
	case ed25519.PublicKey:
		bits = 256
	}
	return key, bits, nil
}

// curve guards against keys of kinds that x509 reads and nothing here uses.
func usable(key crypto.PublicKey) bool {
	switch key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}
