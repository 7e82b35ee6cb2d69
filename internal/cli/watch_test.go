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

// TestWatchReminds: who does not run serve gets reminders from watch, once a
// day, and only where they are asked for.
func TestWatchReminds(t *testing.T) {
	mx, address := mailbox(t)

	dir := t.TempDir()
	writeReports(t, filepath.Join(dir, "reports"), 3)
	config := fmt.Sprintf("alerts:\n  mail: [postmaster@city.example]\n  from: sekimori@city.example\n  smtp: %s\n", address)
	for name, text := range map[string]string{"zone": "$TTL 60\n_dmarc.city.example. IN TXT \"v=DMARC1; p=none\"\n", "quiet.yaml": config, "loud.yaml": config + "reminders: true\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Date(2026, 9, 10, 9, 0, 0, 0, time.UTC)
	run := func(line string) string {
		t.Helper()
		e, out, errOut := env(dir, strings.Fields(line)...)
		e.Now = func() time.Time { return now }
		if status := Run(context.Background(), e); status != StatusDone {
			t.Fatalf("%s: status %d\n%s%s", line, status, out, errOut)
		}
		return out.String()
	}
	mails := func() (out []string) {
		for {
			select {
			case m := <-mx.got:
				out = append(out, m)
			default:
				return out
			}
		}
	}
	run("import reports")
	id, _, _ := strings.Cut(strings.Split(run("source list city.example --zone zone"), "\n")[1], " ")
	run("fix open city.example " + id + " --zone zone")
	run("fix set 1 --owner sato@city.example --due 2026-09-05 --zone zone")
	run("watch --config quiet.yaml --zone zone")
	if got := mails(); len(got) != 0 {
		t.Errorf("not asked for: %q", got)
	}
	run("watch --config loud.yaml --zone zone")
	got := mails()
	if len(got) != 1 || !strings.Contains(got[0], "sato@city.example") || !strings.Contains(got[0], "2026-09-05") {
		t.Errorf("%d mails: %q", len(got), got)
	}
	run("watch --config loud.yaml --zone zone")
	if got := mails(); len(got) != 0 {
		t.Errorf("twice a day: %q", got)
	}
	now = now.AddDate(0, 0, 8)
	run("watch --config loud.yaml --zone zone")
	if got := mails(); len(got) != 1 {
		t.Errorf("a week later: %d mails", len(got))
	}
}
