package advise

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sekimori/dns/dnstest"
	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// watched is a store that also has what the DNS was, other eyes and other domains.
type watched struct {
	*memory
	seen   []store.Observation
	spread map[netip.Addr]int
	eyes   []store.Sighting
}

func (w *watched) Observations(context.Context, string, string, int) ([]store.Observation, error) {
	return w.seen, nil
}

func (w *watched) SourceDomains(context.Context, []netip.Addr, store.Window) (map[netip.Addr]int, error) {
	return w.spread, nil
}

func (w *watched) DomainNames(context.Context) ([]string, error) {
	return []string{"example.jp", "example.com", "example.org", "example.net"}, nil
}

func (w *watched) Sightings(_ context.Context, _ string, _ store.Window, f func(store.Sighting) error) error {
	for _, s := range w.eyes {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

func why(s *Source, code string) bool {
	for _, r := range append(s.For, s.Against...) {
		if r.Code == code {
			return true
		}
	}
	return false
}

// TestWatched: what our SPF record allowed once is ours; what other eyes saw is
// shown, with the selectors of our signatures.
func TestWatched(t *testing.T) {
	d := newDiary()
	d.office(0, 90, "192.0.2.1", 1000, ownMail)
	d.send(80, "198.51.100.7", 300, mail{from: "example.jp", envelope: "example.jp"})
	if s := at(d.advise(t, ""), "198.51.100.7"); s.Class == Broken {
		t.Fatalf("%s before", s.Class)
	}
	addr := netip.MustParseAddr("198.51.100.7")
	then := d.begin.Time()
	st := &watched{memory: d.m, spread: map[netip.Addr]int{addr: 4},
		seen: []store.Observation{{Domain: "example.jp", Name: "example.jp", Kind: "spf", Value: "v=spf1 ip4:198.51.100.0/24 -all", From: then, To: then.Add(48 * time.Hour)}},
		eyes: []store.Sighting{
			{By: store.ByFailureReports, Author: "example.jp", Addr: addr, Day: d.begin + 80, Messages: 2, Failing: 2, DKIMDomain: "example.jp", Selector: "s9"},
			{By: store.ByGateway, Author: "example.jp", Addr: addr, Day: d.begin + 81, Messages: 7, Failing: 7},
			{By: store.ByGateway, Author: "example.jp", Addr: netip.MustParseAddr("203.0.113.1"), Day: d.begin + 81, Messages: 7, Failing: 7},
		}}
	adv := New(Config{Store: st})
	defer adv.Close()
	a, err := adv.Advise(t.Context(), mustName(t, "example.jp"), Question{})
	if err != nil {
		t.Fatal(err)
	}
	s := at(a, "198.51.100.7")
	if s.Class != Broken || !why(s, "why.once-in-spf") || s.OtherDomains != 3 || !why(s, "why.other-domains") {
		t.Errorf("%s, %v, %v, %d", s.Class, s.For, s.Against, s.OtherDomains)
	}
	if len(s.Seen) != 2 || s.Seen[0].Failing != 2 || s.Seen[1].By != store.ByGateway || len(s.Selectors) != 1 || s.Selectors[0] != "s9" {
		t.Errorf("%+v, %v", s.Seen, s.Selectors)
	}
}

// TestCatalogue: a known service is named; what anybody can send by proves
// nothing, least of all as another customer of it.
func TestCatalogue(t *testing.T) {
	cat, err := sources.ParseCatalogue("test", []byte(`senders:
  - {id: okuru, name: Okuru, name_ja: おくる, kind: saas, ptr: [okuru.example], spf: [okuru.example], dkim: [okuru.example], confirmed: site}
  - {id: kyodo, name: Kyodo, name_ja: きょうどう, kind: delivery, ptr: [kyodo.example], spf: [kyodo.example], dkim: [kyodo.example], confirmed: site}
`))
	if err != nil {
		t.Fatal(err)
	}
	d := newDiary()
	d.office(0, 90, "192.0.2.1", 1000, ownMail)
	d.send(70, "198.51.100.7", 30, vendorMailing)
	d.send(80, "203.0.113.7", 300, mail{from: "example.jp", spf: "kyodo.example", dkim: "login-bank77.example"})
	zone := "7.100.51.198.in-addr.arpa. PTR out.okuru.example.\n7.113.0.203.in-addr.arpa. PTR o7.kyodo.example.\n"
	d.advise(t, "")
	z, err := dnstest.Parse(strings.NewReader(zone), "zone")
	if err != nil {
		t.Fatal(err)
	}
	a := d.ask(t, Config{Catalogue: cat, Resolver: z})
	if s := at(a, "198.51.100.7"); s.Sender == nil || s.Sender.ID != "okuru" || !why(s, "why.known-service") {
		t.Errorf("%+v, %v", s.Sender, s.For)
	}
	s := at(a, "203.0.113.7")
	if s.Sender == nil || s.Sender.ID != "kyodo" || why(s, "why.known-delivery") || s.Class == Broken {
		t.Errorf("%+v, %s, %v, %v", s.Sender, s.Class, s.For, s.Against)
	}
	if w := s.Saying("example.jp"); len(w.Identities) != 1 || w.Identities[0] != "login-bank77.example" {
		t.Errorf("a shared service identifies nobody: %v", w.Identities)
	}
}

// TestConfirmation: names of ours that do not lead back, in a zone where others
// do, are nobody's; where nothing leads back, nothing is made of it.
func TestConfirmation(t *testing.T) {
	d := newDiary()
	d.office(0, 90, "192.0.2.1", 1000, ownMail)
	names := "1.2.0.192.in-addr.arpa. PTR mx.example.jp.\nexample.jp. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n"
	var addrs []string
	for i := range 5 {
		a := netip.AddrFrom4([4]byte{100, 64, byte(i), 9})
		addrs = append(addrs, a.String())
		names += "9." + string(rune('0'+i)) + ".64.100.in-addr.arpa. PTR mail" + string(rune('0'+i)) + ".example.jp.\n"
		for day := range 60 {
			if day%7 == i {
				d.send(day+20, a.String(), 9, mail{from: "example.jp", envelope: "example.jp"})
			}
		}
	}
	if s := at(d.advise(t, names), addrs[0]); s.Class != Broken {
		t.Errorf("without address records: %s", s.Class)
	}
	d.m.ptr = map[netip.Addr]store.PTR{}
	z, err := dnstest.Parse(strings.NewReader(names+"mx.example.jp. A 192.0.2.1\n"), "zone")
	if err != nil {
		t.Fatal(err)
	}
	a := d.ask(t, Config{Resolver: z})
	for _, x := range addrs {
		if s := at(a, x); s.Class == Broken || s.Class == Aligned {
			t.Errorf("%s: %s, %v", x, s.Class, s.Reasons)
		}
	}
}
