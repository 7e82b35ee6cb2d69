// Package rpki tells whether a network that is announced in BGP is announced
// by whom its holder authorised (route origin validation, RFC 6811).
//
// Two things are needed. What holders authorised are validated ROA payloads:
// VRPs, from a file that Routinator or rpki-client wrote (ReadVRPs) or from an
// RTR cache (ReadRTR). What is announced are Routes, from a dump of a router's
// or collector's table or a prefix-to-AS file (ReadRoutes). A Table joins them:
// it finds the announcement that an address lies in and says whether its
// origin is valid. The payloads are believed: the certificates behind them are
// the validator's business.
//
// The room does no I/O of its own and speaks no prose.
package rpki

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// ASN is the number of an autonomous system. 0 belongs to nobody (RFC 7607).
type ASN uint32

// String writes the number as people do: "AS64496" (RFC 5396).
func (a ASN) String() string { return "AS" + strconv.FormatUint(uint64(a), 10) }

// ParseASN reads "AS64496" or "64496", in either case of the letters.
func ParseASN(s string) (ASN, error) {
	digits := s
	if len(s) > 2 && strings.EqualFold(s[:2], "AS") {
		digits = s[2:]
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("AS number %.40q: want 0 to %d, with or without \"AS\" before it", s, uint32(math.MaxUint32))
	}
	return ASN(n), nil
}

// State is what route origin validation says of an announcement (RFC 6811 §2).
type State string

const (
	Valid    State = "valid"     // a VRP that covers the prefix names its origin and allows its length
	Invalid  State = "invalid"   // VRPs cover the prefix, and none of them does
	NotFound State = "not-found" // no VRP covers the prefix: its holder published nothing
)

// VRP says that an autonomous system may announce a prefix, and parts of it up
// to a length (RFC 6811 §2). It is comparable.
type VRP struct {
	Prefix    netip.Prefix `json:"prefix"`
	MaxLength uint8        `json:"max_length"`
	ASN       ASN          `json:"asn"`
}

// String writes the payload as routers do: "192.0.2.0/24-24 AS64496".
func (v VRP) String() string {
	return v.Prefix.String() + "-" + strconv.Itoa(int(v.MaxLength)) + " " + v.ASN.String()
}

// Check says what is wrong with the payload; nil where nothing is.
func (v VRP) Check() error {
	switch {
	case !v.Prefix.IsValid():
		return fmt.Errorf("no prefix")
	case v.Prefix.Addr().Is4In6():
		return fmt.Errorf("prefix %s: an IPv4 address written as IPv6", v.Prefix)
	case v.Prefix != v.Prefix.Masked():
		return fmt.Errorf("prefix %s: there are bits behind its length: want %s", v.Prefix, v.Prefix.Masked())
	case int(v.MaxLength) < v.Prefix.Bits() || int(v.MaxLength) > v.Prefix.Addr().BitLen():
		return fmt.Errorf("prefix %s: maxLength %d: want %d to %d", v.Prefix, v.MaxLength, v.Prefix.Bits(), v.Prefix.Addr().BitLen())
	}
	return nil
}

// parsePrefix reads a prefix. One of IPv4 that is written as IPv6 (RFC 4291
// §2.5.5.2) is taken as IPv4, which it means.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("prefix %.60q: want ADDRESS/LENGTH", s)
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("prefix %s: part of it is no IPv4 address", p)
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("prefix %s: there are bits behind its length: want %s", p, p.Masked())
	}
	return p, nil
}
