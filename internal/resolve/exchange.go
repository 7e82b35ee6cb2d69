package resolve

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
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

// maxForged is how many datagrams are passed over before TCP.
const maxForged = 32

// try asks one server once: over UDP, and over TCP where the answer does not
// fit or cannot be trusted. A refusal, or another error, means that another
// server, or a later time, may know more. With unchecked the server is asked
// not to validate.
func (r *Resolver) try(ctx context.Context, s server, k key, unchecked bool) (*mdns.Msg, error) {
	q := new(mdns.Msg)
	q.RecursionDesired = true
	q.AuthenticatedData = true // RFC 6840 §5.7: we understand the AD bit
	q.CheckingDisabled = unchecked
	q.SetEdns0(bufferSize, false)
	m, err := r.send(ctx, s, k, q)
	if err == nil && len(m.Answer) == 0 && (m.Rcode == mdns.RcodeFormatError || m.Rcode == mdns.RcodeNotImplemented || m.Rcode == mdns.RcodeBadVers) {
		q.Extra = nil // a server from before EDNS (RFC 6891 §7)
		m, err = r.send(ctx, s, k, q)
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
func (r *Resolver) send(ctx context.Context, s server, k key, q *mdns.Msg) (*mdns.Msg, error) {
	q.Question = []mdns.Question{{Name: rr.Present(k.name), Qtype: k.typ, Qclass: mdns.ClassINET}}
	q.Id = mdns.Id()
	out, err := q.Pack()
	if err != nil {
		return nil, err
	}
	question := out[12 : 12+len(k.name)+1+4]
	mix(question[:len(k.name)])
	m, err := r.overUDP(ctx, s, out, question)
	if err == nil && !m.Truncated {
		return m, nil
	}
	if err != nil && err != errBroken && err != errForged && err != errCase {
		return nil, err
	}
	keepsNot := err == errCase
	binary.BigEndian.PutUint16(out, mdns.Id())
	m, err = r.overTCP(ctx, s, out, question)
	if err != nil && keepsNot && ctx.Err() == nil {
		// A forwarder that turns names to small letters and knows no TCP.
		settle(question)
		binary.BigEndian.PutUint16(out, mdns.Id())
		if m, err = r.overUDP(ctx, s, out, question); err == nil && m.Truncated {
			return nil, errors.New("answer cut short, and no TCP")
		}
		return m, err
	}
	if err == nil && m.Truncated {
		err = errors.New("answer cut short over TCP")
	}
	return m, err
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

// until is when one try of a server ends.
func (r *Resolver) until(ctx context.Context) time.Time {
	t := time.Now().Add(r.o.Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(t) {
		return d
	}
	return t
}

func (r *Resolver) dial(ctx context.Context, network string, s server) (net.Conn, error) {
	end := r.until(ctx)
	var c net.Conn
	var err error
	if at, perr := netip.ParseAddrPort(s.addr); perr == nil && network == "udp" {
		// Nothing is waited for: a Dialer would make timers and contexts for it.
		c, err = net.DialUDP(network, nil, net.UDPAddrFromAddrPort(at))
	} else {
		d := net.Dialer{Deadline: end}
		c, err = d.DialContext(ctx, network, s.addr)
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
func (r *Resolver) overUDP(ctx context.Context, s server, out, question []byte) (*mdns.Msg, error) {
	c, err := r.dial(ctx, "udp", s) // a socket, and so a port, of its own
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(out); err != nil {
		return nil, err
	}
	in := make([]byte, 4096)
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
func (r *Resolver) overTCP(ctx context.Context, s server, out, question []byte) (*mdns.Msg, error) {
	c, err := r.dial(ctx, "tcp", s)
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
