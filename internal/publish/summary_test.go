package publish

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sekimori/internal/locale"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

var update = flag.Bool("update", false, "rewrite the expected results")

func options(l locale.Lang) Options {
	return Options{Lang: l, Version: "test", Tabulation: survey.Tabulation{Bands: map[string][]float64{"人口": {5000, 50000}}}}
}

func summaryOf(t *testing.T, f *fakeStore, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := WriteSummary(t.Context(), &b, f, f.wave, o); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b.Bytes()) {
		t.Fatalf("no JSON: %s", b.Bytes())
	}
	return b.Bytes()
}

// TestSummaryGolden compares summary.json of the small survey with the one
// that was looked at.
func TestSummaryGolden(t *testing.T) {
	got := summaryOf(t, small(t), options(locale.English))
	// What is wrong with a domain is the business of other rooms.
	got, _, _ = bytes.Cut(got, []byte(`  "problems": [`))
	golden(t, "small.json", got)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// read is summary.json as somebody else's program reads it.
type read struct {
	Name                                                                                 string
	Domains, Measured, Unanswered, Entries, Duplicates, Without, Invalid, Messages, Else int64
	By                                                                                   map[string]map[string]map[string]struct {
		Yes, No, Unknown     int64
		Share, Low95, High95 *float64
	}
	Sizes           map[string]map[string]int64
	Combinations    []combination
	CombinationsNow []combination `json:"combinations_now"`
	Problems        []Problem
	ProblemCounts   map[string]int64 `json:"problem_counts"`
}

// TestSummaryTruth checks the figures of the small survey against those
// counted by hand from its zone, and shares and intervals against a
// computation of their own.
func TestSummaryTruth(t *testing.T) {
	var got read
	if err := json.Unmarshal(summaryOf(t, small(t), options(locale.Japanese)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Domains != 10 || got.Measured != 9 || got.Unanswered != 1 || got.Entries != 13 || got.Duplicates != 1 || got.Invalid != 1 {
		t.Errorf("totals: %+v", got)
	}
	for _, c := range []struct {
		attribute, value, metric string
		yes, no, unknown         int64
	}{
		{"all", "all", "spf", 8, 1, 1},
		{"all", "all", "spf_valid", 7, 2, 1},
		{"all", "all", "dmarc", 4, 4, 2},
		{"all", "all", "dmarc_enforced", 3, 5, 2},
		{"all", "all", "spf_and_dmarc", 4, 4, 2},
		{"all", "all", "tls_rpt", 1, 8, 1},
		{"all", "all", "null_mx", 1, 8, 1},
		{"種別", "市", "dmarc", 1, 2, 1},
		{"種別", "町", "dmarc", 2, 1, 0},
		{"種別", "村", "dmarc", 1, 1, 1},
		{"都道府県", "沖縄県", "spf", 2, 1, 1},
		{"人口", "<5000", "spf_valid", 2, 1, 0},
		{"人口", "5000..<50000", "spf", 1, 1, 0},
		{"人口", ">=50000", "spf", 3, 0, 1},
		{"人口", "", "spf", 1, 0, 0},
	} {
		m := got.By[c.attribute][c.value][c.metric]
		if m.Yes != c.yes || m.No != c.no || m.Unknown != c.unknown {
			t.Errorf("%s %s %s: %d, %d, %d; want %d, %d, %d", c.attribute, c.value, c.metric, m.Yes, m.No, m.Unknown, c.yes, c.no, c.unknown)
		}
	}
	for attribute, values := range got.By {
		var sum int64
		for value, metrics := range values {
			size := got.Sizes[attribute][value]
			sum += size
			for metric, m := range metrics {
				where := attribute + " " + value + " " + metric
				n := m.Yes + m.No
				if n+m.Unknown != size {
					t.Errorf("%s: %d domains of %d", where, n+m.Unknown, size)
				}
				if n == 0 {
					if m.Share != nil || m.Low95 != nil || m.High95 != nil {
						t.Errorf("%s: a share of nothing", where)
					}
					continue
				}
				if *m.Share != float64(m.Yes)/float64(n) {
					t.Errorf("%s: share %v", where, *m.Share)
				}
				// Wilson: the ends are where the score test just rejects.
				for _, p := range []float64{*m.Low95, *m.High95} {
					if p == 0 || p == 1 {
						continue
					}
					if z := math.Abs(*m.Share-p) / math.Sqrt(p*(1-p)/float64(n)); math.Abs(z-1.959963984540054) > 1e-9 {
						t.Errorf("%s: %v is %v standard errors away", where, p, z)
					}
				}
			}
		}
		if sum != 10 {
			t.Errorf("%s: %d domains", attribute, sum)
		}
	}
	want := []combination{
		{"pass", "pass", "pass", "pass", 2, 2. / 6},
		{"none", "none", "none", "none", 1, 1. / 6},
		{"none", "pass", "none", "bestguesspass", 1, 1. / 6},
		{"none", "permerror", "none", "none", 1, 1. / 6},
		{"none", "softfail", "none", "none", 1, 1. / 6},
	}
	if !slices.Equal(got.Combinations, want) {
		t.Errorf("combinations: %+v", got.Combinations)
	}
	if len(got.CombinationsNow) != 4 || got.CombinationsNow[0].Count != 2 {
		t.Errorf("combinations now: %+v", got.CombinationsNow)
	}
	spf := map[string]bool{}
	for _, p := range got.Problems {
		if p.Metric == "spf" {
			spf[p.Kind+" "+p.Domain] = true
		}
		if p.Code == "" || p.Grade == "" || p.Kind == "" || got.ProblemCounts[p.Code] == 0 {
			t.Errorf("problem %+v", p)
		}
	}
	for _, want := range []string{"domain broken.example", "domain bare.example", "message broken.example", "message bare.example"} {
		if !spf[want] {
			t.Errorf("the list of those whose SPF is missing or wrong lacks %s: %v", want, spf)
		}
	}
}

// TestSummaryOrder checks that tables stand in the order of the list, and
// values by number or as the list has them.
func TestSummaryOrder(t *testing.T) {
	b := summaryOf(t, small(t), options(locale.Japanese))
	at := -1
	for _, s := range []string{`"by"`, `"all"`, `"種別"`, `"市"`, `"村"`, `"町"`, `"都道府県"`, `"北海道"`, `"青森県"`, `"岩手県"`, `"沖縄県"`, `"人口"`, `"<5000"`, `"5000..<50000"`, `">=50000"`, `"sizes"`, `"combinations"`, `"problems"`} {
		i := bytes.Index(b[at+1:], []byte(s))
		if i < 0 {
			t.Fatalf("%s is missing or out of order", s)
		}
		at += 1 + i
	}
}

// TestSummaryUnmatched checks that all messages count where none belongs to
// an organisation of the list, and that this is said.
func TestSummaryUnmatched(t *testing.T) {
	f := small(t)
	for i := range f.mail {
		f.mail[i].Entry = 0
	}
	var got struct {
		Combinations   []combination
		CombinationsOf struct {
			Messages int64
			Matched  bool
		} `json:"combinations_of"`
	}
	if err := json.Unmarshal(summaryOf(t, f, options(locale.English)), &got); err != nil {
		t.Fatal(err)
	}
	if got.CombinationsOf.Messages != 7 || got.CombinationsOf.Matched || got.Combinations[0].Count != 2 {
		t.Errorf("%+v", got)
	}
}

// TestSummaryCap checks that of a problem that all have only the first ten
// thousand are listed, and all are counted.
func TestSummaryCap(t *testing.T) {
	f := &fakeStore{wave: store.Wave{WaveSpec: store.WaveSpec{Name: "many"}}}
	for i := range int64(mostProblems + 5) {
		f.rows = append(f.rows, store.SurveyRow{Entry: store.Entry{No: i + 1, Line: i + 2, Domain: "a.example"},
			Result: store.Result{No: i + 1, Codes: []store.Code{{Topic: "spf", Grade: "error", Code: "posture.spf-missing"}}}})
	}
	var got read
	if err := json.Unmarshal(summaryOf(t, f, Options{Lang: locale.English}), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Problems) != mostProblems || got.ProblemCounts["posture.spf-missing"] != mostProblems+5 {
		t.Errorf("%d listed, counts %v", len(got.Problems), got.ProblemCounts)
	}
}
