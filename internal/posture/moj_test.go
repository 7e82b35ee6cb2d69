package posture

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/internal/require"
)

// world is a closed DNS of whole zones. What lies outside them does not
// answer, but for the names above, of which it is known that they are no
// DMARC records.
type world struct {
	names map[string]map[string][]string
	zones map[string]bool
}

func (w *world) Lookup(_ context.Context, name string, t dns.Type) (dns.Answer, error) {
	fail := func(err error) (dns.Answer, error) {
		return dns.Answer{}, fmt.Errorf("%s %s: %w", name, t, err)
	}
	q := strings.ToLower(strings.TrimSuffix(name, "."))
	target := ""
	for range 8 {
		if w.zone(q) == "" {
			if strings.HasPrefix(q, "_dmarc.") {
				return fail(dns.ErrNameNotFound)
			}
			return fail(dns.ErrTemporary)
		}
		sets, ok := w.find(q)
		if !ok {
			return fail(dns.ErrNameNotFound)
		}
		if r := sets[string(t)]; len(r) > 0 {
			return dns.Answer{Records: r, Name: target}, nil
		}
		alias := sets["CNAME"]
		if len(alias) == 0 {
			return fail(dns.ErrNoData)
		}
		q = strings.ToLower(strings.TrimSuffix(alias[0], "."))
		target = q
	}
	return fail(dns.ErrTemporary)
}

// zone returns the zone that a name is in; empty for one outside.
func (w *world) zone(q string) string {
	for ; q != "" && !w.zones[q]; _, q, _ = strings.Cut(q, ".") {
	}
	return q
}

func (w *world) find(q string) (map[string][]string, bool) {
	if s, ok := w.names[q]; ok {
		return s, true
	}
	for up := q; ; {
		var ok bool
		if _, up, ok = strings.Cut(up, "."); !ok {
			return nil, false
		}
		if s, ok := w.names["*."+up]; ok {
			return s, true
		}
		if _, ok := w.names[up]; ok {
			return nil, false
		}
	}
}

func openWorld(t testing.TB) *world {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(require.Data(t, "dns-moj"), "zones.json"))
	if err != nil {
		t.Fatal(err)
	}
	var zones map[string]map[string]map[string][]string
	if err := json.Unmarshal(raw, &zones); err != nil {
		t.Fatal(err)
	}
	w := &world{names: map[string]map[string][]string{}, zones: map[string]bool{}}
	for z := range zones {
		w.zones[z] = true
	}
	for z, names := range zones {
		for n, sets := range names {
			n = strings.ToLower(n)
			if w.zone(n) != z {
				continue // delegated to another of the zones
			}
			w.names[n] = sets
			for up := n; up != z && strings.Contains(up, "."); { // empty non-terminals
				_, up, _ = strings.Cut(up, ".")
				if _, ok := w.names[up]; !ok {
					w.names[up] = nil
				}
			}
		}
	}
	return w
}

// TestRealZones looks at 193 zones of one government and compares with what
// was counted in their files.
func TestRealZones(t *testing.T) {
	w := openWorld(t)
	f, err := os.Open(filepath.Join(require.Data(t, "dns-moj"), "facts.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	col := map[string]int{}
	for i, h := range rows[0] {
		col[h] = i
	}
	tally := map[string]int{}
	for _, row := range rows[1:] {
		at := func(h string) string { return row[col[h]] }
		num := func(h string) int { n, _ := strconv.Atoi(at(h)); return n }
		yes := func(h string) bool { return at(h) == "True" }
		name, err := domain.Parse(at("domain"))
		if err != nil {
			t.Fatal(err)
		}
		for _, frugal := range []bool{false, true} {
			p := Inspect(t.Context(), w, name, Options{Frugal: frugal})
			same := func(what string, got, want any) {
				t.Helper()
				if got != want {
					t.Errorf("%s: %s is %v, want %v", name, what, got, want)
				}
			}
			same("spf", p.SPF.Present, state(num("spf_records") > 0))
			same("spf all", p.SPF.All, at("spf_all"))
			same("null mx", p.MX.Null, state(yes("null_mx")))
			same("mx", p.MX.Count, num("mx"))
			same("mta-sts", p.MTASTS.Present, state(yes("mta_sts")))
			same("tls-rpt", p.TLSRPT.Present, state(yes("tlsrpt")))
			if num("dmarc_records") == 1 {
				same("dmarc", p.DMARC.Present, Yes)
				same("dmarc inherited", p.DMARC.Inherited, No)
				same("dmarc p", p.DMARC.P, at("dmarc_p"))
			} else if !yes("dmarc_cname") && p.DMARC.Present == Yes {
				same("dmarc inherited", p.DMARC.Inherited, Yes)
			}
			if num("dkim_names") == 0 {
				same("dkim evidence", p.DKIM.Evidence, EvidenceNone)
			}
			if p.Questions > MaxQuestions || frugal && p.Questions > 40 {
				t.Errorf("%s: %d questions", name, p.Questions)
			}
			if frugal {
				tally["questions"] += p.Questions
				continue
			}
			tally["sends "+string(p.SendsMail)]++
			tally["dkim "+string(p.DKIM.Evidence)]++
			tally["verdict "+p.Verdict.Code]++
			tally["spf valid "+string(p.SPF.Valid)]++
			if p.Exists != Yes && name.Labels() > 1 {
				t.Errorf("%s does not exist", name)
			}
		}
	}
	t.Logf("%d zones: %v", len(rows)-1, tally)
	if len(rows) != 194 {
		t.Errorf("%d zones, want 193", len(rows)-1)
	}
	// 144 of them say in SPF that they send nothing and ask for refusal.
	if n := tally["verdict posture.verdict-silent"]; n < 130 {
		t.Errorf("%d protected domains that send no mail, want more than 130", n)
	}
}
