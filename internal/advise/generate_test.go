package advise

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// maker makes a world of its own: an organisation, its vendors, forwarders and
// spoofers, as a dozen receivers report them. The shapes are meant to differ
// from those of the shared worlds: what was tuned to two examples fails here.
type maker struct {
	r       *rand.Rand
	domain  string
	days    int
	begin   store.Day
	scale   float64 // messages of the main servers on a business day
	zone    strings.Builder
	spf     []string // terms of our record
	rows    map[store.Day]map[string][]aggregate.Record
	sources map[string]truthSource
	used    map[netip.Addr]bool
}

var receivers = []struct {
	name  string
	share float64
}{{"google.com", .34}, {"Yahoo", .13}, {"Enterprise Outlook", .12}, {"Outlook.com", .09}, {"docomo.ne.jp", .08}, {"au.com", .06},
	{"Mimecast", .05}, {"nifty.com", .04}, {"FastMail", .03}, {"GMX", .03}, {"iij.ad.jp", .03}}

func newMaker(seed uint64) *maker {
	r := rand.New(rand.NewPCG(seed, 77))
	tlds := []string{"example", "co.jp", "go.jp", "lg.jp", "or.jp", "com"}
	m := &maker{r: r, domain: fmt.Sprintf("soshiki%d.%s", seed, tlds[r.IntN(len(tlds))]), days: 60 + r.IntN(60), begin: store.DayOf(time.Date(2026, 3, 1+r.IntN(60), 0, 0, 0, 0, time.UTC)),
		scale: math.Exp(math.Log(250) + r.Float64()*math.Log(40)), rows: map[store.Day]map[string][]aggregate.Record{}, sources: map[string]truthSource{}, used: map[netip.Addr]bool{}}
	m.zone.WriteString("$TTL 3600\n")
	return m
}

// addr returns an address nobody has: in the /24 of near, or anywhere.
func (m *maker) addr(near netip.Addr) netip.Addr {
	for {
		b := [4]byte{byte(11 + m.r.IntN(200)), byte(m.r.IntN(256)), byte(m.r.IntN(256)), byte(1 + m.r.IntN(254))}
		if b[0] == 127 {
			continue
		}
		if near.IsValid() {
			n := near.As4()
			b = [4]byte{n[0], n[1], n[2], byte(1 + m.r.IntN(254))}
		}
		a := netip.AddrFrom4(b)
		if !m.used[a] {
			m.used[a] = true
			return a
		}
	}
}

func (m *maker) ptr(a netip.Addr, host string) {
	if host != "" {
		fmt.Fprintf(&m.zone, "%s IN PTR %s.\n", dns.Reverse(a), host)
	}
}

func (m *maker) pool(n int, host func(i int, a netip.Addr) string) []netip.Addr {
	var out []netip.Addr
	var first netip.Addr
	for i := range n {
		a := m.addr(first)
		if i == 0 {
			first = a
		}
		m.ptr(a, host(i, a))
		out = append(out, a)
	}
	return out
}

func dashed(a netip.Addr) string { return strings.ReplaceAll(a.String(), ".", "-") }

// mail is one kind of message.
type mail struct {
	from         string // author domain
	dkim         string // d= that passes
	dkimFails    string // d= that does not
	second       string // a second d= that passes
	spf          string // envelope domain that passes
	envelope     string // envelope domain that does not
	alignD, algS bool
	override     string
}

// send adds n messages of a day, spread over receivers and addresses.
func (m *maker) send(name string, day int, addrs []netip.Addr, n float64, k mail, vary func() mail) {
	count := m.poisson(n)
	for range min(count, 400) {
		each := max(1, count/400)
		x := k
		if vary != nil {
			x = vary()
		}
		p, org := m.r.Float64(), receivers[0].name
		for _, rc := range receivers {
			if p -= rc.share; p < 0 {
				org = rc.name
				break
			}
		}
		rec := aggregate.Record{SourceIP: addrs[m.r.IntN(len(addrs))], Count: uint64(each), Disposition: "none", DKIM: x.alignD, SPF: x.algS, HeaderFrom: x.from}
		if x.dkim != "" {
			rec.DKIMResults = append(rec.DKIMResults, aggregate.DKIMResult{Domain: x.dkim, Result: "pass"})
		}
		if x.dkimFails != "" {
			rec.DKIMResults = append(rec.DKIMResults, aggregate.DKIMResult{Domain: x.dkimFails, Result: "fail"})
		}
		if x.second != "" {
			rec.DKIMResults = append(rec.DKIMResults, aggregate.DKIMResult{Domain: x.second, Result: "pass"})
		}
		if x.spf != "" {
			rec.SPFResults = []aggregate.SPFResult{{Domain: x.spf, Result: "pass"}}
		} else {
			rec.SPFResults = []aggregate.SPFResult{{Domain: x.envelope, Result: "fail"}}
		}
		if x.override != "" {
			rec.Reasons = []aggregate.Reason{{Type: x.override}}
		}
		d := m.begin + store.Day(day)
		if m.rows[d] == nil {
			m.rows[d] = map[string][]aggregate.Record{}
		}
		m.rows[d][org] = append(m.rows[d][org], rec)
		s := m.sources[name]
		if day >= m.days-30 {
			s.Messages += uint64(each)
			if !x.alignD && !x.algS {
				s.Failing += uint64(each)
			}
		}
		m.sources[name] = s
	}
}

func (m *maker) poisson(mean float64) int {
	if mean <= 0 {
		return 0
	}
	if mean > 50 {
		return max(0, int(mean+math.Sqrt(mean)*m.r.NormFloat64()+.5))
	}
	l, k, p := math.Exp(-mean), 0, 1.0
	for {
		p *= m.r.Float64()
		if p <= l {
			return k
		}
		k++
	}
}

// office is how much of a business day's mail is sent on a day.
func (m *maker) office(day int) float64 {
	if weekend(m.begin + store.Day(day)) {
		return 0.04
	}
	return 0.5 + m.r.Float64()
}

func (m *maker) note(name string, class Class, addrs []netip.Addr) {
	s := truthSource{Class: class}
	for _, a := range addrs {
		s.IPs = append(s.IPs, a.String())
	}
	m.sources[name] = s
}

var vendorNames = []string{"okuru", "mailjapan", "kippu-net", "jinji-cloud", "enquete", "postman-pro", "seikyu", "todoke", "kurabu", "yoyaku", "kanri-saas", "bulkpost"}

func (m *maker) vendor() string {
	n := len(vendorNames)
	return fmt.Sprintf("%s-%s%d.example", vendorNames[m.r.IntN(n)], vendorNames[m.r.IntN(n)], m.r.IntN(10))
}

// own adds our own servers, and returns what they send.
func (m *maker) own() []netip.Addr {
	addrs := m.pool(1+m.r.IntN(4), func(i int, _ netip.Addr) string { return fmt.Sprintf("mx%d.%s", i+1, m.domain) })
	m.note("own-mx", Aligned, addrs)
	n := addrs[0].As4()
	m.spf = append(m.spf, fmt.Sprintf("ip4:%d.%d.%d.0/24", n[0], n[1], n[2]))
	for d := range m.days {
		m.send("own-mx", d, addrs, m.scale*m.office(d), mail{}, func() mail {
			k := mail{from: m.domain, dkim: m.domain, spf: m.domain, alignD: true, algS: true}
			if m.r.Float64() < 0.004 {
				k.dkim, k.dkimFails, k.alignD = "", m.domain, false
			}
			return k
		})
	}
	return addrs
}

// vendorGood adds a vendor whose mail passes.
func (m *maker) vendorGood(i int) {
	name, v := fmt.Sprintf("vendor-good-%d", i), m.vendor()
	addrs := m.pool(1+m.r.IntN(8), func(i int, _ netip.Addr) string { return fmt.Sprintf("out%d.%s", i, v) })
	m.note(name, Aligned, addrs)
	from := m.domain
	if m.r.IntN(2) == 0 {
		from = fmt.Sprintf("v%d.%s", i, m.domain)
	}
	k := mail{from: from, dkim: m.domain, second: v, spf: "b." + v, alignD: true}
	if m.r.IntN(3) == 0 { // an envelope domain of ours at the vendor
		k = mail{from: from, second: v, spf: "bounce." + m.domain, algS: true}
		fmt.Fprintf(&m.zone, "bounce.%s. IN TXT \"v=spf1 include:spf.%s -all\"\n", m.domain, v)
	} else if m.r.IntN(3) > 0 {
		m.spf = append(m.spf, "include:spf."+v)
	}
	n := addrs[0].As4()
	fmt.Fprintf(&m.zone, "spf.%s. IN TXT \"v=spf1 ip4:%d.%d.%d.0/24 -all\"\n", v, n[0], n[1], n[2])
	weekly, volume, wd := m.r.IntN(2) == 0, m.scale*(0.05+m.r.Float64()), m.r.IntN(5)
	for d := range m.days {
		f := volume * m.office(d)
		if weekly {
			if f = 0; d%7 == wd {
				f = volume * 3
			}
		}
		m.send(name, d, addrs, f, k, func() mail {
			x := k
			if x.alignD && m.r.Float64() < 0.001 {
				x.dkim, x.dkimFails, x.alignD = "", m.domain, false
			}
			return x
		})
	}
}

// broken adds one of ours, or a vendor's, that fails.
func (m *maker) broken(i, shape int, own []netip.Addr) {
	name := fmt.Sprintf("broken-%d-%d", i, shape)
	sub := fmt.Sprintf("bu%d.%s", i, m.domain)
	v := m.vendor()
	volume := m.scale * (0.01 + 0.2*m.r.Float64())
	office := func(d int) float64 { return volume * m.office(d) }
	vendorMail := mail{from: m.domain, spf: v}
	if m.r.IntN(2) == 0 {
		vendorMail.dkim = v
	}
	if m.r.IntN(3) == 0 {
		vendorMail.from = sub
	}
	periodic := func(every, first int, n float64) func(int) float64 {
		return func(d int) float64 {
			if (d-first)%every == 0 && d >= first {
				return n
			}
			return 0
		}
	}
	vendorHost := func(i int, _ netip.Addr) string { return fmt.Sprintf("smtp%d.%s", i, v) }
	var addrs []netip.Addr
	var amount func(int) float64
	k := vendorMail
	switch shape {
	case 0: // a department's server under our name
		addrs = m.pool(1, func(int, netip.Addr) string { return "mail." + sub })
		k, amount = mail{from: sub, envelope: sub}, office
	case 1: // a department's rented server with its default name
		addrs = m.pool(1+m.r.IntN(2), func(_ int, a netip.Addr) string { return dashed(a) + ".static.rentaru.example" })
		k, amount = mail{from: sub, envelope: sub}, office
		if m.r.IntN(2) == 0 {
			fmt.Fprintf(&m.zone, "%s. IN MX 10 mx1.%s.\n", sub, m.domain)
		}
	case 2: // an old gateway in our own network
		a := m.addr(own[0])
		addrs = []netip.Addr{a}
		k, amount = mail{from: m.domain, envelope: "relay." + m.domain}, office
	case 3: // a vendor, weekly
		addrs = m.pool(1+m.r.IntN(5), vendorHost)
		amount = periodic(7, m.r.IntN(7), volume*4)
	case 4: // a vendor, monthly
		addrs = m.pool(1+m.r.IntN(2), vendorHost)
		amount = periodic(30, m.r.IntN(25), volume*8)
	case 5: // a vendor, on business days
		addrs = m.pool(1+m.r.IntN(3), vendorHost)
		amount = office
	case 6: // a vendor that began lately
		addrs = m.pool(1, vendorHost)
		start := m.days - 18
		amount = func(d int) float64 {
			if d < start {
				return 0
			}
			return office(d)
		}
	case 7: // a vendor with a key of ours that does not work
		addrs = m.pool(2, vendorHost)
		k, amount = mail{from: sub, dkimFails: m.domain, spf: v}, office
	case 8: // a shop system that sends every day, also at weekends
		addrs = m.pool(1, vendorHost)
		amount = func(int) float64 { return volume }
	case 9: // the web server of a department, in the network of its hoster, with a name of its own
		addrs = m.pool(1, func(int, netip.Addr) string { return "www." + sub })
		k, amount = mail{from: m.domain, envelope: "www." + sub}, func(int) float64 { return volume / 4 }
	case 10: // a vendor, once a year
		addrs = m.pool(1+m.r.IntN(2), vendorHost)
		amount = periodic(1000, m.r.IntN(m.days), volume*20)
	case 11: // a device in an office, behind a line without a name
		addrs = []netip.Addr{m.addr(netip.Addr{})}
		k, amount = mail{from: m.domain, envelope: m.domain}, office
	}
	m.note(name, Broken, addrs)
	for d := range m.days {
		m.send(name, d, addrs, amount(d), k, nil)
	}
}

// forwarder adds somebody who passes our mail on.
func (m *maker) forwarder(i, shape int) {
	name := fmt.Sprintf("forward-%d-%d", i, shape)
	orgs := []string{"u-%d.ac.jp", "isp%d.ne.jp", "college%d.edu", "kaisha%d.co.jp"}
	org := fmt.Sprintf(orgs[m.r.IntN(len(orgs))], i+10*m.r.IntN(9))
	host := []string{"fw", "mail", "mx", "relay"}[m.r.IntN(4)]
	addrs := m.pool(1+m.r.IntN(3), func(i int, _ netip.Addr) string { return fmt.Sprintf("%s%d.%s", host, i, org) })
	m.note(name, Forwarder, addrs)
	srs, breaks, volume := m.r.IntN(2) == 0, 0.02+0.05*m.r.Float64(), m.scale*(0.003+0.02*m.r.Float64())
	if shape == 2 { // a large mailbox provider with many hosts
		org, srs = fmt.Sprintf("yuubin%d.example", i), true
		addrs = m.pool(20, func(i int, _ netip.Addr) string { return fmt.Sprintf("mail-q%d.%s", i, org) })
		m.note(name, Forwarder, addrs)
		volume *= 2
	}
	if shape == 3 { // a list that takes our signature off
		org = "ml." + org
	}
	if shape == 1 { // a mailing list: the footer breaks the signature
		srs, breaks, org = true, 0.9, "lists."+org
	}
	for d := range m.days {
		m.send(name, d, addrs, volume*m.office(d), mail{}, func() mail {
			k := mail{from: m.domain, dkim: m.domain, alignD: true, envelope: m.domain}
			if srs {
				k.envelope, k.spf = "", org
			}
			if m.r.Float64() < breaks {
				k.dkim, k.dkimFails, k.alignD = "", m.domain, false
			}
			if shape == 3 && m.r.IntN(10) > 0 {
				k = mail{from: m.domain, spf: org, dkim: org}
			}
			if shape == 1 && m.r.IntN(3) == 0 {
				k.override = "mailing_list"
			}
			return k
		})
	}
}

// spoof adds somebody who uses our name.
func (m *maker) spoof(i, shape int) {
	name := fmt.Sprintf("spoof-%d-%d", i, shape)
	from := m.domain
	if m.r.IntN(3) == 0 {
		from = "info." + m.domain
	}
	k := mail{from: from, envelope: from}
	var addrs []netip.Addr
	isps := []string{"%s.dyn.denwa.example", "%s.cust.kabel.example", "ppp%s.pool.renraku.example", "%s.adsl.linha.example"}
	bot := func(named float64) {
		for range 30 + m.r.IntN(250) {
			a := m.addr(netip.Addr{})
			if m.r.Float64() < named {
				m.ptr(a, fmt.Sprintf(isps[m.r.IntN(len(isps))], dashed(a)))
			}
			addrs = append(addrs, a)
		}
	}
	burst, length := m.days-30+m.r.IntN(26), 1+m.r.IntN(3)
	if m.r.IntN(3) == 0 {
		burst = 15 + m.r.IntN(m.days-20)
	}
	campaign := func(d int) float64 {
		if d >= burst && d < burst+length {
			return m.scale * (0.5 + 2*m.r.Float64())
		}
		return 0
	}
	amount := campaign
	switch shape {
	case 0: // a botnet of homes, with waves
		bot(0.8)
		amount = func(int) float64 {
			if m.r.Float64() < 0.06 {
				return m.scale * 3
			}
			return m.scale * 0.15
		}
	case 1: // a botnet without names, weekdays only
		bot(0.1)
		amount = func(d int) float64 {
			if weekend(m.begin + store.Day(d)) {
				return m.scale * 0.01
			}
			return m.scale * 0.3
		}
	case 2: // rented servers that authenticate as themselves
		addrs = m.pool(2+m.r.IntN(4), func(_ int, a netip.Addr) string { return dashed(a) + ".vps-yasui.example" })
		k.envelope, k.spf = "", fmt.Sprintf("secure%d.example", m.r.IntN(1000))
		if m.r.IntN(2) == 0 {
			k.dkim = k.spf
		}
	case 3: // the same with a name of their own
		look := fmt.Sprintf("login-%s%d.example", []string{"mail", "support", "bank"}[m.r.IntN(3)], m.r.IntN(100))
		addrs = m.pool(1+m.r.IntN(3), func(i int, _ netip.Addr) string { return fmt.Sprintf("mail%d.%s", i, look) })
		k.envelope, k.spf, k.dkim = "", look, look
	case 4: // many rented servers, each with a domain and a day
		for j := range 12 {
			a := m.addr(netip.Addr{})
			m.ptr(a, fmt.Sprintf("vm%d.cloud-kumo.example", 100+m.r.IntN(900)))
			d := fmt.Sprintf("promo%d%d.example", i, j)
			addrs = append(addrs, a)
			day := m.r.IntN(m.days)
			m.send(name, day, []netip.Addr{a}, m.scale*0.4, mail{from: from, spf: d, dkim: d}, nil)
		}
		amount = func(int) float64 { return 0 }
	case 5: // a hacked server of somebody
		addrs = m.pool(1, func(int, netip.Addr) string { return fmt.Sprintf("web%d.hanaya%d.example", m.r.IntN(9), i) })
	case 6: // scattered rented servers without authentication, on and off
		for range 10 + m.r.IntN(30) {
			a := m.addr(netip.Addr{})
			m.ptr(a, fmt.Sprintf("%s.static.server-farm.example", dashed(a)))
			addrs = append(addrs, a)
		}
		amount = func(int) float64 {
			if m.r.Float64() < 0.2 {
				return m.scale * 0.5
			}
			return 0
		}
	}
	if shape == 7 { // one rented server that goes on for weeks
		addrs = m.pool(1, func(_ int, a netip.Addr) string { return dashed(a) + ".vps-yasui.example" })
		k.envelope, k.spf = "", fmt.Sprintf("news%d.example", m.r.IntN(1000))
		first := m.r.IntN(m.days - 20)
		amount = func(d int) float64 {
			if d < first {
				return 0
			}
			return m.scale * 0.1
		}
	}
	s := m.sources[name]
	m.note(name, Spoof, addrs)
	n := m.sources[name]
	n.Failing, n.Messages = s.Failing, s.Messages
	m.sources[name] = n
	for d := range m.days {
		m.send(name, d, addrs, amount(d), k, nil)
	}
}

// store puts everything in.
func (m *maker) store(st *memory) {
	for d, orgs := range m.rows {
		for org, recs := range orgs {
			st.put(aggregate.Report{
				Metadata:        aggregate.Metadata{OrgName: org, ReportID: fmt.Sprint(org, d), Begin: d.Time(), End: d.Time().Add(24*time.Hour - time.Second)},
				PolicyPublished: aggregate.PolicyPublished{Domain: m.domain, P: "none", SP: "none", ADKIM: "r", ASPF: "r"},
			}, recs)
		}
	}
}

// world makes everything.
func (m *maker) world() (*memory, dns.Resolver, truth, error) {
	own := m.own()
	for i := range m.r.IntN(3) {
		m.vendorGood(i)
	}
	if m.r.IntN(5) > 1 {
		for i := range 1 + m.r.IntN(3) {
			m.broken(i, m.r.IntN(12), own)
		}
	}
	for i := range m.r.IntN(4) {
		m.forwarder(i, []int{0, 0, 0, 1, 2, 3}[m.r.IntN(6)])
	}
	for i := range m.r.IntN(4) {
		m.spoof(i, m.r.IntN(8))
	}
	fmt.Fprintf(&m.zone, "%s. IN TXT \"v=spf1 %s -all\"\n_dmarc.%[1]s. IN TXT \"v=DMARC1; p=none; rua=mailto:r@%[1]s\"\n", m.domain, strings.Join(m.spf, " "))
	z, err := dnstest.Parse(strings.NewReader(m.zone.String()), m.domain)
	if err != nil {
		return nil, nil, truth{}, err
	}
	st := newMemory()
	m.store(st)
	tr := truth{Domain: m.domain, Sources: m.sources}
	for _, s := range m.sources {
		switch s.Class {
		case Broken:
			tr.AtRisk += s.Failing
			fallthrough
		case Aligned, Forwarder:
			tr.Legit += s.Messages
		}
	}
	tr.Ready = upperBound(tr.AtRisk, tr.Legit) <= maxRisk
	return st, z, tr, nil
}

// TestGenerated judges advice on worlds of our own making.
func TestGenerated(t *testing.T) {
	n := uint64(40)
	if testing.Short() {
		n = 15
	}
	if s := os.Getenv("SEKIMORI_WORLDS"); s != "" {
		v, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			t.Fatalf("SEKIMORI_WORLDS: %v", err)
		}
		n = v
	}
	only, _ := strconv.ParseUint(os.Getenv("SEKIMORI_WORLD"), 10, 16) // one of them, in full
	type world struct {
		m    *memory
		zone dns.Resolver
		tr   truth
	}
	worlds := make([]world, n)
	for i := range worlds {
		m, zone, tr, err := newMaker(uint64(i + 1)).world()
		if err != nil {
			t.Fatal(err)
		}
		worlds[i] = world{m, zone, tr}
	}
	for _, offline := range []bool{false, true} {
		t.Run(map[bool]string{false: "dns", true: "offline"}[offline], func(t *testing.T) {
			total := judgement{matrix: map[[2]Class]uint64{}}
			right, falseReady := 0, 0
			var missed []string
			for seed := uint64(1); seed <= n; seed++ {
				if only != 0 && seed != only {
					continue
				}
				w := worlds[seed-1]
				m, zone, tr := w.m, w.zone, w.tr
				if offline {
					zone, m.ptr = nil, map[netip.Addr]store.PTR{}
				}
				a, err := New(Config{Store: m, Resolver: zone}).Advise(t.Context(), mustName(t, tr.Domain), Question{})
				if err != nil {
					t.Fatal(err)
				}
				j := judge(tr, a)
				total.add(j)
				if j.verdict {
					right++
				} else {
					missed = append(missed, fmt.Sprintf("%d: verdict %s, at risk %d of %d (truth %d of %d)", seed, a.Verdict, a.Policies[0].LegitimateAtRisk, a.Policies[0].Legitimate, tr.AtRisk, tr.Legit))
				}
				if j.falseReady {
					falseReady++
				}
				if only != 0 {
					show(t, a)
				}
				for _, d := range j.description {
					missed = append(missed, fmt.Sprintf("%d: %s", seed, d))
				}
			}
			t.Logf("%s\nverdicts right %d of %d, ready while it is not %d", total, right, n, falseReady)
			if testing.Verbose() {
				t.Log(strings.Join(missed, "\n"))
			}
			// Without host names some cannot be told apart; then harm must be rare.
			allowed := 0
			if offline {
				allowed = int(n) / 20
			}
			if falseReady > allowed || total.lost > allowed || total.spoofOurs*20 > total.spoofed {
				t.Error("harm done")
			}
			found := 90 // percent; a few worlds may hold more hard ones than many
			if n < 100 {
				found = 85
			}
			if !offline && (total.found*100 < total.broken*found || total.indirectOK*5 < total.indirect*4 || uint64(right)*100 < n*95) {
				t.Error("targets missed")
			}
			if offline && total.found*10 < total.broken*7 {
				t.Error("targets missed without the DNS")
			}
		})
	}
}
