package survey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"sekimori/internal/store"
)

// counted answers as a store would that has counted.
type counted struct {
	shapes  []store.AttributeShape
	groups  map[string][]store.Group
	bands   map[string][]store.Group
	changes []store.Change
	matched []store.Combination
	all     []store.Combination
	cut     map[string][]float64 // at which bounds Bands was asked
}

func (c *counted) Shapes(context.Context, int64) ([]store.AttributeShape, error) {
	return c.shapes, nil
}

func (c *counted) Groups(_ context.Context, _ int64, attribute string, most int) ([]store.Group, error) {
	g := slices.Clone(c.groups[attribute])
	return g[:min(len(g), most)], nil
}

func (c *counted) Bands(_ context.Context, _ int64, attribute string, bounds []float64) ([]store.Group, error) {
	if c.cut == nil {
		c.cut = map[string][]float64{}
	}
	c.cut[attribute] = bounds
	return c.bands[attribute], nil
}

func (c *counted) Changes(context.Context, int64, int64, string, string) ([]store.Change, error) {
	return c.changes, nil
}

func (c *counted) Combinations(_ context.Context, _ int64, _ store.Basis, matchedOnly bool) ([]store.Combination, error) {
	if matchedOnly {
		return c.matched, nil
	}
	return c.all, nil
}

func group(value string, first, last, domains int64) store.Group {
	return store.Group{Value: value, First: first, Last: last, Domains: domains, Facts: []store.Tally{{Yes: domains}}}
}

func names(t Table) []string {
	var out []string
	for _, r := range t.Rows {
		out = append(out, r.Value)
	}
	return out
}

// TestSummarizeTables checks which attributes are tabulated, how, and in which
// order.
func TestSummarizeTables(t *testing.T) {
	deciles := []float64{100, 3000, 6000, 10000, 15000, 23000, 34000, 51000, 78000, 155000, 3700000}
	st := &counted{
		shapes: []store.AttributeShape{
			{Name: "prefecture", Filled: 99, Distinct: 3},
			{Name: "sector", Filled: 100, Distinct: 3},
			{Name: "people", Filled: 95, Distinct: 90, Numeric: 94, Quantiles: deciles},
			{Name: "rank", Filled: 100, Distinct: 12, Numeric: 100},
			{Name: "founded", Filled: 100, Distinct: 100, Numeric: 100, Quantiles: deciles},
			{Name: "note", Filled: 100, Distinct: 51},
			{Name: "town", Filled: 100, Distinct: 50},
			{Name: "empty"},
		},
		groups: map[string][]store.Group{
			"":           {group("", 1, 120, 100)},
			"prefecture": {group("south", 60, 100, 40), group("north", 1, 35, 33), group("middle", 36, 62, 26), group("", 5, 5, 1)},
			"sector":     {group("bank", 3, 99, 60), group("shop", 1, 100, 40)},
			"rank":       {group("10", 1, 9, 50), group("9", 2, 8, 30), group("1,000", 2, 8, 20)},
			"town":       {group("a", 1, 90, 50), group("b", 2, 80, 50)},
		},
		bands: map[string][]store.Group{
			"people":  {group("", 0, 0, 1), group("", 0, 0, 2), group("", 0, 0, 3), group("", 0, 0, 4), group("", 0, 0, 5), group("", 0, 0, 6), group("", 0, 0, 7)},
			"founded": {group("", 0, 0, 1), group("", 0, 0, 2), group("", 0, 0, 0)},
		},
	}
	wave := store.Wave{Domains: 100, Measured: 100}
	wave.Facts = []string{"spf"}
	for _, s := range st.shapes {
		wave.Attributes = append(wave.Attributes, s.Name)
	}
	s, err := Summarize(t.Context(), st, wave, Tabulation{Bands: map[string][]float64{"founded": {1900}}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"all all [all]",
		"prefecture values [north middle south ]",
		"sector values [bank shop]",
		"people bands [<5000 5000..<10000 10000..<20000 20000..<50000 50000..<100000 >=100000 ]",
		"rank values [9 10 1,000]",
		"founded bands [<1900 >=1900]",
		"town values [a b]",
	}
	var got []string
	for _, table := range s.Tables {
		got = append(got, fmt.Sprint(table.Attribute, " ", table.Kind, " ", names(table)))
	}
	if !slices.Equal(got, want) {
		t.Errorf("tables\n%q, want\n%q", got, want)
	}
	if len(s.Untabulated) != 2 || s.Untabulated[0].Name != "note" || s.Untabulated[1].Name != "empty" {
		t.Errorf("untabulated: %+v", s.Untabulated)
	}
	if _, err := Summarize(t.Context(), st, wave, Tabulation{Bands: map[string][]float64{"nothing": {1}}}); !errors.Is(err, ErrNoAttribute) {
		t.Errorf("bands of a column that is not there: %v", err)
	}
}

// TestSummarizeNothing checks that a wave without domains has its one row.
func TestSummarizeNothing(t *testing.T) {
	wave := store.Wave{}
	wave.Facts = []string{"spf", "dmarc"}
	s, err := Summarize(t.Context(), &counted{}, wave, Tabulation{})
	if err != nil || len(s.All().Facts) != 2 || s.Mail.Messages != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, ok := s.Fact("dmarc").Value(); ok {
		t.Error("a share of nothing")
	}
	if _, _, ok := s.Fact("dmarc").Interval(); ok {
		t.Error("an interval of nothing")
	}
}

// TestSummarizeMail checks that all messages count only where none belongs to
// the list.
func TestSummarizeMail(t *testing.T) {
	two, five := []store.Combination{{SMIME: "pass", Count: 2}}, []store.Combination{{SMIME: "none", Count: 3}, {SMIME: "pass", Count: 2}}
	for _, c := range []struct {
		st      counted
		n       int64
		matched bool
	}{
		{counted{matched: two, all: five}, 2, true},
		{counted{all: five}, 5, false},
		{counted{}, 0, false},
	} {
		s, err := Summarize(t.Context(), &c.st, store.Wave{}, Tabulation{})
		if err != nil || s.Mail.Messages != c.n || s.Mail.Matched != c.matched {
			t.Errorf("%+v, %v", s.Mail, err)
		}
	}
}

// TestCompare checks that only what is known in both waves moves a share.
func TestCompare(t *testing.T) {
	st := &counted{changes: []store.Change{
		{Fact: "spf", From: store.Yes, To: store.Yes, Domains: 10},
		{Fact: "spf", From: store.No, To: store.Yes, Domains: 5},
		{Fact: "spf", From: store.Yes, To: store.No, Domains: 1},
		{Fact: "spf", From: store.No, To: store.No, Domains: 4},
		{Fact: "spf", From: store.Unknown, To: store.Yes, Domains: 7},
		{Fact: "spf", From: store.No, To: store.Unknown, Domains: 3},
		{Fact: "spf", From: store.Unknown, To: store.Unknown, Domains: 2},
		{Fact: "gone", From: store.Yes, To: store.Yes, Domains: 32},
	}}
	before, after := store.Wave{ID: 1}, store.Wave{ID: 2}
	before.Facts, after.Facts = []string{"gone", "spf"}, []string{"spf", "new"}
	c, err := Compare(t.Context(), st, before, after, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Facts) != 1 || c.Both != 32 {
		t.Fatalf("%+v", c)
	}
	f := c.Facts[0]
	points, ok := f.Points()
	if f.Before.Tally != (store.Tally{Yes: 11, No: 9, Unknown: 12}) || f.After.Tally != (store.Tally{Yes: 15, No: 5, Unknown: 12}) || f.Gained() != 5 || f.Lost() != 1 || points != 20 || !ok {
		t.Errorf("%+v: %v points", f, points)
	}
	if _, ok := (&FactChange{}).Points(); ok {
		t.Error("nothing changed by something")
	}
}
