package advise

import (
	"context"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"sekimori/internal/store"
)

// sayings is what people said, for tests.
type sayings []store.Saying

func (s sayings) Sayings(context.Context, string) ([]store.Saying, error) { return s, nil }

func (d *diary) ask(t *testing.T, c Config) *Advice {
	t.Helper()
	c.Store = d.m
	adv := New(c)
	t.Cleanup(func() { adv.Close() })
	a, err := adv.Advise(t.Context(), mustName(t, "example.jp"), Question{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func at(a *Advice, addr string) *Source {
	for i, s := range a.Sources {
		for _, x := range s.Addresses {
			if x == addr {
				return &a.Sources[i]
			}
		}
	}
	return &Source{}
}

var vendorMailing = mail{from: "example.jp", spf: "okuru.example", dkim: "okuru.example"}

// TestWord: a person's word decides, with its name, and what the evidence would
// have said stays readable.
func TestWord(t *testing.T) {
	d := newDiary()
	d.office(0, 90, "192.0.2.1", 1000, ownMail)
	d.send(80, "198.51.100.7", 300, vendorMailing)
	before := at(d.advise(t, ""), "198.51.100.7")
	if before.Class != Unknown || before.Question == nil || before.Question.Code != "ask.mailing" {
		t.Fatalf("%s, %v", before.Class, before.Question)
	}
	for _, c := range []struct {
		class string
		want  Class
		code  string
	}{{"broken", Broken, "why.said-ours"}, {"aligned", Broken, "why.said-ours"}, {"spoof", Spoof, "why.said-not-ours"}, {"forwarder", Forwarder, "why.said-forwarder"}, {"", Unknown, ""}} {
		w := before.Saying("example.jp")
		w.Class, w.Name, w.By, w.At = c.class, "The newsletter", "Sato", time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
		s := at(d.ask(t, Config{Words: sayings{w}}), "198.51.100.7")
		if s.Class != c.want || s.Name != "The newsletter" || s.Word == nil || s.Word.By != "Sato" {
			t.Errorf("%q: %s, %s, %+v", c.class, s.Class, s.Name, s.Word)
		}
		if c.class == "" {
			continue
		}
		if s.Probability != 1 || s.Question != nil || s.Reasons[0].Code != c.code || s.Reasons[1].Code != "why.evidence-alone" || s.Reasons[1].Args["class"] != "unknown" {
			t.Errorf("%q: %v, %v, %v", c.class, s.Probability, s.Question, s.Reasons)
		}
	}
}

// TestWordNextMonth: a word holds although the addresses or the key have moved,
// and the latest counts.
func TestWordNextMonth(t *testing.T) {
	d := newDiary()
	d.office(0, 60, "192.0.2.1", 1000, ownMail)
	d.send(50, "198.51.100.7", 300, vendorMailing)
	first := at(d.advise(t, ""), "198.51.100.7")
	w := first.Saying("example.jp")
	w.Class, w.By, w.At = "broken", "Sato", time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

	next := newDiary()
	next.office(0, 60, "192.0.2.1", 1000, ownMail)
	next.send(50, "203.0.113.99", 300, vendorMailing)                                                        // other addresses, the same identity
	next.send(50, "198.51.100.9", 300, mail{from: "example.jp", envelope: "example.jp"})                     // the same network, no identity
	next.send(50, "198.51.100.99", 300, mail{from: "example.jp", spf: "warui.example"})                      // the same network, another identity
	next.send(50, "203.0.113.5", 300, mail{from: "example.jp", spf: "betsu.example", dkim: "betsu.example"}) // nothing in common
	next.advise(t, "99.113.0.203.in-addr.arpa. PTR out.okuru.example.\n")
	a := next.ask(t, Config{Words: sayings{w}})
	for addr, said := range map[string]bool{"203.0.113.99": true, "198.51.100.9": true, "198.51.100.99": false, "203.0.113.5": false} {
		if s := at(a, addr); (s.Word != nil) != said || said && s.Class != Broken {
			t.Errorf("%s: %s, %+v", addr, s.Class, s.Word)
		}
	}
	back := w
	back.Class, back.At = "", w.At.Add(time.Hour)
	if s := at(next.ask(t, Config{Words: sayings{back, w}}), "203.0.113.99"); s.Word != nil || s.Class != Unknown {
		t.Errorf("taken back: %s, %+v", s.Class, s.Word)
	}
}

// TestWordLearns: what was confirmed or denied tells about others of the same
// organisation.
func TestWordLearns(t *testing.T) {
	d := newDiary()
	d.office(0, 90, "192.0.2.1", 1000, ownMail)
	d.send(80, "198.51.100.7", 300, mail{from: "info.example.jp", spf: "okuru.example", envelope: "okuru.example"})
	zone := "7.100.51.198.in-addr.arpa. PTR out.okuru.example.\n"
	d.advise(t, zone)
	w := store.Saying{Domain: "example.jp", Key: "org:okuru.example", By: "Sato", At: time.Now(), Identities: []string{"okuru.example"}}
	for class, code := range map[string]string{"aligned": "why.our-vendor", "spoof": "why.denied"} {
		w.Class = class
		s := at(d.ask(t, Config{Words: sayings{w}}), "198.51.100.7")
		found := false
		for _, r := range s.Reasons {
			found = found || r.Code == code
		}
		if !found {
			t.Errorf("%s: %s, %v", class, s.Class, s.Reasons)
		}
	}
}

// TestWordOfMany: a word about a line of unrelated hosts is about those that
// were in it, not about whoever joins them.
func TestWordOfMany(t *testing.T) {
	d := newDiary()
	d.office(0, 90, "192.0.2.1", 1000, ownMail)
	for i := range 40 {
		d.send(60+i%20, netip.AddrFrom4([4]byte{100, 64, byte(i), 9}).String(), 5, mail{from: "example.jp", envelope: "example.jp"})
	}
	w := store.Saying{Domain: "example.jp", Key: "spoof/scattered", Class: "aligned", Name: "ours?", By: "Sato", At: time.Now()}
	d.advise(t, "")
	a := d.ask(t, Config{Words: sayings{w}})
	for _, s := range a.Sources {
		if s.Key == "spoof/scattered" && (s.Class != Spoof || s.Name != "ours?") {
			t.Errorf("%s, %s", s.Class, s.Name)
		}
		if s.Class == Broken {
			t.Errorf("%s is broken", s.Name)
		}
	}
}

func TestSayingOfKept(t *testing.T) {
	s := Source{Key: "org:okuru.example/", ID: "x", Addresses: []string{"198.51.100.7", "198.51.100.9", "2001:db8::1"}, PTR: []string{"out.okuru.example"}, DKIM: []string{"example.jp", "m.okuru.example"}}
	doc, _ := json.Marshal(&s)
	var kept Source
	if err := json.Unmarshal(doc, &kept); err != nil {
		t.Fatal(err)
	}
	w := kept.Saying("example.jp")
	if len(w.Networks) != 2 || len(w.Identities) != 1 || w.Identities[0] != "okuru.example" || w.Key != s.Key {
		t.Errorf("%+v", w)
	}
}
