// Package dnstest serves a zone file as the DNS: for tests, for training and
// for dry runs (--zone FILE).
//
// The file is an ordinary master file (RFC 1035 §5): $ORIGIN, $TTL, relative
// names, records over several lines, quoted strings. It may hold records of
// any zones together; there are no delegations, what the file does not hold
// does not exist. $INCLUDE is refused. Files written by hand may bend the
// rules in three ways: a quoted string may be longer than 255 octets (it is
// cut), a TXT record may have no data (it is the empty string), and a record
// may be repeated (it counts once). Records of types that package dns does not
// name, the old SPF type among them, only make their name exist.
//
// To play a name server that does not answer, give the name a record of the
// private-use type 65280 (RFC 3597 §5, so that other software reads the file
// too):
//
//	slow.example.  IN  TYPE65280 \# 0
//
// Questions for such a name, wildcards included, fail with dns.ErrTemporary
// where the name has no records of the type asked for. With data, two octets
// are the extended error that goes with the failure (RFC 8914): 6 to 12, that
// DNSSEC validation failed, make the answer Bogus. Two octets more are the one
// type of record that cannot be had, although others can:
//
//	bogus.example. IN  TYPE65280 \# 2 0006
//	notxt.example. IN  TYPE65280 \# 4 00000010
//
// A file is taken at its word about DNSSEC: nothing is validated, but a name
// at or below one with DS records is Secure, and Insecure again at or below
// one further down that has NS records without DS. Without DS records above
// it, a name's answers are of Unknown security.
package dnstest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"sekimori/dns"
	"sekimori/dns/rr"
)

// temporary is the private-use type (RFC 6895 §3.1) that says TEMPERROR.
const temporary = 65280

// maxChain is how many aliases are followed before giving up.
const maxChain = 16

// Zone is a zone file in memory, safe for concurrent use.
type Zone struct {
	nodes map[string]*node // by name in wire form (see rr.AppendWire)
}

// node is a name; an empty non-terminal has no sets.
type node struct {
	sets     []set
	failures []failure
	alias    string // the wire form of where its alias leads
	end      string // the same as raw text
	wild     *node  // the wildcard below the name
	security dns.Security
	above    dns.Security // of the name above, which answers for DS
}

type set struct {
	typ     uint16
	ttl     uint32
	records []string
}

// failure is a marker of type 65280; typ 0 stands for every type.
type failure struct {
	typ      uint16
	extended []dns.ExtendedError
}

func (n *node) set(typ uint16) *set {
	for i := range n.sets {
		if n.sets[i].typ == typ {
			return &n.sets[i]
		}
	}
	return nil
}

// failure returns the marker that stops questions of a type: its own, or one
// for every type where the name has none of that type.
func (n *node) failure(typ uint16, has bool) *failure {
	for i := range n.failures {
		if f := &n.failures[i]; f.typ == typ || f.typ == 0 && !has {
			return f
		}
	}
	return nil
}

// Open reads the zone file at path.
func Open(path string) (*Zone, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Parse(f, path)
}

// Parse reads a zone file; name is what errors call it. Names that are not
// absolute are relative to the root until an $ORIGIN. An error names the line.
// A record that repeats another is dropped (RFC 2181 §5.2); an alias beside
// other data is refused (RFC 1034 §3.6.2).
func Parse(r io.Reader, name string) (*Zone, error) {
	b := builder{z: &Zone{nodes: map[string]*node{"": {}}}, seen: map[seen]bool{}}
	src := newSource(r)
	zp := mdns.NewZoneParser(src, ".", "")
	zp.SetDefaultTTL(3600)
	for {
		rec, ok := zp.Next()
		if !ok {
			break
		}
		if err := b.add(rec); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, src.last(), err)
		}
	}
	if err := zp.Err(); err != nil {
		return nil, syntaxError(name, src.last(), err)
	}
	if src.err != nil && !errors.Is(src.err, io.EOF) {
		return nil, fmt.Errorf("%s:%d: %w", name, src.last(), src.err)
	}
	b.z.secure()
	return b.z, nil
}

// syntaxError words the parser's error with its line.
func syntaxError(name string, line int, err error) error {
	var pe *mdns.ParseError
	if !errors.As(err, &pe) {
		return fmt.Errorf("%s:%d: %w", name, line, err)
	}
	msg := strings.TrimPrefix(pe.Error(), "dns: ")
	if i := strings.LastIndex(msg, " at line: "); i >= 0 {
		at, _, _ := strings.Cut(msg[i+len(" at line: "):], ":")
		if n, err := strconv.Atoi(at); err == nil {
			line = n
		}
		msg = msg[:i]
	}
	return fmt.Errorf("%s:%d: %s", name, line, msg)
}

// builder is a zone that is being read.
type builder struct {
	z    *Zone
	seen map[seen]bool
}

type seen struct {
	owner, text string
	typ         uint16
}

func (b *builder) add(rec mdns.RR) error {
	h := rec.Header()
	if h.Class != mdns.ClassINET {
		return fmt.Errorf("record of %s is of class %s: only IN is served", h.Name, mdns.ClassToString[h.Class])
	}
	owner, ok := rr.Wire(h.Name)
	if !ok {
		return fmt.Errorf("no such name can exist: %s: want labels of 1 to 63 octets, 253 in all", h.Name)
	}
	n := b.z.node(owner)
	if h.Rrtype == temporary {
		f, err := marker(rec)
		n.failures = append(n.failures, f)
		return err
	}
	text, known := rr.Text(rec)
	if !known {
		text = rec.String() // kept so that the name exists
	}
	alias := n.set(mdns.TypeCNAME) != nil
	if h.Rrtype == mdns.TypeCNAME && !alias && len(n.sets) > 0 || h.Rrtype != mdns.TypeCNAME && alias {
		return fmt.Errorf("%s has an alias (CNAME) beside other records", strings.ToLower(h.Name))
	}
	s := n.set(h.Rrtype)
	if s == nil {
		n.sets = append(n.sets, set{typ: h.Rrtype, ttl: h.Ttl})
		s = &n.sets[len(n.sets)-1]
	}
	s.ttl = min(s.ttl, h.Ttl)
	if k := (seen{owner, text, h.Rrtype}); b.seen[k] {
		return nil
	} else {
		b.seen[k] = true
	}
	if alias {
		return fmt.Errorf("%s has two aliases (CNAME)", strings.ToLower(h.Name))
	}
	s.records = append(s.records, text)
	if c, ok := rec.(*mdns.CNAME); ok {
		if n.alias, ok = rr.Wire(c.Target); !ok {
			return fmt.Errorf("%s is an alias (CNAME) of a name that cannot exist: %s", h.Name, c.Target)
		}
		n.end = rr.Raw(n.alias)
	}
	return nil
}

// marker reads the data of a record of type 65280.
func marker(rec mdns.RR) (failure, error) {
	unknown, ok := rec.(*mdns.RFC3597)
	if !ok {
		return failure{}, fmt.Errorf("data of TYPE%d: want \\# 0, \\# 2 or \\# 4", temporary)
	}
	b, err := hex.DecodeString(unknown.Rdata)
	if err != nil || len(b) != 0 && len(b) != 2 && len(b) != 4 {
		return failure{}, fmt.Errorf("data of TYPE%d: want none, two octets (extended error) or four (and type)", temporary)
	}
	var f failure
	if len(b) >= 2 {
		if code := uint16(b[0])<<8 | uint16(b[1]); code != 0 {
			f.extended = []dns.ExtendedError{{Code: code}}
		}
	}
	if len(b) == 4 {
		f.typ = uint16(b[2])<<8 | uint16(b[3])
	}
	return f, nil
}

// node returns the node of a name, making it and the empty non-terminals
// above it.
func (z *Zone) node(name string) *node {
	if n := z.nodes[name]; n != nil {
		return n
	}
	n := &node{}
	z.nodes[name] = n
	up := z.node(rr.Parent(name))
	if strings.HasPrefix(name, "\x01*") {
		up.wild = n
	}
	return n
}

// secure works out the security of every name.
func (z *Zone) secure() {
	for name, n := range z.nodes {
		cut := false // below a delegation without DS
		for up := name; ; up = rr.Parent(up) {
			m := z.nodes[up]
			if m.set(mdns.TypeDS) != nil {
				n.security = dns.Secure
				if cut {
					n.security = dns.Insecure
				}
				break
			}
			cut = cut || m.set(mdns.TypeNS) != nil
			if up == "" {
				break
			}
		}
	}
	for name, n := range z.nodes {
		n.above = z.nodes[rr.Parent(name)].security
	}
}

// Lookup answers from the zone file, following aliases and wildcards (RFC
// 1034 §4.3.2, RFC 4592). It never waits.
func (z *Zone) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	if err := ctx.Err(); err != nil {
		return dns.Answer{}, &dns.Failure{Name: name, Type: t, Err: fmt.Errorf("%w: %w", dns.ErrTemporary, err)}
	}
	code := rr.Code(t)
	if code == 0 {
		return dns.Answer{}, &dns.Failure{Name: name, Type: t, Err: dns.ErrNoData}
	}
	var buf [rr.MaxName + 2]byte
	wire, ok := rr.AppendWire(buf[:0], name)
	if !ok { // RFC 1035 §2.3.4
		return dns.Answer{}, &dns.Failure{Name: name, Type: t, Err: dns.ErrNameNotFound}
	}
	n := z.nodes[string(wire)]
	exists := n != nil
	if !exists {
		n, exists = wild(z, wire)
	}
	a, err := z.answer(n, exists, code)
	if err != nil {
		return a, &dns.Failure{Name: name, Type: t, Err: err}
	}
	return a, nil
}

// answer follows aliases from a node.
func (z *Zone) answer(n *node, exists bool, code uint16) (dns.Answer, error) {
	var a dns.Answer
	ttl := uint32(1<<31 - 1)
	for i := range maxChain {
		security := n.security
		if code == mdns.TypeDS && exists && n.set(code) == nil {
			security = n.above // RFC 4035 §3.1.4.1: on the parent's side
		}
		a.Security = weaker(a.Security, security, i == 0)
		if !exists {
			return a, dns.ErrNameNotFound
		}
		s := n.set(code)
		alias := n.set(mdns.TypeCNAME)
		if f := n.failure(code, s != nil || alias != nil); f != nil {
			out := dns.Answer{Extended: f.extended}
			if slices.ContainsFunc(f.extended, dns.ExtendedError.Bogus) {
				out.Security = dns.Bogus
			}
			return out, dns.ErrTemporary
		}
		if s != nil {
			a.Records, a.TTL = s.records, time.Duration(min(ttl, s.ttl))*time.Second
			return a, nil
		}
		if alias == nil {
			return a, dns.ErrNoData
		}
		ttl, a.Name = min(ttl, alias.ttl), n.end
		if to := n.alias; z.nodes[to] != nil {
			n = z.nodes[to]
		} else {
			n, exists = wild(z, to)
		}
	}
	return dns.Answer{}, dns.ErrTemporary // an endless chain of aliases, as servers answer SERVFAIL
}

// weaker is the security of an answer that rests on two.
func weaker(a, b dns.Security, first bool) dns.Security {
	if first || a == dns.Secure || b == dns.Insecure {
		return b
	}
	return a
}

// wild returns the node that answers for a name that has none: the wildcard
// below its closest encloser (RFC 4592 §3.3.1); where there is none, the
// closest encloser and false.
func wild[T string | []byte](z *Zone, name T) (*node, bool) {
	for {
		name = name[1+int(name[0]):]
		if n := z.nodes[string(name)]; n != nil {
			if n.wild != nil {
				return n.wild, true
			}
			return n, false
		}
	}
}
