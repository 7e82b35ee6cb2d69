package advise

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/internal/store"
	"sekimori/internal/worlds"
)

// inMemory puts a world's reports into a store in memory.
func inMemory(w *worlds.World) *memory {
	m := newMemory()
	seen := map[store.Key]bool{}
	for r := range w.Reports() {
		if k := store.KeyOf(r.Report); seen[k] {
			continue // sent twice: the real store keeps one
		} else {
			seen[k] = true
		}
		m.put(r.Report, r.Records)
	}
	return m
}

// judged asks about a world and counts the answer against its truth.
func judged(t *testing.T, w *worlds.World, m *memory, offline bool) (*analysis, *Advice, *worlds.Judgement) {
	t.Helper()
	var r dns.Resolver
	if !offline {
		z, err := w.Resolver()
		if err != nil {
			t.Fatal(err)
		}
		r = z
	}
	adv := New(Config{Store: m, Resolver: r})
	defer adv.Close()
	name := mustName(t, w.Truth.Domain)
	win, newest, err := adv.window(t.Context(), w.Truth.Domain, Question{})
	if err != nil {
		t.Fatal(err)
	}
	n := &analysis{a: adv, ctx: t.Context(), name: name, window: win, newest: newest}
	a, err := n.run()
	if err != nil {
		t.Fatal(err)
	}
	ans := worlds.Answer{Verdict: string(a.Verdict), AtRisk: a.Policies[0].LegitimateAtRisk, Legitimate: a.Policies[0].Legitimate}
	for _, s := range a.Sources {
		x := worlds.Said{Name: s.Name, Class: string(s.Class), Probability: s.Probability, Messages: s.Messages, Failing: s.Failing, Addresses: s.Addresses}
		for _, e := range s.Reasons {
			x.Evidence = append(x.Evidence, e.Code)
		}
		ans.Sources = append(ans.Sources, x)
	}
	return n, a, worlds.Judge(&w.Truth, ans)
}

// TestDev is for work on the rules: SEKIMORI_DEV=FROM-TO prints what is missed.
func TestDev(t *testing.T) {
	span := os.Getenv("SEKIMORI_DEV")
	if span == "" {
		t.Skip("SEKIMORI_DEV")
	}
	lo, hi, _ := strings.Cut(span, "-")
	from, _ := strconv.Atoi(lo)
	to, _ := strconv.Atoi(hi)
	totals := map[bool]*worlds.Judgement{false: {}, true: {}}
	type tally struct{ n, bad int }
	shapes := map[bool]map[string]*tally{false: {}, true: {}}
	for seed := from; seed <= to; seed++ {
		w := worlds.Make(uint64(seed))
		for _, offline := range []bool{false, true} {
			m := inMemory(w)
			_, a, j := judged(t, w, m, offline)
			totals[offline].Add(j)
			for _, x := range w.Truth.Sources {
				if x.Failing30 > 0 {
					k := shapes[offline][x.Shape]
					if k == nil {
						k = &tally{}
						shapes[offline][x.Shape] = k
					}
					k.n++
				}
			}
			for _, x := range j.Missed {
				if k := shapes[offline][x.Shape]; k != nil && x.Failing > 0 {
					k.bad++
				}
				if os.Getenv("SEKIMORI_MISS") != "" && (offline == (os.Getenv("SEKIMORI_MISS") == "offline")) {
					fmt.Printf("MISS %v %s [%s]\n", offline, x, x.Shape)
				}
			}
			if os.Getenv("SEKIMORI_SHOW") != "" && offline == (os.Getenv("SEKIMORI_SHOW") == "offline") {
				show(t, a)
			}
		}
	}
	for _, offline := range []bool{false, true} {
		j := totals[offline]
		fmt.Printf("offline %v\n%s\nfound %d/%d lost %d; spoof ours %d/%d (%.2f%%); fwd %d/%d (%.1f%%); verdicts %d/%d; false ready %d; messages off %d/%d\n", offline, j, j.Found, j.Broken, j.Lost,
			j.SpoofOurs, j.Spoofed, 100*float64(j.SpoofOurs)/float64(max(1, j.Spoofed)), j.IndirectOK, j.Indirect, 100*float64(j.IndirectOK)/float64(max(1, j.Indirect)), j.Verdicts, j.Worlds, j.FalseReady, j.MessagesOff, j.Measured)
		var names []string
		for s := range shapes[offline] {
			names = append(names, s)
		}
		slices.Sort(names)
		for _, s := range names {
			if k := shapes[offline][s]; k.bad > 0 {
				fmt.Printf("  %-32s %d of %d\n", s, k.bad, k.n)
			}
		}
	}
}

// TestReliability: what is said to be so sure is right so often, on worlds that
// the curves were not fitted to.
func TestReliability(t *testing.T) {
	n := uint64(14)
	if testing.Short() {
		n = 5
	}
	type bin struct {
		n, right int
		said     float64
	}
	var bins [3]bin // up to 0.9, up to 0.97, above
	for seed := uint64(7001); seed <= 7000+n; seed++ {
		w := worlds.Make(seed)
		for _, offline := range []bool{false, true} {
			_, a, j := judged(t, w, inMemory(w), offline)
			for _, s := range a.Sources {
				p := s.Probabilities
				if sum := p.Aligned + p.Broken + p.Forwarder + p.Spoof + p.Unknown; sum < 0.999 || sum > 1.001 || s.Probability != p.Of(s.Class) {
					t.Fatalf("%s: %v, %v", s.Name, p, s.Probability)
				}
				for _, c := range Classes {
					if p.Of(c) > s.Probability {
						t.Errorf("seed %d: %s is %s at %.2f, but %s at %.2f", seed, s.Name, s.Class, s.Probability, c, p.Of(c))
					}
				}
				if len(s.For) == 0 && len(s.Against) == 0 || s.Class == Unknown && s.Failing > 0 && s.Question == nil && s.Name != NameRest {
					t.Errorf("seed %d: nothing is said of %s (%s)", seed, s.Name, s.Class)
				}
			}
			for _, x := range j.Sure {
				i := 0
				if x.Probability > 0.9 {
					i++
				}
				if x.Probability > 0.97 {
					i++
				}
				bins[i].n++
				bins[i].said += x.Probability
				if x.Right {
					bins[i].right++
				}
			}
		}
	}
	for _, b := range bins {
		if b.n == 0 {
			continue
		}
		said, right := b.said/float64(b.n), float64(b.right)/float64(b.n)
		t.Logf("said %.3f, right %.3f of %d", said, right, b.n)
		// Three standard deviations, and what other shapes may cost.
		if slack := 0.03 + 3*math.Sqrt(said*(1-said)/float64(b.n)); right < said-slack {
			t.Errorf("said to be %.3f sure, right in %.3f of %d", said, right, b.n)
		}
	}
}
