package failure

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

const around = `From: r@reporter.example
To: d@example.jp
Subject: s
Message-ID: <1@reporter.example>
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b

text
--b
Content-Type: message/feedback-report

%FIELDS%
--b
Content-Type: text/rfc822-headers

From: x@example.jp
--b--
`

func parseText(t *testing.T, text string) Report {
	t.Helper()
	r, err := Parse(strings.NewReader(text), Limits{})
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return r
}

func TestParseFields(t *testing.T) {
	with := func(lines ...string) Report {
		return parseText(t, strings.Replace(around, "%FIELDS%", "Feedback-Type: Auth-Failure (x)\n"+strings.Join(lines, "\n"), 1))
	}
	r := with("version: 1 (one)", "Auth-Failure: BodyHash", "Identity-Alignment: (c) DKIM , spf,dkim", "Source-IP: [IPv6:2001:db8::1]", "Source-Port: 65535",
		"Incidents: 9223372036854775807", "Original-Mail-From: <>", "Original-Rcpt-To: <a@example.jp>", "Original-Rcpt-To: b@example.jp",
		"Received-Date: Tue, 19 Jul 2022 07:57:33 +0200", `SPF-DNS: TXT : Example.JP : "v=spf1 \"x\" -all"`, "DKIM-Canonicalized-Header: ZnJv\n bTp4", "X-Other: y")
	if r.FeedbackType != "auth-failure" || r.Version != "1" || r.AuthFailure != BodyHash || !slices.Equal(r.Unaligned, []Method{MethodDKIM, MethodSPF}) ||
		r.SourceIP.String() != "2001:db8::1" || r.SourcePort != 65535 || r.Incidents != 9223372036854775807 || !r.NullFrom || len(r.Rcpt) != 2 || r.Rcpt[0] != "a@example.jp" ||
		r.Arrived.Unix() != 1658210253 || len(r.SPFDNS) != 1 || r.SPFDNS[0] != (SPFRecord{"txt", "example.jp", `v=spf1 "x" -all`}) || string(r.CanonicalHeader) != "from:x" || len(r.Extra) != 1 {
		t.Errorf("%+v", r)
	}
	if r := with("Identity-Alignment: none"); !r.AlignmentTold || r.Unaligned != nil {
		t.Errorf("none: %+v", r)
	}
	for _, bad := range []string{"Source-IP: 1.2.3", "Source-Port: 65536", "Source-Port: -1", "Incidents: -3", "Incidents: 0", "Incidents: 9223372036854775808",
		"Arrival-Date: yesterday", "Identity-Alignment: magic", "SPF-DNS: v=spf1 -all", "DKIM-Canonicalized-Body: $$$"} {
		r := with(bad)
		if !slices.Contains(r.Deviations, BadValue) || r.Incidents != 1 || r.SourcePort != 0 || r.SourceIP.IsValid() {
			t.Errorf("%s: %+v", bad, r)
		}
	}
	if r := with("Auth-Failure: dmarc", "Auth-Failure: spf"); r.AuthFailure != DMARC || !slices.Contains(r.Deviations, Repeated) {
		t.Errorf("repeated: %+v", r)
	}
}

func TestParseShapes(t *testing.T) {
	whole := strings.Replace(strings.Replace(around, "%FIELDS%", "Feedback-Type: auth-failure", 1), "text/rfc822-headers", "message/rfc822", 1)
	if r := parseText(t, whole); !r.Whole || r.Header.Get("From") != "x@example.jp" {
		t.Errorf("whole: %+v", r)
	}
	// The original is itself a report: its own feedback part is none of ours.
	inner := strings.ReplaceAll(strings.Replace(around, "%FIELDS%", "Feedback-Type: abuse\nSource-IP: 192.0.2.9", 1), "=b\n", "=c\n")
	inner = strings.ReplaceAll(inner, "--b", "--c")
	nested := strings.Replace(whole, "From: x@example.jp\n", inner, 1)
	if r := parseText(t, nested); r.FeedbackType != "auth-failure" || r.SourceIP.IsValid() || r.Header.Get("From") != "r@reporter.example" || !r.Whole {
		t.Errorf("nested: %+v", r)
	}
	// Forwarded as an attachment.
	forwarded := "From: boss@example.jp\nContent-Type: message/rfc822\n\n" + whole
	if r := parseText(t, forwarded); r.Mail.From != "r@reporter.example" || r.Header.Get("From") != "x@example.jp" {
		t.Errorf("forwarded: %+v", r)
	}
	// A feedback part under another type.
	other := strings.Replace(whole, "message/feedback-report", "text/plain", 1)
	if r := parseText(t, other); !slices.Contains(r.Deviations, OtherMediaType) {
		t.Errorf("other type: %+v", r)
	}
	for name, text := range map[string]string{
		"empty":           "",
		"plain":           "From: a@example.jp\n\nhello\n",
		"delivery status": "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nSender Domain: example.jp\nSender IP Address: 192.0.2.1\n--b--\n",
		"quoted":          "From: a@example.jp\nContent-Type: message/rfc822\n\nContent-Type: text/plain\n\nfoo",
	} {
		if r, err := Parse(strings.NewReader(text), Limits{}); !errors.Is(err, ErrNotReport) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	broken := io.MultiReader(strings.NewReader(whole[:200]), errReader{})
	if _, err := Parse(broken, Limits{}); !errors.Is(err, errRead) {
		t.Errorf("a read that fails: %v", err)
	}
}

var errRead = errors.New("lost")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errRead }

// TestParseBounds cuts what is too long and does not keep the original's body.
func TestParseBounds(t *testing.T) {
	long := strings.Replace(around, "%FIELDS%", "Feedback-Type: auth-failure\nUser-Agent: "+strings.Repeat("x", 20000)+"\n"+strings.Repeat("X-A: b\n", 10000), 1)
	r := parseText(t, long)
	if len(r.UserAgent) != 8<<10 || len(r.Extra) != 200 || !slices.Contains(r.Deviations, Cut) {
		t.Errorf("%d octets, %d fields, %v", len(r.UserAgent), len(r.Extra), r.Deviations)
	}
	parts := strings.Replace(strings.Replace(around, "%FIELDS%", "Feedback-Type: auth-failure", 1), "--b--", strings.Repeat("--b\n\nx\n", 1000)+"--b--", 1)
	if r := parseText(t, parts); !slices.Contains(r.Deviations, Cut) || r.FeedbackType != "auth-failure" {
		t.Errorf("a thousand parts: %v", r.Deviations)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(strings.Replace(around, "%FIELDS%", "Feedback-Type: auth-failure\nAuth-Failure: dmarc\nSPF-DNS: a:b:\"c\nIncidents: 3", 1)))
	f.Add([]byte("Content-Type: multipart/report\n\n\nSender Domain: example.jp\nSender IP Address: 192.0.2.1\n--- header ---\nA: b\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(bytes.NewReader(text), Limits{})
		if err != nil {
			return
		}
		// What was read can be written, once what is required is there, and is
		// read back without a departure from the form.
		e := example(t)
		r.Mail.From, r.Mail.To, r.Mail.ID, r.Mail.Date = e.Mail.From, e.Mail.To, e.Mail.ID, e.Mail.Date
		r.Mail.Subject, r.Mail.Text = e.Mail.Subject, e.Mail.Text
		r.AuthFailure, r.UserAgent, r.AuthenticationResults, r.ReportedDomains = DMARC, e.UserAgent, e.AuthenticationResults, e.ReportedDomains
		r.FeedbackType, r.Version = e.FeedbackType, e.Version
		if len(r.Header) == 0 {
			r.Header = e.Header
		}
		var out bytes.Buffer
		if err := Write(&out, &r); err != nil {
			t.Fatal(err)
		}
		written := out.String()
		back, err := Parse(&out, Limits{Feedback: 8 << 20, Fields: 1 << 20, Value: 4 << 20, Header: 8 << 20})
		if err != nil {
			t.Fatalf("%v:\n%s", err, written)
		}
		if back.Incidents != r.Incidents || back.SourceIP != r.SourceIP || back.SourcePort != r.SourcePort || !slices.Equal(back.Unaligned, r.Unaligned) ||
			back.Delivery != "" && r.Delivery == "" || len(back.Header) == 0 || back.Mail.To != r.Mail.To || back.Whole {
			t.Errorf("read back:\n got %+v\nwant %+v\n%s", back, r, written)
		}
	})
}
