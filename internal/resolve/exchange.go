package resolve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	mdns "github.com/miekg/dns"

	"sekimori/dns"
	"sekimori/dns/rr"
)

// refusal is a server's word that it has no answer.
type refusal struct {
	server   string
	rcode    int
	lame     bool // it does not resolve, and points elsewhere
	bogus    bool // it has one that failed validation
	extended []dns.ExtendedError
}

func (x *refusal) Error() string {
	what := "answered " + mdns.RcodeToString[x.rcode]
	switch {
	case x.bogus:
		what = "DNSSEC validation failed"
	case x.lame:
		what = "is no resolver: it does not answer for others"
	}
	if len(x.extended) > 0 && x.extended[0].Text != "" {
		what += " (" + x.extended[0].Text + ")"
	}
	return "server " + x.server + ": " + what
}

// Ways in which a datagram is no answer to be had: TCP may bring one.
var (
	errBroken = errors.New("answer cannot be read")
	errForged = errors.New("too many answers to other questions")
	errCase   = errors.New("answer does not keep the question's case")
)

// datagram has room for any answer over UDP that fits what we ask for, and more.
type datagram [4096]byte

// maxForged is how many datagrams are passed over before TCP.
const maxForged = 32

// try asks one server once: over UDP, and over TCP where the answer does not
// fit or cannot be trusted. A refusal, or another error, means that another
// server, or a later time, may know more. With unchecked the server is asked
// not to validate.
func (r *Resolver) try(end time.Time, s server, k key, unchecked bool) (*mdns.Msg, error) {
	m, err := r.send(end, s, k, unchecked, true)
	if err == nil && len(m.Answer) == 0 && (m.Rcode == mdns.RcodeFormatError || m.Rcode == mdns.RcodeNotImplemented || m.Rcode == mdns.RcodeBadVers) {
		m, err = r.send(end, s, k, unchecked, false) // a server from before EDNS (RFC 6891 §7)
	}
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", s.addr, err)
	}
	x := &refusal{server: s.addr, rcode: m.Rcode, extended: rr.Extended(m), lame: lame(m)}
	if (m.Rcode == mdns.RcodeSuccess || m.Rcode == mdns.RcodeNameError) && !x.lame {
		return m, nil
	}
	x.bogus = m.Rcode == mdns.RcodeServerFailure && slices.ContainsFunc(x.extended, dns.ExtendedError.Bogus)
	return nil, x
}

// lame reports whether a message says no more than that somebody else may
// know: a referral, or nothing from a server that does not resolve. Taken for
// "no data" it would be a falsehood.
func lame(m *mdns.Msg) bool {
	if m.Rcode != mdns.RcodeSuccess || len(m.Answer) > 0 {
		return false
	}
	referral := false
	for _, x := range m.Ns {
		switch x.(type) {
		case *mdns.SOA:
			return false
		case *mdns.NS:
			referral = true
		}
	}
	return referral || !m.RecursionAvailable && !m.Authoritative
}

// send makes one exchange over UDP, or else over TCP.
func (r *Resolver) send(end time.Time, s server, k key, unchecked, edns bool) (*mdns.Msg, error) {
	out := query(k, unchecked, edns)
	question := out[12 : 12+len(k.name)+1+4]
	mix(question[:len(k.name)])
	m, err := r.overUDP(end, s, out, question)
	if err == nil && !m.Truncated {
		return m, nil
	}
	if err != nil && err != errBroken && err != errForged && err != errCase {
		return nil, err
	}
	keepsNot := err == errCase
	binary.BigEndian.PutUint16(out, mdns.Id())
	m, err = r.overTCP(end, s, out, question)
	if err != nil && keepsNot && !over(end) {
		// A forwarder that turns names to small letters and knows no TCP.
		settle(question)
		binary.BigEndian.PutUint16(out, mdns.Id())
		if m, err = r.overUDP(end, s, out, question); err == nil && m.Truncated {
			return nil, errors.New("answer cut short, and no TCP")
		}
		return m, err
	}
	if err == nil && m.Truncated {
		err = errors.New("answer cut short over TCP")
	}
	return m, err
}

// query writes a question (RFC 1035 §4.1), with the EDNS options (RFC 6891 §6.1)
// where edns says so.
func query(k key, unchecked, edns bool) []byte {
	const recursionDesired, authenticData, checkingDisabled = 0x01, 0x20, 0x10
	out := make([]byte, 12, 12+len(k.name)+5+11)
	binary.BigEndian.PutUint16(out, mdns.Id())
	out[2] = recursionDesired
	out[3] = authenticData // RFC 6840 §5.7: we understand the AD bit
	if unchecked {
		out[3] |= checkingDisabled
	}
	out[5] = 1 // question
	out = append(append(out, k.name...), 0)
	out = binary.BigEndian.AppendUint16(out, k.typ)
	out = binary.BigEndian.AppendUint16(out, mdns.ClassINET)
	if edns {
		out[11] = 1 // additional record: of the root, no flags, no options
		out = binary.BigEndian.AppendUint16(append(out, 0), mdns.TypeOPT)
		out = binary.BigEndian.AppendUint16(out, bufferSize)
		out = append(out, 0, 0, 0, 0, 0, 0)
	}
	return out
}

// mix turns letters of a name in wire form to capitals by chance.
func mix(wire []byte) {
	var bits uint64
	n := 0
	for i := 0; i < len(wire); {
		end := i + 1 + int(wire[i])
		for i++; i < end; i++ {
			if wire[i] < 'a' || 'z' < wire[i] {
				continue
			}
			if n == 0 {
				bits, n = rand.Uint64(), 64
			}
			wire[i] ^= byte(bits&1) << 5
			bits, n = bits>>1, n-1
		}
	}
}

// over reports whether the time for a question has run out.
func over(end time.Time) bool { return !time.Now().Before(end) }

// dial opens a way to a server for one try, which ends by itself.
func (r *Resolver) dial(end time.Time, network string, s server) (net.Conn, error) {
	if t := time.Now().Add(r.o.Timeout); t.Before(end) {
		end = t
	}
	var c net.Conn
	var err error
	if network == "udp" && s.udp != nil {
		// Nothing is waited for: a Dialer would make timers and contexts for it.
		c, err = net.DialUDP(network, nil, s.udp)
	} else {
		d := net.Dialer{Deadline: end}
		c, err = d.Dial(network, s.addr)
	}
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(end); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// overUDP sends a datagram and waits for its answer, passing over what is none.
func (r *Resolver) overUDP(end time.Time, s server, out, question []byte) (*mdns.Msg, error) {
	c, err := r.dial(end, "udp", s) // a socket, and so a port, of its own
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(out); err != nil {
		return nil, err
	}
	// What is taken out of a message does not point into its octets, so that
	// these serve the next.
	buf := r.datagrams.Get().(*datagram)
	defer r.datagrams.Put(buf)
	in := buf[:]
	for range maxForged {
		n, err := c.Read(in)
		if err != nil {
			return nil, err
		}
		switch answers(in[:n], out, question) {
		case no:
			continue
		case otherCase:
			return nil, errCase
		}
		m := new(mdns.Msg)
		if m.Unpack(in[:n]) != nil {
			if n >= 4 && in[2]&0x02 != 0 { // cut short in the middle of a record
				return &mdns.Msg{MsgHdr: mdns.MsgHdr{Truncated: true}}, nil
			}
			return nil, errBroken
		}
		return m, nil
	}
	return nil, errForged
}

// overTCP makes the exchange over TCP (RFC 7766).
func (r *Resolver) overTCP(end time.Time, s server, out, question []byte) (*mdns.Msg, error) {
	c, err := r.dial(end, "tcp", s)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(out)), uint16(len(out)))
	if _, err := c.Write(append(framed, out...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	in, err := io.ReadAll(io.LimitReader(c, int64(binary.BigEndian.Uint16(size[:]))))
	if err != nil {
		return nil, err
	}
	if len(in) < int(binary.BigEndian.Uint16(size[:])) {
		return nil, io.ErrUnexpectedEOF
	}
	if answers(in, out, question) == no {
		return nil, errors.New("answer to another question")
	}
	m := new(mdns.Msg)
	if err := m.Unpack(in); err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	return m, nil
}

type match int

const (
	no match = iota
	otherCase
	yes
)

// answers reports whether a message answers the question of another: its
// number, its kind, and the question to the letter.
func answers(in, out, question []byte) match {
	if len(in) < 12 || in[0] != out[0] || in[1] != out[1] || in[2]&0x80 == 0 || in[2]>>3&0x0f != mdns.OpcodeQuery {
		return no
	}
	switch binary.BigEndian.Uint16(in[4:]) {
	case 0:
		// Some servers leave the question out where they cannot read it.
		if in[3]&0x0f == mdns.RcodeFormatError && binary.BigEndian.Uint16(in[6:]) == 0 {
			return yes
		}
		return no
	case 1:
	default:
		return no
	}
	if len(in) < 12+len(question) {
		return no
	}
	got := in[12 : 12+len(question)]
	if bytes.Equal(got, question) {
		settle(got)
		return yes
	}
	for i := range got {
		a, b := got[i], question[i]
		if a != b && (a|0x20 != b|0x20 || a|0x20 < 'a' || 'z' < a|0x20) {
			return no
		}
	}
	settle(got)
	return otherCase
}

// settle turns the name of a question to small letters: records point to it
// where they name it or a part of it (RFC 1035 §4.1.4), and our random case is
// not theirs.
func settle(question []byte) {
	for i := 0; i < len(question)-5; {
		end := i + 1 + int(question[i])
		for i++; i < end; i++ {
			if c := question[i]; 'A' <= c && c <= 'Z' {
				question[i] = c | 0x20
			}
		}
	}
}
