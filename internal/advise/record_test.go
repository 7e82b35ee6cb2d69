package advise

import (
	"context"
	"strings"
	"testing"

	"sekimori/dmarc"
	"sekimori/dns/dnstest"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

func TestNextRecord(t *testing.T) {
	for _, c := range []struct {
		name      string
		seen      policySeen
		published string
		verdict   Verdict
		failing   []string // subdomains of ours with failing mail
		exists    map[string]bool
		want      string
		notes     string
	}{
		{"ready from none", policySeen{P: "none", SP: "none"}, "", Ready, nil, nil,
			"v=DMARC1; p=quarantine; np=reject; rua=mailto:dmarc-reports@example.jp", "note.np-reject note.rua-assumed"},
		{"ready from quarantine", policySeen{P: "quarantine", SP: "quarantine"}, "", Ready, nil, nil,
			"v=DMARC1; p=reject; rua=mailto:dmarc-reports@example.jp", "note.rua-assumed"},
		{"at the end", policySeen{P: "reject", SP: "reject"}, "v=DMARC1; p=reject; rua=mailto:a@example.jp", Ready, nil, nil,
			"v=DMARC1; p=reject; rua=mailto:a@example.jp", ""},
		{"not ready", policySeen{P: "none", SP: "none"}, "v=DMARC1; p=none; rua=mailto:a@example.jp,mailto:b@x.example", NotReady, nil, nil,
			"v=DMARC1; p=none; np=reject; rua=mailto:a@example.jp,mailto:b@x.example", "note.np-reject"},
		{"not ready, a subdomain may not exist", policySeen{P: "none"}, "v=DMARC1; p=none; rua=mailto:a@example.jp", NotReady, []string{"x.example.jp"}, nil,
			"v=DMARC1; p=none; rua=mailto:a@example.jp", ""},
		{"not ready, the subdomain exists", policySeen{P: "none"}, "v=DMARC1; p=none; rua=mailto:a@example.jp", NotReady, []string{"x.example.jp"}, map[string]bool{"x.example.jp": true},
			"v=DMARC1; p=none; np=reject; rua=mailto:a@example.jp", "note.np-reject"},
		{"all the rest stays", policySeen{P: "none"}, "v=DMARC1; p=none; np=quarantine; adkim=s; aspf=S; fo=1:d; pct=50; ruf=mailto:f@example.jp; rua=mailto:a@example.jp; t=y", NotReady, []string{"x.example.jp"}, nil,
			"v=DMARC1; p=none; np=quarantine; adkim=s; aspf=s; fo=1:d; rua=mailto:a@example.jp; ruf=mailto:f@example.jp; t=y", "note.pct-historic"},
		{"the rehearsal ends with the step", policySeen{P: "quarantine"}, "v=DMARC1; p=quarantine; t=y; rua=mailto:a@example.jp", Ready, nil, nil,
			"v=DMARC1; p=reject; rua=mailto:a@example.jp", ""},
		{"weaker subdomains follow", policySeen{P: "none", SP: "none"}, "v=DMARC1; p=none; sp=none; rua=mailto:a@example.jp", Ready, nil, nil,
			"v=DMARC1; p=quarantine; np=reject; rua=mailto:a@example.jp", "note.np-reject"},
		{"stricter subdomains stay", policySeen{P: "none", SP: "reject"}, "", Ready, nil, nil,
			"v=DMARC1; p=quarantine; sp=reject; rua=mailto:dmarc-reports@example.jp", "note.rua-assumed"},
		{"strict modes from reports", policySeen{P: "none", SP: "none", ADKIM: "s", ASPF: "r", FO: "1"}, "", InsufficientData, nil, nil,
			"v=DMARC1; p=none; np=reject; adkim=s; fo=1; rua=mailto:dmarc-reports@example.jp", "note.np-reject note.rua-assumed"},
		{"nothing known", policySeen{}, "", InsufficientData, nil, nil,
			"v=DMARC1; p=none; np=reject; rua=mailto:dmarc-reports@example.jp", "note.np-reject note.rua-assumed"},
		{"changed since the report", policySeen{P: "none"}, "v=DMARC1; p=quarantine; rua=mailto:a@example.jp", NotReady, nil, nil,
			"v=DMARC1; p=quarantine; np=reject; rua=mailto:a@example.jp", "note.policy-changed note.np-reject"},
	} {
		n := &analysis{name: mustName(t, "example.jp"), policy: policyState{seen: c.seen, published: c.published}}
		n.scene = scene{domain: "example.jp", exists: c.exists}
		tt := totals{messages: 100, legitimate: 90, subdomains: map[string]bool{}}
		for _, s := range c.failing {
			tt.subdomains[s] = true
		}
		got := n.nextRecord(&Advice{Domain: "example.jp", Verdict: c.verdict}, tt)
		var notes []string
		for _, s := range n.notes {
			notes = append(notes, s.Code)
		}
		if got != c.want || strings.Join(notes, " ") != c.notes {
			t.Errorf("%s:\n got %s (%s)\nwant %s (%s)", c.name, got, strings.Join(notes, " "), c.want, c.notes)
		}
		if r, err := dmarc.Parse(got); err != nil || len(r.Faults) > 0 {
			t.Errorf("%s: %s is no record: %v", c.name, got, err)
		}
	}
}

func TestNextRecordUnused(t *testing.T) {
	n := &analysis{name: mustName(t, "example.jp"), policy: policyState{seen: policySeen{P: "none"}}}
	got := n.nextRecord(&Advice{Domain: "example.jp", Verdict: Ready}, totals{messages: 100})
	if want := "v=DMARC1; p=reject; rua=mailto:dmarc-reports@example.jp"; got != want {
		t.Errorf("a domain without mail of its own: %s, want %s", got, want)
	}
}

func TestPublishedRecord(t *testing.T) {
	z, err := dnstest.Parse(strings.NewReader(`$ORIGIN example.
_dmarc.one TXT "v=DMARC1; p=none"
_dmarc.one TXT "something else"
_dmarc.two TXT "v=DMARC1; p=none"
_dmarc.two TXT "v=DMARC1; p=reject"
_dmarc.bad TXT "v=dmarc1; p=none"
_dmarc.slow TYPE65280 \# 0
`), "zone")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"one.example": "v=DMARC1; p=none", "two.example": "", "bad.example": "", "slow.example": "", "none.example": ""} {
		if got := publishedRecord(context.Background(), z, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestPolicyAt(t *testing.T) {
	span := func(p string, from, to store.Day) store.PolicySpan {
		return store.PolicySpan{Policy: aggregate.PolicyPublished{P: p}, From: from, To: to}
	}
	spans := []store.PolicySpan{span("none", 10, 50), span("quarantine", 51, 80), span("reject", 81, 120)}
	for end, want := range map[store.Day]string{5: "", 40: "none", 60: "quarantine", 81: "quarantine", 82: "reject", 200: "reject"} {
		if got := policyAt(spans, store.Window{Begin: end - 30, End: end}); got.seen.P != want {
			t.Errorf("until %d: %q, want %q", end, got.seen.P, want)
		}
	}
}
