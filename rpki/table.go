package rpki

import (
	"net/netip"
)

// Table joins what holders authorised and what is announced. Both have to be
// there: without VRPs everything is NotFound, without Routes nothing is
// announced. It is safe for concurrent use.
type Table struct {
	VRPs   *VRPs
	Routes *Routes
}

// Origin is an announcement of a prefix by one origin.
type Origin struct {
	Prefix netip.Prefix `json:"prefix"`
	// ASN is the origin; 0 where it is a set of systems, which names nobody
	// and is never valid (RFC 6811 §2, RFC 6472).
	ASN ASN `json:"asn"`
	// Peers counts the routers that see it so; 0 where the source does not say.
	Peers int   `json:"peers,omitempty"`
	State State `json:"state"`
	// Length: a payload names the origin, but allows no prefix as long as
	// this. Only ever true of what is Invalid.
	Length bool `json:"length,omitempty"`
	// Covering are the payloads that cover the prefix, the longest first, at
	// most 10.
	Covering []VRP `json:"covering,omitempty"`
}

// maxCovering bounds Origin.Covering.
const maxCovering = 10

// Origins returns the announcement that an address lies in, the longest
// matching prefix, once for each of its origins, those seen most first; none
// where the address is not announced. An IPv4-mapped address is taken as IPv4.
func (t Table) Origins(a netip.Addr) []Origin {
	p, origins := t.Routes.Lookup(a)
	if len(origins) == 0 {
		return nil
	}
	out := make([]Origin, len(origins))
	var covering []VRP
	for v := range t.VRPs.Covering(p) {
		covering = append(covering, v)
	}
	for i, o := range origins {
		x := Origin{Prefix: p, ASN: o.ASN, Peers: o.Peers, State: NotFound, Covering: covering[:min(len(covering), maxCovering):min(len(covering), maxCovering)]}
		if len(covering) > 0 {
			x.State = Invalid
		}
		for _, v := range covering {
			if v.matches(p, o.ASN) {
				x.State, x.Length = Valid, false
				break
			}
			x.Length = x.Length || o.ASN != 0 && v.ASN == o.ASN
		}
		out[i] = x
	}
	return out
}
