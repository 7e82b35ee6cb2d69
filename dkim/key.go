package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"filippo.io/bigmod"

	"sekimori/taglist"
)

// KeyType is the "k" tag of a key record (RFC 6376 §3.6.1, RFC 8463 §4).
type KeyType string

const (
	RSA     KeyType = "rsa"
	Ed25519 KeyType = "ed25519"
)

// Key is a key record (RFC 6376 §3.6.1). It is read-only once parsed and may be
// shared by goroutines.
type Key struct {
	Versioned bool     // v=DKIM1 is there
	Type      KeyType  // k=; "rsa" where absent
	Hashes    []string // h=; nil where absent: all
	Services  []string // s=; nil where absent: all
	Flags     []string // t=
	Notes     string   // n=, decoded
	// Data is p=, decoded; empty for a key that was revoked.
	Data []byte
	// Public is the key in Data: an *rsa.PublicKey or an ed25519.PublicKey;
	// nil for a revoked key.
	Public crypto.PublicKey
	// Extra are the tags that this package does not know, "g" of the time
	// before RFC 6376 among them; they mean nothing.
	Extra taglist.List

	modulus *bigmod.Modulus // of an RSA key, prepared; nil where crypto/rsa has to verify
}

// maxKeyRecord is how long a key record may be: one with an RSA key of 16,384
// bits has 2,800 octets.
const maxKeyRecord = 8192

// ParseKey reads a key record strictly (RFC 6376 §3.6.1, §6.1.2), but for
// empty tags (";;"), which records in use have. RSA keys may be wrapped as
// SubjectPublicKeyInfo, as everybody publishes them, or bare (RSAPublicKey, as
// RFC 6376 §3.6.1 has it). An error is an *Error.
func ParseKey(txt string) (*Key, error) {
	k, problems := readKey(txt)
	if len(problems) > 0 {
		return nil, problems[0]
	}
	return k, nil
}

// readKey reads what can be read, and says all that makes the record unusable.
func readKey(txt string) (*Key, []*Error) {
	k := &Key{Type: RSA}
	if len(txt) > maxKeyRecord {
		return k, []*Error{limited("dkim.key-record-long", len(txt), maxKeyRecord)}
	}
	list, faults := taglist.Parse(txt)
	var problems []*Error
	note := func(e *Error) { problems = append(problems, e) }
	for i := range list {
		// RFC 6376 §3.6.1, "v": first and exactly DKIM1, or else discarded.
		if t := &list[i]; t.Name == "v" {
			if t.Value != "DKIM1" {
				note(keyProblem("dkim.key-version", "v", t.Value))
			} else if i > 0 {
				note(keyProblem("dkim.key-version-place", "v", t.Value))
			}
			k.Versioned = t.Value == "DKIM1"
		}
	}
	for _, f := range faults {
		if f.Kind != taglist.Empty {
			e := faultError(f)
			e.Step.Code = "dkim.key-malformed"
			if f.Kind == taglist.Duplicate {
				e.Step.Code = "dkim.key-tag-repeated"
			}
			note(e)
		}
	}
	p, ok := list.Get("p")
	if !ok { // RFC 6376 §3.6.1, "p": required
		e := missing("p")
		e.Step.Code, e.Step.Ref = "dkim.key-without-data", "RFC 6376 §3.6.1"
		note(e)
	}
	for i := range list {
		if e := k.set(&list[i]); e != nil {
			note(e)
		}
	}
	if ok && onlyVersion(problems) {
		if e := k.decode(p); e != nil {
			note(e)
		}
	}
	return k, problems
}

// onlyVersion reports whether nothing is wrong but with v=, so that the key may
// be looked at for what to publish instead.
func onlyVersion(problems []*Error) bool {
	for _, e := range problems {
		if e.Step.Code != "dkim.key-version" && e.Step.Code != "dkim.key-version-place" {
			return false
		}
	}
	return true
}

func keyProblem(code, tag, value string) *Error {
	return problem(code, "RFC 6376 §3.6.1", tag, value)
}

// set reads one tag but p.
func (k *Key) set(t *taglist.Tag) *Error {
	v := t.Value
	ok := true
	switch t.Name {
	case "v", "p":
	case "h":
		k.Hashes, ok = colonList(v)
	case "k":
		k.Type = KeyType(v)
		if k.Type != RSA && k.Type != Ed25519 {
			return keyProblem("dkim.key-type-unknown", "k", v)
		}
	case "n":
		k.Notes, ok = decodeNotes(v)
	case "s":
		k.Services, ok = colonList(v)
	case "t":
		k.Flags, ok = colonList(v)
	default:
		k.Extra = append(k.Extra, taglist.Tag{Name: t.Name, Value: v})
	}
	if !ok {
		return keyProblem("dkim.key-tag-invalid", t.Name, v)
	}
	return nil
}

// decode reads p=.
func (k *Key) decode(p string) *Error {
	data, ok := decodeBase64(p)
	if !ok {
		return keyProblem("dkim.key-not-base64", "p", p)
	}
	if k.Data = data; len(data) == 0 {
		return nil
	}
	if k.Type == Ed25519 {
		if len(data) != ed25519.PublicKeySize { // RFC 8463 §4.2
			e := keyProblem("dkim.key-undecodable", "p", p)
			e.Step.Args["type"] = string(Ed25519)
			return e
		}
		k.Public = ed25519.PublicKey(data)
		return nil
	}
	pub, err := rsaKey(data)
	if err != nil {
		e := keyProblem("dkim.key-undecodable", "p", p)
		e.Step.Args["type"] = string(RSA)
		return e
	}
	k.Public, k.modulus = pub, prepare(pub)
	return nil
}

// rsaKey reads a SubjectPublicKeyInfo (RFC 5280 §4.1) or an RSAPublicKey (RFC
// 8017 §A.1.1).
func rsaKey(der []byte) (*rsa.PublicKey, error) {
	if any, err := x509.ParsePKIXPublicKey(der); err == nil {
		if pub, ok := any.(*rsa.PublicKey); ok {
			return pub, nil
		}
		return nil, errors.New("a key of another type")
	}
	return x509.ParsePKCS1PublicKey(der)
}

// colonList reads one or more words between colons.
func colonList(v string) ([]string, bool) {
	n := strings.Count(v, ":") + 1
	if n > 64 {
		return nil, false
	}
	out := make([]string, 0, n)
	for rest, more := v, true; more; {
		var w string
		w, rest, more = strings.Cut(rest, ":")
		w = trimFWS(w)
		if w == "" || strings.ContainsAny(w, " \t\r\n") {
			return nil, false
		}
		out = append(out, w)
	}
	return out, true
}

// decodeNotes reads n=, qp-section (RFC 6376 §3.6.1). White space stands for
// itself; nothing is to depend on it, so what is no code is left.
func decodeNotes(v string) (string, bool) {
	if !strings.Contains(v, "=") {
		return v, true
	}
	b := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] == '=' && i+2 < len(v) {
			h, l := strings.IndexByte(upperHex, v[i+1]), strings.IndexByte(upperHex, v[i+2])
			if h >= 0 && l >= 0 {
				b = append(b, byte(h<<4|l))
				i += 2
				continue
			}
		}
		b = append(b, v[i])
	}
	return string(b), true
}

// encodeNotes writes what decodeNotes reads as s.
func encodeNotes(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		inside := c == ' ' && i > 0 && i < len(s)-1
		if c < ' ' || c == ' ' && !inside || c == ';' || c == '=' || c >= 0x7f {
			b = append(b, '=', upperHex[c>>4], upperHex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// String returns the record as it is published, as one string. ParseKey reads
// it back as the same Key.
func (k *Key) String() string {
	var b strings.Builder
	tag := func(name, value string) {
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(value)
	}
	if k.Versioned {
		tag("v", "DKIM1")
	}
	tag("k", string(k.Type))
	if k.Hashes != nil {
		tag("h", strings.Join(k.Hashes, ":"))
	}
	if k.Services != nil {
		tag("s", strings.Join(k.Services, ":"))
	}
	if k.Flags != nil {
		tag("t", strings.Join(k.Flags, ":"))
	}
	if k.Notes != "" {
		tag("n", encodeNotes(k.Notes))
	}
	for _, t := range k.Extra {
		tag(t.Name, t.Value)
	}
	tag("p", base64.StdEncoding.EncodeToString(k.Data))
	return b.String()
}

// NewKey returns the record to publish for a public key, which is an
// *rsa.PublicKey or an ed25519.PublicKey.
func NewKey(pub crypto.PublicKey) (*Key, error) {
	k := &Key{Versioned: true, Public: pub}
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return nil, err
		}
		k.Type, k.Data = RSA, der
	case ed25519.PublicKey:
		k.Type, k.Data = Ed25519, pub
	default:
		return nil, errors.New("key record: neither an RSA nor an Ed25519 public key")
	}
	return k, nil
}

// Bits is the length of the key: the modulus of RSA, 256 for Ed25519, 0 where
// there is none.
func (k *Key) Bits() int {
	switch pub := k.Public.(type) {
	case *rsa.PublicKey:
		return pub.N.BitLen()
	case ed25519.PublicKey:
		return 8 * len(pub)
	}
	return 0
}

// Revoked reports whether the key was withdrawn: its p= is empty.
func (k *Key) Revoked() bool { return len(k.Data) == 0 }

// Testing reports whether the domain is only testing DKIM: t=y.
func (k *Key) Testing() bool { return slices.Contains(k.Flags, "y") }

// StrictIdentity reports whether i= must have the domain of d= itself: t=s.
func (k *Key) StrictIdentity() bool { return slices.Contains(k.Flags, "s") }

// Usable tells whether signatures of an algorithm may be verified with the key
// within the limits (RFC 6376 §6.1.2). An error is an *Error.
func (k *Key) Usable(a Algorithm, l Limits) error {
	if e := k.usable(a, l.withDefaults()); e != nil {
		return e
	}
	return nil
}

func (k *Key) usable(a Algorithm, l Limits) *Error {
	switch {
	case k.Hashes != nil && !slices.Contains(k.Hashes, "sha256"):
		// All algorithms that may be used hash with SHA-256 (RFC 8301 §3.1).
		return keyProblem("dkim.key-hash-refused", "h", strings.Join(k.Hashes, ":"))
	case k.Services != nil && !slices.Contains(k.Services, "*") && !slices.Contains(k.Services, "email"):
		return keyProblem("dkim.key-service", "s", strings.Join(k.Services, ":"))
	case k.Revoked():
		return &Error{Step: step("dkim.key-revoked", "RFC 6376 §3.6.1", nil), text: "the key was revoked: p= is empty"}
	case k.Type != a.keyType():
		e := problem("dkim.key-type-differs", "RFC 6376 §6.1.2", "k", string(k.Type))
		e.Step.Args["algorithm"] = string(a)
		return e
	}
	if k.Type == RSA {
		switch bits := k.Bits(); {
		case bits < l.MinRSABits: // RFC 8301 §3.2
			return length("dkim.key-short", bits, l.MinRSABits)
		case bits > l.MaxRSABits:
			return length("dkim.key-long", bits, l.MaxRSABits)
		}
	}
	return nil
}

// ErrMismatch is the error of a signature that is not of this key and digest.
var ErrMismatch = errors.New("the signature does not match")

// Verify checks a signature of a SHA-256 digest. For ed25519-sha256 the digest
// itself is the message that is signed (RFC 8463 §3). It does not look at what
// the record allows; see Usable.
func (k *Key) Verify(a Algorithm, digest, sig []byte) error {
	switch pub := k.Public.(type) {
	case *rsa.PublicKey:
		switch {
		case a != RSASHA256:
		case k.modulus != nil:
			if verifyPrepared(k.modulus, pub.E, digest, sig) {
				return nil
			}
		case rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest, sig) == nil:
			return nil
		}
	case ed25519.PublicKey:
		if a == Ed25519SHA256 && ed25519.Verify(pub, digest, sig) {
			return nil
		}
	}
	return ErrMismatch
}
