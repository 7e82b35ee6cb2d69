package main

import (
	"bytes"
	"context"
	"testing"

	"sekimori/dns/dnstest"
	"sekimori/internal/check"
)

// TestLetters: each letter gets the verdict that its part in the story has.
func TestLetters(t *testing.T) {
	zone, err := dnstest.Parse(bytes.NewReader(newMinistry().zone()), "zone")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][4]string{ // SPF, DKIM, DMARC, what the owner asks for
		"genuine.eml":   {"pass", "pass", "pass", "none"},
		"payslip.eml":   {"pass", "", "fail", "none"},
		"spoofed.eml":   {"fail", "", "fail", "quarantine"},
		"forwarded.eml": {"softfail", "pass", "pass", "none"},
		"altered.eml":   {"pass", "fail", "fail", "none"},
	}
	for i := range letters {
		l := &letters[i]
		data, err := l.write()
		if err != nil {
			t.Fatal(err)
		}
		b := check.Batch{Checker: &check.Checker{Resolver: zone}, AtReceived: true}
		err = b.Run(context.Background(), []check.Place{{Name: l.file, In: bytes.NewReader(data)}}, func(c check.Checked) error {
			if c.Err != nil {
				t.Errorf("%s: %v", l.file, c.Err)
				return nil
			}
			v := c.Verdict
			got := [4]string{string(v.SPF.Status), "", string(v.DMARC.Status), string(v.DMARC.Disposition)}
			for _, s := range v.DKIM {
				got[1] += string(s.Status)
			}
			if got != want[l.file] {
				t.Errorf("%s: %q, want %q", l.file, got, want[l.file])
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(letters) != len(want) {
		t.Errorf("%d letters, %d verdicts", len(letters), len(want))
	}
}
