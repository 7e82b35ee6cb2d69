package failure

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sekimori/message"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// example is RFC 9991 appendix A as far as it can be written.
func example(t testing.TB) *Report {
	return &Report{
		Mail: Mail{
			From: "DMARC@gen.example", To: "dmarcfail@consumer.example", Subject: "DMARC failure report: consumer.example",
			Date: time.Date(2022, 7, 19, 5, 57, 48, 0, time.UTC), ID: "20220719055748.4AE9D403CC@gen.example",
			Text: "This is an authentication failure report for an email message\nreceived from IP 192.0.2.2 on Tue, 19 Jul 2022 00:57:48 -0500.",
		},
		FeedbackType: "auth-failure", Version: "1", UserAgent: "Sekimori/1.0", AuthFailure: DMARC,
		AuthenticationResults: []string{"gen.example; dmarc=fail header.from=consumer.example"},
		Unaligned:             []Method{MethodDKIM, MethodSPF}, AlignmentTold: true,
		DKIMDomain: "consumer.example", DKIMIdentity: "@consumer.example", DKIMSelector: "epsilon",
		EnvelopeID: "65E1A3F0A0", MailFrom: testRedactor.Address("author=gen.example@forwarder.example"),
		SourceIP: netip.MustParseAddr("192.0.2.2"), SourcePort: 12345, Arrived: time.Date(2022, 7, 19, 5, 57, 48, 0, time.UTC),
		ReportedDomains: []string{"consumer.example"}, Delivery: Policy, Incidents: 3,
		SPFDNS: []SPFRecord{{Type: "txt", Domain: "consumer.example", Text: `v=spf1 ip4:192.0.2.4 exp="a\b" -all`}},
		Header: testRedactor.Header(header(t, `Received: from mail.forwarder.example
  (mail.forwarder.example [IPv6:2001:db8::23ac])
  by mail.gen.example (Postfix) with ESMTP id 5E8B0C159826
  for <x@gen.example>; Sun, 14 Aug 2022 07:58:29 -0700 (PDT)
Author: Message Author <author@consumer.example>
Message-ID: <2431dc66-b010-c9cc-4f2b-a1f889f8bdb4@consumer.example>
Date: Tue, 19 Jul 2022 07:57:33 +0200
Subject: This is the original subject
To: users@forwarder.example
From: Message Author <author@consumer.example>
Content-Type: text/plain; charset=UTF-8; format=flowed

`)),
	}
}

func TestWriteGolden(t *testing.T) {
	japanese := example(t)
	japanese.Mail.Subject = "DMARC 失敗レポート"
	japanese.Mail.Text = "consumer.example を名乗るメールの認証が失敗しました。"
	japanese.AuthFailure, japanese.AlignmentTold, japanese.Unaligned = BodyHash, false, nil
	japanese.CanonicalBody = bytes.Repeat([]byte("body\r\n"), 20)
	japanese.Header = header(t, "From: 山田太郎 <x@consumer.example>\nX: "+strings.Repeat("y", 1200)+"\n\n")
	for name, r := range map[string]*Report{"dmarc": example(t), "encoded": japanese} {
		var got bytes.Buffer
		if err := Write(&got, r); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".eml")
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s differs; -update rewrites it:\n%s", path, got.String())
		}
		roundTrip(t, r)
	}
}

// roundTrip writes a report, checks the form of what was written, and reads it
// back.
func roundTrip(t testing.TB, r *Report) {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, r); err != nil {
		t.Fatal(err)
	}
	for i, l := range strings.SplitAfter(out.String(), "\n") {
		if l != "" && (!strings.HasSuffix(l, "\r\n") || len(l) > 1000 || strings.Contains(l[:len(l)-2], "\r")) || !isASCII(l) {
			t.Fatalf("line %d: %q", i+1, l)
		}
	}
	got, err := Parse(&out, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := *r
	if got.Mail.Date.Unix() != want.Mail.Date.Unix() || got.Arrived.Unix() != want.Arrived.Unix() {
		t.Errorf("dates: %v, %v", got.Mail.Date, got.Arrived)
	}
	if len(got.Header) != len(want.Header) {
		t.Errorf("%d fields of %d", len(got.Header), len(want.Header))
	}
	for i := range min(len(got.Header), len(want.Header)) {
		if g, w := got.Header[i], want.Header[i]; g.Name() != w.Name() || squeeze(g.Value()) != squeeze(w.Value()) {
			t.Errorf("field %q, want %q", g.Raw(), w.Raw())
		}
	}
	if len(got.Deviations) != 0 {
		t.Errorf("deviations: %v", got.Deviations)
	}
	got.Mail.Date, want.Mail.Date, got.Arrived, want.Arrived = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	got.Header, want.Header, got.Deviations, want.Deviations = nil, nil, nil, nil
	want.AlignmentTold = want.AlignmentTold || want.AuthFailure == DMARC
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read back:\n got %+v\nwant %+v", got, want)
	}
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func isASCII(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r > '~' }) < 0 }

// TestWriteHostile puts what an attacker chooses into every value: nothing may
// leave its field or its part.
func TestWriteHostile(t *testing.T) {
	evil := "x\r\nBcc: victim@example.org\r\n\r\n--=_0\r\nContent-Type: text/html\r\n\r\n<script>\x00\xff"
	r := example(t)
	r.UserAgent, r.EnvelopeID, r.DKIMDomain, r.DKIMSelector, r.MailFrom, r.ReportingMTA = evil, evil, evil, evil, evil, evil
	r.Mail.Subject, r.Mail.Text = evil, evil
	r.AuthenticationResults, r.ReportedDomains, r.Rcpt = []string{evil}, []string{evil}, []string{evil}
	r.SPFDNS = []SPFRecord{{Type: "txt", Domain: evil, Text: evil}}
	r.Extra = []Extra{{Name: evil, Value: evil}, {Name: "X-Good", Value: evil}}
	if f, ok := message.ParseField("X-Long: " + strings.Repeat("a ", 3000) + evil[:10] + "\r\n \r\n \r\n"); ok {
		r.Header = append(r.Header, f)
	}
	var out bytes.Buffer
	if err := Write(&out, r); err != nil {
		t.Fatal(err)
	}
	parts := 0
	err := message.Walk(bytes.NewReader(out.Bytes()), message.Limits{}, func(p *message.Part) error {
		if parts == 0 && (p.Message.Has("Bcc") || len(p.Message) != 8) {
			t.Errorf("the header: %v", p.Message)
		}
		parts++
		return nil
	})
	if err != nil || parts != 3 {
		t.Errorf("%d parts, %v:\n%s", parts, err, out.String())
	}
	got, err := Parse(&out, Limits{})
	if err != nil || len(got.Extra) != 1 || got.Mail.To != "dmarcfail@consumer.example" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, change := range []func(*Report){
		func(r *Report) { r.Mail.To = "a@example.jp, b@example.jp" },
		func(r *Report) { r.Mail.To = "a@example.jp\r\nBcc: b@example.jp" },
		func(r *Report) { r.Mail.From = "" },
		func(r *Report) { r.Mail.ID = "x>\r\nBcc: y@z" },
		func(r *Report) { r.Header = nil },
		func(r *Report) { r.AuthenticationResults = nil },
		func(r *Report) { r.AuthFailure = "" },
	} {
		r := example(t)
		change(r)
		out.Reset()
		if err := Write(&out, r); err == nil || out.Len() != 0 {
			t.Errorf("written: %s", out.String())
		}
	}
}
