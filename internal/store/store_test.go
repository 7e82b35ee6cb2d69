package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/report/aggregate"
)

// The writer reads a private field of the driver. This fails when a version
// of the driver has another; nativeConn says what to look for.
func TestNativeConn(t *testing.T) {
	s := openTest(t, t.TempDir())
	if s.native.Ptr == nil {
		t.Fatal("no handle")
	}
	if _, err := nativeConn("a string"); err == nil {
		t.Error("took a string for a connection")
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	if _, err := Open(context.Background(), dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("opened twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := s.Domains(context.Background(), Window{}); !errors.Is(err, ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if _, err := s.Put(context.Background(), []*Incoming{{Rows: &Rows{}}}); !errors.Is(err, ErrClosed) {
		t.Errorf("wrote after Close: %v", err)
	}
	again, err := Open(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openTest(t, dir)
	putAll(t, s, randomStored(rand.New(rand.NewPCG(1, 1)), 3), 3)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		// DuckDB makes its log anew as it likes; the folder's mode covers it.
		if i.Mode().Perm()&0o077 != 0 && !strings.HasSuffix(path, ".wal") {
			t.Errorf("%s has mode %v", path, i.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDuplicates(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openTest(t, dir)
	all := randomStored(rand.New(rand.NewPCG(7, 7)), 20)
	putAll(t, s, all, 20)
	before := totals(t, s)
	version := s.DataVersion()

	in := func(i int, o Origin) *Incoming { n := all[i].incoming(); n.Origin = o; return n }
	upper := all[0].incoming()
	upper.Report.Metadata.OrgName = strings.ToUpper(upper.Report.Metadata.OrgName)
	out, err := s.Put(ctx, []*Incoming{all[3].incoming(), in(4, Origin{2, "elsewhere", ""}), in(4, Origin{2, "again", ""}), upper})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Outcome{{Seq: 4, Duplicate: true, Resumed: true}, {Seq: 5, Duplicate: true}, {Seq: 5, Duplicate: true}, {Seq: 1, Duplicate: true, Resumed: true}} {
		if out[i].Seq != want.Seq || out[i].Duplicate != want.Duplicate || out[i].Resumed != want.Resumed || out[i].Rows == 0 {
			t.Errorf("outcome %d: %+v, want %+v", i, out[i], want)
		}
	}
	// The same new report twice in one batch.
	fresh := randomStored(rand.New(rand.NewPCG(8, 8)), 1)[0]
	fresh.report.Metadata.ReportID = "fresh"
	out, err = s.Put(ctx, []*Incoming{fresh.incoming(), fresh.incoming()})
	if err != nil || out[0].Duplicate || !out[1].Duplicate || out[0].Seq != 21 || out[1].Seq != 21 {
		t.Errorf("%+v, %v", out, err)
	}
	if o, ok, err := s.Seen(ctx, KeyOf(fresh.report)); err != nil || !ok || o.Seq != 21 || o.Rows != int64(len(fresh.records)) {
		t.Errorf("Seen: %+v, %v, %v", o, ok, err)
	}
	if _, ok, err := s.Seen(ctx, Key{Reporter: "nobody"}); ok || err != nil {
		t.Errorf("Seen: %v, %v", ok, err)
	}
	if s.DataVersion() != version+1 || s.DomainVersion(fresh.report.PolicyPublished.Domain) != 21 {
		t.Errorf("versions %d, %d", s.DataVersion(), s.DomainVersion(fresh.report.PolicyPublished.Domain))
	}
	var again int
	if err := s.state.QueryRow("SELECT again FROM accepted WHERE seq = 5").Scan(&again); err != nil || again != 2 {
		t.Errorf("counted %d duplicates, want 2; %v", again, err)
	}
	if totals(t, s) == before {
		t.Error("totals do not see a new report")
	}
}

func TestConcurrentDuplicates(t *testing.T) {
	s := openTest(t, t.TempDir())
	all := randomStored(rand.New(rand.NewPCG(7, 9)), 30)
	var wg sync.WaitGroup
	var mu sync.Mutex
	stored := 0
	for range 4 {
		wg.Go(func() {
			for _, r := range all {
				out, err := s.Put(context.Background(), []*Incoming{r.incoming()})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Domains(context.Background(), Window{}); err != nil {
					t.Error(err)
				}
				if !out[0].Duplicate {
					mu.Lock()
					stored++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if stored != len(all) {
		t.Errorf("%d of %d reports stored", stored, len(all))
	}
}

func TestStream(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	putAll(t, s, randomStored(rand.New(rand.NewPCG(7, 7)), 5), 5)
	before := totals(t, s)
	rep := testReport("stream.example", "new-receiver.example", "s", 1, 3)
	stream := func() *Stream {
		st, err := s.Begin(ctx, rep)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if err := st.Append(testRows(i*50000, 50000)); err != nil {
				t.Fatal(err)
			}
		}
		return st
	}
	if err := stream().Abort(); err != nil {
		t.Fatal(err)
	}
	if got := totals(t, s); got != before {
		t.Errorf("after Abort:\n%s\nwant\n%s", got, before)
	}

	changed := rep
	changed.PolicyPublished.Domain = "other.example"
	if _, err := stream().Commit(ctx, Incoming{Report: changed}); !errors.Is(err, ErrHeadChanged) {
		t.Errorf("Commit with another head: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := stream().Commit(canceled, Incoming{Report: rep}); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit with a canceled context: %v", err)
	}
	if got := totals(t, s); got != before {
		t.Errorf("after failed commits:\n%s\nwant\n%s", got, before)
	}

	spool, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	fmt.Fprint(spool, "<feedback/>")
	st := stream()
	o, err := st.Commit(ctx, Incoming{Report: rep, Raw: Raw{Encoding: Identity, File: spool, Size: 11}, Origin: Origin{1, "p", ""}})
	if err != nil || o.Seq != 6 || o.Rows != 150000 || o.Duplicate {
		t.Fatalf("%+v, %v", o, err)
	}
	if err := st.Abort(); err != nil {
		t.Error(err)
	}
	if _, err := st.Commit(ctx, Incoming{Report: rep}); err == nil {
		t.Error("committed twice")
	}
	x, name, err := s.Raw(ctx, 6)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(x); err != nil || string(b) != "<feedback/>" || name != "new-receiver.example!stream.example!1788307200!1788566399.xml" {
		t.Errorf("%q, %q, %v", b, name, err)
	}
	x.Close()
	if o, err := stream().Commit(ctx, Incoming{Report: rep, Origin: Origin{2, "q", ""}}); err != nil || !o.Duplicate || o.Resumed || o.Seq != 6 || o.Rows != 150000 {
		t.Errorf("again: %+v, %v", o, err)
	}
	days, err := s.DomainDaily(ctx, "stream.example", Window{})
	var sum uint64
	for _, d := range days {
		sum += d.Messages
	}
	if err != nil || len(days) != 3 || sum != o.Messages {
		t.Errorf("days %v, %v; want %d messages", days, err, o.Messages)
	}
}

// A repair after SQLite's file is lost, or is from before a crash, or from
// after an older copy of DuckDB's file was put back.
func TestRepair(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	all := randomStored(rand.New(rand.NewPCG(11, 7)), 30)
	s := openTest(t, dir)
	putAll(t, s, all[:20], 7)
	s.Close()
	old, err := os.ReadFile(filepath.Join(dir, "reports.duckdb"))
	if err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir)
	putAll(t, s, all[20:], 7)
	want := totals(t, s)
	s.Close()
	for name, spoil := range map[string]func(){
		"state lost":       func() { os.Remove(filepath.Join(dir, "state.sqlite")) },
		"older reports":    func() { os.WriteFile(filepath.Join(dir, "reports.duckdb"), old, 0o600) },
		"torn end of pack": func() { appendTo(t, filepath.Join(dir, "raw", "0001.pack"), "SKMR torn") },
	} {
		spoil()
		s := openTest(t, dir)
		for _, r := range all { // whatever is there is a duplicate, the rest is taken
			if _, err := s.Put(ctx, []*Incoming{r.incoming()}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if got := totals(t, s); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
		for seq := range all {
			x, _, err := s.Raw(ctx, int64(seq+1))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			x.Close()
		}
		s.Close()
	}
}

func appendTo(t *testing.T, path, text string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString(text)
}

func TestFailedPutLeavesNothing(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openTest(t, dir)
	all := randomStored(rand.New(rand.NewPCG(12, 7)), 10)
	putAll(t, s, all[:5], 5)
	before := totals(t, s)
	if _, err := s.conn.ExecContext(ctx, "ALTER TABLE report_day RENAME TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, []*Incoming{all[6].incoming()}); err == nil {
		t.Fatal("stored without a table")
	}
	if _, err := s.conn.ExecContext(ctx, "ALTER TABLE elsewhere RENAME TO report_day"); err != nil {
		t.Fatal(err)
	}
	if got := totals(t, s); got != before {
		t.Errorf("%s\nwant\n%s", got, before)
	}
	putAll(t, s, all[5:], 5)
	for seq := range all {
		if x, _, err := s.Raw(ctx, int64(seq+1)); err != nil {
			t.Error(err)
		} else {
			x.Close()
		}
	}
}

func TestBadText(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	bad := "\xff\xfe bad \x00 text that is long enough"
	rep := testReport("bad.example", "org\xff", "id\xff", 0, 1)
	rep.Metadata.Begin = time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)
	rep.Metadata.End = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
	rep.PolicyPublished.P = strings.Repeat("nonsense", 9)
	rows := &Rows{}
	rows.Add(&aggregate.Record{Count: 1<<64 - 1, HeaderFrom: bad, Disposition: "unheard of", DKIMResults: []aggregate.DKIMResult{{Domain: bad, Selector: bad, Result: bad, HumanResult: bad}}})
	rows.Add(&aggregate.Record{Count: 1<<64 - 1, SourceIP: netip.MustParseAddr("fe80::1%eth0")})
	in := &Incoming{Report: rep, Rows: rows}
	if out, err := s.Put(ctx, []*Incoming{in}); err != nil || out[0].Messages != 1<<64-1 {
		t.Fatal(out, err)
	}
	got, n, err := s.Records(ctx, 1, Page{})
	if err != nil || n != 2 || got[0].Record.DKIMResults[0].Domain != "\uFFFD bad \x00 text that is long enough" || got[0].Record.SourceIP.IsValid() || got[0].Record.Disposition != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.Report(ctx, 1); err != nil {
		t.Error(err)
	}
	if d, err := s.Domains(ctx, Window{}); err != nil || len(d) != 1 || d[0].Messages != 1<<64-1 {
		t.Errorf("%+v, %v", d, err)
	}
	if err := s.Evidence(ctx, "bad.example", Window{}, Window{}, func(SourceRow) error { return nil }); err != nil {
		t.Error(err)
	}
	if out, err := s.Put(ctx, []*Incoming{in}); err != nil || !out[0].Duplicate {
		t.Error(out, err)
	}
	// Its key comes out the same when it is computed from the tables.
	if _, err := s.state.Exec("DELETE FROM accepted"); err != nil {
		t.Fatal(err)
	}
	if err := s.repair(ctx); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Put(ctx, []*Incoming{in}); err != nil || !out[0].Duplicate {
		t.Error(out, err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	if _, err := s.state.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(context.Background(), dir, Options{}); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("opened a newer schema: %v", err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "state.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(fmt.Sprintf("PRAGMA user_version = %d", len(stateMigrations))); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(context.Background(), dir, Options{}); err != nil {
		t.Errorf("the lock stayed: %v", err)
	} else {
		s.Close()
	}
}
