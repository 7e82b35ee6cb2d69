package gateway

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"sekimori/internal/store/verdict"
	"sekimori/milter"
)

// play makes events of octets: each begins with a kind and a length.
func play(data []byte) []milter.Event {
	var out []milter.Event
	for len(data) >= 2 && len(out) < 200 {
		kind, n := milter.Kind(data[0]%13), int(data[1])
		data = data[2:]
		n = min(n, len(data))
		text := string(data[:n])
		data = data[n:]
		ev := milter.Event{Kind: kind}
		switch kind {
		case milter.Connect:
			ev.Family = "46LU\x00"[n%5]
			if len(text) >= 4 {
				ev.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte([]byte(text[:4]))), 25)
			}
		case milter.Helo, milter.Unknown:
			ev.Name = text
		case milter.Mail, milter.Rcpt:
			ev.Args = strings.Split(text, " ")
		case milter.HeaderField:
			ev.Name, ev.Value, _ = strings.Cut(text, ":")
		case milter.Body:
			ev.Body = []byte(text)
		}
		out = append(out, ev)
	}
	return out
}

func frame(kind milter.Kind, text string) string {
	return string([]byte{byte(kind), byte(len(text))}) + text
}

// FuzzSession: whatever a session says, nothing panics, every end of a message
// is answered once, what is inserted is one field each, and what is monitored
// is not treated differently.
func FuzzSession(f *testing.F) {
	f.Add(frame(milter.Connect, "\xcb\x00\x71\x09")+frame(milter.Helo, "mx.example")+frame(milter.Mail, "<info@bank.example>")+frame(milter.Rcpt, "<a@b.example>")+
		frame(milter.HeaderField, "From: info@bank.example")+frame(milter.HeaderField, "Authentication-Results: mx.example; dmarc=pass")+
		frame(milter.HeaderField, "DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=s1; h=from; bh=x; b=x")+
		frame(milter.HeaderField, "List-Id: <ml.example>")+frame(milter.HeaderField, "BIMI-Selector: v=BIMI1; s=x")+
		frame(milter.EndOfHeader, "")+frame(milter.Body, "text\r\n")+frame(milter.EndOfMessage, ""), "", false)
	f.Add(frame(milter.EndOfMessage, "")+frame(milter.Mail, "")+frame(milter.Abort, ""), "anna", true)
	z := zone(f, bimiZone)
	f.Fuzz(func(t *testing.T, said, user string, enforce bool) {
		site := Site{OnReject: verdict.Refuse, OnTrouble: verdict.TryAgain, OnBadFrom: verdict.Mark, ExplainURL: "https://mx.example/why", Subjects: true,
			Rules: []Rule{{List: domainName(t, "ml.example")}, {Sealer: domainName(t, "sealer.example")}, {Forwarder: domainName(t, "forward.example"), MailFrom: domainName(t, "forward.example")}}}
		if enforce {
			site.Mode = Enforce
		}
		g := newGate(t, z, Options{Site: site, Fault: func(err error) { t.Error(err) }})
		s := &fake{macros: map[string]string{"{auth_authen}": user, "j": "mx.example"}, events: play([]byte(said))}
		begun, ends := false, 0
		s.on = func(ev milter.Event) {
			switch ev.Kind {
			case milter.Mail:
				begun = true
			case milter.Abort, milter.Connect:
				begun = false
			case milter.EndOfMessage:
				if begun {
					ends++
				}
				begun = false
			}
		}
		if err := g.serve(context.Background(), s); err != nil {
			t.Fatal(err)
		}
		if len(s.results) != ends {
			t.Errorf("%d answers to %d messages", len(s.results), ends)
		}
		for _, r := range s.results {
			for _, a := range r.inserted {
				if strings.ContainsAny(strings.NewReplacer("\n\t", "", "\n ", "").Replace(a.value), "\r\n\x00") {
					t.Errorf("inserts %q", a)
				}
			}
			for _, line := range append(r.reply.Text, r.held) {
				if line != ascii(line, maxReplyLine+10) {
					t.Errorf("says %q", line)
				}
			}
			if !enforce && (r.reply.Do != milter.Continue || r.held != "" || r.get(markerName) != "") {
				t.Errorf("monitored, and %+v", r)
			}
		}
		if s := g.Stats(); s.InProgress != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// FuzzListDomain: whatever the fields say, no more than a name comes out.
func FuzzListDomain(f *testing.F) {
	for _, s := range []string{"x <ml.example>", "<a@ml.example>", "ml.example", "<<>>", "\xff<x", "<mailto:a@ml.example?x>"} {
		f.Add("List-Id", s)
		f.Add("List-Post", s)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		a := arrival{}
		a.field(name, value, true)
		a.endOfHeader()
		if d := listDomain(a.header); len(d.String()) > 253 {
			t.Error(d)
		}
	})
}
