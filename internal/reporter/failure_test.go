package reporter

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/dkim"
	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/report/failure"
)

// failZone is a world of owners who ask for failure reports.
const failZone = `
example.com.                     TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.example.com.              TXT "v=DMARC1; p=reject; ruf=mailto:ruf@example.com"
_dmarc.any.example.              TXT "v=DMARC1; p=none; fo=1; ruf=mailto:ruf@any.example"
any.example.                     TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.dkim.example.             TXT "v=DMARC1; p=none; fo=d; ruf=mailto:ruf@dkim.example"
dkim.example.                    TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.path.example.             TXT "v=DMARC1; p=none; fo=s; ruf=mailto:ruf@path.example"
path.example.                    TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.both.example.             TXT "v=DMARC1; p=none; fo=0:d; ruf=mailto:ruf@both.example"
_dmarc.silent.example.           TXT "v=DMARC1; p=reject; rua=mailto:rua@silent.example"
_dmarc.outside.example.          TXT "v=DMARC1; p=reject; ruf=mailto:a@consents.example,mailto:b@refuses.example,mailto:c@outside.example"
outside.example._report._dmarc.consents.example. TXT "v=DMARC1"
_dmarc.elsewhere.example.        TXT "v=DMARC1; p=reject; ruf=mailto:a@refuses.example"
_dmarc.psd.example.              TXT "v=DMARC1; p=reject; psd=y; ruf=mailto:ruf@psd.example"
_dmarc.slow.example.             TXT "v=DMARC1; p=reject; ruf=mailto:a@deaf.example"
slow.example._report._dmarc.deaf.example. TYPE65280 \# 0
trouble.example.                 TYPE65280 \# 0
_dmarc.trouble.example.          TXT "v=DMARC1; p=reject; fo=1:s; ruf=mailto:ruf@trouble.example"
_dmarc.keyless.example.          TXT "v=DMARC1; p=reject; fo=1:d; ruf=mailto:ruf@keyless.example"
keyless.example.                 TXT "v=spf1 ip4:192.0.2.1 -all"
s._domainkey.keyless.example.    TYPE65280 \# 0
_dmarc.testing.example.          TXT "v=DMARC1; p=reject; fo=d; ruf=mailto:ruf@testing.example"
s._domainkey.testing.example.    TXT "%[2]s"
_dmarc.gone.example.             TXT "v=DMARC1; p=reject; fo=d; ruf=mailto:ruf@gone.example"
s._domainkey.gone.example.       TXT "v=DKIM1; k=ed25519; p="
_dmarc.ours.example.             TXT "v=DMARC1; p=reject; ruf=mailto:dmarc@city.example"
_dmarc.city.example.             TXT "v=DMARC1; p=reject; ruf=mailto:ruf@city.example"
s._domainkey.city.example.       TXT "%[1]s"
s._domainkey.any.example.        TXT "%[1]s"
s._domainkey.dkim.example.       TXT "%[1]s"
s._domainkey.path.example.       TXT "%[1]s"
s._domainkey.both.example.       TXT "%[1]s"
`

// world is what a Failures of the tests lives in.
type world struct {
	zone *dnstest.Zone
	key  ed25519.PrivateKey
	dir  string
	now  func() time.Time

	mu     sync.Mutex
	mail   [][]byte
	to     []string
	events []Event
	fail   func(Mail) error // the MTA's answer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))}
	record := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(w.key.Public().(ed25519.PublicKey))
	z, err := dnstest.Parse(strings.NewReader(fmt.Sprintf(failZone, record, strings.Replace(record, "p=", "t=y; p=", 1))), "zone")
	if err != nil {
		t.Fatal(err)
	}
	w.zone = z
	return w
}

func (w *world) sign(d string) func(message.Header, io.Reader) ([]string, error) {
	n, _ := domain.Parse(d)
	return func(h message.Header, body io.Reader) ([]string, error) {
		return dkim.Sign(h, body, &dkim.Signer{Domain: n, Selector: "s", Key: crypto.Signer(w.key)})
	}
}

// failures starts a Failures with short times; it ends with the test.
func (w *world) failures(t testing.TB, change func(*FailureOptions)) (f *Failures, stop func()) {
	t.Helper()
	o := FailureOptions{
		Email: "dmarc@city.example", Generator: "Sekimori test", Host: "mx.city.example", Sign: w.sign("city.example"), Resolver: w.zone, Dir: w.dir,
		Gather: 20 * time.Millisecond, Pause: 10 * time.Millisecond, Now: w.now,
		Words: func(s explain.Step) string { return fmt.Sprint(s.Code, " ", s.Args["domain"], " ", s.Args["messages"]) },
		Send: func(_ context.Context, m Mail) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.fail != nil {
				if err := w.fail(m); err != nil {
					return err
				}
			}
			var b bytes.Buffer
			if err := m.Write(&b); err != nil {
				return err
			}
			if m.From != "" || int64(b.Len()) != m.Size {
				return fmt.Errorf("from %q, %d octets of %d", m.From, b.Len(), m.Size)
			}
			w.mail, w.to = append(w.mail, b.Bytes()), append(w.to, m.To...)
			return nil
		},
		Event: func(e Event) { w.mu.Lock(); w.events = append(w.events, e); w.mu.Unlock() },
	}
	if change != nil {
		change(&o)
	}
	f, err := NewFailures(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return f, stop
}

// settle waits until nothing is waiting any more.
func (w *world) settle(t testing.TB, f *Failures) {
	t.Helper()
	for range 1000 {
		if f.Stats().Waiting == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("still waiting: %+v", f.Stats())
}

func (w *world) sentTo() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	to := slices.Clone(w.to)
	slices.Sort(to)
	return strings.Join(to, " ")
}

// arrival is a message from a host.
type arrival struct {
	ip, mailFrom, text string
	sign               string // the domain whose key signs it
	spoil              bool   // and the body is changed then
}

// judge does with a message what the gateway does.
func (w *world) judge(t testing.TB, a arrival) FailureCase {
	t.Helper()
	text := strings.ReplaceAll(a.text, "\n", "\r\n")
	h, body, err := message.Read(strings.NewReader(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	if a.sign != "" {
		fields, err := w.sign(a.sign)(h, body)
		if err != nil {
			t.Fatal(err)
		}
		text = strings.Join(fields, "") + text
		if a.spoil {
			text += "changed\r\n"
		}
	}
	if a.ip == "" {
		a.ip = "203.0.113.9"
	}
	c := &check.Checker{Resolver: w.zone, AuthServID: "mx.city.example"}
	in := check.Input{IP: netip.MustParseAddr(a.ip), Helo: "host.example.net", MailFrom: a.mailFrom, NullSender: a.mailFrom == ""}
	v, err := c.Check(context.Background(), in, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	h, _, _ = message.Read(strings.NewReader(text), 0)
	e := &verdict.Entry{Time: time.Now(), QueueID: "4ABC", MailFrom: a.mailFrom, Rcpt: []string{"taro@city.example"}, Client: in.IP}
	copy(e.Print[:], fmt.Sprint(a.mailFrom, a.ip, len(text)))
	return FailureCase{Entry: e, Verdict: &v, Header: h, Port: 12345, AuthenticationResults: v.AuthenticationResults(), Delivery: "policy"}
}

func from(d string) string {
	return "From: Boss <boss@" + d + ">\nTo: Taro <taro@city.example>\nSubject: secret plans\nMessage-ID: <1@" + d + ">\n\nclick http://evil.example\n"
}

// TestFailureWanted is fo (RFC 9989 §4.7) against what became of messages.
func TestFailureWanted(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		what string
		a    arrival
		want failure.Kind // empty: no report
		un   string       // Identity-Alignment
	}{
		{"fo=0, all fail", arrival{mailFrom: "x@attacker.example", text: from("example.com")}, failure.DMARC, "dkim,spf"},
		{"fo=0, SPF passes", arrival{ip: "192.0.2.1", mailFrom: "x@example.com", text: from("example.com")}, "", ""},
		{"fo=1, SPF passes, unsigned", arrival{ip: "192.0.2.1", mailFrom: "x@any.example", text: from("any.example")}, failure.DMARC, "dkim"},
		{"fo=1, DKIM passes, SPF fails", arrival{mailFrom: "x@any.example", text: from("any.example"), sign: "any.example"}, failure.DMARC, "spf"},
		{"fo=1, both pass", arrival{ip: "192.0.2.1", mailFrom: "x@any.example", text: from("any.example"), sign: "any.example"}, "", ""},
		{"fo=d, signature fails, SPF passes", arrival{ip: "192.0.2.1", mailFrom: "x@dkim.example", text: from("dkim.example"), sign: "dkim.example", spoil: true}, failure.BodyHash, "dkim"},
		{"fo=d, unsigned, all fail", arrival{mailFrom: "x@attacker.example", text: from("dkim.example")}, "", ""},
		{"fo=d, another's signature fails", arrival{ip: "192.0.2.1", mailFrom: "x@dkim.example", text: from("dkim.example"), sign: "any.example", spoil: true}, failure.BodyHash, "dkim"},
		{"fo=0:d, unsigned, all fail", arrival{mailFrom: "x@attacker.example", text: from("both.example")}, failure.DMARC, "dkim,spf"},
		{"fo=s, SPF fails, DKIM passes", arrival{mailFrom: "x@path.example", text: from("path.example"), sign: "path.example"}, failure.SPF, "spf"},
		{"fo=s, no SPF record, all fail", arrival{mailFrom: "x@attacker.example", text: from("path.example")}, "", ""},
		{"DKIM in trouble, SPF passes", arrival{ip: "192.0.2.1", mailFrom: "x@keyless.example", text: from("keyless.example"), sign: "keyless.example"}, "", ""},
		{"DKIM in trouble, SPF fails", arrival{mailFrom: "x@keyless.example", text: from("keyless.example"), sign: "keyless.example"}, "", ""},
		{"fo=d, the key is a test", arrival{mailFrom: "x@attacker.example", text: from("testing.example"), sign: "testing.example", spoil: true}, "", ""},
		{"fo=d, the key was revoked", arrival{mailFrom: "x@attacker.example", text: from("gone.example"), sign: "gone.example"}, failure.Revoked, "dkim,spf"},
		{"no ruf", arrival{mailFrom: "x@attacker.example", text: from("silent.example")}, "", ""},
		{"psd=y", arrival{mailFrom: "x@attacker.example", text: from("psd.example")}, "", ""},
		{"no record", arrival{mailFrom: "x@attacker.example", text: from("nothing.example")}, "", ""},
		{"SPF in trouble", arrival{mailFrom: "x@trouble.example", text: from("trouble.example")}, "", ""},
		{"no From", arrival{mailFrom: "x@example.com", text: "Subject: x\n\n"}, "", ""},
	} {
		got, ok := wanted(w.judge(t, c.a).Verdict)
		var un []string
		for _, m := range got.unaligned {
			un = append(un, string(m))
		}
		if ok != (c.want != "") || got.kind != c.want || strings.Join(un, ",") != c.un {
			t.Errorf("%s: %v %+v", c.what, ok, got)
		}
	}
}

// TestFailureLoops: nothing is reported that could come of a report.
func TestFailureLoops(t *testing.T) {
	w := newWorld(t)
	f, _ := w.failures(t, nil)
	spoof := func(fields string) arrival {
		return arrival{mailFrom: "x@attacker.example", text: fields + from("example.com")}
	}
	for what, c := range map[string]struct {
		a    arrival
		rcpt string
	}{
		"null sender":      {a: arrival{mailFrom: "", text: from("example.com")}},
		"multipart/report": {a: spoof("Content-Type: multipart/report; report-type=feedback-report; boundary=x\n")},
		"delivery status":  {a: spoof("Content-Type: Multipart/Report; report-type=delivery-status; boundary=x\n")},
		"feedback":         {a: spoof("Content-Type: message/feedback-report\n")},
		"auto-generated":   {a: spoof("Auto-Submitted: auto-generated\n")},
		"auto-replied":     {a: spoof("auto-submitted: (no) Auto-Replied; owner-email=\"x\"\n")},
		"aggregate report": {a: spoof("Subject: Report Domain: example.com Submitter: x Report-ID: 1\n")},
		"our own bulk":     {a: arrival{mailFrom: "x@attacker.example", text: "Precedence: bulk\n" + from("city.example")}},
		"our own address":  {a: arrival{mailFrom: "x@attacker.example", text: "From: DMARC@CITY.example\nSubject: x\n\n"}},
		"our own envelope": {a: arrival{mailFrom: "dmarc@city.example", text: from("example.com")}},
		"to us":            {a: spoof(""), rcpt: "<dmarc@City.example>"},
	} {
		fc := w.judge(t, c.a)
		if c.rcpt != "" {
			fc.Entry.Rcpt = append(fc.Entry.Rcpt, c.rcpt)
		}
		f.Report(fc)
		if s := f.Stats(); s.Waiting != 0 || s.Sent != 0 {
			t.Errorf("%s: reported on", what)
		}
	}
	for what, a := range map[string]arrival{
		"Auto-Submitted: no": spoof("Auto-Submitted: No\n"),
		"a mailing list":     {mailFrom: "list@attacker.example", text: "Precedence: bulk\n" + from("any.example")},
	} {
		before := f.Stats()
		f.Report(w.judge(t, a))
		if s := f.Stats(); s.Waiting+s.Sent != before.Waiting+before.Sent+1 {
			t.Errorf("%s: not reported on", what)
		}
	}
	// A report of ours that fails on its way is not reported on.
	w.settle(t, f)
	for _, m := range w.mail {
		f.Report(w.judge(t, arrival{mailFrom: "forwarder@attacker.example", text: strings.ReplaceAll(string(m), "\r\n", "\n")}))
	}
	if s := f.Stats(); s.Waiting != 0 || len(w.mail) != 2 {
		t.Errorf("a report on a report: %+v, %d mails", s, len(w.mail))
	}
}

// TestFailureReport is one report from arrival to the MTA: its form, what it
// tells, what it keeps to itself.
func TestFailureReport(t *testing.T) {
	w := newWorld(t)
	s := newSink(t, true)
	f, _ := w.failures(t, func(o *FailureOptions) {
		m := &Mailer{Address: s.addr, Helo: "mx.city.example", TLS: Require, Roots: s.roots}
		o.Send = m.Send
	})
	a := arrival{mailFrom: "alice@any.example", text: "Received: from x by y for <taro@city.example>; date\nX-Secret: alice\n" + from("any.example"), sign: "any.example", spoil: true}
	for range 3 {
		f.Report(w.judge(t, a))
	}
	w.settle(t, f)
	got := s.messages()
	if len(got) != 1 || got[0].from != "<>" || got[0].to != "ruf@any.example" || !got[0].tls {
		t.Fatalf("%+v", got)
	}
	text := string(got[0].data)
	r, err := failure.Parse(strings.NewReader(text), failure.Limits{})
	if err != nil || len(r.Deviations) != 0 {
		t.Fatalf("%v %v\n%s", err, r.Deviations, text)
	}
	if r.AuthFailure != failure.DMARC || len(r.Unaligned) != 2 || r.Incidents != 3 || r.ReportedDomains[0] != "any.example" || r.SourceIP.String() != "203.0.113.9" ||
		r.SourcePort != 12345 || r.DKIMDomain != "any.example" || r.DKIMSelector != "s" || r.DKIMIdentity != "@any.example" || len(r.SPFDNS) != 1 || r.SPFDNS[0].Text != "v=spf1 ip4:192.0.2.1 -all" ||
		r.EnvelopeID != "4ABC" || r.UserAgent != "Sekimori/test" || r.Delivery != failure.Policy || !strings.HasSuffix(r.MailFrom, "@any.example") || r.ReportingMTA != "dns; mx.city.example" || r.Arrived.IsZero() ||
		!strings.Contains(r.AuthenticationResults[0], "dmarc=fail") || r.Header.Get("Message-ID") != "<1@any.example>" || !r.Header.Has("DKIM-Signature") {
		t.Errorf("%+v", r)
	}
	for _, private := range []string{"alice", "boss", "taro", "Boss", "secret plans", "click", "evil"} {
		if strings.Contains(text, private) {
			t.Errorf("%q is in the report", private)
		}
	}
	h, body, _ := message.Read(strings.NewReader(text), 0)
	if h.Get("Auto-Submitted") != "auto-generated" || h.Get("From") != "dmarc@city.example" || h.Get("Subject") == "" {
		t.Errorf("%v", h)
	}
	results, err := (&dkim.Verifier{Resolver: w.zone}).Verify(context.Background(), h, body)
	if err != nil || len(results) != 1 || results[0].Status != dkim.Pass || results[0].Domain.String() != "city.example" {
		t.Errorf("the signature: %+v, %v", results, err)
	}
	// It passes DMARC where it arrives (RFC 9991 §5.1).
	v, err := (&check.Checker{Resolver: w.zone}).Check(context.Background(), check.Input{IP: netip.MustParseAddr("198.51.100.1"), NullSender: true}, strings.NewReader(text))
	if err != nil || v.DMARC.Status != "pass" {
		t.Errorf("DMARC of the report: %v, %v", v.DMARC.Status, err)
	}
	// Further ones are counted, and not reported for now.
	f.Report(w.judge(t, a))
	f.Report(w.judge(t, a))
	if st := f.Stats(); st.Sent != 1 || st.Merged != 3 || st.Waiting != 1 {
		t.Errorf("%+v", st)
	}
}

// TestFailureDestinations: every address whose host consents, and no other.
func TestFailureDestinations(t *testing.T) {
	w := newWorld(t)
	f, _ := w.failures(t, func(o *FailureOptions) { o.OptOut = []string{"any.example", "c@outside.example"} })
	for _, d := range []string{"outside.example", "elsewhere.example", "any.example", "ours.example", "slow.example"} {
		f.Report(w.judge(t, arrival{mailFrom: "x@attacker.example", text: from(d)}))
	}
	w.settle(t, f)
	if got := w.sentTo(); got != "a@consents.example" {
		t.Errorf("sent to %s", got)
	}
	// b, c; elsewhere; our own address. any.example opted out before; the DNS
	// of slow.example did not tell.
	if s := f.Stats(); s.Refused != 4 || s.Sent != 1 || s.Failed != 0 {
		t.Errorf("%+v", s)
	}
}

// TestFailureLimits: for a policy, for a host, in all, and of memory.
func TestFailureLimits(t *testing.T) {
	w := newWorld(t)
	f, _ := w.failures(t, func(o *FailureOptions) { o.PerHour, o.InAll, o.Events = 3, 5, 4 })
	flood := func(d string, n int) {
		for i := range n {
			f.Report(w.judge(t, arrival{ip: fmt.Sprintf("203.0.113.%d", i), mailFrom: "x@attacker.example", text: from(d)}))
		}
	}
	flood("example.com", 10)
	if s := f.Stats(); s.Waiting != 3 || s.Limited != 7 {
		t.Errorf("one domain: %+v", s)
	}
	w.settle(t, f)
	flood("example.com", 20)
	if s := f.Stats(); s.Waiting > 3 || s.Sent != 3 {
		t.Errorf("again: %+v", s)
	}
	flood("any.example", 10)
	w.settle(t, f)
	if s := f.Stats(); s.Sent != 5 {
		t.Errorf("in all: %+v", s)
	}
	if n := f.recent.Len(); n > 4 || n != len(f.events) {
		t.Errorf("%d kinds are remembered", n)
	}
	// One host that several owners name.
	w = newWorld(t)
	zone := "_dmarc.a.example. TXT \"v=DMARC1; p=none; ruf=mailto:x@host.example\"\n_dmarc.b.example. TXT \"v=DMARC1; p=none; ruf=mailto:x@host.example\"\n" +
		"*._report._dmarc.host.example. TXT \"v=DMARC1\"\na.example._report._dmarc.host.example. TXT \"v=DMARC1\"\nb.example._report._dmarc.host.example. TXT \"v=DMARC1\"\n"
	z, err := dnstest.Parse(strings.NewReader(zone), "zone")
	if err != nil {
		t.Fatal(err)
	}
	w.zone = z
	f, _ = w.failures(t, func(o *FailureOptions) { o.PerHour, o.InAll = 3, 100 })
	flood("a.example", 2)
	flood("b.example", 2)
	w.settle(t, f)
	if s := f.Stats(); s.Sent != 3 || s.Limited != 1 {
		t.Errorf("one host: %+v", s)
	}
}

// TestFailureAgain: what is quiet begins anew, with a count.
func TestFailureAgain(t *testing.T) {
	w := newWorld(t)
	f, _ := w.failures(t, func(o *FailureOptions) { o.Repeat = 200 * time.Millisecond })
	a := arrival{mailFrom: "x@attacker.example", text: from("example.com")}
	f.Report(w.judge(t, a))
	w.settle(t, f)
	for range 5 {
		f.Report(w.judge(t, a))
	}
	if s := f.Stats(); s.Sent != 1 || s.Waiting != 1 || s.Merged != 4 {
		t.Errorf("%+v", s)
	}
	w.settle(t, f)
	if len(w.mail) != 2 {
		t.Fatalf("%d mails", len(w.mail))
	}
	r, err := failure.Parse(bytes.NewReader(w.mail[1]), failure.Limits{})
	if err != nil || r.Incidents != 5 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestFailureMTA: what the MTA does not take for now is tried again, unless it
// may have taken it.
func TestFailureMTA(t *testing.T) {
	for what, c := range map[string]struct {
		err   error
		times int // it fails
		tries int
		sent  int64
	}{
		"gone once":    {&MailError{Gone: true, Reply: "connection refused"}, 1, 2, 1},
		"busy twice":   {&MailError{Code: 451, Reply: "later"}, 2, 3, 1},
		"busy always":  {&MailError{Code: 451, Reply: "later"}, 99, 4, 0},
		"refused":      {&MailError{Code: 550, Reply: "no", Lasting: true}, 1, 1, 0},
		"lost":         {&MailError{Reply: "connection reset after the message"}, 1, 1, 0},
		"another kind": {errors.New("disk"), 1, 1, 0},
	} {
		w := newWorld(t)
		tries := 0
		var ids []string
		w.fail = func(m Mail) error {
			var b bytes.Buffer
			_ = m.Write(&b)
			h, _, _ := message.Read(&b, 0)
			ids = append(ids, h.Get("Message-ID"))
			// Killed now, it would not be sent a second time.
			if kept, err := os.ReadFile(filepath.Join(w.dir, failuresFile)); err != nil || !strings.Contains(string(kept), `"example.com"`) {
				t.Errorf("%s: noted %s, %v", what, kept, err)
			}
			if tries++; tries <= c.times {
				return c.err
			}
			return nil
		}
		f, _ := w.failures(t, nil)
		f.Report(w.judge(t, arrival{mailFrom: "x@attacker.example", text: from("example.com")}))
		w.settle(t, f)
		s := f.Stats()
		if tries != c.tries || s.Sent != c.sent || s.Failed != 1-c.sent || len(slices.Compact(ids)) != 1 {
			t.Errorf("%s: %d tries, %+v, %v", what, tries, s, ids)
		}
	}
}

// TestFailureRestart: after a restart limits hold, nothing is reported twice,
// and redaction is the same.
func TestFailureRestart(t *testing.T) {
	w := newWorld(t)
	two := func(o *FailureOptions) { o.PerHour = 2 }
	f, stop := w.failures(t, two)
	a := arrival{mailFrom: "alice@attacker.example", text: from("example.com")}
	f.Report(w.judge(t, a))
	w.settle(t, f)
	stop()
	g, stop := w.failures(t, two)
	g.Report(w.judge(t, a)) // the MTA hands it over once more
	time.Sleep(60 * time.Millisecond)
	if s := g.Stats(); s.Sent != 0 {
		t.Errorf("sent twice: %+v", s)
	}
	for i := range 5 {
		g.Report(w.judge(t, arrival{ip: fmt.Sprintf("203.0.113.%d", 100+i), mailFrom: "alice@attacker.example", text: from("example.com")}))
	}
	time.Sleep(100 * time.Millisecond)
	if s := g.Stats(); s.Sent > 1 || s.Limited < 4 {
		t.Errorf("the limits are forgotten: %+v", s)
	}
	stop()
	if f.redact.Word("x") != g.redact.Word("x") {
		t.Error("redaction differs")
	}
	info, err := os.Stat(filepath.Join(w.dir, redactionFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// A file that cannot be read does not keep the gateway from its work.
	for _, text := range []string{"", "{", `{"sent":[{"at":"x"}]}`, strings.Repeat("[", 1000000)} {
		if err := os.WriteFile(filepath.Join(w.dir, failuresFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w.failures(t, nil)
	}
	if err := os.WriteFile(filepath.Join(w.dir, redactionFile), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := redactionKey(w.dir); err == nil || !strings.Contains(err.Error(), redactionFile) {
		t.Errorf("a broken key: %v", err)
	}
}

// TestFailureClock: a clock that is set back does not hold reports up for long,
// nor does it open the limits.
func TestFailureClock(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	w.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	f, _ := w.failures(t, func(o *FailureOptions) { o.PerHour = 1 })
	send := func(ip string) {
		f.Report(w.judge(t, arrival{ip: ip, mailFrom: "x@attacker.example", text: from("example.com")}))
		mu.Lock()
		now = now.Add(time.Second)
		mu.Unlock()
		select {
		case f.wake <- struct{}{}:
		default:
		}
		time.Sleep(30 * time.Millisecond)
	}
	send("203.0.113.1")
	mu.Lock()
	now = now.Add(-30 * time.Minute)
	mu.Unlock()
	send("203.0.113.2")
	if s := f.Stats(); s.Sent != 1 || s.Limited != 1 {
		t.Errorf("set back: %+v", s)
	}
	mu.Lock()
	now = now.Add(3 * time.Hour)
	mu.Unlock()
	send("203.0.113.3")
	if s := f.Stats(); s.Sent != 2 {
		t.Errorf("an hour later: %+v", s)
	}
}

// TestFailureConcurrent: many connections report at once.
func TestFailureConcurrent(t *testing.T) {
	w := newWorld(t)
	f, _ := w.failures(t, nil)
	cases := []FailureCase{
		w.judge(t, arrival{mailFrom: "x@attacker.example", text: from("example.com")}),
		w.judge(t, arrival{mailFrom: "x@attacker.example", text: from("any.example")}),
		w.judge(t, arrival{ip: "2001:db8::1", mailFrom: "x@attacker.example", text: from("any.example")}),
		w.judge(t, arrival{ip: "2001:db8::2", mailFrom: "x@attacker.example", text: from("any.example")}),
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 500 {
				f.Report(cases[(i+j)%len(cases)])
			}
		})
	}
	wg.Wait()
	for range 1000 {
		if f.Stats().Sent == 3 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	// The two addresses of one IPv6 network are one kind. Each message is in a
	// report that went out, in one that waits for the hour's end, or counted with
	// one of them.
	if s := f.Stats(); s.Sent != 3 || s.Sent+s.Waiting+s.Merged != 4000 {
		t.Errorf("%+v", s)
	}
}
