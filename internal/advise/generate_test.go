package advise

import (
	"os"
	"strconv"
	"testing"

	"sekimori/internal/worlds"
)

// TestGenerated judges advice on worlds of our own making. "make judge" does
// the same with more of them and the real store.
func TestGenerated(t *testing.T) {
	n := uint64(30)
	if testing.Short() {
		n = 8
	}
	if s := os.Getenv("SEKIMORI_WORLDS"); s != "" {
		v, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			t.Fatalf("SEKIMORI_WORLDS: %v", err)
		}
		n = v
	}
	made := make([]*worlds.World, n)
	for i := range made {
		made[i] = worlds.Make(uint64(i + 1))
	}
	for _, offline := range []bool{false, true} {
		t.Run(map[bool]string{false: "dns", true: "offline"}[offline], func(t *testing.T) {
			total := &worlds.Judgement{}
			for _, w := range made {
				_, _, j := judged(t, w, inMemory(w), offline)
				total.Add(j)
			}
			t.Logf("%s\nfound %d of %d, verdicts right %d of %d", total, total.Found, total.Broken, total.Verdicts, total.Worlds)
			if testing.Verbose() {
				for _, m := range total.Missed {
					t.Log(m)
				}
			}
			// Without host names some cannot be told apart; then harm must be rare.
			allowed := 0
			if offline {
				allowed = int(n) / 20
			}
			if total.FalseReady > allowed || total.Lost > allowed || total.SpoofOurs*20 > total.Spoofed {
				t.Error("harm done")
			}
			found := 85 // percent; a few worlds may hold more hard ones than many
			if offline {
				found = 70
			}
			if total.Found*100 < total.Broken*found || total.IndirectOK*5 < total.Indirect*4 || !offline && total.Verdicts*100 < total.Worlds*90 {
				t.Error("targets missed")
			}
		})
	}
}
