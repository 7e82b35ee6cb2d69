package worlds

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sekimori/internal/require"
)

// TestMake: worlds are possible, differ, and are the same again.
func TestMake(t *testing.T) {
	n := uint64(30)
	if testing.Short() {
		n = 6
	}
	begin, shapesSeen, ready := time.Now(), map[string]int{}, 0
	for seed := uint64(1); seed <= n; seed++ {
		w := Make(seed)
		if _, err := w.Resolver(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		records := 0
		for r := range w.Reports() {
			records += len(r.Records)
			if len(r.Records) == 0 {
				t.Errorf("seed %d: a report without records", seed)
			}
		}
		if w.Truth.Ready {
			ready++
		}
		for name, s := range w.Truth.Sources {
			shapesSeen[s.Shape]++
			if s.Messages == 0 || len(s.IPs) == 0 || s.HeaderFrom == "" || s.Failing30 > s.Failing || s.Messages30 > s.Messages {
				t.Errorf("seed %d: %s: %+v", seed, name, s)
			}
			if s.Class == Aligned && s.Failing30*20 > s.Messages30+60 {
				t.Errorf("seed %d: %s is aligned, and fails in %d of %d", seed, name, s.Failing30, s.Messages30)
			}
			if (s.Class == Broken || s.Class == Spoof) && s.Shape != "spoof/replay" && s.Failing == 0 {
				t.Errorf("seed %d: %s is %s, and nothing fails", seed, name, s.Class)
			}
		}
		t.Logf("%d: %s, %s, %d days, %d reports, %d records, %d sources, ready %v, at risk %d of %d", seed, w.Truth.Domain, w.Truth.Kind, w.Truth.Days, len(w.reports), records, len(w.Truth.Sources), w.Truth.Ready, w.Truth.AtRisk, w.Truth.Legitimate)
	}
	t.Logf("%v each, %d ready, %d shapes", time.Since(begin)/time.Duration(n), ready, len(shapesSeen))
	if x, y := Make(3), Make(3); !reflect.DeepEqual(x, y) {
		t.Error("the same seed gives two worlds")
	}
}

// TestShapes: every shape makes what its name says.
func TestShapes(t *testing.T) {
	for i, name := range Shapes() {
		if name == "aligned/own" {
			continue
		}
		var found *Source
		for seed := uint64(1); seed <= 4 && found == nil; seed++ {
			w, err := Compose(seed+uint64(i)*10, "aligned/own", name)
			if name == "broken/strict" {
				w, err = Compose(seed, name)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range w.Truth.Sources {
				if s.Shape == name {
					found = s
				}
			}
		}
		if found == nil {
			t.Errorf("%s makes nothing in four worlds", name)
			continue
		}
		class, _, _ := strings.Cut(name, "/")
		if found.Class != class && name != "broken/fixed-before" {
			t.Errorf("%s is %s", name, found.Class)
		}
	}
	if _, err := Compose(1, "broken/nothing"); err == nil {
		t.Error("a shape that is none is no error")
	}
}

// TestFolder: a world read back is the world that was written.
func TestFolder(t *testing.T) {
	w := Make(5)
	dir := filepath.Join(t.TempDir(), "w")
	if err := w.Write(dir); err != nil {
		t.Fatal(err)
	}
	x, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(w.Truth, x.Truth) || w.Zone != x.Zone || len(w.reports) != len(x.reports) {
		t.Fatal("truth, zone or number of reports differ")
	}
	for i, r := range w.reports {
		if a, b := fmt.Sprint(r.Metadata, r.PolicyPublished.P, r.Records), fmt.Sprint(x.reports[i].Metadata, x.reports[i].PolicyPublished.P, x.reports[i].Records); a != b {
			t.Fatalf("report %d:\n%.600s\n%.600s", i, a, b)
		}
	}
}

// TestShared: worlds that others made can be read.
func TestShared(t *testing.T) {
	root := require.Data(t, "worlds")
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		w, err := Open(filepath.Join(root, d.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if len(w.reports) < 100 || len(w.Truth.Sources) < 5 || w.Truth.Legitimate == 0 || w.Truth.Ready != (within1000(w.Truth.AtRisk, w.Truth.Legitimate)) {
			t.Errorf("%s: %d reports, %d sources, %d legitimate", d.Name(), len(w.reports), len(w.Truth.Sources), w.Truth.Legitimate)
		}
	}
}

func TestWithin1000(t *testing.T) {
	for _, c := range []struct {
		x, n uint64
		want bool
	}{{0, 2994, false}, {0, 2995, true}, {1, 4741, false}, {1, 4742, true}, {0, 0, false}, {10, 16958, false}, {10, 16959, true}, {300, 100000, false}} {
		if within1000(c.x, c.n) != c.want {
			t.Errorf("%d of %d: want %v", c.x, c.n, c.want)
		}
	}
}
