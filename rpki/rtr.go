package rpki

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
	"unicode"
)

// RTRVersion is the newest version of the protocol that ReadRTR speaks: RFC
// 8210. Version 0 is RFC 6810.
const RTRVersion = 1

// pdu is the kind of a protocol data unit (RFC 8210 §5).
type pdu uint8

const (
	pduSerialNotify  pdu = 0
	pduResetQuery    pdu = 2
	pduCacheResponse pdu = 3
	pduIPv4          pdu = 4
	pduIPv6          pdu = 6
	pduEndOfData     pdu = 7
	pduCacheReset    pdu = 8
	pduRouterKey     pdu = 9
	pduError         pdu = 10
)

const (
	rtrHeader = 8
	// maxPDU is the longest unit that is read; only errors and router keys are
	// longer than 32 octets.
	maxPDU = 64 << 10
	// maxOther bounds the units that carry no payload.
	maxOther = 1_000_000
)

// Error codes (RFC 8210 §12).
const (
	rtrNoData             = 2
	rtrUnsupportedVersion = 4
)

// ErrNotReady is the error of a cache that has no data yet (RFC 8210 §8.4):
// try again later.
var ErrNotReady = errors.New("the cache has no data yet: try again in a few minutes")

// VersionError is the error of a cache that does not speak the version asked
// for: connect again and ask in Version (RFC 8210 §7).
type VersionError struct{ Version uint8 }

// Error says which version the cache wants.
func (e *VersionError) Error() string {
	return fmt.Sprintf("the cache does not speak that version of the RTR protocol, and answers in version %d", e.Version)
}

// Snapshot is what an RTR cache tells beside its payloads.
type Snapshot struct {
	Reading
	Version uint8
	Session uint16
	Serial  uint32
	// Refresh, Retry and Expire say how long the data is good for (RFC 8210
	// §6); 0 in version 0, which does not tell.
	Refresh, Retry, Expire time.Duration
	// RouterKeys counts the keys for BGPsec, which are skipped.
	RouterKeys int64
}

// ReadRTR asks an RTR cache for all its payloads: it writes a reset query in
// the given version, 0 or 1, to conn and reads until the end of the data (RFC
// 8210 §8.1). It reads at most MaxVRPs payloads and keeps 24 octets of each.
//
// Time is the caller's: whoever needs a limit closes conn or sets a deadline.
// conn may be read a little beyond the end of the data, and is not to be used
// any more. A cache of another version gives a *VersionError, one that is
// still starting ErrNotReady.
func ReadRTR(conn io.ReadWriter, version uint8) (*VRPs, Snapshot, error) {
	if version > RTRVersion {
		return nil, Snapshot{}, fmt.Errorf("RTR version %d: want 0 or 1", version)
	}
	if _, err := conn.Write([]byte{version, byte(pduResetQuery), 0, 0, 0, 0, 0, rtrHeader}); err != nil {
		return nil, Snapshot{}, err
	}
	x := &rtr{in: bufio.NewReaderSize(conn, 64<<10), version: version}
	x.Version = version
	for !x.ended {
		if err := x.next(); err != nil {
			return nil, x.Snapshot, err
		}
	}
	s, reading, err := x.l.done()
	x.Reading = reading
	return s, x.Snapshot, err
}

// rtr is a conversation with a cache.
type rtr struct {
	Snapshot
	in      *bufio.Reader
	l       loader
	body    []byte // of the unit that is read, used again for the next
	version uint8
	offset  int64
	other   int
	began   bool // a cache response came
	ended   bool
}

func (x *rtr) failf(format string, a ...any) error {
	return fmt.Errorf("offset %d: %w", x.offset, fmt.Errorf(format, a...))
}

// next reads one unit.
func (x *rtr) next() error {
	var head [rtrHeader]byte
	if _, err := io.ReadFull(x.in, head[:]); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return x.failf("the cache closed the connection before the end of the data")
		}
		return x.failf("%w", err)
	}
	version, kind := head[0], pdu(head[1])
	session, n := binary.BigEndian.Uint16(head[2:]), binary.BigEndian.Uint32(head[4:])
	if n < rtrHeader || n > maxPDU {
		return x.failf("a unit of %d octets: is this an RTR cache?", n)
	}
	if version != x.version && kind != pduError {
		if x.began || version > x.version {
			return x.failf("the cache changes to version %d", version)
		}
		// RFC 8210 §7: a cache may answer in its own, lower version. The
		// question was the same there, so that the answer is good.
		x.version, x.Version = version, version
	}
	body, err := readBody(x.in, x.body, int(n)-rtrHeader)
	x.body = body
	if err != nil {
		return x.failf("the cache closed the connection before the end of the data")
	}
	err = x.unit(kind, version, session, body)
	x.offset += int64(n)
	return err
}

func (x *rtr) unit(kind pdu, version uint8, session uint16, body []byte) error {
	switch kind {
	case pduError:
		return x.refused(version, session, body)
	case pduSerialNotify: // may come at any time (§5.2)
		return x.count()
	case pduCacheReset:
		return x.failf("the cache answers a reset query by a reset")
	case pduCacheResponse:
		if x.began || len(body) != 0 {
			return x.failf("a second cache response, or one of the wrong length")
		}
		x.began, x.Session = true, session
		return nil
	}
	if !x.began {
		return x.failf("a unit of type %d before the cache response", kind)
	}
	switch kind {
	case pduIPv4, pduIPv6:
		return x.payload(kind, body)
	case pduEndOfData:
		return x.end(session, body)
	case pduRouterKey:
		x.RouterKeys++
	}
	// What later versions add says nothing about origins.
	return x.count()
}

// count bounds what does not bring the end nearer.
func (x *rtr) count() error {
	if x.other++; x.other > maxOther {
		return x.failf("more than %d units without a payload", maxOther)
	}
	return nil
}

// payload reads a prefix unit (§5.6, §5.7).
func (x *rtr) payload(kind pdu, body []byte) error {
	size := 4
	if kind == pduIPv6 {
		size = 16
	}
	if len(body) != 4+size+4 {
		return x.failf("a prefix unit of %d octets: want %d", rtrHeader+len(body), rtrHeader+8+size)
	}
	if body[0]&1 == 0 {
		return x.failf("a withdrawal where there is nothing yet") // §12, error 6
	}
	addr, _ := netip.AddrFromSlice(body[4 : 4+size])
	v := VRP{netip.PrefixFrom(addr, int(body[1])), body[2], ASN(binary.BigEndian.Uint32(body[4+size:]))}
	at := place{"offset", x.offset}
	if !v.Prefix.IsValid() {
		return x.l.odd(at, fmt.Errorf("%s: a prefix of %d bits", addr, body[1]))
	}
	if err := v.Check(); err != nil {
		return x.l.odd(at, err)
	}
	x.l.Entries++
	return x.l.b.add(v)
}

// end reads the end of the data (§5.8).
func (x *rtr) end(session uint16, body []byte) error {
	want := 4
	if x.version >= 1 {
		want = 16
	}
	if len(body) != want {
		return x.failf("an end of data of %d octets: want %d", rtrHeader+len(body), rtrHeader+want)
	}
	if session != x.Session {
		return x.failf("the session changed from %d to %d: try again", x.Session, session)
	}
	x.ended, x.Serial = true, binary.BigEndian.Uint32(body)
	if x.version >= 1 {
		seconds := func(b []byte) time.Duration { return time.Duration(binary.BigEndian.Uint32(b)) * time.Second }
		x.Refresh, x.Retry, x.Expire = seconds(body[4:]), seconds(body[8:]), seconds(body[12:])
	}
	return nil
}

// refused reads an error report (§5.11): what it is about, and a text.
func (x *rtr) refused(version uint8, code uint16, body []byte) error {
	switch {
	case code == rtrNoData:
		return ErrNotReady
	case code == rtrUnsupportedVersion && version < x.version:
		return &VersionError{Version: version}
	}
	c := cut{b: body}
	c.skip(int(min(c.uint32(), maxPDU)))
	text := string(c.take(int(min(c.uint32(), maxPDU))))
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(text[:min(len(text), 200)], ""))
	return x.failf("the cache reports error %d: %s", code, text)
}
