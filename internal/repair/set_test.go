package repair

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/internal/store"
)

func emptyManager(t *testing.T) (*Manager, *store.Store) {
	t.Helper()
	st, err := store.Open(context.Background(), t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return New(Config{Store: st, Now: func() time.Time { return time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC) }}), st
}

// Every step from every state, with and without a reason.
func TestStates(t *testing.T) {
	ctx := context.Background()
	m, st := emptyManager(t)
	for i, from := range States {
		for _, to := range States {
			for _, note := range []string{"", "because"} {
				key := strings.Join([]string{string(from), string(to), note}, "/")
				c, err := st.PutCase(ctx, store.Case{Domain: "a.example", Key: key, State: from, Fixed: store.Day(i) * 10})
				if err != nil {
					t.Fatal(err)
				}
				got, err := m.Set(ctx, c.ID, Change{State: &to, Note: &note, By: "x"})
				var want error
				switch {
				case from == to:
				case !slices.Contains(Next(from), to):
					want = ErrState
				case note == "" && (to == store.CaseDone || to == store.CaseAccepted):
					want = ErrNote
				}
				if !errors.Is(err, want) || want == nil && (err != nil || got.State != to) {
					t.Errorf("%s: %v, now %s; want %v", key, err, got.State, want)
				}
				if err != nil {
					if now, _ := st.Case(ctx, c.ID); now.State != from {
						t.Errorf("%s: refused, and yet %s", key, now.State)
					}
					continue
				}
				if from != to && to == store.CaseWaiting && got.Fixed != store.DayOf(m.c.Now())+1 {
					t.Errorf("%s: fixed since %s", key, got.Fixed)
				}
				if from != to && to != store.CaseWaiting && to != store.CaseDone && got.Fixed != 0 {
					t.Errorf("%s: still fixed since %s", key, got.Fixed)
				}
				if to == store.CaseContacted && from != to && got.Due != store.DayOf(m.c.Now())+dueDays {
					t.Errorf("%s: due %s", key, got.Due)
				}
			}
		}
	}
	unknown := store.CaseState("closed")
	if _, err := m.Set(ctx, 1, Change{State: &unknown}); !errors.Is(err, ErrState) {
		t.Error(err)
	}
	if _, err := m.Set(ctx, 1<<40, Change{}); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

func TestSet(t *testing.T) {
	ctx := context.Background()
	m, st := emptyManager(t)
	d, err := st.PutDepartment(ctx, store.Department{Name: "Tax"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := st.PutCase(ctx, store.Case{Domain: "a.example", Key: "k", State: store.CaseFound})
	if err != nil {
		t.Fatal(err)
	}
	seen := c.Changed
	c, err = m.Set(ctx, c.ID, Change{State: of(store.CaseContacted), Owner: of(" 田中 "), Department: &d.ID, Due: of(store.Day(0)), Note: of("phoned"), By: "me", Seen: seen})
	if err != nil || c.Owner != "田中" || c.Department != d.ID || c.Due != 0 {
		t.Fatal(c, err)
	}
	if _, err := m.Set(ctx, c.ID, Change{Owner: of("late"), Seen: seen}); !errors.Is(err, ErrChanged) {
		t.Errorf("a form of before: %v", err)
	}
	again, err := m.Set(ctx, c.ID, Change{State: of(store.CaseContacted), Owner: of("田中"), Department: &d.ID, Note: of(" ")})
	if err != nil || !again.Changed.Equal(c.Changed) {
		t.Errorf("nothing new, and yet changed: %+v, %v", again, err)
	}
	if _, err := m.Set(ctx, c.ID, Change{Department: of(int64(99))}); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if _, err := m.Set(ctx, c.ID, Change{Fixed: of(store.Day(20000))}); !errors.Is(err, ErrState) {
		t.Error(err)
	}
	if _, err := m.Set(ctx, c.ID, Change{Owner: of(strings.Repeat("x", store.NameMost+1))}); err == nil {
		t.Error("an owner without end")
	}
	c, err = m.Set(ctx, c.ID, Change{State: of(store.CaseWaiting), Fixed: of(store.Day(20000)), By: "me"})
	if err != nil || c.Fixed != 20000 {
		t.Error(c, err)
	}
	c, err = m.Set(ctx, c.ID, Change{Fixed: of(store.Day(20010)), Note: of("not before"), By: "me"})
	if err != nil || c.Fixed != 20010 {
		t.Error(c, err)
	}
	if err := m.Sent(ctx, c.ID, "mail, ja", "me"); err != nil {
		t.Fatal(err)
	}
	events, err := st.CaseEvents(ctx, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Kind)
		if e.By != "me" {
			t.Errorf("%s by %q", e.Kind, e.By)
		}
	}
	if got, want := strings.Join(kinds, " "), "state owner department state fixed note letter"; got != want {
		t.Errorf("history %q, want %q", got, want)
	}
	if Text(events[0]) != "phoned" || events[2].To != "Tax" {
		t.Errorf("%+v", events)
	}
}

// Those who do not say what they saw come one after the other.
func TestSetTogether(t *testing.T) {
	ctx := context.Background()
	m, st := emptyManager(t)
	c, err := st.PutCase(ctx, store.Case{Domain: "a.example", Key: "k", State: store.CaseFound})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if _, err := m.Set(ctx, c.ID, Change{Note: of("note"), By: string(rune('a' + i))}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if e, err := st.CaseEvents(ctx, c.ID); err != nil || len(e) != 4 {
		t.Error(len(e), err)
	}
}

func TestBoard(t *testing.T) {
	ctx := context.Background()
	m, st := emptyManager(t)
	today := store.DayOf(m.c.Now())
	for _, c := range []store.Case{
		{Key: "later", State: store.CaseFound, Due: today + 5, Failing: 9},
		{Key: "overdue", State: store.CaseFound, Due: today - 1},
		{Key: "many", State: store.CaseFound, Failing: 900},
		{Key: "few", State: store.CaseFound, Failing: 1},
		{Key: "done", State: store.CaseDone, Due: today - 100},
	} {
		c.Domain, c.Name = "a.example", c.Key
		if _, err := st.PutCase(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	b, err := m.Board(ctx, store.CaseFilter{})
	if err != nil || b.Total != 5 || b.Overdue != 1 || len(b.Columns) != len(States) {
		t.Fatalf("%+v, %v", b, err)
	}
	var names []string
	for _, c := range b.Columns[0].Cases {
		names = append(names, c.Name)
	}
	if got, want := strings.Join(names, " "), "overdue later many few"; got != want || b.Columns[0].Count != 4 {
		t.Errorf("found: %q, want %q", got, want)
	}
	if b, err := m.Board(ctx, store.CaseFilter{States: []store.CaseState{store.CaseDone}}); err != nil || len(b.Columns) != 1 || b.Total != 1 {
		t.Errorf("%+v, %v", b, err)
	}
}

// What is said to be fixed and sends nothing is asked about, after two periods.
func TestNoMail(t *testing.T) {
	ctx := context.Background()
	m, st := emptyManager(t)
	f := facts{Version: factsVersion}
	f.Source.Rhythm.Days = 30
	fixed := store.DayOf(m.c.Now())
	c, err := st.PutCase(ctx, store.Case{Domain: "a.example", Key: "k", State: store.CaseWaiting, Owner: "a@b.example", Fixed: fixed, LastDay: fixed - 3, Facts: f.text()})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(day store.Day) []Reminder {
		t.Helper()
		r, err := m.Due(ctx, day.Time())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := ask(fixed + 60); len(r) != 0 {
		t.Errorf("after two periods: %+v", r)
	}
	r := ask(fixed + 61)
	if len(r) != 1 || r[0].Kind != NoMail || r[0].To != "a@b.example" || r[0].Days != 61 {
		t.Fatalf("later: %+v", r)
	}
	if err := m.Reminded(ctx, r, (fixed + 61).Time()); err != nil {
		t.Fatal(err)
	}
	if r := ask(fixed + 90); len(r) != 0 {
		t.Errorf("asked again too soon: %+v", r)
	}
	if r := ask(fixed + 91); len(r) != 1 {
		t.Errorf("not asked again: %+v", r)
	}
	c.LastDay = fixed + 1
	if err := st.PutCaseFigures(ctx, []store.Case{c}); err != nil {
		t.Fatal(err)
	}
	if r := ask(fixed + 91); len(r) != 0 {
		t.Errorf("there was mail: %+v", r)
	}
}
