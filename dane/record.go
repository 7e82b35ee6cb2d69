// Package dane reads, prints and checks TLSA records (RFC 6698) as senders of
// mail use them (RFC 7672), and finds out what they mean for a domain's mail
// exchangers: which of them a sender can authenticate by the DNS.
package dane

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Usage says what a record's certificate or key is (RFC 6698 §2.1.1).
type Usage uint8

const (
	PKIXTA Usage = 0 // a CA that must be in the chain, itself trusted; not for SMTP
	PKIXEE Usage = 1 // the server's certificate, itself valid; not for SMTP
	TA     Usage = 2 // a trust anchor
	EE     Usage = 3 // the server's certificate or key
)

// Selector says what of the certificate is compared (RFC 6698 §2.1.2).
type Selector uint8

const (
	Cert Selector = 0 // the whole
	SPKI Selector = 1 // its public key
)

// Matching says how it is compared (RFC 6698 §2.1.3).
type Matching uint8

const (
	Full   Matching = 0
	SHA256 Matching = 1
	SHA512 Matching = 2
)

// maxText is the longest record that is read: hex of what fits a record.
const maxText = 1 << 18

// Record is a TLSA record. It is comparable. The zero Record is invalid: it
// has no data.
type Record struct {
	Usage    Usage
	Selector Selector
	Matching Matching
	Data     string // octets, not hex
}

// Name is where the records of a mail exchanger are.
func Name(host string) string {
	return "_25._tcp." + strings.TrimSuffix(host, ".")
}

// Parse reads a record in its presentation form (RFC 6698 §2.2), "3 1 1 …":
// three numbers and hex, in which blanks may stand. Values without a meaning
// are no error: see Usable.
func Parse(txt string) (*Record, error) {
	if len(txt) > maxText {
		return nil, fmt.Errorf("TLSA record: %d octets long, at most %d are read", len(txt), maxText)
	}
	var n [3]uint64
	rest := txt
	for i, what := range [...]string{"usage", "selector", "matching type"} {
		rest = strings.TrimLeft(rest, " \t")
		word := rest
		if end := strings.IndexAny(rest, " \t"); end >= 0 {
			word, rest = rest[:end], rest[end:]
		} else {
			rest = ""
		}
		v, err := strconv.ParseUint(word, 10, 8)
		if err != nil {
			return nil, fmt.Errorf("TLSA record: %s %.20q: want a number from 0 to 255", what, word)
		}
		n[i] = v
	}
	digits := strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, rest)
	data, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("TLSA record: data: %w", err)
	}
	if len(data) == 0 {
		return nil, errors.New("TLSA record: no data")
	}
	return &Record{Usage(n[0]), Selector(n[1]), Matching(n[2]), string(data)}, nil
}

// String writes the record in its presentation form.
func (r *Record) String() string {
	return strconv.Itoa(int(r.Usage)) + " " + strconv.Itoa(int(r.Selector)) + " " +
		strconv.Itoa(int(r.Matching)) + " " + hex.EncodeToString([]byte(r.Data))
}

// digest is how long the data of a matching type are; 0 for any length.
func (m Matching) digest() int {
	switch m {
	case SHA256:
		return 32
	case SHA512:
		return 64
	}
	return 0
}

// Usable reports whether a sender of mail can use the record: usage 2 or 3
// (RFC 7672 §3.1.3), a selector and a matching type that RFC 6698 defines, and
// data as long as the digest is.
func (r *Record) Usable() bool {
	return (r.Usage == TA || r.Usage == EE) && r.Selector <= SPKI && r.Matching <= SHA512 &&
		r.Data != "" && (r.Matching == Full || len(r.Data) == r.Matching.digest())
}
