package verdict

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sentOn(t *testing.T, dir, begin, end string) ([]Sent, string) {
	t.Helper()
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	list, since, err := r.Sent(begin, end)
	if err != nil {
		t.Fatal(err)
	}
	return list, since
}

// TestSent: own mail is counted by day, author and signatures, over restarts,
// and as long as verdicts are kept.
func TestSent(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 1, 23, 0, 0, 0, time.UTC)
	open := func() *Log {
		t.Helper()
		l, err := Open(dir, Options{Keep: 10, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	one, two := []Signature{{"bank.example", "s1"}}, []Signature{{"bank.example", "s1"}, {"bank.example", "ed"}}
	if list, since := sentOn(t, dir, "2026-01-01", "2027-01-01"); list != nil || since != "" {
		t.Errorf("nothing was counted: %v, %q", list, since)
	}
	l := open()
	for range 3 {
		l.CountSent(now, Sent{From: "bank.example", By: one, Copies: 2})
	}
	l.CountSent(now, Sent{From: "bank.example", By: two, Copies: 1})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// A crash loses what was not written yet, and nothing else.
	l = open()
	l.CountSent(now.Add(2*time.Hour), Sent{From: "bank.example", By: one, Copies: 10})
	if err := l.sent.save(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, sentName))
	if err != nil {
		t.Fatal(err)
	}
	l.CountSent(now.Add(2*time.Hour), Sent{From: "shop.bank.example", By: one, Copies: 5})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, sentName), whole, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, sentName+".next"), whole[:len(whole)/2], 0o640); err != nil {
		t.Fatal(err)
	}
	l = open()
	l.CountSent(now.Add(2*time.Hour), Sent{From: "bank.example", By: one, Copies: 1})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	list, since := sentOn(t, dir, "2026-11-01", "2026-11-03")
	want := []Sent{{"2026-11-01", "bank.example", one, 6}, {"2026-11-01", "bank.example", two, 1}, {"2026-11-02", "bank.example", one, 11}}
	if d := cmp.Diff(want, list); d != "" || since != "2026-11-02" {
		t.Errorf("since %s (-want +got):\n%s", since, d)
	}
	if list, _ := sentOn(t, dir, "2026-11-02", "2026-11-03"); len(list) != 1 {
		t.Errorf("one day: %v", list)
	}
	// It goes with the verdicts.
	now = now.AddDate(0, 0, 10)
	l = open()
	if _, err := l.Expire(context.Background()); err != nil {
		t.Fatal(err)
	}
	if list, since := sentOn(t, dir, "2026-01-01", "2027-01-01"); len(list) != 1 || list[0].Day != "2026-11-02" || since != "2026-11-02" {
		t.Errorf("since %s: %v", since, list)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSentMany: names that people make up below a domain do not fill the memory.
func TestSentMany(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	by := []Signature{{"bank.example", "s1"}}
	for i := range 3 * sentMost {
		l.CountSent(time.Now(), Sent{From: "x" + strconv.Itoa(i) + ".bank.example", By: by, Copies: 1})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	list, _ := sentOn(t, dir, "2026-01-01", "9999-01-01")
	var all uint64
	for _, s := range list {
		all += s.Copies
	}
	if len(list) != sentMost+1 || all != 3*sentMost {
		t.Errorf("%d authors, %d copies", len(list), all)
	}
}

// TestSentDamaged: a file that is none is set aside, and said.
func TestSentDamaged(t *testing.T) {
	for _, text := range []string{"", "{\"since\":", "{\"days\":[]}"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, sentName), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		l, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		l.CountSent(time.Now(), Sent{From: "bank.example", By: []Signature{{"bank.example", "s1"}}, Copies: 1})
		if s := l.Stats(); len(s.Damaged) != 1 || filepath.Base(s.Damaged[0]) != sentName+".damaged" {
			t.Errorf("%q: %q", text, s.Damaged)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if list, _ := sentOn(t, dir, "2026-01-01", "9999-01-01"); len(list) != 1 {
			t.Errorf("%q: %v", text, list)
		}
	}
}
