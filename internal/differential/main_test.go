package differential

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
)

var (
	cases = flag.Int("cases", 20_000, "generated cases of each kind")
	seed  = flag.Uint64("seed", 1, "seed of the generated cases; the keys are new on every run")
	show  = flag.Int("show", 12, "unexplained disagreements printed in full")
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(insideEnv); dir != "" {
		os.Exit(inside(dir))
	}
	os.Exit(m.Run())
}

// amount is how many cases of a kind are generated.
func amount() int {
	if testing.Short() {
		return min(*cases, 2000)
	}
	return *cases
}

// random is the source of one case: it does not depend on the others.
func random(kind string, n int) *rand.Rand {
	h := *seed
	for i := range len(kind) {
		h = h*31 + uint64(kind[i])
	}
	return rand.New(rand.NewPCG(h, uint64(n)))
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

// each calls do for 0 … n-1 on all cores.
func each(n int, do func(int)) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	next := 0
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n {
					return
				}
				do(i)
			}
		})
	}
	wg.Wait()
}

// verdict is what a program said of a case: a class that programs can be
// compared by, and its own words.
type verdict struct {
	class  string // "pass", "fail", "invalid", "none", "temporary"
	detail string
}

func (v verdict) String() string {
	if v.detail == "" {
		return v.class
	}
	return v.class + " (" + v.detail + ")"
}

// rule explains one kind of disagreement.
type rule[C any] struct {
	name string
	ref  string // the clause that settles it
	why  string
	is   func(C) bool
}

// table counts agreements and disagreements; it is for one goroutine.
type table[C any] struct {
	rules       []rule[C]
	all, agreed map[string]int // by our class
	counts      map[string]int // by rule
	unexplained int
}

func newTable[C any](rules []rule[C]) *table[C] {
	return &table[C]{rules: rules, all: map[string]int{}, agreed: map[string]int{}, counts: map[string]int{}}
}

// judge enters a case. The first rule that fits a disagreement explains it.
func (tb *table[C]) judge(t *testing.T, c C, ours verdict, agree bool, describe func() string) {
	t.Helper()
	tb.all[ours.class]++
	if agree {
		tb.agreed[ours.class]++
		return
	}
	for _, r := range tb.rules {
		if r.is(c) {
			tb.counts[r.name]++
			return
		}
	}
	tb.unexplained++
	if tb.unexplained <= *show {
		t.Errorf("unexplained disagreement:\n%s", describe())
	}
}

// report prints the table, and fails where something is left over.
func (tb *table[C]) report(t *testing.T, title string) {
	t.Helper()
	var b strings.Builder
	total, agreed := 0, 0
	for _, n := range tb.all {
		total += n
	}
	for _, n := range tb.agreed {
		agreed += n
	}
	fmt.Fprintf(&b, "%s: %d cases, %d agreed", title, total, agreed)
	for _, class := range []string{"pass", "fail", "invalid", "none", "temporary", "quarantine", "reject"} {
		if tb.all[class] > 0 {
			fmt.Fprintf(&b, ", ours %s %d", class, tb.all[class])
		}
	}
	b.WriteString("\n")
	for _, r := range tb.rules {
		fmt.Fprintf(&b, "  %6d  %-34s %s [%s]\n", tb.counts[r.name], r.name, r.why, r.ref)
	}
	fmt.Fprintf(&b, "  %6d  unexplained", tb.unexplained)
	t.Log(b.String())
	if tb.unexplained > 0 {
		t.Errorf("%s: %d disagreements that no rule explains", title, tb.unexplained)
	}
}
