package smime

import (
	"context"
	"crypto/x509"
	"time"

	"sekimori/explain"
	"sekimori/message"
)

// Status is the result of one signature, or of a message, by the token that
// Authentication-Results has for it (RFC 7281 §3).
type Status string

const (
	None      Status = "none"
	Pass      Status = "pass"
	Fail      Status = "fail"
	Policy    Status = "policy"
	Neutral   Status = "neutral"
	TempError Status = "temperror" // only from those who keep the message for Verify
	PermError Status = "permerror"
)

// better orders statuses: of several signatures the best counts (RFC 5652 §5.1).
var better = map[Status]int{Pass: 6, Policy: 5, Fail: 4, PermError: 3, Neutral: 2, None: 1}

// State is whether something is so.
type State string

const (
	Yes     State = "yes"
	No      State = "no"
	Unknown State = "unknown" // it could not be looked at
)

// Match is how far the signer's certificate belongs to the sender.
type Match string

const (
	MatchAddress      Match = "address"      // it has the address in From or Sender
	MatchDomain       Match = "domain"       // only another address of the same domain
	MatchOrganization Match = "organization" // only one of the same organizational domain
	MatchNone         Match = "none"         // only addresses of others
	MatchUnknown      Match = "unknown"      // it has no address, or the message names no sender
)

// Limits bound one verification. A zero field means its default.
type Limits struct {
	Body         int // octets of the body that are looked at; default and most 32 MiB
	Certificates int // of one message; default 50
	Signers      int // of one message; default 10
}

// MaxBody is the longest body that is looked at, in octets.
const MaxBody = 32 << 20

func (l Limits) withDefaults() Limits {
	if l.Body <= 0 || l.Body > MaxBody {
		l.Body = MaxBody
	}
	if l.Certificates <= 0 {
		l.Certificates = 50
	}
	if l.Signers <= 0 {
		l.Signers = 10
	}
	return l
}

// Verifier verifies the signatures of messages. The zero Verifier trusts the
// roots of the system; it is safe for concurrent use. One message costs memory
// for its body and at most 100 checks of certificates' signatures a signer.
type Verifier struct {
	// Roots are the roots that are trusted for mail. nil means those of the
	// system, which are mostly meant for servers: some that sign for mail are
	// not among them, and some among them were never meant for mail.
	Roots *x509.CertPool
	// Intermediates are more certificates to build chains with, beside those in
	// the message.
	Intermediates *x509.CertPool
	Limits        Limits
	Now           func() time.Time // for messages without a time; nil means time.Now
}

// Input is a message to verify.
type Input struct {
	Header message.Header
	// Body is everything behind the header, as received. Nothing of it is
	// changed or kept.
	Body []byte
	// Cut says that the body was longer than is kept: it cannot be verified.
	Cut bool
	// Arrived is when the message arrived, which certificates must be valid at;
	// the zero time means now.
	Arrived time.Time
}

// Result is what became of a message. The zero Result is invalid.
type Result struct {
	Status Status // of the best signature
	Form   Form   // "" for a message without any S/MIME
	// Whole says that the signature is over all that the message shows: no part
	// stands around or behind the signed one.
	Whole bool
	// Encrypted says that the content, signed or not, is encrypted.
	Encrypted bool
	Part      string // of the signature, numbered as in IMAP (RFC 9051 §6.4.5)
	Roots     Roots
	Signers   []Signer
	Reason    explain.Step   // the step that decided; zero for a message without any S/MIME
	Steps     []explain.Step // all of them
}

// Roots says which roots were trusted.
type Roots string

const (
	SystemRoots Roots = "system"
	GivenRoots  Roots = "given"
)

// Signed reports whether the message has the form of a signed message.
func (r *Result) Signed() bool { return r.Form == Detached || r.Form == Opaque }

// Signer is one signature of a message.
type Signer struct {
	Status  Status
	Subject string // of the certificate, for people; "" where it was not read
	Issuer  string
	Serial  string // hexadecimal
	// Addresses are those that the certificate is for, at most 100.
	Addresses []string
	NotBefore time.Time
	NotAfter  time.Time
	Digest    string // "sha-256"
	Scheme    string // "rsa", "rsa-pss", "ecdsa", "ed25519"
	KeyBits   int
	// SigningTime is when the signer claims to have signed; zero where it does not.
	SigningTime time.Time

	Signature State // the digest and the signature over the octets are right
	Chain     State // the certificate leads to a trusted root
	Valid     State // it was valid when the message arrived
	Match     Match // whose address it has
	Usage     State // it may be used to sign mail
	// Address is the address of the certificate that says who signed: the one
	// of Match, otherwise the first. MatchedIn is the field, "from" or
	// "sender".
	Address, MatchedIn string

	// Certificate is nil where there is none, or crypto/x509 refuses it.
	Certificate *x509.Certificate
	Reason      explain.Step   // the step that decided
	Steps       []explain.Step // all of them
}

func step(code, ref string, args explain.Args) explain.Step {
	return explain.Step{Code: code, Ref: ref, Args: args}
}

// Verify verifies a message. It asks nobody, so that ctx can only end it early
// between signers; those left are then permerror.
func (v *Verifier) Verify(ctx context.Context, in Input) Result {
	r := Result{Status: None, Roots: SystemRoots}
	if v.Roots != nil {
		r.Roots = GivenRoots
	}
	limits := v.Limits.withDefaults()
	if in.Cut || len(in.Body) > limits.Body {
		if Announced(in.Header) {
			r.Form = Unseen
			r.end(Neutral, step("smime.body-long", "", explain.Args{"most": int64(limits.Body)}))
		}
		return r
	}
	f, ok := find(entity{header: in.Header, body: in.Body}, 0)
	if !ok {
		return r
	}
	r.Form, r.Part = f.form, f.path
	r.Whole = len(f.outer) == 0 && f.extra == 0
	if f.broken != "" {
		r.end(Neutral, step(f.broken, "RFC 8551 §3.5.3", nil))
		return r
	}
	kind, content, err := contentInfo(f.cms)
	if err != nil {
		r.end(Neutral, unreadable(err))
		return r
	}
	if f.form == Opaque {
		if s, ok := r.unsigned(kind); ok {
			r.end(None, s)
			return r
		}
	}
	if kind != oidSignedData {
		r.end(Neutral, step("smime.content-unknown", "RFC 8551 §2.4", explain.Args{"oid": orDash(kind)}))
		return r
	}
	data, err := readSignedData(content, limits)
	if err != nil {
		r.end(Neutral, unreadable(err))
		return r
	}
	if len(data.signers) > 0 && data.contentType != oidData {
		// A time stamp, say, is signed data too, and none of a mail.
		r.end(Neutral, step("smime.content-unknown", "RFC 8551 §2.4", explain.Args{"oid": orDash(data.contentType)}))
		return r
	}
	if len(data.signers) == 0 {
		r.Form = CertificatesOnly
		if f.form == Detached {
			r.Form = Detached
			r.end(Neutral, step("smime.no-signers", "RFC 8551 §3.5.3", nil))
			return r
		}
		r.end(None, step("smime.certs-only", "RFC 8551 §3.8", nil))
		return r
	}
	v.signatures(ctx, &r, in, &f, data)
	return r
}

// end gives the whole message its status.
func (r *Result) end(s Status, why explain.Step) {
	r.Status, r.Reason = s, why
	r.Steps = append(r.Steps, why)
}

// unsigned tells the types of content that show no signature.
func (r *Result) unsigned(kind string) (explain.Step, bool) {
	switch kind {
	case oidEnvelopedData, oidAuthEnvelopedData, oidEncryptedData:
		r.Form, r.Encrypted = Encrypted, true
		return step("smime.encrypted", "RFC 8551 §3.4", nil), true
	case oidCompressedData:
		r.Form = Compressed
		return step("smime.compressed", "RFC 8551 §3.6", nil), true
	}
	return explain.Step{}, false
}

func unreadable(err error) explain.Step {
	args := explain.Args{"octet": int64(0)}
	if m, ok := err.(*malformed); ok {
		args["octet"] = int64(m.offset)
	}
	return step("smime.unreadable", "RFC 5652 §5.1", args)
}

// signatures verifies each signature of the message, and takes the best.
func (v *Verifier) signatures(ctx context.Context, r *Result, in Input, f *found, data *signedData) {
	m := &signedMessage{verifier: v, found: f, data: data, from: senders(in.Header, "From"), sender: senders(in.Header, "Sender"), at: in.Arrived}
	if m.at.IsZero() {
		m.at = time.Now()
		if v.Now != nil {
			m.at = v.Now()
		}
	}
	m.readCertificates()
	if f.form == Detached {
		r.Steps = append(r.Steps, step("smime.detached", "RFC 8551 §3.5.3", nil))
	} else {
		r.Steps = append(r.Steps, step("smime.opaque", "RFC 8551 §3.5.2", nil))
	}
	m.contents(r)
	if len(f.outer) > 0 {
		m.partly = step("smime.not-outermost", "", explain.Args{"type": f.outer[0]})
	} else if f.extra > 0 {
		m.partly = step("smime.unsigned-parts", "RFC 1847 §2.1", explain.Args{"parts": int64(f.extra)})
	}
	if m.partly.Code != "" {
		r.Steps = append(r.Steps, m.partly)
	}
	if data.unread > 0 {
		r.Steps = append(r.Steps, step("smime.too-many-signers", "", explain.Args{"count": int64(len(data.signers) + data.unread), "most": int64(len(data.signers))}))
	}
	best := -1
	for i := range data.signers {
		s := Signer{Signature: Unknown, Chain: Unknown, Valid: Unknown, Match: MatchUnknown, Usage: Unknown}
		if ctx.Err() != nil {
			s.decide(PermError, step("smime.interrupted", "", nil))
		} else {
			m.verify(&s, &data.signers[i])
		}
		r.Signers = append(r.Signers, s)
		if best < 0 || better[s.Status] > better[r.Signers[best].Status] {
			best = i
		}
	}
	r.Status, r.Reason = r.Signers[best].Status, r.Signers[best].Reason
	r.settleAuthors(m)
}

// contents says what is inside the signed part.
func (m *signedMessage) contents(r *Result) {
	inner := m.found.signed
	if m.found.form == Opaque {
		inner = read(m.data.content, "", 1)
	}
	f, ok := find(inner, 0)
	if !ok || f.broken != "" {
		return
	}
	kind, _, err := contentInfo(f.cms)
	switch {
	case err != nil:
	case kind == oidSignedData:
		r.Steps = append(r.Steps, step("smime.inner-signature", "RFC 8551 §3.7", nil))
	case kind == oidEnvelopedData || kind == oidAuthEnvelopedData || kind == oidEncryptedData:
		r.Encrypted = true
		r.Steps = append(r.Steps, step("smime.content-encrypted", "RFC 8551 §3.7", nil))
	}
}
