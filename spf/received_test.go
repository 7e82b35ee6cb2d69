package spf_test

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"sekimori/spf"
)

func TestReceivedSPF(t *testing.T) {
	z := parseZone(t, verifyZone)
	for _, c := range []struct {
		in   spf.Input
		want string
	}{
		{spf.Input{IP: netip.MustParseAddr("192.0.2.1"), Helo: "mx.example", MailFrom: "alice@pass.example"},
			`pass (rcv.example: domain of alice@pass.example designates 192.0.2.1 as permitted sender) client-ip=192.0.2.1; envelope-from="alice@pass.example"; helo=mx.example; receiver=rcv.example; identity=mailfrom; mechanism="ip4:192.0.2.1"`},
		{spf.Input{IP: netip.MustParseAddr("2001:db8::1"), Helo: "pass.example"},
			`fail (rcv.example: domain of postmaster@pass.example does not designate 2001:db8::1 as permitted sender) client-ip="2001:db8::1"; envelope-from=""; helo=pass.example; receiver=rcv.example; identity=mailfrom; mechanism=-all`},
		{spf.Input{IP: netip.MustParseAddr("192.0.2.9"), Helo: "a\r\nX: (\")", MailFrom: "(x\\\"\r\n)@none.example"},
			`none (rcv.example: domain of \(x\\"??\)@none.example does not designate permitted sender hosts) client-ip=192.0.2.9; envelope-from="(x\\\"??)@none.example"; helo="a??X: (\")"; receiver=rcv.example; identity=mailfrom`},
		{spf.Input{IP: netip.MustParseAddr("192.0.2.9"), Helo: "x", MailFrom: "a@bad.example"},
			`permerror (rcv.example: permanent error in processing domain of a@bad.example) client-ip=192.0.2.9; envelope-from="a@bad.example"; helo=x; receiver=rcv.example; identity=mailfrom; problem="bad.example: spf record, octet 22: term \"foo\": unknown mechanism"`},
	} {
		v := spf.Verifier{Resolver: z}
		r := v.Verify(context.Background(), c.in)
		got := r.ReceivedSPF(c.in, "rcv.example")
		if got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		back, err := spf.ParseReceivedSPF(got)
		if err != nil || back.Status != r.Status || back.ClientIP != c.in.IP || back.Identity != r.Identity || back.Receiver != "rcv.example" || back.Mechanism != r.Mechanism {
			t.Errorf("read back %+v, %v", back, err)
		}
	}
	long := spf.Input{IP: netip.MustParseAddr("192.0.2.9"), Helo: strings.Repeat("h", 5000), MailFrom: strings.Repeat("m", 5000) + "@pass.example"}
	v := spf.Verifier{Resolver: z}
	if got := v.Verify(context.Background(), long).ReceivedSPF(long, strings.Repeat("r", 5000)); len(got) > 1500 {
		t.Errorf("%d octets", len(got))
	}
}

// TestReceivedTokens checks that every result has its words.
func TestReceivedTokens(t *testing.T) {
	in := spf.Input{IP: netip.MustParseAddr("192.0.2.1"), MailFrom: "a@example.com"}
	for _, s := range []spf.Status{spf.None, spf.Neutral, spf.Pass, spf.Fail, spf.SoftFail, spf.TempError, spf.PermError} {
		got := spf.Result{Status: s, Sender: "a@example.com"}.ReceivedSPF(in, "")
		if !strings.HasPrefix(got, string(s)+" (") || !strings.Contains(got, "example.com)") && !strings.Contains(got, "a@example.com ") {
			t.Errorf("%s: %s", s, got)
		}
	}
}

func TestParseReceivedSPF(t *testing.T) {
	for _, c := range []struct {
		in   string
		want spf.Received
	}{
		{"Pass (mybox.example.org: domain of\r\n myname@example.com designates 192.0.2.1 as permitted sender)\r\n receiver=mybox.example.org; client-ip=192.0.2.1;\r\n\tenvelope-from=\"myname@example.com\"; helo=foo.example.com;",
			spf.Received{Status: spf.Pass, Comment: "mybox.example.org: domain of myname@example.com designates 192.0.2.1 as permitted sender",
				ClientIP: netip.MustParseAddr("192.0.2.1"), EnvelopeFrom: "myname@example.com", Helo: "foo.example.com", Receiver: "mybox.example.org"}},
		{"softfail client-ip=2001:db8::1; envelope-from=a@b.example (really); identity=MAILFROM; mechanism=\"~all\"; x-foo = bar ;",
			spf.Received{Status: spf.SoftFail, ClientIP: netip.MustParseAddr("2001:db8::1"), EnvelopeFrom: "a@b.example", Identity: spf.MailFrom, Mechanism: "~all",
				Other: []spf.Pair{{"x-foo", "bar"}}}},
		{`none (a (nested \) comment) here) problem="say \"no\""`, spf.Received{Status: spf.None, Comment: "a (nested ) comment) here", Problem: `say "no"`}},
		{"error", spf.Received{Status: spf.TempError}},
		{"unknown", spf.Received{Status: spf.PermError}},
		{"fail; helo=x garbage here", spf.Received{Status: spf.Fail, Helo: "x"}},
		{"neutral client-ip=[IPv6:bad]; client-ip=IPv6:2001:db8::2", spf.Received{Status: spf.Neutral, ClientIP: netip.MustParseAddr("2001:db8::2")}},
		{"pass (unclosed", spf.Received{Status: spf.Pass, Comment: "unclosed"}},
		{`pass helo="unclosed`, spf.Received{Status: spf.Pass, Helo: "unclosed"}},
	} {
		got, err := spf.ParseReceivedSPF(c.in)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got  %+v, %v\nwant %+v", c.in, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "  ", "(only a comment)", "passed", "=pass", "best-guess"} {
		if got, err := spf.ParseReceivedSPF(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}
