package rpki

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// text reads lines of "PREFIX LENGTH ASN" (CAIDA's pfx2as) or "PREFIX/LENGTH
// ASN" (bgp.tools, pyasn). In ASN, "_" stands between several origins of a
// prefix and "," between the members of a set, which is an origin that names
// nobody. Lines that begin with "#" or ";" are remarks.
func (b *routeBuilder) text(in *bufio.Reader) error {
	lines := newLines(in)
	first := true
	for lines.next() {
		text := strings.TrimSpace(lines.text)
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		p, origins, err := parsePrefixAS(text)
		if err != nil {
			err = fmt.Errorf("line %d: %w", lines.n, err)
			if first {
				return err // something else altogether
			}
			b.Entries++
			b.skip(err)
			continue
		}
		first = false
		b.Entries++
		if _, again := b.table.Get(p); again {
			b.Repeated++
		}
		if err := b.add(p, origins); err != nil {
			return err
		}
	}
	return lines.err
}

func parsePrefixAS(line string) (netip.Prefix, []seen, error) {
	f := strings.Fields(line)
	if len(f) == 2 && strings.Contains(f[0], "/") {
		f = []string{f[0], f[1]}
	} else if len(f) == 3 && !strings.Contains(f[0], "/") {
		f = []string{f[0] + "/" + f[1], f[2]}
	} else {
		return netip.Prefix{}, nil, errors.New("want a prefix, its length and an AS number, with blanks between them")
	}
	p, err := parsePrefix(f[0])
	if err != nil {
		return netip.Prefix{}, nil, err
	}
	var origins []seen
	for o := range strings.SplitSeq(f[1], "_") {
		members := strings.Split(strings.Trim(o, "{}"), ",")
		var s seen
		for _, m := range members {
			n, err := ParseASN(m)
			if err != nil {
				return netip.Prefix{}, nil, err
			}
			if len(members) == 1 {
				s.asn = n
			}
		}
		if !slices.Contains(origins, s) {
			origins = append(origins, s)
		}
	}
	return p, origins, nil
}
