package gateway

import (
	"strings"
	"testing"

	"sekimori/internal/store/verdict"
	"sekimori/milter"
)

const bankZone = `
$ORIGIN example.
bank TXT "v=spf1 ip4:192.0.2.10 -all"
bank A 192.0.2.1
_dmarc.bank TXT "v=DMARC1; p=reject; rua=mailto:d@bank.example; ruf=mailto:f@bank.example"
s1._domainkey.bank TXT RSA
quiet TXT "v=spf1 -all"
_dmarc.quiet TXT "v=DMARC1; p=quarantine; rua=mailto:d@quiet.example"
watch TXT "v=spf1 -all"
_dmarc.watch TXT "v=DMARC1; p=none; rua=mailto:d@watch.example"
bare TXT "v=spf1 -all"
test TXT "v=spf1 -all"
_dmarc.test TXT "v=DMARC1; p=reject; t=y"
_dmarc.lame TYPE65280 \# 0
lame TXT "v=spf1 -all"
forward TXT "v=spf1 ip4:192.0.2.77 -all"
s1._domainkey.forward TXT RSA
lists TXT "v=spf1 ip4:192.0.2.78 -all"
s1._domainkey.lists TXT RSA
s1._domainkey.sealer TXT RSA
`

const bankDraft = `From: =?utf-8?q?B=C3=A4nk?= <info@bank.example>
To: you@here.example
Subject: Your statement
Date: Sun, 22 Nov 2026 08:00:00 +0000
Message-ID: <1@bank.example>
MIME-Version: 1.0

Dear customer,

here is your statement.
`

func draft(from string) string {
	return withCRLF(strings.ReplaceAll(bankDraft, "info@bank.example", from))
}

var good = mail{client: "192.0.2.10:4000", helo: "mx.bank.example", from: "bounce@bank.example", rcpt: []string{"you@here.example"}}
var bad = mail{client: "203.0.113.9:4000", helo: "evil.example", from: "info@bank.example", rcpt: []string{"you@here.example"}}

// TestArrival: a message that passes, and one that is forged, in both modes.
func TestArrival(t *testing.T) {
	g := newGate(t, zone(t, bankZone), Options{})
	good, bad := good, bad
	good.text = signed(t, draft("info@bank.example"), "bank.example")
	bad.text = draft("info@bank.example")

	r, e := g.one(t, good)
	ar := strings.ReplaceAll(strings.ReplaceAll(r.get("Authentication-Results"), "\n\t", " "), "\n ", " ")
	for _, want := range []string{"mx.example; spf=pass smtp.mailfrom=bank.example", "dkim=pass header.d=bank.example", "dmarc=pass header.from=bank.example policy.dmarc=reject"} {
		if !strings.Contains(ar, want) {
			t.Errorf("%q has no %q", ar, want)
		}
	}
	if strings.Contains(r.get("Authentication-Results"), "\r") {
		t.Error("CR in a field for the MTA")
	}
	if e == nil || e.Action != verdict.Accept || e.From != "info@bank.example" || e.MessageID != "1@bank.example" || e.QueueID != "4bQ1" ||
		e.Record.Disposition != "pass" || !e.Record.DKIM || !e.Record.SPF || e.Policy.Domain != "bank.example" || e.Policy.Method != "treewalk" ||
		len(e.Record.DKIMResults) != 1 || e.Why != nil || e.Subject != "" || e.Size != int64(len(good.text)-2) {
		t.Errorf("%+v", e)
	}

	r, e = g.one(t, bad)
	if r.reply.Do != milter.Continue || r.held != "" || e.Action != verdict.Accept || e.Asked != verdict.Quarantine || e.DMARC != "fail" ||
		e.Record.Disposition != "none" || len(e.Record.Reasons) != 1 || e.Record.Reasons[0].Comment != commentMonitoring || len(e.Why) == 0 {
		t.Errorf("%+v %+v", r, e)
	}
	if err := g.Reload(Site{Mode: Enforce}, nil); err != nil {
		t.Fatal(err)
	}
	r, e = g.one(t, bad)
	if r.held != "DMARC fail from=bank.example policy=reject" || e.Action != verdict.Quarantine || e.Record.Disposition != "quarantine" || len(e.Record.Reasons) != 1 || e.Record.Reasons[0].Comment != commentLevel {
		t.Errorf("%+v %+v", r, e)
	}
	if err := g.Reload(Site{Mode: Enforce, OnReject: verdict.Refuse, ExplainURL: "https://mx.example/why"}, nil); err != nil {
		t.Fatal(err)
	}
	r, e = g.one(t, bad)
	if r.reply.Code != 550 || r.reply.Enhanced != "5.7.26" || len(r.reply.Text) != 2 || r.reply.Text[1] != "See https://mx.example/why?c=policy&d=bank.example" ||
		len(r.inserted) != 0 || e.Action != verdict.Refuse || e.Record.Disposition != "reject" || e.Record.Reasons != nil {
		t.Errorf("%+v %+v", r, e)
	}
	t.Logf("%+v", g.Stats().Messages)
}
