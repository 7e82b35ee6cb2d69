package gateway

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"sekimori/internal/store/verdict"
	"sekimori/milter"
	"sekimori/report/aggregate"
)

// lost is a session whose connection breaks where its events end.
type lost struct{ *fake }

func (l lost) Next() (milter.Event, error) {
	ev, err := l.fake.Next()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return ev, err
}

// TestKept: with the log that is used in earnest, each message that was
// answered is counted once, and none that was not.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	log, err := verdict.Open(dir, verdict.Options{Now: func() time.Time { return today }})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	g := newGate(t, zone(t, bankZone), Options{Log: log, Site: Site{Mode: Enforce, OnTrouble: verdict.TryAgain}})
	run := func(m mail, c func(*fake) conversation) error {
		f := &fake{macros: map[string]string{"j": "mx.example", "i": "4bQ1"}, events: append(m.connection(), m.events(t)...)}
		return g.serve(context.Background(), c(f))
	}
	plain := func(f *fake) conversation { return f }
	passing, forged, lame := good, bad, bad
	passing.text, forged.text, lame.text = signed(t, draft("info@bank.example"), "bank.example"), draft("info@bank.example"), draft("info@lame.example")
	for range 3 {
		if err := run(passing, plain); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := run(forged, plain); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(lame, plain); err != nil { // to be tried again: no report counts it
		t.Fatal(err)
	}
	gone := errors.New("gone")
	if err := run(forged, func(f *fake) conversation { f.broken = gone; return f }); err != gone {
		t.Fatal(err)
	}
	// Its answer may have been read or not; it comes again, and one of the two
	// counts.
	twice := forged
	twice.text = strings.Replace(forged.text, "statement", "invoice", 1)
	if err := run(twice, func(f *fake) conversation { return lost{f} }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if err := run(twice, plain); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := log.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	r, err := verdict.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	policies, err := r.Policies(ctx, "2026-11-22")
	if err != nil || len(policies) != 1 || policies[0].Policy.Domain != "bank.example" {
		t.Fatal(policies, err)
	}
	got := map[aggregate.Disposition]uint64{}
	if err := r.Rows(ctx, "2026-11-22", policies[0].ID, func(row *aggregate.Record) error {
		got[row.Disposition] += row.Count
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got["pass"] != 3 || got["quarantine"] != 3 || len(got) != 2 {
		t.Errorf("%v", got)
	}
	found, _, err := r.Find(ctx, verdict.Query{MessageID: "1@bank.example", Action: verdict.Quarantine})
	if err != nil || len(found) < 3 || found[0].Why == nil || found[0].Rcpt[0] != "you@here.example" {
		t.Errorf("%+v, %v", found, err)
	}
}
