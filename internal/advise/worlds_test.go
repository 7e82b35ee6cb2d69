package advise

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/domain"
	"sekimori/internal/require"
	"sekimori/internal/worlds"
)

// shared reads a world that others made.
func shared(t testing.TB, dir string) *worlds.World {
	w, err := worlds.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// answered takes from an answer what is judged.
func answered(a *Advice) worlds.Answer {
	out := worlds.Answer{Verdict: string(a.Verdict), AtRisk: a.Policies[0].LegitimateAtRisk, Legitimate: a.Policies[0].Legitimate}
	for _, s := range a.Sources {
		x := worlds.Said{Name: s.Name, Class: string(s.Class), Probability: s.Probability, Messages: s.Messages, Failing: s.Failing, Addresses: s.Addresses}
		for _, e := range s.Reasons {
			x.Evidence = append(x.Evidence, e.Code)
		}
		out.Sources = append(out.Sources, x)
	}
	return out
}

func mustName(t testing.TB, s string) domain.Name {
	n, err := domain.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestWorlds asks about the simulated organisations and compares with their
// truth, with the DNS and without.
func TestWorlds(t *testing.T) {
	root := require.Data(t, "worlds")
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		w := shared(t, filepath.Join(root, d.Name()))
		for _, offline := range []bool{false, true} {
			name := d.Name()
			if offline {
				name += "-offline"
			}
			t.Run(name, func(t *testing.T) {
				_, a, j := judged(t, w, inMemory(w), offline)
				tr := w.Truth
				t.Logf("verdict %s, at risk %d of %d (truth %d of %d), next %s\n%s\n%v", a.Verdict,
					a.Policies[0].LegitimateAtRisk, a.Policies[0].Legitimate, tr.AtRisk, tr.Legitimate, a.NextRecord, j, j.Missed)
				if testing.Verbose() {
					show(t, a)
				}
				if j.Lost > 0 || j.Found < j.Broken && !offline || j.SpoofOurs*20 > j.Spoofed || j.IndirectOK*5 < j.Indirect*4 && !offline || j.Verdicts == 0 {
					t.Error("targets missed")
				}
				if !offline && (a.Policies[0].LegitimateAtRisk != tr.AtRisk || a.Policies[0].Legitimate != tr.Legitimate) {
					t.Errorf("at risk %d of %d, want %d of %d", a.Policies[0].LegitimateAtRisk, a.Policies[0].Legitimate, tr.AtRisk, tr.Legitimate)
				}
			})
		}
	}
}

func show(t *testing.T, a *Advice) {
	for _, s := range a.Sources {
		var why []string
		for _, r := range s.Reasons {
			why = append(why, fmt.Sprint(r.Code, r.Args))
		}
		t.Logf("%-10s %-30s %7d %7d %4d addr  %v\n      %s", s.Class, s.Name, s.Messages, s.Failing, s.AddressCount, s.HeaderFrom, strings.Join(why, "\n      "))
	}
	for _, r := range append(a.Reasons, a.Notes...) {
		t.Logf("  %s %v", r.Code, r.Args)
	}
}
