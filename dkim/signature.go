package dkim

import (
	"crypto"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/message"
	"sekimori/taglist"
)

// Algorithm is the "a" tag of a signature (RFC 6376 §3.3, RFC 8463 §3).
type Algorithm string

const (
	RSASHA256     Algorithm = "rsa-sha256"
	Ed25519SHA256 Algorithm = "ed25519-sha256"
	RSASHA1       Algorithm = "rsa-sha1" // must be neither made nor accepted (RFC 8301 §3.1)
)

// Hash is what the algorithm hashes body and header with; 0 for one that is
// not to be used.
func (a Algorithm) Hash() crypto.Hash {
	if a == RSASHA256 || a == Ed25519SHA256 {
		return crypto.SHA256
	}
	return 0
}

// keyType is the "k" of the keys that the algorithm uses.
func (a Algorithm) keyType() KeyType {
	if a == Ed25519SHA256 {
		return Ed25519
	}
	return RSA
}

// Signature is the value of a DKIM-Signature field (RFC 6376 §3.5).
type Signature struct {
	Algorithm   Algorithm                // a=
	Value       []byte                   // b=
	BodyHash    []byte                   // bh=
	HeaderCanon message.Canonicalization // c=, before the slash
	BodyCanon   message.Canonicalization // c=, after the slash
	Domain      domain.Name              // d=
	Headers     []string                 // h=, as written
	// Identity is i=, decoded: the agent or user on whose behalf was signed.
	// "@" and the domain where the tag is absent.
	Identity string
	// Length is l=, how many octets of the canonicalized body are hashed;
	// Limited tells whether there is such a limit.
	Length  int64
	Limited bool
	// Queries is q=, how to get the key; nil where absent, then "dns/txt".
	Queries  []string
	Selector string    // s=, as written
	Created  time.Time // t=; zero where absent
	Expires  time.Time // x=; zero where absent
	// Copied is z=, some fields as they were when signing, without white
	// space. It is for diagnosis and never verified.
	Copied string
	// Extra are the tags that this package does not know; they mean nothing
	// (RFC 6376 §3.2).
	Extra taglist.List

	selector domain.Name // s= in A-labels
}

// Bounds of what is read. The octets of b= are those of an RSA key of 16,384
// bits; whether a key is accepted is for the Limits.
const (
	maxField   = 32 << 10
	maxValue   = 2048 // octets of b=
	maxHeaders = 512  // names in h=
	maxSeconds = 999999999999
)

// ParseSignature reads the value of a DKIM-Signature field, folded or not,
// strictly (RFC 6376 §6.1.1): what the RFC requires must be there, what it
// defines must be well-formed, unknown tags are kept and mean nothing. Names of
// domains may be in U-labels (RFC 8616 §4). One thing is forgiven: "_" may
// stand in d= and s=, as it does in real names.
//
// With an error, which is an *Error, the Signature still holds what could be
// read, for reports; what could not is left empty. Time and memory grow with len(value); more than 32 KiB,
// more than 512 names in h= and more than 2,048 octets in b= are refused.
func ParseSignature(value string) (*Signature, error) {
	if len(value) > maxField {
		return &Signature{}, limited("dkim.signature-long", len(value), maxField)
	}
	list, faults := taglist.Parse(value)
	s, err := signatureOf(list, true)
	if len(faults) > 0 {
		// RFC 6376 §3.2: a tag-list with a fault, a repeated tag included, is
		// invalid as a whole.
		return s, faultError(faults[0])
	}
	if err != nil {
		return s, err
	}
	return s, nil
}

// SignatureOf reads all tags of a signature except v and i, to which
// ARC-Message-Signature gives another meaning (RFC 8617 §4.1.2). The rules are
// those of ParseSignature; Identity stays empty.
func SignatureOf(list taglist.List) (*Signature, error) {
	s, err := signatureOf(list, false)
	if err != nil {
		return s, err
	}
	return s, nil
}

// required are the tags without which there is no signature (RFC 6376 §3.5).
var required = [...]string{"a", "b", "bh", "d", "h", "s"}

func signatureOf(list taglist.List, whole bool) (*Signature, *Error) {
	s := &Signature{HeaderCanon: message.Simple, BodyCanon: message.Simple} // RFC 6376 §3.5, "c"
	var first *Error
	note := func(err *Error) {
		if first == nil && err != nil {
			first = err
		}
	}
	if whole {
		// RFC 6376 §6.1.1: a version that is not ours says that nothing else
		// may be understood, so it is looked at first.
		if v, ok := list.Get("v"); !ok {
			note(missing("v"))
		} else if v != "1" {
			note(problem("dkim.version-unknown", "RFC 6376 §3.5", "v", v))
		}
	}
	for _, name := range required {
		if _, ok := list.Get(name); !ok {
			note(missing(name)) // RFC 6376 §6.1.1
		}
	}
	identity := (*taglist.Tag)(nil)
	for i := range list {
		t := &list[i]
		switch t.Name {
		case "v", "i":
			if whole && t.Name == "i" {
				identity = t
			}
		default:
			note(s.set(t))
		}
	}
	if whole {
		note(s.setIdentity(identity))
	}
	if first == nil && !s.Created.IsZero() && !s.Expires.IsZero() && !s.Expires.After(s.Created) {
		// RFC 6376 §3.5, "x"
		note(problem("dkim.expires-before-created", "RFC 6376 §3.5", "x", stamp(s.Expires)))
	}
	return s, first
}

// set reads one tag.
func (s *Signature) set(t *taglist.Tag) *Error {
	v := t.Value
	ok := true
	switch t.Name {
	case "a":
		s.Algorithm = Algorithm(v)
		switch s.Algorithm {
		case RSASHA256, Ed25519SHA256:
		case RSASHA1:
			return problem("dkim.algorithm-sha1", "RFC 8301 §3.1", "a", v)
		default:
			s.Algorithm = ""
			return problem("dkim.algorithm-unknown", "RFC 6376 §3.3", "a", v)
		}
	case "b":
		s.Value, ok = decodeBase64(v)
		ok = ok && len(s.Value) > 0 && len(s.Value) <= maxValue
	case "bh":
		// The only hash there is gives 32 octets (RFC 6376 §3.5, "bh").
		s.BodyHash, ok = decodeBase64(v)
		ok = ok && len(s.BodyHash) == crypto.SHA256.Size()
	case "c":
		return s.setCanon(v)
	case "d":
		s.Domain, ok = domainName(v)
		ok = ok && s.Domain.Labels() > 1
	case "h":
		return s.setHeaders(v)
	case "l":
		s.Length, ok = decimal(v, 76)
		s.Limited = ok
	case "q":
		return s.setQueries(v)
	case "s":
		if s.selector, ok = domainName(v); ok {
			s.Selector = v
		}
	case "t":
		s.Created, ok = seconds(v)
	case "x":
		s.Expires, ok = seconds(v)
	case "z":
		s.Copied = taglist.Unfold(v)
	default:
		s.Extra = append(s.Extra, taglist.Tag{Name: t.Name, Value: t.Value})
	}
	if !ok {
		return invalid(t.Name, v)
	}
	return nil
}

func (s *Signature) setCanon(v string) *Error {
	// RFC 6376 §3.5, "c": one name stands for the header, the body is simple.
	h, b, both := strings.Cut(v, "/")
	if !both {
		b = string(message.Simple)
	}
	for _, c := range [...]string{h, b} {
		if c != string(message.Simple) && c != string(message.Relaxed) {
			return problem("dkim.canonicalization-unknown", "RFC 6376 §3.4", "c", v)
		}
	}
	s.HeaderCanon, s.BodyCanon = message.Canonicalization(h), message.Canonicalization(b)
	return nil
}

func (s *Signature) setHeaders(v string) *Error {
	n := strings.Count(v, ":") + 1
	if n > maxHeaders {
		return limited("dkim.too-many-fields", n, maxHeaders)
	}
	s.Headers = make([]string, 0, n)
	from := false
	for rest, more := v, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, ":")
		name = trimFWS(name)
		if !isFieldName(name) {
			return invalid("h", v)
		}
		from = from || strings.EqualFold(name, "From")
		s.Headers = append(s.Headers, name)
	}
	if !from {
		// RFC 6376 §5.4, §6.1.1
		return problem("dkim.from-unsigned", "RFC 6376 §6.1.1", "h", v)
	}
	return nil
}

func (s *Signature) setQueries(v string) *Error {
	known := false
	for rest, more := v, true; more; {
		var q string
		q, rest, more = strings.Cut(rest, ":")
		q = trimFWS(q)
		if q == "" || len(s.Queries) == 16 {
			return invalid("q", v)
		}
		known = known || q == "dns/txt"
		s.Queries = append(s.Queries, q)
	}
	if !known { // RFC 6376 §3.5, "q": what is not recognized is ignored
		return problem("dkim.query-unknown", "RFC 6376 §3.5", "q", v)
	}
	return nil
}

// setIdentity reads i=. Its domain must be that of d= or lie below it.
func (s *Signature) setIdentity(t *taglist.Tag) *Error {
	if t == nil { // RFC 6376 §3.5, "i": the default
		if !s.Domain.IsZero() {
			s.Identity = "@" + s.Domain.String()
		}
		return nil
	}
	v := t.Value
	text, ok := decodeQP(v)
	at := strings.LastIndexByte(text, '@')
	if !ok || at < 0 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return invalid("i", v)
	}
	d, ok := domainName(text[at+1:])
	if !ok {
		return invalid("i", v)
	}
	if !s.Domain.IsZero() && !d.IsSubdomainOf(s.Domain) {
		e := problem("dkim.identity-outside", "RFC 6376 §3.5", "i", text)
		e.Step.Args["domain"] = explain.ClipFolded(s.Domain.String())
		return e
	}
	s.Identity = text
	return nil
}

// identityDomain is the domain of i=; the zero Name where it is no domain.
func (s *Signature) identityDomain() domain.Name {
	d, _ := domainName(s.Identity[strings.LastIndexByte(s.Identity, '@')+1:])
	return d
}

// String returns the value of a field: tags in a fixed order, unfolded. It is
// read back by ParseSignature as the same Signature, but it does not verify:
// what was signed is the field as it was written.
func (s *Signature) String() string {
	var b strings.Builder
	b.Grow(512)
	tag := func(name, value string) {
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(value)
	}
	tag("v", "1")
	tag("a", string(s.Algorithm))
	tag("c", string(s.HeaderCanon)+"/"+string(s.BodyCanon))
	tag("d", s.Domain.String())
	tag("s", s.Selector)
	if s.Identity != "" && s.Identity != "@"+s.Domain.String() {
		tag("i", encodeQP(s.Identity))
	}
	if s.Queries != nil {
		tag("q", strings.Join(s.Queries, ":"))
	}
	if !s.Created.IsZero() {
		tag("t", strconv.FormatInt(s.Created.Unix(), 10))
	}
	if !s.Expires.IsZero() {
		tag("x", strconv.FormatInt(s.Expires.Unix(), 10))
	}
	if s.Limited {
		tag("l", strconv.FormatInt(s.Length, 10))
	}
	tag("h", strings.Join(s.Headers, ":"))
	if s.Copied != "" {
		tag("z", s.Copied)
	}
	for _, t := range s.Extra {
		tag(t.Name, t.Value)
	}
	tag("bh", base64.StdEncoding.EncodeToString(s.BodyHash))
	tag("b", base64.StdEncoding.EncodeToString(s.Value))
	return b.String()
}

// Signs reports whether h= names a field, in any case.
func (s *Signature) Signs(name string) bool {
	return slices.ContainsFunc(s.Headers, func(h string) bool { return strings.EqualFold(h, name) })
}
