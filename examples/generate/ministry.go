package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"sekimori/report/aggregate"
)

// The month: September 2026, days 0 to 29.
var monthStart = time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)

const monthDays = 30

// The ministry's domains.
const (
	mainDomain     = "kakuu.example"        // Ministry of the Imaginary, at p=none
	instituteDom   = "kakuu-kenkyu.example" // its research institute, at p=quarantine since the 8th
	parkedDomain   = "kakuu-kyufu.example"  // bought for a campaign, never sent mail
	quarantineFrom = 7                      // day on which the institute moved from none to quarantine
)

// policyOn returns the DMARC record of a policy domain on a day.
func policyOn(domain string, day int) aggregate.PolicyPublished {
	p := aggregate.PolicyPublished{Domain: domain, ADKIM: "r", ASPF: "r", P: "none", SP: "none", FO: "1"}
	if domain == instituteDom {
		p.FO = "0"
		if day >= quarantineFrom {
			p.P, p.SP = "quarantine", "quarantine"
		}
	}
	return p
}

// outcome is what a receiver finds when it checks a message of a flow.
type outcome struct {
	weight   float64
	dkim     []aggregate.DKIMResult
	spf      string // result; the domain is the flow's envelope
	override string // reason type that receivers give, where they recognise the case
}

// flow is mail of one kind: one sender, one From domain.
type flow struct {
	policy     string // policy domain
	headerFrom string
	envelope   string // SPF domain
	addrs      []netip.Addr
	volume     func(day int) float64
	outcomes   []outcome
}

// ministry is the world that the reports tell about.
type ministry struct {
	rand  *rand.Rand
	flows []flow
	ptr   []ptrRecord
	txt   []txtRecord
	seen  map[netip.Addr]bool
	// tally holds the rows of each report.
	tally map[reportKey]map[rowKey]uint64
}

type ptrRecord struct {
	addr netip.Addr
	name string
}

type txtRecord struct{ name, text string }

func newMinistry() *ministry {
	m := &ministry{
		rand: rand.New(rand.NewPCG(20260901, 8025)), seen: map[netip.Addr]bool{},
		tally: map[reportKey]map[rowKey]uint64{},
	}
	m.own()
	m.vendors()
	m.forwarders()
	m.spoofers()
	m.send()
	return m
}

// weekday reports whether the ministry works on the day: Monday to Friday, but
// not the holidays of September 2026 (21st to 23rd).
func weekday(day int) bool {
	switch monthStart.AddDate(0, 0, day).Weekday() {
	case time.Saturday, time.Sunday:
		return false
	}
	return day < 20 || day > 22
}

// office is the volume of people's mail: work on working days, w on others.
func office(work, rest float64) func(int) float64 {
	return func(day int) float64 {
		if weekday(day) {
			return work
		}
		return rest
	}
}

// on is volume on certain days of the month (1 to 30).
func on(days map[int]float64) func(int) float64 {
	return func(day int) float64 { return days[day+1] }
}

// hosts returns n addresses from first on and names them in the zone;
// pattern holds one %d for the number from 1, or none.
func (m *ministry) hosts(first string, n int, pattern string) []netip.Addr {
	a := netip.MustParseAddr(first)
	out := make([]netip.Addr, 0, n)
	for i := range n {
		name := pattern
		if strings.Contains(pattern, "%d") {
			name = fmt.Sprintf(pattern, i+1)
		}
		m.name(a, name)
		out = append(out, a)
		a = a.Next()
	}
	return out
}

func (m *ministry) name(a netip.Addr, name string) {
	m.seen[a] = true
	if name != "" {
		m.ptr = append(m.ptr, ptrRecord{a, name})
	}
}

func (m *ministry) record(name, text string) { m.txt = append(m.txt, txtRecord{name, text}) }

func signed(domain, selector, result string) aggregate.DKIMResult {
	return aggregate.DKIMResult{Domain: domain, Selector: selector, Result: result}
}

// clean is the outcome list of well-kept mail: nearly all passes, a little is
// hurt on the way.
func clean(d ...aggregate.DKIMResult) []outcome {
	broken := make([]aggregate.DKIMResult, len(d))
	for i := range d {
		broken[i] = d[i]
		broken[i].Result = "fail"
	}
	return []outcome{
		{weight: 0.9965, dkim: d, spf: "pass"},
		{weight: 0.002, dkim: broken, spf: "pass"},
		{weight: 0.0013, dkim: d, spf: "temperror"},
		{weight: 0.0002, dkim: broken, spf: "softfail"},
	}
}

// own is what the ministry sends itself.
func (m *ministry) own() {
	mx := append(m.hosts("192.0.2.11", 3, "mx%d.kakuu.example"), m.hosts("2001:db8:25::11", 2, "mx%d.kakuu.example")...)
	gw := m.hosts("192.0.2.31", 2, "gw%d.kakuu.example")
	old := m.hosts("203.0.113.25", 1, "mail.bosai.kakuu.example")
	inst := m.hosts("192.0.2.61", 2, "smtp%d.kakuu-kenkyu.example")
	key := signed(mainDomain, "k2026a", "pass")

	for _, d := range []struct {
		from       string
		work, rest float64
	}{
		{"kakuu.example", 3600, 260}, {"soumu.kakuu.example", 900, 40}, {"tokei.kakuu.example", 620, 25},
		{"zaisei.kakuu.example", 480, 12}, {"saiyo.kakuu.example", 240, 30}, {"kikaku.kakuu.example", 310, 8},
	} {
		m.flows = append(m.flows, flow{policy: mainDomain, headerFrom: d.from, envelope: d.from, addrs: mx,
			volume: office(d.work, d.rest), outcomes: clean(key)})
	}
	// The gateway of the document system: in SPF, but it does not sign.
	m.flows = append(m.flows, flow{policy: mainDomain, headerFrom: "bunsho.kakuu.example", envelope: "bunsho.kakuu.example",
		addrs: gw, volume: office(780, 60), outcomes: []outcome{{weight: 0.999, spf: "pass"}, {weight: 0.001, spf: "temperror"}}})
	// A machine under a desk in the disaster prevention department: not in
	// SPF, no signature. Busy when the typhoon comes (9th to 11th).
	m.flows = append(m.flows, flow{policy: mainDomain, headerFrom: "bosai.kakuu.example", envelope: "bosai.kakuu.example", addrs: old,
		volume: func(day int) float64 {
			switch {
			case day >= 8 && day <= 10:
				return 260
			case weekday(day):
				return 64
			}
			return 22
		},
		outcomes: []outcome{{weight: 1, spf: "softfail"}}})
	// The institute.
	m.flows = append(m.flows, flow{policy: instituteDom, headerFrom: instituteDom, envelope: instituteDom, addrs: inst,
		volume: office(520, 45), outcomes: clean(signed(instituteDom, "inst1", "pass"))})

	m.record(mainDomain, "v=spf1 ip4:192.0.2.0/27 ip4:192.0.2.32/28 ip6:2001:db8:25::/64 include:spf.haishin-benri.example ~all")
	for _, s := range []string{"soumu", "tokei", "zaisei", "saiyo", "kikaku", "bunsho", "bosai", "news", "jinji"} {
		m.record(s+"."+mainDomain, "v=spf1 redirect=kakuu.example")
	}
	m.record("_dmarc."+mainDomain, "v=DMARC1; p=none; fo=1; rua=mailto:dmarc-reports@kakuu.example")
	m.record("_dmarc."+instituteDom, "v=DMARC1; p=quarantine; rua=mailto:dmarc-reports@kakuu.example")
	m.record("_dmarc."+parkedDomain, "v=DMARC1; p=none; fo=1; rua=mailto:dmarc-reports@kakuu.example")
	m.record(parkedDomain+"._report._dmarc."+mainDomain, "v=DMARC1")
	m.record(instituteDom+"._report._dmarc."+mainDomain, "v=DMARC1")
	m.record(instituteDom, "v=spf1 ip4:192.0.2.60/30 include:spf.toukou-system.example -all")
	m.record(parkedDomain, "v=spf1 -all")
	m.key("k2026a._domainkey." + mainDomain)
	m.key("inst1._domainkey." + instituteDom)
}

// vendors is what companies send for the ministry.
func (m *ministry) vendors() {
	// A newsletter service, set up well: it signs with the ministry's domain.
	hb := m.hosts("198.51.100.10", 12, "out%d.haishin-benri.example")
	both := []aggregate.DKIMResult{signed("news.kakuu.example", "hb1", "pass"), signed("haishin-benri.example", "s3", "pass")}
	alert := []aggregate.DKIMResult{signed("bosai.kakuu.example", "hb1", "pass"), signed("haishin-benri.example", "s3", "pass")}
	m.flows = append(m.flows,
		flow{policy: mainDomain, headerFrom: "news.kakuu.example", envelope: "bounce.haishin-benri.example", addrs: hb,
			volume: on(map[int]float64{2: 9100, 4: 2600, 9: 9150, 11: 2650, 16: 9230, 18: 2580, 25: 2700, 24: 9200, 30: 9260}), outcomes: clean(both...)},
		flow{policy: mainDomain, headerFrom: "bosai.kakuu.example", envelope: "bounce.haishin-benri.example", addrs: hb[:6],
			volume: on(map[int]float64{8: 1500, 9: 7800, 10: 12400, 11: 5200, 12: 700, 20: 900}), outcomes: clean(alert...)})
	m.record("spf.haishin-benri.example", "v=spf1 ip4:198.51.100.0/27 -all")
	m.record("bounce.haishin-benri.example", "v=spf1 include:spf.haishin-benri.example -all")
	m.key("hb1._domainkey.news." + mainDomain)
	m.key("hb1._domainkey.bosai." + mainDomain)
	m.key("s3._domainkey.haishin-benri.example")

	// A survey service that the statistics department booked by itself: it
	// passes for itself, never for the ministry.
	an := m.hosts("198.51.100.65", 4, "mta%d.anketo-cloud.example")
	m.flows = append(m.flows, flow{policy: mainDomain, headerFrom: "tokei.kakuu.example", envelope: "mail.anketo-cloud.example", addrs: an,
		volume:   office(230, 12),
		outcomes: []outcome{{weight: 0.99, dkim: []aggregate.DKIMResult{signed("anketo-cloud.example", "ac2025", "pass")}, spf: "pass"}, {weight: 0.01, dkim: []aggregate.DKIMResult{signed("anketo-cloud.example", "ac2025", "fail")}, spf: "pass"}}})
	m.record("mail.anketo-cloud.example", "v=spf1 ip4:198.51.100.64/29 ~all")
	m.key("ac2025._domainkey.anketo-cloud.example")

	// Payslip notices, once a month, with a reminder and the late ones.
	ky := m.hosts("203.0.113.140", 2, "notice%d.kyuyo-meisai.example")
	m.flows = append(m.flows, flow{policy: mainDomain, headerFrom: "jinji.kakuu.example", envelope: "kyuyo-meisai.example", addrs: ky,
		volume: on(map[int]float64{1: 120, 16: 1870, 17: 64, 30: 110}), outcomes: []outcome{{weight: 1, spf: "pass"}}})
	m.record("kyuyo-meisai.example", "v=spf1 ip4:203.0.113.140/31 -all")

	// The institute's journal system, in its SPF and with its key.
	tk := m.hosts("203.0.113.70", 2, "mail%d.toukou-system.example")
	m.flows = append(m.flows, flow{policy: instituteDom, headerFrom: "ronbun.kakuu-kenkyu.example", envelope: "ronbun.kakuu-kenkyu.example", addrs: tk,
		volume: office(140, 35), outcomes: clean(signed("kakuu-kenkyu.example", "tk", "pass"))})
	m.record("spf.toukou-system.example", "v=spf1 ip4:203.0.113.70/31 -all")
	m.record("ronbun.kakuu-kenkyu.example", "v=spf1 redirect=kakuu-kenkyu.example")
	m.key("tk._domainkey.kakuu-kenkyu.example")
}

// forwarders pass the ministry's mail on to other people's mailboxes.
func (m *ministry) forwarders() {
	key := func(r string) []aggregate.DKIMResult { return []aggregate.DKIMResult{signed(mainDomain, "k2026a", r)} }
	for _, f := range []struct {
		first, ptr, srs string
		n               int
		work, rest      float64
		hurt            float64 // share whose signature does not survive
	}{
		{"198.51.100.130", "fwd%d.u-kasumi.example", "", 3, 95, 16, 0.02},
		{"198.51.100.150", "alumni%d.mori-daigaku.example", "srs.mori-daigaku.example", 2, 60, 14, 0.03},
		{"203.0.113.180", "tenso%d.minato-isp.example", "", 4, 120, 40, 0.015},
		{"203.0.113.200", "relay.tsukimi-denki.example", "", 1, 38, 2, 0.35},
		{"203.0.113.210", "mx.ichou-shi.example", "srs.ichou-shi.example", 1, 44, 3, 0.08},
	} {
		addrs := m.hosts(f.first, f.n, f.ptr)
		envelope, spf := mainDomain, "softfail"
		if f.srs != "" {
			envelope, spf = f.srs, "pass"
			m.record(f.srs, "v=spf1 ip4:"+f.first+"/30 -all")
		}
		m.flows = append(m.flows, flow{policy: mainDomain, headerFrom: mainDomain, envelope: envelope, addrs: addrs, volume: office(f.work, f.rest),
			outcomes: []outcome{{weight: 1 - f.hurt, dkim: key("pass"), spf: spf}, {weight: f.hurt, dkim: key("fail"), spf: spf, override: "forwarded"}}})
		// Newsletters are passed on too; the gateway's unsigned mail does not survive it.
		m.flows = append(m.flows, flow{policy: mainDomain, headerFrom: "bunsho.kakuu.example", envelope: cond(f.srs == "", "bunsho.kakuu.example", f.srs), addrs: addrs,
			volume: office(f.work/30, 0), outcomes: []outcome{{weight: 1, spf: spf, override: "forwarded"}}})
	}
	// A mailing list of statisticians: it adds a footer and its own signature.
	ml := m.hosts("198.51.100.200", 1, "lists.kenkyukai.example")
	for _, l := range []struct{ from, selector string }{{mainDomain, "k2026a"}, {instituteDom, "inst1"}} {
		m.flows = append(m.flows, flow{policy: l.from, headerFrom: l.from, envelope: "lists.kenkyukai.example", addrs: ml, volume: office(30, 4),
			outcomes: []outcome{{weight: 1, dkim: []aggregate.DKIMResult{signed(l.from, l.selector, "fail"), signed("kenkyukai.example", "ml", "pass")}, spf: "pass", override: "mailing_list"}}})
	}
	m.record("lists.kenkyukai.example", "v=spf1 a ip4:198.51.100.200 -all")
	m.key("ml._domainkey.kenkyukai.example")
	// The institute's mail, passed on by its university.
	m.flows = append(m.flows, flow{policy: instituteDom, headerFrom: instituteDom, envelope: instituteDom, addrs: m.hosts("198.51.100.140", 1, "fwd4.u-kasumi.example"),
		volume:   office(26, 6),
		outcomes: []outcome{{weight: 0.97, dkim: []aggregate.DKIMResult{signed(instituteDom, "inst1", "pass")}, spf: "softfail"}, {weight: 0.03, dkim: []aggregate.DKIMResult{signed(instituteDom, "inst1", "fail")}, spf: "softfail", override: "forwarded"}}})
}

func cond(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}
