package sources

import (
	"context"
	"errors"
	"testing"

	"sekimori/internal/store"
	"sekimori/internal/store/verdict"
)

// books is a count of own mail.
type books struct {
	list  []verdict.Sent
	since string
	err   error
}

func (b books) Sent(string, string) ([]verdict.Sent, string, error) { return b.list, b.since, b.err }

// signing knows the domains that reports are about.
type signing struct {
	domains []string
	asked   []store.Signature
	window  store.Window
}

func (r *signing) DomainVersion(name string) int64 {
	for _, d := range r.domains {
		if d == name {
			return 1
		}
	}
	return 0
}

func (r *signing) Signed(_ context.Context, _ string, w store.Window, by []store.Signature) (uint64, error) {
	r.asked, r.window = by, w
	return 7, nil
}

func TestSentBy(t *testing.T) {
	bank := []verdict.Signature{{Domain: "bank.example", Selector: "s1"}}
	list := []verdict.Sent{
		{Day: "2026-11-01", From: "bank.example", By: bank, Copies: 100}, // a part of the day only
		{Day: "2026-11-02", From: "bank.example", By: bank, Copies: 10},
		{Day: "2026-11-02", From: "mail.bank.example", By: bank, Copies: 2},
		{Day: "2026-11-03", From: "a.shop.bank.example", By: bank, Copies: 30},
		{Day: "2026-11-03", From: "other.example", By: []verdict.Signature{{Domain: "other.example", Selector: "x"}}, Copies: 500},
	}
	day := func(s string) store.Day {
		var d store.Day
		if err := d.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	w := store.Window{Begin: day("2026-10-25"), End: day("2026-11-10")}
	for name, c := range map[string]struct {
		b       books
		domain  string
		reports []string
		want    Sent
		asked   int
	}{
		"all below":          {books{list: list, since: "2026-11-02"}, "bank.example", []string{"bank.example"}, Sent{42, 7, day("2026-11-02")}, 1},
		"reports of its own": {books{list: list, since: "2026-11-02"}, "bank.example", []string{"bank.example", "shop.bank.example"}, Sent{12, 7, day("2026-11-02")}, 1},
		"the sub-domain":     {books{list: list, since: "2026-11-02"}, "shop.bank.example", []string{"bank.example", "shop.bank.example"}, Sent{30, 7, day("2026-11-02")}, 1},
		"nothing of it":      {books{list: list, since: "2026-11-02"}, "third.example", nil, Sent{}, 0},
		"not a whole day":    {books{list: list[:1], since: "2026-11-02"}, "bank.example", nil, Sent{}, 0},
		"never":              {books{}, "bank.example", nil, Sent{}, 0},
		"unreadable":         {books{list: list, err: errors.New("no")}, "bank.example", nil, Sent{}, 0},
		"counted for long":   {books{list: list[1:2], since: "2026-01-01"}, "bank.example", nil, Sent{10, 7, w.Begin}, 1},
	} {
		r := &signing{domains: c.reports}
		got, err := SentBy(c.b, r)(context.Background(), c.domain, w)
		if err != nil || got != c.want || len(r.asked) != c.asked {
			t.Errorf("%s: %+v, asked about %v (%v)", name, got, r.asked, err)
		}
		if c.asked > 0 && r.window != (store.Window{Begin: c.want.Since, End: w.End}) {
			t.Errorf("%s: reports of %v", name, r.window)
		}
	}
}
