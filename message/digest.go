package message

import (
	"crypto"
	"hash"
)

// BodyHash says how a body is hashed: the "c", "a" and "l" of a signature
// (RFC 6376 §3.5). The zero value is invalid: Hash must be available.
type BodyHash struct {
	Canonicalization Canonicalization
	Hash             crypto.Hash
	// Limit is how many canonicalized octets are hashed; negative means all.
	Limit int64
}

// Digests hashes a body in one pass under as many canonicalizations and hashes
// as signatures ask for; equal ones are worked out once. Add what is wanted,
// Write the body in pieces of any size, Close, then take the sums. Results do
// not depend on how the body is cut. A bare LF is taken as a line end. It is
// for one goroutine; memory is constant but for the pieces in flight, which
// are hashed where they are.
type Digests struct {
	all             []*BodyDigest
	simple, relaxed *bodyCanon
}

// BodyDigest is one of the hashes asked for.
type BodyDigest struct {
	BodyHash
	h      hash.Hash
	octets int64
}

// Add asks for a hash, and must come before the first Write.
func (d *Digests) Add(b BodyHash) *BodyDigest {
	if b.Canonicalization != Relaxed {
		b.Canonicalization = Simple
	}
	if b.Limit < 0 {
		b.Limit = -1
	}
	for _, have := range d.all {
		if have.BodyHash == b {
			return have
		}
	}
	n := &BodyDigest{BodyHash: b, h: b.Hash.New()}
	d.all = append(d.all, n)
	canon := &d.simple
	if b.Canonicalization == Relaxed {
		canon = &d.relaxed
	}
	if *canon == nil {
		*canon = &bodyCanon{}
	}
	(*canon).sinks = append((*canon).sinks, n)
	return n
}

// Write takes the next piece of the body. It never fails.
func (d *Digests) Write(p []byte) (int, error) {
	if d.simple != nil {
		d.simple.writeSimple(p)
	}
	if d.relaxed != nil {
		d.relaxed.writeRelaxed(p)
	}
	return len(p), nil
}

// Close ends the body.
func (d *Digests) Close() error {
	if d.simple != nil {
		d.simple.close(true)
	}
	if d.relaxed != nil {
		d.relaxed.close(false)
	}
	return nil
}

// Sum returns the hash, after Close.
func (b *BodyDigest) Sum() []byte { return b.h.Sum(nil) }

// Octets returns how long the canonicalized body is, whatever the limit; after
// Close.
func (b *BodyDigest) Octets() int64 { return b.octets }

func (b *BodyDigest) take(p []byte) {
	room := int64(len(p))
	if b.Limit >= 0 {
		room = min(room, max(b.Limit-b.octets, 0))
	}
	b.octets += int64(len(p))
	if room > 0 {
		b.h.Write(p[:room])
	}
}
