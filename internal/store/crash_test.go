package store

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The import that is killed: some batches of small reports, a large streamed
// one, and small ones again.
const (
	crashSmall  = 900
	crashBatch  = 30
	crashLarge  = 400_000
	crashLargeN = 8192
)

func crashLargeReport() *Incoming {
	r := testReport("large.example", "receiver.example", "large", 3, 5)
	return &Incoming{Report: r, Raw: Raw{Encoding: Gzip, Bytes: bytes.Repeat([]byte("large"), 10000)}, Origin: Origin{1, "large", ""}}
}

// crashImport is the import. What is there already must be there whole; how
// many were there is returned. phase is told what comes next.
func crashImport(s *Store, all []stored, phase func(string)) (resumed int, err error) {
	ctx := context.Background()
	put := func(part []stored) error {
		for len(part) > 0 {
			n := min(crashBatch, len(part))
			var in []*Incoming
			for _, r := range part[:n] {
				in = append(in, r.incoming())
			}
			out, err := s.Put(ctx, in)
			if err != nil {
				return err
			}
			for i, o := range out {
				if o.Duplicate != o.Resumed || o.Rows != int64(len(part[i].records)) || o.Messages != in[i].Rows.Messages() {
					return fmt.Errorf("outcome %+v of %+v", o, in[i].Report)
				}
				if o.Resumed {
					resumed++
				}
			}
			part = part[n:]
		}
		return nil
	}
	phase("small")
	if err := put(all[:len(all)/2]); err != nil {
		return resumed, err
	}
	phase("large")
	large := crashLargeReport()
	t, err := s.Begin(ctx, large.Report)
	if err != nil {
		return resumed, err
	}
	for i := 0; i < crashLarge; i += crashLargeN {
		if err := t.Append(testRows(i, min(crashLargeN, crashLarge-i))); err != nil {
			return resumed, err
		}
	}
	phase("commit")
	o, err := t.Commit(ctx, *large)
	if err != nil {
		return resumed, err
	}
	if o.Rows != crashLarge || o.Duplicate != o.Resumed {
		return resumed, fmt.Errorf("outcome of the large one: %+v", o)
	}
	if o.Resumed {
		resumed++
	}
	phase("last")
	return resumed, put(all[len(all)/2:])
}

// TestMain lets the test run itself as the process that is killed or measured.
func TestMain(m *testing.M) {
	if rows, err := strconv.Atoi(os.Getenv("STORE_TEST_LARGE")); err == nil {
		if err := largeImport(os.Getenv("STORE_TEST_DIR"), rows); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv("STORE_TEST_SURVEY"); dir != "" {
		if err := killSurvey(dir, os.Stdout); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	dir := os.Getenv("STORE_TEST_IMPORT")
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := Open(context.Background(), dir, Options{})
	if err == nil {
		if _, err = crashImport(s, crashReports(), func(p string) { fmt.Println(p) }); err == nil {
			err = s.Close()
		}
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("done")
	os.Exit(0)
}

func crashReports() []stored { return randomStored(rand.New(rand.NewPCG(9, 9)), crashSmall) }

// totals is everything about a store that an interrupted import could spoil.
func totals(t testing.TB, s *Store) string {
	t.Helper()
	var out bytes.Buffer
	for _, q := range []string{
		"SELECT count(*), count(DISTINCT seq), sum(n)::BIGINT, sum(hash(* COLUMNS(* EXCLUDE (seq, dom, org))))::VARCHAR FROM record",
		"SELECT count(*), count(DISTINCT (org, domain, report_id)), sum(rows)::BIGINT, sum(messages)::VARCHAR FROM report",
		"SELECT count(*), count(DISTINCT seq), sum(messages)::BIGINT, sum(aligned)::VARCHAR FROM report_day",
		"SELECT (SELECT count(*) FROM policy_domain), (SELECT count(DISTINCT name) FROM policy_domain), (SELECT count(*) FROM reporter), (SELECT count(DISTINCT name) FROM reporter)::VARCHAR",
		// Each record's report is there, filed under the same names, and each report has all of its records.
		`SELECT count(*), coalesce(sum(r.n <> p.rows)::BIGINT, 0), coalesce(sum(p.m <> r.m)::BIGINT, 0), '' FROM
			(SELECT seq, count(*) AS n, sum(n) AS m, any_value(dom) AS dom, any_value(org) AS org FROM record GROUP BY seq) r
			FULL JOIN (SELECT p.seq, rows, messages AS m, d.id AS dom, o.id AS org FROM report p LEFT JOIN policy_domain d ON d.name = p.domain LEFT JOIN reporter o ON o.name = p.org_name) p
			ON r.seq = p.seq AND r.dom = p.dom AND r.org = p.org`,
	} {
		var a, b, c int64
		var d string
		if err := s.conn.QueryRowContext(context.Background(), q).Scan(&a, &b, &c, &d); err != nil {
			t.Fatal(err, q)
		}
		fmt.Fprintln(&out, a, b, c, d)
	}
	var n, rows int64
	if err := s.state.QueryRow("SELECT count(*), sum(rows) FROM accepted").Scan(&n, &rows); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&out, "accepted", n, rows)
	return out.String()
}

// damaged lists the reports whose records are not all there.
func damaged(t testing.TB, s *Store) string {
	t.Helper()
	rows, err := s.conn.QueryContext(context.Background(), `SELECT coalesce(p.seq, r.seq), coalesce(p.domain, ''), coalesce(p.rows, 0), coalesce(r.n, 0), coalesce(p.messages, 0)::BIGINT, coalesce(r.m, 0)::BIGINT, coalesce(r.first, 0), coalesce(r.last, 0)
		FROM report p FULL JOIN (SELECT seq, count(*) AS n, sum(n) AS m, min(rowid) AS first, max(rowid) AS last FROM record GROUP BY seq) r ON r.seq = p.seq
		WHERE p.rows IS DISTINCT FROM r.n OR p.messages IS DISTINCT FROM r.m ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out strings.Builder
	for rows.Next() {
		var seq, want, have, messages, counted, first, last int64
		var domain string
		if err := rows.Scan(&seq, &domain, &want, &have, &messages, &counted, &first, &last); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "report %d of %s: %d rows of %d, %d messages of %d, in table rows %d to %d; ", seq, domain, have, want, counted, messages, first, last)
	}
	return out.String()
}

// TestKill9 kills an import at random moments, runs it again, and wants what
// an undisturbed one gives: no report lost, none twice, none in part.
func TestKill9(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 3
	}
	if n, err := strconv.Atoi(os.Getenv("SEKIMORI_KILLS")); err == nil {
		kills = n
	}
	all := crashReports()
	took := map[string]time.Duration{}
	var phases []string
	start := time.Now()
	mark := func(p string) {
		if n := len(phases); n > 0 {
			took[phases[n-1]] = time.Since(start)
		}
		phases, start = append(phases, p), time.Now()
	}
	calm := openTest(t, t.TempDir())
	if _, err := crashImport(calm, all, mark); err != nil {
		t.Fatal(err)
	}
	mark("end")
	want := totals(t, calm)
	calm.Close()
	t.Logf("undisturbed: %v\n%s", took, want)

	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	moments := map[string]int{}
	for i := range kills {
		dir := t.TempDir()
		var at []string
		for range 1 + r.IntN(3) { // some are killed more than once
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "STORE_TEST_IMPORT="+dir)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			phase := phases[r.IntN(len(phases)-1)]
			at = append(at, phase)
			lines := bufio.NewScanner(out)
			for lines.Scan() && lines.Text() != phase {
				if strings.HasPrefix(lines.Text(), "error") {
					t.Fatalf("kill %d: %s", i, lines.Text())
				}
			}
			time.Sleep(time.Duration(r.Int64N(int64(took[phase]))))
			cmd.Process.Kill()
			cmd.Wait()
		}
		s, err := Open(context.Background(), dir, Options{})
		if err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		resumed, err := crashImport(s, all, func(string) {})
		if err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		switch {
		case resumed == 0:
			moments["before anything"]++
		case resumed < crashSmall/2:
			moments["in the first small ones"]++
		case resumed == crashSmall/2:
			moments["in the large one"]++
		case resumed <= crashSmall:
			moments["in the last small ones"]++
		default:
			moments["after everything"]++
		}
		if got := totals(t, s); got != want {
			t.Errorf("kill %d (at %s; %d reports were there):\n%s\nwant\n%s\ndamaged: %s\nasked again:\n%s", i, at, resumed, got, want, damaged(t, s), totals(t, s))
		}
		for _, seq := range []int64{1, s.DataVersion()} {
			if x, _, err := s.Raw(context.Background(), seq); err != nil {
				t.Errorf("kill %d: raw of %d: %v", i, seq, err)
			} else {
				x.Close()
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		os.RemoveAll(dir)
	}
	t.Log("killed", moments)
}

// TestTornCommit cuts the log of a large transaction off at its very end, where
// a kill may cut it, as no test of random kills would soon do: nothing of the
// transaction is there then, nor comes back when it is run again.
func TestTornCommit(t *testing.T) {
	const rows = 130_000 // more than a row group of DuckDB's
	ctx := context.Background()
	dir := t.TempDir()
	log := func(dir string) string { return filepath.Join(dir, "reports.duckdb.wal") }
	small := crashReports()[:30]
	run := func(s *Store) {
		t.Helper()
		var in []*Incoming
		for _, r := range small {
			in = append(in, r.incoming())
		}
		if _, err := s.Put(ctx, in); err != nil {
			t.Fatal(err)
		}
		large := crashLargeReport()
		w, err := s.Begin(ctx, large.Report)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < rows; i += crashLargeN {
			if err := w.Append(testRows(i, min(crashLargeN, rows-i))); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Commit(ctx, *large); err != nil {
			t.Fatal(err)
		}
	}
	s := openTest(t, dir)
	run(s)
	want := totals(t, s)
	whole, err := os.Stat(log(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int64{1, 8, 20, 40, 500, 2000} {
		torn := t.TempDir()
		if err := os.CopyFS(torn, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(log(torn), whole.Size()-cut); err != nil {
			t.Fatal(err)
		}
		for range 2 { // killed, and once more before it did anything
			o, err := Open(ctx, torn, Options{})
			if err != nil {
				t.Fatalf("cut by %d: %v", cut, err)
			}
			if d := damaged(t, o); d != "" || o.DataVersion() != int64(len(small)) {
				t.Errorf("cut by %d: %d reports; %s", cut, o.DataVersion(), d)
			}
			again := t.TempDir()
			if err := os.CopyFS(again, os.DirFS(torn)); err != nil {
				t.Fatal(err)
			}
			o.Close()
			torn = again
		}
		o, err := Open(ctx, torn, Options{})
		if err != nil {
			t.Fatalf("cut by %d: %v", cut, err)
		}
		run(o)
		if got := totals(t, o); got != want {
			t.Errorf("cut by %d:\n%s\nwant\n%s", cut, got, want)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKillMaking kills a process that makes a new data folder: the next one
// finds a folder that it can open.
func TestKillMaking(t *testing.T) {
	for i := range 8 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STORE_TEST_IMPORT="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		// What a process leaves that dies in the very middle of it.
		if i%2 == 0 {
			if err := os.WriteFile(filepath.Join(dir, "reports.duckdb.new"), []byte("half of it"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Open(context.Background(), dir, Options{})
		if err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		s.Close()
	}
}
