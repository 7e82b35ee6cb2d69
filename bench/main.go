// Command bench measures what the program promises, beside the software a user
// would otherwise choose, in one run on one machine. "make bench" builds the
// program and runs it; README.md says what is measured and how.
//
//	go run ./bench                        everything, about ten minutes
//	go run ./bench -parts import          only the import of reports
//	go run ./bench -parts queries -rows 1000000
//	go run ./bench -parts advise          only advice about a large domain
//	go run ./bench -parts verify          only the checking of messages
//	go run ./bench -parts survey          only the survey of many domains
//	go run ./bench -parts gateway         only the milter
//	go run ./bench -parts soak -soak 1h   the milter for an hour at half of its load
//
// Exit status: 0 when every bar is met, 1 when one is missed, 2 when something
// could not be measured. Other programs that are not there are left out with a
// message; with SEKIMORI_REQUIRE=all that counts as not measured.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	program string // path of the program
	work    string // folder for inputs and data folders
	rounds  int    // each import is measured so often; the median counts
	rows    int    // of the queries part
	soaking time.Duration
	fresh   bool // make the inputs anew
	require bool // a missing peer is a failure
	result  result
}

// result is what is written to results.json.
type result struct {
	Time     time.Time `json:"time"`
	Go       string    `json:"go"`
	CPU      string    `json:"cpu"`
	Cores    int       `json:"cores"`
	Load     string    `json:"load"` // /proc/loadavg before the run
	Figures  []figure  `json:"figures"`
	Bars     []bar     `json:"bars"`
	Skipped  []string  `json:"skipped,omitempty"`
	Duration float64   `json:"duration_seconds"`
}

// figure is something measured.
type figure struct {
	Part   string    `json:"part"`
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Value  float64   `json:"value"`            // the median, or the percentile that the name says
	Rounds []float64 `json:"rounds,omitempty"` // every round
	Note   string    `json:"note,omitempty"`
}

// bar is a promise and whether it is kept.
type bar struct {
	Name string  `json:"name"`
	Want string  `json:"want"`
	Got  float64 `json:"got"`
	Unit string  `json:"unit"`
	Met  bool    `json:"met"`
	Aim  bool    `json:"aim,omitempty"` // a mark to aim at: missing it is no failure
}

// parts are what -parts chooses from, in the order in which they run.
var parts = [...]struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"parse", (*bench).parse},
	{"import", (*bench).imports},
	{"memory", (*bench).memory},
	{"queries", (*bench).queries},
	{"advise", (*bench).advise},
	{"verify", (*bench).verify},
	{"survey", (*bench).survey},
	{"gateway", (*bench).gateway},
	{"soak", (*bench).soak},
}

func main() {
	os.Exit(run())
}

func run() int {
	b := &bench{require: os.Getenv("SEKIMORI_REQUIRE") == "all"}
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	chosen := flag.String("parts", strings.Join(names, ","), "what to measure")
	flag.StringVar(&b.program, "program", "bin/sekimori", "the program to measure")
	flag.StringVar(&b.work, "work", "bench/work", "folder for inputs and data folders; inputs are kept for the next run")
	flag.IntVar(&b.rounds, "rounds", 3, "how often each import is measured")
	flag.IntVar(&b.rows, "rows", 10_000_000, "stored rows in the queries part")
	flag.DurationVar(&b.soaking, "soak", 0, "how long to keep the gateway under load; 0 leaves that out")
	flag.BoolVar(&b.fresh, "fresh", false, "make the inputs anew")
	out := flag.String("out", "bench/results.json", "file to write the figures to")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	b.result = result{Time: began.UTC(), Go: runtime.Version(), CPU: cpuName(), Cores: runtime.NumCPU(), Load: loadAverage()}
	fmt.Printf("%s, %d cores, load %s, %s\n", b.result.CPU, b.result.Cores, b.result.Load, b.result.Go)

	failed := false
	for _, p := range parts {
		if !slices.Contains(strings.Split(*chosen, ","), p.name) {
			continue
		}
		if err := p.run(b, ctx); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", p.name, err)
			failed = true
			if ctx.Err() != nil {
				break
			}
		}
	}
	b.result.Duration = time.Since(began).Seconds()
	b.print()
	if err := b.write(*out); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		failed = true
	}
	missed := slices.ContainsFunc(b.result.Bars, func(x bar) bool { return !x.Met && !x.Aim })
	switch {
	case failed, b.require && len(b.result.Skipped) > 0:
		return 2
	case missed:
		return 1
	}
	return 0
}

func (b *bench) write(path string) error {
	doc, err := json.MarshalIndent(b.result, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(doc, '\n'), 0o644)
}

// path returns a path in the work folder.
func (b *bench) path(name ...string) string {
	return filepath.Join(append([]string{b.work}, name...)...)
}

// data returns a new, empty data folder's path.
func (b *bench) data(name string) (string, error) {
	dir, err := filepath.Abs(b.path("data-" + name))
	if err != nil {
		return "", err
	}
	return dir, os.RemoveAll(dir)
}

// once makes an input with build unless an earlier run left it. The input is
// complete or not there: build writes to a path that is renamed at the end.
func (b *bench) once(name string, build func(path string) error) (string, error) {
	path := b.path(name)
	if !b.fresh {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	if err := os.MkdirAll(b.work, 0o755); err != nil {
		return "", err
	}
	began := time.Now()
	tmp := path + ".partial"
	if err := errors.Join(os.RemoveAll(tmp), os.RemoveAll(path)); err != nil {
		return "", err
	}
	if err := build(tmp); err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	fmt.Printf("made %s in %.1f s\n", name, time.Since(began).Seconds())
	return path, os.Rename(tmp, path)
}

// add keeps a figure of one or several rounds and says it.
func (b *bench) add(part, name, unit string, rounds []float64, note string) float64 {
	f := figure{Part: part, Name: name, Unit: unit, Value: median(rounds), Note: note}
	if len(rounds) > 1 {
		f.Rounds = rounds
	}
	b.result.Figures = append(b.result.Figures, f)
	return f.Value
}

// atLeast and atMost hold a figure against a promise.
func (b *bench) atLeast(name string, got, want float64, unit string) {
	b.result.Bars = append(b.result.Bars, bar{Name: name, Want: "≥ " + human(want), Got: got, Unit: unit, Met: got >= want})
}

func (b *bench) atMost(name string, got, want float64, unit string) {
	b.result.Bars = append(b.result.Bars, bar{Name: name, Want: "≤ " + human(want), Got: got, Unit: unit, Met: got <= want})
}

func (b *bench) aim(name string, got, want float64, unit string) {
	b.result.Bars = append(b.result.Bars, bar{Name: name, Want: "≥ " + human(want), Got: got, Unit: unit, Met: got >= want, Aim: true})
}

// skip notes that something cannot be measured here.
func (b *bench) skip(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	b.result.Skipped = append(b.result.Skipped, s)
	fmt.Println("left out:", s)
}

// print writes the table.
func (b *bench) print() {
	fmt.Println()
	part := ""
	for _, f := range b.result.Figures {
		if f.Part != part {
			part = f.Part
			fmt.Printf("-- %s\n", part)
		}
		rounds := ""
		if len(f.Rounds) > 1 {
			lo, hi := slices.Min(f.Rounds), slices.Max(f.Rounds)
			rounds = fmt.Sprintf("  (%s to %s)", human(lo), human(hi))
		}
		fmt.Printf("%-66s %12s %-10s%s", f.Name, human(f.Value), f.Unit, rounds)
		if f.Note != "" {
			fmt.Printf("  %s", f.Note)
		}
		fmt.Println()
	}
	if len(b.result.Bars) > 0 {
		fmt.Println("-- bars")
	}
	for _, x := range b.result.Bars {
		verdict := "met"
		switch {
		case !x.Met && x.Aim:
			verdict = "not reached (a mark to aim at)"
		case !x.Met:
			verdict = "MISSED"
		}
		fmt.Printf("%-66s %12s %-10s  %s: %s\n", x.Name, human(x.Got), x.Unit, x.Want, verdict)
	}
	for _, s := range b.result.Skipped {
		fmt.Println("left out:", s)
	}
	fmt.Printf("took %.0f s\n", b.result.Duration)
}

// human writes a number with three or more significant digits.
func human(v float64) string {
	switch {
	case v >= 1000:
		s := fmt.Sprintf("%.0f", v)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func median(v []float64) float64 { return percentile(v, 50) }

// percentile is the nearest-rank percentile, the mean of two for the median
// of an even number.
func percentile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if p == 50 && len(s)%2 == 0 {
		return (s[len(s)/2-1] + s[len(s)/2]) / 2
	}
	rank := int(float64(len(s))*p/100+0.999999) - 1
	return s[max(0, min(rank, len(s)-1))]
}

func cpuName() string {
	raw, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(raw)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

func loadAverage() string {
	raw, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(raw))
	if len(f) == 0 {
		return "unknown"
	}
	return f[0]
}
