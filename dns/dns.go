// Package dns is how protocol code asks the Domain Name System: one interface,
// one answer type. It holds no sockets; internal/resolve asks the network and
// dns/dnstest serves a zone file.
package dns

import (
	"context"
	"errors"
	"time"
)

// Security is the DNSSEC state of an answer (RFC 4033 §5).
type Security string

const (
	Secure   Security = "secure"
	Insecure Security = "insecure"
	Bogus    Security = "bogus"
	Unknown  Security = "" // the resolver did not say
)

// Type is a resource record type by its IANA mnemonic.
type Type string

const (
	A     Type = "A"
	AAAA  Type = "AAAA"
	CNAME Type = "CNAME"
	MX    Type = "MX"
	PTR   Type = "PTR"
	TXT   Type = "TXT"
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
type Answer struct {
	Records  []string
	TTL      time.Duration
	Security Security
}

// Resolver answers questions. It is safe for concurrent use. A name need not
// end in a dot; it is always taken as absolute.
type Resolver interface {
	Lookup(ctx context.Context, name string, t Type) (Answer, error)
}
