package advise

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sekimori/internal/collect"
	"sekimori/internal/require"
	"sekimori/internal/store"
	"sekimori/internal/worlds"
)

// TestStored imports the worlds as a user does and asks the real store.
func TestStored(t *testing.T) {
	if testing.Short() {
		t.Skip("imports the worlds into DuckDB")
	}
	root := require.Data(t, "worlds")
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		t.Run(d.Name(), func(t *testing.T) {
			ctx := context.Background()
			w := shared(t, filepath.Join(root, d.Name()))
			tr := w.Truth
			zone, err := w.Resolver()
			if err != nil {
				t.Fatal(err)
			}
			st, err := store.Open(ctx, t.TempDir(), store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			if _, err := collect.New(st).Import(ctx, []string{filepath.Join(root, d.Name(), "reports.tar.gz")}); err != nil {
				t.Fatal(err)
			}
			adv := New(Config{Store: st, Resolver: zone})
			defer adv.Close()
			name := mustName(t, tr.Domain)
			start := time.Now()
			a, err := adv.Advise(ctx, name, Question{})
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(start)
			j := worlds.Judge(&tr, answered(a))
			t.Logf("%v: verdict %s, at risk %d of %d\n%s\n%v", took.Round(time.Millisecond), a.Verdict,
				a.Policies[0].LegitimateAtRisk, a.Policies[0].Legitimate, j, j.Missed)
			if j.Found < j.Broken || j.Lost > 0 || j.SpoofOurs*20 > j.Spoofed || j.Verdicts == 0 {
				t.Error("targets missed")
			}
			if a.Policies[0].LegitimateAtRisk != tr.AtRisk || a.Policies[0].Legitimate != tr.Legitimate {
				t.Errorf("at risk %d of %d, want %d of %d", a.Policies[0].LegitimateAtRisk, a.Policies[0].Legitimate, tr.AtRisk, tr.Legitimate)
			}
			var days, sources uint64
			for _, d := range a.Daily {
				days += d.Aligned + d.Broken + d.Forwarder + d.Unknown + d.Spoof
			}
			for _, s := range a.Sources {
				sources += s.Messages
			}
			if days != a.Messages || sources != a.Messages {
				t.Errorf("%d messages, %d by day, %d by source", a.Messages, days, sources)
			}

			// Kept answers: none, then at once, then listed.
			lines, err := adv.Overview(ctx, 30)
			if err != nil || len(lines) != 1 || !lines[0].Pending || lines[0].Messages != a.Messages {
				t.Fatalf("overview before: %+v, %v", lines, err)
			}
			if err := adv.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			start = time.Now()
			c, fresh, err := adv.Cached(ctx, name, Question{Days: 30})
			if err != nil || !fresh || c.Messages != a.Messages || len(c.Sources) != len(a.Sources) {
				t.Fatalf("cached: %+v, %v, %v", c, fresh, err)
			}
			t.Logf("kept answer in %v", time.Since(start).Round(time.Microsecond))
			lines, err = adv.Overview(ctx, 30)
			if err != nil || len(lines) != 1 || lines[0].Pending || lines[0].Stale || lines[0].Spoof == 0 || lines[0].Verdict != a.Verdict {
				t.Fatalf("overview after: %+v, %v", lines, err)
			}
			if lines[0].Policy != "none" || lines[0].PolicySince == 0 {
				t.Errorf("policy %q since %v", lines[0].Policy, lines[0].PolicySince)
			}
		})
	}
}
