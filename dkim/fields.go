package dkim

import (
	"math/rand/v2"
	"strings"

	"sekimori/message"
)

// Fields is a header section made ready for selecting the fields that a
// signature covers (RFC 6376 §5.4.2). Making it takes time in proportion to
// the header, a selection in proportion to what it selects. It is for one
// goroutine.
type Fields struct {
	header message.Header
	names  []fieldName
	table  []int32 // 1 + index in names, by hash; a power of two long
	shift  uint    // of a hash to its place
	above  []int32 // per field: the next one of its name further up, or -1
	seed   uint64  // nobody can prepare names that collide
	round  uint32  // which selection is going on
}

// fieldName is a name that occurs.
type fieldName struct {
	hash   uint64
	bottom int32 // its lowest field
	next   int32 // the one that the selection takes next, or -1
	round  uint32
}

// NewFields prepares a header section.
func NewFields(h message.Header) *Fields {
	f := &Fields{
		header: h,
		above:  make([]int32, len(h)),
		names:  make([]fieldName, 0, min(len(h), 64)),
		seed:   rand.Uint64(),
	}
	bits := uint(4)
	for 1<<bits < 2*len(h) {
		bits++
	}
	f.shift = 64 - bits
	f.table = make([]int32, 1<<bits)
	for i := range h {
		name := h[i].Name()
		hash := f.hash(name)
		slot := f.slot(hash, name)
		if at := f.table[slot]; at != 0 {
			n := &f.names[at-1]
			f.above[i] = n.bottom
			n.bottom = int32(i)
			continue
		}
		f.above[i] = -1
		f.names = append(f.names, fieldName{hash: hash, bottom: int32(i)})
		f.table[slot] = int32(len(f.names))
	}
	return f
}

// slot is the place of a name in the table, or the free one where it would be.
func (f *Fields) slot(hash uint64, name string) int {
	mask := len(f.table) - 1
	for at := int(hash >> f.shift); ; at = (at + 1) & mask {
		n := f.table[at]
		if n == 0 {
			return at
		}
		if have := &f.names[n-1]; have.hash == hash && strings.EqualFold(f.header[have.bottom].Name(), name) {
			return at
		}
	}
}

func (f *Fields) find(name string) *fieldName {
	if at := f.table[f.slot(f.hash(name), name)]; at != 0 {
		return &f.names[at-1]
	}
	return nil
}

const (
	ones     = 0x0101010101010101
	highs    = 0x80 * ones
	multiple = 0x9e3779b97f4a7c15
)

// hash of a name in any case, eight octets at a time.
func (f *Fields) hash(s string) uint64 {
	h := f.seed ^ uint64(len(s))
	for len(s) >= 8 {
		h = (h ^ lower(word(s))) * multiple
		h ^= h >> 32
		s = s[8:]
	}
	if s != "" {
		var w uint64
		for i := 0; i < len(s); i++ {
			w |= uint64(s[i]) << (8 * i)
		}
		h = (h ^ lower(w)) * multiple
		h ^= h >> 32
	}
	return h * multiple
}

func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// lower puts each of eight ASCII letters in lower case.
func lower(w uint64) uint64 {
	low := w &^ highs
	atLeastA := low + (0x80-'A')*ones
	aboveZ := low + (0x80-'Z'-1)*ones
	return w | (atLeastA&^aboveZ&^w&highs)>>2
}

// AppendSigned appends the fields that the names select, canonicalized, each
// with its CRLF: the input of the header hash without the signature itself
// (RFC 6376 §3.7). For each name the lowest field not yet taken is taken; where
// there is none, nothing is (§5.4.2).
func (f *Fields) AppendSigned(dst []byte, c message.Canonicalization, names []string) []byte {
	f.round++
	for _, name := range names {
		n := f.find(name)
		if n == nil {
			continue
		}
		if n.round != f.round {
			n.round, n.next = f.round, n.bottom
		}
		if n.next >= 0 {
			dst = c.AppendField(dst, f.header[n.next])
			n.next = f.above[n.next]
		}
	}
	return dst
}

// Left reports whether the last AppendSigned left a field of that name: one
// that somebody may have put in on the way.
func (f *Fields) Left(name string) bool {
	n := f.find(name)
	return n != nil && (n.round != f.round || n.next >= 0)
}

// count is how many fields of that name there are.
func (f *Fields) count(name string) int {
	c := 0
	if n := f.find(name); n != nil {
		for i := n.bottom; i >= 0; i = f.above[i] {
			c++
		}
	}
	return c
}

// AppendSelf appends a signature's own field as it is signed and verified:
// canonicalized, the value of its b= deleted with the white space around it,
// and without its last CRLF (RFC 6376 §3.7). A field without b= is appended as
// it is.
func AppendSelf(dst []byte, c message.Canonicalization, f message.Field) []byte {
	from, to := valueOfB(f)
	dst = c.AppendFieldCut(dst, f, from, to)
	return dst[:len(dst)-2]
}

// valueOfB is where the value of b= stands in the raw value of a field.
func valueOfB(f message.Field) (from, to int) {
	v := f.RawValue()
	for at := 0; at < len(v); {
		end := strings.IndexByte(v[at:], ';')
		if end < 0 {
			end = len(v)
		} else {
			end += at
		}
		if eq := strings.IndexByte(v[at:end], '='); eq >= 0 && trimFWS(v[at:at+eq]) == "b" {
			return at + eq + 1, end
		}
		at = end + 1
	}
	return len(v), len(v)
}
