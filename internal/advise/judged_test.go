package advise

import (
	"fmt"
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
			n, a, j := judged(t, w, m, offline)
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
					printed := 0
					for _, src := range a.Sources {
						if tr := w.Truth.Sources[x.Source]; tr != nil && printed < 3 && string(src.Class) != x.Truth && slices.ContainsFunc(tr.IPs, func(ip string) bool { return slices.Contains(src.Addresses, ip) }) {
							printed++
							var why []string
							for _, g := range n.groups {
								if g.id() == src.ID {
									for _, i := range g.items {
										why = append(why, fmt.Sprint(i.points, " ", i.step.Code, i.step.Args))
									}
									fmt.Printf("   %s %s %s score %.1f reach %.1f p %.2f all %v win %v sig %d fail %d; %+v\n      %s\n", src.Class, src.Key, src.Name, g.score, g.reach, src.Probability, g.all, g.window, g.dkimAligned, g.ourSigFails, g.pattern, strings.Join(why, "\n      "))
								}
							}
						}
					}
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
