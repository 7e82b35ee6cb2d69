package gateway

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/internal/store/verdict"
	"sekimori/milter"
)

// TestLongHeaders: a header beyond the limits is not kept, and no way around
// the author's policy; results in it go, forged or not.
func TestLongHeaders(t *testing.T) {
	site := Site{Mode: Enforce, OnReject: verdict.Refuse}
	g := newGate(t, zone(t, bankZone), Options{Site: site})
	long := strings.Repeat("X-Filler: "+strings.Repeat("x", 990)+"\r\n", 1300)
	ar := "Authentication-Results: other.example; dmarc=pass\r\n"
	for name, c := range map[string]struct {
		m    mail
		want verdict.Action
		say  string
	}{
		"forged, From on top":        {mail{text: draft("info@bank.example")[:30] + "\r\n" + ar + long + ar + draft("info@bank.example")[33:]}, verdict.Quarantine, "dmarc=permerror"},
		"forged, From below":         {mail{text: ar + long + ar + draft("info@bank.example")}, verdict.Quarantine, "dmarc=fail"},
		"SPF passes":                 {mail{client: good.client, from: good.from, text: long + ar + ar + draft("info@bank.example")}, verdict.Accept, "dmarc=pass"},
		"no policy":                  {mail{text: long + draft("a@bare.example")}, verdict.Accept, "dmarc=none"},
		"p=none":                     {mail{text: long + draft("a@watch.example")}, verdict.Accept, "dmarc=fail"},
		"a From that is itself long": {mail{text: long + "From: " + strings.Repeat("a@bank.example,\r\n ", 5000) + "a@bank.example\r\n\r\n"}, verdict.Quarantine, "dmarc=permerror"},
		"many From":                  {mail{text: long + strings.Repeat("From: a@bare.example\r\n", 1000) + "\r\n"}, verdict.Quarantine, "dmarc=none"},
		"many fields":                {mail{text: strings.Repeat("X: y\r\n", maxFields+10) + draft("info@bank.example")}, verdict.Quarantine, "dmarc=fail"},
	} {
		m := c.m
		if m.client == "" {
			m.client, m.from = bad.client, bad.from
		}
		r, e := g.one(t, m)
		if e.Action != c.want || !strings.Contains(r.get("Authentication-Results"), c.say) || strings.Contains(r.get("Authentication-Results"), "dkim=none") ||
			len(r.deleted) != strings.Count(m.text, "Authentication-Results") || e.DKIM != "policy" {
			t.Errorf("%s: %s %s, deleted %q, why %+v", name, e.Action, r.get("Authentication-Results"), r.deleted, e.Why)
		}
	}
	// Ten thousand fields are within the limits.
	m := good
	m.text = signed(t, strings.Repeat("X-Many: field\r\n", 10_000)+draft("info@bank.example"), "bank.example")
	if r, e := g.one(t, m); e.DKIM != "pass" || len(r.deleted) != 0 {
		t.Errorf("%+v", e)
	}
}

// TestMemory: a long body and a long header cost nothing that stays.
func TestMemory(t *testing.T) {
	g := newGate(t, zone(t, bankZone), Options{})
	n := session{g: g.Gateway, c: &fake{}}
	piece := []byte(strings.Repeat("All work and no play makes a dull message.\r\n", 1490)[:65535])
	say := func(ev milter.Event) {
		if err := n.take(context.Background(), ev); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, ev := range append(good.connection(), milter.Event{Kind: milter.Mail, Args: []string{"<a@bank.example>"}}) {
		say(ev)
	}
	for range 100 {
		for range 20_000 {
			say(milter.Event{Kind: milter.HeaderField, Name: "X", Value: " y\n z"})
		}
		say(milter.Event{Kind: milter.HeaderField, Name: "From", Value: strings.Repeat("x", 50_000)})
	}
	say(milter.Event{Kind: milter.EndOfHeader})
	for range 50 << 20 / len(piece) {
		say(milter.Event{Kind: milter.Body, Body: piece})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 6<<20 {
		t.Errorf("%d octets more", grown)
	}
	say(milter.Event{Kind: milter.EndOfMessage})
	if e := g.book.entries[0]; e.Size < 50<<20 {
		t.Errorf("%+v", e)
	}
}

// TestSessionsMemory bounds what messages in progress cost.
func TestSessionsMemory(t *testing.T) {
	g := newGate(t, zone(t, bankZone), Options{})
	m := sized(t, 10<<10)
	events := append(m.connection(), m.events(t)...)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	open := make([]*session, 1000)
	for i := range open {
		open[i] = &session{g: g.Gateway, c: &fake{}}
		for _, ev := range events[:len(events)-1] {
			if err := open[i].take(context.Background(), ev); err != nil {
				t.Fatal(err)
			}
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse)) / int64(len(open))
	t.Logf("%d octets for each message in progress", each)
	if each > 50_000 {
		t.Errorf("%d octets for each message in progress", each)
	}
	runtime.KeepAlive(open)
}

// odd is a session that says what it likes.
func TestOddSessions(t *testing.T) {
	g := newGate(t, zone(t, bankZone), Options{Site: Site{Mode: Enforce}})
	from := milter.Event{Kind: milter.Mail, Args: []string{"<info@bank.example>"}}
	end := milter.Event{Kind: milter.EndOfMessage}
	field := func(name, value string) milter.Event {
		return milter.Event{Kind: milter.HeaderField, Name: name, Value: value}
	}
	client := milter.Event{Kind: milter.Connect, Family: '4', Addr: netip.MustParseAddrPort("203.0.113.9:1")}
	for name, events := range map[string][]milter.Event{
		"nothing":             {},
		"end only":            {end},
		"body only":           {{Kind: milter.Body, Body: []byte("x")}, end},
		"no connect":          {from, end},
		"no arguments":        {client, {Kind: milter.Mail}, {Kind: milter.Rcpt}, end},
		"odd arguments":       {client, {Kind: milter.Mail, Args: []string{"<<>>@[]\x00\r\n"}}, {Kind: milter.Rcpt, Args: []string{"\xff"}}, end},
		"no end of header":    {client, from, field("From", " info@bank.example"), end},
		"two ends of header":  {client, from, field("From", " info@bank.example"), {Kind: milter.EndOfHeader}, {Kind: milter.EndOfHeader}, end},
		"fields in the body":  {client, from, {Kind: milter.EndOfHeader}, {Kind: milter.Body, Body: []byte("x")}, field("From", " info@bank.example"), end},
		"no names":            {client, from, field("", ""), field(" ", "x"), field("a b", "c"), field("a:b", "c"), field("\x00", "\x00"), field("\xff", "\xff"), field("From", " info@bank.example"), end},
		"smuggled":            {client, from, field("Subject", " x\n\nFrom: a@b.example\r\r\n\r\n"), field("From", " info@bank.example\nAuthentication-Results: mx.example; dmarc=pass"), end},
		"bare CR and NUL":     {client, from, field("From", " info@bank.example"), field("X", "a\rb\x00c\n"), {Kind: milter.EndOfHeader}, {Kind: milter.Body, Body: []byte("\x00\r\n.\r\n\n.\n\r.\r")}, end},
		"eight bits":          {client, from, field("From", " \xe9t\xe9 <info@bank.example>"), field("Subject", " \xff\xfe"), end},
		"mail in mail":        {client, from, field("From", " a@b.example"), from, field("From", " info@bank.example"), end},
		"abort, then another": {client, from, field("From", " a@b.example"), {Kind: milter.Abort}, {Kind: milter.Abort}, from, field("From", " info@bank.example"), end},
		"after the end":       {client, from, field("From", " info@bank.example"), end, end, {Kind: milter.Body, Body: []byte("x")}, {Kind: milter.EndOfHeader}},
		"unknown kinds":       {client, {Kind: milter.Unknown}, {Kind: milter.Data}, {Kind: 99}, from, field("From", " info@bank.example"), end},
		"family unknown":      {{Kind: milter.Connect, Family: 'U', Host: "unknown"}, from, field("From", " info@bank.example"), end},
		"no family":           {{Kind: milter.Connect}, from, end},
		"many recipients":     append(append([]milter.Event{client, from}, slicesRepeat(milter.Event{Kind: milter.Rcpt, Args: []string{"<" + strings.Repeat("x", 9000) + "@y>"}}, 3000)...), end),
	} {
		f := &fake{events: events}
		before := len(g.book.entries)
		if err := g.serve(context.Background(), f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, r := range f.results {
			for _, a := range r.inserted {
				if strings.ContainsAny(strings.ReplaceAll(a.value, "\n\t", ""), "\r\n\x00") || !strings.HasPrefix(a.value, "mx.example;") {
					t.Errorf("%s: inserts %q", name, a.value)
				}
			}
		}
		for _, e := range g.book.entries[before:] {
			if len(e.Rcpt) > maxRcpt || len(e.Rcpt) > 0 && len(e.Rcpt[0]) > maxAddress || strings.ContainsAny(e.MailFrom+e.From, "\r\n\x00") {
				t.Errorf("%s: %+v", name, e)
			}
			if name != "odd arguments" && name != "no arguments" && name != "many recipients" && name != "no connect" && e.DMARC != "fail" && e.DMARC != "permerror" {
				t.Errorf("%s: %s", name, e.DMARC)
			}
		}
	}
	if s := g.Stats(); s.Panics != 0 || s.InProgress != 0 {
		t.Errorf("%+v", s)
	}
}

func slicesRepeat(ev milter.Event, n int) []milter.Event {
	out := make([]milter.Event, n)
	for i := range out {
		out[i] = ev
	}
	return out
}

// blind is a resolver in which something is wrong.
type blind struct {
	dns.Resolver
	fault func(ctx context.Context, name string) error
	mu    sync.Mutex
	asked int
}

func (b *blind) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	b.mu.Lock()
	b.asked++
	b.mu.Unlock()
	if err := b.fault(ctx, name); err != nil {
		return dns.Answer{}, err
	}
	return b.Resolver.Lookup(ctx, name, t)
}

// quick has every answer at hand, so that questions are asked in place.
type quick struct{ *blind }

func (q quick) Cached(name string, t dns.Type) (dns.Answer, error, bool) {
	a, err := q.Resolver.Lookup(context.Background(), name, t)
	return a, err, true
}

// TestFaults: whatever panics, the message is taken unverified, and the next is
// verified.
func TestFaults(t *testing.T) {
	z := zone(t, bankZone)
	m := good
	m.text = signed(t, draft("info@bank.example"), "bank.example")
	for _, where := range []string{"bank.example", "_dmarc.bank.example", "s1._domainkey.bank.example", "quick bank.example", "quick _dmarc.bank.example", "quick s1._domainkey.bank.example"} {
		bad, inPlace := strings.CutPrefix(where, "quick ")
		var broken atomic.Bool
		broken.Store(true)
		var told []error
		b := &blind{Resolver: z, fault: func(_ context.Context, name string) error {
			if broken.Load() && name == bad {
				panic("a bug")
			}
			return nil
		}}
		var r dns.Resolver = b
		if inPlace {
			r = quick{b}
		}
		g := newGate(t, r, Options{Site: Site{Mode: Enforce, OnReject: verdict.Refuse, OnTrouble: verdict.TryAgain}, Fault: func(err error) { told = append(told, err) }})
		did, e := g.one(t, m)
		if r := did; len(r.inserted) != 1 || r.inserted[0].value != "mx.example;\n\tdmarc=temperror" || r.reply.Do != milter.Continue || e.Action != verdict.Accept || e.DMARC != "temperror" || e.Policy != (verdict.Policy{}) || len(told) != 1 || !strings.Contains(told[0].Error(), "a bug") {
			t.Errorf("%s: %+v %+v %v", where, did, e, told)
		}
		broken.Store(false)
		if _, e := g.one(t, m); e.DMARC != "pass" {
			t.Errorf("%s: %s afterwards", where, e.DMARC)
		}
		if s := g.Stats(); s.Panics != 1 || s.InProgress != 0 || len(g.book.entries) != 2 {
			t.Errorf("%s: %+v", where, s)
		}
	}
	// In the log, in the callbacks.
	for name, o := range map[string]Options{
		"log":     {Log: faulty{}},
		"done":    {Done: func(*verdict.Entry) { panic("a bug") }},
		"failure": {Failure: func(context.Context, FailureCase) { panic("a bug") }},
	} {
		g := newGate(t, z, o)
		m := bad
		m.text = draft("info@bank.example")
		if r := g.deliver(t, m); len(r) != 1 || r[0].reply.Do != milter.Continue {
			t.Errorf("%s: %+v", name, r)
		}
		if s := g.Stats(); s.Panics == 0 || s.InProgress != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

type faulty struct{}

func (faulty) Append(*verdict.Entry) (verdict.Receipt, error) { panic("a bug") }

// TestTrouble: when the DNS does not answer, nothing fails, and no message
// waits for ever.
func TestTrouble(t *testing.T) {
	z := zone(t, bankZone)
	m := good
	m.text = signed(t, draft("info@bank.example"), "bank.example")
	for name, fault := range map[string]func(context.Context, string) error{
		"down": func(context.Context, string) error { return dns.ErrTemporary },
		"slow": func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return errors.Join(dns.ErrTemporary, ctx.Err())
		},
		"slow for the record": func(ctx context.Context, name string) error {
			if !strings.HasPrefix(name, "_dmarc") {
				return nil
			}
			<-ctx.Done()
			return errors.Join(dns.ErrTemporary, ctx.Err())
		},
	} {
		for _, on := range []verdict.Action{"", verdict.TryAgain} {
			b := &blind{Resolver: z, fault: fault}
			g := newGate(t, b, Options{Patience: 50 * time.Millisecond, Site: Site{Mode: Enforce, OnReject: verdict.Refuse, OnTrouble: on}})
			began := time.Now()
			r, e := g.one(t, m)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%s: %v", name, took)
			}
			want := or(on, verdict.Accept)
			if e.Action != want || e.DMARC != "temperror" || want == verdict.Accept && (r.reply.Do != milter.Continue || r.held != "") ||
				want == verdict.TryAgain && (r.reply.Code != 451 || r.reply.Enhanced != "4.4.3" || len(r.inserted) != 0) {
				t.Errorf("%s: %+v %+v", name, r, e)
			}
		}
	}
}

// TestUnanswered: an answer that cannot be written takes the verdict back.
func TestUnanswered(t *testing.T) {
	g := newGate(t, zone(t, bankZone), Options{})
	m := bad
	m.text = draft("info@bank.example")
	f := &fake{events: append(m.connection(), m.events(t)...), broken: errors.New("gone")}
	if err := g.serve(context.Background(), f); err == nil || err.Error() != "gone" {
		t.Errorf("%v", err)
	}
	own := mail{text: m.text}
	f = &fake{events: append(own.connection(), own.events(t)...), broken: errors.New("gone")}
	if err := g.serve(context.Background(), f); err == nil || err.Error() != "gone" {
		t.Errorf("%v", err)
	}
	if s := g.Stats(); s.InProgress != 0 || len(s.Messages) != 0 {
		t.Errorf("%+v", s)
	}
}

// TestBooks: mail flows on when no verdict can be kept.
func TestBooks(t *testing.T) {
	g := newGate(t, zone(t, bankZone), Options{Site: Site{Mode: Enforce}})
	g.book.err = errors.New("disk full")
	m := bad
	m.text = draft("info@bank.example")
	for i := range 3 {
		if r := g.deliver(t, m); r[0].held == "" {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if s := g.Stats(); s.Unlogged != 3 || len(s.Messages) != 1 || s.Messages[0] != (Count{verdict.Quarantine, "fail", 3}) {
		t.Errorf("%+v", s)
	}
}

// TestCosts: no header within the limits keeps a processor busy for long.
func TestCosts(t *testing.T) {
	g := newGate(t, zone(t, bankZone), Options{Site: Site{Mode: Enforce, Subjects: true, Rules: []Rule{{List: domainName(t, "ml.example")}, {Sealer: domainName(t, "sealer.example")}}}})
	fill := func(line string) string { return strings.Repeat(line, (maxHeader-10_000)/len(line)) }
	for name, text := range map[string]string{
		"results, ours":   fill("Authentication-Results: mx.example; dmarc=pass\r\n"),
		"results, broken": fill("Authentication-Results: (mx.example; dmarc=pass (((\r\n"),
		"one long result": "Authentication-Results: x" + fill("; a=b (c) d.e=f") + "\r\n",
		"signatures":      fill("DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=s1; h=from; bh=eA==; b=eA==\r\n"),
		"one long h=":     "DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=s1; h=from" + fill(":x") + "; bh=eA==; b=eA==\r\n",
		"chains":          fill("ARC-Seal: i=1; a=rsa-sha256; d=bank.example; s=s1; cv=none; b=eA==\r\n"),
		"From fields":     fill("From: a@bank.example\r\n"),
		"From signs":      "From: " + fill("@") + "\r\n",
		"From brackets":   "From: " + fill("<(\"") + "\r\n",
		"From addresses":  "From: " + fill("a@b.example,") + "\r\n",
		"From words":      "From: " + fill("=?utf-8?q?=40?=") + "\r\n",
		"From folded":     "From: " + fill(" \r\n") + " a@bank.example\r\n",
		"subject":         "Subject: " + fill("=?utf-8?b?4w==?= ") + "\r\n",
		"lists":           fill("List-Id: <ml.example>\r\n"),
		"List-Id":         "List-Id: " + fill("<") + "\r\n",
		"BIMI":            fill("BIMI-Selector: v=BIMI1; s=x\r\n") + fill("BIMI-Indicator: x\r\n")[:9000],
		"message ids":     "Message-ID: " + fill("<>") + "\r\n",
	} {
		m := bad
		m.text = text + "From: info@bank.example\r\n\r\ntext\r\n"
		used := cpu()
		if _, e := g.one(t, m); e.Action != verdict.Quarantine {
			t.Errorf("%s: %s dmarc=%s", name, e.Action, e.DMARC)
		}
		if used = cpu() - used; used > 2*time.Second {
			t.Errorf("%s: %v", name, used)
		} else {
			t.Logf("%s: %v", name, used)
		}
	}
}
