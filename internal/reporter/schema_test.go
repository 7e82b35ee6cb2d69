package reporter

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sekimori/internal/require"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

// TestSchema has xmllint look at what is written, from records and rows that
// are odd.
func TestSchema(t *testing.T) {
	xmllint := require.Program(t, "xmllint", "libxml2-utils")
	dir := require.Data(t, "reports-schema-and-small")
	odd := row(3, 9)
	odd.HeaderFrom, odd.EnvelopeTo = "sub.example.com", "city.example"
	odd.Disposition, odd.DKIM = aggregate.DispositionQuarantine, false
	odd.Reasons = []aggregate.Reason{{Type: "policy_test_mode"}, {Type: "local_policy", Comment: "監視 & <monitoring>"}, {Type: "forwarded"}}
	odd.SPFResults = []aggregate.SPFResult{{Domain: "a.example", Scope: "helo", Result: "softfail"}, {Domain: "b.example", Scope: "mfrom", Result: "policy"}}
	for range 150 {
		odd.DKIMResults = append(odd.DKIMResults, aggregate.DKIMResult{Domain: "x\x00.example", Selector: "\x7f<", Result: "strange"})
	}
	bare := row(4, 1)
	bare.SPFResults, bare.DKIMResults = nil, nil
	texts := []string{recordCom, "v=DMARC1; p=quarantine; sp=none; np=reject; t=y; adkim=s; aspf=r; fo=d:s; pct=10; rua=mailto:dmarc@example.com",
		"v=DMARC1; rua=mailto:dmarc@example.com", "v=DMARC1; p=nonsense; sp=x; fo=?; pct=x; t=?; psd=n; rua=mailto:dmarc@example.com"}
	// Package aggregate holds the other form against its schema; here it is read
	// back.
	for _, form := range []aggregate.Form{aggregate.RFC9990, aggregate.RFC7489} {
		d := &days{}
		for i, text := range texts {
			for _, method := range []string{"psl", "treewalk", ""} {
				d.add(yesterday, verdict.Policy{Domain: "d" + method + string(rune('a'+i)) + ".example.com", Text: text, Method: method}, row(1, 5), odd, bare)
			}
		}
		o := options(t, d)
		o.Form, o.Organization = form, "市 <City> & \"Co\""
		r := reporter(t, o)
		args := []string{"--noout", "--nonet", "--schema", filepath.Join(dir, "dmarcbis", "dmarc-xml-0.2.xsd")}
		for i := range texts {
			for _, method := range []string{"psl", "treewalk", ""} {
				var b bytes.Buffer
				if err := r.Preview(context.Background(), name("d"+method+string(rune('a'+i))+".example.com"), yesterday, &b); err != nil {
					t.Fatal(err)
				}
				if rep, _, n := read(t, b.Bytes()); n != 15 || len(rep.Deviations) > 0 {
					t.Errorf("%s: %d messages, %+v", form, n, rep.Deviations)
				}
				file := filepath.Join(t.TempDir(), "report.xml")
				if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, file)
			}
		}
		if form != aggregate.RFC9990 {
			continue
		}
		if out, err := exec.Command(xmllint, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%.3000s", form, err, out)
		}
	}
}
