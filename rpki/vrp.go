package rpki

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/gaissmai/bart"
)

// MaxVRPs is how many payloads a set may have, several times what all holders
// on earth have published.
const MaxVRPs = 8_000_000

var errTooMany = fmt.Errorf("more than %d validated ROA payloads", MaxVRPs)

// VRPs are all the payloads of a validator at one time. They do not change and
// are safe for concurrent use. The nil and the zero *VRPs cover nothing.
//
// They take about 50 octets each; while 800,000 are read from JSON, the process
// has 100 MB.
type VRPs struct {
	table bart.Table[span]
	// list has the payloads of each prefix side by side.
	list []grant
}

// span is a part of a list.
type span struct{ from, n uint32 }

// grant is a VRP without its prefix.
type grant struct {
	asn ASN
	max uint8
}

// NewVRPs makes a set. Repetitions count once; what Check refuses is an error.
func NewVRPs(all iter.Seq[VRP]) (*VRPs, error) {
	var b vrpBuilder
	for v := range all {
		if err := v.Check(); err != nil {
			return nil, err
		}
		if err := b.add(v); err != nil {
			return nil, err
		}
	}
	return b.build(), nil
}

// Len returns how many different payloads there are.
func (s *VRPs) Len() int {
	if s == nil {
		return 0
	}
	return len(s.list)
}

// All yields the payloads in the order of their prefixes.
func (s *VRPs) All() iter.Seq[VRP] {
	return func(yield func(VRP) bool) {
		if s == nil {
			return
		}
		for p, at := range s.table.AllSorted() {
			for _, g := range s.list[at.from : at.from+at.n] {
				if !yield(VRP{p, g.max, g.asn}) {
					return
				}
			}
		}
	}
}

// Covering yields the payloads whose prefix contains p or is p, the longest
// prefixes first.
func (s *VRPs) Covering(p netip.Prefix) iter.Seq[VRP] {
	return func(yield func(VRP) bool) {
		if s == nil || !p.IsValid() {
			return
		}
		for q, at := range s.table.Supernets(p) {
			for _, g := range s.list[at.from : at.from+at.n] {
				if !yield(VRP{q, g.max, g.asn}) {
					return
				}
			}
		}
	}
}

// Validate says whether an announcement of p by origin is authorised (RFC 6811
// §2). Neither an origin of 0 nor a payload for AS 0 is ever a match; an
// announcement whose origin is a set of systems has the origin 0 here. Time
// grows with the number of payloads that cover p. An invalid prefix is
// NotFound.
func (s *VRPs) Validate(p netip.Prefix, origin ASN) State {
	state := NotFound
	for v := range s.Covering(p) {
		if v.matches(p, origin) {
			return Valid
		}
		state = Invalid
	}
	return state
}

// matches tells whether a payload that covers p allows its announcement.
func (v VRP) matches(p netip.Prefix, origin ASN) bool {
	return origin != 0 && v.ASN == origin && p.Bits() <= int(v.MaxLength)
}

// vrpBuilder collects payloads in any order, in 24 octets each.
type vrpBuilder struct {
	all []packed
}

type packed struct {
	hi, lo uint64
	asn    ASN
	v6     bool
	bits   uint8
	max    uint8
}

// add adds a payload that Check accepts.
func (b *vrpBuilder) add(v VRP) error {
	if len(b.all) == MaxVRPs {
		return errTooMany
	}
	a := v.Prefix.Addr().As16()
	b.all = append(b.all, packed{
		hi: binary.BigEndian.Uint64(a[:8]), lo: binary.BigEndian.Uint64(a[8:]),
		asn: v.ASN, v6: v.Prefix.Addr().Is6(), bits: uint8(v.Prefix.Bits()), max: v.MaxLength,
	})
	return nil
}

func (p packed) prefix() netip.Prefix {
	var a [16]byte
	binary.BigEndian.PutUint64(a[:8], p.hi)
	binary.BigEndian.PutUint64(a[8:], p.lo)
	addr := netip.AddrFrom16(a)
	if !p.v6 {
		addr = addr.Unmap()
	}
	return netip.PrefixFrom(addr, int(p.bits))
}

// build makes the set and leaves the builder empty.
func (b *vrpBuilder) build() *VRPs {
	all := b.all
	b.all = nil
	slices.SortFunc(all, func(x, y packed) int {
		if x.v6 != y.v6 {
			if y.v6 {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(x.hi, y.hi), cmp.Compare(x.lo, y.lo), cmp.Compare(x.bits, y.bits),
			cmp.Compare(x.asn, y.asn), cmp.Compare(x.max, y.max))
	})
	all = slices.Compact(all)
	s := &VRPs{list: make([]grant, 0, len(all))}
	for i := 0; i < len(all); {
		from := uint32(len(s.list))
		first := all[i]
		for ; i < len(all) && all[i].hi == first.hi && all[i].lo == first.lo && all[i].bits == first.bits && all[i].v6 == first.v6; i++ {
			s.list = append(s.list, grant{all[i].asn, all[i].max})
		}
		s.table.Insert(first.prefix(), span{from, uint32(len(s.list)) - from})
	}
	return s
}

// ErrNoVRPs is the error of a source without a single payload: with it every
// announcement would look as if its holder had published nothing.
var ErrNoVRPs = errors.New("no validated ROA payloads: is the validator done, and is this its output?")

// Reading tells what came of reading.
type Reading struct {
	// Entries counts what was there to be read, repetitions included; Repeated,
	// the repetitions among them.
	Entries, Repeated int64
	// Skipped counts the entries that say nothing that could be used, and
	// Problems says what is wrong with the first of them.
	Skipped  int64
	Problems []error
	// Time is when the source says it was made; zero where it does not say.
	Time time.Time
}

// maxProblems bounds Reading.Problems.
const maxProblems = 20

func (r *Reading) skip(err error) {
	r.Skipped++
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, err)
	}
}
