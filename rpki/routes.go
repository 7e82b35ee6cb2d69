package rpki

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// MaxRoutes is how many prefixes a table of routes may have, several times
// the whole Internet's.
const MaxRoutes = 8_000_000

// maxOrigins is how many origins of one prefix are kept, those seen most.
const maxOrigins = 16

// RouteOrigin is who announces a prefix.
type RouteOrigin struct {
	ASN ASN // 0 where the origin is a set of systems, or otherwise no single one
	// Peers counts the routers that see it so; 0 where the source does not say.
	Peers int
}

// Routes are the prefixes that are announced, and by whom. They do not change
// and are safe for concurrent use. The nil and the zero *Routes have none.
//
// They take about 50 octets a prefix; while they are read, twice that.
type Routes struct {
	table bart.Table[span]
	list  []seen
}

// seen is an origin of a prefix and how many peers see it.
type seen struct {
	asn   ASN
	peers uint32
}

// Len returns how many prefixes are announced.
func (r *Routes) Len() int {
	if r == nil {
		return 0
	}
	return r.table.Size()
}

// Lookup returns the longest prefix announced that an address lies in, and its
// origins, those seen most first. An IPv4-mapped address is taken as IPv4.
func (r *Routes) Lookup(a netip.Addr) (netip.Prefix, []RouteOrigin) {
	a = a.Unmap().WithZone("")
	if r == nil || !a.IsValid() {
		return netip.Prefix{}, nil
	}
	p, at, ok := r.table.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen()))
	if !ok {
		return netip.Prefix{}, nil
	}
	out := make([]RouteOrigin, at.n)
	for i, s := range r.list[at.from : at.from+at.n] {
		out[i] = RouteOrigin{s.asn, int(s.peers)}
	}
	return p, out
}

// RouteReading tells what came of reading routes.
type RouteReading struct {
	Reading
	// Peers counts the routers whose tables are in the source, and FullPeers
	// those with at least half as many prefixes of a family as the one that has
	// most, in the family with more of them. Both are 0 for a text.
	Peers, FullPeers int
	// Hidden counts the prefixes and origins that too few of them see.
	Hidden int64
}

// DefaultVisibility is how large a share of the full peers has to see an
// origin for it to count, unless ReadRoutes is told otherwise. What only one
// network of many sees is its own affair: a more specific route of its inside,
// or a mistake that went no further.
const DefaultVisibility = 0.05

// ReadRoutes reads routes: an MRT dump of TABLE_DUMP_V2 (RFC 6396 §4.3, RFC
// 8050), as collectors and routers write it, or lines "PREFIX LENGTH ASN"
// (CAIDA's prefix-to-AS) or "PREFIX/LENGTH ASN"; each also in gzip or bzip2;
// which one is told by how it begins. It streams.
//
// Of a dump, an origin counts that at least the given share of the peers with
// a full table sees, 0 meaning DefaultVisibility, and always at least one; a
// negative share takes everything. A default route announces nothing and is
// left out.
//
// A source that ends early is an error, as what it lacks would seem not to be
// announced.
func ReadRoutes(r io.Reader, visibility float64) (*Routes, RouteReading, error) {
	in, err := plain(r)
	if err != nil {
		return nil, RouteReading{}, err
	}
	b := &routeBuilder{}
	// An MRT header begins with a time in seconds; as text it would be one of
	// 1970 or of after 2000 with unprintable octets behind it.
	head, err := in.Peek(mrtHeader)
	if err == nil && looksMRT(head) {
		err = b.mrt(in)
		if err != nil {
			return nil, b.RouteReading, fmt.Errorf("MRT: %w", err)
		}
	} else if err := b.text(in); err != nil {
		return nil, b.RouteReading, fmt.Errorf("prefix to AS: %w", err)
	}
	if visibility == 0 {
		visibility = DefaultVisibility
	}
	routes := b.build(visibility)
	if routes.Len() == 0 {
		if len(b.Problems) > 0 {
			return nil, b.RouteReading, fmt.Errorf("no route that could be used, the first trouble: %w", b.Problems[0])
		}
		return nil, b.RouteReading, fmt.Errorf("no routes: want a table dump (TABLE_DUMP_V2), not updates")
	}
	if b.Skipped*100 > b.Entries {
		return nil, b.RouteReading, fmt.Errorf("%d of %d entries make no sense, the first: %w", b.Skipped, b.Entries, b.Problems[0])
	}
	return routes, b.RouteReading, nil
}

// routeBuilder collects routes in any order.
type routeBuilder struct {
	RouteReading
	table bart.Table[span]
	list  []seen
	size  int
	// counts has the number of prefixes of each peer, by family.
	counts [2][]int64
}

// add adds the origins of a prefix. Of a prefix that came before, as where a
// router adds dump after dump to one file, it keeps the larger counts.
func (b *routeBuilder) add(p netip.Prefix, origins []seen) error {
	if p.Bits() == 0 || len(origins) == 0 {
		return nil
	}
	if old, ok := b.table.Get(p); ok {
		merged := slices.Clone(b.list[old.from : old.from+old.n])
		for _, o := range origins {
			i := slices.IndexFunc(merged, func(m seen) bool { return m.asn == o.asn })
			switch {
			case i < 0:
				merged = append(merged, o)
			default:
				merged[i].peers = max(merged[i].peers, o.peers)
			}
		}
		origins = merged
		if len(origins) == int(old.n) {
			copy(b.list[old.from:], origins)
			return nil
		}
	} else {
		if b.size == MaxRoutes {
			return fmt.Errorf("more than %d prefixes", MaxRoutes)
		}
		b.size++
	}
	if len(origins) > maxOrigins {
		mostSeen(origins)
		origins = origins[:maxOrigins]
	}
	if len(b.list) > math.MaxUint32-maxOrigins || len(b.list) > 4*MaxRoutes {
		return fmt.Errorf("more than %d origins", 4*MaxRoutes)
	}
	b.table.Insert(p, span{uint32(len(b.list)), uint32(len(origins))})
	b.list = append(b.list, origins...)
	return nil
}

// mostSeen sorts those first that most peers see.
func mostSeen(s []seen) {
	slices.SortFunc(s, func(x, y seen) int { return cmp.Or(cmp.Compare(y.peers, x.peers), cmp.Compare(x.asn, y.asn)) })
}

// build drops what too few peers see.
func (b *routeBuilder) build(visibility float64) *Routes {
	var least [2]uint32
	for f, counts := range b.counts {
		most, full := int64(0), 0
		for _, n := range counts {
			most = max(most, n)
		}
		for _, n := range counts {
			if n > 0 && n*2 >= most {
				full++
			}
		}
		b.FullPeers = max(b.FullPeers, full)
		if full > 0 && visibility > 0 {
			least[f] = uint32(max(1, math.Ceil(min(visibility, 1)*float64(full))))
		}
	}
	r := &Routes{list: make([]seen, 0, len(b.list))}
	for p, at := range b.table.All() {
		family := 0
		if p.Addr().Is6() {
			family = 1
		}
		from := uint32(len(r.list))
		for _, s := range b.list[at.from : at.from+at.n] {
			if s.peers < least[family] {
				b.Hidden++
				continue
			}
			r.list = append(r.list, s)
		}
		if kept := r.list[from:]; len(kept) > 0 {
			mostSeen(kept)
			r.table.Insert(p, span{from, uint32(len(kept))})
		}
	}
	b.table, b.list = bart.Table[span]{}, nil
	return r
}
