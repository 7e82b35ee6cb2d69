package posture

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/rpki"
)

// routeTable makes a table of lines "PREFIX ASN" and of payloads.
func routeTable(t testing.TB, routes string, payloads ...rpki.VRP) rpki.Table {
	t.Helper()
	r, _, err := rpki.ReadRoutes(strings.NewReader(routes), 0)
	if err != nil {
		t.Fatal(err)
	}
	v, err := rpki.NewVRPs(slices.Values(payloads))
	if err != nil {
		t.Fatal(err)
	}
	return rpki.Table{VRPs: v, Routes: r}
}

func vrp(prefix string, most uint8, asn rpki.ASN) rpki.VRP {
	return rpki.VRP{Prefix: netip.MustParsePrefix(prefix), MaxLength: most, ASN: asn}
}

const rpkiZone = `x.example. IN MX 1 m.x.example.
m.x.example. IN A 192.0.2.1
m.x.example. IN AAAA 2001:db8::25
x.example. IN NS ns1.x.example.
x.example. IN NS ns.other.example.
ns1.x.example. IN A 198.51.100.1
ns.other.example. IN A 203.0.113.1
`

func TestRPKI(t *testing.T) {
	routes := "192.0.2.0/24 64496\n2001:db8::/32 64496\n198.51.100.0/24 64496\n203.0.113.0/24 64497\n"
	all := []rpki.VRP{vrp("192.0.2.0/24", 24, 64496), vrp("2001:db8::/32", 32, 64496), vrp("198.51.100.0/24", 24, 64496), vrp("203.0.113.0/24", 24, 64497)}
	for _, c := range []struct {
		name, zone, routes string
		payloads           []rpki.VRP
		present, valid     State
		codes              string
	}{
		{"all valid", rpkiZone, routes, all, Yes, Yes, ""},
		{"one without", rpkiZone, routes, all[:3], Yes, No, "warning posture.rpki-not-found"},
		{"none", rpkiZone, routes, []rpki.VRP{vrp("10.0.0.0/8", 8, 1)}, No, No, "advice posture.rpki-not-found"},
		{"another's", rpkiZone, routes, append(slices.Clone(all[:3]), vrp("203.0.113.0/24", 24, 64499)), Yes, No, "error posture.rpki-invalid"},
		{"too long", rpkiZone, routes, append(slices.Clone(all[:3]), vrp("203.0.112.0/23", 23, 64497)), Yes, No, "error posture.rpki-invalid-length"},
		{"a set", rpkiZone, strings.Replace(routes, "64497", "64497,64498", 1), all, Yes, No, "error posture.rpki-invalid-set"},
		{"two origins", rpkiZone, strings.Replace(routes, "64497", "64497_64498", 1), all, Yes, No, "warning posture.rpki-invalid"},
		{"not announced", rpkiZone, strings.Replace(routes, "203.0.113.0/24 64497\n", "", 1), all, Yes, Unknown, ""},
		{"not announced, another without", rpkiZone, strings.Replace(routes, "203.0.113.0/24 64497\n", "", 1), all[:2], Yes, No, "warning posture.rpki-not-found"},
		{"nothing announced", rpkiZone, "10.0.0.0/8 1\n", all, Unknown, Unknown, ""},
		{"no name servers seen", strings.ReplaceAll(rpkiZone, "IN NS", "IN TYPE65280 \\# 0 ;"), routes, all, Yes, Unknown, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := inspectZone(t, c.zone, Options{Frugal: true, Routes: routeTable(t, c.routes, c.payloads...)})
			var codes []string
			for _, f := range p.Findings {
				if f.Topic == TopicRPKI {
					codes = append(codes, string(f.Grade)+" "+f.Code)
				}
			}
			if p.RPKI.Present != c.present || p.RPKI.Valid != c.valid || p.Fact(FactRPKI) != c.valid || strings.Join(codes, " ") != c.codes {
				t.Errorf("present %s, valid %s, %v; want %s, %s, %s", p.RPKI.Present, p.RPKI.Valid, codes, c.present, c.valid, c.codes)
			}
			if p.RPKI.Level == LevelError && !strings.Contains(c.codes, "error") {
				t.Errorf("level %s without a reason", p.RPKI.Level)
			}
		})
	}
	p := inspectZone(t, rpkiZone, Options{Frugal: true, Routes: routeTable(t, routes, all...)})
	got, _ := json.Marshal(p.RPKI.Networks[0])
	const want = `{"prefix":"192.0.2.0/24","state":"valid","best":"valid","origins":[{"asn":64496,"state":"valid"}],"mx":["m.x.example"],"ns":[],"addresses":["192.0.2.1"]}`
	if string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
	if p := inspectZone(t, rpkiZone, Options{Frugal: true}); p.RPKI != nil || p.Fact(FactRPKI) != Unknown || p.Topic(TopicRPKI) != (Topic{}) || len(p.Looked()) != len(Topics) {
		t.Errorf("looked at without being asked to: %+v", p.RPKI)
	}
	if p := inspectZone(t, "y.example. IN A 192.0.2.1", Options{Frugal: true, Routes: routeTable(t, routes, all...)}); p.Fact(FactRPKI) != No || p.RPKI.Networks == nil {
		t.Errorf("no such domain: %+v", p.RPKI)
	}
}

// TestRPKIFailures lets each question fail in turn: what is valid may become
// unknown, never the opposite.
func TestRPKIFailures(t *testing.T) {
	table := routeTable(t, "192.0.2.0/24 64496\n2001:db8::/32 64496\n198.51.100.0/24 64496\n203.0.113.0/24 64497\n",
		vrp("192.0.2.0/24", 24, 64496), vrp("2001:db8::/32", 32, 64496), vrp("198.51.100.0/24", 24, 64496), vrp("203.0.113.0/24", 24, 64497))
	zone := open(t, rpkiZone)
	whole := &counted{lookup: zone.Lookup}
	Inspect(t.Context(), whole, name(t, "x.example"), Options{Routes: table})
	unknown := 0
	for broken := range whole.asked {
		f := &counted{lookup: func(ctx context.Context, name string, typ dns.Type) (dns.Answer, error) {
			if strings.ToLower(name)+" "+string(typ) == broken {
				return dns.Answer{}, fmt.Errorf("%w: cut off", dns.ErrTemporary)
			}
			return zone.Lookup(ctx, name, typ)
		}}
		p := Inspect(t.Context(), f, name(t, "x.example"), Options{Routes: table})
		f.check(t, &p)
		switch p.RPKI.Valid {
		case No:
			t.Errorf("without %s it is not valid", broken)
		case Unknown:
			unknown++
		}
		for _, f := range p.Findings {
			if f.Topic == TopicRPKI {
				t.Errorf("without %s: %s", broken, f.Code)
			}
		}
	}
	// MX, NS, and both addresses of three hosts.
	if unknown != 8 {
		t.Errorf("%d failures hid something, want 8", unknown)
	}
}

// everywhere announces every address, by many.
type everywhere struct{}

func (everywhere) Origins(a netip.Addr) []rpki.Origin {
	p, _ := a.Prefix(32)
	out := make([]rpki.Origin, 50)
	for i := range out {
		out[i] = rpki.Origin{Prefix: p, ASN: rpki.ASN(i), State: rpki.Invalid}
	}
	return out
}

func TestRPKIHostile(t *testing.T) {
	c := &counted{lookup: func(ctx context.Context, name string, typ dns.Type) (dns.Answer, error) {
		if typ == dns.NS {
			var a dns.Answer
			for i := range 500 {
				a.Records = append(a.Records, fmt.Sprintf("ns%d.%s.", i, name))
			}
			return a, nil
		}
		return hostile(ctx, name, typ)
	}}
	p := Inspect(t.Context(), c, name(t, "huge.example"), Options{Routes: everywhere{}})
	c.check(t, &p)
	if len(p.RPKI.Networks) > maxNetworks || len(p.Findings) > maxFindings {
		t.Errorf("%d networks, %d findings", len(p.RPKI.Networks), len(p.Findings))
	}
	if b, err := json.Marshal(p); err != nil || len(b) > 1<<20 {
		t.Errorf("%d octets, %v", len(b), err)
	}
}
