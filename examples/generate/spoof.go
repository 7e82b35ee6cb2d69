package main

import (
	"fmt"
	"net/netip"
	"strings"

	"sekimori/report/aggregate"
)

// access are networks of homes and phones whose computers send what criminals
// want; the name of a line there is made from its address.
var access = []string{"dyn.kabel-netz.example", "pppoe.kaisen-hikari.example", "dsl.provedor-sul.example", "mobile.telefon-ost.example", "cust.metro-fiber.example"}

// bots returns n addresses that nobody else has, scattered over the
// benchmarking and shared ranges; three in four have a name.
func (m *ministry) bots(n int) []netip.Addr {
	out := make([]netip.Addr, 0, n)
	for len(out) < n {
		var a netip.Addr
		if m.rand.IntN(3) == 0 {
			a = netip.AddrFrom4([4]byte{198, 18 + byte(m.rand.IntN(2)), byte(m.rand.IntN(250)), byte(1 + m.rand.IntN(254))})
		} else {
			a = netip.AddrFrom4([4]byte{100, 64 + byte(m.rand.IntN(64)), byte(m.rand.IntN(256)), byte(1 + m.rand.IntN(254))})
		}
		if m.seen[a] {
			continue
		}
		name := ""
		if m.rand.IntN(4) > 0 {
			net := access[m.rand.IntN(len(access))]
			name = strings.ReplaceAll(a.String(), ".", "-") + "." + net
		}
		m.name(a, name)
		out = append(out, a)
	}
	return out
}

// spoofers use the ministry's name and have nothing to do with it.
func (m *ministry) spoofers() {
	none := []outcome{{weight: 0.8, spf: "softfail"}, {weight: 0.2, spf: "none"}}
	strict := []outcome{{weight: 1, spf: "fail"}}
	background := m.bots(420)
	m.flows = append(m.flows,
		flow{policy: mainDomain, headerFrom: mainDomain, envelope: mainDomain, addrs: background, volume: func(int) float64 { return 110 }, outcomes: none},
		// Three waves: a tax refund, a benefit during the typhoon, a census.
		flow{policy: mainDomain, headerFrom: mainDomain, envelope: mainDomain, addrs: m.bots(640), volume: on(map[int]float64{4: 1900, 5: 2600, 6: 700}), outcomes: none},
		flow{policy: mainDomain, headerFrom: "kyufukin.kakuu.example", envelope: "kyufukin.kakuu.example", addrs: m.bots(900), volume: on(map[int]float64{12: 1400, 13: 4100, 14: 2900, 15: 500}), outcomes: []outcome{{weight: 1, spf: "none"}}},
		flow{policy: mainDomain, headerFrom: "tokei.kakuu.example", envelope: "tokei.kakuu.example", addrs: m.bots(520), volume: on(map[int]float64{26: 1300, 27: 2400, 28: 900}), outcomes: none},
		// The parked domain lives from spoofing alone.
		flow{policy: parkedDomain, headerFrom: parkedDomain, envelope: parkedDomain, addrs: m.bots(360), volume: func(day int) float64 {
			if day >= 17 && day <= 20 {
				return 1250
			}
			return 70
		}, outcomes: strict},
		flow{policy: instituteDom, headerFrom: instituteDom, envelope: instituteDom, addrs: m.bots(150), volume: func(day int) float64 {
			if day >= 2 && day <= 4 {
				return 460
			}
			return 24
		}, outcomes: strict},
	)
	// Rented servers with SPF and DKIM of their own: they pass, for a name that looks nearly right.
	for i, v := range []struct {
		first, domain, policy, from string
		days                        map[int]float64
	}{
		{"198.19.252.20", "kakuu-go.example", mainDomain, mainDomain, map[int]float64{8: 1300, 9: 2100}},
		{"198.19.253.77", "kanpu-tetsuzuki.example", mainDomain, "zaisei.kakuu.example", map[int]float64{19: 900, 20: 1600, 21: 400}},
		{"198.19.254.5", "kyufu-madoguchi.example", parkedDomain, parkedDomain, map[int]float64{14: 1800}},
	} {
		addrs := m.hosts(v.first, 3, fmt.Sprintf("vps-%d%%d.kari-server.example", 40+i))
		m.flows = append(m.flows, flow{policy: v.policy, headerFrom: v.from, envelope: v.domain, addrs: addrs, volume: on(v.days),
			outcomes: []outcome{{weight: 1, dkim: []aggregate.DKIMResult{signed(v.domain, "default", "pass")}, spf: "pass"}}})
		m.record(v.domain, "v=spf1 ip4:"+v.first+"/29 -all")
		m.key("default._domainkey." + v.domain)
	}
}
