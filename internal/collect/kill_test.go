package collect

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/internal/store"
)

// killEnv tells the helper below which data folder and which input to use.
const killEnv = "SEKIMORI_TEST_KILL"

// TestKillHelper is the process that TestKill kills.
func TestKillHelper(t *testing.T) {
	dataDir, in, ok := strings.Cut(os.Getenv(killEnv), "\n")
	if !ok {
		t.Skip("runs only as a child of TestKill")
	}
	s, err := store.Open(context.Background(), dataDir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("begin")
	res, err := New(s).Import(context.Background(), []string{in})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("result %s\n", b)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// killed runs the helper and, where after is not negative, kills it so long
// after it began. It returns the Result if it came that far.
func killed(t *testing.T, dataDir, in string, after time.Duration) (Result, bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillHelper$")
	cmd.Env = append(os.Environ(), killEnv+"="+dataDir+"\n"+in)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var res Result
	done := false
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	var said []string
	for lines.Scan() {
		line := lines.Text()
		said = append(said, line)
		if line == "begin" && after >= 0 {
			time.Sleep(after)
			cmd.Process.Kill()
		}
		if doc, ok := strings.CutPrefix(line, "result "); ok {
			if err := json.Unmarshal([]byte(doc), &res); err != nil {
				t.Fatal(err)
			}
			done = true
		}
	}
	err = cmd.Wait()
	if after < 0 && (err != nil || !done) {
		t.Fatalf("the import failed: %v: %s", err, strings.Join(said, "\n"))
	}
	return res, done
}

// TestKill kills an import at random moments and runs it again: the last
// Result, and what is stored, are those of an undisturbed import.
func TestKill(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 4
	}
	in := mixed(t)
	for i := range 300 {
		writeFile(t, in, fmt.Sprintf("more/%03d.xml.gz", i), gz(reportXML(fmt.Sprintf("more%d", i), 1+i%40)))
	}
	writeFile(t, in, "large2.xml.gz", gz(reportXML("large2", 60_000)))
	var box [][]byte
	for i := range 200 {
		box = append(box, failureReportText(fmt.Sprint(i%150), "192.0.2.7"))
	}
	writeFile(t, in, "failures/box.mbox", mboxed(box...))
	for i := range 40 {
		writeFile(t, in, fmt.Sprintf("failures/%02d.eml", i), failureReportText(fmt.Sprint(140+i), "192.0.2.7"))
	}

	calm := t.TempDir()
	start := time.Now()
	want, _ := killed(t, calm, in, -1)
	took := time.Since(start)
	if want.Reports != 402 || len(want.Rejected) != 12 || want.FailureReports != 180 || want.FailureDuplicates != 60 {
		t.Fatalf("undisturbed: %s", summary(want))
	}

	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewSource(seed))
	dir := t.TempDir()
	n, whole := 0, 0
	for n < kills {
		res, done := killed(t, dir, in, time.Duration(rnd.Int63n(int64(took*2/3))))
		n++
		if done { // it was through: all over again
			whole++
			check(t, calm, want, dir, res)
			dir = t.TempDir()
		}
	}
	res, _ := killed(t, dir, in, -1)
	check(t, calm, want, dir, res)
	t.Logf("%d kills, %d of them too late", n, whole)
}

// check compares two imports into two data folders.
func check(t *testing.T, dirA string, a Result, dirB string, b Result) {
	t.Helper()
	for _, r := range []struct {
		dir string
		res Result
	}{{dirA, a}, {dirB, b}} {
		for i := range r.res.Rejected {
			rel, err := filepath.Rel(r.dir, r.res.Rejected[i].Kept)
			if err == nil && !strings.HasPrefix(rel, "..") {
				r.res.Rejected[i].Kept = rel
			}
		}
	}
	if asJSON(t, a) != asJSON(t, b) {
		t.Errorf("got %s\nwant %s", asJSON(t, b), asJSON(t, a))
	}
	s := openStore(t, dirB)
	defer s.Close()
	heads, n, err := s.Reports(context.Background(), store.ReportFilter{}, store.Page{Limit: 1000})
	var rows int64
	for _, h := range heads {
		rows += h.Rows
	}
	if err != nil || n != a.Reports || rows != a.Rows {
		t.Errorf("%d reports with %d rows stored, %v; want %d, %d", n, rows, err, a.Reports, a.Rows)
	}
	var told int64
	if err := s.Sightings(context.Background(), "city.example", store.Window{End: 1 << 30}, func(store.Sighting) error { told++; return nil }); err != nil || told != a.FailureReports {
		t.Errorf("%d failure reports stored, %v; want %d", told, err, a.FailureReports)
	}
}
