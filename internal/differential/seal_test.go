package differential

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A signer of the tests' own, written from RFC 6376 with no care for speed. It
// signs what no signer would: odd tags, repeated ones, keys that are too short.

// key is a key pair.
type key struct {
	name    string // rsa1024
	rsa     *rsa.PrivateKey
	ed25519 ed25519.PrivateKey
}

// public returns the p= of a key record: SubjectPublicKeyInfo for RSA (RFC 6376
// §3.6.1), the 32 octets for Ed25519 (RFC 8463 §4).
func (k *key) public() string {
	if k.rsa == nil {
		return base64.StdEncoding.EncodeToString(k.ed25519.Public().(ed25519.PublicKey))
	}
	der, err := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func (k *key) kind() string {
	if k.rsa == nil {
		return "ed25519"
	}
	return "rsa"
}

func (k *key) signer() crypto.Signer {
	if k.rsa == nil {
		return k.ed25519
	}
	return k.rsa
}

// pem returns the private key as OpenDKIM reads it.
func (k *key) pem(t testing.TB) []byte {
	if k.rsa != nil {
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k.rsa)})
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// keys are made once a run.
var keys = sync.OnceValue(func() map[string]*key {
	m := map[string]*key{}
	for name, bits := range map[string]int{"rsa512": 512, "rsa768": 768, "rsa1024": 1024, "other1024": 1024, "rsa2048": 2048} {
		m[name] = &key{name: name, rsa: newRSA(bits)}
	}
	for _, name := range []string{"ed25519", "other25519"} {
		_, k, err := ed25519.GenerateKey(nil)
		if err != nil {
			panic(err)
		}
		m[name] = &key{name: name, ed25519: k}
	}
	return m
})

// newRSA makes a key of any length: crypto/rsa makes none below 1024 bits.
func newRSA(bits int) *rsa.PrivateKey {
	if bits >= 1024 {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return k
	}
	one, e := big.NewInt(1), big.NewInt(65537)
	for {
		p, err1 := rand.Prime(rand.Reader, bits/2)
		q, err2 := rand.Prime(rand.Reader, bits/2)
		if err1 != nil || err2 != nil {
			panic("no randomness")
		}
		n := new(big.Int).Mul(p, q)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(e, phi)
		if n.BitLen() == bits && d != nil {
			return &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: d, Primes: []*big.Int{p, q}}
		}
	}
}

var digestInfo = map[crypto.Hash][]byte{ // RFC 8017 §9.2, note 1
	crypto.SHA1:   {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14},
	crypto.SHA256: {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
}

// sign signs a digest of the header.
func (k *key) sign(h crypto.Hash, digest []byte) []byte {
	if k.rsa == nil {
		return ed25519.Sign(k.ed25519, digest) // RFC 8463 §3: of the SHA-256 digest
	}
	if k.rsa.N.BitLen() >= 1024 {
		sig, err := rsa.SignPKCS1v15(nil, k.rsa, h, digest)
		if err != nil {
			panic(err)
		}
		return sig
	}
	size := (k.rsa.N.BitLen() + 7) / 8
	t := append(bytes.Clone(digestInfo[h]), digest...)
	em := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-len(t)-3)...)
	em = append(append(em, 0), t...)
	s := new(big.Int).Exp(new(big.Int).SetBytes(em), k.rsa.D, k.rsa.N)
	return s.FillBytes(make([]byte, size))
}

var (
	lineEnd    = regexp.MustCompile(`\r?\n`)
	spaces     = regexp.MustCompile(`[ \t]+`)
	spaceEnd   = regexp.MustCompile(`[ \t]+\r\n`)
	emptyLines = regexp.MustCompile(`(\r\n)*$`)
)

// canonBody is RFC 6376 §3.4.3 and §3.4.4.
func canonBody(c, body string) string {
	body = lineEnd.ReplaceAllString(body, "\r\n")
	if !strings.HasSuffix(body, "\r\n") && body != "" {
		body += "\r\n"
	}
	if c == "relaxed" {
		body = spaceEnd.ReplaceAllString(body, "\r\n")
		body = spaces.ReplaceAllString(body, " ")
	}
	body = emptyLines.ReplaceAllString(body, "")
	if body == "" && c == "relaxed" {
		return ""
	}
	return body + "\r\n"
}

// canonField is RFC 6376 §3.4.1 and §3.4.2.
func canonField(c, f string) string {
	if c != "relaxed" {
		return f
	}
	name, value, _ := strings.Cut(f, ":")
	value = strings.NewReplacer("\r\n", "").Replace(value)
	value = strings.Trim(spaces.ReplaceAllString(value, " "), " ")
	return strings.ToLower(strings.TrimRight(name, " \t")) + ":" + value + "\r\n"
}

// seal is a signature to be: the field with "%s" for the values of bh= and b=,
// in this order.
type seal struct {
	field      string // DKIM-Signature: v=1; … bh=%bh; … b=%b, folded, without the last CRLF
	hash       crypto.Hash
	headCanon  string
	bodyCanon  string
	names      []string // h=, as it is to be taken
	limit      int      // l=, -1 for none
	key        *key
	foldBase64 func(string) string
}

func pkcs1(k *key) []byte { return x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey) }

func digest(h crypto.Hash, s string) []byte {
	if h == crypto.SHA1 {
		d := sha1.Sum([]byte(s))
		return d[:]
	}
	d := sha256.Sum256([]byte(s))
	return d[:]
}

// sign returns the complete field for m (RFC 6376 §3.7, §5.4.2).
func (s seal) sign(m mail) string {
	body := canonBody(s.bodyCanon, m.body)
	if s.limit >= 0 && s.limit < len(body) {
		body = body[:s.limit]
	}
	bh := base64.StdEncoding.EncodeToString(digest(s.hash, body))
	field := strings.Replace(s.field, "%bh", s.foldBase64(bh), 1)
	var in strings.Builder
	used := make([]bool, len(m.fields))
	for _, name := range s.names {
		for i := len(m.fields) - 1; i >= 0; i-- {
			if !used[i] && strings.EqualFold(fieldName(m.fields[i]), name) {
				used[i] = true
				in.WriteString(canonField(s.headCanon, m.fields[i]))
				break
			}
		}
	}
	// The value goes with all white space around it (§3.7).
	before, after, _ := strings.Cut(field, "%b")
	own := canonField(s.headCanon, strings.TrimRight(before, " \t\r\n")+strings.TrimLeft(after, " \t\r\n")+"\r\n")
	in.WriteString(strings.TrimSuffix(own, "\r\n"))
	sig := base64.StdEncoding.EncodeToString(s.key.sign(s.hash, digest(s.hash, in.String())))
	return strings.Replace(field, "%b", s.foldBase64(sig), 1) + "\r\n"
}
