package probe

import "net/netip"

// Prefixes out of the special-purpose registries (RFC 6890 and its updates)
// that netip does not know.
var (
	special = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4",
		"64:ff9b:1::/48", "100::/64", "2001::/23", "2001:2::/48", "2002::/16", "5f00::/16", "fec0::/10")
	documented = prefixes("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// global tells an address of the public Internet.
func global(a netip.Addr) bool {
	a = a.Unmap()
	if nat64.Contains(a) { // RFC 6052 §2.1: an IPv4 address behind a translator
		b := a.As16()
		return global(netip.AddrFrom4([4]byte(b[12:])))
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" || within(a, special) || documentation(a) {
		return false
	}
	return true
}

// documentation tells an address at which nothing can be (RFC 5737, RFC 3849,
// RFC 9637).
func documentation(a netip.Addr) bool { return within(a, documented) }

func within(a netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
