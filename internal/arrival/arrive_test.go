//go:build unix

package arrival

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sekimori/arc"
	"sekimori/internal/mailserver"
)

// fate is what becomes of a message.
type fate string

const (
	delivered fate = "delivered"
	marked    fate = "marked" // delivered, with X-Spam-Flag
	held      fate = "held"
	refused   fate = "refused"
	later     fate = "later"
)

// arriving is a message, what the field has to say of it, and what becomes of
// it at the gateways that hold and refuse. The one that monitors delivers all.
type arriving struct {
	name         string
	send         mailserver.Letter
	want         string
	hold, refuse fate
}

// fine is what is delivered everywhere.
func fine(name string, send mailserver.Letter, want string) arriving {
	return arriving{name, send, want, delivered, delivered}
}

// bad is what fails where the domain says reject.
func bad(name string, send mailserver.Letter, want string) arriving {
	return arriving{name, send, want, held, refused}
}

const (
	nobody  = "bounce@silent.example"
	forged  = "x@mallory.example"
	atBank  = "info@bank.example"
	bankAR  = "dmarc=pass bank.example reject"
	bankBad = "dmarc=fail bank.example reject"
	none    = "spf=none silent.example; "
	mallorS = "spf=pass mallory.example; "
)

func arrivals() []arriving {
	bank := func(id string, more ...string) *letter { return compose(id, atBank, more...) }
	sealed := func(by, dmarc string) *letter {
		return bank("sealed").signed("bank.example", "r").footer().sealed(by, arc.None, by+"; dmarc="+dmarc+" header.from=bank.example; dkim="+dmarc+" header.d=bank.example")
	}
	seal := "; arc=pass"
	utf8 := func(l *letter, client, from string) mailserver.Letter {
		e := l.from(client, from)
		e.Parameters, e.Helo = "SMTPUTF8 BODY=8BITMIME", "mail.other.example"
		return e
	}
	null := bank("null").from(bankMail, "")
	null.Helo = "mail.bank.example"
	bits := bank("bits", "X-Note: caf\xe9 \x83e\x83X\x83g")
	bits.body = "8 bits: \xe9\xff\x80 \x1b$B4XLg\x1b(B\r\n"
	return []arriving{
		// What is right.
		fine("SPF only", bank("spf").from(bankMail, atBank), "spf=pass bank.example; dkim=none; "+bankAR),
		fine("DKIM only", bank("dkim").signed("bank.example", "r").from(elsewhere, nobody), none+"dkim=pass bank.example/r; "+bankAR),
		fine("SPF and DKIM", bank("both").signed("bank.example", "r").from(bankMail, atBank), "spf=pass bank.example; dkim=pass bank.example/r; "+bankAR),
		fine("Ed25519", bank("ed").signed("bank.example", "e").from(elsewhere, nobody), none+"dkim=pass bank.example/e; "+bankAR),
		fine("two signatures", bank("two").signed("bank.example", "r", "e").from(elsewhere, nobody), none+"dkim=pass bank.example/r; dkim=pass bank.example/e; "+bankAR),
		fine("relaxed alignment", bank("relaxed").from(bankMail, "x@mail.bank.example"), "spf=pass mail.bank.example; dkim=none; "+bankAR),
		fine("notification", null, "spf=pass mail.bank.example; dkim=none; "+bankAR),
		fine("IPv6", bank("six").from("2001:db8:10::25", atBank), "spf=pass bank.example; dkim=none; "+bankAR),
		bad("IPv6 of another", bank("six").from("2001:db8:11::25", atBank), "spf=fail bank.example; dkim=none; "+bankBad),
		fine("no policy", compose("silent", "a@silent.example").from(elsewhere, nobody), none+"dkim=none; dmarc=none silent.example"),
		fine("no policy, softfail", compose("soft", "a@soft.example").from(elsewhere, "a@soft.example"), "spf=softfail soft.example; dkim=none; dmarc=none soft.example"),

		// Forged.
		bad("forged, reject", bank("f1").from(mallory, forged), mallorS+"dkim=none; "+bankBad),
		bad("forged, signed by the forger", bank("f2").signed("mallory.example", "r").from(mallory, forged), mallorS+"dkim=pass mallory.example/r; "+bankBad),
		bad("forged, the victim in the envelope", bank("f3").from(mallory, atBank), "spf=fail bank.example; dkim=none; "+bankBad),
		bad("changed on the way", bank("f4").signed("bank.example", "r").footer().from(mallory, forged), mallorS+"dkim=fail bank.example/r; "+bankBad),
		{"forged, quarantine", compose("f5", "a@city.example").from(mallory, forged), mallorS + "dkim=none; dmarc=fail city.example quarantine", held, marked},
		fine("forged, none", compose("f6", "a@shop.example").from(mallory, forged), mallorS+"dkim=none; dmarc=fail shop.example none"),
		bad("subdomain under sp", compose("f7", "a@www.corp.example").from(mallory, forged), mallorS+"dkim=none; dmarc=fail www.corp.example reject"),
		fine("the domain above sp", compose("f8", "a@corp.example").from(mallory, forged), mallorS+"dkim=none; dmarc=fail corp.example none"),
		bad("subdomain that does not exist under np", compose("f9", "a@invoice.gov.example").from(mallory, forged), mallorS+"dkim=none; dmarc=fail invoice.gov.example reject"),
		fine("subdomain that exists beside np", compose("f10", "a@www.gov.example").from(mallory, forged), mallorS+"dkim=none; dmarc=fail www.gov.example none"),
		bad("subdomain that does not exist", compose("f11", "a@login.bank.example").from(mallory, forged), mallorS+"dkim=none; dmarc=fail login.bank.example reject"),
		{"policy on trial", compose("f12", "a@trial.example").from(mallory, forged), mallorS + "dkim=none; dmarc=fail trial.example quarantine", held, marked},
		bad("strict alignment", compose("f13", "a@strict.example").signed("mail.strict.example", "r").from(bankMail, "a@mail.strict.example"),
			"spf=pass mail.strict.example; dkim=pass mail.strict.example/r; dmarc=fail strict.example reject"),
		bad("SPF in a loop", compose("f14", "a@loop.example").from(mallory, "a@loop.example"), "spf=permerror loop.example; dkim=none; dmarc=fail loop.example reject"),
		fine("lookalike", compose("l1", "info@bank-example.example").signed("bank-example.example", "r").from(mallory, "info@bank-example.example"),
			"spf=pass bank-example.example; dkim=pass bank-example.example/r; dmarc=pass bank-example.example reject"),
		fine("lookalike in Unicode", utf8(compose("l2", "info@bánk.example").signed("xn--bnk-ela.example", "r"), mallory, forged), mallorS+"dkim=pass xn--bnk-ela.example/r; dmarc=pass xn--bnk-ela.example reject"),
		fine("the victim in the name", compose("l3", `"info@bank.example" <x@mallory.example>`).from(mallory, forged), mallorS+"dkim=none; dmarc=pass mallory.example reject"),
		fine("the victim as an encoded word", compose("l4", `=?utf-8?q?info=40bank.example?= <x@mallory.example>`).from(mallory, forged), mallorS+"dkim=none; dmarc=pass mallory.example reject"),
		bad("the forger in the name", compose("l5", `x@mallory.example <info@bank.example>`).from(mallory, forged), mallorS+"dkim=none; "+bankBad),
		bad("the forger in a comment", compose("l6", `info@bank.example (x@mallory.example)`).from(mallory, forged), mallorS+"dkim=none; "+bankBad),

		// Forwarded.
		fine("forwarded, signature whole", bank("w1").signed("bank.example", "r").from(stranger, "srs@forward.example"), "spf=pass forward.example; dkim=pass bank.example/r; "+bankAR),
		bad("forwarded, changed", bank("w2").signed("bank.example", "r").footer().from(stranger, "srs@forward.example"), "spf=pass forward.example; dkim=fail bank.example/r; "+bankBad),
		fine("forwarded by a trusted forwarder", bank("w3").signed("bank.example", "r").footer().from(alumni, "srs@alumni.example"), "spf=pass alumni.example; dkim=fail bank.example/r; "+bankBad),
		bad("forwarded by a false trusted forwarder", bank("w4").from(mallory, "srs@alumni.example"), "spf=fail alumni.example; dkim=none; "+bankBad),
		fine("sealed", sealed("sealer.example", "pass").from(sealMail, nobody), none+"dkim=fail bank.example/r"+seal+"; "+bankBad),
		bad("sealed by nobody known", sealed("badsealer.example", "pass").from(sealMail, nobody), none+"dkim=fail bank.example/r"+seal+"; "+bankBad),
		bad("sealed as failed", sealed("sealer.example", "fail").from(sealMail, nobody), none+"dkim=fail bank.example/r"+seal+"; "+bankBad),
		bad("sealed, then changed", sealed("sealer.example", "pass").footer().from(sealMail, nobody), none+"dkim=fail bank.example/r; arc=fail; "+bankBad),
		fine("from the branch office", bank("w5").from(branch, nobody), none+"dkim=none; "+bankBad),
		{"from a domain of the site's choice", compose("w6", "a@banned.example").from(bankMail, "a@banned.example"), "spf=pass banned.example; dkim=none; dmarc=pass banned.example none", refused, refused},

		// Mailing lists.
		fine("list", bank("m1", "List-Id: Announce <announce.ml.example>").signed("bank.example", "r").footer().signed("ml.example", "r").from(listMail, "bounces@ml.example"),
			"spf=pass ml.example; dkim=pass ml.example/r; dkim=fail bank.example/r; "+bankBad),
		bad("another list", bank("m2", "List-Id: <announce.otherlist.example>").signed("bank.example", "r").footer().signed("otherlist.example", "r").from(listMail, "bounces@otherlist.example"),
			"spf=pass otherlist.example; dkim=pass otherlist.example/r; dkim=fail bank.example/r; "+bankBad),
		bad("a list's name alone", bank("m3", "List-Id: <announce.ml.example>").from(mallory, forged), mallorS+"dkim=none; "+bankBad),

		// Authors.
		bad("two From fields", bank("a1").top("From: x@mallory.example").signed("mallory.example", "r").from(mallory, forged), mallorS+"dkim=pass mallory.example/r; "+bankBad),
		bad("two From fields, the other way round", compose("a2", "x@mallory.example").signed("mallory.example", "r").top("From: info@bank.example").from(mallory, forged), mallorS+"dkim=fail mallory.example/r; "+bankBad),
		bad("two authors", compose("a3", "x@mallory.example, info@bank.example").from(mallory, forged), mallorS+"dkim=none; "+bankBad),
		bad("two authors, the other way round", compose("a4", "info@bank.example, x@mallory.example").from(mallory, forged), mallorS+"dkim=none; "+bankBad),
		bad("no From", compose("a5", "").from(mallory, forged), mallorS+"dkim=none; dmarc=permerror"),
		bad("group", compose("a6", "undisclosed-senders:;").from(mallory, forged), mallorS+"dkim=none; dmarc=permerror"),
		bad("group with a member", compose("a7", "Us: info@bank.example;").from(mallory, forged), mallorS+"dkim=none; "+bankBad),
		bad("no domain", compose("a8", "Bank of Example <bank>").from(mallory, forged), mallorS+"dkim=none; dmarc=permerror"),
		bad("no address", compose("a9", "<>").from(mallory, forged), mallorS+"dkim=none; dmarc=permerror"),

		// Other letters.
		fine("A-label", compose("i1", "a@xn--fsqu00a.example").from(bankMail, "a@xn--fsqu00a.example"), "spf=pass xn--fsqu00a.example; dkim=none; dmarc=pass xn--fsqu00a.example reject"),
		bad("A-label, forged", compose("i2", "a@xn--fsqu00a.example").from(mallory, forged), mallorS+"dkim=none; dmarc=fail xn--fsqu00a.example reject"),
		fine("U-label", utf8(compose("i3", "用戶@例子.example").signed("xn--fsqu00a.example", "r"), bankMail, "用戶@例子.example"),
			"spf=pass xn--fsqu00a.example; dkim=pass xn--fsqu00a.example/r; dmarc=pass xn--fsqu00a.example reject"),
		bad("U-label, forged", utf8(compose("i4", "用戶@例子.example"), mallory, forged), mallorS+"dkim=none; dmarc=fail xn--fsqu00a.example reject"),
		fine("eight bits", bits.signed("bank.example", "r", "e").from(elsewhere, nobody), none+"dkim=pass bank.example/r; dkim=pass bank.example/e; "+bankAR),
	}
}

// TestArrivals brings every message to every gateway.
func TestArrivals(t *testing.T) {
	w := here(t)
	for _, gate := range []string{"hold", "refuse", "monitor"} {
		t.Run(gate, func(t *testing.T) {
			t.Parallel()
			for _, a := range arrivals() {
				t.Run(a.name, func(t *testing.T) {
					want := map[string]fate{"hold": a.hold, "refuse": a.refuse, "monitor": delivered}[gate]
					got, text := w.bring(t, gate, a.send)
					if got != want {
						t.Errorf("%s, want %s: %s", got, want, text)
					}
					if got == refused && (!strings.HasPrefix(text, "550 5.7.") || gate == "refuse" && !strings.Contains(text, " https://mx.receiver.example/why?")) {
						t.Errorf("refused with %s", text)
					}
					if got == refused || got == later || t.Failed() {
						return
					}
					if field, err := said([]byte(text)); err != nil || field != a.want {
						t.Errorf("%v\n got %s\nwant %s", err, field, a.want)
					}
				})
			}
		})
	}
}

// bring sends a message through a gateway and says what became of it: the
// message as it lies there, or the reply.
func (w *world) bring(t *testing.T, gate string, l mailserver.Letter) (fate, string) {
	t.Helper()
	r, err := w.postfix.Send(gate, l)
	if err != nil {
		t.Fatalf("%v: %s", err, w.gates[gate].log())
	}
	return w.fateOf(t, gate, r)
}

// fateOf says what became of a message that was answered so.
func (w *world) fateOf(t *testing.T, gate string, r mailserver.Reply) (fate, string) {
	t.Helper()
	switch r.Code / 100 {
	case 5:
		return refused, r.String()
	case 4:
		return later, r.String()
	}
	place, text, err := w.postfix.Await(r.ID(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if place == mailserver.InHold {
		return held, string(text)
	}
	if head, _, _ := strings.Cut(string(text), "\n\n"); strings.Contains(head, "\nX-Spam-Flag: YES\n") || strings.HasPrefix(head, "X-Spam-Flag: YES\n") {
		return marked, string(text)
	}
	return delivered, string(text)
}

// TestWhy follows the address in a refusal: the page names the domain and what
// to do, in the reader's language, and shows nothing that somebody put there.
func TestWhy(t *testing.T) {
	w := here(t)
	got, text := w.bring(t, "refuse", compose("why", atBank).from(mallory, forged))
	if got != refused || !strings.HasPrefix(text, "550 5.7.26 ") || !strings.Contains(text, "bank.example") {
		t.Fatalf("%s: %s", got, text)
	}
	_, query, ok := strings.Cut(text, "https://mx.receiver.example/why")
	if !ok {
		t.Fatal(text)
	}
	query = strings.Fields(query)[0]
	for _, c := range []struct{ query, language, want string }{
		{query, "en", "bank.example"}, {query, "ja", "bank.example"}, {query, "ja", "メール"},
		{strings.Replace(query, "bank.example", "%3Cscript%3Ealert(1)%3C/script%3E", 1), "en", ""}, {"?c=%22%3E%3Cimg%20src=x%3E&d=%00", "ja", ""}, {"", "en", ""},
	} {
		r, err := http.NewRequest("GET", "http://"+w.gates["refuse"].http+"/why"+c.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Language", c.language)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode >= 500 || c.want != "" && (answer.StatusCode != 200 || !strings.Contains(string(page), c.want)) {
			t.Errorf("%s: %s %v\n%s", c.query, answer.Status, err, page)
		}
		if strings.Contains(string(page), "<script>alert") || strings.Contains(string(page), "<img src=x") {
			t.Errorf("%s: %s", c.query, page)
		}
		if !strings.Contains(answer.Header.Get("Content-Security-Policy"), "default-src") {
			t.Errorf("Content-Security-Policy: %q", answer.Header.Get("Content-Security-Policy"))
		}
	}
}
