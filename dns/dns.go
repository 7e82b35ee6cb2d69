// Package dns is how protocol code asks the Domain Name System: one interface,
// one answer type. It holds no sockets; internal/resolve asks the network and
// dns/dnstest serves a zone file.
package dns

import (
	"context"
	"errors"
	"time"
)

// Security is the DNSSEC state of an answer (RFC 4033 §5), or of there being
// none.
//
// A stub resolver learns by the AD bit that an answer is Secure. Without the
// bit it may be unsigned or may not have been validated, which RFC 4033 calls
// insecure and indeterminate: that is Unknown. Insecure is only said where it
// is proven, as by the Secure absence of DS records at a delegation above the
// name; whoever needs to know asks for those.
type Security string

const (
	Secure   Security = "secure"   // validated
	Insecure Security = "insecure" // proven to be unsigned
	Bogus    Security = "bogus"    // validation failed; always beside ErrTemporary
	Unknown  Security = ""         // the resolver did not say
)

// Type is a resource record type by its IANA mnemonic.
type Type string

const (
	A      Type = "A"
	AAAA   Type = "AAAA"
	CNAME  Type = "CNAME"
	DNSKEY Type = "DNSKEY"
	DS     Type = "DS"
	MX     Type = "MX"
	NS     Type = "NS"
	PTR    Type = "PTR"
	SOA    Type = "SOA"
	TLSA   Type = "TLSA"
	TXT    Type = "TXT"
)

// Errors that tell the ways of not getting records apart. A Resolver's error
// matches exactly one of them under errors.Is.
var (
	ErrNameNotFound = errors.New("no such name")                 // NXDOMAIN
	ErrNoData       = errors.New("no records of this type")      // NOERROR, empty
	ErrTemporary    = errors.New("temporary resolution failure") // SERVFAIL, time-out, refused: never "absent"
)

// Answer is the records of one name and type, in presentation form without
// the owner: an address, a host name, the concatenated strings of a TXT
// record (each record one element; RFC 7208 §3.3), "10 mx.example.com." for MX.
// Records may be shared with other answers and must not be written to.
//
// Security and Extended are also set beside an error where they are known: the
// absence of a name can be Secure, a failure Bogus.
type Answer struct {
	Records  []string
	TTL      time.Duration
	Security Security
	// Name is where the chain of aliases ended, without the final dot; empty
	// where no alias was followed.
	Name string
	// Extended are the server's extended errors (RFC 8914), if it sent any.
	Extended []ExtendedError
}

// ExtendedError is what a server says about an answer, or the lack of one
// (RFC 8914 §2). Text is from outside and may say anything.
type ExtendedError struct {
	Code uint16 `json:"code"`
	Text string `json:"text,omitempty"`
}

// Absent reports whether a Resolver's error says that there are no such
// records: no such name, or none of this type. A failure is never absence.
func Absent(err error) bool {
	return errors.Is(err, ErrNameNotFound) || errors.Is(err, ErrNoData)
}

// Resolver answers questions. It is safe for concurrent use. A name need not
// end in a dot; it is always taken as absolute. It is raw text, not the
// presentation form: every "." separates two labels, every other octet stands
// for itself. A name that cannot exist (an empty label, one of more than 63
// octets, more than 253 in all) gives ErrNameNotFound.
type Resolver interface {
	Lookup(ctx context.Context, name string, t Type) (Answer, error)
}

// Ready reports whether a Resolver answers a question without asking anybody:
// it has a method Cached that says so. What is ready is better asked for in
// place than in a goroutine of its own.
func Ready(r Resolver, name string, t Type) bool {
	c, ok := r.(interface {
		Cached(name string, t Type) (Answer, error, bool)
	})
	if ok {
		_, _, ok = c.Cached(name, t)
	}
	return ok
}
