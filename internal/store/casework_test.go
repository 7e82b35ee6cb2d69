package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/report/aggregate"
)

func TestSayings(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openTest(t, dir)
	nets := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/48")}
	before := s.StateVersion()
	put := func(w Saying) Saying {
		t.Helper()
		w, err := s.PutSaying(ctx, w)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	a := put(Saying{Domain: "A.example.", Key: "org:okuru.example", Source: "x", Class: "aligned", By: " Suzuki ", Networks: nets, Identities: []string{"okuru.example"}})
	b := put(Saying{Domain: "a.example", Key: "net:192.0.2.0/24", Class: "spoof", Name: "塔", Note: "x"})
	c := put(Saying{Domain: "a.example", Key: "org:okuru.example", Class: "", By: "田中"})
	put(Saying{Domain: "b.example", Key: "own"})
	got, err := s.Sayings(ctx, "a.EXAMPLE")
	if err != nil {
		t.Fatal(err)
	}
	if want := []Saying{c, b, a}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if w := put(Saying{Domain: "e.example", Key: " k ", Name: "a\r\nBcc: b@c.example", Note: "two\nlines"}); w.Key != " k " || w.Name != "a Bcc: b@c.example" || w.Note != "two\nlines" {
		t.Errorf("kept as %+v", w)
	}
	if a.By != "Suzuki" || a.Domain != "a.example" || a.At.IsZero() {
		t.Errorf("kept as %+v", a)
	}
	if v := s.StateVersion(); v != before+5 {
		t.Errorf("version %d, want %d", v, before+5)
	}
	if s.DomainStateVersion("a.example") != before+3 || s.DomainStateVersion("B.example") != before+4 || s.DomainStateVersion("c.example") != before {
		t.Error("versions by domain")
	}
	for _, w := range []Saying{
		{Key: "x"}, {Domain: "a.example"}, {Domain: strings.Repeat("a", 254), Key: "x"},
		{Domain: "a.example", Key: "x", Note: strings.Repeat("語", NoteMost+1)}, {Domain: "a.example", Key: "x", Name: strings.Repeat("n", NameMost+1)},
		{Domain: "a.example", Key: "x", Networks: []netip.Prefix{{}}},
	} {
		if _, err := s.PutSaying(ctx, w); err == nil {
			t.Errorf("took %.80v", w)
		}
	}
	put(Saying{Domain: "a.example", Key: "x", Note: strings.Repeat("語", NoteMost)})
	for i := range sayingsMost + 5 {
		put(Saying{Domain: "d.example", Key: "k", Note: fmt.Sprint(i)})
	}
	if got, err := s.Sayings(ctx, "d.example"); err != nil || len(got) != sayingsMost || got[0].Note != fmt.Sprint(sayingsMost+4) {
		t.Errorf("%d words kept, %v", len(got), err)
	}

	version := s.StateVersion()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir)
	if s.StateVersion() != version {
		t.Errorf("version %d after opening again, want %d", s.StateVersion(), version)
	}
}

func TestDepartments(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	events, err := s.PutDepartment(ctx, Department{Name: " 観光課　Events ", Contact: "events@city.example"})
	if err != nil || events.Name != "観光課 Events" {
		t.Fatal(events, err)
	}
	if _, err := s.PutDepartment(ctx, Department{Name: "観光課 EVENTS"}); err == nil {
		t.Error("a name twice")
	}
	if _, err := s.PutDepartment(ctx, Department{}); err == nil {
		t.Error("no name")
	}
	if _, err := s.PutDepartment(ctx, Department{ID: 99, Name: "x"}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	events.Note = "third floor"
	if got, err := s.PutDepartment(ctx, events); err != nil || got != events {
		t.Error(got, err)
	}
	tax, err := s.PutDepartment(ctx, Department{Name: "Tax"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Departments(ctx); err != nil || !reflect.DeepEqual(got, []Department{tax, events}) {
		t.Error(got, err)
	}

	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for _, a := range []Assignment{
		{Department: tax.ID, Domain: "city.example", At: at},
		{Department: events.ID, Domain: "city.example", Key: "org:okuru.example", By: "x", At: at},
		{Department: events.ID, Domain: "city.example", Subdomain: "Events.city.example", At: at},
		{Department: tax.ID, Domain: "tax.example", At: at},
		{Department: events.ID, Domain: "tax.example", At: at},
	} {
		if err := s.Assign(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Assign(ctx, Assignment{Department: 99, Domain: "city.example"}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	v := s.StateVersion()
	if err := s.Assign(ctx, Assignment{Domain: "nothing.example"}); err != nil || s.StateVersion() != v {
		t.Error("taking back what was not there:", err)
	}
	want := []Assignment{
		{tax.ID, "city.example", "", "", "", at},
		{events.ID, "city.example", "events.city.example", "", "", at},
		{events.ID, "city.example", "", "org:okuru.example", "x", at},
	}
	if got, err := s.Assignments(ctx, "city.example"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}

	hash := sha256.Sum256([]byte("token"))
	share, err := s.PutShare(ctx, Share{Department: events.ID, Hash: hash, Expires: at.AddDate(0, 1, 0), By: "me"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.TouchShare(ctx, share.ID, at); err != nil {
		t.Fatal(err)
	}
	share.Revoked, share.LastUsed = at, at
	if got, err := s.PutShare(ctx, share); err != nil || got != share {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := s.ShareByHash(ctx, hash); err != nil || got != share {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := s.ShareByHash(ctx, [32]byte{1}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if got, err := s.Shares(ctx, 0); err != nil || len(got) != 1 {
		t.Error(got, err)
	}
	if _, err := s.PutShare(ctx, Share{Department: events.ID, Hash: hash}); err == nil {
		t.Error("a link that does not expire")
	}

	c, err := s.PutCase(ctx, Case{Domain: "city.example", Key: "k", State: CaseFound, Department: events.ID})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveDepartment(ctx, events.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveDepartment(ctx, events.ID); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if got, err := s.Assignments(ctx, ""); err != nil || len(got) != 1 {
		t.Error(got, err)
	}
	if got, err := s.Shares(ctx, events.ID); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	got, err := s.Case(ctx, c.ID)
	if err != nil || got.Department != 0 || !got.Changed.After(c.Changed) {
		t.Error(got, err)
	}
	if e, err := s.CaseEvents(ctx, c.ID); err != nil || len(e) != 1 || e[0].Kind != "department" || e[0].From != events.Name {
		t.Error(e, err)
	}
}

func TestCases(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	at := time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)
	in := Case{Domain: "City.example", Key: "org:okuru.example", Source: "id", Name: "okuru.example", State: CaseFound, Failing: 1<<64 - 1, Messages: 1<<64 - 1,
		LastDay: 20000, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Identities: []string{"okuru.example"}, Facts: []byte(`{"a":1}`)}
	c, err := s.PutCase(ctx, in, CaseEvent{Kind: "opened", At: at})
	if err != nil {
		t.Fatal(err)
	}
	if c.ID == 0 || c.Domain != "city.example" || !c.Changed.Equal(at) {
		t.Errorf("kept as %+v", c)
	}
	if got, err := s.Case(ctx, c.ID); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, c)
	}
	second := in
	second.State, second.Name = CaseDone, "other"
	if got, err := s.PutCase(ctx, second, CaseEvent{Kind: "opened"}); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("the second gave %+v, %v", got, err)
	}

	next := c
	next.State, next.Facts, next.Fixed = CaseWaiting, nil, 20001
	next, err = s.PutCase(ctx, next, CaseEvent{By: "鈴木", Kind: "state", From: "found", To: "waiting-for-proof", Text: "they say so"}, CaseEvent{By: "鈴木", Kind: "note", Text: "x"})
	if err != nil || !next.Changed.After(c.Changed) {
		t.Fatal(next, err)
	}
	if got, err := s.Case(ctx, c.ID); err != nil || string(got.Facts) != `{"a":1}` || got.State != CaseWaiting {
		t.Errorf("got %+v, %v", got, err)
	}
	if fixed, err := s.Fixed(ctx, "city.example"); err != nil || !reflect.DeepEqual(fixed, map[string]Day{"org:okuru.example": 20001}) {
		t.Error(fixed, err)
	}
	c.Owner = "too late"
	if _, err := s.PutCase(ctx, c, CaseEvent{Kind: "owner"}); !errors.Is(err, ErrConflict) {
		t.Errorf("a change of what has changed: %v", err)
	}
	events, err := s.CaseEvents(ctx, c.ID)
	if err != nil || len(events) != 3 || events[1].By != "鈴木" || !events[2].At.Equal(next.Changed) {
		t.Errorf("events %+v, %v", events, err)
	}
	next.Failing, next.Proof, next.Facts = 0, 40, []byte("{}")
	version := s.StateVersion()
	if err := s.PutCaseFigures(ctx, []Case{{ID: 999, Domain: "x.example", Key: "k"}, next}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Case(ctx, c.ID); err != nil || !reflect.DeepEqual(got, next) || s.StateVersion() != version {
		t.Errorf("got %+v, %v\nwant %+v", got, err, next)
	}
	if err := s.NoteCase(ctx, c.ID, at, CaseEvent{Kind: "reminder", To: "a@b.example"}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Case(ctx, c.ID); err != nil || !got.Changed.Equal(next.Changed) || !got.Reminded.Equal(at) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := s.NoteCase(ctx, 77, at); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	for _, bad := range []Case{{Domain: "a.example", Key: "k"}, {Domain: "a.example", State: CaseFound}, {Key: "k", State: CaseFound},
		{Domain: "a.example", Key: "k", State: CaseFound, Facts: make([]byte, factsMost+1)}, {Domain: "a.example", Key: "k", State: CaseFound, Due: -1},
		{ID: 77, Domain: "a.example", Key: "k", State: CaseFound}} {
		if _, err := s.PutCase(ctx, bad); err == nil {
			t.Errorf("took %.100v", bad)
		}
	}
	if _, err := s.Case(ctx, 77); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// Of many who change a case at once, each as he read it, one succeeds.
func TestCaseConflicts(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	c, err := s.PutCase(ctx, Case{Domain: "a.example", Key: "k", State: CaseFound})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 8 {
		wg.Go(func() {
			c := c
			c.Owner = fmt.Sprint(i)
			_, err := s.PutCase(ctx, c, CaseEvent{By: c.Owner, Kind: "owner", To: c.Owner})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if e, err := s.CaseEvents(ctx, c.ID); won != 1 || len(e) != 1 || err != nil {
		t.Errorf("%d won, %d events, %v", won, len(e), err)
	}
}

func TestCaseLists(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	d, err := s.PutDepartment(ctx, Department{Name: "d"})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)
	for i, c := range []Case{
		{Domain: "a.example", Key: "1", Name: "one", State: CaseFound, Owner: "X", Failing: 5},
		{Domain: "a.example", Key: "2", Name: "two 100%", State: CaseDone, Due: 100, Department: d.ID},
		{Domain: "b.example", Key: "1", Name: "three", State: CaseContacted, Due: 100, Failing: 9},
		{Domain: "b.example", Key: "2", Name: "four", State: CaseContacted, Due: 200, Owner: "x", Failing: 7},
	} {
		if _, err := s.PutCase(ctx, c, CaseEvent{Kind: "opened", At: at.Add(time.Duration(i) * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		f     CaseFilter
		p     Page
		want  string
		total int64
	}{
		{CaseFilter{}, Page{}, "four three two 100% one", 4},
		{CaseFilter{}, Page{Limit: 1, Offset: 1}, "three", 4},
		{CaseFilter{}, Page{Offset: 9}, "", 4},
		{CaseFilter{}, Page{Sort: "due"}, "two 100% three four one", 4},
		{CaseFilter{}, Page{Sort: "failing", Desc: true}, "three four one two 100%", 4},
		{CaseFilter{Domain: "B.example"}, Page{Sort: "id"}, "three four", 2},
		{CaseFilter{Department: d.ID}, Page{}, "two 100%", 1},
		{CaseFilter{States: []CaseState{CaseContacted, CaseDone, CaseDone}}, Page{Sort: "id"}, "two 100% three four", 3},
		{CaseFilter{}, Page{Sort: "urgent"}, "three two 100% four one", 4},
		{CaseFilter{Domain: "b.example", Key: "2"}, Page{}, "four", 1},
		{CaseFilter{Due: 101}, Page{}, "three", 1},
		{CaseFilter{Owner: "x"}, Page{Sort: "id"}, "one four", 2},
		{CaseFilter{}, Page{Search: "0%"}, "two 100%", 1},
		{CaseFilter{}, Page{Search: "B.EX", Sort: "id"}, "three four", 2},
	} {
		got, total, err := s.Cases(ctx, c.f, c.p)
		var names []string
		for _, g := range got {
			names = append(names, g.Name)
		}
		if s := strings.Join(names, " "); err != nil || s != c.want || total != c.total {
			t.Errorf("%+v %+v: %q of %d, %v; want %q of %d", c.f, c.p, s, total, err, c.want, c.total)
		}
	}
	if got, err := s.CaseOwners(ctx); err != nil || len(got) != 1 {
		t.Errorf("owners %q, %v", got, err)
	}
	if _, _, err := s.Cases(ctx, CaseFilter{}, Page{Sort: "id; DROP TABLE work"}); err == nil {
		t.Error("sorted by anything")
	}
}

func TestObserve(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	day := func(n int) time.Time { return time.Date(2026, 5, n, 3, 0, 0, 0, time.UTC) }
	look := func(n int, value string) []ObservedChange {
		t.Helper()
		c, err := s.Observe(ctx, []Observation{{Domain: "a.example", Name: "_dmarc.a.example", Kind: "dmarc", Value: value, To: day(n)}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := look(1, "v=DMARC1; p=none"); len(c) != 1 || !c[0].Before.To.IsZero() {
		t.Errorf("first: %+v", c)
	}
	if c := look(2, "v=DMARC1; p=none"); c != nil {
		t.Errorf("same: %+v", c)
	}
	if c := look(4, ""); len(c) != 1 || c[0].Before.Value != "v=DMARC1; p=none" || !c[0].Before.To.Equal(day(2)) || !c[0].After.From.Equal(day(4)) {
		t.Errorf("gone: %+v", c)
	}
	if c := look(3, "old news"); c != nil {
		t.Errorf("older: %+v", c)
	}
	look(5, "v=DMARC1; p=none")
	got, err := s.Observations(ctx, "a.example", "dmarc", 0)
	want := []Observation{
		{"a.example", "_dmarc.a.example", "dmarc", "v=DMARC1; p=none", day(5), day(5)},
		{"a.example", "_dmarc.a.example", "dmarc", "", day(4), day(4)},
		{"a.example", "_dmarc.a.example", "dmarc", "v=DMARC1; p=none", day(1), day(2)},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := s.Observations(ctx, "a.example", "", 1); err != nil || len(got) != 1 {
		t.Error(got, err)
	}
	if got, err := s.Observations(ctx, "a.example", "spf", 0); err != nil || got != nil {
		t.Error(got, err)
	}
	for _, o := range []Observation{{Name: "a", Kind: "mx"}, {Domain: "a", Kind: "mx"}, {Domain: "a", Name: "a", Kind: "mx", Value: strings.Repeat("x", valueMost+1)},
		{Domain: "a", Name: "a", From: day(2), To: day(1)}} {
		if _, err := s.Observe(ctx, []Observation{o}); err == nil {
			t.Errorf("took %.80v", o)
		}
	}
}

func TestHappenings(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	day := func(n int) time.Time { return time.Date(2026, 5, n, 3, 0, 0, 0, time.UTC) }
	in := []Happening{
		{Domain: "a.example", At: day(1), Kind: "dns", Key: "1", Step: []byte(`{"code":"x"}`)},
		{Domain: "a.example", At: day(3), Kind: "fixed", Key: "1"},
		{Domain: "a.example", At: day(9), Kind: "dns", Key: "1"},
		{Domain: "b.example", At: day(2), Kind: "dns", Key: "1"},
	}
	for i, want := range []int{3, 0} {
		if n, err := s.Happen(ctx, in); err != nil || n != want {
			t.Fatalf("pass %d: %d new, %v; want %d", i, n, err, want)
		}
	}
	read := func(domain string, since time.Time, limit int) (out string) {
		t.Helper()
		h, err := s.Happenings(ctx, domain, since, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range h {
			out += fmt.Sprintf("%s/%s@%d ", e.Domain, e.Kind, e.At.Day())
		}
		return out
	}
	if got, want := read("a.example", time.Time{}, 0), "a.example/fixed@3 a.example/dns@1 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := read("", day(2), 0), "a.example/fixed@3 b.example/dns@2 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := read("", time.Time{}, 1), "a.example/fixed@3 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := s.Happen(ctx, []Happening{{Domain: "a.example", Step: make([]byte, stepMost+1)}}); err == nil {
		t.Error("took a step without measure")
	}
}

func TestNames(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	day := func(n int) time.Time { return time.Date(2026, 5, n, 0, 0, 0, 0, time.UTC) }
	n, err := s.PutNames(ctx, []KnownName{
		{"a.example", "WWW.a.example.", "zone", "a.zone", day(3), day(3)},
		{"a.example", "mail.a.example", "zone", "a.zone", day(3), day(3)},
		{"a.example", "www.a.example", "certificates", "ct.json", day(1), day(2)},
		{"a.example", "www.a.example", "zone", "b.zone", day(2), day(5)},
	})
	if err != nil || n != 3 {
		t.Fatal(n, err)
	}
	if n, err := s.PutNames(ctx, []KnownName{{"a.example", "www.a.example", "zone", "old.zone", day(4), day(4)}}); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	var got []KnownName
	read := func(n KnownName) error { got = append(got, n); return nil }
	if err := s.Names(ctx, "A.example", read); err != nil {
		t.Fatal(err)
	}
	want := []KnownName{
		{"a.example", "mail.a.example", "zone", "a.zone", day(3), day(3)},
		{"a.example", "www.a.example", "certificates", "ct.json", day(1), day(2)},
		{"a.example", "www.a.example", "zone", "b.zone", day(2), day(5)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	stop := errors.New("stop")
	if err := s.Names(ctx, "a.example", func(KnownName) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	if _, err := s.PutNames(ctx, []KnownName{{Domain: "a.example"}}); err == nil {
		t.Error("took no name")
	}
	if n, err := s.RemoveNames(ctx, "a.example", "zone"); err != nil || n != 2 {
		t.Error(n, err)
	}
}

func TestAuthors(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	begin := DayOf(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::25")
	put := func(domain, org, id string, day Day, days int, recs ...aggregate.Record) {
		t.Helper()
		var rows Rows
		for i := range recs {
			rows.Add(&recs[i])
		}
		_, err := s.Put(ctx, []*Incoming{{Rows: &rows, Report: aggregate.Report{
			Metadata:        aggregate.Metadata{OrgName: org, ReportID: id, Begin: day.Time(), End: (day + Day(days)).Time().Add(-time.Second)},
			PolicyPublished: aggregate.PolicyPublished{Domain: domain, P: "none"},
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	all := Window{begin, begin + 10}
	put("a.example", "r", "1", begin, 1, aggregate.Record{SourceIP: one, Count: 5, DKIM: true, HeaderFrom: "A.example"}, aggregate.Record{SourceIP: one, Count: 3, HeaderFrom: "x.a.example"})
	if got, err := s.SourceDomains(ctx, []netip.Addr{one, two}, all); err != nil || got[one] != 1 {
		t.Error(got, err)
	}
	put("a.example", "q", "2", begin+2, 3, aggregate.Record{SourceIP: two, Count: 7, HeaderFrom: "a.example"})
	put("b.example", "q", "3", begin+2, 1, aggregate.Record{SourceIP: two, Count: 7, HeaderFrom: "b.example"})

	names := func(w Window, limit int) (out []AuthorTotals, total int64) {
		t.Helper()
		total, err := s.AuthorNames(ctx, "a.example", w, limit, func(a AuthorTotals) error { out = append(out, a); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return out, total
	}
	classes := func(yield func(netip.Addr, ClassRow) bool) {
		_ = yield(netip.Addr{}, ClassRow{Class: "spoof"}) && yield(two, ClassRow{Class: "broken"})
	}
	if err := s.SetClasses(ctx, "a.example", classes); err != nil {
		t.Fatal(err)
	}
	want := []AuthorTotals{
		{Name: "a.example", Messages: 12, Failing: 7, Broken: 7, FirstDay: begin, LastDay: begin + 4, LastAligned: begin, Reporters: 2},
		{Name: "x.a.example", Messages: 3, Failing: 3, Spoof: 3, FirstDay: begin, LastDay: begin, Reporters: 1},
	}
	if got, total := names(all, 0); !reflect.DeepEqual(got, want) || total != 2 {
		t.Errorf("got %+v of %d", got, total)
	}
	if got, total := names(all, 1); !reflect.DeepEqual(got, want[:1]) || total != 2 {
		t.Errorf("one: got %+v of %d", got, total)
	}
	if got, _ := names(Window{begin + 3, begin + 4}, 0); len(got) != 1 || got[0].Messages != 2 || got[0].FirstDay != begin+3 || got[0].LastDay != begin+3 {
		t.Errorf("a day: got %+v", got)
	}
	days, err := s.AuthorDaily(ctx, "a.example", "A.example", all)
	if err != nil || len(days) != 4 || days[0] != (DayTotals{Day: begin, Messages: 5, Aligned: 5}) || days[3] != (DayTotals{Day: begin + 4, Messages: 3}) {
		t.Errorf("days %+v, %v", days, err)
	}
	if got, err := s.SourceDomains(ctx, []netip.Addr{one, two, netip.MustParseAddr("192.0.2.9")}, all); err != nil || !reflect.DeepEqual(got, map[netip.Addr]int{one: 1, two: 2}) {
		t.Error(got, err)
	}
	if got, err := s.SourceDomains(ctx, []netip.Addr{two}, Window{begin, begin + 1}); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	if _, err := s.SourceDomains(ctx, make([]netip.Addr, sourceDomainsMost+1), all); err == nil {
		t.Error("too many addresses: no error")
	}
	if n, err := s.AuthorNames(ctx, "none.example", all, 0, nil); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// A folder made before there was casework opens, with what was in it.
func TestCaseworkMigration(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "state.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, stateSchema+"; PRAGMA user_version = 1; INSERT INTO setting VALUES ('k', 'v')"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, dir)
	if v, ok, err := s.Setting(ctx, "k"); v != "v" || !ok || err != nil {
		t.Error(v, ok, err)
	}
	if _, err := s.PutSaying(ctx, Saying{Domain: "a.example", Key: "k"}); err != nil {
		t.Error(err)
	}
}
