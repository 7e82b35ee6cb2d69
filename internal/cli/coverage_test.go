package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/internal/store/verdict"
)

// TestCoverage: what the gateway in the data folder signed and sent is what the
// reports are measured by.
func TestCoverage(t *testing.T) {
	begin := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	reports := filepath.Join(dir, "reports")
	if err := os.MkdirAll(reports, 0o755); err != nil {
		t.Fatal(err)
	}
	signs := []verdict.Signature{{Domain: "city.example", Selector: "gate"}}
	log, err := verdict.Open(filepath.Join(dir, "data", "gateway"), verdict.Options{Keep: 400})
	if err != nil {
		t.Fatal(err)
	}
	for day := range 10 {
		at := begin.AddDate(0, 0, day)
		log.CountSent(at, verdict.Sent{From: "city.example", By: signs, Copies: 50})
		text := fmt.Sprintf(`<feedback><report_metadata><org_name>receiver.example</org_name><report_id>%d</report_id><date_range><begin>%d</begin><end>%d</end></date_range></report_metadata>
<policy_published><domain>city.example</domain><p>none</p></policy_published>`, day, at.Unix()-43200, at.Unix()+43199)
		for host, selector := range []string{"gate", "vendor"} {
			text += fmt.Sprintf(`<record><row><source_ip>192.0.2.%d</source_ip><count>40</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>city.example</header_from></identifiers><auth_results><dkim><domain>city.example</domain><selector>%s</selector><result>pass</result></dkim></auth_results></record>`, host+1, selector)
		}
		if err := os.WriteFile(filepath.Join(reports, fmt.Sprint(day, ".xml")), []byte(text+"</feedback>"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		e, out, errOut := env(dir, args...)
		if status := Run(context.Background(), e); status > StatusNegative {
			t.Fatalf("%q: status %d\n%s%s", args, status, out, errOut)
		}
		return strings.Join(strings.Fields(out.String()), " ")
	}
	zone := filepath.Join(dir, "zone")
	if err := os.WriteFile(zone, []byte("$TTL 60\n_dmarc.city.example. IN TXT \"v=DMARC1; p=none\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run("import", "reports")
	// The first day was not counted from its beginning.
	for args, want := range map[string]string{
		"":       "Coverage: of 450 copies that our own mail server signed and sent elsewhere since 2026-09-02, the reports of 1 receiver account for 360 (80.0%).",
		"--json": `"sent": 450, "seen": 360, "since": "2026-09-02", "share": 0.8,`,
		"--days": "of 100 copies that our own mail server signed and sent elsewhere since 2026-09-09, the reports of 1 receiver account for 80 (80.0%).",
	} {
		ask := []string{"advise", "city.example", "--zone", "zone"}
		switch args {
		case "--json":
			ask = append(ask, args)
		case "--days":
			ask = append(ask, args, "2")
		}
		if got := run(ask...); !strings.Contains(got, want) {
			t.Errorf("%s:\n%s", args, got)
		}
	}
}
