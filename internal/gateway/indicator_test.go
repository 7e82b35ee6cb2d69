package gateway

import (
	"context"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/internal/store/verdict"
)

const bimiZone = bankZone + `
default._bimi.bank TXT "v=BIMI1; l=https://bank.example/logo.svg; a=https://bank.example/vmc.pem"
shop._bimi.bank TXT "v=BIMI1; l=https://bank.example/shop.svg; avp=personal"
_dmarc.news.bank TXT "v=DMARC1; p=reject"
news.bank TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.soft TXT "v=DMARC1; p=quarantine; pct=50"
soft TXT "v=spf1 ip4:192.0.2.10 -all"
default._bimi.soft TXT "v=BIMI1; l=https://bank.example/logo.svg"
_dmarc.halfway TXT "v=DMARC1; p=reject; sp=none"
halfway TXT "v=spf1 ip4:192.0.2.10 -all"
default._bimi.halfway TXT "v=BIMI1; l=https://bank.example/logo.svg"
_dmarc.trial TXT "v=DMARC1; p=reject; t=y"
trial TXT "v=spf1 ip4:192.0.2.10 -all"
default._bimi.trial TXT "v=BIMI1; l=https://bank.example/logo.svg"
_dmarc.loose TXT "v=DMARC1; p=none"
loose TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.tight.loose TXT "v=DMARC1; p=reject"
tight.loose TXT "v=spf1 ip4:192.0.2.10 -all"
default._bimi.tight.loose TXT "v=BIMI1; l=https://bank.example/logo.svg"
_dmarc.shy TXT "v=DMARC1; p=reject"
shy TXT "v=spf1 ip4:192.0.2.10 -all"
default._bimi.shy TXT "v=BIMI1; l=; a="
_dmarc.wrong TXT "v=DMARC1; p=reject"
wrong TXT "v=spf1 ip4:192.0.2.10 -all"
default._bimi.wrong TXT "v=BIMI1; l=http://wrong.example/logo.svg"
_dmarc.plain TXT "v=DMARC1; p=reject"
plain TXT "v=spf1 ip4:192.0.2.10 -all"
`

// TestIndicator: who gets a logo's address, and what the results say of it.
func TestIndicator(t *testing.T) {
	z := zone(t, bimiZone)
	g := newGate(t, z, Options{Site: Site{Mode: Enforce}})
	const logo = "v=BIMI1; l=https://bank.example/logo.svg"
	for name, c := range map[string]struct {
		from, selector, signed, location, result string
	}{
		"the organization":           {from: "bank.example", location: logo + ";\n\ta=https://bank.example/vmc.pem", result: "bimi=skipped reason=\"logo not verified\" header.d=bank.example header.selector=default"},
		"a subdomain":                {from: "news.bank.example", location: logo + ";\n\ta=https://bank.example/vmc.pem", result: "bimi=skipped"},
		"a selector, signed":         {from: "bank.example", selector: "v=BIMI1; s=shop", signed: "bank.example", location: "v=BIMI1; l=https://bank.example/shop.svg", result: "header.selector=shop"},
		"a selector, unsigned":       {from: "bank.example", selector: "v=BIMI1; s=shop", location: logo + ";\n\ta=https://bank.example/vmc.pem", result: "header.selector=default"},
		"a selector without record":  {from: "bank.example", selector: "v=BIMI1; s=none", signed: "bank.example"},
		"a selector that is none":    {from: "bank.example", selector: "v=BIMI1; s=a b", signed: "bank.example"},
		"two selectors":              {from: "bank.example", selector: "v=BIMI1; s=shop\r\nBIMI-Selector: v=BIMI1; s=default", signed: "bank.example"},
		"pct=50":                     {from: "soft.example"},
		"sp=none":                    {from: "halfway.example"},
		"t=y":                        {from: "trial.example"},
		"the organization's is none": {from: "tight.loose.example"},
		"declined":                   {from: "shy.example", result: "bimi=declined header.d=shy.example"},
		"a fault":                    {from: "wrong.example", result: "bimi=fail reason=\"record invalid\""},
		"no record":                  {from: "plain.example"},
		"two addresses":              {from: "bank.example>, <b@bank.example"},
	} {
		m := good
		host, _, _ := strings.Cut(c.from, ">")
		m.from = "bounce@" + host
		m.text = "BIMI-Location: v=BIMI1; l=https://evil.example/x.svg\r\nBIMI-Logo-Preference: x\r\n"
		body := draft("a@" + c.from)
		if c.selector != "" {
			body = "BIMI-Selector: " + c.selector + "\r\n" + body
		}
		if c.signed != "" {
			body = signed(t, body, c.signed)
		}
		m.text += body
		r, e := g.one(t, m)
		ar := strings.ReplaceAll(strings.ReplaceAll(r.get("Authentication-Results"), "\n\t", " "), "\n ", " ")
		if e.DMARC != "pass" || r.get("BIMI-Location") != c.location || !strings.Contains(ar, c.result) || (c.result == "") != !strings.Contains(ar, "bimi=") ||
			strings.Contains(ar, "bimi=pass") || strings.Join(r.deleted, ", ") != "BIMI-Location 1, BIMI-Logo-Preference 1" || (r.get("BIMI-Logo-Preference") != "") != strings.Contains(c.location, "shop") {
			t.Errorf("%s: %s, %q, %s, %v", name, e.DMARC, r.get("BIMI-Location"), ar, r.deleted)
		}
	}
	// Not for what fails, nor where the site wants none; trouble is no absence.
	m := bad
	m.text = draft("info@bank.example")
	if r, _ := g.one(t, m); r.get("BIMI-Location") != "" || strings.Contains(r.get("Authentication-Results"), "bimi") {
		t.Errorf("%+v", r)
	}
	m = good
	m.text = draft("info@bank.example")
	off := newGate(t, z, Options{Site: Site{WithoutBIMI: true}})
	if r, e := off.one(t, m); e.Action != verdict.Accept || r.get("BIMI-Location") != "" {
		t.Errorf("%+v", r)
	}
	lame := newGate(t, &blind{Resolver: z, fault: func(_ context.Context, name string) error {
		if strings.Contains(name, "_bimi") {
			return dns.ErrTemporary
		}
		return nil
	}}, Options{})
	if r, e := lame.one(t, m); e.DMARC != "pass" || !strings.Contains(r.get("Authentication-Results"), "bimi=temperror") {
		t.Errorf("%+v", r)
	}
}
