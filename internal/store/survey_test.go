package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// world is a survey as it should be: a list, and what is known about it.
type world struct {
	spec    WaveSpec
	entries []Entry
	results map[int64]Result
}

func testFacts(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("fact", i)
	}
	return out
}

// randomWorld has n rows: about a tenth each are duplicates, name nothing, or
// cannot be used.
func randomWorld(r *rand.Rand, name string, n, facts int) *world {
	w := &world{spec: WaveSpec{Name: name, List: "list.csv", Digest: "digest", Attributes: []string{"sector", "capital", "remark"}, Facts: testFacts(facts)}, results: map[int64]Result{}}
	first := map[string]int64{}
	for i := range n {
		e := Entry{No: int64(i + 1), Line: int64(i + 2), Input: fmt.Sprintf("http://d%d.example/", i), Name: fmt.Sprintf("団体%d", i),
			Attributes: []string{fmt.Sprint("sector ", r.IntN(4)), fmt.Sprintf("%d万円", r.IntN(1000)), ""}}
		if r.IntN(5) == 0 {
			e.Attributes[1] = "unknown"
		}
		switch k := r.IntN(10); k {
		case 0:
			e.Domain = fmt.Sprintf("d%d.example", r.IntN(i+1))
		case 1:
		case 2:
			e.Problem, e.Detail = []string{"entry.bad-name", "survey.list.without.free"}[r.IntN(2)], "<script>"
		default:
			e.Domain = fmt.Sprintf("d%d.example", i)
		}
		if r.IntN(3) == 0 {
			e.Aliases = []string{fmt.Sprintf("alias%d.example", i), fmt.Sprintf("alias%d.example", i/2)}
			e.Selectors = []string{"selector1"}
		}
		if e.Domain != "" {
			if of, ok := first[e.Domain]; ok {
				e.Of = of
			} else {
				first[e.Domain] = e.No
			}
		}
		w.entries = append(w.entries, e)
	}
	return w
}

func (w *world) measured() []Entry {
	var out []Entry
	for _, e := range w.entries {
		if e.Domain != "" && e.Of == 0 {
			out = append(out, e)
		}
	}
	return out
}

func randomResult(r *rand.Rand, no int64, facts int) Result {
	x := Result{No: no, Questions: int64(r.IntN(100)), Attempts: 1, At: testDay.Add(time.Duration(no) * time.Second), Took: time.Duration(r.IntN(1e6)) * time.Microsecond,
		Retry: r.IntN(10) == 0, Unanswered: r.IntN(20) == 0}
	for range facts {
		x.States = append(x.States, State(r.IntN(3)))
	}
	for i := range r.IntN(4) {
		x.Codes = append(x.Codes, Code{Topic: "spf", Grade: "error", Code: fmt.Sprint("spf.problem-", i+r.IntN(3)*10)})
	}
	if r.IntN(10) > 0 {
		x.Doc = fmt.Appendf(nil, `{"domain":"d%d.example","spf":{"present":"yes","record":"v=spf1 include:spf%d.example -all"},"noise":"%x","more":"%s"}`, no, r.IntN(10), r.Uint64(), strings.Repeat("posture ", r.IntN(60)))
	}
	return x
}

// start begins the wave and gives it its list.
func (w *world) start(t testing.TB, s *Store) Wave {
	t.Helper()
	ctx := context.Background()
	wave, resumed, err := s.StartWave(ctx, w.spec)
	if err != nil || resumed {
		t.Fatal(resumed, err)
	}
	for part := range slices.Chunk(w.entries, 300) {
		in := slices.Clone(part)
		for i := range in {
			in[i].Of = 0
		}
		if err := s.AddEntries(ctx, wave.ID, in); err != nil {
			t.Fatal(err)
		}
	}
	if wave, err = s.SealEntries(ctx, wave.ID); err != nil {
		t.Fatal(err)
	}
	return wave
}

// put puts random results for a share of the domains, some of them twice.
func (w *world) put(t testing.TB, s *Store, wave int64, r *rand.Rand, share float64) {
	t.Helper()
	sw, err := s.Surveying(context.Background(), wave)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range w.measured() {
		for n := int64(1); n <= 3 && r.Float64() < share; n++ {
			x := randomResult(r, e.No, len(w.spec.Facts))
			x.Attempts = n
			if err := sw.Put(x); err != nil {
				t.Fatal(err)
			}
			w.results[e.No] = x
			if r.IntN(20) > 0 {
				break
			}
		}
	}
	if err := sw.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// row is what the store should say about an entry.
func (w *world) row(e Entry) SurveyRow {
	out := SurveyRow{Entry: e}
	if x, ok := w.results[e.No]; ok {
		x.Codes = distinctCodes(x.Codes)
		if len(x.Doc) == 0 {
			x.Doc = nil
		}
		out.Result = x
	}
	return out
}

// check compares everything that can be asked with what should be.
func (w *world) check(t *testing.T, s *Store, wave int64) {
	t.Helper()
	ctx := context.Background()
	var got []SurveyRow
	if err := s.EachSurveyRow(ctx, wave, func(r *SurveyRow) error { got = append(got, *r); return nil }); err != nil {
		t.Fatal(err)
	}
	var want []SurveyRow
	for _, e := range w.entries {
		want = append(want, w.row(e))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("rows: %s", d[:min(len(d), 4000)])
	}

	all, err := s.Groups(ctx, wave, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	all[0].Domains += 7 // what the caller does is no concern of the next one
	if all, err = s.Groups(ctx, wave, "", 0); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(w.groups(func(Entry) string { return "" }), all); d != "" {
		t.Fatalf("all: %s", d)
	}
	sectors, err := s.Groups(ctx, wave, "sector", 0)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(w.groups(func(e Entry) string { return e.Attributes[0] }), sectors); d != "" {
		t.Fatalf("sectors: %s", d)
	}
	if top, err := s.Groups(ctx, wave, "sector", 2); err != nil || !reflect.DeepEqual(top, sectors[:2]) {
		t.Errorf("two sectors: %+v, %v", top, err)
	}

	bounds := []float64{100e4, 500e4, 20000e4}
	bands, err := s.Bands(ctx, wave, "capital", bounds)
	if err != nil {
		t.Fatal(err)
	}
	bandOf := func(e Entry) string {
		v, ok := ParseNumber(e.Attributes[1])
		if !ok {
			return "4"
		}
		k := 0
		for k < len(bounds) && v >= bounds[k] {
			k++
		}
		return fmt.Sprint(k)
	}
	wantBands := make([]Group, 5)
	for i := range wantBands {
		wantBands[i].Facts = make([]Tally, len(w.spec.Facts))
	}
	for _, g := range w.groups(bandOf) {
		i := int(g.Value[0] - '0')
		g.Value = ""
		wantBands[i] = g
	}
	if d := cmp.Diff(wantBands, bands); d != "" {
		t.Errorf("bands: %s", d)
	}

	for k, fact := range w.spec.Facts {
		if k%31 != 0 && k != len(w.spec.Facts)-1 { // words' first and last bits among them
			continue
		}
		for _, state := range []State{Unknown, Yes, No} {
			var want []int64
			for _, e := range w.measured() {
				if x, ok := w.results[e.No]; ok && x.States[k] == state || !ok && state == Unknown {
					want = append(want, e.No)
				}
			}
			rows, total, err := s.SurveyRows(ctx, wave, SurveyFilter{Fact: fact, State: state}, Page{Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			var nos []int64
			for _, r := range rows {
				nos = append(nos, r.Entry.No)
			}
			if total != int64(len(want)) || !slices.Equal(nos, want[:min(len(want), 1000)]) {
				t.Errorf("%s %d: %d rows %v, want %d", fact, state, total, nos, len(want))
			}
		}
	}

	codes := map[Code]int64{}
	for _, x := range w.results {
		for _, c := range distinctCodes(x.Codes) {
			codes[c]++
		}
	}
	totals, err := s.SurveyCodes(ctx, wave)
	if err != nil || len(totals) != len(codes) {
		t.Fatal(totals, err)
	}
	for _, c := range totals {
		_, n, err := s.SurveyRows(ctx, wave, SurveyFilter{Code: c.Code.Code}, Page{})
		if codes[c.Code] != c.Domains || n != c.Domains || err != nil {
			t.Errorf("%v: %d and %d domains, want %d; %v", c, c.Domains, n, codes[c.Code], err)
		}
	}

	var pending []int64
	for after := int64(0); ; {
		p, err := s.Pending(ctx, wave, after, 61)
		if err != nil {
			t.Fatal(err)
		}
		if len(p) == 0 {
			break
		}
		for _, e := range p {
			pending = append(pending, e.No)
			after = e.No
		}
	}
	var left, again []int64
	for _, e := range w.measured() {
		x, ok := w.results[e.No]
		if !ok {
			left = append(left, e.No)
		} else if (x.Retry || x.Unanswered) && x.Attempts < 2 {
			again = append(again, e.No)
		}
	}
	if !slices.Equal(pending, left) {
		t.Errorf("pending %v, want %v", pending, left)
	}
	retry, err := s.Retryable(ctx, wave, 0, 10000, 2)
	if err != nil {
		t.Fatal(err)
	}
	var retried []int64
	for _, e := range retry {
		retried = append(retried, e.No)
		want := w.entries[e.No-1]
		x := w.results[e.No]
		want.Earlier = Earlier{Questions: x.Questions, Attempts: x.Attempts, Unanswered: x.Unanswered}
		for _, s := range x.States {
			if s != Unknown {
				want.Earlier.Known++
			}
		}
		if d := cmp.Diff(want, e); d != "" {
			t.Errorf("retryable: %s", d)
		}
	}
	if !slices.Equal(retried, again) {
		t.Errorf("retryable %v, want %v", retried, again)
	}
}

// groups counts as Groups does.
func (w *world) groups(by func(Entry) string) []Group {
	of := map[string]*Group{}
	for _, e := range w.measured() {
		v := by(e)
		g := of[v]
		if g == nil {
			g = &Group{Value: v, First: e.No, Facts: make([]Tally, len(w.spec.Facts))}
			of[v] = g
		}
		g.Domains++
		g.Last = e.No
		for k := range g.Facts {
			state := Unknown
			if x, ok := w.results[e.No]; ok {
				state = x.States[k]
			}
			switch state {
			case Yes:
				g.Facts[k].Yes++
			case No:
				g.Facts[k].No++
			default:
				g.Facts[k].Unknown++
			}
		}
	}
	var out []Group
	for _, g := range of {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Group) int {
		if a.Domains != b.Domains {
			return int(b.Domains - a.Domains)
		}
		return strings.Compare(a.Value, b.Value)
	})
	return out
}

// Whatever is asked about a survey agrees with what was put in, also after the
// folder was opened again.
func TestSurvey(t *testing.T) {
	for _, facts := range []int{128} {
		t.Run(fmt.Sprint(facts), func(t *testing.T) {
			ctx := context.Background()
			r := rand.New(rand.NewPCG(uint64(facts), 4))
			dir := t.TempDir()
			s := openTest(t, dir)
			other := randomWorld(r, "2025-11", 100, facts)
			o := other.start(t, s)
			other.put(t, s, o.ID, r, 1)
			w := randomWorld(r, "2026-11", 350, facts)
			wave := w.start(t, s)
			var without, invalid, duplicates int64
			for _, e := range w.entries {
				switch {
				case e.Of != 0:
					duplicates++
				case e.Domain != "":
				case e.Problem == "" || e.Problem == "survey.list.without.free":
					without++
				default:
					invalid++
				}
			}
			if want := (Wave{ID: wave.ID, WaveSpec: w.spec, Started: wave.Started, Sealed: true, Entries: 350, Domains: int64(len(w.measured())), Duplicates: duplicates, Without: without, Invalid: invalid}); !reflect.DeepEqual(wave, want) {
				t.Errorf("%+v, want %+v", wave, want)
			}
			w.put(t, s, wave.ID, r, 0.7)
			w.check(t, s, wave.ID)
			w.put(t, s, wave.ID, r, 0.2) // again, and over
			w.check(t, s, wave.ID)
			other.check(t, s, o.ID)
			changes(t, s, other, w, o.ID, wave.ID)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openTest(t, dir)
			w.check(t, s, wave.ID)
			if err := s.DropWave(ctx, wave.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Groups(ctx, wave.ID, "", 0); !errors.Is(err, ErrNotFound) {
				t.Errorf("groups of a dropped wave: %v", err)
			}
			other.check(t, s, o.ID)
			for _, table := range []string{"survey_entry", "survey_result", "survey_mail", "survey_wave"} {
				column := "wave"
				if table == "survey_wave" {
					column = "id"
				}
				var n int
				if err := s.conn.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM %s WHERE %s <> %d", table, column, o.ID)).Scan(&n); err != nil || n > 0 {
					t.Errorf("%s has %d rows left; %v", table, n, err)
				}
			}
		})
	}
}

// changes compares Changes and ChangedRows with a count by hand.
func changes(t *testing.T, s *Store, before, after *world, b, a int64) {
	t.Helper()
	ctx := context.Background()
	was := map[string]Entry{}
	for _, e := range before.measured() {
		was[e.Domain] = e
	}
	state := func(w *world, no int64, k int) State {
		if x, ok := w.results[no]; ok {
			return x.States[k]
		}
		return Unknown
	}
	for _, sector := range []string{"", "sector 1"} {
		want := map[Change]int64{}
		for _, e := range after.measured() {
			o, ok := was[e.Domain]
			if !ok || sector != "" && e.Attributes[0] != sector {
				continue
			}
			for k, f := range after.spec.Facts {
				want[Change{Fact: f, From: state(before, o.No, k), To: state(after, e.No, k)}]++
			}
		}
		attribute := ""
		if sector != "" {
			attribute = "sector"
		}
		got, err := s.Changes(ctx, b, a, attribute, sector)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range got {
			n := c.Domains
			c.Domains = 0
			if want[c] != n {
				t.Errorf("%q: %+v: %d, want %d", sector, c, n, want[c])
			}
			delete(want, c)
			k := slices.Index(after.spec.Facts, c.Fact)
			if sector != "" || k%63 != 0 {
				continue
			}
			rows, total, err := s.ChangedRows(ctx, b, a, c.Fact, c.From, c.To, Page{Limit: 1000})
			if err != nil || total != n || int64(len(rows)) != n {
				t.Fatalf("%+v: %d rows of %d, want %d; %v", c, len(rows), total, n, err)
			}
			for _, r := range rows {
				if r.Before.Domain != r.After.Domain || state(before, r.Before.Entry.No, k) != c.From || state(after, r.After.Entry.No, k) != c.To {
					t.Errorf("%+v: %+v", c, r)
				}
			}
		}
		if len(want) > 0 {
			t.Errorf("%q: not told: %v", sector, want)
		}
	}
}

func TestStartWave(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	if _, err := s.Wave(ctx, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("a wave where there is none: %v", err)
	}
	w := randomWorld(rand.New(rand.NewPCG(1, 1)), "2026-11", 50, 3)
	wave, _, err := s.StartWave(ctx, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	// A list that was read in part is read again.
	if err := s.AddEntries(ctx, wave.ID, w.entries[:20]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pending(ctx, wave.ID, 0, 10); !errors.Is(err, ErrUnsealed) {
		t.Errorf("pending before the list ended: %v", err)
	}
	if _, err := s.Surveying(ctx, wave.ID); !errors.Is(err, ErrUnsealed) {
		t.Errorf("surveying before the list ended: %v", err)
	}
	again, resumed, err := s.StartWave(ctx, w.spec)
	if err != nil || !resumed || again.ID != wave.ID {
		t.Errorf("%+v, %v, %v", again, resumed, err)
	}
	if err := s.AddEntries(ctx, wave.ID, w.entries); err != nil {
		t.Fatal(err)
	}
	sealed, err := s.SealEntries(ctx, wave.ID)
	if err != nil || sealed.Entries != 50 || !sealed.Sealed {
		t.Errorf("%+v, %v", sealed, err)
	}
	if twice, err := s.SealEntries(ctx, wave.ID); err != nil || !reflect.DeepEqual(twice, sealed) {
		t.Errorf("sealed twice: %+v, %v", twice, err)
	}
	if err := s.AddEntries(ctx, wave.ID, w.entries); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := s.AddEntries(ctx, wave.ID, []Entry{{No: 51, Attributes: []string{"", "", ""}}}); err == nil {
		t.Error("took an entry beyond the end of the list")
	}
	finished, err := s.FinishWave(ctx, wave.ID)
	if err != nil || finished.Finished.IsZero() {
		t.Errorf("%+v, %v", finished, err)
	}
	if again, resumed, err := s.StartWave(ctx, w.spec); err != nil || !resumed || !reflect.DeepEqual(again, finished) {
		t.Errorf("%+v, %v, %v", again, resumed, err)
	}
	spec := w.spec
	spec.Digest = "another"
	if _, _, err := s.StartWave(ctx, spec); !errors.Is(err, ErrWaveDiffers) {
		t.Errorf("another list: %v", err)
	}
	spec = w.spec
	spec.Attributes = []string{"sector"}
	if _, _, err := s.StartWave(ctx, spec); !errors.Is(err, ErrWaveDiffers) {
		t.Errorf("other attributes: %v", err)
	}
	spec.Name = "2026-12"
	next, resumed, err := s.StartWave(ctx, spec)
	if err != nil || resumed || next.ID == wave.ID {
		t.Errorf("%+v, %v, %v", next, resumed, err)
	}
	waves, err := s.Waves(ctx)
	if err != nil || len(waves) != 2 || waves[0].Name != "2026-12" || !reflect.DeepEqual(waves[1], finished) {
		t.Errorf("%+v, %v", waves, err)
	}
	if newest, err := s.Wave(ctx, ""); err != nil || newest.Name != "2026-12" {
		t.Errorf("%+v, %v", newest, err)
	}
	if named, err := s.Wave(ctx, "2026-11"); err != nil || !reflect.DeepEqual(named, finished) {
		t.Errorf("%+v, %v", named, err)
	}
	// Mail may come before the list.
	mail, _, err := s.StartWave(ctx, WaveSpec{Name: "mail first", Facts: testFacts(2)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SealEntries(ctx, mail.ID); err != nil {
		t.Fatal(err)
	}
	if again, resumed, err := s.StartWave(ctx, WaveSpec{Name: "mail first"}); err != nil || !resumed || again.ID != mail.ID {
		t.Errorf("%+v, %v, %v", again, resumed, err)
	}
	spec = w.spec
	spec.Name = "mail first"
	if got, _, err := s.StartWave(ctx, spec); err != nil || got.ID != mail.ID || got.Sealed || !reflect.DeepEqual(got.WaveSpec, spec) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := s.AddEntries(ctx, mail.ID, w.entries); err != nil {
		t.Error(err)
	}
	if _, err := s.SealEntries(ctx, mail.ID); err != nil {
		t.Error(err)
	}
	if got, resumed, err := s.StartWave(ctx, WaveSpec{Name: "mail first"}); err != nil || !resumed || got.Entries != 50 {
		t.Errorf("%+v, %v, %v", got, resumed, err)
	}
	for _, bad := range []WaveSpec{{}, {Name: "many", Facts: testFacts(129)}, {Name: "wide", Attributes: make([]string, 1001)}, {Name: strings.Repeat("x", 201)}} {
		if _, _, err := s.StartWave(ctx, bad); err == nil {
			t.Errorf("took %.50v", bad)
		}
	}
	for _, bad := range [][]Entry{{{No: 0}}, {{No: 2}, {No: 2}}, {{No: 1, Attributes: []string{"a", "b"}}}, {{No: 1 << 29, Attributes: []string{""}}}} {
		if err := s.AddEntries(ctx, next.ID, bad); err == nil {
			t.Errorf("took %+v", bad)
		}
	}
	if _, err := s.Groups(ctx, wave.ID, "no such", 0); err == nil || !strings.Contains(err.Error(), "sector") {
		t.Errorf("an attribute that is not there: %v", err)
	}
}

func TestSurveyWriterRefuses(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	w := randomWorld(rand.New(rand.NewPCG(1, 1)), "2026-11", 50, 3)
	wave := w.start(t, s)
	sw, err := s.Surveying(ctx, wave.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Surveying(ctx, wave.ID); !errors.Is(err, ErrSurveying) {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.DropWave(ctx, wave.ID); !errors.Is(err, ErrSurveying) {
		t.Errorf("dropped while it is surveyed: %v", err)
	}
	states := make([]State, 3)
	for _, bad := range []Result{{No: 0, States: states}, {No: 51, States: states}, {No: 1}, {No: 1, States: states, Doc: make([]byte, maxDoc+1)}} {
		if err := sw.Put(bad); err == nil {
			t.Errorf("took a result for %d with %d states", bad.No, len(bad.States))
		}
	}
	if err := sw.Put(Result{No: w.measured()[0].No, States: states}); err != nil {
		t.Errorf("after bad ones: %v", err)
	}
	// What was put is no longer pending, though DuckDB does not have it yet.
	if p, err := s.Pending(ctx, wave.ID, 0, 1); err != nil || len(p) != 1 || p[0].No != w.measured()[1].No {
		t.Errorf("%+v, %v", p, err)
	}
	if err := s.Close(); err != nil { // closes the writer, too
		t.Fatal(err)
	}
	if err := sw.Put(Result{No: 1, States: states}); err == nil {
		t.Error("took a result after Close")
	}
	if err := sw.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestMatchEntry(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	wave, _, err := s.StartWave(ctx, WaveSpec{Name: "w"})
	if err != nil {
		t.Fatal(err)
	}
	err = s.AddEntries(ctx, wave.ID, []Entry{
		{No: 1, Domain: "a.example", Aliases: []string{"b.example", "x.example"}},
		{No: 2, Domain: "b.example", Aliases: []string{"y.example"}},
		{No: 3, Domain: "a.example", Aliases: []string{"z.example", "x.example"}},
		{No: 4, Aliases: []string{"none.example"}},
		{No: 5},
	})
	if err == nil {
		_, err = s.SealEntries(ctx, wave.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	var many []string
	for i := range 4500 {
		many = append(many, fmt.Sprintf("n%d.example", i))
	}
	got, err := s.MatchEntry(ctx, wave.ID, append(many, "a.example", "b.example", "x.example", "y.example", "z.example", "none.example", "", "a.example", "nobody.example"))
	want := map[string]int64{"a.example": 1, "b.example": 2, "x.example": 1, "y.example": 2, "z.example": 1, "none.example": 4}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestSurveyRows(t *testing.T) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(3, 3))
	s := openTest(t, t.TempDir())
	w := randomWorld(r, "2026-11", 400, 5)
	wave := w.start(t, s)
	w.put(t, s, wave.ID, r, 0.9)
	numbers := func(f SurveyFilter, p Page) []int64 {
		t.Helper()
		p.Limit = 1000
		rows, total, err := s.SurveyRows(ctx, wave.ID, f, p)
		if err != nil || int(total) != len(rows) {
			t.Fatal(total, len(rows), err)
		}
		var out []int64
		for _, x := range rows {
			want := w.row(w.entries[x.Entry.No-1])
			want.Result.Doc = nil
			if d := cmp.Diff(want, x); d != "" {
				t.Errorf("row: %s", d)
			}
			out = append(out, x.Entry.No)
		}
		return out
	}
	pick := func(ok func(Entry) bool) []int64 {
		var out []int64
		for _, e := range w.measured() {
			if ok(e) {
				out = append(out, e.No)
			}
		}
		return out
	}
	for _, c := range []struct {
		name string
		f    SurveyFilter
		p    Page
		want []int64
	}{
		{"all", SurveyFilter{}, Page{}, pick(func(Entry) bool { return true })},
		{"sector", SurveyFilter{Attribute: "sector", Value: "sector 2"}, Page{}, pick(func(e Entry) bool { return e.Attributes[0] == "sector 2" })},
		{"not given", SurveyFilter{Attribute: "remark"}, Page{}, pick(func(Entry) bool { return true })},
		{"band", SurveyFilter{Attribute: "capital", Band: true, Low: 100e4, High: 300e4}, Page{}, pick(func(e Entry) bool {
			v, ok := ParseNumber(e.Attributes[1])
			return ok && v >= 100e4 && v < 300e4
		})},
		{"rest", SurveyFilter{Attribute: "capital", Rest: true}, Page{}, pick(func(e Entry) bool { return e.Attributes[1] == "unknown" })},
		{"search", SurveyFilter{Search: "D1"}, Page{Search: "団体1"}, pick(func(e Entry) bool { return strings.Contains(e.Domain, "d1") && strings.Contains(e.Name, "団体1") })},
		{"both", SurveyFilter{Attribute: "sector", Value: "sector 2", Search: "5"}, Page{}, pick(func(e Entry) bool {
			return e.Attributes[0] == "sector 2" && strings.Contains(e.Domain+e.Name, "5")
		})},
		{"nothing", SurveyFilter{Search: "' OR 1=1 --"}, Page{}, nil},
		{"no such code", SurveyFilter{Code: "no.such"}, Page{}, nil},
	} {
		if got := numbers(c.f, c.p); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	var odd []int64
	for _, e := range w.entries {
		if e.Domain == "" || e.Of > 0 {
			odd = append(odd, e.No)
		}
	}
	if got := numbers(SurveyFilter{Odd: true}, Page{}); !slices.Equal(got, odd) {
		t.Errorf("odd: %v, want %v", got, odd)
	}
	byProblems := numbers(SurveyFilter{}, Page{Sort: "problems", Desc: true})
	if !slices.IsSortedFunc(byProblems, func(a, b int64) int {
		return len(distinctCodes(w.results[b].Codes)) - len(distinctCodes(w.results[a].Codes))
	}) {
		t.Error("not sorted by problems")
	}
	if _, _, err := s.SurveyRows(ctx, wave.ID, SurveyFilter{}, Page{Sort: "doc; DROP TABLE survey_wave"}); err == nil {
		t.Error("sorted by nonsense")
	}
	rows, total, err := s.SurveyRows(ctx, wave.ID, SurveyFilter{}, Page{Offset: 10, Limit: 5})
	if err != nil || int(total) != len(w.measured()) || len(rows) != 5 || rows[0].Entry.No != w.measured()[10].No {
		t.Errorf("%d of %d, %v", len(rows), total, err)
	}
	if rows, total, err := s.SurveyRows(ctx, wave.ID, SurveyFilter{}, Page{Offset: 1000}); err != nil || len(rows) != 0 || int(total) != len(w.measured()) {
		t.Errorf("%d of %d, %v", len(rows), total, err)
	}
	one := w.measured()[3]
	if got, err := s.SurveyRow(ctx, wave.ID, one.No); err != nil || cmp.Diff(w.row(one), got) != "" {
		t.Errorf("%v: %s", err, cmp.Diff(w.row(one), got))
	}
	if _, err := s.SurveyRow(ctx, wave.ID, 401); !errors.Is(err, ErrNotFound) {
		t.Errorf("an entry that is not there: %v", err)
	}
}

func TestShapes(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	wave, _, err := s.StartWave(ctx, WaveSpec{Name: "w", Attributes: []string{"n", "t"}})
	if err != nil {
		t.Fatal(err)
	}
	var e []Entry
	for i := range 11 {
		e = append(e, Entry{No: int64(i + 1), Domain: fmt.Sprintf("d%d.example", i), Attributes: []string{fmt.Sprintf("%d円", i*100), []string{"", "x", "y"}[i%3]}})
	}
	e = append(e, Entry{No: 12, Domain: "d0.example", Attributes: []string{"9999", "z"}})
	err = s.AddEntries(ctx, wave.ID, e)
	if err == nil {
		_, err = s.SealEntries(ctx, wave.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := []AttributeShape{
		{Name: "n", Filled: 11, Distinct: 11, Numeric: 11, Quantiles: []float64{0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000}},
		{Name: "t", Filled: 7, Distinct: 2},
	}
	for range 2 {
		got, err := s.Shapes(ctx, wave.ID)
		if err != nil {
			t.Fatal(err)
		}
		got[0].Quantiles = slices.Clone(got[0].Quantiles)
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
}

func TestDocumentsShareADictionary(t *testing.T) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(5, 5))
	s := openTest(t, t.TempDir())
	w := randomWorld(r, "w", 3000, 3)
	wave := w.start(t, s)
	sw, err := s.Surveying(ctx, wave.ID)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range w.measured() {
		x := randomResult(r, e.No, 3)
		x.Doc = fmt.Appendf(nil, "%s%d", strings.Repeat("the same in all of them, but for some words ", 10), i)
		if i == 1500 {
			if err := sw.settle(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := sw.Put(x); err != nil {
			t.Fatal(err)
		}
		w.results[e.No] = x
	}
	if err := sw.Close(ctx); err != nil {
		t.Fatal(err)
	}
	var codecs int
	if err := s.conn.QueryRowContext(ctx, "SELECT count(DISTINCT codec) FROM survey_result").Scan(&codecs); err != nil || codecs != 2 {
		t.Errorf("%d codecs, want 2; %v", codecs, err)
	}
	s.surveys.docs.forget()
	w.check(t, s, wave.ID)
	if got, _ := s.SurveyRow(ctx, wave.ID, 1); !bytes.Equal(got.Result.Doc, w.results[1].Doc) {
		t.Error("document lost")
	}
}

// There are more readers than connections to DuckDB: none may hold one while
// it waits for another.
func TestManyReaders(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	r := rand.New(rand.NewPCG(7, 7))
	s := openTest(t, t.TempDir())
	w := randomWorld(r, "w", 300, 3)
	wave := w.start(t, s)
	var mail []MailResult
	for i := range 60 {
		m := testMail(r, i)
		mail = append(mail, m)
	}
	if _, err := s.PutMail(ctx, wave.ID, mail); err != nil {
		t.Fatal(err)
	}
	w.put(t, s, wave.ID, r, 0.8)
	sw, err := s.Surveying(ctx, wave.ID)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if i%16 == 0 {
				s.surveys.docs.forget()
			}
			no := w.measured()[i%100].No
			for _, err := range []error{
				second(s.SurveyRow(ctx, wave.ID, no)),
				sw.Put(randomResult(rand.New(rand.NewPCG(uint64(i), 1)), no, 3)),
				third(s.SurveyRows(ctx, wave.ID, SurveyFilter{Fact: "fact1", State: Yes}, Page{})),
				third(s.Mails(ctx, wave.ID, 0, Page{Limit: 5})),
				second(s.Groups(ctx, wave.ID, "sector", 0)),
				third(s.ChangedRows(ctx, wave.ID, wave.ID, "fact1", Yes, Yes, Page{Limit: 5})),
				second(s.Pending(ctx, wave.ID, 0, 10)),
				second(s.Shapes(ctx, wave.ID)),
				second(s.Selectors(ctx, []string{"a.example"})),
				second(s.MatchEntry(ctx, wave.ID, []string{"d1.example"})),
				s.EachSurveyRow(ctx, wave.ID, func(x *SurveyRow) error {
					if x.Entry.No%100 > 0 {
						return nil
					}
					return second(s.SurveyRow(ctx, wave.ID, x.Entry.No)) // as a caller may
				}),
				s.EachMail(ctx, wave.ID, func(m *MailResult) error {
					if m.Path != "box/1.eml" {
						return nil
					}
					return second(s.Wave(ctx, "w"))
				}),
			} {
				if err != nil {
					t.Error(err)
				}
			}
			if i%16 == 0 { // which waits for the writer
				if _, err := s.Retryable(ctx, wave.ID, 0, 10, 9); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := sw.Close(ctx); err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }
