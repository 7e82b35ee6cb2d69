package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func packedSamples() []packed {
	r := rand.New(rand.NewPCG(1, 1))
	var out []packed
	for i := range 20 {
		p := packed{no: int64(i*i + 1), unanswered: i%2 == 0, retry: i%3 == 0, questions: int64(i), attempts: 1, at: stamp(testDay), took: 5, codec: uint32(i % 3),
			doc: bytes.Repeat([]byte{byte(i)}, r.IntN(300))}
		p.yes[0], p.not[1] = r.Uint64(), r.Uint64()
		for k := range i % 4 {
			p.codes = append(p.codes, Code{"spf", "error", fmt.Sprint("spf.", k)})
		}
		out = append(out, p)
	}
	return out
}

// A journal gives what was written, up to where it was cut off or damaged.
func TestJournal(t *testing.T) {
	all := packedSamples()
	file := []byte(journalMagic)
	ends := []int{len(file)}
	for i := range all {
		file = appendFrame(file, &all[i])
		ends = append(ends, len(file))
	}
	read := func(b []byte) []packed {
		t.Helper()
		var out []packed
		if err := readJournal(bytes.NewReader(b), func(p packed) error { out = append(out, p); return nil }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	whole := func(n int) int {
		k := 0
		for k+1 < len(ends) && ends[k+1] <= n {
			k++
		}
		return k
	}
	for n := range len(file) + 1 {
		got := read(file[:n])
		if want := whole(n); len(got) != want || want > 0 && !samePacked(got[want-1], all[want-1]) {
			t.Fatalf("cut at %d: %d results, want %d", n, len(got), want)
		}
	}
	for n := range file {
		bad := bytes.Clone(file)
		bad[n] ^= 0x41
		if got := read(bad); len(got) > whole(n) {
			t.Fatalf("damaged at %d: %d results, want %d", n, len(got), whole(n))
		}
	}
	if err := readJournal(bytes.NewReader(file), func(packed) error { return io.ErrClosedPipe }); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func samePacked(a, b packed) bool {
	if len(a.doc) == 0 {
		a.doc = nil
	}
	if len(b.doc) == 0 {
		b.doc = nil
	}
	return reflect.DeepEqual(a, b)
}

func FuzzJournal(f *testing.F) {
	var file []byte
	for _, p := range packedSamples() {
		f.Add(appendPayload(nil, &p))
		file = appendFrame(file, &p)
	}
	f.Add(append([]byte(journalMagic), file...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := readJournal(bytes.NewReader(b), func(packed) error { return nil }); err != nil {
			t.Error(err)
		}
		p, err := parsePayload(b)
		if err != nil {
			return
		}
		again, err := parsePayload(appendPayload(nil, &p))
		if err != nil || !samePacked(p, again) {
			t.Errorf("%+v became %+v, %v", p, again, err)
		}
	})
}

// The survey that is killed.
const (
	killEntries = 6000
	killFacts   = 5
	killPutters = 20
)

// killResult is the result that the process that is killed puts for an entry.
func killResult(no, attempt int64) Result {
	r := randomResult(rand.New(rand.NewPCG(uint64(no), uint64(attempt))), no, killFacts)
	r.Attempts = attempt
	return r
}

// killSurvey surveys what is pending and then all entries over again, and says
// on out what was put, when it was put.
func killSurvey(dir string, out io.Writer) error {
	ctx := context.Background()
	s, err := Open(ctx, dir, Options{Memory: 64 << 20})
	if err != nil {
		return err
	}
	sw, err := s.Surveying(ctx, 1)
	if err != nil {
		return err
	}
	type job struct{ no, attempt int64 }
	jobs := make(chan job)
	errs := make(chan error, killPutters)
	var say sync.Mutex
	var wg sync.WaitGroup
	for range killPutters {
		wg.Go(func() {
			for j := range jobs {
				if err := sw.Put(killResult(j.no, j.attempt)); err != nil {
					errs <- err
					return
				}
				say.Lock()
				fmt.Fprintln(out, j.no, j.attempt)
				say.Unlock()
			}
		})
	}
	fmt.Fprintln(out, "begin")
	for after := int64(0); ; {
		p, err := s.Pending(ctx, 1, after, 100)
		if err != nil {
			return err
		}
		if len(p) == 0 {
			break
		}
		for _, e := range p {
			after = e.No
			select {
			case jobs <- job{e.No, 1}:
			case err := <-errs:
				return err
			}
		}
	}
	for no := int64(1); no <= killEntries; no++ {
		select {
		case jobs <- job{no, 2}:
		case err := <-errs:
			return err
		}
	}
	close(jobs)
	wg.Wait()
	if err := sw.Close(ctx); err != nil {
		return err
	}
	return s.Close()
}

// TestSurveyKill9 kills a survey at random moments: every result whose Put
// returned is there afterwards, once, as it was put or as a later attempt gave
// it, and is not pending.
func TestSurveyKill9(t *testing.T) {
	kills := 12
	if testing.Short() {
		kills = 2
	}
	if n, err := strconv.Atoi(os.Getenv("SEKIMORI_KILLS")); err == nil {
		kills = n
	}
	ctx := context.Background()
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	var lost, found, journals int
	for kill := 0; kill < kills; {
		dir := t.TempDir()
		s := openTest(t, dir)
		w := &world{spec: WaveSpec{Name: "w", Digest: "d", Facts: testFacts(killFacts)}}
		for i := range killEntries {
			w.entries = append(w.entries, Entry{No: int64(i + 1), Domain: fmt.Sprintf("d%d.example", i), Name: "n"})
		}
		w.start(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		put := map[int64]int64{} // the last attempt whose Put returned
		for range 4 {            // the same wave several times
			if kill++; kill > kills {
				break
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "STORE_TEST_SURVEY="+dir)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for lines.Scan() && lines.Text() != "begin" {
				t.Log(lines.Text())
			}
			wait := time.Duration(r.Int64N(int64(400 * time.Millisecond)))
			timer := time.AfterFunc(wait, func() { cmd.Process.Kill() })
			for lines.Scan() {
				var no, attempt int64
				if n, _ := fmt.Sscan(lines.Text(), &no, &attempt); n == 2 {
					put[no] = max(put[no], attempt)
				} else if strings.Contains(lines.Text(), "error") {
					t.Error(lines.Text())
				}
			}
			timer.Stop()
			cmd.Wait()
			left, _ := filepath.Glob(filepath.Join(dir, "survey", "*"))
			journals += len(left)

			s, err := Open(ctx, dir, Options{})
			if err != nil {
				t.Fatalf("kill %d: %v", kill, err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "survey", "*")); len(left) > 0 {
				t.Errorf("journals after opening: %v", left)
			}
			var rows, distinct int
			if err := s.conn.QueryRowContext(ctx, "SELECT count(*), count(DISTINCT no) FROM survey_result").Scan(&rows, &distinct); err != nil || rows != distinct {
				t.Fatalf("kill %d: %d results for %d entries; %v", kill, rows, distinct, err)
			}
			there := map[int64]bool{}
			err = s.EachSurveyRow(ctx, 1, func(x *SurveyRow) error {
				no := x.Entry.No
				if x.Result.No == 0 {
					if put[no] > 0 {
						lost++
						t.Errorf("kill %d: result for %d is lost", kill, no)
					}
					return nil
				}
				there[no] = true
				found++
				want := w.row(x.Entry)
				want.Result = killResult(no, x.Result.Attempts)
				want.Result.Codes = distinctCodes(want.Result.Codes)
				if x.Result.Attempts < put[no] || !reflect.DeepEqual(want.Result, x.Result) {
					t.Errorf("kill %d: %d: %+v, want at least attempt %d", kill, no, x.Result, put[no])
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for after := int64(0); ; {
				p, err := s.Pending(ctx, 1, after, 1000)
				if err != nil {
					t.Fatal(err)
				}
				if len(p) == 0 {
					break
				}
				for _, e := range p {
					after = e.No
					if there[e.No] {
						t.Fatalf("kill %d: %d is pending and has a result", kill, e.No)
					}
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d kills, %d journals left behind, %d results read back, %d lost", kills, journals, found, lost)
}

// A folder of the first schema gains the tables of surveys and keeps its
// reports; results in the journal of a wave that is gone do no harm.
func TestMigrateToSurveys(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openTest(t, dir)
	putAll(t, s, randomStored(rand.New(rand.NewPCG(2, 2)), 30), 10)
	before := totals(t, s)
	for _, q := range []string{"DROP TABLE survey_wave", "DROP TABLE survey_entry", "DROP TABLE survey_result", "DROP TABLE survey_code", "DROP TABLE survey_dictionary", "DROP TABLE survey_mail",
		"DROP TABLE dkim_selector", "DROP TABLE selector_mark", "DROP SEQUENCE survey_wave_id", "DROP SEQUENCE survey_dictionary_id", "DELETE FROM schema_version WHERE version > 1"} {
		if _, err := s.conn.ExecContext(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "survey")); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir)
	if after := totals(t, s); after != before {
		t.Errorf("%s\nwant\n%s", after, before)
	}
	if waves, err := s.Waves(ctx); err != nil || len(waves) != 0 {
		t.Errorf("%v, %v", waves, err)
	}
	w := randomWorld(rand.New(rand.NewPCG(2, 2)), "w", 20, 3)
	w.start(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p := packed{no: 1}
	if err := os.WriteFile(filepath.Join(dir, "survey", "99.journal"), appendFrame([]byte(journalMagic), &p), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir)
	if left, _ := filepath.Glob(filepath.Join(dir, "survey", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	w.check(t, s, 1)
}
