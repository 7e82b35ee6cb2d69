package rpki

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sekimori/internal/require"
)

// dump writes MRT.
type dump struct{ bytes.Buffer }

func be16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func be32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

func (d *dump) record(typ, subtype int, body []byte) {
	d.Write(slices.Concat(be32(1795305600), be16(typ), be16(subtype), be32(len(body)), body))
}

func (d *dump) peers(asns ...int) {
	body := slices.Concat([]byte{192, 0, 2, 255}, be16(4), []byte("view"), be16(len(asns)))
	for i, a := range asns {
		body = slices.Concat(body, []byte{2, 192, 0, 2, byte(i), 192, 0, 2, byte(i)}, be32(a))
	}
	d.record(typeTableDump2, subtypePeerIndex, body)
}

// segment is a part of a path: its kind and its systems.
func segment(kind int, asns ...int) []byte {
	b := []byte{byte(kind), byte(len(asns))}
	for _, a := range asns {
		b = append(b, be32(a)...)
	}
	return b
}

type path struct {
	peer     int
	segments []byte
	none     bool // no attribute of that type
}

func (p path) attributes() []byte {
	origin := []byte{0x40, 1, 1, 0}
	if p.none {
		return origin
	}
	hop := []byte{0x40, 3, 4, 192, 0, 2, 1}
	return slices.Concat(origin, []byte{0x50, attrASPath}, be16(len(p.segments)), p.segments, hop)
}

func (d *dump) rib(subtype int, p string, paths ...path) {
	q := prefix(p)
	body := slices.Concat(be32(0), []byte{byte(q.Bits())}, q.Addr().AsSlice()[:(q.Bits()+7)/8], be16(len(paths)))
	for i, x := range paths {
		body = append(body, be16(x.peer)...)
		body = append(body, be32(1795305000)...)
		if subtype == subtypeIPv4Multipath || subtype == subtypeIPv6Multipath {
			body = append(body, be32(i+1)...)
		}
		a := x.attributes()
		body = append(append(body, be16(len(a))...), a...)
	}
	d.record(typeTableDump2, subtype, body)
}

func seq(asns ...int) []byte { return segment(asSequence, asns...) }

func lookup(r *Routes, a string) string {
	p, o := r.Lookup(netip.MustParseAddr(a))
	return fmt.Sprint(p, " ", o)
}

func TestMRT(t *testing.T) {
	var d dump
	d.record(16, 4, []byte("an update, skipped"))
	d.peers(64511, 64512, 64513)
	d.rib(subtypeIPv4, "192.0.2.0/24", path{peer: 0, segments: seq(64511, 64500, 64496)}, path{peer: 1, segments: seq(64512, 64496)}, path{peer: 2, segments: seq(64513, 64497)})
	d.rib(subtypeIPv6, "2001:db8::/32", path{peer: 0, segments: seq(64511, 4200000001)})
	d.rib(subtypeIPv4Multipath, "198.51.100.0/22", path{peer: 1, segments: seq(64512, 64498)}, path{peer: 1, segments: seq(64512, 64499, 64498)})
	d.rib(subtypeIPv6Multipath, "2001:db8:f000::/36", path{peer: 1, segments: seq(64498)})
	d.rib(subtypeIPv4, "0.0.0.0/0", path{peer: 0, segments: seq(64511)})
	d.rib(subtypeIPv4, "10.0.0.0/24", path{peer: 0, segments: slices.Concat(seq(64511, 64500), segment(1, 64501, 64502))})
	d.rib(subtypeIPv4, "10.0.1.0/24", path{peer: 0, segments: nil})
	d.rib(subtypeIPv4, "10.0.2.0/24", path{peer: 0, segments: slices.Concat(segment(confedSequence, 65001, 65002))})
	d.rib(subtypeIPv4, "10.0.3.0/24", path{peer: 0, segments: slices.Concat(segment(confedSequence, 65001), seq(64511, 64503))})
	d.rib(subtypeIPv4, "10.0.4.0/24", path{peer: 0, none: true})
	d.rib(subtypeIPv4, "10.0.5.0/24", path{peer: 0, segments: slices.Concat(segment(1, 64501), seq(64504))})
	d.rib(subtypeIPv4, "10.0.6.0/24", path{peer: 0, segments: slices.Concat(seq(64511, 64505), []byte{1, 0})})
	whole := slices.Clone(d.Bytes())
	r, got, err := ReadRoutes(&d, 0)
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]string{
		"192.0.2.9":           "192.0.2.0/24 [{AS64496 2} {AS64497 1}]",
		"2001:db8:1::":        "2001:db8::/32 [{AS4200000001 1}]",
		"198.51.103.255":      "198.51.100.0/22 [{AS64498 1}]",
		"2001:db8:f111::":     "2001:db8:f000::/36 [{AS64498 1}]",
		"8.8.8.8":             "invalid Prefix []",
		"10.0.0.1":            "10.0.0.0/24 [{AS0 1}]",
		"10.0.1.1":            "10.0.1.0/24 [{AS64511 1}]",
		"10.0.2.1":            "10.0.2.0/24 [{AS64511 1}]",
		"10.0.3.1":            "10.0.3.0/24 [{AS64503 1}]",
		"10.0.4.1":            "invalid Prefix []",
		"10.0.5.1":            "10.0.5.0/24 [{AS64504 1}]",
		"10.0.6.1":            "10.0.6.0/24 [{AS64505 1}]",
		"::ffff:198.51.100.1": "198.51.100.0/22 [{AS64498 1}]",
	} {
		if got := lookup(r, a); got != want {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
	if got.Peers != 3 || got.Entries != 12 || got.Skipped != 0 || r.Len() != 10 || got.Time.Unix() != 1795305600 {
		t.Errorf("%d routes, %+v", r.Len(), got)
	}

	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(whole)
	w.Close()
	if z, _, err := ReadRoutes(&zipped, 0); err != nil || z.Len() != r.Len() {
		t.Errorf("gzip: %v", err)
	}
	if tool, err := exec.LookPath("bzip2"); err == nil {
		cmd := exec.Command(tool, "-c")
		cmd.Stdin = bytes.NewReader(whole)
		if out, err := cmd.Output(); err != nil {
			t.Error(err)
		} else if z, _, err := ReadRoutes(bytes.NewReader(out), 0); err != nil || z.Len() != r.Len() {
			t.Errorf("bzip2: %v", err)
		}
	}
	// Cut anywhere but between two records, it ends early.
	ends := map[int]bool{}
	for at := 0; at < len(whole); {
		at += mrtHeader + int(binary.BigEndian.Uint32(whole[at+8:]))
		ends[at] = true
	}
	for n := mrtHeader; n < len(whole); n++ {
		if _, _, err := ReadRoutes(bytes.NewReader(whole[:n]), 0); !ends[n] && (err == nil || !strings.Contains(err.Error(), "ends early")) {
			t.Fatalf("cut after %d: %v", n, err)
		}
	}
}

// TestVisibility: what few of many peers see is theirs alone.
func TestVisibility(t *testing.T) {
	var asns []int
	for i := range 60 {
		asns = append(asns, 64000+i)
	}
	var d dump
	d.peers(asns...)
	all := func(n int, origin int) (out []path) {
		for i := range n {
			out = append(out, path{peer: i, segments: seq(asns[i], origin)})
		}
		return
	}
	d.rib(subtypeIPv4, "10.0.0.0/8", all(50, 64496)...)
	d.rib(subtypeIPv4, "11.0.0.0/8", all(50, 64496)...)
	d.rib(subtypeIPv4, "12.0.0.0/8", append(all(50, 64496), path{peer: 3, segments: seq(64003, 64666)})...)
	d.rib(subtypeIPv4, "10.1.0.0/16", all(2, 64497)...)
	d.rib(subtypeIPv4, "10.2.0.0/16", all(3, 64497)...)
	d.rib(subtypeIPv6, "2001:db8::/32", all(1, 64496)...)
	whole := d.Bytes()
	for _, c := range []struct {
		share  float64
		hidden int64
		want   string
	}{
		{0, 2, "10.0.0.0/8 [{AS64496 50}]"},
		{-1, 0, "10.1.0.0/16 [{AS64497 2}]"},
		{0.04, 1, "10.1.0.0/16 [{AS64497 2}]"},
	} {
		r, got, err := ReadRoutes(bytes.NewReader(whole), c.share)
		if err != nil || got.Peers != 60 || got.FullPeers != 50 || got.Hidden != c.hidden {
			t.Errorf("%v: %+v, %v", c.share, got, err)
			continue
		}
		if got := lookup(r, "10.1.2.3"); got != c.want {
			t.Errorf("%v: %s, want %s", c.share, got, c.want)
		}
		if got := lookup(r, "10.2.2.3"); got != "10.2.0.0/16 [{AS64497 3}]" {
			t.Errorf("%v: %s", c.share, got)
		}
		if got := lookup(r, "2001:db8::"); got != "2001:db8::/32 [{AS64496 1}]" {
			t.Errorf("%v: %s", c.share, got)
		}
	}
}

func TestMRTErrors(t *testing.T) {
	updates := dump{}
	updates.record(16, 4, []byte("an update"))
	early := dump{}
	early.rib(subtypeIPv4, "10.0.0.0/8", path{segments: seq(1)})
	bits := dump{}
	bits.peers(1)
	bits.record(typeTableDump2, subtypeIPv4, []byte{0, 0, 0, 0, 33, 1, 2, 3, 4, 5, 0, 0})
	peer := dump{}
	peer.peers(1)
	peer.rib(subtypeIPv4, "10.0.0.0/8", path{peer: 7, segments: seq(1)})
	longPath := dump{}
	longPath.peers(1)
	longPath.rib(subtypeIPv4, "10.0.0.0/8", path{segments: []byte{2, 9, 0, 0, 0, 1}})
	table := dump{}
	table.record(typeTableDump2, subtypePeerIndex, []byte{1, 2, 3, 4, 0, 0, 0xff, 0xff, 0})
	for want, d := range map[string]*dump{
		"no table dump": &updates, "before the table of peers": &early, "a prefix of 33 bits": &bits,
		"peer 7 of 1": &peer, "longer than its attribute": &longPath, "table of peers: a record is shorter": &table,
	} {
		if _, _, err := ReadRoutes(d, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	huge := slices.Concat(be32(1), be16(typeTableDump2), be16(subtypeIPv4), []byte{0xff, 0xff, 0xff, 0xff})
	if _, _, err := ReadRoutes(bytes.NewReader(huge), 0); err == nil || !strings.Contains(err.Error(), "want at most") {
		t.Errorf("%v", err)
	}
}

// TestBgpdump has bgpdump read what the tests write, so that the writer does
// not share the reader's mistakes.
func TestBgpdump(t *testing.T) {
	tool := require.Program(t, "bgpdump", "bgpdump")
	var d dump
	d.peers(64511, 64512)
	d.rib(subtypeIPv4, "192.0.2.0/24", path{peer: 0, segments: seq(64511, 64500, 64496)}, path{peer: 1, segments: seq(64512, 64496)})
	d.rib(subtypeIPv4, "198.51.100.0/22", path{peer: 1, segments: slices.Concat(seq(64512), segment(1, 64501, 64502))})
	file := filepath.Join(t.TempDir(), "rib")
	if err := os.WriteFile(file, d.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), tool, "-m", "-v", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if f := strings.Split(line, "|"); len(f) > 6 {
			got = append(got, strings.Join(f[4:7], " "))
		}
	}
	want := []string{"64511 192.0.2.0/24 64511 64500 64496", "64512 192.0.2.0/24 64512 64496", "64512 198.51.100.0/22 64512 {64501,64502}"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
