package gateway

import (
	"strings"
	"testing"

	"sekimori/internal/store/verdict"
)

// TestFrom: authors of all kinds, under a site that enforces and leaves
// on_bad_from alone, and one that refuses.
func TestFrom(t *testing.T) {
	z := zone(t, bankZone+`
_dmarc.xn--r8jz45g TXT "v=DMARC1; p=quarantine"
_dmarc.org.bank TXT "v=DMARC1; p=none"
`)
	easy := newGate(t, z, Options{Site: Site{Mode: Enforce}})
	strict := newGate(t, z, Options{Site: Site{Mode: Enforce, OnReject: verdict.Refuse, OnBadFrom: verdict.Refuse}})
	const accept, hold, refuse = verdict.Accept, verdict.Quarantine, verdict.Refuse
	for name, c := range map[string]struct {
		from         string // the fields
		easy, strict verdict.Action
		dmarc        string
		header       string // header_from of the report
	}{
		"one":                           {"From: info@bank.example", hold, refuse, "fail", "bank.example"},
		"subdomain":                     {"From: info@www.bank.example", hold, refuse, "fail", "www.bank.example"},
		"subdomain with its own record": {"From: info@org.bank.example", accept, accept, "fail", "org.bank.example"},
		"upper case":                    {"FROM: <INFO@BANK.EXAMPLE.>", hold, refuse, "fail", "bank.example"},
		"lookalike":                     {"From: info@bànk.example", accept, accept, "none", "xn--bnk-9ka.example"},
		"U-labels":                      {"From: 例 <a@例え.example>", hold, hold, "fail", "xn--r8jz45g.example"},
		"none":                          {"To: a@bank.example", accept, refuse, "permerror", ""},
		"group":                         {"From: nobody:;", accept, refuse, "permerror", ""},
		"group with a member":           {"From: some: info@bank.example;", hold, refuse, "fail", "bank.example"},
		"two fields, one domain":        {"From: a@bank.example\r\nFrom: b@bank.example", hold, refuse, "fail", "bank.example"},
		"two fields":                    {"From: a@bare.example\r\nFrom: b@bank.example", hold, refuse, "fail", "bank.example"},
		"two addresses":                 {"From: a@watch.example, b@quiet.example", hold, hold, "fail", "quiet.example"},
		"two without policies":          {"From: a@bare.example, b@forward.example", accept, refuse, "none", "bare.example"},
		"not to be read":                {"From: \"Bank\" <info@bank.example> <a@bare.example>", hold, refuse, "permerror", ""},
		"not to be read, no policy":     {"From: <info@bare.example> <a@bare.example>", accept, refuse, "permerror", ""},
		"hidden in encoded words":       {"From: =?utf-8?q?=22Bank=22_=3Cinfo=40bank=2Eexample=3E?= a@bare.example <", hold, refuse, "permerror", ""},
		"a fifth author":                {"From: a@a.example, b@b.example, c@c.example, d@d.example, info@bank.example", hold, refuse, "permerror", "a.example"},
		"very many authors":             {"From: " + strings.Repeat("a@b", 1) + ".example" + many(12), hold, refuse, "permerror", "b.example"},
		"many signs":                    {"From: " + strings.Repeat("@ ", 40_000), hold, refuse, "permerror", ""},
		"a literal":                     {"From: a@[192.0.2.1]", accept, refuse, "permerror", ""},
		"empty":                         {"From: ", accept, refuse, "permerror", ""},
	} {
		m := bad
		m.from = "x@elsewhere.example"
		m.text = c.from + "\r\nSubject: x\r\n\r\ntext\r\n"
		for g, want := range map[*gate]verdict.Action{easy: c.easy, strict: c.strict} {
			r, e := g.one(t, m)
			if e.Action != want || e.DMARC != c.dmarc || e.Record.HeaderFrom != c.header || want != accept && e.Why == nil {
				t.Errorf("%s: %s dmarc=%s from %s, want %s %s; %+v", name, e.Action, e.DMARC, e.Record.HeaderFrom, want, c.dmarc, r)
			}
		}
	}
	// A From that cannot be read and a signature of the domain it mentions.
	m := good
	m.text = "From: <info@bank.example> <info@bank.example>\r\n\r\ntext\r\n"
	if _, e := easy.one(t, m); e.Action != accept {
		t.Errorf("%+v", e)
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(", a@" + string(rune('a'+i)) + ".example")
	}
	return b.String()
}
