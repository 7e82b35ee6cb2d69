package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestAlerts checks that an alert is entered once, is due until it ended, and
// survives a restart.
func TestAlerts(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s, err := Open(ctx, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	alerts := []Alert{
		{ID: "e1/mail/a@example.jp", Event: "e1", Domain: "example.jp", Kind: "step-back", Channel: "mail", Recipient: "a@example.jp", Made: now, Body: []byte("{}")},
		{ID: "e1/webhook", Event: "e1", Domain: "example.jp", Kind: "step-back", Channel: "webhook", Made: now, Body: []byte("{}")},
	}
	for i, want := range []int{2, 0} {
		if n, err := s.PutAlerts(ctx, alerts); err != nil || n != want {
			t.Fatalf("time %d: %d added, %v; want %d", i+1, n, err, want)
		}
	}
	due, err := s.DueAlerts(ctx, now, 10)
	if err != nil || len(due) != 2 || due[0].ID != alerts[0].ID || !due[0].Made.Equal(now) || string(due[0].Body) != "{}" {
		t.Fatalf("due: %+v, %v", due, err)
	}
	later := now.Add(time.Minute)
	if err := s.AlertTried(ctx, AlertAttempt{ID: due[0].ID, At: now, Outcome: AlertSent}); err != nil {
		t.Fatal(err)
	}
	if err := s.AlertTried(ctx, AlertAttempt{ID: due[1].ID, At: now, Next: later, Error: strings.Repeat("x", 1000)}); err != nil {
		t.Fatal(err)
	}
	if due, err = s.DueAlerts(ctx, now, 10); err != nil || len(due) != 0 {
		t.Fatalf("still due: %+v, %v", due, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(ctx, dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if due, err = s.DueAlerts(ctx, later, 10); err != nil || len(due) != 1 || due[0].Tries != 1 || len(due[0].Error) != maxAlertError {
		t.Fatalf("due after a restart: %+v, %v", due, err)
	}
	if n, err := s.PutAlerts(ctx, alerts); err != nil || n != 0 {
		t.Fatalf("entered again: %d, %v", n, err)
	}
	if c, err := s.AlertCounts(ctx); err != nil || c != (AlertCounts{Waiting: 1, Sent: 1}) {
		t.Fatalf("counts: %+v, %v", c, err)
	}
	if all, err := s.Alerts(ctx, "example.jp", 10); err != nil || len(all) != 2 {
		t.Fatalf("all: %+v, %v", all, err)
	}
	if other, err := s.Alerts(ctx, "example.com", 10); err != nil || len(other) != 0 {
		t.Fatalf("of another domain: %+v, %v", other, err)
	}
	// Two years on, what has ended is forgotten; what waits is not.
	if _, err := s.PutAlerts(ctx, []Alert{{ID: "e2", Made: now.Add(keptAlerts + time.Hour), Body: []byte{}}}); err != nil {
		t.Fatal(err)
	}
	if c, err := s.AlertCounts(ctx); err != nil || c != (AlertCounts{Waiting: 2}) {
		t.Fatalf("counts after two years: %+v, %v", c, err)
	}
}

func TestNameFacts(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	var facts []NameFact
	for i := range 30 {
		facts = append(facts, NameFact{Domain: "example.jp", Name: fmt.Sprintf("h%02d.example.jp", 29-i), Looked: at, Doc: []byte("1")})
	}
	facts = append(facts, NameFact{Domain: "example.com", Name: "x.example.com", Looked: at, Doc: []byte("1")})
	if err := s.PutNameFacts(ctx, facts); err != nil {
		t.Fatal(err)
	}
	facts[0].Doc = []byte("2")
	if err := s.PutNameFacts(ctx, facts[:1]); err != nil {
		t.Fatal(err)
	}
	var got []string
	err = s.NameFacts(ctx, "example.jp", func(f NameFact) error {
		got = append(got, f.Name+" "+string(f.Doc))
		if !f.Looked.Equal(at) {
			t.Errorf("%s: looked at %s", f.Name, f.Looked)
		}
		return nil
	})
	if err != nil || len(got) != 30 || got[0] != "h00.example.jp 1" || got[29] != "h29.example.jp 2" {
		t.Fatalf("facts: %v, %v", got, err)
	}
	stop := errors.New("stop")
	if err := s.NameFacts(ctx, "example.jp", func(NameFact) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("stopped with %v", err)
	}
}
