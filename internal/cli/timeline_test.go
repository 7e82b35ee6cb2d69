package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeWave writes six weeks of reports about city.example: its own server's
// mail every day, some forged mail from hosts everywhere, and much of it on the two
// days from the 30th on.
func writeWave(t *testing.T, dir string, begin time.Time) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for day := range 42 {
		at := begin.AddDate(0, 0, day)
		var b strings.Builder
		fmt.Fprintf(&b, `<feedback><report_metadata><org_name>receiver.example</org_name><report_id>%d</report_id><date_range><begin>%d</begin><end>%d</end></date_range></report_metadata>
<policy_published><domain>city.example</domain><p>none</p></policy_published>`, day, at.Unix(), at.Unix()+86399)
		row := func(ip string, n int, result, domain string) {
			fmt.Fprintf(&b, `<record><row><source_ip>%s</source_ip><count>%d</count><policy_evaluated><disposition>none</disposition><dkim>%s</dkim><spf>%[3]s</spf></policy_evaluated></row>
<identifiers><header_from>city.example</header_from></identifiers>
<auth_results><spf><domain>%[4]s</domain><scope>mfrom</scope><result>%[3]s</result></spf></auth_results></record>`, ip, n, result, domain)
		}
		row("192.0.2.10", 100, "pass", "city.example")
		hosts := 3
		if day == 30 || day == 31 {
			hosts = 120
		}
		for h := range hosts {
			row(fmt.Sprintf("%d.%d.%d.7", 60+(day*7+h)%100, (day*31+h*17)%250, (day+h)%250), 5, "fail", "city.example")
		}
		b.WriteString("</feedback>")
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.xml", day)), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestClassed: timeline and inventory tell forged mail from our own though
// nobody has asked for advice before.
func TestClassed(t *testing.T) {
	begin := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	writeWave(t, filepath.Join(dir, "reports"), begin)
	zone := `$TTL 60
city.example. IN TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.city.example. IN TXT "v=DMARC1; p=none"
mail.city.example. IN A 192.0.2.10
10.2.0.192.in-addr.arpa. IN PTR mail.city.example.
`
	if err := os.WriteFile(filepath.Join(dir, "zone"), []byte(zone), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(data string, args ...string) string {
		t.Helper()
		e, out, errOut := env(dir, append(args, "--data", data)...)
		e.Now = func() time.Time { return begin.AddDate(0, 0, 42) }
		if status := Run(context.Background(), e); status != StatusDone {
			t.Fatalf("%q: status %d\n%s%s", args, status, out, errOut)
		}
		return out.String()
	}
	for _, c := range [][]string{
		{"2026-10-01  A wave of spoofing", "timeline", "city.example", "--zone", "zone"},
		{`"spoof": 1800`, "inventory", "city.example", "--zone", "zone", "--json"},
		{`"spoof": 1800`, "inventory", "city.example", "--offline", "--json"},
	} {
		if c[1] != "inventory" || c[3] != "--offline" { // which takes what is known
			if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
				t.Fatal(err)
			}
			run("data", "import", "reports")
		}
		if got := run("data", c[1:]...); !strings.Contains(got, c[0]) {
			t.Errorf("%q:\n%s", c[1:], got)
		}
	}
}
