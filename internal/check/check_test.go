package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/authres"
	"sekimori/dkim"
	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/message"
	"sekimori/spf"
)

var bankInput = Input{IP: netip.MustParseAddr("192.0.2.10"), Helo: "mx.bank.example", MailFrom: "bounce@bank.example"}

// sized is a signed message of about size octets.
func sized(t testing.TB, size int) string {
	t.Helper()
	return signed(t, crlfs(bankDraft+strings.Repeat("All work and no play makes a dull message, and so on to the end.\n", size/66)), bankKey)
}

// TestPieces: the verdict does not depend on how the body is cut, and a
// Checker may be used by many at once.
func TestPieces(t *testing.T) {
	text := sized(t, 3000)
	c := &Checker{Resolver: bankResolver(t)}
	whole, err := c.Check(context.Background(), bankInput, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(whole)
	if whole.Outcome() != Confirmed {
		t.Fatalf("%s", want)
	}
	var group sync.WaitGroup
	for size := 1; size < 60; size++ {
		group.Go(func() {
			h, body, err := message.Read(strings.NewReader(text), 0)
			if err != nil {
				t.Error(err)
				return
			}
			rest, _ := io.ReadAll(body)
			n := c.Begin(context.Background(), bankInput, h)
			for len(rest) > 0 {
				k := min(size, len(rest))
				n.Write(rest[:k])
				rest = rest[k:]
			}
			v := n.Finish(context.Background())
			if got, _ := json.Marshal(v); !bytes.Equal(got, want) {
				t.Errorf("in pieces of %d:\n%s\nwant\n%s", size, got, want)
			}
		})
	}
	group.Wait()
}

// TestOutcome: what the verdict is, for each way in which results come
// together.
func TestOutcome(t *testing.T) {
	from := name(t, "bank.example")
	for _, c := range []struct {
		dmarc   dmarc.Status
		spf     spf.Status
		dkim    string // statuses
		noSPF   bool
		want    Outcome
		summary string
	}{
		{dmarc.Pass, spf.Fail, "pass", false, Confirmed, "check.confirmed"},
		{dmarc.Fail, spf.Pass, "pass", false, Failed, "check.failed"},
		{dmarc.Fail, spf.None, "fail", true, Failed, "check.failed-without-spf"},
		{dmarc.PermError, spf.Pass, "", false, Failed, "check.failed-record"},
		{dmarc.TempError, spf.Pass, "", false, Undecided, "check.undecided"},
		// No policy applies.
		{dmarc.NoRecord, spf.Pass, "", false, Unconfirmed, "check.unconfirmed-related"},
		{dmarc.NoRecord, spf.Pass, "fail", false, Unconfirmed, "check.unconfirmed-related"},
		{dmarc.NoRecord, spf.Fail, "pass", false, Unconfirmed, "check.unconfirmed-related"},
		{dmarc.NoRecord, spf.Fail, "", false, Failed, "check.failed-no-policy"},
		{dmarc.NoRecord, spf.Fail, "temperror", false, Undecided, "check.undecided"},
		{dmarc.NoRecord, spf.TempError, "fail", false, Undecided, "check.undecided"},
		{dmarc.NoRecord, spf.None, "fail", false, Failed, "check.failed-no-policy"},
		{dmarc.NoRecord, spf.None, "fail pass", false, Unconfirmed, "check.unconfirmed-related"},
		{dmarc.NoRecord, spf.None, "permerror", false, Unconfirmed, "check.unconfirmed"},
		{dmarc.NoRecord, spf.SoftFail, "", false, Unconfirmed, "check.unconfirmed"},
		{dmarc.NoRecord, spf.PermError, "policy", false, Unconfirmed, "check.unconfirmed"},
		{dmarc.NoRecord, spf.None, "", true, Unconfirmed, "check.unconfirmed"},
	} {
		v := Verdict{SPF: spf.Result{Status: c.spf, Domain: "mail.bank.example"}, NoSPF: c.noSPF, DMARC: dmarc.Result{Status: c.dmarc, From: from}}
		for _, s := range strings.Fields(c.dkim) {
			v.DKIM = append(v.DKIM, Signature{Result: dkim.Result{Status: dkim.Status(s), Domain: from}})
		}
		if got, sum := v.Outcome(), v.Summary().Code; got != c.want || sum != c.summary {
			t.Errorf("dmarc %s, spf %s, dkim %q: %s %s, want %s %s", c.dmarc, c.spf, c.dkim, got, sum, c.want, c.summary)
		}
	}
}

// TestSummaryOfLookalike: a name in another script is shown as it is in the
// DNS too.
func TestSummaryOfLookalike(t *testing.T) {
	v := Verdict{DMARC: dmarc.Result{Status: dmarc.Pass, From: name(t, "bаnk.example")}} // a Cyrillic а
	if got := v.Summary().Args["from"]; got != "bаnk.example (xn--bnk-6cd.example)" {
		t.Errorf("%s", got)
	}
}

// stuck is a resolver that waits for its context.
type stuck struct{}

func (stuck) Lookup(ctx context.Context, _ string, _ dns.Type) (dns.Answer, error) {
	<-ctx.Done()
	return dns.Answer{}, errors.Join(dns.ErrTemporary, ctx.Err())
}

// TestCancelled: a DNS that does not answer leaves the verdict open when the
// context ends; nothing hangs, nothing fails for it.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Checker{Resolver: stuck{}, Helo: true}
	h, body, err := message.Read(strings.NewReader(sized(t, 100)), 0)
	if err != nil {
		t.Fatal(err)
	}
	n := c.Begin(ctx, bankInput, h)
	if _, err := io.Copy(n, body); err != nil {
		t.Fatal(err)
	}
	cancel()
	v := n.Finish(ctx)
	if v.Outcome() != Undecided || v.SPF.Status != "temperror" || v.DMARC.Status != "temperror" {
		t.Errorf("%s, spf %s, dmarc %s", v.Outcome(), v.SPF.Status, v.DMARC.Status)
	}
}

// TestExtremes: very many fields, octets that mail should not have, and line
// ends of other systems, signed as they are, are confirmed as they are.
func TestExtremes(t *testing.T) {
	c := &Checker{Resolver: bankResolver(t)}
	for what, draft := range map[string]string{
		"10,000 fields":      strings.Repeat("X-Trace: one more of very many\r\n", 10_000) + crlfs(bankDraft),
		"a long field":       "X-Long: " + strings.Repeat("word ", 20_000) + "\r\n" + crlfs(bankDraft),
		"NUL and 8-bit":      crlfs(bankDraft) + "\x00\x01\x80\xff\xfe\r\n",
		"bare CR":            crlfs(bankDraft) + "one\rtwo\r\n",
		"dots and smuggling": crlfs(bankDraft) + ".\r\n..\r\n\r.\r\nMAIL FROM:<a@b.example>\r\n",
		"no body":            strings.SplitAfter(crlfs(bankDraft), "\r\n\r\n")[0],
		"one long line":      crlfs(bankDraft) + strings.Repeat("x", 1<<20) + "\r\n",
		"blank lines":        crlfs(bankDraft) + strings.Repeat("\r\n", 100_000),
		"half-width kana":    "Subject: \x1b$B%F%9%H\x1b(B\r\n" + crlfs(bankDraft),
	} {
		began := time.Now()
		v, err := c.Check(context.Background(), bankInput, strings.NewReader(signed(t, draft, bankKey)))
		if err != nil || v.Outcome() != Confirmed || len(v.DKIM) != 1 || v.DKIM[0].Status != dkim.Pass {
			t.Errorf("%s: %v, %s, %+v", what, err, v.Outcome(), v.DKIM)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v", what, took)
		}
	}
}

// TestHostileValues: what a sender writes does not get out of its place in the
// Authentication-Results field, nor into a terminal.
// TestInternationalHelo: the field is ASCII whatever the client called itself.
func TestInternationalHelo(t *testing.T) {
	for helo, want := range map[string]string{"関守.example": "smtp.helo=xn--39sz56k.example;", "関 守\xff": "smtp.helo=\"? ??\";"} {
		v := (&Checker{Resolver: bankResolver(t)}).Begin(context.Background(), Input{IP: netip.MustParseAddr("192.0.2.10"), Helo: helo, MailFrom: "a@bank.example"}, nil).Finish(context.Background())
		if field := v.AuthenticationResults(); !strings.Contains(field, want) {
			t.Errorf("%q: %s", helo, field)
		}
	}
}

func TestHostileValues(t *testing.T) {
	in := Input{IP: netip.MustParseAddr("192.0.2.10"), Helo: "x\"; dmarc=pass header.from=bank.example\r\nX-Evil: 1", MailFrom: "a\r\nb@evil\x1b[31m.example; spf=pass"}
	v, err := (&Checker{Resolver: bankResolver(t), Helo: true}).Check(context.Background(), in, strings.NewReader(strings.ReplaceAll(sized(t, 10), "info@bank.example", "info@b\x1b[2Jank.example")))
	if err != nil {
		t.Fatal(err)
	}
	field := v.AuthenticationResultsField()
	f, ok := message.ParseField(field)
	if !ok || strings.Contains(strings.TrimSuffix(field, "\r\n"), "X-Evil: 1\r\n") {
		t.Errorf("%q", field)
	}
	for _, line := range strings.Split(strings.TrimSuffix(field, "\r\n"), "\r\n")[1:] {
		if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			t.Errorf("a line of its own: %q", line)
		}
	}
	r, err := authres.Parse(f.Value())
	if err != nil {
		t.Fatalf("%v: %q", err, field)
	}
	for _, x := range r.All("dmarc") {
		if x.Value == "pass" {
			t.Errorf("%q", field)
		}
	}
	text, err := json.Marshal(v.Steps())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(`\u001b`)) || bytes.Contains(text, []byte(`\n`)) {
		t.Errorf("control characters in %s", text)
	}
}

// FuzzCheck: any octets have a verdict, the same each time, whose
// Authentication-Results can be read again.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(bankDraft), "192.0.2.10", "mx.bank.example", "bounce@bank.example")
	f.Add([]byte(bankTrace+sized(f, 300)), "", "", "")
	f.Add([]byte("From: a@bank.example\nFrom: b@x\nDKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=s1; h=from; bh=; b=\nARC-Seal: i=1; cv=none\n\n"), "::1", "[::1]", "")
	f.Add([]byte("Received: from a (a [203.0.113.1]) by b; x\nReceived-SPF: pass client-ip=203.0.113.1; envelope-from=\"a b\"@c\n\n>From x"), "", "", "")
	resolver := bankResolver(f)
	f.Fuzz(func(t *testing.T, in []byte, ip, helo, from string) {
		given := Input{Helo: helo, MailFrom: from}
		given.IP, _ = netip.ParseAddr(ip)
		c := &Checker{Resolver: resolver, Helo: true}
		h, _, err := message.Read(bytes.NewReader(in), 0)
		if err != nil {
			return
		}
		derived := Derive(h, given, nil)
		var first []byte
		for range 2 {
			v, err := c.Check(context.Background(), derived, bytes.NewReader(in))
			if err != nil {
				t.Fatal(err)
			}
			doc, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = doc
			} else if !bytes.Equal(first, doc) {
				t.Fatalf("not the same twice:\n%s\n%s", first, doc)
			}
			f, ok := message.ParseField(v.AuthenticationResultsField())
			if !ok {
				t.Fatalf("no field: %q", v.AuthenticationResultsField())
			}
			r, err := authres.Parse(f.Value())
			if err != nil {
				t.Fatalf("%v: %q", err, f.Raw())
			}
			for _, x := range r.All("dmarc") {
				if x.Value != string(v.DMARC.Status) {
					t.Fatalf("dmarc=%s in %q", x.Value, f.Raw())
				}
			}
		}
	})
}
