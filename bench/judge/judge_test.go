package main

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"sekimori/internal/store"
	"sekimori/internal/worlds"
)

// TestRun judges a few worlds and reads what is printed.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("imports worlds into DuckDB")
	}
	st, err := store.Open(t.Context(), t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	j := &judging{options: options{seed: 11, worlds: 2, calibrate: true, shapes: true}, store: st, dir: t.TempDir()}
	if err := j.gather(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rounds []*round
	for _, offline := range []bool{true, false} {
		r, err := j.ask(t.Context(), offline)
		if err != nil {
			t.Fatal(err)
		}
		if r.total.Worlds != 2 || len(r.samples) == 0 {
			t.Errorf("%d worlds, %d samples", r.total.Worlds, len(r.samples))
		}
		rounds = append(rounds, r)
	}
	o := j.outcome(rounds, 0)
	var b bytes.Buffer
	o.print(&b, j, rounds)
	for line := range strings.Lines(b.String()) {
		// The constants are lines of a program.
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 && !strings.HasPrefix(line, "\t") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{"2 worlds, seeds 11 to 12", "1 worlds imported from archives", "broken sources found (no DNS)", "verdicts right", "byForward"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestCalibration(t *testing.T) {
	var list []worlds.Stated
	for i := range 100 {
		list = append(list, worlds.Stated{Probability: 0.95, Right: i < 85}, worlds.Stated{Probability: 0.55, Right: i < 55})
	}
	e, bins := calibration(list)
	if math.Abs(e-0.05) > 1e-9 || bins[9].n != 100 || bins[5].right != 55 {
		t.Errorf("error %v, %v", e, bins)
	}
	if e, _ = calibration(nil); e != 0 {
		t.Errorf("of nothing: %v", e)
	}
}

// TestRegress: constants that made a sample come out of it again.
func TestRegress(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var list []sample
	for range 1200 {
		x := r.Float64()*12 - 6
		truth := 3
		if r.Float64() < 1/(1+math.Exp(-(0.5+1.2*x))) {
			truth = 1
		}
		list = append(list, sample{"byIdentity", []float64{1, x, 0, 0}, truth})
	}
	k := regress(list)
	if bias, slope := k[1][0]-k[3][0], k[1][1]-k[3][1]; math.Abs(bias-0.5) > 0.25 || math.Abs(slope-1.2) > 0.25 {
		t.Errorf("%v + %v x", bias, slope)
	}
	if regress(nil) != nil {
		t.Error("constants out of nothing")
	}
}

func TestParallel(t *testing.T) {
	boom := context.DeadlineExceeded
	if err := parallel(t.Context(), 50, func(_ context.Context, i int) error {
		if i == 20 {
			return boom
		}
		return nil
	}); err != boom {
		t.Errorf("%v", err)
	}
}
