package dns

import "net/netip"

const hexDigits = "0123456789abcdef"

// Reverse returns the name under which an address has its PTR record, with a
// final dot: in in-addr.arpa (RFC 1035 §3.5) or ip6.arpa (RFC 3596 §2.5). An
// IPv4-mapped address is taken as IPv4. The zero Addr gives "".
func Reverse(a netip.Addr) string {
	a = a.Unmap()
	switch {
	case a.Is4():
		b := a.As4()
		out := make([]byte, 0, 30)
		for i := 3; i >= 0; i-- {
			out = appendDecimal(out, b[i])
			out = append(out, '.')
		}
		return string(append(out, "in-addr.arpa."...))
	case a.Is6():
		b := a.As16()
		out := make([]byte, 0, 73)
		for i := 15; i >= 0; i-- {
			out = append(out, hexDigits[b[i]&15], '.', hexDigits[b[i]>>4], '.')
		}
		return string(append(out, "ip6.arpa."...))
	}
	return ""
}

func appendDecimal(b []byte, n byte) []byte {
	if n >= 100 {
		b = append(b, '0'+n/100)
	}
	if n >= 10 {
		b = append(b, '0'+n/10%10)
	}
	return append(b, '0'+n%10)
}
