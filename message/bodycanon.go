package message

import (
	"encoding/binary"
	"math/bits"
)

// bodyCanon canonicalizes a body (RFC 6376 §3.4.3, §3.4.4).
//
// Nearly all of an ordinary body is its own canonical form. So it is searched
// for the few places where it may not be, and what lies between is handed to
// the hashes as it is, without copying. At such a place, and where a piece of
// the body ends within one, the octets go one by one through step, until
// nothing is held back any more.
type bodyCanon struct {
	sinks  []*BodyDigest
	empty  int64 // empty lines held back: they may be the last
	cr     bool  // a CR is held back
	space  bool  // white space is held back (relaxed)
	inLine bool  // the line has something in it
	any    bool  // something was given out
	n      int   // octets in buf
	buf    [1024]byte
}

// small is up to where a run is copied rather than hashed by itself: hashes
// like long pieces.
const small = 256

// out gives out a run of canonical octets.
func (c *bodyCanon) out(p []byte) {
	if len(p) == 0 {
		return
	}
	c.any = true
	if len(p) <= small {
		if c.n+len(p) > len(c.buf) {
			c.flush()
		}
		c.n += copy(c.buf[c.n:], p)
		return
	}
	c.flush()
	for _, s := range c.sinks {
		s.take(p)
	}
}

func (c *bodyCanon) flush() {
	if c.n > 0 {
		for _, s := range c.sinks {
			s.take(c.buf[:c.n])
		}
		c.n = 0
	}
}

func (c *bodyCanon) put(b byte) {
	if c.n == len(c.buf) {
		c.flush()
	}
	c.buf[c.n] = b
	c.n++
	c.any = true
}

// held reports whether something is held back, so that the next octet decides.
func (c *bodyCanon) held() bool { return c.cr || c.space || c.empty > 0 }

// step takes one octet. White space is an octet as any other where relaxed is
// false.
func (c *bodyCanon) step(b byte, relaxed bool) {
	if c.cr {
		c.cr = false
		if b == '\n' {
			c.endLine()
			return
		}
		c.octet('\r')
	}
	switch {
	case b == '\r':
		c.cr = true
	case b == '\n':
		c.endLine()
	case relaxed && (b == ' ' || b == '\t'):
		c.space = true
	default:
		c.octet(b)
	}
}

func (c *bodyCanon) octet(b byte) {
	for ; c.empty > 0; c.empty-- {
		c.put('\r')
		c.put('\n')
	}
	if c.space {
		c.put(' ')
		c.space = false
	}
	c.inLine = true
	c.put(b)
}

func (c *bodyCanon) endLine() {
	c.space = false
	if !c.inLine {
		c.empty++
		return
	}
	c.inLine = false
	c.put('\r')
	c.put('\n')
}

// run gives out octets that stay as they are. The last is no CR.
func (c *bodyCanon) run(p []byte) {
	if len(p) > 0 {
		c.out(p)
		c.inLine = p[len(p)-1] != '\n'
	}
}

// close ends the body. A body that has lines ends in CRLF; with the simple
// canonicalization an empty one is a CRLF too (RFC 6376 §3.4.3).
func (c *bodyCanon) close(simple bool) {
	if c.cr {
		c.cr = false
		c.octet('\r')
	}
	c.space, c.empty = false, 0
	if c.inLine || simple && !c.any {
		c.put('\r')
		c.put('\n')
	}
	c.inLine = false
	c.flush()
}

// writeSimple: empty lines at the end are ignored (RFC 6376 §3.4.3).
func (c *bodyCanon) writeSimple(p []byte) {
	for i := 0; i < len(p); {
		if c.held() {
			c.step(p[i], false)
			i++
			continue
		}
		n := c.simpleRun(p[i:])
		c.run(p[i : i+n])
		if i += n; i < len(p) {
			c.step(p[i], false)
			i++
		}
	}
}

// simpleRun returns how much of p stays as it is, whatever follows p.
func (c *bodyCanon) simpleRun(p []byte) int {
	end := bareLF(p)
	// Line ends at the end may turn out to be those of empty lines: all but
	// the one that ends a line with something in it.
	if end > 0 && p[end-1] == '\r' {
		end--
	}
	for end >= 2 && p[end-1] == '\n' {
		if end == 2 {
			if !c.inLine {
				end = 0
			}
			break
		}
		if p[end-3] != '\n' {
			break
		}
		end -= 2
	}
	return end
}

// bareLF returns the index of the first LF of p without a CR before it; len(p)
// if there is none. It looks at sixteen octets at a time.
func bareLF(p []byte) int {
	const lf = '\n' * every
	i := 0
	for i+16 <= len(p) {
		q := p[i : i+16 : i+16]
		a, b := binary.LittleEndian.Uint64(q)^lf, binary.LittleEndian.Uint64(q[8:])^lf
		// The top bit is set in octets that are 0, the lowest being exact.
		ma, mb := (a-every)&^a&tops, (b-every)&^b&tops
		switch {
		case ma|mb == 0:
			i += 16
			continue
		case ma != 0:
			i += bits.TrailingZeros64(ma) / 8
		default:
			i += 8 + bits.TrailingZeros64(mb)/8
		}
		if i == 0 || p[i-1] != '\r' {
			return i
		}
		i++
	}
	for ; i < len(p); i++ {
		if p[i] == '\n' && (i == 0 || p[i-1] != '\r') {
			return i
		}
	}
	return i
}

// writeRelaxed: white space at the ends of lines goes, elsewhere a run of it
// becomes one space, and empty lines at the end are ignored (RFC 6376 §3.4.4).
func (c *bodyCanon) writeRelaxed(p []byte) {
	for i := 0; i < len(p); {
		if c.held() {
			c.step(p[i], true)
			i++
			continue
		}
		if i = c.relaxedRun(p, i); i < len(p) {
			c.step(p[i], true)
			i++
		}
	}
}

// relaxedRun gives out what stays as it is from start on, and what can be put
// right at once. It returns the index of an octet for step, or len(p).
func (c *bodyCanon) relaxedRun(p []byte, start int) int {
	for i := start; ; {
		i = suspect(p, i)
		if i == len(p) {
			return c.until(p, start, i)
		}
		switch p[i] {
		case '\r':
			if i+1 == len(p) {
				return c.until(p, start, i)
			}
			if p[i+1] != '\n' {
				i++ // a bare CR is an octet as any other
				continue
			}
			end := i // of the line's text
			if i > start && p[i-1] == ' ' {
				end--
			}
			if end > start && p[end-1] != '\n' || end == start && c.inLine {
				if end < i { // one space at the end of a line
					c.run(p[start:end])
					start = i
				}
				i += 2
				continue
			}
			if end < i {
				return c.until(p, start, i)
			}
			// Empty lines. With a line after them they stay.
			next := i + 2
			for next+1 < len(p) && p[next] == '\r' && p[next+1] == '\n' {
				next += 2
			}
			if next >= len(p) || p[next] <= ' ' {
				return c.until(p, start, i)
			}
			i = next
		case '\n':
			return c.until(p, start, i)
		case ' ', '\t':
			from := i // of the white space
			if i > start && p[i-1] == ' ' {
				from--
			}
			next := i + 1
			for next < len(p) && (p[next] == ' ' || p[next] == '\t') {
				next++
			}
			switch {
			case next == len(p) || p[next] <= ' ' && p[next] != '\r':
				return c.until(p, start, i)
			case p[next] > ' ' && next == from+1 && p[from] == ' ':
				i = next // one space: it only looked like two
				continue
			case p[next] > ' ':
				if p[from] == ' ' {
					c.run(p[start : from+1])
				} else {
					c.run(p[start:from])
					c.put(' ')
				}
				c.inLine = true
			default: // perhaps the end of the line
				c.run(p[start:from])
				if next+1 == len(p) || p[next+1] != '\n' || !c.inLine {
					return from
				}
			}
			start, i = next, next
		default:
			i++
		}
	}
}

// until gives out a run, but for a space at its end, which may have to go. It
// returns where it stopped.
func (c *bodyCanon) until(p []byte, start, end int) int {
	if end > start && p[end-1] == ' ' {
		end--
	}
	c.run(p[start:end])
	return end
}

const (
	every = 0x0101010101010101
	tops  = 0x80 * every
)

// suspect returns the index of the first octet from i on that is a control
// character below 0x10 (TAB, LF and CR among them) or a space with white space
// after it; len(p) if there is none. It may also return the index of another
// space or control character, and it passes over a CRLF after something
// visible. It looks at eight octets at a time.
func suspect(p []byte, i int) int {
	for i+17 <= len(p) {
		q := p[i : i+17 : i+17]
		a, b := binary.LittleEndian.Uint64(q), binary.LittleEndian.Uint64(q[8:])
		// Octet and next octet together have no bit but 0x20: two spaces.
		// (One of them may be a NUL, but then there is a control character.)
		aa := (a | binary.LittleEndian.Uint64(q[1:])) ^ ' '*every
		bb := (b | binary.LittleEndian.Uint64(q[9:])) ^ ' '*every
		// x-n has its top bit set in octets less than n, the lowest being
		// exact, and in octets that are not ASCII, which &^ x takes out.
		ma, mb := a-0x10*every, b-0x10*every
		na, nb := aa-every, bb-every
		if (ma|mb|na|nb)&tops == 0 {
			i += 16
			continue
		}
		ma = (ma&^a | na&^aa) & tops
		mb = (mb&^b | nb&^bb) & tops
		if ma|mb == 0 {
			i += 16
			continue
		}
		if ma != 0 {
			i += bits.TrailingZeros64(ma) / 8
		} else {
			i += 8 + bits.TrailingZeros64(mb)/8
		}
		if i > 0 && p[i] == '\r' && p[i+1] == '\n' && p[i-1] > ' ' {
			i += 2
			continue
		}
		return i
	}
	for ; i < len(p); i++ {
		if c := p[i]; c < 0x10 || c == ' ' && i+1 < len(p) && (p[i+1] == ' ' || p[i+1] == '\t') {
			return i
		}
	}
	return i
}
