package verdict

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const kills = 60

// TestMain lets the test run itself as the process that is killed.
func TestMain(m *testing.M) {
	dir := os.Getenv("VERDICT_TEST_DIR")
	if dir == "" {
		os.Exit(m.Run())
	}
	run, _ := strconv.Atoi(os.Getenv("VERDICT_TEST_RUN"))
	if err := gatewayRun(dir, run); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// ledger is what the MTA knows: which messages were begun, and which were
// answered. A line is there before what it says can be forgotten.
type ledger struct {
	begun    int
	answered map[int]bool
}

func readLedger(path string) (ledger, error) {
	l := ledger{answered: map[int]bool{}}
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadString('\n')
		if err == io.EOF {
			return l, nil // what was being written does not matter
		}
		if err != nil {
			return l, err
		}
		what, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		switch what {
		case "begun":
			l.begun = max(l.begun, n+1)
		case "answered":
			l.answered[n] = true
		}
	}
}

// gatewayRun is a gateway between an MTA and the log: it takes messages that
// were not answered before first, then new ones. Run 0 is the last: it takes no
// new ones, and ends.
func gatewayRun(dir string, run int) error {
	path := filepath.Join(dir, "ledger")
	known, err := readLedger(path)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	note := func(what string, n int) {
		fmt.Fprintf(file, "%s %d\n", what, n) // one write
	}
	l, err := Open(filepath.Join(dir, "gateway"), Options{Segment: 32 << 10})
	if err != nil {
		return err
	}
	fmt.Println("open")
	rnd := rand.New(rand.NewPCG(uint64(run), uint64(time.Now().UnixNano())))
	midnight := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	var next atomic.Int64
	next.Store(int64(known.begun))
	work := make(chan int)
	go func() {
		defer close(work)
		for n := range known.begun {
			if !known.answered[n] {
				work <- n
			}
		}
		for run != 0 {
			work <- int(next.Add(1)) - 1
		}
	}()
	var all sync.WaitGroup
	var failed atomic.Value
	for range 8 {
		seed := rnd.Uint64()
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 3))
			for n := range work {
				note("begun", n)
				for {
					e := testEntry(n, midnight.Add(time.Duration(rnd.IntN(40)-20)*time.Hour))
					e.Print = [16]byte{byte(n), byte(n >> 8), byte(n >> 16), 0, 0, 0, 7}
					dice := rnd.IntN(20)
					if dice == 0 {
						e.Action = TryAgain
					}
					r, err := l.Append(e)
					if err != nil {
						failed.Store(err)
						return
					}
					if dice == 1 { // the answer does not get through
						if rnd.IntN(2) == 0 {
							time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
						}
						r.Cancel()
						continue
					}
					if dice == 2 { // the MTA goes away
						r.Leave()
						continue
					}
					if dice == 0 {
						r.Confirm()
						continue
					}
					note("answered", n)
					if rnd.IntN(4) == 0 {
						time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
					}
					r.Confirm()
					break
				}
			}
		})
	}
	if run != 0 {
		go func() {
			for rnd := rand.New(rand.NewPCG(uint64(run), uint64(time.Now().UnixNano()))); ; {
				time.Sleep(time.Duration(rnd.IntN(30)) * time.Millisecond)
				if rnd.IntN(12) == 0 {
					_ = CloseDay(context.Background(), filepath.Join(dir, "gateway"), dayOf(midnight.AddDate(0, 0, rnd.IntN(5)-1)))
					continue
				}
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				_ = l.Flush(ctx)
				cancel()
			}
		}()
	}
	all.Wait()
	if err, ok := failed.Load().(error); ok {
		return err
	}
	if err := l.Flush(context.Background()); err != nil {
		return err
	}
	return l.Close()
}

// Killed at random moments while it appends, moves and closes days, the log
// counts each message of an MTA that tries until it has an answer once; and a
// closed day does not change.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func(run int) (*exec.Cmd, *bufio.Reader) {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "VERDICT_TEST_DIR="+dir, "VERDICT_TEST_RUN="+strconv.Itoa(run))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, bufio.NewReader(out)
	}
	gateway := filepath.Join(dir, "gateway")
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d", seed)
	closed := map[string]int64{}
	reader := readTest(t, gateway)
	var slowest time.Duration
	for run := 1; run <= kills; run++ {
		began := time.Now()
		cmd, out := start(run)
		if line, err := out.ReadString('\n'); line != "open\n" {
			rest, _ := io.ReadAll(out)
			cmd.Process.Kill()
			cmd.Wait()
			t.Fatalf("run %d: %q %s, %v", run, line, rest, err)
		}
		slowest = max(slowest, time.Since(began))
		time.Sleep(time.Duration(rnd.IntN(100_000)) * time.Microsecond)
		if run%4 == 0 { // another process reads meanwhile
			if _, _, err := reader.Find(context.Background(), Query{Sender: "d7.example"}); err != nil {
				t.Error(err)
			}
			if _, err := reader.Days(context.Background()); err != nil {
				t.Error(err)
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		if run%10 == 0 {
			check(t, gateway, closed)
		}
	}
	cmd, out := start(0)
	rest, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("last run: %v: %s", err, rest)
	}
	known, err := readLedger(filepath.Join(dir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	sum := check(t, gateway, closed)
	if sum != int64(known.begun) || len(known.answered) != known.begun {
		t.Errorf("%d messages, %d answered; %d count: %v", known.begun, len(known.answered), sum, totals(t, gateway))
	}
	t.Logf("%d kills, %d messages, closed %v; until open at most %v", kills, known.begun, closed, slowest)
}

// check adds up all days, and sees that closed ones are as they were.
func check(t *testing.T, dir string, closed map[string]int64) (sum int64) {
	t.Helper()
	r := readTest(t, dir)
	days, err := r.Days(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	all := totals(t, dir)
	for _, d := range days {
		sum += all[d.Day]
		was, ok := closed[d.Day]
		if ok && (was != all[d.Day] || !d.Closed) {
			t.Fatalf("%+v: it had %d when it was closed", d, was)
		}
		if d.Closed {
			closed[d.Day] = all[d.Day]
		}
	}
	return sum
}
