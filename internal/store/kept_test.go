package store

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestKept holds kept answers against what they promise: given again while
// nothing changed, never after a change, except for a while during an import.
func TestKept(t *testing.T) {
	s := openTest(t, t.TempDir())
	putReport := func(id int) {
		t.Helper()
		if _, err := s.Put(t.Context(), []*Incoming{{Report: testReport("kept.example", "receiver.example", fmt.Sprint(id), id, 1), Rows: testRows(0, 3)}}); err != nil {
			t.Fatal(err)
		}
	}
	putReport(1)
	asked := 0
	ask := func() int {
		t.Helper()
		rows, _, err := kept(t.Context(), s, "kept.example", []any{"test"}, func(context.Context, uint32) ([]int, int64, error) {
			asked++
			return []int{asked}, 0, nil
		})
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		n := rows[0]
		rows[0] = -1 // the caller's own
		return n
	}
	for _, step := range []struct {
		what string
		do   func()
		want int
	}{
		{"first", func() {}, 1},
		{"again", func() {}, 1},
		{"a report came in", func() { putReport(2) }, 2},
		{"again", func() {}, 2},
		{"classed anew", func() { id, _ := s.domains.id("kept.example"); s.kept.classedAnew(id) }, 3},
		{"a report during an import", func() { s.running.begin(7); putReport(3); s.kept.turn.Lock() }, 3},
		{"too old during an import", func() {
			for _, a := range s.kept.of {
				a.at = a.at.Add(-keptAge - time.Second)
			}
		}, 4},
	} {
		step.do()
		if got := ask(); got != step.want {
			t.Errorf("%s: answer %d, want %d", step.what, got, step.want)
		}
	}
	if len(s.kept.waiting) != 1 {
		t.Errorf("%d answers wait to be worked out again, want 1", len(s.kept.waiting))
	}
	s.kept.turn.Unlock()
	if _, _, err := kept(t.Context(), s, "kept.example", []any{"bad"}, func(context.Context, uint32) ([]int, int64, error) { return nil, 0, ErrNotFound }); err == nil {
		t.Error("an error was swallowed")
	}
	for i := range keptAnswers + 10 {
		s.kept.put(fmt.Sprint("filler ", i), &answer{at: time.Now()})
	}
	if n := len(s.kept.of); n > keptAnswers {
		t.Errorf("%d answers kept, more than %d", n, keptAnswers)
	}
}
