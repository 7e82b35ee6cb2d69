package advise

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// diary is a domain whose days a test writes itself.
type diary struct {
	m     *memory
	begin store.Day
	recs  map[int][]aggregate.Record
	p     string // the policy in force; "" for none
}

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

func newDiary() *diary {
	return &diary{m: newMemory(), begin: monday, recs: map[int][]aggregate.Record{}}
}

// send notes count messages of an address on a day.
func (d *diary) send(day int, addr string, count uint64, k mail) {
	rec := aggregate.Record{SourceIP: netip.MustParseAddr(addr), Count: count, DKIM: k.alignD, SPF: k.algS, HeaderFrom: k.from, Disposition: "none"}
	for _, s := range []struct{ domain, result string }{{k.dkim, "pass"}, {k.dkimFails, "fail"}, {k.second, "pass"}} {
		if s.domain != "" {
			rec.DKIMResults = append(rec.DKIMResults, aggregate.DKIMResult{Domain: s.domain, Result: s.result})
		}
	}
	if k.spf != "" {
		rec.SPFResults = []aggregate.SPFResult{{Domain: k.spf, Result: "pass"}}
	} else if k.envelope != "" {
		rec.SPFResults = []aggregate.SPFResult{{Domain: k.envelope, Result: "fail"}}
	}
	if k.override != "" {
		rec.Reasons = []aggregate.Reason{{Type: k.override}}
	}
	d.recs[day] = append(d.recs[day], rec)
}

// office sends on each business day of a span.
func (d *diary) office(from, to int, addr string, count uint64, k mail) {
	for day := from; day < to; day++ {
		if !weekend(d.begin + store.Day(day)) {
			d.send(day, addr, count, k)
		}
	}
}

// advise puts everything in and asks, with the names of a zone.
func (d *diary) advise(t *testing.T, zone string) *Advice {
	t.Helper()
	for day, recs := range d.recs {
		at := (d.begin + store.Day(day)).Time()
		d.m.put(aggregate.Report{
			Metadata:        aggregate.Metadata{OrgName: "r", ReportID: fmt.Sprint(day), Begin: at, End: at.Add(86399 * time.Second)},
			PolicyPublished: aggregate.PolicyPublished{Domain: "example.jp", P: cmp.Or(d.p, "none"), SP: cmp.Or(d.p, "none")},
		}, recs)
	}
	var r dns.Resolver
	if zone != "" {
		z, err := dnstest.Parse(strings.NewReader(zone), "zone")
		if err != nil {
			t.Fatal(err)
		}
		r = z
	}
	adv := New(Config{Store: d.m, Resolver: r})
	t.Cleanup(func() { adv.Close() })
	a, err := adv.Advise(t.Context(), mustName(t, "example.jp"), Question{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func classOf(a *Advice, addr string) Class {
	for _, s := range a.Sources {
		for _, x := range s.Addresses {
			if x == addr {
				return s.Class
			}
		}
	}
	return ""
}

func hasReason(a *Advice, code string) bool {
	for _, r := range a.Reasons {
		if r.Code == code {
			return true
		}
	}
	return false
}

var ownMail = mail{from: "example.jp", dkim: "example.jp", spf: "example.jp", alignD: true, algS: true}

// TestAbsent: a monthly sender that fails and has not come in the window is
// still to be fixed.
func TestAbsent(t *testing.T) {
	for _, c := range []struct {
		last int // day of the last run of three
		want Verdict
	}{{66, NotReady}, {20, Ready}} {
		d := newDiary()
		d.office(0, 134, "192.0.2.1", 1000, ownMail)
		for i := range 3 {
			d.send(c.last-62+31*i, "198.51.100.7", 300, mail{from: "example.jp", spf: "seikyu.example"})
		}
		if c.last < 62 { // long gone
			d = newDiary()
			d.office(0, 134, "192.0.2.1", 1000, ownMail)
			for i := range 4 {
				d.send(7*i, "198.51.100.7", 300, mail{from: "example.jp", spf: "seikyu.example"})
			}
		}
		last := 100
		for day := range d.recs {
			if day >= last {
				delete(d.recs, day)
			}
		}
		a := d.advise(t, "7.100.51.198.in-addr.arpa. PTR out.seikyu.example.\n")
		if a.Verdict != c.want || hasReason(a, "verdict.absent") != (c.want == NotReady) {
			t.Errorf("last seen on day %d: %s, %v", c.last, a.Verdict, a.Reasons)
		}
	}
}

func TestClasses(t *testing.T) {
	names := `
1.2.0.192.in-addr.arpa. PTR mx.example.jp.
7.100.51.198.in-addr.arpa. PTR out.okuru.example.
9.113.0.203.in-addr.arpa. PTR lists.daigaku.ac.jp.
example.jp. TXT "v=spf1 ip4:192.0.2.0/24 -all"
`
	for _, c := range []struct {
		name string
		addr string
		want Class
		fill func(d *diary)
	}{
		{"our server", "192.0.2.1", Aligned, func(d *diary) {}},
		{"our server, of which one author domain always fails", "192.0.2.1", Broken, func(d *diary) {
			d.office(0, 90, "192.0.2.1", 2, mail{from: "shop.example.jp", envelope: "shop.example.jp"})
		}},
		{"our server, a tenth of which fails", "192.0.2.1", Broken, func(d *diary) {
			d.office(0, 90, "192.0.2.1", 150, mail{from: "example.jp", dkimFails: "example.jp", envelope: "example.jp"})
		}},
		{"our server, fixed before the window", "192.0.2.1", Aligned, func(d *diary) {
			d.office(0, 40, "192.0.2.1", 900, mail{from: "example.jp", envelope: "example.jp"})
		}},
		{"a vendor before its setup", "198.51.100.7", Broken, func(d *diary) {
			d.office(0, 90, "198.51.100.7", 50, mail{from: "example.jp", spf: "okuru.example", dkim: "okuru.example"})
		}},
		{"a vendor after its setup", "198.51.100.7", Aligned, func(d *diary) {
			d.office(0, 90, "198.51.100.7", 900, mail{from: "m.example.jp", spf: "okuru.example", dkim: "example.jp", alignD: true})
		}},
		{"a list that breaks the signature and signs itself", "203.0.113.9", Forwarder, func(d *diary) {
			d.office(0, 90, "203.0.113.9", 5, mail{from: "example.jp", dkimFails: "example.jp", spf: "lists.daigaku.ac.jp"})
		}},
		{"what the receiver calls forwarded", "203.0.113.77", Forwarder, func(d *diary) {
			d.office(0, 90, "203.0.113.77", 5, mail{from: "example.jp", envelope: "example.jp", override: "forwarded"})
		}},
		{"forwarding without a name", "203.0.113.78", Forwarder, func(d *diary) {
			d.office(0, 90, "203.0.113.78", 5, mail{from: "example.jp", dkim: "example.jp", alignD: true, envelope: "example.jp"})
		}},
		{"a neighbour of our servers", "192.0.2.200", Broken, func(d *diary) {
			d.office(0, 90, "192.0.2.200", 3, mail{from: "example.jp", envelope: "example.jp"})
		}},
		{"one burst from somewhere", "203.0.113.80", Spoof, func(d *diary) {
			d.send(75, "203.0.113.80", 5000, mail{from: "example.jp", envelope: "example.jp"})
		}},
	} {
		d := newDiary()
		d.office(0, 90, "192.0.2.1", 1000, ownMail)
		c.fill(d)
		a := d.advise(t, names)
		if got := classOf(a, c.addr); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
			show(t, a)
		}
	}
}

func TestUnused(t *testing.T) {
	d := newDiary()
	for day := range 60 {
		for b := range 20 {
			d.send(day, fmt.Sprintf("100.64.%d.9", b), 3, mail{from: "example.jp", envelope: "example.jp"})
		}
	}
	a := d.advise(t, "")
	if a.Verdict != Ready || !hasReason(a, "verdict.no-mail") || !strings.Contains(a.NextRecord, "p=reject") {
		t.Errorf("%s, %v, %s", a.Verdict, a.Reasons, a.NextRecord)
	}
	for _, p := range a.Policies {
		if p.LegitimateAtRisk != 0 || p.Legitimate != 0 || p.Share != 0 || p.Upper95 != 0 || p.Stopped == 0 {
			t.Errorf("of no mail: %+v", p)
		}
	}
}

// TestInForce: what is said of the policy in force, and of a domain of which
// no legitimate mail was seen.
func TestInForce(t *testing.T) {
	for _, c := range []struct {
		name      string
		p         string
		fill      func(d *diary)
		want, not string
	}{
		{"nothing at risk", "reject", func(d *diary) { d.office(0, 60, "192.0.2.1", 1000, ownMail) }, "verdict.in-force-safe", "verdict.in-force"},
		{"much at risk", "quarantine", func(d *diary) {
			d.office(0, 60, "192.0.2.1", 1000, ownMail)
			d.office(0, 60, "192.0.2.1", 300, mail{from: "example.jp", envelope: "example.jp"})
		}, "verdict.in-force", "verdict.in-force-safe"},
		{"no mail, few days", "reject", func(d *diary) {
			for day := range 3 {
				d.send(day, "203.0.113.80", 50, mail{from: "example.jp", envelope: "example.jp"})
			}
		}, "verdict.none-seen", "verdict.in-force-safe"},
	} {
		d := newDiary()
		d.p = c.p
		c.fill(d)
		if a := d.advise(t, ""); !hasReason(a, c.want) || hasReason(a, c.not) {
			t.Errorf("%s: %v", c.name, a.Reasons)
		}
	}
}

// TestForwardingEvidence: what proves forwarding, and what does not.
func TestForwardingEvidence(t *testing.T) {
	names := `
1.2.0.192.in-addr.arpa. PTR mx.example.jp.
9.113.0.203.in-addr.arpa. PTR mail.daigaku.ac.jp.
10.113.0.203.in-addr.arpa. PTR 203-0-113-10.dyn.denwa.example.
11.113.0.203.in-addr.arpa. PTR lists.kaisha.example.
example.jp. TXT "v=spf1 ip4:192.0.2.0/24 -all"
`
	forged := mail{from: "example.jp", dkimFails: "example.jp", envelope: "example.jp"}
	for _, c := range []struct {
		name, addr string
		each       uint64
		k          mail
		passing    uint64 // messages a day with our signature intact
		yes        bool
	}{
		{"a university, a little", "203.0.113.9", 4, forged, 0, true},
		{"a university, a lot", "203.0.113.9", 400, forged, 0, false},
		{"a list by its name", "203.0.113.11", 4, forged, 0, true},
		{"a home line", "203.0.113.10", 4, forged, 0, false},
		{"no name", "203.0.113.12", 4, forged, 0, false},
		{"no name, and our signature passes at times", "203.0.113.12", 4, forged, 1, true},
		{"no name, and the receivers say so", "203.0.113.12", 4, mail{from: "example.jp", dkimFails: "example.jp", envelope: "example.jp", override: "mailing_list"}, 0, true},
		{"no name, and a return path that says it is a list", "203.0.113.12", 4, mail{from: "example.jp", dkimFails: "example.jp", spf: "lists.warui.example"}, 0, false},
	} {
		d := newDiary()
		d.office(0, 60, "192.0.2.1", 1000, ownMail)
		for day := range 60 { // weekends too: no rhythm of business
			d.send(day, c.addr, c.each, c.k)
			if c.passing > 0 {
				d.send(day, c.addr, c.passing, mail{from: "example.jp", dkim: "example.jp", alignD: true, envelope: "example.jp"})
			}
		}
		a := d.advise(t, names)
		if got := classOf(a, c.addr); (got == Forwarder) != c.yes || got == Aligned {
			t.Errorf("%s: %s", c.name, got)
			show(t, a)
		}
	}
}

func TestLooksLike(t *testing.T) {
	for name, want := range map[string]bool{
		"kakuu-go.example": true, "login-kakuu.example": true, "kakuuu.example": true, "kakku.example": true, "kaku.example": true,
		"kakuu.co.jp": true, "kakuu.example": false, "okuru.example": false, "kakuugo.example": false, "kukau.example": false,
	} {
		if looksLike(name, "kakuu.example") != want {
			t.Errorf("looksLike(%s) = %v", name, !want)
		}
	}
	if looksLike("abc-mail.example", "abc.example") {
		t.Error("short names are anybody's")
	}
}

func TestEnoughData(t *testing.T) {
	for _, c := range []struct {
		name  string
		days  int
		count uint64
		want  Verdict
		code  string
	}{
		{"plenty", 60, 1000, Ready, "verdict.ready"},
		{"a week", 7, 10000, InsufficientData, "verdict.few-days"},
		{"few messages", 60, 20, InsufficientData, "verdict.few-messages"},
	} {
		d := newDiary()
		for day := range c.days {
			d.send(day, "192.0.2.1", c.count, ownMail)
		}
		if a := d.advise(t, ""); a.Verdict != c.want || !hasReason(a, c.code) {
			t.Errorf("%s: %s, %v", c.name, a.Verdict, a.Reasons)
		}
	}
}
