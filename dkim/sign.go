package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"sekimori/domain"
	"sekimori/message"
)

// Signer makes signatures of one domain and selector. It is safe for
// concurrent use if its Key is.
type Signer struct {
	Domain   domain.Name
	Selector string
	// Key is an RSA key of 1024 bits or more (2048 are advised; RFC 8301
	// §3.2), which gives rsa-sha256, or an Ed25519 key.
	Key crypto.Signer
	// HeaderCanon and BodyCanon are relaxed where they are "": what changes on
	// the way is mostly white space.
	HeaderCanon, BodyCanon message.Canonicalization
	// Headers is h= as it is to be, names repeated as often as fields of them
	// are to be covered, once more to cover that there is no other; From must
	// be among them. nil means DefaultHeaders of the message.
	Headers []string
	// Expires is how long the signature is valid; 0 means for ever.
	Expires time.Duration
	// Identity is i=; "" leaves it out.
	Identity string
	// Now gives t=; nil means time.Now.
	Now func() time.Time
}

// sealed are the fields that are signed once more than they are there, so that
// nobody can add one (RFC 6376 §8.15): what readers see, what threads mail and
// what says how to read the body.
var sealed = [...]string{
	"From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "In-Reply-To", "References",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding",
}

// present are the fields that are signed where they are there. Mailing lists
// may add theirs (RFC 6376 §5.4).
var present = [...]string{
	"Sender", "Content-ID", "Content-Description", "Content-Disposition", "Content-Language",
	"Resent-Date", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Message-ID",
	"List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Subscribe", "List-Post", "List-Owner", "List-Archive",
	"Auto-Submitted", "Autocrypt", "BIMI-Selector", "Feedback-ID", "Importance", "Disposition-Notification-To",
}

// DefaultHeaders returns the h= for a message: From, To, Cc, Subject, Date,
// Message-ID, Reply-To, In-Reply-To, References, MIME-Version, Content-Type
// and Content-Transfer-Encoding, each as often as it is there and once more;
// and where they are there, Sender, other Content-, the Resent- and the List-
// fields, and some that programs act on. At most 512 names, the important
// ones first.
func DefaultHeaders(h message.Header) []string { return defaultHeaders(NewFields(h)) }

func defaultHeaders(f *Fields) []string {
	out := make([]string, 0, len(sealed)+24)
	add := func(name string, n int) {
		for ; n > 0 && len(out) < maxHeaders; n-- {
			out = append(out, name)
		}
	}
	for _, name := range sealed {
		add(name, f.count(name)+1)
	}
	for _, name := range present {
		add(name, f.count(name))
	}
	return out
}

// Errors of signing.
var (
	ErrNoFrom = errors.New("sign: the message has no From field, which must be signed (RFC 6376 §5.4)")
	ErrKey    = errors.New("sign: the key is neither RSA nor Ed25519")
)

// AlgorithmOf returns the algorithm that a key signs with. RSA keys of less
// than 1024 bits are refused (RFC 8301 §3.2).
func AlgorithmOf(key crypto.Signer) (Algorithm, error) {
	if key == nil {
		return "", ErrKey
	}
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		if bits := pub.N.BitLen(); bits < 1024 {
			return "", fmt.Errorf("sign: the RSA key has %d bits, at least 1024 are required and 2048 advised (RFC 8301 §3.2)", bits)
		}
		return RSASHA256, nil
	case ed25519.PublicKey:
		return Ed25519SHA256, nil
	}
	return "", ErrKey
}

// SignDigest signs a SHA-256 digest by the algorithm of the key (RFC 6376
// §3.3.2, RFC 8463 §3).
func SignDigest(key crypto.Signer, digest []byte) ([]byte, error) {
	a, err := AlgorithmOf(key)
	if err != nil {
		return nil, err
	}
	if a == Ed25519SHA256 {
		return key.Sign(rand.Reader, digest, crypto.Hash(0))
	}
	return key.Sign(rand.Reader, digest, crypto.SHA256)
}

// Signing is one message on its way through a Signer. It is for one goroutine.
type Signing struct {
	s      *Signer
	sig    Signature
	fields *Fields
	body   *message.BodyDigest
}

// Begin prepares signing and adds what has to be hashed of the body to d. A
// message without From is refused.
func (s *Signer) Begin(h message.Header, d *message.Digests) (*Signing, error) {
	a, err := AlgorithmOf(s.Key)
	if err != nil {
		return nil, err
	}
	if !h.Has("From") {
		return nil, ErrNoFrom
	}
	n := &Signing{s: s, fields: NewFields(h)}
	n.sig = Signature{
		Algorithm: a, HeaderCanon: s.HeaderCanon, BodyCanon: s.BodyCanon,
		Domain: s.Domain, Selector: s.Selector, Identity: s.Identity, Headers: s.Headers,
	}
	for _, c := range [...]*message.Canonicalization{&n.sig.HeaderCanon, &n.sig.BodyCanon} {
		switch *c {
		case "":
			*c = message.Relaxed
		case message.Simple, message.Relaxed:
		default:
			return nil, fmt.Errorf("sign: unknown canonicalization %q: want simple or relaxed", string(*c))
		}
	}
	if n.sig.Headers == nil {
		n.sig.Headers = defaultHeaders(n.fields)
	}
	now := time.Now()
	if s.Now != nil {
		now = s.Now()
	}
	n.sig.Created = now.UTC().Truncate(time.Second)
	if s.Expires > 0 {
		n.sig.Expires = n.sig.Created.Add(max(s.Expires, time.Second)).Truncate(time.Second)
	}
	// What would not be read back is not written.
	n.sig.BodyHash, n.sig.Value = make([]byte, sha256.Size), []byte{0}
	if _, err := ParseSignature(n.sig.String()); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	n.body = d.Add(message.BodyHash{Canonicalization: n.sig.BodyCanon, Hash: a.Hash(), Limit: -1})
	return n, nil
}

// Finish signs, after the body went through the Digests of Begin and these
// were closed. It returns the whole field with its CRLF, to be put at the top
// of the header section. Lines are shorter than 78 columns but where a name of
// a domain alone is longer.
func (n *Signing) Finish() (string, error) {
	n.sig.BodyHash = n.body.Sum()
	w := folder{b: make([]byte, 0, 1024)}
	w.text("DKIM-Signature:")
	w.col = len(w.b)
	sig := &n.sig
	w.tag("v", "1")
	w.tag("a", string(sig.Algorithm))
	w.tag("c", string(sig.HeaderCanon)+"/"+string(sig.BodyCanon))
	w.tag("d", sig.Domain.String())
	w.tag("s", sig.Selector)
	if sig.Identity != "" {
		w.tag("i", encodeQP(sig.Identity))
	}
	w.tag("t", strconv.FormatInt(sig.Created.Unix(), 10))
	if !sig.Expires.IsZero() {
		w.tag("x", strconv.FormatInt(sig.Expires.Unix(), 10))
	}
	w.list("h", sig.Headers)
	w.tag("bh", base64.StdEncoding.EncodeToString(sig.BodyHash))
	w.open("b")
	field, ok := message.ParseField(string(w.b))
	if !ok {
		return "", errors.New("sign: the field could not be written")
	}
	in := n.fields.AppendSigned(make([]byte, 0, 4096), sig.HeaderCanon, sig.Headers)
	digest := sha256.Sum256(AppendSelf(in, sig.HeaderCanon, field))
	value, err := SignDigest(n.s.Key, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	w.chunks(base64.StdEncoding.EncodeToString(value))
	w.text("\r\n")
	return string(w.b), nil
}

// Sign signs a message with several keys in one pass over its body. The fields
// come in the order of the signers.
func Sign(h message.Header, body io.Reader, signers ...*Signer) ([]string, error) {
	var d message.Digests
	under := make([]*Signing, len(signers))
	for i, s := range signers {
		var err error
		if under[i], err = s.Begin(h, &d); err != nil {
			return nil, err
		}
	}
	if _, err := io.Copy(&d, body); err != nil {
		return nil, err
	}
	d.Close()
	out := make([]string, len(under))
	for i, n := range under {
		var err error
		if out[i], err = n.Finish(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
