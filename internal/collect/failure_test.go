package collect

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/internal/require"
	"sekimori/internal/store"
)

// failureReportText is a failure report by the book, with people in it.
func failureReportText(id, ip string) []byte {
	return []byte(strings.ReplaceAll(`From: Reports <dmarc@receiver.example>
To: ruf@city.example
Subject: Failure report about hanako@city.example
Date: Mon, 16 Nov 2026 09:00:05 +0900
Message-ID: <report-`+id+`@receiver.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=x

--x
Content-Type: text/plain

A message failed.
--x
Content-Type: message/feedback-report

Feedback-Type: auth-failure
Version: 1
User-Agent: test/1
Auth-Failure: dmarc
Identity-Alignment: dkim, spf
Authentication-Results: mx.receiver.example; dmarc=fail header.from=city.example;
 spf=pass smtp.mailfrom=taro@bounce.vendor.example; dkim=pass header.d=vendor.example header.s=k1
Original-Mail-From: <taro@bounce.vendor.example>
Original-Rcpt-To: <jiro@receiver.example>
Arrival-Date: Mon, 16 Nov 2026 09:00:00 +0900
Reporting-MTA: dns; mx.receiver.example
Source-IP: `+ip+`
Incidents: 3
Delivery-Result: delivered
Reported-Domain: city.example

--x
Content-Type: text/rfc822-headers

From: "Hanako" <hanako@news.city.example>
To: jiro@receiver.example
Subject: secret
Message-ID: <orig-`+id+`@city.example>

--x--
`, "\n", "\r\n"))
}

func TestFailureReports(t *testing.T) {
	st, err := store.Open(context.Background(), t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	im := New(st)
	im.Now = func() time.Time { return time.Date(2026, 11, 17, 0, 0, 0, 0, time.UTC) }
	in := t.TempDir()
	writeFile(t, in, "one.eml", failureReportText("1", "192.0.2.7"))
	writeFile(t, in, "two.mbox", mboxed(failureReportText("2", "192.0.2.8"), failureReportText("3", "2001:db8::9"), failureReportText("2", "192.0.2.8")))
	writeFile(t, in, "report.xml", reportXML("1", 2))
	abuse := strings.ReplaceAll(string(failureReportText("4", "192.0.2.9")), "Feedback-Type: auth-failure", "Feedback-Type: abuse")
	writeFile(t, in, "abuse.eml", []byte(abuse))
	writeFile(t, in, "addressless.eml", []byte(strings.ReplaceAll(string(failureReportText("5", "x")), "Source-IP", "X-Other")))

	res, err := im.Import(context.Background(), []string{in})
	if err != nil {
		t.Fatal(err)
	}
	if res.Files != 5 || res.Reports != 1 || res.Duplicates != 0 || res.FailureReports != 3 || res.FailureDuplicates != 1 || len(res.Rejected) != 2 {
		t.Fatalf("%+v", res)
	}
	for i, want := range []string{`a complaint about one message (RFC 5965, Feedback-Type "abuse")`, "does not say which host"} {
		if !strings.Contains(res.Rejected[i].Error, want) {
			t.Errorf("rejected: %q, want %q", res.Rejected[i].Error, want)
		}
	}
	b, _ := json.Marshal(res)
	if !strings.Contains(string(b), `"failure_reports":3,"failure_duplicates":1`) {
		t.Errorf("as JSON: %s", b)
	}
	var got []store.Sighting
	day := store.DayOf(time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC))
	read := func(domain string, w store.Window) []store.Sighting {
		got = nil
		if err := st.Sightings(context.Background(), domain, w, func(s store.Sighting) error { got = append(got, s); return nil }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	all := store.Window{Begin: day - 10, End: day + 10}
	if len(read("City.Example.", all)) != 3 {
		t.Fatalf("%+v", got)
	}
	for _, s := range got {
		if s.By != store.ByFailureReports || s.Author != "news.city.example" || s.Day != day || s.Messages != 3 || s.Failing != 3 || s.Failure != "dmarc" ||
			s.Delivery != "delivered" || s.Envelope != "bounce.vendor.example" || s.DKIMDomain != "vendor.example" || s.Selector != "k1" || s.DKIM != "pass" ||
			s.SPFDomain != "bounce.vendor.example" || s.SPF != "pass" || s.Reporter != "receiver.example" || !s.Arrived.Equal(day.Time()) {
			t.Errorf("%+v", s)
		}
		if doc, _ := json.Marshal(s); strings.Contains(string(doc), "taro") || strings.Contains(string(doc), "hanako") || strings.Contains(string(doc), "secret") {
			t.Errorf("people are in it: %s", doc)
		}
	}
	if len(read("news.city.example", all)) != 3 || len(read("ews.city.example", all)) != 0 || len(read("other.example", all)) != 0 ||
		len(read("city.example", store.Window{Begin: day + 1, End: day + 2})) != 0 {
		t.Error("Sightings does not narrow")
	}
	if n, err := filepath.Glob(filepath.Join(im.DataDir, "quarantine", "*.json")); err != nil || len(n) != 2 {
		t.Errorf("in the quarantine: %v, %v", n, err)
	}

	// The same once more: all there already. The totals of imports have both.
	res, err = im.Import(context.Background(), []string{filepath.Join(in, "one.eml"), filepath.Join(in, "two.mbox")})
	if err != nil || res.FailureReports != 0 || res.FailureDuplicates != 4 || res.Duplicates != 0 {
		t.Errorf("again: %+v, %v", res, err)
	}
}

// TestFailureReportsResumed: an import that was interrupted after its failure
// reports were kept gives the result of an undisturbed one.
func TestFailureReportsResumed(t *testing.T) {
	f := newFake()
	im := f.importer(t)
	kept := &sightings{seen: map[[32]byte]store.Origin{}}
	im.Sightings = kept
	in := t.TempDir()
	writeFile(t, in, "two.mbox", mboxed(failureReportText("2", "192.0.2.8"), failureReportText("3", "192.0.2.9"), failureReportText("2", "192.0.2.8")))
	f.doneErr = errors.New("disk full")
	if _, err := im.Import(context.Background(), []string{in}); !errors.Is(err, ErrAborted) {
		t.Fatal(err)
	}
	f.doneErr = nil
	res, err := im.Import(context.Background(), []string{in})
	if err != nil || res.FailureReports != 2 || res.FailureDuplicates != 1 || len(kept.seen) != 2 {
		t.Errorf("%+v, %v", res, err)
	}
	// A store that fails stops the import.
	kept.err = errors.New("disk full")
	writeFile(t, in, "three.eml", failureReportText("4", "192.0.2.8"))
	if _, err := im.Import(context.Background(), []string{in}); !errors.Is(err, ErrAborted) {
		t.Errorf("a store that fails: %v", err)
	}
}

type sightings struct {
	seen map[[32]byte]store.Origin
	err  error
}

func (s *sightings) PutSightings(_ context.Context, in []store.Sighting) ([]store.SightingOutcome, error) {
	out := make([]store.SightingOutcome, len(in))
	for i, g := range in {
		o, ok := s.seen[g.Hash]
		out[i] = store.SightingOutcome{New: !ok, Resumed: ok && o == g.Origin}
		if !ok {
			s.seen[g.Hash] = g.Origin
		}
	}
	return out, s.err
}

// TestRealFailureReports imports what reporters really sent.
func TestRealFailureReports(t *testing.T) {
	f := newFake()
	im := f.importer(t)
	kept := &sightings{seen: map[[32]byte]store.Origin{}}
	im.Sightings = kept
	dir := require.Data(t, "reports-parsedmarc", "failure")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	res, err := im.Import(context.Background(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	// LinkedIn's is there with both line ends: one report.
	if got := res.FailureReports; got != int64(len(files)-1) || res.FailureDuplicates != 1 || len(res.Rejected) != 0 {
		t.Errorf("%+v", res)
	}
}

// TestFailureReportLarge: what is beyond the part that is kept does not matter.
func TestFailureReportLarge(t *testing.T) {
	f := newFake()
	im := f.importer(t)
	kept := &sightings{seen: map[[32]byte]store.Origin{}}
	im.Sightings = kept
	text := strings.Replace(string(failureReportText("1", "192.0.2.7")), "text/rfc822-headers", "message/rfc822", 1)
	text = strings.Replace(text, "\r\n--x--", strings.Repeat(strings.Repeat("x", 70)+"\r\n", 20000)+"--x--", 1)
	if res := importFile(t, im, "large.eml", []byte(text)); res.FailureReports != 1 {
		t.Errorf("%+v", res)
	}
}
