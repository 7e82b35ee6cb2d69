package rpki

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func vrps(t testing.TB, all ...VRP) *VRPs {
	t.Helper()
	s, err := NewVRPs(slices.Values(all))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestValidate goes through RFC 6811 §2.
func TestValidate(t *testing.T) {
	s := vrps(t,
		VRP{prefix("192.0.2.0/24"), 24, 64496},
		VRP{prefix("198.51.100.0/22"), 24, 64497},
		VRP{prefix("203.0.113.0/24"), 32, 0},
		VRP{prefix("2001:db8::/32"), 48, 64496},
		VRP{prefix("10.0.0.0/8"), 8, 64496}, VRP{prefix("10.0.0.0/8"), 16, 64497}, VRP{prefix("10.1.0.0/16"), 16, 64498},
	)
	for _, c := range []struct {
		prefix string
		origin ASN
		want   State
	}{
		{"192.0.2.0/24", 64496, Valid},
		{"192.0.2.0/24", 64497, Invalid},
		{"192.0.2.0/25", 64496, Invalid}, // longer than allowed
		{"192.0.0.0/16", 64496, NotFound},
		{"198.51.100.0/23", 64497, Valid},
		{"198.51.100.0/24", 64497, Valid},
		{"198.51.100.0/25", 64497, Invalid},
		{"203.0.113.0/24", 0, Invalid}, // AS 0 never matches
		{"203.0.113.0/24", 64496, Invalid},
		{"192.0.2.0/24", 0, Invalid}, // an AS_SET
		{"2001:db8::/32", 64496, Valid},
		{"2001:db8:1::/48", 64496, Valid},
		{"2001:db8:1::/49", 64496, Invalid},
		{"2001:db9::/32", 64496, NotFound},
		{"10.1.0.0/16", 64497, Valid}, // by the shorter of two that cover it
		{"10.1.0.0/16", 64496, Invalid},
		{"10.0.0.0/8", 64496, Valid},
		{"0.0.0.0/0", 64496, NotFound},
	} {
		if got := s.Validate(prefix(c.prefix), c.origin); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.prefix, c.origin, got, c.want)
		}
	}
	if got := (*VRPs)(nil).Validate(prefix("192.0.2.0/24"), 1); got != NotFound {
		t.Errorf("without payloads: %s", got)
	}
	if got := s.Validate(netip.Prefix{}, 1); got != NotFound {
		t.Errorf("without a prefix: %s", got)
	}
}

// naive is RFC 6811 §2 word by word over a list.
func naive(all []VRP, p netip.Prefix, origin ASN) State {
	covered := false
	for _, v := range all {
		if v.Prefix.Addr().BitLen() != p.Addr().BitLen() || v.Prefix.Bits() > p.Bits() || !v.Prefix.Contains(p.Addr()) {
			continue
		}
		covered = true
		if p.Bits() <= int(v.MaxLength) && v.ASN == origin && origin != 0 {
			return Valid
		}
	}
	if covered {
		return Invalid
	}
	return NotFound
}

// random makes prefixes that often contain each other.
func random(r *rand.Rand) netip.Prefix {
	if r.IntN(3) == 0 {
		a := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(r.IntN(4)), byte(r.IntN(2) * 0x80)}
		return netip.PrefixFrom(netip.AddrFrom16(a), 28+r.IntN(101)).Masked()
	}
	a := [4]byte{byte(10 + r.IntN(2)), byte(r.IntN(4) << 6), byte(r.IntN(256)), byte(r.IntN(256))}
	return netip.PrefixFrom(netip.AddrFrom4(a), 6+r.IntN(27)).Masked()
}

func TestDifferential(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	count := map[State]int{}
	for range 60 {
		var all []VRP
		for range r.IntN(200) {
			p := random(r)
			all = append(all, VRP{p, uint8(p.Bits() + r.IntN(p.Addr().BitLen()-p.Bits()+1)), ASN(r.IntN(5))})
		}
		s := vrps(t, append(all, all...)...)
		unique := map[VRP]bool{}
		for _, v := range all {
			unique[v] = true
		}
		if s.Len() != len(unique) || len(slices.Collect(s.All())) != len(unique) {
			t.Fatalf("%d payloads, want %d", s.Len(), len(unique))
		}
		routes := map[netip.Prefix][]ASN{}
		b := &routeBuilder{}
		for range 300 {
			p, asn := random(r), ASN(r.IntN(5))
			if want, got := naive(all, p, asn), s.Validate(p, asn); got != want {
				t.Fatalf("%s %s: %s, want %s: %v", p, asn, got, want, all)
			} else {
				count[want]++
			}
			if !slices.Contains(routes[p], asn) {
				routes[p] = append(routes[p], asn)
			}
			if err := b.add(p, []seen{{asn: asn}}); err != nil {
				t.Fatal(err)
			}
		}
		table := Table{s, b.build(0)}
		for range 300 {
			a := random(r).Addr()
			var best netip.Prefix
			for p := range routes {
				if p.Contains(a) && (!best.IsValid() || p.Bits() > best.Bits()) {
					best = p
				}
			}
			origins := table.Origins(a)
			if len(origins) != len(routes[best]) {
				t.Fatalf("%s: %v, want %s by %v", a, origins, best, routes[best])
			}
			for _, o := range origins {
				if o.Prefix != best || !slices.Contains(routes[best], o.ASN) || o.State != naive(all, best, o.ASN) {
					t.Fatalf("%s: %+v, want %s by %v: %s", a, o, best, routes[best], naive(all, best, o.ASN))
				}
				byLength := slices.ContainsFunc(all, func(v VRP) bool { return v.ASN == o.ASN && o.ASN != 0 && naive([]VRP{v}, best, 0) == Invalid })
				if o.Length != (o.State == Invalid && byLength) {
					t.Fatalf("%s: %+v: the length is said to be wrong", a, o)
				}
			}
		}
	}
	t.Log(count)
}

const rpkiClientJSON = `{"metadata": {"buildmachine": "x", "buildtime": "2026-11-22T00:00:00Z", "vrps": 3, "nested": [[{"a": [1, 2]}]]},
 "roas": [
  {"asn": 64496, "prefix": "192.0.2.0/24", "maxLength": 24, "ta": "apnic", "expires": 1790000000},
  {"asn": 64496, "prefix": "2001:db8::/32", "maxLength": 48, "ta": "apnic", "expires": 1790000000},
  {"asn": 0, "prefix": "203.0.113.0/24", "maxLength": 32, "ta": "ripe", "expires": 1790000000}
 ],
 "bgpsec_keys": [{"asn": 1, "ski": "00"}], "aspas": []}`

const routinatorJSON = `{"metadata":{"generated":1795305600,"generatedTime":"2026-11-22T00:00:00Z"},"roas":[
 {"asn":"AS64496","prefix":"192.0.2.0/24","maxLength":24,"ta":"apnic"},
 {"asn":"AS64496","prefix":"2001:db8::/32","maxLength":48,"ta":"apnic"},
 {"asn":"AS0","prefix":"203.0.113.0/24","maxLength":32,"ta":"ripe"}
]}`

const routinatorExt = `{"metadata":{"generated":1795305600},"roas":[
 {"asn":"AS64496","prefix":"192.0.2.0/24","maxLength":24,"source":[{"type":"roa","uri":"rsync://x.example/a.roa","tal":"apnic","validity":{"notBefore":"2026-01-01T00:00:00Z"}}]},
 {"asn":"AS64496","prefix":"192.0.2.0/24","maxLength":24,"source":[{"type":"exception","path":null}]},
 {"asn":"AS64496","prefix":"2001:db8::/32","maxLength":48,"source":[]},
 {"asn":"AS0","prefix":"203.0.113.0/24","maxLength":32,"source":[]}
],"routerKeys":[],"aspas":[]}`

func TestReadVRPs(t *testing.T) {
	zip := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write([]byte(s))
		w.Close()
		return b.String()
	}
	const want = "[192.0.2.0/24-24 AS64496 203.0.113.0/24-32 AS0 2001:db8::/32-48 AS64496]"
	for name, c := range map[string]struct {
		text     string
		repeated int64
	}{
		"rpki-client":        {rpkiClientJSON, 0},
		"routinator":         {routinatorJSON, 0},
		"jsonext":            {routinatorExt, 1},
		"gzip":               {zip(rpkiClientJSON), 0},
		"bom":                {"\xef\xbb\xbf\r\n" + rpkiClientJSON, 0},
		"csv":                {"ASN,IP Prefix,Max Length,Trust Anchor\nAS64496,192.0.2.0/24,24,apnic\nAS64496,2001:db8::/32,48,apnic\nAS0,203.0.113.0/24,32,ripe\n", 0},
		"csv of rpki-client": {"ASN,IP Prefix,Max Length,Trust Anchor,Expires\r\nAS64496,192.0.2.0/24,24,apnic,1\r\nAS64496,192.0.2.0/24,24,ripe,1\r\nAS64496,2001:db8::/32,48,apnic,1\r\nAS0,203.0.113.0/24,32,ripe,1", 1},
		"csvcompat":          {"\"ASN\",\"IP Prefix\",\"Max Length\",\"Trust Anchor\"\n\"64496\",\"192.0.2.0/24\",\"24\",\"a\"\n\"64496\",\"2001:db8::/32\",\"48\",\"a\"\n\"0\",\"203.0.113.0/24\",\"32\",\"a\"\n", 0},
		"csvext":             {"URI,ASN,IP Prefix,Max Length,Not Before,Not After\nrsync://x/y.roa,AS64496,192.0.2.0/24,,2026,2027\nrsync://x/y.roa,AS64496,2001:db8::/32,48,,\n,AS0,203.0.113.0/24,32,,\n", 0},
		"no header":          {"# a remark\nAS64496,192.0.2.0/24,24\n64496 , 2001:db8::/32 , 48\nas0,203.0.113.0/24,32\n", 0},
		"IPv4-mapped":        {"AS64496,::ffff:192.0.2.0/120\nAS64496,2001:db8::/32,48\nAS0,203.0.113.0/24,32\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, got, err := ReadVRPs(strings.NewReader(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if all := fmt.Sprint(slices.Collect(s.All())); all != want {
				t.Errorf("%s, want %s", all, want)
			}
			if strings.Contains(c.text, "metadata") && got.Time.Unix() != 1795305600 {
				t.Errorf("made at %v", got.Time)
			}
			if got.Repeated != c.repeated || got.Skipped != 0 || got.Entries != 3+c.repeated {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestReadVRPsErrors(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	for text, want := range map[string]string{
		"":                               "empty",
		" \n":                            "empty",
		"<html>":                         "line 1",
		"Prefix,Length\n192.0.2.0/24,24": "header",
		"{}":                             `no list "roas"`,
		`{"roas": []}`:                   "no validated ROA payloads",
		`{"roas": 3}`:                    "no list",
		`[{"asn": 1}]`:                   "line 1",
		rpkiClientJSON[:330]:             "ends early",
		`{"roas": [{"asn": 1,,`:          "offset 10",
		`{"roas": [{"asn": 1, "prefix": "10.0.0.0/8", "x": "` + long + `"}]}`: "value of more than",
		`{"metadata": "` + long + `"}`:                                        "value of more than",
		`{"aspas": ` + strings.Repeat("[", 200):                               "nested",
		`{"roas": [{"asn": "AS4294967296", "prefix": "10.0.0.0/8"}]}`:         "AS number",
		`{"roas": [{"asn": 1, "prefix": "10.0.0.1/8"}]}`:                      "bits behind",
		`{"roas": [{"asn": 1, "prefix": "10.0.0.0/33"}]}`:                     "ADDRESS/LENGTH",
		`{"roas": [{"asn": 1, "prefix": "10.0.0.0/8", "maxLength": 7}]}`:      "maxLength 7: want 8 to 32",
		`{"roas": [{"asn": 1, "prefix": "10.0.0.0/8", "maxLength": -1}]}`:     "maxLength",
		`{"roas": [{"asn": 1, "prefix": "10.0.0.0/8", "maxLength": 33}]}`:     "maxLength 33: want 8 to 32",
		`{"roas": [{"asn": 1, "prefix": 7}]}`:                                 "wrong type",
		`{"roas": [{"asn": 1}]}`:                                              "without asn or prefix",
		"AS1,::ffff:0:0/90,128":                                               "no IPv4 address",
		"AS1,10.0.0.0/8,x":                                                    "line 1: maxLength",
		"AS1,10.0.0.0/8,8\n" + long:                                           "line 2: more than",
		"AS1":                                                                 "line 1",
		"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03":                            "early",
		"\xfd7zXZ\x00": "xz",
	} {
		_, _, err := ReadVRPs(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) && !(want == "early" && strings.Contains(err.Error(), "EOF")) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	// One odd entry among many is skipped and told.
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "AS%d,10.%d.0.0/16,16\n", i, i)
	}
	b.WriteString("AS1,10.0.0.0/8,99\n")
	s, got, err := ReadVRPs(strings.NewReader(b.String()))
	if err != nil || s.Len() != 200 || got.Skipped != 1 || len(got.Problems) != 1 || !strings.HasPrefix(got.Problems[0].Error(), "line 201: ") {
		t.Errorf("%d payloads, %+v, %v", s.Len(), got, err)
	}
	if _, _, err := ReadVRPs(strings.NewReader(`{"roas": []}`)); !errors.Is(err, ErrNoVRPs) {
		t.Errorf("no payloads: %v", err)
	}
}

func TestPrefixAS(t *testing.T) {
	const text = "# pfx2as\n192.0.2.0\t24\t64496\n198.51.100.0\t24\t64496_64497\n203.0.113.0\t24\t64496_64498,64499\n0.0.0.0\t0\t64500\n" +
		"2001:db8::/32 AS64496\n10.0.0.0/8 64496\n10.1.0.0/16 64497\n10.0.0.0/8 64498\n"
	r, got, err := ReadRoutes(strings.NewReader(text), 0)
	if err != nil || r.Len() != 6 || got.Repeated != 1 {
		t.Fatalf("%d routes, %+v, %v", r.Len(), got, err)
	}
	for a, want := range map[string]string{
		"192.0.2.1": "192.0.2.0/24 [{AS64496 0}]", "::ffff:192.0.2.1": "192.0.2.0/24 [{AS64496 0}]",
		"198.51.100.9":     "198.51.100.0/24 [{AS64496 0} {AS64497 0}]",
		"203.0.113.9":      "203.0.113.0/24 [{AS0 0} {AS64496 0}]",
		"2001:db8::1%eth0": "2001:db8::/32 [{AS64496 0}]",
		"10.2.0.1":         "10.0.0.0/8 [{AS64496 0} {AS64498 0}]", "10.1.0.1": "10.1.0.0/16 [{AS64497 0}]",
		"9.9.9.9": "invalid Prefix []",
	} {
		p, o := r.Lookup(netip.MustParseAddr(a))
		if got := fmt.Sprint(p, " ", o); got != want {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
	for text, want := range map[string]string{
		"":                           "empty",
		"hello":                      "line 1: want",
		"10.0.0.0/8 x":               "line 1: AS number",
		"10.0.0.0/8 1\n10.0.0.1/8 2": "line 2: prefix",
		"0.0.0.0/0 1":                "no routes",
	} {
		if _, _, err := ReadRoutes(strings.NewReader(text), 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
