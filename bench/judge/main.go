// Command judge asks the program's advice about organisations of which the
// truth is known, and counts where it is right. "make judge" runs it.
//
//	go run ./bench/judge                       120 generated worlds, under two minutes
//	go run ./bench/judge -seed 5000 -worlds 40
//	go run ./bench/judge -dir ../shared/data/worlds
//	go run ./bench/judge -dump /tmp/worlds -worlds 3
//	go run ./bench/judge -calibrate
//
// The reports of each world go into a real store: those of every tenth world as
// a user imports them, from an archive, the others as the store takes them. The
// answers are worked out twice, first without any DNS, then with the world's
// zone as the resolver.
//
// Exit status: 0 when every bar is met, 1 when one is missed, 2 when something
// could not be judged.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"sekimori/internal/store"
	"sekimori/internal/worlds"
)

// options are the flags.
type options struct {
	seed      uint64
	worlds    int
	offline   bool
	json      bool
	dump      string
	dir       string
	calibrate bool
	missed    bool
	shapes    bool
	archives  bool
}

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the first world; the others follow")
	flag.IntVar(&o.worlds, "worlds", 120, "how many worlds to make")
	flag.BoolVar(&o.offline, "offline", false, "only the answers without DNS")
	flag.BoolVar(&o.json, "json", false, "print one JSON document")
	flag.StringVar(&o.dump, "dump", "", "write the worlds into this `folder` and judge nothing")
	flag.StringVar(&o.dir, "dir", "", "judge the worlds in this `folder` instead")
	flag.BoolVar(&o.calibrate, "calibrate", false, "print how far probabilities hold, and constants fitted to these worlds")
	flag.BoolVar(&o.missed, "missed", false, "list what was judged wrongly")
	flag.BoolVar(&o.shapes, "shapes", false, "list how often each shape of source was judged rightly")
	flag.BoolVar(&o.archives, "archives", false, "import every world from an archive, as a user does")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		code = 2
	}
	os.Exit(code)
}

func run(ctx context.Context, o options) (int, error) {
	if o.dump != "" {
		return 0, dump(o)
	}
	began := time.Now()
	dir, err := os.MkdirTemp("", "judge")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	st, err := store.Open(ctx, filepath.Join(dir, "data"), store.Options{})
	if err != nil {
		return 0, err
	}
	defer st.Close()
	j := &judging{options: o, store: st, dir: dir}
	if err := j.gather(ctx); err != nil {
		return 0, err
	}
	if len(j.cases) == 0 {
		return 0, fmt.Errorf("there are no worlds")
	}
	// Without DNS first: what was looked up stays in the store.
	off, err := j.ask(ctx, true)
	if err != nil {
		return 0, err
	}
	rounds := []*round{off}
	if !o.offline {
		on, err := j.ask(ctx, false)
		if err != nil {
			return 0, err
		}
		rounds = []*round{on, off}
	}
	out := j.outcome(rounds, time.Since(began))
	if o.json {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(out); err != nil {
			return 0, err
		}
	} else {
		out.print(os.Stdout, j, rounds)
	}
	if slices.ContainsFunc(out.Bars, func(b bar) bool { return !b.Met }) {
		return 1, nil
	}
	return 0, nil
}

// dump writes worlds for others to look at.
func dump(o options) error {
	for i := range o.worlds {
		seed := o.seed + uint64(i)
		if err := worlds.Make(seed).Write(filepath.Join(o.dump, fmt.Sprint(seed))); err != nil {
			return err
		}
	}
	return nil
}

// cores is how many worlds are worked on at a time.
func cores() int { return max(1, min(4, runtime.NumCPU())) }
