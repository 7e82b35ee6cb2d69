// Package rr turns resource records of github.com/miekg/dns into the
// presentation form of dns.Answer, and names into the form in which they are
// compared. It is shared by the zone file and the network resolver, so that
// both answer in the same words.
package rr

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	mdns "github.com/miekg/dns"

	"sekimori/dns"
)

// Code returns the number of a type (RFC 1035 §3.2.2), 0 for one that
// dns does not name.
func Code(t dns.Type) uint16 {
	switch t {
	case dns.A:
		return mdns.TypeA
	case dns.AAAA:
		return mdns.TypeAAAA
	case dns.CNAME:
		return mdns.TypeCNAME
	case dns.DNSKEY:
		return mdns.TypeDNSKEY
	case dns.DS:
		return mdns.TypeDS
	case dns.MX:
		return mdns.TypeMX
	case dns.NS:
		return mdns.TypeNS
	case dns.PTR:
		return mdns.TypePTR
	case dns.SOA:
		return mdns.TypeSOA
	case dns.TLSA:
		return mdns.TypeTLSA
	case dns.TXT:
		return mdns.TypeTXT
	}
	return 0
}

// Text returns a record's data as dns.Answer holds it; false for a type that
// dns does not name, and for one whose data are not of its type.
//
// Names in records end in a dot and are raw text as far as that can be (see
// Raw). Keys and digests are without white space: base64 in DNSKEY, hex in DS
// (upper case) and TLSA (lower case).
func Text(r mdns.RR) (string, bool) {
	switch r := r.(type) {
	case *mdns.A:
		return r.A.String(), r.A != nil
	case *mdns.AAAA:
		if v4 := r.AAAA.To4(); v4 != nil {
			return "::ffff:" + v4.String(), true // net.IP would write it as an A
		}
		return r.AAAA.String(), r.AAAA != nil
	case *mdns.CNAME:
		return host(r.Target), true
	case *mdns.DNSKEY:
		if _, err := base64.StdEncoding.DecodeString(r.PublicKey); err != nil {
			return "", false
		}
		return join(uint32(r.Flags), uint32(r.Protocol), uint32(r.Algorithm)) + r.PublicKey, true
	case *mdns.DS:
		if _, err := hex.DecodeString(r.Digest); err != nil {
			return "", false
		}
		return join(uint32(r.KeyTag), uint32(r.Algorithm), uint32(r.DigestType)) + strings.ToUpper(r.Digest), true
	case *mdns.MX:
		return strconv.Itoa(int(r.Preference)) + " " + host(r.Mx), true
	case *mdns.NS:
		return host(r.Ns), true
	case *mdns.PTR:
		return host(r.Ptr), true
	case *mdns.SOA:
		return host(r.Ns) + " " + host(r.Mbox) + " " +
			strings.TrimSuffix(join(r.Serial, r.Refresh, r.Retry, r.Expire, r.Minttl), " "), true
	case *mdns.TLSA:
		if _, err := hex.DecodeString(r.Certificate); err != nil {
			return "", false
		}
		return join(uint32(r.Usage), uint32(r.Selector), uint32(r.MatchingType)) + strings.ToLower(r.Certificate), true
	case *mdns.TXT:
		n := 0
		for _, s := range r.Txt {
			n += len(s)
		}
		b := make([]byte, 0, n)
		for _, s := range r.Txt {
			b = unescape(b, s)
		}
		return string(b), true
	}
	return "", false
}

// join writes numbers, a space after each.
func join(ns ...uint32) string {
	b := make([]byte, 0, 24)
	for _, n := range ns {
		b = append(strconv.AppendUint(b, uint64(n), 10), ' ')
	}
	return string(b)
}

// unescape undoes the escapes \DDD and \X (RFC 1035 §5.1) in which miekg/dns
// keeps character-strings.
func unescape(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		if c, ok := decimal(s[i+1:]); ok {
			b = append(b, c)
			i += 3
			continue
		}
		i++
		b = append(b, s[i])
	}
	return b
}

// decimal reads the three digits of an escaped octet.
func decimal(s string) (byte, bool) {
	if len(s) < 3 || !digit(s[0]) || !digit(s[1]) || !digit(s[2]) {
		return 0, false
	}
	n := int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	return byte(n), n < 256
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// Extended returns the extended errors of a message (RFC 8914), at most eight,
// each text at most 255 octets of printable UTF-8.
func Extended(m *mdns.Msg) []dns.ExtendedError {
	opt := m.IsEdns0()
	if opt == nil {
		return nil
	}
	var out []dns.ExtendedError
	for _, o := range opt.Option {
		if e, ok := o.(*mdns.EDNS0_EDE); ok && len(out) < 8 {
			out = append(out, dns.ExtendedError{Code: e.InfoCode, Text: printable(e.ExtraText)})
		}
	}
	return out
}

func printable(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), 255)], "")
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.TrimRight(s, "\x00"))
}
