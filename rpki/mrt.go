package rpki

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"
)

// What is read of MRT (RFC 6396 §4, §5.3; RFC 8050 §4).
const (
	mrtHeader      = 12
	typeTableDump2 = 13

	subtypePeerIndex     = 1
	subtypeIPv4          = 2
	subtypeIPv6          = 4
	subtypeIPv4Multipath = 8
	subtypeIPv6Multipath = 10
)

// maxMRT is the longest record that is read: a prefix with all peers' paths
// to it, of which collectors have some 100 kB.
const maxMRT = 32 << 20

// looksMRT tells an MRT header from text: its type is two octets, of which the
// first is 0 in every type there is.
func looksMRT(head []byte) bool {
	typ := binary.BigEndian.Uint16(head[4:])
	return head[4] == 0 && typ >= 11 && typ <= 49
}

// mrt reads a dump record by record.
func (b *routeBuilder) mrt(in *bufio.Reader) error {
	var head [mrtHeader]byte
	var body []byte
	peers := []ASN(nil)
	dumps := int64(0)
	for offset := int64(0); ; {
		fail := func(err error) error {
			if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("offset %d: it ends early: fetch it again", offset)
			}
			return fmt.Errorf("offset %d: %w", offset, err)
		}
		if _, err := io.ReadFull(in, head[:]); err == io.EOF {
			break
		} else if err != nil {
			return fail(err)
		}
		typ, subtype := binary.BigEndian.Uint16(head[4:]), binary.BigEndian.Uint16(head[6:])
		n := int64(binary.BigEndian.Uint32(head[8:]))
		if n > maxMRT {
			return fail(fmt.Errorf("a record of %d octets: want at most %d", n, maxMRT))
		}
		if typ != typeTableDump2 {
			if _, err := io.CopyN(io.Discard, in, n); err != nil {
				return fail(err)
			}
			offset += mrtHeader + n
			continue
		}
		if dumps++; dumps == 1 {
			b.Time = time.Unix(int64(binary.BigEndian.Uint32(head[:])), 0).UTC()
		}
		var err error
		if body, err = readBody(in, body, int(n)); err != nil {
			return fail(err)
		}
		switch subtype {
		case subtypePeerIndex:
			if peers, err = peerIndex(body); err != nil {
				return fail(fmt.Errorf("table of peers: %w", err))
			}
			b.Peers = max(b.Peers, len(peers))
			for f := range b.counts {
				if len(b.counts[f]) < len(peers) {
					b.counts[f] = append(b.counts[f], make([]int64, len(peers)-len(b.counts[f]))...)
				}
			}
		case subtypeIPv4, subtypeIPv6, subtypeIPv4Multipath, subtypeIPv6Multipath:
			if peers == nil {
				return fail(errors.New("routes before the table of peers"))
			}
			x := rib{body: body, v6: subtype == subtypeIPv6 || subtype == subtypeIPv6Multipath,
				multipath: subtype == subtypeIPv4Multipath || subtype == subtypeIPv6Multipath, peers: peers}
			b.Entries++
			if err := x.read(b); err != nil {
				if errors.Is(err, errLimit) {
					return fail(err)
				}
				b.skip(fail(err))
			}
		}
		offset += mrtHeader + n
	}
	if dumps == 0 {
		return errors.New("no table dump (TABLE_DUMP_V2) in it: files of updates and the old TABLE_DUMP are not read")
	}
	return nil
}

// readBody reads n octets into a buffer that grows with what is really there.
func readBody(in io.Reader, buf []byte, n int) ([]byte, error) {
	buf = buf[:0]
	for len(buf) < n {
		step := min(n-len(buf), 64<<10)
		buf = slices.Grow(buf, step)
		m, err := io.ReadFull(in, buf[len(buf):len(buf)+step])
		buf = buf[:len(buf)+m]
		if err != nil {
			return buf, io.ErrUnexpectedEOF
		}
	}
	return buf, nil
}

// peerIndex reads the AS numbers of the peers (RFC 6396 §4.3.1).
func peerIndex(b []byte) ([]ASN, error) {
	c := cut{b: b}
	c.skip(4) // collector
	c.skip(int(c.uint16()))
	n := int(c.uint16())
	peers := []ASN{}
	for range n {
		kind := c.uint8()
		c.skip(4) // router
		if kind&1 != 0 {
			c.skip(16)
		} else {
			c.skip(4)
		}
		if kind&2 != 0 {
			peers = append(peers, ASN(c.uint32()))
		} else {
			peers = append(peers, ASN(c.uint16()))
		}
		if c.short {
			return nil, errCut
		}
	}
	if c.short {
		return nil, errCut
	}
	return peers, nil
}

var (
	errCut   = errors.New("a record is shorter than its fields")
	errLimit = errors.New("too much")
)

// cut takes fields off the front of a record; once one does not fit, all are 0
// and short is set.
type cut struct {
	b     []byte
	short bool
}

func (c *cut) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.b, c.short = nil, true
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cut) skip(n int) { c.take(n) }

func (c *cut) uint8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cut) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cut) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// rib is a record of one prefix and every peer's paths to it (RFC 6396 §4.3.2,
// RFC 8050 §4.1).
type rib struct {
	body      []byte
	v6        bool
	multipath bool
	peers     []ASN
}

// read adds the routes to the builder, or what could be read of them.
func (x *rib) read(b *routeBuilder) error {
	c := cut{b: x.body}
	c.skip(4) // sequence number
	prefix, err := nlri(&c, x.v6)
	if err != nil {
		return err
	}
	n := int(c.uint16())
	type sighting struct {
		asn  ASN
		peer uint16
	}
	var all []sighting
	var odd error
	for range n {
		peer := c.uint16()
		c.skip(4) // time
		if x.multipath {
			c.skip(4) // path
		}
		attributes := c.take(int(c.uint16()))
		if c.short {
			odd = errCut
			break
		}
		if int(peer) >= len(x.peers) {
			odd = fmt.Errorf("prefix %s: peer %d of %d", prefix, peer, len(x.peers))
			continue
		}
		origin, isBGP, err := originOf(attributes, x.peers[peer])
		if err != nil {
			odd = fmt.Errorf("prefix %s: %w", prefix, err)
			continue
		}
		if !isBGP {
			continue
		}
		all = append(all, sighting{origin, peer})
	}
	family := 0
	if x.v6 {
		family = 1
	}
	// A peer with several paths counts once for each origin, and once in all.
	slices.SortFunc(all, func(p, q sighting) int {
		if p.asn != q.asn {
			if p.asn < q.asn {
				return -1
			}
			return 1
		}
		return int(p.peer) - int(q.peer)
	})
	all = slices.Compact(all)
	var origins []seen
	for _, s := range all {
		if k := len(origins); k > 0 && origins[k-1].asn == s.asn {
			origins[k-1].peers++
		} else {
			origins = append(origins, seen{s.asn, 1})
		}
		b.counts[family][s.peer]++
	}
	if prefix.Bits() == 0 {
		return nil
	}
	if err := b.add(prefix, origins); err != nil {
		return fmt.Errorf("%w: %w", errLimit, err)
	}
	return odd
}

// nlri reads a prefix: its length in bits and as many octets as that takes
// (RFC 4271 §4.3). Bits behind the length mean nothing.
func nlri(c *cut, v6 bool) (netip.Prefix, error) {
	bits := int(c.uint8())
	size := 4
	if v6 {
		size = 16
	}
	if bits > size*8 {
		return netip.Prefix{}, fmt.Errorf("a prefix of %d bits", bits)
	}
	octets := c.take((bits + 7) / 8)
	if c.short {
		return netip.Prefix{}, errCut
	}
	var a [16]byte
	copy(a[:], octets)
	addr := netip.AddrFrom16(a)
	if !v6 {
		addr = netip.AddrFrom4([4]byte(a[:4]))
	}
	return netip.PrefixFrom(addr, bits).Masked(), nil
}

// The attribute and the segments of a path (RFC 4271 §4.3, RFC 5065 §3).
const (
	attrASPath     = 2
	attrExtended   = 0x10
	asSequence     = 2
	confedSequence = 3
	confedSet      = 4
)

// originOf returns the origin of a route by its path (RFC 6811 §2): the last
// system of the last segment, if that is a sequence; the peer's own where the
// path is empty or ends inside a confederation; 0 where it is a set. Numbers
// in a dump have four octets (RFC 6396 §4.3.4). A route without a path is none
// of BGP: BIRD dumps a router's static routes so.
func originOf(attributes []byte, peer ASN) (origin ASN, isBGP bool, err error) {
	c := cut{b: attributes}
	for len(c.b) > 0 {
		flags, typ := c.uint8(), c.uint8()
		n := 0
		if flags&attrExtended != 0 {
			n = int(c.uint16())
		} else {
			n = int(c.uint8())
		}
		value := c.take(n)
		if c.short {
			return 0, false, errors.New("an attribute is longer than the entry")
		}
		if typ == attrASPath {
			origin, err = lastOf(value, peer)
			return origin, true, err
		}
	}
	return 0, false, nil
}

func lastOf(path []byte, peer ASN) (ASN, error) {
	c := cut{b: path}
	origin := peer
	for len(c.b) > 0 {
		kind, n := c.uint8(), int(c.uint8())
		numbers := c.take(4 * n)
		switch {
		case c.short:
			return 0, errors.New("a path is longer than its attribute")
		case kind == asSequence && n > 0:
			origin = ASN(binary.BigEndian.Uint32(numbers[4*(n-1):]))
		case kind == confedSequence || kind == confedSet:
			origin = peer
		case n > 0:
			origin = 0 // a set, or something of no known kind
		}
	}
	return origin, nil
}
