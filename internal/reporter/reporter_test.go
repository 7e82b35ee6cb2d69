package reporter

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"sekimori/internal/store/outbox"
	"sekimori/report/aggregate"
)

const yesterday = "2026-11-21"

// TestDay sends a day's reports and reads them back.
func TestDay(t *testing.T) {
	d := &days{}
	d.add(yesterday, com(), row(1, 3), row(2, 4))
	d.add(yesterday, org(), row(3, 5))
	s := newSink(t, true)
	o := options(t, d)
	o.SMTP = s.addr
	r := reporter(t, o)
	if err := r.Day(context.Background(), yesterday); err != nil {
		t.Fatal(err)
	}
	got := s.messages()
	if len(got) != 3 {
		t.Fatalf("sent to %s", addresses(got))
	}
	want := map[string]uint64{"dmarc@example.com": 7, "a@reports.example": 5, "c@example.org": 5}
	for _, g := range got {
		m := open(t, g.data)
		if m.messages != want[g.to] || want[g.to] == 0 {
			t.Errorf("%s: %d messages", g.to, m.messages)
		}
		delete(want, g.to)
		if g.from != "<>" || !g.tls || g.helo != "mx.city.example" {
			t.Errorf("%+v", g)
		}
		meta := m.report.Metadata
		if len(m.report.Deviations) > 0 || m.report.Form != aggregate.RFC9990 || meta.OrgName != "City of Example" ||
			meta.Email != "dmarc-reports@city.example" || meta.Generator != "Sekimori test" ||
			!meta.Begin.Equal(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)) || meta.End.Sub(meta.Begin) != 24*time.Hour-time.Second {
			t.Errorf("%+v", m.report)
		}
		subject := "Report Domain: " + m.report.PolicyPublished.Domain + " Submitter: city.example Report-ID: <" + meta.ReportID + ">"
		if got := m.header.Get("Subject"); got != subject {
			t.Errorf("subject %q, want %q", got, subject)
		}
		// RFC 9990 §3.1.4: Report-ID and unique-id are identical.
		if !strings.HasSuffix(m.filename, "!"+meta.ReportID+".xml.gz") || m.filename != aggregate.Filename(m.report) || !strings.HasPrefix(m.filename, "city.example!example.") {
			t.Errorf("file name %q", m.filename)
		}
		if m.header.Get("Auto-Submitted") != "auto-generated" || m.header.Get("From") != `"City of Example" <dmarc-reports@city.example>` {
			t.Errorf("%v", m.header)
		}
		for _, f := range m.header {
			for line := range strings.SplitSeq(f.Raw(), "\r\n") {
				if len(line) > 120 {
					t.Errorf("a line of %d: %s", len(line), line)
				}
			}
		}
	}
	// Once more: nothing.
	if err := r.Day(context.Background(), yesterday); err != nil || len(s.messages()) != 3 {
		t.Errorf("%v, %d messages", err, len(s.messages()))
	}
	box, err := outbox.Open(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	list, err := box.List(context.Background(), outbox.Filter{})
	if err != nil || len(list) != 2 || len(list[1].Deliveries) != 3 {
		t.Fatalf("%v %+v", err, list)
	}
	for _, e := range list {
		for _, d := range e.Deliveries {
			if want := map[bool]outbox.State{true: outbox.Dropped, false: outbox.Sent}[d.Host == "unasked.example"]; d.State != want {
				t.Errorf("%s: %s, want %s", d.Address, d.State, want)
			}
		}
	}
}

// TestForms: what a form lacks is said as near to it as it can.
func TestForms(t *testing.T) {
	rec := row(1, 2)
	rec.Reasons = []aggregate.Reason{{Type: "policy_test_mode", Comment: "t=y"}, {Type: "forwarded"}, {Type: "local_policy", Comment: "monitoring"}}
	rec.SPFResults = []aggregate.SPFResult{{Domain: "helo.example", Scope: "helo", Result: "pass"}, {Domain: "m.example", Scope: "mfrom", Result: "policy", HumanResult: "x\x01"}}
	rec.DKIMResults = append(rec.DKIMResults, aggregate.DKIMResult{Domain: "bad\xff.example", Selector: "a\x00b", Result: "odd"})
	bare := row(2, 1)
	bare.SPFResults, bare.DKIMResults, bare.EnvelopeFrom, bare.Disposition = nil, nil, "", ""
	for _, form := range []aggregate.Form{aggregate.RFC9990, aggregate.RFC7489} {
		d := &days{}
		p := com()
		p.Text = "v=DMARC1; p=reject; sp=quarantine; np=reject; t=y; adkim=s; fo=1:d; pct=30; rua=mailto:dmarc@example.com"
		d.add(yesterday, p, rec, bare)
		o := options(t, d)
		o.Form = form
		r := reporter(t, o)
		var b strings.Builder
		if err := r.Preview(context.Background(), name("example.com"), yesterday, &b); err != nil {
			t.Fatal(err)
		}
		rep, records, n := read(t, []byte(b.String()))
		// The envelope-from of a notification is empty, which RFC 7489's schema has no other way to say.
		rep.Deviations = slices.DeleteFunc(rep.Deviations, func(d aggregate.Deviation) bool { return d.Element == "record/identifiers/envelope_from" })
		if rep.Form != form || len(rep.Deviations) > 0 || n != 3 || len(records) != 2 {
			t.Errorf("%s: %+v, %d messages\n%s", form, rep, n, b.String())
		}
		got, pub := records[0], rep.PolicyPublished
		switch form {
		case aggregate.RFC9990:
			if want := (aggregate.PolicyPublished{Domain: "example.com", P: "reject", SP: "quarantine", NP: "reject", ADKIM: "s", ASPF: "r", FO: "1:d", Testing: "y", DiscoveryMethod: "treewalk"}); pub != want {
				t.Errorf("%+v", pub)
			}
			if got.Disposition != "pass" || got.Reasons[0].Type != "policy_test_mode" || got.Reasons[1] != (aggregate.Reason{Type: "other", Comment: "forwarded"}) {
				t.Errorf("%+v", got)
			}
			if len(got.SPFResults) != 1 || got.SPFResults[0].Domain != "m.example" {
				t.Errorf("%+v", got.SPFResults)
			}
		case aggregate.RFC7489:
			if want := (aggregate.PolicyPublished{Domain: "example.com", P: "reject", SP: "quarantine", ADKIM: "s", ASPF: "r", FO: "1:d", PCT: "30"}); pub != want {
				t.Errorf("%+v", pub)
			}
			if got.Disposition != "none" || got.Reasons[0] != (aggregate.Reason{Type: "other", Comment: "policy_test_mode: t=y"}) || got.Reasons[1].Type != "forwarded" {
				t.Errorf("%+v", got)
			}
			if len(got.SPFResults) != 2 || len(records[1].SPFResults) != 1 || records[1].SPFResults[0].Result != "none" {
				t.Errorf("%+v %+v", got.SPFResults, records[1].SPFResults)
			}
		}
	}
}

// TestFaults: what is wrong with a record is said, and its policy is what was
// applied.
func TestFaults(t *testing.T) {
	for text, want := range map[string]aggregate.PolicyPublished{
		"v=DMARC1; p=reject; rua=mailto:a@example.com":                    {P: "reject", SP: "reject", NP: "reject", ADKIM: "r", ASPF: "r", FO: "0"},
		"v=DMARC1; p=none; sp=quarantine; rua=mailto:a@example.com":       {P: "none", SP: "quarantine", NP: "quarantine", ADKIM: "r", ASPF: "r", FO: "0"},
		"v=DMARC1; p=refuse; sp=reject; fo=s; rua=x,mailto:a@example.com": {P: "none", SP: "none", NP: "none", ADKIM: "r", ASPF: "r", FO: "0:s"},
		"v=DMARC1; p=reject; np=refuse; rua=mailto:a@example.com":         {P: "none", SP: "none", NP: "none", ADKIM: "r", ASPF: "r", FO: "0"},
	} {
		d := &days{}
		p := com()
		p.Text = text
		d.add(yesterday, p, row(1, 1))
		var b strings.Builder
		if err := reporter(t, options(t, d)).Preview(context.Background(), name("example.com"), yesterday, &b); err != nil {
			t.Fatal(err)
		}
		rep, _, _ := read(t, []byte(b.String()))
		want.Domain, want.Testing, want.DiscoveryMethod = "example.com", "n", "treewalk"
		if rep.PolicyPublished != want {
			t.Errorf("%s: %+v", text, rep.PolicyPublished)
		}
		if bad := strings.Contains(text, "refuse"); (len(rep.Metadata.Errors) > 0) != bad || bad && !strings.Contains(rep.Metadata.Errors[0], "refuse") {
			t.Errorf("%s: %q", text, rep.Metadata.Errors)
		}
	}
}

// TestRetry: the MTA puts off, refuses, is gone.
func TestRetry(t *testing.T) {
	d := &days{}
	d.add(yesterday, com(), row(1, 3))
	d.add(yesterday, org(), row(3, 5))
	s := newSink(t, false)
	s.reply = func(to string) error {
		switch to {
		case "dmarc@example.com":
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted"}
		case "a@reports.example":
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
		}
		return nil
	}
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	o := options(t, d)
	o.SMTP, o.Now = s.addr, func() time.Time { return now }
	o.Elapsed = func() time.Duration { return now.Sub(time.Time{}.AddDate(2025, 0, 0)) }
	r := reporter(t, o)
	var sch schedule
	tick := func() { r.tick(context.Background(), &sch) }
	tick()
	if got := s.messages(); addresses(got) != "[c@example.org]" || got[0].tls {
		t.Fatalf("sent to %s", addresses(got))
	}
	state := func(address string) outbox.Delivery {
		t.Helper()
		box, err := outbox.Open(o.Dir)
		if err != nil {
			t.Fatal(err)
		}
		defer box.Close()
		list, err := box.List(context.Background(), outbox.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			for _, d := range e.Deliveries {
				if d.Address == address {
					return d
				}
			}
		}
		t.Fatalf("no delivery to %s", address)
		return outbox.Delivery{}
	}
	if d := state("a@reports.example"); d.State != outbox.Refused || !strings.Contains(d.Error, "550 5.1.1 no such user") || d.Attempts != 1 {
		t.Errorf("%+v", d)
	}
	if d := state("dmarc@example.com"); d.State != outbox.Waiting || !strings.Contains(d.Error, "451 4.7.1 greylisted") || d.Next.Sub(now) != 5*time.Minute {
		t.Errorf("%+v", d)
	}
	if st := r.Stats(); st.Sent != 1 || st.Failed != 1 || st.Waiting != 1 {
		t.Errorf("%+v", st)
	}
	// Not before its time; then with pauses that double to four hours.
	start := now
	want := []time.Duration{5, 15, 35, 75, 155, 315, 555, 795}
	var at []time.Duration
	last := int64(1)
	for len(at) < len(want) && now.Sub(start) < 24*time.Hour {
		now = now.Add(5 * time.Minute)
		tick()
		if d := state("dmarc@example.com"); d.Attempts > last {
			last = d.Attempts
			at = append(at, now.Sub(start)/time.Minute)
		}
	}
	for i := range want {
		if i >= len(at) || at[i] != want[i] {
			t.Fatalf("attempts after %v minutes, want %v", at, want)
		}
	}
	// The MTA is gone: that counts as well, and after three days it is over.
	o.SMTP = "127.0.0.1:1"
	if err := r.Reload(o); err != nil {
		t.Fatal(err)
	}
	for now.Sub(start) < 80*time.Hour {
		now = now.Add(time.Hour)
		tick()
	}
	if d := state("dmarc@example.com"); d.State != outbox.GivenUp || d.Ended.Sub(start) < 72*time.Hour || !strings.Contains(d.Error, "127.0.0.1:1") {
		t.Errorf("%+v", d)
	}
}

// TestGone: a short absence of the MTA loses nothing, and the clock set back
// does not keep a delivery waiting.
func TestGone(t *testing.T) {
	d := &days{}
	d.add(yesterday, com(), row(1, 3))
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	o := options(t, d)
	o.Now = func() time.Time { return now }
	r := reporter(t, o)
	out, err := r.Round(context.Background(), "")
	if err != nil || out.Made != 1 || out.Sent != 0 || out.Waiting != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	s := newSink(t, false)
	o.SMTP = s.addr
	if err := r.Reload(o); err != nil {
		t.Fatal(err)
	}
	now = now.Add(-30 * 24 * time.Hour)
	var sch schedule
	r.tick(context.Background(), &sch)
	if got := s.messages(); len(got) != 1 {
		t.Errorf("%d messages", len(got))
	}
}

// TestUnverified: a destination whose DNS does not answer is asked again.
func TestUnverified(t *testing.T) {
	d := &days{}
	p := com()
	p.Domain, p.Text = "slow.example.net", "v=DMARC1; p=none; rua=mailto:x@slow.example"
	d.add(yesterday, p, row(1, 1))
	s := newSink(t, false)
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	o := options(t, d)
	o.SMTP, o.Now = s.addr, func() time.Time { return now }
	slow := parseZone(t, `slow.example.net._report._dmarc.slow.example. TYPE65280 \# 0`)
	quick := parseZone(t, `slow.example.net._report._dmarc.slow.example. TXT "v=DMARC1; rua=mailto:y@slow.example"`)
	o.Resolver = slow
	r := reporter(t, o)
	if out, err := r.Round(context.Background(), ""); err != nil || out.Waiting != 1 || len(s.messages()) != 0 {
		t.Fatalf("%+v %v", out, err)
	}
	o.Resolver = quick
	if err := r.Reload(o); err != nil {
		t.Fatal(err)
	}
	now = now.Add(5 * time.Minute)
	var sch schedule
	r.tick(context.Background(), &sch)
	if got := s.messages(); addresses(got) != "[y@slow.example]" {
		t.Errorf("sent to %s", addresses(got))
	}
}

// TestLimits: opted out, too many for a host, one mailbox twice, a policy
// without rua, one that is no record.
func TestLimits(t *testing.T) {
	d := &days{}
	for i := range 6 {
		p := com()
		p.Domain = "d" + string(rune('a'+i)) + ".example.com"
		p.Text = "v=DMARC1; p=none; rua=mailto:X@example.com,mailto:x@EXAMPLE.com"
		d.add(yesterday, p, row(byte(i), uint64(i+1)))
	}
	for _, text := range []string{"v=DMARC1; p=none", "v=DMARC1; p=none; rua=https://example.com/", "nothing"} {
		p := com()
		p.Domain, p.Text = "z.example.com", text
		d.add(yesterday, p, row(9, 1))
	}
	s := newSink(t, false)
	o := options(t, d)
	o.SMTP, o.PerDestination, o.OptOut = s.addr, 3, []string{"df.example.com"}
	r := reporter(t, o)
	if _, err := r.Round(context.Background(), yesterday); err != nil {
		t.Fatal(err)
	}
	var about []string
	for _, g := range s.messages() {
		m := open(t, g.data)
		about = append(about, m.report.PolicyPublished.Domain)
	}
	// Those about most messages, less the one that was opted out.
	if len(about) != 3 || strings.Contains(strings.Join(about, " "), "da.") || strings.Contains(strings.Join(about, " "), "df.") {
		t.Errorf("reports on %v", about)
	}
	o2 := options(t, d)
	o2.SMTP, o2.OptOut = s.addr, []string{"x@example.com"}
	before := len(s.messages())
	if _, err := reporter(t, o2).Round(context.Background(), yesterday); err != nil || len(s.messages()) != before {
		t.Errorf("%v, %d more", err, len(s.messages())-before)
	}
	if f := files(t, o2.Dir); len(f) > 0 {
		t.Errorf("files that nobody gets: %v", f)
	}
}

// TestOff: days that pass while reports are off are not sent later, unless by
// hand.
func TestOff(t *testing.T) {
	d := &days{}
	d.add(yesterday, com(), row(1, 3))
	s := newSink(t, false)
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	o := options(t, d)
	o.SMTP, o.Send, o.Now = s.addr, false, func() time.Time { return now }
	o.Elapsed = func() time.Duration { return now.Sub(time.Time{}.AddDate(2025, 0, 0)) }
	r := reporter(t, o)
	var sch schedule
	r.tick(context.Background(), &sch)
	o.Send = true
	if err := r.Reload(o); err != nil {
		t.Fatal(err)
	}
	d.add("2026-11-22", com(), row(1, 4))
	now = now.Add(24 * time.Hour)
	r.tick(context.Background(), &sch)
	got := s.messages()
	if len(got) != 1 || open(t, got[0].data).messages != 4 {
		t.Fatalf("%d messages", len(got))
	}
	if err := r.Day(context.Background(), yesterday); err != nil || len(s.messages()) != 2 {
		t.Errorf("%v, %d messages", err, len(s.messages()))
	}
	if err := r.Day(context.Background(), "2026-11-23"); err == nil {
		t.Error("a day that is not over was reported")
	}
	if err := r.Day(context.Background(), "2026-11-19"); !errors.Is(err, ErrNothing) {
		t.Errorf("a day without mail: %v", err)
	}
}

// TestOneSender: while one process is at it, another is not.
func TestOneSender(t *testing.T) {
	d := &days{}
	d.add(yesterday, com(), row(1, 3))
	s := newSink(t, false)
	o := options(t, d)
	o.SMTP = s.addr
	release, err := outbox.Lock(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	r := reporter(t, o)
	if err := r.Day(context.Background(), yesterday); !errors.Is(err, outbox.ErrLocked) {
		t.Errorf("%v", err)
	}
	release()
	if err := r.Day(context.Background(), yesterday); err != nil || len(s.messages()) != 1 {
		t.Errorf("%v, %d messages", err, len(s.messages()))
	}
}
