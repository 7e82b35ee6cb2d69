package store

import (
	"context"
	"fmt"
	"net/netip"
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

// BenchmarkMail asks ten million records what cases, letters and the inventory
// ask. About 2.7 million records are of the domain, 900,000 of its last month.
func BenchmarkMail(b *testing.B) {
	s := benchStore(b)
	ctx := context.Background()
	const big = "d1.example"
	end, ok, err := s.Newest(ctx, big)
	if err != nil || !ok {
		b.Fatal(ok, err)
	}
	month := Window{end - 30, end}
	f := MailFilter{Sources: []string{"source-7"}, Authors: []string{big}}
	var addrs []netip.Addr
	for i := range 5000 {
		addrs = append(addrs, numberAddr(number{host: 281470681743360 + 1048576 + uint64(i)}))
	}
	for _, a := range addrs[:20] {
		f.Networks = append(f.Networks, netip.PrefixFrom(a, a.BitLen()))
	}
	for _, q := range []struct {
		name string
		ask  func() error
	}{
		{"MailDaily", func() error { _, err := s.MailDaily(ctx, big, month, f); return err }},
		{"MailReporters", func() error { _, err := s.MailReporters(ctx, big, month, f); return err }},
		{"MailAuth", func() error { _, err := s.MailAuth(ctx, big, month, f); return err }},
		{"MailAddresses", func() error { _, err := s.MailAddresses(ctx, big, month, f, 11); return err }},
		{"AuthorNames", func() error {
			_, err := s.AuthorNames(ctx, big, month, 0, func(AuthorTotals) error { return nil })
			return err
		}},
		{"SourceDomains", func() error { _, err := s.SourceDomains(ctx, addrs, month); return err }},
	} {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				if err := q.ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
