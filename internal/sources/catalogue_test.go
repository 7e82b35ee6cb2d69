package sources

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCatalogueFile holds the catalogue that comes with the program to its form.
func TestCatalogueFile(t *testing.T) {
	c, err := ParseCatalogue("catalogue.yaml", catalogueText)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.senders); n < 200 {
		t.Errorf("%d senders", n)
	}
	kinds, confirmed := map[SenderKind]int{}, map[Confirmation]int{}
	owner := map[string]string{} // pattern → id, whatever the kind of pattern
	named := strings.Count(string(catalogueText), "\n    name_ja: ")
	if named != len(c.senders) {
		t.Errorf("%d senders, %d Japanese names", len(c.senders), named)
	}
	for _, s := range c.senders {
		kinds[s.Kind]++
		confirmed[s.By]++
		if s.By == BySite || s.Name == "" || s.NameJA == "" || len(s.Setup) == 0 {
			t.Errorf("%s: incomplete: %+v", s.ID, s)
		}
		if s.By == Documentation && s.URL == "" {
			t.Errorf("%s: documentation, and no page", s.ID)
		}
		for _, p := range append(append(append([]string{}, s.PTR...), s.SPF...), s.DKIM...) {
			if o, taken := owner[p]; taken && o != s.ID {
				t.Errorf("%s is of %s and of %s", p, o, s.ID)
			}
			owner[p] = s.ID
		}
		if s.Include != "" {
			// What is to be included is the vendor's own, or that of the one it builds on.
			if got, ok := c.MatchSPF(s.Include); !ok || got.ID != s.ID && s.ID != "azure-email" && s.ID != "amazon-workmail" {
				t.Errorf("%s: include %s is of %q", s.ID, s.Include, got.ID)
			}
		}
	}
	for p, id := range owner {
		for up := p; strings.Contains(up, "."); {
			_, up, _ = strings.Cut(up, ".")
			if o, taken := owner[up]; taken && o != id {
				t.Errorf("%s of %s lies below %s of %s", p, id, up, o)
			}
		}
	}
	for _, k := range senderKinds {
		if kinds[k] < 5 {
			t.Errorf("kind %s: %d senders", k, kinds[k])
		}
	}
	t.Logf("%d senders: %v, %v", len(c.senders), kinds, confirmed)
}

func TestMatch(t *testing.T) {
	c := DefaultCatalogue()
	for _, m := range []struct {
		id   Identity
		want string
	}{
		{Identity{PTR: []string{"o1.ptr123.sendgrid.net"}}, "sendgrid"},
		{Identity{PTR: []string{"a8-50.smtp-out.amazonses.com"}, SPF: []string{"ap-northeast-1.amazonses.com"}}, "amazon-ses"},
		{Identity{DKIM: []string{"amazonses.com", "city.example"}}, "amazon-ses"},
		{Identity{PTR: []string{"MAIL-ED1-F46.GOOGLE.COM."}}, "google"},
		// Passed on by Google: the host says who passes it on, the signature whose it was.
		{Identity{PTR: []string{"mail-ed1-f46.google.com"}, DKIM: []string{"sendgrid.net"}}, "google"},
		// A rented server at a hoster: the signature says more.
		{Identity{PTR: []string{"ec2-203-0-113-25.ap-northeast-1.compute.amazonaws.com"}, DKIM: []string{"zendesk.com"}}, "zendesk"},
		{Identity{PTR: []string{"ec2-203-0-113-25.ap-northeast-1.compute.amazonaws.com"}}, "aws"},
		{Identity{PTR: []string{"p1234.ipoe.ocn.ne.jp"}, SPF: []string{"smp.ne.jp"}}, "spiral"},
		{Identity{PTR: []string{"p1234.ipoe.ocn.ne.jp"}}, "ocn"},
		{Identity{SPF: []string{"city.example", "bounce.haihaimail.jp"}}, "haihaimail"},
		// Whole labels only.
		{Identity{PTR: []string{"mail.notsendgrid.net"}, SPF: []string{"sendgrid.net.evil.example"}, DKIM: []string{"net", "", ".", "..", "sendgrid"}}, ""},
		{Identity{}, ""},
	} {
		got, ok := c.Match(m.id)
		if got.ID != m.want || ok != (m.want != "") {
			t.Errorf("%+v: %q, %v, want %q", m.id, got.ID, ok, m.want)
		}
	}
	if s, ok := c.MatchSPF("_spf.google.com"); !ok || s.ID != "google" {
		t.Errorf("an include: %q", s.ID)
	}
	for sel, want := range map[string]string{"zendesk1": "zendesk", "Protonmail2": "proton", "aweber_key_a": "aweber", "litesrv": "mailerlite",
		"selector1": "", "default": "", "s1": "", "k2": "", "mail": "", "": "", "nobody": ""} {
		if s, ok := c.MatchSelector(sel); s.ID != want || ok != (want != "") {
			t.Errorf("selector %s: %q", sel, s.ID)
		}
	}
	var none *Catalogue
	if _, ok := none.Match(Identity{PTR: []string{"a.sendgrid.net"}}); ok || none.Senders() != nil || none.With(c) != c || c.With(none) != c {
		t.Error("a nil catalogue")
	}
	if _, ok := none.MatchPTR("a.sendgrid.net"); ok {
		t.Error("a nil catalogue matches")
	}
	site, err := ParseCatalogue("site.yaml", []byte(`
senders:
  - id: sendgrid
    name: Our SendGrid
    kind: delivery
    ptr: [o1.sendgrid.net]
  - id: okuru
    name: Okuru
    name_ja: オクル
    kind: delivery
    dkim: [okuru.example, amazonses.com]
    include: spf.okuru.example
    setup: [add-include, dkim-ask]
`))
	if err != nil {
		t.Fatal(err)
	}
	both := c.With(site)
	if s, _ := both.MatchPTR("x.o1.sendgrid.net"); s.Name != "Our SendGrid" || s.NameJA != "Our SendGrid" || s.By != BySite {
		t.Errorf("%+v", s)
	}
	if _, ok := both.MatchPTR("o2.sendgrid.net"); ok {
		t.Error("the sender that was replaced still matches")
	}
	if s, _ := both.MatchDKIM("amazonses.com"); s.ID != "okuru" {
		t.Errorf("a site's pattern goes first: %q", s.ID)
	}
	if s, _ := c.MatchPTR("o2.sendgrid.net"); s.ID != "sendgrid" || len(both.Senders()) != len(c.Senders())+1 {
		t.Error("With changed its receiver")
	}
	s, _ := both.Sender("okuru")
	steps := s.Steps("city.example")
	if len(steps) != 2 || steps[0].Code != "setup.add-include" || steps[0].Args["include"] != "spf.okuru.example" || steps[0].Args["domain"] != "city.example" || steps[0].Args["name_ja"] != "オクル" {
		t.Errorf("%+v", steps)
	}
}

// TestExamples reads the files that the manual points to.
func TestExamples(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "senders.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCatalogue("senders.yaml", text)
	if err != nil || len(c.Senders()) != 2 {
		t.Errorf("%d senders, %v", len(c.Senders()), err)
	}
	if s, ok := DefaultCatalogue().With(c).MatchSPF("x.bounce.okuru.example"); !ok || s.NameJA != "おくるメール" {
		t.Errorf("%+v", s)
	}
	n, err := OpenNetworks(filepath.Join("..", "..", "examples", "networks.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if got, ok := n.Lookup(netip.MustParseAddr("2001:db8:10::1")); !ok || got.Organisation != "Kakuu University" || got.ASN != 64500 || got.Country != "JP" {
		t.Errorf("%+v", got)
	}
}

func TestParseCatalogueErrors(t *testing.T) {
	head := "senders:\n  - id: a\n    name: A\n    kind: saas\n"
	for _, c := range []struct{ text, want string }{
		{"senders: 3\n", "f:1: senders must be a list"},
		{"[]\n", "f:1: the file must be keys and values"},
		{"send:\n", `f:1: unknown key "send" in the file; known here: senders`},
		{"senders:\n  - id: a\n   b\n", "f:"},
		{head, `f:2: sender "a" has no pattern`},
		{head + "    ptr: [co.jp]\n", `f:5: ptr "co.jp" is no organisation's`},
		{head + "    ptr: [jp]\n", `f:5: ptr "jp" is no domain name of two labels or more`},
		{head + "    ptr: ['*.x.example']\n", `f:5: ptr "*.x.example" is no domain name`},
		{head + "    ptr: [x.example, X.example.]\n", `f:5: ptr "x.example" is there twice`},
		{head + "    ptr: [x.example]\n  - id: b\n    name: B\n    kind: list\n    ptr: x.example\n", `f:9: ptr x.example of sender "b" stands in line 5 already, of sender "a"`},
		{head + "    ptr: [x.example]\n  - id: a\n    name: B\n    kind: list\n    spf: x.example\n", `f:6: id "a" is there twice: line 2 has it already`},
		{head + "    ptr: [x.example]\n    ptr: [y.example]\n", `f:6: "ptr" is there twice: it stands in line 5 already`},
		{head + "    ptr: {x: y}\n", "f:5: ptr must be a list"},
		{head + "    ptr: [x.example]\n    setup: [pray]\n", `f:6: "pray" is nothing that can be set up; known: add-include`},
		{head + "    ptr: [x.example]\n    setup: [add-include]\n", `f:6: sender "a" is set up with an include, and has none`},
		{head + "    ptr: [x.example]\n    url: javascript:alert(1)\n", `f:6: url "javascript:alert(1)" is no address`},
		{head + "    ptr: [x.example]\n    confirmed: yes\n", `f:6: confirmed "yes" is none of`},
		{head + "    ptr: [x.example]\n    note: x\n", `f:6: unknown key "note" in a sender`},
		{"senders:\n  - id: A B\n    name: x\n    kind: y\n    dkim: [x.example]\n", `f:2: id "A B": want lower-case`},
		{"senders:\n  - id: a\n    name: \"x\\u202e\"\n    kind: saas\n    dkim: [x.example]\n", "f:3: name is longer than"},
		{"senders: []\n---\nsenders: []\n", "f:2: a second document begins here"},
		{"senders: # \xff\n", "f:1: this line is not in UTF-8"},
		{"a: &a [x]\nsenders: *a\n", `unknown key "a"`},
	} {
		_, err := ParseCatalogue("f", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
	for _, text := range []string{"", "# nothing\n", "senders:\n", "senders: []\n", "---\n"} {
		if c, err := ParseCatalogue("f", []byte(text)); err != nil || len(c.Senders()) != 0 {
			t.Errorf("%q: %v", text, err)
		}
	}
	// What is wrong is told at once, up to a limit.
	if _, err := ParseCatalogue("f", []byte("senders:\n"+strings.Repeat("  - {}\n", 1000))); err == nil || strings.Count(err.Error(), "\n") != maxProblems-1 {
		t.Errorf("%d lines of problems", strings.Count(fmt.Sprint(err), "\n"))
	}
	if _, err := ParseCatalogue("f", make([]byte, maxCatalogue+1)); err == nil {
		t.Error("a catalogue without bounds")
	}
}

func FuzzParseCatalogue(f *testing.F) {
	f.Add(catalogueText[:2000])
	f.Add([]byte("senders:\n  - {id: a, name: A, kind: saas, ptr: [x.example], setup: [dkim-ask]}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("senders: [[[[[[[[[["))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseCatalogue("f", text)
		if (c == nil) == (err == nil) {
			t.Fatal("neither a catalogue nor an error")
		}
		for _, s := range c.Senders() {
			if s.ID == "" || s.Name == "" || len(s.PTR)+len(s.SPF)+len(s.DKIM) == 0 {
				t.Fatalf("%+v", s)
			}
			for _, p := range s.PTR {
				if _, ok := c.MatchPTR("x." + p); !ok {
					t.Fatalf("%s does not match its own pattern %s", s.ID, p)
				}
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	c := DefaultCatalogue()
	ids := []Identity{
		{PTR: []string{"o1.ptr123.sendgrid.net"}, SPF: []string{"em1.city.example"}, DKIM: []string{"city.example", "sendgrid.net"}},
		{PTR: []string{"203-0-113-25.dyn.isp.example"}, SPF: []string{"spam.example"}},
		{PTR: []string{"ec2-203-0-113-25.ap-northeast-1.compute.amazonaws.com"}, SPF: []string{"mail.city.example"}, DKIM: []string{"city.example"}},
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, id := range ids {
			c.Match(id)
		}
	}
}

func BenchmarkDefaultCatalogue(b *testing.B) {
	for b.Loop() {
		DefaultCatalogue()
	}
}
