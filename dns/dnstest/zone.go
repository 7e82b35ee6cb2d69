// Package dnstest serves a zone file as the DNS: for tests, for training and
// for dry runs (--zone FILE).
//
// The file is an ordinary master file (RFC 1035 §5): $ORIGIN, $TTL, relative
// names, records over several lines, quoted strings. It may hold records of
// any zones together; there are no delegations, what the file does not hold
// does not exist. $INCLUDE is refused. To play a name server that does not
// answer, give the name a record of the private-use type 65280 without data
// (RFC 3597 §5, so that other software reads the file too):
//
//	slow.example.  IN  TYPE65280 \# 0
//
// Every question for such a name, wildcards included, then fails with
// dns.ErrTemporary.
package dnstest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	nodes map[string]*node // by name: lower case, final dot
}

// node is a name; an empty non-terminal has no sets.
type node struct {
	sets map[uint16]*set
}

type set struct {
	records []string
	ttl     uint32
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
	z := &Zone{nodes: map[string]*node{".": {}}}
	src := &lineReader{r: bufio.NewReader(r), line: 1}
	zp := mdns.NewZoneParser(src, ".", "")
	zp.SetDefaultTTL(3600)
	for {
		rec, ok := zp.Next()
		if !ok {
			break
		}
		if err := z.add(rec); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, src.last(), err)
		}
	}
	if err := zp.Err(); err != nil {
		return nil, syntaxError(name, src.last(), err)
	}
	if src.err != nil && !errors.Is(src.err, io.EOF) {
		return nil, fmt.Errorf("%s:%d: %w", name, src.last(), src.err)
	}
	return z, nil
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

func (z *Zone) add(rec mdns.RR) error {
	h := rec.Header()
	if h.Class != mdns.ClassINET {
		return fmt.Errorf("record of %s is of class %s: only IN is served", h.Name, mdns.ClassToString[h.Class])
	}
	owner := fold(h.Name)
	n := z.node(owner)
	text, known := rr.Text(rec)
	if !known && h.Rrtype != temporary {
		text = rec.String() // kept so that the name exists
	}
	_, alias := n.sets[mdns.TypeCNAME]
	if h.Rrtype == mdns.TypeCNAME && !alias && len(n.sets) > 0 || h.Rrtype != mdns.TypeCNAME && alias {
		return fmt.Errorf("%s has an alias (CNAME) beside other records", owner)
	}
	s := n.sets[h.Rrtype]
	if s == nil {
		s = &set{ttl: h.Ttl}
		if n.sets == nil {
			n.sets = map[uint16]*set{}
		}
		n.sets[h.Rrtype] = s
	}
	s.ttl = min(s.ttl, h.Ttl)
	for _, have := range s.records {
		if have == text {
			return nil
		}
	}
	if alias {
		return fmt.Errorf("%s has two aliases (CNAME)", owner)
	}
	s.records = append(s.records, text)
	return nil
}

// node returns the node of a name, making it and the empty non-terminals
// above it.
func (z *Zone) node(name string) *node {
	if n := z.nodes[name]; n != nil {
		return n
	}
	n := &node{}
	z.nodes[name] = n
	if up := parent(name); z.nodes[up] == nil {
		z.node(up)
	}
	return n
}

// Lookup answers from the zone file, following aliases and wildcards (RFC
// 1034 §4.3.2, RFC 4592). It never waits.
func (z *Zone) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	fail := func(err error) (dns.Answer, error) {
		return dns.Answer{}, fmt.Errorf("%s %s: %w", strings.TrimSuffix(name, "."), t, err)
	}
	if ctx.Err() != nil {
		return fail(fmt.Errorf("%w: %w", dns.ErrTemporary, ctx.Err()))
	}
	code := rr.Code(t)
	if code == 0 {
		return fail(dns.ErrNoData)
	}
	q, ttl := fold(name), uint32(1<<31-1)
	for range maxChain {
		n := z.find(q)
		if n == nil {
			return fail(dns.ErrNameNotFound)
		}
		if n.sets[temporary] != nil {
			return fail(dns.ErrTemporary)
		}
		if s := n.sets[code]; s != nil {
			return dns.Answer{
				Records: append([]string(nil), s.records...),
				TTL:     time.Duration(min(ttl, s.ttl)) * time.Second,
			}, nil
		}
		alias := n.sets[mdns.TypeCNAME]
		if alias == nil {
			return fail(dns.ErrNoData)
		}
		q, ttl = fold(alias.records[0]), min(ttl, alias.ttl)
	}
	return fail(dns.ErrTemporary) // an endless chain of aliases, as servers answer SERVFAIL
}

// find returns the node that answers for a name: its own, or the wildcard
// below its closest encloser (RFC 4592 §3.3.1).
func (z *Zone) find(name string) *node {
	if n := z.nodes[name]; n != nil {
		return n
	}
	for up := name; up != "."; {
		up = parent(up)
		if z.nodes[up] == nil {
			continue
		}
		if up == "." {
			return z.nodes["*."]
		}
		return z.nodes["*."+up]
	}
	return nil
}

// parent takes the first label off; labels may hold escaped dots.
func parent(name string) string {
	if next, end := mdns.NextLabel(name, 0); !end {
		return name[next:]
	}
	return "."
}

func fold(name string) string { return strings.ToLower(mdns.Fqdn(name)) }

// lineReader counts lines byte by byte. The zone parser takes an
// io.ByteReader as it is, so the count is where the parser stands.
type lineReader struct {
	r    *bufio.Reader
	line int
	nl   bool // the last byte read ended a line
	err  error
}

func (l *lineReader) ReadByte() (byte, error) {
	b, err := l.r.ReadByte()
	if err != nil {
		l.err = err
		return b, err
	}
	if l.nl {
		l.line++
	}
	l.nl = b == '\n'
	return b, nil
}

func (l *lineReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := l.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// last is the line of the record that was read last.
func (l *lineReader) last() int { return l.line }
