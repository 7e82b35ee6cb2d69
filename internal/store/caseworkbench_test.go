package store

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// BenchmarkCasework asks a state file of 10,000 cases, 100,000 names and
// 20,000 words what pages ask.
func BenchmarkCasework(b *testing.B) {
	ctx := context.Background()
	s, err := Open(ctx, b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	start := time.Now()
	for k := range 10 { // 10,000 names at a time
		names := make([]KnownName, 10_000)
		for i := range names {
			names[i] = KnownName{Domain: "big.example", Name: fmt.Sprintf("host-%d-%d.big.example", k, i), Origin: "zone"}
		}
		if _, err := s.PutNames(ctx, names); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("100,000 names in %v", time.Since(start).Round(time.Millisecond))
	start = time.Now()
	tx, err := s.state.BeginTx(ctx, nil) // as PutCase would, without syncing 10,000 times
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10_000 {
		_, err := tx.ExecContext(ctx, `INSERT INTO work (domain, key, source, name, state, owner, department, due, opened, changed, fixed, reminded, reopened,
			failing, messages, proof, receivers, relapse, last_day, networks, identities) VALUES (?, ?, 's', ?, ?, ?, ?, ?, 1, ?, 0, 0, 0, ?, 9, 0, 0, 0, 0, '["192.0.2.0/24"]', '["a.example"]')`,
			fmt.Sprintf("d%d.example", i%500), fmt.Sprint("k", i), fmt.Sprint("name", i), string([]CaseState{CaseFound, CaseContacted, CaseRepair, CaseWaiting, CaseDone, CaseAccepted}[i%6]),
			fmt.Sprint("owner", i%50), i%30, 20000+i%100, i, i%1000)
		if err != nil {
			b.Fatal(err)
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO work_facts SELECT id, zeroblob(2000) FROM work"); err != nil {
		b.Fatal(err)
	}
	for i := range 20_000 {
		_, err := tx.ExecContext(ctx, "INSERT INTO saying (domain, key, source, class, name, note, who, at, networks, identities) VALUES (?, ?, '', 'aligned', 'n', '', 'x', 1, '[]', '[]')",
			fmt.Sprintf("d%d.example", i%500), fmt.Sprint("k", i%7))
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	b.Logf("10,000 cases and 20,000 words in %v", time.Since(start).Round(time.Millisecond))
	for _, c := range []struct {
		name string
		ask  func() error
	}{
		{"board", func() error {
			for _, st := range []CaseState{CaseFound, CaseContacted, CaseRepair, CaseWaiting, CaseDone, CaseAccepted} {
				if _, _, err := s.Cases(ctx, CaseFilter{States: []CaseState{st}}, Page{Sort: "urgent", Limit: 100}); err != nil {
					return err
				}
			}
			return nil
		}},
		{"search", func() error { _, _, err := s.Cases(ctx, CaseFilter{}, Page{Search: "name77"}); return err }},
		{"domain", func() error { _, err := s.DomainCases(ctx, "d7.example"); return err }},
		{"words", func() error { _, err := s.Sayings(ctx, "d7.example"); return err }},
		{"names", func() error {
			return s.Names(ctx, "big.example", func(KnownName) error { return nil })
		}},
		{"change", func() error {
			v, err := s.Case(ctx, 77)
			if err == nil {
				_, err = s.PutCase(ctx, v)
			}
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if err := c.ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
