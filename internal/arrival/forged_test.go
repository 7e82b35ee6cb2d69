//go:build unix

package arrival

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sekimori/message"
)

// TestForgedFields has a message bring fields in our name along, in whatever
// spelling. They go; everything else stays, in its order and octet by octet.
func TestForgedFields(t *testing.T) {
	w := here(t)
	const pass = "dmarc=pass header.from=bank.example"
	ours := []string{
		"Authentication-Results: mx.receiver.example; " + pass,
		"authentication-results: MX.Receiver.EXAMPLE; " + pass,
		"AUTHENTICATION-RESULTS:mx.receiver.example;" + pass,
		"Authentication-Results: mx.receiver.example 1; " + pass,
		"Authentication-Results: mx.receiver.example/1; " + pass,
		"Authentication-Results:\r\n mx.receiver.example;\r\n\t" + pass,
		"Authentication-Results: (a comment) mx.receiver.example (another); " + pass,
		`Authentication-Results: "mx.receiver.example"; ` + pass,
		`Authentication-Results: "mx.rec\eiver.example"; ` + pass,
		"Authentication-Results: mx.receiver.example.; " + pass,
		"Authentication-Results: mx.receiver.example; none",
		"Authentication-Results: mx.receiver.example",
		"Authentication-Results: mx.receiver.example; (" + pass,
		"Authentication-Results: mx.receiver.example; dmarc=\"pass header.from=bank.example",
		"Authentication-Results: other.example 2; " + pass, // RFC 8601 §2.6
		"BIMI-Location: v=BIMI1; l=https://mallory.example/logo.svg",
		"bimi-indicator: PHN2Zz48L3N2Zz4=",
	}
	inner := "Authentication-Results: inner.receiver.example; " + pass
	others := []string{
		"Authentication-Results: other.example; " + pass,
		"Authentication-Results: not-mx.receiver.example; " + pass,
		"Authentication-Results: mx.receiver.example.mallory.example; " + pass,
		"Authentication-Results: other.example; spf=pass (told by mx.receiver.example) smtp.mailfrom=x",
		"X-Authentication-Results: mx.receiver.example; " + pass,
		"ARC-Authentication-Results: i=1; mx.receiver.example; " + pass,
	}
	l := compose("forged", "info@bank.example", "X-First:  two spaces", "X-Empty:", "X-Folded: a\r\n\t b")
	// Ours and others' in turn, with many of one name, so that numbers count.
	var put []string
	for i := range max(len(ours), len(others)) {
		if i < len(ours) {
			put = append(put, ours[i])
		}
		if i < len(others) {
			put = append(put, others[i])
		}
	}
	put = append(put, inner)
	l.fields = slices.Insert(l.fields, 2, put...)
	l.body = strings.Join(ours, "\r\n") + "\r\n\r\n" + l.body
	for _, at := range []string{"hold", "refuse", "monitor"} {
		t.Run(at, func(t *testing.T) {
			got, text := w.bring(t, at, l.from(bankMail, atBank))
			if got != delivered {
				t.Fatalf("%s: %s", got, text)
			}
			if field, err := said([]byte(text)); err != nil || field != "spf=pass bank.example; dkim=none; arc=fail; "+bankAR && field != "spf=pass bank.example; dkim=none; "+bankAR {
				t.Errorf("%s, %v", field, err)
			}
			h, body, err := header([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			gone := slices.Clone(ours)
			if at == "hold" {
				gone = append(gone, inner)
			}
			var want, have []string
			for _, f := range l.fields {
				if !slices.Contains(gone, f) {
					want = append(want, f)
				}
			}
			for i, f := range h {
				if i < 2 && (f.Is("Received") || f.Is("Authentication-Results")) {
					continue
				}
				have = append(have, raw(f))
			}
			for i := range max(len(want), len(have)) {
				if i >= len(want) || i >= len(have) || want[i] != have[i] {
					t.Errorf("field %d differs:\n got %q\nwant %q", i, have[min(i, len(have)):min(i+3, len(have))], want[min(i, len(want)):min(i+3, len(want))])
					break
				}
			}
			if string(body) != strings.ReplaceAll(l.body, "\r\n", "\n") {
				t.Error("the body is another")
			}
		})
	}
}

// TestForgedMany has more forged fields than anybody counts by hand, and ours
// is still the only one.
func TestForgedMany(t *testing.T) {
	w := here(t)
	l := compose("forged-many", "info@bank.example")
	for i := range 500 {
		l.fields = append(l.fields, fmt.Sprintf("Authentication-Results: %s; dmarc=pass header.from=bank.example (%d)", []string{receiver, "other.example", strings.ToUpper(receiver)}[i%3], i))
	}
	got, text := w.bring(t, "hold", l.from(bankMail, atBank))
	if got != delivered {
		t.Fatalf("%s: %s", got, text[:min(len(text), 2000)])
	}
	if field, err := said([]byte(text)); err != nil || field != "spf=pass bank.example; dkim=none; "+bankAR {
		t.Errorf("%s, %v", field, err)
	}
	h, _, _ := header([]byte(text))
	if n := len(h.All("Authentication-Results")); n != 1+167 {
		t.Errorf("%d fields are left", n)
	}
}

// raw is a field as it was written, with CRLF inside and none behind.
func raw(f message.Field) string {
	return strings.ReplaceAll(strings.TrimRight(strings.ReplaceAll(f.Raw(), "\r\n", "\n"), "\n"), "\n", "\r\n")
}
