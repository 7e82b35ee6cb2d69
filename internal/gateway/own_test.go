package gateway

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/dkim"
	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/milter"
)

// pen signs everything as bank.example.
type pen struct{ t testing.TB }

func (p pen) Begin(h message.Header, d *message.Digests) (Leaving, error) {
	s := &dkim.Signer{Domain: domainName(p.t, "bank.example"), Selector: "s1", Key: testKey(p.t, "rsa")}
	n, err := s.Begin(h, d)
	return nib{n}, err
}

type nib struct{ n *dkim.Signing }

func (n nib) Finish() ([]string, error) {
	f, err := n.n.Finish()
	return []string{f}, err
}

// TestOwn: mail of our own is signed and not verified, and its own results are
// not believed.
func TestOwn(t *testing.T) {
	z := zone(t, bankZone)
	var done []*verdict.Entry
	g := newGate(t, z, Options{Site: Site{Mode: Enforce, OnReject: verdict.Refuse, Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}, Signer: pen{t},
		Done: func(e *verdict.Entry) { done = append(done, e) }})
	outside := newGate(t, z, Options{Site: Site{Mode: Enforce}})
	text := "Authentication-Results: mx.example; dmarc=pass\r\nAuthentication-Results: elsewhere.example; dmarc=pass\r\n" + draft("info@bank.example")
	for name, c := range map[string]struct {
		m    mail
		auth string
	}{
		"signed in":    {mail{client: "198.51.100.1:5", macros: map[string]string{"{auth_authen}": "anna"}}, "mx.example;\n\tauth=pass smtp.auth=anna"},
		"odd name":     {mail{client: "198.51.100.1:5", macros: map[string]string{"{auth_authen}": "a;b\r\nX: y"}}, "mx.example;\n\tauth=pass smtp.auth=\"a;b  X: y\""},
		"from network": {mail{client: "203.0.113.77:5"}, ""},
		"mapped":       {mail{client: "[::ffff:203.0.113.77]:5"}, ""},
		"from here":    {mail{}, ""},
		"sendmail(1)":  {mail{client: "127.0.0.1:0"}, ""},
		"IPv6":         {mail{client: "[::1]:0"}, ""},
	} {
		m := c.m
		m.from, m.rcpt, m.text = "info@bank.example", []string{"you@there.example"}, text
		f := &fake{macros: map[string]string{"j": "mx.example", "i": "4bQ1"}, events: append(m.connection(), m.events(t)...)}
		for k, v := range m.macros {
			f.macros[k] = v
		}
		if err := g.serve(context.Background(), f); err != nil || len(f.results) != 1 {
			t.Fatal(name, err)
		}
		r := f.results[0]
		if r.get("Authentication-Results") != c.auth || strings.Join(r.deleted, ",") != "Authentication-Results 1" || r.reply.Do != milter.Continue || r.held != "" {
			t.Errorf("%s: %+v", name, r)
		}
		// The signature holds, seen from outside.
		signed := good
		signed.text = "DKIM-Signature: " + withCRLF(r.get("DKIM-Signature")) + "\r\n" + text
		if _, e := outside.one(t, signed); e.DKIM != "pass" {
			t.Errorf("%s: dkim=%s", name, e.DKIM)
		}
	}
	if len(g.book.entries) != 0 || len(done) != 7 || done[0].DMARC != "" || done[0].Action != verdict.Accept || done[0].From != "info@bank.example" || done[0].MessageID == "" {
		t.Errorf("%d entries, %d done, %+v", len(g.book.entries), len(done), done[0])
	}
	if s := g.Stats(); len(s.Messages) != 1 || s.Messages[0] != (Count{verdict.Accept, "own", 7}) || s.Removed != 7 || s.Signed != 7 || s.Unsigned != 0 || done[0].DKIM != WordSigned {
		t.Errorf("%+v", s)
	}
	// The next in the same connection is not ours because the one before was.
	f := &fake{macros: map[string]string{"j": "mx.example"}}
	in := bad
	in.client, in.text = "198.51.100.1:5", draft("info@bank.example")
	f.events = append(append(in.connection(), in.events(t)...), in.events(t)...)
	mails := 0
	f.on = func(ev milter.Event) {
		if ev.Kind == milter.Mail {
			if mails++; mails == 1 {
				f.macros["{auth_authen}"] = "anna"
			} else {
				delete(f.macros, "{auth_authen}")
			}
		}
	}
	if err := g.serve(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	if len(f.results) != 2 || f.results[0].reply.Code != 0 || f.results[1].reply.Code != 550 {
		t.Errorf("%+v", f.results)
	}
}

// TestStrangers: who is not ours, though it looks a little like it. Where the MTA
// does not know the client, SPF cannot speak for it: nothing is done.
func TestStrangers(t *testing.T) {
	g := newGate(t, zone(t, bankZone), Options{Site: Site{Mode: Enforce, OnReject: verdict.Refuse}})
	for client, want := range map[string]verdict.Action{"127.0.0.1:25": verdict.Refuse, "203.0.113.9:0": verdict.Refuse, "?": verdict.Accept} {
		m := bad
		m.client, m.text = client, draft("info@bank.example")
		r, e := g.one(t, m)
		if e == nil || e.Action != want || e.DMARC != "fail" {
			t.Errorf("%s: %+v %+v", client, r, e)
			continue
		}
		if client == "?" && (e.SPF != "unknown" || told(e.Record.Reasons) != "other:"+commentNoClient || len(e.Record.SPFResults) != 0) {
			t.Errorf("%s: %+v", client, e)
		}
	}
}

// TestKeys: with keys from files, as the configuration names them.
func TestKeys(t *testing.T) {
	s, warnings, err := LoadKeys([]Key{{Domain: domainName(t, "bank.example"), Selector: "s1", File: private(t)}})
	if err != nil || len(warnings) > 1 {
		t.Fatal(warnings, err)
	}
	g := newGate(t, zone(t, bankZone), Options{Signer: s})
	c := dial(t, g.listen(t), milter.ClientOptions{})
	m := mail{from: "info@bank.example", rcpt: []string{"you@there.example"}, text: draft("info@bank.example")}
	_, h, body := send(t, c, m)
	if !h[0].Is("DKIM-Signature") || h.Has("Authentication-Results") {
		t.Fatal(h)
	}
	var b strings.Builder
	for _, f := range h {
		b.WriteString(f.Raw())
	}
	m = good
	m.text = b.String() + "\r\n" + body
	if _, e := newGate(t, zone(t, bankZone), Options{}).one(t, m); e.DKIM != "pass" {
		t.Errorf("%+v", e)
	}
	// No key for others.
	if _, h, _ = send(t, c, mail{from: "a@b.example", text: draft("a@b.example")}); h.Has("DKIM-Signature") {
		t.Error(h)
	}
}

// private is the test key with a mode that is accepted.
func private(t *testing.T) string {
	t.Helper()
	return copied(t, filepath.Join("..", "check", "testdata", "keys", "rsa.pem"))
}

// TestReload: a message that has begun keeps its site; the next has the new one.
func TestReload(t *testing.T) {
	g := newGate(t, zone(t, bankZone), Options{Site: Site{Mode: Enforce, AuthServID: "old.example"}})
	m := bad
	m.text = draft("info@bank.example")
	f := &fake{events: append(append(m.connection(), m.events(t)...), m.events(t)...)}
	f.on = func(ev milter.Event) {
		if ev.Kind == milter.EndOfHeader {
			if err := g.Reload(Site{AuthServID: "new.example"}, nil); err != nil {
				t.Error(err)
			}
		}
	}
	if err := g.serve(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(f.results[0].get("Authentication-Results"), "old.example;") || f.results[0].held == "" ||
		!strings.HasPrefix(f.results[1].get("Authentication-Results"), "new.example;") || f.results[1].held != "" {
		t.Errorf("%+v", f.results)
	}
	// A bad site changes nothing.
	if err := g.Reload(Site{Mode: "both"}, nil); err == nil {
		t.Error("taken")
	}
	if r := g.deliver(t, m); !strings.HasPrefix(r[0].get("Authentication-Results"), "new.example;") {
		t.Errorf("%+v", r)
	}
}

// TestSite: what is wrong with a site is said.
func TestSite(t *testing.T) {
	for want, s := range map[string]Site{
		"mode":          {Mode: "x"},
		"on_reject":     {OnReject: verdict.Accept},
		"on_quarantine": {OnQuarantine: verdict.Refuse},
		"on_trouble":    {OnTrouble: verdict.Refuse},
		"on_bad_from":   {OnBadFrom: verdict.TryAgain},
		"authserv-id":   {AuthServID: "a b"},
		"trusted":       {TrustedIDs: []string{"x;y"}},
		"explain_url":   {ExplainURL: "mx.example/why"},
		"octet 20":      {ExplainURL: "https://mx.example/%41"},
		"network":       {Networks: []netip.Prefix{{}}},
		"rule 2":        {Rules: []Rule{{From: domainName(t, "a.example")}, {Reason: "none"}}},
		"rule 1":        {Rules: []Rule{{From: domainName(t, "a.example"), Action: verdict.TryAgain}}},
	} {
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		if _, err := New(Options{Site: s, Resolver: zone(t, bankZone)}); err == nil {
			t.Errorf("%s: taken", want)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("without a resolver")
	}
}

// TestReports: our own report mail is in no report; what only looks like it is.
func TestReports(t *testing.T) {
	g := newGate(t, zone(t, bankZone), Options{Site: Site{ReportFrom: "reports@bank.example"}})
	m := good
	m.from = ""
	m.text = signed(t, draft("reports@bank.example"), "bank.example")
	if r, e := g.one(t, m); e != nil || !strings.Contains(r.get("Authentication-Results"), "dmarc=pass") {
		t.Errorf("%+v", e)
	}
	forged, sender, other := m, m, m
	forged.text = draft("reports@bank.example")
	sender.from = "x@bank.example"
	other.text = signed(t, draft("info@bank.example"), "bank.example")
	for _, m := range []mail{forged, sender, other} {
		if _, e := g.one(t, m); e == nil {
			t.Errorf("%+v is not kept", m)
		}
	}
}

// TestFailureCases: of which messages failure reports are told.
func TestFailureCases(t *testing.T) {
	var cases []FailureCase
	g := newGate(t, zone(t, bankZone+`
_dmarc.any TXT "v=DMARC1; p=none; fo=1; ruf=mailto:f@any.example"
any TXT "v=spf1 -all"
s1._domainkey.any TXT RSA
_dmarc.some TXT "v=DMARC1; p=none; fo=s; ruf=mailto:f@any.example"
some TXT "v=spf1 -all"
s1._domainkey.some TXT RSA
_dmarc.sigs TXT "v=DMARC1; p=none; fo=d; ruf=mailto:f@any.example"
sigs TXT "v=spf1 ip4:203.0.113.9 -all"
s1._domainkey.sigs TXT RSA
`), Options{Failure: func(_ context.Context, c FailureCase) { cases = append(cases, c) }})
	for _, c := range []struct {
		name, from, by string
		broken         bool
		want           int
	}{
		{name: "fails", from: "bank", want: 1},
		{name: "passes", from: "bank", by: "bank"},
		{name: "no ruf", from: "quiet"},
		{name: "any", from: "any", by: "any", want: 1},
		{name: "SPF", from: "some", by: "some", want: 1},
		{name: "signature", from: "sigs", by: "sigs", broken: true, want: 1},
		{name: "no failing signature", from: "sigs", by: "sigs"},
		{name: "no record", from: "bare"},
	} {
		cases = nil
		m := bad
		m.from, m.text = "a@"+c.from+".example", draft("a@"+c.from+".example")
		if c.by != "" {
			m.text = signed(t, m.text, c.by+".example")
		}
		if c.broken {
			m.text = strings.Replace(m.text, "statement.", "invoice.", 1)
		}
		_, e := g.one(t, m)
		if len(cases) != c.want {
			t.Errorf("%s: %d cases (%+v)", c.name, len(cases), e)
			continue
		}
		for _, f := range cases {
			if f.Entry != e || f.Port != 4000 || f.Delivery != "delivered" || !strings.HasPrefix(f.AuthenticationResults, "mx.example; spf=") || f.Header.Get("Subject") != "Your statement" || f.Verdict.DMARC.Record == nil {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
	}
	// What is handed out stays as it is while other messages go through.
	cases = nil
	m := bad
	m.text = draft("info@bank.example")
	g.one(t, m)
	first := cases[0]
	for range 20 {
		m.text = strings.ReplaceAll(draft("a@bank.example"), "Your statement", "Something else")
		g.one(t, m)
	}
	if first.Header.Get("Subject") != "Your statement" || first.Entry.From != "info@bank.example" {
		t.Errorf("%+v", first)
	}
}

// broken is a key that cannot sign.
type broken struct{ begin error }

func (b broken) Begin(message.Header, *message.Digests) (Leaving, error) { return b, b.begin }

func (b broken) Finish() ([]string, error) { return nil, errors.New("the key is gone") }

// TestUnsigned: own mail that goes out unsigned although there is a key is
// counted, and the log's line says so.
func TestUnsigned(t *testing.T) {
	for name, c := range map[string]struct {
		pen  Departure
		text string
		want string
	}{
		"begins not":    {broken{errors.New("no")}, draft("info@bank.example"), WordUnsigned},
		"ends not":      {broken{}, draft("info@bank.example"), WordUnsigned},
		"no key at all": {nil, draft("info@bank.example"), ""},
		"long header":   {pen{t}, "X: " + strings.Repeat("x", 2<<20) + "\r\n" + draft("info@bank.example"), WordUnsigned},
	} {
		var done *verdict.Entry
		g := newGate(t, zone(t, bankZone), Options{Signer: c.pen, Done: func(e *verdict.Entry) { done = e }})
		m := mail{from: "info@bank.example", rcpt: []string{"you@there.example"}, text: c.text}
		f := &fake{macros: map[string]string{"j": "mx.example"}, events: append(m.connection(), m.events(t)...)}
		if err := g.serve(context.Background(), f); err != nil || done == nil {
			t.Fatal(name, err)
		}
		if s := g.Stats(); done.DKIM != c.want || s.Signed != 0 || (s.Unsigned == 1) != (c.want != "") || f.results[0].reply.Do != milter.Continue {
			t.Errorf("%s: %q, %+v", name, done.DKIM, s)
		}
	}
}
