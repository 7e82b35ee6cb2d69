package survey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sekimori/internal/store"
)

// All is the name of the table, and of its one value, that counts the whole
// list.
const All = "all"

// Limits of what is tabulated.
const (
	// MaxValues is how many values an attribute may have to be tabulated.
	MaxValues = 1000
	// fewValues are always tabulated; more only where the domains are at least
	// twice as many, since a table of names says nothing.
	fewValues = 30
	// manyNumbers different numbers are not tabulated one by one but in bands.
	manyNumbers = 12
)

// Counter counts a wave's domains by their facts; see package store.
type Counter interface {
	Shapes(ctx context.Context, wave int64) ([]store.AttributeShape, error)
	Groups(ctx context.Context, wave int64, attribute string, most int) ([]store.Group, error)
	Bands(ctx context.Context, wave int64, attribute string, bounds []float64) ([]store.Group, error)
}

// ChangeCounter counts the domains of two waves by a fact's states in both.
type ChangeCounter interface {
	Changes(ctx context.Context, before, after int64, attribute, value string) ([]store.Change, error)
}

// MailCounter counts a wave's messages by what protects them.
type MailCounter interface {
	Combinations(ctx context.Context, wave int64, b store.Basis, matchedOnly bool) ([]store.Combination, error)
}

// TableStore is what Summarize asks.
type TableStore interface {
	Counter
	ChangeCounter
	MailCounter
}

// Tabulation says how to count.
type Tabulation struct {
	// Bands cut the numbers of attributes; see ParseBands. Where none are given
	// NiceBounds chooses.
	Bands map[string][]float64
	// Against is an earlier wave to compare with; nil for none.
	Against *store.Wave
}

// Share is how many domains have a fact, have it not, or may have it. What is
// unknown is in no denominator.
type Share struct {
	store.Tally
}

// Known is the denominator: the domains of which the fact is known.
func (s Share) Known() int64 { return s.Yes + s.No }

// Value is the share of yes among what is known; ok is false where nothing is.
func (s Share) Value() (share float64, ok bool) {
	n := s.Known()
	if n == 0 {
		return 0, false
	}
	return float64(s.Yes) / float64(n), true
}

// Interval is the 95 % interval of Value.
func (s Share) Interval() (low, high float64, ok bool) {
	n := s.Known()
	if n == 0 {
		return 0, 0, false
	}
	low, high = Wilson(s.Yes, n)
	return low, high, true
}

// TableKind says what the rows of a table stand for.
type TableKind string

const (
	Whole  TableKind = "all"    // one row: all domains
	Values TableKind = "values" // a value each
	Bands  TableKind = "bands"  // a range of numbers each
)

// Table counts the domains by one attribute.
type Table struct {
	Attribute string // as the list has it; All for the whole list
	Kind      TableKind
	Rows      []Row
}

// Row is one value of an attribute.
type Row struct {
	// Value is the attribute's; All for the whole list. A band has its
	// Band.Value. It is empty for the domains that have no value, or in a table
	// of bands no number.
	Value   string
	Band    *Band // nil where the row is none
	Domains int64
	Facts   []Share // in the order of the wave's facts
}

// MailTable are the combinations of a wave's messages.
type MailTable struct {
	Messages int64 // that are counted
	// Matched says that only messages are counted that belong to an
	// organisation of the list. It is false where none does: then all are.
	Matched bool
	// Then counts what the receiving servers recorded, Now what the messages
	// are worth as evaluated by this program; the most frequent first.
	Then, Now []store.Combination
}

// FactChange is what became of a fact between two waves.
type FactChange struct {
	Fact string
	// Before and After count the domains of which the fact is known in both
	// waves: they have the same denominator, so that no share moves because
	// somebody did not answer. Unknown are, in both, all the others.
	Before, After Share
	// Moves counts domains by their state before and after; the index is a
	// store.State.
	Moves [3][3]int64
}

// Gained counts the domains that did not have the fact, and have it now.
func (c *FactChange) Gained() int64 { return c.Moves[store.No][store.Yes] }

// Lost counts the domains that had the fact, and have it no more.
func (c *FactChange) Lost() int64 { return c.Moves[store.Yes][store.No] }

// Points is by how much the share changed, in hundredths of the whole; ok is
// false where nothing is known in both waves.
func (c *FactChange) Points() (points float64, ok bool) {
	n := c.Before.Known()
	if n == 0 {
		return 0, false
	}
	return float64(c.Gained()-c.Lost()) / float64(n) * 100, true
}

// Comparison sets a wave against an earlier one.
type Comparison struct {
	Before store.Wave
	Both   int64 // domains that are in both
	Facts  []FactChange
}

// Summary is a wave in numbers: what is published of it, without a word of
// prose. It is built by Summarize.
type Summary struct {
	Wave   store.Wave
	Tables []Table // the first is that of the whole list
	// Untabulated are the attributes that have no table: too many values, or
	// as many as there are domains.
	Untabulated []store.AttributeShape
	Mail        MailTable
	Change      *Comparison // nil where there was nothing to compare with
}

// Measured counts the domains of which something is known.
func (s *Summary) Measured() int64 { return s.Wave.Measured - s.Wave.Unanswered }

// All is the row of the whole list.
func (s *Summary) All() Row { return s.Tables[0].Rows[0] }

// Fact returns the share of one fact in the whole list; the zero Share for a
// fact that the wave has not.
func (s *Summary) Fact(name string) Share {
	if i := slices.Index(s.Wave.Facts, name); i >= 0 {
		return s.All().Facts[i]
	}
	return Share{}
}

// Summarize counts a wave. Its memory and time depend on the number of
// attributes and of their values, not on that of domains; the store does the
// counting. A band for an attribute that the list does not have is an error
// that wraps ErrNoAttribute.
func Summarize(ctx context.Context, st TableStore, wave store.Wave, o Tabulation) (*Summary, error) {
	for _, name := range slices.Sorted(maps.Keys(o.Bands)) {
		if !slices.Contains(wave.Attributes, name) {
			return nil, fmt.Errorf("%w: %q", ErrNoAttribute, name)
		}
	}
	s := &Summary{Wave: wave}
	whole, err := st.Groups(ctx, wave.ID, "", 1)
	if err != nil {
		return nil, fmt.Errorf("count the domains: %w", err)
	}
	row := Row{Value: All, Facts: make([]Share, len(wave.Facts))}
	if len(whole) > 0 {
		row.Domains, row.Facts = whole[0].Domains, shares(whole[0].Facts, len(wave.Facts))
	}
	s.Tables = []Table{{Attribute: All, Kind: Whole, Rows: []Row{row}}}

	shapes, err := st.Shapes(ctx, wave.ID)
	if err != nil {
		return nil, fmt.Errorf("look at the attributes: %w", err)
	}
	for _, shape := range shapes {
		t, ok, err := tabulate(ctx, st, wave, shape, o.Bands[shape.Name])
		if err != nil {
			return nil, fmt.Errorf("count by %q: %w", shape.Name, err)
		}
		if !ok {
			s.Untabulated = append(s.Untabulated, shape)
			continue
		}
		s.Tables = append(s.Tables, t)
	}
	if s.Mail, err = combine(ctx, st, wave.ID); err != nil {
		return nil, fmt.Errorf("count the messages: %w", err)
	}
	if o.Against != nil {
		if s.Change, err = Compare(ctx, st, *o.Against, wave, "", ""); err != nil {
			return nil, fmt.Errorf("compare with %q: %w", o.Against.Name, err)
		}
	}
	return s, nil
}

// ErrNoAttribute says that the list has no attribute of the name.
var ErrNoAttribute = errors.New("the list has no such column")

// tabulate counts by one attribute, unless a table of it would say nothing.
func tabulate(ctx context.Context, st Counter, wave store.Wave, shape store.AttributeShape, bounds []float64) (Table, bool, error) {
	t := Table{Attribute: shape.Name, Kind: Values}
	if len(bounds) == 0 && shape.Distinct > manyNumbers && shape.Numeric*10 >= shape.Filled*9 {
		bounds = NiceBounds(shape.Quantiles)
	}
	if len(bounds) > 0 {
		groups, err := st.Bands(ctx, wave.ID, shape.Name, bounds)
		if err != nil {
			return t, false, err
		}
		t.Kind = Bands
		bands := bandsOf(bounds)
		for i, g := range groups {
			r := Row{Domains: g.Domains, Facts: shares(g.Facts, len(wave.Facts))}
			if i < len(bands) {
				r.Band, r.Value = &bands[i], bands[i].Value()
			} else if g.Domains == 0 {
				continue
			}
			t.Rows = append(t.Rows, r)
		}
		return t, true, nil
	}
	if shape.Filled == 0 || shape.Distinct > fewValues && (shape.Distinct > MaxValues || shape.Distinct*2 > wave.Domains) {
		return t, false, nil
	}
	groups, err := st.Groups(ctx, wave.ID, shape.Name, MaxValues+1)
	if err != nil {
		return t, false, err
	}
	orderGroups(groups)
	for _, g := range groups {
		t.Rows = append(t.Rows, Row{Value: g.Value, Domains: g.Domains, Facts: shares(g.Facts, len(wave.Facts))})
	}
	return t, true, nil
}

// orderGroups sorts the values of a table: numbers by size; as the list has
// them where it is arranged by the attribute, as by prefectures; else as they
// stand, which is the most frequent first. Domains without a value come last.
func orderGroups(groups []store.Group) {
	numbers := map[string]float64{}
	for _, g := range groups {
		if n, ok := store.ParseNumber(g.Value); ok {
			numbers[g.Value] = n
		} else if g.Value != "" {
			numbers = nil
			break
		}
	}
	listed := numbers == nil && arranged(groups)
	slices.SortStableFunc(groups, func(a, b store.Group) int {
		switch {
		case (a.Value == "") != (b.Value == ""):
			if a.Value == "" {
				return 1
			}
			return -1
		case numbers != nil:
			return cmp.Compare(numbers[a.Value], numbers[b.Value])
		case listed:
			return cmp.Compare(a.First, b.First)
		}
		return 0
	})
}

// arranged tells whether the domains of each group stand together in the list,
// give or take some.
func arranged(groups []store.Group) bool {
	var spans, first, last int64
	for _, g := range groups {
		if g.Value == "" {
			continue
		}
		if g.First <= 0 || g.Last < g.First {
			return false
		}
		if first == 0 {
			first = g.First
		}
		first, last = min(first, g.First), max(last, g.Last)
		spans += g.Last - g.First + 1
	}
	return spans*2 <= (last-first+1)*3
}

// shares are the tallies of a group, of which there are n.
func shares(t []store.Tally, n int) []Share {
	out := make([]Share, n)
	for i := range min(n, len(t)) {
		out[i].Tally = t[i]
	}
	return out
}

// combine counts the messages that belong to organisations of the list; all
// messages where none does.
func combine(ctx context.Context, st MailCounter, wave int64) (MailTable, error) {
	m := MailTable{Matched: true}
	var err error
	if m.Then, err = st.Combinations(ctx, wave, store.BasisThen, true); err != nil {
		return m, err
	}
	if len(m.Then) == 0 {
		m.Matched = false
		if m.Then, err = st.Combinations(ctx, wave, store.BasisThen, false); err != nil || len(m.Then) == 0 {
			return m, err
		}
	}
	if m.Now, err = st.Combinations(ctx, wave, store.BasisNow, m.Matched); err != nil {
		return m, err
	}
	for _, c := range m.Then {
		m.Messages += c.Count
	}
	return m, nil
}

// Compare counts what became of the facts that both waves have, among the
// domains that are in both; of those with one value of an attribute, where one
// is named.
func Compare(ctx context.Context, st ChangeCounter, before, after store.Wave, attribute, value string) (*Comparison, error) {
	changes, err := st.Changes(ctx, before.ID, after.ID, attribute, value)
	if err != nil {
		return nil, err
	}
	c := &Comparison{Before: before}
	at := map[string]int{}
	for _, f := range after.Facts {
		if slices.Contains(before.Facts, f) {
			at[f] = len(c.Facts)
			c.Facts = append(c.Facts, FactChange{Fact: f})
		}
	}
	for _, ch := range changes {
		i, ok := at[ch.Fact]
		if !ok || ch.From > store.No || ch.To > store.No {
			continue
		}
		f := &c.Facts[i]
		f.Moves[ch.From][ch.To] += ch.Domains
	}
	for i := range c.Facts {
		f := &c.Facts[i]
		m := f.Moves
		f.Before.Yes, f.Before.No = m[store.Yes][store.Yes]+m[store.Yes][store.No], m[store.No][store.Yes]+m[store.No][store.No]
		f.After.Yes, f.After.No = m[store.Yes][store.Yes]+m[store.No][store.Yes], m[store.Yes][store.No]+m[store.No][store.No]
		for s := range m {
			f.Before.Unknown += m[s][store.Unknown]
			if s != int(store.Unknown) {
				f.Before.Unknown += m[store.Unknown][s]
			}
		}
		f.After.Unknown = f.Before.Unknown
		c.Both = max(c.Both, f.Before.Known()+f.Before.Unknown)
	}
	return c, nil
}
