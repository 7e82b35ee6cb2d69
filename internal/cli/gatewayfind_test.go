package cli

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"

	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

// TestGatewayFind looks for messages beside the gateway that writes them.
func TestGatewayFind(t *testing.T) {
	data := t.TempDir()
	log, err := verdict.Open(filepath.Join(data, "gateway"), verdict.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for i, m := range []struct {
		from, to, id  string
		action, asked verdict.Action
		dmarc         string
	}{
		{"info@shop.example", "yamada@city.kakuu.example", "1@shop.example", verdict.Accept, verdict.Accept, "pass"},
		{"support@bank.example", "yamada@city.kakuu.example", "2@bank.example", verdict.Quarantine, verdict.Quarantine, "fail"},
		{"support@bank.example\x1b[31m", "suzuki@city.kakuu.example", "3@bank.example", verdict.Accept, verdict.Refuse, "fail"},
	} {
		e := verdict.Entry{Time: time.Now().Add(time.Duration(i-3) * time.Minute), Took: time.Millisecond, QueueID: "4CXYZ" + string(rune('1'+i)), MessageID: m.id, Client: netip.MustParseAddr("192.0.2.7"), Helo: "mx.example",
			MailFrom: m.from, From: m.from, Rcpt: []string{m.to}, Size: 1234, Action: m.action, Asked: m.asked, SPF: "softfail", DKIM: "none", DMARC: m.dmarc, ARC: "none",
			Policy: verdict.Policy{Domain: "bank.example", Text: "v=DMARC1; p=reject", Method: "treewalk"}, Print: [16]byte{byte(i)},
			Record: aggregate.Record{SourceIP: netip.MustParseAddr("192.0.2.7"), Disposition: aggregate.DispositionNone, HeaderFrom: "bank.example", SPFResults: []aggregate.SPFResult{{Domain: "bank.example", Scope: "mfrom", Result: "softfail"}}},
			Why:    []explain.Step{{Code: "dmarc.fail", Args: explain.Args{"from": "bank.example", "domain": "bank.example", "policy": "reject"}}}}
		r, err := log.Append(&e)
		if err != nil {
			t.Fatal(err)
		}
		r.Confirm()
	}
	if err := log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	find := func(l locale.Lang, args ...string) (string, int) {
		t.Helper()
		var out, errs bytes.Buffer
		status := Run(t.Context(), Env{Args: append([]string{"gateway", "find", "--data", data}, args...), Out: &out, Err: &errs, Lang: l, Dir: t.TempDir()})
		if errs.Len() > 0 && status < StatusUsage {
			t.Errorf("%q: %s", args, &errs)
		}
		for line := range strings.Lines(out.String()) {
			if w := uniseg.StringWidth(strings.TrimRight(line, "\n")); w > 80 && len(args) > 0 && args[0] != "--json" {
				t.Errorf("%q: %d columns: %s", args, w, line)
			}
		}
		if strings.Contains(out.String(), "⟦") || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%q: %q", args, &out)
		}
		return out.String(), status
	}
	for _, l := range locale.Langs {
		if out, status := find(l, "nobody@nowhere.example"); status != StatusNegative || strings.TrimSpace(out) != l.Text("gatewayfind.none", nil) {
			t.Errorf("none: %d %s", status, out)
		}
		if out, status := find(l); status != StatusDone || strings.Count(out, "4CXYZ") != 3 || strings.Index(out, "4CXYZ3") > strings.Index(out, "4CXYZ1") || !strings.Contains(out, l.Text("gatewayfind.action.quarantine", nil)) {
			t.Errorf("all: %d %s", status, out)
		}
		out, status := find(l, "--message-id", "<2@bank.example>")
		if status != StatusDone || !strings.Contains(out, "postsuper -H 4CXYZ2") || !strings.Contains(out, "v=DMARC1; p=reject") || !strings.Contains(out, "192.0.2.7") {
			t.Errorf("one: %d %s", status, out)
		}
		t.Log(out)
	}
	for query, n := range map[string]int{"yamada@city.kakuu.example": 2, "4CXYZ1": 1, "192.0.2.7": 3} {
		if out, _ := find(locale.English, query, "--json"); strings.Count(out, `"queue_id"`) != n {
			t.Errorf("%s: want %d messages: %s", query, n, out)
		}
	}
	for want, args := range map[int][]string{
		1: {"--action", "quarantine"}, 2: {"--limit", "2"}, 3: {"--since", "1h"}, 0: {"--until", "7d"},
	} {
		out, _ := find(locale.English, append([]string{"--json"}, args...)...)
		var doc struct {
			Messages []struct {
				ID     uint64         `json:"id"`
				Action verdict.Action `json:"action"`
				Why    []explain.Step `json:"why"`
			} `json:"messages"`
			More bool `json:"more"`
		}
		if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Messages) != want || doc.More != (want == 2) {
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
	for _, args := range [][]string{{"--action", "burn"}, {"--limit", "0"}, {"--since", "yesterday"}, {"a", "b"}} {
		if _, status := find(locale.English, args...); status != StatusUsage {
			t.Errorf("%q: status %d", args, status)
		}
	}
}
