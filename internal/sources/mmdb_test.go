package sources

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// mmdb is what a small database in MaxMind's form holds. Writing one here keeps
// the tests free of anybody's data.
type mmdb map[netip.Prefix]map[string]any

// write makes the file: an IPv6 tree of 24-bit records, the data, the metadata.
func (m mmdb) write(t testing.TB, kind string) string {
	t.Helper()
	type node [2]int // child: > 0 a node, < 0 data -n-1, 0 nothing
	nodes := []node{{}}
	var data []byte
	prefixes := slices.SortedFunc(maps.Keys(m), func(a, b netip.Prefix) int { return a.Bits() - b.Bits() })
	for _, p := range prefixes {
		at := len(data)
		data = appendValue(data, m[p])
		a, bits := p.Addr().As16(), p.Bits()
		if p.Addr().Is4() {
			four := p.Addr().As4()
			a = [16]byte{}
			copy(a[12:], four[:])
			bits += 96
		}
		n := 0
		for i := range bits {
			b := int(a[i/8] >> (7 - i%8) & 1)
			if i == bits-1 {
				nodes[n][b] = -at - 1
				break
			}
			if nodes[n][b] <= 0 {
				nodes = append(nodes, node{nodes[n][b], nodes[n][b]})
				nodes[n][b] = len(nodes) - 1
			}
			n = nodes[n][b]
		}
	}
	var out []byte
	for _, n := range nodes {
		for _, c := range n {
			v := len(nodes) // nothing
			if c > 0 {
				v = c
			} else if c < 0 {
				v = len(nodes) + 16 + (-c - 1)
			}
			out = append(out, byte(v>>16), byte(v>>8), byte(v))
		}
	}
	out = append(append(out, make([]byte, 16)...), data...)
	out = append(out, mmdbMark...)
	out = appendValue(out, map[string]any{"node_count": uint32(len(nodes)), "record_size": uint32(24), "ip_version": uint32(6), "database_type": kind,
		"binary_format_major_version": uint32(2), "binary_format_minor_version": uint32(0), "build_epoch": uint32(1_700_000_000),
		"languages": "", "description": map[string]any{"en": "test"}})
	path := filepath.Join(t.TempDir(), kind+".mmdb")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// appendValue encodes a string, a number or a map.
func appendValue(b []byte, v any) []byte {
	control := func(kind, size int) {
		extra := []byte{}
		if size >= 29 {
			extra = []byte{byte(size - 29)}
			size = 29
		}
		b = append(append(b, byte(kind<<5|size)), extra...)
	}
	switch v := v.(type) {
	case string:
		control(2, len(v))
		b = append(b, v...)
	case uint32:
		control(6, 4)
		b = binary.BigEndian.AppendUint32(b, v)
	case map[string]any:
		control(7, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if k == "languages" { // an empty array
				b = append(appendValue(b, k), 0, 4)
				continue
			}
			b = appendValue(appendValue(b, k), v[k])
		}
	}
	return b
}
