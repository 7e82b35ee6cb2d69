// Package rr turns resource records of github.com/miekg/dns into the
// presentation form of dns.Answer. It is shared by the zone file and the
// network resolver, so that both answer in the same words.
package rr

import (
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
	case dns.MX:
		return mdns.TypeMX
	case dns.PTR:
		return mdns.TypePTR
	case dns.TXT:
		return mdns.TypeTXT
	}
	return 0
}

// Text returns a record's data as dns.Answer holds it; false for a type that
// dns does not name.
func Text(r mdns.RR) (string, bool) {
	switch r := r.(type) {
	case *mdns.A:
		return r.A.String(), r.A != nil
	case *mdns.AAAA:
		return r.AAAA.String(), r.AAAA != nil
	case *mdns.CNAME:
		return r.Target, true
	case *mdns.MX:
		return strconv.Itoa(int(r.Preference)) + " " + r.Mx, true
	case *mdns.PTR:
		return r.Ptr, true
	case *mdns.TXT:
		var b strings.Builder
		for _, s := range r.Txt {
			unescape(&b, s)
		}
		return b.String(), true
	}
	return "", false
}

// unescape undoes the escapes \DDD and \X (RFC 1035 §5.1) in which miekg/dns
// keeps character-strings.
func unescape(b *strings.Builder, s string) {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if i+3 < len(s) && digit(s[i+1]) && digit(s[i+2]) && digit(s[i+3]) {
			if n := int(s[i+1]-'0')*100 + int(s[i+2]-'0')*10 + int(s[i+3]-'0'); n < 256 {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		i++
		b.WriteByte(s[i])
	}
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
