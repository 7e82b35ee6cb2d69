package outbox

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/explain"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, dir string) *Box {
	t.Helper()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func add(t testing.TB, b *Box, day, policy string, ds ...Delivery) int64 {
	t.Helper()
	id, err := b.Add(context.Background(), Report{Day: day, Policy: policy, Domain: policy + ".example", ReportID: day + "-" + policy,
		File: filepath.Join(day, policy+".xml.gz"), Filename: "x!" + policy + ".xml.gz", Messages: 1 << 40, Made: noon}, ds)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func waiting(address string) Delivery {
	return Delivery{URI: "mailto:" + address, Address: address, Host: "example.com", State: Waiting,
		Reason: explain.Step{Code: "reporter.too-many-for-host", Args: explain.Args{"host": "h", "limit": int64(100)}}}
}

// TestOnce: a day and a policy have one report, whoever enters it.
func TestOnce(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	b, other := open(t, dir), open(t, dir)
	add(t, b, "2026-11-21", "a", waiting("x@example.com"), waiting("x@example.com"), waiting("y@example.com"))
	add(t, b, "2026-11-20", "a")
	if _, err := other.Add(ctx, Report{Day: "2026-11-21", Policy: "a", Made: noon}, nil); !errors.Is(err, ErrExists) {
		t.Errorf("%v", err)
	}
	list, err := other.List(ctx, Filter{})
	if err != nil || len(list) != 2 || len(list[0].Deliveries) != 2 || list[0].Messages != 1<<40 {
		t.Fatalf("%v %+v", err, list)
	}
	d := list[0].Deliveries[0]
	if d.Reason.Args["limit"] != int64(100) || !d.First.IsZero() || !d.State.Open() {
		t.Errorf("%+v", d)
	}
	if n, err := b.ToHost(ctx, "2026-11-21", "example.com"); n != 2 || err != nil {
		t.Error(n, err)
	}
	if _, there, err := b.Report(ctx, "2026-11-21", "b"); there || err != nil {
		t.Error(there, err)
	}
}

// TestDue: what waits, in its time.
func TestDue(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	b := open(t, dir)
	add(t, b, "2026-11-21", "a", waiting("a@example.com"), waiting("b@example.com"), waiting("c@example.com"), waiting("d@example.com"))
	due := func(now time.Time) string {
		t.Helper()
		list, err := b.Due(ctx, now, 8*time.Hour, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		var s []string
		for _, d := range list {
			s = append(s, d.Address[:1])
		}
		return strings.Join(s, "")
	}
	if got := due(noon); got != "abcd" {
		t.Error(got)
	}
	if err := errors.Join(
		b.Done(ctx, 1, noon),
		b.Later(ctx, 2, noon, noon.Add(5*time.Minute), "451 later\r\nplease\x00"+strings.Repeat("é", 2000)),
		b.End(ctx, 3, Refused, explain.Step{Code: "x"}, noon, "550 no"),
		b.Later(ctx, 4, noon, noon.Add(40*24*time.Hour), "the clock was wrong")); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]string{noon: "d", noon.Add(5 * time.Minute): "bd", {}: "bd", noon.Add(40*24*time.Hour - 9*time.Hour): "bd",
		noon.Add(40*24*time.Hour - 7*time.Hour): "b"} {
		if got := due(at); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
	list, err := b.List(ctx, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	ds := list[0].Deliveries
	if ds[0].State != Sent || ds[0].Attempts != 1 || !ds[0].Ended.Equal(noon) || ds[1].First != noon || !strings.HasPrefix(ds[1].Error, "451 later  please \u00e9") ||
		len(ds[1].Error) > maxError+4 || ds[2].State != Refused || ds[2].Attempts != 1 {
		t.Errorf("%+v", ds)
	}
	counts, err := b.Counts(ctx)
	if err != nil || counts[Waiting] != 2 || counts[Sent] != 1 || counts[Refused] != 1 {
		t.Errorf("%v %v", counts, err)
	}
}

// TestResolve: an unverified destination becomes what it turns out to be, once.
func TestResolve(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	b := open(t, dir)
	u := waiting("mailto:a@example.com")
	u.State = Unverified
	add(t, b, "2026-11-21", "a", u, waiting("b@example.com"))
	for range 2 {
		if err := b.Resolve(ctx, 1, []Delivery{waiting("b@example.com"), waiting("c@example.com")}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := b.List(ctx, Filter{})
	if err != nil || len(list[0].Deliveries) != 2 || list[0].Deliveries[1].Address != "c@example.com" {
		t.Errorf("%v %+v", err, list)
	}
}

// TestDays: a day that was made stays made.
func TestDays(t *testing.T) {
	ctx := context.Background()
	b := open(t, t.TempDir())
	for _, step := range []struct{ mark, want DayState }{{"", ""}, {DayOff, DayOff}, {DayMade, DayMade}, {DayOff, DayMade}} {
		if step.mark != "" {
			if err := b.MarkDay(ctx, "2026-11-21", step.mark, noon); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := b.DayState(ctx, "2026-11-21"); got != step.want || err != nil {
			t.Errorf("after %q: %q %v", step.mark, got, err)
		}
	}
}

// TestReader: without an outbox there is nothing; then what there is.
func TestReader(t *testing.T) {
	dir, ctx := filepath.Join(t.TempDir(), "gateway"), context.Background()
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if list, n, err := r.Reports(ctx, Filter{}); len(list) != 0 || n != 0 || err != nil {
		t.Error(list, n, err)
	}
	if _, err := r.Report(ctx, "x"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("reading made a folder")
	}
	b := open(t, dir)
	add(t, b, "2026-11-21", "a", waiting("x@example.com"))
	add(t, b, "2026-11-20", "b", waiting("y@example.net"))
	if err := os.Mkdir(filepath.Join(dir, Folder, "2026-11-21"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.Path("2026-11-21/a.xml.gz"), []byte("frozen"), 0o600); err != nil {
		t.Fatal(err)
	}
	for f, want := range map[Filter]string{{}: "a b", {Limit: 1}: "a", {Limit: 1, Offset: 1}: "b", {Day: "2026-11-20"}: "b", {Domain: "a.example"}: "a",
		{Text: "Y@"}: "b", {Text: "2026-11-21-A"}: "a", {State: Waiting}: "a b", {State: Sent}: "", {Open: true, Text: "example"}: "a b", {Text: "%"}: ""} {
		list, n, err := r.Reports(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range list {
			got = append(got, e.Policy)
		}
		if s := strings.Join(got, " "); s != want || f.Limit == 0 && n != int64(len(list)) {
			t.Errorf("%+v: %q of %d, want %q", f, s, n, want)
		}
	}
	gz, name, err := r.Open(ctx, "2026-11-21-a")
	if err != nil {
		t.Fatal(err)
	}
	defer gz.Close()
	if text, err := io.ReadAll(gz); string(text) != "frozen" || err != nil || name != "x!a.xml.gz" {
		t.Error(text, err, name)
	}
	if _, _, err := r.Open(ctx, "2026-11-20-b"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

// TestLock: one at a time, also within a process.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	release, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("%v", err)
	}
	release()
	release, err = Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	release()
}

// TestLaterVersion: a file of a newer program is left alone.
func TestLaterVersion(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	if _, err := b.db.Exec("PRAGMA user_version = 9"); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("%v", err)
	}
}
