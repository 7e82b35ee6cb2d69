//go:build unix

package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/examples/sector"
	"sekimori/internal/locale"
	"sekimori/internal/nameserver"
	"sekimori/internal/require"
)

// tally is what summary.json says of one fact.
type tally struct {
	Yes, No, Unknown int
	Share            *float64
	Low95, High95    *float64
}

// TestSector surveys 1,741 municipalities, whose records NSD serves to
// Unbound: the tables must equal the truth, percentages included, and the
// towns whose name servers do not answer must be unknown, not absent.
func TestSector(t *testing.T) {
	dir := t.TempDir()
	towns := sector.Towns()
	zone, list := filepath.Join(dir, "zone"), filepath.Join(dir, "municipalities.csv")
	var z, l bytes.Buffer
	if err := errors.Join(sector.WriteZone(&z, towns), sector.WriteList(&l, towns),
		os.WriteFile(zone, z.Bytes(), 0o600), os.WriteFile(list, l.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	servers, err := nameserver.Start(nameserver.Options{Dir: dir, Zones: map[string]string{"example.": zone}, Silent: sector.SilentNames(towns)})
	if errors.Is(err, nameserver.ErrMissing) {
		require.Missing(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()

	out := filepath.Join(dir, "out")
	var said, complaints bytes.Buffer
	status := Run(t.Context(), Env{Args: []string{"survey", "run", list, "--out", out, "--name", "2026-11", "--data", filepath.Join(dir, "data"),
		"--resolver", servers.Resolver, "--retries", "0", "--https=false"}, Out: &said, Err: &complaints, Dir: dir, Lang: locale.English})
	if status != StatusDone {
		t.Fatalf("status %d\n%s%s", status, &said, &complaints)
	}
	text, err := os.ReadFile(filepath.Join(out, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Entries, Domains, Measured, Unanswered int
		Without                                int `json:"without_domain"`
		By                                     map[string]map[string]map[string]tally
		Problems                               []struct{ Domain, Metric, Code string }
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Entries != 1741 || got.Domains != 1026+21 || got.Measured != 1026 || got.Unanswered != 21 || got.Without != 1741-1026-21 {
		t.Errorf("entries %d, domains %d, measured %d, unanswered %d, without %d", got.Entries, got.Domains, got.Measured, got.Unanswered, got.Without)
	}
	want := map[string]map[string]map[string]tally{}
	for _, town := range towns {
		if town.Domain == "" {
			continue
		}
		for _, group := range [][2]string{{"all", "all"}, {"都道府県", town.Prefecture}, {"種別", town.Kind}} {
			if want[group[0]] == nil {
				want[group[0]] = map[string]map[string]tally{}
			}
			metrics := want[group[0]][group[1]]
			if metrics == nil {
				metrics = map[string]tally{}
				want[group[0]][group[1]] = metrics
			}
			for metric, holds := range map[string]bool{
				"spf": town.SPF != "", "dmarc": town.DMARC != "", "spf_and_dmarc": town.SPF != "" && town.DMARC != "",
				"spf_valid":      town.SPF != "" && !strings.Contains(town.SPF, ".300"),
				"dmarc_enforced": strings.Contains(town.DMARC, "p=quarantine") || strings.Contains(town.DMARC, "p=reject"),
				"mta_sts":        town.MTASTS, "tls_rpt": town.MTASTS, "bimi": false,
			} {
				n := metrics[metric]
				switch {
				case town.Silent:
					n.Unknown++
				case holds:
					n.Yes++
				default:
					n.No++
				}
				metrics[metric] = n
			}
		}
	}
	for attribute, values := range want {
		if len(got.By[attribute]) != len(values) {
			t.Errorf("%s has %d values, want %d", attribute, len(got.By[attribute]), len(values))
		}
		for value, metrics := range values {
			for metric, n := range metrics {
				g := got.By[attribute][value][metric]
				if g.Yes != n.Yes || g.No != n.No || g.Unknown != n.Unknown {
					t.Errorf("%s %s %s: %d yes, %d no, %d unknown; want %d, %d, %d", attribute, value, metric, g.Yes, g.No, g.Unknown, n.Yes, n.No, n.Unknown)
				}
				if of := n.Yes + n.No; of > 0 && (g.Share == nil || math.Abs(*g.Share-float64(n.Yes)/float64(of)) > 1e-4 || *g.Low95 > *g.Share || *g.High95 < *g.Share) {
					t.Errorf("%s %s %s: share %v", attribute, value, metric, g.Share)
				}
			}
		}
	}
	// The published figures.
	all := got.By["all"]["all"]
	for metric, percent := range map[string]string{"spf": "90.0", "dmarc": "14.2", "spf_and_dmarc": "14.0"} {
		if g := all[metric]; g.Share == nil || fmt.Sprintf("%.1f", 100**g.Share) != percent || g.Yes+g.No != 1026 || g.Unknown != 21 {
			t.Errorf("%s: %+v, want %s %%", metric, g, percent)
		}
	}
	// Each town without SPF, or with a wrong record, is on the list of problems.
	listed := map[string]bool{}
	for _, p := range got.Problems {
		if p.Metric == "spf" {
			listed[p.Domain] = true
		}
	}
	for _, town := range towns {
		if bad := town.SPF == "" || strings.Contains(town.SPF, ".300"); town.Domain != "" && !town.Silent && bad && !listed[town.Domain] {
			t.Errorf("%s (%q) is not on the list of what is missing or wrong", town.Domain, town.SPF)
		}
		if town.Silent && listed[town.Domain] {
			t.Errorf("%s did not answer and is on the list of what is missing or wrong", town.Domain)
		}
	}
}
