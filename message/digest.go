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
// for one goroutine; memory is constant but for the pieces in flight.
type Digests struct {
	all []*BodyDigest
}

// BodyDigest is one of the hashes asked for.
type BodyDigest struct {
	BodyHash
	h      hash.Hash
	octets int64
	canon  bodyCanon
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
	n.canon.relaxed = b.Canonicalization == Relaxed
	d.all = append(d.all, n)
	return n
}

// Write takes the next piece of the body. It never fails.
func (d *Digests) Write(p []byte) (int, error) {
	for _, b := range d.all {
		b.canon.write(p, b.take)
	}
	return len(p), nil
}

// Close ends the body.
func (d *Digests) Close() error {
	for _, b := range d.all {
		b.canon.close(b.take)
	}
	return nil
}

// Sum returns the hash, after Close.
func (b *BodyDigest) Sum() []byte { return b.h.Sum(nil) }

// Octets returns how long the canonicalized body is, whatever the limit; after
// Close.
func (b *BodyDigest) Octets() int64 { return b.octets }

func (b *BodyDigest) take(p []byte) {
	if b.Limit >= 0 {
		if room := b.Limit - b.octets; room <= 0 {
			b.octets += int64(len(p))
			return
		} else if int64(len(p)) > room {
			b.h.Write(p[:room])
			b.octets += int64(len(p))
			return
		}
	}
	b.h.Write(p)
	b.octets += int64(len(p))
}

// bodyCanon canonicalizes a body (RFC 6376 §3.4.3, §3.4.4) octet by octet.
type bodyCanon struct {
	relaxed bool
	cr      bool // a CR is held back
	space   bool // white space is held back (relaxed)
	empty   int  // empty lines held back
	inLine  bool // the line has something in it
	any     bool // something was given out
	buf     []byte
}

func (c *bodyCanon) write(p []byte, out func([]byte)) {
	c.buf = c.buf[:0]
	for _, b := range p {
		if c.cr {
			c.cr = false
			if b == '\n' {
				c.endLine()
				continue
			}
			c.octet('\r')
		}
		switch b {
		case '\r':
			c.cr = true
		case '\n':
			c.endLine()
		default:
			c.octet(b)
		}
	}
	if len(c.buf) > 0 {
		c.any = true
		out(c.buf)
	}
}

func (c *bodyCanon) octet(b byte) {
	if c.relaxed && (b == ' ' || b == '\t') {
		c.space = true
		return
	}
	for ; c.empty > 0; c.empty-- {
		c.buf = append(c.buf, '\r', '\n')
	}
	if c.space {
		c.buf = append(c.buf, ' ')
		c.space = false
	}
	c.inLine = true
	c.buf = append(c.buf, b)
}

func (c *bodyCanon) endLine() {
	c.space = false
	if !c.inLine {
		c.empty++
		return
	}
	c.inLine = false
	c.buf = append(c.buf, '\r', '\n')
}

func (c *bodyCanon) close(out func([]byte)) {
	c.buf = c.buf[:0]
	if c.cr {
		c.cr = false
		c.octet('\r')
	}
	c.space = false
	if c.inLine || !c.relaxed && !c.any && len(c.buf) == 0 {
		c.buf = append(c.buf, '\r', '\n')
	}
	if len(c.buf) > 0 {
		out(c.buf)
	}
}
