package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"sekimori/explain"
	"sekimori/internal/store/verdict"
)

func lineEntry(text string) *verdict.Entry {
	return &verdict.Entry{QueueID: "4bQ1" + text, Client: netip.MustParseAddr("192.0.2.7"), Helo: "mx" + text, MailFrom: text + "@a.example", From: "b@" + text,
		Rcpt: []string{"c", "d"}, MessageID: text, Size: 1<<40 + 1, SPF: "pass", DKIM: "fail", ARC: "none",
		Policy: verdict.Policy{Domain: "a.example", Text: "v=DMARC1; p=" + text}, Action: verdict.Quarantine, Asked: verdict.Refuse,
		Rule: explain.Step{Code: "gateway.rule-list"}, Took: 1234567 * time.Nanosecond}
}

// TestMessageLine: the line is what slog writes, whatever the texts are.
func TestMessageLine(t *testing.T) {
	for _, text := range []string{"", "a", `"\`, "\x00\n\r\t\x7f", "<日本&>", "\xff\xfe", "\u2028"} {
		for _, e := range []*verdict.Entry{lineEntry(text), {MessageID: text}} {
			line := appendMessageLine(nil, time.Now(), e)
			if bytes.IndexByte(line, '\n') != len(line)-1 {
				t.Errorf("%q: more than one line: %q", text, line)
			}
			var want bytes.Buffer
			var attrs []slog.Attr
			messageFields(e, func(n, v string) { attrs = append(attrs, slog.String(n, v)) }, func(n string, v float64) { attrs = append(attrs, slog.Float64(n, v)) })
			slog.New(slog.NewJSONHandler(&want, nil)).LogAttrs(context.Background(), slog.LevelInfo, "message", attrs...)
			var got, expected map[string]any
			if err := json.Unmarshal(line, &got); err != nil {
				t.Fatalf("%q: %v in %s", text, err, line)
			}
			if err := json.Unmarshal(want.Bytes(), &expected); err != nil {
				t.Fatal(err)
			}
			if _, err := time.Parse(time.RFC3339Nano, got["time"].(string)); err != nil {
				t.Error(err)
			}
			delete(got, "time")
			delete(expected, "time")
			if !reflect.DeepEqual(got, expected) {
				t.Errorf("%q:\n%v, want\n%v", text, got, expected)
			}
		}
	}
}

func BenchmarkMessageLine(b *testing.B) {
	e := lineEntry("reject")
	b.ReportAllocs()
	var buf [1024]byte
	for b.Loop() {
		appendMessageLine(buf[:0], e.Time, e)
	}
}
