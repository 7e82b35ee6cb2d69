package milter

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// chunk is a pooled buffer for the longest usual frame, a chunk of the body;
// scrap is one for everything else: most messages fit in whole.
type (
	chunk [MaxChunk + lead + 12]byte
	scrap [16 << 10]byte
)

// chunks lends buffers to the sessions of one server or client, and bounds what
// they hold beyond those together.
type chunks struct {
	pool  sync.Pool
	small sync.Pool
	grown atomic.Int64 // octets of buffers larger than a chunk
	most  int64        // 0: unbounded

	// A client's buffers are its own: a sync.Pool outlives its owner by two
	// collections, so that one for each connection is memory without bound
	// where connections are many and short.
	own    bool
	big    *chunk
	little *scrap
}

// grow makes a buffer of n octets in place of one that had before, which is 0
// for a chunk.
func (c *chunks) grow(n, before int) ([]byte, error) {
	if c.grown.Add(int64(n-before)) > c.most && c.most > 0 {
		c.grown.Add(int64(before - n))
		return nil, fmt.Errorf("milter: long frames of all sessions take more than %d octets", c.most)
	}
	return make([]byte, n), nil
}

func (c *chunks) get() *chunk {
	if c.own {
		b := c.big
		c.big = nil
		if b == nil {
			b = new(chunk)
		}
		return b
	}
	if b, ok := c.pool.Get().(*chunk); ok {
		return b
	}
	return new(chunk)
}

func (c *chunks) put(b *chunk) {
	if c.own {
		c.big = b
		return
	}
	c.pool.Put(b)
}

func (c *chunks) getScrap() *scrap {
	if c.own {
		b := c.little
		c.little = nil
		if b == nil {
			b = new(scrap)
		}
		return b
	}
	if b, ok := c.small.Get().(*scrap); ok {
		return b
	}
	return new(scrap)
}

func (c *chunks) putScrap(b *scrap) {
	if c.own {
		c.little = b
		return
	}
	c.small.Put(b)
}

// inflow reads frames. It holds a buffer only while it holds something unread:
// a session that waits for its MTA owns none. Where the connection shows its
// file descriptor, the buffer is lent for the instant of each attempt to read;
// elsewhere (net.Pipe) for as long as the reading takes.
type inflow struct {
	conn   net.Conn
	raw    syscall.RawConn // nil: read through conn
	chunks *chunks
	limit  int // octets of a frame's data
	idle   time.Duration
	read   time.Duration

	scrap      *scrap // what buf is of, unless it was grown beyond it
	lent       *chunk // what buf is of, unless it was grown beyond it
	large      bool   // the frame before needed a chunk, and so will the next
	buf        []byte
	start, end int
	taken      int // octets of the frame given out last

	deadline time.Time
	partial  bool // deadline is for the rest of a frame

	attempt func(fd uintptr) bool // made once, so that waiting allocates nothing
	n       int
	err     error
}

func (in *inflow) open(conn net.Conn) {
	in.conn = conn
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil && canAttempt {
			in.raw = raw
			in.attempt = in.tryRead
		}
	}
}

// close gives the buffer back. Data given out before is no longer valid.
func (in *inflow) close() {
	in.start, in.end, in.taken = 0, 0, 0
	in.release()
}

func (in *inflow) release() {
	switch {
	case in.scrap != nil:
		in.chunks.putScrap(in.scrap)
	case in.lent != nil:
		in.chunks.put(in.lent)
	default:
		in.chunks.grown.Add(int64(-len(in.buf)))
	}
	in.scrap, in.lent, in.buf = nil, nil, nil
}

func (in *inflow) borrow() {
	if in.large {
		in.lent = in.chunks.get()
		in.buf = in.lent[:]
	} else {
		in.scrap = in.chunks.getScrap()
		in.buf = in.scrap[:]
	}
	in.start, in.end = 0, 0
}

// enlarge makes room for a frame of need octets of which have fill the buffer:
// a chunk in place of a scrap, and beyond that as much again as has come, not
// as much as was announced.
func (in *inflow) enlarge(need, have int) error {
	if in.scrap != nil {
		b := in.chunks.get()
		copy(b[:], in.buf[:have])
		in.release()
		in.lent, in.buf = b, b[:]
		return nil
	}
	before := 0
	if in.lent == nil {
		before = len(in.buf)
	}
	b, err := in.chunks.grow(min(need, 2*len(in.buf)), before)
	if err != nil {
		return err
	}
	copy(b, in.buf[:have])
	if in.lent != nil {
		in.chunks.put(in.lent)
	}
	in.lent, in.buf = nil, b
	return nil
}

// done says that the data given out last is no longer looked at.
func (in *inflow) done() {
	in.start += in.taken
	in.taken = 0
	if in.start == in.end && in.buf != nil {
		in.release()
	}
}

// pending reports whether octets are at hand that belong to a further frame.
func (in *inflow) pending() bool { return in.end > in.start+in.taken }

// frame returns the next frame. Its data is valid until done or the next call.
func (in *inflow) frame() (command byte, data []byte, err error) {
	in.done()
	in.partial = false
	for {
		need := lead
		if have := in.end - in.start; have >= lead {
			n := binary.BigEndian.Uint32(in.buf[in.start:])
			if err := frameLength(n, in.limit); err != nil {
				return 0, nil, err
			}
			need = 4 + int(n)
			if have >= need {
				in.taken = need
				in.large = need > len(scrap{})
				f := in.buf[in.start : in.start+need]
				return f[4], f[lead:], nil
			}
		} else if have >= 4 {
			// The length alone says enough of a hostile one.
			if err := frameLength(binary.BigEndian.Uint32(in.buf[in.start:]), in.limit); err != nil {
				return 0, nil, err
			}
		}
		if err := in.fill(need); err != nil {
			return 0, nil, err
		}
	}
}

// fill reads what there is, with need octets of one frame as the aim.
func (in *inflow) fill(need int) error {
	have := in.end - in.start
	if have > 0 && in.start+need > len(in.buf) {
		if in.start > 0 {
			copy(in.buf, in.buf[in.start:in.end])
			in.start, in.end = 0, have
		}
		if have == len(in.buf) {
			if err := in.enlarge(need, have); err != nil {
				return err
			}
		}
	}
	if err := in.patience(have > 0); err != nil {
		return err
	}
	n, err := in.some()
	in.end += n
	if n > 0 {
		return nil
	}
	if err == io.EOF && have > 0 {
		return io.ErrUnexpectedEOF
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// patience sets the time by which something must have come. It touches the
// connection as seldom as it can: the idle time is renewed when an eighth of
// it has passed, the time for the rest of a frame is set once for each frame.
func (in *inflow) patience(partial bool) error {
	now := time.Now()
	if partial {
		if in.partial {
			return nil
		}
		in.partial = true
		in.deadline = now.Add(in.read)
		return in.conn.SetReadDeadline(in.deadline)
	}
	if in.deadline.Sub(now) > in.idle-in.idle/8 {
		return nil
	}
	in.deadline = now.Add(in.idle)
	return in.conn.SetReadDeadline(in.deadline)
}

// some reads at least one octet behind end.
func (in *inflow) some() (int, error) {
	if in.raw == nil {
		if in.buf == nil {
			in.borrow()
		}
		return in.conn.Read(in.buf[in.end:])
	}
	in.n, in.err = 0, nil
	if err := in.raw.Read(in.attempt); err != nil {
		return 0, err
	}
	if in.n == 0 && in.err == nil {
		return 0, io.EOF
	}
	return in.n, in.err
}
