package watch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/internal/store"
)

const before = `
@        TXT "v=spf1 include:spf.example.net ip4:192.0.2.1 -all"
@        TXT "google-site-verification=x"
@        MX 10 mx
@        NS ns1
_dmarc   TXT "v=DMARC1; p=quarantine; rua=mailto:d@city.example.jp"
_mta-sts TXT "v=STSv1; id=1"
_smtp._tls TXT "v=TLSRPTv1; rua=mailto:t@city.example.jp"
default._bimi TXT "v=BIMI1; l=https://city.example.jp/l.svg"
s1._domainkey TXT "v=DKIM1; p=AAAA"
spf.example.net. TXT "v=spf1 include:a.spf.example.net redirect=b.spf.example.net"
a.spf.example.net. TXT "v=spf1 ip4:198.51.100.0/24 include:spf.example.net ~all"
b.spf.example.net. TXT "v=spf1 include:%{i}.example.net a:out.example.net -all"
out.example.net. A 198.51.100.7
out.example.net. A 198.51.100.6
`

// TestLook follows a zone through changes, trouble and a restart.
func TestLook(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	st := open(t, dir)
	report(t, st, store.DayOf(start)-1, "quarantine", 10, 0)
	at, r := &clock{t: start}, &resolver{}
	box := newMailbox(t)
	config := Config{Store: st, Resolver: r, Now: at.now, Mailer: sender{box.addr}, From: "sekimori@city.example.jp", To: []string{"postmaster@city.example.jp"}}
	w := watcher(t, config)
	name := mustName(t, "city.example.jp")
	look := func() Report {
		t.Helper()
		rep, err := w.Look(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		return rep
	}

	r.set(t, before)
	rep := look()
	if !rep.First || len(rep.Changes) != 0 || len(rep.Silent) != 0 || len(rep.Records) != 13 {
		t.Fatalf("first look: %+v", rep)
	}
	kinds := map[string]string{}
	for _, o := range rep.Records {
		kinds[o.Kind+" "+o.Name] = o.Value
	}
	for k, want := range map[string]string{
		"dmarc _dmarc.city.example.jp":       "v=DMARC1; p=quarantine; rua=mailto:d@city.example.jp",
		"spf city.example.jp":                "v=spf1 include:spf.example.net ip4:192.0.2.1 -all",
		"spf a.spf.example.net":              "v=spf1 ip4:198.51.100.0/24 include:spf.example.net ~all",
		"spf b.spf.example.net":              "v=spf1 include:%{i}.example.net a:out.example.net -all",
		"a out.example.net":                  "198.51.100.6\n198.51.100.7",
		"aaaa out.example.net":               "",
		"mx city.example.jp":                 "10 mx.city.example.jp.",
		"dkim s1._domainkey.city.example.jp": "v=DKIM1; p=AAAA",
		"mta-sts _mta-sts.city.example.jp":   "v=STSv1; id=1",
	} {
		if got, ok := kinds[k]; !ok || got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}

	// Silence is no change, however long.
	r.mu.Lock()
	r.down = true
	r.mu.Unlock()
	for range 2 {
		at.add(24 * time.Hour)
		if rep = look(); len(rep.Changes) != 0 || len(rep.Silent) != 8 || len(rep.Records) != 0 {
			t.Fatalf("without an answer: %+v", rep)
		}
	}
	// One include that does not answer hides what is below it, and nothing more.
	r.set(t, strings.Replace(before, `spf.example.net. TXT "v=spf1 include:a.spf.example.net redirect=b.spf.example.net"`, `spf.example.net. TYPE65280 \# 0`, 1))
	at.add(24 * time.Hour)
	if rep = look(); len(rep.Changes) != 0 || len(rep.Silent) != 1 || rep.Silent[0].Args["name"] != "spf.example.net" {
		t.Fatalf("an include without an answer: %+v", rep)
	}

	// Everything changes.
	at.add(24 * time.Hour)
	r.set(t, `
@        TXT "v=spf1 ip4:192.0.2.1 include:spf.example.net include:new.example.net ~all"
@        MX 10 mx2
@        NS ns1
_dmarc   TXT "v=DMARC1; p=none; rua=mailto:d@city.example.jp"
_mta-sts TXT "v=STSv1; id=2"
_smtp._tls TXT "v=TLSRPTv1; rua=mailto:t@city.example.jp"
s1._domainkey TXT "v=DKIM1; p=BBBB"
spf.example.net. TXT "v=spf1 include:a.spf.example.net -all"
a.spf.example.net. TXT "v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 ~all"
new.example.net. TXT "v=spf1 -all"
`)
	rep = look()
	seen := map[string]Entry{}
	for _, e := range rep.Changes {
		seen[e.Step.Code+" "+e.Name] = e
	}
	for _, want := range []string{"watch.dmarc-weaker _dmarc.city.example.jp", "watch.spf-changed city.example.jp", "watch.spf-changed spf.example.net",
		"watch.spf-changed a.spf.example.net", "watch.mx-changed city.example.jp", "watch.mta-sts-changed _mta-sts.city.example.jp",
		"watch.bimi-removed default._bimi.city.example.jp", "watch.dkim-changed s1._domainkey.city.example.jp"} {
		if _, ok := seen[want]; !ok {
			t.Errorf("%s is not told: %s", want, codes(rep.Changes))
		}
	}
	if len(rep.Changes) != 8 {
		t.Errorf("%d changes: %s", len(rep.Changes), codes(rep.Changes))
	}
	if e := seen["watch.spf-changed city.example.jp"]; fmt.Sprint(e.Step.Args["added"], e.Step.Args["removed"]) != "[include:new.example.net ~all] [-all]" {
		t.Errorf("SPF: %v", e.Step.Args)
	}

	// A restart: nothing is told twice, and the mail goes out once.
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st = open(t, dir)
	defer st.Close()
	config.Store = st
	w = watcher(t, config)
	at.add(24 * time.Hour)
	if rep = look(); len(rep.Changes) != 0 || rep.First {
		t.Fatalf("after a restart: %+v", rep)
	}
	for range 2 {
		if _, err := w.Deliver(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got := box.mails(); len(got) != 1 || !strings.Contains(got[0], "watch.dmarc-weaker") {
		t.Fatalf("%d mails: %s", len(got), got)
	}
	// SPF as it was at any time can be put together again.
	spans, err := st.Observations(ctx, "city.example.jp", "spf", 0)
	if err != nil {
		t.Fatal(err)
	}
	was := ""
	for _, o := range spans {
		if o.Name == "a.spf.example.net" && !o.From.After(start) {
			was = o.Value
		}
	}
	if was != "v=spf1 ip4:198.51.100.0/24 include:spf.example.net ~all" {
		t.Errorf("the include as it was: %q", was)
	}
	line, err := w.Timeline(ctx, name, start.Add(-48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if got := codes(line); strings.Count(got, "watch.") != 8+1+1 || !strings.HasSuffix(got, "watch.begun watch.policy-first") {
		t.Errorf("timeline: %s", got)
	}
	if line[0].Before == "" && line[0].After == "" {
		t.Errorf("an entry without its records: %+v", line[0])
	}
}

// crashing is a store that stops after it has observed.
type crashing struct {
	Store
	broken bool
}

var errCrash = errors.New("crash")

func (c *crashing) Happen(ctx context.Context, h []store.Happening) (int, error) {
	if c.broken {
		return 0, errCrash
	}
	return c.Store.Happen(ctx, h)
}

// TestLookInterrupted checks that a change is told of although the look that
// saw it did not come to its end.
func TestLookInterrupted(t *testing.T) {
	ctx, st := t.Context(), opened(t)
	at, r := &clock{t: start}, &resolver{}
	c := &crashing{Store: st}
	w := watcher(t, Config{Store: c, Resolver: r, Now: at.now})
	name := mustName(t, "city.example.jp")
	r.set(t, before)
	if _, err := w.Look(ctx, name); err != nil {
		t.Fatal(err)
	}
	at.add(time.Hour)
	r.set(t, strings.Replace(before, "p=quarantine", "p=reject", 1))
	c.broken = true
	if _, err := w.Look(ctx, name); !errors.Is(err, errCrash) {
		t.Fatalf("got %v", err)
	}
	c.broken = false
	w = watcher(t, Config{Store: c, Resolver: r, Now: at.now})
	at.add(time.Hour)
	rep, err := w.Look(ctx, name)
	if err != nil || codes(rep.Changes) != "watch.dmarc-stricter" {
		t.Fatalf("%s, %v", codes(rep.Changes), err)
	}
}

// TestLookHostile looks at zones made to hurt.
func TestLookHostile(t *testing.T) {
	ctx, st := t.Context(), opened(t)
	r := &resolver{}
	w := watcher(t, Config{Store: st, Resolver: r, Now: (&clock{t: start}).now})
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, "@ MX %d mx%d\n@ NS ns%d\n", i, i, i)
		fmt.Fprintf(&b, "n%d.example.net. TXT \"v=spf1 include:n%d.example.net include:m%d.example.net -all\"\n", i, i+1, i)
	}
	b.WriteString("@ TXT \"v=spf1 include:n0.example.net -all\"\n_dmarc TXT \"v=DMARC1; p=none; x=\\009\\010\\255\"\n")
	for i := range 60 {
		fmt.Fprintf(&b, "_mta-sts TXT \"v=STSv1; id=%d\" %s\n", i, strings.Repeat("\""+strings.Repeat("a", 250)+"\" ", 20))
	}
	r.set(t, b.String())
	rep, err := w.Look(ctx, mustName(t, "city.example.jp"))
	if err != nil {
		t.Fatal(err)
	}
	if r.n > maxQuestions || rep.Asked != r.n {
		t.Errorf("%d questions, said %d; want at most %d", r.n, rep.Asked, maxQuestions)
	}
	for _, o := range rep.Records {
		if len(o.Value) > maxRecords*(maxRecord+8) || strings.Count(o.Value, "\n") >= maxRecords || strings.ContainsAny(o.Value, "\t\r\x00") {
			t.Errorf("%s: %d octets, %d lines", o.Name, len(o.Value), strings.Count(o.Value, "\n"))
		}
	}
	if _, err := watcher(t, Config{Store: st}).Look(ctx, mustName(t, "city.example.jp")); !errors.Is(err, ErrOffline) {
		t.Errorf("without a resolver: %v", err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := w.Look(done, mustName(t, "city.example.jp")); !errors.Is(err, context.Canceled) {
		t.Errorf("a look that was stopped: %v", err)
	}
}

// TestRun checks that what is overdue is looked at at once, what is not is left
// alone, also after a restart, and that a silent zone is tried again sooner.
func TestRun(t *testing.T) {
	ctx, st := t.Context(), opened(t)
	report(t, st, store.DayOf(start)-1, "none", 10, 0)
	at, r := &clock{t: start}, &resolver{}
	r.set(t, before)
	run := func() int {
		t.Helper()
		looks := make(chan Event, 100)
		w := watcher(t, Config{Store: st, Resolver: r, Now: at.now, Tell: func(e Event) {
			if e.Kind == Looked {
				looks <- e
			} else {
				t.Errorf("%+v", e)
			}
		}})
		ctx, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		n := 0
		select {
		case <-looks:
			n++
		case <-time.After(300 * time.Millisecond):
		}
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		return n + len(looks)
	}
	for i, step := range []struct {
		after time.Duration
		down  bool
		want  int
	}{{0, false, 1}, {time.Hour, false, 0}, {26 * time.Hour, true, 1}, {10 * time.Minute, true, 0}, {time.Hour, true, 1}, {time.Hour, false, 0}, {time.Hour, false, 1}, {23 * time.Hour, false, 0}} {
		at.add(step.after)
		r.mu.Lock()
		r.down = step.down
		r.mu.Unlock()
		if n := run(); n != step.want {
			t.Errorf("step %d: %d looks, want %d", i, n, step.want)
		}
	}
	alarms, err := watcher(t, Config{Store: st, Now: at.now}).Alarms(ctx)
	if err != nil || len(alarms.Domains) != 1 || alarms.Domains[0].Looked.IsZero() || alarms.Domains[0].Tripped {
		t.Errorf("%+v, %v", alarms, err)
	}
}

func TestDMARCCodes(t *testing.T) {
	for _, tc := range []struct{ from, to, want string }{
		{"", "v=DMARC1; p=none", "watch.dmarc-appeared"},
		{"v=DMARC1; p=none", "", "watch.dmarc-removed"},
		{"v=DMARC1; p=none", "v=DMARC1; p=none\nv=DMARC1; p=reject", "watch.dmarc-several"},
		{"v=DMARC1; p=none", "v=DMARC1; p=reject; t=y", "watch.dmarc-stricter"},
		{"v=DMARC1; p=quarantine", "v=DMARC1; p=quarantine; t=y", "watch.dmarc-weaker"},
		{"v=DMARC1; p=reject", "v=DMARC1; p=reject; sp=none", "watch.dmarc-below-weaker"},
		{"v=DMARC1; p=reject", "v=DMARC1; p=reject; np=quarantine", "watch.dmarc-below-weaker"},
		{"v=DMARC1; p=none", "v=DMARC1; p=none; rua=mailto:x@y.example", "watch.dmarc-changed"},
		{"v=DMARC1; p=reject", "v=DMARC1; p=junk", "watch.dmarc-weaker"},
	} {
		c := change{store.Observation{Kind: "dmarc", Value: tc.from}, store.Observation{Kind: "dmarc", Value: tc.to}}
		if got := c.step().Code; got != tc.want {
			t.Errorf("%q to %q: %s, want %s", tc.from, tc.to, got, tc.want)
		}
	}
}

// FuzzZone feeds texts of any kind through what is kept and compared.
func FuzzZone(f *testing.F) {
	f.Add("v=spf1 include:a.example -all", "v=spf1 redirect=b.example")
	f.Add("v=DMARC1; p=none", "v=DMARC1; p=\xff\n;;")
	f.Add("\x00", "a=b")
	f.Fuzz(func(t *testing.T, a, b string) {
		spfNames(a, "d.example")
		for _, kind := range []string{"dmarc", "spf", "mx", "ns", "dkim", "x"} {
			x, y := joined([]string{a}), joined([]string{b, a})
			if strings.ContainsAny(x+y, "\r\x00") {
				t.Fatalf("%q %q", x, y)
			}
			s := change{store.Observation{Kind: kind, Value: x}, store.Observation{Kind: kind, Value: y}}.step()
			if _, err := happening("d.example", start, "dns", "k", s); err != nil || s.Code == "" {
				t.Fatalf("%+v: %v", s, err)
			}
		}
	})
}

var _ dns.Resolver = (*resolver)(nil)
