package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/rivo/uniseg"

	"sekimori/internal/locale"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

const reportZone = `$TTL 3600
_dmarc.example.com.  TXT "v=DMARC1; p=reject; rua=mailto:dmarc@example.com,mailto:x@unasked.example"
`

// letters is a mail server that keeps what it gets.
type letters struct {
	got chan string
}

func (l *letters) NewSession(*smtp.Conn) (smtp.Session, error) { return l, nil }
func (l *letters) Reset()                                      {}
func (l *letters) Logout() error                               { return nil }
func (l *letters) Mail(string, *smtp.MailOptions) error        { return nil }
func (l *letters) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (l *letters) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	l.got <- string(b)
	return err
}

// mailbox is a mail server that takes everything, and where it listens.
func mailbox(t *testing.T) (*letters, string) {
	t.Helper()
	mx := &letters{got: make(chan string, 10)}
	srv := smtp.NewServer(mx)
	srv.ErrorLog = log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return mx, l.Addr().String()
}

// TestReport looks at the reports about what a gateway has kept, and sends them.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	kept, err := verdict.Open(filepath.Join(dir, "data", "gateway"), verdict.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		rec := aggregate.Record{SourceIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 2)}), Disposition: "none", HeaderFrom: "example.com",
			Reasons:     []aggregate.Reason{{Type: "local_policy", Comment: "監視"}},
			SPFResults:  []aggregate.SPFResult{{Domain: "example.com", Scope: "mfrom", Result: "fail"}},
			DKIMResults: []aggregate.DKIMResult{{Domain: "example.com", Selector: "s", Result: "fail"}}}
		r, err := kept.Append(&verdict.Entry{Time: now, Client: rec.SourceIP, Action: verdict.Accept, Asked: verdict.Quarantine,
			SPF: "fail", DKIM: "fail", DMARC: "fail", Record: rec, Print: [16]byte{byte(i)},
			Policy: verdict.Policy{Domain: "example.com", Text: "v=DMARC1; p=reject; rua=mailto:dmarc@example.com,mailto:x@unasked.example", Method: "treewalk"}})
		if err != nil {
			t.Fatal(err)
		}
		r.Confirm()
	}
	if err := kept.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer kept.Close()

	mx, address := mailbox(t)
	site := func(smtp string) string {
		return "reports:\n  organization: City of Example\n  email: dmarc-reports@city.example\n  smtp: " + smtp + "\n"
	}
	for name, text := range map[string]string{"zone": reportZone, "site.yaml": site(address), "gone.yaml": site("127.0.0.1:1")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lang := locale.English
	run := func(args string) (int, string, string) {
		t.Helper()
		var out, errs bytes.Buffer
		st := Run(t.Context(), Env{Args: append([]string{"report"}, strings.Fields(args)...), In: strings.NewReader(""), Out: &out, Err: &errs,
			Dir: dir, Lang: lang, Version: "test", Now: func() time.Time { return now }})
		for _, line := range strings.Split(errs.String()+out.String(), "\n") {
			if w := uniseg.StringWidth(line); w > 80 && !strings.HasPrefix(strings.TrimSpace(line), "<") && !strings.HasPrefix(line, "sekimori: ") && !strings.Contains(line, `"`) && !strings.Contains(line, "!") {
				t.Errorf("%s: a line of %d columns: %s", args, w, line)
			}
		}
		return st, out.String(), errs.String()
	}
	total := func(xml string) (n uint64) {
		t.Helper()
		r := aggregate.NewReader(strings.NewReader(xml), aggregate.Limits{})
		var rec aggregate.Record
		for {
			err := r.Next(&rec)
			if err == io.EOF {
				return n
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, xml)
			}
			n += rec.Count
		}
	}
	want := func(args string, status int, parts ...string) string {
		t.Helper()
		st, out, errs := run(args)
		if st != status {
			t.Fatalf("report %s: status %d, want %d\n%s%s", args, st, status, out, errs)
		}
		for _, p := range parts {
			if !strings.Contains(out+errs, p) {
				t.Errorf("report %s: no %q in\n%s%s", args, p, out, errs)
			}
		}
		return out
	}
	for _, lang = range locale.Langs {
		if xml := want("preview example.com --zone zone", 0, "dmarc@example.com", "x@unasked.example"); total(xml) != 7 {
			t.Errorf("%s", xml)
		}
		want("list", 0)
		want("send --help", 0)
		want("preview nowhere.example --zone zone", 1, "nowhere.example")
	}
	lang = locale.English
	want("preview www.example.com --zone zone --config site.yaml", 0, "City of Example", "Does not go to x@unasked.example")
	if xml := want("preview example.com --zone zone --form rfc7489", 0); total(xml) != 7 || strings.Contains(xml, "dmarc-2.0") {
		t.Errorf("%s", xml)
	}
	want("preview example.com --zone zone --day 2026-11-20", 1)
	want("preview example.com --zone zone --day yesterday", 2, "--day")
	want("preview example.com --zone zone --form xml", 2, "--form")
	want("preview example.com --zone zone --config absent.yaml", 2, "absent.yaml")
	want("preview example.com --zone zone --id nonsense", 2, "--id")
	want("preview https://example.com/ --zone zone", 2)
	want("preview", 2)
	want("send --zone zone", 2, "reports.email")
	want("send --zone zone --config site.yaml --day 2026-11-21", 2, "not over")
	want("frobnicate", 2)

	var doc struct {
		Domain, Day, Form, Filename, Subject, XML string
		ReportID                                  string `json:"report_id"`
		Messages, Rows                            int64
		Destinations                              []struct {
			URI      string
			External bool
			Allowed  bool
			Reason   struct{ Code string }
		}
	}
	if err := json.Unmarshal([]byte(want("preview example.com --zone zone --config site.yaml --json", 0)), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Domain != "example.com" || doc.Day != "2026-11-21" || doc.Messages != 7 || doc.Rows != 2 || total(doc.XML) != 7 || doc.Form != "rfc9990" ||
		len(doc.Destinations) != 2 || !doc.Destinations[0].Allowed || doc.Destinations[1].Allowed || !doc.Destinations[1].External ||
		doc.Destinations[1].Reason.Code != "dmarc.external-refused" || !strings.Contains(doc.Subject, doc.ReportID) || !strings.Contains(doc.XML, "監視") {
		t.Errorf("%+v", doc)
	}
	// The next day it is sent, though not at once.
	now = now.Add(24 * time.Hour)
	want("send --zone zone --config gone.yaml", 3, "1 waiting")
	want("list --open", 0, "example.com → dmarc@example.com", "waiting", "127.0.0.1:1", "next attempt")
	want("send --zone zone --config site.yaml", 0, "1 sent")
	mail := <-mx.got
	for _, p := range []string{"Report Domain: example.com", doc.ReportID, "DMARC aggregate report by City of Example", doc.Filename} {
		if !strings.Contains(mail, p) {
			t.Errorf("no %q in\n%s", p, mail)
		}
	}
	want("send --zone zone --config site.yaml", 0, "0 sent")
	want("send --zone zone --config site.yaml --day 2026-11-01", 1)
	want("list --open", 0, "no such reports")
	var list struct {
		Total   int64
		Reports []struct {
			ReportID   string `json:"report_id"`
			Deliveries []struct{ To, State string }
		}
	}
	if err := json.Unmarshal([]byte(want("list --json", 0)), &list); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(list); got != "{1 [{"+doc.ReportID+" [{dmarc@example.com sent} {x@unasked.example dropped}]}]}" {
		t.Error(got)
	}
	if xml := want("preview example.com --zone zone --day 2026-11-21", 0, "already; ", doc.ReportID, "Submitter: city.example"); xml != doc.XML {
		t.Errorf("what was made is not what was shown:\n%s", xml)
	}
	for _, lang = range locale.Langs {
		out := want("list", 0)
		t.Log(out)
	}
}

// TestJSONText: a text cut anywhere is the same text.
func TestJSONText(t *testing.T) {
	text := "<a b=\"c\">\n\t\\ 監視 \U0001F600 é &amp;</a>\u2028"
	for cut := range len(text) + 1 {
		for _, second := range []int{cut, min(cut+1, len(text)), min(cut+2, len(text))} {
			if got := quotedBy(t, text[:cut], text[cut:second], text[second:]); got != text {
				t.Fatalf("%d, %d: %q", cut, second, got)
			}
		}
	}
}

func quotedBy(t *testing.T, pieces ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	w.WriteByte('"')
	j := &jsonText{w: w}
	for _, p := range pieces {
		if n, err := j.Write([]byte(p)); err != nil || n != len(p) {
			t.Fatal(n, err)
		}
	}
	w.WriteByte('"')
	w.Flush()
	var s string
	if err := json.Unmarshal(b.Bytes(), &s); err != nil {
		t.Fatalf("%v: %s", err, b.Bytes())
	}
	return s
}
